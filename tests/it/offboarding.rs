//! What a person made ends with them, and what outlives a session asks who they are.
use serde_json::{Value, json};
use signpost::api::idempotency::store::{Claim, Key, claim, complete, release};
use sqlx::PgPool;

use super::{
    app::{Msp, TENANT, TestApp},
    people::{PASSWORD, Person, leads_to},
};

/// The page with the form, where it is sent, and its fields.
type Act<'a> = (&'a str, String, Vec<(&'a str, &'a str)>);

const OWNER: &str = "ada@msp.example";
const ADMIN: &str = "admin@msp.example";

/// An organisation with an admin who has made things, and a token that an operator made.
struct Acme {
    owner: Person,
    admin: Person,
    operators: Msp,
    /// The admin's, and one that this token made.
    admins: Msp,
    second: Msp,
}

impl Acme {
    async fn new(app: &TestApp) -> Self {
        let owner = app.owner("Acme IT", OWNER).await;
        let operators = app.program_of(&owner).await;
        app.hand_tokens_to_the_operator().await;
        let admin = app.colleague(&owner, ADMIN, "admin", "").await;
        let admins = app.program_of(&admin).await;
        let all = ["domains:read", "domains:write", "requests:read", "organisation:admin"];
        let made = admins
            .post("/tokens", json!({"name": "Second", "scopes": all}))
            .await
            .json();
        let second = app.program(admins.organisation_id, made["token"].as_str().unwrap());
        Self {
            owner,
            admin,
            operators,
            admins,
            second,
        }
    }

    async fn member(&self, email: &str) -> String {
        let members = self.operators.get("/members").await.json();
        let members = members["data"].as_array().unwrap().clone();
        let found = members.iter().find(|member| member["email"] == email).unwrap();
        found["id"].as_str().unwrap().to_owned()
    }

    async fn names(&self, path: &str, key: &str) -> Vec<String> {
        let listed = self.operators.get(path).await.json();
        let name = |item: &Value| item[key].as_str().unwrap().to_owned();
        listed["data"].as_array().unwrap().iter().map(name).collect()
    }
}

/// The session's last proof of who the person is was eleven minutes ago.
async fn grow_stale(pool: &PgPool) {
    sqlx::query("update sessions set authenticated_at = authenticated_at - interval '11 minutes'")
        .execute(pool)
        .await
        .unwrap();
}

#[sqlx::test]
async fn what_a_removed_member_and_their_tokens_made_is_revoked(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let acme = Acme::new(&app).await;
    for (program, email) in [(&acme.operators, "kept"), (&acme.admins, "one"), (&acme.second, "two")] {
        let invitation = json!({"email": format!("{email}@msp.example"), "role": "viewer"});
        assert_eq!(program.post("/invitations", invitation).await.status, 201);
        let server = json!({"vendor": "intune", "parameters": {"tenant_id": TENANT}});
        let domain = json!({"hostname": format!("{email}.example"), "client_name": "Contoso", "server": server});
        assert_eq!(program.post("/domains", domain).await.status, 201);
        let links = format!("/domains/{email}.example/share-links");
        assert_eq!(program.post(&links, json!({})).await.status, 201);
    }
    let endpoint = json!({"url": "https://hooks.msp.example/x", "events": ["certificate.issued"]});
    assert_eq!(acme.second.post("/webhook-endpoints", endpoint).await.status, 201);

    // Who made what is shown.
    let tokens = acme.operators.get("/tokens").await.json();
    let author = |name: &str| {
        let tokens = tokens["data"].as_array().unwrap();
        tokens.iter().find(|token| token["name"] == name).unwrap()["created_by"].clone()
    };
    assert_eq!(
        (author("Second")["type"].clone(), author("Second")["name"].clone()),
        (json!("token"), json!("CI"))
    );
    assert_eq!(
        acme.operators.get("/webhook-endpoints").await.json()["data"][0]["created_by"]["name"],
        "Second"
    );
    let admin = acme.member(ADMIN).await;
    let page = acme.owner.get(&format!("/settings/members/{admin}")).await.text;
    assert!(
        page.contains("revokes 2 API tokens, 2 invitations and 2 share links"),
        "{page}"
    );
    let page = acme.owner.get("/settings/tokens").await.text;
    assert!(page.contains("Created by") && page.contains("Operator"), "{page}");

    let path = format!("/settings/members/{admin}");
    let removed = acme.owner.submit_to(&path, &format!("{path}/remove"), &[]).await;
    assert_eq!(leads_to(&removed), "/settings/members?done=removed");
    for program in [&acme.admins, &acme.second] {
        program.get("/me").await.problem(401, "unauthenticated");
    }
    assert_eq!(acme.admin.get("/domains").await.status, 303, "signed out");
    assert_eq!(acme.names("/invitations", "email").await, ["kept@msp.example"]);
    let links: Vec<i64> = vec![
        sqlx::query_scalar("select count(*) from share_links")
            .fetch_one(&pool)
            .await
            .unwrap(),
        sqlx::query_scalar("select count(*) from webhook_endpoints")
            .fetch_one(&pool)
            .await
            .unwrap(),
    ];
    assert_eq!(links, [1, 1], "a webhook endpoint stays");
    let author = acme.operators.get("/webhook-endpoints").await.json()["data"][0]["created_by"].clone();
    assert_eq!(author["name"], "a revoked token");
    let actions = acme.names("/audit-events?limit=100", "action").await;
    let count = |action: &str| actions.iter().filter(|known| *known == action).count();
    assert_eq!((count("token.revoked"), count("invitation.revoked")), (2, 2));
    app.stop().await;
}

#[sqlx::test]
async fn a_demoted_member_keeps_what_the_new_role_could_make(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let acme = Acme::new(&app).await;
    let reader = json!({"name": "Reader", "scopes": ["domains:read"]});
    let reader = acme.admins.post("/tokens", reader).await.json();
    let reader = app.program(acme.admins.organisation_id, reader["token"].as_str().unwrap());
    let invitation = json!({"email": "one@msp.example", "role": "viewer"});
    assert_eq!(acme.admins.post("/invitations", invitation).await.status, 201);
    let admin = acme.member(ADMIN).await;
    let change = json!({"role": "editor"});
    assert_eq!(
        acme.operators.patch(&format!("/members/{admin}"), change).await.status,
        200
    );
    assert_eq!(acme.admins.get("/me").await.status, 401);
    assert_eq!(acme.second.get("/me").await.status, 401);
    assert_eq!(reader.get("/domains").await.status, 200);
    assert!(acme.names("/invitations", "email").await.is_empty());
    app.stop().await;
}

#[sqlx::test]
async fn acts_that_outlive_a_session_ask_for_the_password_again(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let acme = Acme::new(&app).await;
    let admin = acme.member(ADMIN).await;
    let member = format!("/settings/members/{admin}");
    let acts: [Act<'_>; 5] = [
        (
            "/settings/tokens",
            "/settings/tokens".into(),
            vec![
                ("name", "Nightly <sync>"),
                ("scopes", "domains:read"),
                ("scopes", "requests:read"),
                ("client_id", ""),
                ("expires_in_days", "30"),
            ],
        ),
        (
            "/settings/members",
            "/settings/invitations".into(),
            vec![("email", "new@msp.example"), ("role", "admin"), ("client_id", "")],
        ),
        (&member, member.clone(), vec![("role", "owner"), ("client_id", "")]),
        (
            "/settings/webhooks",
            "/settings/webhooks".into(),
            vec![
                ("url", "https://hooks.msp.example/y"),
                ("description", "Tickets"),
                ("events", "certificate.issued"),
                ("client_id", ""),
            ],
        ),
        (
            "/settings/organisation",
            "/settings/organisation/delete".into(),
            vec![("confirm", "Another name")],
        ),
    ];
    for (page, path, fields) in acts {
        grow_stale(&pool).await;
        let asked = acme.owner.submit_to(page, &path, &fields).await;
        assert_eq!(asked.status, 422, "{path}");
        assert!(
            asked.text.contains("Confirm it") && asked.text.contains("confirm_password"),
            "{path}"
        );
        for (name, _) in &fields {
            assert!(
                asked.text.contains(&format!("type=\"hidden\" name=\"{name}\"")),
                "{path} {name}"
            );
        }
        let with = |password| {
            fields
                .iter()
                .copied()
                .chain([("confirm_password", password)])
                .collect::<Vec<_>>()
        };
        let wrong = acme.owner.submit_to(page, &path, &with("not the password")).await;
        assert!(
            wrong.status == 422 && wrong.text.contains("is wrong"),
            "{path}: {}",
            wrong.text
        );
        let right = acme.owner.submit_to(page, &path, &with(PASSWORD)).await;
        assert!(!right.text.contains("Confirm it"), "{path}: {}", right.text);
    }
    assert!(
        acme.names("/tokens", "name")
            .await
            .contains(&"Nightly <sync>".to_owned())
    );
    assert_eq!(acme.names("/invitations", "email").await, ["new@msp.example"]);
    let tokens = acme.operators.get("/tokens").await.json();
    let tokens = tokens["data"].as_array().unwrap();
    let nightly = tokens.iter().find(|token| token["name"] == "Nightly <sync>").unwrap();
    assert_eq!(
        nightly["scopes"],
        json!(["domains:read", "requests:read"]),
        "nothing typed is lost"
    );

    // An invitation that makes nobody an admin is not asked about.
    grow_stale(&pool).await;
    let fields = [("email", "viewer@msp.example"), ("role", "viewer"), ("client_id", "")];
    let invited = acme
        .owner
        .submit_to("/settings/members", "/settings/invitations", &fields)
        .await;
    assert_eq!(leads_to(&invited), "/settings/members?done=invited");
    app.stop().await;
}

#[sqlx::test]
async fn a_request_that_lost_its_idempotency_key_overwrites_no_answer(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let msp = app.msp("Acme IT").await;
    let token_id = msp.get("/me").await.json()["token"]["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let key = Key {
        token_id,
        key: "key-1".to_owned(),
    };
    let mut db = pool.acquire().await.unwrap();
    let now = crate::clock::database_now();
    let day = chrono::TimeDelta::hours(24);
    let Claim::New(first) = claim(&mut db, &key, b"digest", now - day, now - day).await.unwrap() else {
        panic!("the key is new");
    };
    // It takes too long: another request with the key is run.
    let later = now + chrono::TimeDelta::minutes(5);
    let Claim::New(second) = claim(&mut db, &key, b"digest", later, now - day).await.unwrap() else {
        panic!("the first one is taken for dead");
    };
    assert!(!complete(&mut db, &key, first, (201, b"first")).await.unwrap());
    assert!(!release(&mut db, &key, first).await.unwrap());
    assert!(complete(&mut db, &key, second, (201, b"second")).await.unwrap());
    assert!(
        !release(&mut db, &key, second).await.unwrap(),
        "an answer is not given back"
    );
    let kept = claim(&mut db, &key, b"digest", now - day, now - day).await.unwrap();
    assert!(matches!(kept, Claim::Done { status: 201, answer_sealed } if answer_sealed == b"second"));
    app.stop().await;
}
