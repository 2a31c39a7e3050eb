//! Every setting: its name, what it means, its default, and how it is parsed.
//!
//! Settings come from the environment, then from `signpost.toml` in the working directory, then
//! from the defaults. A name that is not listed here is an error: a typing mistake must not be
//! silently ignored. Nothing else in the crate reads the environment.
mod database_url;
mod parse;
mod sources;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use sqlx::postgres::PgConnectOptions;
use url::Url;

pub use sources::{InForce, Origin, SettingError, Sources};

/// One setting; `docs/OPERATIONS.md` has the same table with what each means.
pub struct Setting {
    pub name: &'static str,
    pub default: Option<&'static str>,
    pub secret: bool,
}

const fn setting(name: &'static str, default: &'static str) -> Setting {
    Setting {
        name,
        default: Some(default),
        secret: false,
    }
}

const fn unset(name: &'static str) -> Setting {
    Setting {
        name,
        default: None,
        secret: false,
    }
}

const fn secret(name: &'static str) -> Setting {
    Setting {
        name,
        default: None,
        secret: true,
    }
}

pub const SETTINGS: &[Setting] = &[
    secret("DATABASE_URL"),
    setting("SIGNPOST_STATE_DIR", "./.signpost"),
    setting("SIGNPOST_HTTP_ADDR", "127.0.0.1:8080"),
    setting("SIGNPOST_HTTPS_ADDR", "127.0.0.1:8443"),
    setting("SIGNPOST_OPS_ADDR", "127.0.0.1:9090"),
    setting("SIGNPOST_PORTAL_HOST", "localhost"),
    setting("SIGNPOST_EDGE_HOST", "edge.localhost"),
    setting("SIGNPOST_EDGE_ADDRESSES", "127.0.0.1"),
    unset("SIGNPOST_SECRET_KEY_FILE"),
    setting("SIGNPOST_CERTIFICATES", "internal"),
    setting(
        "SIGNPOST_ACME_DIRECTORY",
        "https://acme-v02.api.letsencrypt.org/directory",
    ),
    unset("SIGNPOST_ACME_CONTACT"),
    setting("SIGNPOST_ACME_CHALLENGE", "http-01"),
    unset("SIGNPOST_ACME_CA_FILE"),
    unset("SIGNPOST_ACME_PROFILE"),
    unset("SIGNPOST_ACME_EAB_KEY_ID"),
    secret("SIGNPOST_ACME_EAB_KEY"),
    setting("SIGNPOST_PUBLIC_HTTP_PORT", "80"),
    setting("SIGNPOST_PUBLIC_HTTPS_PORT", "443"),
    unset("SIGNPOST_DNS_SERVERS"),
    unset("SIGNPOST_OUTBOUND_ALLOW"),
    unset("SIGNPOST_ENTRA_URLS"),
    setting("SIGNPOST_REGISTRATION", "open"),
    setting("SIGNPOST_UNVERIFIED_DOMAINS", "25"),
    unset("SIGNPOST_TRUSTED_PROXIES"),
    unset("SIGNPOST_PROXY_PROTOCOL"),
    setting("SIGNPOST_DRAIN_SECONDS", "1"),
    secret("SIGNPOST_SMTP_URL"),
    unset("SIGNPOST_MAIL_FROM"),
    setting("SIGNPOST_LOG", "info"),
];

/// The settings in force, parsed.
pub struct Settings {
    /// `None`: run our own Postgres in the state directory.
    pub database: Option<Vec<PgConnectOptions>>,
    pub state_dir: PathBuf,
    pub http_addr: SocketAddr,
    pub https_addr: SocketAddr,
    pub ops_addr: SocketAddr,
    /// Console and API answer to this host only.
    pub portal_host: OwnHost,
    /// Target of CNAMEs, host of `/d/…`.
    pub edge_host: OwnHost,
    /// What a domain's A and AAAA records must be.
    pub edge_addresses: Vec<IpAddr>,
    pub secret_key_file: PathBuf,
    pub certificates: Certificates,
    pub acme: Acme,
    pub public_http_port: u16,
    pub public_https_port: u16,
    /// Empty: the system's resolvers.
    pub dns_servers: Vec<SocketAddr>,
    pub outbound_allow: Vec<IpNet>,
    /// `(cloud, url)`; empty: Microsoft's own.
    pub entra_urls: Vec<(String, Url)>,
    pub registration: Registration,
    /// Of an organisation that registered itself and has verified no domain.
    pub unverified_domains: u32,
    pub trusted_proxies: Vec<IpNet>,
    /// Peers whose connections begin with a PROXY header.
    pub proxy_protocol: Vec<IpNet>,
    /// After SIGTERM: not ready, and still there for whom a load balancer has not told yet.
    pub drain: Duration,
    pub smtp_url: Option<Secret>,
    pub mail_from: Option<String>,
    /// A `tracing` filter.
    pub log: String,
}

/// What `SIGNPOST_ACME_…` says; used when certificates come from ACME.
pub struct Acme {
    pub directory: Url,
    pub contact: Option<String>,
    pub challenge: Challenge,
    pub ca_file: Option<PathBuf>,
    pub profile: Option<String>,
    pub eab_key_id: Option<String>,
    pub eab_key: Option<Secret>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Our own CA, for trials and tests: its root is `ca.pem` in the state directory.
    Internal,
    Acme,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    Http01,
    TlsAlpn01,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    Open,
    Invite,
}

/// A host of our own: lower case; one label is fine (`localhost`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnHost(String);

impl OwnHost {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OwnHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that nothing prints: no `Debug`, no `Display`, no `Serialize`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}
