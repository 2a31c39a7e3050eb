//! What every page has: the frame around it, and the headers it goes out with.
use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};

use super::browser::Browser;
use crate::accounts::{Member, Permission};

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Where in the console a page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Overview,
    Clients,
    Domains,
    Requests,
    Settings,
    Operator,
    /// In none of them.
    Elsewhere,
}

/// What stands around a page.
pub struct Frame {
    pub section: Section,
    /// Who is signed in; none: nobody.
    pub member: Option<Member>,
    /// For every form.
    pub csrf: String,
    /// What has just been done.
    pub notice: Option<&'static str>,
}

impl Frame {
    /// For a page without forms, and without knowing who looks at it.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            section: Section::Elsewhere,
            member: None,
            csrf: String::new(),
            notice: None,
        }
    }

    #[must_use]
    pub fn visitor(browser: &Browser) -> Self {
        Self {
            csrf: browser.csrf(),
            ..Self::anonymous()
        }
    }

    #[must_use]
    pub fn member(request: &HttpRequest, member: &Member, section: Section) -> Self {
        Self {
            section,
            member: Some(member.clone()),
            csrf: Browser::of(request).csrf(),
            notice: None,
        }
    }

    #[must_use]
    pub fn with_notice(self, notice: Option<&'static str>) -> Self {
        Self { notice, ..self }
    }

    /// Whether whoever looks at it may change settings of the organisation.
    #[must_use]
    pub fn administers(&self) -> bool {
        let permissions = self.member.as_ref().map(|member| member.role.permissions());
        permissions.is_some_and(|permissions| permissions.contains(&Permission::OrganisationAdmin))
    }

    /// Nobody knows who looks at it: it must not say that they are signed out.
    #[must_use]
    pub fn is_of_nobody(&self) -> bool {
        self.member.is_none() && self.csrf.is_empty()
    }

    /// For the link of a section.
    #[must_use]
    pub fn is_in(&self, section: &str) -> bool {
        let own = match self.section {
            Section::Overview => "overview",
            Section::Clients => "clients",
            Section::Domains => "domains",
            Section::Requests => "requests",
            Section::Settings => "settings",
            Section::Operator => "operator",
            Section::Elsewhere => "",
        };
        own == section
    }
}

/// The page as an answer.
pub fn answer(status: StatusCode, page: &impl Template) -> HttpResponse {
    match page.render() {
        Ok(html) => html_answer(status, html),
        Err(error) => {
            tracing::error!(%error, "a page can't be drawn");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// The same with 200.
pub fn show(page: &impl Template) -> HttpResponse {
    answer(StatusCode::OK, page)
}

/// The same for a form that is refused.
pub fn refuse(page: &impl Template) -> HttpResponse {
    answer(StatusCode::UNPROCESSABLE_ENTITY, page)
}

fn html_answer(status: StatusCode, html: String) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::CACHE_CONTROL, "no-store"),
        // Our own forms are to say where they come from.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response.insert_header((name, HeaderValue::from_static(value)));
    }
    response.content_type("text/html; charset=utf-8").body(html)
}

/// What a script of ours asked for.
#[must_use]
pub fn json(text: String) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("application/json")
        .body(text)
}

/// 303: the browser is to look there now.
#[must_use]
pub fn go_to(path: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, path))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

/// What stands behind `?done=`.
#[must_use]
pub fn done(request: &HttpRequest) -> Option<String> {
    query(request, "done")
}

/// The first value of a query parameter.
#[must_use]
pub fn query(request: &HttpRequest, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// "23 Nov 2026, 14:02 UTC".
#[must_use]
pub fn moment(at: &DateTime<Utc>) -> String {
    at.format("%-d %b %Y, %H:%M UTC").to_string()
}

/// "23 Nov 2026".
#[must_use]
pub fn day(at: &DateTime<Utc>) -> String {
    at.format("%-d %b %Y").to_string()
}

/// "2 days", "3 hours".
#[must_use]
pub fn age(time: TimeDelta) -> String {
    let (count, unit) = match time {
        time if time.num_days() > 0 => (time.num_days(), "day"),
        time if time.num_hours() > 0 => (time.num_hours(), "hour"),
        time => (time.num_minutes().max(1), "minute"),
    };
    match count {
        1 => format!("1 {unit}"),
        count => format!("{count} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_largest_unit() {
        for (seconds, text) in [
            (-5, "1 minute"),
            (0, "1 minute"),
            (3_599, "59 minutes"),
            (3_600, "1 hour"),
            (86_399, "23 hours"),
            (9 * 86_400, "9 days"),
        ] {
            assert_eq!(age(TimeDelta::seconds(seconds)), text);
        }
    }
}
