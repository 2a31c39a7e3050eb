//! The people of an organisation: who they are, what each may do, and who is invited.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ClientChoice, RoleChoice, parse_standing, read, tokens::author_name};
use crate::{
    accounts::{
        Member, Permission, Scope,
        authorship::Authors,
        email::Email,
        invitations::{self, Invitation, InvitationError, MAX_OPEN, NewInvitation, Sender},
        members::{self, Colleague, MAX_MEMBERS, MemberError, Standing},
        offboarding::{self, Made},
        role::Role,
    },
    console::{
        Console,
        fault::Fault,
        form::Form,
        page::{self, Frame, Section},
        reauthentication,
    },
};

#[derive(Template)]
#[template(path = "settings/members.html")]
struct MembersPage {
    frame: Frame,
    own: Uuid,
    members: Vec<Colleague>,
    invitations: Vec<ShownInvitation>,
    form: Form,
    roles: Vec<RoleChoice>,
    clients: Vec<ClientChoice>,
}

struct ShownInvitation {
    invitation: Invitation,
    /// Who made it.
    author: String,
}

#[derive(Template)]
#[template(path = "settings/member.html")]
struct MemberPage {
    frame: Frame,
    who: Colleague,
    is_own: bool,
    /// Whether whoever looks at it may change it.
    may_change: bool,
    /// What ends if this person is removed.
    made: Made,
    form: Form,
    roles: Vec<RoleChoice>,
    clients: Vec<ClientChoice>,
}

impl From<InvitationError> for Fault {
    fn from(error: InvitationError) -> Self {
        match error {
            InvitationError::NotFound => Self::NoSuchPage,
            InvitationError::Member(error) => error.into(),
            InvitationError::Organisation(error) => error.into(),
            other @ (InvitationError::MemberAlready
            | InvitationError::InvitedAlready
            | InvitationError::TooMany
            | InvitationError::Full
            | InvitationError::TooManyMails
            | InvitationError::NotYours
            | InvitationError::HasAccount) => Self::Internal(other.to_string()),
        }
    }
}

/// `GET /settings/members`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let notice = match page::done(&request).as_deref() {
        Some("invited") => Some("The invitation is on its way."),
        Some("revoked") => Some("The invitation is taken back: its link shows nothing any more."),
        Some("changed") => Some("The role is changed, from now on."),
        Some("removed") => Some("They are a member no more, and signed out here."),
        _ => None,
    };
    let form = Form::of(&[("role", "viewer")]);
    let page = members_page(&request, &console, (&member, &scope), form).await?;
    Ok(page::show(&MembersPage {
        frame: page.frame.with_notice(notice),
        ..page
    }))
}

async fn members_page(
    request: &HttpRequest,
    console: &Console,
    (member, scope): (&Member, &Scope),
    form: Form,
) -> Result<MembersPage, Fault> {
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let keyring = &console.keyring;
    let invitations = invitations::list(&mut db, keyring, scope, (None, MAX_OPEN), now).await?;
    let stored = invitations.iter().map(|invitation| &invitation.author);
    let authors = Authors::find(&mut db, keyring, scope, stored).await?;
    let shown = |invitation: Invitation| ShownInvitation {
        author: author_name(&authors, &invitation.author),
        invitation,
    };
    let mut members = members::list(&mut db, keyring, scope, None, MAX_MEMBERS).await?;
    members.sort_by_key(|member| member.called().to_lowercase());
    Ok(MembersPage {
        frame: Frame::member(request, member, Section::Settings),
        own: member.user_id,
        members,
        invitations: invitations.into_iter().map(shown).collect(),
        form,
        roles: RoleChoice::offered_by(member.role),
        clients: ClientChoice::all(&mut db, scope).await?,
    })
}

/// `POST /settings/invitations`: `email`, `role`, `client_id`.
pub async fn invite(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let email = form.parse("email", Email::parse);
    let standing = parse_standing(&mut form);
    if standing.is_some_and(administers)
        && form.is_fine()
        && let Some(response) = reauthentication::demand(&request, &console, &member, &mut form).await?
    {
        return Ok(response);
    }
    if let (Some(email), Some(standing)) = (email, standing) {
        let new = NewInvitation { email, standing };
        let (mut tx, now) = crate::clock::begin(&console.pool).await?;
        let invited = invitations::invite(&mut tx, sender(&console), &scope, &new, now).await;
        match invited {
            Ok(_) => {
                tx.commit().await?;
                return Ok(page::go_to("/settings/members?done=invited"));
            }
            Err(error) => complain(&mut form, error)?,
        }
    }
    let page = members_page(&request, &console, (&member, &scope), form).await?;
    Ok(page::refuse(&page))
}

/// Who may make others members, tokens and webhook endpoints.
fn administers(standing: Standing) -> bool {
    matches!(standing.role(), Role::Owner | Role::Admin)
}

fn sender(console: &Console) -> Sender<'_> {
    Sender {
        keyring: &console.keyring,
        portal_url: &console.portal_url,
    }
}

/// Says at its field what is wrong; what is wrong with no field is a fault.
fn complain(form: &mut Form, error: InvitationError) -> Result<(), Fault> {
    match error {
        InvitationError::MemberAlready => form.complain("email", "belongs to a member already"),
        InvitationError::InvitedAlready => form.complain(
            "email",
            "is invited already: send that invitation again, below, or take it back first",
        ),
        InvitationError::TooMany | InvitationError::Full | InvitationError::TooManyMails => {
            form.complain("", format!("{}.", capitalised(&error.to_string())));
        }
        InvitationError::Member(MemberError::NoSuchClient) => form.complain("client_id", "is none of yours"),
        other => return Err(other.into()),
    }
    Ok(())
}

pub(super) fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}

/// `POST /settings/invitations/{id}/resend`
pub async fn resend(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let id = parse_id(&id)?;
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let sent = invitations::resend(&mut tx, sender(&console), &scope, id, now).await;
    if let Err(error) = sent {
        complain(&mut form, error)?;
        drop(tx);
        let page = members_page(&request, &console, (&member, &scope), form).await?;
        return Ok(page::refuse(&page));
    }
    tx.commit().await?;
    Ok(page::go_to("/settings/members?done=invited"))
}

/// `POST /settings/invitations/{id}/delete`
pub async fn revoke(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    invitations::revoke(&mut tx, &scope, parse_id(&id)?, now).await?;
    tx.commit().await?;
    Ok(page::go_to("/settings/members?done=revoked"))
}

fn parse_id(id: &str) -> Result<Uuid, Fault> {
    id.parse().map_err(|_| Fault::NoSuchPage)
}

/// `GET /settings/members/{id}`
pub async fn show_one(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    id: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let mut db = console.pool.acquire().await?;
    let page = member_page(&request, (&mut db, &console), (&member, &scope), parse_id(&id)?, None).await?;
    Ok(page::show(&page))
}

async fn member_page(
    request: &HttpRequest,
    (db, console): (&mut PgConnection, &Console),
    (member, scope): (&Member, &Scope),
    id: Uuid,
    form: Option<Form>,
) -> Result<MemberPage, Fault> {
    let who = members::find(db, &console.keyring, scope, id).await?;
    let client_id = who.standing.client_id().map(|id| id.to_string());
    let stored = [
        ("role", who.standing.role().as_str()),
        ("client_id", client_id.as_deref().unwrap_or_default()),
    ];
    Ok(MemberPage {
        frame: Frame::member(request, member, Section::Settings),
        is_own: who.user_id == member.user_id,
        may_change: member.role.may_give(who.standing.role()),
        made: offboarding::count(db, scope, who.user_id).await?,
        form: form.unwrap_or_else(|| Form::of(&stored)),
        who,
        roles: RoleChoice::offered_by(member.role),
        clients: ClientChoice::all(db, scope).await?,
    })
}

/// `POST /settings/members/{id}`: `role`, `client_id`.
pub async fn change(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let id = parse_id(&id)?;
    members::find(&mut *console.pool.acquire().await?, &console.keyring, &scope, id).await?;
    let wanted = parse_standing(&mut form);
    if wanted.is_some_and(administers)
        && let Some(response) = reauthentication::demand(&request, &console, &member, &mut form).await?
    {
        return Ok(response);
    }
    if let Some(wanted) = wanted {
        let mut tx = console.pool.begin().await?;
        match members::change(&mut tx, &scope, id, wanted).await {
            Ok(()) => {
                tx.commit().await?;
                let may_still_look = id != member.user_id || wanted.role().may_give(wanted.role());
                return Ok(page::go_to(match may_still_look {
                    true => "/settings/members?done=changed",
                    false => "/settings?done=changed",
                }));
            }
            Err(MemberError::LastOwner) => form.complain("role", "must stay owner: make somebody else an owner first"),
            Err(MemberError::NoSuchClient) => form.complain("client_id", "is none of yours"),
            Err(error) => return Err(error.into()),
        }
    }
    let mut db = console.pool.acquire().await?;
    let page = member_page(&request, (&mut db, &console), (&member, &scope), id, Some(form)).await?;
    Ok(page::refuse(&page))
}

/// `POST /settings/members/{id}/remove`
pub async fn remove(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let id = parse_id(&id)?;
    let mut tx = console.pool.begin().await?;
    match members::remove(&mut tx, &scope, id).await {
        Err(MemberError::LastOwner) => {
            drop(tx);
            let mut form = Form::default();
            form.complain("", "An organisation needs an owner: make somebody else one first.");
            let mut db = console.pool.acquire().await?;
            let page = member_page(&request, (&mut db, &console), (&member, &scope), id, Some(form)).await?;
            return Ok(page::refuse(&page));
        }
        removed => removed?,
    }
    tx.commit().await?;
    Ok(page::go_to("/settings/members?done=removed"))
}
