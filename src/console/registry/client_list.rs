//! All clients, and a new one.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use crate::{
    accounts::{
        Member, Permission,
        clients::{self, Client, ClientError, store::Found},
    },
    console::{
        Console,
        fault::Fault,
        form::{self, Form},
        page::{self, Frame, Section, query},
    },
    input::Name,
};

/// On one page.
const LIMIT: usize = 50;

#[derive(Template)]
#[template(path = "clients.html")]
struct ClientsPage {
    frame: Frame,
    q: String,
    clients: Vec<Client>,
    /// Only a part of the clients was searched.
    is_partial: bool,
    next: Option<String>,
    first: Option<String>,
    may_add: bool,
}

#[derive(Template)]
#[template(path = "client_new.html")]
struct NewPage {
    frame: Frame,
    form: Form,
}

/// Whether this person may make, rename and delete clients: nobody who is limited to one.
#[must_use]
pub fn may_change(member: &Member) -> bool {
    member
        .scope(Permission::DomainsWrite)
        .is_ok_and(|scope| scope.client_id().is_none())
}

/// `GET /clients`: `q`, `after` a name.
pub async fn show(request: HttpRequest, member: Member, console: web::Data<Console>) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsRead)?;
    let q = query(&request, "q").unwrap_or_default();
    let after = query(&request, "after").filter(|after| !after.contains(char::is_control));
    let text = q.trim().to_lowercase();
    // The database holds no such character, and takes none to look for.
    let mut found = match text.contains(char::is_control) {
        false => {
            let mut db = console.pool.acquire().await?;
            let limit = i64::try_from(LIMIT + 1).unwrap_or(i64::MAX);
            clients::store::search(&mut db, &scope, &text, after.as_deref().unwrap_or_default(), limit).await?
        }
        true => Found::default(),
    };
    let has_more = found.clients.len() > LIMIT;
    found.clients.truncate(LIMIT);
    let last = found.clients.last().filter(|_| has_more);
    let is_partial = !has_more && found.end.is_some();
    let next = last
        .map(|client| client.name.clone())
        .or(found.end.filter(|_| is_partial));
    let notice = match page::done(&request).as_deref() {
        Some("deleted") => Some("The client is deleted."),
        _ => None,
    };
    Ok(page::show(&ClientsPage {
        frame: Frame::member(&request, &member, Section::Clients).with_notice(notice),
        next: next.map(|name| address(&q, Some(&name))),
        is_partial,
        first: after.map(|_| address(&q, None)),
        q,
        clients: found.clients,
        may_add: may_change(&member),
    }))
}

fn address(q: &str, after: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if !q.is_empty() {
        query.append_pair("q", q);
    }
    if let Some(after) = after {
        query.append_pair("after", after);
    }
    format!("/clients?{}", query.finish())
}

/// `GET /clients/new`
pub async fn show_new(request: HttpRequest, member: Member) -> Result<HttpResponse, Fault> {
    if !may_change(&member) {
        return Err(Fault::Forbidden);
    }
    Ok(page::show(&NewPage {
        frame: Frame::member(&request, &member, Section::Clients),
        form: Form::default(),
    }))
}

/// `POST /clients/new`: `name`, `external_ref`.
pub async fn create(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    if let Some((name, external_ref)) = names(&mut form) {
        let mut tx = console.pool.begin().await?;
        match clients::create(&mut tx, &scope, name.as_str(), external_ref.as_ref().map(Name::as_str)).await {
            Ok(client) => {
                tx.commit().await?;
                return Ok(page::go_to(&format!("/clients/{}?done=added", client.id)));
            }
            Err(error) => complain(&mut form, error)?,
        }
    }
    Ok(page::refuse(&NewPage {
        frame: Frame::member(&request, &member, Section::Clients),
        form,
    }))
}

/// The name and the reference, if nothing is wrong with either.
pub fn names(form: &mut Form) -> Option<(Name, Option<Name>)> {
    let name = form.parse("name", Name::parse);
    let external_ref = form.parse("external_ref", |text| match text.trim().is_empty() {
        true => Ok(None),
        false => Name::parse(text).map(Some),
    });
    name.zip(external_ref)
}

pub fn complain(form: &mut Form, error: ClientError) -> Result<(), Fault> {
    match error {
        ClientError::NameTaken => form.complain("name", "is that of another client of yours"),
        ClientError::ExternalRefTaken => form.complain("external_ref", "is that of another client of yours"),
        error => return Err(error.into()),
    }
    Ok(())
}
