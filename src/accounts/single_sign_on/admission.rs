//! Whom a provider has signed in becomes somebody here, or is told why not.
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Claims, Door, SingleSignOnError,
    claims::{self, Decision, Facts, Holder, Identity},
    store,
};
use crate::{
    accounts::{
        Operator, Scope,
        email::Email,
        invitations::{self, InvitationError},
        members::{self, MAX_MEMBERS, MemberError, Standing},
        organisations::OrganisationError,
        people::{self, NewPerson},
        role::Role,
    },
    audit,
    clock::DatabaseTime,
    input::Name,
    sealed::Keyring,
};

/// What a decision is carried out with.
struct Arrival<'a> {
    keyring: &'a Keyring,
    scope: Scope,
    provider_id: Uuid,
    claims: &'a Claims,
    /// The address that counts, and its digest.
    email: Option<(Email, Vec<u8>)>,
}

/// Who it is. They are a member of the provider's organisation from then on, if they were not before.
pub async fn admit(
    db: &mut PgConnection,
    keyring: &Keyring,
    door: &Door,
    claims: &Claims,
    now: DatabaseTime,
) -> Result<Uuid, SingleSignOnError> {
    if !claims.has_fit_subject() {
        return Err(SingleSignOnError::Refused(claims::Refusal::UnfitSubject));
    }
    let scope = Operator::signing_in().scope(door.organisation_id);
    // Two answers for one person, and a removal meanwhile, one after the other.
    members::store::lock(db, &scope).await?;
    let mut arrival = Arrival {
        keyring,
        scope,
        provider_id: door.provider_id,
        claims,
        email: None,
    };
    let facts = gather(db, door, &mut arrival, now).await?;
    match claims::decide(&facts) {
        Decision::SignIn(user_id) => {
            store::use_identity(db, &arrival.scope, (door.provider_id, &claims.subject), now).await?;
            Ok(user_id)
        }
        Decision::Link(user_id) => link(db, &arrival, user_id, now).await,
        Decision::Accept => accept(db, &arrival, now).await,
        Decision::Create(role) => create(db, &arrival, role, now).await,
        Decision::Refuse(why) => Err(SingleSignOnError::Refused(why)),
    }
}

async fn gather(
    db: &mut PgConnection,
    door: &Door,
    arrival: &mut Arrival<'_>,
    now: DatabaseTime,
) -> Result<Facts, SingleSignOnError> {
    let (scope, subject) = (arrival.scope.clone(), arrival.claims.subject.as_str());
    let identity = match store::find_identity(db, &scope, door.provider_id, subject).await? {
        None => Identity::New,
        Some(None) => Identity::Removed,
        Some(Some(user_id)) => Identity::Of(user_id),
    };
    let mut facts = Facts {
        identity,
        address: Err(claims::NoAddress::Missing),
        is_invited: false,
        new_member_role: door.new_member_role,
        is_full: false,
    };
    let proved = store::list_signing(db, &scope, door.provider_id).await?;
    match claims::address(&door.issuer, arrival.claims, &proved) {
        Err(why) => facts.address = Err(why),
        Ok(email) => {
            let digest = email.digest(db, arrival.keyring).await?;
            facts.address = Ok(holder(db, arrival, &digest).await?);
            facts.is_invited = invitations::store::has_address(db, &scope, &digest, now).await?;
            let (people, open) = (
                members::store::count(db, &scope).await?,
                invitations::store::count(db, &scope).await?,
            );
            facts.is_full = people + open >= MAX_MEMBERS;
            arrival.email = Some((email, digest));
        }
    }
    Ok(facts)
}

async fn holder(db: &mut PgConnection, arrival: &Arrival<'_>, digest: &[u8]) -> Result<Holder, SingleSignOnError> {
    let known = people::store::find_credentials(db, Operator::signing_in(), digest).await?;
    let Some(known) = known else { return Ok(Holder::Nobody) };
    let standing = members::store::find_standing(db, &arrival.scope, known.user_id).await?;
    if standing.is_none() {
        return Ok(Holder::Stranger);
    }
    let is_linked = store::is_linked(db, &arrival.scope, arrival.provider_id, known.user_id).await?;
    Ok(match is_linked {
        true => Holder::Linked,
        false => Holder::Member(known.user_id),
    })
}

async fn link(
    db: &mut PgConnection,
    arrival: &Arrival<'_>,
    user_id: Uuid,
    now: DatabaseTime,
) -> Result<Uuid, SingleSignOnError> {
    let identity = (arrival.provider_id, arrival.claims.subject.as_str());
    store::set_identity(db, &arrival.scope, identity, user_id, now).await?;
    let scope = Scope::of_new_member(arrival.scope.organisation_id(), user_id, None);
    let event = audit::Event {
        details: json!({ "identity_provider_id": arrival.provider_id }),
        ..audit::Event::of_person(user_id, "identity.linked")
    };
    audit::record(db, &scope, event).await?;
    Ok(user_id)
}

/// Somebody new, by an invitation.
async fn accept(db: &mut PgConnection, arrival: &Arrival<'_>, now: DatabaseTime) -> Result<Uuid, SingleSignOnError> {
    let user_id = make(db, arrival).await?;
    let digest = arrival.email.as_ref().map(|(_, digest)| digest.as_slice());
    let accepted = invitations::accept_by_address(db, &arrival.scope, (digest.unwrap_or_default(), user_id), now).await;
    accepted.map_err(|error| match error {
        InvitationError::Member(error) => SingleSignOnError::Member(error),
        // It ended between two statements.
        _ => SingleSignOnError::Refused(claims::Refusal::NotInvited),
    })?;
    link(db, arrival, user_id, now).await
}

/// Somebody new, by what the provider's administrators have set.
async fn create(
    db: &mut PgConnection,
    arrival: &Arrival<'_>,
    role: Role,
    now: DatabaseTime,
) -> Result<Uuid, SingleSignOnError> {
    let user_id = make(db, arrival).await?;
    let standing = Standing::new(role, None)?;
    let organisation_id = arrival.scope.organisation_id();
    people::store::insert_membership(db, organisation_id, user_id, (role, None)).await?;
    let scope = Scope::of_new_member(organisation_id, user_id, None);
    members::record(db, &scope, "member.joined", user_id, standing.details()).await?;
    link(db, arrival, user_id, now).await
}

async fn make(db: &mut PgConnection, arrival: &Arrival<'_>) -> Result<Uuid, SingleSignOnError> {
    let (email, _) = arrival.email.as_ref().ok_or(MemberError::NotFound)?;
    let name = arrival.claims.name.as_deref().and_then(|name| Name::parse(name).ok());
    let new = NewPerson {
        email,
        name: name.as_ref().map(Name::as_str),
        password_hash: None,
        is_email_unproved: true,
    };
    match people::create(db, arrival.keyring, new).await {
        // Somebody has made an account with it at this very moment: that is theirs.
        Err(OrganisationError::EmailTaken) => Err(SingleSignOnError::Refused(claims::Refusal::NotInvited)),
        made => Ok(made?),
    }
}
