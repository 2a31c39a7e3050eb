//! PostgreSQL's programs: those of this machine, else fetched once. Makes no cluster.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use postgresql_embedded::{PostgreSQL, Settings, VersionReq};
use tokio::time::timeout;

use super::PostgresError;
use super::home::Home;

/// The oldest that our tests run on.
const OLDEST: u32 = 15;
const FETCHED: u32 = 17;
const RELEASES: &str = "https://github.com/theseus-rs/postgresql-binaries";
const FETCH_LIMIT: Duration = Duration::from_secs(180);

/// Programs that the service user is known to be able to run.
#[derive(Debug)]
pub(super) struct Binaries {
    pub dir: PathBuf,
    pub major: u32,
}

/// Programs of the major version `made_by`, which made the data there is; for a new cluster, the machine's own choice.
pub(super) async fn find(home: &Home, state_dir: &Path, made_by: Option<u32>) -> Result<Binaries, PostgresError> {
    let download_dir = download_dir(home, state_dir);
    let mut rejected = Vec::new();
    for dir in candidates(&download_dir) {
        match usable(home, dir, made_by).await {
            Ok(binaries) => return Ok(binaries),
            Err(reason) => rejected.push(reason),
        }
    }
    let fetched = match fetch(&download_dir, made_by.unwrap_or(FETCHED), RELEASES).await {
        Ok(dir) => usable(home, dir, made_by).await,
        Err(reason) => Err(reason),
    };
    fetched.map_err(|fetch| PostgresError::NotInstalled {
        rejected: summary(&rejected),
        fetch,
        package: package(made_by),
    })
}

/// The programs in `dir`, or why they will not do.
async fn usable(home: &Home, dir: PathBuf, made_by: Option<u32>) -> Result<Binaries, String> {
    let at = dir.display();
    let output = home.command(&dir.join("postgres")).arg("--version").output().await;
    let output = output.map_err(|error| format!("{at}: cannot be run as user {}: {error}", home.service().name))?;
    let major =
        major_in(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| format!("{at}: does not tell its version"))?;
    match made_by {
        Some(made_by) if made_by != major => Err(format!("{at}: is {major}, the data was made by {made_by}")),
        None if major < OLDEST => Err(format!("{at}: is {major}, older than {OLDEST}")),
        _ => Ok(Binaries { dir, major }),
    }
}

/// Directories with both programs in them, best first.
fn candidates(download_dir: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = said_by("pg_config", &["--bindir"]).into_iter().collect();
    let debian = newest_first(Path::new("/usr/lib/postgresql"));
    let pgdg_rpms = newest_first(Path::new("/usr")).filter(|dir| dir.to_string_lossy().contains("/pgsql-"));
    dirs.extend(debian.chain(pgdg_rpms).map(|version| version.join("bin")));
    dirs.extend(said_by("sh", &["-c", "command -v postgres"]).and_then(|postgres| Some(postgres.parent()?.to_owned())));
    dirs.extend(newest_first(download_dir).map(|version| version.join("bin")));
    let mut seen = Vec::new();
    for dir in dirs {
        if !seen.contains(&dir) && ["initdb", "postgres"].iter().all(|program| dir.join(program).exists()) {
            seen.push(dir);
        }
    }
    seen
}

/// The path that a program on our search path prints, without symbolic links: PostgreSQL looks for its files beside its
/// program.
fn said_by(program: &str, arguments: &[&str]) -> Option<PathBuf> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    fs::canonicalize(String::from_utf8(output.stdout).ok()?.trim_end()).ok()
}

fn newest_first(parent: &Path) -> impl Iterator<Item = PathBuf> {
    let mut dirs: Vec<_> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    dirs.sort_by_cached_key(|dir| std::cmp::Reverse(numbers_in(&dir.to_string_lossy())));
    dirs.into_iter()
}

fn numbers_in(text: &str) -> Vec<u32> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`
fn major_in(version: &str) -> Option<u32> {
    numbers_in(version.split("(PostgreSQL)").nth(1)?).first().copied()
}

/// Only the install step of the crate: it would make its own cluster, with a password and a TCP port.
async fn fetch(download_dir: &Path, major: u32, releases: &str) -> Result<PathBuf, String> {
    if major < OLDEST {
        return Err(format!("{major} is older than {OLDEST}"));
    }
    tracing::info!(major, path = %download_dir.display(), "no PostgreSQL here that can be used; fetching one");
    fs::create_dir_all(download_dir).map_err(|error| format!("{}: {error}", download_dir.display()))?;
    // The crate takes a directory with this file in it for a cluster that is made already.
    let pretended_cluster = download_dir.join("postgresql.conf");
    fs::write(&pretended_cluster, "").map_err(|error| format!("{}: {error}", pretended_cluster.display()))?;
    let settings = Settings {
        releases_url: releases.to_owned(),
        version: VersionReq::parse(&format!("={major}")).map_err(|error| error.to_string())?,
        installation_dir: download_dir.to_owned(),
        password_file: pretended_cluster,
        data_dir: download_dir.to_owned(),
        host: String::new(),
        port: 0,
        username: String::new(),
        password: String::new(),
        temporary: false,
        timeout: Some(FETCH_LIMIT),
        configuration: HashMap::new(),
        trust_installation_dir: false,
        socket_dir: None,
    };
    let mut installer = PostgreSQL::new(settings);
    match timeout(FETCH_LIMIT, installer.setup()).await {
        Ok(installed) => installed.map_err(|error| one_line(&error))?,
        Err(_elapsed) => return Err(format!("it took longer than {} seconds", FETCH_LIMIT.as_secs())),
    }
    let dir = installer.settings().installation_dir.clone();
    // It is made as a temporary directory, which only its maker may enter.
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))
        .map_err(|error| format!("{}: {error}", dir.display()))?;
    Ok(dir.join("bin"))
}

/// In the state directory, unless the service user may not enter that. Programs cannot be run through an inherited
/// descriptor as data can be used: PostgreSQL resolves its own path to find its libraries.
fn download_dir(home: &Home, state_dir: &Path) -> PathBuf {
    match home.changes_user() && !is_open_to_all(state_dir) {
        true => PathBuf::from("/var/lib/signpost/postgresql"),
        false => state_dir.join("postgresql"),
    }
}

fn is_open_to_all(dir: &Path) -> bool {
    dir.ancestors()
        .all(|dir| fs::metadata(dir).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0))
}

fn package(made_by: Option<u32>) -> String {
    match made_by {
        Some(major) => format!("postgresql-{major}"),
        None => "postgresql (Fedora, RHEL: postgresql-server)".to_owned(),
    }
}

fn summary(rejected: &[String]) -> String {
    match rejected {
        [] => "none is installed".to_owned(),
        _ => rejected.join("; "),
    }
}

/// The innermost cause: the outer ones repeat it, or say only that a request failed.
fn one_line(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => one_line(source),
        None => error.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_says_of_itself() {
        assert_eq!(
            major_in("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_in("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_in("busybox 1.36\n"), None);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(numbers_in("/usr/lib/postgresql/15/bin") > numbers_in("/usr/lib/postgresql/9.6/bin"));
    }

    #[tokio::test]
    async fn a_failed_fetch_says_why_in_one_line_and_leaves_no_programs() {
        let dir = std::env::temp_dir().join(format!("signpost-fetch-{}", std::process::id()));
        let reason = fetch(&dir, FETCHED, "file:///nowhere").await.unwrap_err();
        assert_eq!(reason.lines().count(), 1, "{reason}");
        assert!(candidates(&dir).iter().all(|found| !found.starts_with(&dir)));
        fs::remove_dir_all(dir).unwrap();
    }
}
