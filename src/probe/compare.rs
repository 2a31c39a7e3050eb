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

/// HEAD beside a GET that was answered well.
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
                format!("GET is answered well, HEAD is not. {}", why.detail),
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
    match (&fault_with, without.map(fault_of)) {
        (Some(fault), Some(None)) => Some(Err(breaks_answer(fault))),
        _ if with.query_lost_at.is_some() => with.query_lost_at.as_deref().map(|at| Err(loses_query(at))),
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

fn loses_query(at: &str) -> Fault {
    Fault::new(
        Code::RedirectLosesQuery,
        format!("{at} without the query: who asks, with which kind of device, does not arrive there."),
    )
    .expected("A target that ends with the query of the request, or that needs none.")
    .remedy(
        "Whoever runs the web server keeps the query in the redirect: in nginx `return 307 https://…$is_args$args;`, in \
         Apache `RewriteRule` without a ? in its target, in IIS appendQueryString=\"true\", in Cloudflare “Preserve query \
         string”. Where that can't be, the target's path must name the domain, and the answer must be the same for \
         everybody.",
    )
    .passable("All: a device does not add its query to the target of a redirect. Answers that depend on user or model \
               family can't be given.")
}
