//! Every statement of the publisher.
use futures_util::{Stream, TryStreamExt};
use sqlx::PgConnection;
use uuid::Uuid;

use super::record::{CertificateRecord, DomainRecord, Record};
use chrono::{DateTime, Utc};

/// A served domain with its servers and its certificate.
struct Row {
    hostname: String,
    domain_id: Uuid,
    client_id: Uuid,
    organisation_id: Uuid,
    user_digest_key: Vec<u8>,
    website_url: Option<String>,
    policy: String,
    servers: Option<String>,
    chain: Option<Vec<Vec<u8>>>,
    key_sealed: Option<Vec<u8>>,
    not_after: Option<DateTime<Utc>>,
}

impl From<Row> for Record {
    fn from(row: Row) -> Self {
        let certificate = match (row.chain, row.key_sealed, row.not_after) {
            (Some(chain), Some(key_sealed), Some(not_after)) => Some(CertificateRecord {
                chain,
                key_sealed,
                not_after: not_after.timestamp(),
            }),
            _ => None,
        };
        let domain = DomainRecord {
            domain_id: row.domain_id,
            client_id: row.client_id,
            organisation_id: row.organisation_id,
            user_digest_key: row.user_digest_key,
            website_url: row.website_url,
            policy: row.policy,
            servers: row.servers.unwrap_or_else(|| "[]".to_owned()),
        };
        Self {
            hostname: row.hostname,
            domain: Some(domain),
            certificate,
        }
    }
}

/// Makes the transaction see one moment from here on.
pub async fn freeze(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("set transaction isolation level repeatable read, read only")
        .execute(db)
        .await?;
    Ok(())
}

/// Where in the database's life a reader is.
pub struct Moment {
    /// The run of the server, and the file of the change log: a restored database has another, whether it is another
    /// server, another database, or tables that were made or filled anew.
    pub origin: String,
    /// The oldest transaction that was running.
    pub xmin: i64,
}

pub async fn moment(db: &mut PgConnection) -> Result<Moment, sqlx::Error> {
    sqlx::query_as!(
        Moment,
        r#"select extract(epoch from pg_postmaster_start_time())::text || ' ' || pg_relation_filepath('directory_changes') as "origin!",
                  pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "xmin!""#
    )
    .fetch_one(db)
    .await
}

/// Every domain that is to be served.
pub fn stream_all<'c>(
    db: &'c mut PgConnection,
    issuer: &'c str,
) -> impl Stream<Item = Result<Record, sqlx::Error>> + Send + 'c {
    sqlx::query_as!(
        Row,
        r#"select d.hostname, d.domain_id, d.client_id, d.organisation_id, o.user_digest_key, d.website_url,
                  d.policy::text as "policy!", s.servers::text as servers,
                  c.chain as "chain?", c.key_sealed as "key_sealed?", c.not_after as "not_after?"
             from domains d
             join organisations o using (organisation_id)
             left join (
                  select p.domain_id,
                         json_agg(json_build_object('id', m.mdm_server_id, 'vendor', m.vendor,
                                                    'enrollment', m.enrollment, 'parameters', m.parameters)) as servers
                    from policy_servers p join mdm_servers m using (mdm_server_id)
                   group by p.domain_id
             ) s on s.domain_id = d.domain_id
             left join certificates c on c.hostname = d.hostname and c.issuer = $1
            where d.ownership_verified_at is not null and d.suspended_at is null and o.suspended_at is null"#,
        issuer,
    )
    .fetch(db)
    .map_ok(Record::from)
}

/// Those of `hostnames` that are to be served.
pub async fn find(db: &mut PgConnection, issuer: &str, hostnames: &[String]) -> Result<Vec<Record>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select d.hostname, d.domain_id, d.client_id, d.organisation_id, o.user_digest_key, d.website_url,
                  d.policy::text as "policy!", s.servers::text as servers,
                  c.chain as "chain?", c.key_sealed as "key_sealed?", c.not_after as "not_after?"
             from domains d
             join organisations o using (organisation_id)
             left join lateral (
                  select json_agg(json_build_object('id', m.mdm_server_id, 'vendor', m.vendor,
                                                    'enrollment', m.enrollment, 'parameters', m.parameters)) as servers
                    from policy_servers p join mdm_servers m using (mdm_server_id)
                   where p.domain_id = d.domain_id
             ) s on true
             left join certificates c on c.hostname = d.hostname and c.issuer = $1
            where d.hostname = any($2)
              and d.ownership_verified_at is not null and d.suspended_at is null and o.suspended_at is null"#,
        issuer,
        hostnames,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Record::from).collect())
}

/// The certificates of our own hosts.
pub async fn list_own(db: &mut PgConnection, issuer: &str, own_hosts: &[String]) -> Result<Vec<Record>, sqlx::Error> {
    let rows = sqlx::query!(
        "select hostname, chain, key_sealed, not_after from certificates where issuer = $1 and domain_id is null and hostname = any($2)",
        issuer,
        own_hosts,
    )
    .fetch_all(db)
    .await?;
    let record = |hostname, certificate| Record {
        hostname,
        domain: None,
        certificate: Some(certificate),
    };
    Ok(rows
        .into_iter()
        .map(|row| {
            record(
                row.hostname,
                CertificateRecord {
                    chain: row.chain,
                    key_sealed: row.key_sealed,
                    not_after: row.not_after.timestamp(),
                },
            )
        })
        .collect())
}

/// Changes since a transaction, and where to go on.
pub struct Changes {
    pub moment: Moment,
    /// The highest transaction whose changes have been deleted: a reader that has not seen it must load everything.
    pub deleted_up_to: i64,
    /// `(directory_change_id, hostname)`
    pub rows: Vec<(i64, String)>,
}

/// Changes made by `since` or a later transaction, as one statement sees them.
pub async fn changes_since(db: &mut PgConnection, since: i64) -> Result<Changes, sqlx::Error> {
    let mut rows = sqlx::query!(
        r#"select extract(epoch from pg_postmaster_start_time())::text || ' ' || pg_relation_filepath('directory_changes') as "origin!",
                  pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "xmin!",
                  p.deleted_up_to::text::bigint as "deleted_up_to!",
                  c.directory_change_id as "id?", c.hostname as "hostname?"
             from directory_change_prunes p left join directory_changes c on c.xid >= ($1::bigint)::text::xid8"#,
        since,
    )
    .fetch_all(db)
    .await?;
    let first = rows.first_mut().ok_or(sqlx::Error::RowNotFound)?;
    let moment = Moment {
        origin: std::mem::take(&mut first.origin),
        xmin: first.xmin,
    };
    let deleted_up_to = first.deleted_up_to;
    Ok(Changes {
        moment,
        deleted_up_to,
        rows: rows.into_iter().filter_map(|row| row.id.zip(row.hostname)).collect(),
    })
}

/// Deletes changes that are older than an hour by the database's clock. A trigger records the highest transaction that
/// was deleted, so that a reader which has not seen it notices. What a transaction that still runs may hide from readers
/// stays, so that a long one does not make every node load everything.
pub async fn prune_changes(db: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from directory_changes
          where at < now() - interval '1 hour' and xid < pg_snapshot_xmin(pg_current_snapshot())"
    );
    Ok(deleted.execute(db).await?.rows_affected())
}
