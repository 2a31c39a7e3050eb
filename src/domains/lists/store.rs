//! Every statement on lists of domains. Which ones a page shows is one statement, what is known of them another: so that
//! the first needs nothing but what it filters and sorts by. Each order has a statement of its own for each index, so that
//! no plan depends on statistics or on which parameters are given.
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Key, Owner, Sort};
use crate::{accounts::Scope, domains::status::Status};

/// A domain that a page may show.
pub struct Candidate {
    pub domain_id: Uuid,
    pub hostname: String,
    pub client_name: String,
}

/// Part of a list in its order.
pub struct Walk<'a> {
    pub owner: Owner,
    pub status: Option<Status>,
    pub sort: Sort,
    pub after: &'a Key,
    /// Maximum number of domains to examine, and to return of those.
    pub bound: i64,
    pub limit: i64,
    /// Parts of the hostname and of the client's name, one of which must be there. Every hostname contains an empty text,
    /// and an empty name is not looked for.
    pub hostname: &'a str,
    pub name: &'a str,
}

pub struct Walked {
    pub candidates: Vec<Candidate>,
    /// The last domain that was examined, if more follow it.
    pub end: Option<Key>,
}

struct WalkedRow {
    domain_id: Option<Uuid>,
    hostname: Option<String>,
    client_name: Option<String>,
    end_domain_id: Option<Uuid>,
    end_hostname: Option<String>,
}

impl Walked {
    fn new(rows: Vec<WalkedRow>) -> Self {
        let end = rows.first().and_then(|row| {
            Some(Key {
                domain_id: row.end_domain_id?,
                hostname: row.end_hostname.clone()?,
            })
        });
        let candidates = rows.into_iter().filter_map(|row| {
            Some(Candidate {
                domain_id: row.domain_id?,
                hostname: row.hostname?,
                client_name: row.client_name?,
            })
        });
        Self {
            candidates: candidates.collect(),
            end,
        }
    }
}

/// `$part` selects `domain_id`, `hostname` and `client_id` in order: $1 is the organisation, $2 what the part begins after.
/// Only the indexes that begin with the organisation have ids with `nulls first`: with any other order the plan for any
/// parameters may walk the primary key, past the rows of every other organisation.
macro_rules! walk {
    ($db:expr, $scope:expr, $walk:expr, $after:expr, $part:literal $(, $more:expr)*) => {
        sqlx::query_as!(
            WalkedRow,
            "with walked as materialized (
                  select d.domain_id, d.hostname, d.client_id
                    from "
                + $part
                + r#" limit $3)
             select m.domain_id as "domain_id?", m.hostname as "hostname?",
                    (select c.name from clients c where c.client_id = m.client_id) as "client_name?",
                    e.domain_id as "end_domain_id?", e.hostname as "end_hostname?"
               from (select) one
               left join lateral (select w.domain_id, w.hostname from walked w offset $3 - 1 limit 1) e on true
               left join lateral (
                    select w.domain_id, w.hostname, w.client_id from walked w
                     where position($5 in w.hostname) > 0
                        or $6 <> '' and position($6 in lower((select c.name from clients c where c.client_id = w.client_id))) > 0
                     limit $4) m on true"#,
            $scope.organisation_id(),
            $after,
            $walk.bound,
            $walk.limit,
            $walk.hostname,
            $walk.name,
            $($more,)*
        )
        .fetch_all($db)
        .await?
    };
}

/// Examines the domains of `walk.owner` after `walk.after`.
#[expect(clippy::too_many_lines, reason = "one statement for each index and order")]
pub async fn walk(db: &mut PgConnection, scope: &Scope, walk: &Walk<'_>) -> Result<Walked, sqlx::Error> {
    let hostname = walk.after.hostname.as_str();
    let domain_id = walk.after.domain_id;
    let rows = match (walk.owner, walk.status.map(Status::as_str), walk.sort) {
        (Owner::Organisation, None, Sort::Hostname) => walk!(
            db,
            scope,
            walk,
            hostname,
            r#"domains d
              where d.organisation_id = $1 and d.hostname collate "C" > $2
              order by d.hostname collate "C""#
        ),
        (Owner::Organisation, None, Sort::HostnameBackwards) => walk!(
            db,
            scope,
            walk,
            hostname,
            r#"domains d
              where d.organisation_id = $1 and d.hostname collate "C" < $2
              order by d.hostname collate "C" desc"#
        ),
        (Owner::Organisation, None, Sort::Newest) => walk!(
            db,
            scope,
            walk,
            domain_id,
            "domains d
              where d.organisation_id = $1 and d.domain_id < $2
              order by d.domain_id desc nulls last"
        ),
        (Owner::Organisation, None, Sort::Oldest) => walk!(
            db,
            scope,
            walk,
            domain_id,
            "domains d
              where d.organisation_id = $1 and d.domain_id > $2
              order by d.domain_id nulls first"
        ),
        (Owner::Organisation, Some(status), Sort::Hostname) => walk!(
            db,
            scope,
            walk,
            hostname,
            "domain_statuses d
              where d.organisation_id = $1 and d.status = $7 and d.hostname > $2
              order by d.hostname",
            status
        ),
        (Owner::Organisation, Some(status), Sort::HostnameBackwards) => walk!(
            db,
            scope,
            walk,
            hostname,
            "domain_statuses d
              where d.organisation_id = $1 and d.status = $7 and d.hostname < $2
              order by d.hostname desc",
            status
        ),
        (Owner::Organisation, Some(status), Sort::Newest) => walk!(
            db,
            scope,
            walk,
            domain_id,
            "domain_statuses d
              where d.organisation_id = $1 and d.status = $7 and d.domain_id < $2
              order by d.domain_id desc nulls last",
            status
        ),
        (Owner::Organisation, Some(status), Sort::Oldest) => walk!(
            db,
            scope,
            walk,
            domain_id,
            "domain_statuses d
              where d.organisation_id = $1 and d.status = $7 and d.domain_id > $2
              order by d.domain_id nulls first",
            status
        ),
        (Owner::Client(client_id), None, Sort::Hostname) => walk!(
            db,
            scope,
            walk,
            hostname,
            r#"domains d
              where d.organisation_id = $1 and d.client_id = $7 and d.hostname collate "C" > $2
              order by d.hostname collate "C""#,
            client_id
        ),
        (Owner::Client(client_id), None, Sort::HostnameBackwards) => walk!(
            db,
            scope,
            walk,
            hostname,
            r#"domains d
              where d.organisation_id = $1 and d.client_id = $7 and d.hostname collate "C" < $2
              order by d.hostname collate "C" desc"#,
            client_id
        ),
        (Owner::Client(client_id), None, Sort::Newest) => walk!(
            db,
            scope,
            walk,
            domain_id,
            "domains d
              where d.organisation_id = $1 and d.client_id = $7 and d.domain_id < $2
              order by d.domain_id desc nulls last",
            client_id
        ),
        (Owner::Client(client_id), None, Sort::Oldest) => walk!(
            db,
            scope,
            walk,
            domain_id,
            "domains d
              where d.organisation_id = $1 and d.client_id = $7 and d.domain_id > $2
              order by d.domain_id nulls first",
            client_id
        ),
        (Owner::Client(client_id), Some(status), Sort::Hostname) => walk!(
            db,
            scope,
            walk,
            hostname,
            "domain_statuses d
              where d.organisation_id = $1 and d.client_id = $7 and d.status = $8 and d.hostname > $2
              order by d.hostname",
            client_id,
            status
        ),
        (Owner::Client(client_id), Some(status), Sort::HostnameBackwards) => walk!(
            db,
            scope,
            walk,
            hostname,
            "domain_statuses d
              where d.organisation_id = $1 and d.client_id = $7 and d.status = $8 and d.hostname < $2
              order by d.hostname desc",
            client_id,
            status
        ),
        (Owner::Client(client_id), Some(status), Sort::Newest) => walk!(
            db,
            scope,
            walk,
            domain_id,
            "domain_statuses d
              where d.organisation_id = $1 and d.client_id = $7 and d.status = $8 and d.domain_id < $2
              order by d.domain_id desc nulls last",
            client_id,
            status
        ),
        (Owner::Client(client_id), Some(status), Sort::Oldest) => walk!(
            db,
            scope,
            walk,
            domain_id,
            "domain_statuses d
              where d.organisation_id = $1 and d.client_id = $7 and d.status = $8 and d.domain_id > $2
              order by d.domain_id nulls first",
            client_id,
            status
        ),
    };
    Ok(Walked::new(rows))
}

/// `$part` selects from a client's domains, $1 is the organisation, $2 what the part begins after, $4 its limit.
macro_rules! of_clients {
    ($db:expr, $scope:expr, $client_ids:expr, $limit:expr, $after:expr, $part:literal $(, $more:expr)*) => {
        sqlx::query_as!(
            Candidate,
            r#"select d.domain_id as "domain_id!", d.hostname as "hostname!",
                      (select x.name from clients x where x.client_id = c.client_id) as "client_name!"
                 from unnest($3::uuid[]) as c (client_id)
                cross join lateral (
                      select d.domain_id, d.hostname from "#
                + $part
                + " limit $4) d",
            $scope.organisation_id(),
            $after,
            $client_ids,
            $limit,
            $($more,)*
        )
        .fetch_all($db)
        .await
    };
}

/// Returns the first `limit` domains after `after` of each of these clients.
pub async fn list_of_clients(
    db: &mut PgConnection,
    scope: &Scope,
    client_ids: &[Uuid],
    (status, sort): (Option<Status>, Sort),
    (after, limit): (&Key, i64),
) -> Result<Vec<Candidate>, sqlx::Error> {
    let hostname = after.hostname.as_str();
    let domain_id = after.domain_id;
    match (status.map(Status::as_str), sort) {
        (None, Sort::Hostname) => of_clients!(
            db,
            scope,
            client_ids,
            limit,
            hostname,
            r#"domains d
              where d.organisation_id = $1 and d.client_id = c.client_id and d.hostname collate "C" > $2
              order by d.hostname collate "C""#
        ),
        (None, Sort::HostnameBackwards) => of_clients!(
            db,
            scope,
            client_ids,
            limit,
            hostname,
            r#"domains d
              where d.organisation_id = $1 and d.client_id = c.client_id and d.hostname collate "C" < $2
              order by d.hostname collate "C" desc"#
        ),
        (None, Sort::Newest) => of_clients!(
            db,
            scope,
            client_ids,
            limit,
            domain_id,
            "domains d
              where d.organisation_id = $1 and d.client_id = c.client_id and d.domain_id < $2
              order by d.domain_id desc nulls last"
        ),
        (None, Sort::Oldest) => of_clients!(
            db,
            scope,
            client_ids,
            limit,
            domain_id,
            "domains d
              where d.organisation_id = $1 and d.client_id = c.client_id and d.domain_id > $2
              order by d.domain_id nulls first"
        ),
        (Some(status), Sort::Hostname) => of_clients!(
            db,
            scope,
            client_ids,
            limit,
            hostname,
            "domain_statuses d
              where d.organisation_id = $1 and d.client_id = c.client_id and d.status = $5 and d.hostname > $2
              order by d.hostname",
            status
        ),
        (Some(status), Sort::HostnameBackwards) => of_clients!(
            db,
            scope,
            client_ids,
            limit,
            hostname,
            "domain_statuses d
              where d.organisation_id = $1 and d.client_id = c.client_id and d.status = $5 and d.hostname < $2
              order by d.hostname desc",
            status
        ),
        (Some(status), Sort::Newest) => of_clients!(
            db,
            scope,
            client_ids,
            limit,
            domain_id,
            "domain_statuses d
              where d.organisation_id = $1 and d.client_id = c.client_id and d.status = $5 and d.domain_id < $2
              order by d.domain_id desc nulls last",
            status
        ),
        (Some(status), Sort::Oldest) => of_clients!(
            db,
            scope,
            client_ids,
            limit,
            domain_id,
            "domain_statuses d
              where d.organisation_id = $1 and d.client_id = c.client_id and d.status = $5 and d.domain_id > $2
              order by d.domain_id nulls first",
            status
        ),
    }
}

/// Whether there are indexes of trigrams: see migration 31.
pub async fn has_search_index(db: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select to_regclass('domains_search_idx') is not null and to_regclass('clients_search_idx') is not null as "has!""#
    )
    .fetch_one(db)
    .await
}

/// Returns up to `limit` domains whose hostname is like `pattern`, in no order.
pub async fn list_matching(
    db: &mut PgConnection,
    scope: &Scope,
    owner: Owner,
    pattern: &str,
    limit: i64,
) -> Result<Vec<Candidate>, sqlx::Error> {
    // Planned as if all were read, so that the index of trigrams is used; read until there are enough.
    match owner {
        Owner::Organisation => {
            sqlx::query_as!(
                Candidate,
                r#"with matching as materialized (
                      select domain_id, hostname, client_id from domains where organisation_id = $1 and hostname like $2)
                 select m.domain_id as "domain_id!", m.hostname as "hostname!",
                        (select c.name from clients c where c.client_id = m.client_id) as "client_name!"
                   from matching m limit $3"#,
                scope.organisation_id(),
                pattern,
                limit,
            )
            .fetch_all(db)
            .await
        }
        Owner::Client(client_id) => {
            sqlx::query_as!(
                Candidate,
                r#"with matching as materialized (
                      select domain_id, hostname, client_id from domains
                       where organisation_id = $1 and client_id = $4 and hostname like $2)
                 select m.domain_id as "domain_id!", m.hostname as "hostname!",
                        (select c.name from clients c where c.client_id = m.client_id) as "client_name!"
                   from matching m limit $3"#,
                scope.organisation_id(),
                pattern,
                limit,
                client_id,
            )
            .fetch_all(db)
            .await
        }
    }
}

/// Returns those of `domain_ids` that have `status`.
pub async fn list_with_status(
    db: &mut PgConnection,
    scope: &Scope,
    domain_ids: &[Uuid],
    status: Status,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select domain_id from domain_statuses where organisation_id = $1 and domain_id = any($2) and status = $3",
        scope.organisation_id(),
        domain_ids,
        status.as_str(),
    )
    .fetch_all(db)
    .await
}

/// Returns up to `limit` clients whose name in lower case is like `pattern`, in no order.
pub async fn list_matching_clients(
    db: &mut PgConnection,
    scope: &Scope,
    pattern: &str,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with matching as materialized (
              select client_id from clients where organisation_id = $1 and lower(name) like $2)
         select client_id as "client_id!" from matching limit $3"#,
        scope.organisation_id(),
        pattern,
        limit,
    )
    .fetch_all(db)
    .await
}
