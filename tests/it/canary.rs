//! Nobody who signs in is named anywhere: not in a log line at the loudest setting, not in a table,
//! not in a file.
use std::{fs, path::Path};

use sqlx::PgPool;

use crate::{
    app::{Msp, WELL_KNOWN, eventually},
    binary::{Machine, Serving, soon},
    tls,
    wire::{ask, exchange},
};

/// What stands before the `@` of an address that everybody sends and nobody may remember.
const CANARY: &str = "kanarienvogel.4711";

#[sqlx::test]
async fn who_signs_in_stands_in_no_output_no_table_and_no_file(pool: PgPool) {
    let mut machine = Machine::new(&pool);
    machine.set("SIGNPOST_LOG", "trace");
    let created = machine.create_organisation("Acme IT");
    let serving = machine.serve(&[]);
    let msp = serving.program(&created);
    msp.register("contoso.com").await;
    machine.run(&["domain", "verify", "contoso.com"]).succeeded();
    eventually(|| async { ask(serving.http, b"contoso.com", "").await.status == 200 }).await;

    let requests = send_by_every_door(&machine, &serving, &msp).await;
    assert!(requests > 40);
    let logged = || async {
        msp.get("/requests?limit=100").await.json()["data"]
            .as_array()
            .unwrap()
            .len()
    };
    eventually(|| async { logged().await >= 10 }).await;
    assert!(msp.get("/requests?limit=100").await.text.contains(r#""user":""#));
    assert!(!names_it(msp.get("/requests?limit=100").await.text.as_bytes()));

    let output = serving.output.clone();
    assert!(serving.terminate().0.success());
    assert!(soon(|| output
        .find(|line| line.contains(r#""message":"stopping""#))
        .is_some()));
    let lines = output.lines();
    assert!(lines.iter().any(|line| line.contains("TRACE")) && lines.iter().any(|line| line.contains("answered")));
    for line in lines {
        assert!(!names_it(line.as_bytes()), "{line}");
    }
    for table in tables(&pool).await {
        for row in rows(&pool, &table).await {
            assert!(!names_it(row.as_bytes()), "{table}: {row}");
        }
    }
    let files = look_through(&machine.directory);
    assert!(files > 5, "{files}");
}

/// Returns how many requests were sent.
async fn send_by_every_door(machine: &Machine, serving: &Serving, msp: &Msp) -> usize {
    let mut sent = 0;
    let at = |host: &str| format!("{CANARY}@{host}");
    let by_edge = format!("/d/contoso.com{WELL_KNOWN}");
    for (host, path) in [
        ("contoso.com", WELL_KNOWN),
        ("unknown.example", WELL_KNOWN),
        ("edge.signpost.test", &by_edge),
        ("edge.signpost.test", "/d/"),
        ("portal.signpost.test", WELL_KNOWN),
        ("portal.signpost.test", "/"),
        ("portal.signpost.test", "/docs"),
        ("portal.signpost.test", "/api/v1/me"),
        ("portal.signpost.test", "/api/v1/domains/contoso.com/preview"),
        ("contoso.com", "/"),
        ("a b", WELL_KNOWN),
    ] {
        let identifier = at("contoso.com");
        for target in [
            format!("{path}?user-identifier={identifier}&model-family=iPhone"),
            format!(
                "{path}?user-identifier={}",
                identifier.replace('@', "%40").to_uppercase()
            ),
            format!("{path}{identifier}"),
            format!("{path}/{identifier}?x"),
        ] {
            for method in ["GET", "HEAD", "POST"] {
                let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nReferer: https://{host}{target}\r\n");
                let head = format!("{head}Cookie: user={identifier}\r\nX-User: {identifier}\r\nContent-Length: 0\r\n");
                let close = "Connection: close\r\n\r\n";
                let reply = match method {
                    "HEAD" => crate::wire::exchange_head(serving.http, format!("{head}{close}").as_bytes()).await,
                    _ => exchange(serving.http, format!("{head}{close}").as_bytes())
                        .await
                        .unwrap(),
                };
                assert!(reply.status < 500, "{method} {host}{target}: {}", reply.status);
                sent += 1;
            }
        }
    }
    for request in [
        format!(
            "GET /{} HTTP/1.1\r\nHost: {}\r\n\r\n",
            at("contoso.com"),
            at("contoso.com")
        ),
        format!(
            "GET http://{}{WELL_KNOWN} HTTP/1.1\r\nHost: contoso.com\r\n\r\n",
            at("contoso.com")
        ),
        format!(
            "GET {WELL_KNOWN}?{}\0 HTTP/1.1\r\nHost: contoso.com\r\n\r\n",
            at("contoso.com")
        ),
        format!(
            "GET {WELL_KNOWN}?{}é HTTP/1.1\r\nHost: contoso.com\r\n\r\n",
            at("contoso.com")
        ),
        format!(
            "{} {WELL_KNOWN} HTTP/1.1\r\nHost: contoso.com\r\n\r\n",
            at("contoso.com")
        ),
        format!(
            "GET {WELL_KNOWN}?{} HTTP/9.9\r\nHost: contoso.com\r\n\r\n",
            at("contoso.com")
        ),
        format!(
            "GET {WELL_KNOWN} HTTP/1.1\r\nHost: contoso.com\r\n{}\r\n\r\n",
            at("contoso.com")
        ),
        format!(
            "GET {WELL_KNOWN} HTTP/1.1\r\nHost: contoso.com\r\n{}: x\r\n\r\n",
            at("contoso.com")
        ),
        format!("{}\r\n\r\n", at("contoso.com")),
    ] {
        assert!(
            exchange(serving.http, request.as_bytes())
                .await
                .is_none_or(|reply| reply.status < 500),
            "{request}"
        );
        sent += 1;
    }
    let roots = tls::roots_of(&machine.state_dir());
    let query = format!("?user-identifier={}&model-family=Mac", at("contoso.com"));
    for name in ["contoso.com", "edge.signpost.test", "portal.signpost.test"] {
        for host in [name.to_owned(), "fabrikam.com".to_owned(), at("contoso.com")] {
            tls::ask_h1(serving.https, &roots, name, &host, &query).await;
            sent += 1;
        }
    }
    let unknown = format!("{CANARY}.contoso.com");
    assert!(
        tls::handshake(serving.https, &unknown, tls::trusting(&roots, tls::BOTH))
            .await
            .is_err()
    );
    let identifier = at("contoso.com");
    for path in [
        format!("/domains/contoso.com/preview?user_identifier={identifier}&model_family=Mac"),
        format!("/domains/contoso.com/preview?user_identifier={identifier}&model_family={identifier}"),
        format!("/domains/{identifier}"),
        format!("/domains?q={identifier}"),
        format!("/requests?domain={identifier}"),
        format!("/requests?since={identifier}"),
        format!("/{identifier}"),
    ] {
        assert!(msp.get(&path).await.status < 500, "{path}");
        sent += 1;
    }
    for body in [
        serde_json::json!({"hostname": identifier}),
        serde_json::json!(identifier),
    ] {
        assert_eq!(msp.post("/domains", body).await.status, 422);
        sent += 1;
    }
    sent
}

fn names_it(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    text.contains("kanarienvogel")
}

pub async fn tables(pool: &PgPool) -> Vec<String> {
    let tables = "select quote_ident(relname) from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(pool).await.unwrap();
    assert!(tables.len() > 15, "{tables:?}");
    tables
}

pub async fn rows(pool: &PgPool, table: &str) -> Vec<String> {
    // Bytes as text too, so that an address stored as such shows.
    let mut db = pool.acquire().await.unwrap();
    let escape = sqlx::query("set bytea_output = 'escape'");
    escape.execute(&mut *db).await.unwrap();
    let statement = sqlx::AssertSqlSafe(format!("select t::text from {table} t"));
    sqlx::query_scalar(statement).fetch_all(&mut *db).await.unwrap()
}

/// Returns how many files there are.
fn look_through(directory: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += look_through(&path);
        } else {
            files += 1;
            assert!(
                !names_it(path.as_os_str().as_encoded_bytes()) && !names_it(&fs::read(&path).unwrap()),
                "{}",
                path.display()
            );
        }
    }
    files
}
