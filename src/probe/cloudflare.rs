//! What Cloudflare, in front of a website, says of itself: the numbers of its errors, which its pages and its texts
//! name, and its own statuses. [Cloudflare, Troubleshooting 1XXX and 5XX errors] Pure.
use super::{
    exchange::Answer,
    report::{Code, Fault},
};

const MEND: &str = "Whoever runs the server behind Cloudflare mends it, or lets Cloudflare itself answer this path (a \
    Redirect Rule or a Worker).";

/// A rule of the website turned the client away as a bot: by which mark it is known.
pub fn bot_rule(answer: &Answer) -> Option<&'static str> {
    match number(answer)? {
        1010 => Some("its error 1010: the client's kind is not let in"),
        1020 => Some("its error 1020: a firewall rule of the website"),
        _ => None,
    }
}

/// What else its errors say.
pub fn refusal(answer: &Answer) -> Option<Fault> {
    let number = number(answer)?;
    let except = "Whoever runs Cloudflare for this website makes a WAF custom rule with the action Skip for \
                  /.well-known/com.apple.remotemanagement.";
    let (code, why, remedy) = match number {
        1000 => (
            Code::Forbidden,
            "the domain's DNS record in Cloudflare points to an address that it must not, such as one of Cloudflare's own",
            "Whoever maintains the domain's DNS in Cloudflare lets the record point to the website's own server.",
        ),
        1005..=1008 => (
            Code::Forbidden,
            "the website bans the address or the network that this check comes from. Devices elsewhere may be let in",
            except,
        ),
        1009 => (
            Code::Forbidden,
            "the website bans the country that this check comes from. Devices elsewhere may be let in",
            except,
        ),
        1015 => (
            Code::UnexpectedStatus,
            "the website's rate limit is reached",
            "Whoever runs Cloudflare for this website excepts /.well-known/com.apple.remotemanagement from the rate \
             limiting rule. Try again later to see whether it passes.",
        ),
        _ => return None,
    };
    let detail = format!(
        "{}: Cloudflare, in front of the website, says with its error {number} that {why}.",
        answer.status_line()
    );
    Some(Fault::new(code, detail).remedy(remedy))
}

/// It does not get the answer from the server behind it.
pub fn no_origin(answer: &Answer) -> Option<Fault> {
    let why = match answer.status.as_u16() {
        _ if !is_by_cloudflare(answer) => return None,
        520 => "the website's server answered with something that it can't read",
        521 => "the website's server refuses its connections",
        522 | 524 => "the website's server does not answer in time",
        523 => "the website's server can't be reached",
        525 => "TLS with the website's server fails",
        526 => "the certificate of the website's server is not valid",
        530 => "it can't resolve the website's server",
        _ => return None,
    };
    let detail = format!(
        "{}: Cloudflare, in front of the website, says that {why}.",
        answer.status_line()
    );
    Some(Fault::new(Code::ServerError, detail).remedy(MEND))
}

/// `error code: 1020` as text, `<span>Error</span> <span>1020</span>` in a page.
fn number(answer: &Answer) -> Option<u16> {
    let is_refusal = answer.status.is_client_error() || answer.status.is_server_error();
    if !is_refusal || !is_by_cloudflare(answer) {
        return None;
    }
    let text = words(&String::from_utf8_lossy(&answer.body));
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        let next = match word {
            "error" => words.clone().find(|word| !matches!(*word, "code" | "code:")),
            _ => None,
        };
        let number = next.and_then(|next| next.trim_matches([':', '.']).parse().ok());
        if let Some(number @ 1000..=1999) = number {
            return Some(number);
        }
    }
    None
}

/// In lower case, without what stands in tags, parted by single spaces.
fn words(page: &str) -> String {
    let mut is_tag = false;
    let visible = |c: char| {
        is_tag = c == '<' || is_tag && c != '>';
        if is_tag || c == '>' {
            ' '
        } else {
            c.to_ascii_lowercase()
        }
    };
    let text: String = page.chars().map(visible).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_by_cloudflare(answer: &Answer) -> bool {
    let server = answer.header("server");
    server.is_some_and(|server| server.eq_ignore_ascii_case("cloudflare")) || answer.headers.contains_key("cf-ray")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{exchange::End, status};
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    fn answer(status: u16, header: (&'static str, &'static str), body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter([(HeaderName::from_static(header.0), HeaderValue::from_static(header.1))]),
            body: body.into(),
            end: End::Whole,
        }
    }

    const CLOUDFLARE: (&str, &str) = ("server", "cloudflare");

    #[test]
    fn an_error_of_cloudflare_is_told_with_what_its_number_means() {
        let page = |title: &str, number: u16| {
            format!(
                "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1><span \
                 data-translate=\"error\">Error</span>\n<span>{number}</span></h1>"
            )
        };
        let restricted = "Access denied | contoso.com used Cloudflare to restrict access";
        for (status, body, code, said) in [
            (403, "error code: 1020".to_owned(), Code::BotChallenge, "1020"),
            (403, "error code: 1010\n".to_owned(), Code::BotChallenge, "1010"),
            (403, page(restricted, 1020), Code::BotChallenge, "1020"),
            (403, page(restricted, 1009), Code::Forbidden, "country"),
            (403, page(restricted, 1006), Code::Forbidden, "address or the network"),
            (
                403,
                page("DNS points to prohibited IP", 1000),
                Code::Forbidden,
                "DNS record",
            ),
            (429, "error code: 1015".to_owned(), Code::UnexpectedStatus, "rate limit"),
            // Of a number that says nothing to us, its page may.
            (403, page(restricted, 1099), Code::BotChallenge, "restricted access"),
            (403, "error code: 9999".to_owned(), Code::Forbidden, "does not say"),
        ] {
            for header in [CLOUDFLARE, ("cf-ray", "8f0a-FRA")] {
                let fault = status::fault(&answer(status, header, &body)).unwrap();
                assert!(fault.code == code && fault.detail.contains(said), "{body}: {fault:?}");
            }
        }
    }

    #[test]
    fn a_number_that_another_server_names_is_not_of_cloudflare() {
        for (status, header) in [(403, ("server", "nginx")), (200, CLOUDFLARE)] {
            let answer = answer(status, header, "error code: 1020");
            assert!(bot_rule(&answer).is_none() && refusal(&answer).is_none());
        }
        assert_eq!(no_origin(&answer(526, ("server", "nginx"), "")), None);
    }
}
