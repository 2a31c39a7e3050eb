//! Problems as RFC 9457 defines them: the codes of the contract, and how one is answered.
use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    input::FieldError,
    web::error::{DatabaseFailure, Unavailable},
};

/// What went wrong, as RFC 9457 defines it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A page that explains `code`.
    #[serde(rename = "type")]
    #[schema(example = "/docs#hostname_taken")]
    kind: String,
    /// What `code` means, the same for every such problem.
    title: &'static str,
    status: u16,
    /// What is wrong this time, and what to do.
    detail: String,
    /// Stable, for programs.
    #[schema(example = "hostname_taken")]
    code: &'static str,
    /// Names this request in our logs.
    request_id: String,
    /// For `invalid`: each thing that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<InvalidField>,
    /// For an import: the result of each row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<super::imports::RowResult>>)]
    data: Option<serde_json::Value>,
    #[serde(skip)]
    extra: Extra,
}

#[derive(Clone, Debug, Default)]
struct Extra {
    allow: Option<String>,
    retry_after: Option<u64>,
    database: Option<DatabaseFailure>,
}

/// One thing that is wrong with the input.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InvalidField {
    /// A JSON pointer into the body (RFC 6901), or `?name` for a query parameter.
    #[schema(example = "/server/parameters/tenant_id")]
    pub pointer: String,
    pub detail: String,
}

impl InvalidField {
    /// The same, seen from a body that holds the input at `prefix`.
    #[must_use]
    pub fn within(&self, prefix: &str) -> FieldError {
        FieldError::new(&self.pointer, &self.detail).within(prefix)
    }
}

/// The codes of the contract, with the status and the title of each.
macro_rules! codes {
    ($($name:ident $code:literal $status:ident $title:literal;)*) => {
        /// Every code with its status and what it means.
        pub const CODES: &[(&str, StatusCode, &str)] = &[$(($code, StatusCode::$status, $title)),*];
        #[derive(Clone, Copy)]
        pub(super) enum Code { $($name),* }
    };
}

codes! {
    Unauthenticated "unauthenticated" UNAUTHORIZED "No valid credentials";
    Forbidden "forbidden" FORBIDDEN "Not allowed for this token";
    NotFound "not_found" NOT_FOUND "Not found";
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "Method not allowed";
    HostnameTaken "hostname_taken" CONFLICT "Hostname is already registered";
    Conflict "conflict" CONFLICT "Conflict with what is there";
    PayloadTooLarge "payload_too_large" PAYLOAD_TOO_LARGE "Body too large";
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "Body of another type than is taken here";
    Invalid "invalid" UNPROCESSABLE_ENTITY "Invalid input";
    RateLimited "rate_limited" TOO_MANY_REQUESTS "Too many requests";
    Internal "internal" INTERNAL_SERVER_ERROR "Internal error";
    EntraUnavailable "entra_unavailable" SERVICE_UNAVAILABLE "Microsoft Entra can't be asked";
    Unavailable "unavailable" SERVICE_UNAVAILABLE "Temporarily unavailable";
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl fmt::Display) -> Self {
        let (code, status, title) = CODES[code as usize];
        Self {
            kind: format!("/docs#{code}"),
            title,
            status: status.as_u16(),
            detail: detail.to_string(),
            code,
            request_id: String::new(),
            errors: Vec::new(),
            data: None,
            extra: Extra::default(),
        }
    }

    #[must_use]
    pub fn not_found(detail: impl fmt::Display) -> Self {
        Self::new(Code::NotFound, detail)
    }

    #[must_use]
    pub fn no_such_page() -> Self {
        Self::not_found(
            "There is nothing at this path. The API starts at /api/v1; its operations are described at /docs.",
        )
    }

    #[must_use]
    pub fn method_not_allowed(allow: &str) -> Self {
        let extra = Extra {
            allow: Some(allow.to_owned()),
            ..Extra::default()
        };
        Self {
            extra,
            ..Self::new(
                Code::MethodNotAllowed,
                format_args!("Here only these methods are understood: {allow}."),
            )
        }
    }

    #[must_use]
    pub fn conflict(detail: impl fmt::Display) -> Self {
        Self::new(Code::Conflict, detail)
    }

    #[must_use]
    pub fn payload_too_large(limit: usize) -> Self {
        Self::new(
            Code::PayloadTooLarge,
            format_args!("A body may have at most {limit} bytes here."),
        )
    }

    #[must_use]
    pub fn unsupported_media_type() -> Self {
        Self::new(
            Code::UnsupportedMediaType,
            "Send the body as JSON, with the header `Content-Type: application/json`.",
        )
    }

    #[must_use]
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.pointer.is_empty() => one.detail.clone(),
            [one] => format!("{}: {}", one.pointer, one.detail),
            many => format!("{} things are wrong; see `errors`.", many.len()),
        };
        let errors = errors
            .into_iter()
            .map(|error| InvalidField {
                pointer: error.pointer,
                detail: error.detail,
            })
            .collect();
        Self {
            errors,
            ..Self::new(Code::Invalid, detail)
        }
    }

    /// The same with the result of each row of an import.
    #[must_use]
    pub fn with_data(self, data: serde_json::Value) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }

    /// `retry_after` in seconds.
    #[must_use]
    pub fn rate_limited(retry_after: u64) -> Self {
        let detail = format_args!("Try again in {retry_after} seconds.");
        Self::new(Code::RateLimited, detail).retry_after(retry_after)
    }

    /// The node answers as many requests as it can. `retry_after` in seconds.
    #[must_use]
    pub fn overloaded(retry_after: u64) -> Self {
        let detail = "The server is busy. Devices are still answered; try again shortly.";
        Self::new(Code::Unavailable, detail).retry_after(retry_after)
    }

    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.extra.retry_after = Some(seconds);
        self
    }

    /// The node knows that the database is away.
    #[must_use]
    pub fn database_away() -> Self {
        Self::new(Code::Unavailable, Unavailable::AWAY.text).retry_after(Unavailable::AWAY.retry_after)
    }

    /// Logs the whole chain of causes once; the caller learns nothing of it. What the database is to blame for is 503.
    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        if let Some(failure) = DatabaseFailure::within(error) {
            return Self::unavailable(failure);
        }
        let causes: Vec<_> = std::iter::successors(error.source(), |e| e.source())
            .map(ToString::to_string)
            .collect();
        tracing::error!(%error, ?causes, "request failed");
        Self::new(
            Code::Internal,
            "Something went wrong on our side. If it stays, tell the operator the request_id.",
        )
    }

    pub(super) fn database(error: &sqlx::Error) -> Self {
        Self::internal(error)
    }

    /// Not logged here: one outage would be as many lines as requests.
    fn unavailable(failure: DatabaseFailure) -> Self {
        let answer = Unavailable::because_of(failure.fault);
        let mut problem = Self::new(Code::Unavailable, answer.text).retry_after(answer.retry_after);
        problem.extra.database = Some(failure);
        problem
    }

    /// Whether nothing is wrong with the request itself.
    #[must_use]
    pub fn is_worth_repeating(&self) -> bool {
        self.extra.retry_after.is_some()
    }

    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    #[must_use]
    pub fn invalid_fields(&self) -> Vec<InvalidField> {
        self.errors.clone()
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The answer, with the id of the request it answers.
    #[must_use]
    pub fn respond(mut self, request_id: &str) -> HttpResponse {
        request_id.clone_into(&mut self.request_id);
        let mut response = HttpResponse::build(self.status());
        response
            .content_type("application/problem+json")
            .insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(allow) = &self.extra.allow {
            response.insert_header((header::ALLOW, allow.as_str()));
        }
        if let Some(seconds) = self.extra.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED.as_u16() {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.json(self)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)
    }
}

impl actix_web::Responder for Problem {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &actix_web::HttpRequest) -> HttpResponse {
        self.error_response()
    }
}

/// The problem travels in the response's extensions; `request_id` renders it with the id.
impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status());
        if let Some(failure) = &self.extra.database {
            response.extensions_mut().insert(failure.clone());
        }
        response.extensions_mut().insert(self.clone());
        response
    }
}
