//! The embedded server, for real: as whoever runs the tests (root included), in directories that nobody else may enter.
#![cfg(target_os = "linux")]

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use signpost::postgres::{MIGRATOR, Postgres, PostgresError, Source, migrate};
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::binary::Machine;

#[tokio::test]
async fn a_server_is_made_where_only_its_owner_may_enter_and_speaks_on_a_socket_only() {
    let state = StateDir::new();
    let postgres = state.open().await;

    assert_eq!(show(&postgres, "listen_addresses").await, "");
    assert_eq!(show(&postgres, "server_encoding").await, "UTF8");
    assert_eq!(show(&postgres, "lc_collate").await, "C");
    assert_eq!(show(&postgres, "data_checksums").await, "on");
    assert_eq!(show(&postgres, "synchronous_commit").await, "on");
    assert_eq!(show(&postgres, "application_name").await, "signpost");
    let (database, role): (String, String) = sqlx::query_as("select current_database()::text, current_user::text")
        .fetch_one(postgres.pool())
        .await
        .unwrap();
    assert_eq!((database.as_str(), role.as_str()), ("signpost", "signpost"));

    let pid = state.postmaster().unwrap();
    let owner = std::fs::metadata(format!("/proc/{pid}")).unwrap().uid();
    assert_ne!(owner, 0, "PostgreSQL must not run as root");
    postgres.close().await;
    assert!(!is_running(pid));
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let state = StateDir::new();
    let postgres = state.open().await;
    sqlx::query("create table kept as select 7 as n")
        .execute(postgres.pool())
        .await
        .unwrap();
    postgres.close().await;

    let postgres = state.open().await;
    let (n,): (i32,) = sqlx::query_as("select n from kept")
        .fetch_one(postgres.pool())
        .await
        .unwrap();
    assert_eq!(n, 7);
    postgres.close().await;
}

#[tokio::test]
async fn two_users_share_one_server_and_the_last_one_stops_it() {
    let state = StateDir::new();
    let (serve, command) = (state.open().await, state.open().await);
    let pid = state.postmaster().unwrap();

    serve.close().await;
    assert!(is_running(pid));
    assert_eq!(show(&command, "port").await, "5432");
    command.close().await;
    assert!(!is_running(pid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn users_that_come_and_go_at_once_never_meet_a_server_half_stopped() {
    let state = StateDir::new();
    let mut users = JoinSet::new();
    for _ in 0..6 {
        let path = state.path.clone();
        users.spawn(async move {
            for _ in 0..5 {
                let postgres = open(&path).await;
                assert_eq!(show(&postgres, "port").await, "5432");
                postgres.close().await;
            }
        });
    }
    users.join_all().await;
    assert_eq!(state.postmaster(), None);
}

#[tokio::test]
async fn a_killed_process_leaves_its_server_to_the_next_one() {
    let machine = Machine::bare();
    let state = StateDir::of(&machine);
    let serving = machine.serve(&[]);
    let pid = state.postmaster().unwrap();
    serving.kill();
    assert!(is_running(pid));

    let postgres = state.open().await;
    assert_eq!(state.postmaster(), Some(pid));
    postgres.close().await;
    assert!(!is_running(pid));
}

#[tokio::test]
async fn a_server_whose_other_user_was_killed_is_stopped_by_the_one_that_is_left() {
    let machine = Machine::bare();
    let state = StateDir::of(&machine);
    let serving = machine.serve(&[]);
    let postgres = state.open().await;
    let pid = state.postmaster().unwrap();
    serving.kill();
    postgres.close().await;
    assert!(!is_running(pid));
}

#[tokio::test]
async fn a_server_that_dies_is_started_again_and_the_pool_recovers() {
    let state = StateDir::new();
    let postgres = state.open().await;
    assert_eq!(show(&postgres, "port").await, "5432");
    let killed = state.postmaster().unwrap();
    let cancel = CancellationToken::new();
    let rule = async {
        kill(killed);
        eventually(|| state.postmaster().is_some_and(|pid| pid != killed)).await;
        assert_eq!(show(&postgres, "port").await, "5432");
        cancel.cancel();
    };
    tokio::join!(postgres.supervise(cancel.clone()), rule);
    let pid = state.postmaster().unwrap();
    postgres.close().await;
    assert!(!is_running(pid));
}

#[tokio::test]
async fn of_two_users_one_starts_a_dead_server_again_for_both() {
    let state = StateDir::new();
    let (first, second) = (state.open().await, state.open().await);
    let killed = state.postmaster().unwrap();
    let cancel = CancellationToken::new();
    let rule = async {
        kill(killed);
        eventually(|| state.postmaster().is_some_and(|pid| pid != killed)).await;
        assert_eq!(show(&first, "port").await, "5432");
        assert_eq!(show(&second, "port").await, "5432");
        cancel.cancel();
    };
    tokio::join!(first.supervise(cancel.clone()), second.supervise(cancel.clone()), rule);
    first.close().await;
    second.close().await;
    assert_eq!(state.postmaster(), None);
}

#[tokio::test]
async fn a_half_made_cluster_is_thrown_away_and_made_anew() {
    let state = StateDir::new();
    let half = state.path.join("postgres/init-1");
    std::fs::create_dir_all(half.join("base")).unwrap();
    std::fs::write(half.join("PG_VERSION"), "15\n").unwrap();

    let postgres = state.open().await;
    postgres.close().await;
    assert!(!half.exists());
    let left: Vec<_> = std::fs::read_dir(state.path.join("postgres"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().starts_with("init-")),
        "{left:?}"
    );
}

#[tokio::test]
async fn a_path_longer_than_a_socket_address_will_do() {
    let state = StateDir::new();
    let deep = state
        .path
        .join("a-long-name-of-a-directory/".repeat(8))
        .join(".signpost");
    assert!(deep.as_os_str().len() > 200);
    let postgres = open(&deep).await;
    assert_eq!(show(&postgres, "port").await, "5432");
    postgres.close().await;
}

#[tokio::test]
async fn a_process_that_has_a_dead_servers_number_is_neither_trusted_nor_signalled() {
    let state = StateDir::new();
    state.open().await.close().await;
    let mut stranger = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
    std::fs::write(state.postmaster_pid(), format!("{}\n/elsewhere\n", stranger.id())).unwrap();

    let postgres = state.open().await;
    assert_eq!(show(&postgres, "port").await, "5432");
    postgres.close().await;
    let outcome = stranger.try_wait().unwrap();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert_eq!(outcome, None);
}

#[tokio::test]
async fn data_of_another_version_is_left_alone_and_the_error_names_the_package() {
    let state = StateDir::new();
    state.open().await.close().await;
    let version = state.path.join("postgres/data/PG_VERSION");
    std::fs::write(&version, "9\n").unwrap();

    let error = Postgres::open(state.source(), 1).await.err().unwrap();
    assert!(matches!(error, PostgresError::NotInstalled { .. }));
    let message = error.to_string();
    assert!(
        message.contains("postgresql-9") && message.contains("made by 9"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1);
    assert_eq!(std::fs::read_to_string(version).unwrap(), "9\n");
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let state = StateDir::new();
    state.open().await.close().await;
    std::fs::write(
        state.path.join("postgres/data/postgresql.conf"),
        "no_such_setting = 1\n",
    )
    .unwrap();

    let error = Postgres::open(state.source(), 1).await.err().unwrap();
    assert!(matches!(error, PostgresError::NotStarted { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("configuration file") && message.contains("server.log"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1);
}

#[tokio::test]
async fn a_dropped_user_leaves_no_server_behind() {
    let state = StateDir::new();
    let postgres = state.open().await;
    let pid = state.postmaster().unwrap();
    drop(postgres);
    eventually(|| !is_running(pid)).await;
}

#[tokio::test]
async fn an_open_that_is_given_up_leaves_no_server_behind() {
    let state = StateDir::new();
    state.open().await.close().await;
    for milliseconds in [20, 40, 60, 80, 100, 120] {
        let opened = tokio::time::timeout(Duration::from_millis(milliseconds), Postgres::open(state.source(), 1)).await;
        drop(opened);
    }
    state.open().await.close().await;
    assert_eq!(state.postmaster(), None);
}

#[tokio::test]
async fn no_value_of_a_failed_statement_reaches_the_servers_log() {
    let state = StateDir::new();
    let postgres = state.open().await;
    sqlx::query("create table people (email text primary key)")
        .execute(postgres.pool())
        .await
        .unwrap();
    let insert = || {
        sqlx::query("insert into people values ($1)")
            .bind("eve@example.com")
            .execute(postgres.pool())
    };
    insert().await.unwrap();
    insert().await.unwrap_err();
    postgres.close().await;
    let log = std::fs::read_to_string(state.path.join("postgres/server.log")).unwrap();
    assert!(
        log.contains("ready to accept connections") && !log.contains("eve@") && !log.contains("insert into"),
        "{log}"
    );
}

#[tokio::test]
async fn a_server_elsewhere_is_not_waited_for() {
    let nowhere = PgConnectOptions::new_without_pgpass()
        .socket("/nonexistent")
        .username("signpost");
    let postgres = Postgres::open(Source::Servers(vec![nowhere]), 1).await.unwrap();
    let cancel = CancellationToken::new();
    let ended = tokio::time::timeout(Duration::from_millis(50), postgres.supervise(cancel.clone())).await;
    assert!(ended.is_err(), "supervision ends only when it is cancelled");
    cancel.cancel();
    postgres.supervise(cancel).await;
    assert!(sqlx::query("select 1").execute(postgres.pool()).await.is_err());
    postgres.close().await;
}

#[tokio::test]
async fn a_schema_that_a_newer_node_has_migrated_does_not_stop_an_older_one() {
    let state = StateDir::new();
    let postgres = state.open().await;
    migrate(postgres.pool()).await.unwrap();
    sqlx::query("insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (99991231000000, 'of the future', true, '', 0)")
        .execute(postgres.pool())
        .await
        .unwrap();
    migrate(postgres.pool()).await.unwrap();
    assert!(MIGRATOR.iter().all(|migration| migration.version < 99_991_231_000_000));
    postgres.close().await;
}

/// A state directory that nobody else may enter.
struct StateDir {
    root: PathBuf,
    path: PathBuf,
}

impl StateDir {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "signpost-it-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let root = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&root).unwrap();
        Self {
            path: root.join(".signpost"),
            root,
        }
    }

    /// That of a `signpost` that runs as a process of its own.
    fn of(machine: &Machine) -> Self {
        Self {
            root: machine.directory.clone(),
            path: machine.state_dir(),
        }
    }

    fn source(&self) -> Source {
        Source::Embedded {
            state_dir: self.path.clone(),
        }
    }

    async fn open(&self) -> Postgres {
        open(&self.path).await
    }

    fn postmaster_pid(&self) -> PathBuf {
        self.path.join("postgres/data/postmaster.pid")
    }

    fn postmaster(&self) -> Option<u32> {
        std::fs::read_to_string(self.postmaster_pid())
            .ok()?
            .lines()
            .next()?
            .parse()
            .ok()
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if let Some(pid) = self.postmaster().filter(|pid| is_running(*pid)) {
            kill(pid);
        }
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

async fn open(state_dir: &Path) -> Postgres {
    Postgres::open(
        Source::Embedded {
            state_dir: state_dir.to_owned(),
        },
        3,
    )
    .await
    .unwrap()
}

/// A server that recovers on a slow disk keeps whoever asks waiting, and so longer than the pool does.
async fn show(postgres: &Postgres, setting: &str) -> String {
    let begun = Instant::now();
    loop {
        let asked = sqlx::query_as("select current_setting($1)").bind(setting);
        let answered: Result<(String,), _> = asked.fetch_one(postgres.pool()).await;
        match answered {
            Ok((value,)) => return value,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
        }
    }
}

/// SIGKILL, only ever to a process that `postmaster.pid` of a directory of ours names and that is a postgres.
fn kill(pid: u32) {
    assert!(is_running(pid));
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// A zombie runs no more.
fn is_running(pid: u32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.contains("postgres") && std::fs::exists(format!("/proc/{pid}/exe")).unwrap_or(false)
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never came true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
