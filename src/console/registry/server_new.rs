//! A new MDM server of a client.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{
    client,
    mdm::{self, MdmPart, Step},
    servers,
};
use crate::{
    accounts::{Member, Permission, clients::Client},
    console::{
        Console, attempts,
        fault::Fault,
        form::{self, Form},
        page::{self, Frame, Section, query},
    },
    domains,
};

#[derive(Template)]
#[template(path = "server_new.html")]
struct NewPage {
    frame: Frame,
    form: Form,
    mdm: MdmPart,
    client: Client,
}

/// `GET /clients/{id}/servers/new`: `vendor` a key.
pub async fn show(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    client: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let client = client::find(&mut *console.pool.acquire().await?, &scope, &client).await?;
    let vendor = query(&request, "vendor").unwrap_or_default();
    let frame = Frame::member(&request, &member, Section::Clients);
    let page = draw(frame, Form::of(&[("mdm", &vendor)]), client, None);
    Ok(page::show(&page))
}

fn draw(frame: Frame, form: Form, client: Client, note: Option<String>) -> NewPage {
    let mdm = MdmPart {
        note,
        ..MdmPart::new(&form, &[], "domain")
    };
    NewPage {
        frame,
        form,
        mdm,
        client,
    }
}

/// `POST /clients/{id}/servers/new`: `name`, `mdm`, `p_…`, `enrollment`, `domain`, `document`; `step`.
pub async fn create(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    client: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let client = client::find(&mut *console.pool.acquire().await?, &scope, &client).await?;
    let note = match Step::of(&form) {
        Step::ShowFields => None,
        Step::Recognise => mdm::recognise(&mut form),
        Step::LookUp => {
            attempts::take_as(&request, &console, member.session_id.as_bytes())?;
            mdm::look_up(&console, &mut form, "domain").await
        }
        Step::Finish => {
            let name = servers::name(&mut form);
            let vendor = form.value("mdm").to_owned();
            let server = servers::configured(&mut form, &vendor)?;
            if let (Some(name), Some(server)) = (name, server) {
                let mut tx = console.pool.begin().await?;
                let of = scope.client(&mut tx, client.id).await?;
                domains::servers::create(&mut tx, &of, name, server).await?;
                tx.commit().await?;
                return Ok(page::go_to(&format!("/clients/{}?done=server-added", client.id)));
            }
            None
        }
    };
    let is_fine = form.is_fine();
    let frame = Frame::member(&request, &member, Section::Clients);
    let page = draw(frame, form, client, note);
    Ok(match is_fine {
        true => page::show(&page),
        false => page::refuse(&page),
    })
}
