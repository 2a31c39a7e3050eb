//! `DATABASE_URL` as libpq writes it ("Connection URIs"): one server, or several of which one is the primary.
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

const EXPECTED: &str = "expected postgres://user:password@host:port/database";

pub(super) struct DatabaseUrl(pub Vec<PgConnectOptions>);

impl FromStr for DatabaseUrl {
    type Err = &'static str;

    /// Says nothing of the text: it may hold a password.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let urls = one_for_each_host(text)?;
        let options = urls.iter().map(|url| url.parse().map_err(|_| EXPECTED));
        options.collect::<Result<_, _>>().map(Self)
    }
}

/// The same address, once with each of its hosts.
fn one_for_each_host(text: &str) -> Result<Vec<String>, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or(EXPECTED)?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err(EXPECTED);
    }
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let tail = without_target(tail)?;
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    Ok(hosts
        .split(',')
        .map(|host| format!("{scheme}://{user}{host}{tail}"))
        .collect())
}

/// Without `target_session_attrs`: of several servers Signpost looks for the primary anyway.
fn without_target(tail: &str) -> Result<String, &'static str> {
    let Some((path, query)) = tail.split_once('?') else {
        return Ok(tail.to_owned());
    };
    let mut kept = Vec::new();
    for parameter in query.split('&') {
        match parameter.split_once('=') {
            Some(("target_session_attrs", "any" | "read-write" | "primary")) => {}
            Some(("target_session_attrs", _)) => {
                return Err("target_session_attrs must be read-write or primary: Signpost writes");
            }
            Some(("host" | "hostaddr" | "port", list)) if list.contains(',') => {
                return Err("several servers are written postgres://user:password@host1:port1,host2:port2/database");
            }
            _ => kept.push(parameter),
        }
    }
    Ok(match kept.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", kept.join("&")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Vec<(String, u16)> {
        let DatabaseUrl(options) = text.parse().expect(text);
        let same = |one: &PgConnectOptions| (one.get_username().to_owned(), one.get_database().map(str::to_owned));
        assert!(options.iter().all(|one| same(one) == same(&options[0])));
        let host = |one: &PgConnectOptions| (one.get_host().to_owned(), one.get_port());
        options.iter().map(host).collect()
    }

    #[test]
    fn several_servers_stand_between_commas_and_share_all_else() {
        let pair = vec![("db1".to_owned(), 5432), ("db2.example".to_owned(), 6432)];
        for text in [
            "postgres://u:p@db1,db2.example:6432/signpost",
            "postgresql://u:p,w@db1:5432,db2.example:6432/signpost?sslmode=require&target_session_attrs=read-write",
            "postgres://db1,db2.example:6432?target_session_attrs=primary",
        ] {
            assert_eq!(hosts(text), pair, "{text}");
        }
        assert_eq!(
            hosts("postgres://u:p@[::1]:5433/signpost"),
            [("[::1]".to_owned(), 5433)]
        );
        assert_eq!(hosts("postgres:///signpost?host=/run/postgresql").len(), 1);
    }

    #[test]
    fn what_can_not_be_is_refused_without_telling_the_password() {
        for text in [
            "mysql://root:hunter2@db/x",
            "hunter2",
            "postgres://u:hunter2@db:70000/x",
            "postgres://u:hunter2@db1:5432,db2:nonsense/x",
            "postgres://u:hunter2@db1,db2/x?target_session_attrs=standby",
            "postgres://u:hunter2@/x?host=db1,db2",
        ] {
            let error = text.parse::<DatabaseUrl>().err().unwrap_or_default();
            assert!(!error.is_empty() && !error.contains("hunter2"), "{text}: {error:?}");
        }
    }
}
