//! Which action a domain takes for one request: a pure choice, first matching rule or the default.
use bytes::Bytes;
use uuid::Uuid;

use super::{
    matching::{Condition, Matcher, TooManyRules},
    query::ModelFamily,
};

/// The default action and the rules of a domain. Most domains have no rules, which costs one pointer.
pub struct Policy {
    default: Action,
    rules: Option<Box<Rules>>,
}

struct Rules {
    conditions: Matcher,
    actions: Box<[Action]>,
}

/// One rule as input of [`Policy::new`].
pub struct Rule<'a> {
    pub when: When<'a>,
    pub then: Action,
}

/// When a rule applies. Both lists must match where both are given; an empty one matches all.
pub struct When<'a> {
    pub model_families: Box<[ModelFamily]>,
    /// User patterns, see [`crate::user_patterns`].
    pub users: &'a [String],
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

/// The action for one request, and why.
pub struct Choice<'a> {
    pub action: &'a Action,
    pub matched: Matched,
    /// Some patterns were not compared and count as not matching, see [`super::matching::STEP_LIMIT`].
    pub is_step_limit_reached: bool,
}

impl Policy {
    pub fn new(default: Action, rules: Vec<Rule<'_>>) -> Result<Self, TooManyRules> {
        if rules.is_empty() {
            return Ok(Self { default, rules: None });
        }
        let conditions = Matcher::new(rules.iter().map(|rule| Condition {
            model_families: &rule.when.model_families,
            users: rule.when.users,
        }))?;
        let actions = rules.into_iter().map(|rule| rule.then).collect();
        Ok(Self {
            default,
            rules: Some(Box::new(Rules { conditions, actions })),
        })
    }

    /// Chooses the action of the first rule that applies, or the default. `user` is in lower case.
    #[must_use]
    pub fn choose(&self, family: Option<ModelFamily>, user: Option<&[u8]>) -> Choice<'_> {
        let by_default = Choice {
            action: &self.default,
            matched: Matched::Default,
            is_step_limit_reached: false,
        };
        let Some(rules) = &self.rules else {
            return by_default;
        };
        let found = rules.conditions.find(family, user);
        let is_step_limit_reached = found.is_step_limit_reached;
        match found.rule {
            Some(rule) => Choice {
                action: &rules.actions[rule],
                matched: Matched::Rule(rule),
                is_step_limit_reached,
            },
            None => Choice {
                is_step_limit_reached,
                ..by_default
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_wins_and_both_conditions_must_hold() {
        let users = [vec!["*@eu.contoso.com".to_owned()], vec![], vec!["ada@*".to_owned()]];
        let rule = |families: &[ModelFamily], users| Rule {
            when: When {
                model_families: families.into(),
                users,
            },
            then: Action::Defer,
        };
        let rules = vec![
            rule(&[ModelFamily::Mac], &users[0]),
            rule(&[ModelFamily::Mac, ModelFamily::IPad], &users[1]),
            rule(&[], &users[2]),
        ];
        let policy = Policy::new(Action::Defer, rules).unwrap();
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
                policy.choose(family, user.map(str::as_bytes)).matched,
                expected,
                "{family:?} {user:?}"
            );
        }
    }
}
