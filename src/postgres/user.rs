//! Users of this machine, and which of them PostgreSQL runs as. Changes nothing.

use std::process::{Command, Stdio};

use super::PostgresError;

const ROOT: u32 = 0;
/// Packages of PostgreSQL make the first; the second is everywhere.
const SERVICE_USERS: [&str; 2] = ["postgres", "nobody"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl User {
    pub fn current() -> Result<Self, PostgresError> {
        Self::by_id(rustix::process::geteuid().as_raw())
    }

    /// Whom PostgreSQL, which refuses root, runs as. `state_owner` owns the state directory, `data_owner` the cluster
    /// in it if there is one.
    pub fn for_service(me: &Self, state_owner: u32, data_owner: Option<u32>) -> Result<Self, PostgresError> {
        match choose(me.uid, state_owner, data_owner) {
            Choice::Me => Ok(me.clone()),
            Choice::Id(uid) => Self::by_id(uid),
            Choice::ServiceUser => SERVICE_USERS
                .into_iter()
                .find_map(Self::find)
                .ok_or(PostgresError::NoServiceUser),
        }
    }

    /// The user's name, or its number if it has none.
    pub fn name_of(uid: u32) -> String {
        Self::find(&uid.to_string()).map_or_else(|| uid.to_string(), |user| user.name)
    }

    pub fn is_root(&self) -> bool {
        self.uid == ROOT
    }

    fn by_id(uid: u32) -> Result<Self, PostgresError> {
        Self::find(&uid.to_string()).ok_or(PostgresError::NamelessUser { uid })
    }

    /// By name or number. `getent` also asks LDAP and the like; the file is for images without it.
    fn find(key: &str) -> Option<Self> {
        let getent = Command::new("getent")
            .args(["passwd", key])
            .stdin(Stdio::null())
            .output();
        let passwd = match getent {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(_) => std::fs::read_to_string("/etc/passwd").ok()?,
        };
        passwd
            .lines()
            .filter_map(Self::parse)
            .find(|user| user.name == key || user.uid.to_string() == key)
    }

    /// A line of passwd(5).
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let mut ids = fields.skip(1);
        Some(Self {
            name,
            uid: ids.next()?.parse().ok()?,
            gid: ids.next()?.parse().ok()?,
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Me,
    Id(u32),
    ServiceUser,
}

/// Root may look after the state directory of another user (`sudo signpost org create` beside a service that runs as
/// `signpost`): then all stays that user's.
fn choose(me: u32, state_owner: u32, data_owner: Option<u32>) -> Choice {
    match (me, data_owner) {
        (ROOT, Some(owner)) => Choice::Id(owner),
        (ROOT, None) if state_owner != ROOT => Choice::Id(state_owner),
        (ROOT, None) => Choice::ServiceUser,
        _ => Choice::Me,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_passwd_gives_name_and_numbers() {
        let user = User::parse("postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash");
        assert_eq!(
            user,
            Some(User {
                name: "postgres".into(),
                uid: 101,
                gid: 104
            })
        );
        assert_eq!(User::parse("+::::::"), None);
    }

    #[test]
    fn root_runs_the_server_as_whoever_owns_the_data_and_nobody_else_changes_user() {
        assert_eq!(choose(1000, 1000, None), Choice::Me);
        assert_eq!(choose(1000, 1000, Some(1000)), Choice::Me);
        assert_eq!(choose(ROOT, ROOT, None), Choice::ServiceUser);
        assert_eq!(choose(ROOT, 1000, None), Choice::Id(1000));
        assert_eq!(choose(ROOT, ROOT, Some(101)), Choice::Id(101));
    }

    #[test]
    fn root_has_a_name_here() {
        assert_eq!(User::name_of(ROOT), "root");
        assert_eq!(User::name_of(4_000_000_001), "4000000001");
    }
}
