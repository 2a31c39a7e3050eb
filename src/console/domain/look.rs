//! Looking at a domain: a check that is written down, a walk as a device, an answer foretold.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use sqlx::PgConnection;

use super::{find, path_of, policy_words, words};
use crate::{
    accounts::{Member, Permission, Scope},
    console::{
        Console,
        fault::Fault,
        form::{self, Form},
        page,
    },
    discovery::policy::Matched,
    domains::{Domain, DomainError, policy::Policy},
    probe::{Hop, Report},
    publisher::preview::{self, Device, Preview},
};

/// `POST /domains/{hostname}/check`
pub async fn check(
    request: HttpRequest,
    payload: web::Payload,
    console: web::Data<Console>,
    member: Member,
    hostname: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let domain = find(&mut *console.pool.acquire().await?, &scope, &hostname).await?;
    Box::pin(console.checker.check_now(&scope, domain.id)).await?;
    Ok(page::go_to(&format!("{}?done=checked", path_of(&domain))))
}

/// What a device meets, step by step.
#[derive(Template)]
#[template(path = "domain_walk.html")]
pub struct Walk {
    is_fine: bool,
    steps: Vec<Step>,
    /// What was asked on the way, and what came back, if that was more than one answer.
    hops: Vec<(String, String)>,
    url: String,
    fallback: Option<String>,
}

struct Step {
    name: &'static str,
    ok: bool,
    detail: String,
    expected: Option<String>,
    remedy: Option<String>,
    devices: Option<String>,
}

impl Walk {
    fn new(report: Report) -> Self {
        let step = |step: crate::probe::Step| Step {
            name: words::stage(step.step),
            ok: step.ok,
            detail: step.detail,
            expected: step.expected,
            remedy: step.remedy,
            devices: step.devices,
        };
        let hop = |hop: Hop| {
            let status = hop
                .status
                .map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            (hop.url, status)
        };
        Self {
            hops: match report.hops.len() {
                0 | 1 => Vec::new(),
                _ => report.hops.into_iter().map(hop).collect(),
            },
            is_fine: report.ok,
            steps: report.steps.into_iter().map(step).collect(),
            url: report.url,
            fallback: report.fallback,
        }
    }
}

/// `Err`: what to say instead, because too many walk at this moment.
pub async fn walk(console: &Console, scope: &Scope, domain: &Domain) -> Result<Result<Walk, &'static str>, Fault> {
    match console.probes.run(scope, &console.checker, domain).await {
        Ok(report) => Ok(Ok(Walk::new(report))),
        Err(DomainError::Busy) => Ok(Err("Several such walks are under way. Try again in ten seconds.")),
        Err(other) => Err(other.into()),
    }
}

/// The question "what would this person on this device get?", and its answer.
#[derive(Default)]
pub struct Foretold {
    pub user: String,
    pub family: String,
    pub answer: Option<Answer>,
}

pub struct Answer {
    /// "rule 2".
    pub why: String,
    pub words: String,
    /// Status and body, as they go over the wire.
    pub wire: String,
}

impl Foretold {
    /// The question of a page or a form; nobody has asked it yet if both fields are missing.
    pub fn asked(user: Option<&str>, family: Option<&str>) -> Self {
        Self {
            user: user.unwrap_or_default().trim().to_owned(),
            family: family.unwrap_or_default().to_owned(),
            answer: None,
        }
    }

    /// With what `policy` would tell the device.
    pub async fn answered(
        self,
        db: &mut PgConnection,
        scope: &Scope,
        domain: &Domain,
        policy: &Policy,
    ) -> Result<Self, Fault> {
        let given = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
        let (user, family) = (given(&self.user), given(&self.family));
        let device = Device {
            user_identifier: user.as_deref(),
            model_family: family.as_deref(),
        };
        let found = preview::preview(db, scope, &domain.hostname, policy, &device).await?;
        Ok(Self {
            answer: Some(Answer::new(&found)),
            ..self
        })
    }

    /// The families to choose from.
    #[must_use]
    pub fn families() -> Vec<(&'static str, &'static str)> {
        policy_words::families()
    }
}

impl Answer {
    fn new(found: &Preview) -> Self {
        let body = found.body.as_ref();
        let pretty = body.and_then(|body| serde_json::to_string_pretty(body).ok());
        let location = found.location.as_deref();
        let message = body
            .and_then(|body| body.get("message").or_else(|| body.get("Message")))
            .and_then(serde_json::Value::as_str);
        Self {
            why: match found.matched {
                Matched::Default => "no rule matches: what holds for everybody else".to_owned(),
                Matched::Rule(index) => format!("rule {}", index + 1),
            },
            words: match (found.status, location) {
                (_, Some(url)) => format!("It is sent on to {url}"),
                (200, None) => "It is told where to enroll.".to_owned(),
                (403, None) => match message {
                    Some(message) => format!("It is refused, saying “{message}”"),
                    None => "It is refused.".to_owned(),
                },
                _ => "It is left to Apple Business Manager or Apple School Manager.".to_owned(),
            },
            wire: match (pretty, location) {
                (Some(body), _) => format!("{} application/json\n{body}", found.status),
                (None, Some(url)) => format!("{}\nLocation: {url}", found.status),
                (None, None) => found.status.to_string(),
            },
        }
    }
}
