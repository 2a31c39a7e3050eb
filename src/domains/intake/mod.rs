//! A domain as somebody gives it, by the API, a form or a sheet: everything that is wrong with it is said at once.
pub mod server;
pub mod tenants;

use serde::Deserialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Allowance, Connection, Default, Domain, DomainError, NewDomain, RegistrationRules,
    policy::{Action, Policy, Rule, rules_errors},
    register_within,
};
use crate::{
    accounts::{
        AccessError, Scope,
        clients::{self, ClientError},
    },
    hostname::Hostname,
    input::{FieldError, Name, WebUrl, objects, optional_object},
};
pub use server::{Parameters, ServerInput};

/// A domain to be registered. One call is enough for a domain and its tenant.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"hostname": "contoso.com", "client_name": "Contoso", "server": {"vendor": "intune", "parameters": {"tenant_id": "11111111-2222-3333-4444-555555555555"}}}))]
pub struct DomainInput {
    pub hostname: String,
    /// One of `client_id` and `client_name` is needed.
    #[serde(default)]
    pub client_id: Option<Uuid>,
    /// A name that is new makes the client.
    #[serde(default)]
    pub client_name: Option<String>,
    /// An MDM server of the client, that the policy's default serves.
    #[serde(default)]
    pub server_id: Option<Uuid>,
    /// The same, described; one with the same parameters is used again. Of an Intune server `tenant_id` may be left
    /// out: it is looked up by the hostname.
    #[serde(default, deserialize_with = "optional_object")]
    pub server: Option<ServerInput>,
    /// `direct` (the default), `redirect` or `proxy`.
    #[serde(default)]
    pub connection: Option<String>,
    /// Where people who open the domain in a browser are sent (direct only).
    #[serde(default)]
    pub website_url: Option<String>,
    /// Instead of, or with the rules for, `server_id` or `server`.
    #[serde(default, deserialize_with = "optional_object")]
    pub policy: Option<PolicyInput>,
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

/// Why a domain can't be registered as it is given.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error("not everything is right with it")]
    Invalid(Vec<FieldError>),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl From<sqlx::Error> for IntakeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Domain(error.into())
    }
}

impl IntakeError {
    /// Whether it says nothing of the domain itself: the database failed, or another's change came first.
    #[must_use]
    pub fn is_no_fault_of_it(&self) -> bool {
        matches!(
            self,
            Self::Access(AccessError::Database(_))
                | Self::Client(ClientError::Database(_))
                | Self::Domain(DomainError::Database(_) | DomainError::Busy | DomainError::Stored(_))
        )
    }
}

/// Which client a new domain belongs to.
enum ClientChoice {
    Id(Uuid),
    Name(Name),
}

impl DomainInput {
    /// The domain and its server, if the tenant is to be looked up by the one for the other.
    pub fn without_tenant(&mut self) -> Option<(Hostname, &mut ServerInput)> {
        let hostname = Hostname::parse(&self.hostname).ok()?;
        let server = self.server.as_mut().filter(|server| server.lacks_tenant())?;
        Some((hostname, server))
    }

    /// Registers it in `db`. Everything that can be said without the database is said at once.
    pub async fn register(
        self,
        db: &mut PgConnection,
        own: &RegistrationRules,
        scope: &Scope,
    ) -> Result<Domain, IntakeError> {
        let mut allowance = Allowance::find(db, scope, own).await?;
        self.register_within(db, own, scope, &mut allowance).await
    }

    /// [`DomainInput::register`], one of many of a transaction, which has found its `allowance` once.
    pub async fn register_within(
        self,
        db: &mut PgConnection,
        own: &RegistrationRules,
        scope: &Scope,
        allowance: &mut Allowance,
    ) -> Result<Domain, IntakeError> {
        let server_id = self.server_id;
        let (client, new) = self.parse().map_err(IntakeError::Invalid)?;
        let client = match client {
            ClientChoice::Id(id) => scope.client(db, id).await?,
            ClientChoice::Name(name) => clients::find_or_create(db, scope, name.as_str()).await?,
        };
        let registered = register_within(db, &client, own, new, allowance).await;
        registered.map_err(|error| match &error {
            DomainError::NoSuchServer(id) if server_id == Some(*id) => {
                IntakeError::Invalid(vec![FieldError::new("/server_id", &error)])
            }
            DomainError::OwnHost(_) => IntakeError::Invalid(vec![FieldError::new("/hostname", &error)]),
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
) -> Result<Default, Vec<FieldError>> {
    match (server_id, server, action) {
        (Some(id), None, None) => Ok(Default::Server(id)),
        (None, Some(server), None) => {
            let configured = server.configure().map(Default::NewServer);
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
                Ok(Default::Action(action))
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
