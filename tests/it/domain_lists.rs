//! The list of domains: what it shows, how it is searched, sorted and paged.
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use signpost::{
    accounts::{Operator, Scope},
    domains::{
        connection::{Expected, Fetched, Finding, Observation},
        lists::{self, Question, Sort},
        status::{Status, status},
        told::Teller,
    },
    request_log::totals::store::last_hours,
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    app::{TENANT, TestApp, eventually},
    colleagues::{HOSTILE, client_id, colleague, escaped},
    people::{Person, leads_to},
};

const EMAIL: &str = "ada@msp.example";
const ISSUER: &str = "internal";

pub fn expected() -> Expected {
    Expected {
        addresses: vec!["192.0.2.10".parse().unwrap()],
        edge_host: "edge.signpost.example".into(),
        edge_port: 443,
        authority: None,
        validation_method: "http-01",
        account_url: None,
        issuer: ISSUER.into(),
    }
}

/// Domains of ten kinds, in turn, and a client for each hundred of them.
pub async fn fill(pool: &PgPool, organisation_id: Uuid, count: u32) {
    let failed = Observation::Fetched(Fetched::Failed(Finding {
        step: "http".into(),
        code: "not_found".into(),
        detail: "404.".into(),
        remedy: "Add it.".into(),
    }));
    let failed = serde_json::to_string(&failed).unwrap();
    let ours = serde_json::to_string(&Observation::Fetched(Fetched::Ours)).unwrap();
    let sql = format!(
        r#"
        insert into clients (client_id, organisation_id, name)
        select gen_random_uuid(), '{organisation_id}', 'Client ' || n from generate_series(0, {count} / 100) n;
        create temporary table filled as
        select gen_random_uuid() as domain_id, n, n % 10 as kind,
               'n' || lpad(n::text, 5, '0') || '.example.com' as hostname
          from generate_series(1, {count}) n;
        insert into domains (domain_id, organisation_id, client_id, hostname, connection, policy,
                             ownership_verified_at, ownership_proof, suspended_at)
        select domain_id, '{organisation_id}', c.client_id, hostname,
               case when kind in (7, 8) then 'redirect' else 'direct' end, '{{"default": {{"action": "defer"}}, "rules": []}}',
               case when kind <> 0 then now() end, case when kind <> 0 then 'dns' end, case when kind = 6 then now() end
          from filled join clients c on c.organisation_id = '{organisation_id}' and c.name = 'Client ' || n / 100;
        insert into domain_checks (domain_id, due_at, ownership_missing_since, connection_checked_at, connected_at, connection_observed)
        select domain_id, null, case when kind = 4 then now() end, now(),
               case when kind in (0, 1) then null when kind in (2, 8) then now() - interval '1 day' else now() end,
               case when kind = 8 then '{failed}'::jsonb when kind = 7 then '{ours}'::jsonb end
          from filled;
        insert into certificates (certificate_id, organisation_id, domain_id, hostname, issuer, chain, key_sealed, not_before, not_after, renews_at)
        select gen_random_uuid(), '{organisation_id}', domain_id, hostname, '{ISSUER}', '{{}}', '', now(),
               case when kind = 5 then now() else now() + interval '60 days' end, now() + interval '30 days'
          from filled where kind in (3, 4, 5, 6, 9);
        drop table filled;
        analyze;
        "#
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(pool).await.unwrap();
    derive(pool).await;
}

/// Brings the projection of statuses up to date.
pub async fn derive(pool: &PgPool) {
    let teller = Teller {
        pool: pool.clone(),
        expected: expected(),
    };
    teller.begin().await.unwrap();
    while !teller.round(crate::clock::database_now()).await.unwrap().is_empty() {}
}

pub async fn organisation(pool: &PgPool, name: &str) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(
        "insert into organisations (organisation_id, name, user_digest_key, ownership_key) values ($1, $2, '', '')",
    )
    .bind(id)
    .bind(name)
    .execute(pool)
    .await
    .unwrap();
    id
}

async fn all_pages(pool: &PgPool, scope: &Scope, question: &Question) -> Vec<String> {
    let (mut found, mut question) = (Vec::new(), question.clone());
    let (mut db, now) = (pool.acquire().await.unwrap(), crate::clock::now());
    loop {
        let page = lists::list(&mut db, scope, &question, &expected(), (7, now))
            .await
            .unwrap();
        assert!(page.lines.len() <= 7);
        found.extend(page.lines.into_iter().map(|line| line.domain.hostname));
        question.after = page.next;
        if question.after.is_none() {
            return found;
        }
    }
}

#[sqlx::test]
async fn a_list_by_status_holds_those_that_have_it_and_no_other(pool: PgPool) {
    let organisation_id = organisation(&pool, "Acme IT").await;
    fill(&pool, organisation_id, 100).await;
    // Another organisation has proved one of them more recently.
    let other = organisation(&pool, "Other IT").await;
    let claim = format!(
        r#"insert into clients (client_id, organisation_id, name) values (gen_random_uuid(), '{other}', 'Contoso');
           insert into domains (domain_id, organisation_id, client_id, hostname, connection, policy, takes_over_at)
           select gen_random_uuid(), organisation_id, client_id, 'n00009.example.com', 'direct',
                  '{{"default": {{"action": "defer"}}, "rules": []}}', now()
             from clients where organisation_id = '{other}';
           insert into domain_checks (domain_id) select domain_id from domains where organisation_id = '{other}';"#
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(claim)).execute(&pool).await.unwrap();
    derive(&pool).await;
    let scope = Operator::at_the_command_line().scope(organisation_id);
    let mut db = pool.acquire().await.unwrap();
    let now = crate::clock::now();
    let page = lists::list(&mut db, &scope, &Question::default(), &expected(), (1_000, now))
        .await
        .unwrap();
    let domains: Vec<_> = page.lines.into_iter().map(|line| line.domain).collect();
    assert_eq!(domains.len(), 100);
    let mut seen = 0;
    for wanted in Status::ALL {
        let mut right: Vec<_> = domains
            .iter()
            .filter(|domain| status(domain, &expected(), crate::clock::now()) == wanted)
            .map(|domain| domain.hostname.clone())
            .collect();
        right.sort();
        seen += right.len();
        assert!(!right.is_empty(), "{wanted:?}");
        let question = Question {
            status: Some(wanted),
            ..Question::default()
        };
        assert_eq!(all_pages(&pool, &scope, &question).await, right, "{wanted:?}");
    }
    assert_eq!(seen, 100);
}

#[sqlx::test]
async fn pages_follow_each_other_without_a_gap_however_they_are_sorted(pool: PgPool) {
    let organisation_id = organisation(&pool, "Acme IT").await;
    fill(&pool, organisation_id, 40).await;
    let scope = Operator::at_the_command_line().scope(organisation_id);
    let mut lists = Vec::new();
    for sort in Sort::ALL {
        let question = Question {
            sort,
            ..Question::default()
        };
        lists.push(all_pages(&pool, &scope, &question).await);
    }
    let [by_name, backwards, newest, oldest] = lists.as_slice() else {
        panic!("four sorts");
    };
    assert_eq!(by_name.len(), 40);
    assert!(by_name.is_sorted());
    let turned = |list: &[String]| list.iter().rev().cloned().collect::<Vec<_>>();
    assert_eq!((turned(by_name), turned(newest)), (backwards.clone(), oldest.clone()));
}

/// Every hostname that the pages of a list hold, from the first to the last; how many pages ended at their bound.
async fn search(pool: &PgPool, scope: &Scope, question: &Question) -> (Vec<String>, usize) {
    let (mut found, mut partial, mut question) = (Vec::new(), 0, question.clone());
    let (mut db, now) = (pool.acquire().await.unwrap(), crate::clock::now());
    loop {
        let page = lists::list(&mut db, scope, &question, &expected(), (400, now))
            .await
            .unwrap();
        found.extend(page.lines.into_iter().map(|line| line.domain.hostname));
        partial += usize::from(page.is_partial);
        question.after = page.next;
        if question.after.is_none() {
            return (found, partial);
        }
    }
}

#[sqlx::test]
async fn a_search_finds_the_same_with_an_index_and_without_and_examines_no_more_than_its_bound(pool: PgPool) {
    let fill = include_str!("plans/fill.sql");
    let fill = format!("select set_config('plans.domains', '40000', false); {fill}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(&pool).await.unwrap();
    let organisation_id = sqlx::query_scalar("select organisation_id from organisations where name = 'Organisation 1'");
    let scope = Operator::at_the_command_line().scope(organisation_id.fetch_one(&pool).await.unwrap());
    let text = |text| lists::Text::parse(text);
    let mut seen = Vec::new();
    // Seldom, by client, both, common, too short for an index, and nothing.
    for words in ["seldom", "client 000007", "n0000997", "n00009", "9.", "nothing"] {
        for (sort, status) in [
            (Sort::Hostname, None),
            (Sort::HostnameBackwards, None),
            (Sort::Newest, None),
            (Sort::Oldest, Some(Status::Active)),
            (Sort::Hostname, Some(Status::PendingOwnership)),
        ] {
            let question = Question {
                text: text(words),
                sort,
                status,
                ..Question::default()
            };
            let expected: Vec<String> = sqlx::query_scalar(
                "select d.hostname from domains d join clients c using (client_id) join domain_statuses s using (domain_id)
                  where d.organisation_id = $1 and (d.hostname like '%' || $2 || '%' or lower(c.name) like '%' || $2 || '%')
                    and s.status = coalesce($3, s.status)
                  order by d.hostname collate \"C\"",
            )
            .bind(scope.organisation_id())
            .bind(words)
            .bind(status.map(Status::as_str))
            .fetch_all(&pool)
            .await
            .unwrap();
            let (mut found, partial) = search(&pool, &scope, &question).await;
            seen.push((words, partial));
            match sort {
                Sort::HostnameBackwards => found.reverse(),
                Sort::Hostname => {}
                Sort::Newest | Sort::Oldest => found.sort(),
            }
            assert_eq!(found, expected, "{words} {sort:?} {status:?}");
        }
    }
    let partial: BTreeSet<_> = seen
        .iter()
        .filter(|(_, partial)| *partial > 0)
        .map(|(words, _)| *words)
        .collect();
    assert!(
        !partial.contains("seldom") && !partial.contains("client 000007"),
        "{partial:?}"
    );
    sqlx::query("drop index domains_search_idx")
        .execute(&pool)
        .await
        .unwrap();
    let question = Question {
        text: text("seldom"),
        ..Question::default()
    };
    let (found, partial) = search(&pool, &scope, &question).await;
    assert_eq!(
        (found.len(), partial),
        (28, 1),
        "28,000 domains, 20,000 of them in the first page"
    );
}

#[sqlx::test]
async fn a_list_of_one_client_holds_no_others_whatever_is_asked_for(pool: PgPool) {
    let organisation_id = organisation(&pool, "Acme IT").await;
    fill(&pool, organisation_id, 300).await;
    let other = organisation(&pool, "Other IT").await;
    let client_id: Uuid = sqlx::query_scalar("select client_id from clients where name = 'Client 1'")
        .fetch_one(&pool)
        .await
        .unwrap();
    for sort in Sort::ALL {
        for (words, status) in [
            (None, None),
            (Some("n001"), None),
            (None, Some(Status::Active)),
            (Some("n001"), Some(Status::Active)),
        ] {
            let question = Question {
                client_id: Some(client_id),
                text: words.and_then(lists::Text::parse),
                status,
                sort,
                ..Question::default()
            };
            let found = all_pages(
                &pool,
                &Operator::at_the_command_line().scope(organisation_id),
                &question,
            )
            .await;
            assert!(
                !found.is_empty() && found.iter().all(|hostname| hostname.starts_with("n001")),
                "{found:?}"
            );
            let strangers = all_pages(&pool, &Operator::at_the_command_line().scope(other), &question).await;
            assert_eq!(strangers, Vec::<String>::new());
        }
    }
}

#[sqlx::test]
async fn when_each_of_a_page_was_asked_for_last_is_soon_known_however_many_counts_there_are(pool: PgPool) {
    let organisation_id = organisation(&pool, "Acme IT").await;
    fill(&pool, organisation_id, 10_000).await;
    for statement in [
        "insert into request_counts (hour, organisation_id, client_id, domain_id, hostname, model_family, outcome, count)
         select '2026-11-01Z'::timestamptz + make_interval(hours => h), organisation_id, client_id, domain_id, hostname, 'Mac', 'served', 1
           from domains cross join generate_series(1, 20) h",
        "analyze",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let scope = Operator::at_the_command_line().scope(organisation_id);
    let other = Operator::at_the_command_line().scope(organisation(&pool, "Other IT").await);
    let hostnames: Vec<_> = (501..=551).map(|n| format!("n{n:05}.example.com")).collect();
    let hostnames = [hostnames, vec!["nobody.example".to_owned()]].concat();
    let mut db = pool.acquire().await.unwrap();
    let mut best = Duration::MAX;
    for _ in 0..8 {
        let started = Instant::now();
        let hours = last_hours(&mut db, &scope, &hostnames).await.unwrap();
        best = best.min(started.elapsed());
        assert_eq!((hours.len(), hours.contains_key("nobody.example")), (51, false));
        assert!(
            hours
                .values()
                .all(|hour| hour.to_rfc3339() == "2026-11-01T20:00:00+00:00"),
            "{hours:?}"
        );
    }
    println!("{best:?}");
    assert!(best < Duration::from_millis(30), "{best:?}");
    assert!(last_hours(&mut db, &other, &hostnames).await.unwrap().is_empty());
}

#[sqlx::test]
async fn the_list_and_a_clients_page_say_when_a_device_asked_last(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    add(&person, "Contoso", "contoso.com").await;
    add(&person, "Contoso", "silent.example").await;
    app.verify("contoso.com").await;
    app.ask("contoso.com", "?model-family=Mac").await;
    let client = format!("/clients/{}", client_id(&pool, "Contoso").await);
    for page in ["/domains", &client] {
        let said = |words: &str| format!("data-label=\"Last request\">{words}</td>");
        eventually(|| async { person.get(page).await.text.contains(&said("Within the hour")) }).await;
        let text = person.get(page).await.text;
        assert_eq!(text.matches(&said("Never yet")).count(), 1, "{text}");
    }
    sqlx::query("update request_counts set hour = hour - interval '3 days'")
        .execute(&pool)
        .await
        .unwrap();
    assert!(person.get("/domains").await.text.contains(">3 days ago</td>"));
    app.stop().await;
}

async fn add(person: &Person, client: &str, hostname: &str) {
    let fields = [
        ("client", client),
        ("hostname", hostname),
        ("mdm", "intune"),
        ("p_tenant_id", TENANT),
    ];
    let added = person.submit("/domains/new", &fields).await;
    assert_eq!(leads_to(&added), format!("/domains/{hostname}?done=added"));
}

/// The hostnames of a page, in its order.
fn shown(page: &str) -> Vec<&str> {
    page.split("<th role=\"rowheader\" scope=\"row\"><a href=\"/domains/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect()
}

#[sqlx::test]
async fn the_list_says_how_each_domain_is_and_is_searched_and_filtered_by_its_address(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let empty = person.get("/domains").await;
    assert!(empty.text.contains("There is no domain yet") && empty.text.contains("href=\"/domains/new\""));
    add(&person, "Contoso", "contoso.com").await;
    add(&person, "Bücher & Co", "xn--bcher-kva.example").await;
    add(&person, "Contoso", "b.example.com").await;
    let page = person.get("/domains").await;
    assert_eq!(
        shown(&page.text),
        ["b.example.com", "contoso.com", "xn--bcher-kva.example"]
    );
    for part in [
        "status wait\">Waiting for the TXT record",
        "Add the TXT record",
        "Whoever runs its DNS",
        "None yet",
        "Bücher &#38; Co",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let contoso = client_id(&pool, "Contoso").await;
    for (query, hostnames) in [
        ("q=CONTOSO", vec!["b.example.com", "contoso.com"]),
        ("q=b%C3%BCcher", vec!["xn--bcher-kva.example"]),
        ("q=.com&sort=-hostname", vec!["contoso.com", "b.example.com"]),
        (
            "sort=newest",
            vec!["b.example.com", "xn--bcher-kva.example", "contoso.com"],
        ),
        (
            "status=pending_ownership",
            vec!["b.example.com", "contoso.com", "xn--bcher-kva.example"],
        ),
        ("status=active", vec![]),
        (
            "status=nonsense&sort=nonsense",
            vec!["b.example.com", "contoso.com", "xn--bcher-kva.example"],
        ),
        ("after=contoso.com", vec!["xn--bcher-kva.example"]),
        ("q=nobody", vec![]),
        (&format!("client={contoso}"), vec!["b.example.com", "contoso.com"]),
    ] {
        let page = person.get(&format!("/domains?{query}")).await;
        assert_eq!((page.status, shown(&page.text)), (200, hostnames), "{query}");
    }
    for text in HOSTILE {
        let query: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        for name in ["q", "after", "status", "sort", "client"] {
            let page = person.get(&format!("/domains?{name}={query}")).await;
            assert_eq!(page.status, 200, "{name}={text:?}");
            assert!(name != "q" || page.text.contains(&escaped(text)), "{text:?}");
        }
        assert_eq!(
            person.get(&format!("/clients?q={query}&after={query}")).await.status,
            200
        );
    }
    app.stop().await;
}

#[sqlx::test]
async fn nobody_sees_domains_of_others(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    add(&owner, "Contoso", "contoso.com").await;
    add(&owner, "Fabrikam", "fabrikam.com").await;
    let (contoso, fabrikam) = (client_id(&pool, "Contoso").await, client_id(&pool, "Fabrikam").await);
    let limited = colleague(&app, "Acme IT", "viewer", Some(contoso)).await;
    let page = limited.get("/domains").await;
    assert_eq!(shown(&page.text), ["contoso.com"]);
    assert!(
        !page.text.contains("Fabrikam") && !page.text.contains("/domains/new"),
        "{}",
        page.text
    );
    assert!(shown(&limited.get("/domains?q=fabrikam").await.text).is_empty());
    assert_eq!(limited.get(&format!("/domains?client={fabrikam}")).await.status, 404);
    assert!(!limited.get("/clients").await.text.contains("Fabrikam"));

    let other = app.owner("Other IT", "eve@msp.example").await;
    assert!(shown(&other.get("/domains").await.text).is_empty());
    for path in [
        format!("/domains?client={contoso}"),
        format!("/domains/new?client={contoso}"),
    ] {
        assert_eq!(other.get(&path).await.status, 404, "{path}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_domain_is_added_with_a_server_that_the_client_has_a_connection_and_a_website(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    add(&person, "Contoso", "contoso.com").await;
    let contoso = client_id(&pool, "Contoso").await;
    let page = person.get(&format!("/domains/new?client={contoso}")).await;
    let (_, rest) = page
        .text
        .split_once("label=\"The client has these\"")
        .expect("its servers");
    let server = rest.split("value=\"").nth(1).unwrap().split('"').next().unwrap();
    let fields = [
        ("client", "contoso"),
        ("hostname", "Example.COM."),
        ("mdm", server),
        ("connection", "redirect"),
        ("website_url", "https://www.example.com"),
    ];
    assert_eq!(
        leads_to(&person.submit("/domains/new", &fields).await),
        "/domains/example.com?done=added"
    );
    let row: (String, String, i64) = sqlx::query_as(
        "select connection, website_url, (select count(*) from mdm_servers) from domains where hostname = 'example.com'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(row, ("redirect".into(), "https://www.example.com".into(), 1));

    let refused = person.submit("/domains/new", &fields).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.text.contains("is already registered in this organisation"),
        "{}",
        refused.text
    );
    assert!(
        refused.text.contains(&format!("value=\"{server}\" selected")),
        "{}",
        refused.text
    );
    let own = [
        ("client", "Contoso"),
        ("hostname", "portal.signpost.test"),
        ("mdm", server),
        ("website_url", "www"),
    ];
    let refused = person.submit("/domains/new", &own).await;
    assert!(
        refused
            .text
            .contains("Website, if it has one must be an absolute address"),
        "{}",
        refused.text
    );
    let refused = person.submit("/domains/new", &own[..3]).await;
    assert!(
        refused.text.contains("is a name of Signpost&#39;s own"),
        "{}",
        refused.text
    );
    app.stop().await;
}
