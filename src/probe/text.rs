//! Texts of a stranger's server, fit to be shown on a terminal: short, one line, nothing that moves the cursor or
//! turns the direction of writing.

/// As long as a sentence may quote.
const QUOTED: usize = 120;

/// One line without control characters, at most `max` characters and an ellipsis.
pub fn plain(text: &str, max: usize) -> String {
    let shown = |c: char| match c {
        c if c.is_whitespace() || c.is_control() => ' ',
        c if is_invisible(c) => '\u{fffd}',
        c => c,
    };
    let mut line = String::new();
    // Longer input than this can't add to the result but for spaces.
    for c in text.chars().take(max.saturating_mul(8)).map(shown) {
        if c != ' ' || !(line.is_empty() || line.ends_with(' ')) {
            line.push(c);
        }
    }
    let line = line.trim_end();
    match line.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", line.split_at(end).0.trim_end()),
        None => line.to_owned(),
    }
}

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

/// Zero width, and what turns the direction of writing.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_moves_no_cursor_and_turns_no_text() {
        for (text, shown) in [
            ("plain", "plain"),
            ("  a \r\n\t b  ", "a b"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}x", "[2J ]0;title x"),
            ("a\u{9b}31mb", "a 31mb"),
            ("\u{202e}moc.osotnoc", "\u{fffd}moc.osotnoc"),
            ("ab\u{200b}cd", "ab\u{fffd}cd"),
            ("", ""),
        ] {
            assert_eq!(plain(text, 100), shown, "{text:?}");
        }
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(plain("äöüß", 3), "äöü…");
        assert_eq!(plain("äöü", 3), "äöü");
        assert_eq!(plain(&"x".repeat(1_000_000), 2), "xx…");
        assert_eq!(listed(&["a", "b", "c"], 2), "a, b and 1 more");
        assert_eq!(listed(&["a", "b"], 2), "a, b");
    }
}
