//! A policy in words.
use std::collections::BTreeMap;

use uuid::Uuid;

use crate::domains::policy::{Action, Family, Policy, Rule};

/// The names of the client's MDM servers.
pub type ServerNames = BTreeMap<Uuid, String>;

/// One line of a policy.
pub struct Line {
    /// "On"; none: everybody else.
    pub families: Vec<&'static str>,
    pub users: Vec<String>,
    pub then: String,
}

pub fn rule(rule: &Rule, servers: &ServerNames) -> Line {
    Line {
        families: rule.when.model_families.iter().copied().map(family).collect(),
        users: rule.when.users.clone(),
        then: action(&rule.then, servers),
    }
}

pub fn lines(policy: &Policy, servers: &ServerNames) -> Vec<Line> {
    policy.rules.iter().map(|one| rule(one, servers)).collect()
}

pub fn action(action: &Action, servers: &ServerNames) -> String {
    match action {
        Action::Serve { server_id } => match servers.get(server_id) {
            Some(name) => format!("Enroll with {name}"),
            None => "Enroll with an MDM server that is gone".to_owned(),
        },
        Action::Reject { message } => format!("Refuse, saying “{message}”"),
        Action::Defer {} => "Leave it to Apple Business Manager or Apple School Manager".to_owned(),
        Action::Redirect { url } => format!("Send on to {url}"),
    }
}

/// As Apple's shops call them.
pub fn family(family: Family) -> &'static str {
    match family {
        Family::AppleTv => "Apple TV",
        Family::IPad => "iPad",
        Family::IPhone => "iPhone",
        Family::Mac => "Mac",
        Family::RealityDevice => "Apple Vision",
        Family::Watch => "Apple Watch",
    }
}

/// For lists to choose from: what a device calls itself, and what people call it.
pub fn families() -> Vec<(&'static str, &'static str)> {
    let both = |one: Family| (one.as_str(), family(one));
    Family::ALL.into_iter().map(both).collect()
}
