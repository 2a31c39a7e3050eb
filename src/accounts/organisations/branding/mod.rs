//! What an organisation says of itself to whoever opens one of its share links: a name, how to reach it, a logo. Without any
//! of it a link says nothing of whose it is.
pub mod logo;
mod store;

use serde_json::json;
use sqlx::PgConnection;

use super::OrganisationError;
use crate::{
    accounts::{Scope, email::Email, members},
    audit,
    input::{Name, WebUrl},
};
use logo::{Logo, LogoFacts};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branding {
    pub display_name: Option<Name>,
    pub contact: Option<Contact>,
    pub logo: Option<LogoFacts>,
}

/// How whoever holds a link reaches the organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    Mail(String),
    Web(WebUrl),
}

impl Contact {
    /// A mail address, or an https address.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.contains("://") {
            return match text.len() <= MAX_CONTACT {
                true => WebUrl::parse_https(text).map(Self::Web),
                false => Err("must have at most 500 characters"),
            };
        }
        let expected = "must be an e-mail address or an https address";
        let email = Email::parse(text).map_err(|_| expected)?;
        // What a `mailto:` would take for something else (RFC 6068 §2).
        match email
            .expose()
            .bytes()
            .any(|byte| matches!(byte, b'%' | b'&' | b'?' | b'#' | b'/'))
        {
            true => Err(expected),
            false => Ok(Self::Mail(email.expose().to_owned())),
        }
    }

    /// As it is shown, and stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Mail(address) => address,
            Self::Web(url) => url.as_str(),
        }
    }

    /// What a link leads to.
    #[must_use]
    pub fn href(&self) -> String {
        match self {
            Self::Mail(address) => format!("mailto:{address}"),
            Self::Web(url) => url.as_str().to_owned(),
        }
    }
}

const MAX_CONTACT: usize = 500;

/// What is said; nothing, if nothing was ever said.
pub async fn find(db: &mut PgConnection, scope: &Scope) -> Result<Branding, OrganisationError> {
    Ok(store::find(db, scope).await?)
}

pub async fn find_logo(db: &mut PgConnection, scope: &Scope) -> Result<Option<Logo>, OrganisationError> {
    Ok(store::find_logo(db, scope).await?)
}

/// Says this instead, and keeps the logo.
pub async fn update(
    db: &mut PgConnection,
    scope: &Scope,
    display_name: Option<Name>,
    contact: Option<Contact>,
) -> Result<(), OrganisationError> {
    members::store::lock(db, scope).await?;
    let before = find(db, scope).await?;
    let wanted = Branding {
        display_name,
        contact,
        logo: before.logo,
    };
    if wanted == before {
        return Ok(());
    }
    store::put(db, scope, &wanted).await?;
    // An address may be somebody's own: that it changed is told, and not what it is.
    let details = json!({
        "before": { "display_name": before.display_name.as_ref().map(Name::as_str) },
        "after": { "display_name": wanted.display_name.as_ref().map(Name::as_str) },
        "contact_changed": before.contact != wanted.contact,
    });
    record(db, scope, "organisation.branding_updated", details).await
}

pub async fn set_logo(db: &mut PgConnection, scope: &Scope, logo: &Logo) -> Result<(), OrganisationError> {
    members::store::lock(db, scope).await?;
    store::put_logo(db, scope, logo).await?;
    let LogoFacts { kind, width, height } = logo.facts();
    let details =
        json!({ "media_type": kind.media_type(), "width": width, "height": height, "bytes": logo.bytes().len() });
    record(db, scope, "organisation.logo_set", details).await
}

/// `false`: there was none.
pub async fn remove_logo(db: &mut PgConnection, scope: &Scope) -> Result<bool, OrganisationError> {
    members::store::lock(db, scope).await?;
    let is_removed = store::delete_logo(db, scope).await?;
    if is_removed {
        record(db, scope, "organisation.logo_removed", json!({})).await?;
    }
    Ok(is_removed)
}

async fn record(
    db: &mut PgConnection,
    scope: &Scope,
    action: &'static str,
    details: serde_json::Value,
) -> Result<(), OrganisationError> {
    let settings = super::settings::find(db, scope).await?;
    let event = super::settings::event(action, scope, (settings.name.as_str(), details));
    Ok(audit::record(db, scope, event).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_a_mail_address_or_an_https_address() {
        for (text, href) in [
            (" Help@Acme.example ", "mailto:help@acme.example"),
            ("https://acme.example/help", "https://acme.example/help"),
        ] {
            assert_eq!(Contact::parse(text).map(|contact| contact.href()), Ok(href.to_owned()));
        }
        let long = format!("https://acme.example/{}", "a".repeat(500));
        for text in [
            "",
            "help",
            "http://acme.example",
            "javascript://acme.example/%0aalert(1)",
            "javascript:alert(1)//@acme.example",
            "mailto:help@acme.example?cc=x@y.example",
            "help@acme.example?subject=x",
            "a%0ab@acme.example",
            &long,
        ] {
            assert!(Contact::parse(text).is_err(), "{text}");
        }
    }
}
