//! What was sent to an endpoint, and sending it again.
use actix_web::{HttpRequest, HttpResponse, web};
use sqlx::PgConnection;
use uuid::Uuid;

use super::one::parse;
use crate::{
    accounts::{Member, Permission, Scope},
    console::{
        Console,
        fault::Fault,
        form::{self, Form},
        page::{self, moment},
    },
    webhooks::{
        WebhookError,
        deliveries::{self, Delivery, State, store},
    },
};

const PAGE: usize = 25;
/// One more, to see whether there are others.
const LOOKED_FOR: i64 = 26;

/// One delivery, as it is shown.
pub(super) struct Row {
    pub id: Uuid,
    pub at: String,
    pub kind: String,
    pub class: &'static str,
    pub state: &'static str,
    pub attempts: String,
    /// When it is tried next.
    pub next: Option<String>,
    pub answer: Option<Answer>,
    pub event_id: Uuid,
    pub payload: String,
}

pub(super) struct Answer {
    /// "204 in 87 ms", "None, after 15 s".
    pub line: String,
    pub text: String,
}

impl From<Delivery> for Row {
    fn from(delivery: Delivery) -> Self {
        let (class, state) = match delivery.state() {
            State::Waiting => ("wait", "Waiting"),
            State::Retrying => ("bad", "Failed, will be tried again"),
            State::Delivered => ("good", "Delivered"),
            State::GivenUp => ("bad", "Given up"),
        };
        let took = delivery.duration_ms.unwrap_or_default();
        let answer = delivery.attempted_at.map(|at| Answer {
            line: match delivery.response_status {
                Some(status) => format!("{status} in {took} ms, {}", moment(&at)),
                None => format!("No answer after {took} ms, {}", moment(&at)),
            },
            text: delivery.response_text.clone().unwrap_or_default(),
        });
        let next = delivery.next_attempt_at().filter(|_| delivery.attempts > 0);
        Self {
            id: delivery.id,
            at: moment(&delivery.created_at),
            class,
            state,
            attempts: match delivery.attempts {
                1 => "1 attempt".to_owned(),
                attempts => format!("{attempts} attempts"),
            },
            next: next.as_ref().map(moment),
            answer,
            event_id: delivery.event_id,
            payload: pretty(&delivery.payload),
            kind: delivery.event_type,
        }
    }
}

fn pretty(payload: &str) -> String {
    let value = serde_json::from_str::<serde_json::Value>(payload);
    value
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| payload.to_owned())
}

/// The newest before `before`, and where the list goes on.
pub(super) async fn rows(
    db: &mut PgConnection,
    scope: &Scope,
    endpoint_id: Uuid,
    before: Option<Uuid>,
) -> Result<(Vec<Row>, Option<Uuid>), Fault> {
    let mut all = store::list(db, scope, endpoint_id, before, LOOKED_FOR).await?;
    let are_more = all.len() > PAGE;
    all.truncate(PAGE);
    let older = all.last().map(|last| last.id).filter(|_| are_more);
    Ok((all.into_iter().map(Row::from).collect(), older))
}

/// `POST /settings/webhooks/{id}/test`
pub async fn test(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let id = parse(&id)?;
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let sent = deliveries::test(&mut tx, &scope, id, now).await;
    let done = done(sent, "test")?;
    tx.commit().await?;
    Ok(page::go_to(&format!("/settings/webhooks/{id}?done={done}")))
}

/// `POST /settings/webhooks/{id}/deliveries/{delivery}/replay`
pub async fn replay(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let (id, delivery_id) = path.into_inner();
    let ids = (parse(&id)?, parse(&delivery_id)?);
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let sent = deliveries::replay(&mut tx, &scope, ids, now).await;
    let done = done(sent, "replay")?;
    tx.commit().await?;
    Ok(page::go_to(&format!("/settings/webhooks/{}?done={done}", ids.0)))
}

/// The word for the notice.
fn done(sent: Result<Delivery, WebhookError>, word: &'static str) -> Result<&'static str, Fault> {
    match sent {
        Ok(_) => Ok(word),
        Err(WebhookError::Disabled) => Ok("is-disabled"),
        Err(WebhookError::Waiting) => Ok("waiting"),
        Err(error) => Err(error.into()),
    }
}
