//! The mail of an invitation. Its reader knows nothing of us, and a stranger has typed the organisation's name: nothing
//! in it may become a link, another line, or a story of its own.
use super::Invitation;
use crate::{accounts::secret_text::SecretText, input::unlinkable, mail::Mail};

pub fn write(portal_url: &str, organisation: &str, invitation: &Invitation, secret: &SecretText) -> Mail {
    let organisation = unlinkable(organisation);
    let role = invitation.standing.role().as_str();
    let text = format!(
        "You are invited to Signpost, to the organisation that calls itself\n\n    {organisation}\n\nwith the role {role}. Signpost answers where the Apple devices of a company enroll.\n\nOpen this link to accept. It works once, for 7 days:\n\n{portal_url}/invitations/{}\n\nIf you don't know who that is, do nothing: nothing happens then.\n",
        secret.expose()
    );
    Mail {
        to: invitation.email.expose().to_owned(),
        subject: format!("Invitation to {organisation}"),
        text,
    }
}
