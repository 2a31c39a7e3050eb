//! What can be changed on a page can be changed by the API, and the other way round; where it can't, the table says why.
//! Both sides are read where they are made: the API's operations from its document, the console's from its sources.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{TENANT, TestApp},
    people::{Person, leads_to},
};

enum Twin {
    /// Does the same as these operations.
    Api(&'static [&'static str]),
    /// Is on this side alone, for this reason.
    Only(&'static str),
}
use Twin::{Api, Only};

const ACCOUNT: &str =
    "a person's own account and way in: proved by a password, a mail or a device, and no token stands for a person";
const OWNERS: &str = "for owners alone, and a token is as much as an admin";
const OPERATORS: &str = "across organisations, and a token is of one: `signpost org suspend` does it for programs";

/// Every form of the console.
const FORMS: &[(&str, Twin)] = &[
    ("/clients/new", Api(&["POST /clients"])),
    ("/clients/{id}", Api(&["PATCH /clients/{id}"])),
    ("/clients/{id}/delete", Api(&["DELETE /clients/{id}"])),
    (
        "/clients/{id}/servers/new",
        Api(&["POST /mdm-servers", "POST /mdm-servers/parse"]),
    ),
    ("/domains/import", Api(&["POST /domains/import"])),
    ("/domains/new", Api(&["POST /domains", "POST /mdm-servers/parse"])),
    ("/domains/{hostname}/check", Api(&["POST /domains/{domain}/check"])),
    ("/domains/{hostname}/delete", Api(&["DELETE /domains/{domain}"])),
    ("/domains/{hostname}/rules", Api(&["PATCH /domains/{domain}"])),
    (
        "/domains/{hostname}/share-links",
        Api(&["POST /domains/{domain}/share-links"]),
    ),
    (
        "/domains/{hostname}/share-links/{id}/revoke",
        Api(&["DELETE /domains/{domain}/share-links/{id}"]),
    ),
    ("/invitations/{token}", Only(ACCOUNT)),
    ("/operator/organisations/{id}", Only(OPERATORS)),
    ("/password/forgotten", Only(ACCOUNT)),
    ("/password/new/{token}", Only(ACCOUNT)),
    ("/servers/{id}", Api(&["PATCH /mdm-servers/{id}"])),
    ("/servers/{id}/delete", Api(&["DELETE /mdm-servers/{id}"])),
    (
        "/settings/branding",
        Api(&["PATCH /organisation", "PUT /organisation/logo"]),
    ),
    ("/settings/branding/logo/remove", Api(&["DELETE /organisation/logo"])),
    ("/settings/single-sign-on", Api(&["PUT /single-sign-on"])),
    ("/settings/single-sign-on/check", Api(&["POST /single-sign-on/check"])),
    ("/settings/single-sign-on/delete", Api(&["DELETE /single-sign-on"])),
    ("/sign-in/single-sign-on", Only(ACCOUNT)),
    ("/settings/invitations", Api(&["POST /invitations"])),
    ("/settings/invitations/{id}/delete", Api(&["DELETE /invitations/{id}"])),
    (
        "/settings/invitations/{id}/resend",
        Api(&["POST /invitations/{id}/resend"]),
    ),
    ("/settings/leave", Only(ACCOUNT)),
    ("/settings/members/{id}", Api(&["PATCH /members/{id}"])),
    ("/settings/members/{id}/remove", Api(&["DELETE /members/{id}"])),
    ("/settings/organisation", Api(&["PATCH /organisation"])),
    ("/settings/organisation/delete", Only(OWNERS)),
    ("/settings/privacy", Api(&["POST /requests/erasures"])),
    ("/settings/security/email", Only(ACCOUNT)),
    ("/settings/security/email/{token}", Only(ACCOUNT)),
    ("/settings/security/name", Only(ACCOUNT)),
    ("/settings/security/passkeys", Only(ACCOUNT)),
    ("/settings/security/passkeys/challenge", Only(ACCOUNT)),
    ("/settings/security/password", Only(ACCOUNT)),
    ("/settings/security/second-factor", Only(ACCOUNT)),
    ("/settings/security/sessions", Only(ACCOUNT)),
    (
        "/settings/switch",
        Only("which organisation a browser looks at: a token is of one"),
    ),
    ("/settings/tokens", Api(&["POST /tokens"])),
    ("/settings/tokens/{id}/revoke", Api(&["DELETE /tokens/{id}"])),
    ("/settings/webhooks", Api(&["POST /webhook-endpoints"])),
    ("/settings/webhooks/{id}", Api(&["PATCH /webhook-endpoints/{id}"])),
    (
        "/settings/webhooks/{id}/delete",
        Api(&["DELETE /webhook-endpoints/{id}"]),
    ),
    (
        "/settings/webhooks/{id}/deliveries/{delivery}/replay",
        Api(&["POST /webhook-endpoints/{id}/deliveries/{delivery_id}/replay"]),
    ),
    (
        "/settings/webhooks/{id}/disable",
        Api(&["PATCH /webhook-endpoints/{id}"]),
    ),
    (
        "/settings/webhooks/{id}/enable",
        Api(&["PATCH /webhook-endpoints/{id}"]),
    ),
    (
        "/settings/webhooks/{id}/rotate-secret",
        Api(&["POST /webhook-endpoints/{id}/rotate-secret"]),
    ),
    (
        "/settings/webhooks/{id}/test",
        Api(&["POST /webhook-endpoints/{id}/test"]),
    ),
    ("/sign-in", Only(ACCOUNT)),
    ("/sign-in/passkey", Only(ACCOUNT)),
    ("/sign-in/passkey/challenge", Only(ACCOUNT)),
    ("/sign-in/second-factor", Only(ACCOUNT)),
    ("/sign-out", Only(ACCOUNT)),
    ("/sign-up", Only(ACCOUNT)),
    ("/sign-up/confirm/{token}", Only(ACCOUNT)),
    ("/welcome", Api(&["POST /domains", "POST /mdm-servers/parse"])),
];

/// Operations that no form has, each with its reason: none.
const OPERATIONS_WITHOUT_A_FORM: &[(&str, &str)] = &[];

/// The paths that take a POST in the console, as its sources make them.
fn forms() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (file, code) in sources() {
        for (at, _) in code.match_indices("web::post()") {
            let path = path_of(&code[..at]);
            let path = path.unwrap_or_else(|| panic!("{}: which path has the form at {at}?", file.display()));
            assert!(found.insert(path.clone()), "{}: {path} is there twice", file.display());
        }
        // Whatever else would let a form in would not be seen here.
        for other in [
            "web::route()",
            "web::put()",
            "web::patch()",
            "web::delete()",
            "web::method(",
            "guard::",
            "#[post(",
            "#[route(",
        ] {
            assert!(
                !code.contains(other),
                "{}: say a form by `web::post()`, not by {other}",
                file.display()
            );
        }
        let handed = code.matches("web::post").count() - code.matches("web::post()").count();
        assert_eq!(handed, 0, "{}: `web::post` under another name", file.display());
        let without_crate = code.replace("actix_web::", "");
        assert!(
            !without_crate.contains("web::{") && !without_crate.contains("web::*"),
            "{}: `web::` is written out",
            file.display()
        );
    }
    found
}

/// Of the service whose making ends before `web::post()`.
fn path_of(before: &str) -> Option<String> {
    let (_, service) = before.rsplit_once(".service(")?;
    let (_, rest) = service.split_once('"')?;
    let (text, _) = rest.split_once('"')?;
    // Of a macro that is given what is below a domain's own page.
    let is_below = service.split('"').next()?.ends_with("below!(");
    let prefix = if is_below { "/domains/{hostname}" } else { "" };
    let path = format!("{prefix}{text}");
    (path.starts_with('/') && !path.contains([' ', '*'])).then_some(path)
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("\n#[cfg(test)]\n").next().unwrap().to_owned();
                sources.push((path, code));
            }
        }
    }
    sources
}

/// "PATCH /clients/{id}", as the document of the API has it.
fn writes() -> BTreeSet<String> {
    let document: Value = serde_json::from_str(signpost::api::openapi::json()).unwrap();
    let mut writes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/api/v1").unwrap();
        let methods = item.as_object().unwrap().keys().filter(|method| *method != "get");
        writes.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    writes
}

#[test]
fn what_can_be_changed_on_one_side_can_be_changed_on_the_other_or_there_is_a_reason() {
    let table: BTreeMap<_, _> = FORMS.iter().map(|(path, twin)| ((*path).to_owned(), twin)).collect();
    assert_eq!(table.len(), FORMS.len(), "a form is in the table twice");
    let forms = forms();
    assert!(forms.len() > 40, "{forms:?}");
    let missing: Vec<_> = forms.iter().filter(|path| !table.contains_key(*path)).collect();
    assert!(
        missing.is_empty(),
        "which operations do what these forms do? {missing:?}"
    );
    let gone: Vec<_> = table.keys().filter(|path| !forms.contains(*path)).collect();
    assert!(gone.is_empty(), "no such form any more: {gone:?}");

    let writes = writes();
    assert!(writes.len() > 25, "{writes:?}");
    let mut on_pages = BTreeSet::new();
    for (path, twin) in FORMS {
        match twin {
            Api(operations) => {
                assert!(!operations.is_empty(), "{path}");
                for operation in *operations {
                    assert!(writes.contains(*operation), "{path} names {operation}, which is none");
                    on_pages.insert((*operation).to_owned());
                }
            }
            Only(reason) => assert!(reason.len() > 20, "{path} is no operation because …?"),
        }
    }
    for (operation, reason) in OPERATIONS_WITHOUT_A_FORM {
        assert!(writes.contains(*operation) && reason.len() > 20, "{operation}");
        assert!(on_pages.insert((*operation).to_owned()), "{operation} has a form");
    }
    let missing: Vec<_> = writes.difference(&on_pages).collect();
    assert!(
        missing.is_empty(),
        "which forms do what these operations do? {missing:?}"
    );
}

#[test]
fn a_form_is_found_however_its_line_is_broken() {
    for (code, expected) in [
        (r#".service(form("/a/b", web::get().to(x), "#, Some("/a/b")),
        (
            ".service(page(\"/x\", web::get().to(x)))\n.service(super::form(\n    \"/a/{id}\",\n  web::get().to(x),\n  ",
            Some("/a/{id}"),
        ),
        (
            r#".service(action(below!("/check"), "#,
            Some("/domains/{hostname}/check"),
        ),
        (
            ".service(form(\n  below!(\"\"),\n  web::get().to(x),\n  ",
            Some("/domains/{hostname}"),
        ),
        (r".service(form(PATH, web::get().to(x), ", None),
    ] {
        assert_eq!(path_of(code).as_deref(), expected, "{code}");
    }
}

const OWNER: &str = "ada@msp.example";

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Whether the page shows it, as a reader sees it.
#[track_caller]
fn shows(page: &str, part: &str) {
    assert!(page.contains(part), "{part}: {page}");
}

#[sqlx::test]
async fn what_a_program_writes_is_seen_on_the_pages(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owner = app.owner("Acme IT", OWNER).await;
    let colleague = app.colleague(&owner, "grace@msp.example", "editor", "").await;
    let program = app.program_of(&owner).await;
    let read = async |path: &str| owner.get(path).await.text;

    let client = program
        .post("/clients", json!({"name": "Contoso", "external_ref": "PSA-7"}))
        .await
        .json();
    let client_page = format!("/clients/{}", text(&client["id"]));
    shows(&read(&client_page).await, "value=\"PSA-7\"");
    program.patch(&client_page, json!({"name": "Contoso AG"})).await;
    shows(&read("/clients").await, "Contoso AG");

    let server = json!({"client_id": client["id"], "vendor": "fleet", "parameters": {"host": "fleet.contoso.com"}, "name": "Macs"});
    let server = program.post("/mdm-servers", server).await.json();
    let server_page = format!("/servers/{}", text(&server["id"]));
    shows(&read(&server_page).await, "fleet.contoso.com");
    let path = format!("/mdm-servers/{}", text(&server["id"]));
    program
        .patch(&path, json!({"parameters": {"host": "new.contoso.com"}}))
        .await;
    shows(&read(&server_page).await, "new.contoso.com");

    let serve = json!({"default": {"action": "serve", "server_id": server["id"]}});
    let domain = json!({"hostname": "contoso.com", "client_id": client["id"], "policy": serve});
    assert_eq!(program.post("/domains", domain).await.status, 201);
    shows(&read("/domains").await, "contoso.com");
    let reject = json!({"default": {"action": "reject", "message": "Ask the help desk."}});
    program
        .patch(
            "/domains/contoso.com",
            json!({"website_url": "https://www.contoso.com", "policy": reject}),
        )
        .await;
    let rules = read("/domains/contoso.com/rules").await;
    shows(&rules, "Ask the help desk.");
    shows(&rules, "value=\"https://www.contoso.com\"");
    let link = program.post("/domains/contoso.com/share-links", json!({})).await.json();
    let revoke = format!("/domains/contoso.com/share-links/{}/revoke", text(&link["id"]));
    shows(&read("/domains/contoso.com").await, &revoke);
    program
        .delete(&format!("/domains/contoso.com/share-links/{}", text(&link["id"])))
        .await;
    assert!(!read("/domains/contoso.com").await.contains(&revoke));

    let members = program.get("/members").await.json();
    let grace = members["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|member| member["role"] == "editor")
        .unwrap();
    let path = format!("/members/{}", text(&grace["id"]));
    assert_eq!(program.patch(&path, json!({"role": "viewer"})).await.status, 200);
    shows(&read(&format!("/settings{path}")).await, "value=\"viewer\" checked");
    assert_eq!(colleague.get("/domains/new").await.status, 403);
    let invitation = json!({"email": "lin@msp.example", "role": "editor"});
    let invitation = program.post("/invitations", invitation).await.json();
    shows(&read("/settings/members").await, "lin@msp.example");
    program
        .delete(&format!("/invitations/{}", text(&invitation["id"])))
        .await;
    assert!(!read("/settings/members").await.contains("lin@msp.example"));

    let token = program
        .post("/tokens", json!({"name": "Nightly", "scopes": ["domains:read"]}))
        .await
        .json();
    shows(&read("/settings/tokens").await, "Nightly");
    program.delete(&format!("/tokens/{}", text(&token["id"]))).await;
    assert!(!read("/settings/tokens").await.contains("Nightly"));

    let webhook =
        json!({"url": "https://hooks.acme.example/in", "description": "Tickets", "events": ["certificate.issued"]});
    let webhook = program.post("/webhook-endpoints", webhook).await.json();
    let webhook_page = format!("/settings/webhooks/{}", text(&webhook["id"]));
    shows(&read(&webhook_page).await, "value=\"https://hooks.acme.example/in\"");
    let path = format!("/webhook-endpoints/{}", text(&webhook["id"]));
    program
        .patch(&path, json!({"description": "Alarms", "disabled": true}))
        .await;
    shows(&read(&webhook_page).await, "value=\"Alarms\"");
    shows(&read(&webhook_page).await, &format!("{webhook_page}/enable"));

    let change = json!({"name": "Acme & Co", "request_days": 9, "audit_days": 99, "branding": {"display_name": "Acme", "contact": "help@acme.example"}});
    assert_eq!(program.patch("/organisation", change).await.status, 200);
    let page = read("/settings/organisation").await;
    for part in ["value=\"Acme &#38; Co\"", "value=\"9\"", "value=\"99\""] {
        shows(&page, part);
    }
    shows(&read("/settings/branding").await, "value=\"help@acme.example\"");

    assert_eq!(program.delete("/domains/contoso.com").await.status, 204);
    assert_eq!(owner.get("/domains/contoso.com").await.status, 404);
    program.delete(&format!("/mdm-servers/{}", text(&server["id"]))).await;
    assert_eq!(owner.get(&server_page).await.status, 404);
    program.delete(&client_page).await;
    assert_eq!(owner.get(&client_page).await.status, 404);
    app.stop().await;
}

/// The form is taken, and leads on.
async fn done(person: &Person, page: &str, action: &str, fields: &[(&str, &str)]) -> String {
    leads_to(&person.submit_to(page, action, fields).await).to_owned()
}

#[sqlx::test]
async fn what_is_written_on_pages_is_seen_by_a_program(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owner = app.owner("Acme IT", OWNER).await;
    app.colleague(&owner, "grace@msp.example", "editor", "").await;
    let program = app.program_of(&owner).await;
    let send = async |page: &str, fields: &[(&str, &str)]| done(&owner, page, page, fields).await;
    let read = async |path: &str| program.get(path).await.json();

    let to = send("/clients/new", &[("name", "Contoso"), ("external_ref", "PSA-7")]).await;
    let client_page = to.split('?').next().unwrap().to_owned();
    assert_eq!(read(&client_page).await["external_ref"], "PSA-7");
    send(&client_page, &[("name", "Contoso AG"), ("external_ref", "")]).await;
    let client = read(&client_page).await;
    assert_eq!(
        (&client["name"], &client["external_ref"]),
        (&json!("Contoso AG"), &json!(null))
    );

    let fields = [("mdm", "fleet"), ("p_host", "fleet.contoso.com"), ("name", "Macs")];
    send(&format!("{client_page}/servers/new"), &fields).await;
    let server = read("/mdm-servers").await["data"][0].clone();
    assert_eq!(
        (&server["name"], &server["parameters"]["host"]),
        (&json!("Macs"), &json!("fleet.contoso.com"))
    );
    let (server_page, server_path) = (
        format!("/servers/{}", text(&server["id"])),
        format!("/mdm-servers/{}", text(&server["id"])),
    );
    send(&server_page, &[("name", "All"), ("p_host", "new.contoso.com")]).await;
    assert_eq!(read(&server_path).await["parameters"]["host"], "new.contoso.com");

    let fields = [
        ("client", "Contoso AG"),
        ("hostname", "contoso.com"),
        ("mdm", "intune"),
        ("p_tenant_id", TENANT),
    ];
    send("/domains/new", &fields).await;
    assert_eq!(read("/domains/contoso.com").await["client_id"], client["id"]);
    let editor = owner.get("/domains/contoso.com/rules").await.text;
    let as_of = editor
        .split_once("name=\"as_of\" value=\"")
        .unwrap()
        .1
        .split('"')
        .next()
        .unwrap();
    let fields = [
        ("as_of", as_of),
        ("connection", "redirect"),
        ("website_url", "https://www.contoso.com"),
        ("rule", "0"),
        ("families-0", "Mac"),
        ("users-0", ""),
        ("action-0", "reject"),
        ("message-0", "Ask the help desk."),
        ("action-default", "defer"),
        ("do", "save"),
    ];
    assert_eq!(
        send("/domains/contoso.com/rules", &fields).await,
        "/domains/contoso.com?done=rules"
    );
    let domain = read("/domains/contoso.com").await;
    let reject = json!({"action": "reject", "message": "Ask the help desk."});
    assert_eq!(
        domain["policy"],
        json!({"default": {"action": "defer"}, "rules": [{"when": {"model_families": ["Mac"]}, "then": reject}]})
    );
    assert_eq!(
        (&domain["connection"], &domain["website_url"]),
        (&json!("redirect"), &json!("https://www.contoso.com"))
    );

    let links = "/domains/contoso.com/share-links";
    assert_eq!(
        owner
            .submit_to("/domains/contoso.com", links, &[("days", "7")])
            .await
            .status,
        200
    );
    let link = read(links).await["data"][0]["id"].clone();
    done(
        &owner,
        "/domains/contoso.com",
        &format!("{links}/{}/revoke", text(&link)),
        &[],
    )
    .await;
    assert_eq!(read(links).await["data"], json!([]));

    let members = read("/members").await;
    let grace = members["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|member| member["role"] == "editor")
        .unwrap();
    let member_page = format!("/settings/members/{}", text(&grace["id"]));
    send(&member_page, &[("role", "viewer"), ("client_id", text(&client["id"]))]).await;
    let member = read("/members").await["data"][1].clone();
    assert_eq!(
        (&member["role"], &member["client_id"]),
        (&json!("viewer"), &client["id"])
    );
    done(&owner, &member_page, &format!("{member_page}/remove"), &[]).await;
    assert_eq!(read("/members").await["data"].as_array().unwrap().len(), 1);

    let fields = [("email", "lin@msp.example"), ("role", "editor"), ("client_id", "")];
    done(&owner, "/settings/members", "/settings/invitations", &fields).await;
    let invitation = read("/invitations").await["data"][0].clone();
    assert_eq!(
        (&invitation["email"], &invitation["role"]),
        (&json!("lin@msp.example"), &json!("editor"))
    );
    let delete = format!("/settings/invitations/{}/delete", text(&invitation["id"]));
    done(&owner, "/settings/members", &delete, &[]).await;
    assert_eq!(read("/invitations").await["data"], json!([]));

    let fields = [
        ("name", "Nightly"),
        ("scopes", "domains:read"),
        ("client_id", ""),
        ("expires_in_days", ""),
    ];
    assert_eq!(owner.submit("/settings/tokens", &fields).await.status, 200);
    let token = read("/tokens").await["data"][1].clone();
    assert_eq!(
        (&token["name"], &token["scopes"]),
        (&json!("Nightly"), &json!(["domains:read"]))
    );
    done(
        &owner,
        "/settings/tokens",
        &format!("/settings/tokens/{}/revoke", text(&token["id"])),
        &[],
    )
    .await;
    assert_eq!(read("/tokens").await["data"].as_array().unwrap().len(), 1);

    let fields = [
        ("url", "https://hooks.acme.example/in"),
        ("description", "Tickets"),
        ("events", "certificate.issued"),
        ("client_id", ""),
    ];
    assert_eq!(owner.submit("/settings/webhooks", &fields).await.status, 201);
    let webhook = read("/webhook-endpoints").await["data"][0].clone();
    assert_eq!(
        (&webhook["description"], &webhook["events"]),
        (&json!("Tickets"), &json!(["certificate.issued"]))
    );
    let (webhook_page, webhook_path) = (
        format!("/settings/webhooks/{}", text(&webhook["id"])),
        format!("/webhook-endpoints/{}", text(&webhook["id"])),
    );
    done(&owner, &webhook_page, &format!("{webhook_page}/disable"), &[]).await;
    assert!(read(&webhook_path).await["disabled_at"].is_string());
    done(&owner, &webhook_page, &format!("{webhook_page}/enable"), &[]).await;
    assert_eq!(read(&webhook_path).await["disabled_at"], json!(null));
    done(&owner, &webhook_page, &format!("{webhook_page}/delete"), &[]).await;
    assert_eq!(read("/webhook-endpoints").await["data"], json!([]));

    send(
        "/settings/organisation",
        &[("name", "Acme & Co"), ("request_days", "9"), ("audit_days", "99")],
    )
    .await;
    send(
        "/settings/branding",
        &[("display_name", "Acme"), ("contact", "help@acme.example")],
    )
    .await;
    let organisation = read("/organisation").await;
    assert_eq!(
        organisation,
        json!({"id": program.organisation_id, "name": "Acme & Co", "request_days": 9, "audit_days": 99,
               "branding": {"display_name": "Acme", "contact": "help@acme.example", "logo": null}})
    );

    send("/domains/contoso.com/delete", &[("confirm", "contoso.com")]).await;
    program.get("/domains/contoso.com").await.problem(404, "not_found");
    for server in read("/mdm-servers").await["data"].as_array().unwrap() {
        send(&format!("/servers/{}/delete", text(&server["id"])), &[]).await;
    }
    assert_eq!(read("/mdm-servers").await["data"], json!([]));
    send(&format!("{client_page}/delete"), &[]).await;
    program.get(&client_page).await.problem(404, "not_found");
    app.stop().await;
}
