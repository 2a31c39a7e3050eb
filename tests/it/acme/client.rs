//! The client of `certificates::acme`.
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustls_acme::acme::{Account, AuthStatus, ChallengeType, OrderStatus};
use signpost::certificates::acme::{NewAccount, NewOrder, Session};

use super::pebble_for_client::Pebble;

const NOBODY: NewAccount<'_> = NewAccount {
    contact: None,
    eab: None,
};

/// From the order to the chain, as a node does it.
async fn obtain(session: &Session<'_>, hostname: &str) -> Vec<Vec<u8>> {
    let new = NewOrder {
        hostname,
        profile: None,
        replaces: None,
    };
    let placed = session.new_order(&new).await.unwrap();
    for url in &placed.order.authorizations {
        let asked = session.authorization(url).await.unwrap().value.auth;
        let challenge = asked
            .challenges
            .iter()
            .find(|challenge| challenge.typ == ChallengeType::Http01);
        if matches!(asked.status, AuthStatus::Pending) {
            session.challenge(&challenge.unwrap().url).await.unwrap();
        }
    }
    let (csr, mut is_sent) = (csr(hostname), false);
    let mut polled = session.order(&placed.url).await.unwrap();
    loop {
        match &polled.value.status {
            OrderStatus::Valid { certificate } => return session.certificate(certificate).await.unwrap(),
            OrderStatus::Ready if !is_sent => {
                is_sent = true;
                polled = session.finalize(&polled.value.finalize, &csr).await.unwrap();
                continue;
            }
            OrderStatus::Invalid => panic!("{hostname}: {polled:?}"),
            OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing => {}
        }
        tokio::time::sleep(polled.retry_after.unwrap_or(Duration::from_millis(500))).await;
        polled = session.order(&placed.url).await.unwrap();
    }
}

fn csr(hostname: &str) -> Vec<u8> {
    let params = CertificateParams::new([hostname.to_owned()]).unwrap();
    let csr = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    csr.der().to_vec()
}

#[tokio::test]
async fn of_sixty_orders_at_pebble_with_its_moods_none_fails() {
    let pebble = Pebble::start(&[("PEBBLE_VA_ALWAYS_VALID", "1")]);
    let ca = pebble.ca();
    let key = Account::generate_key_pair();
    let url = ca.new_account(&key, &NOBODY).await.unwrap();
    let session = ca.account(&key, &url).unwrap();
    let began = Instant::now();
    let hostnames: Vec<_> = (0..60).map(|n| format!("host{n}.signpost.example")).collect();
    let before = pebble.requests();
    let chains = futures_util::future::join_all(hostnames.iter().map(|hostname| obtain(&session, hostname))).await;
    assert!(chains.iter().all(|chain| chain.len() == 2));
    let requests = pebble.requests() - before;
    eprintln!("{requests} requests for 60 certificates in {:?}", began.elapsed());
    assert_eq!(session.orders().await.unwrap().len(), 60);
}
