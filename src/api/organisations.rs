//! The organisation itself: its name, how long it keeps what, and what its share links say of it. For `organisation:admin`.
use actix_web::{
    HttpRequest, HttpResponse, delete, get,
    http::header::{self, HeaderValue},
    patch, put, web,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    body::{Body, present, read_at_most},
    problem::{Code, Problem},
};
use crate::{
    accounts::{
        Actor, Permission, Scope,
        organisations::{
            OrganisationError,
            branding::{
                self, Branding, Contact,
                logo::{ImageKind, Logo, LogoFacts, MAX_BYTES},
            },
            settings::{self, OrganisationSettings, Retention},
        },
    },
    input::{FieldError, Name, optional_object},
};

#[derive(Serialize, ToSchema)]
pub struct OrganisationBody {
    id: Uuid,
    #[schema(example = "Acme IT")]
    name: String,
    /// For so many days is kept what devices asked.
    #[schema(example = 30)]
    request_days: i32,
    /// For so many days is kept who changed what.
    #[schema(example = 365)]
    audit_days: i32,
    branding: BrandingBody,
}

/// What the pages of share links say of the organisation.
#[derive(Serialize, ToSchema)]
pub struct BrandingBody {
    #[schema(example = "Acme IT")]
    display_name: Option<String>,
    /// A mail address or an https address.
    #[schema(example = "help@acme.example")]
    contact: Option<String>,
    logo: Option<LogoBody>,
}

#[derive(Serialize, ToSchema)]
pub struct LogoBody {
    /// `image/png` or `image/jpeg`.
    #[schema(example = "image/png")]
    media_type: &'static str,
    /// In pixels.
    #[schema(example = 320)]
    width: u32,
    #[schema(example = 80)]
    height: u32,
}

impl From<LogoFacts> for LogoBody {
    fn from(logo: LogoFacts) -> Self {
        Self {
            media_type: logo.kind.media_type(),
            width: logo.width,
            height: logo.height,
        }
    }
}

impl OrganisationBody {
    async fn load(db: &mut PgConnection, scope: &Scope) -> Result<Self, OrganisationError> {
        let settings = settings::find(db, scope).await?;
        let branding = branding::find(db, scope).await?;
        Ok(Self {
            id: scope.organisation_id(),
            name: settings.name.into_string(),
            request_days: settings.retention.request_days(),
            audit_days: settings.retention.audit_days(),
            branding: BrandingBody {
                display_name: branding.display_name.map(Name::into_string),
                contact: branding.contact.map(|contact| contact.as_str().to_owned()),
                logo: branding.logo.map(LogoBody::from),
            },
        })
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"request_days": 14, "branding": {"display_name": "Acme IT", "contact": "help@acme.example"}}))]
pub struct OrganisationChange {
    #[serde(default)]
    #[schema(example = "Acme IT")]
    name: Option<String>,
    /// 1 to 30.
    #[serde(default)]
    #[schema(example = 14)]
    request_days: Option<i64>,
    /// 30 to 3650.
    #[serde(default)]
    #[schema(example = 365)]
    audit_days: Option<i64>,
    #[serde(default, deserialize_with = "optional_object")]
    branding: Option<BrandingChange>,
}

/// What is left out stays; null says nothing any more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BrandingChange {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, example = "Acme IT")]
    display_name: Option<Option<String>>,
    /// A mail address or an https address.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, example = "help@acme.example")]
    contact: Option<Option<String>>,
}

/// A change that parses, over what is so.
struct Wanted {
    settings: OrganisationSettings,
    branding: Branding,
}

impl OrganisationChange {
    fn over(self, before: Wanted) -> Result<Wanted, Problem> {
        let mut errors = Vec::new();
        let mut wrong = |pointer: &str, detail: &str| errors.push(FieldError::new(pointer, detail));
        let Wanted {
            mut settings,
            mut branding,
        } = before;
        let (mut request_days, mut audit_days) = (settings.retention.request_days(), settings.retention.audit_days());
        match self.name.as_deref().map(Name::parse) {
            None => {}
            Some(Ok(name)) => settings.name = name,
            Some(Err(detail)) => wrong("/name", detail),
        }
        match self.request_days.map(Retention::check_request_days) {
            None => {}
            Some(Ok(days)) => request_days = days,
            Some(Err(detail)) => wrong("/request_days", detail),
        }
        match self.audit_days.map(Retention::check_audit_days) {
            None => {}
            Some(Ok(days)) => audit_days = days,
            Some(Err(detail)) => wrong("/audit_days", detail),
        }
        if let Some(change) = self.branding {
            let display_name = change
                .display_name
                .map(|text| text.as_deref().map(Name::parse).transpose());
            match display_name {
                None => {}
                Some(Ok(name)) => branding.display_name = name,
                Some(Err(detail)) => wrong("/branding/display_name", detail),
            }
            let contact = change
                .contact
                .map(|text| text.as_deref().map(Contact::parse).transpose());
            match contact {
                None => {}
                Some(Ok(contact)) => branding.contact = contact,
                Some(Err(detail)) => wrong("/branding/contact", detail),
            }
        }
        settings.retention = Retention::of(request_days, audit_days);
        match errors.is_empty() {
            true => Ok(Wanted { settings, branding }),
            false => Err(Problem::invalid(errors)),
        }
    }
}

/// Show the organisation
#[utoipa::path(
    tag = "Account",
    responses(
        (status = 200, body = OrganisationBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "Acme IT", "request_days": 30, "audit_days": 365, "branding": {"display_name": "Acme IT", "contact": "help@acme.example", "logo": {"media_type": "image/png", "width": 320, "height": 80}}})),
        (status = 401, body = Problem), (status = 403, body = Problem),
    ),
)]
#[get("/organisation")]
pub async fn find_organisation(actor: Actor, api: web::Data<Api>) -> Result<web::Json<OrganisationBody>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let mut db = api.pool.acquire().await?;
    Ok(web::Json(OrganisationBody::load(&mut db, &scope).await?))
}

/// Change the organisation
///
/// What is left out stays. What is older than the days that are kept goes within a day.
#[utoipa::path(
    tag = "Account",
    request_body = OrganisationChange,
    responses(
        (status = 200, body = OrganisationBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "Acme IT", "request_days": 14, "audit_days": 365, "branding": {"display_name": "Acme IT", "contact": "help@acme.example", "logo": null}})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[patch("/organisation")]
pub async fn update_organisation(
    actor: Actor,
    api: web::Data<Api>,
    body: Body<OrganisationChange>,
) -> Result<web::Json<OrganisationBody>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let change = body.read().await?;
    let mut tx = api.pool.begin().await?;
    settings::lock(&mut tx, &scope).await?;
    let before = Wanted {
        settings: settings::find(&mut tx, &scope).await?,
        branding: branding::find(&mut tx, &scope).await?,
    };
    let wanted = change.over(before)?;
    settings::update(&mut tx, &scope, &wanted.settings).await?;
    let Branding {
        display_name, contact, ..
    } = wanted.branding;
    branding::update(&mut tx, &scope, display_name, contact).await?;
    let organisation = OrganisationBody::load(&mut tx, &scope).await?;
    tx.commit().await?;
    Ok(web::Json(organisation))
}

/// Set the logo
///
/// The body is the file: a PNG or a JPEG of at most 100 KB and 2000 pixels a side. Pages of share links show it.
#[utoipa::path(
    tag = "Account",
    request_body(content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"))),
    responses(
        (status = 200, body = LogoBody, example = json!({"media_type": "image/png", "width": 320, "height": 80})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
    ),
)]
#[put("/organisation/logo")]
pub async fn put_logo(
    actor: Actor,
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<web::Json<LogoBody>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let text = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let media_type = text(header::CONTENT_TYPE).map(|text| text.trim().to_ascii_lowercase());
    let kind = media_type.as_deref().and_then(ImageKind::parse);
    let kind = kind.ok_or_else(|| {
        Problem::new(
            Code::UnsupportedMediaType,
            "Send the file as it is, with the header `Content-Type: image/png` or `image/jpeg`.",
        )
    })?;
    let announced = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let bytes = read_at_most(payload.into_inner(), announced, MAX_BYTES).await?;
    let wrong = |detail| Problem::invalid(vec![FieldError::new("", format_args!("The logo {detail}."))]);
    let logo = Logo::parse(&bytes).map_err(wrong)?;
    if logo.facts().kind != kind {
        return Err(wrong("is not of the type that Content-Type says"));
    }
    let mut tx = api.pool.begin().await?;
    branding::set_logo(&mut tx, &scope, &logo).await?;
    tx.commit().await?;
    Ok(web::Json(logo.facts().into()))
}

/// Remove the logo
#[utoipa::path(
    tag = "Account",
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, example = json!({"type": "/docs#not_found", "title": "Not found", "status": 404, "detail": "there is no logo", "code": "not_found", "request_id": "01890a5d-ac96-774b-bcce-b302099a8057"}))),
)]
#[delete("/organisation/logo")]
pub async fn delete_logo(actor: Actor, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let mut tx = api.pool.begin().await?;
    if !branding::remove_logo(&mut tx, &scope).await? {
        return Err(Problem::not_found("there is no logo"));
    }
    tx.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}
