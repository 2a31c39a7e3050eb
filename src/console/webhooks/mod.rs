//! `/settings/webhooks`: where events go, and what became of them. For whoever administers the organisation.
mod deliveries;
mod list;
mod one;

use actix_web::{Resource, Route, web};

use super::{fault::Fault, form, form::Form};
use crate::{
    input::WebUrl,
    webhooks::{Description, Endpoint, Kind, Reason, WebhookError},
};

pub fn pages(config: &mut web::ServiceConfig) {
    config
        .service(form(
            "/settings/webhooks",
            web::get().to(list::show),
            web::post().to(list::add),
        ))
        .service(form(
            "/settings/webhooks/{id}",
            web::get().to(one::show),
            web::post().to(one::change),
        ))
        .service(act(
            "/settings/webhooks/{id}/rotate-secret",
            web::post().to(one::rotate),
        ))
        .service(act("/settings/webhooks/{id}/test", web::post().to(deliveries::test)))
        .service(act("/settings/webhooks/{id}/enable", web::post().to(one::enable)))
        .service(act("/settings/webhooks/{id}/disable", web::post().to(one::disable)))
        .service(act("/settings/webhooks/{id}/delete", web::post().to(one::delete)))
        .service(act(
            "/settings/webhooks/{id}/deliveries/{delivery}/replay",
            web::post().to(deliveries::replay),
        ));
}

/// What a button does, that has no page of its own.
fn act(path: &str, post: Route) -> Resource {
    web::resource(path)
        .route(post)
        .default_service(web::to(|| async { Err::<&str, _>(Fault::WrongMethod("POST")) }))
}

impl From<WebhookError> for Fault {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::NotFound | WebhookError::NoSuchDelivery => Self::NoSuchPage,
            WebhookError::Database(error) => Self::Database(error),
            other => Self::Internal(other.to_string()),
        }
    }
}

/// An event that may be chosen: its name, what it says, and whether it is.
struct Choice {
    name: &'static str,
    words: &'static str,
    is_chosen: bool,
}

fn choices(form: &Form) -> Vec<Choice> {
    let choice = |kind: Kind| Choice {
        name: kind.as_str(),
        words: words(kind),
        is_chosen: form.has("events", kind.as_str()),
    };
    Kind::ALL.map(choice).into()
}

fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::DomainStatusChanged => "A domain's status changes",
        Kind::DomainFirstRequest => "A device asks for a domain for the first time",
        Kind::CertificateIssued => "A certificate is issued or renewed",
        Kind::CertificateFailed => "A certificate can't be obtained, and why",
        Kind::CertificateExpiring => "A certificate is about to expire",
    }
}

/// What both forms ask for.
struct Typed {
    url: WebUrl,
    description: Description,
    events: Vec<Kind>,
}

impl Typed {
    fn parse(form: &mut Form) -> Option<Self> {
        let url = form.parse("url", |text| WebUrl::parse(text.trim()));
        let description = form.parse("description", Description::parse);
        let events: Vec<_> = form.all("events").filter_map(Kind::parse).collect();
        if events.is_empty() {
            form.complain("events", "choose at least one");
        }
        match (url, description) {
            (Some(url), Some(description)) if form.is_fine() => Some(Self {
                url,
                description,
                events,
            }),
            _ => None,
        }
    }
}

/// How an endpoint is: the class of its mark, and the words.
struct Standing {
    class: &'static str,
    words: String,
}

impl Standing {
    fn of(endpoint: &Endpoint) -> Self {
        let moment = super::page::moment;
        match (endpoint.disabled, endpoint.failing_since) {
            (Some(disabled), _) => Self {
                class: "wait",
                words: match disabled.reason {
                    Reason::Asked => "Disabled".to_owned(),
                    Reason::Gone => "Disabled: it answered 410 Gone".to_owned(),
                    Reason::Failing => "Disabled: nothing arrived for five days".to_owned(),
                },
            },
            (None, Some(since)) => Self {
                class: "bad",
                words: format!("Failing since {}", moment(&since)),
            },
            (None, None) => Self {
                class: "good",
                words: "On".to_owned(),
            },
        }
    }
}
