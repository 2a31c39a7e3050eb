//! What DNS says of the domain: which addresses a device would find, and what is wrong if it finds none. Pure.
use std::net::{IpAddr, SocketAddr};

use super::{
    report::{Code, Fault},
    text::{listed, quoted},
};
use crate::{
    dns::{Addresses, Failure},
    outbound::{Forbidden, Outbound},
};

/// More are looked at by nobody, and asked at once by no polite client.
pub const MAX_ADDRESSES: usize = 8;

/// What is expected of a domain that is ours.
#[derive(Clone, Debug)]
pub struct Ours {
    /// Of the edge.
    pub addresses: Vec<IpAddr>,
    /// The edge's own name, which an alias may point at.
    pub edge_host: String,
    /// Why its CAA records keep it from getting a certificate, in one sentence.
    pub caa_forbids: Option<String>,
}

/// What is to be tried, and what is to be said.
pub struct Found {
    pub addresses: Vec<SocketAddr>,
    pub left_out: usize,
    pub detail: String,
    pub fault: Option<Fault>,
}

pub fn judge(name: &str, found: &Addresses, port: u16, outbound: &Outbound, ours: Option<&Ours>) -> Found {
    let all = sockets(found, port);
    let forbidden: Vec<_> = all
        .iter()
        .filter_map(|address| outbound.permits(*address).err())
        .collect();
    let permitted: Vec<_> = all
        .iter()
        .copied()
        .filter(|address| outbound.permits(*address).is_ok())
        .collect();
    let fault = match all.as_slice() {
        [] => Some(nothing(name, found)),
        // Of a domain of ours it matters more that an address is not ours than what else is wrong with it.
        _ => ours
            .and_then(|ours| elsewhere(name, found, &all, ours))
            .or_else(|| (!forbidden.is_empty()).then(|| not_global(name, &forbidden)))
            .or_else(|| half(found))
            .or_else(|| ours.and_then(|ours| ours.caa_forbids.as_deref()).map(caa_forbids)),
    };
    Found {
        left_out: permitted.len().saturating_sub(MAX_ADDRESSES),
        addresses: permitted.into_iter().take(MAX_ADDRESSES).collect(),
        detail: detail(name, found),
        fault,
    }
}

/// All addresses of a name on the way; it must have one.
pub fn at_least_one(name: &str, found: &Addresses, port: u16) -> Result<Vec<SocketAddr>, Fault> {
    let all = sockets(found, port);
    match all.as_slice() {
        [] => Err(nothing(name, found)),
        _ => Ok(all),
    }
}

/// The families in turn, so that a limit leaves some of both.
pub fn sockets(found: &Addresses, port: u16) -> Vec<SocketAddr> {
    let v4 = found
        .a
        .iter()
        .flat_map(|found| &found.records)
        .map(|ip| IpAddr::from(*ip));
    let v6 = found
        .aaaa
        .iter()
        .flat_map(|found| &found.records)
        .map(|ip| IpAddr::from(*ip));
    let (mut v4, mut v6) = (v4.fuse(), v6.fuse());
    let mut all: Vec<SocketAddr> = Vec::new();
    loop {
        match (v4.next(), v6.next()) {
            (None, None) => return all,
            (one, other) => {
                let both = one.into_iter().chain(other).map(|ip| SocketAddr::new(ip, port));
                for address in both {
                    if !all.contains(&address) {
                        all.push(address);
                    }
                }
            }
        }
    }
}

fn aliases(found: &Addresses) -> &[String] {
    let of_a = found
        .a
        .as_ref()
        .map(|found| found.aliases.as_slice())
        .unwrap_or_default();
    match of_a {
        [] => found
            .aaaa
            .as_ref()
            .map(|found| found.aliases.as_slice())
            .unwrap_or_default(),
        some => some,
    }
}

fn detail(name: &str, found: &Addresses) -> String {
    let family = |kind: &str, records: Result<String, Failure>| match records {
        Ok(none) if none.is_empty() => format!("no {kind}"),
        Ok(some) => format!("{kind} {some}"),
        Err(failure) => format!("{kind}: {failure}"),
    };
    let a = found.a.as_ref().map(|found| listed(&found.records, MAX_ADDRESSES));
    let aaaa = found.aaaa.as_ref().map(|found| listed(&found.records, MAX_ADDRESSES));
    let alias = match aliases(found) {
        [] => String::new(),
        aliases => format!(" is an alias of {},", listed(aliases, 4)),
    };
    format!(
        "{name}{alias} has {} and {}.",
        family("A", a.map_err(|failure| *failure)),
        family("AAAA", aaaa.map_err(|failure| *failure))
    )
}

fn nothing(name: &str, found: &Addresses) -> Fault {
    let worst = |one: Option<Failure>, other: Option<Failure>| match (one, other) {
        // A name that exists for one question exists.
        (Some(Failure::NoSuchName), None) | (None, Some(Failure::NoSuchName)) => None,
        (Some(one), Some(other)) if one == Failure::NoSuchName || other == Failure::NoSuchName => Some(one.min(other)),
        (one, other) => one.max(other),
    };
    let expected = "An A record, an AAAA record, or an alias (CNAME) of a name that has one.";
    let owner = "Whoever maintains the domain's DNS";
    let failure = worst(found.a.as_ref().err().copied(), found.aaaa.as_ref().err().copied());
    let fault = match failure {
        None => {
            let alias = match aliases(found).last() {
                Some(target) => format!(" It is an alias of {}, which has none.", quoted(target)),
                None => String::new(),
            };
            Fault::new(Code::NoAddress, format!("{name} exists, but has neither an A nor an AAAA record.{alias}"))
                .remedy(format!("{owner} adds an A or AAAA record for {name} with the address of the server that should answer."))
        }
        Some(Failure::NoSuchName) => Fault::new(Code::NoSuchName, format!("{name} does not exist in DNS (NXDOMAIN), or is an alias of a name that does not."))
            .remedy(format!("{owner} adds an A or AAAA record for {name}. If the domain is new or was moved, its registration or its delegation to the name servers may be missing.")),
        Some(Failure::ServerFailure) => Fault::new(Code::DnsServerFailure, format!("The name servers of {name} fail to answer (SERVFAIL)."))
            .remedy(format!("{owner} looks at its name servers: one that is down or does not know the domain, aliases that lead in a circle, or signatures (DNSSEC) that do not fit or have expired.")),
        Some(Failure::Refused) => Fault::new(Code::DnsRefused, format!("The DNS server refused to answer for {name}."))
            .remedy(format!("{owner} adds the domain to the name servers that it is delegated to. If every domain is refused from here, SIGNPOST_DNS_SERVERS names a server that does not serve this machine.")),
        Some(Failure::Timeout) => Fault::new(Code::DnsTimeout, format!("No DNS server answered for {name} in time."))
            .remedy(format!("{owner} makes sure that its name servers answer. If every domain is slow from here, this machine's DNS servers (SIGNPOST_DNS_SERVERS) do not.")),
        Some(Failure::Unreachable | Failure::Unreadable) => Fault::new(Code::Undetermined, format!("DNS could not be asked for {name}: {}.", failure.unwrap_or(Failure::Unreachable)))
            .remedy("Whoever runs this machine checks its DNS servers (SIGNPOST_DNS_SERVERS); the domain may be well."),
    };
    fault.expected(expected)
}

fn not_global(name: &str, forbidden: &[Forbidden]) -> Fault {
    let only_ports = forbidden.iter().all(|why| matches!(why, Forbidden::Port(_)));
    if only_ports {
        return Fault::new(Code::ForbiddenAddress, format!("Not asked: {}.", listed(forbidden, 3)))
            .expected("Port 443.")
            .remedy("Whoever runs this machine names the port in SIGNPOST_PUBLIC_HTTPS_PORT.");
    }
    Fault::new(
        Code::ForbiddenAddress,
        format!(
            "{name} points where the internet can't reach it: {} of its addresses {}.",
            forbidden.len(),
            if forbidden.len() == 1 {
                "is not a public address"
            } else {
                "are not public addresses"
            }
        ),
    )
    .expected("Public addresses only.")
    .remedy(format!(
        "Whoever maintains the domain's DNS replaces these records of {name} by the public address of the server that \
         should answer. If the name is meant to differ inside a network, look from outside. (For a trial on this \
         machine, SIGNPOST_OUTBOUND_ALLOW names networks that may be asked.)"
    ))
    .devices("All devices outside the network that the address belongs to.")
}

fn elsewhere(name: &str, found: &Addresses, all: &[SocketAddr], ours: &Ours) -> Option<Fault> {
    let foreign: Vec<_> = all
        .iter()
        .map(SocketAddr::ip)
        .filter(|ip| !ours.addresses.contains(ip))
        .collect();
    if foreign.is_empty() {
        return None;
    }
    let expected = format!(
        "{}, or a CNAME to {}",
        listed(&ours.addresses, MAX_ADDRESSES),
        ours.edge_host
    );
    let fault = match aliases(found).last() {
        Some(target) if *target != ours.edge_host => Fault::new(
            Code::AliasElsewhere,
            format!(
                "{name} is an alias of {}, which is not Signpost: {}.",
                quoted(target),
                listed(&foreign, 4)
            ),
        )
        .remedy(format!(
            "Whoever maintains the domain's DNS points the CNAME of {name} at {}.",
            ours.edge_host
        )),
        _ => Fault::new(
            Code::AddressElsewhere,
            format!(
                "{} of {} addresses of {name} {} not Signpost's: {}.",
                foreign.len(),
                all.len(),
                if foreign.len() == 1 { "is" } else { "are" },
                listed(&foreign, MAX_ADDRESSES)
            ),
        )
        .remedy(format!(
            "Whoever maintains the domain's DNS removes these records of {name}, the AAAA records too, and leaves only \
             Signpost's."
        )),
    };
    Some(fault.expected(expected))
}

fn caa_forbids(why: &str) -> Fault {
    Fault::new(Code::CaaForbids, why)
        .expected("CAA records that let Signpost's certificate authority issue, or none.")
        .remedy("Whoever maintains the domain's DNS adds that record, or removes the CAA records.")
        .passable("All devices, once a certificate is to be issued or renewed; as long as one is valid, none.")
}

/// One family is there, of the other nothing can be told: a resolver may wait for it, or give up.
fn half(found: &Addresses) -> Option<Fault> {
    let (kind, failure) = match (&found.a, &found.aaaa) {
        (Err(failure), Ok(_)) => ("A", *failure),
        (Ok(_), Err(failure)) => ("AAAA", *failure),
        _ => return None,
    };
    let code = match failure {
        Failure::NoSuchName => Code::NoSuchName,
        Failure::ServerFailure => Code::DnsServerFailure,
        Failure::Refused => Code::DnsRefused,
        Failure::Timeout => Code::DnsTimeout,
        Failure::Unreachable | Failure::Unreadable => Code::Undetermined,
    };
    let other = if kind == "A" { "AAAA" } else { "A" };
    Some(
        Fault::new(code, format!("The name has {other} records, but asked for {kind}: {failure}."))
            .expected("An answer for A and for AAAA, even if one of them is empty.")
            .remedy("Whoever maintains the domain's DNS looks at the name servers: they must answer “no such record”, not fail.")
            .passable("Those whose resolver waits for both answers, or takes the failure for the whole name."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Found as Records, Lookup};

    #[expect(clippy::unnecessary_wraps, reason = "compared with a look-up")]
    fn records<T>(aliases: &[&str], records: Vec<T>) -> Lookup<T> {
        Ok(Records {
            aliases: aliases.iter().map(ToString::to_string).collect(),
            records,
        })
    }

    fn v4<T: std::str::FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> Lookup<T> {
        records(&[], texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn judged(a: Lookup<std::net::Ipv4Addr>, aaaa: Lookup<std::net::Ipv6Addr>, ours: Option<&Ours>) -> Found {
        judge(
            "contoso.com",
            &Addresses { a, aaaa },
            443,
            &Outbound::new(vec![], vec![]),
            ours,
        )
    }

    #[test]
    fn that_there_is_no_address_is_told_by_its_reason() {
        let none = || v4(&[]);
        for (a, aaaa, code) in [
            (none(), v4(&[]), Code::NoAddress),
            (records(&["x.example"], vec![]), v4(&[]), Code::NoAddress),
            (Err(Failure::NoSuchName), Err(Failure::NoSuchName), Code::NoSuchName),
            // A name that does not exist has nothing; one that has nothing may exist.
            (Err(Failure::NoSuchName), v4(&[]), Code::NoAddress),
            (
                Err(Failure::ServerFailure),
                Err(Failure::ServerFailure),
                Code::DnsServerFailure,
            ),
            (Err(Failure::ServerFailure), v4(&[]), Code::DnsServerFailure),
            (Err(Failure::NoSuchName), Err(Failure::Timeout), Code::DnsTimeout),
            (Err(Failure::Refused), Err(Failure::Refused), Code::DnsRefused),
            (Err(Failure::Timeout), Err(Failure::Timeout), Code::DnsTimeout),
            (Err(Failure::Unreachable), Err(Failure::Unreachable), Code::Undetermined),
            (Err(Failure::Unreadable), Err(Failure::Unreadable), Code::Undetermined),
        ] {
            let found = judged(a, aaaa, None);
            assert_eq!(found.fault.map(|fault| fault.code), Some(code), "{}", found.detail);
            assert!(found.addresses.is_empty());
        }
    }

    #[test]
    fn addresses_are_tried_from_both_families_and_not_without_end() {
        let many: Vec<_> = (1..=20).map(|n| format!("93.184.216.{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let found = judged(v4(&many), v4(&["2606:2800:220:1::1"]), None);
        assert_eq!((found.addresses.len(), found.left_out, found.fault), (8, 13, None));
        assert!(found.addresses[1].is_ipv6());
        assert!(
            found.detail.contains("93.184.216.8 and 12 more and AAAA"),
            "{}",
            found.detail
        );
        let found = judged(
            records(&["a.example", "b.example"], vec!["93.184.216.1".parse().unwrap()]),
            v4(&[]),
            None,
        );
        assert_eq!(
            found.detail,
            "contoso.com is an alias of a.example, b.example, has A 93.184.216.1 and no AAAA."
        );
    }

    #[test]
    fn a_private_address_is_a_fault_and_the_others_are_tried() {
        let found = judged(v4(&["93.184.216.1", "10.0.0.1"]), v4(&["::1"]), None);
        let fault = found.fault.unwrap();
        assert!(
            fault.code == Code::ForbiddenAddress && fault.detail.contains("2 of its addresses are not public"),
            "{fault:?}"
        );
        assert!(
            !fault.detail.contains("93.184") && !fault.detail.contains("10.0.0.1"),
            "{fault:?}"
        );
        assert_eq!(found.addresses.len(), 1);
    }

    #[test]
    fn a_failure_for_one_family_matters_and_stops_nobody() {
        let found = judged(v4(&["93.184.216.1"]), Err(Failure::ServerFailure), None);
        let fault = found.fault.unwrap();
        assert!(
            fault.code == Code::DnsServerFailure && !fault.stops_devices,
            "{fault:?}"
        );
        assert_eq!(found.addresses.len(), 1);
    }

    #[test]
    fn of_a_domain_of_ours_every_address_must_be_ours() {
        let ours = Ours {
            addresses: vec!["93.184.216.1".parse().unwrap(), "2606:2800:220:1::1".parse().unwrap()],
            edge_host: "edge.example.net".to_owned(),
            caa_forbids: None,
        };
        let alias = |target: &str, ip: &str| records(&[target], vec![ip.parse().unwrap()]);
        for (a, aaaa, code) in [
            (v4(&["93.184.216.1"]), v4(&[]), None),
            (v4(&["93.184.216.1"]), v4(&["2606:2800:220:1::1"]), None),
            (alias("edge.example.net", "93.184.216.1"), v4(&[]), None),
            (alias("hosting.example", "93.184.216.1"), v4(&[]), None),
            (v4(&["93.184.216.9"]), v4(&[]), Some(Code::AddressElsewhere)),
            (
                v4(&["93.184.216.1", "93.184.216.9"]),
                v4(&[]),
                Some(Code::AddressElsewhere),
            ),
            (
                v4(&["93.184.216.1"]),
                v4(&["2606:2800:220:1::9"]),
                Some(Code::AddressElsewhere),
            ),
            (
                alias("hosting.example", "93.184.216.9"),
                v4(&[]),
                Some(Code::AliasElsewhere),
            ),
            (
                alias("edge.example.net", "93.184.216.9"),
                v4(&[]),
                Some(Code::AddressElsewhere),
            ),
        ] {
            let found = judged(a, aaaa, Some(&ours));
            assert_eq!(found.fault.map(|fault| fault.code), code, "{}", found.detail);
        }
        let forbidden = Ours {
            caa_forbids: Some("CAA forbids.".to_owned()),
            ..ours
        };
        for (a, code) in [
            (v4(&["93.184.216.1"]), Code::CaaForbids),
            (v4(&["10.0.0.1"]), Code::AddressElsewhere),
        ] {
            let fault = judged(a, v4(&[]), Some(&forbidden)).fault.unwrap();
            assert_eq!((fault.code, fault.stops_devices), (code, code != Code::CaaForbids));
        }
    }
}
