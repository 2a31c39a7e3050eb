//! Many domains in one call.
use actix_web::{post, web};
use serde::{Deserialize, Serialize};
use sqlx::{Acquire, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    body::{Body, located},
    domain_input::DomainInput,
    problem::{InvalidField, Problem},
    tenants,
};
use crate::{
    accounts::{Actor, Permission, Scope},
    input::{FieldError, Object},
};

/// The largest body of an import.
pub const LIMIT: usize = 8 * 1024 * 1024;
const MAX_ROWS: usize = 1_000;

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
    let mut rows: Vec<_> = import.rows.into_iter().enumerate().map(Row::parse).collect();
    tenants::fill_in(&api.entra, rows.iter_mut().filter_map(|row| row.input.as_mut().ok())).await;
    let mut tx = api.pool.begin().await?;
    let mut data = Vec::with_capacity(rows.len());
    for row in rows {
        data.push(register_row(&mut tx, &api, &scope, row).await?);
    }
    let failed = data.iter().filter(|result| !result.ok).count();
    if import.dry_run {
        tx.rollback().await?;
        forget_ids(&mut data);
    } else if failed > 0 && !import.partial {
        tx.rollback().await?;
        return Err(refused(data));
    } else {
        tx.commit().await?;
    }
    Ok(web::Json(ImportResult {
        dry_run: import.dry_run,
        created: data.len() - failed,
        failed,
        data,
    }))
}

/// One row as it was given.
struct Row {
    /// Counted from 0.
    number: usize,
    hostname: Option<String>,
    input: Result<DomainInput, FieldError>,
}

impl Row {
    fn parse((number, value): (usize, serde_json::Value)) -> Self {
        let hostname = value.get("hostname").and_then(|text| text.as_str());
        Self {
            number,
            hostname: hostname.map(ToOwned::to_owned),
            input: serde_path_to_error::deserialize(value)
                .map(|Object(input)| input)
                .map_err(located),
        }
    }
}

/// In a savepoint: a row that fails leaves nothing behind, and a database that fails ends the import.
async fn register_row(db: &mut PgConnection, api: &Api, scope: &Scope, row: Row) -> Result<RowResult, Problem> {
    let result = |ok, hostname| RowResult {
        row: row.number,
        ok,
        hostname,
        id: None,
        code: None,
        detail: None,
        errors: Vec::new(),
    };
    let registered = match row.input {
        Err(error) => Err(Problem::invalid(vec![error])),
        Ok(input) => {
            let mut savepoint = db.begin().await?;
            let registered = input.register(&mut savepoint, api, scope).await;
            match &registered {
                Ok(_) => savepoint.commit().await?,
                Err(_) => savepoint.rollback().await?,
            }
            registered
        }
    };
    match registered {
        Ok(domain) => Ok(RowResult {
            id: Some(domain.id),
            ..result(true, Some(domain.hostname))
        }),
        // Also a deadlock: with the next row the same two imports would only meet again.
        Err(problem) if problem.status().is_server_error() || problem.is_worth_repeating() => Err(problem),
        Err(problem) => {
            let code = Some(problem.code());
            Ok(RowResult {
                code,
                detail: Some(problem.detail().to_owned()),
                errors: problem.invalid_fields(),
                ..result(false, row.hostname)
            })
        }
    }
}

/// What was rolled back has no id.
fn forget_ids(data: &mut [RowResult]) {
    for result in data {
        result.id = None;
    }
}

fn refused(mut data: Vec<RowResult>) -> Problem {
    forget_ids(&mut data);
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
