//! The client of `certificates::acme`: what it asks, and what comes of it.
use std::time::Duration;

use chrono::{Duration as Span, SubsecRound};
use futures_util::future::join_all;
use rcgen::{CertificateParams, KeyPair};
use rustls_acme::acme::{Account, AuthStatus, ChallengeType, Identifier, Order, OrderStatus};
use serde_json::json;
use signpost::certificates::acme::{Ca, CaError, Eab, NewAccount, NewOrder, Placed, Session, certificate_id};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::fake_ca::{Behaviour, FakeCa, Fault, Kind, RenewalInfo, Validation};

pub const HOST: &str = "mdm.contoso.example";

/// A CA, and what an account at it needs.
pub struct Bench {
    pub fake: FakeCa,
    pub ca: Ca,
    key: Vec<u8>,
    account: String,
}

impl Bench {
    pub async fn start(behaviour: Behaviour) -> Self {
        let fake = FakeCa::start(behaviour);
        let ca = Ca::new(fake.directory(), Some(&fake.root_pem())).unwrap();
        let ca = ca.with_patience(Duration::from_secs(5));
        let key = Account::generate_key_pair();
        let account = ca.new_account(&key, &nobody()).await.unwrap();
        Self { fake, ca, key, account }
    }

    pub fn session(&self) -> Session<'_> {
        self.session_at(&self.ca)
    }

    pub fn session_at<'a>(&self, ca: &'a Ca) -> Session<'a> {
        ca.account(&self.key, &self.account).unwrap()
    }
}

pub fn nobody() -> NewAccount<'static> {
    NewAccount {
        contact: None,
        eab: None,
    }
}

pub fn order(hostname: &str) -> NewOrder<'_> {
    NewOrder {
        hostname,
        profile: None,
        replaces: None,
    }
}

pub fn csr(hostname: &str) -> Vec<u8> {
    let params = CertificateParams::new([hostname.to_owned()]).unwrap();
    let csr = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    csr.der().to_vec()
}

/// Tells the CA to look for the answer to HTTP-01, unless it has seen enough.
async fn ask_for_validation(session: &Session<'_>, order: &Order) {
    for url in &order.authorizations {
        let auth = session.authorization(url).await.unwrap().value.auth;
        let mut challenges = auth.challenges.iter();
        let challenge = challenges.find(|challenge| challenge.typ == ChallengeType::Http01);
        if matches!(auth.status, AuthStatus::Pending) {
            session.challenge(&challenge.unwrap().url).await.unwrap();
        }
    }
}

/// Asks again and again, as seldom as a node does, until the order has reached something.
async fn settled(session: &Session<'_>, url: &str) -> Order {
    let mut pause = Duration::from_millis(250);
    loop {
        let polled = session.order(url).await.unwrap();
        if !matches!(polled.value.status, OrderStatus::Pending | OrderStatus::Processing) {
            return polled.value;
        }
        tokio::time::sleep(polled.retry_after.unwrap_or(pause)).await;
        pause = (pause * 2).min(Duration::from_secs(4));
    }
}

/// From the order to the chain.
pub async fn obtain(session: &Session<'_>, new: &NewOrder<'_>) -> Result<Vec<Vec<u8>>, CaError> {
    let Placed { url, order } = session.new_order(new).await?;
    ask_for_validation(session, &order).await;
    let ready = settled(session, &url).await;
    session.finalize(&ready.finalize, &csr(new.hostname)).await?;
    match settled(session, &url).await.status {
        OrderStatus::Valid { certificate } => session.certificate(&certificate).await,
        status => panic!("{}: {status:?}", new.hostname),
    }
}

#[tokio::test]
async fn a_certificate_takes_seven_requests_and_no_nonce_is_asked_for_but_the_first() {
    let bench = Bench::start(Behaviour::default()).await;
    let chain = obtain(&bench.session(), &order(HOST)).await.unwrap();
    let [issued] = &bench.fake.issued()[..] else { panic!() };
    assert_eq!(
        (chain.len(), &chain[0], issued.hostname.as_str()),
        (2, &issued.leaf, HOST)
    );
    let seen = bench.fake.requests();
    let kinds: Vec<_> = seen.iter().map(|seen| seen.kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Directory,
            Kind::NewNonce,
            Kind::NewAccount,
            Kind::NewOrder,
            Kind::Authorization,
            Kind::Challenge,
            Kind::Order,
            Kind::Finalize,
            Kind::Order,
            Kind::Certificate,
        ]
    );
    assert!(
        seen.iter().all(|seen| seen.user_agent.starts_with("signpost/")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn an_order_tells_when_to_ask_again_and_why_it_failed() {
    let mut behaviour = Behaviour {
        retry_after: Some(7),
        validation_takes: Span::hours(1),
        ..Behaviour::default()
    };
    let bench = Bench::start(behaviour.clone()).await;
    let session = bench.session();
    let placed = session.new_order(&order(HOST)).await.unwrap();
    ask_for_validation(&session, &placed.order).await;
    let polled = session.authorization(&placed.order.authorizations[0]).await.unwrap();
    assert_eq!(polled.retry_after, Some(Duration::from_secs(7)));
    assert!(matches!(&polled.value.auth.identifier, Identifier::Dns(name) if name == HOST));
    assert_eq!(polled.value.problem(), None);

    behaviour.validation_takes = Span::zero();
    behaviour.validation = Validation::Fail("caa", "CAA forbids it");
    bench.fake.change(|now| *now = behaviour);
    let placed = session.new_order(&order(HOST)).await.unwrap();
    ask_for_validation(&session, &placed.order).await;
    let failed = session.order(&placed.url).await.unwrap().value;
    assert!(matches!(failed.status, OrderStatus::Invalid));
    let authorization = session
        .authorization(&placed.order.authorizations[0])
        .await
        .unwrap()
        .value;
    let problem = authorization.problem().unwrap();
    assert_eq!(
        (problem.kind.as_str(), problem.detail.as_str()),
        ("caa", "CAA forbids it")
    );
    assert_eq!(authorization.problems.len(), authorization.auth.challenges.len());
}

#[tokio::test]
async fn a_ca_that_looks_finds_the_answer_that_the_library_makes() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let bench = Bench::start(Behaviour {
        validation: Validation::Ask([(HOST.to_owned(), listener.local_addr().unwrap())].into()),
        ..Behaviour::default()
    })
    .await;
    let session = bench.session();
    for (is_right, expected) in [(false, Some("unauthorized")), (true, None)] {
        let placed = session.new_order(&order(HOST)).await.unwrap();
        let url = &placed.order.authorizations[0];
        let auth = session.authorization(url).await.unwrap().value.auth;
        let (challenge, answer) = session.account().http_01(&auth.challenges).unwrap();
        let answer = if is_right { answer } else { challenge.token.clone() };
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{answer}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&head[..length]).into_owned()
        };
        let (asked, told) = tokio::join!(serve, session.challenge(&challenge.url));
        told.unwrap();
        let path = format!("GET /.well-known/acme-challenge/{} HTTP/1.1", challenge.token);
        assert!(asked.starts_with(&path) && asked.contains(HOST), "{asked}");
        let authorization = session.authorization(url).await.unwrap().value;
        assert_eq!(authorization.problem().map(|problem| problem.kind.as_str()), expected);
    }
    let placed = session.new_order(&order("elsewhere.example")).await.unwrap();
    ask_for_validation(&session, &placed.order).await;
    let authorization = session
        .authorization(&placed.order.authorizations[0])
        .await
        .unwrap()
        .value;
    assert_eq!(authorization.problem().unwrap().kind, "dns");
}

#[tokio::test]
async fn what_a_ca_suggests_for_renewal_is_read_and_followed_in_the_next_order() {
    let bench = Bench::start(Behaviour::default()).await;
    let session = bench.session();
    let chain = obtain(&session, &order(HOST)).await.unwrap();
    let id = certificate_id(&chain[0]).unwrap();
    let usual = bench.ca.renewal_info(&id).await.unwrap();
    assert_eq!(
        (usual.retry_after, usual.explanation_url),
        (Some(Duration::from_secs(21_600)), None)
    );
    assert!(usual.start < usual.end);

    let start = crate::clock::now().trunc_subsecs(0);
    let suggested = |end, page: &str| RenewalInfo::Suggested {
        start,
        end,
        explanation_url: Some(page.into()),
        retry_after: None,
    };
    let soon = suggested(start + Span::hours(2), "https://ca.example/incident#1");
    bench.fake.change(|behaviour| behaviour.renewal_info = soon);
    let info = bench.ca.renewal_info(&id).await.unwrap();
    assert_eq!(
        (info.start, info.end, info.retry_after),
        (start, start + Span::hours(2), None)
    );
    assert_eq!(info.explanation_url.as_deref(), Some("https://ca.example/incident#1"));
    // Nothing to click on that runs a script, and no window that ends before it begins.
    let script = suggested(start + Span::hours(2), "javascript:alert(1)");
    bench.fake.change(|behaviour| behaviour.renewal_info = script);
    assert_eq!(bench.ca.renewal_info(&id).await.unwrap().explanation_url, None);
    bench
        .fake
        .change(|behaviour| behaviour.renewal_info = suggested(start, "https://ca.example/"));
    assert!(matches!(bench.ca.renewal_info(&id).await, Err(CaError::Malformed(_))));

    let next = NewOrder {
        replaces: Some(&id),
        ..order(HOST)
    };
    obtain(&session, &next).await.unwrap();
    assert_eq!(bench.fake.issued()[1].replaces.as_deref(), Some(id.as_str()));
    let refused = session.new_order(&next).await.unwrap_err();
    assert!(
        matches!(&refused, CaError::Refused(problem) if problem.kind == "alreadyReplaced" && problem.status == 409)
    );
    let unknown = bench.ca.renewal_info("AAAA.AAAA").await.unwrap_err();
    assert!(matches!(&unknown, CaError::Refused(problem) if problem.status == 404));
}

#[tokio::test]
async fn a_ca_is_asked_only_for_what_it_offers() {
    let bench = Bench::start(Behaviour {
        renewal_info: RenewalInfo::NotOffered,
        keeps_no_list: true,
        ..Behaviour::default()
    })
    .await;
    let session = bench.session();
    let with_profile = NewOrder {
        profile: Some("shortlived"),
        ..order(HOST)
    };
    let offers = bench.ca.offers().await.unwrap();
    assert!(!offers.renewal_info && !offers.eab_required && offers.profiles.is_empty());
    assert_eq!(offers.terms_of_service.as_deref(), Some("https://ca.example/terms"));
    assert!(matches!(
        session.new_order(&with_profile).await,
        Err(CaError::NotOffered("profiles"))
    ));
    assert!(matches!(
        bench.ca.renewal_info("a.b").await,
        Err(CaError::NotOffered(_))
    ));
    let hinting = NewOrder {
        replaces: Some("a.b"),
        ..order(HOST)
    };
    session.new_order(&hinting).await.unwrap();
    let seen = bench.fake.requests().pop().unwrap();
    assert_eq!(seen.payload, json!({"identifiers": [{"type": "dns", "value": HOST}]}));
    assert_eq!(session.orders().await.unwrap(), Vec::<String>::new());
    assert!(
        session
            .unfinished(HOST, &session.orders().await.unwrap())
            .await
            .unwrap()
            .is_none()
    );

    let profiles = [("shortlived".to_owned(), Span::hours(160))];
    let offering = FakeCa::start(Behaviour {
        profiles: profiles.into(),
        ..Behaviour::default()
    });
    let ca = Ca::new(offering.directory(), Some(&offering.root_pem())).unwrap();
    let key = Account::generate_key_pair();
    let account = ca.new_account(&key, &nobody()).await.unwrap();
    let session = ca.account(&key, &account).unwrap();
    assert_eq!(ca.offers().await.unwrap().profiles, ["shortlived"]);
    obtain(&session, &with_profile).await.unwrap();
    let [issued] = &offering.issued()[..] else { panic!() };
    assert_eq!(issued.profile.as_deref(), Some("shortlived"));
    assert_eq!(issued.not_after - issued.not_before, Span::hours(160));
    let other = NewOrder {
        profile: Some("longlived"),
        ..order(HOST)
    };
    let refused = session.new_order(&other).await.unwrap_err();
    assert!(matches!(&refused, CaError::Refused(problem) if problem.kind == "invalidProfile"));
}

#[tokio::test]
async fn an_account_is_one_for_a_key_and_may_belong_to_another() {
    let (right, wrong) = ("MDEyMzQ1Njc4OWFiY2RlZg", "AAECAwQFBgcICQoLDA0ODw");
    let fake = FakeCa::start(Behaviour {
        eab: Some(("kid-1".into(), right.into())),
        ..Behaviour::default()
    });
    let ca = Ca::new(fake.directory(), Some(&fake.root_pem())).unwrap();
    let key = Account::generate_key_pair();
    assert!(ca.offers().await.unwrap().eab_required);
    for (eab, expected) in [
        (None, "externalAccountRequired"),
        (Some(("kid-1", wrong)), "unauthorized"),
        (Some(("kid-2", right)), "unauthorized"),
    ] {
        let eab = eab.map(|(key_id, key)| Eab {
            key_id: key_id.into(),
            key: key.into(),
        });
        let new = NewAccount {
            contact: None,
            eab: eab.as_ref(),
        };
        let refused = ca.new_account(&key, &new).await.unwrap_err();
        assert!(
            matches!(&refused, CaError::Refused(problem) if problem.kind == expected),
            "{refused}"
        );
    }
    let eab = Eab {
        key_id: "kid-1".into(),
        key: right.into(),
    };
    let mut accounts = Vec::new();
    for contact in ["it@msp.example", "mailto:it@msp.example"] {
        let new = NewAccount {
            contact: Some(contact),
            eab: Some(&eab),
        };
        accounts.push(ca.new_account(&key, &new).await.unwrap());
        let sent = &fake.requests().pop().unwrap().payload;
        assert_eq!(sent["contact"], json!(["mailto:it@msp.example"]));
    }
    assert_eq!((accounts[0] == accounts[1], fake.accounts()), (true, 1));
    let unusable = Eab {
        key_id: "kid-1".into(),
        key: "not base64!".into(),
    };
    let new = NewAccount {
        contact: None,
        eab: Some(&unusable),
    };
    assert!(matches!(ca.new_account(&key, &new).await, Err(CaError::Unasked(_))));
    assert!(matches!(
        ca.new_account(b"no key", &nobody()).await,
        Err(CaError::Unasked(_))
    ));
}

#[tokio::test]
async fn a_nonce_that_is_refused_is_followed_by_that_of_the_refusal() {
    let bench = Bench::start(Behaviour::default()).await;
    let session = bench.session();
    bench.fake.change(|behaviour| behaviour.bad_nonces = Some(2));
    for n in 0..5 {
        obtain(&session, &order(&format!("host{n}.example"))).await.unwrap();
    }
    assert_eq!((bench.fake.ordered().len(), bench.fake.count(Kind::NewNonce)), (5, 1));
    // It does not go on for ever.
    let before = bench.fake.count(Kind::NewOrder);
    bench.fake.change(|behaviour| behaviour.bad_nonces = Some(1));
    let refused = session.new_order(&order(HOST)).await.unwrap_err();
    assert!(
        matches!(&refused, CaError::Refused(problem) if problem.kind == "badNonce"),
        "{refused}"
    );
    assert_eq!(bench.fake.count(Kind::NewOrder) - before, 6);
}

#[tokio::test]
async fn a_directory_is_read_once_for_many_and_again_if_it_sends_us_nowhere() {
    let bench = Bench::start(Behaviour::default()).await;
    let fresh = Ca::new(bench.fake.directory(), Some(&bench.fake.root_pem())).unwrap();
    let read = || bench.fake.count(Kind::Directory) - 1;
    bench
        .fake
        .set_fault(Kind::Directory, Fault::answer(503, "text/html", "<h1>503</h1>"), 1);
    let failed = join_all((0..20).map(|_| fresh.offers())).await;
    assert!(
        failed
            .iter()
            .all(|offers| matches!(offers, Err(CaError::Refused(problem)) if problem.status == 503))
    );
    assert_eq!(read(), 1);
    let offers = join_all((0..20).map(|_| fresh.offers())).await;
    assert_eq!((offers.iter().all(Result::is_ok), read()), (true, 2));

    let session = bench.session();
    bench
        .fake
        .set_fault(Kind::NewOrder, Fault::problem(404, "malformed", "Page not found"), 1);
    assert!(session.new_order(&order(HOST)).await.is_err());
    session.new_order(&order(HOST)).await.unwrap();
    assert_eq!(read(), 3);
}
