//! Who answers what, and what is answered to anybody.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    Answer, Fault, RenewalInfo, Shared, actions,
    http::Request,
    jws,
    state::{Kind, Seen, State},
};

/// Writes the request down. Returns its number, and how it is to go wrong.
pub fn see(shared: &Shared, request: &Request) -> (usize, Option<Fault>) {
    let mut state = shared.state();
    let (kind, _) = target(&request.path);
    let seen = Seen {
        kind,
        user_agent: request.header("user-agent").into(),
        payload: Value::Null,
        status: None,
    };
    state.seen.push(seen);
    let fault = state.next_fault(kind);
    (state.seen.len() - 1, fault)
}

pub async fn answer(shared: &Arc<Shared>, request: &Request, seen: usize) -> Answer {
    let (kind, id) = target(&request.path);
    let answer = match (kind, request.method.as_str()) {
        (Kind::Directory, "GET") => return directory(shared),
        (Kind::RenewalInfo, "GET") => return renewal_info(&shared.state(), id),
        (Kind::NewNonce, "HEAD") => Answer::json(200, &Value::Null),
        (Kind::Directory | Kind::RenewalInfo | Kind::NewNonce | Kind::Unknown, _) | (_, "GET" | "HEAD") => {
            Answer::problem(405, "malformed", "Method not allowed")
        }
        _ => match signed(shared, request, seen) {
            Ok(checked) => actions::answer(shared, (kind, id), checked)
                .await
                .unwrap_or_else(|problem| problem),
            Err(problem) => problem,
        },
    };
    let nonce = shared.state().nonce();
    answer.with("Replay-Nonce", nonce)
}

fn signed(shared: &Shared, request: &Request, seen: usize) -> Result<jws::Checked, Answer> {
    if request.header("content-type") != "application/jose+json" {
        return Err(Answer::problem(415, "malformed", "application/jose+json is asked for"));
    }
    let mut state = shared.state();
    let url = format!("{}{}", shared.base, request.path);
    let checked = jws::check(&mut state, &shared.base, &url, &request.body)?;
    state.seen[seen].payload = checked.payload.clone();
    Ok(checked)
}

fn target(path: &str) -> (Kind, &str) {
    let path = path.trim_start_matches('/');
    let (first, id) = path.split_once('/').unwrap_or((path, ""));
    let kind = match first {
        "directory" => Kind::Directory,
        "new-nonce" => Kind::NewNonce,
        "new-account" => Kind::NewAccount,
        "account" => Kind::Account,
        "orders" => Kind::Orders,
        "new-order" => Kind::NewOrder,
        "order" => Kind::Order,
        "authorization" => Kind::Authorization,
        "challenge" => Kind::Challenge,
        "finalize" => Kind::Finalize,
        "certificate" => Kind::Certificate,
        "renewal-info" => Kind::RenewalInfo,
        "revoke" => Kind::Revoke,
        _ => Kind::Unknown,
    };
    (kind, id)
}

fn directory(shared: &Shared) -> Answer {
    let behaviour = &shared.state().behaviour;
    let at = |path: &str| format!("{}/{path}", shared.base);
    let mut directory = json!({
        "newNonce": at("new-nonce"),
        "newAccount": at("new-account"),
        "newOrder": at("new-order"),
        "revokeCert": at("revoke"),
        "keyChange": at("key-change"),
        "meta": {
            "termsOfService": "https://ca.example/terms",
            "externalAccountRequired": behaviour.eab.is_some(),
        },
    });
    if !matches!(behaviour.renewal_info, RenewalInfo::NotOffered) {
        directory["renewalInfo"] = at("renewal-info").into();
    }
    if !behaviour.profiles.is_empty() {
        let described = behaviour
            .profiles
            .keys()
            .map(|name| (name.clone(), json!("https://ca.example/profiles")));
        directory["meta"]["profiles"] = Value::Object(described.collect());
    }
    Answer::json(200, &directory)
}

fn renewal_info(state: &State, id: &str) -> Answer {
    let Some(issued) = state.issued.iter().find(|issued| issued.id == id) else {
        return Answer::problem(404, "malformed", "no such certificate");
    };
    let window =
        |start: &DateTime<Utc>, end: &DateTime<Utc>| json!({"start": start.to_rfc3339(), "end": end.to_rfc3339()});
    match &state.behaviour.renewal_info {
        RenewalInfo::NotOffered => Answer::problem(404, "malformed", "no renewal information here"),
        RenewalInfo::Usual => {
            let life = issued.not_after - issued.not_before;
            let (start, end) = (issued.not_before + life / 2, issued.not_before + life * 3 / 4);
            Answer::json(200, &json!({"suggestedWindow": window(&start, &end)})).with("Retry-After", "21600")
        }
        RenewalInfo::Suggested {
            start,
            end,
            explanation_url,
            retry_after,
        } => {
            let body = json!({"suggestedWindow": window(start, end), "explanationURL": explanation_url});
            let answer = Answer::json(200, &body);
            match retry_after {
                Some(text) => answer.with("Retry-After", text),
                None => answer,
            }
        }
    }
}
