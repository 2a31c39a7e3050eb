//! An account whose address only a provider has vouched for gives way to the owner of the mailbox.
use serde_json::json;
use sqlx::PgPool;

use super::rig::{Rig, is_refused};
use crate::people::{PASSWORD, Person, leads_to, link};

const ADA: &str = "ada@acme.example";
const SIGN_UP: [(&str, &str); 4] = [
    ("organisation", "Ada's own"),
    ("name", "Ada Lovelace"),
    ("email", ADA),
    ("password", PASSWORD),
];

/// The provider has created an account with the owner's address. Returns its browser.
async fn with_an_account_of_the_provider(pool: PgPool) -> (Rig, Person) {
    let rig = Rig::start(pool).await;
    rig.save("viewer").await;
    let (person, arrived) = rig.arrive(json!({})).await;
    assert_eq!(leads_to(&arrived), "/welcome");
    assert_eq!(person.get("/settings/security").await.status, 200);
    (rig, person)
}

async fn emails(rig: &Rig) -> Vec<String> {
    let members = rig.msp.get("/members").await.json();
    let emails = members["data"].as_array().unwrap().iter();
    emails
        .map(|member| member["email"].as_str().unwrap().to_owned())
        .collect()
}

/// The provider's browser is signed out, and the provider does not get into the owner's account.
async fn is_replaced(rig: &Rig, of_the_provider: &Person) {
    assert_eq!(
        leads_to(&of_the_provider.get("/domains").await),
        "/sign-in?next=%2Fdomains"
    );
    assert!(!emails(rig).await.contains(&ADA.to_owned()));
    is_refused(&rig.arrive(json!({})).await.1, "You are no member of Acme IT");
    let events = rig.msp.get("/audit-events?action=member.replaced").await.json();
    assert_eq!(events["data"].as_array().unwrap().len(), 1, "{events}");
}

#[sqlx::test]
async fn the_owner_of_the_mailbox_signs_up(pool: PgPool) {
    let (rig, of_the_provider) = with_an_account_of_the_provider(pool).await;
    let owner = rig.app.person();
    owner.submit("/sign-up", &SIGN_UP).await;
    let mail = &rig.app.mails(ADA).await[0];
    assert_eq!(mail.subject, "Confirm your address");
    assert!(
        mail.text.contains("Single sign-on of Acme IT has created an account"),
        "{}",
        mail.text
    );
    // Nothing has changed before the link is opened.
    assert_eq!(of_the_provider.get("/settings/security").await.status, 200);
    assert_eq!(leads_to(&owner.get(&link(mail)).await), "/welcome");
    is_replaced(&rig, &of_the_provider).await;
    assert_eq!(owner.get("/domains").await.status, 200);
    // The account is proved now: the next sign-up changes nothing.
    rig.app.person().submit("/sign-up", &SIGN_UP).await;
    assert_eq!(rig.app.mails(ADA).await[0].subject, "You have an account already");
    rig.app.stop().await;
}

#[sqlx::test]
async fn the_owner_of_the_mailbox_accepts_an_invitation(pool: PgPool) {
    let (rig, of_the_provider) = with_an_account_of_the_provider(pool).await;
    let globex = rig.app.owner("Globex", "eve@globex.example").await;
    let fields = [("email", ADA), ("role", "editor"), ("client_id", "")];
    globex
        .submit_to("/settings/members", "/settings/invitations", &fields)
        .await;
    let path = link(&rig.app.mails(ADA).await[0]);
    let invited = rig.app.person();
    let page = invited.get(&path).await.text;
    assert!(
        page.contains("Single sign-on of Acme IT has created an account") && page.contains("Your name"),
        "{page}"
    );
    let joined = invited.submit(&path, &[("name", "Ada"), ("password", PASSWORD)]).await;
    assert_eq!(leads_to(&joined), "/");
    is_replaced(&rig, &of_the_provider).await;
    assert_eq!(leads_to(&rig.app.person().sign_in(ADA, PASSWORD).await), "/");
    rig.app.stop().await;
}

#[sqlx::test]
async fn the_owner_of_the_mailbox_changes_their_address_to_it(pool: PgPool) {
    let (rig, of_the_provider) = with_an_account_of_the_provider(pool).await;
    let owner = rig.app.owner("Globex", "ada@globex.example").await;
    let changed = owner.submit("/settings/security/email", &[("email", ADA)]).await;
    assert_eq!(leads_to(&changed), "/settings/security?done=email-sent");
    let mail = &rig.app.mails(ADA).await[0];
    assert!(
        mail.subject == "Confirm your new address" && mail.text.contains("Single sign-on of Acme IT"),
        "{}",
        mail.text
    );
    let path = link(mail);
    assert_eq!(owner.submit(&path, &[]).await.status, 303);
    is_replaced(&rig, &of_the_provider).await;
    assert_eq!(leads_to(&rig.app.person().sign_in(ADA, PASSWORD).await), "/");
    rig.app.stop().await;
}

#[sqlx::test]
async fn a_password_by_mail_keeps_the_account_and_proves_its_address(pool: PgPool) {
    let (rig, _) = with_an_account_of_the_provider(pool).await;
    let owner = rig.app.person();
    owner.submit("/password/forgotten", &[("email", ADA)]).await;
    let path = link(&rig.app.mails(ADA).await[0]);
    owner.submit(&path, &[("password", PASSWORD)]).await;
    assert_eq!(leads_to(&owner.sign_in(ADA, PASSWORD).await), "/");
    rig.app.person().submit("/sign-up", &SIGN_UP).await;
    assert_eq!(rig.app.mails(ADA).await[0].subject, "You have an account already");
    assert!(emails(&rig).await.contains(&ADA.to_owned()));
    rig.app.stop().await;
}

#[sqlx::test]
async fn the_only_owner_of_an_organisation_is_not_replaced(pool: PgPool) {
    let (rig, _) = with_an_account_of_the_provider(pool.clone()).await;
    sqlx::query(
        "update memberships set role = case when user_id in (select user_id from users where is_email_unproved) then 'owner' else 'admin' end",
    )
    .execute(&pool)
    .await
    .unwrap();
    let owner = rig.app.person();
    owner.submit("/sign-up", &SIGN_UP).await;
    let confirmed = owner.get(&link(&rig.app.mails(ADA).await[0])).await;
    assert_eq!(confirmed.status, 404, "{}", confirmed.text);
    assert!(emails(&rig).await.contains(&ADA.to_owned()));
    rig.app.stop().await;
}
