//! What a domain's owner has to set up.
use actix_web::{get, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    domains::find,
    page::{Params, invalid_parameter},
    problem::Problem,
};
use crate::{
    accounts::{Actor, Permission},
    domains::{Connection, Domain},
    setup::{self, Edge, Record, Snippet},
};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SetupParams {
    /// `direct`, `redirect` or `proxy`: what it would be for this connection. The domain's own if not given.
    #[param(example = "redirect")]
    connection: Option<String>,
}

/// What a domain's owner has to set up.
#[derive(Serialize, ToSchema)]
pub struct SetupBody {
    #[schema(example = "contoso.com")]
    hostname: String,
    /// `direct`, `redirect` or `proxy`.
    #[schema(example = "redirect")]
    connection: &'static str,
    records: Vec<RecordBody>,
    /// What a redirect leads to and a proxy fetches.
    #[schema(example = "https://edge.example.com/d/contoso.com/.well-known/com.apple.remotemanagement")]
    target: String,
    /// For one web server each: one of them is needed. Empty for `direct`.
    snippets: Vec<SnippetBody>,
}

#[derive(Serialize, ToSchema)]
pub struct RecordBody {
    #[serde(rename = "type")]
    #[schema(example = "TXT")]
    kind: &'static str,
    #[schema(example = "_signpost.contoso.com")]
    name: String,
    #[schema(example = "signpost-verification=Zm9vYmFyYmF6cXV4cXV1eGNvcmdl")]
    value: String,
    purpose: &'static str,
}

#[derive(Serialize, ToSchema)]
pub struct SnippetBody {
    /// `nginx`, `apache`, `caddy`, `iis`, `cloudflare_redirect_rule`, `cloudflare_worker`, `netlify`, `vercel` or `wordpress`.
    #[schema(example = "nginx")]
    server: &'static str,
    #[schema(example = "nginx")]
    name: &'static str,
    /// `redirect` or `proxy`.
    #[schema(example = "redirect")]
    mode: &'static str,
    /// Where it goes.
    file: String,
    /// For colouring it.
    #[schema(example = "nginx")]
    language: &'static str,
    text: String,
    /// What it needs, and what keeps it from working.
    notes: Vec<String>,
}

/// Show how to set a domain up
///
/// The DNS records, and for `redirect` and `proxy` the lines for the usual web servers. Each keeps the device's query.
#[utoipa::path(
    tag = "Domains",
    params(("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com"), SetupParams),
    responses(
        (status = 200, body = SetupBody, example = json!({
            "hostname": "contoso.com", "connection": "redirect",
            "records": [{"type": "TXT", "name": "_signpost.contoso.com", "value": "signpost-verification=Zm9vYmFyYmF6cXV4cXV1eGNvcmdl", "purpose": "proves that the owner of this name wants Signpost to answer for it"}],
            "target": "https://edge.example.com/d/contoso.com/.well-known/com.apple.remotemanagement",
            "snippets": [{"server": "nginx", "name": "nginx", "mode": "redirect", "file": "the `server { … }` that answers https://contoso.com", "language": "nginx",
                "text": "location = /.well-known/com.apple.remotemanagement {\n    return 307 https://edge.example.com/d/contoso.com/.well-known/com.apple.remotemanagement$is_args$args;\n}\n",
                "notes": ["Use the block that answers https://contoso.com itself, even if all it does is to redirect to www."]}],
        })),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/domains/{domain}/setup")]
pub async fn show_setup(
    actor: Actor,
    api: web::Data<Api>,
    key: web::Path<String>,
    params: Params<SetupParams>,
) -> Result<web::Json<SetupBody>, Problem> {
    let scope = actor.scope(Permission::DomainsRead)?;
    let wanted = params.0.connection.as_deref().map(parse).transpose()?;
    let domain = find(&mut *api.pool.acquire().await?, &scope, &key).await?;
    let connection = wanted.unwrap_or(domain.connection);
    Ok(web::Json(SetupBody::new(&api, &domain, connection)))
}

impl SetupBody {
    pub(super) fn new(api: &Api, domain: &Domain, connection: Connection) -> Self {
        let edge = Edge::new(&api.checker.expected, api.trial_root.as_deref());
        let setup = setup::setup_of(domain, edge, connection);
        Self {
            hostname: domain.hostname.clone(),
            connection: connection.as_str(),
            records: setup.records.into_iter().map(record).collect(),
            target: setup.target,
            snippets: setup.snippets.into_iter().map(snippet).collect(),
        }
    }
}

fn parse(text: &str) -> Result<Connection, Problem> {
    Connection::parse(text).ok_or_else(|| invalid_parameter("connection", "is not `direct`, `redirect` or `proxy`"))
}

fn record(record: Record) -> RecordBody {
    RecordBody {
        kind: record.kind,
        name: record.name,
        value: record.value,
        purpose: record.purpose,
    }
}

fn snippet(snippet: Snippet) -> SnippetBody {
    SnippetBody {
        server: snippet.server,
        name: snippet.name,
        mode: snippet.mode.as_str(),
        file: snippet.file,
        language: snippet.language,
        text: snippet.text,
        notes: snippet.notes,
    }
}
