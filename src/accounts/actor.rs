//! An authenticated caller, and the proofs of what it may do.
use sqlx::PgConnection;
use uuid::Uuid;

use super::{By, clients, role::Role};

/// What a token may do, as the API names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    DomainsRead,
    DomainsWrite,
    RequestsRead,
    OrganisationAdmin,
}

impl Permission {
    pub const ALL: [Self; 4] = [
        Self::DomainsRead,
        Self::DomainsWrite,
        Self::RequestsRead,
        Self::OrganisationAdmin,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DomainsRead => "domains:read",
            Self::DomainsWrite => "domains:write",
            Self::RequestsRead => "requests:read",
            Self::OrganisationAdmin => "organisation:admin",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == text)
    }
}

/// A caller whose token was checked.
#[derive(Clone, Debug)]
pub struct Actor {
    pub token_id: Uuid,
    pub token_name: String,
    /// The member who answers for the token.
    pub responsible_user_id: Option<Uuid>,
    pub organisation_id: Uuid,
    pub organisation_name: String,
    /// Set: the token sees this client only.
    pub client_id: Option<Uuid>,
    pub permissions: Vec<Permission>,
}

impl Actor {
    /// The scope in which the actor may do what `permission` names.
    pub fn scope(&self, permission: Permission) -> Result<Scope, AccessError> {
        // Whoever may write may read: a program that registers domains need not be given both.
        let implied = permission == Permission::DomainsRead && self.permissions.contains(&Permission::DomainsWrite);
        if !implied && !self.permissions.contains(&permission) {
            return Err(AccessError::Forbidden(permission));
        }
        let by = By::Token {
            id: self.token_id,
            name: self.token_name.clone(),
            responsible_user_id: self.responsible_user_id,
        };
        Ok(Scope {
            organisation_id: self.organisation_id,
            client_id: self.client_id,
            by,
            is_providers_word: false,
        })
    }
}

/// A person who is signed in to an organisation.
#[derive(Clone, Debug)]
pub struct Member {
    pub session_id: Uuid,
    pub user_id: Uuid,
    pub organisation_id: Uuid,
    pub organisation_name: String,
    pub role: Role,
    /// Set: this person sees this client only.
    pub client_id: Option<Uuid>,
    /// Of how many organisations this person is a member.
    pub memberships: i64,
    /// Whether this person runs this Signpost.
    pub is_operator: bool,
    /// Set: signed in on this provider's word alone, which counts for this organisation and for no more.
    pub identity_provider_id: Option<Uuid>,
}

impl Member {
    /// The proof that this person may act for any organisation; none for nearly everybody.
    #[must_use]
    pub fn operator(&self) -> Option<Operator> {
        self.is_operator.then_some(Operator(Hand::Person(self.user_id)))
    }

    /// The scope in which the member may do what `permission` names.
    pub fn scope(&self, permission: Permission) -> Result<Scope, AccessError> {
        match self.role.permissions().contains(&permission) {
            true => Ok(self.own_scope()),
            false => Err(AccessError::Forbidden(permission)),
        }
    }

    /// To write down what somebody does to their own account: every role may.
    #[must_use]
    pub(super) fn own_scope(&self) -> Scope {
        Scope {
            organisation_id: self.organisation_id,
            client_id: self.client_id,
            by: By::Member { id: self.user_id },
            is_providers_word: self.identity_provider_id.is_some(),
        }
    }
}

/// Proof that somebody may act for one organisation, or for one client of it.
#[derive(Clone, Debug)]
pub struct Scope {
    organisation_id: Uuid,
    client_id: Option<Uuid>,
    by: By,
    is_providers_word: bool,
}

impl Scope {
    #[must_use]
    pub fn organisation_id(&self) -> Uuid {
        self.organisation_id
    }

    /// Set: nothing but this client's rows may be seen.
    #[must_use]
    pub fn client_id(&self) -> Option<Uuid> {
        self.client_id
    }

    #[must_use]
    pub fn by(&self) -> &By {
        &self.by
    }

    /// Whether it is a provider's word alone that this is who it is.
    #[must_use]
    pub(super) fn is_providers_word(&self) -> bool {
        self.is_providers_word
    }

    /// Of somebody who has become a member in this transaction.
    pub(super) fn of_new_member(organisation_id: Uuid, user_id: Uuid, client_id: Option<Uuid>) -> Self {
        Self {
            organisation_id,
            client_id,
            by: By::Member { id: user_id },
            is_providers_word: false,
        }
    }

    /// Narrows the scope to one client. One that the caller may not see is `NotFound`.
    pub async fn client(&self, db: &mut PgConnection, client_id: Uuid) -> Result<ClientScope, AccessError> {
        match clients::store::exists(db, self, client_id).await? {
            true => Ok(ClientScope {
                scope: self.clone(),
                client_id,
            }),
            false => Err(AccessError::NotFound),
        }
    }
}

/// Proof that somebody may act for one client.
#[derive(Clone, Debug)]
pub struct ClientScope {
    scope: Scope,
    client_id: Uuid,
}

impl ClientScope {
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    #[must_use]
    pub fn organisation_id(&self) -> Uuid {
        self.scope.organisation_id
    }

    #[must_use]
    pub fn client_id(&self) -> Uuid {
        self.client_id
    }

    /// Of a client that was just made in `scope`.
    pub(super) fn of_new(scope: &Scope, client_id: Uuid) -> Self {
        Self {
            scope: scope.clone(),
            client_id,
        }
    }
}

/// Proof that the caller may act for any organisation: somebody at the command line of a node, an operator who is
/// signed in, or Signpost itself.
#[derive(Clone, Copy, Debug)]
pub struct Operator(Hand);

#[derive(Clone, Copy, Debug)]
enum Hand {
    CommandLine,
    /// Somebody who is signed in.
    Person(Uuid),
    Checks,
    /// Somebody who signs up or in, and is nobody yet.
    Door,
}

impl Operator {
    /// Whoever can start a command with the secret key file and the database is an operator.
    #[must_use]
    pub fn at_the_command_line() -> Self {
        Self(Hand::CommandLine)
    }

    /// The looks at every domain, whoever registered it.
    #[must_use]
    pub fn checking() -> Self {
        Self(Hand::Checks)
    }

    /// Signing up and in, before anybody is known.
    #[must_use]
    pub fn signing_in() -> Self {
        Self(Hand::Door)
    }

    /// Who of the operators it is, where that is known.
    #[must_use]
    pub fn person(self) -> Option<Uuid> {
        match self.0 {
            Hand::Person(user_id) => Some(user_id),
            Hand::CommandLine | Hand::Checks | Hand::Door => None,
        }
    }

    #[must_use]
    pub fn scope(self, organisation_id: Uuid) -> Scope {
        Scope {
            organisation_id,
            client_id: None,
            by: match self.0 {
                Hand::CommandLine | Hand::Person(_) => By::Operator,
                Hand::Checks | Hand::Door => By::Signpost,
            },
            is_providers_word: false,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("a valid API token is needed: send `Authorization: Bearer sgp_…`")]
    Unauthenticated,
    #[error("this token lacks the scope `{}`", .0.as_str())]
    Forbidden(Permission),
    #[error("there is no such client")]
    NotFound,
    #[error("the access rights could not be read")]
    Database(#[from] sqlx::Error),
}
