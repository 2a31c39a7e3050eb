//! On a demo server without a mail server: the mails that would have been sent. Elsewhere there is no such page.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{
    Console,
    browser::Browser,
    door,
    fault::Fault,
    page::{self, Frame, Section, moment},
};
use crate::{mail::Mail, outbox};

#[derive(Template)]
#[template(path = "mails.html")]
struct MailsPage {
    frame: Frame,
    mails: Vec<Shown>,
}

struct Shown {
    at: String,
    mail: Mail,
    /// The text, its links made links.
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Link(String),
}

/// `GET /mails`
pub async fn show(request: HttpRequest, console: web::Data<Console>) -> Result<HttpResponse, Fault> {
    if !console.shows_mails {
        return Err(Fault::NoSuchPage);
    }
    let kept = outbox::store::list_mails(&mut *console.pool.acquire().await?, 50).await?;
    let mails = kept.into_iter().filter_map(|kept| {
        let mail = outbox::open(&console.keyring, kept.outbox_id, &kept.sealed)?;
        Some(Shown {
            at: moment(&kept.created_at),
            parts: parts(&mail.text, &console.portal_url),
            mail,
        })
    });
    let frame = match door::member(&request, &console).await? {
        Some(member) => Frame::member(&request, &member, Section::Elsewhere),
        None => Frame::visitor(&Browser::of(&request)),
    };
    Ok(page::show(&MailsPage {
        frame,
        mails: mails.collect(),
    }))
}

/// Only links to ourselves are links.
fn parts(text: &str, portal: &str) -> Vec<Part> {
    let (own, mut parts) = (format!("{portal}/"), Vec::new());
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        match (word.starts_with(&own), parts.last_mut()) {
            (true, _) => {
                parts.push(Part::Link(word.to_owned()));
                parts.push(Part::Text(piece[word.len()..].to_owned()));
            }
            (false, Some(Part::Text(before))) => before.push_str(piece),
            (false, _) => parts.push(Part::Text(piece.to_owned())),
        }
    }
    parts
}
