//! What is said to somebody whom single sign-on does not let in, and who can mend it.
use crate::{
    accounts::single_sign_on::{Door, NoAddress, Refusal},
    oidc::RedeemError,
};

/// What happened, and what to do.
pub struct Refused {
    pub what: String,
    /// For whoever looks after the provider.
    pub remedy: Option<&'static str>,
}

impl Refused {
    fn of(what: impl Into<String>, remedy: Option<&'static str>) -> Self {
        Self {
            what: what.into(),
            remedy,
        }
    }

    /// Too late, a second time, or in another browser.
    pub fn late() -> Self {
        let what = "This sign-in was begun in another browser, was used already, or took longer than ten minutes. Begin again, and stay in one window.";
        Self::of(what, None)
    }

    pub fn gone(hostname: &str) -> Self {
        let what = format!(
            "Single sign-on for people of {hostname} was changed, or ended, while you signed in. Begin again, or ask whoever looks after Signpost where you work."
        );
        Self::of(what, None)
    }

    /// The domain's record for single sign-on is missing.
    pub fn unproved(hostname: &str) -> Self {
        Self::of(
            format!("Single sign-on is not active for {hostname}. Sign in with your password or a passkey."),
            Some("Add the domain's TXT record. Signpost's settings show it, under Single sign-on."),
        )
    }

    /// `error`: whatever stood in the address. Only the standard's words are looked at, and none is shown.
    pub fn by_provider(error: &str) -> Self {
        let (what, remedy) = match error {
            "access_denied" => (
                "Your provider did not let you in, or you went back.",
                Some("Give this person, or a group that they are in, access to the application."),
            ),
            "temporarily_unavailable" | "server_error" => {
                ("Your provider has a fault at this moment. Try again shortly.", None)
            }
            "consent_required" | "interaction_required" | "login_required" => (
                "Your provider wants something from you first, and did not ask.",
                Some("Consent to the application for everybody."),
            ),
            _ => (
                "Your provider did not sign you in.",
                Some("Its own sign-in log says why. Compare the redirect URI with the one in Signpost's settings."),
            ),
        };
        Self::of(what, remedy)
    }

    pub fn unreachable() -> Self {
        Self::of(
            "Your provider can't be reached at this moment. Try again shortly.",
            None,
        )
    }

    pub fn unreadable() -> Self {
        let what = "What came back is not an answer of your provider's that can be believed. Begin again; if it stays, tell whoever looks after Signpost where you work.";
        Self::of(what, None)
    }
}

pub fn redeemed(error: &RedeemError) -> Refused {
    match error {
        RedeemError::Unreachable(_) => Refused::unreachable(),
        RedeemError::Refused("invalid_client" | "unauthorized_client") => Refused::of(
            "Your provider does not know Signpost any more.",
            Some(
                "The client secret is wrong or has expired: make another one, and type it in Signpost's settings, under Single sign-on.",
            ),
        ),
        RedeemError::Refused(_) | RedeemError::Unreadable | RedeemError::Keys | RedeemError::Token(_) => {
            Refused::unreadable()
        }
    }
}

pub fn refused(why: Refusal, door: &Door) -> Refused {
    let organisation = &door.organisation;
    match why {
        Refusal::NoAddress(why) => {
            let (what, remedy) = no_address(why);
            Refused::of(format!("Your provider has signed you in, but {what}"), Some(remedy))
        }
        Refusal::NotInvited => Refused::of(
            format!("You are no member of {organisation} here. Ask one of its owners or admins to invite you."),
            None,
        ),
        Refusal::OpenTheInvitation => Refused::of(
            format!(
                "You are invited to {organisation}. Open the link in that mail first; from then on single sign-on lets you in."
            ),
            None,
        ),
        Refusal::OtherAccount => Refused::of(
            format!(
                "Your address belongs to a member of {organisation} who signs in with another account of your provider's. Ask one of its owners or admins to remove that member and to invite you anew."
            ),
            None,
        ),
        Refusal::UnfitSubject => Refused::unreadable(),
        Refusal::Full => Refused::of(
            format!("{organisation} has as many members as it may have. Ask one of its owners or admins."),
            None,
        ),
    }
}

fn no_address(why: NoAddress) -> (&'static str, &'static str) {
    match why {
        NoAddress::Missing | NoAddress::Unreadable => (
            "does not say a usable e-mail address of yours.",
            "Have the ID token hold the claim email. In Entra: Token configuration, Add optional claim, ID, email and xms_edov; and fill in the person's Email field.",
        ),
        NoAddress::Unverified => (
            "does not say that your e-mail address is verified.",
            "Have the ID token hold the claim email_verified with the value true for this person.",
        ),
        NoAddress::OwnerUnverified => (
            "does not say that your e-mail address is of a domain that it owns.",
            "In Entra: Token configuration, Add optional claim, ID, email and xms_edov. The domain of the person's Email field must be a verified domain of the tenant.",
        ),
        NoAddress::OtherDomain => (
            "your e-mail address is of a domain for which it may not speak here.",
            "Add the domain in Signpost's settings, under Single sign-on, and the TXT record that they show for it.",
        ),
    }
}
