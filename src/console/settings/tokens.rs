//! API tokens: made, shown once, revoked.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use chrono::TimeDelta;

use super::{ClientChoice, members::capitalised, parse_client, read};
use crate::{
    accounts::{
        Member, Permission, Scope,
        authorship::{Authors, StoredAuthor},
        token::{self, ApiToken, Asked, MAX_TOKENS, TokenError, store},
    },
    clock::DatabaseTime,
    console::{
        Console,
        fault::Fault,
        form::Form,
        page::{self, Frame, Section},
        reauthentication,
    },
};

#[derive(Template)]
#[template(path = "settings/tokens.html")]
struct TokensPage {
    frame: Frame,
    tokens: Vec<Shown>,
    form: Form,
    scopes: [ScopeChoice; 4],
    clients: Vec<ClientChoice>,
}

#[derive(Template)]
#[template(path = "settings/token_made.html")]
struct MadePage {
    frame: Frame,
    name: String,
    text: String,
    portal_url: String,
}

struct Shown {
    token: ApiToken,
    /// The name of the client that it is limited to.
    client: Option<String>,
    /// Who made it.
    author: String,
    is_over: bool,
}

struct ScopeChoice {
    value: &'static str,
    means: &'static str,
}

const SCOPES: [Permission; 4] = Permission::ALL;

fn scope_choice(permission: Permission) -> ScopeChoice {
    let means = match permission {
        Permission::DomainsRead => "sees clients, MDM servers and domains",
        Permission::DomainsWrite => "changes them as well",
        Permission::RequestsRead => "sees what devices asked",
        Permission::OrganisationAdmin => "members, invitations, tokens and the audit log, as an admin",
    };
    ScopeChoice {
        value: permission.as_str(),
        means,
    }
}

impl From<TokenError> for Fault {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::NotFound => Self::NoSuchPage,
            TokenError::Database(error) => Self::Database(error),
            other @ (TokenError::Invalid(_) | TokenError::NoSuchClient | TokenError::TooMany) => {
                Self::Internal(other.to_string())
            }
        }
    }
}

/// `GET /settings/tokens`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let notice = match page::done(&request).as_deref() {
        Some("revoked") => Some("The token is revoked: it works no more."),
        _ => None,
    };
    let form = Form::of(&[("scopes", "domains:read"), ("expires_in_days", "365")]);
    let page = tokens_page(&request, &console, (&member, &scope), form).await?;
    Ok(page::show(&TokensPage {
        frame: page.frame.with_notice(notice),
        ..page
    }))
}

async fn tokens_page(
    request: &HttpRequest,
    console: &Console,
    (member, scope): (&Member, &Scope),
    form: Form,
) -> Result<TokensPage, Fault> {
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let clients = ClientChoice::all(&mut db, scope).await?;
    let tokens = store::list(&mut db, scope, None, MAX_TOKENS).await?;
    let stored = tokens.iter().map(|token| &token.author);
    let authors = Authors::find(&mut db, &console.keyring, scope, stored).await?;
    let shown = |token: ApiToken| {
        let client_id = token.client_id.map(|id| id.to_string());
        let client = client_id.and_then(|id| clients.iter().find(|client| client.id == id));
        Shown {
            client: client.map(|client| client.name.clone()),
            author: author_name(&authors, &token.author),
            is_over: token.expires_at.is_some_and(|at| at <= now),
            token,
        }
    };
    Ok(TokensPage {
        frame: Frame::member(request, member, Section::Settings),
        tokens: tokens.into_iter().rev().map(shown).collect(),
        form,
        scopes: SCOPES.map(scope_choice),
        clients,
    })
}

pub(super) fn author_name(authors: &Authors, stored: &StoredAuthor) -> String {
    let author = authors.author(stored);
    author.map_or_else(|| "Unknown".to_owned(), |author| capitalised(&author.name))
}

/// `POST /settings/tokens`: `name`, `scopes`, `client_id`, `expires_in_days`. The text is in this answer and nowhere
/// else, so it is no 303.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    if let Some(response) = reauthentication::demand(&request, &console, &member, &mut form).await? {
        return Ok(response);
    }
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    if let Some(new) = asked(&mut form, now)
        && let Some(new) = kept(&mut form, new.parse(&scope, now))?
    {
        let made = token::create(&mut tx, &scope, new).await;
        if let Some((token, text)) = kept(&mut form, made)? {
            tx.commit().await?;
            return Ok(page::show(&MadePage {
                frame: Frame::member(&request, &member, Section::Settings),
                name: token.name,
                text: text.expose().to_owned(),
                portal_url: console.portal_url.clone(),
            }));
        }
    }
    drop(tx);
    let page = tokens_page(&request, &console, (&member, &scope), form).await?;
    Ok(page::refuse(&page))
}

fn asked(form: &mut Form, now: DatabaseTime) -> Option<Asked> {
    let client_id = form.parse("client_id", parse_client);
    let expires_at = form.parse("expires_in_days", |text| match text {
        "" => Ok(None),
        "30" => Ok(Some(30)),
        "90" => Ok(Some(90)),
        "365" => Ok(Some(365)),
        _ => Err("must be chosen"),
    });
    Some(Asked {
        name: form.value("name").to_owned(),
        scopes: form.all("scopes").map(ToOwned::to_owned).collect(),
        client_id: client_id?,
        expires_at: expires_at?.map(|days| now.get() + TimeDelta::days(days)),
    })
}

/// What was made; or `None`, and the form says what is wrong.
fn kept<T>(form: &mut Form, made: Result<T, TokenError>) -> Result<Option<T>, Fault> {
    match made {
        Ok(made) => return Ok(Some(made)),
        Err(TokenError::Invalid(errors)) => {
            for error in errors {
                let field = error.pointer.split('/').nth(1).unwrap_or_default();
                let detail = match field {
                    "scopes" => format!("{}.", capitalised(&error.detail)),
                    _ => error.detail.clone(),
                };
                form.complain(field, detail);
            }
        }
        Err(TokenError::NoSuchClient) => form.complain("client_id", "is none of yours"),
        Err(TokenError::TooMany) => {
            form.complain(
                "",
                format!("There are {MAX_TOKENS} tokens, and no more may be. Revoke one that is not used."),
            );
        }
        Err(error) => return Err(error.into()),
    }
    Ok(None)
}

/// `POST /settings/tokens/{id}/revoke`
pub async fn revoke(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let id = id.parse().map_err(|_| Fault::NoSuchPage)?;
    let mut tx = console.pool.begin().await?;
    token::revoke(&mut tx, &scope, id).await?;
    tx.commit().await?;
    Ok(page::go_to("/settings/tokens?done=revoked"))
}
