//! The commands, what they print, and how they fail.
use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use sqlx::PgPool;

use crate::{
    app::{WELL_KNOWN, eventually, intune_document},
    binary::{Machine, soon},
    wire::{Wire, ask},
};

#[sqlx::test]
async fn check_config_shows_every_setting_and_no_secret(pool: PgPool) {
    let mut machine = Machine::new(&pool);
    machine.set(
        "DATABASE_URL",
        "postgres://signpost:hunter2@db.example/signpost?password=hunter2",
    );
    machine.set("SIGNPOST_SMTP_URL", "smtps://mailer:hunter2@mail.example");
    machine.set("SIGNPOST_MAIL_FROM", "Signpost <signpost@mail.example>");
    machine.set("SIGNPOST_ACME_EAB_KEY_ID", "customer-7");
    machine.set("SIGNPOST_ACME_EAB_KEY", "hunter2");
    let shown = machine.run(&["check-config"]).succeeded();
    assert!(!shown.contains("hunter2"), "{shown}");
    for setting in signpost::config::SETTINGS {
        assert!(shown.contains(setting.name), "{}: {shown}", setting.name);
    }
    assert!(
        shown.contains("db.example") && shown.contains("portal.signpost.test"),
        "{shown}"
    );
}

#[test]
fn each_mistake_in_the_settings_is_one_line_that_names_the_variable() {
    for (name, value) in [
        ("SIGNPOST_HTTP_ADDR", "localhost"),
        ("SIGNPOST_HTTPS_ADDR", "127.0.0.1:99999"),
        ("SIGNPOST_OPS_ADDR", "9090"),
        ("SIGNPOST_PORTAL_HOST", "https://portal.example"),
        ("SIGNPOST_EDGE_HOST", "portal.signpost.test"),
        ("SIGNPOST_EDGE_ADDRESSES", "192.0.2.1,nonsense"),
        ("SIGNPOST_SECRET_KEY_FILE", "/etc"),
        ("SIGNPOST_CERTIFICATES", "letsencrypt"),
        ("SIGNPOST_ACME_DIRECTORY", "not a url"),
        ("SIGNPOST_ACME_CHALLENGE", "dns-01"),
        ("SIGNPOST_ACME_CA_FILE", "/nonexistent/ca.pem"),
        ("SIGNPOST_PUBLIC_HTTP_PORT", "70000"),
        ("SIGNPOST_DNS_SERVERS", "1.1.1.1"),
        ("SIGNPOST_OUTBOUND_ALLOW", "everybody"),
        ("SIGNPOST_ENTRA_URLS", "global"),
        ("SIGNPOST_REGISTRATION", "closed"),
        ("SIGNPOST_TRUSTED_PROXIES", "10.0.0.0/64"),
        ("SIGNPOST_LOG", "info,,=x="),
        ("SIGNPOST_STATE_DIRECTORY", "/tmp"),
        ("SIGNPOST_", "x"),
        ("DATABASE_URL", "mysql://root:hunter2@db/x"),
    ] {
        let mut machine = Machine::bare();
        machine.set(name, value);
        for command in [&["check-config"][..], &["serve"], &["org", "list"]] {
            let line = machine.run(command).failed();
            assert!(line.starts_with(&format!("signpost: {name}: ")), "{command:?}: {line}");
            assert!(!line.contains("hunter2"), "{line}");
        }
    }
}

#[test]
fn a_mistake_in_the_file_is_one_line_that_names_the_file() {
    let machine = Machine::bare();
    for (text, expected) in [
        ("http_adr = '127.0.0.1:1'", "signpost: signpost.toml: http_adr: "),
        ("mail_from = ['a']", "signpost: signpost.toml: mail_from: "),
        ("= =", "signpost: signpost.toml: "),
    ] {
        fs::write(machine.directory.join("signpost.toml"), text).unwrap();
        let line = machine.run(&["check-config"]).failed();
        assert!(line.starts_with(expected), "{line}");
    }
}

#[sqlx::test]
async fn serve_says_which_address_is_taken(pool: PgPool) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    for name in ["SIGNPOST_HTTP_ADDR", "SIGNPOST_HTTPS_ADDR", "SIGNPOST_OPS_ADDR"] {
        let mut machine = Machine::new(&pool);
        machine.set(name, &taken.local_addr().unwrap().to_string());
        let line = machine.run(&["serve"]).failed();
        assert!(line.starts_with(&format!("signpost: {name}: ")), "{line}");
    }
}

#[sqlx::test]
async fn one_state_directory_has_one_serve_and_any_number_of_commands(pool: PgPool) {
    let machine = Machine::new(&pool);
    let serving = machine.serve(&[]);
    let line = machine.run(&["serve"]).failed();
    assert!(line.starts_with("signpost: SIGNPOST_STATE_DIR: "), "{line}");
    assert_eq!(machine.run(&["org", "list"]).succeeded(), "");
    assert!(serving.terminate().0.success());
    assert!(machine.serve(&[]).terminate().0.success());
}

#[sqlx::test]
async fn serve_ends_well_and_soon_with_requests_in_flight_and_connections_idle(pool: PgPool) {
    let machine = Machine::new(&pool);
    let serving = machine.serve(&[]);
    let request = format!("GET {WELL_KNOWN} HTTP/1.1\r\nHost: contoso.com\r\n\r\n");
    let mut idle = Wire::connect(serving.http).await;
    idle.send(request.as_bytes()).await;
    assert_eq!(idle.reply().await.unwrap().status, 404);
    let mut slow = Wire::connect(serving.http).await;
    slow.send(&request.as_bytes()[..20]).await;
    let silent = Wire::connect(serving.https).await;
    let stuck = "POST /api/v1/domains HTTP/1.1\r\nHost: portal.signpost.test\r\nContent-Length: 100\r\n\r\n{";
    let mut in_flight = Wire::connect(serving.http).await;
    in_flight.send(stuck.as_bytes()).await;
    let (status, took) = tokio::task::spawn_blocking(move || serving.terminate()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop((idle, slow, silent, in_flight));
}

#[sqlx::test]
async fn a_request_in_flight_is_answered_after_the_signal_to_stop(pool: PgPool) {
    let machine = Machine::new(&pool);
    let created = machine.create_organisation("Acme IT");
    let mut serving = machine.serve(&[]);
    let body = r#"{"name": "Contoso"}"#;
    let (first, last) = body.split_at(5);
    let token = created["token"].as_str().unwrap();
    let head = format!(
        "POST /api/v1/clients HTTP/1.1\r\nHost: portal.signpost.test\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // Workers take connections in turn: each has begun its work, and the request has been read by whichever got it.
    let every_worker_answers = || async {
        for _ in 0..2 * std::thread::available_parallelism().unwrap().get() {
            assert_eq!(ask(serving.http, b"contoso.com", "").await.status, 404);
        }
    };
    every_worker_answers().await;
    let mut in_flight = Wire::connect(serving.http).await;
    in_flight.send(format!("{head}{first}").as_bytes()).await;
    every_worker_answers().await;
    serving.signal(Signal::TERM);
    assert!(soon(|| serving
        .output
        .find(|line| line.contains(r#""message":"stopping""#))
        .is_some()));
    assert!(soon(|| TcpStream::connect(serving.http).is_err()));
    in_flight.send(last.as_bytes()).await;
    let reply = in_flight.reply().await.unwrap();
    assert_eq!(reply.status, 201, "{}", reply.body);
    assert_eq!(serving.wait().code(), Some(0));
    let names: Vec<String> = sqlx::query_scalar("select name from clients")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(names, ["Contoso"]);
}

#[sqlx::test]
async fn an_interrupt_ends_serve_like_a_termination(pool: PgPool) {
    let machine = Machine::new(&pool);
    let mut serving = machine.serve(&[]);
    serving.signal(Signal::INT);
    assert_eq!(serving.wait().code(), Some(0));
}

#[sqlx::test]
async fn an_organisation_is_made_listed_suspended_and_resumed(pool: PgPool) {
    let machine = Machine::new(&pool);
    let created = machine.create_organisation("Acme IT");
    let mut fields: Vec<_> = created.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["organisation_id", "token", "user_id"]);
    assert!(created["token"].as_str().unwrap().starts_with("sgp_"));
    let id = created["organisation_id"].as_str().unwrap();

    let state = || {
        let listed = machine.run(&["org", "list"]).succeeded();
        let line = listed.lines().find(|line| line.starts_with(id)).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(state(), "active");
    machine.run(&["org", "suspend", id]).succeeded();
    assert_eq!(state(), "suspended");
    machine.run(&["org", "resume", "Acme IT"]).succeeded();
    assert_eq!(state(), "active");

    let again = ["org", "create", "--name", "Other", "--email", "ACME.it@msp.example"];
    for (arguments, named) in [
        (&["org", "suspend", "Nobody"][..], "Nobody"),
        (
            &["org", "suspend", "00000000-0000-7000-8000-000000000000"],
            "no such organisation",
        ),
        (&["org", "create", "--name", " ", "--email", "a@b.example"], "name"),
        (&["org", "create", "--name", "X", "--email", "nonsense"], "nonsense"),
        (&again, "belongs to a user already"),
    ] {
        let line = machine.run(arguments).failed();
        assert!(line.contains(named), "{line}");
    }
}

#[sqlx::test]
async fn domains_are_verified_by_name_or_from_standard_input_all_or_none(pool: PgPool) {
    let machine = Machine::new(&pool);
    let created = machine.create_organisation("Acme IT");
    let serving = machine.serve(&[]);
    let msp = serving.program(&created);
    for hostname in ["a.example", "b.example", "c.example", "d.example"] {
        msp.register(hostname).await;
    }
    let verified = || {
        let listed = machine.run(&["domain", "list"]).succeeded();
        let verified = listed.lines().filter(|line| line.starts_with("verified"));
        verified
            .map(|line| line.split_whitespace().nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for (arguments, named) in [
        (
            &["domain", "verify", "a.example", "unknown.example"][..],
            "unknown.example",
        ),
        (&["domain", "verify", "not_a_host"], "not_a_host"),
    ] {
        let line = machine.run(arguments).failed();
        assert!(line.contains(named), "{line}");
    }
    assert_eq!(verified(), [""; 0]);
    machine.run(&["domain", "verify", "A.example."]).succeeded();
    assert_eq!(verified(), ["a.example"]);
    machine
        .run_with(&["domain", "verify", "-"], "b.example\n\n  c.example  \n")
        .succeeded();
    assert_eq!(verified(), ["a.example", "b.example", "c.example"]);
    assert_eq!(machine.run(&["domain", "verify"]).status.code(), Some(2));
    let is_served = async |hostname: &str| ask(serving.http, hostname.as_bytes(), "").await.body == intune_document();
    eventually(|| is_served("c.example")).await;
    assert_eq!(ask(serving.http, b"d.example", "").await.status, 404);
}

#[test]
fn openapi_prints_the_document_that_is_committed() {
    let committed = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json")).unwrap();
    let printed = Machine::bare().run(&["openapi"]).succeeded();
    assert!(printed == committed, "run: cargo run -- openapi > docs/openapi.json");
}

#[sqlx::test]
async fn a_missing_or_wrong_secret_key_file_is_an_error_that_names_the_setting(pool: PgPool) {
    let mut machine = Machine::new(&pool);
    machine.create_organisation("Acme IT");
    let key = machine.state_dir().join("secret.key");
    let kept = machine.directory.join("kept.key");
    fs::rename(&key, &kept).unwrap();
    let fails = |machine: &Machine| {
        for command in [&["serve"][..], &["org", "list"], &["migrate"]] {
            let line = machine.run(command).failed();
            assert!(
                line.starts_with("signpost: SIGNPOST_SECRET_KEY_FILE: "),
                "{command:?}: {line}"
            );
        }
    };
    fails(&machine);
    assert!(!key.exists());

    let elsewhere = Machine::bare();
    let wrong = elsewhere.directory.join("wrong.key");
    signpost::sealed::Keyring::create(&wrong)
        .map_err(|error| error.to_string())
        .unwrap();
    fs::copy(&wrong, &key).unwrap();
    fails(&machine);
    fs::write(&key, "nonsense\n").unwrap();
    fails(&machine);
    machine.set("SIGNPOST_SECRET_KEY_FILE", kept.to_str().unwrap());
    assert!(machine.run(&["org", "list"]).succeeded().contains("Acme IT"));
    // A new first key and the old one: rotation.
    let both = [fs::read_to_string(&wrong).unwrap(), fs::read_to_string(&kept).unwrap()].concat();
    fs::write(&kept, both).unwrap();
    assert!(machine.run(&["org", "list"]).succeeded().contains("Acme IT"));
}

#[sqlx::test]
async fn a_database_that_is_away_is_one_line(pool: PgPool) {
    let mut machine = Machine::new(&pool);
    machine.set("DATABASE_URL", "postgres://signpost:hunter2@127.0.0.1:1/signpost");
    for command in [&["org", "list"][..], &["serve"]] {
        let ended = machine.run(command);
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let line = ended.stderr.lines().last().unwrap();
        assert!(
            line.starts_with("signpost: DATABASE_URL: ") && !line.contains("hunter2"),
            "{line}"
        );
    }
}

#[sqlx::test]
async fn a_demo_prints_lines_that_work_when_they_are_pasted_at_every_start(pool: PgPool) {
    let machine = Machine::new(&pool);
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let serving = machine.serve(&["--demo"]);
        let output = serving.output.clone();
        assert!(soon(|| output.find(|line| line.contains("Ctrl-C stops it.")).is_some()));
        let lines = output.lines();
        let token = lines
            .iter()
            .find_map(|line| line.trim().strip_prefix("Demo token"))
            .unwrap();
        tokens.push(token.trim().to_owned());
        let curls: Vec<_> = lines.iter().filter(|line| line.trim().starts_with("curl ")).collect();
        assert_eq!(curls.len(), 3);
        let answers: Vec<_> = curls.iter().map(|line| pasted(line)).collect();
        for answer in &answers[..2] {
            assert!(
                answer.contains("200") && answer.contains("content-type: application/json"),
                "{answer}"
            );
            assert!(answer.ends_with(&intune_document()), "{answer}");
        }
        assert!(answers[2].contains(r#""hostname":"contoso.example""#), "{}", answers[2]);
        assert!(serving.terminate().0.success());
    }
    assert_eq!(tokens[0], tokens[1]);
    assert!(tokens[0].starts_with("sgp_"));
}

fn pasted(line: &str) -> String {
    let output = Command::new("bash")
        .args(["-c", line])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
