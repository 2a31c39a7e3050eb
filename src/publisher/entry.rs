//! One record → one entry of the directory, its answers prepared.
use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::record::{DomainRecord, ServerRecord};
use crate::{
    discovery::{
        directory::{Entry, Organisation},
        document,
        matching::TooManyRules,
        policy::{Action, Answer, Policy, Rule, When},
        query::ModelFamily,
    },
    domains::{policy as stored, servers},
    hostname::{Hostname, HostnameError},
    vendors,
};

/// Why a row can't be served.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableRow {
    #[error(transparent)]
    Hostname(#[from] HostnameError),
    #[error("the policy or its servers are not what was expected: {0}")]
    Json(#[from] serde_json::Error),
    #[error("MDM server {0}: {1}")]
    Server(Uuid, String),
    #[error("the policy names the MDM server {0}, which is not there")]
    MissingServer(Uuid),
    #[error(transparent)]
    TooManyRules(#[from] TooManyRules),
}

pub(super) fn entry(
    hostname: Hostname,
    record: &DomainRecord,
    organisation: Arc<Organisation>,
) -> Result<Entry, UnreadableRow> {
    let policy: stored::Policy = serde_json::from_str(&record.policy)?;
    if let Some(detail) = policy.excess() {
        tracing::warn!(
            event = "policy.over_limit",
            domain.hostname = %hostname,
            detail,
            "the policy exceeds a limit that did not exist when it was stored"
        );
    }
    let servers: Vec<ServerRecord> = serde_json::from_str(&record.servers)?;
    let servers = servers
        .into_iter()
        .map(|server| {
            let configured = servers::configure(&server.vendor, &server.enrollment, &server.parameters);
            configured
                .map(|configured| (server.id, configured))
                .map_err(|error| UnreadableRow::Server(server.id, error))
        })
        .collect::<Result<HashMap<_, _>, _>>()?;
    Ok(Entry {
        hostname,
        domain_id: record.domain_id,
        client_id: record.client_id,
        organisation,
        policy: prepare(&policy, &servers)?,
        website_url: record.website_url.as_deref().map(Into::into),
    })
}

/// The entry that a domain would have, for a preview of its policy.
pub fn preview_entry(
    hostname: Hostname,
    policy: &stored::Policy,
    servers: &HashMap<Uuid, vendors::Server>,
) -> Result<Entry, UnreadableRow> {
    Ok(Entry {
        hostname,
        domain_id: Uuid::nil(),
        client_id: Uuid::nil(),
        organisation: Arc::new(Organisation::new(Uuid::nil(), &[0; 32])),
        policy: prepare(policy, servers)?,
        website_url: None,
    })
}

fn prepare(policy: &stored::Policy, servers: &HashMap<Uuid, vendors::Server>) -> Result<Policy, UnreadableRow> {
    let mut rules = Vec::with_capacity(policy.rules.len());
    for rule in &policy.rules {
        let families = rule.when.model_families.iter();
        rules.push(Rule {
            when: When {
                model_families: families.map(|family| model_family(*family)).collect(),
                users: &rule.when.users,
            },
            then: action(&rule.then, servers)?,
        });
    }
    Ok(Policy::new(action(&policy.default, servers)?, rules)?)
}

fn action(action: &stored::Action, servers: &HashMap<Uuid, vendors::Server>) -> Result<Action, UnreadableRow> {
    Ok(match action {
        stored::Action::Serve { server_id } => {
            let server = servers.get(server_id).ok_or(UnreadableRow::MissingServer(*server_id))?;
            Action::Serve {
                server_id: *server_id,
                answer: answer(server.answer()),
            }
        }
        stored::Action::Reject { message } => Action::Reject {
            body: document::reject(message),
        },
        stored::Action::Defer {} => Action::Defer,
        stored::Action::Redirect { url } => Action::Redirect {
            url: url.as_str().into(),
        },
    })
}

fn answer(answer: &vendors::Answer) -> Answer {
    match answer {
        vendors::Answer::Redirect { url } => Answer::Redirect {
            url: url.as_str().into(),
        },
        vendors::Answer::Document { version, base_url } if base_url.contains(vendors::MODEL_FAMILY_PLACEHOLDER) => {
            // A request that names no family gets an empty value: the vendor decides.
            let families = ModelFamily::ALL.map(ModelFamily::as_str).into_iter().chain([""]);
            let mut bodies = families.map(|family| {
                document::serve(
                    version.version(),
                    &base_url.replace(vendors::MODEL_FAMILY_PLACEHOLDER, family),
                )
            });
            Answer::PerFamily(Box::new(std::array::from_fn(|_| bodies.next().unwrap_or_default())))
        }
        vendors::Answer::Document { version, base_url } => {
            Answer::Document(document::serve(version.version(), base_url))
        }
    }
}

fn model_family(family: stored::Family) -> ModelFamily {
    match family {
        stored::Family::AppleTv => ModelFamily::AppleTv,
        stored::Family::IPad => ModelFamily::IPad,
        stored::Family::IPhone => ModelFamily::IPhone,
        stored::Family::Mac => ModelFamily::Mac,
        stored::Family::RealityDevice => ModelFamily::RealityDevice,
        stored::Family::Watch => ModelFamily::Watch,
    }
}
