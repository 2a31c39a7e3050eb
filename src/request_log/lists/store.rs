//! Every statement on pages of rows. One for each index: a condition that may be absent can't be looked up in one.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Place;
use crate::{
    accounts::Scope,
    request_log::{Filter, Request},
};

/// By the domain, whichever client it was of.
pub async fn of_domain(
    db: &mut PgConnection,
    scope: &Scope,
    domain_id: Uuid,
    filter: &Filter,
    place: &Place,
) -> Result<Vec<Request>, sqlx::Error> {
    sqlx::query_as!(
        Request,
        "select request_id as id, at, hostname, model_family, user_digest, outcome, status,
                mdm_server_id as server_id, user_agent, client_network, tls
           from requests
          where organisation_id = $1
            and domain_id = $2
            and ($3::uuid is null or client_id = $3)
            and ($4::uuid is null or client_id = $4)
            and ($5::text is null or hostname = $5)
            and ($6::text is null or model_family = $6)
            and ($7::text is null or outcome = $7)
            and at >= coalesce($8::timestamptz, '-infinity')
            and at < coalesce($9::timestamptz, 'infinity')
            and request_id < coalesce($10::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          order by request_id desc limit $11",
        scope.organisation_id(),
        domain_id,
        scope.client_id(),
        filter.client_id,
        filter.hostname,
        filter.model_family,
        filter.outcome,
        place.since,
        place.until,
        place.before,
        place.limit,
    )
    .fetch_all(db)
    .await
}

/// By the client.
pub async fn of_client(
    db: &mut PgConnection,
    scope: &Scope,
    client_id: Uuid,
    filter: &Filter,
    place: &Place,
) -> Result<Vec<Request>, sqlx::Error> {
    sqlx::query_as!(
        Request,
        "select request_id as id, at, hostname, model_family, user_digest, outcome, status,
                mdm_server_id as server_id, user_agent, client_network, tls
           from requests
          where organisation_id = $1
            and client_id = $2
            and ($3::uuid is null or client_id = $3)
            and ($4::text is null or hostname = $4)
            and ($5::text is null or model_family = $5)
            and ($6::text is null or outcome = $6)
            and at >= coalesce($7::timestamptz, '-infinity')
            and at < coalesce($8::timestamptz, 'infinity')
            and request_id < coalesce($9::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          order by request_id desc limit $10",
        scope.organisation_id(),
        client_id,
        scope.client_id(),
        filter.hostname,
        filter.model_family,
        filter.outcome,
        place.since,
        place.until,
        place.before,
        place.limit,
    )
    .fetch_all(db)
    .await
}

/// By the organisation.
pub async fn of_organisation(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
    place: &Place,
) -> Result<Vec<Request>, sqlx::Error> {
    sqlx::query_as!(
        Request,
        "select request_id as id, at, hostname, model_family, user_digest, outcome, status,
                mdm_server_id as server_id, user_agent, client_network, tls
           from requests
          where organisation_id = $1
            and ($2::uuid is null or client_id = $2)
            and ($3::text is null or hostname = $3)
            and ($4::text is null or model_family = $4)
            and ($5::text is null or outcome = $5)
            and at >= coalesce($6::timestamptz, '-infinity')
            and at < coalesce($7::timestamptz, 'infinity')
            and request_id < coalesce($8::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          order by request_id desc limit $9",
        scope.organisation_id(),
        scope.client_id(),
        filter.hostname,
        filter.model_family,
        filter.outcome,
        place.since,
        place.until,
        place.before,
        place.limit,
    )
    .fetch_all(db)
    .await
}

/// The domains that had this name while rows are kept: the counts know them, also those that were deleted since.
pub async fn domains_of(db: &mut PgConnection, scope: &Scope, hostname: &str) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select distinct domain_id from request_counts
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and hostname = $3
            and hour > now() - interval '40 days'",
        scope.organisation_id(),
        scope.client_id(),
        hostname,
    )
    .fetch_all(db)
    .await
}

/// The first hour in which anything was asked and answered so: before it there is nothing to look for.
pub async fn first_hour(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select min(hour) as hour from request_totals
          where organisation_id = $1 and ($2::uuid is null or client_id = $2)
            and client_id = coalesce($3::uuid, $2::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
            and hour > now() - interval '40 days'
            and ($4::text is null or model_family = $4) and ($5::text is null or outcome = $5)",
        scope.organisation_id(),
        scope.client_id(),
        filter.client_id,
        filter.model_family,
        filter.outcome,
    )
    .fetch_one(db)
    .await
}
