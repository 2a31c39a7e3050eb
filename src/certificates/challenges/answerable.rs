//! Which rows are answered. What stands in them a CA chose: it is looked at before anything is made of it.
use std::collections::HashSet;

use super::{ChallengeType, store::Row};

const MAX_TOKEN: usize = 256;

/// Why a row is not answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("its token is not base64url")]
    Token,
    #[error("its type is unknown")]
    Type,
    #[error("its answer can't be made: {0}")]
    Answer(String),
}

/// The first that there is room for. A name's validations by TLS can't be told apart: the last one stands.
pub fn answerable(mut rows: Vec<Row>, room: usize) -> Vec<Row> {
    rows.truncate(room);
    rows.reverse();
    let is_tls = |row: &Row| ChallengeType::parse(&row.typ) == Some(ChallengeType::TlsAlpn01);
    let mut seen = HashSet::new();
    rows.retain(|row| !is_tls(row) || seen.insert(row.hostname.clone()));
    rows
}

/// The token is one (RFC 8555 §8.3): it stands in a path, and in what is signed.
pub fn challenge_type(row: &Row) -> Result<ChallengeType, Unusable> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !(1..=MAX_TOKEN).contains(&row.token.len()) || !row.token.bytes().all(is_fine) {
        return Err(Unusable::Token);
    }
    ChallengeType::parse(&row.typ).ok_or(Unusable::Type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(hostname: &str, token: &str, typ: &str) -> Row {
        Row {
            hostname: hostname.to_owned(),
            token: token.to_owned(),
            typ: typ.to_owned(),
            expires_at: chrono::DateTime::UNIX_EPOCH,
            created_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_oldest_find_room_and_of_a_names_validations_by_tls_the_last_stands() {
        let rows = vec![
            row("a", "1", "tls-alpn-01"),
            row("a", "2", "http-01"),
            row("a", "3", "http-01"),
            row("a", "4", "tls-alpn-01"),
            row("b", "5", "tls-alpn-01"),
            row("b", "6", "tls-alpn-01"),
        ];
        let mut tokens: Vec<_> = answerable(rows, 5).into_iter().map(|row| row.token).collect();
        tokens.sort();
        assert_eq!(tokens, ["2", "3", "4", "5"]);
    }

    #[test]
    fn what_is_no_token_is_not_answered() {
        for (token, typ, expected) in [
            ("a-_Z9", "http-01", Ok(ChallengeType::Http01)),
            ("a", "tls-alpn-01", Ok(ChallengeType::TlsAlpn01)),
            ("a", "dns-01", Err(Unusable::Type)),
            ("", "http-01", Err(Unusable::Token)),
            ("a/b", "http-01", Err(Unusable::Token)),
            ("a\r\n", "http-01", Err(Unusable::Token)),
            (&"a".repeat(257), "http-01", Err(Unusable::Token)),
        ] {
            assert_eq!(challenge_type(&row("contoso.com", token, typ)), expected, "{token:?}");
        }
    }
}
