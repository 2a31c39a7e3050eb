//! The mail to an organisation's owners and admins when the record of a mail domain is missing.
use std::fmt::Write;

use chrono::{DateTime, Utc};

use super::{
    record::{LOST_AFTER, record_name, record_value},
    store::Missing,
};

/// Subject and text. `missing` are domains of one organisation, at least one.
pub fn write(portal_url: &str, missing: &[&Missing]) -> (String, String) {
    let subject = match missing {
        [one] => format!("Single sign-on for {} needs a DNS record", one.hostname),
        _ => format!("Single sign-on for {} domains needs DNS records", missing.len()),
    };
    let mut text = String::from(
        "Your provider signs in people of a mail domain only if the domain has a TXT record for single sign-on. These records are missing:\n",
    );
    for domain in missing {
        let (name, value) = (
            record_name(&domain.hostname),
            record_value(&domain.ownership_key, &domain.hostname),
        );
        let _ = write!(
            text,
            "\n{}: single sign-on ends on {} unless you add this record.\n\n    Type:  TXT\n    Name:  {name}\n    Value: {value}\n",
            domain.hostname,
            ends_at(domain).format("%-d %B %Y, %H:%M UTC"),
        );
    }
    let _ = write!(
        text,
        "\nPasswords and passkeys keep working. The settings show whether the record was found:\n\n{portal_url}/settings/single-sign-on\n"
    );
    (subject, text)
}

fn ends_at(domain: &Missing) -> DateTime<Utc> {
    let lost_at = domain.missing_since + LOST_AFTER;
    match (domain.proved_at, domain.grace_until) {
        (None, Some(grace_until)) => grace_until,
        (Some(_), Some(grace_until)) => lost_at.max(grace_until),
        (_, None) => lost_at,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;

    fn missing(hostname: &str, grace_days: Option<i64>, is_proved: bool) -> Missing {
        let now = DateTime::UNIX_EPOCH;
        Missing {
            organisation_id: Uuid::nil(),
            hostname: hostname.to_owned(),
            ownership_key: b"key".to_vec(),
            grace_until: grace_days.map(|days| now + TimeDelta::days(days)),
            proved_at: is_proved.then_some(now),
            missing_since: now,
        }
    }

    #[test]
    fn the_mail_says_which_record_is_missing_and_when_single_sign_on_ends() {
        let (old, gone) = (
            missing("contoso.com", Some(30), false),
            missing("fabrikam.com", None, true),
        );
        let (subject, text) = write("https://portal.example", &[&old]);
        assert_eq!(subject, "Single sign-on for contoso.com needs a DNS record");
        for part in [
            "ends on 31 January 1970, 00:00 UTC",
            "Name:  _signpost-sso.contoso.com\n",
            &record_value(b"key", "contoso.com"),
            "https://portal.example/settings/single-sign-on\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let (subject, text) = write("https://portal.example", &[&old, &gone]);
        assert_eq!(subject, "Single sign-on for 2 domains needs DNS records");
        assert!(
            text.contains("fabrikam.com: single sign-on ends on 4 January 1970"),
            "{text}"
        );
    }
}
