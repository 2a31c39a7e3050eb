//! Clients and their MDM servers, as people make, change and delete them.
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    app::{TENANT, TestApp, intune_document_of},
    colleagues::{HOSTILE, assert_refused, client_id, colleague, escaped},
    entra::Entra,
    people::{Person, leads_to},
};

const EMAIL: &str = "ada@msp.example";

async fn new_client(person: &Person, name: &str) -> String {
    let added = person
        .submit("/clients/new", &[("name", name), ("external_ref", "")])
        .await;
    let path = leads_to(&added)
        .strip_suffix("?done=added")
        .expect("a new client")
        .to_owned();
    assert_eq!(person.get(&path).await.status, 200);
    path
}

async fn new_domain(person: &Person, client: &str, hostname: &str) {
    let fields = [
        ("client", client),
        ("hostname", hostname),
        ("mdm", "intune"),
        ("p_tenant_id", TENANT),
    ];
    assert!(leads_to(&person.submit("/domains/new", &fields).await).starts_with("/domains/"));
}

async fn only_server(pool: &PgPool) -> Uuid {
    sqlx::query_scalar("select mdm_server_id from mdm_servers")
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn audited(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select action from audit_events where actor_kind = 'member' and action ~ '^(client|mdm_server)' order by audit_event_id")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[sqlx::test]
async fn a_client_is_added_renamed_and_deleted_once_it_has_nothing(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    assert!(person.get("/clients").await.text.contains("There is no client yet"));
    let path = new_client(&person, " Contoso ").await;
    let page = person.get(&path).await;
    assert!(
        page.text.contains("<h1>Contoso</h1>") && page.text.contains("This client has no domain yet"),
        "{}",
        page.text
    );

    let changed = person
        .submit(&path, &[("name", "Contoso Ltd."), ("external_ref", "PSA-1")])
        .await;
    assert_eq!(leads_to(&changed), format!("{path}?done=changed"));
    assert!(person.get("/clients?q=psa-1").await.text.contains("Contoso Ltd."));
    new_client(&person, "Fabrikam").await;
    for (fields, said) in [
        (
            [("name", "fabrikam"), ("external_ref", "")],
            "Name is that of another client of yours.",
        ),
        (
            [("name", ""), ("external_ref", "")],
            "Name must have 1 to 200 characters.",
        ),
    ] {
        for page in [path.as_str(), "/clients/new"] {
            let refused = person.submit(page, &fields).await;
            assert_eq!(refused.status, 422);
            assert!(refused.text.contains(said), "{page}: {}", refused.text);
        }
    }
    let taken = person
        .submit("/clients/new", &[("name", "Woodgrove"), ("external_ref", "PSA-1")])
        .await;
    assert!(
        taken.text.contains("Reference is that of another client of yours."),
        "{}",
        taken.text
    );

    new_domain(&person, "Contoso Ltd.", "contoso.com").await;
    let page = person.get(&path).await;
    for part in ["/domains/contoso.com", "Microsoft Intune", TENANT] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let delete = format!("{path}/delete");
    let asked = person.get(&delete).await;
    assert!(
        asked.text.contains("It still has domains or MDM servers.") && !asked.text.contains("Delete it"),
        "{}",
        asked.text
    );
    let refused = person.submit(&delete, &[]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("It still has domains or MDM servers."));

    let fabrikam = format!("/clients/{}", client_id(&pool, "Fabrikam").await);
    assert!(
        person
            .get(&format!("{fabrikam}/delete"))
            .await
            .text
            .contains("Delete it")
    );
    assert_eq!(
        leads_to(&person.submit(&format!("{fabrikam}/delete"), &[]).await),
        "/clients?done=deleted"
    );
    assert_eq!(person.get(&fabrikam).await.status, 404);
    let expected = [
        "client.created",
        "client.updated",
        "client.created",
        "mdm_server.created",
        "client.deleted",
    ];
    assert_eq!(audited(&pool).await, expected);
    app.stop().await;
}

#[sqlx::test]
async fn clients_are_listed_by_name_in_pages(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    sqlx::query(
        "insert into clients (client_id, organisation_id, name)
         select gen_random_uuid(), organisation_id, case when n % 2 = 0 then 'client ' else 'Client ' end || lpad(n::text, 3, '0')
           from organisations, generate_series(1, 120) n where name = 'Acme IT'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let (mut address, mut names) = (Some("/clients?q=client".to_owned()), Vec::new());
    while let Some(path) = address {
        let page = person.get(&path).await.text;
        let rows = page.split("<th role=\"rowheader\" scope=\"row\">").skip(1);
        names.extend(rows.map(|row| row.split('>').nth(1).unwrap().split('<').next().unwrap().to_lowercase()));
        let next = page
            .split("rel=\"next\"")
            .next()
            .filter(|before| before.len() < page.len());
        address = next.map(|before| {
            let (_, href) = before.rsplit_once("href=\"").unwrap();
            href.split('"').next().unwrap().replace("&#38;", "&")
        });
    }
    let expected: Vec<_> = (1..=120).map(|n| format!("client {n:03}")).collect();
    assert_eq!(names, expected);
    app.stop().await;
}

#[sqlx::test]
async fn a_server_is_added_by_hand_by_a_document_and_by_a_look_up(pool: PgPool) {
    let entra = Entra::start().await;
    let app = entra.app(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let client = new_client(&person, "Contoso").await;
    let page = format!("{client}/servers/new");
    assert!(
        person
            .get(&format!("{page}?vendor=mosyle"))
            .await
            .text
            .contains("name=\"p_account\"")
    );
    let refused = person
        .submit(
            &page,
            &[("mdm", "jamf_pro"), ("p_host", "https://x"), ("name", "\u{7}")],
        )
        .await;
    assert_eq!(refused.status, 422);
    for said in [
        "This is a URL. Give the host name alone",
        "Name must not hold control characters",
    ] {
        assert!(refused.text.contains(said), "{said}: {}", refused.text);
    }
    let fields = [
        ("mdm", "jamf_pro"),
        ("p_host", "acme.jamfcloud.com"),
        ("name", "Schools"),
        ("enrollment", "adde"),
    ];
    assert_eq!(
        leads_to(&person.submit(&page, &fields).await),
        format!("{client}?done=server-added")
    );
    assert!(person.get(&client).await.text.contains("acme.jamfcloud.com (adde)"));

    let document = intune_document_of(TENANT, "us");
    let read = person
        .submit(
            &page,
            &[("mdm", "custom"), ("document", &document), ("step", "recognise")],
        )
        .await;
    assert_eq!(read.status, 200);
    assert!(
        read.text.contains("The document is of Microsoft Intune.")
            && read.text.contains("value=\"us_government\" selected"),
        "{}",
        read.text
    );
    let found = person
        .submit(
            &page,
            &[("mdm", "intune"), ("domain", "contoso.com"), ("step", "look-up")],
        )
        .await;
    assert!(found.text.contains(&format!("value=\"{TENANT}\"")), "{}", found.text);
    let nothing = person
        .submit(
            &page,
            &[("mdm", "intune"), ("domain", "nobody.example"), ("step", "look-up")],
        )
        .await;
    assert_eq!(nothing.status, 422);
    assert!(nothing.text.contains("value=\"nobody.example\""));
    app.stop().await;
}

#[sqlx::test]
async fn a_change_of_a_server_says_how_many_domains_it_changes_and_one_in_use_stays(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    new_domain(&person, "Contoso", "a.example.com").await;
    new_domain(&person, "Contoso", "b.example.com").await;
    let path = format!("/servers/{}", only_server(&pool).await);
    let page = person.get(&path).await;
    assert!(
        page.text.contains("A change takes effect at once, for 2 domains."),
        "{}",
        page.text
    );
    let other = "66666666-7777-8888-9999-aaaaaaaaaaaa";
    let changed = person
        .submit(&path, &[("name", "Ours"), ("p_tenant_id", other), ("p_cloud", "china")])
        .await;
    assert_eq!(leads_to(&changed), format!("{path}?done=changed"));
    let page = person.get(&path).await;
    assert!(
        page.text.contains(&format!(
            "manage.microsoft.cn/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId={other}"
        )),
        "{}",
        page.text
    );
    let refused = person
        .submit(&path, &[("name", "Ours"), ("p_tenant_id", "{tenant}")])
        .await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.text.contains("This is not a GUID.") && refused.text.contains("value=\"{tenant}\""),
        "{}",
        refused.text
    );
    let document = intune_document_of(TENANT, "com");
    let read = person
        .submit(
            &path,
            &[("name", "Ours"), ("document", &document), ("step", "recognise")],
        )
        .await;
    assert!(
        read.text.contains(&format!("value=\"{TENANT}\"")) && read.status == 200,
        "{}",
        read.text
    );
    let document = r#"{"Servers":[{"Version":"mdm-byod","BaseURL":"https://mdm.example.com/enroll"}]}"#;
    let read = person
        .submit(&path, &[("document", document), ("step", "recognise")])
        .await;
    assert!(
        read.text.contains("This document is of Custom URL.") && read.status == 422,
        "{}",
        read.text
    );

    let delete = format!("{path}/delete");
    for page in [person.get(&delete).await, person.submit(&delete, &[]).await] {
        assert!(
            page.text.contains("2 domains still send devices there."),
            "{}",
            page.text
        );
    }
    sqlx::query("delete from domains").execute(&pool).await.unwrap();
    let client = format!("/clients/{}?done=server-deleted", client_id(&pool, "Contoso").await);
    assert_eq!(leads_to(&person.submit(&delete, &[]).await), client);
    assert_eq!(person.get(&path).await.status, 404);
    assert_eq!(audited(&pool).await[2..], ["mdm_server.updated", "mdm_server.deleted"]);
    app.stop().await;
}

#[sqlx::test]
async fn only_who_may_write_changes_clients_and_servers(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    new_domain(&owner, "Contoso", "contoso.com").await;
    let fabrikam = new_client(&owner, "Fabrikam").await;
    let contoso = client_id(&pool, "Contoso").await;
    let (client, server) = (
        format!("/clients/{contoso}"),
        format!("/servers/{}", only_server(&pool).await),
    );
    let jamf = [("mdm", "jamf_pro"), ("p_host", "acme.jamfcloud.com"), ("name", "New")];
    let writes = [
        ("/clients/new".to_owned(), &jamf[2..]),
        (client.clone(), &jamf[2..]),
        (format!("{client}/delete"), &[][..]),
        (format!("{fabrikam}/delete"), &[]),
        (format!("{client}/servers/new"), &jamf[..]),
        (server.clone(), &[("p_tenant_id", TENANT)]),
        (format!("{server}/delete"), &[]),
    ];
    let before = audited(&pool).await;
    for (path, fields) in &writes {
        assert_refused(&app, "Acme IT", path, fields).await;
    }
    let other = app.owner("Other IT", "eve@msp.example").await;
    for (path, fields) in &writes[1..] {
        assert_eq!(other.get(path).await.status, 404, "{path}");
        assert_eq!(other.try_to_post(path, fields).await.status, 404, "{path}");
    }
    // Whoever is limited to one client makes, renames and deletes none, and sees nothing of the others.
    let limited = colleague(&app, "Acme IT", "editor", Some(contoso)).await;
    for path in ["/clients/new".to_owned(), client.clone(), format!("{client}/delete")] {
        assert_eq!(limited.try_to_post(&path, &jamf[2..]).await.status, 403, "{path}");
    }
    assert_eq!(limited.get("/clients/new").await.status, 403);
    for path in [
        fabrikam.clone(),
        format!("{fabrikam}/delete"),
        format!("{fabrikam}/servers/new"),
    ] {
        assert_eq!(limited.get(&path).await.status, 404, "{path}");
        assert_eq!(limited.try_to_post(&path, &jamf).await.status, 404, "{path}");
    }
    let viewer = colleague(&app, "Acme IT", "viewer", Some(contoso)).await;
    assert_eq!(viewer.get(&client).await.status, 200);
    assert_eq!(viewer.get(&server).await.status, 200);
    assert_eq!(audited(&pool).await, before);
    for path in [
        "/clients/nonsense",
        "/servers/nonsense",
        "/clients/00000000-0000-0000-0000-000000000000",
    ] {
        assert_eq!(owner.get(path).await.status, 404, "{path}");
    }
    let added = limited.submit(&format!("{client}/servers/new"), &jamf).await;
    assert_eq!(leads_to(&added), format!("{client}?done=server-added"));
    app.stop().await;
}

#[sqlx::test]
async fn whatever_is_typed_comes_back_as_it_was_typed(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    new_domain(&person, "Contoso", "contoso.com").await;
    let client = format!("/clients/{}", client_id(&pool, "Contoso").await);
    let server = format!("/servers/{}", only_server(&pool).await);
    let long = "x".repeat(10_000);
    let new_server = format!("{client}/servers/new");
    for text in HOSTILE.into_iter().chain([long.as_str()]) {
        for (page, fields) in [
            ("/clients/new", [("external_ref", text), ("name", ""), ("x", "")]),
            (client.as_str(), [("external_ref", text), ("name", ""), ("x", "")]),
            (server.as_str(), [("p_tenant_id", text), ("name", text), ("x", "")]),
            (
                new_server.as_str(),
                [("p_host", text), ("name", text), ("mdm", "fleet")],
            ),
            (
                new_server.as_str(),
                [("document", text), ("step", "recognise"), ("mdm", text)],
            ),
            (
                new_server.as_str(),
                [("domain", text), ("step", "look-up"), ("name", text)],
            ),
        ] {
            let refused = person.submit(page, &fields).await;
            assert_eq!(refused.status, 422, "{page} {text:?}: {}", refused.text);
            assert!(
                refused.text.contains(&escaped(text)),
                "{page} {text:?}: {}",
                refused.text
            );
            assert!(!refused.text.contains("<script>"));
        }
    }
    app.stop().await;
}
