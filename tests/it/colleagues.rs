//! Members of an organisation who are not its owner, and what they are refused.
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    app::{Answer, TestApp},
    people::{Person, csrf_in, leads_to},
};

/// What no form may choke on, and no page may run.
pub const HOSTILE: [&str; 7] = [
    "<script>alert(1)</script>",
    "\"' onfocus=alert(1) x=",
    "Robert'); drop table domains;--",
    "\u{202e}moc.osotnoc",
    "🦆 Ünïcode ",
    "a\0b",
    "{{ frame.csrf }}",
];

/// As a page shows it.
pub fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        '<' | '>' | '"' | '\'' | '&' => format!("&#{};", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

pub async fn organisation_id(pool: &PgPool, name: &str) -> Uuid {
    let found = sqlx::query_scalar("select organisation_id from organisations where name = $1");
    found.bind(name).fetch_one(pool).await.unwrap()
}

pub async fn client_id(pool: &PgPool, name: &str) -> Uuid {
    let found = sqlx::query_scalar("select client_id from clients where name = $1");
    found.bind(name).fetch_one(pool).await.unwrap()
}

/// Somebody who is signed in to the organisation of this name, and may do what the role may.
pub async fn colleague(app: &TestApp, organisation: &str, role: &str, client: Option<Uuid>) -> Person {
    let whose = organisation_id(&app.pool, organisation).await;
    let own = format!("{role} {}", Uuid::now_v7());
    let person = app.owner(&own, &format!("{}@msp.example", Uuid::now_v7())).await;
    let own = organisation_id(&app.pool, &own).await;
    let statements = [
        "insert into memberships (organisation_id, user_id, role, client_id)
         select $1, user_id, $3, $4 from memberships where organisation_id = $2",
        "update sessions set organisation_id = $1 where organisation_id = $2 and $3 <> '' and $4::uuid is not distinct from $4",
    ];
    for statement in statements {
        let query = sqlx::query(statement).bind(whose).bind(own).bind(role).bind(client);
        query.execute(&app.pool).await.unwrap();
    }
    person
}

impl Person {
    /// Sends a form with a token that is this browser's, though no page showed it.
    pub async fn try_to_post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        // Every page of a member's has the form to sign out.
        let csrf = csrf_in(&self.get("/").await.text);
        let fields: Vec<_> = [("csrf", csrf.as_str())]
            .into_iter()
            .chain(fields.iter().copied())
            .collect();
        self.post_raw(path, &fields).await
    }
}

/// A viewer and a stranger can't, and a forged token does nothing. Whoever is not signed in is asked to.
pub async fn assert_refused(app: &TestApp, organisation: &str, path: &str, fields: &[(&str, &str)]) {
    let viewer = colleague(app, organisation, "viewer", None).await;
    let refused = viewer.try_to_post(path, fields).await;
    assert_eq!(refused.status, 403, "viewer {path}: {}", refused.text);
    let page = viewer.get(path).await;
    assert!(
        matches!(page.status, 200 | 303 | 403) && !page.text.contains("btn primary\">"),
        "a viewer is shown a button: {path}: {}",
        page.text
    );

    let stranger = app.person();
    stranger.get("/sign-in").await;
    let refused = stranger.post_raw(path, fields).await;
    assert_eq!(refused.status, 401, "stranger {path}: {}", refused.text);
    assert!(leads_to(&stranger.get(path).await).starts_with("/sign-in?next="));

    let editor = colleague(app, organisation, "editor", None).await;
    let forged: Vec<_> = [("csrf", "forged")].into_iter().chain(fields.iter().copied()).collect();
    for fields in [fields, forged.as_slice()] {
        let refused = editor.post_raw(path, fields).await;
        assert_eq!(refused.status, 403, "forged {path}: {}", refused.text);
    }
}
