//! MDM vendors: what a person tells us (parameters) → what a device is told (`Version`, `BaseURL`).
//! Each template names its evidence. Pure: no I/O, no database, no HTTP; who may ask is decided elsewhere.
//!
//! [`configure`] is the way in for parameters, [`recognise`] for a pasted discovery document. Both end in a
//! [`Server`], which cannot be built any other way, so what a `Server` answers is always fit to be served.

mod base_urls;
mod catalog;
mod document;
mod escapes;
mod hosts;
mod kinds;
mod lookalikes;
mod names;
mod parameters;
mod recognition;
mod server;
mod templates;

pub use base_urls::UrlError;
pub use document::DocumentError;
pub use hosts::HostError;
pub use kinds::{Choice, Kind};
pub use lookalikes::disguised;
pub use parameters::{Parameter, ParameterError};
pub use recognition::{owner_of_host, recognise};
pub use server::{Answer, Server, configure};
pub use templates::{Description, Template};

/// Stands in a `BaseURL` where the device's `model-family` belongs. Whoever answers the device replaces it.
pub const MODEL_FAMILY_PLACEHOLDER: &str = "{model_family}";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vendor {
    Intune,
    JamfPro,
    Fleet,
    ManageEngine,
    Mosyle,
    IvantiNeurons,
    /// Any other MDM, by the URL that its console shows.
    Custom,
}

impl Vendor {
    /// In the order in which a person is offered them; [`Vendor::Custom`] is last.
    pub const ALL: [Vendor; 7] = [
        Vendor::Intune,
        Vendor::JamfPro,
        Vendor::Fleet,
        Vendor::ManageEngine,
        Vendor::Mosyle,
        Vendor::IvantiNeurons,
        Vendor::Custom,
    ];

    /// The stable name in the API and the database, such as `jamf_pro`.
    pub fn key(self) -> &'static str {
        self.description().key
    }

    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|vendor| vendor.key() == key)
    }

    /// The name people know it by, such as `Jamf Pro`.
    pub fn name(self) -> &'static str {
        self.description().name
    }

    pub fn description(self) -> &'static Description {
        match self {
            Vendor::Intune => &catalog::INTUNE,
            Vendor::JamfPro => &catalog::JAMF_PRO,
            Vendor::Fleet => &catalog::FLEET,
            Vendor::ManageEngine => &catalog::MANAGE_ENGINE,
            Vendor::Mosyle => &catalog::MOSYLE,
            Vendor::IvantiNeurons => &catalog::IVANTI_NEURONS,
            Vendor::Custom => &catalog::CUSTOM,
        }
    }
}

/// The two account-driven enrollments that Apple's discovery knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Enrollment {
    /// User enrollment: a person's own device.
    Byod,
    /// Device enrollment: a device of the organisation.
    Adde,
}

impl Enrollment {
    pub const ALL: [Enrollment; 2] = [Enrollment::Byod, Enrollment::Adde];

    pub fn key(self) -> &'static str {
        match self {
            Enrollment::Byod => "byod",
            Enrollment::Adde => "adde",
        }
    }

    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|enrollment| enrollment.key() == key)
    }

    /// The `Version` of the discovery document.
    pub fn version(self) -> &'static str {
        match self {
            Enrollment::Byod => "mdm-byod",
            Enrollment::Adde => "mdm-adde",
        }
    }

    pub fn from_version(version: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|enrollment| enrollment.version() == version)
    }
}

/// How a `BaseURL` template is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The vendor's own text says so.
    Vendor,
    /// Others serve it so; the vendor's own text was not found.
    ThirdParty,
    /// There is no template: the person gives the URL.
    None,
}

impl Evidence {
    pub fn key(self) -> &'static str {
        match self {
            Evidence::Vendor => "vendor",
            Evidence::ThirdParty => "third_party",
            Evidence::None => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_leads_back_to_what_it_names() {
        assert_eq!(
            Vendor::ALL.map(Vendor::key),
            [
                "intune",
                "jamf_pro",
                "fleet",
                "manageengine",
                "mosyle",
                "ivanti_neurons",
                "custom"
            ]
        );
        assert_eq!(
            Vendor::ALL.map(|vendor| Vendor::from_key(vendor.key())),
            Vendor::ALL.map(Some)
        );
        assert_eq!(
            Enrollment::ALL.map(|e| Enrollment::from_key(e.key())),
            Enrollment::ALL.map(Some)
        );
        assert_eq!(
            Enrollment::ALL.map(|e| Enrollment::from_version(e.version())),
            Enrollment::ALL.map(Some)
        );
    }

    #[test]
    fn a_key_is_matched_exactly() {
        for key in [
            "",
            "Intune",
            " intune",
            "intune\n",
            "jamfpro",
            "manage_engine",
            "mdm-byod",
            "BYOD",
        ] {
            assert_eq!(Vendor::from_key(key), None, "{key:?}");
            assert_eq!(Enrollment::from_key(key), None, "{key:?}");
        }
    }
}
