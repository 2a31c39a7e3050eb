//! Our own fetch of a domain's public address, as a device, and whether it ended at our answer.
use url::Url;

use crate::{
    clock::DatabaseTime,
    domains::{
        Domain,
        connection::{Expected, Fetched, Finding, edge_path},
    },
    hostname::Hostname,
    own_checks::OwnChecks,
    probe::{End, Hop, Probe, Report, Request},
};

/// What we answer when we are asked, from memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurAnswer {
    pub status: u16,
    pub body: Vec<u8>,
    /// Of a redirect, without the query.
    pub location: Option<String>,
}

/// Asks the node's own memory what a look is answered; none if it is not answered at all.
pub type Ask = Box<dyn Fn(&Hostname) -> Option<OurAnswer> + Send + Sync>;

pub struct Fetch {
    pub probe: Probe,
    /// The one that devices ask.
    pub https_port: u16,
    pub ask_ourselves: Ask,
    /// Our own nodes recognise the request by it.
    pub own_checks: OwnChecks,
}

impl Fetch {
    pub async fn fetch(
        &self,
        domain: &Domain,
        hostname: &Hostname,
        (expected, now): (&Expected, DatabaseTime),
    ) -> Fetched {
        let now = now.get();
        let request = Request {
            hostname: hostname.to_string(),
            user: None,
            model_family: None,
            connect: None,
            https_port: self.https_port,
            ours: None,
            own_check: self.own_checks.sign(hostname.as_str(), now.timestamp()),
            is_brief: true,
        };
        let report = Box::pin(self.probe.run(&request, now, &mut |_| {})).await;
        let ours = (self.ask_ourselves)(hostname);
        judge(&report, &domain.hostname, expected, ours.as_ref())
    }
}

fn judge(report: &Report, hostname: &str, expected: &Expected, ours: Option<&OurAnswer>) -> Fetched {
    let is_ours = |ours: &OurAnswer| {
        report.end.as_ref().is_some_and(|end| is_answer(end, ours))
            || report.hops.iter().any(|hop| is_redirect(hop, ours))
    };
    if report.hops.iter().any(|hop| is_edge(hop, hostname, expected)) || ours.is_some_and(is_ours) {
        return Fetched::Ours;
    }
    let stop = report.steps.iter().find(|step| step.stops_devices);
    match stop {
        Some(step) => Fetched::Failed(Finding {
            step: name_of(&step.step),
            code: step.code.as_ref().map(name_of).unwrap_or_default(),
            detail: step.detail.clone(),
            remedy: step.remedy.clone().unwrap_or_default(),
        }),
        None => Fetched::Elsewhere(
            report
                .steps
                .iter()
                .rev()
                .find(|step| step.step == crate::probe::Stage::Document)
                .map(|step| step.detail.clone())
                .unwrap_or_default(),
        ),
    }
}

/// The customer's server led to the domain's own path at the edge host, and there was an answer.
fn is_edge(hop: &Hop, hostname: &str, expected: &Expected) -> bool {
    let path = edge_path(hostname);
    let url = Url::parse(&hop.url).ok();
    hop.status.is_some()
        && url.is_some_and(|url| url.host_str() == Some(expected.edge_host.as_str()) && url.path() == path)
}

fn is_answer(end: &End, ours: &OurAnswer) -> bool {
    ours.location.is_none() && end.status == ours.status && end.body == ours.body
}

fn is_redirect(hop: &Hop, ours: &OurAnswer) -> bool {
    match (&hop.location, &ours.location) {
        (Some(seen), Some(own)) => hop.status == Some(ours.status) && seen.starts_with(own.as_str()),
        _ => false,
    }
}

/// As programs know it.
fn name_of(code: &impl serde::Serialize) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        Expected {
            addresses: Vec::new(),
            edge_host: "edge.signpost.example".into(),
            edge_port: 443,
            authority: None,
            validation_method: "http-01",
            account_url: None,
            issuer: "internal".into(),
        }
    }

    fn report(hops: &[(&str, Option<u16>, Option<&str>)], end: Option<(u16, &str)>) -> Report {
        let hop = |(url, status, location): &(&str, Option<u16>, Option<&str>)| Hop {
            url: (*url).to_owned(),
            status: *status,
            location: location.map(str::to_owned),
        };
        Report {
            ok: false,
            hostname: "contoso.com".into(),
            url: String::new(),
            steps: Vec::new(),
            hops: hops.iter().map(hop).collect(),
            fallback: None,
            end: end.map(|(status, body)| End {
                status,
                body: body.into(),
            }),
        }
    }

    #[test]
    fn a_fetch_ends_at_our_answer_by_its_way_or_by_what_it_got() {
        const PUBLIC: &str = "https://contoso.com/.well-known/com.apple.remotemanagement?x";
        const EDGE: &str = "https://edge.signpost.example/d/contoso.com/.well-known/com.apple.remotemanagement?x";
        let ours = |status, body: &str, location: Option<&str>| OurAnswer {
            status,
            body: body.into(),
            location: location.map(str::to_owned),
        };
        let document = ours(200, "{}", None);
        let onward = ours(307, "", Some("https://mdm.example/x"));
        for (name, report, ours, expected_ours) in [
            (
                "redirect",
                report(&[(PUBLIC, Some(307), Some(EDGE)), (EDGE, Some(200), None)], None),
                &document,
                true,
            ),
            (
                "edge away",
                report(&[(PUBLIC, Some(307), Some(EDGE)), (EDGE, None, None)], None),
                &document,
                false,
            ),
            (
                "another domain's path",
                report(
                    &[(&EDGE.replace("contoso", "fabrikam"), Some(200), None)],
                    Some((200, "{ }")),
                ),
                &document,
                false,
            ),
            (
                "another host with our path",
                report(
                    &[(&EDGE.replace("edge.", "evil."), Some(200), None)],
                    Some((200, "{ }")),
                ),
                &document,
                false,
            ),
            (
                "proxy",
                report(&[(PUBLIC, Some(200), None)], Some((200, "{}"))),
                &document,
                true,
            ),
            (
                "their own document",
                report(&[(PUBLIC, Some(200), None)], Some((200, "{\"a\":1}"))),
                &document,
                false,
            ),
            (
                "a proxied redirect of a policy",
                report(
                    &[(PUBLIC, Some(307), Some("https://mdm.example/x?x"))],
                    Some((200, "{}")),
                ),
                &onward,
                true,
            ),
        ] {
            let found = judge(&report, "contoso.com", &expected(), Some(ours));
            assert_eq!(found == Fetched::Ours, expected_ours, "{name}: {found:?}");
        }
    }
}
