//! Measures the slowest policies that intake accepts, for `script/bench --policies`: the time of a decision and the memory
//! that a policy holds. Prints JSON lines.
use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use signpost::{
    discovery::{
        policy::{Action, Policy, Rule, When},
        query::MAX_USER,
    },
    user_patterns::{MAX_PATTERN_BYTES, MAX_TOTAL_BYTES, MAX_WILDCARD_BYTES},
};

/// Decisions for each identifier.
const REPETITIONS: usize = 3_000;
/// More than the caches of a processor hold.
const COLD_BYTES: usize = 128 * 1024 * 1024;
const MAX_RULES: usize = 100;
const MAX_USERS: usize = 100;
const USUAL: &str = "jane.appleseed@eu.contoso.com";

/// A policy with identifiers that take long to compare.
struct Shape {
    name: &'static str,
    patterns: Vec<String>,
    identifiers: Vec<Vec<u8>>,
}

fn main() {
    for shape in shapes() {
        let rules: Vec<&[String]> = shape.patterns.chunks(MAX_USERS).collect();
        let before = HELD.load(Ordering::Relaxed);
        let began = Instant::now();
        let policy = build(&rules);
        let built = began.elapsed();
        // Memory of the actions does not count.
        let actions = rules.len() * size_of::<Action>();
        let held = HELD.load(Ordering::Relaxed) - before - actions;
        let usual = time(&policy, USUAL.as_bytes());
        let slowest = shape.identifiers.iter().map(|identifier| time(&policy, identifier));
        let slowest = slowest.max_by_key(|times| times.median).unwrap_or(usual);
        let cold = time_cold(&rules, held, &shape.identifiers);
        println!(
            "{{\"name\":\"{}\",\"patterns\":{},\"pattern_bytes\":{},\"usual_ns\":{},\"slowest_ns\":{},\"slowest_p99_ns\":{},\"cold_ns\":{},\"held_bytes\":{held},\"built_us\":{}}}",
            shape.name,
            shape.patterns.len(),
            shape.patterns.iter().map(String::len).sum::<usize>(),
            usual.median.as_nanos(),
            slowest.median.as_nanos(),
            slowest.p99.as_nanos(),
            cold.as_nanos(),
            built.as_micros(),
        );
    }
}

fn time_once(policy: &Policy, identifier: &[u8]) -> Duration {
    let began = Instant::now();
    black_box(policy.choose(None, Some(black_box(identifier))).matched);
    began.elapsed()
}

fn build(rules: &[&[String]]) -> Policy {
    fn rule(users: &[String]) -> Rule<'_> {
        Rule {
            when: When {
                model_families: Box::default(),
                users,
            },
            then: Action::Defer,
        }
    }
    Policy::new(Action::Defer, rules.iter().copied().map(rule).collect()).expect("at most 100 rules")
}

#[derive(Clone, Copy)]
struct Times {
    median: Duration,
    p99: Duration,
}

fn time(policy: &Policy, identifier: &[u8]) -> Times {
    let mut times: Vec<_> = (0..REPETITIONS).map(|_| time_once(policy, identifier)).collect();
    times.sort_unstable();
    Times {
        median: times[REPETITIONS / 2],
        p99: times[REPETITIONS * 99 / 100],
    }
}

/// Returns the median for many domains with the same policy in turn, so that the processor's caches don't hold it.
fn time_cold(rules: &[&[String]], held: usize, identifiers: &[Vec<u8>]) -> Duration {
    let copies = (COLD_BYTES / held.max(1)).clamp(1, 1_000);
    let policies: Vec<_> = (0..copies).map(|_| build(rules)).collect();
    let medians = identifiers.iter().map(|identifier| {
        let mut times: Vec<_> = policies
            .iter()
            .cycle()
            .take(copies.max(300))
            .map(|policy| time_once(policy, identifier))
            .collect();
        times.sort_unstable();
        times[times.len() / 2]
    });
    medians.max().unwrap_or_default()
}

fn shapes() -> Vec<Shape> {
    let lines_of_a = || {
        [
            "a".repeat(MAX_USER),
            "a".repeat(MAX_USER - 1) + "b",
            "b".to_owned() + &"a".repeat(MAX_USER - 1),
        ]
    };
    // Branches on these letters can't be predicted.
    let mut next = random_numbers();
    let mut two_letters = || {
        (0..MAX_USER)
            .map(|_| if next() & 1024 == 0 { b'a' } else { b'b' })
            .collect::<Vec<u8>>()
    };
    let two_letters = [two_letters(), two_letters()];
    let strings = |texts: &[String]| texts.iter().map(|text| text.clone().into_bytes()).collect::<Vec<_>>();
    let person = |index: usize| format!("person-{index:04}@contoso.com");
    let wildcards = |pattern: &str| vec![pattern.to_owned(); MAX_WILDCARD_BYTES / pattern.len()];
    let all_prefixes = nested(|letter, length| letter.repeat(length) + "*");
    let all_suffixes = nested(|letter, length| format!("*{}", letter.repeat(length)));
    let slow = slow_pattern(MAX_PATTERN_BYTES);
    let (random_infixes, random_identifiers) = random();
    let mut everything = wildcards("a*a");
    everything.extend(all_prefixes.iter().step_by(2).cloned());
    everything.extend(all_suffixes.iter().step_by(2).cloned());
    let mut all_bytes = 0;
    everything.retain(|pattern| {
        all_bytes += pattern.len();
        all_bytes <= MAX_TOTAL_BYTES
    });
    vec![
        shape("no rules", vec![], strings(&lines_of_a())),
        shape(
            "one domain: `*@eu.contoso.com`",
            vec!["*@eu.contoso.com".to_owned()],
            strings(&lines_of_a()),
        ),
        shape(
            "one pattern: `pilot-*@contoso.com`",
            vec!["pilot-*@contoso.com".to_owned()],
            strings(&lines_of_a()),
        ),
        shape(
            "1,000 people",
            (0..1_000).map(person).collect(),
            strings(&[person(0), person(500), person(999), person(1_000)]),
        ),
        shape(
            "10,000 people, as many as 100 rules take",
            (0..MAX_RULES * MAX_USERS)
                .map(|index| format!("person-{index:04}@contoso.com.."))
                .collect(),
            strings(&[
                "0000@c.example".to_owned(),
                "9999@c.example".to_owned(),
                "5000@c.exampl".to_owned(),
            ]),
        ),
        shape(
            "addresses that differ at the end of 320 bytes",
            (0..MAX_TOTAL_BYTES / MAX_PATTERN_BYTES)
                .map(|index| format!("{index:a>320}"))
                .collect(),
            (0..5)
                .map(|index| format!("{:a>320}", index * 100).into_bytes())
                .collect(),
        ),
        shape("prefixes of every length", all_prefixes, nested_identifiers()),
        shape("suffixes of every length", all_suffixes, nested_identifiers()),
        shape("4 KiB of `*a*`", wildcards("*a*"), strings(&lines_of_a())),
        shape("4 KiB of `a*a`", wildcards("a*a"), strings(&lines_of_a())),
        shape(
            "4 KiB of `*a*a…*b`",
            wildcards(&slow),
            [&strings(&lines_of_a())[..], &two_letters].concat(),
        ),
        shape("4 KiB of random letters", random_infixes, random_identifiers),
        shape(
            "all of it: prefixes, suffixes and 4 KiB of `a*a`",
            everything,
            [strings(&lines_of_a()), nested_identifiers()].concat(),
        ),
        shape(
            "stored before: 1,100 of `*a*a…*b`",
            vec![slow_pattern(238); 1_100],
            [&strings(&lines_of_a())[..], &two_letters].concat(),
        ),
        shape(
            "stored before: 10,000 of `*aab*bba`",
            vec!["*aab*bba".to_owned(); MAX_RULES * MAX_USERS],
            [&strings(&lines_of_a())[..], &two_letters].concat(),
        ),
    ]
}

fn shape(name: &'static str, patterns: Vec<String>, identifiers: Vec<Vec<u8>>) -> Shape {
    Shape {
        name,
        patterns,
        identifiers,
    }
}

/// Returns patterns of one letter in every length, as many as a policy takes.
fn nested(pattern: impl Fn(&str, usize) -> String) -> Vec<String> {
    let lengths = 1..MAX_PATTERN_BYTES;
    let all = ["a", "b", "c", "d", "e", "f"]
        .into_iter()
        .flat_map(|letter| lengths.clone().map(move |length| (letter, length)));
    let mut bytes = 0;
    all.map(|(letter, length)| pattern(letter, length))
        .take_while(|pattern| {
            bytes += pattern.len();
            bytes <= MAX_TOTAL_BYTES
        })
        .collect()
}

/// Returns identifiers that begin or end with all, some or one of the patterns of [`nested`].
fn nested_identifiers() -> Vec<Vec<u8>> {
    let of = |length: usize| {
        let forward = [b"a".repeat(length), b"z".repeat(MAX_USER - length)].concat();
        let backward = forward.iter().rev().copied().collect();
        [forward, backward]
    };
    [0, 1, 160, 318, 320, MAX_USER].into_iter().flat_map(of).collect()
}

/// Returns `*a*a…*b`, which takes long to compare with many `a`.
fn slow_pattern(bytes: usize) -> String {
    let mut pattern = "*a".repeat(bytes / 2);
    pattern.truncate(bytes - 1);
    pattern + "b"
}

/// Returns patterns and identifiers of many different letters, which need the largest masks.
fn random() -> (Vec<String>, Vec<Vec<u8>>) {
    let mut next = random_numbers();
    // UTF-8 of one to four bytes.
    let ranges = [0x21..0x7f, 0x80..0x800, 0x800..0xd800, 0x1_0000..0x11_0000];
    let mut text = |max_bytes: usize| {
        let mut text = String::new();
        while text.len() + 4 <= max_bytes {
            let range = &ranges[next() as usize % ranges.len()];
            let letter =
                char::from_u32(range.start + next() % (range.end - range.start)).filter(|letter| *letter != '*');
            text.push(letter.unwrap_or('-').to_ascii_lowercase());
        }
        text
    };
    let infixes = (0..MAX_WILDCARD_BYTES / 32)
        .map(|_| format!("*{}*", text(30)))
        .collect();
    let identifiers = (0..3).map(|_| text(MAX_USER).into_bytes()).collect();
    (infixes, identifiers)
}

/// Returns the same numbers in each run (xorshift).
fn random_numbers() -> impl FnMut() -> u32 {
    let mut state: u32 = 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}

/// Number of bytes that are allocated.
static HELD: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: all is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.dealloc(block, layout) }
    }
}
