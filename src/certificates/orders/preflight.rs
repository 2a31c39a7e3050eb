//! What is looked at before the CA is asked, since a failed validation counts against the hostname: all addresses are
//! ours, the CA is allowed, and a token of our own is answered at each of them through the public name.
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::TimeDelta;
use futures_util::future::try_join_all;
use url::Url;

use super::{Orders, Stop, hello::hello};
use crate::{
    certificates::{
        challenges::{self, ChallengeType, Offer, WELL_KNOWN},
        failure::Failure,
    },
    clock::{self, DatabaseTime},
    dns::Dns,
    domains::connection::{Connection, Expected, Observation, Records, Verdict, judge},
    outbound::{Get, Outbound},
};

const PATIENCE: Duration = Duration::from_secs(10);
const TOKEN_KEPT: TimeDelta = TimeDelta::minutes(5);
const MAX_BODY: usize = 1024;

/// With what it is looked.
pub struct Preflight {
    pub dns: Dns,
    pub outbound: Outbound,
    pub expected: Expected,
    /// As the world sees them.
    pub http_port: u16,
    pub https_port: u16,
}

impl Orders {
    /// Nothing of it reaches the CA.
    pub(super) async fn look_first(&self, hostname: &str, now: DatabaseTime) -> Result<(), Stop> {
        let records = self.preflight.records(hostname).await;
        let addresses = addresses(&records);
        let expected = Expected {
            account_url: self.accounts.url(),
            ..self.preflight.expected.clone()
        };
        match judge(
            Connection::Direct,
            hostname,
            Some(&Observation::Records(records)),
            &expected,
        ) {
            Some(Verdict::Connected) => self.test_ourselves(hostname, &addresses, now).await,
            Some(Verdict::Wrong(fault) | Verdict::Undetermined(fault)) => Err(Stop::Preflight(Failure::not_connected(
                &fault.cause,
                &fault.message,
                now.get(),
            ))),
            None => Ok(()),
        }
    }

    /// A token that no CA knows, asked for as the CA will ask, at every address that it may use.
    async fn test_ourselves(&self, hostname: &str, addresses: &[IpAddr], now: DatabaseTime) -> Result<(), Stop> {
        let token = BASE64_URL_SAFE_NO_PAD.encode(crate::sealed::random::<32>());
        let answer = self.accounts.key_authorization(&token).await?;
        let (mut db, offered_at) = clock::acquire(&self.pool).await?;
        let offer = Offer {
            issuer: self.issuer(),
            hostname,
            token: &token,
            typ: self.challenge,
            expires_at: offered_at + TOKEN_KEPT,
        };
        challenges::store::offer(&mut db, &[offer]).await?;
        drop(db);
        challenges::seen_by_all(&self.pool, hostname, &token, self.patience).await?;
        let asked = addresses.iter().map(|address| async {
            let seen = self
                .preflight
                .ask(self.challenge, hostname, *address, (&token, &answer))
                .await;
            seen.map_err(|seen| Stop::Preflight(Failure::self_test_unreached(hostname, *address, &seen, now.get())))
        });
        let seen = try_join_all(asked).await.map(drop);
        // Nobody asks for it again, and every node keeps what is not withdrawn.
        challenges::store::withdraw_one(&mut *self.pool.acquire().await?, hostname, &token).await?;
        seen
    }
}

impl Preflight {
    async fn records(&self, hostname: &str) -> Records {
        let (addresses, caa) = tokio::join!(self.dns.addresses(hostname), self.dns.caa(hostname));
        Records {
            a: addresses.a,
            aaaa: addresses.aaaa,
            caa,
            dangling: None,
            probe: None,
        }
    }

    /// `Err`: what was seen instead of our answer.
    async fn ask(
        &self,
        challenge: ChallengeType,
        hostname: &str,
        address: IpAddr,
        (token, answer): (&str, &str),
    ) -> Result<(), String> {
        match challenge {
            ChallengeType::Http01 => {
                let url = format!("http://{hostname}:{}{WELL_KNOWN}{token}", self.http_port);
                let url = Url::parse(&url).map_err(|error| error.to_string())?;
                let get = Get {
                    url: &url,
                    headers: &[],
                    max_body: MAX_BODY,
                    patience: PATIENCE,
                    roots: &[],
                };
                let fetched = self
                    .outbound
                    .fetch_at(SocketAddr::new(address, self.http_port), get)
                    .await;
                let fetched = fetched.map_err(|error| error.to_string())?;
                match fetched.status.as_u16() {
                    200 if fetched.body.trim_ascii_end() == answer.as_bytes() => Ok(()),
                    200 => Err("another answer".to_owned()),
                    status => Err(format!("status {status}")),
                }
            }
            ChallengeType::TlsAlpn01 => {
                let stream = self
                    .outbound
                    .connect(SocketAddr::new(address, self.https_port), PATIENCE)
                    .await;
                let stream = stream.map_err(|error| error.to_string())?;
                let leaf = tokio::time::timeout(PATIENCE, hello(stream, hostname)).await;
                let leaf = leaf.map_err(|_| "no answer in time".to_owned())??;
                match acme_identifier(&leaf) {
                    Some(found) if found == digest(&SHA256, answer.as_bytes()).as_ref() => Ok(()),
                    _ => Err("another certificate".to_owned()),
                }
            }
        }
    }
}

fn addresses(records: &Records) -> Vec<IpAddr> {
    let v4 = records
        .a
        .iter()
        .flat_map(|found| &found.records)
        .copied()
        .map(IpAddr::from);
    let v6 = records
        .aaaa
        .iter()
        .flat_map(|found| &found.records)
        .copied()
        .map(IpAddr::from);
    v4.chain(v6).collect()
}

/// What stands in the extension of RFC 8737 §3.
fn acme_identifier(leaf: &[u8]) -> Option<Vec<u8>> {
    use x509_parser::{der_parser::oid, prelude::*};
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let extension = leaf.get_extension_unique(&oid!(1.3.6.1.5.5.7.1.31)).ok()??;
    // An OCTET STRING of 32 bytes.
    extension.value.strip_prefix(&[4, 32]).map(<[u8]>::to_vec)
}
