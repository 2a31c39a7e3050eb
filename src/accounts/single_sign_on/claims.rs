//! What a provider says of somebody, and what becomes of them: no I/O, so that every case can be read in one place.
use uuid::Uuid;

use super::Issuer;
use crate::{
    accounts::{email::Email, role::Role},
    hostname,
};

/// OpenID Connect Core 1.0 §2: at most 255 ASCII characters.
const MAX_SUBJECT: usize = 255;

/// What an ID token says, once it is verified. Has no `Debug`.
#[derive(Clone, Default)]
pub struct Claims {
    pub subject: String,
    pub email: Option<String>,
    pub is_email_verified: bool,
    /// `xms_edov`: Entra has seen that the tenant owns the address's domain.
    pub is_domain_owner_verified: bool,
    pub name: Option<String>,
}

impl Claims {
    /// Whether the subject is one that can be kept.
    #[must_use]
    pub fn has_fit_subject(&self) -> bool {
        let length = self.subject.len();
        (1..=MAX_SUBJECT).contains(&length) && !self.subject.chars().any(char::is_control)
    }
}

/// Why what a provider says names no address that counts. Each is for the provider's administrator to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddress {
    Missing,
    Unreadable,
    /// `email_verified` is not true.
    Unverified,
    /// The same for Entra: `xms_edov` is not there, or not true.
    OwnerUnverified,
    /// Of none of the provider's mail domains that are still proved.
    OtherDomain,
}

/// The address that may be believed.
pub fn address(issuer: &Issuer, claims: &Claims, proved: &[String]) -> Result<Email, NoAddress> {
    let email = claims.email.as_deref().ok_or(NoAddress::Missing)?;
    let email = Email::parse(email).map_err(|_| NoAddress::Unreadable)?;
    match issuer.is_entra() {
        // Anybody may write any address into a tenant of their own ("nOAuth"): `email_verified` says nothing there.
        true if !claims.is_domain_owner_verified => return Err(NoAddress::OwnerUnverified),
        false if !claims.is_email_verified => return Err(NoAddress::Unverified),
        true | false => {}
    }
    match mail_domain(&email).is_some_and(|domain| proved.contains(&domain)) {
        true => Ok(email),
        false => Err(NoAddress::OtherDomain),
    }
}

/// What stands behind the @, as hostnames are written here.
#[must_use]
pub fn mail_domain(email: &Email) -> Option<String> {
    let (_, domain) = email.expose().rsplit_once('@')?;
    hostname::any(domain).ok()
}

/// Whom the provider has meant by this subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    New,
    /// A member of the organisation.
    Of(Uuid),
    /// Somebody who was taken out since.
    Removed,
}

/// Who has the address here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Nobody,
    Member(Uuid),
    /// A member whom the provider means by another subject: an address may have been given to somebody new.
    Linked,
    /// Somebody of other organisations: not to be touched, and nobody is to learn of them.
    Stranger,
}

/// All that is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub identity: Identity,
    pub address: Result<Holder, NoAddress>,
    pub is_invited: bool,
    pub new_member_role: Option<Role>,
    /// The organisation takes no more members.
    pub is_full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    SignIn(Uuid),
    /// And remember them by the subject.
    Link(Uuid),
    /// Take the invitation, as somebody new.
    Accept,
    Create(Role),
    Refuse(Refusal),
}

/// Why somebody is not let in whom the provider has signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoAddress(NoAddress),
    NotInvited,
    /// There is an invitation, and an account: its owner has to sign in with that.
    OpenTheInvitation,
    /// The address is that of a member who signs in with another account of the provider's.
    OtherAccount,
    Full,
    /// The subject is none that can be kept.
    UnfitSubject,
}

#[must_use]
pub fn decide(facts: &Facts) -> Decision {
    if let Identity::Of(user_id) = facts.identity {
        return Decision::SignIn(user_id);
    }
    let role = facts.new_member_role.filter(|_| facts.identity == Identity::New);
    match facts.address {
        Err(why) => Decision::Refuse(Refusal::NoAddress(why)),
        Ok(Holder::Member(user_id)) => Decision::Link(user_id),
        Ok(Holder::Linked) => Decision::Refuse(Refusal::OtherAccount),
        Ok(Holder::Stranger) if facts.is_invited => Decision::Refuse(Refusal::OpenTheInvitation),
        Ok(Holder::Stranger) => Decision::Refuse(Refusal::NotInvited),
        // An invitation has its place already.
        Ok(Holder::Nobody) if facts.is_invited => Decision::Accept,
        Ok(Holder::Nobody) => match role {
            Some(_) if facts.is_full => Decision::Refuse(Refusal::Full),
            Some(role) => Decision::Create(role),
            None => Decision::Refuse(Refusal::NotInvited),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRA: &str = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0";

    fn judged(issuer: &str, claims: &Claims) -> Result<String, NoAddress> {
        let proved = ["contoso.com".to_owned(), "xn--mller-kva.example".to_owned()];
        let issuer = Issuer::parse(issuer).expect("an issuer");
        address(&issuer, claims, &proved).map(|email| email.expose().to_owned())
    }

    #[test]
    fn an_address_counts_if_it_is_verified_and_of_a_proved_domain() {
        let said = |email: &str| Claims {
            email: Some(email.to_owned()),
            is_email_verified: true,
            ..Claims::default()
        };
        for (email, expected) in [
            ("Ada@Contoso.com", Ok("ada@contoso.com")),
            ("ada@müller.example", Ok("ada@müller.example")),
            ("ada@sub.contoso.com", Err(NoAddress::OtherDomain)),
            ("ada@evilcontoso.com", Err(NoAddress::OtherDomain)),
            ("ada@contoso.com.evil.example", Err(NoAddress::OtherDomain)),
            ("ada@contoso.com@evil.example", Err(NoAddress::Unreadable)),
            ("ada@evil.example\0@contoso.com", Err(NoAddress::Unreadable)),
            ("", Err(NoAddress::Unreadable)),
        ] {
            let judged = judged("https://accounts.google.com", &said(email));
            assert_eq!(judged, expected.map(str::to_owned), "{email}");
        }
        let missing = Claims {
            is_email_verified: true,
            ..Claims::default()
        };
        assert_eq!(judged("https://id.example", &missing), Err(NoAddress::Missing));
    }

    #[test]
    fn entra_and_others_are_believed_by_different_claims() {
        for (issuer, is_email_verified, is_domain_owner_verified, expected) in [
            ("https://id.example", true, false, Ok(())),
            ("https://id.example", false, false, Err(NoAddress::Unverified)),
            ("https://id.example", false, true, Err(NoAddress::Unverified)),
            (ENTRA, false, true, Ok(())),
            (ENTRA, true, false, Err(NoAddress::OwnerUnverified)),
            (ENTRA, false, false, Err(NoAddress::OwnerUnverified)),
        ] {
            let claims = Claims {
                email: Some("ada@contoso.com".to_owned()),
                is_email_verified,
                is_domain_owner_verified,
                ..Claims::default()
            };
            assert_eq!(judged(issuer, &claims).map(drop), expected, "{issuer}");
        }
    }

    #[test]
    fn a_subject_is_short_and_has_nothing_in_it_that_is_not_seen() {
        for (subject, is_fit) in [
            ("a", true),
            (&*"a".repeat(255), true),
            ("", false),
            (&*"a".repeat(256), false),
            ("a\0", false),
            ("a\n", false),
        ] {
            let claims = Claims {
                subject: subject.to_owned(),
                ..Claims::default()
            };
            assert_eq!(claims.has_fit_subject(), is_fit, "{}", subject.len());
        }
    }

    #[test]
    fn who_is_let_in_as_what() {
        let (ada, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let facts = Facts {
            identity: Identity::New,
            address: Ok(Holder::Nobody),
            is_invited: false,
            new_member_role: None,
            is_full: false,
        };
        let with = |identity, address, is_invited, new_member_role| Facts {
            identity,
            address,
            is_invited,
            new_member_role,
            ..facts
        };
        let viewer = Some(Role::Viewer);
        let missing = NoAddress::Missing;
        let refused = |why| Decision::Refuse(why);
        for (facts, expected) in [
            // Whoever is known needs no address, and whoever has it now is not asked.
            (
                with(Identity::Of(ada), Err(missing), false, None),
                Decision::SignIn(ada),
            ),
            (
                with(Identity::Of(ada), Ok(Holder::Member(other)), true, viewer),
                Decision::SignIn(ada),
            ),
            (
                with(Identity::New, Err(missing), true, viewer),
                refused(Refusal::NoAddress(missing)),
            ),
            (
                with(Identity::New, Ok(Holder::Member(ada)), false, None),
                Decision::Link(ada),
            ),
            (
                with(Identity::New, Ok(Holder::Linked), true, viewer),
                refused(Refusal::OtherAccount),
            ),
            (with(Identity::New, Ok(Holder::Nobody), true, None), Decision::Accept),
            (with(Identity::New, Ok(Holder::Nobody), true, viewer), Decision::Accept),
            (
                with(Identity::New, Ok(Holder::Nobody), false, viewer),
                Decision::Create(Role::Viewer),
            ),
            (
                with(Identity::New, Ok(Holder::Nobody), false, None),
                refused(Refusal::NotInvited),
            ),
            // Somebody's account elsewhere is theirs.
            (
                with(Identity::New, Ok(Holder::Stranger), false, viewer),
                refused(Refusal::NotInvited),
            ),
            (
                with(Identity::New, Ok(Holder::Stranger), true, viewer),
                refused(Refusal::OpenTheInvitation),
            ),
            // Whoever was taken out comes back by an invitation, and not by signing in again.
            (
                with(Identity::Removed, Ok(Holder::Nobody), false, viewer),
                refused(Refusal::NotInvited),
            ),
            (
                with(Identity::Removed, Ok(Holder::Nobody), true, viewer),
                Decision::Accept,
            ),
            (
                with(Identity::Removed, Ok(Holder::Member(ada)), false, None),
                Decision::Link(ada),
            ),
            (
                with(Identity::Removed, Ok(Holder::Stranger), false, viewer),
                refused(Refusal::NotInvited),
            ),
        ] {
            assert_eq!(decide(&facts), expected, "{facts:?}");
        }
        let full = Facts {
            is_full: true,
            ..with(Identity::New, Ok(Holder::Nobody), false, viewer)
        };
        assert_eq!(decide(&full), refused(Refusal::Full));
    }
}
