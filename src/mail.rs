//! Sends mails by SMTP. Knows no outbox and no account.
use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::extension::ClientId,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);

/// A text for one person. Has no `Debug`: there is an address in it, and often a link that is a key.
#[derive(Clone, Serialize, Deserialize)]
pub struct Mail {
    pub to: String,
    pub subject: String,
    pub text: String,
}

#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// Sending it again changes nothing.
    #[error("the mail server refuses it for good: {0}")]
    Refused(String),
    #[error("the mail server does not take it now: {0}")]
    Later(String),
}

#[derive(Debug, thiserror::Error)]
pub enum MailSettingError {
    #[error("expected smtp://user:password@host:587 or smtps://user:password@host")]
    Url,
    #[error("expected an address, for example Signpost <signpost@example.com>")]
    From,
}

pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    patience: Duration,
}

impl Mailer {
    /// `url` as lettre reads it: `smtp://host:25`, `smtp://user:password@host:587?tls=required`, `smtps://…`. Without
    /// `tls=…`, an `smtp://` server that offers STARTTLS is spoken to in TLS.
    pub fn new(url: &str, from: &str) -> Result<Self, MailSettingError> {
        Self::with_patience(url, from, PATIENCE)
    }

    /// The same; a mail server that says nothing for `patience` is away.
    pub fn with_patience(url: &str, from: &str, patience: Duration) -> Result<Self, MailSettingError> {
        let from: Mailbox = from.parse().map_err(|_| MailSettingError::From)?;
        let is_plain = url.starts_with("smtp://") && !url.contains("tls=");
        let url = match (is_plain, url.contains('?')) {
            (false, _) => url.to_owned(),
            (true, false) => format!("{url}?tls=opportunistic"),
            (true, true) => format!("{url}&tls=opportunistic"),
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url).map_err(|_| MailSettingError::Url)?;
        // The sender's domain, as in the mails: the machine's own name is nobody's business.
        let name = ClientId::Domain(from.email.domain().to_owned());
        Ok(Self {
            transport: builder.hello_name(name).timeout(Some(patience)).build(),
            from,
            patience,
        })
    }

    /// `id` names the mail: one that is sent twice is the same to whoever gets it.
    pub async fn send(&self, id: Uuid, mail: &Mail) -> Result<(), MailError> {
        let to = mail
            .to
            .parse()
            .map_err(|_| MailError::Refused("the address is none".to_owned()))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(&mail.subject)
            .header(ContentType::TEXT_PLAIN)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .body(mail.text.clone())
            .map_err(|error| MailError::Refused(error.to_string()))?;
        let sent = tokio::time::timeout(self.patience * 2, self.transport.send(message)).await;
        match sent {
            Ok(Ok(_)) => Ok(()),
            // What the server says may repeat the address: its code is enough.
            Ok(Err(error)) => {
                let words = match error.status() {
                    Some(code) => format!("it answers {code}"),
                    None => "it can't be spoken to".to_owned(),
                };
                match error.is_permanent() {
                    true => Err(MailError::Refused(words)),
                    false => Err(MailError::Later(words)),
                }
            }
            Err(_) => Err(MailError::Later("it does not answer".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn settings_that_are_none_are_told_without_their_secret() {
        for (url, from) in [
            ("nonsense", "signpost@example.com"),
            ("http://mail.example", "signpost@example.com"),
            ("smtp://mail.example", "nobody"),
        ] {
            assert!(Mailer::new(url, from).is_err(), "{url} {from}");
        }
        for url in [
            "smtp://127.0.0.1:25",
            "smtp://u:p%40ss@mail.example:587?tls=required",
            "smtps://mail.example",
        ] {
            assert!(Mailer::new(url, "Signpost <signpost@example.com>").is_ok(), "{url}");
        }
    }
}
