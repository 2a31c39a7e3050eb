//! What a page's form sent: read within bounds, proved to come from our own page, and kept as it was typed.
use std::time::Duration;

use actix_web::{HttpRequest, dev::Payload, http::header};
use bytes::BytesMut;
use futures_util::StreamExt;

use super::{
    browser::Browser,
    fault::Fault,
    upload::{self, Parts},
};
use crate::body_budget::Reservation;

/// Of most forms.
pub const LIMIT: usize = 64 * 1024;
/// A form that takes longer is refused: whoever sends slowly is not waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// More fields than any page of ours has.
const MAX_FIELDS: usize = 2_000;

/// The fields as they were typed, and what is wrong with them.
#[derive(Clone, Default)]
pub struct Form {
    fields: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
    errors: Vec<(String, String)>,
}

impl Form {
    /// Reads a form of at most `limit` bytes that one of our pages sent.
    pub async fn read(request: &HttpRequest, payload: Payload, limit: usize) -> Result<Self, Fault> {
        let form = Self::read_unproved(request, payload, limit).await?;
        let is_ours = is_same_origin(request) && Browser::of(request).is_own(form.value("csrf"));
        match is_ours {
            true => Ok(form),
            false => Err(Fault::Forged(form.typed())),
        }
    }

    /// The same, whoever sent it: only to show it.
    pub async fn read_unproved(request: &HttpRequest, mut payload: Payload, limit: usize) -> Result<Self, Fault> {
        let media_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media_type = media_type
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        let has_file = media_type.eq_ignore_ascii_case("multipart/form-data");
        if !has_file && !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Fault::NotAForm);
        }
        let whole = async {
            let (mut bytes, mut reserved) = (BytesMut::new(), Reservation::default());
            while let Some(chunk) = payload.next().await {
                let chunk = chunk.map_err(|_| Fault::Incomplete)?;
                if bytes.len() + chunk.len() > limit {
                    return Err(Fault::TooLarge(limit));
                }
                reserved.grow(chunk.len()).map_err(|_| Fault::Busy)?;
                bytes.extend_from_slice(&chunk);
            }
            Ok(bytes)
        };
        let bytes = tokio::time::timeout(PATIENCE, whole)
            .await
            .unwrap_or(Err(Fault::Incomplete))?;
        let Parts { fields, files } = if has_file {
            upload::parts(request.headers(), bytes.freeze(), MAX_FIELDS).await?
        } else {
            let pairs = url::form_urlencoded::parse(&bytes).into_owned();
            Parts {
                fields: pairs.take(MAX_FIELDS + 1).collect(),
                files: Vec::new(),
            }
        };
        // A browser sends line ends as CR LF, whatever was typed.
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name, value.replace("\r\n", "\n")));
        let fields: Vec<_> = fields.collect();
        match fields.len() + files.len() > MAX_FIELDS {
            true => Err(Fault::TooLarge(limit)),
            false => Ok(Self {
                fields,
                files,
                errors: Vec::new(),
            }),
        }
    }

    /// All fields as they were sent, in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A form with values that nobody typed.
    #[must_use]
    pub fn of(fields: &[(&str, &str)]) -> Self {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            fields: fields.collect(),
            ..Self::default()
        }
    }

    /// Puts a value there, instead of what was typed.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.to_owned(), value.into()));
    }

    /// The first value of a field; empty if there is none.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    #[must_use]
    pub fn find(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The file that was chosen in a field; empty if none was.
    #[must_use]
    pub fn file(&self, name: &str) -> &[u8] {
        let found = self.files.iter().find(|(field, _)| field == name);
        found.map(|(_, bytes)| bytes.as_slice()).unwrap_or_default()
    }

    /// The same as a text, as if it had been typed. What is no UTF-8 is marked in it.
    #[must_use]
    pub fn text_of_file(&self, name: &str) -> String {
        String::from_utf8_lossy(self.file(name)).replace("\r\n", "\n")
    }

    /// Every value of a field, for example of boxes that are ticked.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields
            .iter()
            .filter(move |(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    #[must_use]
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.all(name).any(|other| other == value)
    }

    /// What `parse` makes of a field, or its complaint, which is kept.
    pub fn parse<T, E: ToString>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        match parse(self.value(name)) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.complain(name, error);
                None
            }
        }
    }

    /// Says what is wrong with a field; with the form as a whole if the name is empty.
    pub fn complain(&mut self, name: &str, error: impl ToString) {
        self.errors.push((name.to_owned(), error.to_string()));
    }

    #[must_use]
    pub fn error(&self, name: &str) -> Option<&str> {
        let found = self.errors.iter().find(|(field, _)| field == name);
        found.map(|(_, error)| error.as_str())
    }

    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.errors.is_empty()
    }

    /// What a person typed, to be shown so that it is not lost: no secrets, nothing that the page added.
    #[must_use]
    pub fn typed(&self) -> Vec<(String, String)> {
        let shown = |name: &str| {
            !matches!(name, "csrf" | "next" | "code" | "credential" | "do")
                && !name.contains("password")
                && !name.contains("secret")
        };
        let typed = self
            .fields
            .iter()
            .filter(|(name, value)| shown(name) && !value.is_empty());
        typed.cloned().collect()
    }
}

/// A browser says where a form comes from (RFC 6454 §7). One that says nothing is judged by its token alone.
fn is_same_origin(request: &HttpRequest) -> bool {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else {
        return !request.headers().contains_key(header::ORIGIN);
    };
    let authority = request.uri().authority().map(actix_web::http::uri::Authority::as_str);
    let host = authority.or_else(|| text(header::HOST));
    let sent_from = origin.split_once("://").map(|(_, authority)| authority);
    sent_from.is_some_and(|from| host.is_some_and(|host| from.eq_ignore_ascii_case(host)))
}

/// Where to go after signing in: a path of ours and nothing else.
#[must_use]
pub fn next(text: &str) -> &str {
    let mut bytes = text.bytes();
    let is_path = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    let is_plain = text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    match is_path && is_plain {
        true => text,
        false => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_signing_in_nobody_is_led_to_another_site() {
        for path in ["/", "/domains", "/domains/contoso.com?tab=dns", "/a//b"] {
            assert_eq!(next(path), path);
        }
        let long = format!("/{}", "a".repeat(2048));
        for text in [
            "",
            "domains",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: a=b",
            "/é",
            "\\\\evil.example",
            &long,
        ] {
            assert_eq!(next(text), "/", "{text}");
        }
    }

    #[test]
    fn what_was_typed_is_kept_and_no_secret_among_it() {
        let mut form = Form::of(&[
            ("name", "<b>"),
            ("password", "x"),
            ("new_password", "x"),
            ("csrf", "t"),
            ("name", "two"),
        ]);
        assert_eq!(
            form.typed(),
            [("name".into(), "<b>".into()), ("name".into(), "two".into())]
        );
        assert_eq!((form.value("name"), form.value("other")), ("<b>", ""));
        assert_eq!(form.all("name").collect::<Vec<_>>(), ["<b>", "two"]);
        assert!(form.is_fine());
        assert_eq!(form.parse("name", |_| Err::<(), _>("is none")), None);
        assert_eq!(form.error("name"), Some("is none"));
    }
}
