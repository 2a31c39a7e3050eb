//! Host names that resemble a vendor's domain without being part of it. One that was really published,
//! `….jamfcloud.com.com`, sent its organisation's sign-ins to a stranger.

/// Where vendors keep their customers' servers. A name one slip away from these is refused too: all are long
/// enough that nobody else's domain is so near.
const DISTINCTIVE: [&str; 9] = [
    "ivanticloud.com",
    "jamfcloud.com",
    "manageengine.com",
    "microsoft.cn",
    "microsoft.com",
    "microsoft.us",
    "mobileiron.com",
    "mosyle.com",
    "mosyle.io",
];

/// Domains of the vendors that are real although they resemble, or are resembled by, others.
const OTHERS: [&str; 9] = [
    "fleetdm.com",
    "manageengine.ca",
    "manageengine.cn",
    "manageengine.com.au",
    "manageengine.eu",
    "manageengine.in",
    "manageengine.jp",
    "manageengine.sa",
    "manageengine.uk",
];

/// The vendor's domain that `name`, a host name in normal form, looks like but is not under.
pub fn resembled(name: &str) -> Option<&'static str> {
    let known = || DISTINCTIVE.into_iter().chain(OTHERS);
    if known().any(|domain| is_under(name, domain)) {
        return None;
    }
    let holds = |domain: &&str| format!(".{name}.").contains(&format!(".{domain}."));
    let nearly_under = |domain: &&str| one_slip_apart(last_labels(name, domain), domain);
    known()
        .find(holds)
        .or_else(|| DISTINCTIVE.into_iter().find(nearly_under))
}

/// The vendor's domain that a name of other scripts' letters is to be read as: `micrоsoft.com` with a Cyrillic о.
pub fn disguised(name: &str) -> Option<&'static str> {
    if name.is_ascii() {
        return None;
    }
    let read: String = name.chars().map(latin).collect();
    let known = DISTINCTIVE.into_iter().chain(OTHERS);
    known
        .into_iter()
        .find(|domain| is_under(&read, domain))
        .or_else(|| resembled(&read))
}

/// The letter that a person takes it for; `?` for one that counts as a slip.
fn latin(letter: char) -> char {
    const PAIRS: [(&str, char); 20] = [
        ("аαáàâäãåā", 'a'),
        ("ьḅ", 'b'),
        ("сςç", 'c'),
        ("ԁđ", 'd'),
        ("еёéèêëēε", 'e'),
        ("ƒ", 'f'),
        ("ɡğ", 'g'),
        ("һհ", 'h'),
        ("іιíìîïıī", 'i'),
        ("јʝ", 'j'),
        ("ӏłⅼ", 'l'),
        ("ⅿм", 'm'),
        ("ոñńη", 'n'),
        ("оοóòôöõøōօ", 'o'),
        ("рρ", 'p'),
        ("г", 'r'),
        ("ѕśšș", 's'),
        ("тτț", 't'),
        ("υúùûüū", 'u'),
        ("уýγ", 'y'),
    ];
    match letter {
        ascii if ascii.is_ascii() => ascii,
        other => PAIRS
            .iter()
            .find(|(letters, _)| letters.contains(other))
            .map_or('?', |(_, latin)| *latin),
    }
}

fn is_under(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// As many of the last labels of `name` as `domain` has.
fn last_labels<'a>(name: &'a str, domain: &str) -> &'a str {
    let dots = domain.matches('.').count();
    name.rmatch_indices('.')
        .nth(dots)
        .map_or(name, |(dot, _)| name.get(dot + 1..).unwrap_or(name))
}

/// One character replaced, left out or added, or two neighbours exchanged.
fn one_slip_apart(left: &str, right: &str) -> bool {
    let same = |pair: &(u8, u8)| pair.0 == pair.1;
    let start = left.bytes().zip(right.bytes()).take_while(same).count();
    let (left, right) = (left.as_bytes().split_at(start).1, right.as_bytes().split_at(start).1);
    let end = left
        .iter()
        .rev()
        .zip(right.iter().rev())
        .take_while(|(l, r)| l == r)
        .count();
    match (left.split_at(left.len() - end).0, right.split_at(right.len() - end).0) {
        ([_], [_] | []) | ([], [_]) => true,
        ([a, b], [c, d]) => (a, b) == (d, c),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_only_looks_like_a_vendors_is_recognised() {
        let cases = [
            ("x.jamfcloud.com.com", "jamfcloud.com"),
            ("x.jamfcloud.com.evil.example", "jamfcloud.com"),
            ("jamfcloud.com.example", "jamfcloud.com"),
            ("x.jamfcloud.co", "jamfcloud.com"),
            ("x.jamfcloud.cm", "jamfcloud.com"),
            ("x.jamfcloud.comm", "jamfcloud.com"),
            ("x.jamfcluod.com", "jamfcloud.com"),
            ("x.jamcloud.com", "jamfcloud.com"),
            ("jamfcl0ud.com", "jamfcloud.com"),
            ("manage.microsoft.com.evil.example", "microsoft.com"),
            ("manage.mircosoft.com", "microsoft.com"),
            ("manage.microsoft.uk", "microsoft.us"),
            ("biz-1.business.mosyle.io.example", "mosyle.io"),
            ("na1.mobileiron.com.co", "mobileiron.com"),
            ("mdm.managenegine.com", "manageengine.com"),
            ("mdm.manageengine.com.evil.example", "manageengine.com"),
            ("x.fleetdm.com.example", "fleetdm.com"),
        ];
        for (name, domain) in cases {
            assert_eq!(resembled(name), Some(domain), "{name}");
        }
    }

    #[test]
    fn the_vendors_own_names_and_everybody_elses_are_left_alone() {
        let names = [
            "x.jamfcloud.com",
            "jamfcloud.com",
            "manage.microsoft.com",
            "manage.microsoft.us",
            "fef.msua05.manage.microsoft.com",
            "biz-1.business.mosyle.io",
            "mdm.manageengine.com.au",
            "mdm.manageengine.in",
            "mdm.manageengine.sa",
            "mdm.contoso.com",
            "jamfcloud.contoso.com",
            "jamf.contoso.com",
            "mdm.fleetdb.com",
            "fleetdm.contoso.com",
            "a.b",
        ];
        for name in names {
            assert_eq!(resembled(name), None, "{name}");
        }
    }

    #[test]
    fn letters_of_other_scripts_are_read_as_a_person_reads_them() {
        for (name, domain) in [
            ("manage.micros\u{43e}ft.com", Some("microsoft.com")),
            ("manage.mi\u{441}r\u{43e}s\u{43e}ft.com", Some("microsoft.com")),
            ("x.jamfcl\u{f6}ud.com", Some("jamfcloud.com")),
            ("x.jamfcl\u{5d0}ud.com", Some("jamfcloud.com")),
            ("manage.microsoft.com", None),
            ("m\u{fc}nchen.example", None),
            ("\u{431}\u{43e}\u{43b}.example", None),
        ] {
            assert_eq!(disguised(name), domain, "{name}");
        }
    }

    #[test]
    fn a_slip_is_one_change_and_not_two() {
        for (left, right) in [
            ("abc", "abd"),
            ("abc", "ab"),
            ("ab", "abc"),
            ("abc", "acb"),
            ("aab", "ab"),
            ("", "a"),
        ] {
            assert!(
                one_slip_apart(left, right) && one_slip_apart(right, left),
                "{left} {right}"
            );
        }
        for (left, right) in [("abc", "abc"), ("abcd", "badc"), ("abc", "a"), ("abc", "cba"), ("", "")] {
            assert!(!one_slip_apart(left, right), "{left} {right}");
        }
    }
}
