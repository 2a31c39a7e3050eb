//! What a CA may do wrong, by mistake or on purpose: it costs bounded time and memory, and the next question is asked
//! as if nothing had been.
use std::time::{Duration, Instant};

use chrono::{Duration as Span, SubsecRound};
use serde_json::json;
use signpost::certificates::acme::{Ca, CaError, CaSetupError};

use super::{
    client::{Bench, HOST, csr, order},
    fake_ca::{Answer, Behaviour, FakeCa, Fault, Kind, Validation},
};
use crate::app::eventually;

fn json_answer(body: serde_json::Value) -> Fault {
    Fault::answer(200, "application/json", body.to_string())
}

/// What it is called when it is told.
fn name(error: &CaError) -> &'static str {
    match error {
        CaError::Unreachable(_) => "unreachable",
        CaError::Timeout => "timeout",
        CaError::Malformed(_) => "malformed",
        CaError::Refused(_) => "refused",
        CaError::NotOffered(_) => "not offered",
        CaError::Unasked(_) => "unasked",
    }
}

#[tokio::test]
async fn whatever_a_ca_answers_there_is_an_error_with_a_name_and_the_next_question_is_asked() {
    let bench = Bench::start(Behaviour::default()).await;
    let session = bench.session();
    let placed = session.new_order(&order(HOST)).await.unwrap();
    let order = |finalize: &str| json!({"status": "pending", "authorizations": [], "finalize": finalize});
    let many = vec!["https://ca.example/a"; 20_000];
    for (case, fault, expected) in [
        (
            "a page",
            Fault::answer(200, "text/html", "<html>Welcome</html>"),
            "of the type text/html",
        ),
        ("nothing", Fault::answer(200, "", ""), "malformed"),
        ("half", Fault::Truncated, "EOF while parsing"),
        ("null", json_answer(json!(null)), "malformed"),
        ("a list", json_answer(json!([])), "malformed"),
        ("no order", json_answer(json!({"status": "valid"})), "malformed"),
        (
            "another status",
            json_answer(json!({"status": "\u{1b}[2J", "authorizations": [], "finalize": ""})),
            "malformed",
        ),
        (
            "not UTF-8",
            Fault::answer(200, "application/json", vec![0xff; 100]),
            "malformed",
        ),
        (
            "deep",
            Fault::answer(200, "application/json", "[".repeat(200_000)),
            "malformed",
        ),
        (
            "too much",
            Fault::answer(200, "application/json", json!({"x": many}).to_string()),
            "more than 262144 bytes",
        ),
        ("without end", Fault::Endless, "more than 262144 bytes"),
        (
            "in the clear",
            json_answer(order("http://ca.example/finalize")),
            "http://ca.example/finalize is not",
        ),
        ("another scheme", json_answer(order("file:///etc/passwd")), "malformed"),
        ("a password", json_answer(order("https://a:b@ca.example/")), "malformed"),
        ("not absolute", json_answer(order("/finalize")), "malformed"),
        (
            "a problem with 200",
            Fault::answer(200, "application/problem+json", r#"{"type":"x","detail":"No."}"#),
            "x: No.",
        ),
        (
            "moved",
            Fault::answer(302, "text/html", "").with("Location", "https://elsewhere.example/"),
            "status 302",
        ),
        (
            "no such thing",
            Fault::answer(404, "text/html", "<h1>404</h1>"),
            "refused: status 404",
        ),
        (
            "broken",
            Fault::answer(500, "text/plain", "panic"),
            "refused: status 500",
        ),
        (
            "in the way",
            Fault::answer(503, "text/html", "<h1>503</h1>"),
            "refused: status 503",
        ),
        ("odd", Fault::answer(999, "text/html", ""), "refused: status 999"),
        ("many headers", Fault::Headers(5_000), "malformed"),
    ] {
        bench.fake.set_fault(Kind::Order, fault, 1);
        let error = session.order(&placed.url).await.unwrap_err();
        let told = format!("{}: {error}", name(&error));
        assert!(told.contains(expected), "{case}: {told}");
        assert!(!told.contains(char::is_control) && told.len() < 500, "{case}: {told}");
        session
            .order(&placed.url)
            .await
            .unwrap_or_else(|error| panic!("after {case}: {error}"));
    }
}

#[tokio::test]
async fn a_ca_that_says_nothing_or_too_slowly_is_left_in_time() {
    let bench = Bench::start(Behaviour::default()).await;
    let session = bench.session();
    let placed = session.new_order(&order(HOST)).await.unwrap();
    let hasty = Ca::new(bench.fake.directory(), Some(&bench.fake.root_pem())).unwrap();
    let hasty = hasty.with_patience(Duration::from_millis(300));
    hasty.offers().await.unwrap();
    for fault in [Fault::Hang, Fault::Drip(Duration::from_millis(20))] {
        bench.fake.set_fault(Kind::RenewalInfo, fault.clone(), 1);
        let began = Instant::now();
        assert_eq!(
            hasty.renewal_info("a.b").await.unwrap_err(),
            CaError::Timeout,
            "{fault:?}"
        );
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{fault:?}: {:?}",
            began.elapsed()
        );
    }
    // Slow is not wrong.
    bench
        .fake
        .set_fault(Kind::Order, Fault::Drip(Duration::from_micros(100)), 1);
    session.order(&placed.url).await.unwrap();
}

#[tokio::test]
async fn a_question_whose_connection_breaks_is_asked_again_only_if_that_changes_nothing() {
    let bench = Bench::start(Behaviour::default()).await;
    let session = bench.session();
    let placed = session.new_order(&order(HOST)).await.unwrap();
    for fault in [Fault::CutBefore, Fault::CutAfter] {
        let before = bench.fake.count(Kind::Order);
        bench.fake.set_fault(Kind::Order, fault.clone(), 1);
        session.order(&placed.url).await.unwrap();
        assert_eq!(bench.fake.count(Kind::Order) - before, 2, "{fault:?}");
        bench.fake.set_fault(Kind::Order, fault, 2);
        let error = session.order(&placed.url).await.unwrap_err();
        assert_eq!(
            (name(&error), bench.fake.count(Kind::Order) - before),
            ("unreachable", 4)
        );
    }
    for (kind, fault) in [
        (Kind::NewOrder, Fault::CutBefore),
        (Kind::Challenge, Fault::CutBefore),
        (Kind::Finalize, Fault::CutBefore),
    ] {
        let before = bench.fake.count(kind);
        bench.fake.set_fault(kind, fault, 1);
        let challenge = placed.order.authorizations[0].replace("authorization", "challenge") + "-http-01";
        let error = match kind {
            Kind::NewOrder => session.new_order(&order("other.example")).await.map(|_| ()),
            Kind::Challenge => session.challenge(&challenge).await,
            _ => session.finalize(&placed.order.finalize, &csr(HOST)).await.map(|_| ()),
        };
        assert_eq!(name(&error.unwrap_err()), "unreachable", "{kind:?}");
        assert_eq!(bench.fake.count(kind) - before, 1, "{kind:?}");
    }
    assert_eq!(bench.fake.ordered(), [HOST]);
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_is_found_and_not_placed_again() {
    let bench = Bench::start(Behaviour::default()).await;
    let session = bench.session();
    let nowhere = Answer::json(
        201,
        &json!({"status": "pending", "authorizations": [], "finalize": "https://a.example"}),
    );
    let hasty = Ca::new(bench.fake.directory(), Some(&bench.fake.root_pem())).unwrap();
    let hasty = hasty.with_patience(Duration::from_millis(500));
    for (n, (fault, expected)) in [
        (Fault::CutAfter, "unreachable"),
        (Fault::HangAfter, "timeout"),
        (Fault::AnswerAfter(nowhere.clone()), "malformed"),
        (
            Fault::AnswerAfter(nowhere.with("Location", "http://ca.example/order/1")),
            "malformed",
        ),
        (Fault::Truncated, "malformed"),
    ]
    .into_iter()
    .enumerate()
    {
        let hostname = format!("host{n}.example");
        bench.fake.set_fault(Kind::NewOrder, fault, 1);
        let error = bench.session_at(&hasty).new_order(&order(&hostname)).await.unwrap_err();
        assert_eq!(name(&error), expected, "{error}");
        let found = session
            .unfinished(&hostname, &session.orders().await.unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(session.orders().await.unwrap().last(), Some(&found.url));
        assert_eq!(bench.fake.ordered().len(), n + 1);
    }
    assert!(
        session
            .unfinished("never.example", &session.orders().await.unwrap())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_connection_that_the_ca_closed_meanwhile_costs_no_order() {
    let bench = Bench::start(Behaviour::default()).await;
    let (session, other) = (bench.session(), FakeCa::start(Behaviour::default()));
    let placed = session.new_order(&order(HOST)).await.unwrap();
    for n in 0..20 {
        bench.fake.set_fault(Kind::Order, Fault::CloseAfter, 1);
        session.order(&placed.url).await.unwrap();
        // Its end is sent, and the client gets the time to hear of it: something else is done.
        eventually(async || bench.fake.closed() > n).await;
        let elsewhere = Ca::new(other.directory(), Some(&other.root_pem())).unwrap();
        elsewhere.offers().await.unwrap();
        session.new_order(&order(&format!("host{n}.example"))).await.unwrap();
    }
    assert_eq!(bench.fake.ordered().len(), 21);
}

#[tokio::test]
async fn a_directory_leads_only_where_may_be_asked() {
    let bench = Bench::start(Behaviour::default()).await;
    let directory = |new_nonce: &str| {
        json!({"newNonce": new_nonce, "newAccount": "https://a.example", "newOrder": "https://a.example",
               "meta": {"termsOfService": "javascript:alert(1)",
                        "profiles": (0..100).map(|n| (format!("{n}\u{1b}"), json!(""))).collect::<serde_json::Map<_, _>>()}})
    };
    let fresh = || Ca::new(bench.fake.directory(), Some(&bench.fake.root_pem())).unwrap();
    for new_nonce in ["", "http://ca.example/nonce", "ftp://ca.example/"] {
        bench
            .fake
            .set_fault(Kind::Directory, json_answer(directory(new_nonce)), 1);
        assert_eq!(name(&fresh().offers().await.unwrap_err()), "malformed", "{new_nonce}");
    }
    bench
        .fake
        .set_fault(Kind::Directory, json_answer(directory("https://a.example")), 1);
    let offers = fresh().offers().await.unwrap();
    assert_eq!((offers.terms_of_service, offers.profiles.len()), (None, 0));
}

#[tokio::test]
async fn a_limit_tells_when_it_ends() {
    let bench = Bench::start(Behaviour::default()).await;
    let session = bench.session();
    let end = (crate::clock::now() + Span::hours(3)).trunc_subsecs(0);
    let text = format!(
        "too many new orders recently, retry after {}: see https://ca.example/",
        end.format("%F %T UTC")
    );
    let limit = || Fault::problem(429, "rateLimited", &text);
    for (fault, expected) in [
        (limit(), end),
        (
            limit().with("Retry-After", "3600"),
            crate::clock::now() + Span::hours(1),
        ),
        (
            Fault::answer(503, "text/html", "").with("Retry-After", &end.to_rfc2822().replace("+0000", "GMT")),
            end,
        ),
    ] {
        bench.fake.set_fault(Kind::NewOrder, fault, 1);
        let CaError::Refused(problem) = session.new_order(&order(HOST)).await.unwrap_err() else {
            panic!()
        };
        let off = (problem.retry_at.unwrap() - expected).abs();
        assert!(off < Span::seconds(10), "{problem:?}");
    }
    assert_eq!(bench.fake.ordered(), [""; 0]);
}

#[tokio::test]
async fn a_token_or_a_problem_of_a_hostile_ca_reaches_no_path_and_no_terminal() {
    let bench = Bench::start(Behaviour {
        validation: Validation::Fail("caa", "\u{1b}]0;owned\u{7}\r\nFATAL forged"),
        ..Behaviour::default()
    })
    .await;
    let session = bench.session();
    let placed = session.new_order(&order(HOST)).await.unwrap();
    let authorization = &placed.order.authorizations[0];
    for token in ["../../etc/passwd", "a b", "", "a\"onload=\"", &"a".repeat(300)] {
        let challenge = json!({"type": "http-01", "url": "https://ca.example/c", "token": token});
        let body =
            json!({"status": "pending", "identifier": {"type": "dns", "value": HOST}, "challenges": [challenge]});
        bench.fake.set_fault(Kind::Authorization, json_answer(body), 1);
        let error = session.authorization(authorization).await.unwrap_err();
        assert_eq!(name(&error), "malformed", "{token}");
    }
    let challenge = authorization.replace("authorization", "challenge") + "-http-01";
    session.challenge(&challenge).await.unwrap();
    let told = session.authorization(authorization).await.unwrap().value;
    assert_eq!(told.problem().unwrap().detail, "]0;owned FATAL forged");
}

#[tokio::test]
async fn a_chain_of_certificates_is_short_and_made_of_certificates() {
    let bench = Bench::start(Behaviour::default()).await;
    let session = bench.session();
    let root = bench.fake.issuing_root_pem();
    let url = bench.fake.directory().join("/certificate/0").unwrap();
    let answer = |body: String| Fault::answer(200, "application/pem-certificate-chain", body);
    for (case, body) in [
        ("none", String::new()),
        ("a page", "<html></html>".into()),
        ("many", root.repeat(11)),
        (
            "not DER",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
        ),
        (
            "not base64",
            "-----BEGIN CERTIFICATE-----\n####\n-----END CERTIFICATE-----\n".into(),
        ),
        ("half", root[..root.len() / 2].to_owned()),
        ("a key", root.replace("CERTIFICATE", "PRIVATE KEY")),
    ] {
        bench.fake.set_fault(Kind::Certificate, answer(body), 1);
        let error = session.certificate(url.as_str()).await.unwrap_err();
        assert_eq!(name(&error), "malformed", "{case}: {error}");
    }
    bench.fake.set_fault(Kind::Certificate, answer(root.repeat(10)), 1);
    assert_eq!(session.certificate(url.as_str()).await.unwrap().len(), 10);
}

#[tokio::test]
async fn a_ca_that_can_not_be_trusted_or_is_not_there_is_not_asked() {
    let fake = FakeCa::start(Behaviour::default());
    let stranger = Ca::new(fake.directory(), None).unwrap();
    let error = stranger.offers().await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert_eq!(fake.requests().len(), 0);

    let ca = Ca::new(fake.directory(), Some(&fake.root_pem())).unwrap();
    fake.change(|behaviour| behaviour.is_down = true);
    assert_eq!(name(&ca.offers().await.unwrap_err()), "unreachable");
    fake.change(|behaviour| behaviour.is_down = false);
    ca.offers().await.unwrap();

    for (address, root) in [
        ("http://ca.example/directory", None),
        ("https://user:password@ca.example/directory", None),
        ("https://ca.example/directory", Some("")),
        ("https://ca.example/directory", Some("no certificate")),
    ] {
        let made = Ca::new(address.parse().unwrap(), root.map(str::as_bytes));
        assert!(
            matches!(made.err(), Some(CaSetupError::Address(_) | CaSetupError::Root(_))),
            "{address}"
        );
    }
    for url in ["http://ca.example/account/1", "", "/account/1"] {
        assert!(
            ca.account(&rustls_acme::acme::Account::generate_key_pair(), url)
                .is_err(),
            "{url}"
        );
    }
}
