//! Mails to whoever administers an organisation.
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Endpoint, Reason, host};
use crate::{
    accounts::{Operator, people},
    clock::DatabaseTime,
    input::plain,
    mail::Mail,
    outbox::{self, store::Untold},
    sealed::Keyring,
};

/// The keys that open addresses, and where the portal is.
pub type Means<'a> = (&'a Keyring, &'a str);

/// Certificates are about to expire: one mail an organisation, however many there are. Our own hosts' are the operator's
/// concern.
pub async fn certificates_expire(
    db: &mut PgConnection,
    (keyring, portal): Means<'_>,
    events: &[&Untold],
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    let mut concerned: BTreeMap<Uuid, Vec<&Untold>> = BTreeMap::new();
    for event in events {
        if let Some(organisation_id) = event.organisation_id {
            concerned.entry(organisation_id).or_default().push(event);
        }
    }
    for (organisation_id, events) in concerned {
        let mut text = String::from(
            "Signpost could not renew these certificates. When one expires, Apple devices can't be told any more where to enrol.\n",
        );
        for event in &events {
            text.push_str(&line(event, portal, now.get()));
        }
        let subject = match &events[..] {
            [event] => format!("The certificate of {} is about to expire", said(event, "hostname")),
            several => format!("{} certificates are about to expire", several.len()),
        };
        post(db, keyring, organisation_id, (&subject, &text), now).await?;
    }
    Ok(())
}

fn line(event: &Untold, portal: &str, now: DateTime<Utc>) -> String {
    let hostname = said(event, "hostname");
    let until = said(event, "not_after").parse().unwrap_or(now);
    let until = until.format("%-d %b %Y, %H:%M UTC");
    let reason = match plain(said(event, "last_error"), 600) {
        reason if reason.is_empty() => String::new(),
        reason => format!("The last attempt failed: {reason}\n"),
    };
    format!("\n{hostname}: until {until}.\n{reason}What to do: {portal}/domains/{hostname}\n")
}

fn said<'a>(event: &'a Untold, name: &str) -> &'a str {
    event.payload[name].as_str().unwrap_or_default()
}

/// An endpoint was disabled, and by nobody here.
pub async fn endpoint_disabled(
    db: &mut PgConnection,
    (keyring, portal): Means<'_>,
    (organisation_id, endpoint): (Uuid, &Endpoint),
    reason: Reason,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    let host = host(&endpoint.url);
    let why = match reason {
        Reason::Gone => "It answered 410 Gone: that nothing is to be sent there any more.",
        Reason::Asked | Reason::Failing => "Nothing has arrived there for five days.",
    };
    let subject = format!("The webhook to {host} is disabled");
    let text = format!(
        "Signpost has stopped sending events to {host}. {why}\n\nIts last answers are shown here, and there it can be enabled again:\n\n{portal}/settings/webhooks/{}\n",
        endpoint.id
    );
    post(db, keyring, organisation_id, (&subject, &text), now).await
}

async fn post(
    db: &mut PgConnection,
    keyring: &Keyring,
    organisation_id: Uuid,
    (subject, text): (&str, &str),
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    let scope = Operator::checking().scope(organisation_id);
    for person in people::administrators(db, keyring, &scope).await? {
        let mail = Mail {
            to: person.email.expose().to_owned(),
            subject: subject.to_owned(),
            text: text.to_owned(),
        };
        outbox::post(db, keyring, Some(organisation_id), &mail, now).await?;
    }
    Ok(())
}
