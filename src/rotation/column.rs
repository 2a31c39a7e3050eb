//! Which columns are sealed, and what each value is bound to.
use uuid::Uuid;

use super::store::Place;
use crate::{
    accounts::{
        email_changes, invitations,
        organisations::{digest_key_context, email_context, secret_context},
        people::name_context,
        registrations, second_factors, single_sign_on,
    },
    api::idempotency::answer_context,
    certificates, outbox, webhooks,
};

/// A column that is sealed, by its table. Another one is a variant with its lines here and in a `store.rs`, and a line in
/// [`crate::keyring::store::usage`] under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Certificates,
    AcmeAccounts,
    AcmeOrders,
    Organisations,
    Users,
    UserNames,
    Registrations,
    Invitations,
    Outbox,
    SecondFactors,
    EmailChanges,
    WebhookSecrets,
    OldWebhookSecrets,
    ClientSecrets,
    SingleSignOnAttempts,
    Secrets,
    IdempotencyKeys,
}

impl Column {
    pub const ALL: [Self; 17] = [
        Self::Certificates,
        Self::AcmeAccounts,
        Self::AcmeOrders,
        Self::Organisations,
        Self::Users,
        Self::UserNames,
        Self::Registrations,
        Self::Invitations,
        Self::Outbox,
        Self::SecondFactors,
        Self::EmailChanges,
        Self::WebhookSecrets,
        Self::OldWebhookSecrets,
        Self::ClientSecrets,
        Self::SingleSignOnAttempts,
        Self::Secrets,
        Self::IdempotencyKeys,
    ];

    /// The table; of a table's second column a name of its own.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificates => "certificates",
            Self::AcmeAccounts => "acme_accounts",
            Self::AcmeOrders => "acme_orders",
            Self::Organisations => "organisations",
            Self::Users => "users",
            Self::UserNames => "user_names",
            Self::Registrations => "registrations",
            Self::Invitations => "invitations",
            Self::Outbox => "outbox",
            Self::SecondFactors => "second_factors",
            Self::EmailChanges => "email_changes",
            Self::WebhookSecrets => "webhook_secrets",
            Self::OldWebhookSecrets => "old_webhook_secrets",
            Self::ClientSecrets => "client_secrets",
            Self::SingleSignOnAttempts => "single_sign_on_attempts",
            Self::Secrets => "secrets",
            Self::IdempotencyKeys => "idempotency_keys",
        }
    }

    /// What the value of a row is bound to.
    pub(super) fn context(self, Place { first, second }: &Place) -> Option<String> {
        let uuid = || first.parse::<Uuid>().ok();
        match self {
            Self::Certificates => Some(certificates::key_context(first, second)),
            Self::AcmeAccounts => Some(certificates::account::key_context(first)),
            Self::AcmeOrders => uuid().map(certificates::orders::key_context),
            Self::Organisations => uuid().map(digest_key_context),
            Self::Users => uuid().map(email_context),
            Self::UserNames => uuid().map(name_context),
            Self::Registrations => uuid().map(registrations::context),
            Self::Invitations => uuid().map(invitations::context),
            Self::Outbox => uuid().map(outbox::context),
            Self::SecondFactors => uuid().map(second_factors::context),
            Self::EmailChanges => uuid().map(email_changes::context),
            Self::WebhookSecrets | Self::OldWebhookSecrets => uuid().map(webhooks::signing::context),
            Self::ClientSecrets => uuid().map(single_sign_on::secret_context),
            Self::SingleSignOnAttempts => Some(single_sign_on::attempt_context(first)),
            Self::Secrets => Some(secret_context(first)),
            Self::IdempotencyKeys => uuid().map(|token_id| answer_context(token_id, second)),
        }
    }
}
