//! Whether a domain answers alike: at each of its addresses, to HEAD and to GET, with the query and without. Pure.
use std::net::SocketAddr;

use super::{
    content, document,
    exchange::Answer,
    journey::Journey,
    line::{self, Unconnected},
    names::MAX_ADDRESSES,
    report::{Code, Fault},
    status,
    text::listed,
};

/// What one address of the domain said.
pub enum Said {
    NoWayFromHere,
    Unconnected(Fault),
    Untrusted(Fault),
    NoAnswer(Fault),
    Answered(Answer),
    /// A redirect of its own, and what is at its end.
    Elsewhere(Result<Answer, Fault>),
}

impl Said {
    pub fn unconnected(address: SocketAddr, why: Unconnected) -> Self {
        match why {
            Unconnected::NoWayFromHere => Self::NoWayFromHere,
            failed @ Unconnected::Failed(_) => Self::Unconnected(line::unconnected(&[(address, failed)])),
        }
    }

    /// How far a device gets: of several addresses the best is looked at closely.
    pub fn rank(&self) -> u8 {
        match self {
            Self::NoWayFromHere => 0,
            Self::Unconnected(_) => 1,
            Self::Untrusted(_) => 2,
            Self::NoAnswer(_) => 3,
            Self::Answered(answer) if fault(answer).is_some() => 4,
            Self::Answered(answer) if answer.redirect().is_some() => 5,
            Self::Elsewhere(_) => 5,
            Self::Answered(_) => 6,
        }
    }

    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::NoWayFromHere => None,
            Self::Unconnected(fault) | Self::Untrusted(fault) | Self::NoAnswer(fault) => Some(fault.clone()),
            Self::Answered(answer) => fault(answer),
            Self::Elsewhere(Err(fault)) => Some(fault.clone()),
            Self::Elsewhere(Ok(answer)) => fault(answer),
        }
    }
}

/// What is wrong with an answer, from its status to its document. Of a redirect nothing is.
pub fn fault(answer: &Answer) -> Option<Fault> {
    if answer.redirect().is_some() {
        return None;
    }
    status::fault(answer)
        .or_else(|| content::fault(answer))
        .or_else(|| document::read(answer).err())
}

/// Beside what was seen at the first address, which the other steps tell of: what is wrong at the others only.
pub fn addresses(best: (&SocketAddr, &Said), others: &[(SocketAddr, Said)]) -> Result<String, Fault> {
    let of_best = best.1.fault().map(|fault| fault.code);
    let differs = |(address, said): &(SocketAddr, Said)| {
        let fault = said.fault().filter(|fault| Some(fault.code) != of_best)?;
        Some(format!("{}: {}", address.ip(), fault.detail))
    };
    let failing: Vec<_> = others.iter().filter_map(differs).collect();
    let unseen: Vec<_> = others
        .iter()
        .filter(|(_, said)| matches!(said, Said::NoWayFromHere))
        .map(|(address, _)| address.ip())
        .collect();
    let unseen = match unseen.as_slice() {
        [] => String::new(),
        unseen => format!(
            " Not tried, because this machine has no way to such addresses: {}.",
            listed(unseen, MAX_ADDRESSES)
        ),
    };
    if failing.is_empty() {
        let taken: Vec<_> = std::iter::once(best.0)
            .chain(
                others
                    .iter()
                    .filter(|(_, said)| said.rank() > 1)
                    .map(|(address, _)| address),
            )
            .map(ToString::to_string)
            .collect();
        let unlike = match unlike(best.1, others) {
            true => " They do not give the same document.",
            false => "",
        };
        return Ok(format!(
            "Connected to {}.{unlike}{unseen}",
            listed(&taken, MAX_ADDRESSES)
        ));
    }
    let good = match of_best {
        None => format!("{} answers well", best.0.ip()),
        Some(_) => format!("{} answers as told below", best.0.ip()),
    };
    Err(Fault::new(
        Code::SomeAddressesFail,
        format!(
            "The addresses do not answer alike. {} Only {good}.{unseen}",
            failing.join(" ")
        ),
    )
    .expected("Every address, IPv4 and IPv6, answers with the same certificate and document.")
    .remedy(
        "Whoever maintains the domain's DNS removes the records (A or AAAA) of servers that are not to answer; or \
         whoever runs those servers sets them up like the others.",
    )
    .devices("All: a device takes the address that its network prefers, IPv6 first where there is any."))
}

fn unlike(best: &Said, others: &[(SocketAddr, Said)]) -> bool {
    let Said::Answered(best) = best else { return false };
    others.iter().any(|(_, said)| match said {
        Said::Answered(answer) => {
            fault(best).is_none()
                && answer.redirect().is_none()
                && best.redirect().is_none()
                && !document::is_same(best, answer)
        }
        _ => false,
    })
}

/// HEAD beside a GET that was answered, whatever its content.
pub fn head(get: &Answer, head: &Journey) -> Result<String, Fault> {
    let devices = "None is known to ask so. Microsoft's own check, curl -I, does: there the domain looks wrong.";
    let fault = |code, what: String| {
        Err(Fault::new(code, what)
            .expected("The same status and Content-Type as for GET, without the body.")
            .remedy(
                "Whoever runs the web server lets this path answer HEAD: a static file does by itself, an application \
                 or a Worker needs it said (treat HEAD like GET).",
            )
            .passable(devices))
    };
    let answer = match &head.end {
        Ok(answer) => answer,
        Err(why) => {
            return fault(
                Code::HeadRefused,
                format!("GET is answered, HEAD is not. {}", why.detail),
            );
        }
    };
    let content_type = |answer: &Answer| answer.header("content-type").unwrap_or_else(|| "none".to_owned());
    let (of_head, of_get) = (content_type(answer), content_type(get));
    match () {
        () if answer.status != get.status => fault(
            Code::HeadRefused,
            format!(
                "HEAD is answered with {}, GET with {}.",
                answer.status_line(),
                get.status_line()
            ),
        ),
        () if !of_head.eq_ignore_ascii_case(&of_get) => fault(
            Code::HeadDiffers,
            format!("HEAD is answered with the Content-Type {of_head}, GET with {of_get}."),
        ),
        () => Ok(format!("HEAD is answered like GET: {}.", answer.status_line())),
    }
}

/// The answer to a device's query beside the one without; `None` if there is nothing to say.
pub fn query(with: &Journey, without: Option<&Journey>) -> Option<Result<String, Fault>> {
    let fault_of = |journey: &Journey| match &journey.end {
        Err(fault) => Some(fault.clone()),
        Ok(answer) => fault(answer),
    };
    let fault_with = fault_of(with);
    let lost = with.query_lost.as_ref();
    let is_explained = lost.is_some_and(|lost| lost.is_cause);
    match (&fault_with, without.map(fault_of)) {
        (Some(fault), Some(None)) if !is_explained => Some(Err(breaks_answer(fault))),
        _ if lost.is_some() => lost.map(|lost| Err(lost.fault())),
        (None, Some(Some(fault))) => Some(Ok(format!(
            "A device's query is answered well. Without it the answer is not, which only a check by hand meets: {}",
            fault.detail
        ))),
        (None, Some(None)) => Some(Ok("Answered well with a device's query and without.".to_owned())),
        _ => None,
    }
}

fn breaks_answer(fault: &Fault) -> Fault {
    Fault::new(
        Code::QueryBreaksAnswer,
        format!("Without a query the domain answers well; with the query that every device sends it does not. {}", fault.detail),
    )
    .expected("The same answer with ?user-identifier=…&model-family=….")
    .remedy(
        "Whoever runs the web server finds the rule that looks at the query: a firewall that takes the `@` for an attack, \
         a redirect or a cache that matches the exact address, an application that refuses unknown parameters.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        outbound::ConnectError,
        probe::{exchange::End, lost_query::Lost, target::Target},
    };
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    fn answer(status: u16, header: (&'static str, &'static str), base_url: &str) -> Answer {
        let document = serde_json::json!({"Servers": [{"Version": "mdm-byod", "BaseURL": base_url}]});
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter([(HeaderName::from_static(header.0), HeaderValue::from_static(header.1))]),
            body: document.to_string().into(),
            end: End::Whole,
        }
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    fn good() -> Answer {
        answer(200, JSON, "https://mdm.contoso.com/")
    }

    fn lost(is_cause: bool) -> Lost {
        let ask = |query| Target::device("contoso.com", 443, query);
        let mut lost = Lost::between(&ask(Some("user-identifier=a@b")), &ask(None)).unwrap();
        lost.is_cause = is_cause;
        lost
    }

    fn journey(end: Result<Answer, Fault>, query_lost: bool) -> Journey {
        Journey {
            hops: vec![],
            end,
            place: None,
            query_lost: query_lost.then(|| lost(false)),
        }
    }

    #[test]
    fn what_fails_at_one_address_and_not_at_the_best_is_named_with_it() {
        let best: SocketAddr = "192.0.2.1:443".parse().unwrap();
        let other: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
        let well = || Said::Answered(good());
        let not_found = || Said::Answered(answer(404, JSON, ""));
        let redirect = || Said::Answered(answer(302, ("location", "https://www.contoso.com/"), ""));
        let refused = || Said::unconnected(other, Unconnected::Failed(ConnectError::Refused));
        let another = || Said::Answered(answer(200, JSON, "https://other.contoso.com/"));
        for (first, second, told) in [
            (well(), well(), Ok("Connected to 192.0.2.1:443, [2001:db8::1]:443.")),
            (well(), another(), Ok("not give the same document")),
            (well(), redirect(), Ok("Connected")),
            (well(), Said::Elsewhere(Ok(good())), Ok("Connected")),
            (
                well(),
                Said::NoWayFromHere,
                Ok("Not tried, because this machine has no way to such addresses: 2001:db8::1"),
            ),
            (well(), not_found(), Err("2001:db8::1: 404 Not Found")),
            (well(), refused(), Err("2001:db8::1: Nothing listens there")),
            (
                well(),
                Said::Elsewhere(Ok(answer(500, JSON, ""))),
                Err("2001:db8::1: 500"),
            ),
            (redirect(), not_found(), Err("Only 192.0.2.1 answers well")),
            // What fails everywhere is told by its own step.
            (not_found(), not_found(), Ok("Connected")),
            (not_found(), refused(), Err("Only 192.0.2.1 answers as told below")),
        ] {
            let found = addresses((&best, &first), &[(other, second)]);
            match (&found, told) {
                (Ok(detail), Ok(said)) => assert!(detail.contains(said), "{detail}"),
                (Err(fault), Err(said)) => assert!(
                    fault.code == Code::SomeAddressesFail && fault.detail.contains(said),
                    "{fault:?}"
                ),
                _ => panic!("{found:?} instead of {told:?}"),
            }
        }
    }

    #[test]
    fn head_must_be_answered_like_get() {
        let slow = || Err(Fault::new(Code::ResponseTooSlow, "slow"));
        for (end, code) in [
            (Ok(good()), None),
            (Ok(answer(200, ("content-type", "Application/JSON"), "")), None),
            (Ok(answer(405, JSON, "")), Some(Code::HeadRefused)),
            (Ok(answer(404, JSON, "")), Some(Code::HeadRefused)),
            (Ok(answer(302, JSON, "")), Some(Code::HeadRefused)),
            (slow(), Some(Code::HeadRefused)),
            (
                Ok(answer(200, ("content-type", "text/html"), "")),
                Some(Code::HeadDiffers),
            ),
            (Ok(answer(200, ("x-other", "x"), "")), Some(Code::HeadDiffers)),
        ] {
            let found = head(&good(), &journey(end, false)).err();
            assert!(found.as_ref().is_none_or(|fault| !fault.stops_devices));
            // The content of what GET got may be wrong.
            assert!(found.as_ref().is_none_or(|fault| !fault.detail.contains("well")));
            assert_eq!(found.map(|fault| fault.code), code);
        }
    }

    #[test]
    fn the_query_may_neither_break_the_answer_nor_get_lost() {
        let well = || Ok(good());
        let ill = || Ok(answer(403, JSON, ""));
        for (with, lost, without, code) in [
            (well(), false, Some(well()), Some(None)),
            (well(), false, Some(ill()), Some(None)),
            (well(), false, None, None),
            (well(), true, Some(well()), Some(Some(Code::RedirectLosesQuery))),
            (well(), true, None, Some(Some(Code::RedirectLosesQuery))),
            (ill(), false, Some(ill()), None),
            (ill(), true, Some(ill()), Some(Some(Code::RedirectLosesQuery))),
            (ill(), false, Some(well()), Some(Some(Code::QueryBreaksAnswer))),
            (ill(), true, Some(well()), Some(Some(Code::QueryBreaksAnswer))),
        ] {
            let without = without.map(|end| journey(end, false));
            let found = query(&journey(with, lost), without.as_ref());
            assert_eq!(found.map(|told| told.err().map(|fault| fault.code)), code);
        }
    }

    #[test]
    fn a_lost_query_that_explains_the_failure_is_named_before_all_else() {
        let ill = || Ok(answer(404, JSON, ""));
        for without in [None, Some(ill()), Some(Ok(good()))] {
            let without = without.map(|end| journey(end, false));
            let mut with = journey(ill(), true);
            with.query_lost = Some(lost(true));
            let told = query(&with, without.as_ref()).unwrap().unwrap_err();
            assert_eq!((told.code, told.stops_devices), (Code::RedirectLosesQuery, true));
        }
        let fault = || Fault::new(Code::NotFound, "404.");
        assert_eq!(lost(false).blamed_for(fault()), fault());
        let blamed = lost(true).blamed_for(fault());
        assert_eq!(blamed.code, Code::NotFound);
        for said in ["The redirect loses the query", "answers well only with it", "404."] {
            assert!(blamed.detail.contains(said), "{}", blamed.detail);
        }
    }
}
