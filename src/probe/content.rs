//! Whether an answer says that it is JSON, and what it is if not. Pure.
use super::{
    document,
    exchange::Answer,
    report::{Code, Fault},
    text::quoted,
};

const EXPECTED: &str = "Content-Type: application/json";

/// Every wrong type has the same cure.
const REMEDY: &str = "Whoever runs the web server sets the content type of this path: in nginx \
    `location = /.well-known/com.apple.remotemanagement { default_type application/json; }`, in Apache \
    `<Files \"com.apple.remotemanagement\"> ForceType application/json </Files>`, in IIS a `mimeMap` for \
    fileExtension=\".remotemanagement\" with mimeType=\"application/json\" in web.config.";

pub fn fault(answer: &Answer) -> Option<Fault> {
    let values: Vec<_> = answer.headers.get_all("content-type").iter().collect();
    let shown = match values.as_slice() {
        [] => return Some(missing(answer)),
        [value] => quoted(&String::from_utf8_lossy(value.as_bytes())),
        several => {
            let each = several.iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
            quoted(&each.collect::<Vec<_>>().join(", "))
        }
    };
    // As a client that joins them reads them.
    if let [first, others @ ..] = values.as_slice()
        && !others.is_empty()
        && values.iter().all(|value| value == first)
        && essence(&String::from_utf8_lossy(first.as_bytes())) == "application/json"
    {
        return Some(doubled());
    }
    let essence = essence(&shown);
    if shown.trim().is_empty() {
        return Some(missing(answer));
    }
    match essence.as_str() {
        "application/json" => None,
        "application/octet-stream" => Some(
            Fault::new(
                Code::OctetStream,
                format!("Content-Type: {shown}: the server does not know what a file without an ending is."),
            )
            .expected(EXPECTED)
            .remedy(REMEDY),
        ),
        "text/html" | "application/xhtml+xml" => Some(html(answer, &shown)),
        _ => Some(
            Fault::new(Code::WrongContentType, format!("Content-Type: {shown}."))
                .expected(EXPECTED)
                .remedy(REMEDY),
        ),
    }
}

/// Without its parameters, such as a charset.
fn essence(value: &str) -> String {
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn doubled() -> Fault {
    Fault::new(
        Code::Undetermined,
        "The Content-Type application/json stands there twice.",
    )
    .expected("Content-Type: application/json, once.")
    .remedy("Whoever runs the web server sets the header in one place only: a script and the server both do.")
    .passable("Those that join the two and then do not know the type. Which do is not known.")
}

fn missing(answer: &Answer) -> Fault {
    let what = match is_json(answer) {
        true => "The answer has no Content-Type, though its body is JSON.",
        false => "The answer has no Content-Type.",
    };
    let what = match answer.headers.contains_key("content-type") {
        true => format!("{what} The header is there, with nothing in it."),
        false => what.to_owned(),
    };
    Fault::new(Code::ContentTypeMissing, what)
        .expected(EXPECTED)
        .remedy(REMEDY)
}

fn html(answer: &Answer, shown: &str) -> Fault {
    if is_json(answer) {
        return Fault::new(
            Code::WrongContentType,
            format!("Content-Type: {shown}, though the body is JSON."),
        )
        .expected(EXPECTED)
        .remedy(format!(
            "{REMEDY} In PHP `header('Content-Type: application/json');` before the body."
        ));
    }
    if answer.body.trim_ascii().is_empty() {
        return document::empty(&format!(
            "Content-Type: {shown}, but there is no page: the body is empty."
        ));
    }
    match onward(answer) {
        Some(how) => Fault::new(
            Code::HtmlRedirect,
            format!("The answer is a web page that sends a browser on {how}. A device follows no page."),
        )
        .expected("The document, or a redirect by status (301, 302, 307 or 308) with a Location.")
        .remedy(
            "Whoever runs the website redirects this path on the server: in nginx \
             `return 307 https://…$is_args$args;`, in Apache `Redirect 307`, or by a rule of the hosting panel or CDN.",
        ),
        None => Fault::new(
            Code::HtmlPage,
            format!("The answer is a web page{}, not the document.", title(answer)),
        )
        .expected(EXPECTED)
        .remedy(
            "Whoever runs the website makes an exception for /.well-known/com.apple.remotemanagement: it now gets the \
             page that every unknown path gets. Place the document there, or redirect this path.",
        ),
    }
}

fn is_json(answer: &Answer) -> bool {
    let body = answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.body);
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// How a page sends a browser on, and where to.
fn onward(answer: &Answer) -> Option<String> {
    let page = String::from_utf8_lossy(&answer.body);
    let lower = page.to_ascii_lowercase();
    refresh(&page, &lower).or_else(|| script(answer, &page, &lower))
}

/// `<meta http-equiv="refresh" content="0; url=…">`
fn refresh(page: &str, lower: &str) -> Option<String> {
    lower.match_indices("<meta").find_map(|(start, _)| {
        let end = start + lower.get(start..)?.find('>')?;
        let (tag, lower) = (page.get(start..end)?, lower.get(start..end)?);
        if !lower.contains("http-equiv") || !lower.contains("refresh") {
            return None;
        }
        let target = tag.get(lower.find("url=")? + 4..)?;
        let target = target.trim_matches(['"', '\'', ' ', '/']).trim_end_matches(['"', '\'']);
        Some(format!("by a meta refresh to {}", quoted(target)))
    })
}

/// A whole website has scripts that change `location` when something is clicked; a page that does nothing else is
/// short.
fn script(answer: &Answer, page: &str, lower: &str) -> Option<String> {
    const SHORT: usize = 4 * 1024;
    const MARKS: [&str; 5] = [
        "location.href",
        "location.replace(",
        "location.assign(",
        "window.location",
        "document.location",
    ];
    if answer.body.len() > SHORT || !lower.contains("<script") {
        return None;
    }
    let start = MARKS.iter().filter_map(|mark| lower.find(mark)).min()?;
    let after = page.get(start..)?;
    let target = after.split(['"', '\'']).nth(1).filter(|target| target.contains('/'))?;
    Some(format!("by a script to {}", quoted(target)))
}

fn title(answer: &Answer) -> String {
    let page = String::from_utf8_lossy(&answer.body);
    let lower = page.to_ascii_lowercase();
    let title = || {
        let start = lower.find("<title>")? + "<title>".len();
        let end = start + lower.get(start..)?.find("</title>")?;
        page.get(start..end)
    };
    title()
        .map(|title| format!(" (“{}”)", quoted(title)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::exchange::End;
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    fn answer(types: &[&'static str], body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        for value in types {
            headers.append(HeaderName::from_static("content-type"), HeaderValue::from_static(value));
        }
        Answer {
            status: StatusCode::OK,
            headers,
            body: body.into(),
            end: End::Whole,
        }
    }

    #[test]
    fn exactly_application_json_is_well_whatever_its_case_and_parameters() {
        for value in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            " application/json ;",
        ] {
            assert_eq!(fault(&answer(&[value], "{}")), None, "{value}");
        }
    }

    #[test]
    fn another_type_is_named_by_what_it_is() {
        let meta = r#"<html><head><META content='0; URL=https://www.contoso.com/' HTTP-EQUIV="Refresh"></head>"#;
        let script = r#"<script>window.location.href = "https://www.contoso.com/x";</script>"#;
        let website = format!("<title>Contoso</title><script>{}</script>{script}", "x".repeat(5000));
        for (types, body, code, said) in [
            (&[][..], "", Code::ContentTypeMissing, "no Content-Type."),
            (&[], " {}", Code::ContentTypeMissing, "its body is JSON"),
            (
                &["application/octet-stream"],
                "{}",
                Code::OctetStream,
                "without an ending",
            ),
            (
                &["text/plain; charset=utf-8"],
                "{}",
                Code::WrongContentType,
                "text/plain",
            ),
            (&["application/jsonp"], "{}", Code::WrongContentType, "jsonp"),
            (&["application/problem+json"], "{}", Code::WrongContentType, "problem"),
            (
                &["application/json", "text/html"],
                "{}",
                Code::WrongContentType,
                "application/json, text/html",
            ),
            (
                &["application/json", "application/json"],
                "{}",
                Code::Undetermined,
                "twice",
            ),
            (
                &["application/json, application/json"],
                "{}",
                Code::WrongContentType,
                "application/json, application/json",
            ),
            (
                &["text/html"],
                "\u{feff} {}",
                Code::WrongContentType,
                "though the body is JSON",
            ),
            (
                &["text/html"],
                "<title>Contoso\u{1b}[2J</title>",
                Code::HtmlPage,
                "“Contoso [2J”",
            ),
            (&["TEXT/HTML; charset=utf-8"], "x", Code::HtmlPage, "web page,"),
            (&["text/html"], " \n", Code::BodyEmpty, "no page: the body is empty"),
            (&[""], "{}", Code::ContentTypeMissing, "with nothing in it"),
            (&[" "], "x", Code::ContentTypeMissing, "with nothing in it"),
            (
                &["text/html"],
                meta,
                Code::HtmlRedirect,
                "meta refresh to https://www.contoso.com",
            ),
            (
                &["text/html"],
                script,
                Code::HtmlRedirect,
                "script to https://www.contoso.com/x",
            ),
            (&["text/html"], &website, Code::HtmlPage, "“Contoso”"),
            (
                &["text/html"],
                "<script>if(location.href)x('y')</script>",
                Code::HtmlPage,
                "web page",
            ),
            (&["application/xhtml+xml"], "<html/>", Code::HtmlPage, "web page"),
        ] {
            let fault = fault(&answer(types, body)).unwrap();
            assert!(
                fault.code == code && fault.detail.contains(said),
                "{types:?} {body}: {fault:?}"
            );
        }
    }
}
