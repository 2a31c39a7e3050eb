//! The rules editor: an ordered list that is edited by the buttons of one form, and saved as a whole.
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use aws_lc_rs::digest;
use sqlx::PgConnection;

use super::{
    draft::{Draft, DraftAction, Edit},
    find,
    look::Foretold,
    path_of,
    policy_words::{self, ServerNames},
    servers, words,
};
use crate::{
    accounts::{Member, Permission, Scope},
    console::{
        Console,
        fault::Fault,
        form::Form,
        page::{self, Frame, Section},
    },
    domains::{self, Connection, Domain, DomainError},
    input::hexadecimal,
};

/// A policy may have a hundred rules for a hundred people each.
const LIMIT: usize = 4 * 1024 * 1024;

#[derive(Template)]
#[template(path = "domain_rules.html")]
struct RulesPage {
    frame: Frame,
    hostname: String,
    draft: Draft,
    form: Form,
    servers: Vec<(String, String)>,
    /// Of what the editor began with.
    as_of: String,
    is_changed: bool,
    foretold: Foretold,
}

impl RulesPage {
    fn families() -> Vec<(&'static str, &'static str)> {
        policy_words::families()
    }

    fn connections() -> Vec<(&'static str, &'static str)> {
        let both = |one: Connection| (one.as_str(), words::connection(one));
        Connection::ALL.into_iter().map(both).collect()
    }

    /// Of an action's fields.
    fn part<'a>(&'a self, key: &str, then: &'a DraftAction) -> ActionFields<'a> {
        ActionFields {
            key: key.to_owned(),
            then,
            form: &self.form,
            servers: &self.servers,
        }
    }
}

/// What an action is, and with what.
#[derive(Template)]
#[template(path = "domain_action.html")]
struct ActionFields<'a> {
    key: String,
    then: &'a DraftAction,
    form: &'a Form,
    servers: &'a [(String, String)],
}

impl ActionFields<'_> {
    fn error(&self, field: &str) -> Option<&str> {
        self.form.error(&format!("{field}-{}", self.key))
    }
}

const ACTIONS: [(&str, &str); 4] = [
    ("serve", "Enroll with an MDM server"),
    ("reject", "Refuse, with a message"),
    ("defer", "Leave it to Apple Business Manager or Apple School Manager"),
    ("redirect", "Send on to another discovery service"),
];

/// `GET /domains/{hostname}/rules`
pub async fn show(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    hostname: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let mut db = console.pool.acquire().await?;
    let domain = find(&mut db, &scope, &hostname).await?;
    let servers = servers::of_client(&mut db, &scope, &domain).await?;
    Ok(page::show(&RulesPage {
        frame: Frame::member(&request, &member, Section::Domains),
        draft: Draft::of(&domain),
        form: Form::default(),
        servers: listed(&servers),
        as_of: as_of(&domain),
        is_changed: false,
        foretold: Foretold::asked(Some(&format!("ada@{}", domain.hostname)), Some("Mac")),
        hostname: domain.hostname,
    }))
}

/// `POST /domains/{hostname}/rules`
pub async fn submit(
    request: HttpRequest,
    payload: web::Payload,
    console: web::Data<Console>,
    member: Member,
    hostname: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let mut form = Form::read(&request, payload.into_inner(), LIMIT).await?;
    let mut tx = console.pool.begin().await?;
    let seen = find(&mut tx, &scope, &hostname).await?;
    let domain = domains::find_to_change(&mut tx, &scope, seen.id).await?;
    let servers = servers::of_client(&mut tx, &scope, &domain).await?;
    let mut draft = Draft::typed(&form);
    let foretold = Foretold::asked(form.find("preview_user"), form.find("preview_family"));
    let mut began_with = form.value("as_of").to_owned();
    let (status, foretold) = match (Edit::parse(form.value("do")), form.value("do")) {
        (Some(edit), _) => {
            draft.edit(edit);
            (StatusCode::OK, foretold)
        }
        (None, "try") => match draft.policy(&domain.policy, &servers, &mut form) {
            Some(policy) => (
                StatusCode::OK,
                foretold.answered(&mut tx, &scope, &domain, &policy).await?,
            ),
            None => (StatusCode::UNPROCESSABLE_ENTITY, foretold),
        },
        (None, _) => {
            if save(&mut tx, &scope, &domain, (&draft, &servers), &mut form).await? {
                tx.commit().await?;
                console.check_wanted.notify_one();
                return Ok(page::go_to(&format!("{}?done=rules", path_of(&domain))));
            }
            // Whoever saves again has been told.
            began_with = as_of(&domain);
            (StatusCode::UNPROCESSABLE_ENTITY, foretold)
        }
    };
    Ok(page::answer(
        status,
        &RulesPage {
            frame: Frame::member(&request, &member, Section::Domains),
            draft,
            as_of: began_with,
            form,
            servers: listed(&servers),
            is_changed: true,
            foretold,
            hostname: domain.hostname,
        },
    ))
}

/// Whether it was saved; if not, `form` says why.
async fn save(
    db: &mut PgConnection,
    scope: &Scope,
    domain: &Domain,
    (draft, servers): (&Draft, &ServerNames),
    form: &mut Form,
) -> Result<bool, Fault> {
    let change = draft.change(&domain.policy, servers, form);
    if form.value("as_of") != as_of(domain) {
        form.complain(
            "",
            "Somebody has changed this domain since you opened the editor. What you typed is still here: compare it with the domain’s page, and save again to replace what they did.",
        );
    }
    let Some(change) = change.filter(|_| form.is_fine()) else {
        return Ok(false);
    };
    match domains::update(db, scope, domain, change).await {
        Ok(_) => Ok(true),
        Err(DomainError::NoSuchServer(_)) => {
            form.complain(
                "",
                "An MDM server that a rule names has just been deleted. Choose another.",
            );
            Ok(false)
        }
        Err(other) => Err(other.into()),
    }
}

fn listed(servers: &ServerNames) -> Vec<(String, String)> {
    let listed = servers.iter().map(|(id, name)| (id.to_string(), name.clone()));
    listed.collect()
}

/// Tells what an editor began with from what has become of it since.
fn as_of(domain: &Domain) -> String {
    let edited = (&domain.policy, domain.connection.as_str(), &domain.website_url);
    let text = serde_json::to_vec(&edited).unwrap_or_default();
    hexadecimal(digest::digest(&digest::SHA256, &text).as_ref())
}
