//! What the answer at the end of the journey is: its status, its content type, its document.
use super::{
    base_url, content,
    document::{self, Document},
    exchange::Answer,
    journey::Journey,
    line::Lines,
    names,
    report::{Code, Fault, Stage},
    status,
    telling::Telling,
};
use crate::{dns::Failure, vendors::Vendor};

/// Status, content type and document.
pub async fn tell(lines: Lines<'_>, journey: &Journey, telling: &mut Telling<'_>) {
    let answer = match &journey.end {
        Ok(answer) => answer,
        Err(fault) => {
            return telling.wrong(Stage::Http, journey.explained(fault.clone()));
        }
    };
    let told = |fault| journey.explained(journey.told(fault));
    if let Some(fault) = status::fault(answer) {
        telling.report.fallback = status::fallback(answer);
        return telling.wrong(Stage::Http, told(fault));
    }
    telling.fine(Stage::Http, arrived(journey, answer));
    let wrong_type = content::fault(answer);
    let is_page = wrong_type
        .as_ref()
        .is_some_and(|fault| matches!(fault.code, Code::HtmlPage | Code::HtmlRedirect | Code::BodyEmpty));
    match wrong_type {
        Some(fault) => telling.wrong(Stage::ContentType, told(fault)),
        None => telling.fine(
            Stage::ContentType,
            format!("Content-Type: {}.", answer.header("content-type").unwrap_or_default()),
        ),
    }
    // What a web page is not needs no second word.
    if !is_page {
        tell_document(lines, journey, answer, telling).await;
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

async fn tell_document(lines: Lines<'_>, journey: &Journey, answer: &Answer, telling: &mut Telling<'_>) {
    let document = match document::read(answer) {
        Ok(document) => document,
        Err(fault) => return telling.wrong(Stage::Document, journey.explained(fault)),
    };
    if let Some(vendor) = document.base.other_form {
        return telling.wrong(Stage::Document, base_url::other_form(&document.base, vendor));
    }
    let told = resolves(lines, &document).await;
    telling.result(Stage::Document, told.map(|more| described(&document, &more)));
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
        Vendor::Custom => String::new(),
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
