//! What the status of an answer means for a device. Pure.
use http::StatusCode;

use super::{
    challenge, cloudflare, document,
    exchange::{self, Answer, NoAnswer},
    report::{Code, Fault},
    text::quoted,
};

/// Apple's document for “not this user, or not this device”.
/// [apple/device-management, mdm/errors/well-known.failed.yaml]
const REJECTION: &str = "com.apple.well-known.failed";

const EXPECTED: &str = "200 with the discovery document.";

/// What is wrong with an answer that is no redirect, before its content is looked at.
pub fn fault(answer: &Answer) -> Option<Fault> {
    if let Some(mark) = cloudflare::bot_rule(answer) {
        return Some(bot_challenge(answer, "Cloudflare", mark));
    }
    if let Some(fault) = cloudflare::refusal(answer) {
        return Some(fault.expected(EXPECTED));
    }
    if let Some((service, mark)) = challenge::service(answer) {
        return Some(bot_challenge(answer, service, mark));
    }
    if wants_client_certificate(answer) {
        return Some(NoAnswer::ClientCertificateWanted.fault());
    }
    let fault = by_status(answer);
    match answer.status != StatusCode::OK && document::read(answer).is_ok() {
        true => fault.map(|fault| document_sent(fault, answer)),
        false => fault,
    }
}

fn by_status(answer: &Answer) -> Option<Fault> {
    match answer.status.as_u16() {
        200 => exchange::unfinished(answer),
        401 | 407 => Some(authentication_required(answer)),
        403 => Some(rejection(answer).unwrap_or_else(|| forbidden(answer))),
        404 | 410 => Some(not_found(answer)),
        405 | 501 => Some(method_refused(answer)),
        421 => Some(misdirected(answer)),
        500..=599 => Some(server_error(answer)),
        _ => Some(unexpected(answer)),
    }
}

/// The right thing, with the wrong status.
fn document_sent(mut fault: Fault, answer: &Answer) -> Fault {
    let line = answer.status_line();
    fault.detail = format!("{line}, though the body is the discovery document: a device does not read it.");
    fault.remedy(
        "Whoever runs the script, or the page for errors, that sends the document lets it set the status 200: in PHP \
         `http_response_code(200);`, in WordPress `status_header(200);`, in nginx `error_page 404 =200 …`.",
    )
}

/// What a device does next: on an HTTP failure newer ones ask Apple. [Apple, release notes of the versions named]
pub fn fallback(answer: &Answer) -> Option<String> {
    let is_failure = answer.status.is_client_error() || answer.status.is_server_error();
    let after_rejection = match rejection(answer) {
        Some(_) => " Whether they do so after a rejection document too is not documented.",
        None => "",
    };
    is_failure.then(|| {
        format!(
            "iOS and iPadOS 18.2, macOS 15.2, visionOS 2.2 and later then ask Apple: if the domain is verified in Apple \
         Business Manager or Apple School Manager and an MDM server is assigned there for this kind of device, \
         enrollment goes on with that one. Earlier versions fail.{after_rejection}"
        )
    })
}

fn bot_challenge(answer: &Answer, service: &str, mark: &str) -> Fault {
    Fault::new(
        Code::BotChallenge,
        format!(
            "{}: {service} in front of the website turns the client away, as a bot or as an attack (seen by {mark}). A device \
             is no browser either and can't pass.",
            answer.status_line()
        ),
    )
    .expected(EXPECTED)
    .remedy(format!(
        "Whoever runs {service} for this website makes a rule that lets requests for \
         /.well-known/com.apple.remotemanagement through without a check (in Cloudflare: a WAF custom rule with the \
         action Skip, and Bot Fight Mode off for it)."
    ))
}

/// nginx and IIS finish the handshake without one, and say it here.
fn wants_client_certificate(answer: &Answer) -> bool {
    let says = |words: &str| {
        let body = String::from_utf8_lossy(&answer.body);
        body.to_ascii_lowercase().contains(words)
    };
    match answer.status.as_u16() {
        400 => says("no required ssl certificate was sent") || says("the ssl certificate error"),
        403 => says("403.7 - ") || says("client certificate required"),
        _ => false,
    }
}

fn authentication_required(answer: &Answer) -> Fault {
    let asks = answer
        .header("www-authenticate")
        .map(|value| format!(", asking for {value}"))
        .unwrap_or_default();
    Fault::new(Code::AuthenticationRequired, format!("{}{asks}.", answer.status_line()))
        .expected(EXPECTED)
        .remedy(
            "Whoever runs the web server excepts /.well-known/com.apple.remotemanagement from the password, in nginx \
         `auth_basic off;` in its location, in Apache `Require all granted`.",
        )
}

fn rejection(answer: &Answer) -> Option<Fault> {
    if answer.status != StatusCode::FORBIDDEN {
        return None;
    }
    let document: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    if document.get("code")?.as_str()? != REJECTION {
        return None;
    }
    let message = document.get("message").and_then(|message| message.as_str());
    let message = message
        .map(|text| format!(" Its message: “{}”", quoted(text)))
        .unwrap_or_default();
    let content_type = match answer.header("content-type") {
        Some(value) if value.to_ascii_lowercase().starts_with("application/json") => String::new(),
        other => format!(
            " Its Content-Type is {}, not application/json: devices may not read it.",
            other.as_deref().unwrap_or("missing")
        ),
    };
    Some(
        Fault::new(
            Code::Rejected,
            format!(
                "403 with Apple's rejection document: the server answers, and refuses this user or device by \
                 design.{message}{content_type}"
            ),
        )
        .expected(EXPECTED)
        .remedy(
            "Nothing, if that is meant. If not, whoever sets the policy of the discovery service lets this user and \
             model family enroll; look again as a user and a model family that should.",
        )
        .devices("All; iOS and iPadOS 17.5, macOS 14.5, visionOS 1.2 and later show the message."),
    )
}

fn forbidden(answer: &Answer) -> Fault {
    Fault::new(
        Code::Forbidden,
        format!("403 Forbidden{}. Why, the answer does not say.", by(answer)),
    )
    .expected(EXPECTED)
    .remedy(
        "Whoever runs the web server makes /.well-known/com.apple.remotemanagement readable for everybody: the rights of \
         the file and its folder, a rule against paths that begin with a dot, a security plug-in or firewall that \
         blocks clients that are no browsers.",
    )
}

fn not_found(answer: &Answer) -> Fault {
    Fault::new(
        Code::NotFound,
        format!("{}: the server{} has nothing at this path.", answer.status_line(), by(answer)),
    )
    .expected(EXPECTED)
    .remedy(
        "Whoever runs the web server adds the document at /.well-known/com.apple.remotemanagement, exactly so: no .json \
         behind it, the folder's dot before it; or a redirect there. If another server should answer, correct the DNS \
         records. A server that is not to decide leaves it so: then newer devices ask Apple.",
    )
}

fn method_refused(answer: &Answer) -> Fault {
    let allows = answer
        .header("allow")
        .map(|allow| format!(" It allows {allow}."))
        .unwrap_or_default();
    Fault::new(
        Code::MethodRefused,
        format!("{} to a GET.{allows}", answer.status_line()),
    )
    .expected(EXPECTED)
    .remedy("Whoever runs the application at this path lets it answer GET: a handler for POST alone took the request.")
}

fn misdirected(answer: &Answer) -> Fault {
    Fault::new(
        Code::Misdirected,
        format!(
            "{}: the server says that this name is not for this connection.",
            answer.status_line()
        ),
    )
    .expected(EXPECTED)
    .remedy(
        "Whoever runs the web server sets up a site for this name on the same port as its certificate, and removes a \
         second one with the same certificate and other TLS settings.",
    )
}

fn server_error(answer: &Answer) -> Fault {
    if let Some(fault) = cloudflare::no_origin(answer) {
        return fault.expected(EXPECTED);
    }
    let fault = |detail: String, remedy: &str| Fault::new(Code::ServerError, detail).expected(EXPECTED).remedy(remedy);
    let line = answer.status_line();
    match answer.status.as_u16() {
        503 => fault(
            format!(
                "{line}: the server{} does not answer now: it is overloaded, in maintenance, or the application behind it is down.",
                by(answer)
            ),
            "Whoever runs the web server ends the maintenance, or finds out what holds it up; a static file or a redirect \
             at this path needs no application.",
        ),
        502 | 504 => fault(
            format!(
                "{line}: the server{} gets no good answer from what is behind it.",
                by(answer)
            ),
            "Whoever runs the web server finds out why the application behind it does not answer; a static file or a \
             redirect at this path needs none.",
        ),
        _ => fault(
            format!("{line}: an error of the server{}.", by(answer)),
            "Whoever runs the web server looks into its error log.",
        ),
    }
}

fn unexpected(answer: &Answer) -> Fault {
    let line = answer.status_line();
    let (what, remedy) = match answer.status.as_u16() {
        429 => (
            format!("{line}: the server answers only so many requests"),
            "Whoever runs the web server, or a service in front of it, excepts /.well-known/com.apple.remotemanagement \
             from the limit. Try again later to see whether it passes.",
        ),
        400 => (
            format!(
                "{line}: the server{} does not take the request as a device writes it",
                by(answer)
            ),
            "Whoever runs the web server finds out in its log what it does not like: often an `@` or the parameters of \
             the query.",
        ),
        406 => (
            format!("{line}: the server{} does not take the request", by(answer)),
            "Whoever runs the web server looks into the log of its security module (ModSecurity and the like answer so to \
             an `@` in the query, or to a client that is no browser), and excepts this path.",
        ),
        451 => (
            format!("{line}: the server does not answer for legal reasons"),
            "Whoever runs the web server excepts this path.",
        ),
        300..=399 => (
            format!("{line} is no redirect that a client follows"),
            "Whoever runs the web server answers with the document, or redirects with 301, 302, 307 or 308.",
        ),
        _ => (line, "Whoever runs the web server answers with 200 and the document."),
    };
    Fault::new(Code::UnexpectedStatus, format!("{what}."))
        .expected(EXPECTED)
        .remedy(remedy)
}

fn by(answer: &Answer) -> String {
    answer
        .header("server")
        .map(|server| format!(" ({server})"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::exchange::End;
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.iter().map(header).collect::<HeaderMap>(),
            body: body.into(),
            end: End::Whole,
        }
    }

    #[test]
    fn a_status_is_named() {
        let rejection = r#"{"code":"com.apple.well-known.failed","description":"d","message":"Ask IT."}"#;
        for (status, headers, body, code, said) in [
            (
                401,
                &[("www-authenticate", "Basic realm=\"x\"")][..],
                "",
                Code::AuthenticationRequired,
                "Basic realm",
            ),
            (
                403,
                &[("server", "nginx")],
                "<h1>403 Forbidden</h1>",
                Code::Forbidden,
                "(nginx)",
            ),
            (
                403,
                &[("content-type", "application/json")],
                rejection,
                Code::Rejected,
                "Ask IT.",
            ),
            (
                403,
                &[("content-type", "application/json")],
                r#"{"code":"other"}"#,
                Code::Forbidden,
                "403",
            ),
            (
                403,
                &[("cf-mitigated", "challenge")],
                "",
                Code::BotChallenge,
                "Cloudflare",
            ),
            (404, &[], "", Code::NotFound, "404 Not Found"),
            (410, &[], "", Code::NotFound, "410 Gone"),
            (405, &[("allow", "POST")], "", Code::MethodRefused, "It allows POST"),
            (421, &[], "", Code::Misdirected, "421"),
            (429, &[], "", Code::UnexpectedStatus, "only so many"),
            (400, &[], "", Code::UnexpectedStatus, "as a device writes it"),
            (204, &[], "", Code::UnexpectedStatus, "204 No Content"),
            (304, &[], "", Code::UnexpectedStatus, "no redirect"),
            (500, &[], "", Code::ServerError, "500 Internal"),
            (502, &[], "", Code::ServerError, "behind it"),
            (503, &[], "", Code::ServerError, "in maintenance"),
            (
                400,
                &[],
                "<center>No required SSL certificate was sent</center>",
                Code::AuthenticationRequired,
                "client certificate",
            ),
            (526, &[("server", "cloudflare")], "", Code::ServerError, "certificate"),
            (526, &[], "", Code::ServerError, "526"),
            (799, &[], "", Code::UnexpectedStatus, "799"),
        ] {
            let fault = fault(&answer(status, headers, body)).unwrap();
            assert!(fault.code == code && fault.detail.contains(said), "{status}: {fault:?}");
        }
        assert_eq!(fault(&answer(200, &[], "")), None);
    }

    #[test]
    fn an_answer_whose_body_does_not_come_whole_is_not_well() {
        for (end, code) in [
            (End::TooSlow, Code::ResponseTooSlow),
            (End::Broken, Code::ConnectionClosed),
        ] {
            let unfinished = |status| Answer {
                end,
                ..answer(status, &[], "{")
            };
            assert_eq!(fault(&unfinished(200)).unwrap().code, code);
            assert_eq!(fault(&unfinished(404)).unwrap().code, Code::NotFound);
        }
    }

    #[test]
    fn the_document_with_another_status_is_not_told_as_if_nothing_were_there() {
        let document = r#"{"Servers":[{"Version":"mdm-byod","BaseURL":"https://mdm.contoso.com/"}]}"#;
        for (status, code) in [
            (404, Code::NotFound),
            (403, Code::Forbidden),
            (500, Code::ServerError),
            (202, Code::UnexpectedStatus),
        ] {
            let fault = fault(&answer(status, &[], document)).unwrap();
            assert_eq!(fault.code, code);
            let said = format!("{status} ");
            assert!(fault.detail.starts_with(&said) && fault.detail.contains("the body is the discovery document"));
        }
        assert_eq!(fault(&answer(200, &[], document)), None);
        let slow = Answer {
            end: End::TooSlow,
            ..answer(200, &[], document)
        };
        assert_eq!(fault(&slow).unwrap().code, Code::ResponseTooSlow);
    }

    #[test]
    fn apple_is_asked_after_a_failure_and_only_then() {
        for (status, asked) in [
            (200, false),
            (204, false),
            (302, false),
            (404, true),
            (403, true),
            (503, true),
        ] {
            assert_eq!(fallback(&answer(status, &[], "")).is_some(), asked, "{status}");
        }
    }
}
