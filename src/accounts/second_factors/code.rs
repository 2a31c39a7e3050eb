//! What somebody types as a second factor.
use aws_lc_rs::digest;

use super::totp::base32;

/// Of a recovery code: 80 bits.
const LETTERS: usize = 16;

pub enum Code {
    /// What the program shows.
    Shown(u32),
    /// The digest of a recovery code.
    Recovery(Vec<u8>),
}

impl Code {
    /// Six digits, or a recovery code; spaces, hyphens and the case don't matter.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text: String = text
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let is_shown = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_recovery = text.len() == LETTERS && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match (is_shown, is_recovery) {
            (true, _) => text.parse().map(Self::Shown).map_err(|_| "is no number"),
            (_, true) => Ok(Self::Recovery(digest_of(&text))),
            _ => Err("must be the six digits that the app shows, or one of your recovery codes"),
        }
    }
}

/// Lets somebody in who has lost the phone, once. Has no `Debug`.
pub struct RecoveryCode(String);

impl RecoveryCode {
    #[must_use]
    pub(super) fn random() -> Self {
        Self(base32(&crate::sealed::random::<10>()))
    }

    pub(super) fn digest(&self) -> Vec<u8> {
        digest_of(&self.0)
    }

    /// In groups of four, to be written down.
    #[must_use]
    pub fn text(&self) -> String {
        let groups: Vec<_> = self.0.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
        groups.join("-")
    }
}

fn digest_of(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_however_it_is_typed() {
        for text in ["012345", " 012 345 ", "012-345"] {
            assert!(matches!(Code::parse(text), Ok(Code::Shown(12_345))), "{text}");
        }
        let code = RecoveryCode::random();
        for text in [code.text(), code.text().to_lowercase(), code.text().replace('-', " ")] {
            let is_same = matches!(Code::parse(&text), Ok(Code::Recovery(digest)) if digest == code.digest());
            assert!(is_same, "{text}");
        }
        for text in [
            "",
            "12345",
            "1234567",
            "+12345",
            "١٢٣٤٥٦",
            "ABCD-EFGH-IJKL-MNOÖ",
            "<script>",
        ] {
            assert!(Code::parse(text).is_err(), "{text}");
        }
    }
}
