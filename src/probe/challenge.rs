//! Services in front of a website that turn away what is no browser. Named only by marks that such a service puts
//! into its refusal; a refusal without one is just a refusal. Pure.
use super::exchange::Answer;

/// Of a challenge that is answered as if it were the page.
const LONGEST_CHALLENGE: usize = 16 * 1024;

/// The service, and by which mark it is known.
pub fn service(answer: &Answer) -> Option<(&'static str, &'static str)> {
    by_header(answer).or_else(|| by_body(answer))
}

fn by_header(answer: &Answer) -> Option<(&'static str, &'static str)> {
    let value = |name: &str| answer.header(name).unwrap_or_default().to_ascii_lowercase();
    let has = |name: &str| answer.headers.contains_key(name);
    if value("cf-mitigated") == "challenge" {
        return Some(("Cloudflare", "the header cf-mitigated: challenge"));
    }
    if ["challenge", "captcha"].contains(&value("x-amzn-waf-action").as_str()) {
        return Some(("AWS WAF", "the header x-amzn-waf-action"));
    }
    // DataDome marks what it lets through with other headers than these.
    if is_refusal(answer) && (has("x-datadome") || has("x-dd-b")) {
        return Some(("DataDome", "the header x-datadome"));
    }
    if is_refusal(answer) && has("x-sucuri-block") {
        return Some(("Sucuri", "the header x-sucuri-block"));
    }
    if value("x-vercel-mitigated") == "challenge" {
        return Some(("Vercel", "the header x-vercel-mitigated: challenge"));
    }
    None
}

/// What the refusals and challenges of the services hold, in lower case; all parts of a line must be there.
const MARKS: &[(&str, &str, &[&str])] = &[
    (
        "Cloudflare",
        "its page “Just a moment…”",
        &["just a moment", "cloudflare"],
    ),
    (
        "Cloudflare",
        "its page “Just a moment…”",
        &["just a moment", "challenge-platform"],
    ),
    (
        "Cloudflare",
        "its page “Just a moment…”",
        &["<title>just a moment...</title>"],
    ),
    ("Cloudflare", "the scripts of its challenge", &["cf_chl_opt"]),
    (
        "Cloudflare",
        "the scripts of its challenge",
        &["cf-browser-verification"],
    ),
    (
        "Cloudflare",
        "its page “Attention Required!”",
        &["attention required!", "cloudflare"],
    ),
    (
        "Cloudflare",
        "its page “Sorry, you have been blocked”",
        &["sorry, you have been blocked", "cloudflare"],
    ),
    (
        "Akamai",
        "its page “Access Denied” with a reference",
        &["access denied", "reference&#32;&#35;"],
    ),
    (
        "Akamai",
        "its page “Access Denied” with a reference",
        &["access denied", "errors.edgesuite.net"],
    ),
    ("Imperva", "its script _Incapsula_Resource", &["_incapsula_resource"]),
    ("Imperva", "its incident number", &["incapsula incident id"]),
    (
        "Sucuri",
        "its page “Sucuri WebSite Firewall”",
        &["sucuri website firewall"],
    ),
    ("DataDome", "its captcha", &["captcha-delivery.com"]),
    ("PerimeterX", "its captcha", &["px-captcha"]),
    ("AWS WAF", "its challenge", &["awswafintegration"]),
    ("AWS WAF", "its challenge", &["token.awswaf.com"]),
    ("DDoS-Guard", "its page", &["ddos-guard", "checking your browser"]),
    (
        "a bot check",
        "its page “Checking your browser”",
        &["checking your browser before accessing"],
    ),
];

fn by_body(answer: &Answer) -> Option<(&'static str, &'static str)> {
    let body = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
    // A website that answers well may speak of any of these services, or load a script of theirs.
    if !body.contains('<') || !is_refusal(answer) && body.len() > LONGEST_CHALLENGE {
        return None;
    }
    let server = answer.header("server").unwrap_or_default().to_ascii_lowercase();
    let is_in_front = |name: &str| name != "Cloudflare" || is_refusal(answer) || server == "cloudflare";
    let told = format!("{body} server: {server}");
    MARKS
        .iter()
        .find(|(name, _, marks)| is_in_front(name) && marks.iter().all(|mark| told.contains(mark)))
        .map(|(name, mark, _)| (*name, *mark))
}

fn is_refusal(answer: &Answer) -> bool {
    answer.status.is_client_error() || answer.status.is_server_error()
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
    fn a_service_is_named_by_its_marks() {
        let just_a_moment = "<!DOCTYPE html><html><head><title>Just a moment...</title><script src=\"/cdn-cgi/challenge-platform/h/b/orchestrate\"></script>";
        for (status, headers, body, name) in [
            (403, &[("cf-mitigated", "challenge")][..], "", "Cloudflare"),
            (403, &[("server", "cloudflare")], just_a_moment, "Cloudflare"),
            (503, &[("server", "cloudflare")], just_a_moment, "Cloudflare"),
            (
                403,
                &[("server", "cloudflare")],
                "<h1>Just a moment...</h1>",
                "Cloudflare",
            ),
            (
                403,
                &[],
                "<title>Attention Required! | Cloudflare</title>",
                "Cloudflare",
            ),
            (429, &[], "<script>window._cf_chl_opt={}</script>", "Cloudflare"),
            (
                403,
                &[("server", "AkamaiGHost")],
                "<H1>Access Denied</H1> Reference&#32;&#35;18&#46;2d",
                "Akamai",
            ),
            (
                200,
                &[],
                "<html><iframe src=\"/_Incapsula_Resource?SWUDNSAI=31\"></iframe></html>",
                "Imperva",
            ),
            (
                403,
                &[],
                "<title>Sucuri WebSite Firewall - Access Denied</title>",
                "Sucuri",
            ),
            (403, &[("x-datadome", "protected")], "", "DataDome"),
            (202, &[("x-amzn-waf-action", "challenge")], "", "AWS WAF"),
            (405, &[("x-amzn-waf-action", "captcha")], "", "AWS WAF"),
            (429, &[("x-vercel-mitigated", "challenge")], "", "Vercel"),
        ] {
            assert_eq!(
                service(&answer(status, headers, body)).map(|found| found.0),
                Some(name),
                "{body}"
            );
        }
    }

    #[test]
    fn without_a_mark_nobody_is_blamed() {
        let long = format!("<html>{}we moved from _Incapsula_Resource</html>", "x".repeat(20_000));
        for (status, headers, body) in [
            (403, &[("server", "cloudflare")][..], "<h1>403 Forbidden</h1>"),
            (403, &[("server", "nginx")], "<center><h1>403 Forbidden</h1></center>"),
            (403, &[], "<title>Access Denied</title>"),
            (403, &[], ""),
            (200, &[("x-datadome", "protected")], "<html></html>"),
            (200, &[("server", "nginx")], "<p>Just a moment, said Cloudflare</p>"),
            (200, &[], &long),
            (403, &[], r#"{"message":"cf_chl_opt"}"#),
            (
                503,
                &[("server", "cloudflare")],
                "<title>Origin is down | Cloudflare</title>",
            ),
        ] {
            assert_eq!(service(&answer(status, headers, body)), None, "{body}");
        }
    }
}
