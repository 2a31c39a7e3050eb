//! What stands between a device and our answer, seen with real name servers.
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    app::{Msp, TestApp, eventually},
    faults::dns::{Broken, BrokenDns, Record, TestDns, a, caa, cname, delegated, txt},
};

struct Row {
    fault: &'static str,
    records: Vec<Record>,
    /// Cause of the next action, and words of its message; none: all is well.
    named: Option<(&'static str, &'static [&'static str])>,
    ok: Value,
}

fn row(
    fault: &'static str,
    records: Vec<Record>,
    named: Option<(&'static str, &'static [&'static str])>,
    ok: Value,
) -> Row {
    Row {
        fault,
        records,
        named,
        ok,
    }
}

#[sqlx::test]
async fn every_mistake_in_the_records_is_named_with_its_remedy(pool: PgPool) {
    let failing = BrokenDns::start(Broken::ServerFailure);
    let silent = BrokenDns::start(Broken::Silent);
    let refusing = BrokenDns::start(Broken::Refused);
    let garbage = BrokenDns::start(Broken::Garbage);
    let (wrong, right) = (json!(false), json!(true));
    let rows = [
        row(
            "nxdomain.test",
            vec![],
            Some(("no_such_name", &["does not exist", "set A 127.0.0.1"])),
            wrong.clone(),
        ),
        row(
            "no-address.test",
            vec![txt("no-address.test", &["v=spf1 -all"])],
            Some(("no_address", &["neither an A nor an AAAA", "set A 127.0.0.1"])),
            wrong.clone(),
        ),
        row(
            "wrong-a.test",
            vec![a("wrong-a.test", "127.0.0.9")],
            Some((
                "address_elsewhere",
                &["A record", "127.0.0.9", "Replace it with 127.0.0.1"],
            )),
            wrong.clone(),
        ),
        row(
            "one-of-two.test",
            vec![a("one-of-two.test", "127.0.0.1"), a("one-of-two.test", "127.0.0.9")],
            Some(("address_elsewhere", &["127.0.0.9"])),
            wrong.clone(),
        ),
        row(
            "wrong-aaaa.test",
            vec![a("wrong-aaaa.test", "127.0.0.1"), a("wrong-aaaa.test", "2001:db8::9")],
            Some((
                "address_elsewhere",
                &["AAAA record", "2001:db8::9", "The A record is right", "Remove it"],
            )),
            wrong.clone(),
        ),
        row(
            "alias.test",
            vec![cname("alias.test", "shop.test"), a("shop.test", "127.0.0.9")],
            Some(("alias_elsewhere", &["CNAME", "shop.test", "edge.signpost.test"])),
            wrong.clone(),
        ),
        row(
            "dangling.test",
            vec![cname("dangling.test", "gone.test")],
            Some(("no_such_name", &["CNAME", "gone.test", "does not exist"])),
            wrong.clone(),
        ),
        row(
            "caa.test",
            vec![a("caa.test", "127.0.0.1"), caa("caa.test", 0, "issue", "digicert.com")],
            Some(("caa_forbids", &["letsencrypt.org", "0 issue"])),
            wrong.clone(),
        ),
        row(
            "below.caa.test",
            vec![a("below.caa.test", "127.0.0.1")],
            Some(("caa_forbids", &["CAA records of caa.test", "below.caa.test"])),
            wrong,
        ),
        row(
            "servfail.test",
            vec![delegated("servfail.test", failing.socket_address())],
            Some(("dns_server_failure", &["SERVFAIL", "DNSSEC"])),
            Value::Null,
        ),
        row(
            "silent.test",
            vec![delegated("silent.test", silent.socket_address())],
            Some(("dns_timeout", &["no answer came in time"])),
            Value::Null,
        ),
        row(
            "refused.test",
            vec![delegated("refused.test", refusing.socket_address())],
            Some(("dns_refused", &["refuse"])),
            Value::Null,
        ),
        row(
            "garbage.test",
            vec![delegated("garbage.test", garbage.socket_address())],
            Some(("", &["We can't tell"])),
            Value::Null,
        ),
        row("right.test", vec![a("right.test", "127.0.0.1")], None, right.clone()),
        row(
            "right-alias.test",
            vec![
                cname("right-alias.test", "edge.signpost.test"),
                a("edge.signpost.test", "127.0.0.1"),
            ],
            None,
            right.clone(),
        ),
        row(
            "right-caa.test",
            vec![
                a("right-caa.test", "127.0.0.1"),
                caa("right-caa.test", 0, "issue", "digicert.com"),
                caa("right-caa.test", 0, "issue", "letsencrypt.org"),
            ],
            None,
            right,
        ),
    ];
    let records: Vec<_> = rows.iter().flat_map(|row| row.records.clone()).collect();
    let dns = TestDns::start(&records);
    let settings = [
        ("SIGNPOST_DNS_SERVERS", &*dns.address()),
        ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
    ];
    let app = TestApp::start_with(pool, &settings).await;
    let msp = app.msp("Acme IT").await;
    for row in &rows {
        msp.register(row.fault).await;
        app.verify(row.fault).await;
    }
    futures_util::future::join_all(rows.iter().map(|row| is_named(&msp, row))).await;
    for row in rows.iter().filter(|row| row.ok == json!(false)) {
        let report = msp.get(&format!("/domains/{}/probe", row.fault)).await.json();
        let (dns, cause) = (&report["steps"][0], row.named.map(|(cause, _)| cause));
        assert_eq!(
            (&dns["ok"], dns["code"].as_str()),
            (&json!(false), cause),
            "{}: {dns:#}",
            row.fault
        );
        assert!(dns["remedy"].is_string(), "{dns:#}");
    }
    app.stop().await;
}

async fn is_named(msp: &Msp, row: &Row) {
    let answer = msp.post(&format!("/domains/{}/check", row.fault), json!({})).await;
    assert_eq!(answer.status, 200, "{}: {}", row.fault, answer.text);
    let domain = answer.json();
    assert_eq!(domain["dns"]["ok"], row.ok, "{}: {domain:#}", row.fault);
    match row.named {
        None => assert_eq!(
            (&domain["status"], &domain["next_action"]),
            (&json!("active"), &Value::Null),
            "{domain:#}"
        ),
        Some((cause, words)) => {
            assert_eq!(domain["status"], "pending_dns", "{}", row.fault);
            let action = &domain["next_action"];
            let message = action["message"].as_str().unwrap();
            assert!(
                cause.is_empty()
                    || (action["cause"] == cause && action["code"] == "fix_dns" && action["actor"] == "client"),
                "{}: {action:#}",
                row.fault
            );
            for word in words {
                assert!(message.contains(word), "{}: {word} is missing: {message}", row.fault);
            }
        }
    }
}

#[sqlx::test]
async fn a_domain_that_worked_and_broke_is_still_served_and_says_so(pool: PgPool) {
    let mut dns = TestDns::start(&[a("contoso.test", "127.0.0.1")]);
    let app = TestApp::start_with(pool, &[("SIGNPOST_DNS_SERVERS", &dns.address())]).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.test").await;
    app.verify("contoso.test").await;
    eventually(|| async { msp.get("/domains/contoso.test").await.json()["status"] == "active" }).await;
    dns.change(&[a("contoso.test", "127.0.0.9")]);
    let check = || async { msp.post("/domains/contoso.test/check", json!({})).await.json() };
    let domain = check().await;
    assert_eq!(
        (&domain["status"], &domain["next_action"]["cause"]),
        (&json!("attention"), &json!("address_elsewhere"))
    );
    let record = &domain["dns"]["records"][0];
    assert_eq!(
        (&record["expected"], &record["observed"], &record["ok"]),
        (&json!(["127.0.0.1"]), &json!(["127.0.0.9"]), &json!(false))
    );
    assert_eq!(app.ask("contoso.test", "").await.status, 200);

    // A look that tells nothing takes nothing back, nor does it make anything better.
    let silent = BrokenDns::start(Broken::ServerFailure);
    dns.change(&[delegated("contoso.test", silent.socket_address())]);
    let domain = check().await;
    assert_eq!(domain["status"], "active", "{domain:#}");
    assert_eq!(domain["warnings"][0]["code"], "check_undetermined");
    dns.change(&[a("contoso.test", "127.0.0.1")]);
    let domain = check().await;
    assert_eq!((&domain["status"], &domain["warnings"]), (&json!("active"), &json!([])));
    app.stop().await;
}

#[sqlx::test]
async fn another_connection_is_looked_at_anew(pool: PgPool) {
    let dns = TestDns::start(&[a("contoso.test", "127.0.0.1")]);
    let app = TestApp::start_with(pool, &[("SIGNPOST_DNS_SERVERS", &dns.address())]).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.test").await;
    app.verify("contoso.test").await;
    eventually(|| async { msp.get("/domains/contoso.test").await.json()["status"] == "active" }).await;
    let changed = msp
        .patch("/domains/contoso.test", json!({"connection": "proxy"}))
        .await
        .json();
    assert_eq!(
        (
            &changed["status"],
            &changed["next_action"]["code"],
            &changed["dns"]["records"]
        ),
        (&json!("pending_dns"), &json!("wait_for_check"), &json!([]))
    );
    app.stop().await;
}
