//! Numbers as people read them.

/// The upper end of a scale whose middle is a whole number too: 2, 4, 6, 8, 10, 20, 40 …
pub fn top(most: i64) -> i64 {
    let mut ten: i64 = 1;
    loop {
        let found = [2, 4, 6, 8]
            .into_iter()
            .map(|digit| ten.saturating_mul(digit))
            .find(|top| *top >= most);
        match found {
            Some(top) => return top,
            None if ten > i64::MAX / 10 => return i64::MAX,
            None => ten *= 10,
        }
    }
}

/// "12,345".
#[must_use]
pub fn grouped(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let mut text = String::from(if count < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// "12k": for a scale, whose numbers are round.
pub fn short(count: i64) -> String {
    let units = [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1_000, "k"),
    ];
    match units.into_iter().find(|(unit, _)| count >= *unit) {
        Some((unit, letter)) => match (count % unit) * 10 / unit {
            0 => format!("{}{letter}", count / unit),
            tenth => format!("{}.{tenth}{letter}", count / unit),
        },
        None => count.to_string(),
    }
}
