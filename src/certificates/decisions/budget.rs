//! What a CA lets one account order, and whether there is room for one more. The numbers are what the CA publishes; what
//! was used is counted in the database, for all nodes together.
use chrono::{DateTime, TimeDelta, Utc};

use super::priority::Priority;

/// Let's Encrypt counts five failed validations a name and hour, and pauses a name that fails on and on. Stopping
/// before costs nobody anything, so it holds for every CA.
const FAILURES: Limit = Limit {
    count: 3,
    per: TimeDelta::hours(1),
};
/// The same of a registered domain: whoever can make a name fail can make a thousand names of it fail.
const FAILURES_OF_DOMAIN: Limit = Limit {
    count: 20,
    per: TimeDelta::hours(1),
};
/// Organisations that registered themselves get this part of an account's orders together.
const SELF_REGISTERED_SHARE: u32 = 2;
/// An organisation that has placed fewer orders may place one as long as the account has any left.
const MIN_ORDERS_OF_ORGANISATION: u32 = 3;
/// Of the orders of an account this share is kept for what expires soon.
const RESERVE: u32 = 10;
/// A limit is looked at again after this at the earliest.
const SOONEST: TimeDelta = TimeDelta::minutes(1);

/// So many in any stretch of that length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub count: u32,
    pub per: TimeDelta,
}

/// What a CA allows. `None`: it publishes no such limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// New orders of an account.
    pub orders: Option<Limit>,
    /// Of these, new orders of all organisations that registered themselves.
    pub of_self_registered: Option<Limit>,
    /// Certificates of a registered domain.
    pub of_domain: Option<Limit>,
    /// Certificates of exactly this set of names.
    pub of_name: Option<Limit>,
    /// Failed validations of a name.
    pub failures: Limit,
    /// Failed validations of all names of a registered domain.
    pub failures_of_domain: Limit,
}

impl Limits {
    /// [letsencrypt.org/docs/rate-limits, letsencrypt.org/docs/staging-environment]
    #[must_use]
    pub fn of(directory_url: &str) -> Self {
        let limit = |count, per| Some(Limit { count, per });
        let (hours, week) = (TimeDelta::hours(3), TimeDelta::days(7));
        match host(directory_url).as_deref() {
            Some("acme-v02.api.letsencrypt.org") => Self {
                orders: limit(300, hours),
                of_self_registered: limit(300 / SELF_REGISTERED_SHARE, hours),
                of_domain: limit(50, week),
                of_name: limit(5, week),
                failures: FAILURES,
                failures_of_domain: FAILURES_OF_DOMAIN,
            },
            Some("acme-staging-v02.api.letsencrypt.org") => Self {
                orders: limit(1_500, hours),
                of_self_registered: limit(1_500 / SELF_REGISTERED_SHARE, hours),
                of_domain: limit(30_000, week),
                of_name: limit(30_000, week),
                failures: FAILURES,
                failures_of_domain: FAILURES_OF_DOMAIN,
            },
            _ => Self {
                orders: None,
                of_self_registered: None,
                of_domain: None,
                of_name: None,
                failures: FAILURES,
                failures_of_domain: FAILURES_OF_DOMAIN,
            },
        }
    }
}

fn host(url: &str) -> Option<String> {
    url::Url::parse(url).ok()?.host_str().map(str::to_owned)
}

/// What the CA counts certificates by: the part of the name that was bought, by the public suffix list.
#[must_use]
pub fn registered_domain(hostname: &str) -> &str {
    psl::domain_str(hostname).unwrap_or(hostname)
}

/// One count in its limit's stretch of time before now, without orders that replace a certificate: those are counted
/// by nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub count: u32,
    /// When the oldest one counted was.
    pub oldest: Option<DateTime<Utc>>,
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub orders: Used,
    /// Of the organisation that the name belongs to.
    pub of_organisation: Used,
    /// `None`: the organisation is one that an operator made or vouches for.
    pub of_self_registered: Option<Used>,
    pub of_domain: Used,
    pub of_name: Used,
    /// Failed validations count also where the order replaces.
    pub failures: Used,
    pub failures_of_domain: Used,
}

/// An order that is about to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub priority: Priority,
    /// It names the certificate that it replaces (RFC 9773 §5): such orders are exempt from all but failures.
    pub replaces: bool,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Budget {
    Orders,
    OfOrganisation,
    OfSelfRegistered,
    OfDomain,
    OfName,
    Failures,
    FailuresOfDomain,
}

impl Budget {
    pub const ALL: [Self; 7] = [
        Self::Orders,
        Self::OfOrganisation,
        Self::OfSelfRegistered,
        Self::OfDomain,
        Self::OfName,
        Self::Failures,
        Self::FailuresOfDomain,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::OfOrganisation => "orders_of_organisation",
            Self::OfSelfRegistered => "orders_of_self_registered",
            Self::OfDomain => "certificates_of_domain",
            Self::OfName => "certificates_of_name",
            Self::Failures => "failed_validations",
            Self::FailuresOfDomain => "failed_validations_of_domain",
        }
    }
}

/// No room now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When the oldest one counted no longer counts.
    pub until: DateTime<Utc>,
    pub budget: Budget,
}

/// Whether there is room for one more order. Of several limits the one that lasts longest is told.
pub fn may_order(limits: &Limits, usage: &Usage, wanted: Wanted, now: DateTime<Utc>) -> Result<(), Wait> {
    let waits = Budget::ALL.into_iter().filter_map(|budget| {
        let (limit, used) = of(budget, limits, usage)?;
        let left = left_for(budget, limit, used, wanted);
        (left == 0).then(|| Wait {
            until: used.oldest.map_or(now, |oldest| oldest + limit.per).max(now + SOONEST),
            budget,
        })
    });
    waits.max_by_key(|wait| wait.until).map_or(Ok(()), Err)
}

fn of(budget: Budget, limits: &Limits, usage: &Usage) -> Option<(Limit, Used)> {
    match budget {
        Budget::Orders => limits.orders.map(|limit| (limit, usage.orders)),
        Budget::OfOrganisation => limits
            .orders
            .map(|limit| (fair_share(limit, usage.orders), usage.of_organisation)),
        Budget::OfSelfRegistered => limits.of_self_registered.zip(usage.of_self_registered),
        Budget::OfDomain => limits.of_domain.map(|limit| (limit, usage.of_domain)),
        Budget::OfName => limits.of_name.map(|limit| (limit, usage.of_name)),
        Budget::Failures => Some((limits.failures, usage.failures)),
        Budget::FailuresOfDomain => Some((limits.failures_of_domain, usage.failures_of_domain)),
    }
}

/// An organisation may have placed as many orders as are left for all: one alone gets half, two a third each.
fn fair_share(orders: Limit, used: Used) -> Limit {
    let left = orders
        .count
        .saturating_sub(orders.count / RESERVE)
        .saturating_sub(used.count);
    Limit {
        count: left.max(MIN_ORDERS_OF_ORGANISATION),
        per: orders.per,
    }
}

fn left_for(budget: Budget, limit: Limit, used: Used, wanted: Wanted) -> u32 {
    let is_exempt = match budget {
        Budget::Failures | Budget::FailuresOfDomain => false,
        // No limit of the CA's: it is for those who can wait.
        Budget::OfOrganisation | Budget::OfSelfRegistered => {
            wanted.replaces || wanted.priority == Priority::ExpiringSoon
        }
        Budget::Orders | Budget::OfDomain | Budget::OfName => wanted.replaces,
    };
    let reserve = match (budget, wanted.priority) {
        (Budget::Orders, Priority::New | Priority::Routine) => limit.count / RESERVE,
        _ => 0,
    };
    match is_exempt {
        true => u32::MAX,
        false => limit.count.saturating_sub(reserve).saturating_sub(used.count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCTION: &str = "https://acme-v02.api.letsencrypt.org/directory";
    const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";
    const PEBBLE: &str = "https://localhost:14000/dir";

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn used(count: u32, oldest: i64) -> Used {
        Used {
            count,
            oldest: Some(at(oldest)),
        }
    }

    fn wanted(priority: Priority) -> Wanted {
        Wanted {
            priority,
            replaces: false,
        }
    }

    fn of_budget(budget: Budget, used: Used) -> Usage {
        let mut usage = Usage::default();
        match budget {
            Budget::Orders => usage.orders = used,
            Budget::OfOrganisation => {
                usage.of_organisation = used;
                // All that was ordered was theirs.
                usage.orders = Used {
                    count: used.count.min(250),
                    oldest: None,
                };
            }
            Budget::OfSelfRegistered => usage.of_self_registered = Some(used),
            Budget::OfDomain => usage.of_domain = used,
            Budget::OfName => usage.of_name = used,
            Budget::Failures => usage.failures = used,
            Budget::FailuresOfDomain => usage.failures_of_domain = used,
        }
        usage
    }

    #[test]
    fn there_is_room_up_to_the_limit_and_then_from_when_the_oldest_no_longer_counts() {
        const NOW: i64 = 20_000;
        const WEEK: i64 = 7 * 24 * 60;
        let (soon, new, routine) = (Priority::ExpiringSoon, Priority::New, Priority::Routine);
        // How many were used since how many minutes; how many minutes a plain order and one that replaces wait.
        for (budget, count, since, priority, plain, replacing) in [
            (Budget::Orders, 0, 10, new, None, None),
            (Budget::Orders, 269, 10, new, None, None),
            (Budget::Orders, 270, 10, new, Some(170), None),
            (Budget::Orders, 270, 10, routine, Some(170), None),
            (Budget::Orders, 299, 10, soon, None, None),
            (Budget::Orders, 300, 10, soon, Some(170), None),
            (Budget::Orders, 5_000, 10, soon, Some(170), None),
            (Budget::OfOrganisation, 134, 10, new, None, None),
            (Budget::OfOrganisation, 135, 10, new, Some(170), None),
            (Budget::OfOrganisation, 135, 10, routine, Some(170), None),
            (Budget::OfOrganisation, 250, 10, soon, None, None),
            (Budget::OfSelfRegistered, 149, 10, new, None, None),
            (Budget::OfSelfRegistered, 150, 10, new, Some(170), None),
            (Budget::OfSelfRegistered, 299, 10, soon, None, None),
            (Budget::OfDomain, 49, 60, new, None, None),
            (Budget::OfDomain, 50, 60, soon, Some(WEEK - 60), None),
            (Budget::OfName, 4, 60, new, None, None),
            (Budget::OfName, 5, 60, soon, Some(WEEK - 60), None),
            (Budget::Failures, 2, 15, new, None, None),
            (Budget::Failures, 3, 15, soon, Some(45), Some(45)),
            (Budget::FailuresOfDomain, 19, 15, new, None, None),
            (Budget::FailuresOfDomain, 20, 15, soon, Some(45), Some(45)),
            // What leaves just now is looked at again soon and not at once.
            (Budget::Failures, 3, 60, new, Some(1), Some(1)),
        ] {
            let usage = of_budget(budget, used(count, NOW - since));
            for (replaces, wait) in [(false, plain), (true, replacing)] {
                let wanted = Wanted { priority, replaces };
                let expected = wait.map_or(Ok(()), |minutes| {
                    Err(Wait {
                        until: at(NOW + minutes),
                        budget,
                    })
                });
                let verdict = may_order(&Limits::of(PRODUCTION), &usage, wanted, at(NOW));
                assert_eq!(verdict, expected, "{count} of {budget:?}, {wanted:?}");
            }
        }
    }

    #[test]
    fn what_is_left_is_shared_out_and_a_newcomer_always_gets_some() {
        // Orders of all, orders of this organisation, whether it may place one more.
        for (all, own, expected) in [
            (0, 0, true),
            (180, 89, true),
            (180, 90, false),
            (240, 29, true),
            (240, 30, false),
            (269, 2, true),
            (269, 3, false),
            (270, 0, false),
        ] {
            let usage = Usage {
                orders: used(all, 0),
                of_organisation: used(own, 0),
                ..Usage::default()
            };
            let verdict = may_order(&Limits::of(PRODUCTION), &usage, wanted(Priority::New), at(1));
            assert_eq!(verdict.is_ok(), expected, "{own} of {all}");
        }
    }

    #[test]
    fn of_several_limits_the_one_that_lasts_longest_is_told() {
        let usage = Usage {
            of_name: used(5, 0),
            failures: Used { count: 3, oldest: None },
            ..Usage::default()
        };
        let verdict = may_order(&Limits::of(PRODUCTION), &usage, wanted(Priority::New), at(30));
        assert_eq!(verdict.map_err(|wait| wait.budget), Err(Budget::OfName));
    }

    #[test]
    fn each_ca_has_its_own_limits_and_failures_are_limited_everywhere() {
        let full = Usage {
            orders: used(1_000, 0),
            of_organisation: used(300, 0),
            of_domain: used(1_000, 0),
            of_name: used(1_000, 0),
            ..Usage::default()
        };
        let failed = Usage {
            failures: used(3, 0),
            ..Usage::default()
        };
        for (directory, has_room) in [
            (PRODUCTION, false),
            ("HTTPS://ACME-V02.api.letsencrypt.org:443/directory", false),
            (STAGING, true),
            (PEBBLE, true),
            ("https://acme-v02.api.letsencrypt.org.example/directory", true),
            ("nonsense", true),
        ] {
            let limits = Limits::of(directory);
            let room = may_order(&limits, &full, wanted(Priority::New), at(1)).is_ok();
            assert_eq!(room, has_room, "{directory}");
            let failed = may_order(&limits, &failed, wanted(Priority::ExpiringSoon), at(1));
            assert_eq!(failed.map_err(|wait| wait.budget), Err(Budget::Failures), "{directory}");
        }
    }

    #[test]
    fn the_registered_domain_is_the_part_that_was_bought() {
        for (hostname, expected) in [
            ("contoso.com", "contoso.com"),
            ("mdm.eu.contoso.com", "contoso.com"),
            ("new.blog.example.co.uk", "example.co.uk"),
            ("com", "com"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(registered_domain(hostname), expected);
        }
    }
}
