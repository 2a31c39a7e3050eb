//! E-mail addresses: personal data, known by a keyed digest and readable only where a mail is sent or a page shows it.
use aws_lc_rs::hmac;
use sqlx::PgConnection;

use super::organisations::{OrganisationError, store};
use crate::{hostname, input::is_invisible, sealed::Keyring};

/// Keyed digests of an address and of what quotas of mails count by.
pub struct EmailDigests {
    pub address: Vec<u8>,
    /// The address without its `+tag`.
    pub mailbox: Vec<u8>,
    /// The part behind the @.
    pub domain: Vec<u8>,
}

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
        let key = digest_key(db, keyring).await?;
        Ok(digest(&key, &self.0))
    }

    pub async fn digests(&self, db: &mut PgConnection, keyring: &Keyring) -> Result<EmailDigests, OrganisationError> {
        let key = digest_key(db, keyring).await?;
        let (mailbox, domain) = self.mailbox();
        Ok(EmailDigests {
            address: digest(&key, &self.0),
            mailbox: digest(&key, &mailbox),
            domain: digest(&key, &format!("@{domain}")),
        })
    }

    /// The address without its `+tag`, and its domain: mails to all tags of an address arrive in one mailbox.
    fn mailbox(&self) -> (String, String) {
        let (local, domain) = self.0.rsplit_once('@').unwrap_or((&self.0, ""));
        let domain = hostname::any(domain).unwrap_or_else(|_| domain.to_owned());
        let untagged = local.split('+').next().filter(|untagged| !untagged.is_empty());
        (format!("{}@{domain}", untagged.unwrap_or(local)), domain)
    }
}

async fn digest_key(db: &mut PgConnection, keyring: &Keyring) -> Result<hmac::Key, OrganisationError> {
    let key = store::find_or_insert_secret(db, keyring, "users.email_digest").await?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
}

fn digest(key: &hmac::Key, text: &str) -> Vec<u8> {
    hmac::sign(key, text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_spellings_of_a_domain_are_one_mailbox() {
        for (email, mailbox, domain) in [
            ("ada@contoso.com", "ada@contoso.com", "contoso.com"),
            ("Ada+news@Contoso.com", "ada@contoso.com", "contoso.com"),
            ("ada+a+b@contoso.com", "ada@contoso.com", "contoso.com"),
            ("a.da@contoso.com", "a.da@contoso.com", "contoso.com"),
            ("+ada@contoso.com", "+ada@contoso.com", "contoso.com"),
            (
                "ada@müller.example",
                "ada@xn--mller-kva.example",
                "xn--mller-kva.example",
            ),
            (
                "ada@xn--mller-kva.example",
                "ada@xn--mller-kva.example",
                "xn--mller-kva.example",
            ),
        ] {
            let email = Email::parse(email).unwrap();
            assert_eq!(email.mailbox(), (mailbox.to_owned(), domain.to_owned()));
        }
    }

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
