//! Who changed what: newest first, filtered by who and what, in pages.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde_json::Value;
use uuid::Uuid;

use super::members::capitalised;
use crate::{
    accounts::{
        Member, Permission, Scope,
        members::{self, MAX_MEMBERS},
        token::{self, MAX_TOKENS},
    },
    audit::{self, AuditEvent, Wanted, WantedActor, WantedDomain},
    console::{
        Console,
        fault::Fault,
        form::Form,
        page::{self, Frame, Section},
        requests::filter::moment,
    },
    hostname::Hostname,
};

const ON_A_PAGE: usize = 50;

/// What is changed, as a filter offers it.
const NOUNS: [(&str, &str); 9] = [
    ("organisation", "The organisation"),
    ("member", "Members"),
    ("invitation", "Invitations"),
    ("token", "Tokens"),
    ("client", "Clients"),
    ("mdm_server", "MDM servers"),
    ("domain", "Domains"),
    ("share_link", "Share links"),
    ("webhook_endpoint", "Webhooks"),
];

#[derive(Template)]
#[template(path = "settings/audit.html")]
struct AuditPage {
    frame: Frame,
    filter: Form,
    nouns: [(&'static str, &'static str); 9],
    actors: Vec<(String, String)>,
    events: Vec<Shown>,
    /// The query of the page of what was before.
    older: Option<String>,
    is_filtered: bool,
}

struct Shown {
    at: String,
    who: String,
    what: String,
    which: String,
    more: Vec<String>,
}

/// What the filter has, in its order.
const FIELDS: [&str; 5] = ["action", "actor", "domain", "since", "until"];

/// `GET /settings/audit?action=&actor=&domain=&since=&until=&before=`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let typed = FIELDS.map(|name| (name, page::query(&request, name).unwrap_or_default()));
    let filter = Form::of(&typed.each_ref().map(|(name, text)| (*name, text.as_str())));
    let before: Option<Uuid> = page::query(&request, "before").and_then(|id| id.parse().ok());
    let mut db = console.pool.acquire().await?;
    let found = audit::list(&mut db, &console.keyring, &scope, &wanted(&filter), (before, ON_A_PAGE)).await?;
    let chosen: Vec<_> = typed.iter().filter(|(_, text)| !text.is_empty()).collect();
    let older = found.next.map(|id| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(chosen.iter().map(|(name, text)| (name, text)));
        query.append_pair("before", &id.to_string()).finish()
    });
    Ok(page::show(&AuditPage {
        frame: Frame::member(&request, &member, Section::Settings),
        is_filtered: !chosen.is_empty() || before.is_some(),
        filter,
        nouns: NOUNS,
        actors: actors(&mut db, &console, &scope).await?,
        events: found.events.into_iter().map(Shown::from).collect(),
        older,
    }))
}

/// What is none of a filter's values filters nothing: it is there to be seen in its field.
fn wanted(filter: &Form) -> Wanted {
    let chosen = |name| Some(filter.value(name).trim()).filter(|text| !text.is_empty());
    let moment = |name| chosen(name).and_then(|text| moment(text).ok());
    Wanted {
        // A text with a zero is none that the database takes, and none that there is.
        action: chosen("action").filter(|text| !text.contains('\0')).map(str::to_owned),
        actor: chosen("actor").and_then(WantedActor::parse),
        domain: chosen("domain")
            .and_then(|text| Hostname::parse(text).ok())
            .map(|hostname| WantedDomain::Hostname(hostname.to_string())),
        since: moment("since"),
        until: moment("until"),
    }
}

/// Whoever may have changed something: the values of a filter, with what they are called.
async fn actors(db: &mut sqlx::PgConnection, console: &Console, scope: &Scope) -> Result<Vec<(String, String)>, Fault> {
    let members = members::list(db, &console.keyring, scope, None, MAX_MEMBERS).await?;
    let tokens = token::store::list(db, scope, None, MAX_TOKENS).await?;
    let members = members
        .iter()
        .map(|member| (member.user_id.to_string(), member.called().to_owned()));
    let tokens = tokens
        .into_iter()
        .map(|token| (token.id.to_string(), format!("{} (token)", token.name)));
    let others = [
        ("operator", "Whoever runs this Signpost"),
        ("signpost", "Signpost itself"),
    ];
    let others = others.map(|(value, name)| (value.to_owned(), name.to_owned()));
    Ok(members.chain(tokens).chain(others).collect())
}

impl From<AuditEvent> for Shown {
    fn from(event: AuditEvent) -> Self {
        let who = match event.actor_kind.as_str() {
            "token" => format!("{} (token)", event.actor_name),
            "operator" => "Whoever runs this Signpost".to_owned(),
            "signpost" => "Signpost itself".to_owned(),
            _ => capitalised(&event.actor_name),
        };
        // Of what has no name, the kind is told already.
        let is_named = event.subject_name != event.subject_kind;
        Self {
            at: page::moment(&event.at),
            who,
            what: words(&event.action),
            which: Some(event.subject_name).filter(|_| is_named).unwrap_or_default(),
            more: told(&event.details),
        }
    }
}

/// "Share link revoked", of `share_link.revoked`.
fn words(action: &str) -> String {
    capitalised(&action.replace(['.', '_'], " "))
}

/// What an event holds besides, a line each; of what was changed what it was and what it is.
fn told(details: &Value) -> Vec<String> {
    let (before, after) = (&details["before"], &details["after"]);
    if let (Value::Object(before), Value::Object(after)) = (before, after) {
        let changed = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
        let line = |(name, value): (&String, &Value)| {
            let was = before.get(name).unwrap_or(&Value::Null);
            format!("{}: {} → {}", label(name), text(was), text(value))
        };
        return changed.map(line).collect();
    }
    let members = details.as_object().into_iter().flatten();
    let told = members.filter(|(_, value)| !value.is_null());
    told.map(|(name, value)| format!("{}: {}", label(name), text(value)))
        .collect()
}

fn label(name: &str) -> String {
    name.replace('_', " ")
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_told_in_words() {
        assert_eq!(words("share_link.revoked"), "Share link revoked");
        assert_eq!(words(""), "");
        for (details, lines) in [
            (json!({}), vec![]),
            (json!(null), vec![]),
            (
                json!({"external_ref": null, "scopes": ["a", "b"]}),
                vec!["scopes: a, b"],
            ),
            (
                json!({"before": {"role": "editor", "client_id": null}, "after": {"role": "viewer", "client_id": null}}),
                vec!["role: editor → viewer"],
            ),
        ] {
            assert_eq!(told(&details), lines, "{details}");
        }
    }
}
