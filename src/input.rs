//! Texts that every noun has: names and web addresses, parsed once, and what is said when one does
//! not parse.
use std::{fmt, marker::PhantomData};

use chrono::{DateTime, Datelike, Utc};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use url::Url;

/// What is wrong with one part of an input. `pointer` is a JSON pointer (RFC 6901) into the body,
/// or `?name` for a query parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub pointer: String,
    pub detail: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, detail: impl ToString) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.to_string(),
        }
    }

    /// The same error, seen from a place that holds the input at `prefix`.
    #[must_use]
    pub fn within(self, prefix: &str) -> Self {
        Self {
            pointer: format!("{prefix}{}", self.pointer),
            ..self
        }
    }
}

/// A name as it stands in a JSON pointer (RFC 6901 §3).
#[must_use]
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A `T` from a JSON object and nothing else: serde would take an array of its members as well.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Members(PhantomData)).map(Self)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

/// For `deserialize_with`: see [`Object`].
pub fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Object::deserialize(from).map(|object| object.0)
}

/// The same for what may be left out.
pub fn optional_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::<Object<T>>::deserialize(from).map(|object| object.map(|object| object.0))
}

/// The same for many.
pub fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Vec::<Object<T>>::deserialize(from).map(|objects| objects.into_iter().map(|object| object.0).collect())
}

/// A time as RFC 3339 writes it. What the database can't hold never comes to it, and what we say others can read.
pub fn optional_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    match Option::<DateTime<Utc>>::deserialize(from)? {
        Some(time) if !(0..=9999).contains(&time.year()) => Err(D::Error::custom("a year has four digits")),
        time => Ok(time),
    }
}

/// Two lower-case digits a byte.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// A stranger's text, fit for a log and a terminal: one line, nothing that moves the cursor or turns the direction of
/// writing, at most `max` characters and an ellipsis.
#[must_use]
pub fn plain(text: &str, max: usize) -> String {
    let shown = |c: char| match c {
        c if c.is_whitespace() || c.is_control() => ' ',
        c if is_invisible(c) => '\u{fffd}',
        c => c,
    };
    let mut line = String::new();
    // Longer input than this can't add to the result but for spaces.
    for c in text.chars().take(max.saturating_mul(8)).map(shown) {
        if c != ' ' || !(line.is_empty() || line.ends_with(' ')) {
            line.push(c);
        }
    }
    let line = line.trim_end();
    match line.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", line.split_at(end).0.trim_end()),
        None => line.to_owned(),
    }
}

/// Maximum length of a stranger's name in a mail: enough to recognise it, and too little for a message.
const MAX_MAIL_NAME_LEN: usize = 60;

/// A stranger's name, fit for a mail: one line in which no mail program finds an address to link to. Those look for
/// `a.b`, `a@b` and `a://b`.
#[must_use]
pub fn unlinkable(name: &str) -> String {
    let name = plain(name, MAX_MAIL_NAME_LEN);
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

/// Zero width, and what turns the direction of writing.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

const MAX_NAME: usize = 200;
const MAX_URL: usize = 2048;

/// A name that people read: trimmed, 1 to 200 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > MAX_NAME {
            return Err("must have 1 to 200 characters");
        }
        if text.chars().any(char::is_control) {
            return Err("must not hold control characters");
        }
        if text.chars().any(misleads) {
            return Err("must be readable text, and not turn the direction of what stands beside it");
        }
        Ok(Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

/// What was no text when it came, and what turns the direction of all that follows: the name of one would change how the
/// next one's reads. Marks within a word, as some scripts need them, are none of it.
#[must_use]
pub fn misleads(c: char) -> bool {
    matches!(c, '\u{fffd}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// An absolute web address as it was typed, fit to stand in a `Location` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebUrl(String);

impl WebUrl {
    /// `http` or `https`: the address of a website.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        Self::with_schemes(
            text,
            &["https", "http"],
            "must be an absolute address, for example https://www.contoso.com",
        )
    }

    /// `https` only: what a device may be sent to.
    pub fn parse_https(text: &str) -> Result<Self, &'static str> {
        Self::with_schemes(
            text,
            &["https"],
            "must be an absolute https address, for example https://mdm.contoso.com/discovery",
        )
    }

    fn with_schemes(text: &str, schemes: &[&str], expected: &'static str) -> Result<Self, &'static str> {
        if text.len() > MAX_URL {
            return Err("must have at most 2048 characters");
        }
        if !text.bytes().all(|b| {
            b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
        }) {
            return Err("holds a character that no web address may hold: percent-encode it");
        }
        let url = Url::parse(text).map_err(|_| expected)?;
        // `Url` accepts `https:contoso.com`; a browser would take that as relative.
        let is_absolute = text
            .split_once("://")
            .is_some_and(|(scheme, _)| schemes.contains(&scheme.to_ascii_lowercase().as_str()));
        if !is_absolute || !url.has_host() {
            return Err(expected);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user name or password");
        }
        if url.fragment().is_some() {
            return Err("must not hold a fragment (#…)");
        }
        Ok(Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_address_is_absolute_and_fit_for_a_header() {
        for text in [
            "https://www.contoso.com",
            "http://contoso.com/a?b=%20",
            "https://www.contoso.com:8443/",
        ] {
            assert!(WebUrl::parse(text).is_ok(), "{text}");
        }
        let long = format!("https://contoso.com/{}", "a".repeat(2048));
        for text in [
            "",
            "www.contoso.com",
            "//contoso.com",
            "https:contoso.com",
            "javascript:alert(1)",
            "ftp://contoso.com",
            "https://",
            "https://a b.com",
            "https://contoso.com/\r\nSet-Cookie: a=b",
            "https://user:pw@contoso.com",
            "https://contoso.com/#x",
            "https://contoso.com/é",
            &long,
        ] {
            assert!(WebUrl::parse(text).is_err(), "{text}");
        }
        assert!(WebUrl::parse_https("http://contoso.com").is_err());
    }

    #[test]
    fn a_name_is_trimmed_and_printable() {
        assert_eq!(
            Name::parse("  Contoso Ltd. ").map(Name::into_string),
            Ok("Contoso Ltd.".to_owned())
        );
        for text in [
            "",
            "   ",
            "a\0b",
            "a\nb",
            "a\u{202e}b",
            "a\u{2066}b",
            "\u{fffd}",
            &"é".repeat(201),
        ] {
            assert!(Name::parse(text).is_err(), "{text:?}");
        }
        // Joiners and marks belong to words.
        for text in ["می\u{200c}خواهم", "👩\u{200d}💻 Ltd.", "א\u{200e}"] {
            assert!(Name::parse(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn what_a_stranger_says_moves_no_cursor_and_turns_no_text() {
        for (text, shown) in [
            ("plain", "plain"),
            ("  a \r\n\t b  ", "a b"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}x", "[2J ]0;title x"),
            ("a\u{9b}31mb", "a 31mb"),
            ("\u{202e}moc.osotnoc", "\u{fffd}moc.osotnoc"),
            ("ab\u{200b}cd", "ab\u{fffd}cd"),
            ("", ""),
        ] {
            assert_eq!(plain(text, 100), shown, "{text:?}");
        }
    }

    #[test]
    fn a_name_in_a_mail_is_no_link_and_no_other_line() {
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
            assert_eq!(unlinkable(name), shown, "{name:?}");
        }
        assert!(unlinkable(&"word ".repeat(100)).chars().count() <= MAX_MAIL_NAME_LEN + 1);
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(plain("äöüß", 3), "äöü…");
        assert_eq!(plain("äöü", 3), "äöü");
        assert_eq!(plain(&"x".repeat(1_000_000), 2), "xx…");
    }
}
