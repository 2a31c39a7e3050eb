//! Sends mails by SMTP. Knows no outbox and no account.
use std::{net::IpAddr, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::extension::ClientId,
};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

const TIMEOUT: Duration = Duration::from_secs(30);

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
    #[error("tls= must be required, opportunistic or none, and only stands behind smtp://")]
    Tls,
    #[error("expected an address, for example Signpost <signpost@example.com>")]
    From,
}

pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    timeout: Duration,
}

impl Mailer {
    /// `smtp://[user:password@]host[:port][?tls=required|opportunistic|none]` or `smtps://…`. Without `tls=…` a server
    /// elsewhere has to offer STARTTLS; one on loopback may do without.
    pub fn new(url: &str, from: &str) -> Result<Self, MailSettingError> {
        Self::with_timeout(url, from, TIMEOUT)
    }

    /// The same; a mail server that says nothing for `timeout` is away.
    pub fn with_timeout(url: &str, from: &str, timeout: Duration) -> Result<Self, MailSettingError> {
        let from: Mailbox = from.parse().map_err(|_| MailSettingError::From)?;
        let url = with_tls(url)?;
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url).map_err(|_| MailSettingError::Url)?;
        // The sender's domain, as in the mails: the machine's own name is nobody's business.
        let name = ClientId::Domain(from.email.domain().to_owned());
        Ok(Self {
            transport: builder.hello_name(name).timeout(Some(timeout)).build(),
            from,
            timeout,
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
        let sent = tokio::time::timeout(self.timeout * 2, self.transport.send(message)).await;
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

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SmtpTls {
    Required,
    /// STARTTLS if the server offers it: someone on the path can take the offer away.
    Opportunistic,
    None,
}

/// The URL as lettre reads it, with a mode of TLS.
fn with_tls(url: &str) -> Result<String, MailSettingError> {
    let mut parsed = Url::parse(url).map_err(|_| MailSettingError::Url)?;
    let mode = parsed
        .query_pairs()
        .find(|(name, _)| name == "tls")
        .map(|(_, value)| value.into_owned());
    let mode = match (parsed.scheme(), mode.as_deref()) {
        ("smtps", None) => return Ok(url.to_owned()),
        ("smtp", None) if is_loopback(&parsed) => SmtpTls::Opportunistic,
        ("smtp", None | Some("required")) => SmtpTls::Required,
        ("smtp", Some("opportunistic")) => SmtpTls::Opportunistic,
        ("smtp", Some("none")) => SmtpTls::None,
        ("smtp" | "smtps", Some(_)) => return Err(MailSettingError::Tls),
        _ => return Err(MailSettingError::Url),
    };
    parsed.set_query(match mode {
        SmtpTls::Required => Some("tls=required"),
        SmtpTls::Opportunistic => Some("tls=opportunistic"),
        SmtpTls::None => None,
    });
    Ok(parsed.into())
}

/// A scheme that browsers don't know keeps an IPv4 address as a name.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.to_canonical().is_loopback())
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

    #[test]
    fn tls_is_required_unless_a_weaker_mode_is_named_or_the_server_is_on_loopback() {
        for (url, expected) in [
            ("smtp://mail.example", Ok("smtp://mail.example?tls=required")),
            (
                "smtp://u:p@mail.example:587",
                Ok("smtp://u:p@mail.example:587?tls=required"),
            ),
            (
                "smtp://mail.example?tls=required",
                Ok("smtp://mail.example?tls=required"),
            ),
            (
                "smtp://mail.example?tls=opportunistic",
                Ok("smtp://mail.example?tls=opportunistic"),
            ),
            ("smtp://mail.example:25?tls=none", Ok("smtp://mail.example:25")),
            ("smtps://mail.example", Ok("smtps://mail.example")),
            ("smtp://127.0.0.1:25", Ok("smtp://127.0.0.1:25?tls=opportunistic")),
            ("smtp://[::1]:25", Ok("smtp://[::1]:25?tls=opportunistic")),
            ("smtp://localhost", Ok("smtp://localhost?tls=opportunistic")),
            (
                "smtp://127.0.0.1:25?tls=required",
                Ok("smtp://127.0.0.1:25?tls=required"),
            ),
            ("smtp://10.0.0.1", Ok("smtp://10.0.0.1?tls=required")),
            ("smtp://localhost.example", Ok("smtp://localhost.example?tls=required")),
            ("smtp://mail.example?tls=", Err("tls=")),
            ("smtp://mail.example?tls=off", Err("tls=")),
            ("smtps://mail.example?tls=none", Err("tls=")),
            ("mail.example", Err("expected smtp://")),
            ("http://mail.example", Err("expected smtp://")),
        ] {
            match (with_tls(url), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{url}"),
                (Err(error), Err(expected)) => assert!(error.to_string().starts_with(expected), "{url}: {error}"),
                (found, _) => panic!("{url}: {found:?}"),
            }
        }
    }
}
