#![allow(clippy::unwrap_used, reason = "a test that can not go on has failed")]
//! Compares the matcher of policies with the plain one that it replaced, which is kept here as the reference, and checks
//! its limits and that it does not allocate.
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hash::{BuildHasher, Hasher, RandomState},
};

use signpost::{
    discovery::{
        policy::{Action, Matched, Policy, Rule, When},
        query::{MAX_USER, ModelFamily, Query},
    },
    domains::policy as stored,
    user_patterns::{MAX_PATTERN_BYTES, MAX_TOTAL_BYTES, MAX_WILDCARD_BYTES},
};

/// The condition of a rule.
#[derive(Clone, Debug, Default)]
struct Condition {
    model_families: Vec<ModelFamily>,
    users: Vec<String>,
}

impl Condition {
    fn of_users(users: impl IntoIterator<Item = String>) -> Self {
        Self {
            users: users.into_iter().collect(),
            ..Self::default()
        }
    }
}

fn policy(conditions: &[Condition]) -> Policy {
    fn rule(condition: &Condition) -> Rule<'_> {
        Rule {
            when: When {
                model_families: condition.model_families.clone().into(),
                users: &condition.users,
            },
            then: Action::Defer,
        }
    }
    Policy::new(Action::Defer, conditions.iter().map(rule).collect()).unwrap()
}

/// Pointers of the errors that intake reports.
fn refusals(conditions: &[Condition]) -> Vec<String> {
    let rule = |condition: &Condition| stored::Rule {
        when: stored::When {
            model_families: Vec::new(),
            users: condition.users.clone(),
        },
        then: stored::Action::Defer {},
    };
    let rules: Vec<_> = conditions.iter().map(rule).collect();
    let errors = stored::rules_errors(&rules);
    errors.into_iter().map(|error| error.pointer).collect()
}

/// The previous implementation: compares every pattern of every rule, one after the other.
mod plain {
    use super::{Condition, Matched, ModelFamily};

    pub fn choose(conditions: &[Condition], family: Option<ModelFamily>, user: Option<&[u8]>) -> Matched {
        let first = conditions
            .iter()
            .position(|condition| condition_matches(condition, family, user));
        first.map_or(Matched::Default, Matched::Rule)
    }

    fn condition_matches(condition: &Condition, family: Option<ModelFamily>, user: Option<&[u8]>) -> bool {
        let family_fits = condition.model_families.is_empty()
            || family.is_some_and(|family| condition.model_families.contains(&family));
        let user_fits = condition.users.is_empty()
            || user.is_some_and(|user| condition.users.iter().any(|pattern| matches(pattern, user)));
        family_fits && user_fits
    }

    fn matches(pattern: &str, user: &[u8]) -> bool {
        let pattern = pattern.to_ascii_lowercase().into_bytes();
        let (mut at, mut in_user) = (0, 0);
        let mut last_star: Option<(usize, usize)> = None;
        while in_user < user.len() {
            match pattern.get(at) {
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
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

/// The generator `SplitMix64`.
struct Random(u64);

impl Random {
    /// Takes the seed from `SIGNPOST_TEST_SEED` or makes a new one, and prints it.
    fn seeded() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a setting of this test")]
        let set = std::env::var("SIGNPOST_TEST_SEED").ok();
        let seed = set.map_or_else(
            || RandomState::new().build_hasher().finish(),
            |seed| seed.parse().unwrap(),
        );
        println!("SIGNPOST_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ bits >> 31) % limit as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn family(&mut self) -> Option<ModelFamily> {
        ModelFamily::ALL.get(self.below(7)).copied()
    }

    /// Uses few letters, so that patterns match, in both cases, and not only ASCII.
    fn pattern(&mut self) -> String {
        let letters = ["a", "b", "A", "@", "é", "?", "."];
        let (length, stars) = match self.below(12) {
            0 => (self.below(100), 10),
            1 => (self.below(8), 1),
            2 => (self.below(8), 1_000),
            _ => (self.below(8), 2 + self.below(6)),
        };
        let letter = |random: &mut Self| {
            let of = if random.one_in(4) { letters.len() } else { 2 };
            if random.one_in(stars) {
                "*"
            } else {
                letters[random.below(of)]
            }
        };
        let mut pattern: String = (0..length).map(|_| letter(self)).collect();
        if self.one_in(3) {
            pattern = pattern.replace('*', "");
            match self.below(3) {
                0 => pattern.push('*'),
                1 => pattern.insert(0, '*'),
                _ => {}
            }
        }
        pattern
    }

    fn condition(&mut self, max_users: usize) -> Condition {
        let families = if self.one_in(2) { 0 } else { self.below(4) };
        let users = if self.one_in(5) { 0 } else { self.below(max_users) };
        Condition {
            model_families: (0..families).filter_map(|_| self.family()).collect(),
            users: (0..users).map(|_| self.pattern()).collect(),
        }
    }

    /// Returns an identifier in lower case, as a query has it. It need not be UTF-8.
    fn identifier(&mut self, conditions: &[Condition]) -> Vec<u8> {
        let patterns: Vec<_> = conditions.iter().flat_map(|condition| &condition.users).collect();
        let mut identifier: Vec<u8> = match patterns.get(self.below(patterns.len() + 3)) {
            // Matches the pattern, or nearly.
            Some(pattern) => {
                let parts: Vec<_> = pattern.split('*').map(str::as_bytes).collect();
                parts.join(&self.bytes(3)[..])
            }
            None => {
                let length = if self.one_in(10) { MAX_USER } else { 12 };
                self.bytes(length)
            }
        };
        if self.one_in(3) && !identifier.is_empty() {
            let at = self.below(identifier.len());
            identifier[at] = b'b';
        }
        identifier.truncate(MAX_USER);
        identifier.make_ascii_lowercase();
        identifier
    }

    fn bytes(&mut self, max: usize) -> Vec<u8> {
        let bytes = [b'a', b'b', b'@', 0xc3, 0xa9, 0xff, b'?', b'.', b'*', 0];
        let length = self.below(max + 1);
        (0..length)
            .map(|_| {
                let of = if self.one_in(3) { bytes.len() } else { 2 };
                bytes[self.below(of)]
            })
            .collect()
    }
}

#[test]
fn a_policy_chooses_as_one_that_compares_every_pattern() {
    let mut random = Random::seeded();
    for round in 0..4_000 {
        let max_users = if round % 100 == 0 { 100 } else { 6 };
        let count = random.below(10);
        let conditions: Vec<_> = (0..count).map(|_| random.condition(max_users)).collect();
        let policy = policy(&conditions);
        for _ in 0..30 {
            let family = random.family();
            let identifier = random.identifier(&conditions);
            let user = (!random.one_in(20)).then_some(&identifier[..]);
            let choice = policy.choose(family, user);
            let expected = plain::choose(&conditions, family, user);
            assert!(!choice.is_step_limit_reached, "{conditions:?}");
            assert_eq!(
                choice.matched, expected,
                "round {round}: {conditions:?} {family:?} {user:?}"
            );
        }
    }
}

/// `*a*a…*b` of `bytes` bytes, which takes long to compare with many `a`.
fn slow_pattern(bytes: usize) -> String {
    let mut pattern = "*a".repeat(bytes / 2);
    pattern.truncate(bytes - 1);
    pattern + "b"
}

#[test]
fn the_largest_policies_that_intake_accepts_are_compared_to_the_end() {
    let exact = |index: usize| format!("{index:0>64}");
    let wildcards = MAX_WILDCARD_BYTES / 64;
    let affixes = (MAX_TOTAL_BYTES - MAX_WILDCARD_BYTES) / 64;
    let mut conditions: Vec<_> = (0..affixes)
        .collect::<Vec<_>>()
        .chunks(100)
        .map(|chunk| Condition::of_users(chunk.iter().copied().map(exact)))
        .collect();
    conditions.insert(0, Condition::of_users((0..wildcards).map(|_| slow_pattern(64))));
    assert_eq!(refusals(&conditions), [""; 0]);
    let policy = policy(&conditions);
    let identifiers = [
        "a".repeat(MAX_USER),
        "a".repeat(MAX_USER - 1) + "b",
        exact(0),
        exact(affixes - 1),
        exact(affixes),
        "a".repeat(MAX_PATTERN_BYTES),
    ];
    for identifier in &identifiers {
        let choice = policy.choose(None, Some(identifier.as_bytes()));
        assert_eq!(
            choice.matched,
            plain::choose(&conditions, None, Some(identifier.as_bytes()))
        );
        assert!(!choice.is_step_limit_reached);
    }

    conditions[0].users.push("a*b".to_owned());
    let beyond = refusals(&conditions);
    assert_eq!(beyond.len(), 2, "{beyond:?}");
    assert!(
        beyond.contains(&format!("/rules/0/when/users/{wildcards}")),
        "{beyond:?}"
    );
}

#[test]
fn a_stored_policy_beyond_the_limits_chooses_as_before_up_to_a_number_of_steps() {
    // The last ones exceed the size of the automaton.
    let many = (0..1_100).map(|index| format!("*pilot-{index:04}*@*"));
    let usual = [
        Condition::of_users(many),
        Condition::of_users(["*@contoso.com".to_owned()]),
    ];
    assert_ne!(refusals(&usual), [""; 0]);
    let slow = [
        Condition::of_users((0..1_100).map(|_| slow_pattern(240))),
        Condition::of_users(["a*".to_owned()]),
        Condition::of_users(["*".to_owned()]),
    ];
    let long = "b".to_owned() + &"a".repeat(MAX_USER - 1);
    let other_letters = "a".repeat(MAX_USER);
    for (conditions, identifier, expected, is_step_limit_reached) in [
        (&usual[..], "ada-pilot-0000@contoso.com", Matched::Rule(0), false),
        (&usual, "ada-pilot-1099@fabrikam.com", Matched::Rule(0), false),
        (&usual, "ada-pilot-1100@contoso.com", Matched::Rule(1), false),
        (&usual, "ada-pilot-1100@fabrikam.com", Matched::Default, false),
        (&slow, "ada@contoso.com", Matched::Rule(1), false),
        (&slow, "eve@contoso.com", Matched::Rule(2), false),
        // Patterns that were not compared count as not matching; the tables are searched all the same.
        (&slow, &long, Matched::Rule(2), true),
        (&slow, &other_letters, Matched::Rule(1), false),
    ] {
        let policy = policy(conditions);
        let choice = policy.choose(None, Some(identifier.as_bytes()));
        assert_eq!(choice.matched, expected, "{identifier}");
        assert_eq!(choice.is_step_limit_reached, is_step_limit_reached, "{identifier}");
    }
}

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: all is done by the system's allocator; the counter is a constant-initialised thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(block, layout) }
    }
}

#[test]
fn a_choice_allocates_nothing() {
    let patterns = |pattern: fn(usize) -> String| Condition::of_users((0..200).map(pattern));
    let conditions = [
        patterns(|index| format!("person-{index}@contoso.com")),
        patterns(|index| format!("team-{index}-*")),
        patterns(|index| format!("*@{index}.contoso.com")),
        patterns(|index| format!("*-{index}-*")),
        patterns(|_| slow_pattern(300)),
    ];
    let policy = policy(&conditions);
    let long = format!("user-identifier={}", "a".repeat(MAX_USER));
    let beyond = format!("user-identifier={}", "a".repeat(MAX_USER + 1));
    let queries = [
        "user-identifier=Person-199%40contoso.com&model-family=Mac",
        "user-identifier=ada@199.contoso.com",
        "user-identifier=ada",
        "model-family=iPhone",
        "",
        &long,
        &beyond,
    ];
    let before = ALLOCATIONS.get();
    assert_ne!(before, 0, "allocations are counted");
    let mut matched = [Matched::Default; 7];
    for (query, matched) in queries.iter().zip(&mut matched) {
        let query = Query::parse(query);
        *matched = policy.choose(query.asked.family(), query.user()).matched;
    }
    let allocations = ALLOCATIONS.get() - before;
    assert_eq!(allocations, 0);
    assert_eq!(
        matched,
        [
            Matched::Rule(0),
            Matched::Rule(2),
            Matched::Default,
            Matched::Default,
            Matched::Default,
            Matched::Default,
            Matched::Default
        ]
    );
}
