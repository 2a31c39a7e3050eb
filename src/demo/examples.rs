//! The clients and domains of the demo.
use chrono::{DateTime, TimeDelta, Utc};

use super::HOSTNAME;
use crate::{
    domains::{Connection, policy::Family},
    vendors::{Enrollment, Vendor},
};

pub struct Example {
    pub client: &'static str,
    pub hostname: &'static str,
    pub(super) server: Server,
    pub(super) connection: Connection,
    pub(super) rules: &'static [(Whom, Then)],
    pub(super) state: State,
    /// Requests of a working day.
    pub requests: u32,
}

pub(super) struct Server {
    pub(super) vendor: Vendor,
    pub(super) enrollment: Enrollment,
    pub(super) parameters: &'static [(&'static str, &'static str)],
    /// None: the vendor's own.
    pub(super) name: Option<&'static str>,
}

pub(super) enum Whom {
    Families(&'static [Family]),
    Users(&'static str),
}

pub(super) enum Then {
    Serve(Server),
    Reject(&'static str),
    Defer,
    Redirect(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Active,
    /// Nothing was proved, or looked at, yet.
    Claimed,
    /// Proved; its records are still to be set.
    Proved,
    /// Worked until three hours ago.
    Broken,
    /// Worked until six days ago.
    Suspended,
}

const INTUNE: Server = Server {
    vendor: Vendor::Intune,
    enrollment: Enrollment::Byod,
    parameters: &[("tenant_id", "11111111-2222-3333-4444-555555555555")],
    name: None,
};

const JAMF: Server = Server {
    vendor: Vendor::JamfPro,
    enrollment: Enrollment::Byod,
    parameters: &[("host", "fabrikam.jamfcloud.com")],
    name: None,
};

pub const EXAMPLES: &[Example] = &[
    Example {
        client: "Contoso",
        hostname: HOSTNAME,
        server: INTUNE,
        connection: Connection::Direct,
        rules: &[(
            Whom::Families(&[Family::AppleTv]),
            Then::Reject("Apple TVs are enrolled by the facility team: write to av@contoso.example."),
        )],
        state: State::Active,
        requests: 46,
    },
    Example {
        client: "Contoso",
        hostname: "eu.contoso.example",
        server: INTUNE,
        connection: Connection::Redirect,
        rules: &[(Whom::Users("*@contractors.contoso.example"), Then::Defer)],
        state: State::Active,
        requests: 24,
    },
    Example {
        client: "Contoso",
        hostname: "labs.contoso.example",
        server: Server {
            vendor: Vendor::Fleet,
            enrollment: Enrollment::Byod,
            parameters: &[("host", "fleet.labs.contoso.example")],
            name: None,
        },
        connection: Connection::Direct,
        rules: &[],
        state: State::Proved,
        requests: 0,
    },
    Example {
        client: "Fabrikam",
        hostname: "fabrikam.example",
        server: JAMF,
        connection: Connection::Direct,
        rules: &[
            (
                Whom::Families(&[Family::Mac]),
                Then::Serve(Server {
                    enrollment: Enrollment::Adde,
                    name: Some("Jamf Pro, company Macs"),
                    ..JAMF
                }),
            ),
            (
                Whom::Users("*@partners.fabrikam.example"),
                Then::Redirect("https://partners.fabrikam.example/.well-known/com.apple.remotemanagement"),
            ),
        ],
        state: State::Active,
        requests: 31,
    },
    Example {
        client: "Fabrikam",
        hostname: "shops.fabrikam.example",
        server: Server {
            vendor: Vendor::Mosyle,
            enrollment: Enrollment::Adde,
            parameters: &[("account", "fabrikamshops")],
            name: None,
        },
        connection: Connection::Proxy,
        rules: &[(
            Whom::Families(&[Family::IPhone, Family::Watch]),
            Then::Reject("In the shops only iPads and Macs are enrolled. For your own iPhone use fabrikam.example."),
        )],
        state: State::Active,
        requests: 17,
    },
    Example {
        client: "Woodgrove",
        hostname: "woodgrove.example",
        server: Server {
            vendor: Vendor::Intune,
            enrollment: Enrollment::Byod,
            parameters: &[
                ("tenant_id", "66666666-7777-8888-9999-aaaaaaaaaaaa"),
                ("cloud", "us_government"),
            ],
            name: None,
        },
        connection: Connection::Direct,
        rules: &[],
        state: State::Claimed,
        requests: 0,
    },
    Example {
        client: "Woodgrove",
        hostname: "wealth.woodgrove.example",
        server: Server {
            vendor: Vendor::Custom,
            enrollment: Enrollment::Byod,
            parameters: &[("base_url", "https://woodgrove.mdm.example/account-driven-enrollment")],
            name: Some("Kandji"),
        },
        connection: Connection::Direct,
        rules: &[],
        state: State::Broken,
        requests: 12,
    },
    Example {
        client: "Woodgrove",
        hostname: "archive.woodgrove.example",
        server: Server {
            vendor: Vendor::IvantiNeurons,
            enrollment: Enrollment::Byod,
            parameters: &[("cluster", "na2.mobileiron.com")],
            name: None,
        },
        connection: Connection::Direct,
        rules: &[],
        state: State::Suspended,
        requests: 7,
    },
];

impl Example {
    /// The time until which devices asked; none: never.
    pub fn asked_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.state {
            State::Active => Some(now),
            State::Broken => Some(now - TimeDelta::hours(3)),
            State::Suspended => Some(now - TimeDelta::days(6)),
            State::Claimed | State::Proved => None,
        }
    }
}
