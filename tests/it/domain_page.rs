//! The page of one domain: what it shows is what the API says, and what it does is what the API does.
use serde_json::{Value, json};
use signpost::certificates::nodes;
use sqlx::PgPool;
use uuid::Uuid;

use super::{
    app::{Answer, Msp, TENANT, TestApp, eventually},
    faults::dns::{TestDns, a, txt},
    people::{Person, csrf_in, leads_to},
};

const HOST: &str = "contoso.test";
const PAGE: &str = "/domains/contoso.test";
const RULES: &str = "/domains/contoso.test/rules";
const LINKS: &str = "/domains/contoso.test/share-links";

/// A page as its reader sees it: what was escaped stands there as it is.
fn read(page: &str) -> String {
    page.replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#38;", "&")
}

#[track_caller]
fn shows(page: &Answer, text: &str) {
    assert!(read(&page.text).contains(text), "{text:?} is not in {}", page.text);
}

#[track_caller]
fn lacks(page: &Answer, text: &str) {
    assert!(!read(&page.text).contains(text), "{text:?} is in {}", page.text);
}

fn texts(values: &Value) -> Vec<&str> {
    values
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

impl TestApp {
    /// Somebody in the organisation of `msp` who may do what `role` says, of one client if it is given.
    async fn colleague_of(&self, msp: &Msp, role: &str, client_id: Option<Uuid>) -> Person {
        let own = format!("Own of {role} {client_id:?}");
        let person = self.owner(&own, &format!("{}@msp.example", Uuid::now_v7())).await;
        let user_id: Uuid = sqlx::query_scalar(
            "insert into memberships (organisation_id, user_id, role, client_id)
             select $1, m.user_id, $2, $3 from memberships m join organisations o using (organisation_id) where o.name = $4
             returning user_id",
        )
        .bind(msp.organisation_id)
        .bind(role)
        .bind(client_id)
        .bind(own)
        .fetch_one(&self.pool)
        .await
        .unwrap();
        sqlx::query("update sessions set organisation_id = $1 where user_id = $2")
            .bind(msp.organisation_id)
            .bind(user_id)
            .execute(&self.pool)
            .await
            .unwrap();
        person
    }
}

/// An owner, a program of the same organisation, and their domain.
async fn start(pool: PgPool) -> (TestApp, Person, Msp, Value) {
    start_with(pool, &[]).await
}

async fn start_with(pool: PgPool, settings: &[(&str, &str)]) -> (TestApp, Person, Msp, Value) {
    let app = TestApp::start_with(pool, settings).await;
    let person = app.owner("Acme IT", "ada@msp.example").await;
    let msp = app.program_of(&person).await;
    let domain = msp.register(HOST).await;
    (app, person, msp, domain)
}

/// What an editor remembers of the rules that it began with.
fn began_with(page: &Answer) -> String {
    let (_, rest) = page.text.split_once("name=\"as_of\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

async fn policy(msp: &Msp) -> Value {
    msp.get(PAGE).await.json()["policy"].clone()
}

/// Whether the page says what the API says about the domain.
async fn assert_agrees(msp: &Msp, page: &Answer) {
    let domain = msp.get(PAGE).await.json();
    let action = &domain["next_action"];
    match action["message"].as_str() {
        Some(message) => shows(page, message),
        None => shows(page, "Nothing is to be done"),
    }
    let record = &domain["ownership"]["record"];
    shows(page, record["name"].as_str().unwrap());
    shows(page, record["value"].as_str().unwrap());
    let records = domain["dns"]["records"].as_array().unwrap();
    for record in records {
        for value in texts(&record["expected"]) {
            shows(page, value);
        }
    }
    let marks = |mark: &str| page.text.matches(&format!("</span> {mark}<")).count();
    let ownership = [json!(
        !domain["ownership"]["record"]["observed"].as_array().unwrap().is_empty()
    )];
    let oks: Vec<_> = records.iter().map(|record| &record["ok"]).chain(&ownership).collect();
    let right = oks.iter().filter(|ok| **ok == &json!(true)).count();
    assert_eq!(
        marks("Right") + marks("None, and that is fine"),
        right,
        "{domain:#} {}",
        page.text
    );
    let word = match domain["status"].as_str().unwrap() {
        "pending_ownership" => "Waiting for the TXT record",
        "pending_dns" => "Waiting for DNS",
        "pending_certificate" => "Getting its certificate",
        "active" => "Active",
        other => panic!("{other}"),
    };
    shows(page, word);
    let is_awaited = page.text.contains("data-awaited");
    assert_eq!(is_awaited, domain["next_action"].is_object(), "{}", page.text);
}

#[sqlx::test]
async fn the_page_says_what_the_api_says_and_its_ticks_turn_with_the_records(pool: PgPool) {
    let mut dns = TestDns::start(&[a(HOST, "127.0.0.2")]);
    let (app, person, msp, domain) = start_with(pool, &[("SIGNPOST_DNS_SERVERS", &dns.address())]).await;
    let value = domain["ownership"]["record"]["value"].as_str().unwrap().to_owned();
    eventually(|| async { msp.get(PAGE).await.json()["ownership"]["checked_at"].is_string() }).await;
    let page = person.get(PAGE).await;
    assert_eq!(page.status, 200);
    assert_agrees(&msp, &page).await;
    shows(&page, "Next: Contoso’s DNS admin");
    shows(&page, "127.0.0.2");

    dns.change(&[a(HOST, "127.0.0.2"), txt("_signpost.contoso.test", &[&value])]);
    let checked = person.submit_to(PAGE, "/domains/contoso.test/check", &[]).await;
    assert_eq!(leads_to(&checked), "/domains/contoso.test?done=checked");
    let page = person.get(leads_to(&checked)).await;
    shows(&page, "We have just looked at the domain");
    assert_agrees(&msp, &page).await;
    shows(&page, "Point contoso.test at Signpost");

    dns.change(&[a(HOST, "127.0.0.1"), txt("_signpost.contoso.test", &[&value])]);
    person.submit_to(PAGE, "/domains/contoso.test/check", &[]).await;
    // From here on the page's script would be told by itself.
    let live = || async { person.get("/domains/contoso.test?part=live").await };
    eventually(|| async { live().await.text.contains("Nothing is to be done") }).await;
    let part = live().await;
    assert!(!part.text.contains("<html"), "{}", part.text);
    assert_agrees(&msp, &part).await;
    let certificate = msp.get(PAGE).await.json()["certificate"].clone();
    assert_eq!(certificate["state"], "valid");
    shows(&part, "Valid until");
    app.stop().await;
}

#[sqlx::test]
async fn rules_are_added_moved_removed_and_saved_without_a_script(pool: PgPool) {
    let (app, person, msp, domain) = start(pool).await;
    let server = domain["policy"]["default"]["server_id"].as_str().unwrap();
    let page = person.get(RULES).await;
    assert_eq!(page.status, 200);
    let as_of = began_with(&page);
    let fixed = [
        ("as_of", as_of.as_str()),
        ("action-default", "serve"),
        ("server-default", server),
        ("connection", "direct"),
        ("website_url", "https://www.contoso.test"),
    ];
    let send = |fields: &[(&'static str, &'static str)]| {
        let fields: Vec<_> = fixed.iter().copied().chain(fields.iter().copied()).collect();
        let person = &person;
        async move { person.submit_to(RULES, RULES, &fields).await }
    };
    let added = send(&[("do", "add")]).await;
    assert_eq!(added.status, 200);
    shows(&added, "Nothing is saved yet");
    assert!(added.text.contains("name=\"users-0\"") && !added.text.contains("name=\"users-1\""));
    shows(&added, "https://www.contoso.test");

    let two = &[
        ("rule", "0"),
        ("families-0", "Mac"),
        ("families-0", "iPad"),
        ("action-0", "reject"),
        ("message-0", "Ask the <b>help desk</b>"),
        ("rule", "1"),
        ("users-1", "*@pilot.contoso.test\r\nada@contoso.test"),
        ("action-1", "redirect"),
        ("url-1", "https://other.example/discovery"),
    ];
    let moved = send(&[two, &[("do", "up-1")][..]].concat()).await;
    let (first, second) = moved.text.split_once("id=\"rule-1\"").unwrap();
    assert!(first.contains("*@pilot.contoso.test") && second.contains("Ask the &#60;b&#62;help desk"));
    assert_eq!(second.matches(" checked").count(), 2, "{second}");
    let removed = send(&[two, &[("do", "remove-0")][..]].concat()).await;
    lacks(&removed, "help desk");
    assert!(
        policy(&msp).await["rules"].as_array().unwrap().is_empty(),
        "nothing is saved yet"
    );

    let tried = [
        two,
        &[
            ("do", "try"),
            ("preview_user", "x@contoso.test"),
            ("preview_family", "iPad"),
        ][..],
    ]
    .concat();
    shows(&send(&tried).await, "It is refused, saying “Ask the <b>help desk</b>”");

    let saved = send(&[two, &[("do", "save")][..]].concat()).await;
    assert_eq!(leads_to(&saved), "/domains/contoso.test?done=rules");
    assert_eq!(
        policy(&msp).await,
        json!({"default": {"action": "serve", "server_id": server}, "rules": [
            {"when": {"model_families": ["Mac", "iPad"]}, "then": {"action": "reject", "message": "Ask the <b>help desk</b>"}},
            {"when": {"users": ["*@pilot.contoso.test", "ada@contoso.test"]}, "then": {"action": "redirect", "url": "https://other.example/discovery"}},
        ]})
    );
    assert_eq!(msp.get(PAGE).await.json()["website_url"], "https://www.contoso.test");
    let events = msp.get("/audit-events").await.json();
    let newest = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["action"] == "domain.updated")
        .unwrap();
    assert!(!newest.to_string().contains("ada@contoso.test"), "{newest:#}");
    assert!(newest.to_string().contains("member"), "{newest:#}");

    let page = person.get(leads_to(&saved)).await;
    for text in [
        "Refuse, saying “Ask the <b>help desk</b>”",
        "*@pilot.contoso.test",
        "Send on to https://other.example/discovery",
    ] {
        shows(&page, text);
    }
    assert!(!page.text.contains("<b>help desk"));

    let late = send(&[("do", "save")]).await;
    assert_eq!(late.status, 422);
    shows(&late, "Somebody has changed this domain");
    assert_eq!(policy(&msp).await["rules"].as_array().unwrap().len(), 2);
    let now = began_with(&late);
    let again: Vec<_> = [("as_of", now.as_str()), ("do", "save")]
        .into_iter()
        .chain(fixed.iter().copied().skip(1))
        .collect();
    leads_to(&person.submit(RULES, &again).await);
    assert!(
        policy(&msp).await["rules"].as_array().unwrap().is_empty(),
        "who was told may go on"
    );
    app.stop().await;
}

#[sqlx::test]
async fn what_is_wrong_with_the_rules_is_said_at_its_field_and_nothing_typed_is_lost(pool: PgPool) {
    let (app, person, msp, _) = start(pool).await;
    let before = policy(&msp).await;
    let stranger = app.msp("Other IT").await;
    let theirs = stranger.register("fabrikam.test").await;
    let theirs = theirs["policy"]["default"]["server_id"].as_str().unwrap();
    let long = "x".repeat(600);
    for hostile in [
        "",
        "<script>alert(1)</script>",
        "' or 1=1 --",
        "\u{202e}moc",
        "🦢🦢",
        "a\0b",
        &long,
    ] {
        let fields = [
            ("as_of", hostile),
            ("rule", "0"),
            ("families-0", hostile),
            ("users-0", "\u{1}"),
            ("action-0", "redirect"),
            ("url-0", hostile),
            ("rule", hostile),
            ("rule", "7"),
            ("users-7", "typed with care"),
            ("action-7", "serve"),
            ("server-7", theirs),
            ("action-default", hostile),
            ("message-default", hostile),
            ("connection", hostile),
            ("website_url", "javascript:alert(1)"),
            ("do", "save"),
        ];
        let refused = person.submit(RULES, &fields).await;
        assert_eq!(refused.status, 422, "{hostile:?}");
        for text in ["typed with care", "javascript:alert(1)", "Not everything is right yet"] {
            match text {
                "Not everything is right yet" => shows(&refused, "Somebody has changed"),
                _ => shows(&refused, text),
            }
        }
        shows(&refused, "The MDM server is to be chosen.");
        assert!(!refused.text.contains("<script>alert"), "{}", refused.text);
        assert_eq!(policy(&msp).await, before);
    }
    let answer = person.submit(RULES, &[("do", "try")]).await;
    assert_eq!(answer.status, 422);
    app.stop().await;
}

#[sqlx::test]
async fn the_editor_refuses_patterns_beyond_a_limit_and_keeps_those_from_before_it(pool: PgPool) {
    let (app, person, msp, domain) = start(pool).await;
    let server = domain["policy"]["default"]["server_id"].as_str().unwrap();
    let lines = |count: usize| vec![format!("*{}*", "x".repeat(62)); count].join("\n");
    let (stored, fewer) = (lines(70), lines(65));
    let send = async |users: &str, website: &str| {
        let as_of = began_with(&person.get(RULES).await);
        let fields = [
            ("as_of", as_of.as_str()),
            ("rule", "0"),
            ("families-0", "Mac"),
            ("families-0", "iPad"),
            ("users-0", users),
            ("action-0", "defer"),
            ("action-default", "serve"),
            ("server-default", server),
            ("connection", "direct"),
            ("website_url", website),
            ("do", "save"),
        ];
        person.submit(RULES, &fields).await
    };
    let refused = send(&stored, "").await;
    assert_eq!(refused.status, 422);
    shows(&refused, "have 4480 bytes in total, and the limit is 4096: remove some");
    shows(&refused, &stored);
    assert_eq!(policy(&msp).await, domain["policy"]);

    let users: Vec<_> = stored.lines().collect();
    let rule = json!({"when": {"model_families": ["iPad", "Mac"], "users": users}, "then": {"action": "defer"}});
    let before = json!({"default": domain["policy"]["default"], "rules": [rule]});
    let store = sqlx::query("update domains set policy = $1").bind(&before);
    store.execute(&app.pool).await.unwrap();
    shows(
        &person.get(PAGE).await,
        "The rules were saved before a limit was introduced",
    );
    leads_to(&send(&stored, "https://www.contoso.test").await);
    assert_eq!(policy(&msp).await["rules"][0]["when"]["users"], json!(users));
    assert_eq!(msp.get(PAGE).await.json()["website_url"], "https://www.contoso.test");
    assert_eq!(send(&fewer, "").await.status, 422);
    leads_to(&send(&lines(64), "").await);
    lacks(
        &person.get(PAGE).await,
        "The rules were saved before a limit was introduced",
    );
    app.stop().await;
}

#[sqlx::test]
async fn what_a_device_would_get_is_what_the_api_foretells(pool: PgPool) {
    let (app, person, msp, domain) = start(pool).await;
    let server = domain["policy"]["default"]["server_id"].clone();
    let changed = msp
        .patch(
            PAGE,
            json!({"policy": {"default": {"action": "serve", "server_id": server}, "rules": [
                {"when": {"model_families": ["Mac"], "users": ["ada@*"]}, "then": {"action": "defer"}},
                {"when": {"model_families": ["iPad"]}, "then": {"action": "redirect", "url": "https://other.example/d"}},
            ]}}),
        )
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    for (user, family, words) in [
        ("ada%40contoso.test", "Mac", "left to Apple Business Manager"),
        ("bob%40contoso.test", "Mac", "told where to enroll"),
        (
            "bob%40contoso.test",
            "iPad",
            "sent on to https://other.example/d?user-identifier=bob%40contoso.test&model-family=iPad",
        ),
        ("%3Cscript%3E%22", "", "told where to enroll"),
    ] {
        let page = person.get(&format!("{PAGE}?user={user}&family={family}")).await;
        shows(&page, words);
        assert!(!page.text.contains("<script>\""));
        let foretold = msp
            .get(&format!("{PAGE}/preview?user_identifier={user}&model_family={family}"))
            .await
            .json();
        shows(&page, &foretold["status"].to_string());
        match foretold["matched"].as_str().unwrap() {
            "default" => shows(&page, "no rule matches"),
            rule => shows(&page, &format!("({rule})")),
        }
        if let Some(url) = foretold["body"]["Servers"][0]["BaseURL"].as_str() {
            shows(&page, url);
            assert!(url.contains(TENANT));
        }
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_link_is_made_shown_once_opened_by_anybody_and_revoked(pool: PgPool) {
    let (app, person, msp, domain) = start(pool).await;
    for days in ["", "0", "91", "ten", "<script>"] {
        let refused = person.submit_to(PAGE, LINKS, &[("days", days)]).await;
        assert_eq!(refused.status, 422, "{days}");
        shows(&refused, "must be a number from 1 to 90");
        shows(&refused, &format!("value=\"{days}\""));
        assert!(!refused.text.contains("<script>\""));
    }
    let made = person.submit_to(PAGE, LINKS, &[("days", "7")]).await;
    assert_eq!(made.status, 200);
    let path = made.text.split_once("/share/sgs_").unwrap().1;
    let path = format!("/share/sgs_{}", &path[..32]);
    lacks(&person.get(PAGE).await, &path);

    let anybody = app.person();
    let shared = anybody.get(&path).await;
    assert_eq!(shared.status, 200, "{}", shared.text);
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-robots-tag", "noindex"),
    ] {
        assert_eq!(shared.header(name), Some(value));
    }
    let part = anybody.get(&format!("{path}?part=live")).await;
    assert_eq!(part.header("x-robots-tag"), Some("noindex"));
    let json = anybody.get(&format!("{path}.json")).await.json();
    for page in [&shared, &part] {
        shows(page, json["next_action"]["message"].as_str().unwrap());
        shows(page, json["ownership"]["record"]["value"].as_str().unwrap());
        for secret in [
            "Acme IT",
            "Contoso’s",
            TENANT,
            domain["client_id"].as_str().unwrap(),
            "Intune",
            "ada@",
        ] {
            lacks(page, secret);
        }
    }
    shows(&shared, "the DNS admin of contoso.test");
    assert!(anybody.cookies().is_empty(), "no cookie is given out");

    let listed = msp.get(LINKS).await.json();
    let id = listed["data"][0]["id"].as_str().unwrap();
    let revoked = person.submit_to(PAGE, &format!("{LINKS}/{id}/revoke"), &[]).await;
    assert_eq!(leads_to(&revoked), "/domains/contoso.test?done=revoked#share");
    for path in [
        path.as_str(),
        "/share/x",
        "/share/sgs_%3Cscript%3E",
        &format!("{path}?part=live"),
    ] {
        let gone = anybody.get(path).await;
        assert_eq!(
            (gone.status, gone.header("x-robots-tag")),
            (404, Some("noindex")),
            "{path}"
        );
        shows(&gone, "This link shows nothing");
    }
    let again = person.submit_to(PAGE, &format!("{LINKS}/{id}/revoke"), &[]).await;
    assert_eq!(again.status, 404);
    app.stop().await;
}

#[sqlx::test]
async fn a_redirect_s_lines_stand_on_the_page_and_on_the_shared_one(pool: PgPool) {
    let (app, person, msp, _) = start(pool).await;
    let page = person.get(&format!("{PAGE}?set-up=proxy")).await;
    shows(&page, "The connection of contoso.test is another one now");
    for connection in ["redirect", "proxy"] {
        msp.patch(PAGE, json!({"connection": connection})).await;
        let made = person.submit_to(PAGE, LINKS, &[("days", "7")]).await;
        let path = made.text.split_once("/share/sgs_").unwrap().1;
        let path = format!("/share/sgs_{}", &path[..32]);
        let setup = msp.get(&format!("{PAGE}/setup")).await.json();
        for page in [person.get(PAGE).await, app.person().get(&path).await] {
            shows(&page, setup["target"].as_str().unwrap());
            for snippet in setup["snippets"].as_array().unwrap() {
                shows(&page, snippet["text"].as_str().unwrap());
            }
            shows(&page, "The web server of contoso.test");
        }
    }
    app.stop().await;
}

#[sqlx::test]
async fn the_page_walks_through_discovery_as_a_device_does(pool: PgPool) {
    let dns = TestDns::start(&[a(HOST, "127.0.0.77")]);
    let settings = [
        ("SIGNPOST_DNS_SERVERS", dns.address()),
        ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8".to_owned()),
        ("SIGNPOST_PUBLIC_HTTPS_PORT", "1".to_owned()),
    ];
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (app, person, msp, _) = start_with(pool, &settings).await;
    let report = msp.get("/domains/contoso.test/probe").await.json();
    for path in ["?probe=1", "?part=walk&probe=1"] {
        let page = person.get(&format!("{PAGE}{path}")).await;
        assert_eq!(page.status, 200);
        shows(&page, "A device does not succeed");
        for step in report["steps"].as_array().unwrap() {
            shows(&page, step["detail"].as_str().unwrap());
            shows(&page, step["remedy"].as_str().unwrap_or_default());
        }
        assert_eq!(page.text.contains("<html"), path == "?probe=1");
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_domain_is_deleted_after_a_page_that_names_it(pool: PgPool) {
    let (app, person, msp, _) = start(pool.clone()).await;
    app.verify(HOST).await;
    let page = person.get("/domains/contoso.test/delete").await;
    shows(&page, "Delete contoso.test?");
    shows(&page, "Also have its certificate revoked");
    let deleted = person
        .submit("/domains/contoso.test/delete", &[("revoke_certificate", "yes")])
        .await;
    assert_eq!(leads_to(&deleted), "/domains?done=deleted");
    msp.get(PAGE).await.problem(404, "not_found");
    assert_eq!(person.get(PAGE).await.status, 404);
    let actions: Vec<_> = msp.get("/audit-events").await.json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["action"].as_str().unwrap().to_owned())
        .collect();
    assert!(actions.contains(&"domain.deleted".to_owned()), "{actions:?}");
    app.stop().await;
}

/// Every page below the domain, and what is sent to each.
const DOORS: [(&str, &str); 9] = [
    ("GET", ""),
    ("GET", "?part=live"),
    ("GET", "?probe=1"),
    ("GET", "/rules"),
    ("GET", "/delete"),
    ("POST", "/check"),
    ("POST", "/rules"),
    ("POST", "/share-links"),
    ("POST", "/delete"),
];

async fn knock(person: &Person, door: (&str, &str), csrf: &str) -> Answer {
    let path = format!("{PAGE}{}", door.1);
    match door.0 {
        "GET" => person.get(&path).await,
        _ => person.post_raw(&path, &[("csrf", csrf), ("days", "7")]).await,
    }
}

#[sqlx::test]
async fn nobody_opens_a_door_that_is_not_theirs(pool: PgPool) {
    let (app, owner, msp, domain) = start(pool).await;
    let other = msp
        .post(
            "/domains",
            json!({"hostname": "fabrikam.test", "client_name": "Fabrikam", "policy": {"default": {"action": "defer"}}}),
        )
        .await
        .json();
    let id = |domain: &Value| Some(domain["client_id"].as_str().unwrap().parse().unwrap());
    let link = msp.post(LINKS, json!({})).await.json();
    let revoke = format!("/share-links/{}/revoke", link["id"].as_str().unwrap());
    let doors: Vec<_> = DOORS.into_iter().chain([("POST", revoke.as_str())]).collect();
    let stranger = app.owner("Other IT", "eve@other.example").await;
    let of_another_client = app.colleague_of(&msp, "editor", id(&other)).await;
    for person in [&stranger, &of_another_client] {
        let csrf = csrf_in(&person.get("/").await.text);
        for door in &doors {
            assert_eq!(knock(person, *door, &csrf).await.status, 404, "{door:?}");
        }
    }
    for viewer in [
        app.colleague_of(&msp, "viewer", None).await,
        app.colleague_of(&msp, "viewer", id(&domain)).await,
    ] {
        let page = viewer.get(PAGE).await;
        assert_eq!(page.status, 200);
        let csrf = csrf_in(&page.text);
        for button in ["Check now", "Edit the rules", "Make a link", "Revoke", "Delete"] {
            lacks(&page, button);
        }
        for door in doors
            .iter()
            .filter(|door| door.0 == "POST" || !door.1.is_empty() && !door.1.starts_with('?'))
        {
            assert_eq!(knock(&viewer, *door, &csrf).await.status, 403, "{door:?}");
        }
    }
    let nobody = app.person();
    for door in &doors {
        let answer = knock(&nobody, *door, "").await;
        let expected = if door.0 == "GET" { 303 } else { 401 };
        assert_eq!(answer.status, expected, "{door:?}");
    }
    for door in doors.iter().filter(|door| door.0 == "POST") {
        assert_eq!(knock(&owner, *door, "").await.status, 403, "no token: {door:?}");
    }
    assert_eq!(msp.get(LINKS).await.json()["data"].as_array().unwrap().len(), 1);
    assert_eq!(msp.get(PAGE).await.json()["updated_at"], domain["updated_at"]);

    let editor = app.colleague_of(&msp, "editor", id(&domain)).await;
    let made = editor.submit_to(PAGE, LINKS, &[("days", "1")]).await;
    assert_eq!(made.status, 200, "an editor of this client may");
    for path in [
        "/domains/nothing.test",
        "/domains/%3Cscript%3E.test",
        "/domains/a..b",
        "/domains/%00.test",
    ] {
        assert_eq!(owner.get(path).await.status, 404, "{path}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn the_certificate_s_story_is_told_to_members_with_what_nodes_show_and_to_guests_in_short(pool: PgPool) {
    let (app, person, msp, _) = start(pool.clone()).await;
    app.verify(HOST).await;
    let failure = json!({
        "code": "caa_forbids", "message": "The CAA record <b>forbids</b> it.", "remedy": "Allow the CA.",
        "at": "2026-11-20T08:00:00Z", "is_theirs": true, "ca": {"kind": "caa", "detail": "CAA says \"no\""},
    });
    sqlx::query(
        "insert into certificate_leases (hostname, issuer, failure, due_at)
         select hostname, issuer, $1, '2126-11-21' from certificates where hostname = $2
         on conflict (hostname, issuer) do update set failure = excluded.failure, due_at = excluded.due_at",
    )
    .bind(&failure)
    .bind(HOST)
    .execute(&pool)
    .await
    .unwrap();
    let node_id = Uuid::now_v7();
    let issuer: String = sqlx::query_scalar("select issuer from certificates where hostname = $1")
        .bind(HOST)
        .fetch_one(&pool)
        .await
        .unwrap();
    nodes::store::beat(&mut pool.acquire().await.unwrap(), node_id, &issuer)
        .await
        .unwrap();
    sqlx::query(
        "insert into served_certificates (node_id, hostname, address, state, checked_at)
         values ($1, $2, '192.0.2.10:443', 'unreachable', '2026-11-20')",
    )
    .bind(node_id)
    .bind(HOST)
    .execute(&pool)
    .await
    .unwrap();
    let page = person.get(PAGE).await;
    let certificate = msp.get(PAGE).await.json()["certificate"].clone();
    assert_eq!(certificate["failure"]["remedy"], "Allow the CA.");
    let served = certificate["served"].as_array().unwrap();
    assert!(
        served.iter().any(|node| node["state"] == "unreachable"),
        "{certificate:#}"
    );
    let until: chrono::DateTime<chrono::Utc> = certificate["not_after"].as_str().unwrap().parse().unwrap();
    let until = until.format("%-d %b %Y, %H:%M UTC").to_string();
    let story = [
        "Signpost’s own CA",
        "The CAA record <b>forbids</b> it.",
        "Allow the CA.",
        "CAA says \"no\"",
        "20 Nov 2026, 08:00 UTC",
        "21 Nov 2126, 00:00 UTC",
        "192.0.2.10:443",
        "Can’t be reached",
    ];
    for text in story.iter().chain([&until.as_str()]) {
        shows(&page, text);
    }
    assert!(!page.text.contains("<b>forbids"));

    let made = person.submit_to(PAGE, LINKS, &[("days", "7")]).await;
    let token = made.text.split_once("/share/").unwrap().1;
    let shared = app.person().get(&format!("/share/{}", &token[..36])).await;
    shows(&shared, &until);
    for text in story {
        lacks(&shared, text);
    }
    app.stop().await;
}
