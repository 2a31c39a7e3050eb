//! Every statement is planned for any parameters against filled tables, with statistics and without: none may read a table
//! of tenants as a whole, unless it is in the list of those that must.
use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row};

/// Domains of three organisations.
const DOMAINS: u32 = 20_000;
const FILL: &str = include_str!("fill.sql");

/// Tables that grow with what tenants do, and have no small bound for each organisation.
const TABLES: [&str; 23] = [
    "audit_events",
    "certificate_leases",
    "certificates",
    "clients",
    "directory_changes",
    "domain_checks",
    "domain_statuses",
    "domains",
    "first_requests",
    "mdm_servers",
    "outbox",
    "policy_servers",
    "request_counts",
    "request_totals",
    "requests_filled",
    "served_certificates",
    "sessions",
    "share_links",
    "status_hints",
    "told_statuses",
    "tombstones",
    "users",
    "webhook_deliveries",
];

/// Indexes whose equality leaves few rows, so that a condition that may be absent costs little.
const NARROW: [(&str, &str); 11] = [
    ("audit_events_domain_idx", "the events of one domain's share links"),
    ("audit_events_name_idx", "the events of one hostname"),
    ("audit_events_subject_idx", "the events of one domain"),
    ("clients_name_key", "the client of one name"),
    ("domains_hostname_idx", "the claims to one hostname"),
    (
        "domains_organisation_hostname_key",
        "an organisation's claim to one hostname",
    ),
    ("mdm_servers_client_id_idx", "the servers of one client"),
    ("mdm_servers_client_server_key", "the servers of one client"),
    ("request_counts_hostname_idx", "the hours of one domain"),
    ("sessions_user_idx", "the sessions of one person"),
    ("share_links_domain_idx", "the links of one domain"),
];

/// Statements that may read many rows: a part of each, and why. They run in the background, for an operator at the command
/// line, or are bounded otherwise.
const EXCEPTIONS: &[(&str, &str)] = &[
    // The whole installation at once, in the background.
    (
        "insert into certificate_leases (hostname, issuer, due_at, urgency) select wanted.hostname",
        "the sweep for certificates compares all domains",
    ),
    (
        "select count(*) from certificate_leases where issuer = $1 and due_at <= $2",
        "a metric and the operator's page count a queue",
    ),
    (
        "select c.certificate_id, c.organisation_id, d.client_id as \"client_id?\"",
        "warnings of certificates that expire soon, in the order of expiry",
    ),
    ("delete from served_certificates", "the clean-up of a node that is gone"),
    (
        "select d.hostname, d.domain_id, d.client_id, d.organisation_id, o.user_digest_key",
        "a full load of the directory",
    ),
    (
        "select hostname, chain, key_sealed, not_after from certificates where issuer = $1 and domain_id is null",
        "the few certificates that belong to no domain",
    ),
    (
        "pg_relation_filepath('directory_changes')",
        "the newest rows of the change log",
    ),
    ("delete from directory_changes", "the change log's clean-up"),
    (
        "select domain_id, organisation_id, due_at from domain_checks",
        "a queue, the longest due first",
    ),
    (
        "with recursive owners as",
        "a queue, one look into the index for each organisation",
    ),
    ("delete from status_hints", "a queue, the oldest first"),
    (
        "from domain_statuses where rederive_at <= $1",
        "two queues, by partial indexes",
    ),
    (
        "with next as materialized ( select d.domain_id from status_derivations s",
        "goes on through all domains in small steps",
    ),
    (
        "with recursive known as ( (select organisation_id, client_id from request_totals",
        "the clean-up of what is gone, in small steps",
    ),
    (
        "select o.organisation_id, b.before as \"before!\" from organisations o",
        "the request log's clean-up",
    ),
    ("delete from request_counts where ctid", "the request log's clean-up"),
    ("delete from request_totals where ctid", "the request log's clean-up"),
    (
        "from requests where organisation_id is null and at < $1",
        "the request log's clean-up",
    ),
    ("delete from audit_events", "the audit log's clean-up"),
    ("delete from outbox", "the outbox's clean-up"),
    (
        "from outbox where kind <> 'mail' and sent_at is null",
        "a queue, by a partial index",
    ),
    ("from outbox where kind = 'mail'", "the queue of mails"),
    (
        "delete from webhook_deliveries where created_at < $1",
        "the clean-up of deliveries",
    ),
    (
        "with next as materialized ( select n.webhook_delivery_id",
        "a queue, by a partial index",
    ),
    (
        "delete from sessions where expires_at <= $1",
        "the clean-up of sessions",
    ),
    // A new secret key.
    ("as \"key_id!\", count(*) as \"rows!\"", "counts what each key seals"),
    ("= n.after from unnest", "sealing all rows anew, in small steps"),
    (
        "as \"first!\", '' as \"second!\"",
        "sealing all rows anew, in small steps",
    ),
    (
        "select hostname as first, issuer as second",
        "sealing all rows anew, in small steps",
    ),
    // Operators.
    ("select d.hostname, o.name as organisation", "`signpost domain list`"),
    ("from users where operator_since is not null", "the few operators"),
    (
        "count(c.certificate_id) as \"certificates!\"",
        "the operator's page counts certificates",
    ),
    (
        "select hostname, count(*) as \"requests!\"",
        "the operator's page lists unknown names",
    ),
    (
        "filter (where attempted_at is not null) as \"failing!\"",
        "the operator's page counts deliveries",
    ),
    (
        "delete from domains where organisation_id = $1 and domain_id = any(array(",
        "an organisation that is deleted, in small steps",
    ),
    (
        "delete from mdm_servers where organisation_id = $1 and mdm_server_id = any(array(",
        "an organisation that is deleted, in small steps",
    ),
    // The request log: an organisation's or a client's rows of the hours that can hold the page.
    (
        "from requests where organisation_id = $1",
        "the newest requests, in the order of an index",
    ),
    (
        "from request_counts where organisation_id = $1 and ($2::uuid is null or client_id = $2) and ($3::uuid is null",
        "without statistics the hours of an organisation instead of a domain; the table is analysed soon",
    ),
    (
        "select min(hour) as hour from request_totals",
        "the hours of forty days of one client",
    ),
    (
        "from request_totals where organisation_id = $1 and client_id = coalesce",
        "the hours of one client",
    ),
    (
        "from request_counts where organisation_id = $1 and ($2::uuid is null or client_id = $2) and hour >= $6",
        "a summary by domain of the hours that are asked for",
    ),
];

/// What a plan does that no statement may.
fn offences(plan: &Value, schema: &Schema, found: &mut Vec<String>) {
    let text = |name: &str| plan[name].as_str().unwrap_or_default();
    let (node, filter) = (text("Node Type"), text("Filter"));
    // A bitmap's table, and the condition of a table that is read by a bitmap, are in other nodes.
    let (index, condition) = (
        text("Index Name"),
        text(if node == "Bitmap Heap Scan" {
            "Recheck Cond"
        } else {
            "Index Cond"
        }),
    );
    let table = match node {
        "Bitmap Index Scan" => schema.tables.get(index).map_or("", String::as_str),
        _ => text("Relation Name"),
    };
    if node == "Seq Scan" && TABLES.contains(&table) {
        found.push(format!("reads {table} as a whole, filter {filter}"));
    }
    if (node == "Bitmap Index Scan" || node.starts_with("Index")) && TABLES.contains(&table) {
        let has_equality = condition.replace("<= ", "").replace(">= ", "").contains(" = ");
        let is_search = condition.contains("~~");
        match condition {
            "" => found.push(format!("reads the index {index} as a whole")),
            _ if !has_equality && !is_search => found.push(format!("reads a range of {index}: {condition}")),
            _ => {}
        }
    }
    let is_found_by_key = schema
        .keys
        .get(table)
        .is_some_and(|key| key.iter().all(|column| condition.contains(&format!("({column} = "))));
    let is_narrow = is_narrow(plan);
    if TABLES.contains(&table) && filter.contains(" IS NULL) OR ") && !is_found_by_key && !is_narrow {
        found.push(format!("serves several keys: {index} {condition}, filter {filter}"));
    }
    for part in plan["Plans"].as_array().into_iter().flatten() {
        offences(part, schema, found);
    }
}

/// Whether an index that leaves few rows finds the rows of a scan.
fn is_narrow(scan: &Value) -> bool {
    let is_part_narrow = |part: &Value| {
        part["Node Type"]
            .as_str()
            .is_some_and(|node| node.starts_with("Bitmap"))
            && is_narrow(part)
    };
    NARROW.iter().any(|(index, _)| scan["Index Name"] == *index)
        || scan["Plans"].as_array().into_iter().flatten().any(is_part_narrow)
}

/// The statements of all stores, each in one line.
fn statements() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let mut statements: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let file: Value = serde_json::from_str(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
            let lines = file["query"]
                .as_str()
                .unwrap()
                .lines()
                .map(|line| line.split("-- ").next().unwrap());
            lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
        })
        .collect();
    statements.retain(|text| {
        ["select", "insert", "update", "delete", "with", "("]
            .iter()
            .any(|verb| text.starts_with(verb))
    });
    statements.sort();
    statements
}

fn parameters(statement: &str) -> usize {
    let numbers = statement.split('$').skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse::<usize>().ok()
    });
    numbers.max().unwrap_or(0)
}

/// The columns of each table's primary key, and the table of each index.
struct Schema {
    keys: BTreeMap<String, Vec<String>>,
    tables: BTreeMap<String, String>,
}

impl Schema {
    async fn read(db: &mut PgConnection) -> Self {
        let rows = sqlx::query(
            r#"select c.relname::text as "table", x.relname::text as "index", i.indisprimary as is_primary,
                      array_agg(a.attname::text) as columns
                 from pg_index i join pg_class c on c.oid = i.indrelid join pg_class x on x.oid = i.indexrelid
                 left join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey)
                where c.relnamespace = 'public'::regnamespace
                group by 1, 2, 3"#,
        );
        let rows = rows.fetch_all(db).await.unwrap();
        let primary = rows.iter().filter(|row| row.get("is_primary"));
        Self {
            keys: primary.map(|row| (row.get("table"), row.get("columns"))).collect(),
            tables: rows.iter().map(|row| (row.get("index"), row.get("table"))).collect(),
        }
    }
}

/// The offences of every statement that has any, in `db`.
async fn examine(db: &mut PgConnection, statements: &[String]) -> BTreeMap<String, Vec<String>> {
    let schema = Schema::read(db).await;
    let run = |text: String| sqlx::raw_sql(AssertSqlSafe(text));
    run("set plan_cache_mode = force_generic_plan".to_owned())
        .execute(&mut *db)
        .await
        .unwrap();
    let mut all = BTreeMap::new();
    for statement in statements {
        let arguments = vec!["null"; parameters(statement)].join(", ");
        let explain = match arguments.is_empty() {
            true => "explain (format json) execute examined".to_owned(),
            false => format!("explain (format json) execute examined({arguments})"),
        };
        run(format!("prepare examined as {statement}"))
            .execute(&mut *db)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
        let row = run(explain).fetch_one(&mut *db).await;
        let plan: Value = row.unwrap_or_else(|error| panic!("{statement}: {error}")).get(0);
        run("deallocate examined".to_owned()).execute(&mut *db).await.unwrap();
        let mut found = Vec::new();
        offences(&plan[0]["Plan"], &schema, &mut found);
        if !found.is_empty() {
            all.insert(statement.clone(), found);
        }
    }
    all
}

#[sqlx::test]
async fn no_statement_reads_a_table_of_tenants_as_a_whole_with_statistics_or_without(pool: PgPool) {
    let statements = statements();
    assert!(statements.len() > 300, "{} statements", statements.len());
    let mut db = pool.acquire().await.unwrap();
    // Uncommitted rows: PostgreSQL has no statistics of them.
    let fill = format!("begin; select set_config('plans.domains', '{DOMAINS}', false); {FILL}");
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut *db).await.unwrap();
    let without = examine(&mut db, &statements).await;
    for statement in ["commit", "vacuum analyze"] {
        sqlx::raw_sql(statement).execute(&mut *db).await.unwrap();
    }
    let with = examine(&mut db, &statements).await;
    let mut complaints = Vec::new();
    for (name, examined) in [("without statistics", without), ("with statistics", with)] {
        for (statement, found) in examined {
            if !EXCEPTIONS.iter().any(|(part, _)| statement.contains(part)) {
                complaints.push(format!("{name}: {statement}\n    {}", found.join("\n    ")));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let is_of_none = |part: &str| !statements.iter().any(|statement| statement.contains(part));
    let stale: Vec<_> = EXCEPTIONS.iter().filter(|(part, _)| is_of_none(part)).collect();
    assert!(stale.is_empty(), "no statement has these parts: {stale:?}");
}

#[test]
fn a_plan_is_judged_by_what_it_reads() {
    let schema = Schema {
        keys: BTreeMap::from([("domains".to_owned(), vec!["domain_id".to_owned()])]),
        tables: BTreeMap::new(),
    };
    let judge = |plan: Value| {
        let mut found = Vec::new();
        offences(&plan, &schema, &mut found);
        found.len()
    };
    let scan = |condition: &str, filter: &str| {
        serde_json::json!({"Node Type": "Limit", "Plans": [{
            "Node Type": "Index Scan", "Relation Name": "domains", "Index Name": "domains_organisation_domain_idx",
            "Index Cond": condition, "Filter": filter,
        }]})
    };
    let optional = "(($2 IS NULL) OR (client_id = $2))";
    for (plan, count) in [
        (scan("(organisation_id = $1)", ""), 0),
        (scan("((organisation_id = $1) AND (domain_id = $3))", optional), 0),
        (scan("(organisation_id = $1)", optional), 1),
        (scan("(domain_id > $1)", ""), 1),
        (scan("((domain_id <= $1) AND (domain_id >= $1))", ""), 1),
        (scan("", ""), 1),
        (
            serde_json::json!({"Node Type": "Seq Scan", "Relation Name": "domains"}),
            1,
        ),
        (
            serde_json::json!({"Node Type": "Seq Scan", "Relation Name": "nodes"}),
            0,
        ),
    ] {
        assert_eq!(judge(plan.clone()), count, "{plan}");
    }
}
