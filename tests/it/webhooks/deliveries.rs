//! Couriers on a database of their own, and receivers on loopback that behave as strangers do.
use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{join_all, try_join_all};
use serde_json::json;
use signpost::{
    accounts::{Operator, Scope, organisations},
    dns::Dns,
    input::WebUrl,
    outbound::Outbound,
    outbox::{
        self,
        event::{Kind, Subject, tell},
    },
    sealed::Keyring,
    webhooks::{
        self, Description, Endpoint, NewEndpoint, Reason,
        attempt::{PATIENCE, Sender},
        courier::Courier,
        deliveries::{self, Delivery, State},
        events::Events,
        signing::Secret,
    },
};
use sqlx::PgPool;
use uuid::Uuid;

use super::receiver::{Behaviour, OK, Receiver};

/// An organisation, and a node that tells its programs what happens.
struct Trial {
    pool: PgPool,
    keyring: Arc<Keyring>,
    courier: Courier,
    scope: Scope,
    email: String,
}

impl Trial {
    async fn new(pool: &PgPool) -> Self {
        Self::with(pool, &["127.0.0.0/8"]).await
    }

    async fn with(pool: &PgPool, allowed: &[&str]) -> Self {
        let file = std::env::temp_dir().join(format!("signpost-it-{}", Uuid::now_v7()));
        let keyring = Arc::new(Keyring::create(&file).unwrap());
        std::fs::remove_file(&file).unwrap();
        let email = format!("{}@msp.example", Uuid::now_v7());
        let mut tx = pool.begin().await.unwrap();
        let operator = Operator::at_the_command_line();
        let created = organisations::create(&mut tx, operator, &keyring, "Acme IT", &email);
        let created = created.await.unwrap();
        tx.commit().await.unwrap();
        Self {
            courier: courier(pool, &keyring, allowed),
            pool: pool.clone(),
            keyring,
            scope: operator.scope(created.organisation_id),
            email,
        }
    }

    async fn endpoint(&self, url: &str) -> (Endpoint, Secret) {
        let new = NewEndpoint {
            url: WebUrl::parse(url).unwrap(),
            description: Description::parse("").unwrap(),
            events: Kind::ALL.into(),
            client_id: None,
        };
        let mut db = self.pool.acquire().await.unwrap();
        let created = webhooks::create(&mut db, &self.scope, &self.keyring, &new, crate::clock::database_now());
        created.await.unwrap()
    }

    async fn happens(&self, kind: Kind) {
        let subject = Subject {
            organisation_id: self.scope.organisation_id(),
            client_id: Uuid::nil(),
            domain_id: Uuid::nil(),
            hostname: "contoso.com".to_owned(),
        };
        let mut db = self.pool.acquire().await.unwrap();
        tell(
            &mut db,
            kind,
            &subject,
            json!({ "status": "active" }),
            crate::clock::database_now(),
        )
        .await
        .unwrap();
    }

    /// Brings everything that is due then. Returns how many it was.
    async fn round(&self, now: DateTime<Utc>) -> usize {
        self.courier.events.hand_on(crate::clock::assume(now)).await.unwrap();
        let due = self.courier.claim(&[], crate::clock::assume(now)).await.unwrap();
        try_join_all(due.iter().map(|due| self.courier.bring(due)))
            .await
            .unwrap();
        due.len()
    }

    async fn deliveries(&self, endpoint: &Endpoint) -> Vec<Delivery> {
        let mut db = self.pool.acquire().await.unwrap();
        deliveries::store::list(&mut db, &self.scope, endpoint.id, None, 100)
            .await
            .unwrap()
    }

    async fn delivery(&self, endpoint: &Endpoint) -> Delivery {
        let mut all = self.deliveries(endpoint).await;
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    async fn look_at(&self, endpoint: &Endpoint) -> Endpoint {
        let mut db = self.pool.acquire().await.unwrap();
        webhooks::find(&mut db, &self.scope, endpoint.id).await.unwrap()
    }

    /// The subjects of its owner's mails.
    async fn mails(&self) -> Vec<String> {
        let mut db = self.pool.acquire().await.unwrap();
        let kept = outbox::store::list_mails(&mut db, 100).await.unwrap();
        let mails = kept
            .iter()
            .map(|kept| outbox::open(&self.keyring, kept.outbox_id, &kept.sealed).unwrap());
        mails
            .filter(|mail| mail.to == self.email)
            .map(|mail| mail.subject)
            .collect()
    }
}

fn courier(pool: &PgPool, keyring: &Arc<Keyring>, allowed: &[&str]) -> Courier {
    impatient(pool, keyring, allowed, PATIENCE)
}

fn impatient(pool: &PgPool, keyring: &Arc<Keyring>, allowed: &[&str], patience: Duration) -> Courier {
    let allowed = allowed.iter().map(|network| network.parse().unwrap()).collect();
    Courier {
        events: Events {
            pool: pool.clone(),
            keyring: keyring.clone(),
            portal_url: "https://portal.signpost.test".to_owned(),
        },
        sender: Sender {
            outbound: Outbound::new(allowed, vec![]),
            dns: Dns::new(&["127.0.0.1:1".parse().unwrap()]).unwrap(),
            patience,
        },
        backlog: Arc::default(),
    }
}

#[sqlx::test]
async fn a_delivery_is_signed_and_says_what_happened(pool: PgPool) {
    let trial = Trial::new(&pool).await;
    let receiver = Receiver::start().await;
    let (endpoint, secret) = trial.endpoint(&receiver.url()).await;
    trial.happens(Kind::DomainStatusChanged).await;
    assert_eq!(trial.round(crate::clock::now()).await, 1);
    let received = receiver.received().remove(0);
    assert_eq!(received.line, "POST /signpost?key=1 HTTP/1.1");
    assert_eq!(received.headers["content-type"], "application/json");
    assert!(received.is_signed_by(&secret.expose()));
    assert!(!received.is_signed_by(&Secret::random().expose()));
    let sent_at: i64 = received.headers["webhook-timestamp"].parse().unwrap();
    assert!((crate::clock::now().timestamp() - sent_at).abs() < 30);
    let body = received.json();
    assert_eq!(body["type"], "domain.status_changed");
    assert_eq!(body["data"]["hostname"], "contoso.com");
    assert!(DateTime::parse_from_rfc3339(body["timestamp"].as_str().unwrap()).is_ok());
    let delivery = trial.delivery(&endpoint).await;
    assert_eq!(delivery.state(), State::Delivered);
    assert_eq!(delivery.event_id.to_string(), received.id());
    assert_eq!((delivery.attempts, delivery.response_status), (1, Some(204)));
    assert_eq!(
        trial.round(crate::clock::now() + TimeDelta::days(9)).await,
        0,
        "once is enough"
    );
}

#[sqlx::test]
async fn what_fails_is_tried_again_later_under_the_same_id(pool: PgPool) {
    let trial = Trial::new(&pool).await;
    let receiver = Receiver::start().await;
    receiver.says("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12\r\n\r\n<b>\u{1}later\u{7}\r\n");
    let (endpoint, _) = trial.endpoint(&receiver.url()).await;
    trial.happens(Kind::CertificateFailed).await;
    let now = crate::clock::now();
    assert_eq!(trial.round(now).await, 1);
    let failed = trial.delivery(&endpoint).await;
    assert_eq!(failed.state(), State::Retrying);
    assert_eq!(failed.response_text.as_deref(), Some("<b> later"), "plain and one line");
    let wait = failed.due_at - now;
    assert!((TimeDelta::seconds(5)..TimeDelta::seconds(9)).contains(&wait), "{wait}");
    assert!(trial.look_at(&endpoint).await.failing_since.is_some());
    assert_eq!(trial.round(now + TimeDelta::seconds(4)).await, 0, "not before its time");
    receiver.says(OK);
    assert_eq!(trial.round(now + TimeDelta::seconds(10)).await, 1);
    let received = receiver.received();
    assert_eq!(received[0].id(), received[1].id());
    assert_eq!(received[0].body, received[1].body);
    assert_eq!(trial.delivery(&endpoint).await.state(), State::Delivered);
    assert_eq!(trial.look_at(&endpoint).await.failing_since, None);
}

#[sqlx::test]
async fn a_receiver_that_is_busy_is_asked_again_when_it_says_and_not_before(pool: PgPool) {
    let trial = Trial::new(&pool).await;
    let receiver = Receiver::start().await;
    let (endpoint, _) = trial.endpoint(&receiver.url()).await;
    trial.happens(Kind::CertificateFailed).await;
    let mut now = crate::clock::now();
    for (answer, least, most) in [
        ("429 Too Many Requests\r\nRetry-After: 3600", 3_600, 3_970),
        ("503 Service Unavailable\r\nRetry-After: 99999999", 86_400, 95_050),
        // Not sooner than by the schedule, and of another status not at all.
        ("503 Service Unavailable\r\nRetry-After: 1", 1_800, 1_990),
        ("500 Internal Server Error\r\nRetry-After: 80000", 7_200, 7_930),
    ] {
        receiver.says(&format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(trial.round(now).await, 1, "{answer}");
        let failed = trial.delivery(&endpoint).await;
        // Noted by the clock, and not by the time that this round was given.
        let wait = (failed.due_at - failed.attempted_at.unwrap()).num_seconds();
        assert!((least..most).contains(&wait), "{answer}: {wait}");
        assert_eq!(trial.round(failed.due_at - TimeDelta::seconds(1)).await, 0, "{answer}");
        now = failed.due_at;
    }
    receiver.says(OK);
    assert_eq!(trial.round(now).await, 1);
    assert_eq!(trial.delivery(&endpoint).await.state(), State::Delivered);
}

#[sqlx::test]
async fn after_ten_attempts_a_delivery_is_given_up_and_can_be_replayed(pool: PgPool) {
    let trial = Trial::new(&pool).await;
    let receiver = Receiver::start().await;
    receiver.says("HTTP/1.1 500 Internal Server Error\r\n\r\n");
    let (endpoint, _) = trial.endpoint(&receiver.url()).await;
    trial.happens(Kind::CertificateIssued).await;
    for attempt in 1..=10 {
        assert_eq!(
            trial.round(crate::clock::now() + TimeDelta::days(2)).await,
            1,
            "{attempt}"
        );
    }
    let given_up = trial.delivery(&endpoint).await;
    assert_eq!((given_up.state(), given_up.attempts), (State::GivenUp, 10));
    assert_eq!(trial.round(crate::clock::now() + TimeDelta::days(9)).await, 0);
    receiver.says(OK);
    let mut db = trial.pool.acquire().await.unwrap();
    let ids = (endpoint.id, given_up.id);
    let replayed = deliveries::replay(&mut db, &trial.scope, ids, crate::clock::database_now())
        .await
        .unwrap();
    assert_eq!(replayed.state(), State::Waiting);
    assert_eq!(trial.round(crate::clock::now()).await, 1);
    assert_eq!(trial.delivery(&endpoint).await.state(), State::Delivered);
    let received = receiver.received();
    assert_eq!(received[0].id(), received[10].id());
}

#[sqlx::test]
async fn a_receiver_that_answers_410_is_left_alone_and_its_owner_is_told(pool: PgPool) {
    let trial = Trial::new(&pool).await;
    let receiver = Receiver::start().await;
    receiver.says("HTTP/1.1 410 Gone\r\n\r\n");
    let (endpoint, _) = trial.endpoint(&receiver.url()).await;
    for kind in Kind::ALL {
        trial.happens(kind).await;
    }
    trial.round(crate::clock::now()).await;
    let gone = trial.look_at(&endpoint).await.disabled.unwrap();
    assert_eq!(gone.reason, Reason::Gone);
    let all = trial.deliveries(&endpoint).await;
    assert_eq!(all.len(), 5);
    assert!(all.iter().all(|delivery| delivery.state() == State::GivenUp), "{all:?}");
    trial.happens(Kind::CertificateIssued).await;
    assert_eq!(trial.round(crate::clock::now() + TimeDelta::days(1)).await, 0);
    assert_eq!(trial.deliveries(&endpoint).await.len(), 5);
    let expected = format!("The webhook to {} is disabled", receiver.address);
    let mails = trial.mails().await;
    assert_eq!(
        mails.iter().filter(|subject| **subject == expected).count(),
        1,
        "{mails:?}"
    );
}

#[sqlx::test]
async fn an_endpoint_that_fails_for_five_days_is_disabled_and_its_owner_is_told(pool: PgPool) {
    let trial = Trial::new(&pool).await;
    // Nobody listens there any more.
    let address = Receiver::start().await.address;
    let (endpoint, _) = trial.endpoint(&format!("http://{address}/")).await;
    trial.happens(Kind::DomainFirstRequest).await;
    trial.round(crate::clock::now()).await;
    let failed = trial.delivery(&endpoint).await;
    assert_eq!((failed.state(), failed.response_status), (State::Retrying, None));
    sqlx::query("update webhook_endpoints set failing_since = now() - interval '5 days'")
        .execute(&trial.pool)
        .await
        .unwrap();
    trial.round(crate::clock::now() + TimeDelta::days(1)).await;
    let failing = trial.look_at(&endpoint).await.disabled.unwrap();
    assert_eq!(failing.reason, Reason::Failing);
    assert_eq!(trial.delivery(&endpoint).await.state(), State::GivenUp);
    assert_eq!(trial.mails().await, [format!("The webhook to {address} is disabled")]);
}

#[sqlx::test]
async fn a_redirect_is_not_followed(pool: PgPool) {
    let trial = Trial::new(&pool).await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let (endpoint, _) = trial.endpoint(&receiver.url()).await;
    for status in [301, 302, 307, 308] {
        receiver.says(&format!(
            "HTTP/1.1 {status} Elsewhere\r\nLocation: {}\r\n\r\n",
            other.url()
        ));
        trial.happens(Kind::CertificateIssued).await;
        trial.round(crate::clock::now()).await;
    }
    assert!(other.received().is_empty());
    for delivery in trial.deliveries(&endpoint).await {
        assert_eq!(delivery.state(), State::Retrying);
        let text = delivery.response_text.unwrap();
        assert!(text.starts_with("Redirects are not followed"), "{text}");
    }
}

#[sqlx::test]
async fn a_private_address_is_refused_unless_a_setting_allows_it(pool: PgPool) {
    let trial = Trial::with(&pool, &[]).await;
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    let mut expected = Vec::new();
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "10.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
    ] {
        let (endpoint, _) = trial.endpoint(&format!("http://{host}:{port}/")).await;
        expected.push(endpoint);
    }
    // An address of the world, and a port that is no web server's.
    let (elsewhere, _) = trial.endpoint("http://192.88.99.1:22/").await;
    trial.happens(Kind::CertificateIssued).await;
    assert_eq!(trial.round(crate::clock::now()).await, 7);
    for endpoint in expected.iter().chain([&elsewhere]) {
        let delivery = trial.delivery(endpoint).await;
        assert_eq!((delivery.state(), delivery.response_status), (State::Retrying, None));
        let text = delivery.response_text.unwrap();
        let is_told = text.contains("not a public address") || text.contains("web servers only");
        assert!(is_told, "{}: {text}", endpoint.url);
    }
    assert!(receiver.received().is_empty());
}

#[sqlx::test]
async fn hostile_answers_cost_little_and_are_kept_short(pool: PgPool) {
    let trial = Trial::new(&pool).await;
    let long_header = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let many_headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(10_000));
    let cases = [
        (Behaviour::Endless, State::Delivered),
        (Behaviour::Says(long_header), State::Retrying),
        (Behaviour::Says(many_headers), State::Retrying),
        (Behaviour::Says("SSH-2.0-OpenSSH_9\r\n".to_owned()), State::Retrying),
        (Behaviour::Says(String::new()), State::Retrying),
    ];
    let mut hostile = Vec::new();
    for (behaviour, state) in cases {
        let receiver = Receiver::start().await;
        receiver.does(behaviour);
        let (endpoint, _) = trial.endpoint(&receiver.url()).await;
        hostile.push((receiver, endpoint, state));
    }
    trial.happens(Kind::CertificateIssued).await;
    assert_eq!(trial.round(crate::clock::now()).await, 5);
    for (_receiver, endpoint, state) in &hostile {
        let delivery = trial.delivery(endpoint).await;
        assert_eq!(delivery.state(), *state, "{delivery:?}");
        assert!(delivery.response_text.unwrap().chars().count() <= 1_001);
    }
}

#[sqlx::test]
async fn a_receiver_that_takes_too_long_has_failed(pool: PgPool) {
    let mut trial = Trial::new(&pool).await;
    let patience = Duration::from_millis(300);
    trial.courier = impatient(&pool, &trial.keyring, &["127.0.0.0/8"], patience);
    let mut slow = Vec::new();
    for behaviour in [Behaviour::Silent, Behaviour::Drips] {
        let receiver = Receiver::start().await;
        receiver.does(behaviour);
        let (endpoint, _) = trial.endpoint(&receiver.url()).await;
        slow.push((receiver, endpoint));
    }
    trial.happens(Kind::CertificateIssued).await;
    assert_eq!(trial.round(crate::clock::now()).await, 2);
    for (_receiver, endpoint) in &slow {
        let delivery = trial.delivery(endpoint).await;
        assert_eq!(delivery.state(), State::Retrying);
        assert!(delivery.response_text.unwrap().starts_with("The answer took more than"));
        assert!((250..5_000).contains(&delivery.duration_ms.unwrap()));
    }
}

#[sqlx::test]
async fn who_dies_between_claim_and_send_is_stood_in_for_and_one_who_oversleeps_writes_nothing(pool: PgPool) {
    let trial = Trial::new(&pool).await;
    let receiver = Receiver::start().await;
    let (endpoint, _) = trial.endpoint(&receiver.url()).await;
    trial.happens(Kind::CertificateIssued).await;
    let now = crate::clock::now();
    trial.courier.events.hand_on(crate::clock::assume(now)).await.unwrap();
    let dead = trial.courier.claim(&[], crate::clock::assume(now)).await.unwrap();
    assert_eq!(dead.len(), 1);
    let other = courier(&trial.pool, &trial.keyring, &["127.0.0.0/8"]);
    assert!(
        other
            .claim(&[], crate::clock::assume(now + TimeDelta::seconds(59)))
            .await
            .unwrap()
            .is_empty()
    );
    let taken = other
        .claim(&[], crate::clock::assume(now + TimeDelta::seconds(60)))
        .await
        .unwrap();
    other.bring(&taken[0]).await.unwrap();
    assert_eq!(trial.delivery(&endpoint).await.state(), State::Delivered);
    receiver.says("HTTP/1.1 500 Internal Server Error\r\n\r\n");
    trial.courier.bring(&dead[0]).await.unwrap();
    let delivery = trial.delivery(&endpoint).await;
    assert_eq!(
        (delivery.state(), delivery.response_status),
        (State::Delivered, Some(204))
    );
}

#[sqlx::test]
async fn of_two_nodes_one_brings_each_event_to_each_endpoint(pool: PgPool) {
    let trial = Trial::new(&pool).await;
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    trial.endpoint(&one.url()).await;
    trial.endpoint(&two.url()).await;
    for _ in 0..10 {
        for kind in Kind::ALL {
            trial.happens(kind).await;
        }
    }
    let other = courier(&trial.pool, &trial.keyring, &["127.0.0.0/8"]);
    let work = async |courier: &Courier| {
        loop {
            courier.events.hand_on(crate::clock::database_now()).await.unwrap();
            let due = courier.claim(&[], crate::clock::database_now()).await.unwrap();
            if due.is_empty() && one.received().len() + two.received().len() >= 100 {
                return;
            }
            join_all(due.iter().map(|due| courier.bring(due))).await;
        }
    };
    tokio::join!(work(&trial.courier), work(&other));
    for receiver in [&one, &two] {
        let mut ids: Vec<_> = receiver
            .received()
            .iter()
            .map(|received| received.id().to_owned())
            .collect();
        assert_eq!(ids.len(), 50);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 50);
    }
}

#[sqlx::test]
async fn a_thousand_for_a_silent_endpoint_hold_up_nobody_elses(pool: PgPool) {
    let trial = Trial::new(&pool).await;
    let (silent, quick) = (Receiver::start().await, Receiver::start().await);
    silent.does(Behaviour::Silent);
    trial.endpoint(&silent.url()).await;
    for _ in 0..1_000 {
        trial.happens(Kind::CertificateFailed).await;
    }
    let cancel = tokio_util::sync::CancellationToken::new();
    let courier = Arc::new(courier(&trial.pool, &trial.keyring, &["127.0.0.0/8"]));
    let mut running = tokio::task::JoinSet::new();
    running.spawn(courier.run(cancel.clone()));
    silent.comes().await;
    trial.endpoint(&quick.url()).await;
    trial.happens(Kind::CertificateIssued).await;
    quick.comes().await;
    assert_eq!(quick.types(), ["certificate.issued"]);
    assert!(silent.received().len() <= 4, "few at once, and none has ended");
    cancel.cancel();
    running.join_all().await;
    let held = sqlx::query_scalar::<_, i64>("select count(*) from webhook_deliveries where lease_until > now()");
    assert_eq!(held.fetch_one(&trial.pool).await.unwrap(), 0, "given back");
}
