//! What tells one browser from another: a cookie before somebody signs in, another one after. The token of every form
//! follows from it, so that no other site can send one.
use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    web,
};
use subtle::ConstantTimeEq;

use crate::{
    accounts::{known_browsers, secret_text::SecretText},
    discovery::request::Connection,
    public_scheme::PublicScheme,
};

/// A browser and its secret.
pub struct Browser {
    secret: SecretText,
    kind: Kind,
    names: Names,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    SignedIn,
    Visitor,
    /// A visitor who comes for the first time: has no cookie yet.
    New,
}

/// Where the world reaches the portal by https, a cookie is for this host alone (RFC 6265bis §4.1.3.2), also if the last
/// hop is plain HTTP behind a proxy. A trial over plain HTTP can't have such cookies.
#[derive(Clone, Copy)]
struct Names {
    session: &'static str,
    visitor: &'static str,
    known: &'static str,
    is_secure: bool,
}

impl Names {
    fn of(request: &HttpRequest) -> Self {
        let is_tls = || {
            request
                .conn_data::<Connection>()
                .is_some_and(|connection| connection.tls.is_some())
        };
        let is_public = request
            .app_data::<web::Data<PublicScheme>>()
            .is_some_and(|scheme| scheme.is_https());
        match is_public || is_tls() {
            true => Self {
                session: "__Host-signpost-session",
                visitor: "__Host-signpost-visitor",
                known: "__Host-signpost-known",
                is_secure: true,
            },
            false => Self {
                session: "signpost-session",
                visitor: "signpost-visitor",
                known: "signpost-known",
                is_secure: false,
            },
        }
    }

    fn cookie(self, name: &'static str, value: String) -> Cookie<'static> {
        Cookie::build(name, value)
            .path("/")
            .secure(self.is_secure)
            .http_only(true)
            .same_site(SameSite::Lax)
            .finish()
    }
}

fn secret_in(request: &HttpRequest, name: &str) -> Option<SecretText> {
    SecretText::parse(request.cookie(name)?.value())
}

impl Browser {
    #[must_use]
    pub fn of(request: &HttpRequest) -> Self {
        let names = Names::of(request);
        let signed_in = secret_in(request, names.session).map(|secret| (secret, Kind::SignedIn));
        let visitor = || secret_in(request, names.visitor).map(|secret| (secret, Kind::Visitor));
        let (secret, kind) = signed_in
            .or_else(visitor)
            .unwrap_or_else(|| (SecretText::random(), Kind::New));
        Self { secret, kind, names }
    }

    /// What a session is found by.
    #[must_use]
    pub fn session(request: &HttpRequest) -> Option<SecretText> {
        secret_in(request, Names::of(request).session)
    }

    /// The cookie of a browser in which a person has signed in before. It outlives the session and does not sign in.
    #[must_use]
    pub fn known(request: &HttpRequest) -> Option<SecretText> {
        secret_in(request, Names::of(request).known)
    }

    /// Makes it a known browser.
    pub fn remember(&self, response: &mut HttpResponse, secret: &SecretText) {
        let mut cookie = self.names.cookie(self.names.known, secret.expose().to_owned());
        cookie.set_max_age(Duration::days(known_browsers::LIFETIME.num_days()));
        response.add_cookie(&cookie).ok();
    }

    /// What a visitor is known again by.
    #[must_use]
    pub fn visitor(&self) -> &SecretText {
        &self.secret
    }

    /// For the field `csrf` of every form.
    #[must_use]
    pub fn csrf(&self) -> String {
        self.secret.derive("csrf")
    }

    #[must_use]
    pub fn is_own(&self, csrf: &str) -> bool {
        self.kind != Kind::New && bool::from(self.csrf().as_bytes().ct_eq(csrf.as_bytes()))
    }

    /// Gives a first-time visitor its cookie.
    pub fn keep(&self, response: &mut HttpResponse) {
        if self.kind == Kind::New {
            let mut cookie = self.names.cookie(self.names.visitor, self.secret.expose().to_owned());
            cookie.set_max_age(Duration::days(1));
            // Only fails for a header that is none.
            response.add_cookie(&cookie).ok();
        }
    }

    /// From now on it is signed in: with a secret that nobody knew before.
    pub fn sign_in(&self, response: &mut HttpResponse, secret: &SecretText) {
        let session = self.names.cookie(self.names.session, secret.expose().to_owned());
        response.add_cookie(&session).ok();
        response.add_cookie(&self.over(self.names.visitor)).ok();
    }

    pub fn sign_out(&self, response: &mut HttpResponse) {
        response.add_cookie(&self.over(self.names.session)).ok();
    }

    fn over(&self, name: &'static str) -> Cookie<'static> {
        let mut cookie = self.names.cookie(name, String::new());
        cookie.set_max_age(Duration::ZERO);
        cookie
    }
}
