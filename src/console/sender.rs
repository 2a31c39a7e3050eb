//! Who sent a share link, as its page shows it; and the picture that goes with it.
use actix_web::{
    HttpResponse,
    http::header::{self, HeaderName, HeaderValue},
};

use crate::{
    accounts::organisations::branding::{
        Branding,
        logo::{Logo, LogoFacts},
    },
    input::Name,
};

pub struct Sender {
    pub name: Option<String>,
    /// Where it leads, and what it says.
    pub contact: Option<(String, String)>,
    pub logo: Option<Picture>,
}

pub struct Picture {
    pub path: String,
    pub width: u32,
    pub height: u32,
}

impl Sender {
    /// None, if nothing is said. The logo is at `path`.
    pub fn new(branding: Branding, path: &str) -> Option<Self> {
        if branding == Branding::default() {
            return None;
        }
        let picture = |LogoFacts { width, height, .. }| Picture {
            path: path.to_owned(),
            width,
            height,
        };
        let contact = branding.contact;
        Some(Self {
            name: branding.display_name.map(Name::into_string),
            contact: contact.map(|contact| (contact.href(), contact.as_str().to_owned())),
            logo: branding.logo.map(picture),
        })
    }
}

/// The file as somebody uploaded it: a picture, and whatever a browser makes of it, nothing that runs or loads.
pub fn picture(logo: Logo) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.insert_header((name, HeaderValue::from_static(value)));
    }
    let media_type = logo.facts().kind.media_type();
    response.content_type(media_type).body(logo.into_bytes())
}
