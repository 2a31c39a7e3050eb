//! Makes a cluster and launches its postmaster. When to do so is decided elsewhere: everything here needs the start
//! lock.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Child;

use super::PostgresError;
use super::binaries::{self, Binaries};
use super::files;
use super::home::Home;
use super::postmaster::{self, Postmaster};

const DATA: &str = "data";
const UNFINISHED: &str = "init-";
const LOG: &str = "server.log";
const LOG_LIMIT: u64 = 16 * 1024 * 1024;

/// Given on the command line, and so not to be changed by `alter system`. Memory and connections are left to the data
/// directory's own `postgresql.conf` (initdb: 128 MB, 100), which an operator may tune.
const SETTINGS: [&str; 16] = [
    "listen_addresses=",
    "port=5432",
    "cluster_name=signpost",
    "timezone=UTC",
    "synchronous_commit=on",
    "idle_in_transaction_session_timeout=60s",
    "jit=off", // compiles for longer than our short statements run
    // What goes wrong in a statement is the client's to log. Here only the server's own life is: no statement, no
    // value, nothing personal.
    "logging_collector=off",
    "log_destination=stderr",
    "log_timezone=UTC",
    "log_min_messages=log",
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
    "log_parameter_max_length=0",
    "log_parameter_max_length_on_error=0",
    "log_checkpoints=off",
];

/// A postmaster that was just started, and where in the log its words begin.
pub(super) struct Launched {
    pub child: Child,
    pub log_begins: u64,
}

/// Starts the postmaster, of a new cluster if there is none. It need not live when this returns.
pub(super) async fn launch(home: &Home, state_dir: &Path) -> Result<Launched, PostgresError> {
    let made_by = major_of_data(home)?;
    let binaries = binaries::find(home, state_dir, made_by).await?;
    let tried = remove_unfinished(home)?;
    if made_by.is_none() {
        make(home, &binaries, tried + 1).await?;
    }
    forget_stranger(home)?;
    write_access_rules(home)?;
    start(home, &binaries)
}

pub(super) fn data(home: &Home) -> PathBuf {
    home.inside(DATA)
}

pub(super) fn socket_dir(home: &Home) -> PathBuf {
    home.inside("run")
}

pub(super) fn log_path(home: &Home) -> PathBuf {
    home.path().join(LOG)
}

/// The log is written with `O_APPEND`, so that it may be cut under a running server's hands.
pub(super) fn bound_log(home: &Home) -> Result<(), PostgresError> {
    let log = files::open_or_make(&home.inside(LOG), home.owner()).map_err(home.failed(LOG))?;
    match log.metadata().map_err(home.failed(LOG))?.len() {
        0..=LOG_LIMIT => Ok(()),
        _ => log.set_len(0).map_err(home.failed(LOG)),
    }
}

/// Why it stopped, in its own words.
pub(super) fn last_words(home: &Home, log_begins: u64) -> String {
    let read = || {
        let mut log = File::open(home.inside(LOG))?;
        log.seek(SeekFrom::Start(log_begins))?;
        let mut words = Vec::new();
        log.read_to_end(&mut words)?;
        std::io::Result::Ok(words)
    };
    read().map_or_else(
        |error| error.to_string(),
        |words| complaint(&String::from_utf8_lossy(&words)),
    )
}

fn major_of_data(home: &Home) -> Result<Option<u32>, PostgresError> {
    let data = data(home);
    if !data.exists() {
        return Ok(None);
    }
    let version = fs::read_to_string(data.join("PG_VERSION"))
        .ok()
        .and_then(|version| version.trim().parse().ok());
    version.map(Some).ok_or_else(|| PostgresError::NotADataDirectory {
        path: home.path().join(DATA),
    })
}

/// `data` appears whole or not at all. The initdb of a killed process may still be at work: each try has its own name.
async fn make(home: &Home, binaries: &Binaries, number: u32) -> Result<(), PostgresError> {
    let unfinished = format!("{UNFINISHED}{number}");
    let (path, user) = (home.path().display(), &home.service().name);
    tracing::info!(%path, user, major = binaries.major, "making the embedded PostgreSQL's cluster");
    home.make_service_dir(&unfinished)?;
    let initdb = binaries.dir.join("initdb");
    let output = home
        .command(&initdb)
        .arg("--pgdata")
        .arg(home.inside(&unfinished))
        .args([
            "--username=signpost",
            "--encoding=UTF8",
            "--no-locale",
            "--data-checksums",
            "--auth=reject",
            "--no-instructions",
        ])
        .kill_on_drop(true)
        .output()
        .await
        .map_err(cannot_run(home, &initdb))?;
    if !output.status.success() {
        let reason = complaint(&String::from_utf8_lossy(&output.stderr));
        return Err(PostgresError::Initdb {
            path: home.path().to_owned(),
            reason,
        });
    }
    fs::rename(home.inside(&unfinished), data(home)).map_err(home.failed(DATA))?;
    File::open(home.inside("."))
        .and_then(|dir| dir.sync_all())
        .map_err(home.failed("."))
}

/// Returns the highest number that a try had. One that is still being written to may resist; the next start removes it.
fn remove_unfinished(home: &Home) -> Result<u32, PostgresError> {
    let mut highest = 0;
    for entry in fs::read_dir(home.inside(".")).map_err(home.failed("."))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(number) = name.strip_prefix(UNFINISHED).and_then(|number| number.parse().ok()) {
            highest = highest.max(number);
            if let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, name, "an unfinished cluster could not be removed yet");
            }
        }
    }
    Ok(highest)
}

/// PostgreSQL itself sees to a `postmaster.pid` whose process is gone; but it refuses to start while any process of the
/// same user has that number (in a container, where numbers are few, soon). The other interlock, shared memory found by
/// the data directory's inode, remains.
fn forget_stranger(home: &Home) -> Result<(), PostgresError> {
    if postmaster::find(&data(home)) != Postmaster::Stranger {
        return Ok(());
    }
    tracing::info!("the process in postmaster.pid is not our PostgreSQL, which must have been killed");
    for name in ["data/postmaster.pid", "run/.s.PGSQL.5432.lock"] {
        files::remove(&home.inside(name)).map_err(home.failed(name))?;
    }
    Ok(())
}

/// Whoever runs Signpost here, or could anyway, is the role `signpost`; nobody else is anybody.
fn write_access_rules(home: &Home) -> Result<(), PostgresError> {
    let service = &home.service().name;
    let ident = format!("signpost root signpost\nsignpost \"{service}\" signpost\n");
    for (name, content) in [
        ("pg_hba.conf", "local all all peer map=signpost\n"),
        ("pg_ident.conf", &ident),
    ] {
        files::replace(&home.inside(name), content, 0o640, home.owner()).map_err(home.failed(name))?;
    }
    Ok(())
}

fn start(home: &Home, binaries: &Binaries) -> Result<Launched, PostgresError> {
    bound_log(home)?;
    let log = files::open_or_make(&home.inside(LOG), home.owner()).map_err(home.failed(LOG))?;
    let log_begins = log.metadata().map_err(home.failed(LOG))?.len();
    let postgres = binaries.dir.join("postgres");
    let mut command = home.command(&postgres);
    command.arg("-D").arg(data(home));
    for (name, path) in [
        ("unix_socket_directories", "run"),
        ("hba_file", "pg_hba.conf"),
        ("ident_file", "pg_ident.conf"),
    ] {
        command.arg("-c").arg(format!("{name}={}", home.inside(path).display()));
    }
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command
        .stdout(Stdio::from(log.try_clone().map_err(home.failed(LOG))?))
        .stderr(log);
    let child = command.spawn().map_err(cannot_run(home, &postgres))?;
    Ok(Launched { child, log_begins })
}

fn cannot_run(home: &Home, program: &Path) -> impl FnOnce(std::io::Error) -> PostgresError {
    let (program, user) = (program.to_owned(), home.service().name.clone());
    move |source| PostgresError::Run { program, user, source }
}

/// The line that matters of what a program of PostgreSQL said.
fn complaint(words: &str) -> String {
    let marked = words.lines().find_map(|line| {
        ["FATAL:", "PANIC:", "error:"]
            .iter()
            .find_map(|mark| Some(line.split_once(mark)?.1))
    });
    let line = marked.or_else(|| words.lines().rfind(|line| !line.trim().is_empty()));
    line.map_or_else(|| "it said nothing".to_owned(), |line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_lines_the_one_that_complains_is_shown() {
        let log = "UTC [7] LOG:  starting PostgreSQL 15.18\nUTC [7] FATAL:  could not map shared memory\n";
        assert_eq!(complaint(log), "could not map shared memory");
        assert_eq!(
            complaint("initdb: error: no space\ninitdb: removing data directory\n"),
            "no space"
        );
        assert_eq!(complaint("postgres: cannot execute\n\n"), "postgres: cannot execute");
        assert_eq!(complaint(""), "it said nothing");
    }
}
