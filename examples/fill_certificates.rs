//! For `script/bench --acme`: gives every domain a certificate as if the CA of the settings had issued it, which would
//! take hours for 100,000. Run it in the environment of a `signpost serve` that is stopped.
use anyhow::{Context, Result, bail};
use signpost::{
    certificates::{Issued, decisions::lifetime::renews_at, internal::InternalCa, key_context},
    clock,
    config::{Settings, Sources},
    sealed::Keyring,
    server::Installation,
};
use sqlx::{PgConnection, PgPool};

const BATCH: usize = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Sources::read()?.settings()?;
    let installation = Installation::open(&settings).await?;
    let filled = fill(&settings, installation.postgres.background(), &installation.keyring).await;
    installation.close().await;
    println!("{} domains have a certificate of {}", filled?, settings.acme.directory);
    Ok(())
}

async fn fill(settings: &Settings, pool: &PgPool, keyring: &Keyring) -> Result<usize> {
    let issuer = settings.acme.directory.as_str();
    let now = clock::read(pool).await?;
    let ca = InternalCa::open(&settings.state_dir, keyring, now.get())?;
    let wanted = "select hostname from domains where ownership_verified_at is not null";
    let hostnames: Vec<String> = sqlx::query_scalar(wanted).fetch_all(pool).await?;
    for batch in hostnames.chunks(BATCH) {
        let (mut tx, now) = clock::begin(pool).await?;
        for hostname in batch {
            let issued = ca.issue(hostname, now)?;
            insert(
                &mut tx,
                issuer,
                hostname,
                &keyring.seal(&key_context(hostname, issuer), &issued.key),
                &issued,
            )
            .await
            .with_context(|| hostname.clone())?;
        }
        tx.commit().await?;
    }
    if hostnames.is_empty() {
        bail!("there is no domain");
    }
    // As if they had been with us for long: each is looked at once a day.
    sqlx::query(
        "update domain_checks
            set connected_at = now(), connection_checked_at = now(), ownership_checked_at = now(), tenant_checked_at = now(),
                quick_since = now() - interval '30 days', due_at = now() + interval '10 minutes' + random() * interval '1 day', lease_until = null",
    )
    .execute(pool)
    .await?;
    sqlx::query("analyze").execute(pool).await?;
    Ok(hostnames.len())
}

async fn insert(db: &mut PgConnection, issuer: &str, hostname: &str, key_sealed: &[u8], issued: &Issued) -> Result<()> {
    let renews_at = renews_at(issued.not_before, issued.not_after);
    sqlx::query(
        "insert into certificates (certificate_id, organisation_id, domain_id, hostname, issuer, chain, key_sealed, not_before, not_after, renews_at)
         select gen_random_uuid(), organisation_id, domain_id, $1, $2, $3, $4, $5, $6, $7
           from domains where hostname = $1 and ownership_verified_at is not null
             on conflict (hostname, issuer) do nothing",
    )
    .bind(hostname)
    .bind(issuer)
    .bind(&issued.chain)
    .bind(key_sealed)
    .bind(issued.not_before)
    .bind(issued.not_after)
    .bind(renews_at)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "insert into certificate_leases (hostname, issuer, due_at, urgency) values ($1, $2, $3, 2)
             on conflict (hostname, issuer) do update set due_at = excluded.due_at, urgency = excluded.urgency",
    )
    .bind(hostname)
    .bind(issuer)
    .bind(renews_at)
    .execute(db)
    .await?;
    Ok(())
}
