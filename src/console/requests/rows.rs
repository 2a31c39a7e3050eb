//! Requests as a table shows them.
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    accounts::Scope,
    console::{page, plots},
    domains::{DomainError, servers},
    input::hexadecimal,
    request_log::Request,
};

pub struct Row {
    pub at: String,
    pub hostname: String,
    /// Class and name.
    pub family: (&'static str, &'static str),
    /// "a3f1…52": tells one person's requests together.
    pub person: Option<String>,
    /// Class and word.
    pub outcome: (&'static str, &'static str),
    pub server: Option<String>,
    pub network: String,
}

/// With the names of the MDM servers that they were sent to.
pub async fn of(db: &mut PgConnection, scope: &Scope, requests: Vec<Request>) -> Result<Vec<Row>, DomainError> {
    let mut ids: Vec<Uuid> = requests.iter().filter_map(|request| request.server_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let names = servers::store::names(db, scope, &ids).await?;
    let row = |request: Request| Row {
        at: page::moment(&request.at),
        family: plots::family(&request.model_family),
        person: request.user_digest.as_deref().map(short),
        outcome: outcome(&request.outcome),
        server: request.server_id.and_then(|id| names.get(&id).cloned()),
        hostname: request.hostname,
        network: request.client_network,
    };
    Ok(requests.into_iter().map(row).collect())
}

fn short(digest: &[u8]) -> String {
    let text = hexadecimal(digest);
    match (text.get(..4), text.get(text.len().saturating_sub(2)..)) {
        (Some(start), Some(end)) if text.len() > 6 => format!("{start}…{end}"),
        _ => text,
    }
}

/// The class of an outcome, and the words for it.
#[must_use]
pub fn outcome(outcome: &str) -> (&'static str, &'static str) {
    match outcome {
        "served" => ("good", "Sent to enroll"),
        "redirected" => ("good", "Redirected"),
        "deferred" => ("wait", "Left to Apple"),
        "rejected" => ("wait", "Refused"),
        _ => ("wait", "Not answered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_shown_short() {
        assert_eq!(short(&[0xa3, 0xf1, 0, 0, 0x52]), "a3f1…52");
        assert_eq!((short(&[]), short(&[1, 2, 3])), (String::new(), "010203".to_owned()));
    }
}
