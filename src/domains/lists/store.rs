//! Every statement on lists of domains. Which ones a page shows is one statement, what is known of them another: so that
//! the first needs nothing but what it filters and sorts by.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Question, Sort};
use crate::{accounts::Scope, domains::status::Status};

/// A domain that a page may show.
pub struct Candidate {
    pub domain_id: Uuid,
    pub hostname: String,
    pub client_name: String,
}

/// How far the facts narrow a status: every domain that has it is among those that remain, and few others. What our own
/// addresses are is no column: a look that was judged by earlier ones counts until the next.
macro_rules! candidates {
    ($db:expr, $scope:expr, $question:expr, $more:expr, $after:literal) => {
        sqlx::query_as!(
            Candidate,
            r#"select d.domain_id, d.hostname, c.name as client_name
                 from domains d
                 join clients c using (client_id)
                 join organisations o on o.organisation_id = d.organisation_id
                 join domain_checks k using (domain_id)
                where d.organisation_id = $1 and ($2::uuid is null or d.client_id = $2)
                  and ($3::uuid is null or d.client_id = $3)
                  and ($4::text is null or position($4 in d.hostname) > 0 or d.client_id in (
                       select x.client_id from clients x
                        where x.organisation_id = $1 and position($5 in lower(x.name)) > 0))
                  and case
                      when $6::text is null then true
                      when $6 = 'suspended' then d.suspended_at is not null or o.suspended_at is not null
                      when d.suspended_at is not null or o.suspended_at is not null then false
                      when $6 = 'pending_ownership' then d.ownership_verified_at is null
                      when d.ownership_verified_at is null then false
                      when $6 = 'pending_dns' then k.connected_at is null
                           or d.connection = 'direct' and k.connected_at is distinct from k.connection_checked_at
                              and not exists (
                                  select from certificates x where x.domain_id = d.domain_id and x.issuer = $7)
                      when $6 = 'pending_certificate' then k.connected_at is not null and d.connection = 'direct'
                           and not exists (
                               select from certificates x where x.domain_id = d.domain_id and x.issuer = $7)
                      when $6 = 'attention' then k.ownership_missing_since is not null
                           or k.connected_at is distinct from k.connection_checked_at
                           or d.connection = 'direct' and exists (
                              select from certificates x
                               where x.domain_id = d.domain_id and x.issuer = $7 and x.not_after <= $8)
                           or exists (
                              select from domains x where x.hostname = d.hostname and x.takes_over_at is not null)
                      when $6 = 'active' then k.connected_at is not null
                           and (k.ownership_missing_since is null or d.ownership_proof <> 'dns')
                           and (d.connection <> 'direct' or exists (
                               select from certificates x
                                where x.domain_id = d.domain_id and x.issuer = $7 and x.not_after > $8))
                      end
                  and "#
                + $after,
            $scope.organisation_id(),
            $scope.client_id(),
            $question.client_id,
            $question.text.as_ref().map(|text| text.hostname.as_str()),
            $question.text.as_ref().map(|text| text.name.as_str()),
            $question.status.map(Status::as_str),
            $more.issuer,
            $more.now,
            $more.after,
            $more.limit,
        )
        .fetch_all($db)
        .await
    };
}

/// What every page of one list has of its own.
pub struct More<'a> {
    pub issuer: &'a str,
    pub now: DateTime<Utc>,
    /// A hostname, or the text of an id, as the list is sorted.
    pub after: Option<&'a str>,
    pub limit: i64,
}

pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    question: &Question,
    more: &More<'_>,
) -> Result<Vec<Candidate>, sqlx::Error> {
    match question.sort {
        Sort::Hostname => candidates!(
            db,
            scope,
            question,
            more,
            "($9::text is null or d.hostname > $9) order by d.hostname limit $10"
        ),
        Sort::HostnameBackwards => candidates!(
            db,
            scope,
            question,
            more,
            "($9::text is null or d.hostname < $9) order by d.hostname desc limit $10"
        ),
        Sort::Newest => candidates!(
            db,
            scope,
            question,
            more,
            "($9::text is null or d.domain_id < $9::text::uuid) order by d.domain_id desc limit $10"
        ),
        Sort::Oldest => candidates!(
            db,
            scope,
            question,
            more,
            "($9::text is null or d.domain_id > $9::text::uuid) order by d.domain_id limit $10"
        ),
    }
}
