//! Many domains from a sheet, as a spreadsheet writes it and as somebody who means harm does.
use sqlx::PgPool;

use crate::{
    app::{Answer, TENANT, TestApp},
    colleagues::{HOSTILE, assert_refused, client_id, colleague, escaped},
    entra::Entra,
    people::{Person, leads_to},
};

const EMAIL: &str = "ada@msp.example";
const PAGE: &str = "/domains/import";

fn sheet(rows: &[&str]) -> String {
    let rows: Vec<_> = rows.iter().map(|row| row.replace('~', TENANT)).collect();
    format!("hostname,client,vendor,tenant_id\n{}\n", rows.join("\n"))
}

async fn check(person: &Person, csv: &str) -> Answer {
    person.submit(PAGE, &[("csv", csv), ("step", "check")]).await
}

async fn import(person: &Person, csv: &str, partial: &str) -> Answer {
    person
        .submit(PAGE, &[("csv", csv), ("step", "import"), ("partial", partial)])
        .await
}

async fn hostnames(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select hostname from domains order by hostname")
        .fetch_all(pool)
        .await
        .unwrap()
}

/// Sends the form as a browser does that has a file to send.
async fn upload(person: &Person, csrf: &str, file: &[u8]) -> Answer {
    let mut body = Vec::new();
    for (name, value) in [("csrf", csrf), ("csv", ""), ("step", "check")] {
        body.extend(format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes());
    }
    body.extend(b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"domains.csv\"\r\nContent-Type: text/csv\r\n\r\n");
    body.extend(file);
    body.extend(b"\r\n--x--\r\n");
    let request = person
        .request("POST", PAGE)
        .header("content-type", "multipart/form-data; boundary=x")
        .body(body);
    person.send(request).await
}

#[sqlx::test]
async fn a_sheet_is_shown_row_by_row_before_it_is_imported_as_a_whole(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let csv = sheet(&["a.example.com,Contoso,intune,~", "b.example.com,Fabrikam,intune,~"]);
    let shown = check(&person, &csv).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert!(
        shown.text.contains("2 rows are right") && shown.text.contains("Import these"),
        "{}",
        shown.text
    );
    assert!(shown.text.contains(&escaped(&csv)), "what was pasted is still there");
    assert!(hostnames(&pool).await.is_empty());
    let done = import(&person, &csv, "").await;
    assert_eq!(leads_to(&done), "/domains?sort=newest&done=imported");
    assert_eq!(hostnames(&pool).await, ["a.example.com", "b.example.com"]);
    let clients: i64 = sqlx::query_scalar("select count(*) from clients")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(clients, 2);
    app.stop().await;
}

#[sqlx::test]
async fn what_is_wrong_is_said_at_its_line_and_column_and_nothing_is_imported(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let csv = "hostname;client;vendor;tenant_id;host;website_url;connection\n\
        a.example.com;Contoso;intune;nonsense;;;\n\
        localhost;;jamf_pro;;https://x;www;tunnel\n\
        c.example.com;Contoso;unknown;;;;\n\
        d.example.com;=HYPERLINK(\"x\");intune;;;;\n\
        e.example.com;Contoso;fleet;;mdm.example.com;;\n\
        e.example.com;Contoso;fleet;;mdm.example.com;;\n";
    for answer in [check(&person, csv).await, import(&person, csv, "").await] {
        for said in [
            "class=\"num\">2</td>",
            "This is not a GUID",
            "A single word is not a full hostname",
            "It must have 1 to 200 characters",
            "This is a URL. Give the host name alone",
            "It must be an absolute address",
            "It is not `direct`, `redirect` or `proxy`",
            "It is not one of intune",
            "begins as a spreadsheet",
            "e.example.com is already registered in this organisation",
            "1 row is right, 5 are not",
        ] {
            assert!(
                answer.text.to_lowercase().contains(&said.to_lowercase()),
                "{said}: {}",
                answer.text
            );
        }
        assert!(hostnames(&pool).await.is_empty());
    }
    assert_eq!(
        (check(&person, csv).await.status, import(&person, csv, "").await.status),
        (200, 422)
    );
    app.stop().await;
}

#[sqlx::test]
async fn the_rows_that_are_right_are_imported_by_a_tick_and_the_others_are_left_to_mend(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let csv = sheet(&[
        "a.example.com,Contoso,intune,~",
        "localhost,Contoso,intune,~",
        "b.example.com,Contoso,intune,~",
    ]);
    assert!(check(&person, &csv).await.text.contains("name=\"partial\""));
    let done = import(&person, &csv, "yes").await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert!(
        done.text.contains("2 domains are registered, 1 is not"),
        "{}",
        done.text
    );
    let rest = sheet(&["localhost,Contoso,intune,~"]);
    assert!(done.text.contains(&format!("\n{rest}</textarea>")), "{}", done.text);
    assert_eq!(hostnames(&pool).await, ["a.example.com", "b.example.com"]);
    let none = import(&person, &rest, "yes").await;
    assert_eq!(none.status, 422, "there is nothing to do: {}", none.text);
    app.stop().await;
}

#[sqlx::test]
async fn a_file_is_read_like_what_is_pasted(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let csrf = person.csrf(PAGE).await;
    let text = format!("\u{feff}hostname;client;vendor;tenant_id\r\na.example.com;Bücher;intune;{TENANT}\r\n");
    let shown = upload(&person, &csrf, text.as_bytes()).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert!(
        shown.text.contains("1 row is right") && shown.text.contains("Bücher"),
        "{}",
        shown.text
    );
    for (file, said) in [
        (
            &b"hostname,client,vendor\na.example.com,B\xfccher,intune"[..],
            "not in UTF-8",
        ),
        (b"\xff\xfeh\0o\0s\0t\0", "not in UTF-8"),
        (b"\0\0\0\0", "names a column"),
        (b"PK\x03\x04", "names a column"),
        (b"", "There are no rows"),
    ] {
        let refused = upload(&person, &csrf, file).await;
        assert_eq!(refused.status, 422, "{file:?}: {}", refused.text);
        assert!(refused.text.contains(said), "{file:?}: {}", refused.text);
    }
    assert_eq!(upload(&person, "forged", text.as_bytes()).await.status, 403);
    let huge = vec![b'x'; 5 * 1024 * 1024];
    assert_eq!(upload(&person, &csrf, &huge).await.status, 413);
    let broken = person
        .request("POST", PAGE)
        .header("content-type", "multipart/form-data")
        .body("--x");
    assert_eq!(person.send(broken).await.status, 400);
    assert!(hostnames(&pool).await.is_empty());
    app.stop().await;
}

#[sqlx::test]
async fn hostile_cells_are_refused_and_come_back_as_they_were(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    for text in HOSTILE {
        let cell = format!("\"{}\"", text.replace('"', "\"\""));
        for row in [
            format!("{cell},Contoso,intune,{TENANT}"),
            format!("a.example.com,Contoso,{cell},{TENANT}"),
            format!("a.example.com,Contoso,intune,{cell}"),
            format!("a.example.com,Contoso,intune,{TENANT},{cell}"),
        ] {
            let csv = format!("hostname,client,vendor,tenant_id\n{row}");
            let refused = import(&person, &csv, "yes").await;
            assert_eq!(refused.status, 422, "{row}: {}", refused.text);
            assert!(refused.text.contains(&escaped(&csv)), "{row}");
            assert!(!refused.text.contains("<script>"));
        }
        let refused = check(&person, text).await;
        assert_eq!(refused.status, 422);
        assert!(refused.text.contains(&escaped(text)), "{text:?}: {}", refused.text);
    }
    let quote = "hostname,client,vendor\na.example.com,\"Contoso,intune\nb.example.com,Contoso,intune\n";
    let refused = check(&person, quote).await;
    assert!(
        refused.text.contains("a quotation mark may be open"),
        "{}",
        refused.text
    );
    let many = format!("hostname,vendor\n{}", "a.example.com,intune\n".repeat(1_001));
    let refused = check(&person, &many).await;
    assert!(
        refused.status == 422 && refused.text.contains("more than 1000 rows"),
        "{}",
        refused.text.len()
    );
    assert!(hostnames(&pool).await.is_empty());
    app.stop().await;
}

#[sqlx::test]
async fn tenants_that_are_left_out_are_looked_up(pool: PgPool) {
    let entra = Entra::start().await;
    let app = entra.app(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let csv = "domain,client,mdm\ncontoso.com,Contoso,Microsoft Intune\nnobody.example,Contoso,intune\n";
    let shown = check(&person, csv).await;
    assert!(shown.text.contains("1 row is right, 1 is not"), "{}", shown.text);
    assert!(
        shown.text.contains("knows no tenant that has verified nobody.example"),
        "{}",
        shown.text
    );
    app.stop().await;
}

#[sqlx::test]
async fn the_template_is_a_sheet_that_can_be_imported(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let template = person.get("/domains/import/template.csv").await;
    assert_eq!(template.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(
        template
            .header("content-disposition")
            .unwrap()
            .starts_with("attachment")
    );
    assert!(check(&person, &template.text).await.text.contains("2 rows are right"));
    app.stop().await;
}

#[sqlx::test]
async fn only_who_may_write_imports_and_who_sees_one_client_into_that(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let first = sheet(&["contoso.com,Contoso,intune,~"]);
    import(&owner, &first, "").await;
    let csv = sheet(&[
        "a.example.com,Contoso,intune,~",
        "b.example.com,,intune,~",
        "c.example.com,Fabrikam,intune,~",
    ]);
    assert_refused(
        &app,
        "Acme IT",
        PAGE,
        &[("csv", &csv), ("step", "import"), ("partial", "yes")],
    )
    .await;
    assert_eq!(hostnames(&pool).await, ["contoso.com"]);
    let contoso = client_id(&pool, "Contoso").await;
    let limited = colleague(&app, "Acme IT", "editor", Some(contoso)).await;
    let done = import(&limited, &csv, "yes").await;
    assert!(
        done.text.contains("It must be your own: you see no other client"),
        "{}",
        done.text
    );
    let own: Vec<String> = sqlx::query_scalar("select hostname from domains where client_id = $1 order by hostname")
        .bind(contoso)
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(own, ["a.example.com", "b.example.com", "contoso.com"]);
    assert_eq!(hostnames(&pool).await.len(), 3);
    app.stop().await;
}
