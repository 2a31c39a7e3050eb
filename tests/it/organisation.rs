//! The organisation's own settings by the API, and what share links say of it: name, contact, logo.
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Answer, Msp, TestApp},
    people::{Person, leads_to},
};

const OWNER: &str = "ada@msp.example";
const PAGE: &str = "/settings/branding";
const IMAGE_PNG: (&str, &str) = ("content-type", "image/png");

/// A picture as far as anybody reads it here.
pub fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend(b"\x08\x06\0\0\0sums\0\0\0\0IEND\xae\x42\x60\x82");
    bytes
}

fn jpeg() -> Vec<u8> {
    b"\xff\xd8\xff\xc0\0\x0b\x08\0\x40\x01\0\x01\x01\x11\0\xff\xd9".to_vec()
}

/// Sends the form as a browser does, with `file` as the logo.
async fn upload(person: &Person, csrf: &str, fields: &[(&str, &str)], file: &[u8]) -> Answer {
    let mut body = Vec::new();
    for (name, value) in [("csrf", csrf)].iter().chain(fields) {
        body.extend(format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").as_bytes());
    }
    body.extend(b"--x\r\nContent-Disposition: form-data; name=\"logo\"; filename=\"logo.svg\"\r\nContent-Type: image/svg+xml\r\n\r\n");
    body.extend(file);
    body.extend(b"\r\n--x--\r\n");
    let request = person
        .request("POST", PAGE)
        .header("content-type", "multipart/form-data; boundary=x")
        .body(body);
    person.send(request).await
}

/// The path of a new share link of the domain.
async fn share(program: &Msp, hostname: &str) -> String {
    let made = program
        .post(&format!("/domains/{hostname}/share-links"), json!({}))
        .await
        .json();
    let url = made["url"].as_str().unwrap();
    url[url.find("/share/").unwrap()..].to_owned()
}

async fn logo(person: &Person, path: &str) -> (Answer, Vec<u8>) {
    let response = person.request("GET", path).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await.unwrap().to_vec();
    let text = String::new();
    (Answer { status, headers, text }, bytes)
}

#[sqlx::test]
async fn an_organisation_is_read_and_changed_in_part_and_each_mistake_is_named(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let program = app.msp("Acme IT").await;
    let other = app.msp("Other IT").await;
    let first = program.get("/organisation").await.json();
    let nothing = json!({"display_name": null, "contact": null, "logo": null});
    assert_eq!(
        first,
        json!({"id": program.organisation_id, "name": "Acme IT", "request_days": 30, "audit_days": 365, "branding": nothing})
    );
    for change in [
        json!({}),
        json!({"name": null, "request_days": null, "audit_days": null, "branding": null}),
        json!({"branding": {}}),
        json!({"branding": {"display_name": null, "contact": null}}),
    ] {
        let answer = program.patch("/organisation", change.clone()).await;
        assert_eq!((answer.status, answer.json()), (200, first.clone()), "{change}");
    }
    let events = async || {
        let listed = program.get("/audit-events?action=organisation").await;
        listed.json()["data"].as_array().unwrap().clone()
    };
    assert_eq!(events().await.len(), 1, "what changes nothing is no event");

    for (change, expected) in [
        (json!({"name": " Acme & Co "}), ("name", json!("Acme & Co"))),
        (json!({"request_days": 1}), ("request_days", json!(1))),
        (json!({"audit_days": 3650}), ("audit_days", json!(3650))),
    ] {
        let changed = program.patch("/organisation", change).await.json();
        assert_eq!(changed[expected.0], expected.1);
    }
    let change = json!({"branding": {"display_name": "Acme", "contact": "Help@Acme.example"}});
    let changed = program.patch("/organisation", change).await.json();
    let branding = json!({"display_name": "Acme", "contact": "help@acme.example", "logo": null});
    assert_eq!(changed["branding"], branding);
    let change = json!({"branding": {"contact": "https://acme.example/help"}});
    program.patch("/organisation", change).await;
    assert_eq!(
        program.get("/organisation").await.json(),
        json!({
            "id": program.organisation_id, "name": "Acme & Co", "request_days": 1, "audit_days": 3650,
            "branding": {"display_name": "Acme", "contact": "https://acme.example/help", "logo": null},
        })
    );
    assert_eq!(program.get("/me").await.json()["organisation"]["name"], "Acme & Co");
    let told = events().await;
    assert_eq!(told.len(), 6);
    assert_eq!(told[0]["action"], "organisation.branding_updated");
    assert!(
        !Value::Array(told).to_string().contains("help"),
        "an address may be somebody's own"
    );

    for (change, pointers) in [
        (json!({"name": ""}), vec!["/name"]),
        (json!({"request_days": 0}), vec!["/request_days"]),
        (
            json!({"request_days": 31, "audit_days": 29}),
            vec!["/request_days", "/audit_days"],
        ),
        (json!({"audit_days": 3651}), vec!["/audit_days"]),
        (json!({"audit_days": i64::MAX}), vec!["/audit_days"]),
        (json!({"audit_days": u64::MAX}), vec!["/audit_days"]),
        (json!({"audit_days": 30.5}), vec!["/audit_days"]),
        (
            json!({"branding": {"display_name": "a\nb", "contact": "http://acme.example"}}),
            vec!["/branding/display_name", "/branding/contact"],
        ),
        (
            json!({"branding": {"contact": "javascript://x/%0aalert(1)"}}),
            vec!["/branding/contact"],
        ),
        (json!({"branding": {"logo": null}}), vec!["/branding/logo"]),
        (json!({"branding": []}), vec!["/branding"]),
        (json!({"id": program.organisation_id}), vec!["/id"]),
    ] {
        let answer = program.patch("/organisation", change.clone()).await;
        assert_eq!(answer.pointers(), pointers, "{change}");
    }
    assert_eq!(other.get("/organisation").await.json()["name"], "Other IT");
    let weak = json!({"name": "CI", "scopes": ["domains:write", "requests:read"]});
    let weak = program.post("/tokens", weak).await.json();
    let weak = app.program(program.organisation_id, weak["token"].as_str().unwrap());
    weak.get("/organisation").await.problem(403, "forbidden");
    weak.patch("/organisation", json!({})).await.problem(403, "forbidden");
    weak.delete("/organisation/logo").await.problem(403, "forbidden");
    app.stop().await;
}

#[sqlx::test]
async fn a_logo_is_set_replaced_and_removed_by_a_program(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let program = app.msp("Acme IT").await;
    let put = async |bytes: Vec<u8>, media_type: &str| {
        let headers = [("content-type", media_type)];
        program.send("PUT", "/organisation/logo", bytes, &headers).await
    };
    let facts = async || program.get("/organisation").await.json()["branding"]["logo"].clone();
    let expected = json!({"media_type": "image/png", "width": 320, "height": 80});
    assert_eq!(put(png(320, 80), "image/png").await.json(), expected);
    assert_eq!(facts().await, expected);
    for (bytes, media_type) in [
        (Vec::new(), "image/png"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), "image/png"),
        (jpeg(), "image/png"),
        (png(320, 80), "image/jpeg"),
        (png(2_001, 1), "image/png"),
        (png(320, 80)[..40].to_vec(), "image/png"),
    ] {
        assert_eq!(put(bytes, media_type).await.pointers(), [""]);
    }
    for media_type in ["image/svg+xml", "application/json", "image/png; charset=utf-8", ""] {
        put(png(1, 1), media_type).await.problem(415, "unsupported_media_type");
    }
    put(vec![0; 100 * 1024 + 1], "image/png")
        .await
        .problem(413, "payload_too_large");
    assert_eq!(facts().await, expected, "what is refused changes nothing");

    let expected = json!({"media_type": "image/jpeg", "width": 256, "height": 64});
    assert_eq!(put(jpeg(), "Image/JPEG").await.json(), expected);
    let change = json!({"branding": {"display_name": "Acme"}});
    let changed = program.patch("/organisation", change).await.json();
    assert_eq!(changed["branding"]["logo"], expected, "a name takes no logo away");
    assert_eq!(program.delete("/organisation/logo").await.status, 204);
    program.delete("/organisation/logo").await.problem(404, "not_found");
    assert_eq!(facts().await, json!(null));
    let events = program.get("/audit-events?action=organisation").await.json();
    let actions: Vec<_> = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["action"])
        .collect();
    assert_eq!(
        actions,
        [
            "organisation.logo_removed",
            "organisation.branding_updated",
            "organisation.logo_set",
            "organisation.logo_set",
            "organisation.created"
        ]
    );
    app.stop().await;
}

#[sqlx::test]
async fn a_share_link_says_whose_it_is_as_the_organisation_says_itself(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owner = app.owner("Acme IT", OWNER).await;
    let program = app.program_of(&owner).await;
    let guest = app.person();
    program.register("contoso.com").await;
    let link = share(&program, "contoso.com").await;
    let before = guest.get(&link).await;
    assert!(before.status == 200 && !before.text.contains("class=\"sender\"") && !before.text.contains("Acme"));
    assert_eq!(guest.get(&format!("{link}/logo")).await.status, 404);
    assert!(owner.get(PAGE).await.text.contains("Nothing yet"));

    let csrf = owner.csrf(PAGE).await;
    let fields = [
        ("display_name", "Acme <b> & Co"),
        ("contact", "https://acme.example/help?a=1&b=2"),
    ];
    assert_eq!(
        leads_to(&upload(&owner, &csrf, &fields, &png(640, 160)).await),
        "/settings/branding?done=saved"
    );
    let page = guest.get(&link).await;
    assert!(page.text.contains("<b>Acme &#60;b&#62; &#38; Co</b>"), "{}", page.text);
    assert!(
        page.text
            .contains("<a href=\"https://acme.example/help?a=1&#38;b=2\" rel=\"noreferrer\">")
    );
    assert!(page.text.contains(&format!(
        "<img src=\"{link}/logo\" width=\"640\" height=\"160\" alt=\"\">"
    )));
    let part = guest.get(&format!("{link}?part=live")).await;
    assert!(part.status == 200 && !part.text.contains("sender"));

    let (answer, bytes) = logo(&guest, &format!("{link}/logo")).await;
    assert_eq!((answer.status, bytes), (200, png(640, 160)));
    for (header, value) in [
        ("content-type", "image/png"),
        ("content-security-policy", "default-src 'none'"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-robots-tag", "noindex"),
    ] {
        assert_eq!(answer.header(header), Some(value), "{header}");
    }
    let mine = owner.get(PAGE).await.text;
    assert!(mine.contains("src=\"/settings/branding/logo\"") && mine.contains("Remove the logo"));
    assert_eq!(
        logo(&guest, "/settings/branding/logo").await.0.status,
        303,
        "nobody else's page"
    );

    // Without a file the logo stays; empty fields say nothing any more.
    let saved = upload(
        &owner,
        &csrf,
        &[("display_name", ""), ("contact", "help@acme.example")],
        b"",
    )
    .await;
    assert_eq!(leads_to(&saved), "/settings/branding?done=saved");
    let page = guest.get(&link).await.text;
    assert!(page.contains("href=\"mailto:help@acme.example\"") && !page.contains("Acme"));
    assert!(page.contains("alt=\"The logo of whoever sent this link\""));

    let removed = owner.submit_to(PAGE, "/settings/branding/logo/remove", &[]).await;
    assert_eq!(leads_to(&removed), "/settings/branding?done=removed");
    assert_eq!(guest.get(&format!("{link}/logo")).await.status, 404);
    assert!(!guest.get(&link).await.text.contains("<img src=\"/share"));
    app.stop().await;
}

#[sqlx::test]
async fn a_logo_ends_with_its_link_and_with_its_organisation(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let program = app.msp("Acme IT").await;
    let other = app.msp("Other IT").await;
    let guest = app.person();
    for (msp, hostname) in [(&program, "contoso.com"), (&other, "fabrikam.com")] {
        msp.register(hostname).await;
    }
    program
        .send("PUT", "/organisation/logo", png(10, 10), &[IMAGE_PNG])
        .await;
    let (link, others) = (
        share(&program, "contoso.com").await,
        share(&other, "fabrikam.com").await,
    );
    let status = async |link: &str| guest.get(&format!("{link}/logo")).await.status;
    assert_eq!((status(&link).await, status(&others).await), (200, 404));
    assert_eq!(status("/share/sgs_0123456789abcdefghijABCDEFGHIJ01").await, 404);
    assert_eq!(status("/share/x").await, 404);
    app.suspend(&program).await;
    assert_eq!(status(&link).await, 404);
    app.resume(&program).await;
    assert_eq!(status(&link).await, 200);
    let links = program.get("/domains/contoso.com/share-links").await.json();
    let id = links["data"][0]["id"].as_str().unwrap();
    program.delete(&format!("/domains/contoso.com/share-links/{id}")).await;
    assert_eq!(status(&link).await, 404);
    app.stop().await;
}

#[sqlx::test]
async fn what_is_no_logo_is_refused_at_its_field_and_only_admins_are_asked(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owner = app.owner("Acme IT", OWNER).await;
    let csrf = owner.csrf(PAGE).await;
    for (fields, file, message) in [
        (("Acme", ""), b"<svg/>".to_vec(), "Logo must be a PNG or a JPEG."),
        (("Acme", ""), png(10, 2_001), "Logo must be at most 2000 pixels"),
        (("Acme", ""), vec![0; 100 * 1024 + 1], "Logo must have at most 100 KB."),
        (("a\u{7}b", ""), png(10, 10), "Name must not hold control characters."),
        (
            ("Acme", "ftp://x"),
            png(10, 10),
            "Contact must be an absolute https address",
        ),
        (
            ("Acme", "nobody"),
            png(10, 10),
            "Contact must be an e-mail address or an https address.",
        ),
    ] {
        let fields = [("display_name", fields.0), ("contact", fields.1)];
        let refused = upload(&owner, &csrf, &fields, &file).await;
        assert!(
            refused.status == 422 && refused.text.contains(message),
            "{message}: {}",
            refused.text
        );
        assert!(
            refused.text.contains(&format!("value=\"{}\"", fields[0].1)),
            "what was typed is kept"
        );
    }
    assert_eq!(upload(&owner, &csrf, &[], &vec![0; 1024 * 1024]).await.status, 413);
    assert_eq!(upload(&owner, "forged", &[], &png(10, 10)).await.status, 403);
    assert!(
        owner.get(PAGE).await.text.contains("Nothing yet"),
        "what is refused changes nothing"
    );

    let editor = app.colleague(&owner, "editor@msp.example", "editor", "").await;
    let csrf = editor.csrf("/settings/security/name").await;
    assert_eq!(editor.get(PAGE).await.status, 403);
    assert_eq!(upload(&editor, &csrf, &[], &png(10, 10)).await.status, 403);
    let remove = editor
        .post_raw("/settings/branding/logo/remove", &[("csrf", &csrf)])
        .await;
    assert_eq!(remove.status, 403);
    assert!(!editor.get("/settings").await.text.contains("/settings/branding"));
    app.stop().await;
}
