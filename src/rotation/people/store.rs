//! Every statement that seals anew what is known of people, and what is told to them. Each has an id: another column of a table with one is two
//! statements here.
use sqlx::PgConnection;

use crate::rotation::store::{Resealed, Row};

macro_rules! sealed_by_id {
    ($list:ident: $select:tt, $update:ident: $set:tt) => {
        pub async fn $list(
            db: &mut PgConnection,
            key: &[u8],
            after: &str,
            limit: i64,
        ) -> Result<Vec<Row>, sqlx::Error> {
            sqlx::query_as!(Row, $select, key, after, limit)
                .fetch_all(db)
                .await
        }

        pub async fn $update(db: &mut PgConnection, rows: &Resealed) -> Result<u64, sqlx::Error> {
            let updated = sqlx::query!($set, &rows.first, &rows.before, &rows.after);
            Ok(updated.execute(db).await?.rows_affected())
        }
    };
}

sealed_by_id!(
    list_user_names:
    r#"select user_id::text as "first!", '' as "second!", name_sealed as "sealed!"
         from users
        where user_id::text > $2 and substring(name_sealed from 2 for 4) <> $1
        order by user_id::text
        limit $3"#,
    update_user_names:
    "update users t set name_sealed = n.after
       from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
      where t.user_id = n.first::uuid and t.name_sealed = n.before"
);

sealed_by_id!(
    list_registrations:
    r#"select registration_id::text as "first!", '' as "second!", sealed
         from registrations
        where registration_id::text > $2 and substring(sealed from 2 for 4) <> $1
        order by registration_id::text
        limit $3"#,
    update_registrations:
    "update registrations t set sealed = n.after
       from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
      where t.registration_id = n.first::uuid and t.sealed = n.before"
);

sealed_by_id!(
    list_invitations:
    r#"select invitation_id::text as "first!", '' as "second!", email_sealed as sealed
         from invitations
        where invitation_id::text > $2 and substring(email_sealed from 2 for 4) <> $1
        order by invitation_id::text
        limit $3"#,
    update_invitations:
    "update invitations t set email_sealed = n.after
       from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
      where t.invitation_id = n.first::uuid and t.email_sealed = n.before"
);

sealed_by_id!(
    list_outbox:
    r#"select outbox_id::text as "first!", '' as "second!", sealed as "sealed!"
         from outbox
        where outbox_id::text > $2 and substring(sealed from 2 for 4) <> $1
        order by outbox_id::text
        limit $3"#,
    update_outbox:
    "update outbox t set sealed = n.after
       from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
      where t.outbox_id = n.first::uuid and t.sealed = n.before"
);

sealed_by_id!(
    list_second_factors:
    r#"select user_id::text as "first!", '' as "second!", secret_sealed as sealed
         from second_factors
        where user_id::text > $2 and substring(secret_sealed from 2 for 4) <> $1
        order by user_id::text
        limit $3"#,
    update_second_factors:
    "update second_factors t set secret_sealed = n.after
       from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
      where t.user_id = n.first::uuid and t.secret_sealed = n.before"
);

sealed_by_id!(
    list_email_changes:
    r#"select email_change_id::text as "first!", '' as "second!", email_sealed as sealed
         from email_changes
        where email_change_id::text > $2 and substring(email_sealed from 2 for 4) <> $1
        order by email_change_id::text
        limit $3"#,
    update_email_changes:
    "update email_changes t set email_sealed = n.after
       from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
      where t.email_change_id = n.first::uuid and t.email_sealed = n.before"
);

sealed_by_id!(
    list_webhook_secrets:
    r#"select webhook_endpoint_id::text as "first!", '' as "second!", secret_sealed as sealed
         from webhook_endpoints
        where webhook_endpoint_id::text > $2 and substring(secret_sealed from 2 for 4) <> $1
        order by webhook_endpoint_id::text
        limit $3"#,
    update_webhook_secrets:
    "update webhook_endpoints t set secret_sealed = n.after
       from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
      where t.webhook_endpoint_id = n.first::uuid and t.secret_sealed = n.before"
);

sealed_by_id!(
    list_old_webhook_secrets:
    r#"select webhook_endpoint_id::text as "first!", '' as "second!", old_secret_sealed as "sealed!"
         from webhook_endpoints
        where webhook_endpoint_id::text > $2 and substring(old_secret_sealed from 2 for 4) <> $1
        order by webhook_endpoint_id::text
        limit $3"#,
    update_old_webhook_secrets:
    "update webhook_endpoints t set old_secret_sealed = n.after
       from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
      where t.webhook_endpoint_id = n.first::uuid and t.old_secret_sealed = n.before"
);

sealed_by_id!(
    list_client_secrets:
    r#"select identity_provider_id::text as "first!", '' as "second!", client_secret_sealed as sealed
         from identity_providers
        where identity_provider_id::text > $2 and substring(client_secret_sealed from 2 for 4) <> $1
        order by identity_provider_id::text
        limit $3"#,
    update_client_secrets:
    "update identity_providers t set client_secret_sealed = n.after
       from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
      where t.identity_provider_id = n.first::uuid and t.client_secret_sealed = n.before"
);

sealed_by_id!(
    list_single_sign_on_attempts:
    r#"select encode(state_digest, 'hex') as "first!", '' as "second!", sealed
         from single_sign_on_attempts
        where encode(state_digest, 'hex') > $2 and substring(sealed from 2 for 4) <> $1
        order by encode(state_digest, 'hex')
        limit $3"#,
    update_single_sign_on_attempts:
    "update single_sign_on_attempts t set sealed = n.after
       from unnest($1::text[], $2::bytea[], $3::bytea[]) as n (first, before, after)
      where t.state_digest = decode(n.first, 'hex') and t.sealed = n.before"
);
