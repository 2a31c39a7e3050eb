//! E-mail addresses: personal data, known by a keyed digest and readable only where a mail is sent or a page shows it.
use aws_lc_rs::hmac;
use sqlx::PgConnection;

use super::organisations::{OrganisationError, store};
use crate::{input::is_invisible, sealed::Keyring};

/// Lower case. Has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Enough to catch a slip; only a mail that arrives proves an address.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let email = text.trim().to_lowercase();
        let is_fine = email.len() <= 254
            && email.split_once('@').is_some_and(|(local, domain)| {
                !local.is_empty()
                    && domain.contains('.')
                    && !domain.starts_with('.')
                    && !domain.ends_with('.')
                    && !domain.contains('@')
            })
            // What ends a header line, or begins another address, or makes one look like another.
            && !email
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || is_invisible(c) || matches!(c, ',' | ';' | '<' | '>' | '"' | '\\' | '(' | ')'));
        match is_fine {
            true => Ok(Self(email)),
            false => Err("must be an e-mail address, for example ada@contoso.com"),
        }
    }

    /// One that was sealed here.
    pub(super) fn opened(text: Vec<u8>) -> Option<Self> {
        String::from_utf8(text).ok().map(Self)
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What it is found by.
    pub async fn digest(&self, db: &mut PgConnection, keyring: &Keyring) -> Result<Vec<u8>, OrganisationError> {
        let key = store::find_or_insert_secret(db, keyring, "users.email_digest").await?;
        let digest = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), self.0.as_bytes());
        Ok(digest.as_ref().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_address_and_ends_no_line() {
        for text in [
            "ada@contoso.com",
            "  Ada.L+x@Contoso.COM ",
            "ädä@müller.example",
            "o'neil@contoso.com",
        ] {
            assert!(Email::parse(text).is_ok(), "{text}");
        }
        assert_eq!(
            Email::parse(" Ada@Contoso.com").map(|email| email.0),
            Ok("ada@contoso.com".to_owned())
        );
        let long = format!("{}@contoso.com", "a".repeat(250));
        for text in [
            "",
            "ada",
            "@contoso.com",
            "ada@contoso",
            "ada@.com",
            "ada@contoso.com.",
            "ada@b@contoso.com",
            "ada@contoso.com\r\nBcc: all@contoso.com",
            "ada@contoso.com,eve@contoso.com",
            "Ada <ada@contoso.com>",
            "ada\0@contoso.com",
            "ada\u{200b}@contoso.com",
            "\u{202e}moc.osotnoc@ada.contoso.com",
            &long,
        ] {
            assert!(Email::parse(text).is_err(), "{text}");
        }
    }
}
