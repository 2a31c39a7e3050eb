//! A sorted table of exact and prefix patterns.
//!
//! All texts between a prefix and a text that begins with it begin with it too. The last key that is not greater than
//! the identifier therefore begins with every prefix in the table that the identifier begins with. Each key has a parent:
//! the longest prefix in the table that the key begins with. The longest matching prefix is on this chain of parents, and
//! each entry holds the first rules of its whole chain.
use super::FirstRules;

/// A pattern of the table. A prefix sorts before the exact pattern of the same text, because it is the parent of that.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    text: Vec<u8>,
    is_exact: bool,
}

impl Key {
    pub fn exact(text: Vec<u8>) -> Self {
        Self { text, is_exact: true }
    }

    pub fn prefix(text: Vec<u8>) -> Self {
        Self { text, is_exact: false }
    }
}

/// Exact and prefix patterns with the first rules of each.
pub struct Table {
    /// All texts, one after the other.
    text: Box<[u8]>,
    entries: Box<[Entry]>,
}

struct Entry {
    /// End of its text, which begins at the end of the entry before.
    end: u32,
    /// Index in `entries`, or [`NO_PARENT`].
    parent: u32,
    is_exact: bool,
    /// The first rules of this pattern and of its chain of parents.
    first: FirstRules,
}

const NO_PARENT: u32 = u32::MAX;

impl Table {
    pub fn new(mut patterns: Vec<(Key, FirstRules)>) -> Self {
        patterns.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        patterns.dedup_by(|(later, of_later), (kept, of_kept)| {
            let is_same = later == kept;
            if is_same {
                *of_kept = of_kept.min(*of_later);
            }
            is_same
        });
        let mut text = Vec::with_capacity(patterns.iter().map(|(key, _)| key.text.len()).sum());
        let mut entries: Vec<Entry> = Vec::with_capacity(patterns.len());
        // Prefixes that the current key may begin with; each begins with the one before.
        let mut open: Vec<usize> = Vec::new();
        for (key, own) in &patterns {
            while open
                .last()
                .is_some_and(|last| !key.text.starts_with(&patterns[*last].0.text))
            {
                open.pop();
            }
            let parent = open.last().copied();
            if !key.is_exact {
                open.push(entries.len());
            }
            text.extend_from_slice(&key.text);
            entries.push(Entry {
                end: index(text.len()),
                parent: parent.map_or(NO_PARENT, index),
                is_exact: key.is_exact,
                first: parent.map_or(*own, |parent| own.min(entries[parent].first)),
            });
        }
        Self {
            text: text.into(),
            entries: entries.into(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the first rules of all patterns that match `text`. Compares `text` with one key for each halving of the
    /// table, then climbs to a parent at most once for each byte of the longest pattern.
    pub fn find(&self, text: &[u8]) -> FirstRules {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) <= text {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(mut at) = low.checked_sub(1) else {
            return FirstRules::NONE;
        };
        let nearest = self.key(at);
        if self.entries[at].is_exact && nearest == text {
            return self.entries[at].first;
        }
        let common = nearest.iter().zip(text).take_while(|(one, other)| one == other).count();
        while self.entries[at].is_exact || self.key(at).len() > common {
            match self.entries[at].parent {
                NO_PARENT => return FirstRules::NONE,
                parent => at = parent as usize,
            }
        }
        self.entries[at].first
    }

    fn key(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.entries[before].end);
        &self.text[start as usize..self.entries[at].end as usize]
    }
}

fn index(position: usize) -> u32 {
    u32::try_from(position).expect("a stored policy has less than 4 GiB")
}
