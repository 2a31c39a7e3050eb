//! Finds the first rule of a policy that applies to a device, in time linear in the user identifier and without an
//! allocation, whatever patterns a tenant writes.
//!
//! All patterns of all rules are compiled into one matcher. Exact, prefix and suffix patterns are in sorted tables
//! (`affixes`), where one binary search finds all that match. All other patterns run in one bit-parallel automaton
//! (`wildcards`), whose size is limited at intake. Each pattern carries the first rule that it selects for each model
//! family; the first rule of the policy is the minimum over the patterns that match.
//!
//! A policy that was stored before that limit existed may have more patterns than the automaton takes. The rest is
//! compared one pattern after the other, up to a number of steps (`stepped`).
mod affixes;
mod stepped;
mod wildcards;

use super::query::{MAX_USER, ModelFamily};
use crate::user_patterns::{MAX_WILDCARD_BYTES, Shape};
use affixes::{Key, Table};
use stepped::Stepped;
use wildcards::Wildcards;

pub use stepped::STEP_LIMIT;

/// Maximum number of rules: they are numbered from 0 in a byte whose last value means none.
pub const MAX_RULES: usize = u8::MAX as usize;

/// When a rule applies. Both lists must match where both are given; an empty one matches all.
#[derive(Default)]
pub struct Condition<'a> {
    pub model_families: &'a [ModelFamily],
    pub users: &'a [String],
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a policy has at most {MAX_RULES} rules")]
pub struct TooManyRules;

/// The conditions of all rules of one policy.
pub struct Matcher {
    /// The first rule without user patterns.
    without_users: FirstRules,
    /// Exact and prefix patterns.
    forward: Table,
    /// Suffix patterns, reversed.
    backward: Table,
    wildcards: Option<Box<Wildcards>>,
    stepped: Option<Box<Stepped>>,
}

/// The first rule that applies, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub rule: Option<usize>,
    /// Some patterns were not compared and count as not matching, see [`STEP_LIMIT`].
    pub is_step_limit_reached: bool,
}

impl Matcher {
    pub fn new<'a>(conditions: impl IntoIterator<Item = Condition<'a>>) -> Result<Self, TooManyRules> {
        let mut builder = Builder::default();
        for (index, condition) in conditions.into_iter().enumerate() {
            let rule = u8::try_from(index)
                .ok()
                .filter(|rule| *rule != NO_RULE)
                .ok_or(TooManyRules)?;
            builder.add(FirstRules::of(rule, condition.model_families), condition.users);
        }
        Ok(builder.build())
    }

    /// Returns the first rule that applies. `user` is in lower case.
    #[must_use]
    pub fn find(&self, family: Option<ModelFamily>, user: Option<&[u8]>) -> Found {
        let slot = slot(family);
        let mut first = self.without_users.0[slot];
        let mut is_step_limit_reached = false;
        if let Some(user) = user {
            first = first.min(self.forward.find(user).0[slot]);
            if !self.backward.is_empty() {
                let mut buffer = [0; MAX_USER];
                first = first.min(self.backward.find(reversed(user, &mut buffer)).0[slot]);
            }
            if let Some(wildcards) = &self.wildcards {
                first = first.min(wildcards.find(user, slot));
            }
            if let Some(stepped) = &self.stepped {
                (first, is_step_limit_reached) = stepped.find(user, slot, first);
            }
        }
        Found {
            rule: (first != NO_RULE).then_some(usize::from(first)),
            is_step_limit_reached,
        }
    }
}

const NO_RULE: u8 = u8::MAX;

/// The first rule for each model family, in the order of [`ModelFamily::ALL`]; the last is for requests without a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FirstRules([u8; ModelFamily::ALL.len() + 1]);

impl FirstRules {
    const NONE: Self = Self([NO_RULE; ModelFamily::ALL.len() + 1]);

    fn of(rule: u8, families: &[ModelFamily]) -> Self {
        if families.is_empty() {
            return Self([rule; ModelFamily::ALL.len() + 1]);
        }
        let mut first = Self::NONE;
        for family in families {
            first.0[slot(Some(*family))] = rule;
        }
        first
    }

    fn min(self, other: Self) -> Self {
        Self(std::array::from_fn(|slot| self.0[slot].min(other.0[slot])))
    }
}

fn slot(family: Option<ModelFamily>) -> usize {
    family.map_or(ModelFamily::ALL.len(), |family| family as usize)
}

/// The last bytes of `user`, as many as fit into `buffer`, in reverse.
fn reversed<'b>(user: &[u8], buffer: &'b mut [u8; MAX_USER]) -> &'b [u8] {
    let length = user.len().min(buffer.len());
    for (to, from) in buffer.iter_mut().zip(user.iter().rev()) {
        *to = *from;
    }
    &buffer[..length]
}

struct Builder {
    without_users: FirstRules,
    forward: Vec<(Key, FirstRules)>,
    backward: Vec<(Key, FirstRules)>,
    wildcards: Vec<(Vec<u8>, FirstRules)>,
    wildcard_bytes: usize,
    stepped: Vec<(Vec<u8>, FirstRules)>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            without_users: FirstRules::NONE,
            forward: Vec::new(),
            backward: Vec::new(),
            wildcards: Vec::new(),
            wildcard_bytes: 0,
            stepped: Vec::new(),
        }
    }
}

impl Builder {
    fn add(&mut self, first: FirstRules, users: &[String]) {
        if users.is_empty() {
            self.without_users = self.without_users.min(first);
        }
        for user in users {
            self.add_pattern(first, user);
        }
    }

    fn add_pattern(&mut self, first: FirstRules, pattern: &str) {
        let lower = |text: &str| text.to_ascii_lowercase().into_bytes();
        match Shape::of(pattern) {
            Shape::Exact(text) => self.forward.push((Key::exact(lower(text)), first)),
            Shape::Prefix(text) => self.forward.push((Key::prefix(lower(text)), first)),
            Shape::Suffix(text) => {
                let mut text = lower(text);
                text.reverse();
                self.backward.push((Key::prefix(text), first));
            }
            Shape::Wildcard(text) => {
                // After the first that does not fit, none is taken: `stepped` relies on the order of the rules.
                self.wildcard_bytes += text.len();
                match self.wildcard_bytes <= MAX_WILDCARD_BYTES {
                    true => self.wildcards.push((lower(text), first)),
                    false => self.stepped.push((lower(text), first)),
                }
            }
        }
    }

    fn build(self) -> Matcher {
        let wildcards = (!self.wildcards.is_empty()).then(|| Box::new(Wildcards::new(&self.wildcards)));
        let stepped = (!self.stepped.is_empty()).then(|| Box::new(Stepped::new(&self.stepped)));
        Matcher {
            without_users: self.without_users,
            forward: Table::new(self.forward),
            backward: Table::new(self.backward),
            wildcards,
            stepped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_identifier_and_a_star_any_bytes() {
        let many_letters = "ab".repeat(150);
        let across_words = format!("{many_letters}*{}", &many_letters[..19]);
        for (pattern, user, expected) in [
            ("*@eu.contoso.com", "ada@eu.contoso.com", true),
            ("*@EU.contoso.com", "ada@eu.contoso.com", true),
            ("*@eu.contoso.com", "@eu.contoso.com", true),
            ("*@eu.contoso.com", "ada@contoso.com", false),
            ("*@eu.contoso.com", "ada@eu.contoso.com.evil.example", false),
            ("ada*", "ada@contoso.com", true),
            ("Ada*", "ada", true),
            ("ada*", "ad", false),
            ("ada", "ada@contoso.com", false),
            ("ADA@contoso.com", "ada@contoso.com", true),
            ("ada@contoso.com", "ada@contoso.co", false),
            ("*pilot*@*", "a-pilot-b@contoso.com", true),
            ("*pilot*@*", "a-pilo-b@contoso.com", false),
            ("*a*b*c", "aabbcc", true),
            ("*a*b*c", "aabbcd", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a**a", "aba", true),
            ("*aab*", "aaab", true),
            ("a?c", "abc", false),
            ("a?c", "a?c", true),
            ("", "", true),
            ("", "a", false),
            ("**", "x", true),
            ("*", "", true),
            ("*a", "", false),
            ("*ä*", "xäx", true),
            ("*Ä*", "xäx", false),
            ("É", "É", true),
            (&across_words, &many_letters, false),
            (&across_words, &format!("{many_letters}-{}", &many_letters[..19]), true),
        ] {
            let users = [pattern.to_owned()];
            let condition = Condition {
                users: &users,
                ..Condition::default()
            };
            let matcher = Matcher::new([condition]).unwrap();
            let found = matcher.find(None, Some(user.as_bytes()));
            assert_eq!(found.rule.is_some(), expected, "{pattern} {user}");
            assert_eq!(matcher.find(None, None).rule, None, "{pattern}");
        }
    }

    #[test]
    fn all_prefixes_of_an_identifier_are_found_and_the_first_rule_of_them_wins() {
        let rules = ["abc", "ab*", "abc*", "abcde", "a*", "*", "*c", "b*"].map(|pattern| [pattern.to_owned()]);
        let of = |order: &[usize]| {
            let conditions = order.iter().map(|index| Condition {
                users: &rules[*index],
                ..Condition::default()
            });
            Matcher::new(conditions).unwrap()
        };
        for (order, user, expected) in [
            (vec![0, 1, 2, 3, 4, 5, 6, 7], "abc", Some(0)),
            (vec![3, 2, 1, 0], "abc", Some(1)),
            (vec![3, 2, 1, 0], "abcd", Some(1)),
            (vec![3, 2, 1, 0], "ab", Some(2)),
            (vec![3, 2, 1, 0], "aa", None),
            (vec![3, 0, 4], "abcf", Some(2)),
            (vec![3, 0, 6], "abd", None),
            (vec![7, 6, 5], "abc", Some(1)),
            (vec![7, 3, 5], "zzz", Some(2)),
            (vec![7, 3], "zzz", None),
            (vec![], "abc", None),
        ] {
            assert_eq!(
                of(&order).find(None, Some(user.as_bytes())).rule,
                expected,
                "{order:?} {user}"
            );
        }
    }

    #[test]
    fn a_policy_with_more_rules_than_can_be_numbered_is_refused() {
        let conditions = |count: usize| std::iter::repeat_with(Condition::default).take(count);
        assert!(Matcher::new(conditions(MAX_RULES)).is_ok());
        assert_eq!(Matcher::new(conditions(MAX_RULES + 1)).err(), Some(TooManyRules));
    }
}
