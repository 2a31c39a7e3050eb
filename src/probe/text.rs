//! Texts of a stranger's server, fit to be quoted in a sentence.
pub use crate::input::plain;

/// As long as a sentence may quote.
const QUOTED: usize = 120;

/// The same as long as a sentence may quote.
pub fn quoted(text: &str) -> String {
    plain(text, QUOTED)
}

pub fn quoted_bytes(bytes: &[u8]) -> String {
    quoted(&String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED * 8)]))
}

/// At most `max` of many, and how many are left out.
pub fn listed<T: ToString>(items: &[T], max: usize) -> String {
    let shown: Vec<_> = items.iter().take(max).map(|item| quoted(&item.to_string())).collect();
    match items.len().saturating_sub(max) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_the_first_are_listed() {
        assert_eq!(listed(&["a", "b", "c"], 2), "a, b and 1 more");
        assert_eq!(listed(&["a", "b"], 2), "a, b");
    }
}
