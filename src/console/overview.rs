//! The first page: for strangers what this is, for members how their domains are.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{
    Console,
    browser::Browser,
    door,
    fault::Fault,
    page::{self, Frame, Section},
};

#[derive(Template)]
#[template(path = "front.html")]
struct FrontPage {
    frame: Frame,
    may_register: bool,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
}

/// `GET /`
pub async fn show(request: HttpRequest, console: web::Data<Console>) -> Result<HttpResponse, Fault> {
    let Some(member) = door::member(&request, &console).await? else {
        return Ok(page::show(&FrontPage {
            frame: Frame::visitor(&Browser::of(&request)),
            may_register: console.may_register,
        }));
    };
    Ok(page::show(&OverviewPage {
        frame: Frame::member(&request, &member, Section::Overview),
    }))
}
