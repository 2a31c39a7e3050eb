//! The files that pages use, built in. Their addresses carry a digest of what they hold, so that a browser keeps them
//! and never has an old one.
use std::sync::OnceLock;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use aws_lc_rs::digest;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

use super::fault::Fault;

struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const ASSETS: &[Asset] = &[
    Asset {
        name: "app.css",
        media_type: "text/css; charset=utf-8",
        text: include_str!("../../web/static/app.css"),
    },
    Asset {
        name: "app.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../../web/static/app.js"),
    },
    Asset {
        name: "live.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../../web/static/live.js"),
    },
    Asset {
        name: "register.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../../web/static/register.js"),
    },
    Asset {
        name: "passkeys.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../../web/static/passkeys.js"),
    },
    Asset {
        name: "icon.svg",
        media_type: "image/svg+xml",
        text: include_str!("../../web/static/icon.svg"),
    },
];

/// `GET /static/{file}`
pub async fn file(request: HttpRequest, name: web::Path<String>) -> Result<HttpResponse, Fault> {
    let asset = ASSETS
        .iter()
        .find(|asset| asset.name == *name)
        .ok_or(Fault::NoSuchPage)?;
    let is_versioned = request.query_string() == version();
    let kept = if is_versioned {
        "public, max-age=31536000, immutable"
    } else {
        "public, max-age=300"
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, kept))
        .content_type(asset.media_type)
        .body(asset.text))
}

/// Of all files together: `/static/app.css?<version>`.
#[must_use]
pub fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let mut all = digest::Context::new(&digest::SHA256);
        ASSETS.iter().for_each(|asset| all.update(asset.text.as_bytes()));
        BASE64_URL_SAFE_NO_PAD.encode(&all.finish().as_ref()[..6])
    })
}
