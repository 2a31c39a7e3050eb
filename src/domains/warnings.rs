//! What works but looks wrong. Pure; never in the way of service.
use super::{
    Domain,
    connection::{Expected, Observation, Verdict},
    status::verdict,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub code: &'static str,
    pub message: String,
}

#[must_use]
pub fn warnings(domain: &Domain, expected: &Expected) -> Vec<Warning> {
    [
        tenant(domain),
        undetermined(domain, expected),
        probe(domain),
        policy(domain),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Devices would be sent to a tenant that, as Microsoft says, is not the domain's.
fn tenant(domain: &Domain) -> Option<Warning> {
    let published = domain.seen.tenant_id?;
    if domain.tenant_ids.is_empty() || domain.tenant_ids.contains(&published) {
        return None;
    }
    let registered: Vec<_> = domain.tenant_ids.iter().map(ToString::to_string).collect();
    Some(Warning {
        code: "tenant_mismatch",
        message: format!(
            "{} belongs to the Microsoft Entra tenant {published}, but its devices are sent to {}. People of the domain can't sign in there unless that tenant knows them.",
            domain.hostname,
            registered.join(", ")
        ),
    })
}

/// A domain that was right, and of which the last look says nothing, is no worse for it yet.
fn undetermined(domain: &Domain, expected: &Expected) -> Option<Warning> {
    domain.seen.connected_at?;
    match verdict(domain, expected)? {
        Verdict::Undetermined(fault) => Some(Warning {
            code: "check_undetermined",
            message: fault.message,
        }),
        Verdict::Connected | Verdict::Wrong(_) => None,
    }
}

/// The records are right, and still a device would not be answered.
fn probe(domain: &Domain) -> Option<Warning> {
    match domain.seen.observation.as_ref()? {
        Observation::Records(records) => records.probe.as_ref().map(|finding| Warning {
            code: "probe_failed",
            message: format!("{} {}", finding.detail, finding.remedy),
        }),
        Observation::Fetched(_) => None,
    }
}

/// The policy was stored before the size of user patterns was limited, and exceeds a limit.
fn policy(domain: &Domain) -> Option<Warning> {
    let excess = domain.policy.excess()?;
    Some(Warning {
        code: "policy_over_limit",
        message: format!(
            "The rules were saved before a limit was introduced and exceed it: {excess}. The rules still apply, but a pattern that takes too long to compare counts as not matching. The rules must meet the limit when their patterns are next changed."
        ),
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        dns::Failure,
        domains::{
            connection::Finding,
            policy::{Action, Rule, When},
            status::tests::{active, expected, records, seen},
        },
    };

    #[test]
    fn what_looks_wrong_is_told_and_what_is_unknown_is_not() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let tenants = |published: Option<Uuid>, tenant_ids: &[Uuid]| {
            let mut domain = active();
            domain.seen.tenant_id = published;
            domain.tenant_ids = tenant_ids.to_vec();
            domain
        };
        let mut silent = active();
        silent.seen = seen(records(Err(Failure::Timeout)));
        let mut probed = active();
        if let Some(Observation::Records(records)) = &mut probed.seen.observation {
            records.probe = Some(Finding {
                step: "connect".into(),
                code: "connection_refused".into(),
                detail: "Refused.".into(),
                remedy: "Open the port.".into(),
            });
        }
        let over_limit = |pattern: &str| {
            let mut domain = active();
            domain.policy.rules = vec![Rule {
                when: When {
                    model_families: Vec::new(),
                    users: vec![pattern.repeat(10); 100],
                },
                then: Action::Defer {},
            }];
            domain
        };
        for (domain, codes) in [
            (active(), vec![]),
            (over_limit("*abc*"), vec!["policy_over_limit"]),
            (over_limit("abcde"), vec![]),
            (tenants(Some(one), &[one]), vec![]),
            (tenants(Some(one), &[two]), vec!["tenant_mismatch"]),
            (tenants(Some(one), &[two, one]), vec![]),
            (tenants(Some(one), &[]), vec![]),
            (tenants(None, &[two]), vec![]),
            (silent, vec!["check_undetermined"]),
            (probed, vec!["probe_failed"]),
        ] {
            let found: Vec<_> = warnings(&domain, &expected())
                .iter()
                .map(|warning| warning.code)
                .collect();
            assert_eq!(found, codes);
        }
    }
}
