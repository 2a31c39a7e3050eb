//! Domains as a page lists them: searched by hostname or client, filtered by status, sorted, in pages by key.
//!
//! A page costs as much as it shows, and a search examines a bounded number of domains: those that come next in the list's
//! order, then what the index of trigrams finds, and if that is too much a longer part of the list. A search that has
//! examined its bound says where the next page goes on. The status that is filtered by is the projection's, which may be a
//! second old; what is shown of a domain is derived from its facts.
mod store;

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Domain, DomainError,
    connection::Expected,
    status::{Status, status},
    store::list as facts,
};
use crate::{accounts::Scope, hostname};
use store::{Candidate, Walk, Walked};

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

    /// What a page goes on after, as text.
    fn text_of(self, key: &Key) -> String {
        match self {
            Self::Hostname | Self::HostnameBackwards => key.hostname.clone(),
            Self::Newest | Self::Oldest => key.domain_id.to_string(),
        }
    }

    /// What the page begins after that `text` names; the beginning of the list if it names none.
    fn key(self, text: Option<&str>) -> Key {
        // Before and after every hostname: they consist of letters, digits, hyphens and dots.
        let hostname = match self {
            Self::HostnameBackwards => "~",
            Self::Hostname | Self::Newest | Self::Oldest => "",
        };
        let text_hostname = text.filter(|text| !text.contains(char::is_control));
        Key {
            hostname: text_hostname.unwrap_or(hostname).to_owned(),
            domain_id: text.and_then(|text| text.parse().ok()).unwrap_or(match self {
                Self::Newest => Uuid::max(),
                Self::Hostname | Self::HostnameBackwards | Self::Oldest => Uuid::nil(),
            }),
        }
    }

    fn compare(self, one: &Key, other: &Key) -> Ordering {
        match self {
            Self::Hostname => one.hostname.cmp(&other.hostname),
            Self::HostnameBackwards => other.hostname.cmp(&one.hostname),
            Self::Newest => other.domain_id.cmp(&one.domain_id),
            Self::Oldest => one.domain_id.cmp(&other.domain_id),
        }
    }
}

/// A domain's place in every order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    hostname: String,
    domain_id: Uuid,
}

impl Key {
    fn new(candidate: &Candidate) -> Self {
        Self {
            hostname: candidate.hostname.clone(),
            domain_id: candidate.domain_id,
        }
    }
}

/// A part of a hostname, or of a client's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    hostname: String,
    /// `None`: clients' names are not searched.
    name: Option<String>,
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
        is_sound.then_some(Self {
            hostname,
            name: Some(name),
        })
    }

    /// Parses a text that is searched for in hostnames only.
    #[must_use]
    pub fn parse_hostname(text: &str) -> Option<Self> {
        Self::parse(text).map(|text| Self { name: None, ..text })
    }

    /// Whether an index of trigrams narrows the search: it needs three letters or digits in a row.
    fn has_trigram(&self) -> bool {
        let has = |text: &str| {
            text.split(|c: char| !c.is_alphanumeric())
                .any(|word| word.chars().count() >= 3)
        };
        has(&self.hostname) && self.name.as_deref().is_none_or(has)
    }
}

/// The pattern of `like` for what contains `text`.
fn pattern(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
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
    /// The search ended at its bound: the page may have fewer lines than fit, and the next page searches on.
    pub is_partial: bool,
}

/// Maximum number of domains that a search examines before it uses the index of trigrams.
const FIRST_BOUND: i64 = 2_000;
/// Maximum number of domains that a search examines where the index finds too many, or is missing.
const LAST_BOUND: i64 = 20_000;
/// Maximum number of domains, and of clients, that the index of trigrams may find.
const MAX_MATCHES: usize = 1_000;
const MAX_MATCHING_CLIENTS: usize = 100;

/// Whose domains are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Organisation,
    Client(Uuid),
}

impl Owner {
    /// `None`: the caller may not see what is asked for.
    fn new(scope: &Scope, client_id: Option<Uuid>) -> Option<Self> {
        match (scope.client_id(), client_id) {
            (None, None) => Some(Self::Organisation),
            (None, Some(id)) | (Some(id), None) => Some(Self::Client(id)),
            (Some(own), Some(id)) => (own == id).then_some(Self::Client(id)),
        }
    }
}

/// What a search found, in order.
struct Found {
    candidates: Vec<Candidate>,
    next: Option<Key>,
    is_partial: bool,
}

/// The next `limit` domains that the question means. One whose status is another by now is left out.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    question: &Question,
    expected: &Expected,
    (limit, now): (usize, DateTime<Utc>),
) -> Result<Page, DomainError> {
    let Some(owner) = Owner::new(scope, question.client_id) else {
        return Ok(Page::default());
    };
    let found = find(db, scope, owner, question, limit).await?;
    let ids: Vec<_> = found.candidates.iter().map(|candidate| candidate.domain_id).collect();
    let known = facts(db, scope, &ids).await?.into_iter();
    let mut known: HashMap<Uuid, Domain> = known.map(|domain| (domain.id, domain)).collect();
    let is_meant = |domain: &Domain| {
        question
            .status
            .is_none_or(|wanted| status(domain, expected, now) == wanted)
    };
    let lines = found.candidates.into_iter().filter_map(|candidate| {
        // One that was deleted between the two statements is gone.
        let domain = known.remove(&candidate.domain_id).filter(&is_meant)?;
        let client_name = candidate.client_name;
        Some(Line { domain, client_name })
    });
    Ok(Page {
        lines: lines.collect(),
        next: found.next.map(|key| question.sort.text_of(&key)),
        is_partial: found.is_partial,
    })
}

async fn find(
    db: &mut PgConnection,
    scope: &Scope,
    owner: Owner,
    question: &Question,
    limit: usize,
) -> Result<Found, DomainError> {
    let after = question.sort.key(question.after.as_deref());
    let fetch = fetch(limit);
    let Some(text) = &question.text else {
        let walk = Walk {
            owner,
            status: question.status,
            sort: question.sort,
            after: &after,
            bound: fetch,
            limit: fetch,
            hostname: "",
            name: "",
        };
        let walked = store::walk(db, scope, &walk).await?;
        return Ok(cut(walked.candidates, None, limit));
    };
    let mut walk = Walk {
        owner,
        status: question.status,
        sort: question.sort,
        after: &after,
        bound: FIRST_BOUND,
        limit: fetch,
        hostname: &text.hostname,
        name: text.name.as_deref().unwrap_or_default(),
    };
    let Walked { candidates, end } = store::walk(db, scope, &walk).await?;
    if end.is_none() || candidates.len() > limit {
        return Ok(cut(candidates, None, limit));
    }
    if text.has_trigram()
        && let Some(found) = look_up(db, scope, &walk).await?
    {
        return Ok(cut(found, None, limit));
    }
    walk.bound = LAST_BOUND;
    let Walked { candidates, end } = store::walk(db, scope, &walk).await?;
    Ok(cut(candidates, end, limit))
}

/// One more than the page holds, to see whether it is the last.
fn fetch(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

/// The page of `candidates`, of which there may be more than fit; `end`: where the search ended, if it did at its bound.
fn cut(mut candidates: Vec<Candidate>, end: Option<Key>, limit: usize) -> Found {
    let has_more = candidates.len() > limit;
    candidates.truncate(limit);
    let last = candidates.last().map(Key::new).filter(|_| has_more);
    Found {
        is_partial: !has_more && end.is_some(),
        next: last.or(end),
        candidates,
    }
}

/// All that matches, by the index of trigrams, in order after `after`. `None`: there is no such index, or too much
/// matches.
async fn look_up(db: &mut PgConnection, scope: &Scope, walk: &Walk<'_>) -> Result<Option<Vec<Candidate>>, DomainError> {
    if !store::has_search_index(db).await? {
        return Ok(None);
    }
    let most = fetch(MAX_MATCHES);
    let mut found = store::list_matching(db, scope, walk.owner, &pattern(walk.hostname), most).await?;
    if found.len() > MAX_MATCHES {
        return Ok(None);
    }
    if let Some(wanted) = walk.status {
        let ids: Vec<Uuid> = found.iter().map(|candidate| candidate.domain_id).collect();
        let with_status = store::list_with_status(db, scope, &ids, wanted).await?;
        let with_status: HashSet<Uuid> = with_status.into_iter().collect();
        found.retain(|candidate| with_status.contains(&candidate.domain_id));
    }
    if !walk.name.is_empty() {
        let most = fetch(MAX_MATCHING_CLIENTS);
        let mut clients = store::list_matching_clients(db, scope, &pattern(walk.name), most).await?;
        if clients.len() > MAX_MATCHING_CLIENTS {
            return Ok(None);
        }
        if let Owner::Client(own) = walk.owner {
            clients.retain(|client_id| *client_id == own);
        }
        let what = (walk.status, walk.sort);
        found.extend(store::list_of_clients(db, scope, &clients, what, (walk.after, walk.limit)).await?);
    }
    let mut keyed: Vec<_> = found.into_iter().map(|found| (Key::new(&found), found)).collect();
    keyed.retain(|(key, _)| walk.sort.compare(key, walk.after) == Ordering::Greater);
    keyed.sort_by(|(one, _), (other, _)| walk.sort.compare(one, other));
    keyed.dedup_by(|(one, _), (other, _)| one == other);
    Ok(Some(keyed.into_iter().map(|(_, found)| found).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_found_in_any_case_and_script() {
        let text = |text: &str| Text::parse(text).map(|text| (text.hostname, text.name.unwrap_or_default()));
        let both = |text: &str| Some((text.to_owned(), text.to_owned()));
        assert_eq!(text(" Contoso "), both("contoso"));
        assert_eq!(text("Bücher"), Some(("xn--bcher-kva".into(), "bücher".into())));
        assert_eq!(text("ü b"), both("ü b"));
        assert_eq!(text("a\0b"), None);
        assert_eq!(text(&"a".repeat(254)), None);
    }

    #[test]
    fn an_index_of_trigrams_needs_three_letters_in_a_row() {
        for (text, has) in [
            ("con", true),
            ("a.contoso", true),
            ("co", false),
            ("a-b.co", false),
            ("%%%", false),
        ] {
            assert_eq!(Text::parse(text).map(|text| text.has_trigram()), Some(has), "{text}");
        }
        assert_eq!(pattern(r"50%_\"), r"%50\%\_\\%");
    }

    #[test]
    fn a_list_begins_before_everything_and_goes_on_after_its_key() {
        let key = Key {
            hostname: "contoso.com".into(),
            domain_id: Uuid::from_u128(7),
        };
        for sort in Sort::ALL {
            assert_eq!(Sort::parse(sort.as_str()), Some(sort));
            assert_eq!(sort.compare(&key, &sort.key(None)), Ordering::Greater, "{sort:?}");
            let text = sort.text_of(&key);
            assert_eq!(sort.compare(&key, &sort.key(Some(&text))), Ordering::Equal, "{sort:?}");
        }
        for nonsense in ["contoso.com", "a\0"] {
            assert_eq!(Sort::Oldest.key(Some(nonsense)).domain_id, Uuid::nil());
        }
        assert_eq!(Sort::Hostname.key(Some("a\0")), Sort::Hostname.key(None));
    }

    #[test]
    fn a_page_ends_at_its_last_line_or_where_the_search_ended() {
        let candidate = |id: u128| Candidate {
            domain_id: Uuid::from_u128(id),
            hostname: id.to_string(),
            client_name: String::new(),
        };
        let end = Key::new(&candidate(9));
        for (count, end, limit, shown, next, is_partial) in [
            (3, None, 2, 2, Some(2), false),
            (2, None, 2, 2, None, false),
            (1, Some(end.clone()), 2, 1, Some(9), true),
            (3, Some(end), 2, 2, Some(2), false),
        ] {
            let found = cut((1..=count).map(candidate).collect(), end, limit);
            let next_id = found.next.map(|key| key.domain_id.as_u128());
            assert_eq!(
                (found.candidates.len(), next_id, found.is_partial),
                (shown, next, is_partial)
            );
        }
    }
}
