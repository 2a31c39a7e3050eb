//! Every statement that seals anew. What was written meanwhile stays: a value is replaced only if it is the one that
//! was read.
use sqlx::PgConnection;

use super::{Column, people::store as people};
use crate::sealed::KeyId;

/// Where a row stands in the order of its table: the parts of its key as text.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub first: String,
    pub second: String,
}

pub struct Row {
    pub(super) first: String,
    pub(super) second: String,
    pub sealed: Vec<u8>,
}

impl Row {
    pub fn place(&self) -> Place {
        Place {
            first: self.first.clone(),
            second: self.second.clone(),
        }
    }
}

/// Rows as columns, for one statement.
#[derive(Default)]
pub struct Resealed {
    pub(super) first: Vec<String>,
    second: Vec<String>,
    pub(super) before: Vec<Vec<u8>>,
    pub(super) after: Vec<Vec<u8>>,
}

impl Resealed {
    pub fn push(&mut self, place: Place, before: Vec<u8>, after: Vec<u8>) {
        self.first.push(place.first);
        self.second.push(place.second);
        self.before.push(before);
        self.after.push(after);
    }
}

macro_rules! rows {
    ($db:expr, $sql:tt, $($argument:expr),*) => {
        sqlx::query_as!(Row, $sql, $($argument),*).fetch_all($db).await
    };
}

macro_rules! updated {
    ($db:expr, $sql:tt, $($argument:expr),*) => {
        Ok(sqlx::query!($sql, $($argument),*).execute($db).await?.rows_affected())
    };
}

/// Until the end of the transaction: nothing of what is served changes, so no node looks at it again.
pub async fn make_quiet(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select set_config('signpost.resealing', 'on', true) as quiet")
        .fetch_one(db)
        .await?;
    Ok(())
}

/// The next rows behind `after` that are not sealed under `key`, in the order of their keys.
#[expect(clippy::too_many_lines, reason = "one statement a column")]
pub async fn list(
    db: &mut PgConnection,
    column: Column,
    key: KeyId,
    after: &Place,
    limit: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    let (key, first, second) = (key.as_bytes(), &after.first, &after.second);
    match column {
        Column::Certificates => {
            rows!(
                db,
                r#"select hostname as first, issuer as second, key_sealed as sealed
                     from certificates
                    where (hostname, issuer) > ($2, $3) and substring(key_sealed from 2 for 4) <> $1
                    order by hostname, issuer
                    limit $4"#,
                key,
                first,
                second,
                limit
            )
        }
        Column::AcmeAccounts => {
            rows!(
                db,
                r#"select issuer as first, '' as "second!", key_sealed as sealed
                     from acme_accounts
                    where issuer > $2 and substring(key_sealed from 2 for 4) <> $1
                    order by issuer
                    limit $3"#,
                key,
                first,
                limit
            )
        }
        Column::AcmeOrders => {
            rows!(
                db,
                r#"select order_id::text as "first!", '' as "second!", key_sealed as "sealed!"
                     from acme_orders
                    where order_id::text > $2 and substring(key_sealed from 2 for 4) <> $1
                    order by order_id::text
                    limit $3"#,
                key,
                first,
                limit
            )
        }
        Column::Organisations => {
            rows!(
                db,
                r#"select organisation_id::text as "first!", '' as "second!", user_digest_key as sealed
                     from organisations
                    where organisation_id::text > $2 and substring(user_digest_key from 2 for 4) <> $1
                    order by organisation_id::text
                    limit $3"#,
                key,
                first,
                limit
            )
        }
        Column::Users => {
            rows!(
                db,
                r#"select user_id::text as "first!", '' as "second!", email_sealed as sealed
                     from users
                    where user_id::text > $2 and substring(email_sealed from 2 for 4) <> $1
                    order by user_id::text
                    limit $3"#,
                key,
                first,
                limit
            )
        }
        Column::UserNames => people::list_user_names(db, key, first, limit).await,
        Column::Registrations => people::list_registrations(db, key, first, limit).await,
        Column::Invitations => people::list_invitations(db, key, first, limit).await,
        Column::Outbox => people::list_outbox(db, key, first, limit).await,
        Column::SecondFactors => people::list_second_factors(db, key, first, limit).await,
        Column::EmailChanges => people::list_email_changes(db, key, first, limit).await,
        Column::WebhookSecrets => people::list_webhook_secrets(db, key, first, limit).await,
        Column::OldWebhookSecrets => people::list_old_webhook_secrets(db, key, first, limit).await,
        Column::ClientSecrets => people::list_client_secrets(db, key, first, limit).await,
        Column::SingleSignOnAttempts => people::list_single_sign_on_attempts(db, key, first, limit).await,
        Column::Secrets => {
            rows!(
                db,
                r#"select name as first, '' as "second!", sealed
                     from secrets
                    where name > $2 and substring(sealed from 2 for 4) <> $1
                    order by name
                    limit $3"#,
                key,
                first,
                limit
            )
        }
        Column::IdempotencyKeys => {
            rows!(
                db,
                r#"select api_token_id::text as "first!", key as second, answer_sealed as "sealed!"
                     from idempotency_keys
                    where (api_token_id::text, key) > ($2, $3) and substring(answer_sealed from 2 for 4) <> $1
                    order by api_token_id::text, key
                    limit $4"#,
                key,
                first,
                second,
                limit
            )
        }
    }
}

/// Returns how many were still as they had been read.
pub async fn update(db: &mut PgConnection, column: Column, rows: &Resealed) -> Result<u64, sqlx::Error> {
    let Resealed {
        first,
        second,
        before,
        after,
    } = rows;
    match column {
        Column::Certificates => {
            updated!(
                db,
                "update certificates c set key_sealed = n.after
                   from unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[]) as n (first, second, before, after)
                  where c.hostname = n.first and c.issuer = n.second and c.key_sealed = n.before",
                first,
                second,
                before,
                after
            )
        }
        Column::AcmeAccounts => {
            updated!(
                db,
                "update acme_accounts a set key_sealed = n.after
                   from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
                  where a.issuer = n.first and a.key_sealed = n.before",
                first,
                before,
                after
            )
        }
        Column::AcmeOrders => {
            updated!(
                db,
                "update acme_orders o set key_sealed = n.after
                   from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
                  where o.order_id = n.first::uuid and o.key_sealed = n.before",
                first,
                before,
                after
            )
        }
        Column::Organisations => {
            updated!(
                db,
                "update organisations o set user_digest_key = n.after
                   from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
                  where o.organisation_id = n.first::uuid and o.user_digest_key = n.before",
                first,
                before,
                after
            )
        }
        Column::Users => {
            updated!(
                db,
                "update users u set email_sealed = n.after
                   from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
                  where u.user_id = n.first::uuid and u.email_sealed = n.before",
                first,
                before,
                after
            )
        }
        Column::UserNames => people::update_user_names(db, rows).await,
        Column::Registrations => people::update_registrations(db, rows).await,
        Column::Invitations => people::update_invitations(db, rows).await,
        Column::Outbox => people::update_outbox(db, rows).await,
        Column::SecondFactors => people::update_second_factors(db, rows).await,
        Column::EmailChanges => people::update_email_changes(db, rows).await,
        Column::WebhookSecrets => people::update_webhook_secrets(db, rows).await,
        Column::OldWebhookSecrets => people::update_old_webhook_secrets(db, rows).await,
        Column::ClientSecrets => people::update_client_secrets(db, rows).await,
        Column::SingleSignOnAttempts => people::update_single_sign_on_attempts(db, rows).await,
        Column::Secrets => {
            updated!(
                db,
                "update secrets s set sealed = n.after
                   from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
                  where s.name = n.first and s.sealed = n.before",
                first,
                before,
                after
            )
        }
        Column::IdempotencyKeys => {
            updated!(
                db,
                "update idempotency_keys i set answer_sealed = n.after
                   from unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[]) as n (first, second, before, after)
                  where i.api_token_id = n.first::uuid and i.key = n.second and i.answer_sealed = n.before",
                first,
                second,
                before,
                after
            )
        }
    }
}
