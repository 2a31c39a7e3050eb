//! Two changes of the same that meet at one moment: one gives way or both go through, and nobody is told of a fault.
use sqlx::{PgPool, Postgres, Transaction};

use super::{
    app::{TestApp, waiting},
    people::{PASSWORD, Person, csrf_in, leads_to, link},
    second_factor::turn_on,
};

const EMAIL: &str = "ada@msp.example";
const SECURITY: &str = "/settings/security";

/// The same browser once more: another window.
fn window(app: &TestApp, person: &Person) -> Person {
    let other = app.person();
    other.set_cookies(person.cookies());
    other
}

/// Rows that are held, so that two come as far as they can. Held before the two set out: on a busy machine both would
/// be through before a connection is made.
struct Held<'a> {
    pool: &'a PgPool,
    tx: Transaction<'static, Postgres>,
}

impl<'a> Held<'a> {
    async fn rows(pool: &'a PgPool, rows: &'static str) -> Self {
        let mut tx = pool.begin().await.unwrap();
        sqlx::query(rows).execute(&mut *tx).await.unwrap();
        Self { pool, tx }
    }

    /// Lets them go on together.
    async fn until_two_wait(self) {
        waiting(self.pool, 2).await;
        self.tx.commit().await.unwrap();
    }
}

#[sqlx::test]
async fn whoever_is_removed_while_their_browser_asks_for_a_page_is_removed_and_gets_an_answer(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let person = app.colleague(&owner, "eve@msp.example", "viewer", "").await;
    let eve = sqlx::query_scalar("select user_id from memberships where role = 'viewer'");
    let user_id: uuid::Uuid = eve.fetch_one(&pool).await.unwrap();
    let a_while_ago = sqlx::query("update sessions set seen_at = now() - interval '2 minutes' where user_id = $1");
    a_while_ago.bind(user_id).execute(&pool).await.unwrap();
    let page = format!("/settings/members/{user_id}");
    let csrf = owner.csrf(&page).await;
    let mut tx = pool.begin().await.unwrap();
    let held = sqlx::query("select from sessions where user_id = $1 for update");
    held.bind(user_id).execute(&mut *tx).await.unwrap();
    let removal = async {
        waiting(&pool, 1).await;
        let path = format!("{page}/remove");
        owner.post_raw(&path, &[("csrf", csrf.as_str())]).await
    };
    let goes_on = async {
        waiting(&pool, 2).await;
        tx.commit().await.unwrap();
    };
    let (asked, removed, ()) = tokio::join!(person.get("/welcome"), removal, goes_on);
    assert_eq!(removed.status, 303, "{}", removed.text);
    assert!(asked.status < 500, "{}", asked.text);
    assert_eq!(person.get("/welcome").await.status, 303, "signed out");
}

#[sqlx::test]
async fn of_two_links_to_a_new_password_that_are_used_at_once_one_counts(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    app.owner("Acme IT", EMAIL).await;
    for _ in 0..2 {
        app.person().submit("/password/forgotten", &[("email", EMAIL)]).await;
    }
    let mails = app.mails(EMAIL).await;
    let (one, other) = (link(&mails[0]), link(&mails[1]));
    let (a, b) = (app.person(), app.person());
    let fields = [("password", "another hat for every goose")];
    let held = Held::rows(&pool, "select from users for update").await;
    let (one, other, ()) = tokio::join!(
        a.submit(&one, &fields),
        b.submit(&other, &fields),
        held.until_two_wait()
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 404]);
}

#[sqlx::test]
async fn of_two_links_to_a_new_address_that_are_opened_at_once_one_counts(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let mut links = Vec::new();
    for email in ["countess@msp.example", "lovelace@msp.example"] {
        let asked = owner.submit("/settings/security/email", &[("email", email)]).await;
        assert_eq!(leads_to(&asked), "/settings/security?done=email-sent");
        links.push(link(&app.mails(email).await[0]));
    }
    let other = window(&app, &owner);
    let held = Held::rows(&pool, "select from users for update").await;
    let (one, other, ()) = tokio::join!(
        owner.submit(&links[0], &[]),
        other.submit(&links[1], &[]),
        held.until_two_wait()
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 404]);
}

#[sqlx::test]
async fn a_second_factor_that_is_turned_off_in_two_windows_at_once_is_off(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let (_, codes) = turn_on(&owner).await;
    let other = window(&app, &owner);
    let page = format!("{SECURITY}/second-factor");
    let csrf = csrf_in(&owner.get(&page).await.text);
    let with = |code| [("csrf", csrf.as_str()), ("do", "off"), ("code", code)];
    let (fields, others) = (with(codes[0].as_str()), with(codes[1].as_str()));
    let held = Held::rows(&pool, "select from second_factors for update").await;
    let (one, other, ()) = tokio::join!(
        owner.post_raw(&page, &fields),
        other.post_raw(&page, &others),
        held.until_two_wait()
    );
    assert_eq!((one.status, other.status), (303, 303), "{} {}", one.text, other.text);
    assert_eq!(leads_to(&app.person().sign_in(EMAIL, PASSWORD).await), "/", "no code");
}
