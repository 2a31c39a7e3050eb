//! Every statement on PostgreSQL's statistics of tables.
use sqlx::PgConnection;

/// Returns those of the tables that bulk writes fill of which a thousand rows and a fifth have changed since they were
/// analysed last.
pub async fn list_outdated(db: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select c.relname::text as "name!"
             from pg_class c
            where c.oid = any(array['domains', 'domain_checks', 'domain_statuses', 'certificates', 'certificate_leases',
                                    'clients', 'mdm_servers', 'policy_servers', 'audit_events', 'told_statuses', 'request_counts', 'request_totals']::regclass[])
              and pg_stat_get_mod_since_analyze(c.oid) > 1000 + 0.2 * greatest(c.reltuples, 0)"#
    )
    .fetch_all(db)
    .await
}

/// Analyses one of the tables that [`list_outdated`] names, unless another session is at it.
pub async fn analyze(db: &mut PgConnection, table: &str) -> Result<(), sqlx::Error> {
    match table {
        "domains" => sqlx::query!("analyze (skip_locked) domains").execute(db).await?,
        "domain_checks" => sqlx::query!("analyze (skip_locked) domain_checks").execute(db).await?,
        "domain_statuses" => {
            sqlx::query!("analyze (skip_locked) domain_statuses")
                .execute(db)
                .await?
        }
        "certificates" => sqlx::query!("analyze (skip_locked) certificates").execute(db).await?,
        "certificate_leases" => {
            sqlx::query!("analyze (skip_locked) certificate_leases")
                .execute(db)
                .await?
        }
        "clients" => sqlx::query!("analyze (skip_locked) clients").execute(db).await?,
        "mdm_servers" => sqlx::query!("analyze (skip_locked) mdm_servers").execute(db).await?,
        "policy_servers" => sqlx::query!("analyze (skip_locked) policy_servers").execute(db).await?,
        "audit_events" => sqlx::query!("analyze (skip_locked) audit_events").execute(db).await?,
        "request_counts" => sqlx::query!("analyze (skip_locked) request_counts").execute(db).await?,
        "request_totals" => sqlx::query!("analyze (skip_locked) request_totals").execute(db).await?,
        _ => sqlx::query!("analyze (skip_locked) told_statuses").execute(db).await?,
    };
    Ok(())
}
