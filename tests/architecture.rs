#![allow(clippy::unwrap_used, reason = "a test that can not go on has failed")]
//! What the parts of `src/` may know of each other. A new edge fails here, so that it is a decision that a
//! reviewer sees: write it into the table below, or turn it round.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each top-level module with those that it may use, from the leaves up. Two halves share memory only: what answers
/// devices (`discovery`) knows neither the registry nor the database; `publisher` is where they meet.
const MAY_USE: &[(&str, &[&str])] = &[
    // Leaves: nothing of ours.
    ("body_budget", &[]),
    ("clock", &[]),
    ("descriptors", &[]),
    ("dns", &[]),
    ("frames", &[]),
    ("hostname", &[]),
    ("input", &[]),
    ("mail", &[]),
    ("own_checks", &[]),
    ("passwords", &[]),
    ("postgres", &["descriptors"]),
    ("public_scheme", &[]),
    ("sealed", &[]),
    ("tasks", &[]),
    ("telemetry", &["postgres"]),
    ("user_patterns", &[]),
    ("work", &["clock"]),
    ("vendors", &[]),
    ("config", &["hostname"]),
    ("keyring", &["sealed"]),
    ("outbound", &["dns"]),
    ("entra", &["dns", "hostname", "outbound"]),
    ("oidc", &["dns", "outbound"]),
    ("probe", &["dns", "input", "outbound", "vendors"]),
    // Who may do what, and who did: `dns` for the records of mail domains. A change is written down in its own transaction, under a `Scope`.
    (
        "accounts",
        &[
            "audit",
            "clock",
            "dns",
            "hostname",
            "input",
            "mail",
            "outbox",
            "passwords",
            "sealed",
            "telemetry",
            "work",
        ],
    ),
    ("audit", &["accounts", "clock", "sealed"]),
    // `certificates` for what waits there, and what may still be ordered.
    ("operating", &["accounts", "certificates", "clock"]),
    ("outbox", &["clock", "mail", "sealed", "telemetry"]),
    (
        "certificates",
        &[
            "clock",
            "dns",
            "domains",
            "hostname",
            "input",
            "outbound",
            "outbox",
            "sealed",
            "telemetry",
            "work",
        ],
    ),
    (
        "domains",
        &[
            "accounts",
            "audit",
            "clock",
            "dns",
            "entra",
            "hostname",
            "input",
            "outbox",
            "own_checks",
            "probe",
            "telemetry",
            "user_patterns",
            "vendors",
            "work",
        ],
    ),
    ("setup", &["domains"]),
    // Tells other people's programs.
    (
        "webhooks",
        &[
            "accounts",
            "audit",
            "clock",
            "dns",
            "input",
            "mail",
            "outbound",
            "outbox",
            "sealed",
            "telemetry",
        ],
    ),
    // The serving half.
    ("discovery", &["clock", "hostname", "own_checks", "user_patterns"]),
    ("connections", &["discovery", "telemetry"]),
    (
        "publisher",
        &[
            "accounts",
            "certificates",
            "clock",
            "discovery",
            "domains",
            "frames",
            "hostname",
            "keyring",
            "own_checks",
            "postgres",
            "sealed",
            "telemetry",
            "vendors",
        ],
    ),
    (
        "request_log",
        &[
            "accounts",
            "audit",
            "clock",
            "discovery",
            "frames",
            "input",
            "outbox",
            "postgres",
            "sealed",
            "telemetry",
        ],
    ),
    // What both front ends share: how they answer when the database does not.
    ("web", &["postgres"]),
    // `publisher` for the preview, which must decide as a device's request is decided.
    (
        "api",
        &[
            "accounts",
            "audit",
            "body_budget",
            "clock",
            "discovery",
            "domains",
            "entra",
            "hostname",
            "input",
            "oidc",
            "postgres",
            "probe",
            "public_scheme",
            "publisher",
            "request_log",
            "sealed",
            "setup",
            "telemetry",
            "vendors",
            "web",
            "webhooks",
        ],
    ),
    // `discovery` for whose request it is and the words of the request log, `publisher` for the preview.
    (
        "console",
        &[
            "accounts",
            "audit",
            "body_budget",
            "clock",
            "discovery",
            "domains",
            "entra",
            "hostname",
            "input",
            "mail",
            "oidc",
            "operating",
            "outbox",
            "passwords",
            "postgres",
            "probe",
            "public_scheme",
            "publisher",
            "request_log",
            "sealed",
            "setup",
            "telemetry",
            "vendors",
            "web",
            "webhooks",
        ],
    ),
    (
        "ops",
        &[
            "certificates",
            "clock",
            "connections",
            "discovery",
            "postgres",
            "publisher",
            "request_log",
            "rotation",
            "telemetry",
            "webhooks",
            "work",
        ],
    ),
    // What puts the parts together.
    (
        "demo",
        &[
            "accounts",
            "clock",
            "dns",
            "domains",
            "hostname",
            "input",
            "passwords",
            "request_log",
            "sealed",
            "vendors",
        ],
    ),
    (
        "rotation",
        &[
            "accounts",
            "api",
            "certificates",
            "clock",
            "keyring",
            "outbox",
            "sealed",
            "webhooks",
        ],
    ),
    (
        "jobs",
        &[
            "accounts",
            "api",
            "audit",
            "certificates",
            "clock",
            "console",
            "domains",
            "outbox",
            "publisher",
            "request_log",
            "rotation",
            "tasks",
            "telemetry",
            "webhooks",
            "work",
        ],
    ),
    (
        "server",
        &[
            "accounts",
            "api",
            "certificates",
            "clock",
            "config",
            "connections",
            "console",
            "demo",
            "descriptors",
            "discovery",
            "dns",
            "domains",
            "entra",
            "hostname",
            "jobs",
            "keyring",
            "mail",
            "oidc",
            "ops",
            "outbound",
            "outbox",
            "own_checks",
            "passwords",
            "postgres",
            "probe",
            "public_scheme",
            "publisher",
            "request_log",
            "rotation",
            "sealed",
            "tasks",
            "telemetry",
            "web",
            "webhooks",
            "work",
        ],
    ),
    (
        "cli",
        &[
            "accounts",
            "api",
            "clock",
            "config",
            "demo",
            "dns",
            "domains",
            "hostname",
            "mail",
            "outbound",
            "probe",
            "request_log",
            "sealed",
            "server",
            "telemetry",
        ],
    ),
];

/// Modules that use each other. There should be no second pair.
const KNOW_EACH_OTHER: [(&str, &str); 1] = [("accounts", "audit")];

/// The embedded server's own database is made before there is a pool or a schema to have a store for.
const SQL_BEFORE_THE_SCHEMA: &str = "postgres/answer.rs";

const SQL: [&str; 7] = [
    "query!(",
    "query_as!(",
    "query_scalar!(",
    "query_file!(",
    "sqlx::query(",
    "sqlx::query_as",
    "sqlx::query_scalar",
];

struct Source {
    path: PathBuf,
    /// Without comments and texts.
    code: String,
}

impl Source {
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut sources = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.extension().and_then(|extension| extension.to_str()) {
                    None => folders.push(path),
                    Some("rs") => sources.push(Self::read(&root, &path)),
                    Some(_) => {}
                }
            }
        }
        assert!(sources.len() > 50, "only {} files found", sources.len());
        sources
    }

    fn read(root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let before_tests = text.split("\n#[cfg(test)]\n").next().unwrap();
        Self {
            path: path.strip_prefix(root).unwrap().to_owned(),
            code: without_comments_and_texts(before_tests),
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn module(&self) -> String {
        let first = self.path.iter().next().unwrap().to_str().unwrap();
        first.trim_end_matches(".rs").to_owned()
    }

    fn is_store(&self) -> bool {
        self.path.file_name().unwrap() == "store.rs"
    }
}

/// Leaves the line breaks, so that what is found can be told with its line.
fn without_comments_and_texts(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            'r' if starts_raw_text(rest) && !ends_in_word(&code) => raw_text(rest),
            '"' => plain_text(rest),
            '\'' => character(rest),
            _ => 0,
        };
        match length {
            0 => {
                code.push(next);
                rest = &rest[next.len_utf8()..];
            }
            length => {
                code.extend(rest[..length].chars().filter(|c| *c == '\n'));
                code.push_str(if next == '/' { "" } else { "\"\"" });
                rest = &rest[length..];
            }
        }
    }
    code
}

fn ends_in_word(code: &str) -> bool {
    code.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn starts_raw_text(rest: &str) -> bool {
    rest[1..].trim_start_matches('#').starts_with('"')
}

fn raw_text(rest: &str) -> usize {
    let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    let start = 1 + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
}

fn plain_text(rest: &str) -> usize {
    let mut is_escaped = false;
    let ends = |(_, c): &(usize, char)| {
        let ends = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    };
    rest.char_indices()
        .skip(1)
        .find(ends)
        .map_or(rest.len(), |(at, _)| at + 1)
}

/// `'x'` and `'\n'`; 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next(), characters.next()) {
        (Some((_, '\\')), _, _) => rest[2..].find('\'').filter(|at| *at > 0).map_or(4, |at| 2 + at + 1),
        (Some(_), Some((at, '\'')), _) => at + 1,
        _ => 0,
    }
}

/// The modules named after `crate::` in `code`, in `crate::a::b` and in `crate::{a::{b, c}, d}`.
fn used(code: &str) -> BTreeSet<String> {
    let heads = |(at, path): (usize, &str)| {
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => items(group),
            None => vec![head(rest)],
        }
    };
    code.match_indices("crate::")
        .flat_map(heads)
        .filter(|name| !name.is_empty())
        .collect()
}

/// The heads of a group's items, up to the brace that ends it.
fn items(group: &str) -> Vec<String> {
    let mut heads = vec![head(group)];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match (c, depth) {
            ('{', _) => depth += 1,
            ('}', 0) => break,
            ('}', _) => depth -= 1,
            (',', 0) => heads.push(head(&group[at + 1..])),
            _ => {}
        }
    }
    heads
}

fn head(path: &str) -> String {
    path.trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// Module → used module → the files that use it.
fn edges(sources: &[Source]) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let mut edges: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for source in sources
        .iter()
        .filter(|source| !matches!(source.module().as_str(), "lib" | "main"))
    {
        let of_module = edges.entry(source.module()).or_default();
        for used in used(&source.code).into_iter().filter(|used| *used != source.module()) {
            of_module.entry(used).or_default().push(source.name());
        }
    }
    edges
}

fn assert_none(wrong: Vec<String>, rule: &str) {
    assert!(wrong.is_empty(), "{rule}:\n  {}", wrong.join("\n  "));
}

#[test]
fn a_module_uses_only_what_it_may() {
    let edges = edges(&Source::all());
    let table: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (module, used) in &edges {
        match table.get(module.as_str()) {
            None => wrong.push(format!("{module} is not in the table: {:?}", used.keys())),
            Some(allowed) => wrong.extend(
                used.iter()
                    .filter(|(name, _)| !allowed.contains(&name.as_str()))
                    .map(|(name, files)| format!("{module} uses {name} in {}", files.join(", "))),
            ),
        }
    }
    for (module, allowed) in &table {
        let used = edges.get(*module);
        let is_used = |name: &&&str| used.is_some_and(|used| used.contains_key(**name));
        wrong.extend(
            allowed
                .iter()
                .filter(|name| !is_used(name))
                .map(|name| format!("{module} no longer uses {name}: take it out of the table")),
        );
    }
    assert_none(wrong, "the table of who may use whom and the sources differ");
}

#[test]
fn no_two_modules_use_each_other() {
    let edges = edges(&Source::all());
    let uses = |module: &str, other: &str| edges.get(module).is_some_and(|used| used.contains_key(other));
    let pairs = edges
        .keys()
        .flat_map(|a| edges.keys().map(move |b| (a.as_str(), b.as_str())));
    let found: Vec<_> = pairs.filter(|(a, b)| a < b && uses(a, b) && uses(b, a)).collect();
    assert_eq!(found, KNOW_EACH_OTHER, "modules that know each other are one module");
}

#[test]
fn sql_is_in_a_store_only() {
    let holds_sql = |source: &Source| SQL.iter().any(|sql| source.code.contains(sql));
    let sources = Source::all();
    let may = |source: &Source| source.is_store() || source.name() == SQL_BEFORE_THE_SCHEMA;
    let wrong = sources.iter().filter(|source| holds_sql(source) && !may(source));
    assert_none(
        wrong.map(Source::name).collect(),
        "SQL belongs in a file named store.rs",
    );
    let stores = sources.iter().filter(|source| source.is_store());
    let without = stores.filter(|source| !holds_sql(source));
    assert_none(
        without.map(Source::name).collect(),
        "a store.rs holds SQL (or is not one)",
    );
}

#[test]
fn a_store_neither_opens_a_transaction_nor_speaks_http() {
    let wrong = |source: &Source| {
        ["begin(", ".commit(", "PgPool", "actix", "StatusCode", "Problem"]
            .iter()
            .filter(|word| source.code.contains(**word))
            .map(|word| format!("{}: {word}", source.name()))
            .collect::<Vec<_>>()
    };
    let sources = Source::all();
    let stores = sources.iter().filter(|source| source.is_store());
    assert_none(stores.flat_map(wrong).collect(), "a store is handed a connection");
}

#[test]
fn the_hot_path_has_no_database_waits_for_nothing_and_prints_nothing() {
    let forbidden = [
        "sqlx",
        "println!",
        "tracing",
        "log::",
        ".await",
        "Mutex",
        "RwLock",
        ".lock()",
        "spawn",
        "std::fs",
        "tokio::fs",
    ];
    let sources = Source::all();
    let of_discovery: Vec<_> = sources.iter().filter(|source| source.module() == "discovery").collect();
    assert!(of_discovery.len() > 5);
    let wrong = |source: &&Source| {
        forbidden
            .iter()
            .filter(|word| source.code.contains(**word))
            .map(|word| format!("{}: {word}", source.name()))
            .collect::<Vec<_>>()
    };
    assert_none(
        of_discovery.iter().flat_map(wrong).collect(),
        "a device waits for nobody",
    );
}

#[test]
fn rules_know_nothing_of_http() {
    let rules = [
        "accounts",
        "audit",
        "certificates",
        "domains",
        "publisher",
        "vendors",
        "hostname",
        "input",
        "sealed",
    ];
    let sources = Source::all();
    let wrong = sources
        .iter()
        .filter(|source| rules.contains(&source.module().as_str()))
        .filter(|source| {
            ["actix_web", "StatusCode", "HttpRe"]
                .iter()
                .any(|word| source.code.contains(word))
        });
    assert_none(
        wrong.map(Source::name).collect(),
        "HTTP is the business of api, discovery, ops and server",
    );
}

#[test]
fn only_the_command_line_and_the_demo_are_an_operator() {
    let allowed = ["cli", "demo"];
    let wrong = Source::all()
        .into_iter()
        .filter(|source| {
            source.code.contains("Operator::at_the_command_line") && !allowed.contains(&source.module().as_str())
        })
        .map(|source| source.name())
        .collect();
    assert_none(wrong, "an operator may act for every organisation");
}

#[test]
fn the_reader_of_sources_finds_what_it_must_and_nothing_more() {
    let code = without_comments_and_texts(
        "use crate::{a::{b, x::y}, c, self::q};\n// crate::comment\nlet t = \"crate::text \\\" crate::more\"; crate::d::e();\nlet r = r#\"crate::raw \" \"#; let c = '\"'; fn f<'a>(x: &'a str) {} crate::f",
    );
    let used: Vec<_> = used(&code).into_iter().collect();
    assert_eq!(used, ["a", "c", "d", "f", "self"], "{code}");
}
