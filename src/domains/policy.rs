//! A domain's policy as people write it: a default action and ordered rules. The shape is the
//! API's and the stored one; `publisher` turns it into what `discovery` decides by.
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::input::{FieldError, WebUrl, object, objects};

const MAX_RULES: usize = 100;
const MAX_USERS: usize = 100;
const MAX_PATTERN: usize = 320;
const MAX_MESSAGE: usize = 500;

/// What a domain answers: the first rule that matches, else the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub default: Action,
    #[serde(default, deserialize_with = "objects")]
    pub rules: Vec<Rule>,
}

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[serde(deserialize_with = "object")]
    pub when: When,
    pub then: Action,
}

/// When a rule matches. If both are given, both must match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RuleCondition)]
pub struct When {
    /// Any of these families.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model_families: Vec<Family>,
    /// Any of these patterns: `*` stands for any characters, case does not matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["*@eu.contoso.com"]))]
    pub users: Vec<String>,
}

/// What Apple's devices call themselves in `model-family`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ModelFamily)]
pub enum Family {
    #[serde(rename = "AppleTV")]
    AppleTv,
    #[serde(rename = "iPad")]
    IPad,
    #[serde(rename = "iPhone")]
    IPhone,
    Mac,
    RealityDevice,
    Watch,
}

impl Family {
    pub const ALL: [Self; 6] = [
        Self::IPhone,
        Self::IPad,
        Self::Mac,
        Self::RealityDevice,
        Self::AppleTv,
        Self::Watch,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AppleTv => "AppleTV",
            Self::IPad => "iPad",
            Self::IPhone => "iPhone",
            Self::Mac => "Mac",
            Self::RealityDevice => "RealityDevice",
            Self::Watch => "Watch",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.as_str() == text)
    }
}

/// What the device is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Enroll with this MDM server.
    Serve { server_id: Uuid },
    /// A refusal with a message for the person (403).
    Reject { message: String },
    /// Ask Apple Business Manager or Apple School Manager (404).
    Defer {},
    /// Ask another discovery service; the query is kept (307).
    Redirect { url: String },
}

impl Policy {
    /// The MDM servers that the policy names, each once.
    #[must_use]
    pub fn server_ids(&self) -> BTreeSet<Uuid> {
        let actions = self.rules.iter().map(|rule| &rule.then).chain([&self.default]);
        actions
            .filter_map(|action| {
                if let Action::Serve { server_id } = action {
                    Some(*server_id)
                } else {
                    None
                }
            })
            .collect()
    }

    /// As the audit log keeps it: a pattern that names a person is left out.
    #[must_use]
    pub fn without_people(&self) -> Self {
        let is_general = |user: &String| user.split_once('@').is_some_and(|(local, _)| local == "*");
        let shown = |user: String| {
            if is_general(&user) {
                user
            } else {
                "(a person)".to_owned()
            }
        };
        let rule = |rule: &Rule| {
            let users = rule.when.users.iter().cloned().map(shown).collect();
            Rule {
                when: When {
                    users,
                    ..rule.when.clone()
                },
                then: rule.then.clone(),
            }
        };
        Self {
            default: self.default.clone(),
            rules: self.rules.iter().map(rule).collect(),
        }
    }

    /// Everything that is wrong with it, with pointers below the policy.
    #[must_use]
    pub fn errors(&self) -> Vec<FieldError> {
        let mut errors = action_errors(&self.default, "/default");
        errors.extend(rules_errors(&self.rules));
        errors
    }
}

/// The same for rules alone.
#[must_use]
pub fn rules_errors(rules: &[Rule]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if rules.len() > MAX_RULES {
        errors.push(FieldError::new("/rules", format_args!("at most {MAX_RULES} rules")));
    }
    for (index, rule) in rules.iter().enumerate().take(MAX_RULES) {
        let at = format!("/rules/{index}");
        if rule.when.model_families.is_empty() && rule.when.users.is_empty() {
            errors.push(FieldError::new(
                format!("{at}/when"),
                "name model_families, users, or both: what holds for everyone is the default",
            ));
        }
        if rule.when.users.len() > MAX_USERS {
            errors.push(FieldError::new(
                format!("{at}/when/users"),
                format_args!("at most {MAX_USERS} patterns"),
            ));
        }
        for (user, pattern) in rule.when.users.iter().enumerate() {
            if pattern.is_empty() || pattern.len() > MAX_PATTERN || pattern.chars().any(char::is_control) {
                errors.push(FieldError::new(
                    format!("{at}/when/users/{user}"),
                    format_args!("a pattern has 1 to {MAX_PATTERN} characters, for example *@eu.contoso.com"),
                ));
            }
        }
        errors.extend(action_errors(&rule.then, &format!("{at}/then")));
    }
    errors
}

fn action_errors(action: &Action, at: &str) -> Vec<FieldError> {
    let error = match action {
        Action::Serve { .. } | Action::Defer {} => None,
        Action::Reject { message } => {
            let is_fine = !message.trim().is_empty()
                && message.chars().count() <= MAX_MESSAGE
                && !message.chars().any(|c| c.is_control() && c != '\n');
            (!is_fine).then(|| {
                FieldError::new(
                    format!("{at}/message"),
                    format_args!("a message has 1 to {MAX_MESSAGE} printable characters"),
                )
            })
        }
        Action::Redirect { url } => WebUrl::parse_https(url)
            .err()
            .map(|detail| FieldError::new(format!("{at}/url"), detail)),
    };
    error.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(json: serde_json::Value) -> Result<Policy, String> {
        serde_json::from_value(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_family_is_called_alike_in_json_and_in_forms() {
        for family in Family::ALL {
            assert_eq!(serde_json::to_value(family).unwrap(), family.as_str());
            assert_eq!(Family::parse(family.as_str()), Some(family));
        }
    }

    #[test]
    fn the_shape_is_strict() {
        for json in [
            serde_json::json!({"default": {"action": "serve"}}),
            serde_json::json!({"default": {"action": "defer", "x": 1}}),
            serde_json::json!({"default": {"action": "defer"}, "x": 1}),
            serde_json::json!({"default": {"action": "defer"}, "rules": [{"when": {"model_families": ["iphone"]}, "then": {"action": "defer"}}]}),
            serde_json::json!({"default": {"action": "defer"}, "rules": [{"when": {"families": ["Mac"]}, "then": {"action": "defer"}}]}),
        ] {
            assert!(policy(json.clone()).is_err(), "{json}");
        }
    }

    #[test]
    fn each_mistake_is_named_with_its_place() {
        let policy = policy(serde_json::json!({
            "default": {"action": "reject", "message": " "},
            "rules": [
                {"when": {}, "then": {"action": "redirect", "url": "http://a.example"}},
                {"when": {"users": [""]}, "then": {"action": "defer"}},
            ],
        }));
        let pointers: Vec<_> = policy
            .map(|policy| policy.errors())
            .unwrap_or_default()
            .into_iter()
            .map(|error| error.pointer)
            .collect();
        assert_eq!(
            pointers,
            [
                "/default/message",
                "/rules/0/when",
                "/rules/0/then/url",
                "/rules/1/when/users/0"
            ]
        );
    }
}
