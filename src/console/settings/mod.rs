//! The settings of an organisation, and which of a person's organisations is looked at.
mod audit;
mod branding;
mod members;
mod organisation;
mod person;
mod privacy;
mod single_sign_on;
mod tokens;

use actix_web::{HttpRequest, HttpResponse, Resource, Route, web};
use askama::Template;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    fault::Fault,
    form::{self, Form},
    page::{self, Frame, Section},
};
use crate::accounts::{
    Member, Scope, clients,
    members::{MemberError, Standing},
    role::Role,
};

/// More than any list to choose from is to hold; whoever has more limits people by the API.
const CLIENTS: i64 = 1_000;

pub fn pages(config: &mut web::ServiceConfig) {
    config
        .service(super::page("/settings", web::get().to(show)))
        .service(super::page("/settings/members", web::get().to(members::show)))
        .service(super::form(
            "/settings/members/{id}",
            web::get().to(members::show_one),
            web::post().to(members::change),
        ))
        .service(action("/settings/members/{id}/remove", web::post().to(members::remove)))
        .service(action("/settings/invitations", web::post().to(members::invite)))
        .service(action(
            "/settings/invitations/{id}/resend",
            web::post().to(members::resend),
        ))
        .service(action(
            "/settings/invitations/{id}/delete",
            web::post().to(members::revoke),
        ))
        .service(super::form(
            "/settings/tokens",
            web::get().to(tokens::show),
            web::post().to(tokens::submit),
        ))
        .service(action("/settings/tokens/{id}/revoke", web::post().to(tokens::revoke)))
        .service(super::form(
            "/settings/organisation",
            web::get().to(organisation::show),
            web::post().to(organisation::submit),
        ))
        .service(action(
            "/settings/organisation/delete",
            web::post().to(organisation::delete),
        ))
        .service(super::form(
            "/settings/privacy",
            web::get().to(privacy::show),
            web::post().to(privacy::submit),
        ))
        .service(super::form(
            "/settings/branding",
            web::get().to(branding::show),
            web::post().to(branding::submit),
        ))
        .service(super::page(
            "/settings/branding/logo",
            web::get().to(branding::show_logo),
        ))
        .service(action(
            "/settings/branding/logo/remove",
            web::post().to(branding::remove_logo),
        ))
        .service(super::form(
            "/settings/single-sign-on",
            web::get().to(single_sign_on::show),
            web::post().to(single_sign_on::submit),
        ))
        .service(action(
            "/settings/single-sign-on/check",
            web::post().to(single_sign_on::check),
        ))
        .service(super::form(
            "/settings/single-sign-on/delete",
            web::get().to(single_sign_on::show_delete),
            web::post().to(single_sign_on::delete),
        ))
        .service(super::page("/settings/audit", web::get().to(audit::show)))
        .service(super::form(
            "/settings/switch",
            web::get().to(person::show_switch),
            web::post().to(person::switch),
        ))
        .service(super::form(
            "/settings/leave",
            web::get().to(person::show_leave),
            web::post().to(person::leave),
        ));
}

/// What only takes a form that stands on another page.
fn action(path: &str, post: Route) -> Resource {
    web::resource(path)
        .route(post)
        .default_service(web::to(|| async { Err::<&str, _>(Fault::WrongMethod("POST")) }))
}

#[derive(Template)]
#[template(path = "settings/index.html")]
struct SettingsPage {
    frame: Frame,
    role: RoleChoice,
}

/// `GET /settings`
async fn show(request: HttpRequest, member: Member) -> HttpResponse {
    let notice = match page::done(&request).as_deref() {
        Some("changed") => Some("Your role is changed."),
        _ => None,
    };
    page::show(&SettingsPage {
        frame: Frame::member(&request, &member, Section::Settings).with_notice(notice),
        role: RoleChoice::of(member.role),
    })
}

/// A role as a form offers it.
struct RoleChoice {
    value: &'static str,
    name: &'static str,
    means: &'static str,
}

impl RoleChoice {
    fn of(role: Role) -> Self {
        let (name, means) = match role {
            Role::Owner => ("Owner", "everything, and who else is an owner"),
            Role::Admin => ("Admin", "everything but owners"),
            Role::Editor => ("Editor", "clients, domains and MDM servers"),
            Role::Viewer => ("Viewer", "looks, and changes nothing"),
        };
        Self {
            value: role.as_str(),
            name,
            means,
        }
    }

    /// Those that one with the role `author` may give, the least first.
    fn offered_by(author: Role) -> Vec<Self> {
        let roles = Role::ALL.into_iter().rev();
        roles.filter(|role| author.may_give(*role)).map(Self::of).collect()
    }
}

/// A client as a form offers it.
struct ClientChoice {
    id: String,
    name: String,
}

impl ClientChoice {
    async fn all(db: &mut PgConnection, scope: &Scope) -> Result<Vec<Self>, sqlx::Error> {
        let mut clients = clients::store::list(db, scope, None, CLIENTS).await?;
        clients.sort_by_key(|client| client.name.to_lowercase());
        let choice = |client: clients::Client| Self {
            id: client.id.to_string(),
            name: client.name,
        };
        Ok(clients.into_iter().map(choice).collect())
    }
}

/// The fields `role` and `client_id` of a form.
fn parse_standing(form: &mut Form) -> Option<Standing> {
    let role = form.parse("role", |text| Role::parse(text).ok_or("must be chosen"));
    let client_id = form.parse("client_id", parse_client);
    let standing = Standing::new(role?, client_id?).ok();
    if standing.is_none() {
        form.complain("client_id", "must be all clients for an owner or an admin");
    }
    standing
}

fn parse_client(text: &str) -> Result<Option<Uuid>, &'static str> {
    match text {
        "" => Ok(None),
        id => id.parse().map(Some).map_err(|_| "is none of yours"),
    }
}

impl From<MemberError> for Fault {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::NotFound => Self::NoSuchPage,
            MemberError::OwnersOnly | MemberError::AdminsOnly => Self::Forbidden,
            MemberError::Database(error) => Self::Database(error),
            other @ (MemberError::LastOwner
            | MemberError::SeesAllClients(_)
            | MemberError::NoSuchClient
            | MemberError::Seal(_)) => Self::Internal(other.to_string()),
        }
    }
}

/// The part of a form that is the browser's, in one argument.
async fn read(request: &HttpRequest, payload: web::Payload) -> Result<Form, Fault> {
    Form::read(request, payload.into_inner(), form::LIMIT).await
}
