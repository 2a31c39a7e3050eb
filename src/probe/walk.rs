//! The walk of a device through discovery, one step after the other, each told as soon as it is known. What is seen
//! is gathered here; what it means is decided by the modules for each step.
use std::{cmp::Reverse, net::SocketAddr};

use futures_util::future::join_all;
use http::Method;
use tokio::net::TcpStream;

use super::{
    Request, base_url,
    compare::{self, Said},
    content,
    document::{self, Document},
    exchange::Answer,
    journey::{Home, Journey, follow, travel},
    line::{self, Line, Lines, Secured, Unconnected},
    names, refused,
    report::{Code, Fault, Report, Stage, Step},
    status,
    target::{Target, device_query},
};
use crate::{dns::Failure, outbound::Outbound};

/// What is told, and to whom.
pub struct Telling<'a> {
    report: Report,
    on_step: &'a mut (dyn FnMut(&Step) + Send),
}

impl<'a> Telling<'a> {
    pub fn new(hostname: &str, on_step: &'a mut (dyn FnMut(&Step) + Send)) -> Self {
        let report = Report {
            ok: false,
            hostname: hostname.to_owned(),
            url: String::new(),
            steps: Vec::new(),
            hops: Vec::new(),
            fallback: None,
        };
        Self { report, on_step }
    }

    /// The walk did not come to its end.
    pub fn out_of_time(&mut self) {
        let stage = match self.report.steps.last().map(|step| step.step) {
            None => Stage::Dns,
            Some(Stage::Dns) => Stage::Connect,
            Some(Stage::Connect) => Stage::Tls,
            Some(Stage::Tls) => Stage::Http,
            // A device has its answer, or its failure.
            Some(_) => return,
        };
        self.wrong(
            stage,
            Fault::new(Code::ResponseTooSlow, "The probe was ended here: it took too long."),
        );
    }

    /// A device succeeds if it gets a document and nothing stops it.
    pub fn finish(mut self) -> Report {
        let has_document = self.report.steps.iter().any(|step| step.step == Stage::Document);
        let is_stopped = self.report.steps.iter().any(|step| step.stops_devices);
        self.report.ok = has_document && !is_stopped;
        self.report
    }

    fn fine(&mut self, stage: Stage, detail: impl AsRef<str>) {
        self.tell(Step::fine(stage, detail));
    }

    fn wrong(&mut self, stage: Stage, fault: Fault) {
        self.tell(Step::wrong(stage, fault));
    }

    fn tell(&mut self, step: Step) {
        (self.on_step)(&step);
        self.report.steps.push(step);
    }

    fn tell_result(&mut self, stage: Stage, result: Result<String, Fault>) {
        match result {
            Ok(detail) => self.fine(stage, detail),
            Err(fault) => self.wrong(stage, fault),
        }
    }
}

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
    let journey = follow(lines, &home, &target, first, Method::GET).await;
    telling.report.hops.clone_from(&journey.hops);
    tell_answer(lines, &journey, telling).await;
    tell_comparisons(lines, &home, &target, &journey, telling).await;
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
        telling.tell_result(Stage::Connect, told);
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

/// Status, content type and document.
async fn tell_answer(lines: Lines<'_>, journey: &Journey, telling: &mut Telling<'_>) {
    let answer = match &journey.end {
        Ok(answer) => answer,
        Err(fault) => {
            return telling.wrong(Stage::Http, fault.clone());
        }
    };
    if let Some(fault) = status::fault(answer) {
        telling.report.fallback = status::fallback(answer);
        return telling.wrong(Stage::Http, journey.told(fault));
    }
    telling.fine(Stage::Http, arrived(journey, answer));
    let wrong_type = content::fault(answer);
    let is_page = wrong_type
        .as_ref()
        .is_some_and(|fault| matches!(fault.code, Code::HtmlPage | Code::HtmlRedirect));
    match wrong_type {
        Some(fault) => telling.wrong(Stage::ContentType, journey.told(fault)),
        None => telling.fine(
            Stage::ContentType,
            format!("Content-Type: {}.", answer.header("content-type").unwrap_or_default()),
        ),
    }
    // What a web page is not needs no second word.
    if !is_page {
        tell_document(lines, answer, telling).await;
    }
}

fn arrived(journey: &Journey, answer: &Answer) -> String {
    let line = answer.status_line();
    match (journey.hops.len() - 1, &journey.place) {
        (1, Some(place)) => format!("{line}, after a redirect to {place}."),
        (count, Some(place)) => format!("{line}, after {count} redirects, the last to {place}."),
        _ => format!("{line}."),
    }
}

async fn tell_document(lines: Lines<'_>, answer: &Answer, telling: &mut Telling<'_>) {
    let document = match document::read(answer) {
        Ok(document) => document,
        Err(fault) => return telling.wrong(Stage::Document, fault),
    };
    if let Some(vendor) = document.base.other_form {
        return telling.wrong(Stage::Document, base_url::other_form(&document.base, vendor));
    }
    let told = resolves(lines, &document).await;
    telling.tell_result(Stage::Document, told.map(|more| described(&document, &more)));
}

/// Whether the host of the `BaseURL` exists.
async fn resolves(lines: Lines<'_>, document: &Document) -> Result<String, Fault> {
    let host = &document.base.host;
    let found = lines.probe.dns.addresses(host).await;
    let sockets = names::sockets(&found, 443);
    let failure = found.a.as_ref().err().max(found.aaaa.as_ref().err()).copied();
    match (sockets.as_slice(), failure) {
        ([], None | Some(Failure::NoSuchName | Failure::ServerFailure)) => Err(base_url::unresolvable(host, failure)),
        ([], Some(failure)) => Err(base_url::not_looked_up(host, failure)),
        (some, _)
            if some
                .iter()
                .all(|address| lines.probe.outbound.permits(*address).is_err()) =>
        {
            Ok(format!(
                " {host} has private addresses only: devices outside that network can't enroll."
            ))
        }
        _ => Ok(String::new()),
    }
}

fn described(document: &Document, more: &str) -> String {
    let whose = match document.base.vendor {
        crate::vendors::Vendor::Custom => String::new(),
        vendor => format!(" ({})", vendor.name()),
    };
    let remark = document
        .remark
        .as_ref()
        .map(|remark| format!(" {remark}"))
        .unwrap_or_default();
    format!(
        "One server{whose}: {} at {}.{more}{remark}",
        document.enrollment.version(),
        document.base.url
    )
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
    if let (Some(head), Ok(get)) = (&head, &with_query.end) {
        telling.tell_result(Stage::Head, compare::head(get, head));
    }
    if let Some(told) = compare::query(with_query, without.as_ref()) {
        telling.tell_result(Stage::Query, told);
    }
}
