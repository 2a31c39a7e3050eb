//! All endpoints, and a form for one more.
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Choice, Standing, Typed, choices};
use crate::{
    accounts::{Member, Permission, Scope, clients},
    console::{
        Console,
        fault::Fault,
        form::{self, Form},
        page::{self, Frame, Section},
        reauthentication,
    },
    webhooks::{self, Kind, MAX_ENDPOINTS, NewEndpoint, WebhookError, store},
};

/// As many as a list to choose from may have.
const MOST_CLIENTS: i64 = 1_000;

#[derive(Template)]
#[template(path = "webhooks.html")]
struct ListPage {
    frame: Frame,
    form: Form,
    endpoints: Vec<Line>,
    choices: Vec<Choice>,
    /// Ids and names.
    clients: Vec<(String, String)>,
    may_add: bool,
}

struct Line {
    id: Uuid,
    host: String,
    description: String,
    /// Whose events; empty: everybody's.
    client: String,
    events: String,
    standing: Standing,
}

#[derive(Template)]
#[template(path = "webhook_secret.html")]
pub(super) struct SecretPage {
    pub frame: Frame,
    pub title: &'static str,
    pub id: Uuid,
    pub host: String,
    pub secret: String,
    /// After a rotation: until when the old one signs as well.
    pub old_until: Option<String>,
}

/// `GET /settings/webhooks`
pub async fn show(request: HttpRequest, member: Member, console: web::Data<Console>) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let notice = match page::done(&request).as_deref() {
        Some("deleted") => Some("The endpoint is deleted. Nothing is sent there any more."),
        _ => None,
    };
    let frame = Frame::member(&request, &member, Section::Settings).with_notice(notice);
    let chosen: Vec<_> = [Kind::DomainStatusChanged, Kind::CertificateExpiring]
        .map(|kind| ("events", kind.as_str()))
        .into();
    let mut db = console.pool.acquire().await?;
    Ok(page::show(&list(&mut db, &scope, frame, Form::of(&chosen)).await?))
}

/// `POST /settings/webhooks`: `url`, `events` (several), `description`, `client_id`. The secret is shown in the answer, and
/// never again: it stands at no address to go to.
pub async fn add(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    if let Some(response) = reauthentication::demand(&request, &console, &member, &mut form).await? {
        return Ok(response);
    }
    let frame = Frame::member(&request, &member, Section::Settings);
    let client_id = form.parse("client_id", |text| match text {
        "" => Ok(None),
        id => id.parse().map(Some).map_err(|_| "is no client of yours"),
    });
    let typed = Typed::parse(&mut form);
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let (Some(typed), Some(client_id)) = (typed, client_id) else {
        return Ok(page::refuse(&list(&mut tx, &scope, frame, form).await?));
    };
    let new = NewEndpoint {
        url: typed.url,
        description: typed.description,
        events: typed.events,
        client_id,
    };
    match webhooks::create(&mut tx, &scope, &console.keyring, &new, now).await {
        Ok((endpoint, secret)) => {
            tx.commit().await?;
            let page = SecretPage {
                frame,
                title: "The endpoint is added",
                id: endpoint.id,
                host: webhooks::host(&endpoint.url).to_owned(),
                secret: secret.expose(),
                old_until: None,
            };
            Ok(page::answer(StatusCode::CREATED, &page))
        }
        Err(error @ WebhookError::TooMany) => {
            form.complain("", sentence(&error));
            Ok(page::refuse(&list(&mut tx, &scope, frame, form).await?))
        }
        Err(WebhookError::NoSuchClient) => {
            form.complain("client_id", "is no client of yours");
            Ok(page::refuse(&list(&mut tx, &scope, frame, form).await?))
        }
        Err(error) => Err(error.into()),
    }
}

fn sentence(error: &WebhookError) -> String {
    let mut text = error.to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text + "."
}

async fn list(db: &mut PgConnection, scope: &Scope, frame: Frame, form: Form) -> Result<ListPage, Fault> {
    let clients = clients::store::list(db, scope, None, MOST_CLIENTS).await?;
    let clients: Vec<_> = clients
        .into_iter()
        .map(|client| (client.id.to_string(), client.name))
        .collect();
    let endpoints = store::list(db, scope, None, MAX_ENDPOINTS).await?;
    let name = |id: Uuid| clients.iter().find(|(client, _)| *client == id.to_string());
    let lines: Vec<_> = endpoints
        .into_iter()
        .map(|endpoint| Line {
            id: endpoint.id,
            host: webhooks::host(&endpoint.url).to_owned(),
            standing: Standing::of(&endpoint),
            client: endpoint
                .client_id
                .and_then(name)
                .map_or_else(String::new, |(_, name)| name.clone()),
            events: match endpoint.events.len() {
                all if all == Kind::ALL.len() => "All".to_owned(),
                _ => endpoint
                    .events
                    .iter()
                    .map(|kind| kind.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            },
            description: endpoint.description,
        })
        .collect();
    Ok(ListPage {
        may_add: i64::try_from(lines.len()).is_ok_and(|count| count < MAX_ENDPOINTS),
        choices: choices(&form),
        endpoints: lines,
        frame,
        form,
        clients,
    })
}
