//! Clients, MDM servers and domains: made, changed, found, listed and deleted.
use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Msp, TENANT, TestApp, eventually, intune_document},
    faults::dns::{TestDns, a},
};

const OTHER_TENANT: &str = "66666666-7777-8888-9999-000000000000";

fn intune(tenant_id: &str) -> Value {
    json!({"vendor": "intune", "parameters": {"tenant_id": tenant_id}})
}

async fn created(msp: &Msp, path: &str, body: Value) -> Value {
    let answer = msp.post(path, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

/// Every page of a list, with `limit` rows each.
async fn pages(msp: &Msp, path: &str, limit: usize) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = msp.get(&format!("{path}?limit={limit}{cursor}")).await.json();
        let ids = page["data"].as_array().unwrap().iter();
        pages.push(ids.map(|row| row["id"].as_str().unwrap().to_owned()).collect());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

#[sqlx::test]
async fn a_client_is_made_changed_found_and_deleted(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let made = created(&msp, "/clients", json!({"name": " Contoso ", "external_ref": "PSA-1"})).await;
    let path = format!("/clients/{}", made["id"].as_str().unwrap());
    assert_eq!(
        (&made["name"], &made["external_ref"], &made["domain_count"]),
        (&json!("Contoso"), &json!("PSA-1"), &json!(0))
    );
    assert_eq!(msp.get(&path).await.json(), made);

    let renamed = msp.patch(&path, json!({"name": "Contoso Ltd."})).await.json();
    assert_eq!(
        (&renamed["name"], &renamed["external_ref"]),
        (&json!("Contoso Ltd."), &json!("PSA-1")),
        "absent stays"
    );
    let cleared = msp.patch(&path, json!({"external_ref": null})).await.json();
    assert_eq!(
        (&cleared["name"], &cleared["external_ref"]),
        (&json!("Contoso Ltd."), &Value::Null)
    );
    assert_eq!(msp.patch(&path, json!({})).await.json(), cleared);
    assert_eq!(msp.get(&path).await.json(), cleared);

    let deleted = msp.delete(&path).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    msp.get(&path).await.problem(404, "not_found");
    msp.delete(&path).await.problem(404, "not_found");
    app.stop().await;
}

#[sqlx::test]
async fn two_clients_of_one_organisation_differ_in_name_and_reference(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    created(&msp, "/clients", json!({"name": "Contoso", "external_ref": "PSA-1"})).await;
    let other = created(&msp, "/clients", json!({"name": "Fabrikam"})).await;
    let path = format!("/clients/{}", other["id"].as_str().unwrap());
    for body in [
        json!({"name": "CONTOSO"}),
        json!({"name": "Other", "external_ref": "PSA-1"}),
    ] {
        msp.post("/clients", body.clone()).await.problem(409, "conflict");
        msp.patch(&path, body).await.problem(409, "conflict");
    }
    assert_eq!(msp.get(&path).await.json(), other);
    app.stop().await;
}

#[sqlx::test]
async fn what_is_in_use_can_not_be_deleted(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let domain = msp.register("contoso.com").await;
    let client = format!("/clients/{}", domain["client_id"].as_str().unwrap());
    let server = format!(
        "/mdm-servers/{}",
        domain["policy"]["default"]["server_id"].as_str().unwrap()
    );
    assert_eq!(msp.get(&client).await.json()["domain_count"], 1);
    msp.delete(&client).await.problem(409, "conflict");
    msp.delete(&server).await.problem(409, "conflict");

    let defer = json!({"policy": {"default": {"action": "defer"}}});
    assert_eq!(msp.patch("/domains/contoso.com", defer).await.status, 200);
    assert_eq!(msp.delete(&server).await.status, 204, "no policy names it any more");
    msp.delete(&client).await.problem(409, "conflict");
    assert_eq!(msp.delete("/domains/contoso.com").await.status, 204);
    assert_eq!(msp.delete(&client).await.status, 204);
    app.stop().await;
}

#[sqlx::test]
async fn an_mdm_server_derives_its_version_and_address(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let client = created(&msp, "/clients", json!({"name": "Contoso"})).await["id"].clone();
    let upper = "AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE";
    let address = |host: &str| {
        format!(
            "https://{host}/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId={}",
            upper.to_lowercase()
        )
    };
    for (parameters, stored_cloud, host) in [
        (json!({"tenant_id": upper}), "global", "manage.microsoft.com"),
        (
            json!({"tenant_id": upper, "cloud": "us_government"}),
            "us_government",
            "manage.microsoft.us",
        ),
        (
            json!({"tenant_id": upper, "cloud": "china"}),
            "china",
            "manage.microsoft.cn",
        ),
    ] {
        let server = created(
            &msp,
            "/mdm-servers",
            json!({"client_id": client, "vendor": "intune", "parameters": parameters}),
        )
        .await;
        assert_eq!(
            server["parameters"],
            json!({"tenant_id": upper.to_lowercase(), "cloud": stored_cloud})
        );
        assert_eq!(server["base_url"], address(host));
        assert_eq!(
            (
                &server["version"],
                &server["enrollment"],
                &server["name"],
                &server["client_id"]
            ),
            (&json!("mdm-byod"), &json!("byod"), &json!("Microsoft Intune"), &client)
        );
        assert_eq!(
            msp.get(&format!("/mdm-servers/{}", server["id"].as_str().unwrap()))
                .await
                .json(),
            server
        );
    }
    let jamf = json!({"client_id": client, "name": "Jamf", "vendor": "jamf_pro", "enrollment": "adde", "parameters": {"host": "Acme.JamfCloud.com"}});
    let jamf = created(&msp, "/mdm-servers", jamf).await;
    assert_eq!((&jamf["version"], &jamf["name"]), (&json!("mdm-adde"), &json!("Jamf")));
    assert!(
        jamf["base_url"]
            .as_str()
            .unwrap()
            .starts_with("https://acme.jamfcloud.com/"),
        "{jamf}"
    );
    app.stop().await;
}

#[sqlx::test]
async fn changed_parameters_change_what_every_domain_serves(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let first = msp.register("contoso.com").await;
    let second = msp.register("contoso.net").await;
    let server = &first["policy"]["default"]["server_id"];
    assert_eq!(
        server, &second["policy"]["default"]["server_id"],
        "one tenant of a client is one server"
    );
    let path = format!("/mdm-servers/{}", server.as_str().unwrap());
    for hostname in ["contoso.com", "contoso.net"] {
        app.verify(hostname).await;
        assert_eq!(app.ask(hostname, "").await.text, intune_document());
    }
    let renamed = msp.patch(&path, json!({"name": "Main tenant"})).await.json();
    assert_eq!(
        (&renamed["name"], &renamed["parameters"]["tenant_id"]),
        (&json!("Main tenant"), &json!(TENANT))
    );
    let changed = msp
        .patch(&path, json!({"parameters": {"tenant_id": OTHER_TENANT}}))
        .await
        .json();
    assert_eq!(changed["name"], "Main tenant");
    assert!(changed["base_url"].as_str().unwrap().ends_with(OTHER_TENANT));
    for hostname in ["contoso.com", "contoso.net"] {
        eventually(|| async { app.ask(hostname, "").await.text.contains(OTHER_TENANT) }).await;
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_domain_is_registered_with_any_way_to_name_its_client_and_its_server(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let first = msp.register("first.example.com").await;
    let (client, server) = (&first["client_id"], &first["policy"]["default"]["server_id"]);
    let serve = json!({"action": "serve", "server_id": server});
    let reject = json!({"action": "reject", "message": "Ask IT first."});
    let rules = json!([{"when": {"model_families": ["Mac"], "users": ["*@eu.contoso.com"]}, "then": reject}]);
    let mut count = 0;
    for (body, default, stored_rules) in [
        (json!({"client_id": client, "server_id": server}), &serve, json!([])),
        (
            json!({"client_name": "contoso", "server_id": server}),
            &serve,
            json!([]),
        ),
        (
            json!({"client_id": client, "server": intune(TENANT)}),
            &serve,
            json!([]),
        ),
        (
            json!({"client_id": client, "server": intune(&TENANT.to_uppercase())}),
            &serve,
            json!([]),
        ),
        (
            json!({"client_id": client, "policy": {"default": reject}}),
            &reject,
            json!([]),
        ),
        (
            json!({"client_id": client, "policy": {"default": serve, "rules": rules}}),
            &serve,
            rules.clone(),
        ),
        (
            json!({"client_id": client, "server_id": server, "policy": {"rules": rules}}),
            &serve,
            rules.clone(),
        ),
        (
            json!({"client_name": "CONTOSO ", "server": intune(TENANT), "policy": {"rules": rules}}),
            &serve,
            rules.clone(),
        ),
        (
            json!({"client_id": client, "server_id": server, "policy": null, "server": null, "client_name": null}),
            &serve,
            json!([]),
        ),
    ] {
        count += 1;
        let mut body = body;
        body["hostname"] = json!(format!("n{count}.example.com"));
        let domain = created(&msp, "/domains", body).await;
        assert_eq!(&domain["client_id"], client);
        assert_eq!(domain["policy"], json!({"default": default, "rules": stored_rules}));
        assert_eq!(
            (&domain["connection"], &domain["website_url"]),
            (&json!("direct"), &Value::Null)
        );
    }
    let other = json!({"hostname": "other.example.com", "client_name": "Fabrikam", "server": intune(TENANT)});
    let other = created(&msp, "/domains", other).await;
    assert_ne!(&other["client_id"], client, "a name that is new makes the client");
    assert_ne!(
        &other["policy"]["default"]["server_id"], server,
        "a server belongs to one client"
    );
    assert_eq!(msp.get("/clients").await.json()["data"].as_array().unwrap().len(), 2);
    assert_eq!(
        msp.get("/mdm-servers").await.json()["data"].as_array().unwrap().len(),
        2
    );
    app.stop().await;
}

#[sqlx::test]
async fn one_client_is_made_for_many_registrations_at_once(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let register = |number: usize| {
        let body =
            json!({"hostname": format!("n{number}.example.com"), "client_name": "Contoso", "server": intune(TENANT)});
        msp.post("/domains", body)
    };
    let answers = futures_util::future::join_all((0..12).map(register)).await;
    let statuses: Vec<_> = answers.iter().map(|answer| (answer.status, &answer.text)).collect();
    assert!(statuses.iter().all(|(status, _)| *status == 201), "{statuses:?}");
    assert_eq!(msp.get("/clients").await.json()["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        msp.get("/mdm-servers").await.json()["data"].as_array().unwrap().len(),
        1,
        "and one server"
    );
    app.stop().await;
}

#[sqlx::test]
async fn a_hostname_is_registered_once_however_it_is_written(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    assert_eq!(
        msp.register("Bücher.Example").await["hostname"],
        "xn--bcher-kva.example"
    );
    let again = |hostname: &str| json!({"hostname": hostname, "client_name": "Contoso", "server": intune(TENANT)});
    for hostname in [
        "xn--bcher-kva.example",
        "XN--BCHER-KVA.example.",
        "bücher.example",
        "BÜCHER。example",
    ] {
        msp.post("/domains", again(hostname))
            .await
            .problem(409, "hostname_taken");
    }
    let at_once = futures_util::future::join_all((0..8).map(|_| msp.post("/domains", again("contoso.com")))).await;
    let mut statuses: Vec<_> = at_once.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    app.stop().await;
}

#[sqlx::test]
async fn a_domain_is_found_by_its_id_and_by_its_name_however_that_is_written(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let domain = msp.register("bücher.example").await;
    let id = domain["id"].as_str().unwrap();
    for key in [
        id,
        &id.to_uppercase(),
        "xn--bcher-kva.example",
        "XN--Bcher-KVA.Example",
        "b%C3%BCcher.example",
        "B%C3%9Ccher.example.",
    ] {
        assert_eq!(msp.get(&format!("/domains/{key}")).await.json(), domain, "{key}");
    }
    assert_eq!(msp.delete("/domains/B%C3%9Ccher.example").await.status, 204);
    msp.get(&format!("/domains/{id}")).await.problem(404, "not_found");
    app.stop().await;
}

#[sqlx::test]
async fn a_domain_keeps_what_a_patch_leaves_out(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let before = msp.register("contoso.com").await;
    let website = msp
        .patch(
            "/domains/contoso.com",
            json!({"website_url": "https://www.contoso.com"}),
        )
        .await
        .json();
    assert_eq!(website["website_url"], "https://www.contoso.com");
    assert_eq!(
        (&website["policy"], &website["connection"]),
        (&before["policy"], &json!("direct"))
    );
    let proxy = msp
        .patch("/domains/contoso.com", json!({"connection": "proxy"}))
        .await
        .json();
    assert_eq!(
        (&proxy["website_url"], &proxy["connection"]),
        (&json!("https://www.contoso.com"), &json!("proxy"))
    );
    assert_eq!(
        proxy["dns"]["records"],
        json!([]),
        "only a direct connection needs records"
    );
    let policy = json!({"default": {"action": "redirect", "url": "https://mdm.contoso.com/discovery"}, "rules": []});
    let redirect = msp
        .patch("/domains/contoso.com", json!({"policy": policy, "website_url": null}))
        .await
        .json();
    assert_eq!((&redirect["policy"], &redirect["website_url"]), (&policy, &Value::Null));
    assert_eq!(redirect["connection"], "proxy");
    assert_eq!(msp.get("/domains/contoso.com").await.json(), redirect);
    for (member, value) in [
        ("id", &before["id"]),
        ("hostname", &before["hostname"]),
        ("created_at", &before["created_at"]),
    ] {
        assert_eq!(&redirect[member], value);
    }
    assert_ne!(redirect["updated_at"], before["updated_at"]);
    app.stop().await;
}

#[sqlx::test]
async fn a_new_domain_says_what_to_do_and_an_active_one_does_not(pool: PgPool) {
    let dns = TestDns::start(&[a("contoso.test", "127.0.0.1")]);
    let app = TestApp::start_with(pool, &[("SIGNPOST_DNS_SERVERS", &dns.address())]).await;
    let msp = app.msp("Acme IT").await;
    let domain = msp.register("contoso.test").await;
    assert_eq!(domain["status"], "pending_ownership");
    assert_eq!(
        (&domain["next_action"]["code"], &domain["next_action"]["actor"]),
        (&json!("add_ownership_record"), &json!("client"))
    );
    let record = &domain["ownership"]["record"];
    assert_eq!(
        (&record["type"], &record["name"]),
        (&json!("TXT"), &json!("_signpost.contoso.test"))
    );
    assert!(record["value"].as_str().unwrap().starts_with("signpost-verification="));
    assert_eq!(domain["dns"]["records"][0]["expected"], json!(["127.0.0.1"]));
    assert_eq!(
        (&domain["certificate"]["state"], &domain["warnings"]),
        (&json!("none"), &json!([]))
    );
    app.verify("contoso.test").await;
    let active = || async { msp.get("/domains/contoso.test").await.json()["status"] == "active" };
    eventually(active).await;
    let domain = msp.get("/domains/contoso.test").await.json();
    assert_eq!(
        (&domain["next_action"], &domain["certificate"]["state"]),
        (&Value::Null, &json!("valid"))
    );
    assert!(domain["ownership"]["verified_at"].is_string());
    app.stop().await;
}

#[sqlx::test]
async fn a_domain_that_is_deleted_is_no_longer_served_and_free_again(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    assert_eq!(app.ask("contoso.com", "").await.status, 200);
    assert_eq!(msp.delete("/domains/contoso.com").await.status, 204);
    eventually(|| async { app.ask("contoso.com", "").await.status == 404 }).await;
    let other = app.msp("Other IT").await;
    let domain = other.register("contoso.com").await;
    assert_eq!(domain["status"], "pending_ownership", "the proof went with the domain");
    app.stop().await;
}

#[sqlx::test]
async fn domains_are_filtered_by_client_status_and_a_part_of_their_name(pool: PgPool) {
    let dns = TestDns::start(&[a("fabrikam.test", "127.0.0.1")]);
    let app = TestApp::start_with(pool, &[("SIGNPOST_DNS_SERVERS", &dns.address())]).await;
    let msp = app.msp("Acme IT").await;
    for hostname in ["contoso.com", "mail.contoso.com", "50-percent.example"] {
        msp.register(hostname).await;
    }
    let body =
        json!({"hostname": "fabrikam.test", "client_name": "Fabrikam", "policy": {"default": {"action": "defer"}}});
    let fabrikam = created(&msp, "/domains", body).await;
    app.verify("fabrikam.test").await;
    // Lists are a second later than the domain itself.
    let is_listed =
        || async { msp.get("/domains?status=active").await.json()["data"][0]["hostname"] == "fabrikam.test" };
    eventually(is_listed).await;
    let client = fabrikam["client_id"].as_str().unwrap();
    for (query, expected) in [
        ("q=contoso", vec!["contoso.com", "mail.contoso.com"]),
        ("q=CONTOSO", vec!["contoso.com", "mail.contoso.com"]),
        ("q=mail", vec!["mail.contoso.com"]),
        ("q=%25", vec![]),
        ("q=_", vec![]),
        ("q=%27--", vec![]),
        ("status=active", vec!["fabrikam.test"]),
        (
            "status=pending_ownership&q=com",
            vec!["contoso.com", "mail.contoso.com"],
        ),
        ("status=suspended", vec![]),
        (&format!("client_id={client}"), vec!["fabrikam.test"]),
        (&format!("client_id={client}&q=contoso"), vec![]),
    ] {
        let list = msp.get(&format!("/domains?{query}")).await.json();
        let found: Vec<_> = list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|domain| domain["hostname"].clone())
            .collect();
        assert_eq!(json!(found), json!(expected), "{query}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn pages_show_everything_once_in_order(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let rows: Vec<_> = (0..23)
        .map(|n| json!({"hostname": format!("n{n}.example.com"), "client_name": format!("Client {n}"), "server": intune(TENANT)}))
        .collect();
    let import = msp.post("/domains/import", json!({ "rows": rows })).await;
    assert_eq!(import.status, 200, "{}", import.text);
    let ids: Vec<_> = import.json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    for (path, count) in [
        ("/domains", 23),
        ("/clients", 23),
        ("/mdm-servers", 23),
        ("/tokens", 1),
        ("/audit-events", 71),
    ] {
        for limit in [1, 7, 23, 100] {
            let pages = pages(&msp, path, limit).await;
            let all: Vec<_> = pages.iter().flatten().cloned().collect();
            assert_eq!(all.len(), count, "{path} by {limit}");
            assert_eq!(
                all.iter().collect::<BTreeSet<_>>().len(),
                count,
                "{path} by {limit}: no repeats"
            );
            assert!(
                pages.iter().all(|page| (1..=limit).contains(&page.len())),
                "{path} by {limit}"
            );
        }
    }
    let domains: Vec<_> = pages(&msp, "/domains", 5).await.concat();
    assert_eq!(domains, ids, "in the order of registration");
    let filtered: Vec<_> = pages_filtered(&msp).await;
    assert_eq!(filtered, ids);
    let mut audit = pages(&msp, "/audit-events", 10).await.concat();
    assert!(audit.is_sorted_by(|newer, older| newer > older), "newest first");
    audit.truncate(1);
    let first_page = msp.get("/audit-events?limit=1").await.json();
    assert_eq!(first_page["data"][0]["id"], audit[0]);
    app.stop().await;
}

/// By two, with a status, which is derived: its pages must not have gaps either.
async fn pages_filtered(msp: &Msp) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = msp
            .get(&format!("/domains?status=pending_ownership&limit=2{cursor}"))
            .await
            .json();
        let rows = page["data"].as_array().unwrap().iter();
        ids.extend(rows.map(|row| row["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

#[sqlx::test]
async fn a_row_that_comes_or_goes_between_pages_disturbs_no_other(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    for hostname in ["a.example.com", "b.example.com", "c.example.com", "d.example.com"] {
        msp.register(hostname).await;
    }
    let first = msp.get("/domains?limit=2").await.json();
    msp.delete("/domains/b.example.com").await;
    msp.register("e.example.com").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = msp.get(&format!("/domains?cursor={cursor}")).await.json();
    let found: Vec<_> = rest["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|domain| &domain["hostname"])
        .collect();
    assert_eq!(found, ["c.example.com", "d.example.com", "e.example.com"]);
    app.stop().await;
}

#[sqlx::test]
async fn a_preview_is_what_a_device_gets_and_leaves_no_trace(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    let policy = json!({
        "default": {"action": "redirect", "url": "https://mdm.contoso.com/d?x=1"},
        "rules": [
            {"when": {"model_families": ["Mac", "iPad"]}, "then": {"action": "reject", "message": "Ask IT first."}},
            {"when": {"users": ["*+test@contoso.com"]}, "then": {"action": "defer"}},
            {"when": {"model_families": ["iPhone"], "users": ["*@eu.contoso.com", "ada@*"]}, "then": {"action": "defer"}},
        ],
    });
    assert_eq!(
        msp.patch("/domains/contoso.com", json!({ "policy": policy }))
            .await
            .status,
        200
    );
    app.verify("contoso.com").await;
    for (preview, device, status, matched) in [
        ("", "", 307, "default"),
        ("model_family=Mac", "model-family=Mac", 403, "rule 1"),
        (
            "model_family=iPad&user_identifier=x@contoso.com",
            "model-family=iPad&user-identifier=x@contoso.com",
            403,
            "rule 1",
        ),
        ("model_family=mac", "model-family=mac", 307, "default"),
        (
            "user_identifier=ada%2Btest@contoso.com",
            "user-identifier=ada+test@contoso.com",
            404,
            "rule 2",
        ),
        (
            "user_identifier=Ada%2BTEST@Contoso.com",
            "user-identifier=Ada%2BTEST@Contoso.com",
            404,
            "rule 2",
        ),
        (
            "user_identifier=ada@contoso.com&model_family=iPhone",
            "user-identifier=ada@contoso.com&model-family=iPhone",
            404,
            "rule 3",
        ),
        (
            "user_identifier=x@eu.contoso.com&model_family=iPhone",
            "user-identifier=x@eu.contoso.com&model-family=iPhone",
            404,
            "rule 3",
        ),
        (
            "user_identifier=x@eu.contoso.com",
            "user-identifier=x@eu.contoso.com",
            307,
            "default",
        ),
        (
            "user_identifier=%26model-family%3DMac",
            "user-identifier=%26model-family%3DMac",
            307,
            "default",
        ),
    ] {
        let shown = msp.get(&format!("/domains/contoso.com/preview?{preview}")).await.json();
        assert_eq!(
            (&shown["status"], &shown["matched"]),
            (&json!(status), &json!(matched)),
            "{preview}"
        );
        let got = app.ask("contoso.com", &format!("?{device}")).await;
        assert_eq!(got.status, status, "{device}");
        assert_eq!(shown["content_type"].as_str(), got.header("content-type"), "{preview}");
        let body: Value = serde_json::from_str(&got.text).unwrap_or_default();
        assert_eq!(shown["body"], body, "{preview}");
    }
    let asked = msp.get("/requests").await;
    eventually(|| async { msp.get("/requests").await.json()["data"].as_array().unwrap().len() >= 10 }).await;
    assert!(!asked.text.contains("ada"));
    assert_eq!(
        msp.get("/requests").await.json()["data"].as_array().unwrap().len(),
        10,
        "previews make no rows"
    );
    app.stop().await;
}

#[sqlx::test]
async fn a_domain_that_is_not_verified_yet_can_be_previewed(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    let preview = msp.get("/domains/CONTOSO.com/preview").await.json();
    let document: Value = serde_json::from_str(&intune_document()).unwrap();
    assert_eq!(
        preview,
        json!({"status": 200, "content_type": "application/json", "body": document, "matched": "default"})
    );
    assert_eq!(app.ask("contoso.com", "").await.status, 404);
    app.stop().await;
}

#[sqlx::test]
async fn every_vendor_is_listed_with_what_it_needs(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let list = msp.get("/vendors").await.json();
    let vendors = list["data"].as_array().unwrap();
    let keys: BTreeSet<_> = vendors.iter().map(|vendor| vendor["key"].as_str().unwrap()).collect();
    let expected = [
        "custom",
        "fleet",
        "intune",
        "ivanti_neurons",
        "jamf_pro",
        "manageengine",
        "mosyle",
    ];
    assert_eq!(keys, BTreeSet::from(expected));
    let intune = vendors.iter().find(|vendor| vendor["key"] == "intune").unwrap();
    assert_eq!(
        (&intune["name"], &intune["enrollments"], &intune["evidence"]),
        (&json!("Microsoft Intune"), &json!(["byod"]), &json!("vendor"))
    );
    assert_eq!(
        intune["parameters"][0],
        json!({"name": "tenant_id", "type": "uuid", "required": true})
    );
    assert_eq!(
        intune["parameters"][1]["values"],
        json!(["global", "us_government", "china"])
    );
    assert_eq!(intune["parameters"][1]["default"], "global");
    for vendor in vendors {
        assert!(
            vendor["source"].is_string() && !vendor["enrollments"].as_array().unwrap().is_empty(),
            "{vendor}"
        );
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_pasted_document_is_recognised_and_makes_the_same_server(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let client = created(&msp, "/clients", json!({"name": "Contoso"})).await["id"].clone();
    let document = |version: &str, url: &str| json!({"Servers": [{"Version": version, "BaseURL": url}]}).to_string();
    for (document, vendor, enrollment) in [
        (intune_document(), "intune", "byod"),
        (
            document(
                "mdm-byod",
                "https://acme.jamfcloud.com/servicediscoveryenrollment/v1/userenroll",
            ),
            "jamf_pro",
            "byod",
        ),
        (
            document("mdm-adde", "https://mdm.contoso.com/unheard/of"),
            "custom",
            "adde",
        ),
        (format!("\u{feff} \n{}\n", intune_document()), "intune", "byod"),
    ] {
        let answer = msp.post("/mdm-servers/parse", json!({ "document": document })).await;
        assert_eq!(answer.status, 200, "{document}: {}", answer.text);
        let recognised = answer.json();
        assert_eq!(
            (&recognised["vendor"], &recognised["enrollment"]),
            (&json!(vendor), &json!(enrollment))
        );
        let body = json!({"client_id": client, "vendor": vendor, "enrollment": enrollment, "parameters": recognised["parameters"]});
        let server = created(&msp, "/mdm-servers", body).await;
        for member in ["version", "base_url", "parameters"] {
            assert_eq!(server[member], recognised[member], "{member}");
        }
    }
    for text in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"Servers":[]}"#,
        &document("mdm-byod", "http://a.example.com/"),
        &document("mdm", "https://a.example.com/"),
    ] {
        let answer = msp.post("/mdm-servers/parse", json!({ "document": text })).await;
        assert_eq!(answer.pointers(), ["/document"], "{text}");
    }
    assert_eq!(
        msp.get("/mdm-servers").await.json()["data"].as_array().unwrap().len(),
        4,
        "reading stores nothing"
    );
    app.stop().await;
}

#[sqlx::test]
async fn changes_of_different_members_at_the_same_moment_are_both_kept(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let domain = msp.register("contoso.com").await;
    let client = format!("/clients/{}", domain["client_id"].as_str().unwrap());
    let server = format!(
        "/mdm-servers/{}",
        domain["policy"]["default"]["server_id"].as_str().unwrap()
    );
    for number in 0..10 {
        let url = format!("https://www.contoso.com/{number}");
        let text = number.to_string();
        let connection = ["proxy", "redirect"][number % 2];
        let cloud = ["china", "global"][number % 2];
        let answers = tokio::join!(
            msp.patch("/domains/contoso.com", json!({ "website_url": url })),
            msp.patch("/domains/contoso.com", json!({ "connection": connection })),
            msp.patch(&client, json!({ "name": text })),
            msp.patch(&client, json!({ "external_ref": text })),
            msp.patch(&server, json!({ "name": text })),
            msp.patch(&server, json!({"parameters": {"tenant_id": TENANT, "cloud": cloud}})),
        );
        assert_eq!(answers.0.status, 200);
        let domain = msp.get("/domains/contoso.com").await.json();
        assert_eq!(
            (&domain["website_url"], &domain["connection"]),
            (&json!(url), &json!(connection)),
            "{number}"
        );
        let stored = msp.get(&client).await.json();
        assert_eq!(
            (&stored["name"], &stored["external_ref"]),
            (&json!(text), &json!(text)),
            "{number}"
        );
        let stored = msp.get(&server).await.json();
        assert_eq!(
            (&stored["name"], &stored["parameters"]["cloud"]),
            (&json!(text), &json!(cloud)),
            "{number}"
        );
    }
    app.stop().await;
}
