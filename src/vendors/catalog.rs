//! What is known about each vendor's enrollment URL, and from whom. Facts only: how a template is filled and
//! read is in `templates`, what a parameter accepts in `kinds`.

use super::kinds::{Choice, Kind};
use super::parameters::Parameter;
use super::templates::{Description, Form, Template};
use super::{Enrollment, Evidence};

/// Microsoft documents no `mdm-adde` form.
pub static INTUNE: Description = Description {
    key: "intune",
    name: "Microsoft Intune",
    default: Template {
        enrollment: Enrollment::Byod,
        evidence: Evidence::Vendor,
        source: "https://learn.microsoft.com/mem/intune/enrollment/apple-account-driven-user-enrollment",
        form: Form::Document,
        pattern: "https://{cloud}/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId={tenant_id}",
    },
    other: None,
    parameters: &[
        required("tenant_id", Kind::Uuid),
        Parameter {
            name: "cloud",
            kind: INTUNE_CLOUDS,
            required: false,
        },
    ],
};

const INTUNE_CLOUDS: Kind = Kind::Enum {
    choices: &[
        Choice {
            value: "global",
            in_url: "manage.microsoft.com",
        },
        Choice {
            value: "us_government",
            in_url: "manage.microsoft.us",
        },
        Choice {
            value: "china",
            in_url: "manage.microsoft.cn",
        },
    ],
    default: "global",
};

pub static JAMF_PRO: Description = Description {
    key: "jamf_pro",
    name: "Jamf Pro",
    default: Template {
        enrollment: Enrollment::Byod,
        evidence: Evidence::Vendor,
        source: "https://docs.jamf.com/10.41.0/jamf-pro/documentation/Account-Driven_User_Enrollment_for_Personally_Owned_Mobile_Devices.html",
        form: Form::Document,
        pattern: "https://{host}/servicediscoveryenrollment/v1/userenroll",
    },
    other: Some(Template {
        enrollment: Enrollment::Adde,
        evidence: Evidence::ThirdParty,
        source: "https://github.com/vbnin/Apple-JSON-discovery-server",
        form: Form::Document,
        pattern: "https://{host}/servicediscoveryenrollment/v1/deviceenroll",
    }),
    parameters: &[required("host", Kind::Host)],
};

pub static FLEET: Description = Description {
    key: "fleet",
    name: "Fleet",
    default: Template {
        enrollment: Enrollment::Byod,
        evidence: Evidence::Vendor,
        source: "Fleet's guide “Account-driven User Enrollment for personal Apple devices (BYOD)”, https://fleetdm.com/guides",
        form: Form::Document,
        pattern: "https://{host}/api/mdm/apple/account_driven_enroll",
    },
    other: None,
    parameters: &[required("host", Kind::Host)],
};

pub static MANAGE_ENGINE: Description = Description {
    key: "manageengine",
    name: "ManageEngine Mobile Device Manager Plus",
    default: Template {
        enrollment: Enrollment::Byod,
        evidence: Evidence::Vendor,
        source: "https://www.manageengine.com/mobile-device-management/help/enrollment/mdm_apple_user_enrollment.html",
        form: Form::Document,
        pattern: MANAGE_ENGINE_PATTERN,
    },
    other: Some(Template {
        enrollment: Enrollment::Adde,
        evidence: Evidence::ThirdParty,
        source: "Discovery documents in public GitHub repositories, which give both enrollments the same URL",
        form: Form::Document,
        pattern: MANAGE_ENGINE_PATTERN,
    }),
    parameters: &[
        required("host", Kind::Host),
        required("template_token", Kind::Text),
        required("encapi_key", Kind::Text),
    ],
};

const MANAGE_ENGINE_PATTERN: &str =
    "https://{host}/mdm/client/v1/enroll?templateToken={template_token}&encapiKey={encapi_key}";

pub static MOSYLE: Description = Description {
    key: "mosyle",
    name: "Mosyle Business",
    default: Template {
        enrollment: Enrollment::Adde,
        evidence: Evidence::ThirdParty,
        source: "A discovery document in a public GitHub repository; Mosyle shows its own in the console only",
        form: Form::Document,
        pattern: "https://{account}.business.mosyle.io/api/v2enrollment/enroll/adde?model-family={model_family}",
    },
    other: None,
    parameters: &[required("account", Kind::Label)],
};

/// Ivanti asks for a redirect to its own discovery; which enrollment follows is a setting of its console.
pub static IVANTI_NEURONS: Description = Description {
    key: "ivanti_neurons",
    name: "Ivanti Neurons for MDM",
    default: Template {
        enrollment: Enrollment::Byod,
        evidence: Evidence::Vendor,
        source: IVANTI_SOURCE,
        form: Form::Redirect,
        pattern: IVANTI_PATTERN,
    },
    other: Some(Template {
        enrollment: Enrollment::Adde,
        evidence: Evidence::Vendor,
        source: IVANTI_SOURCE,
        form: Form::Redirect,
        pattern: IVANTI_PATTERN,
    }),
    parameters: &[required("cluster", Kind::Hostname)],
};

const IVANTI_PATTERN: &str = "https://{cluster}/.well-known/com.apple.remotemanagement";
const IVANTI_SOURCE: &str =
    "Ivanti Neurons for MDM administrator guide, “Account-driven Enrollment”, https://help.ivanti.com";

pub static CUSTOM: Description = Description {
    key: "custom",
    name: "Custom URL",
    default: Template {
        enrollment: Enrollment::Byod,
        evidence: Evidence::None,
        source: CUSTOM_SOURCE,
        form: Form::Document,
        pattern: "{base_url}",
    },
    other: Some(Template {
        enrollment: Enrollment::Adde,
        evidence: Evidence::None,
        source: CUSTOM_SOURCE,
        form: Form::Document,
        pattern: "{base_url}",
    }),
    parameters: &[required("base_url", Kind::Url)],
};

const CUSTOM_SOURCE: &str = "The discovery document that the MDM's own console shows";

const fn required(name: &'static str, kind: Kind) -> Parameter {
    Parameter {
        name,
        kind,
        required: true,
    }
}
