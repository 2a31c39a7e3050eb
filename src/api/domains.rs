//! Domains: registering, changing, deleting, and what a device would get.
use std::collections::HashMap;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    body::{Body, present},
    domain_body::DomainBody,
    mdm_servers::ServerInput,
    page::{Page, Params, Window, invalid_parameter},
    problem::Problem,
};
use crate::{
    accounts::{Actor, ClientScope, Permission, Scope, clients},
    discovery::{
        handler::{self, Decision},
        policy::Matched,
        request::Query,
    },
    domains::{
        self, Change, Connection, Domain, DomainError, NewDomain,
        policy::{Action, Policy, Rule, rules_errors},
        status::{Status, status},
        store::{self, Filter},
    },
    hostname::Hostname,
    input::{FieldError, Name, WebUrl, objects, optional_object},
    publisher,
};

/// A domain to be registered. One call is enough for a domain and its tenant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"hostname": "contoso.com", "client_name": "Contoso", "server": {"vendor": "intune", "parameters": {"tenant_id": "11111111-2222-3333-4444-555555555555"}}}))]
pub struct DomainInput {
    hostname: String,
    /// One of `client_id` and `client_name` is needed.
    #[serde(default)]
    client_id: Option<Uuid>,
    /// A name that is new makes the client.
    #[serde(default)]
    client_name: Option<String>,
    /// An MDM server of the client, that the policy's default serves.
    #[serde(default)]
    server_id: Option<Uuid>,
    /// The same, described; one with the same parameters is used again.
    #[serde(default, deserialize_with = "optional_object")]
    server: Option<ServerInput>,
    /// `direct` (the default), `redirect` or `proxy`.
    #[serde(default)]
    connection: Option<String>,
    /// Where people who open the domain in a browser are sent (direct only).
    #[serde(default)]
    website_url: Option<String>,
    /// Instead of, or with the rules for, `server_id` or `server`.
    #[serde(default, deserialize_with = "optional_object")]
    policy: Option<PolicyInput>,
}

/// A policy whose default may be left to `server_id` or `server`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyInput {
    #[serde(default)]
    default: Option<Action>,
    #[serde(default, deserialize_with = "objects")]
    rules: Vec<Rule>,
}

/// Which client a new domain belongs to.
enum ClientChoice {
    Id(Uuid),
    Name(Name),
}

impl DomainInput {
    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Registers it in `db`. Everything that can be said without the database is said at once.
    pub async fn register(self, db: &mut PgConnection, api: &Api, scope: &Scope) -> Result<Domain, Problem> {
        let server_id = self.server_id;
        let (client, new) = self.parse().map_err(Problem::invalid)?;
        let client = match client {
            ClientChoice::Id(id) => client_of(db, scope, id).await?,
            ClientChoice::Name(name) => clients::find_or_create(db, scope, name.as_str()).await?,
        };
        let registered = domains::register(db, &client, &api.own_hosts, new).await;
        registered.map_err(|error| match &error {
            DomainError::NoSuchServer(id) if server_id == Some(*id) => {
                Problem::invalid(vec![FieldError::new("/server_id", &error)])
            }
            _ => error.into(),
        })
    }

    fn parse(self) -> Result<(ClientChoice, NewDomain), Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut note = |pointer: &str, detail: &dyn std::fmt::Display| errors.push(FieldError::new(pointer, detail));
        let hostname = Hostname::parse(&self.hostname)
            .inspect_err(|error| note("/hostname", error))
            .ok();
        let client = match (self.client_id, self.client_name.as_deref().map(Name::parse)) {
            (Some(id), None) => Some(ClientChoice::Id(id)),
            (None, Some(Ok(name))) => Some(ClientChoice::Name(name)),
            (None, Some(Err(detail))) => {
                note("/client_name", &detail);
                None
            }
            (None, None) => {
                note("/client_id", &"give client_id, or client_name");
                None
            }
            (Some(_), Some(_)) => {
                note("/client_name", &"give client_id or client_name, not both");
                None
            }
        };
        let connection = match self.connection.as_deref() {
            None => Some(Connection::Direct),
            Some(text) => {
                let parsed = Connection::parse(text);
                if parsed.is_none() {
                    note("/connection", &"is not `direct`, `redirect` or `proxy`");
                }
                parsed
            }
        };
        let website_url = self
            .website_url
            .as_deref()
            .map(WebUrl::parse)
            .transpose()
            .inspect_err(|detail| note("/website_url", detail))
            .ok();
        let (policy_default, rules) = self
            .policy
            .map_or((None, Vec::new()), |policy| (policy.default, policy.rules));
        let default = default_of(self.server_id, self.server, policy_default)
            .map_err(|found| errors.extend(found))
            .ok();
        errors.extend(rules_errors(&rules).into_iter().map(|error| error.within("/policy")));
        match (hostname, client, connection, website_url, default) {
            (Some(hostname), Some(client), Some(connection), Some(website_url), Some(default)) if errors.is_empty() => {
                Ok((
                    client,
                    NewDomain {
                        hostname,
                        connection,
                        website_url,
                        default,
                        rules,
                    },
                ))
            }
            _ => Err(errors),
        }
    }
}

fn default_of(
    server_id: Option<Uuid>,
    server: Option<ServerInput>,
    action: Option<Action>,
) -> Result<domains::Default, Vec<FieldError>> {
    match (server_id, server, action) {
        (Some(id), None, None) => Ok(domains::Default::Server(id)),
        (None, Some(server), None) => {
            let configured = server.configure().map(domains::Default::NewServer);
            configured.map_err(|errors| errors.into_iter().map(|error| error.within("/server")).collect())
        }
        (None, None, Some(action)) => {
            let errors = Policy {
                default: action.clone(),
                rules: Vec::new(),
            }
            .errors();
            let errors: Vec<_> = errors.into_iter().map(|error| error.within("/policy")).collect();
            if errors.is_empty() {
                Ok(domains::Default::Action(action))
            } else {
                Err(errors)
            }
        }
        (None, None, None) => Err(vec![FieldError::new(
            "/server",
            "give server, server_id, or a policy with a default",
        )]),
        (Some(_), Some(_), _) => Err(vec![FieldError::new("/server", "give server or server_id, not both")]),
        (_, _, Some(_)) => Err(vec![FieldError::new(
            "/policy/default",
            "give server or server_id, or a policy with a default: not both",
        )]),
    }
}

/// A client that the caller may not see is an error of the body, as it stands there.
async fn client_of(db: &mut PgConnection, scope: &Scope, client_id: Uuid) -> Result<ClientScope, Problem> {
    Ok(scope.client(db, client_id).await?)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Only this client's.
    client_id: Option<Uuid>,
    /// Only those with this status.
    #[param(example = "active")]
    status: Option<String>,
    /// Only those with this in their hostname.
    q: Option<String>,
    /// 1 to 100, 50 if not given.
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List domains
#[utoipa::path(
    tag = "Domains",
    params(ListParams),
    responses(
        (status = 200, body = Page<DomainBody>, example = json!({"data": [super::openapi::domain_example()], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/domains")]
pub async fn list_domains(
    actor: Actor,
    api: web::Data<Api>,
    params: Params<ListParams>,
) -> Result<web::Json<Page<DomainBody>>, Problem> {
    let scope = actor.scope(Permission::DomainsRead)?;
    let params = params.0;
    let window = Window::parse(params.limit, params.cursor.as_deref())?;
    let parse = |text: &str| {
        Status::parse(text).ok_or_else(|| {
            invalid_parameter(
                "status",
                format_args!("is not one of {}", Status::ALL.map(Status::as_str).join(", ")),
            )
        })
    };
    let wanted = params.status.as_deref().map(parse).transpose()?;
    if params.q.as_deref().is_some_and(|text| text.contains(char::is_control)) {
        return Err(invalid_parameter("q", "holds a control character"));
    }
    let filter = Filter {
        client_id: params.client_id,
        text: params.q.map(|text| text.to_lowercase()),
        one: None,
    };
    let now = crate::clock::now();
    let mut db = api.pool.acquire().await?;
    let rows = list(&mut db, &scope, &filter, window, |domain| {
        wanted.is_none_or(|wanted| status(domain, now) == wanted)
    })
    .await?;
    Ok(web::Json(window.page(
        rows,
        |domain| domain.id,
        |domain| DomainBody::new(domain, &api.edge_addresses, now),
    )))
}

/// The status is derived, so it is looked for in what the other filters leave.
async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
    window: Window,
    is_wanted: impl Fn(&Domain) -> bool,
) -> Result<Vec<Domain>, DomainError> {
    let wanted = usize::try_from(window.fetch()).unwrap_or(usize::MAX);
    let (mut found, mut after) = (Vec::new(), window.after);
    let mut fetch = window.fetch();
    loop {
        let rows = store::list(db, scope, filter, after, fetch).await?;
        let is_last = i64::try_from(rows.len()).unwrap_or(i64::MAX) < fetch;
        after = rows.last().map(|domain| domain.id);
        found.extend(rows.into_iter().filter(|domain| is_wanted(domain)));
        if is_last || found.len() >= wanted {
            found.truncate(wanted);
            return Ok(found);
        }
        fetch = 1_000;
    }
}

/// Register a domain
///
/// Together with its client and MDM server, if those are new.
#[utoipa::path(
    tag = "Domains",
    params(("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed.")),
    request_body = DomainInput,
    responses(
        (status = 201, body = DomainBody, example = json!(super::openapi::domain_example())),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, description = "No such client", body = Problem),
        (status = 409, description = "Somebody has registered this hostname", body = Problem), (status = 422, body = Problem),
    ),
)]
#[post("/domains")]
pub async fn create_domain(
    actor: Actor,
    api: web::Data<Api>,
    body: Body<DomainInput>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let body = body.read().await?;
    let mut tx = api.pool.begin().await?;
    let domain = body.register(&mut tx, &api, &scope).await?;
    tx.commit().await?;
    Ok(HttpResponse::Created().json(DomainBody::new(domain, &api.edge_addresses, crate::clock::now())))
}

/// Show a domain
#[utoipa::path(
    tag = "Domains",
    params(("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com")),
    responses(
        (status = 200, body = DomainBody, example = json!(super::openapi::domain_example())),
        (status = 401, body = Problem), (status = 404, body = Problem),
    ),
)]
#[get("/domains/{domain}")]
pub async fn find_domain(
    actor: Actor,
    api: web::Data<Api>,
    key: web::Path<String>,
) -> Result<web::Json<DomainBody>, Problem> {
    let scope = actor.scope(Permission::DomainsRead)?;
    let mut db = api.pool.acquire().await?;
    let domain = find(&mut db, &scope, &key).await?;
    Ok(web::Json(DomainBody::new(
        domain,
        &api.edge_addresses,
        crate::clock::now(),
    )))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"website_url": "https://www.contoso.com", "policy": {"default": {"action": "defer"}, "rules": []}}))]
pub struct DomainChange {
    #[serde(default)]
    connection: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    website_url: Option<Option<String>>,
    #[serde(default, deserialize_with = "optional_object")]
    policy: Option<Policy>,
}

impl DomainChange {
    fn parse(self) -> Result<Change, Vec<FieldError>> {
        let mut errors = Vec::new();
        let connection = self
            .connection
            .as_deref()
            .map(|text| Connection::parse(text).ok_or("is not `direct`, `redirect` or `proxy`"));
        let connection = connection
            .transpose()
            .map_err(|detail| errors.push(FieldError::new("/connection", detail)));
        let website_url = self
            .website_url
            .map(|url| url.as_deref().map(WebUrl::parse).transpose())
            .transpose();
        let website_url = website_url.map_err(|detail| errors.push(FieldError::new("/website_url", detail)));
        errors.extend(
            self.policy
                .iter()
                .flat_map(Policy::errors)
                .map(|error| error.within("/policy")),
        );
        match (connection, website_url) {
            (Ok(connection), Ok(website_url)) if errors.is_empty() => Ok(Change {
                connection,
                website_url,
                policy: self.policy,
            }),
            _ => Err(errors),
        }
    }
}

/// Change a domain
///
/// What is left out stays; `"website_url": null` clears it. The hostname can't be changed: register the other one.
#[utoipa::path(
    tag = "Domains",
    params(("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com")),
    request_body = DomainChange,
    responses(
        (status = 200, body = DomainBody, example = json!(super::openapi::domain_example())),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem),
    ),
)]
#[patch("/domains/{domain}")]
pub async fn update_domain(
    actor: Actor,
    api: web::Data<Api>,
    key: web::Path<String>,
    body: Body<DomainChange>,
) -> Result<web::Json<DomainBody>, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let mut tx = api.pool.begin().await?;
    let domain = find(&mut tx, &scope, &key).await?;
    let change = body.read().await?.parse().map_err(Problem::invalid)?;
    let domain = domains::update(&mut tx, &scope, &domain, change).await?;
    tx.commit().await?;
    Ok(web::Json(DomainBody::new(
        domain,
        &api.edge_addresses,
        crate::clock::now(),
    )))
}

/// Delete a domain
///
/// It stops being served at once.
#[utoipa::path(
    tag = "Domains",
    params(("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com")),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, example = json!({"type": "/docs#not_found", "title": "Not found", "status": 404, "detail": "there is no such domain", "code": "not_found", "request_id": "01890a5d-ac96-774b-bcce-b302099a8057"}))),
)]
#[delete("/domains/{domain}")]
pub async fn delete_domain(actor: Actor, api: web::Data<Api>, key: web::Path<String>) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let mut tx = api.pool.begin().await?;
    let domain = find(&mut tx, &scope, &key).await?;
    domains::delete(&mut tx, &scope, &domain).await?;
    tx.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PreviewParams {
    #[param(example = "ada@contoso.com")]
    user_identifier: Option<String>,
    #[param(example = "Mac")]
    model_family: Option<String>,
}

/// What a device would get.
#[derive(Serialize, ToSchema)]
pub struct Preview {
    #[schema(example = 200)]
    status: u16,
    #[schema(example = "application/json")]
    content_type: Option<&'static str>,
    #[schema(value_type = Option<Object>)]
    body: Option<serde_json::Value>,
    /// Where it is redirected, with its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    /// `default` or `rule N`.
    #[schema(example = "rule 1")]
    matched: String,
}

/// Preview an answer
///
/// What a device would get once the domain is served. Makes no row in the request log.
#[utoipa::path(
    tag = "Domains",
    params(("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com"), PreviewParams),
    responses(
        (status = 200, body = Preview, example = json!({"status": 200, "content_type": "application/json", "body": {"Servers": [{"Version": "mdm-byod", "BaseURL": "https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=11111111-2222-3333-4444-555555555555"}]}, "matched": "default"})),
        (status = 401, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/domains/{domain}/preview")]
pub async fn preview_domain(
    actor: Actor,
    api: web::Data<Api>,
    key: web::Path<String>,
    params: Params<PreviewParams>,
) -> Result<web::Json<Preview>, Problem> {
    let scope = actor.scope(Permission::DomainsRead)?;
    let mut db = api.pool.acquire().await?;
    let domain = find(&mut db, &scope, &key).await?;
    let mut servers = HashMap::new();
    for server_id in domain.policy.server_ids() {
        let stored = store::find_server(&mut db, &scope, server_id)
            .await?
            .ok_or(DomainError::ServerNotFound)?;
        servers.insert(server_id, stored.configure()?.server);
    }
    let hostname = Hostname::parse(&domain.hostname).map_err(publisher::UnreadableRow::from)?;
    let entry = publisher::preview_entry(hostname, &domain.policy, &servers)?;
    let query = device_query(&params.0);
    let parsed = Query::parse(&query);
    Ok(web::Json(preview(
        &handler::decide(&entry, parsed.asked.family(), parsed.user()),
        &query,
    )))
}

/// The query that a device would send.
fn device_query(params: &PreviewParams) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(user) = &params.user_identifier {
        query.append_pair("user-identifier", user);
    }
    if let Some(family) = &params.model_family {
        query.append_pair("model-family", family);
    }
    // A form's `+` is a space; discovery takes `+` as it stands.
    query.finish().replace('+', "%20")
}

fn preview(decision: &Decision<'_>, query: &str) -> Preview {
    Preview {
        status: decision.status.as_u16(),
        content_type: decision.body.map(|_| "application/json"),
        body: decision.body.and_then(|body| serde_json::from_slice(body).ok()),
        location: decision.location.map(|url| handler::with_query(url, query)),
        matched: match decision.matched {
            Matched::Default => "default".to_owned(),
            Matched::Rule(index) => format!("rule {}", index + 1),
        },
    }
}

async fn find(db: &mut PgConnection, scope: &Scope, key: &str) -> Result<Domain, DomainError> {
    let found = match (key.parse(), Hostname::parse(key)) {
        (Ok(id), _) => store::find(db, scope, id).await?,
        (Err(_), Ok(hostname)) => store::find_by_hostname(db, scope, &hostname).await?,
        (Err(_), Err(_)) => None,
    };
    found.ok_or(DomainError::NotFound)
}
