//! Acts whose effect outlives a session ask for the password again: API tokens, admins and owners, webhook endpoints,
//! single sign-on, deletion. A browser that was left open must not be enough.
//!
//! The page that asks repeats the form that was sent, in hidden fields, so that nothing typed is lost and every page of
//! ours can be protected by one line in its handler.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{
    Console,
    fault::Fault,
    form::Form,
    page::{self, Frame, Section},
    security::failed_attempt,
};
use crate::accounts::{
    Member,
    proof::{self, Wanted},
};

/// Of the page that asks; no other form of ours has a field of this name.
const PASSWORD: &str = "confirm_password";

#[derive(Template)]
#[template(path = "reauthentication.html")]
struct ReauthenticationPage {
    frame: Frame,
    form: Form,
    /// Where the form was sent to.
    action: String,
    repeated: Vec<(String, String)>,
    /// `false`: there is no password, and signing in again is the proof.
    asks_password: bool,
}

/// `None`: the member has proved recently, or by this form, who they are. Otherwise the page that asks for it.
pub async fn demand(
    request: &HttpRequest,
    console: &web::Data<Console>,
    member: &Member,
    form: &mut Form,
) -> Result<Option<HttpResponse>, Fault> {
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let wanted = proof::wanted_for_organisation(&mut db, member, now).await?;
    drop(db);
    let asks_password = match wanted {
        Wanted::Nothing => return Ok(None),
        Wanted::Password => true,
        Wanted::SignIn | Wanted::FirstPassword => false,
    };
    if let (true, Some(password)) = (asks_password, form.find(PASSWORD)) {
        let means = (&console.pool, &*console.keyring, &console.passwords);
        match proof::with_password(means, member, password.to_owned()).await {
            Ok(()) => return Ok(None),
            Err(error) => form.complain(PASSWORD, failed_attempt(error, "is wrong")?),
        }
    }
    let repeated = form.fields().filter(|(name, _)| !matches!(*name, "csrf" | PASSWORD));
    Ok(Some(page::refuse(&ReauthenticationPage {
        frame: Frame::member(request, member, Section::Settings),
        action: request.path().to_owned(),
        repeated: repeated
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        form: form.clone(),
        asks_password,
    })))
}
