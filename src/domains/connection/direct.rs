//! A direct connection: every address that a device could use must be ours, and our CA must be allowed.
use std::net::IpAddr;

use super::{Expected, Fault, RecordCheck, Records, Verdict, caa, faults};
use crate::dns::{Caa, Failure, Lookup};

pub(super) fn judge(hostname: &str, records: &Records, expected: &Expected) -> Verdict {
    let (a, aaaa) = (addresses(&records.a), addresses(&records.aaaa));
    let wrong = |found: &Result<Vec<IpAddr>, Failure>| -> Vec<IpAddr> {
        let found = found.as_deref().unwrap_or_default();
        found
            .iter()
            .copied()
            .filter(|address| !expected.addresses.contains(address))
            .collect()
    };
    let aliases = aliases(records);
    // One wrong address is wrong, whatever the other look-up says.
    for (kind, found, other) in [("A", &a, &aaaa), ("AAAA", &aaaa, &a)] {
        let wrong_here = wrong(found);
        if wrong_here.is_empty() {
            continue;
        }
        let is_other_right = matches!(other, Ok(addresses) if !addresses.is_empty()) && wrong(other).is_empty();
        return Verdict::Wrong(match aliases.last() {
            Some(target) if !is_other_right => faults::alias_elsewhere(hostname, target, expected),
            _ => faults::address_elsewhere(hostname, (kind, &wrong_here), is_other_right, expected),
        });
    }
    match (a, aaaa) {
        (Ok(found), Err(Failure::NoSuchName)) if !found.is_empty() => {
            Verdict::Wrong(faults::denied(hostname, "A", "AAAA"))
        }
        (Err(Failure::NoSuchName), Ok(found)) if !found.is_empty() => {
            Verdict::Wrong(faults::denied(hostname, "AAAA", "A"))
        }
        (Err(Failure::NoSuchName), _) | (_, Err(Failure::NoSuchName)) => {
            Verdict::Wrong(faults::no_such_name(hostname, records.dangling.as_deref(), expected))
        }
        (Err(failure), _) => Verdict::Undetermined(faults::no_answer("A", hostname, failure)),
        (_, Err(failure)) => Verdict::Undetermined(faults::no_answer("AAAA", hostname, failure)),
        (Ok(a), Ok(aaaa)) if a.is_empty() && aaaa.is_empty() => Verdict::Wrong(match aliases.last() {
            Some(target) => faults::alias_elsewhere(hostname, target, expected),
            None => faults::no_address(hostname, expected),
        }),
        (Ok(_), Ok(_)) => authority(hostname, records, expected),
    }
}

/// Whether the CAA records keep the configured CA from issuing for `hostname`.
#[must_use]
pub fn caa_forbids(hostname: &str, caa: &Lookup<Caa>, expected: &Expected) -> Option<Fault> {
    let (authority, found) = (expected.authority.as_ref()?, caa.as_ref().ok()?);
    let found_at = found.records.first().map_or(hostname, |record| &record.name);
    if let Some(record) = caa::unknown_but_critical(&found.records) {
        return Some(faults::caa_unknown_tag(hostname, found_at, &caa::text(record)));
    }
    if caa::allows(&found.records, authority, expected) {
        return None;
    }
    Some(match caa::excludes_us(&found.records, authority) {
        Some(record) => faults::caa_excludes_us(hostname, found_at, &caa::text(record), expected),
        None => faults::caa_forbids(hostname, found_at, authority),
    })
}

fn authority(hostname: &str, records: &Records, expected: &Expected) -> Verdict {
    if expected.authority.is_none() {
        return Verdict::Connected;
    }
    match &records.caa {
        Ok(_) => caa_forbids(hostname, &records.caa, expected).map_or(Verdict::Connected, Verdict::Wrong),
        Err(Failure::NoSuchName) => Verdict::Connected,
        // A CA that gets no answer must not issue (RFC 8659 §3).
        Err(failure) => Verdict::Undetermined(faults::no_answer("CAA", hostname, *failure)),
    }
}

pub(super) fn records(hostname: &str, observed: Option<&Records>, expected: &Expected) -> Vec<RecordCheck> {
    let aliases = observed.map_or(&[][..], aliases);
    let mut checks = Vec::new();
    if let Some(target) = aliases.last() {
        checks.push(RecordCheck {
            kind: "CNAME",
            name: hostname.to_owned(),
            expected: vec![expected.edge_host.clone()],
            observed: aliases.to_vec(),
            // Through whichever names, it is the addresses that count.
            ok: observed.and_then(|records| {
                (target == &expected.edge_host)
                    .then_some(true)
                    .or_else(|| is_ours(records, expected))
            }),
        });
    }
    for kind in ["A", "AAAA"] {
        let ours = expected.of_family(kind);
        let found = observed.map(|records| match kind {
            "A" => addresses(&records.a),
            _ => addresses(&records.aaaa),
        });
        let seen = found.clone().and_then(Result::ok).unwrap_or_default();
        if ours.is_empty() && seen.is_empty() {
            continue;
        }
        let ok = found.and_then(|found| match found {
            // A name with addresses of one family only is a name that works.
            Ok(seen) if seen.is_empty() => Some(kind == "AAAA" || observed.is_some_and(has_other)),
            Ok(seen) => Some(seen.iter().all(|address| ours.contains(address))),
            Err(Failure::NoSuchName) => Some(false),
            Err(_) => None,
        });
        checks.push(RecordCheck {
            kind,
            name: hostname.to_owned(),
            expected: ours.iter().map(ToString::to_string).collect(),
            observed: seen.iter().map(ToString::to_string).collect(),
            ok,
        });
    }
    checks.extend(observed.and_then(|records| caa_check(records, expected)));
    checks
}

fn caa_check(records: &Records, expected: &Expected) -> Option<RecordCheck> {
    let authority = expected.authority.as_ref()?;
    let found = records.caa.as_ref().ok()?;
    let first = found.records.first()?;
    Some(RecordCheck {
        kind: "CAA",
        name: first.name.clone(),
        expected: vec![format!("0 issue \"{authority}\"")],
        observed: found.records.iter().map(caa::text).collect(),
        ok: Some(caa::allows(&found.records, authority, expected)),
    })
}

fn is_ours(records: &Records, expected: &Expected) -> Option<bool> {
    let all: Vec<_> = [addresses(&records.a), addresses(&records.aaaa)]
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .ok()?
        .concat();
    Some(!all.is_empty() && all.iter().all(|address| expected.addresses.contains(address)))
}

fn has_other(records: &Records) -> bool {
    matches!(&records.aaaa, Ok(found) if !found.records.is_empty())
}

fn aliases(records: &Records) -> &[String] {
    match (&records.a, &records.aaaa) {
        (Ok(found), _) if !found.aliases.is_empty() => &found.aliases,
        (_, Ok(found)) => &found.aliases,
        _ => &[],
    }
}

fn addresses<T: Copy + Into<IpAddr>>(lookup: &Lookup<T>) -> Result<Vec<IpAddr>, Failure> {
    match lookup {
        Ok(found) => Ok(found.records.iter().map(|address| (*address).into()).collect()),
        Err(failure) => Err(*failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Found;

    const HOST: &str = "contoso.com";

    fn expected() -> Expected {
        Expected {
            addresses: vec![ip("192.0.2.10"), ip("2001:db8::10")],
            edge_host: "edge.signpost.example".into(),
            edge_port: 443,
            authority: Some("letsencrypt.org".into()),
            validation_method: "http-01",
            account_url: None,
            issuer: "internal".into(),
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn found<T: std::str::FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> Lookup<T> {
        via(&[], texts)
    }

    #[expect(clippy::unnecessary_wraps, reason = "a look-up is a result")]
    fn via<T: std::str::FromStr<Err: std::fmt::Debug>>(aliases: &[&str], texts: &[&str]) -> Lookup<T> {
        Ok(Found {
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            records: texts.iter().map(|text| text.parse().expect("an address")).collect(),
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "a look-up is a result")]
    fn issue(values: &[&str]) -> Lookup<Caa> {
        let record = |value: &&str| Caa {
            name: "contoso.com".into(),
            critical: false,
            tag: "issue".into(),
            value: (*value).to_owned(),
        };
        Ok(Found {
            aliases: Vec::new(),
            records: values.iter().map(record).collect(),
        })
    }

    fn seen(a: Lookup<std::net::Ipv4Addr>, aaaa: Lookup<std::net::Ipv6Addr>, caa: Lookup<Caa>) -> Records {
        Records {
            a,
            aaaa,
            caa,
            dangling: None,
            probe: None,
        }
    }

    #[test]
    fn every_state_of_the_records_has_its_verdict() {
        use Failure::{NoSuchName, Refused, ServerFailure, Timeout};
        let none = || issue(&[]);
        let ours = || found(&["192.0.2.10"]);
        let edge = ["edge.signpost.example"];
        let cdn = ["x.cdn.example"];
        for (records, expected_cause) in [
            (seen(ours(), found(&["2001:db8::10"]), none()), None),
            (seen(ours(), found(&[]), none()), None),
            (seen(found(&[]), found(&["2001:db8::10"]), none()), None),
            (seen(via(&edge, &["192.0.2.10"]), via(&edge, &[]), none()), None),
            (seen(via(&cdn, &["192.0.2.10"]), via(&cdn, &[]), none()), None),
            (seen(ours(), found(&[]), issue(&["letsencrypt.org"])), None),
            (seen(ours(), found(&[]), Err(NoSuchName)), None),
            (seen(found(&[]), found(&[]), none()), Some("wrong no_address")),
            (
                seen(found(&["198.51.100.7"]), found(&[]), none()),
                Some("wrong address_elsewhere"),
            ),
            (
                seen(found(&["192.0.2.10", "198.51.100.7"]), found(&[]), none()),
                Some("wrong address_elsewhere"),
            ),
            (
                seen(ours(), found(&["2001:db8::bad"]), none()),
                Some("wrong address_elsewhere"),
            ),
            (
                seen(via(&cdn, &["198.51.100.7"]), via(&cdn, &[]), none()),
                Some("wrong alias_elsewhere"),
            ),
            (
                seen(via(&cdn, &[]), via(&cdn, &[]), none()),
                Some("wrong alias_elsewhere"),
            ),
            (
                seen(Err(NoSuchName), Err(NoSuchName), none()),
                Some("wrong no_such_name"),
            ),
            (
                seen(Err(ServerFailure), Err(ServerFailure), none()),
                Some("undetermined dns_server_failure"),
            ),
            (
                seen(Err(Timeout), Err(Timeout), none()),
                Some("undetermined dns_timeout"),
            ),
            (seen(ours(), Err(Timeout), none()), Some("undetermined dns_timeout")),
            (seen(ours(), Err(NoSuchName), none()), Some("wrong no_such_name")),
            (
                seen(Err(Refused), Err(Refused), none()),
                Some("undetermined dns_refused"),
            ),
            (
                seen(found(&["198.51.100.7"]), Err(Timeout), none()),
                Some("wrong address_elsewhere"),
            ),
            (
                seen(ours(), found(&[]), issue(&["digicert.com"])),
                Some("wrong caa_forbids"),
            ),
            (
                seen(ours(), found(&[]), Err(ServerFailure)),
                Some("undetermined dns_server_failure"),
            ),
        ] {
            let verdict = match judge(HOST, &records, &expected()) {
                Verdict::Connected => None,
                Verdict::Wrong(fault) => Some(format!("wrong {}", fault.cause)),
                Verdict::Undetermined(fault) => Some(format!("undetermined {}", fault.cause)),
            };
            assert_eq!(verdict.as_deref(), expected_cause, "{records:?}");
        }
    }

    #[test]
    fn a_remedy_does_not_ask_for_what_is_there() {
        let message = |records: &Records| match judge(HOST, records, &expected()) {
            Verdict::Wrong(fault) => fault.message,
            other => panic!("{other:?}"),
        };
        let denied = message(&seen(found(&["192.0.2.10"]), Err(Failure::NoSuchName), issue(&[])));
        assert!(
            denied.contains("A record of contoso.com is right") && !denied.contains("then"),
            "{denied}"
        );
        let mut caa = issue(&["letsencrypt.org", ""]).expect("records");
        let unknown = caa.records.last_mut().expect("two records");
        (unknown.critical, unknown.tag) = (true, "tbs".into());
        let critical = message(&seen(found(&["192.0.2.10"]), found(&[]), Ok(caa)));
        for part in ["128 tbs", "marked critical", "Remove it"] {
            assert!(critical.contains(part), "{part}: {critical}");
        }
        assert!(!critical.contains("Add a CAA"), "{critical}");
    }

    #[test]
    fn a_wrong_aaaa_beside_a_right_a_is_named_as_such_with_its_remedy() {
        let records = seen(found(&["192.0.2.10"]), found(&["2001:db8::bad"]), issue(&[]));
        let Verdict::Wrong(fault) = judge(HOST, &records, &expected()) else {
            panic!("wrong")
        };
        for part in ["AAAA", "2001:db8::bad", "2001:db8::10", "The A record is right"] {
            assert!(fault.message.contains(part), "{part}: {}", fault.message);
        }
        let without_ipv6 = Expected {
            addresses: vec![ip("192.0.2.10")],
            ..expected()
        };
        let Verdict::Wrong(fault) = judge(HOST, &records, &without_ipv6) else {
            panic!("wrong")
        };
        assert!(fault.message.ends_with("Remove it."), "{}", fault.message);
    }

    #[test]
    fn what_was_observed_stands_beside_what_is_expected() {
        let records_of = |observed: Option<&Records>| {
            records(HOST, observed, &expected())
                .into_iter()
                .map(|check| (check.kind, check.observed.join(" "), check.ok))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            records_of(None),
            [("A", String::new(), None), ("AAAA", String::new(), None)]
        );
        let wrong = seen(
            via(&["x.cdn.example"], &["198.51.100.7"]),
            via(&["x.cdn.example"], &[]),
            issue(&["digicert.com"]),
        );
        assert_eq!(
            records_of(Some(&wrong)),
            [
                ("CNAME", "x.cdn.example".to_owned(), Some(false)),
                ("A", "198.51.100.7".to_owned(), Some(false)),
                ("AAAA", String::new(), Some(true)),
                ("CAA", "0 issue \"digicert.com\"".to_owned(), Some(false)),
            ]
        );
        let silent = seen(Err(Failure::Timeout), Err(Failure::Timeout), Err(Failure::Timeout));
        assert_eq!(
            records_of(Some(&silent)),
            [("A", String::new(), None), ("AAAA", String::new(), None)]
        );
        let ours = seen(found(&["192.0.2.10"]), found(&["2001:db8::10"]), issue(&[]));
        assert!(records_of(Some(&ours)).iter().all(|(_, _, ok)| *ok == Some(true)));
    }
}
