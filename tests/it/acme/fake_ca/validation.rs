//! Looks for a client's answer to a challenge (RFC 8555 §8), if the CA is told to look.
use std::{net::SocketAddr, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Shared, Validation,
    state::{PublicKey, Validated},
};

/// Longer than a server on this machine takes.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Wanted {
    pub hostname: String,
    pub token: String,
    pub kind: String,
    pub key: PublicKey,
}

pub async fn outcome(shared: &Shared, wanted: Wanted) -> Validated {
    let behaviour = shared.state().behaviour.clone();
    let failed = match behaviour.validation {
        Validation::Trust => None,
        Validation::Fail(kind, detail) => Some((kind.to_owned(), detail.to_owned())),
        Validation::Ask(addresses) => match (wanted.kind.as_str(), addresses.get(&wanted.hostname)) {
            ("http-01", Some(address)) => http_01(&wanted, *address).await.err(),
            ("http-01", None) => Some(("dns".into(), format!("no address for {}", wanted.hostname))),
            (kind, _) => Some(("serverInternal".into(), format!("{kind} is not looked for here"))),
        },
    };
    let at = crate::clock::now() + behaviour.validation_takes;
    match failed {
        None => Validated::Valid(at),
        Some((kind, detail)) => Validated::Invalid(at, kind, detail),
    }
}

async fn http_01(wanted: &Wanted, address: SocketAddr) -> Result<(), (String, String)> {
    let read = timeout(PATIENCE, fetch(wanted, address)).await;
    let answer = match read {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(("connection".into(), format!("{address}: {error}"))),
        Err(_) => return Err(("connection".into(), format!("{address}: no answer in time"))),
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let is_right = head.starts_with("HTTP/1.1 200") && body.trim_end() == key_authorization(wanted);
    match is_right {
        true => Ok(()),
        false => Err(("unauthorized".into(), format!("{address} answered {head} {body}"))),
    }
}

async fn fetch(wanted: &Wanted, address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let path = format!("/.well-known/acme-challenge/{}", wanted.token);
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        wanted.hostname
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// RFC 8555 §8.1, RFC 7638.
fn key_authorization(wanted: &Wanted) -> String {
    let (x, y) = wanted.key[1..].split_at(32);
    let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
    let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.as_bytes()));
    format!("{}.{thumbprint}", wanted.token)
}
