//! `signpost probe`: what would a device get from a domain, step by step. Needs neither a database nor a state
//! directory.
use std::{
    io::{IsTerminal, stdout},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Args;

use super::{
    block_on,
    paper::{Paper, say},
    settings,
};
use crate::{
    config::{Settings, Sources},
    dns::Dns,
    hostname::{self, HostnameError},
    outbound::Outbound,
    probe::{Limits, Probe, Report, Request, Step, Trust},
};

/// As clap has it for an argument that it can't use.
const USAGE: u8 = 2;

#[derive(Args)]
pub struct Arguments {
    /// The domain that people sign in with; an e-mail address or a URL of it will do
    #[arg(value_parser = asked)]
    hostname: Asked,
    /// Sign in as this person, in place of one who does not exist
    #[arg(long, value_name = "U")]
    user: Option<String>,
    /// `AppleTV`, `iPad`, `iPhone`, `Mac`, `RealityDevice` or `Watch`
    #[arg(long, value_name = "F", default_value = "iPhone")]
    model_family: String,
    /// Ask this address in place of those in DNS
    #[arg(long, value_name = "ADDR:PORT")]
    connect: Option<SocketAddr>,
    /// Trust the authorities in this PEM file too
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Print the report as JSON, once it is whole
    #[arg(long)]
    json: bool,
}

/// What was given in place of a hostname.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    hostname: String,
    /// An e-mail address names its person, too.
    user: Option<String>,
}

/// 0: a device would succeed. 1: it would not. 2: that could not be looked at.
pub fn run(arguments: &Arguments) -> ExitCode {
    match probe(arguments) {
        Ok(report) => ExitCode::from(u8::from(!report.ok)),
        Err(error) => {
            eprintln!("signpost: {}", crate::telemetry::one_line(&error));
            ExitCode::from(USAGE)
        }
    }
}

fn probe(arguments: &Arguments) -> Result<Report> {
    let settings = settings()?;
    let probe = prepare(&settings, arguments)?;
    let request = Request {
        hostname: arguments.hostname.hostname.clone(),
        user: arguments.user.clone().or_else(|| arguments.hostname.user.clone()),
        model_family: Some(arguments.model_family.clone()),
        connect: arguments.connect,
        https_port: settings.public_https_port,
        ours: None,
        own_check: None,
        is_brief: false,
    };
    let is_terminal = stdout().is_terminal();
    let paper = Paper::new(is_terminal && !Sources::no_color());
    if arguments.json {
        let report = walk(&probe, &request, &mut |_| {})?;
        say(&serde_json::to_string_pretty(&report)?);
        return Ok(report);
    }
    paper.title(&request);
    let report = walk(&probe, &request, &mut |step| paper.step(step))?;
    paper.verdict(&report);
    Ok(report)
}

fn walk(probe: &Probe, request: &Request, on_step: &mut (dyn FnMut(&Step) + Send)) -> Result<Report> {
    #[expect(clippy::disallowed_methods, reason = "there is no database")]
    let now = crate::clock::now();
    block_on(async { Ok(probe.run(request, now, on_step).await) })
}

fn prepare(settings: &Settings, arguments: &Arguments) -> Result<Probe> {
    let pem = arguments.cacert.as_ref().map(|path| {
        std::fs::read(path)
            .with_context(|| format!("--cacert {}", path.display()))
            .map(|pem| (path, pem))
    });
    let pem = pem.transpose()?;
    let trust = Trust::new(pem.iter().map(|(_, pem)| pem.as_slice()));
    let trust = match &pem {
        Some((path, _)) => trust.with_context(|| format!("--cacert {}", path.display()))?,
        None => trust?,
    };
    Ok(Probe {
        dns: Dns::new(&settings.dns_servers)?,
        outbound: Outbound::new(settings.outbound_allow.clone(), vec![settings.public_https_port]),
        trust,
        limits: Limits::default(),
    })
}

/// The domain in what a person pastes: a hostname, an e-mail address, a web address.
fn asked(text: &str) -> Result<Asked, String> {
    let text = text.trim();
    let after_scheme = text.split_once("://").map_or(text, |(_, after)| after);
    let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    let is_email = authority == text && text.contains('@');
    let (user, host) = match authority.rsplit_once('@') {
        Some((_, host)) => (is_email.then(|| text.to_owned()), host),
        None => (None, authority),
    };
    let host = match host.split_once(':') {
        Some((host, "443")) => host,
        Some((_, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(format!(
                "a device asks port 443 and no other: leave out :{port}, or name an address and port with --connect"
            ));
        }
        _ => host,
    };
    match hostname::any(host) {
        Ok(hostname) => Ok(Asked { hostname, user }),
        Err(HostnameError::IpAddress) => Err(format!(
            "{}; to ask a certain address, name it with --connect",
            HostnameError::IpAddress
        )),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_found_in_what_people_paste() {
        for (text, hostname, user) in [
            ("contoso.com", "contoso.com", None),
            (" Contoso.COM. ", "contoso.com", None),
            ("ada@contoso.com", "contoso.com", Some("ada@contoso.com")),
            ("\"a@b\"@contoso.com", "contoso.com", Some("\"a@b\"@contoso.com")),
            ("https://contoso.com", "contoso.com", None),
            (
                "https://contoso.com:443/.well-known/com.apple.remotemanagement?user-identifier=a@b.c",
                "contoso.com",
                None,
            ),
            ("http://user@contoso.com/", "contoso.com", None),
            ("contoso.com/path", "contoso.com", None),
            ("co.uk", "co.uk", None),
            ("localhost", "localhost", None),
            ("bücher.example", "xn--bcher-kva.example", None),
        ] {
            let found = asked(text).unwrap();
            assert_eq!(
                (found.hostname.as_str(), found.user.as_deref()),
                (hostname, user),
                "{text}"
            );
        }
        for (text, said) in [
            ("", "a hostname is needed"),
            ("https://", "a hostname is needed"),
            ("192.0.2.1", "--connect"),
            ("https://[2001:db8::1]/", "IP address"),
            ("contoso.com:8443", "--connect"),
            ("con toso.com", "can't be part"),
            ("a..b", "1 to 63"),
        ] {
            let error = asked(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
