//! Which action a domain takes for one request: a pure choice, first matching rule or the default.
use bytes::Bytes;
use uuid::Uuid;

use super::query::ModelFamily;

/// What a domain answers, in the order in which it decides.
pub struct Policy {
    pub default: Action,
    pub rules: Box<[Rule]>,
}

pub struct Rule {
    pub when: When,
    pub then: Action,
}

/// Both must match where both are given; an empty one matches all.
pub struct When {
    pub model_families: Box<[ModelFamily]>,
    pub users: Box<[Pattern]>,
}

/// An action with its answer prepared.
pub enum Action {
    /// The document that names an MDM server.
    Serve { server_id: Uuid, answer: Answer },
    /// A 403 document with a message for the person.
    Reject { body: Bytes },
    /// 404: the device asks Apple Business Manager instead.
    Defer,
    /// 307 to another discovery service, the query kept.
    Redirect { url: Box<str> },
}

pub enum Answer {
    Document(Bytes),
    /// A vendor that wants the family in its URL: one document a family, in the order of
    /// [`ModelFamily::ALL`], the last for none.
    PerFamily(Box<[Bytes; 7]>),
    /// A vendor that has its own discovery service.
    Redirect {
        url: Box<str>,
    },
}

/// What chose the action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    Default,
    /// Counted from 0.
    Rule(usize),
}

impl Policy {
    #[must_use]
    pub fn choose(&self, family: Option<ModelFamily>, user: Option<&[u8]>) -> (&Action, Matched) {
        self.rules
            .iter()
            .enumerate()
            .find(|(_, rule)| rule.when.matches(family, user))
            .map_or((&self.default, Matched::Default), |(index, rule)| {
                (&rule.then, Matched::Rule(index))
            })
    }
}

impl When {
    fn matches(&self, family: Option<ModelFamily>, user: Option<&[u8]>) -> bool {
        let family_fits =
            self.model_families.is_empty() || family.is_some_and(|family| self.model_families.contains(&family));
        let user_fits =
            self.users.is_empty() || user.is_some_and(|user| self.users.iter().any(|pattern| pattern.matches(user)));
        family_fits && user_fits
    }
}

/// A user pattern: `*` stands for any characters, everything else for itself without regard to ASCII case.
pub struct Pattern(Box<[u8]>);

impl Pattern {
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_ascii_lowercase().into_bytes().into())
    }

    /// `user` is in lower case already. Goes back to the last `*` only: at most pattern × user steps.
    #[must_use]
    pub fn matches(&self, user: &[u8]) -> bool {
        let (mut at, mut in_user) = (0, 0);
        let mut last_star: Option<(usize, usize)> = None;
        while in_user < user.len() {
            match self.0.get(at) {
                Some(b'*') => {
                    last_star = Some((at, in_user));
                    at += 1;
                }
                Some(byte) if *byte == user[in_user] => {
                    at += 1;
                    in_user += 1;
                }
                _ => {
                    let Some((star, from)) = last_star else { return false };
                    last_star = Some((star, from + 1));
                    at = star + 1;
                    in_user = from + 1;
                }
            }
        }
        self.0[at..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, user, expected) in [
            ("*@eu.contoso.com", "ada@eu.contoso.com", true),
            ("*@EU.contoso.com", "ada@eu.contoso.com", true),
            ("*@eu.contoso.com", "ada@contoso.com", false),
            ("*@eu.contoso.com", "ada@eu.contoso.com.evil.example", false),
            ("ada*", "ada@contoso.com", true),
            ("ada", "ada@contoso.com", false),
            ("*pilot*@*", "a-pilot-b@contoso.com", true),
            ("*a*b*c", "aabbcc", true),
            ("*a*b*c", "aabbcd", false),
            ("a?c", "abc", false),
            ("**", "x", true),
            ("*", "", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(user.as_bytes()),
                expected,
                "{pattern} {user}"
            );
        }
    }

    #[test]
    fn the_first_rule_that_matches_wins_and_both_conditions_must_hold() {
        let rule = |families: &[ModelFamily], users: &[&str]| Rule {
            when: When {
                model_families: families.into(),
                users: users.iter().map(|user| Pattern::new(user)).collect(),
            },
            then: Action::Defer,
        };
        let policy = Policy {
            default: Action::Defer,
            rules: [
                rule(&[ModelFamily::Mac], &["*@eu.contoso.com"]),
                rule(&[ModelFamily::Mac, ModelFamily::IPad], &[]),
                rule(&[], &["ada@*"]),
            ]
            .into(),
        };
        for (family, user, expected) in [
            (Some(ModelFamily::Mac), Some("ada@eu.contoso.com"), Matched::Rule(0)),
            (Some(ModelFamily::Mac), Some("ada@contoso.com"), Matched::Rule(1)),
            (Some(ModelFamily::Mac), None, Matched::Rule(1)),
            (Some(ModelFamily::IPhone), Some("ada@contoso.com"), Matched::Rule(2)),
            (None, Some("ada@contoso.com"), Matched::Rule(2)),
            (Some(ModelFamily::IPhone), Some("eve@contoso.com"), Matched::Default),
            (None, None, Matched::Default),
        ] {
            assert_eq!(
                policy.choose(family, user.map(str::as_bytes)).1,
                expected,
                "{family:?} {user:?}"
            );
        }
    }
}
