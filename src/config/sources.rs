//! Where a setting's text comes from: environment, file, default; and how it is shown.
use std::{collections::BTreeMap, ffi::OsString, fmt, path::Path};

use super::{SETTINGS, Setting, Settings};

const FILE: &str = "signpost.toml";

/// The texts of all settings that were given, by name.
pub struct Sources {
    given: BTreeMap<&'static str, (String, Origin)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Environment,
    File,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "environment",
            Self::File => FILE,
            Self::Default => "default",
        })
    }
}

/// One line that names the setting, says what is wrong with it and what would be right.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {detail}")]
pub struct SettingError {
    pub name: String,
    pub detail: String,
}

impl SettingError {
    pub(super) fn new(name: &str, detail: impl fmt::Display) -> Self {
        Self {
            name: name.to_owned(),
            detail: detail.to_string(),
        }
    }
}

/// A setting as `check-config` shows it: a secret's text is masked.
pub struct InForce {
    pub name: &'static str,
    pub value: Option<String>,
    pub origin: Origin,
}

impl Sources {
    /// The process's environment over `signpost.toml` in the working directory.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub fn read() -> Result<Self, SettingError> {
        let file = match std::fs::read_to_string(FILE) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(SettingError::new(FILE, format_args!("can't be read: {error}"))),
        };
        Self::from(std::env::vars_os(), file.as_deref())
    }

    /// Whether people want no colours (<https://no-color.org>).
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    #[must_use]
    pub fn no_color() -> bool {
        std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
    }

    /// The same from given texts, for tests.
    pub fn from(
        environment: impl Iterator<Item = (OsString, OsString)>,
        file: Option<&str>,
    ) -> Result<Self, SettingError> {
        let mut sources = Self { given: BTreeMap::new() };
        if let Some(text) = file {
            sources.add_file(text)?;
        }
        for (name, value) in environment {
            let Some(name) = name
                .to_str()
                .filter(|name| *name == "DATABASE_URL" || name.starts_with("SIGNPOST_"))
            else {
                continue;
            };
            let value = value
                .into_string()
                .map_err(|_| SettingError::new(name, "is not UTF-8"))?;
            sources.add(name, name, value, Origin::Environment)?;
        }
        Ok(sources)
    }

    fn add_file(&mut self, text: &str) -> Result<(), SettingError> {
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| SettingError::new(FILE, error.message()))?;
        for (key, value) in table {
            let shown = format!("{FILE}: {key}");
            let name = match key.as_str() {
                "database_url" => "DATABASE_URL".to_owned(),
                key if key.starts_with("signpost_") => key.to_ascii_uppercase(),
                key => format!("SIGNPOST_{}", key.to_ascii_uppercase()),
            };
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                _ => return Err(SettingError::new(&shown, "must be a text or a whole number")),
            };
            self.add(&name, &shown, value, Origin::File)?;
        }
        Ok(())
    }

    /// An empty text counts as not given: that is how Compose files pass an unset variable on.
    fn add(&mut self, name: &str, shown: &str, value: String, origin: Origin) -> Result<(), SettingError> {
        let setting = SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
            let hint = nearest(name).map_or(String::new(), |known| format!("; did you mean {known}?"));
            SettingError::new(shown, format_args!("is not a setting of Signpost{hint}"))
        })?;
        if !value.is_empty() {
            self.given.insert(setting.name, (value, origin));
        }
        Ok(())
    }

    /// Parses everything; an unreadable file or a malformed text is an error that names the setting.
    pub fn settings(&self) -> Result<Settings, SettingError> {
        super::parse::settings(self)
    }

    /// The text in force, if there is one.
    pub(super) fn text(&self, name: &'static str) -> Option<&str> {
        self.given
            .get(name)
            .map(|(text, _)| text.as_str())
            .or_else(|| find(name).default)
    }

    /// Every setting with the value in force, in the documented order.
    pub fn in_force(&self) -> impl Iterator<Item = InForce> {
        SETTINGS.iter().map(|setting| InForce {
            name: setting.name,
            value: self
                .text(setting.name)
                .map(|text| if setting.secret { mask(text) } else { text.to_owned() }),
            origin: self
                .given
                .get(setting.name)
                .map_or(Origin::Default, |(_, origin)| *origin),
        })
    }
}

fn find(name: &str) -> &'static Setting {
    SETTINGS
        .iter()
        .find(|setting| setting.name == name)
        .expect("parse.rs names settings of the table only")
}

/// A URL keeps what tells servers apart (scheme, host, path); anything else is hidden whole.
fn mask(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(mut url) if url.has_host() => {
            if url.password().is_some() && url.set_password(Some("***")).is_err() {
                return "***".to_owned();
            }
            url.set_query(None);
            url.to_string()
        }
        _ => "***".to_owned(),
    }
}

/// The setting whose name shares the most leading or trailing characters, if that is most of it.
fn nearest(name: &str) -> Option<&'static str> {
    let shared = |known: &str| {
        let head = known.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        let tail = known
            .bytes()
            .rev()
            .zip(name.bytes().rev())
            .take_while(|(a, b)| a == b)
            .count();
        head + tail
    };
    let best = SETTINGS
        .iter()
        .map(|setting| setting.name)
        .max_by_key(|known| shared(known))?;
    (shared(best) + 3 >= best.len().max(name.len())).then_some(best)
}

/// Opens a file that a setting names, to say now and not later that it can't be read.
pub(super) fn readable(name: &str, path: &Path) -> Result<(), SettingError> {
    let opened = std::fs::File::open(path).and_then(|file| file.metadata());
    match opened {
        Ok(metadata) if metadata.is_dir() => Err(SettingError::new(
            name,
            format_args!("{} is a directory, not a file", path.display()),
        )),
        Ok(_) => Ok(()),
        Err(error) => Err(SettingError::new(
            name,
            format_args!("can't read {}: {error}", path.display()),
        )),
    }
}

pub(super) fn is_secret(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.name == name && setting.secret)
}
