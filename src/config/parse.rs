//! From texts to types, each error naming its setting.
use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use super::database_url::DatabaseUrl;
use super::sources::readable;
use super::{Acme, Certificates, Challenge, OwnHost, Registration, Secret, SettingError, Settings, Sources};

pub(super) fn settings(sources: &Sources) -> Result<Settings, SettingError> {
    let state_dir: PathBuf = required(sources, "SIGNPOST_STATE_DIR")?;
    let portal_host = required(sources, "SIGNPOST_PORTAL_HOST")?;
    let edge_host = required(sources, "SIGNPOST_EDGE_HOST")?;
    if portal_host == edge_host {
        return Err(SettingError::new(
            "SIGNPOST_EDGE_HOST",
            "must differ from SIGNPOST_PORTAL_HOST",
        ));
    }
    if sources.text("SIGNPOST_SMTP_URL").is_some() != sources.text("SIGNPOST_MAIL_FROM").is_some() {
        let missing = match sources.text("SIGNPOST_MAIL_FROM") {
            Some(_) => "SIGNPOST_SMTP_URL",
            None => "SIGNPOST_MAIL_FROM",
        };
        return Err(SettingError::new(
            missing,
            "is needed with the other of SIGNPOST_SMTP_URL and SIGNPOST_MAIL_FROM",
        ));
    }
    Ok(Settings {
        database: optional::<DatabaseUrl>(sources, "DATABASE_URL")?.map(|url| url.0),
        http_addr: required(sources, "SIGNPOST_HTTP_ADDR")?,
        https_addr: required(sources, "SIGNPOST_HTTPS_ADDR")?,
        ops_addr: required(sources, "SIGNPOST_OPS_ADDR")?,
        portal_host,
        edge_host,
        edge_addresses: list::<IpAddr>(sources, "SIGNPOST_EDGE_ADDRESSES")?,
        secret_key_file: secret_key_file(sources, &state_dir)?,
        certificates: required(sources, "SIGNPOST_CERTIFICATES")?,
        acme: acme(sources)?,
        public_http_port: required(sources, "SIGNPOST_PUBLIC_HTTP_PORT")?,
        public_https_port: required(sources, "SIGNPOST_PUBLIC_HTTPS_PORT")?,
        dns_servers: list(sources, "SIGNPOST_DNS_SERVERS")?,
        outbound_allow: list(sources, "SIGNPOST_OUTBOUND_ALLOW")?,
        entra_urls: entra_urls(sources)?,
        registration: required(sources, "SIGNPOST_REGISTRATION")?,
        unverified_domains: required(sources, "SIGNPOST_UNVERIFIED_DOMAINS")?,
        trusted_proxies: list(sources, "SIGNPOST_TRUSTED_PROXIES")?,
        proxy_protocol: list(sources, "SIGNPOST_PROXY_PROTOCOL")?,
        drain: drain(sources)?,
        smtp_url: optional(sources, "SIGNPOST_SMTP_URL")?,
        mail_from: optional(sources, "SIGNPOST_MAIL_FROM")?,
        log: log_filter(sources)?,
        state_dir,
    })
}

fn drain(sources: &Sources) -> Result<Duration, SettingError> {
    const NAME: &str = "SIGNPOST_DRAIN_SECONDS";
    match required(sources, NAME)? {
        seconds @ 0..=300 => Ok(Duration::from_secs(seconds)),
        _ => Err(SettingError::new(NAME, "must be at most 300")),
    }
}

fn secret_key_file(sources: &Sources, state_dir: &std::path::Path) -> Result<PathBuf, SettingError> {
    const NAME: &str = "SIGNPOST_SECRET_KEY_FILE";
    let path = optional(sources, NAME)?.unwrap_or_else(|| state_dir.join("secret.key"));
    // A missing file is a question for the database (it may be made on an empty one only).
    match path.try_exists() {
        Ok(false) => Ok(path),
        _ => readable(NAME, &path).map(|()| path),
    }
}

fn acme(sources: &Sources) -> Result<Acme, SettingError> {
    let ca_file: Option<PathBuf> = optional(sources, "SIGNPOST_ACME_CA_FILE")?;
    if let Some(path) = &ca_file {
        readable("SIGNPOST_ACME_CA_FILE", path)?;
    }
    let directory: url::Url = required(sources, "SIGNPOST_ACME_DIRECTORY")?;
    if directory.scheme() != "https" || !directory.username().is_empty() || directory.password().is_some() {
        return Err(SettingError::new(
            "SIGNPOST_ACME_DIRECTORY",
            "must be an https address without a user name",
        ));
    }
    // One without the other would be left out without a word.
    match (
        sources.text("SIGNPOST_ACME_EAB_KEY_ID"),
        sources.text("SIGNPOST_ACME_EAB_KEY"),
    ) {
        (Some(_), None) => {
            return Err(SettingError::new(
                "SIGNPOST_ACME_EAB_KEY",
                "is needed with SIGNPOST_ACME_EAB_KEY_ID",
            ));
        }
        (None, Some(_)) => {
            return Err(SettingError::new(
                "SIGNPOST_ACME_EAB_KEY_ID",
                "is needed with SIGNPOST_ACME_EAB_KEY",
            ));
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    Ok(Acme {
        directory,
        contact: optional(sources, "SIGNPOST_ACME_CONTACT")?,
        challenge: required(sources, "SIGNPOST_ACME_CHALLENGE")?,
        ca_file,
        profile: optional(sources, "SIGNPOST_ACME_PROFILE")?,
        eab_key_id: optional(sources, "SIGNPOST_ACME_EAB_KEY_ID")?,
        eab_key: optional(sources, "SIGNPOST_ACME_EAB_KEY")?,
    })
}

/// As Intune's parameter `cloud` names them.
const ENTRA_CLOUDS: [&str; 3] = ["global", "us_government", "china"];

fn entra_urls(sources: &Sources) -> Result<Vec<(String, url::Url)>, SettingError> {
    const NAME: &str = "SIGNPOST_ENTRA_URLS";
    items(sources, NAME)
        .map(|item| {
            let (cloud, url) = item
                .split_once('=')
                .ok_or_else(|| SettingError::new(NAME, format_args!("`{item}` is not cloud=url")))?;
            let url: url::Url = parse(NAME, url)?;
            if !ENTRA_CLOUDS.contains(&cloud) {
                let known = ENTRA_CLOUDS.join(", ");
                return Err(SettingError::new(NAME, format_args!("`{cloud}` is not one of {known}")));
            }
            if !matches!(url.scheme(), "http" | "https") {
                return Err(SettingError::new(
                    NAME,
                    format_args!("`{url}` is not an http or https URL"),
                ));
            }
            Ok((cloud.to_owned(), url))
        })
        .collect()
}

fn log_filter(sources: &Sources) -> Result<String, SettingError> {
    const NAME: &str = "SIGNPOST_LOG";
    let text: String = required(sources, NAME)?;
    tracing_subscriber::EnvFilter::try_new(&text)
        .map_err(|error| SettingError::new(NAME, format_args!("`{text}` is not a filter: {error}")))?;
    Ok(text)
}

fn required<T: FromStr<Err: fmt::Display>>(sources: &Sources, name: &'static str) -> Result<T, SettingError> {
    optional(sources, name)?.ok_or_else(|| SettingError::new(name, "is needed"))
}

fn optional<T: FromStr<Err: fmt::Display>>(sources: &Sources, name: &'static str) -> Result<Option<T>, SettingError> {
    sources.text(name).map(|text| parse(name, text)).transpose()
}

fn list<T: FromStr<Err: fmt::Display>>(sources: &Sources, name: &'static str) -> Result<Vec<T>, SettingError> {
    items(sources, name).map(|item| parse(name, item)).collect()
}

fn items<'a>(sources: &'a Sources, name: &'static str) -> impl Iterator<Item = &'a str> {
    sources
        .text(name)
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// The text itself is shown only where it can't be a secret.
fn parse<T: FromStr<Err: fmt::Display>>(name: &str, text: &str) -> Result<T, SettingError> {
    text.parse().map_err(|error| match super::sources::is_secret(name) {
        true => SettingError::new(name, error),
        false => SettingError::new(name, format_args!("`{text}`: {error}")),
    })
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for OwnHost {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label_is_fine = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let ends_in_a_number = name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if name.len() <= crate::hostname::MAX_LENGTH && name.split('.').all(label_is_fine) && !ends_in_a_number {
            Ok(Self(name))
        } else {
            Err("expected a hostname without scheme, port or path, for example signpost.example.com")
        }
    }
}

impl FromStr for Certificates {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "internal" => Ok(Self::Internal),
            "acme" => Ok(Self::Acme),
            _ => Err("expected `internal` or `acme`"),
        }
    }
}

impl FromStr for Challenge {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "http-01" => Ok(Self::Http01),
            "tls-alpn-01" => Ok(Self::TlsAlpn01),
            _ => Err("expected `http-01` or `tls-alpn-01`"),
        }
    }
}

impl FromStr for Registration {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "open" => Ok(Self::Open),
            "invite" => Ok(Self::Invite),
            _ => Err("expected `open` or `invite`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings_of(pairs: &[(&str, &str)]) -> Result<Settings, SettingError> {
        Sources::from(pairs.iter().map(|(name, value)| (name.into(), value.into())), None)?.settings()
    }

    #[test]
    fn with_nothing_given_the_trial_defaults_are_in_force() {
        let settings = settings_of(&[("HOME", "/root")])
            .map_err(|e| e.to_string())
            .expect("defaults are valid");
        assert!(settings.database.is_none());
        assert_eq!(settings.http_addr.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.portal_host.as_str(), "localhost");
        assert_eq!(settings.certificates, Certificates::Internal);
        assert_eq!(settings.secret_key_file, PathBuf::from("./.signpost/secret.key"));
    }

    #[test]
    fn every_mistake_is_one_line_that_names_its_variable() {
        for (name, value) in [
            ("SIGNPOST_HTTP_ADDR", "localhost"),
            ("SIGNPOST_HTTPS_ADDR", "127.0.0.1:99999"),
            ("SIGNPOST_HTTP_ADRESS", "127.0.0.1:1"),
            ("SIGNPOST_PORTAL_HOST", "https://x.example"),
            ("SIGNPOST_EDGE_HOST", "localhost"),
            ("SIGNPOST_EDGE_ADDRESSES", "192.0.2.1,nonsense"),
            ("SIGNPOST_CERTIFICATES", "letsencrypt"),
            ("SIGNPOST_ACME_CA_FILE", "/nonexistent/ca.pem"),
            ("SIGNPOST_ACME_DIRECTORY", "http://ca.example/directory"),
            ("SIGNPOST_ACME_DIRECTORY", "https://user:hunter2@ca.example/directory"),
            ("SIGNPOST_ACME_DIRECTORY", "nonsense"),
            ("SIGNPOST_SECRET_KEY_FILE", "/etc"),
            ("SIGNPOST_TRUSTED_PROXIES", "10.0.0.0/64"),
            ("SIGNPOST_PROXY_PROTOCOL", "10.0.0.1/33"),
            ("SIGNPOST_ENTRA_URLS", "global"),
            ("SIGNPOST_ENTRA_URLS", "moon=https://login.example"),
            ("SIGNPOST_ENTRA_URLS", "global=mailto:login@example.com"),
            ("SIGNPOST_DRAIN_SECONDS", "-1"),
            ("SIGNPOST_DRAIN_SECONDS", "301"),
            ("SIGNPOST_LOG", "info,,=x="),
            ("DATABASE_URL", "mysql://root:hunter2@db/x"),
        ] {
            let error = settings_of(&[(name, value)])
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(
                error.starts_with(name) && error.lines().count() == 1,
                "{name}={value}: {error:?}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn half_an_external_account_is_a_mistake_that_names_the_other_half() {
        for (given, needed) in [
            ("SIGNPOST_ACME_EAB_KEY_ID", "SIGNPOST_ACME_EAB_KEY: is needed"),
            ("SIGNPOST_ACME_EAB_KEY", "SIGNPOST_ACME_EAB_KEY_ID: is needed"),
        ] {
            let error = settings_of(&[(given, "hunter2")]).err().map(|error| error.to_string());
            assert!(
                error.is_some_and(|error| error.starts_with(needed) && !error.contains("hunter2")),
                "{given}"
            );
        }
        assert!(settings_of(&[("SIGNPOST_ACME_EAB_KEY_ID", "kid"), ("SIGNPOST_ACME_EAB_KEY", "AAAA")]).is_ok());
    }

    #[test]
    fn the_file_holds_the_same_names_in_lower_case_and_the_environment_wins() {
        let file = "http_addr = '127.0.0.1:1'\nsignpost_https_addr = '127.0.0.1:2'\npublic_http_port = 8081";
        let environment = [("SIGNPOST_HTTP_ADDR".into(), "127.0.0.1:3".into())];
        let settings = Sources::from(environment.into_iter(), Some(file))
            .and_then(|s| s.settings())
            .map_err(|e| e.to_string())
            .expect("valid");
        assert_eq!(
            (
                settings.http_addr.port(),
                settings.https_addr.port(),
                settings.public_http_port
            ),
            (3, 2, 8081)
        );
        let error = Sources::from(std::iter::empty(), Some("http_adr = 'x'"))
            .err()
            .map(|e| e.to_string());
        assert_eq!(
            error.as_deref(),
            Some("signpost.toml: http_adr: is not a setting of Signpost; did you mean SIGNPOST_HTTP_ADDR?")
        );
    }

    #[test]
    fn secrets_are_masked_where_settings_are_shown() {
        let pairs = [
            ("DATABASE_URL", "postgres://u:hunter2@db/x?password=hunter2"),
            ("SIGNPOST_ACME_EAB_KEY_ID", "customer"),
            ("SIGNPOST_ACME_EAB_KEY", "hunter2"),
            ("SIGNPOST_SMTP_URL", "smtp://u:hunter2@mail"),
        ];
        let sources = Sources::from(pairs.iter().map(|(n, v)| (n.into(), v.into())), None)
            .map_err(|e| e.to_string())
            .expect("known names");
        let shown: String = sources.in_force().filter_map(|setting| setting.value).collect();
        assert!(
            !shown.contains("hunter2") && shown.contains("postgres://u:***@db/x"),
            "{shown}"
        );
    }
}
