//! What the registry's facts are called on pages.
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    console::page::{self, day},
    domains::{
        Connection, Domain,
        connection::Expected,
        next_action::{NextAction, Who},
    },
    vendors::{Enrollment, Parameter},
};

/// The next step in a few words; the domain's page says all of it.
#[must_use]
pub fn step(action: &NextAction) -> &'static str {
    match action.code {
        "add_ownership_record" => "Add the TXT record",
        "renew_ownership_record" => "Remove the TXT record and add it again",
        "restore_ownership_record" => "Put the TXT record back",
        "wait_for_take_over" => "Wait for the take-over",
        "settle_ownership" => "Settle whose domain it is",
        "contact_operator" => "Ask the operator of this Signpost",
        "fix_dns" => "Change the DNS records",
        "fix_website" => "Change the website's configuration",
        "wait_for_check" => "Wait: we are looking at it",
        "wait_for_certificate" if action.who == Who::Client => "Let the certificate be issued",
        "wait_for_certificate" => "Wait: the certificate is on its way",
        "renew_certificate" => "Wait: the certificate is being renewed",
        _ => "See what to do",
    }
}

#[must_use]
pub fn who(who: Who) -> &'static str {
    match who {
        Who::Client => "Whoever runs its DNS or website",
        Who::Msp => "You",
        Who::Signpost => "Signpost",
    }
}

/// Until when the certificate holds, or why there is none.
#[must_use]
pub fn certificate(domain: &Domain, expected: &Expected, now: DateTime<Utc>) -> String {
    match (domain.connection, domain.certificate(expected)) {
        (Connection::Redirect | Connection::Proxy, _) => "The website's own".to_owned(),
        (Connection::Direct, None) => "None yet".to_owned(),
        (Connection::Direct, Some(certificate)) if certificate.not_after <= now => {
            format!("Expired on {}", day(&certificate.not_after))
        }
        (Connection::Direct, Some(certificate)) => format!("Until {}", day(&certificate.not_after)),
    }
}

#[must_use]
pub fn connection(connection: Connection) -> &'static str {
    match connection {
        Connection::Direct => "Direct: the domain's DNS leads to Signpost",
        Connection::Redirect => "Redirect: the website answers, and sends devices on",
        Connection::Proxy => "Proxy: the website answers, and asks Signpost",
    }
}

#[must_use]
pub fn enrollment(enrollment: Enrollment) -> &'static str {
    match enrollment {
        Enrollment::Byod => "People's own devices (user enrollment)",
        Enrollment::Adde => "The organisation's devices (device enrollment)",
    }
}

/// A vendor's parameter as its console calls it, and where it is found.
#[must_use]
pub fn parameter(parameter: &Parameter) -> (&'static str, &'static str) {
    match parameter.name {
        "tenant_id" => ("Tenant ID", "The Entra admin center shows it as \"Tenant ID\"."),
        "cloud" => ("Microsoft's cloud", ""),
        "host" => ("Server address", "The host alone, for example mdm.example.com."),
        "account" => (
            "Account",
            "The first part of the address at which you sign in, for example acme of acme.business.mosyle.io.",
        ),
        "cluster" => (
            "Cluster",
            "The host at which you sign in, for example na1.mobileiron.com.",
        ),
        "template_token" => ("templateToken", "As it stands in the document that the console shows."),
        "encapi_key" => ("encapiKey", "As it stands in the document that the console shows."),
        "base_url" => ("Enrollment URL", "The BaseURL that the MDM's console shows."),
        other => (other, ""),
    }
}

#[must_use]
pub fn choice(value: &'static str) -> &'static str {
    match value {
        "global" => "Worldwide",
        "us_government" => "US Government",
        "china" => "China (21Vianet)",
        other => other,
    }
}

/// What a column of a sheet holds.
#[must_use]
pub fn column(name: &str) -> &'static str {
    match name {
        "hostname" => "The domain that people sign in with, for example contoso.com. Needed.",
        "client" => "The client's name. One that is new is added. Needed, unless you work for one client only.",
        "vendor" => {
            "intune, jamf_pro, fleet, manageengine, mosyle, ivanti_neurons or custom; or the vendor's name. Needed."
        }
        "tenant_id" => "The tenant's ID. Left empty, it is looked up by the domain.",
        "cloud" => "global, us_government or china. global if empty.",
        "host" => "The server's address, for example mdm.example.com.",
        "account" => "The first part of the address at which you sign in.",
        "cluster" => "The host at which you sign in.",
        "template_token" => "templateToken of the document that the console shows.",
        "encapi_key" => "encapiKey of the document that the console shows.",
        "base_url" => "The BaseURL of the document that the console shows.",
        "enrollment" => "byod (people's own devices) or adde (the organisation's). The vendor's usual one if empty.",
        "connection" => "direct, redirect or proxy. direct if empty.",
        "website_url" => "Where people who open the domain in a browser are sent.",
        _ => "",
    }
}

/// When a device asked last, as far as the hours of the counts tell.
#[must_use]
pub fn asked(hour: Option<&DateTime<Utc>>, now: DateTime<Utc>) -> String {
    match hour.map(|hour| now - hour) {
        None => "Never yet".to_owned(),
        Some(time) if time < TimeDelta::hours(1) => "Within the hour".to_owned(),
        Some(time) => format!("{} ago", page::age(time)),
    }
}

/// "1 domain", "7 domains".
#[must_use]
pub fn count(number: impl std::borrow::Borrow<i64>, one: &str, many: &str) -> String {
    let number = number.borrow();
    format!("{number} {}", if *number == 1 { one } else { many })
}

/// What is wrong with a field as a sentence: some rules say it whole, others leave out what it is about.
#[must_use]
pub fn sentence(label: &str, error: &str) -> String {
    let goes_on = ["must ", "holds ", "is ", "has ", "begins ", "may ", "are "];
    let whole = if goes_on.iter().any(|start| error.starts_with(start)) {
        format!("{label} {error}")
    } else {
        let mut letters = error.chars();
        let first = letters.next().map(|c| c.to_uppercase().to_string());
        format!("{}{}", first.unwrap_or_default(), letters.as_str())
    };
    match whole.ends_with(['.', '!', '?']) {
        true => whole,
        false => whole + ".",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendors::Vendor;

    #[test]
    fn every_parameter_of_every_vendor_has_a_name_for_people() {
        for vendor in Vendor::ALL {
            for known in vendor.description().parameters {
                assert_ne!(parameter(known).0, known.name);
                for value in known.kind.values().unwrap_or_default() {
                    assert_ne!(choice(value), value);
                }
            }
        }
    }

    #[test]
    fn every_column_of_a_sheet_is_explained() {
        for known in crate::domains::imports::sheet::columns() {
            assert!(!column(known.name).is_empty(), "{}", known.name);
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_a_sentence() {
        for (error, said) in [
            ("must have 1 to 200 characters", "Client must have 1 to 200 characters."),
            ("a hostname is needed", "A hostname is needed."),
            ("This is required. Give a GUID.", "This is required. Give a GUID."),
            ("", "."),
        ] {
            assert_eq!(sentence("Client", error), said);
        }
    }
}
