//! For whom passkeys are made: the portal's host, and pages of the portal's own origin.
use webauthn_rp::request::{AsciiDomain, RpId};

pub struct Site {
    pub(super) rp_id: RpId,
    pub(super) origin: String,
}

impl Site {
    /// `None`: the portal is at an address that is no name, for which no browser makes passkeys.
    #[must_use]
    pub fn of(portal_url: &str) -> Option<Self> {
        let url = url::Url::parse(portal_url).ok()?;
        let domain = AsciiDomain::try_from(url.domain()?.to_owned()).ok()?;
        Some(Self {
            rp_id: RpId::Domain(domain),
            origin: url.origin().ascii_serialization(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passkey_is_for_the_portals_host_and_made_on_its_own_pages() {
        for (portal, rp_id, origin) in [
            (
                "https://portal.example.com",
                "portal.example.com",
                "https://portal.example.com",
            ),
            (
                "https://portal.example.com:8443",
                "portal.example.com",
                "https://portal.example.com:8443",
            ),
            ("http://localhost:8080", "localhost", "http://localhost:8080"),
        ] {
            let site = Site::of(portal).unwrap();
            assert_eq!((site.rp_id.as_ref(), site.origin.as_str()), (rp_id, origin));
        }
        for portal in ["https://192.0.2.1", "http://[::1]:8080", "nonsense"] {
            assert!(Site::of(portal).is_none(), "{portal}");
        }
    }
}
