//! A PostgreSQL of a test's own, that is really stopped, dumped and replaced.
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{binary::soon, process::TestDir};

/// A cluster behind a Unix socket. Its server ends with the test.
pub struct Cluster {
    directory: TestDir,
    socket_dir: PathBuf,
    server: Option<Child>,
}

impl Cluster {
    /// A new one, which runs.
    pub fn start() -> Self {
        let mut cluster = Self::make(None);
        cluster.begin();
        cluster.run("createdb", &["signpost"]);
        cluster
    }

    /// The same at the address of another, which must not run meanwhile.
    pub fn in_place_of(other: &Self) -> Self {
        let mut cluster = Self::make(Some(other.socket_dir.clone()));
        cluster.begin();
        cluster.run("createdb", &["signpost"]);
        cluster
    }

    fn make(socket_dir: Option<PathBuf>) -> Self {
        let directory = TestDir::new();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let home = directory.path().join("home");
        fs::create_dir(&home).unwrap();
        if let Some((user, group)) = service_user() {
            chown(&home, Some(user), Some(group)).unwrap();
        }
        let cluster = Self {
            socket_dir: socket_dir.unwrap_or_else(|| home.clone()),
            directory,
            server: None,
        };
        let made = program("initdb")
            .args([
                "--username=signpost",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--pgdata",
            ])
            .arg(cluster.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        cluster
    }

    /// Starts the server, and waits until it answers.
    pub fn begin(&mut self) {
        let log = fs::File::create(self.directory.path().join("log")).unwrap();
        let mut command = program("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(&self.socket_dir);
        for setting in ["listen_addresses=", "fsync=off", "full_page_writes=off"] {
            command.args(["-c", setting]);
        }
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.server = Some(command.spawn().unwrap());
        let is_ready = || {
            self.client("pg_isready", &["-q", "-d", "postgres"])
                .status()
                .unwrap()
                .success()
        };
        assert!(soon(is_ready), "PostgreSQL does not answer");
    }

    /// Stops it at once, as a machine that is gone.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // SIGQUIT: without a checkpoint; it recovers when it is started again.
            kill_process(Pid::from_child(&server), Signal::QUIT).ok();
            server.wait().unwrap();
        }
    }

    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_dir)
            .username("signpost")
            .database("signpost")
    }

    /// As this role, who has a password.
    pub fn options_of(&self, role: &str, password: &str) -> PgConnectOptions {
        self.options().username(role).password(password)
    }

    /// From now on roles other than `signpost` need their password.
    pub fn ask_for_passwords(&self) {
        let rules = "local all signpost trust\nlocal all all scram-sha-256\n";
        fs::write(self.data().join("pg_hba.conf"), rules).unwrap();
        self.run("psql", &["-d", "postgres", "-c", "select pg_reload_conf()"]);
    }

    pub async fn pool(&self) -> PgPool {
        let pool = PgPoolOptions::new().max_connections(3).connect_with(self.options());
        pool.await.unwrap()
    }

    /// `pg_dump -Fc`
    pub fn dump(&self) -> PathBuf {
        let path = self.directory.path().join(format!("{}.dump", uuid::Uuid::now_v7()));
        self.run("pg_dump", &["-Fc", "-f", path.to_str().unwrap(), "signpost"]);
        path
    }

    /// `pg_restore` into the empty database.
    pub fn restore(&self, dump: &Path) {
        self.run(
            "pg_restore",
            &["--exit-on-error", "-d", "signpost", dump.to_str().unwrap()],
        );
    }

    /// `pg_restore` over the tables of running nodes, as docs/BACKUP.md has it: in a deadlock, the nodes give way.
    pub fn restore_over(&self, dump: &Path) {
        let options = ["--exit-on-error", "--clean", "--single-transaction", "-d", "signpost"];
        let mut command = self.client("pg_restore", &options);
        command.arg(dump).env("PGOPTIONS", "-c deadlock_timeout=1h");
        succeed(&mut command);
    }

    /// `pg_restore` into a database beside the one of running nodes, which then takes its place, as docs/BACKUP.md has
    /// it.
    pub fn restore_beside(&self, dump: &Path) {
        self.run("createdb", &["-T", "template0", "signpost_restored"]);
        let restored = ["--exit-on-error", "-d", "signpost_restored", dump.to_str().unwrap()];
        self.run("pg_restore", &restored);
        let swap = "alter database signpost with allow_connections false;
                    select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = 'signpost';
                    alter database signpost rename to signpost_before;
                    alter database signpost_restored rename to signpost;";
        let mut command = self.client("psql", &["-d", "postgres", "-v", "ON_ERROR_STOP=1"]);
        for statement in swap.split_inclusive(';') {
            command.args(["-c", statement]);
        }
        succeed(&mut command);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        succeed(&mut self.client(program, arguments));
    }

    /// As ourselves: files it writes are ours.
    fn client(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(bin().join(program));
        command
            .args(["-U", "signpost", "-h"])
            .arg(&self.socket_dir)
            .args(arguments);
        command
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("home/data")
    }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A program of PostgreSQL, run as somebody whom it does not refuse.
pub fn program(program: &str) -> Command {
    let program = bin().join(program);
    let mut command = match service_user() {
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={user}"), format!("--regid={group}")]);
            command.args(["--clear-groups", "--pdeathsig", "INT"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// As whom PostgreSQL runs, which refuses root.
pub fn service_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<_> = line.split(':').collect();
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    };
    Some(of("postgres").or_else(|| of("nobody")).expect("somebody but root"))
}

/// The newest of this machine.
fn bin() -> PathBuf {
    let said = Command::new("pg_config").arg("--bindir").output();
    let said = said.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<_> = debian.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let places = debian.into_iter().rev().chain(said.map(|said| said.trim().into()));
    let mut usable = places.filter(|place: &PathBuf| place.join("initdb").exists());
    usable.next().expect("initdb of PostgreSQL")
}
