//! Domains as a page lists them: searched by hostname or client, filtered by status, sorted, in pages by key.
mod store;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Domain, DomainError,
    connection::Expected,
    status::{Status, status},
    store::{Filter, Key, list as facts},
};
use crate::{accounts::Scope, hostname};
use store::{Candidate, More};

/// How a list is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Hostname,
    HostnameBackwards,
    Newest,
    Oldest,
}

impl Sort {
    pub const ALL: [Self; 4] = [Self::Hostname, Self::HostnameBackwards, Self::Newest, Self::Oldest];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hostname => "hostname",
            Self::HostnameBackwards => "-hostname",
            Self::Newest => "newest",
            Self::Oldest => "oldest",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.as_str() == text)
    }

    /// Where a page goes on after `domain`.
    fn key(self, candidate: &Candidate) -> String {
        match self {
            Self::Hostname | Self::HostnameBackwards => candidate.hostname.clone(),
            Self::Newest | Self::Oldest => candidate.domain_id.to_string(),
        }
    }

    /// Whether a page can begin after `text`.
    fn is_key(self, text: &str) -> bool {
        match self {
            Self::Hostname | Self::HostnameBackwards => !text.contains(char::is_control),
            Self::Newest | Self::Oldest => text.parse::<Uuid>().is_ok(),
        }
    }
}

/// A part of a hostname, or of a client's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub(self) hostname: String,
    pub(self) name: String,
}

impl Text {
    /// None: whatever is looked for, nothing is called so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.trim().to_lowercase();
        let is_sound = name.chars().count() <= hostname::MAX_LENGTH && !name.contains(char::is_control);
        // Hostnames are kept in their A-form: who types `bücher` means `xn--bcher-kva`.
        let hostname = match name.is_ascii() {
            true => name.clone(),
            false => hostname::any(&name).unwrap_or_else(|_| name.clone()),
        };
        is_sound.then_some(Self { hostname, name })
    }
}

/// Which domains a list shows, and how.
#[derive(Clone, Debug, Default)]
pub struct Question {
    pub client_id: Option<Uuid>,
    pub text: Option<Text>,
    pub status: Option<Status>,
    pub sort: Sort,
    /// `next` of the page before.
    pub after: Option<String>,
}

/// A domain with the name of its client.
pub struct Line {
    pub domain: Domain,
    pub client_name: String,
}

#[derive(Default)]
pub struct Page {
    pub lines: Vec<Line>,
    /// For the page after it, if there is one.
    pub next: Option<String>,
}

/// How many are looked at in one go after the first, where the columns did not tell which have the status.
const CHUNK: usize = 100;

/// The next `limit` domains that the question means.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    question: &Question,
    expected: &Expected,
    (limit, now): (usize, DateTime<Utc>),
) -> Result<Page, DomainError> {
    let is_meant = |domain: &Domain| {
        question
            .status
            .is_none_or(|wanted| status(domain, expected, now) == wanted)
    };
    let mut lines: Vec<(String, Line)> = Vec::new();
    let mut after = question.after.clone().filter(|after| question.sort.is_key(after));
    let mut fetch = limit + 1;
    loop {
        let more = More {
            issuer: &expected.issuer,
            now,
            after: after.as_deref(),
            limit: i64::try_from(fetch).unwrap_or(i64::MAX),
        };
        let candidates = store::list(&mut *db, scope, question, &more).await?;
        let is_last = candidates.len() < fetch;
        after = candidates.last().map(|candidate| question.sort.key(candidate));
        let ids: Vec<_> = candidates.iter().map(|candidate| candidate.domain_id).collect();
        let mut known = know(db, scope, ids).await?;
        for candidate in candidates {
            // One that was deleted between the two statements is gone.
            if let Some(domain) = known.remove(&candidate.domain_id).filter(&is_meant) {
                let key = question.sort.key(&candidate);
                let client_name = candidate.client_name;
                lines.push((key, Line { domain, client_name }));
            }
        }
        if is_last || lines.len() > limit {
            break;
        }
        fetch = CHUNK;
    }
    let has_more = lines.len() > limit;
    lines.truncate(limit);
    let next = has_more.then(|| lines.last().map(|(key, _)| key.clone())).flatten();
    Ok(Page {
        lines: lines.into_iter().map(|(_, line)| line).collect(),
        next,
    })
}

async fn know(db: &mut PgConnection, scope: &Scope, ids: Vec<Uuid>) -> Result<HashMap<Uuid, Domain>, DomainError> {
    let limit = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let filter = Filter {
        one: Some(Key::Ids(ids)),
        ..Filter::default()
    };
    let domains = facts(db, scope, &filter, None, limit).await?;
    Ok(domains.into_iter().map(|domain| (domain.id, domain)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_found_in_any_case_and_script() {
        let text = |text: &str| Text::parse(text).map(|text| (text.hostname, text.name));
        let both = |text: &str| Some((text.to_owned(), text.to_owned()));
        assert_eq!(text(" Contoso "), both("contoso"));
        assert_eq!(text("Bücher"), Some(("xn--bcher-kva".into(), "bücher".into())));
        assert_eq!(text("ü b"), both("ü b"));
        assert_eq!(text("a\0b"), None);
        assert_eq!(text(&"a".repeat(254)), None);
    }

    #[test]
    fn a_key_is_of_its_own_sort() {
        for sort in Sort::ALL {
            assert_eq!(Sort::parse(sort.as_str()), Some(sort));
        }
        assert!(Sort::Hostname.is_key("contoso.com") && !Sort::Hostname.is_key("a\0"));
        assert!(!Sort::Newest.is_key("contoso.com") && Sort::Oldest.is_key(&Uuid::nil().to_string()));
    }
}
