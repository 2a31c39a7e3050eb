//! The request log.
use actix_web::{HttpRequest, HttpResponse, get, http::header, web};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api, exports,
    page::{Page, Params, Window, invalid_parameter},
    problem::Problem,
};
use crate::{
    accounts::{Actor, Permission},
    discovery::{hit::Outcome, query::Asked},
    hostname::Hostname,
    input::optional_time,
    request_log::{
        Filter, Group, SummaryRow,
        export::{Export, Line as RequestBody},
        lists, summaries,
    },
};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Its hostname or its id.
    #[param(example = "contoso.com")]
    domain: Option<String>,
    client_id: Option<Uuid>,
    #[param(example = "iPhone")]
    model_family: Option<String>,
    #[param(example = "served")]
    outcome: Option<String>,
    /// From this time on.
    #[serde(default, deserialize_with = "optional_time")]
    since: Option<DateTime<Utc>>,
    /// Before this time.
    #[serde(default, deserialize_with = "optional_time")]
    until: Option<DateTime<Utc>>,
    /// 1 to 100, 50 if not given. An export has no pages.
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl ListParams {
    fn filter(&self) -> Result<Filter, Problem> {
        let one_of = |name, text: &Option<String>, known: &[&str]| match text {
            Some(text) if !known.contains(&text.as_str()) => Err(invalid_parameter(
                name,
                format_args!("is not one of {}", known.join(", ")),
            )),
            text => Ok(text.clone()),
        };
        let (hostname, domain_id) = match self.domain.as_deref().map(|text| (text.parse(), Hostname::parse(text))) {
            None => (None, None),
            Some((Ok(id), _)) => (None, Some(id)),
            Some((Err(_), Ok(hostname))) => (Some(hostname.to_string()), None),
            Some((Err(_), Err(error))) => return Err(invalid_parameter("domain", error)),
        };
        Ok(Filter {
            hostname,
            domain_id,
            client_id: self.client_id,
            model_family: one_of("model_family", &self.model_family, &Asked::ALL.map(Asked::as_str))?,
            outcome: one_of("outcome", &self.outcome, &Outcome::ALL.map(Outcome::as_str))?,
            since: self.since,
            until: self.until,
        })
    }
}

/// List requests
///
/// Newest first. `Accept: text/csv` or `application/x-ndjson` streams all of them.
#[utoipa::path(
    tag = "Requests",
    params(ListParams),
    responses(
        (status = 200, body = Page<RequestBody>, example = json!({"data": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "at": "2026-11-01T09:00:00.123456Z", "hostname": "contoso.com", "model_family": "iPhone", "user": "a3f1c9b07d2e4f5a8b6c1d0e9f3a7b52", "outcome": "served", "status": 200, "server_id": "01890a5d-ac96-774b-bcce-b302099a8058", "user_agent": "DeviceManagementClient/1.0", "client_network": "203.0.113.0/24", "tls": "TLSv1.3"}], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/requests")]
pub async fn list_requests(
    actor: Actor,
    api: web::Data<Api>,
    request: HttpRequest,
    params: Params<ListParams>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::RequestsRead)?;
    let filter = params.0.filter()?;
    let accept = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if let Some(format) = exports::accepted(accept) {
        let export = Export::new(api.pool.clone(), scope, filter, format);
        return Ok(exports::stream(export, format));
    }
    let window = Window::parse(params.0.limit, params.0.cursor.as_deref())?;
    let mut db = api.pool.acquire().await?;
    let rows = lists::list(&mut db, &scope, &filter, window.after, window.fetch()).await?;
    Ok(HttpResponse::Ok().json(window.page(rows, |request| request.id, RequestBody::from)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SummaryParams {
    /// `model_family`, `domain`, `outcome`, and one of `hour` and `day`, with commas between.
    #[param(example = "model_family,day")]
    group_by: Option<String>,
    /// Counts are kept by the hour: rounded down. 30 days ago if not given.
    #[serde(default, deserialize_with = "optional_time")]
    since: Option<DateTime<Utc>>,
    /// Before this time; now if not given.
    #[serde(default, deserialize_with = "optional_time")]
    until: Option<DateTime<Utc>>,
}

impl SummaryParams {
    fn groups(&self) -> Result<Vec<Group>, Problem> {
        let mut groups = Vec::new();
        for name in self.group_by.as_deref().unwrap_or("model_family").split(',') {
            groups.push(match name.trim() {
                "model_family" => Group::ModelFamily,
                "domain" => Group::Domain,
                "outcome" => Group::Outcome,
                "hour" => Group::Hour,
                "day" => Group::Day,
                other => {
                    let detail = format!("`{other}` is not one of model_family, domain, outcome, hour, day");
                    return Err(invalid_parameter("group_by", detail));
                }
            });
        }
        if groups.contains(&Group::Hour) && groups.contains(&Group::Day) {
            return Err(invalid_parameter("group_by", "names hour and day: one is enough"));
        }
        Ok(groups)
    }
}

#[derive(Serialize, ToSchema)]
pub struct Summary {
    data: Vec<SummaryLine>,
}

/// A count with what it is grouped by.
#[derive(Serialize, ToSchema)]
pub struct SummaryLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "iPhone")]
    model_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "contoso.com")]
    domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hour: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<chrono::NaiveDate>,
    #[schema(example = 12)]
    count: i64,
}

/// Count requests
///
/// Ordered by the groups, as they are named.
#[utoipa::path(
    tag = "Requests",
    params(SummaryParams),
    responses(
        (status = 200, body = Summary, example = json!({"data": [{"model_family": "iPhone", "count": 12}, {"model_family": "Mac", "count": 3}]})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/requests/summary")]
pub async fn summarise_requests(
    actor: Actor,
    api: web::Data<Api>,
    params: Params<SummaryParams>,
) -> Result<web::Json<Summary>, Problem> {
    let scope = actor.scope(Permission::RequestsRead)?;
    let groups = params.0.groups()?;
    let (mut db, now) = crate::clock::acquire(&api.pool).await?;
    let until = params.0.until.unwrap_or_else(|| now.get() + TimeDelta::hours(1));
    let since = params.0.since.unwrap_or_else(|| now.get() - TimeDelta::days(30));
    let since = since
        - TimeDelta::seconds(since.timestamp().rem_euclid(3600))
        - TimeDelta::nanoseconds(i64::from(since.timestamp_subsec_nanos()));
    let rows = summaries::summarise(&mut db, &scope, &groups, (since, until)).await?;
    let line = |row: SummaryRow| SummaryLine {
        model_family: row.model_family,
        domain: row.hostname,
        outcome: row.outcome,
        hour: row.time.filter(|_| groups.contains(&Group::Hour)),
        day: row
            .time
            .filter(|_| groups.contains(&Group::Day))
            .map(|time| time.date_naive()),
        count: row.count,
    };
    Ok(web::Json(Summary {
        data: rows.into_iter().map(line).collect(),
    }))
}
