//! The kinds of parameters: what each accepts, its normal form, and how it stands in a URL.

use super::base_urls::{BaseUrl, UrlError};
use super::escapes;
use super::hosts::{Host, HostError};
use super::names;
use uuid::Uuid;

const MAX_TEXT_BYTES: usize = 512;
const HYPHENATED_GUID_CHARACTERS: usize = 36;

#[derive(Debug)]
pub enum Kind {
    /// Lower case, 8-4-4-4-12.
    Uuid,
    Enum {
        choices: &'static [Choice],
        default: &'static str,
    },
    /// A hostname with an optional port.
    Host,
    Hostname,
    /// One DNS label.
    Label,
    /// 1 to 512 bytes without control characters, percent-encoded where it is used.
    Text,
    /// An absolute `https` URL of at most 2048 bytes.
    Url,
}

#[derive(Debug)]
pub struct Choice {
    pub value: &'static str,
    pub(super) in_url: &'static str,
}

impl Kind {
    /// The `type` in the API.
    pub fn key(&self) -> &'static str {
        match self {
            Kind::Uuid => "uuid",
            Kind::Enum { .. } => "enum",
            Kind::Host => "host",
            Kind::Hostname => "hostname",
            Kind::Label => "label",
            Kind::Text => "text",
            Kind::Url => "url",
        }
    }

    /// What an enum may be; `None` for the other kinds.
    pub fn values(&self) -> Option<Vec<&'static str>> {
        match self {
            Kind::Enum { choices, .. } => Some(choices.iter().map(|choice| choice.value).collect()),
            _ => None,
        }
    }

    pub fn default(&self) -> Option<&'static str> {
        match self {
            Kind::Enum { default, .. } => Some(default),
            _ => None,
        }
    }

    /// What `captured`, a part of a URL, was before it was put there; `None` if this kind never gives it.
    ///
    /// An identifier that is none comes back as it is: `aadTenantId=YourTenantID` is a template that somebody
    /// forgot to fill, and [`Kind::parse`] says so. A host that is none means another vendor's URL.
    pub(super) fn read(&self, captured: &str) -> Option<String> {
        match self {
            Kind::Enum { choices, .. } => choices
                .iter()
                .find(|choice| choice.in_url == captured)
                .map(|choice| choice.value.to_owned()),
            Kind::Host | Kind::Hostname | Kind::Label => self.parse(captured).ok().map(|parsed| parsed.stored),
            Kind::Text => escapes::decode(captured),
            Kind::Uuid => Some(captured.to_owned()),
            // Every URL is one, so none tells whose it is.
            Kind::Url => None,
        }
    }

    pub(super) fn parse(&self, text: &str) -> Result<Parsed, ValueError> {
        match self {
            Kind::Uuid => guid(text).map(Parsed::same),
            Kind::Enum { choices, .. } => choices
                .iter()
                .find(|choice| choice.value == text)
                .map(|choice| Parsed {
                    stored: choice.value.to_owned(),
                    in_url: choice.in_url.to_owned(),
                })
                .ok_or_else(|| ValueError::NotAChoice(self.form())),
            Kind::Host => Ok(Parsed::same(Host::parse(text)?.to_string())),
            Kind::Hostname => Ok(Parsed::same(Host::parse(text)?.without_port()?)),
            Kind::Label => Ok(Parsed::same(names::parse_label(text)?)),
            Kind::Text => free_text(text),
            Kind::Url => Ok(Parsed::same(BaseUrl::parse(text)?.into_string())),
        }
    }

    /// What to give, for an error's text.
    pub(super) fn form(&self) -> String {
        match self {
            Kind::Uuid => "a GUID such as 72f988bf-86f1-41af-91ab-2d7cd011db47".to_owned(),
            Kind::Enum { .. } => format!("one of {}", self.values().unwrap_or_default().join(", ")),
            Kind::Host => "a host such as mdm.example.com or mdm.example.com:8443".to_owned(),
            Kind::Hostname => "a host name such as mdm.example.com".to_owned(),
            Kind::Label => "the account's name, which is the first part of its host name".to_owned(),
            Kind::Text => "the text as the MDM's console shows it".to_owned(),
            Kind::Url => "a URL such as https://mdm.example.com/enroll".to_owned(),
        }
    }
}

/// A parameter as it is kept and as it stands in a URL.
pub struct Parsed {
    pub stored: String,
    pub in_url: String,
}

impl Parsed {
    fn same(text: String) -> Self {
        Self {
            stored: text.clone(),
            in_url: text,
        }
    }
}

fn guid(text: &str) -> Result<String, ValueError> {
    match Uuid::try_parse(text) {
        Ok(guid) if text.len() != HYPHENATED_GUID_CHARACTERS => Err(ValueError::OtherGuidForm(guid)),
        Ok(guid) if guid.is_nil() => Err(ValueError::NilGuid),
        Ok(guid) => Ok(guid.to_string()),
        Err(_) => Err(ValueError::NotAGuid),
    }
}

fn free_text(text: &str) -> Result<Parsed, ValueError> {
    match text {
        "" => Err(ValueError::EmptyText),
        _ if text.len() > MAX_TEXT_BYTES => Err(ValueError::TextTooLong),
        _ if text.contains(char::is_control) => Err(ValueError::ControlCharacter),
        _ => Ok(Parsed {
            stored: text.to_owned(),
            in_url: escapes::encode(text),
        }),
    }
}

/// Why a parameter was refused, and what to give instead.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    #[error("This is required. Give {0}.")]
    Missing(String),
    #[error("{vendor} has no parameter of this name. It knows {known}.")]
    Unknown { vendor: String, known: String },
    #[error("This is {found}. Give {form}, as a JSON string.")]
    NotAString { found: &'static str, form: String },
    #[error("This is not one of the values. Give {0}.")]
    NotAChoice(String),
    #[error("This is not a GUID. Give 32 hexadecimal digits in groups of 8-4-4-4-12, with nothing around them.")]
    NotAGuid,
    #[error("This GUID has another form. Give it as {0}.")]
    OtherGuidForm(Uuid),
    #[error("This GUID is all zeros, which is nobody's tenant. Give the ID that the Entra admin center shows.")]
    NilGuid,
    #[error("This is empty. Copy the value from the MDM's console.")]
    EmptyText,
    #[error("This is longer than {MAX_TEXT_BYTES} bytes. Copy the value alone from the MDM's console.")]
    TextTooLong,
    #[error("This holds a control character, such as a line break. Copy the value again, without it.")]
    ControlCharacter,
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Url(#[from] UrlError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_id_is_a_hyphenated_guid_and_nothing_else() {
        let id = "72f988bf-86f1-41af-91ab-2d7cd011db47";
        assert_eq!(guid(&id.to_uppercase()).unwrap(), id);
        let refused = [
            ("72f988bf86f141af91ab2d7cd011db47", id),
            ("{72f988bf-86f1-41af-91ab-2d7cd011db47}", id),
            ("urn:uuid:72f988bf-86f1-41af-91ab-2d7cd011db47", id),
            ("00000000-0000-0000-0000-000000000000", "all zeros"),
            ("", "not a GUID"),
            (" 72f988bf-86f1-41af-91ab-2d7cd011db47", "nothing around"),
            ("72f988bf-86f1-41af-91ab-2d7cd011db47\n", "nothing around"),
            ("72f988bf-86f1-41af-91ab-2d7cd011db4", "8-4-4-4-12"),
            ("72f988bf8-6f1-41af-91ab-2d7cd011db47", "8-4-4-4-12"),
            ("72f988bg-86f1-41af-91ab-2d7cd011db47", "hexadecimal"),
            ("７2f988bf-86f1-41af-91ab-2d7cd011db4", "not a GUID"),
            ("YourAADTenantID", "not a GUID"),
        ];
        for (text, reason) in refused {
            let detail = guid(text).unwrap_err().to_string();
            assert!(detail.contains(reason), "{text:?}: {detail}");
        }
    }

    #[test]
    fn a_token_is_any_text_that_is_neither_empty_nor_long_nor_broken_over_lines() {
        for text in ["a", " ", "a%2Bb", "{x}", "ü", &"k".repeat(512)] {
            assert_eq!(free_text(text).unwrap().stored, text);
        }
        let refused = [
            ("", "empty"),
            ("a\nb", "line break"),
            ("a\0", "control"),
            ("\u{85}", "control"),
        ];
        for (text, reason) in refused.map(|(text, reason)| (text.to_owned(), reason)) {
            assert!(free_text(&text).err().unwrap().to_string().contains(reason), "{text:?}");
        }
        assert!(
            free_text(&"ü".repeat(257))
                .err()
                .unwrap()
                .to_string()
                .contains("512 bytes")
        );
    }
}
