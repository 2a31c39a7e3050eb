//! Patterns beyond the size of the automaton. Only policies that were stored before the limit existed have them. They are
//! compared one after the other, as all patterns were then, up to a number of steps for each decision.
use super::FirstRules;

/// Maximum number of steps in one decision. Each pattern and each comparison of a byte is a step, of about a nanosecond.
pub const STEP_LIMIT: usize = 20_000;

pub struct Stepped {
    /// All patterns, one after the other.
    text: Box<[u8]>,
    patterns: Box<[Pattern]>,
}

struct Pattern {
    /// End of its text, which begins at the end of the pattern before.
    end: usize,
    /// Number of bytes without `*`: no shorter identifier matches.
    length: u32,
    first: FirstRules,
    bytes: ByteSet,
}

impl Stepped {
    /// `patterns` in lower case and in the order of their rules.
    pub fn new(patterns: &[(Vec<u8>, FirstRules)]) -> Self {
        let mut end = 0;
        let pattern = |(text, first): &(Vec<u8>, FirstRules)| {
            let letters = text.iter().filter(|byte| **byte != b'*');
            end += text.len();
            Pattern {
                end,
                length: u32::try_from(letters.clone().count()).unwrap_or(u32::MAX),
                first: *first,
                bytes: ByteSet::of(letters),
            }
        };
        Self {
            patterns: patterns.iter().map(pattern).collect(),
            text: patterns.iter().flat_map(|(text, _)| text).copied().collect(),
        }
    }

    /// Returns the first rule of all patterns that match `user`, or `first` if that comes earlier, and whether the limit of
    /// steps was reached. A pattern that was not compared to the end counts as not matching.
    pub fn find(&self, user: &[u8], slot: usize, first: u8) -> (u8, bool) {
        let bytes = ByteSet::of(user);
        let mut steps = STEP_LIMIT;
        let mut start = 0;
        for pattern in &self.patterns {
            let text = &self.text[start..pattern.end];
            start = pattern.end;
            let Some(left) = steps.checked_sub(1) else {
                return (first, true);
            };
            steps = left;
            let is_possible =
                pattern.first.0[slot] < first && pattern.length as usize <= user.len() && bytes.contains(pattern.bytes);
            if !is_possible {
                continue;
            }
            match matches(text, user, &mut steps) {
                // Later patterns are of the same rule or a later one.
                Some(true) => return (pattern.first.0[slot], false),
                Some(false) => {}
                None => return (first, true),
            }
        }
        (first, false)
    }
}

/// Backtracks to the last `*` only. Returns `None` if the limit of steps is reached.
fn matches(pattern: &[u8], user: &[u8], steps: &mut usize) -> Option<bool> {
    let (mut at, mut in_user) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while in_user < user.len() {
        *steps = steps.checked_sub(1)?;
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
                let Some((star, from)) = last_star else {
                    return Some(false);
                };
                last_star = Some((star, from + 1));
                at = star + 1;
                in_user = from + 1;
            }
        }
    }
    Some(pattern[at..].iter().all(|byte| *byte == b'*'))
}

/// The lowest six bits of the bytes of a text.
#[derive(Clone, Copy)]
struct ByteSet(u64);

impl ByteSet {
    fn of<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> Self {
        Self(bytes.into_iter().fold(0, |set, byte| set | 1 << (byte & 63)))
    }

    fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }
}
