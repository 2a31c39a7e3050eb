//! The tenants that domains leave out, asked of Microsoft Entra. Never inside a transaction: Entra may take its time.
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::DomainInput;
use crate::{
    entra::{Entra, EntraError, Tenant},
    hostname::Hostname,
};

/// Of the domains of one body.
const AT_ONCE: usize = 8;
/// For all domains of one body. Those that come too late are refused; few programs wait longer for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks for the tenants that the domains leave out. What Entra can't tell becomes an error of the domain.
pub async fn fill_in(entra: &Entra, domains: impl IntoIterator<Item = &mut DomainInput>) {
    let deadline = Instant::now() + PATIENCE;
    let lacking = domains.into_iter().filter_map(DomainInput::without_tenant);
    let failures: Vec<EntraError> = stream::iter(lacking)
        .map(|(domain, server)| async move {
            let (found, failure) = ask(entra, &domain, deadline).await;
            server.set_tenant(found);
            failure
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    if let Some(error) = failures.first() {
        tracing::warn!(%error, failures = failures.len(), "tenants could not be looked up");
    }
}

/// The tenant, or what to do without; and why it could not be asked for.
async fn ask(entra: &Entra, domain: &Hostname, deadline: Instant) -> (Result<Tenant, String>, Option<EntraError>) {
    let in_time = async {
        match Instant::now() < deadline {
            true => tokio::time::timeout_at(deadline, entra.lookup(domain)).await.ok(),
            false => None,
        }
    };
    match in_time.await {
        Some(Ok(Some(tenant))) => (Ok(tenant), None),
        Some(Ok(None)) => {
            let detail = format!(
                "{}. Give tenant_id: the Entra admin center shows it as \"Tenant ID\".",
                nobodys(domain)
            );
            (Err(detail), None)
        }
        Some(Err(error)) => (Err(away(domain)), Some(error)),
        None => (Err(away(domain)), None),
    }
}

/// That nobody has verified it.
#[must_use]
pub fn nobodys(domain: &Hostname) -> String {
    format!("Microsoft Entra knows no tenant that has verified {domain}")
}

/// That it could not be asked for.
#[must_use]
pub fn away(domain: &Hostname) -> String {
    format!("Microsoft Entra could not be asked for the tenant of {domain}. Give tenant_id, or try again later.")
}
