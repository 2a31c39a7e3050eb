//! The shapes of a policy's user patterns and the limits on their size: one definition for the intake of
//! policies (`domains`) and for the matcher that answers devices (`discovery`).
//!
//! In a pattern `*` matches any bytes, also none. Every other byte matches itself, ASCII letters in either case.

/// Longest single pattern.
pub const MAX_PATTERN_BYTES: usize = 320;
/// All patterns of one policy together. Bounds the memory of a policy.
pub const MAX_TOTAL_BYTES: usize = 256 * 1024;
/// All [`Shape::Wildcard`] patterns of one policy together. Bounds the time of a decision: every byte of an identifier is
/// compared with all of them. The other shapes are found by a search in sorted tables.
pub const MAX_WILDCARD_BYTES: usize = 4 * 1024;

/// The kind of a pattern, which decides how it is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape<'a> {
    /// No `*`: the whole identifier.
    Exact(&'a str),
    /// `*` at the end only: the text that the identifier begins with. Empty for `*` alone.
    Prefix(&'a str),
    /// `*` at the start only: the text that the identifier ends with.
    Suffix(&'a str),
    /// Everything else: the whole pattern, for example `a*b` or `*a*`.
    Wildcard(&'a str),
}

impl<'a> Shape<'a> {
    #[must_use]
    pub fn of(pattern: &'a str) -> Self {
        let inner = pattern.trim_matches('*');
        if inner.is_empty() && !pattern.is_empty() {
            return Self::Prefix("");
        }
        match (pattern.starts_with('*'), pattern.ends_with('*')) {
            _ if inner.contains('*') => Self::Wildcard(pattern),
            (false, false) => Self::Exact(inner),
            (false, true) => Self::Prefix(inner),
            (true, false) => Self::Suffix(inner),
            (true, true) => Self::Wildcard(pattern),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_the_shape_of_its_stars() {
        for (pattern, expected) in [
            ("", Shape::Exact("")),
            ("ada@contoso.com", Shape::Exact("ada@contoso.com")),
            ("a?c", Shape::Exact("a?c")),
            ("*", Shape::Prefix("")),
            ("***", Shape::Prefix("")),
            ("pilot-*", Shape::Prefix("pilot-")),
            ("pilot-**", Shape::Prefix("pilot-")),
            ("*@eu.contoso.com", Shape::Suffix("@eu.contoso.com")),
            ("**@eu.contoso.com", Shape::Suffix("@eu.contoso.com")),
            ("*pilot*", Shape::Wildcard("*pilot*")),
            ("a*b", Shape::Wildcard("a*b")),
            ("a**b", Shape::Wildcard("a**b")),
            ("*a*b", Shape::Wildcard("*a*b")),
            ("a*b*", Shape::Wildcard("a*b*")),
            ("*ä", Shape::Suffix("ä")),
        ] {
            assert_eq!(Shape::of(pattern), expected, "{pattern}");
        }
    }
}
