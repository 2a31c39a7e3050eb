//! What becomes of one domain's certificate, from the first order to the last, as its people and the CA see it.
use std::net::TcpListener;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use signpost::certificates::{Issuer, expiry, orders::Orders};
use sqlx::PgPool;

use super::{
    fake_ca::{Behaviour, FakeCa, Kind, RenewalInfo, Validation},
    names::Names,
    rig::within,
};
use crate::{
    app::{Msp, TestApp},
    process::TestDir,
    webhooks::receiver::Receiver,
};

const DOMAIN: &str = "contoso.com";

/// A server, its CA, and the name server that both ask.
struct Trial {
    app: TestApp,
    ca: FakeCa,
    msp: Msp,
    names: Names,
    _files: TestDir,
}

impl Trial {
    async fn start(pool: &PgPool, behaviour: Behaviour, more: &[(&str, &str)]) -> Self {
        let (ca, names, files) = (FakeCa::start(behaviour), Names::start(), TestDir::new());
        names.put_here(&["portal.signpost.test".into(), "edge.signpost.test".into()]);
        let root = files.path().join("ca.pem");
        std::fs::write(&root, ca.root_pem()).unwrap();
        let (http, https) = (free_port(), free_port());
        let (directory, dns) = (ca.directory().to_string(), names.address());
        let (http_addr, https_addr) = (format!("127.0.0.1:{http}"), format!("127.0.0.1:{https}"));
        let settings = [
            ("SIGNPOST_CERTIFICATES", "acme"),
            ("SIGNPOST_ACME_DIRECTORY", directory.as_str()),
            ("SIGNPOST_ACME_CA_FILE", root.to_str().unwrap()),
            ("SIGNPOST_HTTP_ADDR", &http_addr),
            ("SIGNPOST_HTTPS_ADDR", &https_addr),
            ("SIGNPOST_PUBLIC_HTTP_PORT", &http.to_string()),
            ("SIGNPOST_PUBLIC_HTTPS_PORT", &https.to_string()),
            ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
            ("SIGNPOST_DNS_SERVERS", &dns),
        ];
        let settings: Vec<_> = settings.iter().chain(more).copied().collect();
        let app = TestApp::start_with(pool.clone(), &settings).await;
        let organisation = app.msp("Acme IT").await;
        let msp = Msp::over_tls(app.https, organisation.organisation_id, &organisation.token);
        within(20, "the portal has its certificate", || async {
            app.running.shows("portal.signpost.test")
        })
        .await;
        Self {
            app,
            ca,
            msp,
            names,
            _files: files,
        }
    }

    /// Registered, proved and pointing at us.
    async fn connect(&self, hostname: &str) {
        self.names.put_here(&[hostname.to_owned()]);
        self.msp.register(hostname).await;
        self.app.take_word(hostname).await;
        let checked = self.msp.call("POST", &format!("/domains/{hostname}/check"), None).await;
        assert_eq!(checked.status, 200, "{}", checked.text);
    }

    async fn certify(&self, hostname: &str) -> Value {
        self.connect(hostname).await;
        self.until(hostname, |certificate| certificate["state"] == "valid")
            .await
    }

    async fn domain(&self, hostname: &str) -> Value {
        self.msp.get(&format!("/domains/{hostname}")).await.json()
    }

    /// The certificate of the domain, once it is as it should.
    async fn until(&self, hostname: &str, holds: impl Fn(&Value) -> bool) -> Value {
        within(20, "the certificate is as it should be", || async {
            holds(&self.domain(hostname).await["certificate"])
        })
        .await;
        self.domain(hostname).await["certificate"].clone()
    }

    async fn set(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.app.pool).await.unwrap();
    }

    /// Has the CA asked now when every certificate is to be renewed.
    async fn ask_when_to_renew(&self) {
        self.set("update certificates set suggestion_due_at = now()").await;
        let issuer = self.app.running.issuer();
        acme(&issuer)
            .ask_when_to_renew(crate::clock::database_now())
            .await
            .unwrap();
    }

    /// So that it is this domain's turn at once. An attempt that is not over yet would set its own time afterwards.
    async fn hurry(&self) {
        let statement =
            "update certificate_leases set due_at = now() where hostname = 'contoso.com' and lease_until <= now()";
        within(20, "no attempt is running", || async {
            let updated = sqlx::query(statement).execute(&self.app.pool).await.unwrap();
            updated.rows_affected() == 1
        })
        .await;
    }

    fn ordered(&self) -> usize {
        self.ca.ordered().iter().filter(|name| *name == DOMAIN).count()
    }
}

fn acme(issuer: &Issuer) -> &Orders {
    match issuer {
        Issuer::Acme(orders) => orders,
        Issuer::Internal(_) => panic!("certificates come from the CA"),
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn time(value: &Value) -> DateTime<Utc> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{value} is no time"))
}

#[sqlx::test]
async fn a_domain_shows_its_certificate_and_the_numbers_count_it(pool: PgPool) {
    let trial = Trial::start(&pool, Behaviour::default(), &[]).await;
    let certificate = trial.certify(DOMAIN).await;
    assert_eq!(certificate["issuer"], trial.ca.directory().as_str());
    assert!(
        certificate["failure"].is_null() && certificate["last_error"].is_null(),
        "{certificate}"
    );
    let life = time(&certificate["not_after"]) - time(&certificate["not_before"]);
    assert_eq!(life, TimeDelta::days(90));
    assert_eq!(trial.ordered(), 1);
    let looked = trial
        .until(DOMAIN, |certificate| {
            certificate["served"].as_array().is_some_and(|all| !all.is_empty())
        })
        .await;
    let seen = &looked["served"][0];
    assert_eq!(
        (&seen["state"], &seen["address"]),
        (&"current".into(), &Value::Null),
        "{looked}"
    );
    assert_eq!(seen["not_after"], certificate["not_after"]);
    let metrics = reqwest::get(format!("http://{}/metrics", trial.app.ops)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in [
        "signpost_certificates{state=\"valid\"} 3",
        "signpost_certificates_left{within=\"more\"} 3",
        "signpost_certificates_left{within=\"1d\"} 0",
        "signpost_acme_orders_left -1",
        "signpost_acme_paused 0",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line} is missing:\n{metrics}"
        );
    }
    trial.app.stop().await;
}

#[sqlx::test]
async fn a_certificate_is_renewed_when_the_ca_suggests_and_replaces_the_one_before(pool: PgPool) {
    let now = crate::clock::now();
    let (start, end) = (now + TimeDelta::days(20), now + TimeDelta::days(21));
    let page = "https://ca.example/why";
    let suggested = |start, end| RenewalInfo::Suggested {
        start,
        end,
        explanation_url: Some(page.to_owned()),
        retry_after: Some("7200".to_owned()),
    };
    let behaviour = Behaviour {
        renewal_info: suggested(start, end),
        ..Behaviour::default()
    };
    let trial = Trial::start(&pool, behaviour, &[]).await;
    trial.certify(DOMAIN).await;

    trial.ask_when_to_renew().await;
    let first = trial.domain(DOMAIN).await["certificate"].clone();
    assert!((start..=end).contains(&time(&first["renews_at"])), "{first}");
    assert_eq!(first["renewal_explanation_url"], page);
    let due = "select suggestion_due_at from certificates where hostname = 'contoso.com'";
    let due: DateTime<Utc> = sqlx::query_scalar(due).fetch_one(&trial.app.pool).await.unwrap();
    let wait = due - crate::clock::now();
    assert!(
        (TimeDelta::minutes(118)..=TimeDelta::minutes(120)).contains(&wait),
        "{wait}"
    );

    // Drawn once, and kept.
    trial.ask_when_to_renew().await;
    assert_eq!(
        trial.domain(DOMAIN).await["certificate"]["renews_at"],
        first["renews_at"]
    );

    // "Now", for one that is not quite new: ordered at once, as a replacement.
    trial
        .set("update certificates set not_before = not_before - interval '1 day' where hostname = 'contoso.com'")
        .await;
    trial
        .ca
        .change(|ca| ca.renewal_info = suggested(now - TimeDelta::days(2), now - TimeDelta::days(1)));
    let before = trial.ca.issued();
    let before = before.iter().find(|issued| issued.hostname == DOMAIN).unwrap();
    trial.ask_when_to_renew().await;
    within(20, "the renewal is issued", || async {
        trial.ordered() == 2 && trial.ca.issued().len() == trial.ca.ordered().len()
    })
    .await;
    let renewed = trial.ca.issued();
    let renewed = renewed.iter().rfind(|issued| issued.hostname == DOMAIN).unwrap();
    assert_eq!(renewed.replaces.as_deref(), Some(before.id.as_str()));
    within(20, "it is shown", || async {
        time(&trial.domain(DOMAIN).await["certificate"]["not_before"]).timestamp() == renewed.not_before.timestamp()
    })
    .await;
    // A CA that says "now" of a fresh one is not believed.
    trial.ask_when_to_renew().await;
    let renews_at = time(&trial.domain(DOMAIN).await["certificate"]["renews_at"]);
    assert!(renews_at > crate::clock::now() + TimeDelta::hours(4), "{renews_at}");
    trial.app.stop().await;
}

#[sqlx::test]
async fn a_ca_that_suggests_to_wait_too_long_is_not_waited_for(pool: PgPool) {
    let now = crate::clock::now();
    let behaviour = Behaviour {
        renewal_info: RenewalInfo::Suggested {
            start: now + TimeDelta::days(100),
            end: now + TimeDelta::days(101),
            explanation_url: None,
            retry_after: None,
        },
        ..Behaviour::default()
    };
    let trial = Trial::start(&pool, behaviour, &[]).await;
    let certificate = trial.certify(DOMAIN).await;
    trial.ask_when_to_renew().await;
    let asked = trial.domain(DOMAIN).await["certificate"].clone();
    let left = time(&certificate["not_after"]) - time(&asked["renews_at"]);
    assert_eq!(left, TimeDelta::days(15), "a sixth of ninety days");
    trial.app.stop().await;
}

#[sqlx::test]
async fn a_short_life_and_a_profile_are_taken_as_they_come(pool: PgPool) {
    let behaviour = Behaviour {
        profiles: [("shortlived".to_owned(), TimeDelta::hours(160))].into(),
        eab: Some((
            "customer-7".to_owned(),
            "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0".to_owned(),
        )),
        renewal_info: RenewalInfo::NotOffered,
        ..Behaviour::default()
    };
    let more = [
        ("SIGNPOST_ACME_PROFILE", "shortlived"),
        ("SIGNPOST_ACME_EAB_KEY_ID", "customer-7"),
        ("SIGNPOST_ACME_EAB_KEY", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"),
    ];
    let trial = Trial::start(&pool, behaviour, &more).await;
    let certificate = trial.certify(DOMAIN).await;
    let (from, until) = (time(&certificate["not_before"]), time(&certificate["not_after"]));
    assert_eq!(until - from, TimeDelta::hours(160));
    assert_eq!(time(&certificate["renews_at"]) - from, TimeDelta::hours(80));
    assert_eq!(trial.ca.count(Kind::RenewalInfo), 0);
    trial.app.stop().await;
}

#[sqlx::test]
async fn a_program_is_told_of_a_certificate_that_fails_once_for_each_reason_and_then_of_the_one_that_came(
    pool: PgPool,
) {
    let trial = Trial::start(&pool, Behaviour::default(), &[]).await;
    let receiver = Receiver::start().await;
    let wanted = json!({"url": receiver.url(), "events": ["certificate.failed", "certificate.issued"]});
    let made = trial.msp.post("/webhook-endpoints", wanted).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let told = |kind: &str| {
        let received = receiver.received();
        let of_kind = received.into_iter().filter(|received| received.json()["type"] == kind);
        of_kind.collect::<Vec<_>>()
    };
    trial
        .ca
        .change(|ca| ca.validation = Validation::Fail("connection", "192.0.2.9: Timeout during connect"));
    trial.connect(DOMAIN).await;
    within(20, "the failure is told", || async {
        !told("certificate.failed").is_empty()
    })
    .await;
    let failed = told("certificate.failed").remove(0);
    assert!(failed.is_signed_by(made.json()["secret"].as_str().unwrap()));
    let (data, domain) = (failed.json()["data"].clone(), trial.domain(DOMAIN).await);
    assert_eq!(
        (&data["domain_id"], &data["hostname"], &data["client_id"], &data["code"]),
        (
            &domain["id"],
            &json!(DOMAIN),
            &domain["client_id"],
            &json!("ca_could_not_connect")
        )
    );
    let failure = &domain["certificate"]["failure"];
    assert_eq!(
        (&data["message"], &data["remedy"]),
        (&failure["message"], &failure["remedy"])
    );
    assert!(data["next_attempt_at"].is_string(), "{data}");

    // The same again is no news.
    trial.hurry().await;
    let first = time(&failure["at"]);
    // Noted after the order's own end: until then the turn is not over, and hurrying would be in vain.
    trial
        .until(DOMAIN, |certificate| time(&certificate["failure"]["at"]) > first)
        .await;
    assert_eq!(failures(&trial).await, 2);
    trial.ca.change(|ca| ca.validation = Validation::Trust);
    trial.hurry().await;
    trial.until(DOMAIN, |certificate| certificate["state"] == "valid").await;
    within(20, "the certificate is told", || async {
        !told("certificate.issued").is_empty()
    })
    .await;
    assert_eq!(told("certificate.failed").len(), 1);
    assert_eq!(told("certificate.issued").len(), 1);
    trial.app.stop().await;
}

#[sqlx::test]
async fn a_validation_that_fails_is_told_in_words_and_not_tried_a_fourth_time_in_an_hour(pool: PgPool) {
    let trial = Trial::start(&pool, Behaviour::default(), &[]).await;
    trial
        .ca
        .change(|ca| ca.validation = Validation::Fail("connection", "192.0.2.9: Timeout during connect"));
    trial.connect(DOMAIN).await;
    let failed = trial
        .until(DOMAIN, |certificate| !certificate["failure"].is_null())
        .await;
    assert_eq!(failed["failure"]["code"], "ca_could_not_connect", "{failed}");
    assert_eq!(failed["failure"]["ca"]["type"], "connection");
    assert_eq!(failed["failure"]["ca"]["detail"], "192.0.2.9: Timeout during connect");
    let wait = time(&failed["next_attempt_at"]) - time(&failed["failure"]["at"]);
    assert!(
        (TimeDelta::seconds(55)..TimeDelta::seconds(75)).contains(&wait),
        "{wait}"
    );
    let domain = trial.domain(DOMAIN).await;
    assert_eq!(domain["status"], "pending_certificate", "{domain}");
    let next = &domain["next_action"];
    assert_eq!(
        (&next["code"], &next["actor"]),
        (&"wait_for_certificate".into(), &"client".into())
    );
    assert_eq!(next["cause"], "ca_could_not_connect");

    for orders in 2..=3 {
        trial.hurry().await;
        within(20, "it is tried again", || async { trial.ordered() == orders }).await;
        trial
            .until(DOMAIN, |certificate| {
                certificate["failure"]["ca"]["type"] == "connection"
            })
            .await;
        within(20, "and fails", || async { failures(&trial).await == orders }).await;
    }
    trial.hurry().await;
    let waits = trial
        .until(DOMAIN, |certificate| certificate["failure"]["code"] == "budget_spent")
        .await;
    assert_eq!(trial.ordered(), 3, "the CA was not asked");
    let looked = "select count(*) from acme_challenges where hostname = 'contoso.com'";
    let looked: i64 = sqlx::query_scalar(looked).fetch_one(&trial.app.pool).await.unwrap();
    assert_eq!(looked, 0, "nor did we ask ourselves, since there was no room");
    let wait = time(&waits["next_attempt_at"]) - crate::clock::now();
    assert!(
        (TimeDelta::minutes(55)..=TimeDelta::minutes(70)).contains(&wait),
        "{wait}"
    );

    // The hour is over, and what was wrong is mended.
    trial.ca.change(|ca| ca.validation = Validation::Trust);
    trial
        .set("update acme_orders set finished_at = finished_at - interval '1 hour' where finished_at is not null")
        .await;
    trial.hurry().await;
    let issued = trial.until(DOMAIN, |certificate| certificate["state"] == "valid").await;
    assert!(
        issued["failure"].is_null() && issued["next_attempt_at"].is_null(),
        "{issued}"
    );
    trial.app.stop().await;
}

async fn failures(trial: &Trial) -> usize {
    let count = "select count(*) from acme_orders where hostname = 'contoso.com' and outcome = 'invalid'";
    let count: i64 = sqlx::query_scalar(count).fetch_one(&trial.app.pool).await.unwrap();
    usize::try_from(count).unwrap()
}

#[sqlx::test]
async fn a_certificate_is_revoked_when_that_is_asked_for_and_otherwise_not(pool: PgPool) {
    let trial = Trial::start(&pool, Behaviour::default(), &[]).await;
    trial.certify("kept.example.com").await;
    trial.certify(DOMAIN).await;
    assert_eq!(trial.msp.delete("/domains/kept.example.com").await.status, 204);
    trial
        .msp
        .delete("/domains/contoso.com?revoke_certificate=perhaps")
        .await
        .problem(422, "invalid");
    assert_eq!(
        trial
            .msp
            .delete("/domains/contoso.com?revoke_certificate=true")
            .await
            .status,
        204
    );
    within(30, "it is revoked", || async {
        let issued = trial.ca.issued();
        issued
            .iter()
            .any(|issued| issued.hostname == DOMAIN && issued.is_revoked)
    })
    .await;
    let issued = trial.ca.issued();
    let revoked: Vec<_> = issued
        .iter()
        .filter(|issued| issued.is_revoked)
        .map(|issued| &*issued.hostname)
        .collect();
    assert_eq!(revoked, [DOMAIN]);
    within(10, "nothing is left to do", || async {
        let left = sqlx::query_scalar::<_, i64>("select count(*) from acme_revocations");
        left.fetch_one(&trial.app.pool).await.unwrap() == 0
    })
    .await;
    trial.app.stop().await;
}

#[sqlx::test]
async fn a_domain_that_comes_back_gets_a_certificate_again(pool: PgPool) {
    let trial = Trial::start(&pool, Behaviour::default(), &[]).await;
    trial.certify(DOMAIN).await;
    assert_eq!(trial.msp.delete("/domains/contoso.com").await.status, 204);
    trial.certify(DOMAIN).await;
    assert_eq!(trial.ordered(), 2);
    trial.app.stop().await;
}

#[sqlx::test]
async fn a_certificate_that_nobody_renews_is_warned_of_once(pool: PgPool) {
    let trial = Trial::start(&pool, Behaviour::default(), &[]).await;
    trial.certify(DOMAIN).await;
    trial.ca.change(|ca| ca.is_down = true);
    trial
        .set(
            "update certificates set not_before = now() - interval '88 days', not_after = now() + interval '2 days',
                    urgent_at = now() - interval '13 days' where hostname = 'contoso.com'",
        )
        .await;
    let (issuer, now) = (trial.ca.directory().to_string(), crate::clock::now());
    let mut db = trial.app.pool.acquire().await.unwrap();
    assert_eq!(
        expiry::warn(&mut db, &issuer, crate::clock::assume(now)).await.unwrap(),
        1
    );
    assert_eq!(
        expiry::warn(&mut db, &issuer, crate::clock::assume(now)).await.unwrap(),
        0
    );
    let row: (String, uuid::Uuid, Value) =
        sqlx::query_as("select kind, organisation_id, payload from outbox where once is not null")
            .fetch_one(&mut *db)
            .await
            .unwrap();
    assert_eq!(
        (row.0.as_str(), row.1),
        ("certificate.expiring", trial.msp.organisation_id)
    );
    assert_eq!(row.2["hostname"], DOMAIN);
    drop(db);
    trial.app.stop().await;
}

#[sqlx::test]
async fn an_order_whose_key_does_not_open_makes_room_for_another(pool: PgPool) {
    let trial = Trial::start(&pool, Behaviour::default(), &[]).await;
    trial
        .set(
            "insert into acme_orders (order_id, issuer, hostname, registered_domain, key_sealed, created_at)
             select gen_random_uuid(), issuer, 'contoso.com', 'contoso.com', 'garbage', now() from acme_accounts",
        )
        .await;
    trial.connect(DOMAIN).await;
    trial
        .until(DOMAIN, |certificate| !certificate["failure"].is_null())
        .await;
    assert_eq!(trial.ordered(), 0);
    trial.hurry().await;
    trial.until(DOMAIN, |certificate| certificate["state"] == "valid").await;
    assert_eq!(trial.ordered(), 1);
    trial.app.stop().await;
}

#[sqlx::test]
async fn a_domain_that_left_does_not_keep_others_from_trying_whether_the_ca_is_back(pool: PgPool) {
    let trial = Trial::start(&pool, Behaviour::default(), &[]).await;
    trial.certify(DOMAIN).await;
    for statement in [
        "update acme_accounts set failures = 3, paused_until = now() + interval '1 hour'",
        "update domains set suspended_at = now() where hostname = 'contoso.com'",
        "update certificate_leases set due_at = now() - interval '1 day', urgency = 0 where hostname = 'contoso.com'",
    ] {
        trial.set(statement).await;
    }
    trial.connect("other.example.com").await;
    trial
        .set("update acme_accounts set paused_until = now() - interval '1 second'")
        .await;
    trial
        .until("other.example.com", |certificate| certificate["state"] == "valid")
        .await;
    trial.app.stop().await;
}

#[sqlx::test]
async fn a_revocation_that_fails_is_tried_again_later_each_time(pool: PgPool) {
    let trial = Trial::start(&pool, Behaviour::default(), &[]).await;
    trial.ca.change(|ca| ca.is_down = true);
    // So late that nobody but us finds it due.
    trial
        .set(
            "insert into acme_revocations (revocation_id, issuer, hostname, certificate, due_at)
             select gen_random_uuid(), issuer, 'contoso.com', 'a certificate', now() + interval '1 day' from acme_accounts",
        )
        .await;
    let issuer = trial.app.running.issuer();
    let mut now = crate::clock::now() + TimeDelta::days(2);
    for minutes in [10, 20, 30] {
        assert_eq!(acme(&issuer).revoke_due(crate::clock::assume(now)).await.unwrap(), 0);
        let due = sqlx::query_scalar::<_, DateTime<Utc>>("select due_at from acme_revocations");
        let due = due.fetch_one(&trial.app.pool).await.unwrap();
        assert_eq!((due - now).num_seconds(), minutes * 60);
        now += TimeDelta::days(1);
    }
    trial.app.stop().await;
}

#[sqlx::test]
async fn whoever_makes_many_names_of_a_domain_fail_is_told_to_wait_before_the_ca_is_asked(pool: PgPool) {
    let trial = Trial::start(&pool, Behaviour::default(), &[]).await;
    let failed =
        "insert into acme_orders (order_id, issuer, hostname, registered_domain, created_at, outcome, finished_at)
                  select gen_random_uuid(), $1, n || '.contoso.com', 'contoso.com', now(), 'invalid', now()
                    from generate_series(1, 20) n";
    let inserted = sqlx::query(failed).bind(trial.ca.directory().to_string());
    inserted.execute(&trial.app.pool).await.unwrap();
    trial.connect(DOMAIN).await;
    let waits = trial
        .until(DOMAIN, |certificate| !certificate["failure"].is_null())
        .await;
    assert_eq!(waits["failure"]["code"], "budget_spent", "{waits}");
    assert!(waits["failure"]["ca"].is_null(), "{waits}");
    assert_eq!(trial.ordered(), 0);
    // Another domain's name is nobody else's concern, and counts for whoever holds it.
    trial.certify("fabrikam.com").await;
    let holder = "select organisation_id from acme_orders where hostname = 'fabrikam.com'";
    let holder: uuid::Uuid = sqlx::query_scalar(holder).fetch_one(&trial.app.pool).await.unwrap();
    assert_eq!(holder, trial.msp.organisation_id);
    trial.app.stop().await;
}
