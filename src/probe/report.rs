//! What the probe found: steps in the order of discovery, each with what was seen, what was expected and what is
//! to be done. The shape is a contract with programs (`--json`, the API): codes are added, never changed.
use serde::Serialize;
use utoipa::ToSchema;

use super::text;

/// Longer than any sentence of ours with what it quotes.
const LONGEST: usize = 1200;

/// What a device would get, step by step.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Report {
    /// Whether a current device would succeed.
    pub ok: bool,
    #[schema(example = "contoso.com")]
    pub hostname: String,
    /// What a device asks first.
    pub url: String,
    /// In the order of discovery. A step that could not be reached is left out.
    pub steps: Vec<Step>,
    /// What was asked on the way, redirects included.
    pub hops: Vec<Hop>,
    /// What a device does next, if its own domain answers with an HTTP failure.
    pub fallback: Option<String>,
    /// What it all ended at, for whoever knows what it should be.
    #[serde(skip)]
    pub end: Option<End>,
}

/// The last answer: status, and what was read of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub status: u16,
    pub body: Vec<u8>,
}

/// One step of discovery.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Step {
    pub step: Stage,
    pub ok: bool,
    /// Stable, for programs. `undetermined` if the cause can't be told.
    pub code: Option<Code>,
    /// What was seen.
    pub detail: String,
    pub expected: Option<String>,
    /// Who is to do what.
    pub remedy: Option<String>,
    /// For which devices it matters.
    pub devices: Option<String>,
    /// Whether a current device fails because of it.
    #[serde(skip)]
    pub stops_devices: bool,
}

/// One request and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Hop {
    pub url: String,
    /// None if there was no answer.
    pub status: Option<u16>,
    pub location: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Dns,
    Connect,
    Tls,
    Http,
    ContentType,
    Document,
    Head,
    Query,
}

macro_rules! codes {
    ($($name:ident)*) => {
        /// The name of each fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code { $($name),* }
    };
}

codes! {
    NoAddress NoSuchName DnsServerFailure DnsTimeout DnsRefused ForbiddenAddress AddressElsewhere AliasElsewhere
    CaaForbids
    ConnectionRefused ConnectionTimeout ConnectionUnreachable SomeAddressesFail
    CertificateOtherName CertificateExpired CertificateNotYetValid CertificateSelfSigned CertificateUnknownIssuer
    CertificateChainIncomplete CertificateWeak TlsTooOld TlsOldSuites TlsNoExtendedMasterSecret NotTls TlsRefused
    NotFound BotChallenge Forbidden AuthenticationRequired ServerError MethodRefused Misdirected UnexpectedStatus
    RedirectLoop TooManyRedirects RedirectToHttp RedirectWithoutTarget RedirectForbidden ResponseTooSlow
    ResponseUnreadable ConnectionClosed Rejected
    ContentTypeMissing OctetStream HtmlPage HtmlRedirect WrongContentType
    InvalidJson ByteOrderMark BodyTooLarge BodyEmpty NoServers SeveralServers NotADocument VersionUnknown
    BaseUrlMissing BaseUrlNotHttps BaseUrlUnreadable BaseUrlLookalike BaseUrlUnresolvable WrongEncoding
    HeadRefused HeadDiffers
    RedirectLosesQuery QueryBreaksAnswer
    Undetermined
}

/// What is wrong, before it is known at which step it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: Code,
    pub detail: String,
    expected: Option<String>,
    remedy: Option<String>,
    devices: String,
    pub stops_devices: bool,
}

impl Fault {
    /// A fault that every device meets.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            expected: None,
            remedy: None,
            devices: "All devices.".to_owned(),
            stops_devices: true,
        }
    }

    #[must_use]
    pub fn expected(self, expected: impl Into<String>) -> Self {
        Self {
            expected: Some(expected.into()),
            ..self
        }
    }

    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }

    #[must_use]
    pub fn devices(self, devices: impl Into<String>) -> Self {
        Self {
            devices: devices.into(),
            ..self
        }
    }

    /// A device gets past it: the whole stays well.
    #[must_use]
    pub fn passable(self, devices: impl Into<String>) -> Self {
        Self {
            stops_devices: false,
            ..self.devices(devices)
        }
    }

    /// The same fault, met at another place than the first.
    #[must_use]
    pub fn at(self, place: &str) -> Self {
        Self {
            detail: format!("{place}: {}", self.detail),
            ..self
        }
    }

    /// More that is known, behind what is said.
    #[must_use]
    pub fn adding(self, more: &str) -> Self {
        match more {
            "" => self,
            more => Self {
                detail: format!("{} {more}", self.detail),
                ..self
            },
        }
    }
}

impl Step {
    pub fn fine(step: Stage, detail: impl AsRef<str>) -> Self {
        Self {
            step,
            ok: true,
            code: None,
            detail: shown(detail.as_ref()),
            expected: None,
            remedy: None,
            devices: None,
            stops_devices: false,
        }
    }

    pub fn wrong(step: Stage, fault: Fault) -> Self {
        Self {
            step,
            ok: false,
            code: Some(fault.code),
            detail: shown(&fault.detail),
            expected: fault.expected.as_deref().map(shown),
            remedy: fault.remedy.as_deref().map(shown),
            devices: Some(shown(&fault.devices)),
            stops_devices: fault.stops_devices,
        }
    }
}

/// Whatever a server said, and wherever it was put into a sentence: it ends here.
fn shown(text: &str) -> String {
    text::plain(text, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_step_has_every_member_of_the_contract() {
        let fault = Fault::new(Code::BaseUrlNotHttps, "a\u{1b}[31m\nb").remedy("Do it.");
        let step = serde_json::to_value(Step::wrong(Stage::ContentType, fault)).unwrap();
        assert_eq!(
            step,
            json!({"step": "content_type", "ok": false, "code": "base_url_not_https", "detail": "a [31m b",
                "expected": null, "remedy": "Do it.", "devices": "All devices."})
        );
        let step = serde_json::to_value(Step::fine(Stage::Dns, "A")).unwrap();
        assert_eq!(
            step,
            json!({"step": "dns", "ok": true, "code": null, "detail": "A", "expected": null, "remedy": null, "devices": null})
        );
    }
}
