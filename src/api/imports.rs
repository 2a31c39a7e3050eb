//! Many domains in one call.
use actix_web::{post, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    body::{Body, located},
    problem::{InvalidField, Problem},
};
use crate::{
    accounts::{Actor, Permission},
    domains::{
        imports::{self, MAX_ROWS, Mode, Outcome, Row},
        intake::{DomainInput, tenants},
    },
    input::{FieldError, Object},
};

/// The largest body of an import.
pub const LIMIT: usize = 8 * 1024 * 1024;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"dry_run": true, "rows": [{"hostname": "contoso.com", "client_name": "Contoso", "server": {"vendor": "intune", "parameters": {"tenant_id": "11111111-2222-3333-4444-555555555555"}}}]}))]
pub struct Import {
    /// Say what would happen, and do nothing.
    #[serde(default)]
    dry_run: bool,
    /// Register the rows that can be; else one bad row means that none is.
    #[serde(default)]
    partial: bool,
    /// At most 1,000, each as for `POST /domains`. One that is malformed is a result of its own.
    #[schema(value_type = Vec<DomainInput>)]
    rows: Vec<serde_json::Value>,
}

#[derive(Serialize, ToSchema)]
pub struct ImportResult {
    dry_run: bool,
    /// Rows that were registered, or would be.
    created: usize,
    failed: usize,
    data: Vec<RowResult>,
}

/// What became of one row.
#[derive(Serialize, ToSchema)]
pub struct RowResult {
    /// Counted from 0.
    row: usize,
    ok: bool,
    #[schema(example = "contoso.com")]
    hostname: Option<String>,
    /// Of the domain; null in a dry run.
    id: Option<Uuid>,
    /// Why not: a code of this API, null if ok.
    #[schema(example = "hostname_taken")]
    code: Option<&'static str>,
    detail: Option<String>,
    errors: Vec<InvalidField>,
}

/// Import domains
///
/// All rows or none, unless `partial`. Each row has its result; a refused import answers 422 with them in `data`.
#[utoipa::path(
    tag = "Domains",
    params(("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed.")),
    request_body = Import,
    responses(
        (status = 200, body = ImportResult, example = json!({"dry_run": true, "created": 1, "failed": 0, "data": [{"row": 0, "ok": true, "hostname": "contoso.com", "id": null, "code": null, "detail": null, "errors": []}]})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
#[post("/domains/import")]
pub async fn import_domains(
    actor: Actor,
    api: web::Data<Api>,
    body: Body<Import, LIMIT>,
) -> Result<web::Json<ImportResult>, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let import = body.read().await?;
    if import.rows.len() > MAX_ROWS {
        return Err(Problem::invalid(vec![FieldError::new(
            "/rows",
            format_args!("at most {MAX_ROWS} rows in one call"),
        )]));
    }
    let mode = match (import.dry_run, import.partial) {
        (true, _) => Mode::DryRun,
        (false, true) => Mode::Partial,
        (false, false) => Mode::AllOrNone,
    };
    let mut rows: Vec<_> = import.rows.into_iter().map(parse).collect();
    tenants::fill_in(&api.entra, rows.iter_mut().filter_map(|row| row.input.as_mut().ok())).await;
    let mut tx = api.pool.begin().await?;
    let outcomes = imports::register(&mut tx, &api.registration_rules, &scope, rows).await?;
    let is_kept = mode.keeps(&outcomes);
    let mut data: Vec<_> = outcomes.into_iter().enumerate().map(RowResult::of).collect();
    let failed = data.iter().filter(|result| !result.ok).count();
    if is_kept {
        tx.commit().await?;
        api.check_wanted.notify_one();
    } else {
        tx.rollback().await?;
        forget_ids(&mut data);
    }
    if !is_kept && mode != Mode::DryRun {
        return Err(refused(data));
    }
    Ok(web::Json(ImportResult {
        dry_run: import.dry_run,
        created: data.len() - failed,
        failed,
        data,
    }))
}

fn parse(value: serde_json::Value) -> Row {
    let hostname = value.get("hostname").and_then(|text| text.as_str());
    Row {
        hostname: hostname.map(ToOwned::to_owned),
        input: serde_path_to_error::deserialize(value)
            .map(|Object(input)| input)
            .map_err(|error| vec![located(error)]),
    }
}

impl RowResult {
    fn of((row, outcome): (usize, Outcome)) -> Self {
        let result = |id: Option<Uuid>| Self {
            row,
            ok: id.is_some(),
            hostname: outcome.hostname,
            id,
            code: None,
            detail: None,
            errors: Vec::new(),
        };
        match outcome.registered {
            Ok(domain) => result(Some(domain.id)),
            Err(error) => {
                let problem = Problem::from(error);
                Self {
                    code: Some(problem.code()),
                    detail: Some(problem.detail().to_owned()),
                    errors: problem.invalid_fields(),
                    ..result(None)
                }
            }
        }
    }
}

/// What was rolled back has no id.
fn forget_ids(data: &mut [RowResult]) {
    for result in data {
        result.id = None;
    }
}

fn refused(data: Vec<RowResult>) -> Problem {
    let errors = data.iter().filter(|result| !result.ok).flat_map(|result| {
        let at = format!("/rows/{}", result.row);
        let own = result.errors.iter().map(|error| error.within(&at)).collect::<Vec<_>>();
        if own.is_empty() {
            vec![FieldError::new(at, result.detail.as_deref().unwrap_or_default())]
        } else {
            own
        }
    });
    let problem = Problem::invalid(errors.collect());
    match serde_json::to_value(data) {
        Ok(data) => problem.with_data(data),
        Err(_) => problem,
    }
}
