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

#[cfg(test)]
mod tests {
    use super::*;

    /// The selectors of a style sheet, each with what it stands within (`@media …`, or nothing).
    fn selectors(css: &str) -> Vec<(String, String)> {
        let (mut found, mut within, mut text, mut rest) = (Vec::new(), Vec::new(), String::new(), css);
        while let Some(next) = rest.chars().next() {
            if let Some((_, after)) = rest.strip_prefix("/*").and_then(|rest| rest.split_once("*/")) {
                rest = after;
                continue;
            }
            rest = &rest[next.len_utf8()..];
            match next {
                '{' => {
                    let selector = std::mem::take(&mut text).trim().to_owned();
                    if !selector.starts_with('@') {
                        found.push((within.last().cloned().unwrap_or_default(), selector.clone()));
                    }
                    within.push(selector);
                }
                '}' => {
                    within.pop();
                    text.clear();
                }
                ';' => text.clear(),
                _ => text.push(next),
            }
        }
        found
    }

    #[test]
    fn what_something_looks_like_stands_in_one_place() {
        let mut all = selectors(ASSETS[0].text);
        assert!(
            all.len() > 100 && all.contains(&(String::new(), ".card".to_owned())),
            "{all:?}"
        );
        all.sort();
        let twice: Vec<_> = all
            .windows(2)
            .filter(|two| two[0] == two[1])
            .map(|two| &two[0])
            .collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
