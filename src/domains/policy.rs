//! A domain's policy as people write it: a default action and ordered rules. The shape is the
//! API's and the stored one; `publisher` turns it into what `discovery` decides by.
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    input::{FieldError, WebUrl, object, objects},
    user_patterns::{MAX_PATTERN_BYTES, MAX_TOTAL_BYTES, MAX_WILDCARD_BYTES, Shape},
};

const MAX_RULES: usize = 100;
const MAX_USERS: usize = 100;
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
    /// Any of these patterns: `*` stands for any characters, case does not matter. All patterns of a policy together
    /// may have 256 KiB; those with a `*` in the middle, or with more than one `*`, 4 KiB.
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

    /// Returns the errors of a policy that replaces `stored`. User patterns that exceed the limits on their size may stay
    /// as they are if they were accepted before these limits existed.
    #[must_use]
    pub fn errors_replacing(&self, stored: &Self) -> Vec<FieldError> {
        if !self.patterns().eq(stored.patterns()) {
            return self.errors();
        }
        let mut errors = action_errors(&self.default, "/default");
        errors.extend(rule_errors(&self.rules));
        errors
    }

    /// Describes how the user patterns exceed the limits on their size, if the policy was stored before these existed.
    #[must_use]
    pub fn excess(&self) -> Option<String> {
        size_errors(&self.rules).into_iter().next().map(|error| error.detail)
    }

    fn patterns(&self) -> impl Iterator<Item = &Vec<String>> {
        self.rules.iter().map(|rule| &rule.when.users)
    }
}

/// Returns all errors of `rules`, with pointers below their policy.
#[must_use]
pub fn rules_errors(rules: &[Rule]) -> Vec<FieldError> {
    let mut errors = rule_errors(rules);
    errors.extend(size_errors(rules));
    errors
}

/// A limit on the total size of a policy's user patterns.
struct SizeLimit {
    max_bytes: usize,
    counts: fn(&str) -> bool,
    what: &'static str,
    remedy: &'static str,
}

const SIZE_LIMITS: [SizeLimit; 2] = [
    SizeLimit {
        max_bytes: MAX_TOTAL_BYTES,
        counts: |_| true,
        what: "the user patterns of this policy",
        remedy: "remove some, or replace addresses with a pattern such as *@eu.contoso.com",
    },
    SizeLimit {
        max_bytes: MAX_WILDCARD_BYTES,
        counts: |pattern| matches!(Shape::of(pattern), Shape::Wildcard(_)),
        what: "the patterns of this policy with a * in the middle, or with more than one *,",
        remedy: "remove some, or use full addresses, patterns that only start with *, or patterns that only end with *, \
                 which don't count here",
    },
];

/// Returns at most one error for each limit, at the first pattern that exceeds it.
fn size_errors(rules: &[Rule]) -> Vec<FieldError> {
    let errors = SIZE_LIMITS.iter().filter_map(|limit| limit.error(rules));
    errors.collect()
}

impl SizeLimit {
    fn error(&self, rules: &[Rule]) -> Option<FieldError> {
        let (mut bytes, mut first_excess) = (0, None);
        for (index, rule) in rules.iter().enumerate() {
            for (user, pattern) in rule.when.users.iter().enumerate() {
                if (self.counts)(pattern) {
                    bytes += pattern.len();
                    if bytes > self.max_bytes {
                        first_excess.get_or_insert((index, user));
                    }
                }
            }
        }
        let (index, user) = first_excess?;
        Some(FieldError::new(
            format!("/rules/{index}/when/users/{user}"),
            format_args!(
                "{} have {bytes} bytes in total, and the limit is {}: {}",
                self.what, self.max_bytes, self.remedy
            ),
        ))
    }
}

fn rule_errors(rules: &[Rule]) -> Vec<FieldError> {
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
            if pattern.is_empty() || pattern.len() > MAX_PATTERN_BYTES || pattern.chars().any(char::is_control) {
                errors.push(FieldError::new(
                    format!("{at}/when/users/{user}"),
                    format_args!("a pattern has 1 to {MAX_PATTERN_BYTES} bytes, for example *@eu.contoso.com"),
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
    fn of_users(users: &[Vec<String>]) -> Policy {
        let rule = |users: &Vec<String>| Rule {
            when: When {
                model_families: Vec::new(),
                users: users.clone(),
            },
            then: Action::Defer {},
        };
        Policy {
            default: Action::Defer {},
            rules: users.iter().map(rule).collect(),
        }
    }

    #[test]
    fn patterns_beyond_a_limit_are_refused_at_the_first_of_them() {
        // 64 bytes each.
        let infix = format!("*{}*", "x".repeat(62));
        let exact = "x".repeat(64);
        for (users, expected) in [
            (vec![vec![infix.clone(); 64]], vec![]),
            (vec![vec![infix.clone(); 65]], vec!["/rules/0/when/users/64"]),
            (
                vec![vec!["a*b".to_owned()], vec![infix.clone(); 70]],
                vec!["/rules/1/when/users/63"],
            ),
            // `*` at one end only does not count.
            (
                vec![vec![format!("*{}", "x".repeat(63)); 100], vec![infix.clone(); 64]],
                vec![],
            ),
            (vec![vec![exact.clone(); 100]; 40], vec![]),
            (vec![vec![exact.clone(); 100]; 41], vec!["/rules/40/when/users/96"]),
            (
                [vec![infix.clone(); 65]]
                    .into_iter()
                    .chain(vec![vec![exact.clone(); 100]; 41])
                    .collect(),
                vec!["/rules/41/when/users/31", "/rules/0/when/users/64"],
            ),
        ] {
            let pointers: Vec<_> = of_users(&users)
                .errors()
                .into_iter()
                .map(|error| error.pointer)
                .collect();
            assert_eq!(pointers, expected);
        }
        let errors = of_users(&[vec![infix; 65]]).errors();
        assert_eq!(
            errors[0].detail,
            "the patterns of this policy with a * in the middle, or with more than one *, have 4160 bytes in total, and the \
             limit is 4096: remove some, or use full addresses, patterns that only start with *, or patterns that only end \
             with *, which don't count here"
        );
    }

    #[test]
    fn patterns_beyond_a_limit_stay_until_they_are_changed() {
        let infix = format!("*{}*", "x".repeat(62));
        let stored = of_users(&[vec![infix.clone(); 70], vec!["ada@contoso.com".to_owned()]]);
        let mut other_answer = stored.clone();
        other_answer.default = Action::Reject {
            message: "Ask IT first.".to_owned(),
        };
        other_answer.rules[0].when.model_families = vec![Family::Mac];
        let mut invalid_answer = stored.clone();
        invalid_answer.default = Action::Reject { message: String::new() };
        let mut fewer = stored.clone();
        fewer.rules[0].when.users.pop();
        for (policy, expected) in [
            (stored.clone(), vec![]),
            (other_answer, vec![]),
            (invalid_answer, vec!["/default/message"]),
            (fewer, vec!["/rules/0/when/users/64"]),
        ] {
            let errors = policy.errors_replacing(&stored);
            let pointers: Vec<_> = errors.into_iter().map(|error| error.pointer).collect();
            assert_eq!(pointers, expected);
        }
    }
}
