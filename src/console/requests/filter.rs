//! Which requests a page shows: from its address, and back into one.
use actix_web::HttpRequest;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use uuid::Uuid;

use crate::{
    console::form::Form,
    discovery::{hit::Outcome, query::Asked},
    hostname::Hostname,
    request_log::Filter,
};

/// What the form has, in its order.
const FIELDS: [&str; 6] = ["domain", "client", "family", "outcome", "since", "until"];

/// The filter's fields as they were typed, or followed as a link.
#[must_use]
pub fn read(request: &HttpRequest) -> Form {
    let typed: Vec<_> = url::form_urlencoded::parse(request.query_string().as_bytes())
        .filter(|(name, _)| FIELDS.contains(&name.as_ref()))
        .map(|(name, value)| (name.into_owned(), value.trim().to_owned()))
        .collect();
    let fields: Vec<_> = typed
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Form::of(&fields)
}

/// What is wrong is said in the form; `None` then.
pub fn parse(form: &mut Form) -> Option<Filter> {
    let filter = Filter {
        hostname: optional(form, "domain", |text| {
            Hostname::parse(text).map(|name| name.to_string())
        }),
        domain_id: None,
        client_id: optional(form, "client", |text| {
            text.parse::<Uuid>().map_err(|_| "is none of yours")
        }),
        model_family: optional(form, "family", |text| one_of(text, &Asked::ALL.map(Asked::as_str))),
        outcome: optional(form, "outcome", |text| one_of(text, &Outcome::ALL.map(Outcome::as_str))),
        since: optional(form, "since", moment),
        until: optional(form, "until", moment),
    };
    if let (Some(since), Some(until)) = (filter.since, filter.until)
        && since >= until
    {
        form.complain("until", "must be later than the other time");
    }
    form.is_fine().then_some(filter)
}

fn optional<T, E: ToString>(form: &mut Form, name: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
    match form.value(name).is_empty() {
        true => None,
        false => form.parse(name, parse),
    }
}

fn one_of(text: &str, known: &[&str]) -> Result<String, &'static str> {
    match known.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err("is none that we know"),
    }
}

/// As a browser's field sends it, a day alone, or RFC 3339. In UTC.
pub fn moment(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let local = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let day = || {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()
            .map(|day| day.and_time(NaiveTime::MIN))
    };
    let parsed = match local.or_else(day) {
        Some(naive) => Some(naive.and_utc()),
        None => DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc)),
    };
    let is_sensible = |at: &DateTime<Utc>| (2000..2200).contains(&chrono::Datelike::year(at));
    parsed.filter(is_sensible).ok_or("must be a time like 2026-11-20T14:30")
}

/// The filter as a query, with `more` behind it.
#[must_use]
pub fn query(form: &Form, more: &[(&str, &str)]) -> String {
    let own = FIELDS.iter().map(|name| (*name, form.value(name)));
    let pairs = own.filter(|(_, value)| !value.is_empty()).chain(more.iter().copied());
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_from_its_fields_and_each_mistake_is_told_at_its_own() {
        let mut form = Form::of(&[
            ("domain", "Contoso.COM."),
            ("family", "iPad"),
            ("outcome", ""),
            ("since", "2026-11-20T10:00"),
            ("until", "2026-11-21"),
        ]);
        let filter = parse(&mut form).expect("a filter");
        assert_eq!(filter.hostname.as_deref(), Some("contoso.com"));
        assert_eq!(
            (filter.model_family.as_deref(), filter.outcome.as_deref()),
            (Some("iPad"), None)
        );
        assert_eq!(
            filter.since.map(|at| at.to_rfc3339()).as_deref(),
            Some("2026-11-20T10:00:00+00:00")
        );
        for (name, value) in [
            ("domain", "no name"),
            ("client", "x"),
            ("family", "ipad"),
            ("outcome", "'"),
            ("since", "yesterday"),
            ("until", "+262142-01-01T00:00:00Z"),
        ] {
            let mut form = Form::of(&[(name, value)]);
            assert!(parse(&mut form).is_none() && form.error(name).is_some(), "{name}");
        }
        let mut form = Form::of(&[("since", "2026-11-21"), ("until", "2026-11-20")]);
        assert!(parse(&mut form).is_none() && form.error("until").is_some());
    }

    #[test]
    fn a_link_keeps_the_filter() {
        let form = Form::of(&[("family", "iPad"), ("domain", "a&b"), ("until", "")]);
        assert_eq!(query(&form, &[("before", "x")]), "domain=a%26b&family=iPad&before=x");
    }
}
