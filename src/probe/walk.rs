//! The walk of a device through discovery, one step after the other, each told as soon as it is known. What is seen
//! is gathered here; what it means is decided by the modules for each step.
use std::{cmp::Reverse, net::SocketAddr};

use futures_util::future::join_all;
use http::Method;
use tokio::net::TcpStream;

use super::{
    Request, answered,
    compare::{self, Said},
    journey::{Home, Journey, follow, travel},
    line::{self, Line, Lines, Secured, Unconnected},
    lost_query, names, refused,
    report::{Code, End, Fault, Stage},
    target::{Target, device_query},
    telling::Telling,
};
use crate::outbound::Outbound;

/// What was found out at the address that is looked at closely.
struct Best {
    line: Line,
    /// Of the connection, where it was secured.
    secured: Option<String>,
    is_tls12: bool,
    said: Said,
}

pub async fn walk(lines: Lines<'_>, request: &Request, telling: &mut Telling<'_>) {
    let query = device_query(&request.user(), &request.model_family());
    let target = Target::device(&request.hostname, request.https_port, Some(&query));
    telling.report.url = target.url();
    let ways = ways(lines, request, telling).await;
    if ways.is_empty() {
        return;
    }
    let Some(best) = answers(lines, &ways, &target, telling).await else {
        return;
    };
    let home = home(request, best.line.clone());
    if !tell_tls(lines, &best, &home, telling).await {
        return;
    }
    let first = match best.said {
        Said::Answered(answer) => Ok(answer),
        other => Err(other.fault().unwrap_or_else(nothing_known)),
    };
    let mut journey = follow(lines, &home, &target, first, Method::GET).await;
    lost_query::blame(lines, &home, &mut journey).await;
    telling.report.hops.clone_from(&journey.hops);
    telling.report.end = journey.end.as_ref().ok().map(|answer| End {
        status: answer.status.as_u16(),
        body: answer.body.clone(),
    });
    answered::tell(lines, &journey, telling).await;
    if !request.is_brief {
        tell_comparisons(lines, &home, &target, &journey, telling).await;
    }
}

/// The addresses to try: the one that was named, or those in DNS.
async fn ways(lines: Lines<'_>, request: &Request, telling: &mut Telling<'_>) -> Vec<Line> {
    if let Some(address) = request.connect {
        let guard = Outbound::new(vec![address.ip().into()], vec![]);
        return vec![Line { address, guard }];
    }
    let guard = &lines.probe.outbound;
    let found = lines.probe.dns.addresses(&request.hostname).await;
    let found = names::judge(
        &request.hostname,
        &found,
        request.https_port,
        guard,
        request.ours.as_ref(),
    );
    match found.fault {
        None => telling.fine(Stage::Dns, left_out(&found)),
        Some(fault) => telling.wrong(Stage::Dns, fault),
    }
    let line = |address| Line {
        address,
        guard: guard.clone(),
    };
    found.addresses.into_iter().map(line).collect()
}

fn left_out(found: &names::Found) -> String {
    match found.left_out {
        0 => found.detail.clone(),
        _ => format!("{} Only {} of them are tried.", found.detail, found.addresses.len()),
    }
}

/// Asks every address, and tells whether they answer alike. `None` if none takes a connection.
async fn answers(lines: Lines<'_>, ways: &[Line], target: &Target, telling: &mut Telling<'_>) -> Option<Best> {
    let connected = join_all(ways.iter().map(|line| lines.connect(line))).await;
    if connected.iter().all(Result::is_err) {
        let failed = connected.into_iter().filter_map(Result::err);
        let tried: Vec<_> = ways.iter().map(|line| line.address).zip(failed).collect();
        telling.wrong(Stage::Connect, line::unconnected(&tried));
        return None;
    }
    if let [line] = ways {
        telling.fine(Stage::Connect, format!("Connected to {}.", line.address));
    }
    let asked = ways
        .iter()
        .zip(connected)
        .map(|(line, stream)| ask_one(lines, line, stream, target));
    let mut all = join_all(asked).await;
    all.sort_by_key(|one| Reverse(one.said.rank()));
    if let [_, _, ..] = ways {
        let told = compare_addresses(lines, &mut all, target).await;
        telling.result(Stage::Connect, told);
    }
    all.into_iter().next()
}

async fn ask_one(lines: Lines<'_>, line: &Line, stream: Result<TcpStream, Unconnected>, target: &Target) -> Best {
    let best = |said| Best {
        line: line.clone(),
        secured: None,
        is_tls12: false,
        said,
    };
    let stream = match stream {
        Ok(stream) => stream,
        Err(why) => return best(Said::unconnected(line.address, why)),
    };
    let Secured {
        stream,
        is_tls12,
        detail,
    } = match lines.secure(line, stream, &target.name()).await {
        Ok(secured) => secured,
        Err(fault) => return best(Said::Untrusted(fault)),
    };
    let said = match lines.ask(stream, target, Method::GET).await {
        Ok(answer) => Said::Answered(answer),
        Err(fault) => Said::NoAnswer(fault),
    };
    Best {
        secured: Some(detail),
        is_tls12,
        ..best(said)
    }
}

/// The best comes first. Another one that redirects elsewhere is followed, for it may end as well.
async fn compare_addresses(lines: Lines<'_>, all: &mut [Best], target: &Target) -> Result<String, Fault> {
    let Some((best, others)) = all.split_first_mut() else {
        return Ok(String::new());
    };
    let of_best = location(&best.said);
    let others = others.iter_mut().map(async |other| {
        let said = std::mem::replace(&mut other.said, Said::NoWayFromHere);
        let said = match said {
            Said::Answered(answer) if answer.redirect().is_some() && answer.header("location") != of_best => {
                let home = Home {
                    host: target.name(),
                    ports: vec![target.port],
                    line: other.line.clone(),
                };
                Said::Elsewhere(follow(lines, &home, target, Ok(answer), Method::GET).await.end)
            }
            said => said,
        };
        (other.line.address, said)
    });
    let others = join_all(others).await;
    compare::addresses((&best.line.address, &best.said), &others)
}

fn location(said: &Said) -> Option<String> {
    match said {
        Said::Answered(answer) if answer.redirect().is_some() => answer.header("location"),
        _ => None,
    }
}

fn home(request: &Request, line: Line) -> Home {
    let mut ports = vec![request.https_port];
    ports.extend(request.connect.map(|address: SocketAddr| address.port()));
    Home {
        host: request.hostname.clone(),
        ports,
        line,
    }
}

/// Whether there is a secure connection to ask over.
async fn tell_tls(lines: Lines<'_>, best: &Best, home: &Home, telling: &mut Telling<'_>) -> bool {
    let Some(detail) = &best.secured else {
        telling.wrong(Stage::Tls, best.said.fault().unwrap_or_else(nothing_known));
        return false;
    };
    let master_secret = match best.is_tls12 {
        true => lines.has_extended_master_secret(&home.line, &home.host).await,
        false => Some(true),
    };
    match master_secret {
        Some(true) => telling.fine(Stage::Tls, detail),
        Some(false) => telling.wrong(Stage::Tls, refused::no_extended_master_secret().adding(detail)),
        None => telling.fine(
            Stage::Tls,
            format!("{detail} Whether it knows the Extended Master Secret could not be seen."),
        ),
    }
    true
}

fn nothing_known() -> Fault {
    Fault::new(Code::Undetermined, "There was no answer, and why can't be told.")
}

/// HEAD, and the request without a query.
async fn tell_comparisons(
    lines: Lines<'_>,
    home: &Home,
    target: &Target,
    with_query: &Journey,
    telling: &mut Telling<'_>,
) {
    let is_answered = telling
        .report
        .steps
        .iter()
        .any(|step| step.step == Stage::Http && step.ok);
    let bare = Target {
        path_and_query: target.path_and_query.split('?').next().unwrap_or_default().to_owned(),
        ..target.clone()
    };
    let ask_head = async {
        match lines.has_time() && is_answered {
            true => Some(travel(lines, home, target, Method::HEAD).await),
            false => None,
        }
    };
    let ask_bare = async {
        match lines.has_time() {
            true => Some(travel(lines, home, &bare, Method::GET).await),
            false => None,
        }
    };
    let (head, without) = tokio::join!(ask_head, ask_bare);
    // An answer that our own impatience ended tells nothing.
    let (head, without) = match lines.has_time() {
        true => (head, without),
        false => (None, None),
    };
    if let (Some(head), Ok(get)) = (&head, &with_query.end) {
        telling.result(Stage::Head, compare::head(get, head));
    }
    if let Some(told) = compare::query(with_query, without.as_ref()) {
        telling.result(Stage::Query, told);
    }
}
