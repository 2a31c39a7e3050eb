//! The mail of an invitation. Its reader knows nothing of us, and a stranger has typed the organisation's name: nothing
//! in it may become a link, another line, or a story of its own.
use super::Invitation;
use crate::{accounts::secret_text::SecretText, input::plain, mail::Mail};

/// Of a name: enough to know it, and too little for a message.
const MAX_NAME: usize = 60;

pub fn write(portal_url: &str, organisation: &str, invitation: &Invitation, secret: &SecretText) -> Mail {
    let organisation = harmless(organisation);
    let role = invitation.standing.role().as_str();
    let text = format!(
        "You are invited to Signpost, to the organisation that calls itself\n\n    {organisation}\n\nwith the role {role}. Signpost answers where the Apple devices of a company enroll.\n\nOpen this link to accept. It works once, for 7 days:\n\n{portal_url}/invitations/{}\n\nIf you don't know who that is, do nothing: nothing happens then.\n",
        secret.expose()
    );
    Mail {
        to: invitation.email.expose().to_owned(),
        subject: format!("Invitation to {organisation}"),
        text,
    }
}

/// A name in which no program that shows mails finds an address to go to: those look for `a.b`, `a@b` and `a://b`.
fn harmless(name: &str) -> String {
    let name = plain(name, MAX_NAME);
    let mut shown = String::new();
    let mut characters = name.chars().peekable();
    while let Some(c) = characters.next() {
        shown.push(c);
        // Dots of other scripts are dots in host names (UTS #46).
        let binds = matches!(
            c,
            '.' | '@' | ':' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' | '\u{ff20}' | '\u{ff1a}'
        );
        if binds && characters.peek().is_some_and(|next| !next.is_whitespace()) {
            shown.push(' ');
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_a_link_or_another_line() {
        for (name, shown) in [
            ("Contoso Ltd.", "Contoso Ltd."),
            ("A/S Müller & Söhne", "A/S Müller & Söhne"),
            ("https://evil.example/x", "https: //evil. example/x"),
            ("www.evil.example", "www. evil. example"),
            ("help@evil.example", "help@ evil. example"),
            ("evil。example", "evil。 example"),
            ("a\r\nBcc: all@x.example", "a Bcc: all@ x. example"),
            ("\u{202e}gnp.exe", "\u{fffd}gnp. exe"),
            ("", ""),
        ] {
            assert_eq!(harmless(name), shown, "{name:?}");
        }
        assert!(harmless(&"word ".repeat(100)).chars().count() <= MAX_NAME + 1);
    }
}
