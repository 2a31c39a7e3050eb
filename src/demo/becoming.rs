//! What an example becomes: a domain to register, and what happened to it since.
use std::net::{IpAddr, Ipv4Addr};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    DemoError,
    examples::{Example, Server, State, Then, Whom},
    store::{self, Past},
};
use crate::{
    accounts::{ClientScope, Operator, Scope},
    clock::DatabaseTime,
    dns::Found,
    domains::{
        self, Connection, Default, DomainError, NewDomain,
        connection::{Fetched, Observation, Records},
        policy::{Action, Rule, When},
        servers,
    },
    hostname::Hostname,
    input::Name,
    vendors,
};

impl Server {
    async fn id(&self, db: &mut PgConnection, client: &ClientScope) -> Result<Uuid, DomainError> {
        let parameters = self
            .parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect();
        let server = vendors::configure(self.vendor, Some(self.enrollment), &parameters)
            .map_err(|errors| DomainError::Stored(format!("{errors:?}")))?;
        match self.name.and_then(|name| Name::parse(name).ok()) {
            None => servers::find_or_create(db, client, server).await,
            name => Ok(servers::create(db, client, name, server).await?.id),
        }
    }
}

impl Example {
    pub async fn domain(
        &self,
        db: &mut PgConnection,
        client: &ClientScope,
        hostname: Hostname,
    ) -> Result<NewDomain, DomainError> {
        let mut rules = Vec::new();
        for (whom, then) in self.rules {
            let then = match then {
                Then::Serve(server) => Action::Serve {
                    server_id: server.id(db, client).await?,
                },
                Then::Reject(message) => Action::Reject {
                    message: (*message).to_owned(),
                },
                Then::Defer => Action::Defer {},
                Then::Redirect(url) => Action::Redirect { url: (*url).to_owned() },
            };
            let (model_families, users) = match whom {
                Whom::Families(families) => (families.to_vec(), Vec::new()),
                Whom::Users(pattern) => (Vec::new(), vec![(*pattern).to_owned()]),
            };
            let when = When { model_families, users };
            rules.push(Rule { when, then });
        }
        Ok(NewDomain {
            hostname,
            connection: self.connection,
            website_url: None,
            default: Default::Server(self.server.id(db, client).await?),
            rules,
        })
    }
}

impl Example {
    /// Gives the freshly registered domain its state.
    pub async fn become_so(
        &self,
        db: &mut PgConnection,
        scope: &Scope,
        (hostname, addresses): (&Hostname, &[IpAddr]),
        now: DatabaseTime,
    ) -> Result<(), DemoError> {
        if self.state == State::Claimed {
            return Ok(());
        }
        let operator = Operator::at_the_command_line();
        domains::verify(db, operator, hostname, Some(scope.organisation_id()), now).await?;
        let Some(domain) = domains::store::find_by_hostname(db, scope, hostname).await? else {
            return Ok(());
        };
        let days = match self.state {
            State::Proved => 2,
            _ => 45,
        };
        let past = Past {
            created_at: now.get() - TimeDelta::days(days),
            suspended_at: self.asked_until(now.get()).filter(|_| self.state == State::Suspended),
        };
        store::update_past(db, scope, domain.id, &past).await?;
        let (observation, times) = self.seen(addresses, now.get());
        store::update_seen(db, scope, domain.id, &observation, times).await?;
        Ok(())
    }

    fn seen(&self, addresses: &[IpAddr], now: DateTime<Utc>) -> (Observation, (DateTime<Utc>, Option<DateTime<Utc>>)) {
        let checked_at = now - TimeDelta::minutes(7);
        let own: Vec<Ipv4Addr> = addresses
            .iter()
            .filter_map(|address| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            })
            .collect();
        let ours = match self.connection {
            Connection::Direct => pointing(&own),
            Connection::Redirect | Connection::Proxy => Observation::Fetched(Fetched::Ours),
        };
        match self.state {
            State::Proved | State::Claimed => (pointing(&[]), (checked_at, None)),
            State::Broken => (
                pointing(&[Ipv4Addr::new(198, 51, 100, 7)]),
                (checked_at, Some(now - TimeDelta::hours(3))),
            ),
            State::Active | State::Suspended => (ours, (checked_at, Some(checked_at))),
        }
    }
}

fn pointing(addresses: &[Ipv4Addr]) -> Observation {
    Observation::Records(Records {
        a: Ok(found(addresses.to_vec())),
        aaaa: Ok(found(Vec::new())),
        caa: Ok(found(Vec::new())),
        dangling: None,
        probe: None,
    })
}

fn found<T>(records: Vec<T>) -> Found<T> {
    Found {
        aliases: Vec::new(),
        records,
    }
}
