//! One automaton for all patterns with a `*` in the middle or with more than one `*`: 64 states in a machine word.
//!
//! The pattern `a*bc` has four states, one for each number of letters that were read. A state moves to the next one if the
//! byte is the next letter of the pattern, and stays as well if a `*` follows ("Shift-And", Baeza-Yates and Gonnet 1992,
//! with the gaps of Navarro and Raffinot 2002). A few instructions move all 64 states of a word.
use super::FirstRules;
use crate::user_patterns::MAX_WILDCARD_BYTES;

/// A pattern has one state more than letters, and at least one `*`, so at most as many states as bytes.
const MAX_WORDS: usize = MAX_WILDCARD_BYTES.div_ceil(WORD_BITS);
const WORD_BITS: usize = u64::BITS as usize;

/// Indices of the rows in [`Wildcards::rows`].
const START: usize = 0;
const LOOPS: usize = 1;
const OTHER_BYTES: u8 = 2;
const FIRST_BYTE: u8 = 3;

pub struct Wildcards {
    /// Length of a row.
    words: usize,
    /// Sorted letters of the patterns. `*` and capital letters are not among them, so the index of a row fits into a byte.
    bytes: Box<[u8]>,
    /// Sets of states: those at the start, those where a `*` follows, those that a byte outside `bytes` enters (none), and
    /// those that each of `bytes` enters.
    rows: Box<[u64]>,
    ends: Box<[End]>,
}

/// The last state of a pattern.
struct End {
    state: u16,
    first: FirstRules,
}

impl Wildcards {
    /// `patterns` in lower case, [`MAX_WILDCARD_BYTES`] at most.
    pub fn new(patterns: &[(Vec<u8>, FirstRules)]) -> Self {
        let letters = |pattern: &[u8]| pattern.iter().filter(|byte| **byte != b'*').count();
        let states: usize = patterns.iter().map(|(pattern, _)| letters(pattern) + 1).sum();
        let words = states.div_ceil(WORD_BITS);
        let mut bytes: Vec<u8> = patterns.iter().flat_map(|(pattern, _)| pattern).copied().collect();
        bytes.sort_unstable();
        bytes.dedup();
        bytes.retain(|byte| *byte != b'*');
        let mut rows = vec![0; (usize::from(FIRST_BYTE) + bytes.len()) * words];
        let mut set = |row: usize, state: usize| rows[row * words + state / WORD_BITS] |= 1 << (state % WORD_BITS);
        let mut ends = Vec::with_capacity(patterns.len());
        let mut state = 0;
        for (pattern, first) in patterns {
            set(START, state);
            for byte in pattern {
                match bytes.binary_search(byte) {
                    Ok(place) => {
                        state += 1;
                        set(usize::from(FIRST_BYTE) + place, state);
                    }
                    Err(_) => set(LOOPS, state),
                }
            }
            ends.push(End {
                state: u16::try_from(state).expect("the states of MAX_WILDCARD_BYTES"),
                first: *first,
            });
            state += 1;
        }
        Self {
            words,
            bytes: bytes.into(),
            rows: rows.into(),
            ends: ends.into(),
        }
    }

    /// Returns the first rule of all patterns that match `user`.
    pub fn find(&self, user: &[u8], slot: usize) -> u8 {
        let mut row_of = [OTHER_BYTES; 256];
        for (row, byte) in (FIRST_BYTE..).zip(&self.bytes) {
            row_of[usize::from(*byte)] = row;
        }
        let mut states = [0; MAX_WORDS];
        let states = &mut states[..self.words];
        states.copy_from_slice(self.row(START));
        let loops = self.row(LOOPS);
        for byte in user {
            let enters = self.row(usize::from(row_of[usize::from(*byte)]));
            let mut carry = 0;
            for ((word, enters), loops) in states.iter_mut().zip(enters).zip(loops) {
                let before = *word;
                *word = ((before << 1 | carry) & enters) | (before & loops);
                carry = before >> (WORD_BITS - 1);
            }
        }
        let is_in = |end: &&End| {
            let state = usize::from(end.state);
            states[state / WORD_BITS] >> (state % WORD_BITS) & 1 == 1
        };
        let found = self.ends.iter().filter(is_in).map(|end| end.first.0[slot]);
        found.min().unwrap_or(super::NO_RULE)
    }

    fn row(&self, row: usize) -> &[u64] {
        &self.rows[row * self.words..][..self.words]
    }
}
