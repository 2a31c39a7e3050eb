//! Who signs our certificates, as the settings say.
use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::outside::Outside;
use crate::{
    certificates::{
        Issuer,
        account::Accounts,
        acme::{Ca, Eab},
        challenges::ChallengeType,
        decisions::budget::Limits,
        internal::InternalCa,
        obtain::Obtainer,
        orders::{Orders, Preflight},
    },
    config::{Certificates, Challenge, Settings},
    sealed::Keyring,
    tasks::Tasks,
    work::clock_watch::ClockWatch,
};

/// How long every node may take to know a challenge.
const PATIENCE: Duration = Duration::from_secs(3);

pub fn issuer(settings: &Settings, pool: &PgPool, keyring: &Arc<Keyring>) -> Result<Issuer> {
    match settings.certificates {
        Certificates::Internal => {
            #[expect(
                clippy::disallowed_methods,
                reason = "the root is this node's own file, made before the database is there"
            )]
            let now = crate::clock::now();
            let ca = InternalCa::open(&settings.state_dir, keyring, now)?;
            Ok(Issuer::Internal(Box::new(ca)))
        }
        Certificates::Acme => {
            let orders = orders(settings, pool, keyring)?;
            Ok(Issuer::Acme(Box::new(orders)))
        }
    }
}

fn orders(settings: &Settings, pool: &PgPool, keyring: &Arc<Keyring>) -> Result<Orders> {
    let acme = &settings.acme;
    let roots = match &acme.ca_file {
        Some(path) => {
            let pem = std::fs::read(path);
            Some(pem.with_context(|| format!("SIGNPOST_ACME_CA_FILE: {} can't be read", path.display()))?)
        }
        None => None,
    };
    let ca = Ca::new(acme.directory.clone(), roots.as_deref());
    let ca = ca.context(match &acme.ca_file {
        Some(path) => format!("SIGNPOST_ACME_CA_FILE: {}", path.display()),
        None => "SIGNPOST_ACME_DIRECTORY".to_owned(),
    })?;
    let eab = acme.eab_key_id.clone().zip(acme.eab_key.as_ref());
    let eab = eab.map(|(key_id, key)| Eab {
        key_id,
        key: key.expose().to_owned(),
    });
    let mut accounts = Accounts::new(pool.clone(), keyring.clone(), Arc::new(ca));
    (accounts.contact, accounts.eab) = (acme.contact.clone(), eab);
    let outside = Outside::new(settings, accounts.ca.name())?;
    Ok(Orders {
        pool: pool.clone(),
        keyring: keyring.clone(),
        preflight: Preflight {
            dns: outside.dns,
            outbound: outside.outbound,
            expected: outside.expected,
            http_port: settings.public_http_port,
            https_port: settings.public_https_port,
        },
        accounts,
        challenge: challenge(acme.challenge),
        profile: acme.profile.clone(),
        limits: Limits::of(acme.directory.as_str()),
        patience: PATIENCE,
    })
}

/// Starts what obtains, renews and revokes.
pub fn start(tasks: &mut Tasks, obtainer: Arc<Obtainer>) {
    let (issuer, clock, cancel) = (obtainer.issuer.clone(), obtainer.clock.clone(), tasks.cancel());
    tasks.spawn("certificates", {
        let cancel = cancel.clone();
        async move { obtainer.run(cancel).await }
    });
    if let Issuer::Acme(_) = &*issuer {
        tasks.spawn(
            "certificates: when to renew",
            follow(issuer.clone(), clock.clone(), cancel.clone()),
        );
        tasks.spawn("certificates: revocations", revoke(issuer, clock, cancel));
    }
}

async fn follow(issuer: Arc<Issuer>, clock: Arc<ClockWatch>, cancel: CancellationToken) {
    if let Issuer::Acme(orders) = &*issuer {
        orders.follow_suggestions(&clock, cancel).await;
    }
}

async fn revoke(issuer: Arc<Issuer>, clock: Arc<ClockWatch>, cancel: CancellationToken) {
    if let Issuer::Acme(orders) = &*issuer {
        orders.revoke(&clock, cancel).await;
    }
}

pub fn challenge(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}
