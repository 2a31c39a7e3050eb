//! What `signpost serve --demo` prints: where everything is, and lines that work when they are pasted.

use super::{
    Addresses, ca_file,
    names::{portal_url, reachable},
};
use crate::{accounts::token::TokenText, config::Settings, demo, discovery::handler::WELL_KNOWN};

#[must_use]
pub fn banner(settings: &Settings, addresses: &Addresses, token: &TokenText, password: &str) -> String {
    let (http, https) = (reachable(addresses.http), reachable(addresses.https));
    let (host, portal) = (demo::HOSTNAME, portal_url(settings, addresses));
    let query = format!("user-identifier=ada@{host}&model-family=iPhone");
    let ca = ca_file(&settings.state_dir);
    let ca = std::path::absolute(&ca).unwrap_or(ca);
    let token = token.expose();
    format!(
        "
Signpost is running.

  Portal and API   {portal}   (documentation: {portal}/docs)
  Sign in as       {email}
  with password    {password}
  Demo token       {token}

A device asks over http:
  curl -i -H 'Host: {host}' 'http://{http}{WELL_KNOWN}?{query}'
and over https, with a certificate of the internal CA:
  curl -i --cacert '{ca}' --resolve {host}:{https_port}:{https_ip} 'https://{host}:{https_port}{WELL_KNOWN}?{query}'
A program lists the domains:
  curl -H 'Authorization: Bearer {token}' 'http://{http}/api/v1/domains'

Ctrl-C stops it.
",
        email = demo::EMAIL,
        https_port = https.port(),
        https_ip = https.ip(),
        ca = ca.display(),
    )
}
