//! A database that cuts off, refuses, fills up, locks or takes no changes: what programs and people are answered, what
//! the log and the ops listener say, and what is left at the server afterwards.
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    app::{Answer, Msp, TestApp, eventually, intune_document, settings, waiting},
    binary::{Machine, Serving},
    cluster::Cluster,
    outage::Outage,
    people::{Person, leads_to},
    wire::{ask, ask_target},
};

const EMAIL: &str = "ada@acme.example";

/// A server with a domain that devices ask for, and the two kinds of callers.
struct Portal {
    app: TestApp,
    program: Msp,
    person: Person,
}

impl Portal {
    async fn start(pool: PgPool) -> Self {
        Self::over(TestApp::start(pool).await).await
    }

    /// Reaches the database through `outage`.
    async fn behind(pool: PgPool, outage: &Outage) -> Self {
        let state_dir = state_dir();
        let mut settings = settings(&pool, &state_dir, &[]);
        settings.database = Some(vec![outage.options()]);
        Self::over(TestApp::start_as(pool, state_dir, &settings).await).await
    }

    async fn over(app: TestApp) -> Self {
        let person = app.owner("Acme IT", EMAIL).await;
        let program = app.program_of(&person).await;
        program.register("contoso.com").await;
        app.verify("contoso.com").await;
        Self { app, program, person }
    }

    /// Whatever the database does, devices are answered.
    async fn answers_devices(&self) {
        let answer = ask(self.app.http, b"contoso.com", "").await;
        assert_eq!((answer.status, answer.body), (200, intune_document()));
    }

    async fn ops(&self, path: &str) -> String {
        ask_target(self.app.ops, "localhost", path.as_bytes()).await.body
    }

    async fn is_available(&self) -> bool {
        self.program.get("/domains").await.status == 200 && self.person.get("/domains").await.status == 200
    }

    async fn is_unavailable(&self) -> bool {
        self.program.get("/domains").await.status == 503 && self.person.get("/domains").await.status == 503
    }

    /// Programs and people who read and write until they are told to stop.
    fn load(&self) -> Load {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for _ in 0..6 {
            let program = Msp::at(self.app.http, self.program.organisation_id, &self.program.token);
            let is_over = is_over.clone();
            callers.spawn(async move {
                let mut answers = Vec::new();
                while !is_over.load(Ordering::Acquire) {
                    answers.push(program.get("/domains").await);
                    let name = uuid::Uuid::now_v7().to_string();
                    answers.push(program.post("/clients", json!({"name": name})).await);
                }
                answers
            });
        }
        for _ in 0..4 {
            let (person, is_over) = (Person::at(self.app.http), is_over.clone());
            person.set_cookies(self.person.cookies());
            callers.spawn(async move {
                let mut answers = Vec::new();
                while !is_over.load(Ordering::Acquire) {
                    answers.push(person.get("/domains").await);
                    answers.push(person.get("/settings/audit").await);
                }
                answers
            });
        }
        Load { callers, is_over }
    }
}

struct Load {
    callers: JoinSet<Vec<Answer>>,
    is_over: Arc<AtomicBool>,
}

impl Load {
    /// How often each status was answered. No other than success and 503, and each 503 says when to come again.
    async fn end(self) -> BTreeMap<u16, usize> {
        self.is_over.store(true, Ordering::Release);
        let mut statuses = BTreeMap::new();
        for answer in self.callers.join_all().await.into_iter().flatten() {
            match answer.status {
                200 | 201 => {}
                503 => assert!(answer.header("retry-after").is_some(), "{}", answer.text),
                other => panic!("{other}: {}", answer.text),
            }
            *statuses.entry(answer.status).or_default() += 1;
        }
        println!("statuses: {statuses:?}");
        statuses
    }
}

fn state_dir() -> PathBuf {
    std::env::temp_dir().join(format!("signpost-it-{}", uuid::Uuid::now_v7()))
}

async fn run(db: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(db)
        .await
        .unwrap();
}

async fn database(pool: &PgPool) -> String {
    sqlx::query_scalar("select quote_ident(current_database())")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Sessions of Signpost at this database.
async fn sessions(db: &mut PgConnection) -> i64 {
    let statement = "select count(*) from pg_stat_activity
                      where application_name = 'signpost' and datname = current_database()";
    sqlx::query_scalar(statement).fetch_one(db).await.unwrap()
}

#[sqlx::test]
async fn sessions_that_are_terminated_under_load_are_503_and_never_500(pool: PgPool) {
    let portal = Portal::start(pool.clone()).await;
    let load = portal.load();
    let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                      where application_name = 'signpost' and datname = current_database() and state <> 'idle'";
    let mut terminated = 0_i64;
    for _ in 0..200 {
        terminated += sqlx::query_scalar::<_, i64>(terminate).fetch_one(&pool).await.unwrap();
        portal.answers_devices().await;
    }
    let statuses = load.end().await;
    assert!(terminated > 0 && statuses[&200] > 0, "{terminated} {statuses:?}");
    eventually(|| portal.is_available()).await;
    portal.app.stop().await;
}

#[tokio::test]
async fn a_server_that_is_restarted_under_load_is_503_and_never_500() {
    let mut cluster = Cluster::start();
    let portal = Portal::start(cluster.pool().await).await;
    for _ in 0..3 {
        let load = portal.load();
        cluster.stop();
        portal.answers_devices().await;
        eventually(|| portal.is_unavailable()).await;
        cluster.begin();
        eventually(|| portal.is_available()).await;
        let statuses = load.end().await;
        assert!(statuses[&503] > 0, "{statuses:?}");
    }
    portal.app.stop().await;
}

/// `WARN` and `ERROR` of its log, and what it said of the database.
fn complaints(serving: &Serving) -> Vec<String> {
    let lines = serving.output.lines().into_iter();
    let parsed = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let complaints = parsed.filter(|line| matches!(line["level"].as_str(), Some("WARN" | "ERROR")));
    complaints.map(|line| line.to_string()).collect()
}

#[tokio::test]
async fn an_outage_is_one_warning_and_one_line_at_its_end() {
    let mut cluster = Cluster::start();
    let mut machine = Machine::bare();
    machine.set_database(&cluster.options());
    machine.set("SIGNPOST_DNS_SERVERS", "127.0.0.1:1");
    let organisation = machine.create_organisation("Acme IT");
    let serving = machine.serve(&[]);
    let program = serving.program(&organisation);
    assert_eq!(program.get("/domains").await.status, 200);
    let before = complaints(&serving);
    cluster.stop();
    eventually(|| async { program.get("/domains").await.status == 503 }).await;
    // Long enough for everything that looks at the database again and again.
    let rounds = || {
        let lines = serving.output.lines();
        lines.iter().filter(|line| line.contains(r#""status":503"#)).count()
    };
    while rounds() < 400 {
        program.get("/domains").await.problem(503, "unavailable");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    cluster.begin();
    eventually(|| async { program.get("/domains").await.status == 200 }).await;
    let during = complaints(&serving)[before.len()..].to_vec();
    assert_eq!(during.len(), 1, "{during:#?}");
    assert!(during[0].contains("database.away"), "{during:#?}");
    let is_back = |line: &str| line.contains("database.available");
    let ends = serving.output.lines().iter().filter(|line| is_back(line)).count();
    assert_eq!(ends, 1);
    assert!(serving.terminate().0.success());
}

#[sqlx::test]
async fn a_pooler_that_accepts_and_closes_is_503_until_it_connects_again(pool: PgPool) {
    let outage = Outage::of(&pool);
    let portal = Portal::behind(pool, &outage).await;
    let load = portal.load();
    outage.begin();
    eventually(|| portal.is_unavailable()).await;
    portal.answers_devices().await;
    eventually(|| async { portal.ops("/readyz").await.contains("database: unreachable") }).await;
    outage.end();
    eventually(|| portal.is_available()).await;
    load.end().await;
    portal.app.stop().await;
}

/// Each of these requests would take five seconds, and all of them longer than a test may.
#[sqlx::test]
async fn while_the_database_is_known_to_be_silent_nobody_waits_for_it(pool: PgPool) {
    let outage = Outage::of(&pool);
    let portal = Portal::behind(pool, &outage).await;
    outage.begin_silence();
    eventually(|| portal.is_unavailable()).await;
    for _ in 0..50 {
        let problem = portal.program.get("/domains").await.problem(503, "unavailable");
        assert!(
            problem["detail"].as_str().unwrap().contains("can't be reached"),
            "{problem}"
        );
        let page = portal.person.get("/domains").await;
        assert_eq!((page.status, page.header("retry-after")), (503, Some("5")));
        assert!(page.text.contains("The database is away"), "{}", page.text);
        portal.answers_devices().await;
    }
    // What needs no database is there.
    assert_eq!(portal.person.get("/docs").await.status, 200);
    outage.end();
    eventually(|| portal.is_available()).await;
    portal.app.stop().await;
}

#[tokio::test]
async fn a_password_that_was_changed_is_503_until_it_is_the_right_one() {
    let cluster = Cluster::start();
    let admin = cluster.pool().await;
    let mut admin = admin.acquire().await.unwrap();
    run(&mut admin, "create role node login superuser password 'first'").await;
    cluster.ask_for_passwords();
    let pool = PgPool::connect_with(cluster.options_of("node", "first")).await.unwrap();
    let portal = Portal::start(pool).await;
    let load = portal.load();
    run(&mut admin, "alter role node password 'second'").await;
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'node'";
    run(&mut admin, terminate).await;
    eventually(|| portal.is_unavailable()).await;
    portal.answers_devices().await;
    run(&mut admin, "alter role node password 'first'").await;
    eventually(|| portal.is_available()).await;
    load.end().await;
    portal.app.stop().await;
}

#[tokio::test]
async fn a_database_that_was_dropped_is_503_until_it_is_there_again() {
    let cluster = Cluster::start();
    let admin = sqlx::PgPool::connect_with(cluster.options().database("postgres"))
        .await
        .unwrap();
    let mut admin = admin.acquire().await.unwrap();
    let portal = Portal::start(cluster.pool().await).await;
    let load = portal.load();
    // As it is for whoever asks for it; its content comes back.
    run(&mut admin, "alter database signpost allow_connections false").await;
    let terminate = "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = 'signpost'";
    run(&mut admin, terminate).await;
    run(&mut admin, "alter database signpost rename to gone").await;
    eventually(|| portal.is_unavailable()).await;
    portal.answers_devices().await;
    run(&mut admin, "alter database gone rename to signpost").await;
    run(&mut admin, "alter database signpost allow_connections true").await;
    eventually(|| portal.is_available()).await;
    load.end().await;
    portal.app.stop().await;
}

/// Pages that people read.
const PAGES: &[&str] = &[
    "/",
    "/clients",
    "/clients/{client}",
    "/clients/{client}/delete",
    "/clients/new",
    "/domains",
    "/domains/contoso.com",
    "/domains/contoso.com/delete",
    "/domains/contoso.com/rules",
    "/domains/import",
    "/domains/new",
    "/domains?q=con",
    "/domains?status=active",
    "/password/forgotten",
    "/requests",
    "/requests/export.csv",
    "/servers/{server}",
    "/settings",
    "/settings/audit",
    "/settings/branding",
    "/settings/leave",
    "/settings/members",
    "/settings/organisation",
    "/settings/privacy",
    "/settings/security",
    "/settings/security/passkeys",
    "/settings/single-sign-on",
    "/settings/tokens",
    "/settings/webhooks",
    "/sign-in",
    "/sign-in/single-sign-on",
    "/sign-up",
    "/welcome",
];

/// Those of the API that ask somebody outside.
const ASK_OUTSIDE: [&str; 2] = ["/vendors/intune/lookup", "/domains/{domain}/probe"];

/// Every GET of the API, with what this organisation has, and its status.
async fn operations(program: &Msp) -> Vec<(String, u16)> {
    let document: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let first = async |path: &str| {
        let list = program.get(path).await.json();
        list["data"][0]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{path}: {list}"))
            .to_owned()
    };
    let paths = document["paths"].as_object().unwrap().iter();
    let gets = paths.filter(|(_, operations)| operations.get("get").is_some());
    let mut filled = Vec::new();
    for (path, _) in gets {
        let path = path.strip_prefix("/api/v1").unwrap();
        if ASK_OUTSIDE.contains(&path) {
            continue;
        }
        let mut path = path.replace("{domain}", "contoso.com");
        if path.contains("{id}") {
            let id = first(path.split("/{id}").next().unwrap()).await;
            path = path.replace("{id}", &id);
        }
        let path = match path.as_str() {
            "/requests/summary" => format!("{path}?group_by=model_family"),
            "/domains/contoso.com/preview" => format!("{path}?model_family=Mac"),
            _ => path,
        };
        let answer = program.get(&path).await;
        assert!(answer.status < 500 && answer.status != 422, "{path}: {}", answer.text);
        filled.push((path, answer.status));
    }
    assert!(filled.len() > 20, "{filled:?}");
    filled
}

/// Whose own changes are taken whatever the database's setting is.
async fn administrator(pool: &PgPool) -> PgConnection {
    let mut admin = pool.acquire().await.unwrap().detach();
    run(&mut admin, "set default_transaction_read_only = off").await;
    admin
}

/// From `begin` to `end` the database takes no changes.
async fn only_reads(portal: &Portal, begin: &[&str], end: &[&str]) {
    let mut admin = administrator(&portal.app.pool).await;
    let webhook = json!({"url": "https://hooks.acme.example/", "events": ["certificate.issued"]});
    portal.program.post("/webhook-endpoints", webhook).await;
    let operations = operations(&portal.program).await;
    let first = async |path: &str| {
        portal.program.get(path).await.json()["data"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (client, server) = (first("/clients").await, first("/mdm-servers").await);
    // As if none was used for long.
    run(
        &mut admin,
        "update api_tokens set last_used_at = now() - interval '1 hour'",
    )
    .await;
    run(&mut admin, "update sessions set seen_at = now() - interval '1 hour'").await;

    for statement in begin {
        run(&mut admin, statement).await;
    }
    eventually(|| async { portal.ops("/readyz").await.contains("database: read-only") }).await;
    let readiness = ask_target(portal.app.ops, "localhost", b"/readyz").await;
    assert_eq!(readiness.status, 200, "devices are answered");
    assert!(portal.ops("/metrics").await.contains("signpost_database_read_only 1"));
    assert!(portal.ops("/metrics").await.contains("signpost_database_reachable 1"));
    for (path, status) in &operations {
        let answer = portal.program.get(path).await;
        assert_eq!(answer.status, *status, "GET {path}: {}", answer.text);
    }
    for path in PAGES {
        let path = path.replace("{client}", &client).replace("{server}", &server);
        let page = portal.person.get(&path).await;
        assert!(
            matches!(page.status, 200 | 303),
            "GET {path}: {} {}",
            page.status,
            page.text
        );
    }
    let answer = portal.program.post("/clients", json!({"name": "Woodgrove"})).await;
    let problem = answer.problem(503, "unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("read-only"), "{problem}");
    let page = portal.person.submit("/clients/new", &[("name", "Woodgrove")]).await;
    assert_eq!(page.status, 503, "{}", page.text);
    assert!(
        page.text.contains("Nothing can be changed at the moment"),
        "{}",
        page.text
    );
    assert!(page.header("retry-after").is_some() && answer.header("retry-after").is_some());
    let visitor = portal.app.person();
    assert_eq!(visitor.sign_in(EMAIL, crate::people::PASSWORD).await.status, 503);
    portal.answers_devices().await;
    assert!(portal.is_available().await, "a refused change is no outage");

    for statement in end {
        run(&mut admin, statement).await;
    }
    eventually(|| async { portal.ops("/metrics").await.contains("signpost_database_read_only 0") }).await;
    // More than there are connections: none is left that takes no changes.
    let name = |number: usize| json!({"name": format!("Client {number}")});
    let writes = (0..40).map(|number| portal.program.post("/clients", name(number)));
    let written: Vec<_> = futures_util::future::join_all(writes)
        .await
        .iter()
        .map(|answer| answer.status)
        .collect();
    assert_eq!(written, [201; 40]);
    assert_eq!(leads_to(&visitor.sign_in(EMAIL, crate::people::PASSWORD).await), "/");
}

#[tokio::test]
async fn a_server_that_takes_no_changes_is_read_from() {
    let cluster = Cluster::start();
    let portal = Portal::start(cluster.pool().await).await;
    let reload = "select pg_reload_conf()";
    let begin = ["alter system set default_transaction_read_only = on", reload];
    let end = ["alter system reset default_transaction_read_only", reload];
    only_reads(&portal, &begin, &end).await;
    portal.app.stop().await;
}

#[sqlx::test]
async fn a_database_that_takes_no_changes_is_read_from(pool: PgPool) {
    let portal = Portal::start(pool.clone()).await;
    let database = database(&pool).await;
    let begin = format!("alter database {database} set default_transaction_read_only = on");
    let end = format!("alter database {database} reset default_transaction_read_only");
    only_reads(&portal, &[&begin], &[&end]).await;
    portal.app.stop().await;
}

#[sqlx::test]
async fn a_node_that_starts_over_a_database_that_takes_no_changes_reads_it(pool: PgPool) {
    let portal = Portal::start(pool.clone()).await;
    let state_dir = portal.app.stop_for_a_while().await;
    // What it serves is the database's, not the snapshot's.
    std::fs::remove_file(state_dir.join("directory.snapshot")).unwrap();
    let database = database(&pool).await;
    let mut admin = administrator(&pool).await;
    run(
        &mut admin,
        &format!("alter database {database} set default_transaction_read_only = on"),
    )
    .await;
    let app = TestApp::start_in(pool.clone(), state_dir, &[]).await;
    let answer = ask(app.http, b"contoso.com", "").await;
    assert_eq!((answer.status, answer.body), (200, intune_document()));
    let program = app.program(portal.program.organisation_id, &portal.program.token);
    assert_eq!(program.get("/domains").await.status, 200);
    program
        .post("/clients", json!({"name": "Woodgrove"}))
        .await
        .problem(503, "unavailable");
    run(
        &mut admin,
        &format!("alter database {database} reset default_transaction_read_only"),
    )
    .await;
    eventually(|| async { program.post("/clients", json!({"name": "Woodgrove"})).await.status != 503 }).await;
    app.stop().await;
}

/// Raises the SQLSTATE that a new client is called.
const RAISE: &str = "create function raise() returns trigger language plpgsql as
    $$ begin raise exception 'on purpose' using errcode = new.name; end $$;
    create trigger raise before insert on clients for each row when (new.name ~ '^[0-9A-Z]{5}$') execute function raise()";

#[sqlx::test]
async fn a_statement_that_the_database_can_not_carry_out_now_is_503_and_a_wrong_one_500(pool: PgPool) {
    let portal = Portal::start(pool.clone()).await;
    run(&mut pool.acquire().await.unwrap(), RAISE).await;
    for (sqlstate, status) in [
        ("08006", 503),
        ("25006", 503),
        ("40001", 503),
        ("40P01", 503),
        ("53100", 503), // disk_full
        ("53200", 503),
        ("55P03", 503),
        ("57014", 503),
        ("57P01", 503),
        ("58030", 503),
        ("42P01", 500),
        ("XX000", 500),
    ] {
        let answer = portal.program.post("/clients", json!({"name": sqlstate})).await;
        let code = if status == 503 { "unavailable" } else { "internal" };
        answer.problem(status, code);
        assert!(!answer.text.contains("on purpose"), "{}", answer.text);
        let page = portal.person.submit("/clients/new", &[("name", sqlstate)]).await;
        assert_eq!(page.status, status, "{sqlstate}: {}", page.text);
        for answer in [&answer, &page] {
            assert_eq!(answer.header("retry-after").is_some(), status == 503, "{sqlstate}");
        }
    }
    // None of it is an outage.
    assert!(portal.is_available().await);
    portal.app.stop().await;
}

#[sqlx::test]
async fn calls_that_wait_for_a_lock_give_way_to_those_that_need_none(pool: PgPool) {
    let portal = Portal::start(pool.clone()).await;
    let mut held = pool.begin().await.unwrap();
    run(&mut held, "lock table clients").await;
    let calls: Vec<_> = (0..24).map(|_| portal.program.get("/clients")).collect();
    let calls = futures_util::future::join_all(calls);
    let me = async {
        waiting(&pool, 16).await;
        portal.program.get("/me").await
    };
    let (calls, me) = tokio::join!(calls, me);
    assert_eq!(me.status, 200, "{}", me.text);
    for call in calls {
        call.problem(503, "unavailable");
    }
    drop(held);
    portal.app.stop().await;
}

/// The process at the server that waits for a lock.
async fn waits(pool: &PgPool) -> i32 {
    waiting(pool, 1).await;
    let statement = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query_scalar(statement).fetch_one(pool).await.unwrap()
}

#[sqlx::test]
async fn what_a_caller_asked_the_database_is_given_up_when_the_caller_leaves(pool: PgPool) {
    let portal = Portal::start(pool.clone()).await;
    let mut held = pool.begin().await.unwrap();
    run(&mut held, "lock table clients").await;
    let token = &portal.program.token;
    let cookies = portal.person.cookies();
    let cookies: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let api =
        format!("GET /api/v1/clients HTTP/1.1\r\nHost: portal.signpost.test\r\nAuthorization: Bearer {token}\r\n\r\n");
    let page = format!(
        "GET /clients HTTP/1.1\r\nHost: portal.signpost.test\r\nCookie: {}\r\n\r\n",
        cookies.join("; ")
    );
    for (request, says_only_that_it_sends_no_more) in [(&api, false), (&api, true), (&page, false), (&page, true)] {
        let mut caller = TcpStream::connect(portal.app.http).await.unwrap();
        caller.write_all(request.as_bytes()).await.unwrap();
        let pid = waits(&pool).await;
        match says_only_that_it_sends_no_more {
            true => caller.shutdown().await.unwrap(),
            false => drop(caller),
        }
        // A statement that ended by its timeout would leave the session.
        eventually(|| async {
            let is_there = "select exists (select from pg_stat_activity where pid = $1)";
            let is_there: bool = sqlx::query_scalar(is_there).bind(pid).fetch_one(&pool).await.unwrap();
            !is_there
        })
        .await;
    }
    drop(held);
    assert!(portal.is_available().await);
    portal.app.stop().await;
}

/// What a second attempt with the same key is for: the first is done, whether its caller waited for the answer or not.
#[sqlx::test]
async fn a_call_with_an_idempotency_key_is_done_although_its_caller_leaves(pool: PgPool) {
    let portal = Portal::start(pool.clone()).await;
    let mut held = pool.begin().await.unwrap();
    run(&mut held, "lock table clients").await;
    let body = r#"{"name":"Woodgrove"}"#;
    let request = format!(
        "POST /api/v1/clients HTTP/1.1\r\nHost: portal.signpost.test\r\nAuthorization: Bearer {}\r\n\
         Idempotency-Key: once\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        portal.program.token,
        body.len()
    );
    let mut caller = TcpStream::connect(portal.app.http).await.unwrap();
    caller.write_all(request.as_bytes()).await.unwrap();
    waits(&pool).await;
    drop(caller);
    held.rollback().await.unwrap();
    eventually(|| async {
        let key = [("idempotency-key", "once"), crate::app::JSON];
        let answer = portal.program.send("POST", "/clients", body, &key).await;
        answer.status == 201 && answer.header("idempotency-replayed") == Some("true")
    })
    .await;
    portal.app.stop().await;
}

#[sqlx::test]
async fn a_stop_leaves_no_statement_behind(pool: PgPool) {
    let portal = Portal::start(pool.clone()).await;
    let mut held = pool.begin().await.unwrap();
    // Handlers wait for the one, background work for the others.
    run(
        &mut held,
        "lock table clients, domains, domain_checks, certificate_leases, outbox",
    )
    .await;
    let request = format!(
        "GET /api/v1/clients HTTP/1.1\r\nHost: portal.signpost.test\r\nAuthorization: Bearer {}\r\n\r\n",
        portal.program.token
    );
    let mut callers = Vec::new();
    for _ in 0..24 {
        let mut caller = TcpStream::connect(portal.app.http).await.unwrap();
        caller.write_all(request.as_bytes()).await.unwrap();
        callers.push(caller);
    }
    waiting(&pool, 18).await;
    portal.app.stop().await;
    for caller in &mut callers {
        caller.read_to_end(&mut Vec::new()).await.ok();
    }
    // The lock is still held.
    eventually(|| async { sessions(&mut pool.acquire().await.unwrap()).await == 0 }).await;
    drop(held);
}

#[sqlx::test]
async fn each_session_has_timeouts_that_were_set_after_it_began(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let source = signpost::postgres::Source::Servers(vec![(*pool.connect_options()).clone()]);
    let postgres = signpost::postgres::Postgres::open(source, 2).await.unwrap();
    for pool in [postgres.pool(), postgres.background()] {
        for setting in [
            "statement_timeout",
            "lock_timeout",
            "idle_in_transaction_session_timeout",
            "client_connection_check_interval",
        ] {
            let shown = format!("show {setting}");
            let shown: String = sqlx::query_scalar(AssertSqlSafe(shown)).fetch_one(pool).await.unwrap();
            assert_ne!(shown, "0", "{setting}");
        }
    }
    let mut tx = postgres.pool().begin().await.unwrap();
    signpost::postgres::lift_timeouts(&mut tx).await.unwrap();
    let lifted: String = sqlx::query_scalar("show statement_timeout")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(lifted, "0");
    tx.commit().await.unwrap();
    let back: String = sqlx::query_scalar("show statement_timeout")
        .fetch_one(postgres.pool())
        .await
        .unwrap();
    assert_ne!(back, "0");
    postgres.close().await;
    app.stop().await;
}

/// PostgreSQL looks for a deadlock once in each wait, and a restore may be told not to look for an hour.
#[sqlx::test]
async fn background_work_gives_way_to_a_restore_whose_lock_closes_the_cycle_late(pool: PgPool) {
    let source = signpost::postgres::Source::Servers(vec![(*pool.connect_options()).clone()]);
    let postgres = signpost::postgres::Postgres::open(source, 2).await.unwrap();
    let mut restore = pool.begin().await.unwrap();
    for statement in ["set local deadlock_timeout = '1h'", "lock table clients"] {
        sqlx::query(statement).execute(&mut *restore).await.unwrap();
    }
    let mut work = postgres.background().begin().await.unwrap();
    sqlx::query("lock table domains").execute(&mut *work).await.unwrap();
    let works = async {
        let waited = sqlx::query("lock table clients").execute(&mut *work).await;
        work.rollback().await.unwrap();
        waited
    };
    let restores = async {
        // The wait of the work has looked for a deadlock, and found none.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        sqlx::query("lock table domains").execute(&mut *restore).await
    };
    let (waited, restored) = tokio::join!(works, restores);
    let code = waited
        .unwrap_err()
        .into_database_error()
        .unwrap()
        .code()
        .unwrap()
        .into_owned();
    assert_eq!(code, "55P03");
    restored.unwrap();
    restore.rollback().await.unwrap();
    postgres.close().await;
}
