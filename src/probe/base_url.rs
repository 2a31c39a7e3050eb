//! The `BaseURL` of a discovery document: whether a device can use it, and whose it is. Pure.
use super::{
    report::{Code, Fault},
    text::{self, quoted},
};
use crate::dns::Failure;
use crate::vendors::{self, DocumentError, Enrollment, HostError, Server, UrlError, Vendor};

const REMEDY: &str = "Whoever maintains the document copies the BaseURL again from the MDM's console.";

/// A URL is no use if its end is missing.
const LONGEST_SHOWN: usize = 400;

/// Where the device enrolls.
#[derive(Debug, PartialEq, Eq)]
pub struct Base {
    pub url: String,
    pub host: String,
    pub vendor: Vendor,
    /// The URL has the host of this vendor's own service, but not the form that the vendor documents.
    pub other_form: Option<Vendor>,
}

pub fn read(enrollment: Enrollment, base_url: &str) -> Result<Base, Fault> {
    if base_url.trim() != base_url {
        return Err(unusable(base_url, "It has white space around it."));
    }
    let host = url::Url::parse(base_url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    let host = host.unwrap_or_default();
    if let Some(vendor_domain) = vendors::disguised(&idna::domain_to_unicode(&host).0) {
        return Err(lookalike(&host, vendor_domain));
    }
    let server = recognise(enrollment, base_url).map_err(|error| fault(&error, base_url))?;
    let owner = vendors::owner_of_host(&host);
    if server.vendor() == Vendor::Custom
        && let Some(meant) = Enrollment::ALL
            .into_iter()
            .find(|other| *other != enrollment && is_of_vendor(*other, base_url, owner))
    {
        return Err(other_version(base_url, enrollment, meant));
    }
    let other_form = owner.filter(|owner| *owner != server.vendor());
    Ok(Base {
        url: text::plain(base_url, LONGEST_SHOWN),
        host,
        vendor: server.vendor(),
        other_form,
    })
}

fn recognise(enrollment: Enrollment, base_url: &str) -> Result<Server, DocumentError> {
    let document = serde_json::json!({"Servers": [{"Version": enrollment.version(), "BaseURL": base_url}]});
    vendors::recognise(&document.to_string())
}

/// Whether the URL is that of a vendor who has another one for the other enrollment, or none.
fn is_of_vendor(enrollment: Enrollment, base_url: &str, owner: Option<Vendor>) -> bool {
    recognise(enrollment, base_url).is_ok_and(|server| {
        let vendor = server.vendor();
        vendor != Vendor::Custom && (owner == Some(vendor) || vendor.description().enrollments().count() > 1)
    })
}

fn other_version(base_url: &str, found: Enrollment, meant: Enrollment) -> Fault {
    let (found, meant) = (found.version(), meant.version());
    Fault::new(
        Code::Undetermined,
        format!(
            "The BaseURL {} is known with the Version {meant}, but the Version here is {found}. Whether a device can \
             enroll so can't be told.",
            text::plain(base_url, LONGEST_SHOWN)
        ),
    )
    .expected(format!("Version: {meant}, or the BaseURL that belongs to {found}."))
    .remedy("Whoever maintains the document copies both again from the MDM's console: the Version and its BaseURL.")
}

fn lookalike(name: &str, vendor_domain: &str) -> Fault {
    Fault::new(
        Code::BaseUrlLookalike,
        format!(
            "The host of the BaseURL, {}, looks like {vendor_domain} but does not belong to it: sign-ins would go to \
             whoever holds that name.",
            quoted(name)
        ),
    )
    .expected(format!(
        "A host under {vendor_domain}, or one of the organisation's own."
    ))
    .remedy(
        "Whoever maintains the document corrects the host at once. If people have signed in through it, treat their \
         passwords as stolen.",
    )
}

fn fault(error: &DocumentError, base_url: &str) -> Fault {
    let shown = text::plain(base_url, LONGEST_SHOWN);
    match error {
        DocumentError::BaseUrl(UrlError::NotHttps) => Fault::new(
            Code::BaseUrlNotHttps,
            format!("The BaseURL is {shown}. Devices accept https only."),
        )
        .expected("An https URL.")
        .remedy("Whoever maintains the document writes the https form of the URL; the MDM's console shows it."),
        DocumentError::BaseUrl(UrlError::Host(HostError::Lookalike { name, vendor_domain })) => {
            lookalike(name, vendor_domain)
        }
        DocumentError::Parameters { vendor, errors } => {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            Fault::new(
                Code::BaseUrlUnreadable,
                format!(
                    "The BaseURL {shown} is that of {vendor}, but a value in it is wrong. {}",
                    quoted(&errors.join(" "))
                ),
            )
            .expected(format!(
                "The URL that the console of {vendor} shows, with the organisation's own values."
            ))
            .remedy(REMEDY)
        }
        DocumentError::BaseUrl(error) if is_unusual(error) => Fault::new(
            Code::Undetermined,
            format!(
                "The BaseURL {shown} is unusual: whether a device takes it can't be told. {}",
                quoted(&error.to_string())
            ),
        )
        .expected("An https URL with a host name.")
        .remedy(REMEDY),
        DocumentError::BaseUrl(error) => unusable(base_url, &error.to_string()),
        other => unusable(base_url, &other.to_string()),
    }
}

/// What we don't serve, but others may.
fn is_unusual(error: &UrlError) -> bool {
    matches!(
        error,
        UrlError::TooLong
            | UrlError::Fragment
            | UrlError::DotSegments
            | UrlError::Host(HostError::IpAddress | HostError::SingleLabel | HostError::Underscore)
    )
}

fn unusable(base_url: &str, why: &str) -> Fault {
    let detail = format!("The BaseURL {} can't be used. {}", quoted(base_url), quoted(why));
    Fault::new(Code::BaseUrlUnreadable, detail)
        .expected("An absolute https URL.")
        .remedy(REMEDY)
}

/// A form of URL that nobody documents for this host: it may be new, or wrong.
pub fn other_form(base: &Base, vendor: Vendor) -> Fault {
    let known = vendor.description().default.pattern();
    Fault::new(
        Code::Undetermined,
        format!(
            "The BaseURL {} has a host of {}, but not the form that is known. Whether a device can enroll there can't be \
             told.",
            base.url,
            vendor.name()
        ),
    )
    .expected(known)
    .remedy(format!("Whoever maintains the document compares the BaseURL with what the console of {} shows.", vendor.name()))
}

/// A host that no device finds.
pub fn unresolvable(host: &str, failure: Option<Failure>) -> Fault {
    let why = failure.map_or_else(
        || "it has neither an A nor an AAAA record".to_owned(),
        |failure| failure.to_string(),
    );
    Fault::new(
        Code::BaseUrlUnresolvable,
        format!("The host of the BaseURL, {}, has no address: {why}.", quoted(host)),
    )
    .expected("A host with an A or AAAA record.")
    .remedy("Whoever maintains the document corrects the host; if it is spelled right, whoever runs the MDM server adds its DNS record.")
}

/// A host of which nothing could be learned from here.
pub fn not_looked_up(host: &str, failure: Failure) -> Fault {
    Fault::new(
        Code::Undetermined,
        format!("The document is well, but whether the host of its BaseURL, {}, has an address could not be found out: {failure}.", quoted(host)),
    )
    .expected("An answer from DNS.")
    .remedy("Whoever runs this machine checks its DNS servers (SIGNPOST_DNS_SERVERS), and looks again.")
    .passable("None, if the host is well: a device asks DNS servers of its own.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_recognised_or_named_by_what_is_wrong_with_it() {
        let intune =
            |host: &str, rest: &str| format!("https://{host}/EnrollmentServer/PostReportDeviceInfoForUEV2?{rest}");
        let tenant = "aadTenantId=72f988bf-86f1-41af-91ab-2d7cd011db47";
        for (url, vendor, other) in [
            (intune("manage.microsoft.com", tenant), "intune", None),
            (intune("manage.microsoft.us", tenant), "intune", None),
            (
                "https://contoso.jamfcloud.com/servicediscoveryenrollment/v1/userenroll".to_owned(),
                "jamf_pro",
                None,
            ),
            ("https://mdm.contoso.com/x?y=z".to_owned(), "custom", None),
            (
                intune("manage.microsoft.com", &format!("{tenant}&x=1")),
                "custom",
                Some(Vendor::Intune),
            ),
            (
                "https://manage.microsoft.com/enroll".to_owned(),
                "custom",
                Some(Vendor::Intune),
            ),
        ] {
            let base = read(Enrollment::Byod, &url).unwrap();
            assert_eq!((base.vendor.key(), base.other_form), (vendor, other), "{url}");
        }
        for (url, code, said) in [
            (
                "http://mdm.contoso.com/",
                Code::BaseUrlNotHttps,
                "http://mdm.contoso.com/",
            ),
            ("ftp://mdm.contoso.com/", Code::BaseUrlNotHttps, "ftp"),
            ("", Code::BaseUrlUnreadable, "empty"),
            (" https://mdm.contoso.com/", Code::BaseUrlUnreadable, "white space"),
            ("mdm.contoso.com/enroll", Code::BaseUrlUnreadable, "not absolute"),
            ("https://<host>/x", Code::BaseUrlUnreadable, "'<'"),
            (
                "https://manage.microsoft.com@evil.example/",
                Code::BaseUrlUnreadable,
                "user name",
            ),
            (
                "https://mdm.contoso.com/{tenant}",
                Code::BaseUrlUnreadable,
                "placeholder",
            ),
            (
                &intune("manage.microsoft.com", "aadTenantId=YourAADTenantID"),
                Code::BaseUrlUnreadable,
                "Microsoft Intune",
            ),
            (
                "https://x.jamfcloud.com.com/enroll",
                Code::BaseUrlLookalike,
                "looks like jamfcloud.com",
            ),
            (
                "https://manage.mircosoft.com/x",
                Code::BaseUrlLookalike,
                "looks like microsoft.com",
            ),
            (
                "https://manage.micros\u{43e}ft.com/x",
                Code::BaseUrlLookalike,
                "looks like microsoft.com",
            ),
            (
                "https://manage.xn--microsft-sbh.com/x",
                Code::BaseUrlLookalike,
                "looks like microsoft.com",
            ),
            ("https://192.0.2.1/x", Code::Undetermined, "IP address"),
            ("https://mdm.contoso.com/#x", Code::Undetermined, "fragment"),
        ] {
            let fault = read(Enrollment::Byod, url).unwrap_err();
            assert!(fault.code == code && fault.detail.contains(said), "{url}: {fault:?}");
        }
    }

    #[test]
    fn a_url_that_belongs_to_the_other_version_is_told_so() {
        let intune = "https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=72f988bf-86f1-41af-91ab-2d7cd011db47";
        let jamf = |kind: &str| format!("https://contoso.jamfcloud.com/servicediscoveryenrollment/v1/{kind}");
        for (enrollment, url, known) in [
            (Enrollment::Adde, intune.to_owned(), "known with the Version mdm-byod"),
            (Enrollment::Adde, jamf("userenroll"), "known with the Version mdm-byod"),
            (
                Enrollment::Byod,
                jamf("deviceenroll"),
                "known with the Version mdm-adde",
            ),
        ] {
            let fault = read(enrollment, &url).unwrap_err();
            assert!(
                fault.code == Code::Undetermined && fault.detail.contains(known),
                "{fault:?}"
            );
        }
        let fleet = "https://fleet.contoso.com/api/mdm/apple/account_driven_enroll";
        assert_eq!(read(Enrollment::Adde, fleet).unwrap().vendor, Vendor::Custom);
    }

    #[test]
    fn a_long_url_is_cut() {
        let url = format!("https://mdm.contoso.com/{}", "a".repeat(60_000));
        assert!(read(Enrollment::Byod, &url).unwrap_err().detail.len() < 1000);
    }
}
