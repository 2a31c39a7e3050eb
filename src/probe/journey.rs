//! From the first answer to the last, as a device goes: each redirect as its `Location` stands, nothing added. Every
//! hop is looked up, guarded and verified like the first.
use std::net::SocketAddr;

use http::Method;

use super::{
    exchange::Answer,
    line::{self, Line, Lines},
    lost_query::Lost,
    names,
    report::{Code, Fault, Hop},
    target::{Onward, Target},
};
use crate::outbound::{Forbidden, Outbound};

const MAX_HOPS: usize = 10;
/// Of one name on the way; the first that takes a connection is asked.
const MAX_ADDRESSES: usize = 4;

/// The host that a journey starts from, whose address is known already.
#[derive(Clone)]
pub struct Home {
    pub host: String,
    /// Under which it may be named.
    pub ports: Vec<u16>,
    pub line: Line,
}

pub struct Journey {
    pub hops: Vec<Hop>,
    pub end: Result<Answer, Fault>,
    /// Where the last answer came from, if that is not the start.
    pub place: Option<String>,
    /// The redirect that did not pass the device's query on.
    pub query_lost: Option<Lost>,
}

impl Journey {
    /// What is wrong at its end, told with its place.
    pub fn told(&self, fault: Fault) -> Fault {
        match &self.place {
            Some(place) => fault.at(&format!("After a redirect to {place}")),
            None => fault,
        }
    }

    /// The same, with its cause if that is known.
    pub fn explained(&self, fault: Fault) -> Fault {
        match &self.query_lost {
            Some(lost) => lost.blamed_for(fault),
            None => fault,
        }
    }
}

/// From the start, over `home`'s own address.
pub async fn travel(lines: Lines<'_>, home: &Home, start: &Target, method: Method) -> Journey {
    let first = Box::pin(visit(lines, home, start, &method)).await;
    follow(lines, home, start, first, method).await
}

/// On from the answer to the first request.
pub async fn follow(
    lines: Lines<'_>,
    home: &Home,
    start: &Target,
    first: Result<Answer, Fault>,
    method: Method,
) -> Journey {
    let mut journey = Journey {
        hops: vec![hop(start, &first)],
        end: first,
        place: None,
        query_lost: None,
    };
    let mut visited = vec![start.clone()];
    while let Ok(answer) = &journey.end
        && answer.redirect().is_some()
    {
        let here = &visited[visited.len() - 1];
        let next = match onward(&lines.probe.outbound, here, answer, &visited) {
            Ok(next) => next,
            Err(fault) => {
                journey.end = Err(journey.told(fault));
                return journey;
            }
        };
        if journey.query_lost.is_none() && start.query().is_some() {
            journey.query_lost = Lost::between(here, &next);
        }
        let answer = Box::pin(visit(lines, home, &next, &method)).await;
        // What our own impatience ended is no fault of this hop alone.
        let answer = answer.map_err(|fault| if lines.has_time() { fault } else { out_of_time() });
        journey.hops.push(hop(&next, &answer));
        journey.place = Some(next.place());
        journey.end = answer.map_err(|fault| journey.told(fault));
        visited.push(next);
    }
    journey
}

fn hop(target: &Target, answer: &Result<Answer, Fault>) -> Hop {
    let answer = answer.as_ref().ok();
    Hop {
        url: super::text::plain(&target.url(), 2048),
        status: answer.map(|answer| answer.status.as_u16()),
        location: answer.and_then(|answer| answer.header("location")),
    }
}

/// The next address, if a device would go there.
fn onward(guard: &Outbound, here: &Target, answer: &Answer, visited: &[Target]) -> Result<Target, Fault> {
    let location = answer.redirect().flatten().ok_or_else(|| {
        Fault::new(
            Code::RedirectWithoutTarget,
            format!(
                "{} without a Location: where to, the answer does not say.",
                answer.status_line()
            ),
        )
        .expected("A Location with an https address.")
        .remedy("Whoever runs the web server names the target of the redirect.")
    })?;
    let shown = answer.header("location").unwrap_or_default();
    let place = here.place();
    match here.onward(location) {
        Onward::To(next) if visited.contains(&next) => Err(redirect_loop(&next, answer)),
        Onward::To(_) if visited.len() > MAX_HOPS => Err(Fault::new(
            Code::TooManyRedirects,
            format!("After {MAX_HOPS} redirects there is another one, to {shown}."),
        )
        .expected("The document after one redirect, or none.")
        .remedy("Whoever runs the web server redirects straight to where the document is.")),
        Onward::To(next) => Ok(next),
        // Where it leads weighs more than how.
        Onward::PlainHttp(url, Some(address)) if guard.permits(address).is_err() => {
            let why = guard.permits(address).err();
            Err(forbidden(&format!("{place} redirects to {url}, without TLS"), why.as_slice()))
        }
        Onward::PlainHttp(url, _) => Err(Fault::new(
            Code::RedirectToHttp,
            format!("{place} redirects to {url}, without TLS. A device does not follow there."),
        )
        .expected("A redirect to an https address.")
        .remedy(
            "Whoever runs the web server redirects to the https form of the address. Behind a proxy or load balancer the \
             application often does not know that it was asked by https: it must trust X-Forwarded-Proto, or be told its \
             own address.",
        )),
        Onward::Foreign(url) => Err(Fault::new(
            Code::RedirectForbidden,
            format!("{place} redirects to {url}, which is no web address."),
        )
        .expected("A redirect to an https address.")
        .remedy("Whoever runs the web server redirects to an https address.")),
        Onward::Unreadable => Err(Fault::new(
            Code::RedirectWithoutTarget,
            format!("{place} redirects to “{shown}”, which can't be read as an address."),
        )
        .expected("A Location with an https address.")
        .remedy("Whoever runs the web server corrects the target of the redirect.")),
    }
}

fn redirect_loop(next: &Target, answer: &Answer) -> Fault {
    let cookie = match answer.headers.contains_key("set-cookie") {
        true => " It sets a cookie on the way: a client that keeps it may get further, but a device is not known to.",
        false => "",
    };
    Fault::new(
        Code::RedirectLoop,
        format!("The redirects lead in a circle: {} comes again.{cookie}", next.place()),
    )
    .expected("The document after one redirect, or none.")
    .remedy(
        "Whoever runs the web server finds the two rules that send to each other: most often one from www to the bare \
         domain and one back, or one to https in an application behind a proxy that speaks http with it.",
    )
}

async fn visit(lines: Lines<'_>, home: &Home, target: &Target, method: &Method) -> Result<Answer, Fault> {
    let name = target.name();
    if name == home.host && home.ports.contains(&target.port) {
        let stream = lines
            .connect(&home.line)
            .await
            .map_err(|why| line::unconnected(&[(home.line.address, why)]))?;
        let secured = lines.secure(&home.line, stream, &name).await?;
        return lines.ask(secured.stream, target, method.clone()).await;
    }
    let mut tried = Vec::new();
    for address in Box::pin(addresses(lines, target, &name)).await? {
        let line = Line {
            address,
            guard: lines.probe.outbound.clone(),
        };
        match lines.connect(&line).await {
            Ok(stream) => {
                let secured = lines.secure(&line, stream, &name).await?;
                return lines.ask(secured.stream, target, method.clone()).await;
            }
            Err(why) => tried.push((address, why)),
        }
    }
    Err(line::unconnected(&tried))
}

/// Those that may be asked.
async fn addresses(lines: Lines<'_>, target: &Target, name: &str) -> Result<Vec<SocketAddr>, Fault> {
    let guard = &lines.probe.outbound;
    let all = match (target.address(), lines.probe.dns.addresses(name)) {
        (Some(ip), _) => vec![SocketAddr::new(ip, target.port)],
        (None, lookup) => {
            guard
                .permits_name(name)
                .map_err(|why| forbidden("The redirect's target is not followed", &[why]))?;
            let found = lookup.await;
            names::at_least_one(name, &found, target.port)?
        }
    };
    let not_permitted: Vec<_> = all.iter().filter_map(|address| guard.permits(*address).err()).collect();
    if not_permitted.len() == all.len() {
        return Err(forbidden("The redirect's target is not followed", &not_permitted));
    }
    let permitted = all.into_iter().filter(|address| guard.permits(*address).is_ok());
    Ok(permitted.take(MAX_ADDRESSES).collect())
}

fn out_of_time() -> Fault {
    Fault::new(
        Code::ResponseTooSlow,
        "The way here took so long that the probe ended: each answer before came slowly.",
    )
    .expected("The document within a few seconds.")
    .remedy("Whoever runs the web servers on the way finds out what holds their answers up, and redirects less.")
}

fn forbidden(what: &str, why: &[Forbidden]) -> Fault {
    Fault::new(
        Code::RedirectForbidden,
        match why.first() {
            Some(why) => format!("{what}: {why}."),
            None => format!("{what}."),
        },
    )
    .expected("A target on the internet, on port 443.")
    .remedy("Whoever runs the web server redirects to a public address, on port 443.")
}
