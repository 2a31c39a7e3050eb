//! The one place that knows which failure of a rule is which problem.
use super::problem::{Code, Problem};
use crate::{
    accounts::{
        AccessError, clients::ClientError, invitations::InvitationError, members::MemberError,
        organisations::OrganisationError, single_sign_on::SingleSignOnError, token::TokenError,
    },
    domains::{DomainError, intake::IntakeError, share_links::ShareLinkError},
    entra::EntraError,
    input::FieldError,
    publisher::{UnreadableRow, preview::PreviewError},
    sealed::SealError,
    webhooks::WebhookError,
};

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        match &error {
            AccessError::Unauthenticated => Self::new(Code::Unauthenticated, &error),
            AccessError::Forbidden(_) => Self::new(Code::Forbidden, &error),
            AccessError::NotFound => Self::new(Code::NotFound, &error),
            AccessError::Database(source) => Self::database(source),
        }
    }
}

impl From<DomainError> for Problem {
    fn from(error: DomainError) -> Self {
        match &error {
            DomainError::HostnameTaken(_) => Self::new(Code::HostnameTaken, &error),
            DomainError::OwnHost(_) => Self::invalid(vec![FieldError::new("/hostname", &error)]),
            DomainError::NotFound | DomainError::ServerNotFound => Self::new(Code::NotFound, &error),
            DomainError::NoSuchServer(_) => Self::invalid(vec![FieldError::new("/policy", &error)]),
            DomainError::ServerInUse | DomainError::SeveralClaims(_) | DomainError::TooManyUnverified { .. } => {
                Self::new(Code::Conflict, &error)
            }
            DomainError::Busy => Self::rate_limited(10),
            DomainError::Stored(_) => Self::internal(&error),
            DomainError::Database(source) => Self::database(source),
        }
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::NotFound => Self::new(Code::NotFound, &error),
            ClientError::NameTaken | ClientError::ExternalRefTaken | ClientError::NotEmpty => {
                Self::new(Code::Conflict, &error)
            }
            ClientError::LimitedToOneClient => Self::new(Code::Forbidden, &error),
            ClientError::Database(source) => Self::database(source),
        }
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Invalid(errors) => Self::invalid(errors),
            IntakeError::Access(error) => error.into(),
            IntakeError::Client(error) => error.into(),
            IntakeError::Domain(error) => error.into(),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid(errors) => Self::invalid(errors),
            TokenError::NotFound => Self::new(Code::NotFound, &error),
            TokenError::NoSuchClient => Self::invalid(vec![FieldError::new("/client_id", &error)]),
            TokenError::TooMany => Self::new(Code::Conflict, &error),
            TokenError::Database(source) => Self::database(&source),
        }
    }
}

impl From<MemberError> for Problem {
    fn from(error: MemberError) -> Self {
        match &error {
            MemberError::NotFound => Self::new(Code::NotFound, &error),
            MemberError::OwnersOnly | MemberError::AdminsOnly => Self::new(Code::Forbidden, &error),
            MemberError::LastOwner => Self::new(Code::Conflict, &error),
            MemberError::SeesAllClients(_) | MemberError::NoSuchClient => {
                Self::invalid(vec![FieldError::new("/client_id", &error)])
            }
            MemberError::Seal(source) => Self::internal(source),
            MemberError::Database(source) => Self::database(source),
        }
    }
}

impl From<OrganisationError> for Problem {
    fn from(error: OrganisationError) -> Self {
        match error {
            OrganisationError::NotFound => Self::new(Code::NotFound, &error),
            OrganisationError::Database(source) => Self::database(&source),
            // Of making one, which the API does not do; and of what is stored.
            other @ (OrganisationError::NotAnEmail(_)
            | OrganisationError::NotAName
            | OrganisationError::EmailTaken
            | OrganisationError::Token(_)
            | OrganisationError::Seal(_)) => Self::internal(&other),
        }
    }
}

impl From<InvitationError> for Problem {
    fn from(error: InvitationError) -> Self {
        match error {
            InvitationError::NotFound => Self::new(Code::NotFound, &error),
            InvitationError::MemberAlready
            | InvitationError::InvitedAlready
            | InvitationError::TooMany
            | InvitationError::Full
            | InvitationError::TooManyMails
            | InvitationError::NotYours
            | InvitationError::HasAccount => Self::new(Code::Conflict, &error),
            InvitationError::Member(error) => error.into(),
            InvitationError::Organisation(error) => error.into(),
        }
    }
}

impl From<SingleSignOnError> for Problem {
    fn from(error: SingleSignOnError) -> Self {
        match error {
            SingleSignOnError::NotFound => Self::new(Code::NotFound, &error),
            SingleSignOnError::Invalid(errors) => Self::invalid(errors),
            SingleSignOnError::Member(error) => error.into(),
            SingleSignOnError::Organisation(error) => error.into(),
            // Nobody signs in by the API.
            SingleSignOnError::Busy => Self::rate_limited(60),
            SingleSignOnError::Refused(_) | SingleSignOnError::DomainUnproved => Self::internal(&error),
            SingleSignOnError::Seal(source) => Self::internal(&source),
            SingleSignOnError::Database(source) => Self::database(&source),
        }
    }
}

impl From<ShareLinkError> for Problem {
    fn from(error: ShareLinkError) -> Self {
        match error {
            ShareLinkError::NotFound => Self::new(Code::NotFound, &error),
            ShareLinkError::TooMany => Self::new(Code::Conflict, &error),
            ShareLinkError::Domain(error) => error.into(),
            ShareLinkError::Organisation(error) => error.into(),
            ShareLinkError::Database(source) => Self::database(&source),
        }
    }
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        match &error {
            WebhookError::NotFound | WebhookError::NoSuchDelivery => Self::new(Code::NotFound, &error),
            WebhookError::NoSuchClient => Self::invalid(vec![FieldError::new("/client_id", &error)]),
            WebhookError::TooMany | WebhookError::Disabled | WebhookError::Waiting => Self::new(Code::Conflict, &error),
            WebhookError::Seal(source) => Self::internal(source),
            WebhookError::Database(source) => Self::database(source),
        }
    }
}

impl From<EntraError> for Problem {
    fn from(error: EntraError) -> Self {
        let seconds = match &error {
            EntraError::Away(..) | EntraError::Unreadable(_) => 10,
            EntraError::Busy => 1,
        };
        tracing::warn!(%error, "a tenant could not be looked up");
        let detail =
            "Microsoft Entra gave no answer that can be used. Try again shortly, or give the tenant ID yourself.";
        Self::new(Code::EntraUnavailable, detail).retry_after(seconds)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::database(&error)
    }
}

impl From<PreviewError> for Problem {
    fn from(error: PreviewError) -> Self {
        match error {
            PreviewError::Domain(error) => error.into(),
            PreviewError::Unreadable(error) => error.into(),
        }
    }
}

impl From<UnreadableRow> for Problem {
    fn from(error: UnreadableRow) -> Self {
        Self::internal(&error)
    }
}

impl From<SealError> for Problem {
    fn from(error: SealError) -> Self {
        Self::internal(&error)
    }
}
