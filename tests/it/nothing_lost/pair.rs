//! A primary and its streaming replica: two servers of PostgreSQL on loopback, in a directory of the test.
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    acme::rig,
    cluster::{program, service_user},
    process::{Process, TestDir, free_port},
};

pub struct Server {
    process: Process,
    pub port: u16,
    data: PathBuf,
}

pub struct Pair {
    pub primary: Server,
    pub replica: Server,
    pub directory: TestDir,
}

impl Pair {
    pub async fn start() -> Self {
        let directory = TestDir::new();
        if let Some((uid, gid)) = service_user() {
            std::os::unix::fs::chown(directory.path(), Some(uid), Some(gid)).unwrap();
        }
        let (first, second) = (directory.path().join("first"), directory.path().join("second"));
        succeed(
            program("initdb")
                .args([
                    "--username=signpost",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--no-sync",
                ])
                .arg("-D")
                .arg(&first),
        );
        let primary = Server::start(first, directory.path()).await;
        let pool = primary.pool_of("postgres");
        sqlx::query("create database signpost").execute(&pool).await.unwrap();
        let port = primary.port.to_string();
        succeed(
            program("pg_basebackup")
                .args([
                    "-h",
                    "127.0.0.1",
                    "-p",
                    &port,
                    "-U",
                    "signpost",
                    "-R",
                    "-X",
                    "stream",
                    "-c",
                    "fast",
                    "-D",
                ])
                .arg(&second),
        );
        let replica = Server::start(second, directory.path()).await;
        Self {
            primary,
            replica,
            directory,
        }
    }

    /// Waits until the replica has what the primary has.
    pub async fn is_in_step(&self) {
        let primary = self.primary.pool();
        rig::within(30, "the replica follows", || async {
            let behind = "select count(*) from pg_stat_replication where replay_lsn = pg_current_wal_lsn()";
            sqlx::query_scalar::<_, i64>(behind)
                .fetch_one(&primary)
                .await
                .is_ok_and(|count| count == 1)
        })
        .await;
    }
}

impl Server {
    async fn start(data: PathBuf, sockets: &Path) -> Self {
        let port = free_port();
        let mut server = Self {
            process: Self::spawn(&data, sockets, port),
            port,
            data,
        };
        let pool = server.pool_of("postgres");
        let mut answers = false;
        for _ in 0..300 {
            answers = sqlx::query("select 1").execute(&pool).await.is_ok();
            if answers {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(
            answers,
            "{} does not answer: {}",
            server.data.display(),
            server.process.said()
        );
        assert!(server.process.is_up(|| true));
        server
    }

    fn spawn(data: &Path, sockets: &Path, port: u16) -> Process {
        let mut postgres = program("postgres");
        postgres
            .arg("-D")
            .arg(data)
            .arg("-k")
            .arg(sockets)
            .args(["-p", &port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "max_connections=200",
            "fsync=off",
            "timezone=UTC",
            "wal_keep_size=1GB",
        ] {
            postgres.args(["-c", setting]);
        }
        Process::start(&mut postgres, sockets.join(format!("{port}.log")))
    }

    /// `kill -9`: its processes end with it.
    pub fn kill(self) {
        drop(self.process);
    }

    pub async fn promote(&self) {
        sqlx::query("select pg_promote()").execute(&self.pool()).await.unwrap();
    }

    pub fn pool(&self) -> PgPool {
        self.pool_of("signpost")
    }

    fn pool_of(&self, database: &str) -> PgPool {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("signpost")
            .database(database);
        PgPoolOptions::new().max_connections(3).connect_lazy_with(options)
    }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
