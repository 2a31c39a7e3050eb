//! Who is a member, with what role, and who may change that: by the pages and by the API.
use serde_json::{Value, json};
use signpost::accounts::{Operator, people};
use sqlx::PgPool;

use super::{
    app::{Answer, Msp, TestApp},
    people::{PASSWORD, Person, leads_to, link},
};

const OWNER: &str = "ada@msp.example";

/// An organisation with one of each role, a client, and a program that may everything.
struct Acme {
    owner: Person,
    admin: Person,
    editor: Person,
    viewer: Person,
    limited: Person,
    program: Msp,
    client: String,
}

impl Acme {
    async fn new(app: &TestApp) -> Self {
        let owner = app.owner("Acme IT", OWNER).await;
        let program = app.program_of(&owner).await;
        app.hand_tokens_to_the_operator().await;
        let client = program.post("/clients", json!({"name": "Contoso"})).await.json();
        let client = client["id"].as_str().unwrap().to_owned();
        Self {
            admin: app.colleague(&owner, "admin@msp.example", "admin", "").await,
            editor: app.colleague(&owner, "editor@msp.example", "editor", "").await,
            viewer: app.colleague(&owner, "viewer@msp.example", "viewer", "").await,
            limited: app
                .colleague(&owner, "limited@contoso.example", "editor", &client)
                .await,
            owner,
            program,
            client,
        }
    }

    async fn id(&self, email: &str) -> String {
        id_of(&self.program, email).await
    }

    /// What is to stay as it is, but for when somebody was seen.
    async fn all(&self) -> Vec<Value> {
        let mut members = self.program.get("/members").await.json();
        for member in members["data"].as_array_mut().unwrap() {
            member["last_seen_at"].take();
        }
        let tokens = self.program.get("/tokens").await.json();
        let tokens = tokens["data"].as_array().unwrap().len();
        vec![
            members,
            self.program.get("/invitations").await.json(),
            json!(tokens),
            self.program.get("/audit-events").await.json(),
            self.program.get("/me").await.json(),
        ]
    }
}

async fn id_of(program: &Msp, email: &str) -> String {
    let members = program.get("/members").await.json();
    let members = members["data"].as_array().unwrap();
    let found = members.iter().find(|member| member["email"] == email);
    found.expect(email)["id"].as_str().unwrap().to_owned()
}

async fn roles(program: &Msp) -> Vec<String> {
    let members = program.get("/members").await.json();
    let roles = members["data"].as_array().unwrap().iter();
    let mut roles: Vec<_> = roles
        .map(|member| member["role"].as_str().unwrap().to_owned())
        .collect();
    roles.sort();
    roles
}

/// Sends a form with the person's own token, whatever page it stands on.
async fn post(person: &Person, path: &str, fields: &[(&str, &str)]) -> Answer {
    person.submit_to("/settings", path, fields).await
}

#[sqlx::test]
async fn who_may_not_change_settings_is_refused_and_changes_nothing(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let acme = Acme::new(&app).await;
    let stranger = app.owner("Other IT", "eve@other.example").await;
    let invited = acme
        .program
        .post("/invitations", json!({"email": "new@msp.example", "role": "viewer"}))
        .await
        .json();
    let invitation = invited["id"].as_str().unwrap();
    let tokens = acme.program.get("/tokens").await.json();
    let token = tokens["data"][0]["id"].as_str().unwrap().to_owned();
    let viewer = acme.id("viewer@msp.example").await;
    let standing = [("role", "viewer"), ("client_id", "")];
    let invite = [("email", "x@x.example"), ("role", "viewer"), ("client_id", "")];
    let new_token = [("name", "x"), ("scopes", "domains:read"), ("client_id", "")];
    let settings = [("name", "Mine"), ("request_days", "1"), ("audit_days", "30")];
    let writes: Vec<(String, &[(&str, &str)])> = vec![
        (format!("/settings/members/{viewer}"), &standing),
        (format!("/settings/members/{viewer}/remove"), &[]),
        (format!("/settings/invitations/{invitation}/resend"), &[]),
        (format!("/settings/invitations/{invitation}/delete"), &[]),
        (format!("/settings/tokens/{token}/revoke"), &[]),
        ("/settings/invitations".into(), &invite),
        ("/settings/tokens".into(), &new_token),
        ("/settings/organisation".into(), &settings),
        ("/settings/organisation/delete".into(), &[("confirm", "Acme IT")]),
    ];
    let before = acme.all().await;
    for (path, fields) in &writes {
        for person in [&acme.editor, &acme.viewer, &acme.limited] {
            let answer = post(person, path, fields).await;
            assert_eq!(answer.status, 403, "{path}: {}", answer.text);
            assert!(answer.text.contains("Your role does not allow that"));
        }
        let nobody = app.person();
        let csrf = nobody.csrf("/sign-in").await;
        let fields: Vec<_> = fields.iter().copied().chain([("csrf", csrf.as_str())]).collect();
        assert_eq!(nobody.post_raw(path, &fields).await.status, 401, "{path}");
        // Without the token of a form not even an owner.
        assert_eq!(acme.owner.post_raw(path, &[]).await.status, 403, "{path}");
    }
    for (path, fields) in &writes[..5] {
        assert_eq!(post(&stranger, path, fields).await.status, 404, "{path}");
    }
    for page in [
        "/settings/members",
        "/settings/tokens",
        "/settings/organisation",
        "/settings/audit",
        &format!("/settings/members/{viewer}"),
    ] {
        for person in [&acme.editor, &acme.viewer, &acme.limited] {
            assert_eq!(person.get(page).await.status, 403, "{page}");
            let index = person.get("/settings").await;
            assert!(!index.text.contains("/settings/members"), "no link to what is refused");
        }
        assert_eq!(acme.admin.get(page).await.status, 200, "{page}");
    }
    assert_eq!(stranger.get(&format!("/settings/members/{viewer}")).await.status, 404);
    assert_eq!(acme.all().await, before);
    app.stop().await;
}

#[sqlx::test]
async fn an_admin_and_a_token_make_change_and_remove_no_owner(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let acme = Acme::new(&app).await;
    let (owner, admin, viewer) = (
        acme.id(OWNER).await,
        acme.id("admin@msp.example").await,
        acme.id("viewer@msp.example").await,
    );
    let before = roles(&acme.program).await;
    for (path, role) in [
        (format!("/settings/members/{owner}"), "viewer"),
        (format!("/settings/members/{owner}/remove"), ""),
        (format!("/settings/members/{admin}"), "owner"),
        (format!("/settings/members/{viewer}"), "owner"),
    ] {
        let answer = post(&acme.admin, &path, &[("role", role), ("client_id", "")]).await;
        assert_eq!(answer.status, 403, "{path} {role}: {}", answer.text);
    }
    let invited = [("email", "x@x.example"), ("role", "owner"), ("client_id", "")];
    assert_eq!(post(&acme.admin, "/settings/invitations", &invited).await.status, 403);
    let deletion = [("confirm", "Acme IT")];
    let deleted = post(&acme.admin, "/settings/organisation/delete", &deletion).await;
    assert_eq!(deleted.status, 403);
    let page = acme.admin.get(&format!("/settings/members/{owner}")).await.text;
    assert!(page.contains("Only an owner can change") && !page.contains("Save</button>"));
    assert!(
        !acme
            .admin
            .get("/settings/members")
            .await
            .text
            .contains("value=\"owner\"")
    );

    let path = "/settings/invitations";
    let invited = [("email", "second@msp.example"), ("role", "owner"), ("client_id", "")];
    assert_eq!(post(&acme.owner, path, &invited).await.status, 303);
    let open = acme.program.get("/invitations").await.json();
    let id = open["data"][0]["id"].as_str().unwrap();
    for what in ["resend", "delete"] {
        let answer = post(&acme.admin, &format!("{path}/{id}/{what}"), &[]).await;
        assert_eq!(answer.status, 403, "{what}: {}", answer.text);
    }

    for (id, body) in [(&owner, json!({"role": "viewer"})), (&viewer, json!({"role": "owner"}))] {
        let answer = acme.program.patch(&format!("/members/{id}"), body).await;
        answer.problem(403, "forbidden");
    }
    let path = format!("/members/{owner}");
    acme.program.delete(&path).await.problem(403, "forbidden");
    let body = json!({"email": "x@x.example", "role": "owner"});
    acme.program.post("/invitations", body).await.problem(403, "forbidden");
    assert_eq!(roles(&acme.program).await, before);
    // What an admin may.
    let path = format!("/settings/members/{viewer}");
    let limited = post(&acme.admin, &path, &[("role", "editor"), ("client_id", &acme.client)]).await;
    assert_eq!(leads_to(&limited), "/settings/members?done=changed");
    app.stop().await;
}

#[sqlx::test]
async fn an_organisation_keeps_an_owner(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let acme = Acme::new(&app).await;
    let owner = acme.id(OWNER).await;
    let own = format!("/settings/members/{owner}");
    let refused = post(&acme.owner, &own, &[("role", "admin"), ("client_id", "")]).await;
    assert!(refused.status == 422 && refused.text.contains("make somebody else an owner first"));
    let refused = post(&acme.owner, &format!("{own}/remove"), &[]).await;
    assert!(refused.status == 422 && refused.text.contains("An organisation needs an owner"));
    let refused = post(&acme.owner, "/settings/leave", &[]).await;
    assert!(refused.status == 422 && refused.text.contains("You are the only owner"));

    let admin = format!("/settings/members/{}", acme.id("admin@msp.example").await);
    post(&acme.owner, &admin, &[("role", "owner"), ("client_id", "")]).await;
    let demoted = post(&acme.owner, &own, &[("role", "viewer"), ("client_id", "")]).await;
    assert_eq!(leads_to(&demoted), "/settings?done=changed", "the list is for admins");
    assert_eq!(acme.owner.get("/settings/members").await.status, 403, "at once");
    let raised = post(&acme.owner, &own, &[("role", "owner"), ("client_id", "")]).await;
    assert_eq!(raised.status, 403, "there is no way back by one's own hand");
    assert_eq!(
        roles(&acme.program).await,
        ["editor", "editor", "owner", "viewer", "viewer"]
    );
    app.stop().await;
}

#[sqlx::test]
async fn two_owners_that_demote_remove_or_leave_at_once_leave_one(pool: PgPool) {
    let app = TestApp::start(pool).await;
    for round in 0..6 {
        let emails = [format!("a{round}@race.example"), format!("b{round}@race.example")];
        let one = app.owner("Race", &emails[0]).await;
        let other = app.colleague(&one, &emails[1], "owner", "").await;
        let program = app.program_of(&one).await;
        app.hand_tokens_to_the_operator().await;
        let ids = [id_of(&program, &emails[0]).await, id_of(&program, &emails[1]).await];
        let standing = [("role", "viewer"), ("client_id", "")];
        let paths = match round % 3 {
            0 => [1, 0].map(|of: usize| format!("/settings/members/{}", ids[of])),
            1 => [1, 0].map(|of: usize| format!("/settings/members/{}/remove", ids[of])),
            _ => ["/settings/leave".to_owned(), "/settings/leave".to_owned()],
        };
        let tokens = [one.csrf("/settings").await, other.csrf("/settings").await];
        let fields = tokens.each_ref().map(|csrf| {
            let csrf = [("csrf", csrf.as_str())];
            csrf.into_iter().chain(standing).collect::<Vec<_>>()
        });
        let (first, second) = tokio::join!(
            one.post_raw(&paths[0], &fields[0]),
            other.post_raw(&paths[1], &fields[1])
        );
        let mut done = [first.status, second.status];
        done.sort_unstable();
        assert_eq!(done[0], 303, "one of them does it: {done:?}");
        assert!([401, 403, 422].contains(&done[1]), "and the other does not: {done:?}");
        let owners = roles(&program).await.into_iter().filter(|role| role == "owner");
        assert_eq!(owners.count(), 1, "{paths:?}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn whoever_is_removed_or_leaves_is_signed_out_at_once_and_forgotten(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let acme = Acme::new(&app).await;
    let viewer = acme.id("viewer@msp.example").await;
    assert_eq!(acme.viewer.get("/domains").await.status, 200);
    let removed = post(&acme.admin, &format!("/settings/members/{viewer}/remove"), &[]).await;
    assert_eq!(leads_to(&removed), "/settings/members?done=removed");
    assert_eq!(leads_to(&acme.viewer.get("/domains").await), "/sign-in?next=%2Fdomains");
    assert_eq!(app.person().sign_in("viewer@msp.example", PASSWORD).await.status, 422);
    let left = post(&acme.limited, "/settings/leave", &[]).await;
    assert_eq!(leads_to(&left), "/sign-in?done=left");
    let users: i64 = sqlx::query_scalar("select count(*) from users")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(users, 3, "nothing is kept of who is a member of nothing");
    // What they did is told of nobody by name.
    let events = acme.program.get("/audit-events?limit=100").await.text;
    assert!(events.contains("a former member") && !events.contains("viewer@msp.example"));
    // A client takes with it whoever sees nothing else.
    let fields = ("other@contoso.example", "viewer");
    app.colleague(&acme.owner, fields.0, fields.1, &acme.client).await;
    let deleted = acme.program.delete(&format!("/clients/{}", acme.client)).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(app.person().sign_in(fields.0, PASSWORD).await.status, 422);
    // And they may come again, as somebody new.
    app.colleague(&acme.owner, fields.0, fields.1, "").await;
    app.colleague(&acme.owner, "viewer@msp.example", "editor", "").await;

    let admin = acme.id("admin@msp.example").await;
    let path = format!("/members/{admin}");
    assert_eq!(acme.program.delete(&path).await.status, 204);
    acme.program.delete(&path).await.problem(404, "not_found");
    assert_eq!(leads_to(&acme.admin.get("/domains").await), "/sign-in?next=%2Fdomains");
    app.stop().await;
}

#[sqlx::test]
async fn a_member_of_several_organisations_switches_between_its_own(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let first = app.owner("Acme IT", OWNER).await;
    let second = app.owner("Other IT", "eve@other.example").await;
    let third = app.owner("Third IT", "trudy@third.example").await;
    assert!(!first.get("/settings").await.text.contains("/settings/switch"));
    let fields = [("email", OWNER), ("role", "viewer"), ("client_id", "")];
    post(&second, "/settings/invitations", &fields).await;
    let path = link(&app.mails(OWNER).await[0]);
    let before = first.cookies();
    assert_eq!(leads_to(&first.submit(&path, &[]).await), "/");
    assert_ne!(first.cookies(), before, "another secret with other rights");
    let page = first.get("/settings").await.text;
    assert!(
        page.contains("In Other IT you are Viewer") && page.contains("/settings/switch"),
        "{page}"
    );
    assert_eq!(first.get("/settings/members").await.status, 403);

    let shown = first.get("/settings/switch").await.text;
    assert!(shown.contains("Acme IT") && shown.contains("Other IT") && !shown.contains("Third IT"));
    let id = |name: &str| {
        let query = sqlx::query_scalar::<_, uuid::Uuid>("select organisation_id from organisations where name = $1");
        let (query, pool) = (query.bind(name.to_owned()), pool.clone());
        async move { query.fetch_one(&pool).await.unwrap().to_string() }
    };
    let stolen = id("Third IT").await;
    for wanted in [stolen.as_str(), "", "x", &uuid::Uuid::now_v7().to_string()] {
        let answer = post(&first, "/settings/switch", &[("organisation_id", wanted)]).await;
        assert_eq!(answer.status, 404, "{wanted}");
    }
    let (own, before) = (id("Acme IT").await, first.cookies());
    let switched = post(&first, "/settings/switch", &[("organisation_id", &own)]).await;
    assert_eq!(leads_to(&switched), "/");
    assert!(first.get("/settings").await.text.contains("In Acme IT you are Owner"));
    let old = app.person();
    old.set_cookies(before);
    assert_eq!(leads_to(&old.get("/settings").await), "/sign-in?next=%2Fsettings");

    // Out of one, and still in the other.
    let program = app.program_of(&second).await;
    let ada = id_of(&program, OWNER).await;
    assert_eq!(program.delete(&format!("/members/{ada}")).await.status, 204);
    assert_eq!(first.get("/settings").await.status, 200, "signed in to the other");
    assert_eq!(leads_to(&app.person().sign_in(OWNER, PASSWORD).await), "/");
    drop(third);
    app.stop().await;
}

#[sqlx::test]
async fn the_api_changes_members_strictly(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let acme = Acme::new(&app).await;
    let path = format!("/members/{}", acme.id("editor@msp.example").await);
    for (body, pointer) in [
        (json!({"role": "root"}), "/role"),
        (json!({"role": 1}), "/role"),
        (json!({"email": "x@x.example"}), "/email"),
        (json!({"role": "admin", "client_id": acme.client}), "/client_id"),
        (json!({"client_id": uuid::Uuid::now_v7()}), "/client_id"),
        (json!({"client_id": "contoso"}), "/client_id"),
    ] {
        assert_eq!(
            acme.program.patch(&path, body.clone()).await.pointers(),
            [pointer],
            "{body}"
        );
    }
    let limited = acme
        .program
        .patch(&path, json!({"client_id": acme.client}))
        .await
        .json();
    assert_eq!(
        (&limited["role"], &limited["client_id"]),
        (&json!("editor"), &json!(acme.client))
    );
    assert_eq!(
        acme.program.patch(&path, json!({"role": "admin"})).await.pointers(),
        ["/client_id"],
        "the limit has to go first"
    );
    let raised = json!({"role": "admin", "client_id": null});
    assert_eq!(acme.program.patch(&path, raised).await.json()["role"], "admin");
    assert_eq!(acme.editor.get("/settings/members").await.status, 200, "at once");
    let events = acme.program.get("/audit-events?limit=1").await.json();
    let event = &events["data"][0];
    assert_eq!(
        (&event["action"], &event["subject"]["name"], &event["actor"]["type"]),
        (&json!("member.updated"), &json!("editor"), &json!("token")),
        "{event}"
    );
    app.stop().await;
}

#[sqlx::test]
async fn those_who_are_told_of_what_needs_somebody_are_owners_and_admins(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let acme = Acme::new(&app).await;
    app.owner("Other IT", "eve@other.example").await;
    let scope = Operator::at_the_command_line().scope(acme.program.organisation_id);
    let mut db = pool.acquire().await.unwrap();
    let told = people::store::list_administrators(&mut db, &scope).await.unwrap();
    let told: Vec<_> = told.iter().map(ToString::to_string).collect();
    assert_eq!(told, [acme.id(OWNER).await, acme.id("admin@msp.example").await]);
    app.stop().await;
}

#[sqlx::test]
async fn nobody_switches_to_an_organisation_that_is_suspended(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let (ada, other) = (app.owner("Acme IT", OWNER).await, "other@msp.example");
    let eve = app.owner("Other IT", other).await;
    let fields = [("email", OWNER), ("role", "viewer"), ("client_id", "")];
    post(&eve, "/settings/invitations", &fields).await;
    let path = link(&app.mails(OWNER).await[0]);
    assert_eq!(leads_to(&ada.submit(&path, &[]).await), "/");
    let id_of = async |name: &'static str| -> uuid::Uuid {
        let id = sqlx::query_scalar("select organisation_id from organisations where name = $1");
        id.bind(name).fetch_one(&pool).await.unwrap()
    };
    let own = id_of("Acme IT").await.to_string();
    let switched = post(&ada, "/settings/switch", &[("organisation_id", &own)]).await;
    assert_eq!(leads_to(&switched), "/");
    sqlx::query("update organisations set suspended_at = now() where name = 'Other IT'")
        .execute(&pool)
        .await
        .unwrap();
    let suspended = id_of("Other IT").await.to_string();
    let switched = post(&ada, "/settings/switch", &[("organisation_id", &suspended)]).await;
    assert_eq!(switched.status, 404);
    assert_eq!(ada.get("/domains").await.status, 200, "they are not stuck there");
    app.stop().await;
}
