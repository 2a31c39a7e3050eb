//! What a domain's owner sets up: the DNS records, and the lines for the web server that answers there today.
//! Pure: facts in, texts out. Whether it is in place is for others to check.
mod proxy;
mod redirect;

use std::net::IpAddr;

use crate::domains::{Connection, Domain, connection::Expected, ownership};

/// Where devices ask, below whatever host.
const WELL_KNOWN: &str = "/.well-known/com.apple.remotemanagement";

/// Where the customers' records and web servers point.
#[derive(Clone, Copy, Debug)]
pub struct Edge<'a> {
    pub host: &'a str,
    /// As the world sees it.
    pub https_port: u16,
    pub addresses: &'a [IpAddr],
    /// The file with the root certificate, if the edge's own is not a public authority's: of a trial.
    pub trial_root: Option<&'a str>,
}

impl<'a> Edge<'a> {
    #[must_use]
    pub fn new(expected: &'a Expected, trial_root: Option<&'a str>) -> Self {
        Self {
            host: &expected.edge_host,
            https_port: expected.edge_port,
            addresses: &expected.addresses,
            trial_root,
        }
    }
}

/// Everything that its owner does for one domain.
#[derive(Debug)]
pub struct Setup {
    pub records: Vec<Record>,
    /// What a redirect leads to and a proxy fetches.
    pub target: String,
    /// For one web server each: its owner needs one of them. None if the records lead to us.
    pub snippets: Vec<Snippet>,
}

/// A DNS record.
#[derive(Debug)]
pub struct Record {
    pub kind: &'static str,
    pub name: String,
    pub value: String,
    pub purpose: &'static str,
}

/// What one web server, or service in front of one, is told.
#[derive(Debug)]
pub struct Snippet {
    pub server: &'static str,
    pub name: &'static str,
    pub mode: Connection,
    /// Where it goes.
    pub file: String,
    pub language: &'static str,
    pub text: String,
    /// What it needs, and what keeps it from working.
    pub notes: Vec<String>,
}

/// A snippet before it is about one domain. `{{…}}` in `file`, `text` and `notes` is filled in, see [`Target::fill`].
struct Template {
    server: &'static str,
    name: &'static str,
    file: &'static str,
    language: &'static str,
    text: &'static str,
    notes: &'static [&'static str],
}

/// The set-up of `domain` for `connection`, whichever it has now.
#[must_use]
pub fn setup_of(domain: &Domain, edge: Edge<'_>, connection: Connection) -> Setup {
    let proof = ownership::record_value(&domain.ownership_key, &domain.hostname);
    setup(&domain.hostname, proof, edge, connection)
}

/// The set-up of `hostname` for `connection`, whichever it has now. `proof` is the value of its ownership record.
#[must_use]
pub fn setup(hostname: &str, proof: String, edge: Edge<'_>, connection: Connection) -> Setup {
    let target = Target::new(hostname, edge);
    let ownership = Record {
        kind: "TXT",
        name: ownership::record_name(hostname),
        value: proof,
        purpose: "proves that the owner of this name wants Signpost to answer for it",
    };
    let (addresses, templates): (&[IpAddr], &[Template]) = match connection {
        Connection::Direct => (edge.addresses, &[]),
        Connection::Redirect => (&[], redirect::TEMPLATES),
        Connection::Proxy => (&[], proxy::TEMPLATES),
    };
    let addresses = addresses.iter().map(|address| address_record(hostname, *address));
    let snippet = |template: &Template| target.snippet(template, connection);
    Setup {
        records: [ownership].into_iter().chain(addresses).collect(),
        snippets: templates.iter().map(snippet).collect(),
        target: target.url(),
    }
}

fn address_record(hostname: &str, address: IpAddr) -> Record {
    Record {
        kind: if address.is_ipv4() { "A" } else { "AAAA" },
        name: hostname.to_owned(),
        value: address.to_string(),
        purpose: "leads devices to Signpost; other addresses of the name have to go",
    }
}

/// On Debian and its relatives, and where Caddy and others look by themselves.
const PUBLIC_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

const TRIAL: &str = "This Signpost is on trial, with an authority of its own: {{roots}} is its root certificate, on the machine where it runs. Devices do not trust it.";

/// Where one domain is answered on the edge host. A hostname is letters, digits, dots and hyphens, so it needs no
/// escaping in any server's language.
struct Target<'a> {
    hostname: &'a str,
    /// With its port, where that is not the usual one.
    edge: String,
    /// In quotes, since nobody chose its name to be pasted.
    trial_root: Option<String>,
}

impl<'a> Target<'a> {
    fn new(hostname: &'a str, edge: Edge<'_>) -> Self {
        Self {
            hostname,
            edge: match edge.https_port {
                443 => edge.host.to_owned(),
                port => format!("{}:{port}", edge.host),
            },
            trial_root: edge.trial_root.map(|path| format!("\"{path}\"")),
        }
    }

    fn url(&self) -> String {
        self.fill("{{target}}")
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{{target}}", "{{site}}{{well_known}}")
            .replace("{{path}}", "/d/{{hostname}}{{well_known}}")
            .replace("{{site}}", "https://{{edge}}/d/{{hostname}}")
            .replace("{{edge}}", &self.edge)
            .replace("{{hostname}}", self.hostname)
            .replace("{{well_known}}", WELL_KNOWN)
            .replace("{{caddy_trust}}", self.caddy_trust())
            .replace("{{roots}}", self.trial_root.as_deref().unwrap_or(PUBLIC_ROOTS))
    }

    /// Caddy trusts the system's roots without a word.
    fn caddy_trust(&self) -> &'static str {
        match self.trial_root {
            None => "",
            Some(_) => "\n\t\ttransport http {\n\t\t\ttls_trusted_ca_certs {{roots}}\n\t\t}",
        }
    }

    fn snippet(&self, template: &Template, mode: Connection) -> Snippet {
        let trusts = template.text.contains("{{roots}}") || template.text.contains("{{caddy_trust}}");
        let trial = (trusts && self.trial_root.is_some()).then_some(TRIAL);
        let notes = template.notes.iter().copied().chain(trial);
        Snippet {
            server: template.server,
            name: template.name,
            mode,
            file: self.fill(template.file),
            language: template.language,
            text: self.fill(template.text),
            notes: notes.map(|note| self.fill(note)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTNAME: &str = "xn--bcher-kva.example";
    const TARGET: &str = "https://edge.signpost.test/d/xn--bcher-kva.example/.well-known/com.apple.remotemanagement";

    fn set_up(connection: Connection) -> Setup {
        let addresses = ["192.0.2.10", "2001:db8::10"].map(|address| address.parse().unwrap());
        let edge = Edge {
            host: "edge.signpost.test",
            https_port: 443,
            addresses: &addresses,
            trial_root: None,
        };
        setup(HOSTNAME, "signpost-verification=x".to_owned(), edge, connection)
    }

    /// The snippets of both modes for the services in `servers`.
    fn snippets(servers: &[&str]) -> Vec<Snippet> {
        let all = [Connection::Redirect, Connection::Proxy].map(|connection| set_up(connection).snippets);
        all.into_iter()
            .flatten()
            .filter(|snippet| servers.contains(&snippet.server))
            .collect()
    }

    #[test]
    fn a_direct_connection_is_its_records_and_the_others_are_snippets() {
        let records = |connection| {
            let records = set_up(connection).records;
            records
                .into_iter()
                .map(|record| (record.kind, record.name, record.value))
                .collect::<Vec<_>>()
        };
        let proof = (
            "TXT",
            format!("_signpost.{HOSTNAME}"),
            "signpost-verification=x".to_owned(),
        );
        let address = |kind, value: &str| (kind, HOSTNAME.to_owned(), value.to_owned());
        assert_eq!(
            records(Connection::Direct),
            [
                proof.clone(),
                address("A", "192.0.2.10"),
                address("AAAA", "2001:db8::10")
            ]
        );
        assert!(set_up(Connection::Direct).snippets.is_empty());
        for connection in [Connection::Redirect, Connection::Proxy] {
            assert_eq!(records(connection), std::slice::from_ref(&proof));
            let setup = set_up(connection);
            assert!(setup.snippets.iter().all(|snippet| snippet.mode == connection));
            assert_eq!(setup.target, TARGET);
        }
    }

    #[test]
    fn every_server_has_its_snippet_and_only_a_redirect_rule_can_t_proxy() {
        let servers = |connection| {
            let snippets = set_up(connection).snippets;
            snippets.into_iter().map(|snippet| snippet.server).collect::<Vec<_>>()
        };
        let mut redirects = servers(Connection::Redirect);
        assert_eq!(
            redirects,
            [
                "nginx",
                "apache",
                "caddy",
                "iis",
                "cloudflare_redirect_rule",
                "cloudflare_worker",
                "netlify",
                "vercel",
                "wordpress"
            ]
        );
        redirects.retain(|server| *server != "cloudflare_redirect_rule");
        assert_eq!(servers(Connection::Proxy), redirects);
    }

    #[test]
    fn every_snippet_is_filled_in_and_none_is_permanent() {
        for connection in [Connection::Redirect, Connection::Proxy] {
            for snippet in set_up(connection).snippets {
                let all = format!("{} {} {}", snippet.file, snippet.text, snippet.notes.join(" "));
                assert!(!all.contains("{{") && !all.contains("}}"), "{all}");
                assert!(snippet.text.contains("edge.signpost.test"), "{all}");
                assert!(!snippet.notes.is_empty() && snippet.text.ends_with('\n'), "{all}");
                for permanent in ["301", "308", "Permanent", "permanent\": true"] {
                    assert!(!snippet.text.contains(permanent), "{all}");
                }
            }
        }
    }

    #[test]
    fn a_port_that_is_not_the_usual_one_is_in_the_target() {
        let edge = Edge {
            host: "localhost",
            https_port: 8443,
            addresses: &[],
            trial_root: None,
        };
        let setup = setup("contoso.com", String::new(), edge, Connection::Proxy);
        let target = "https://localhost:8443/d/contoso.com/.well-known/com.apple.remotemanagement";
        assert_eq!(setup.target, target);
        let holds =
            |snippet: &Snippet| snippet.text.contains(target) || snippet.text.contains("https://localhost:8443 {");
        assert!(setup.snippets.iter().all(holds), "{:#?}", setup.snippets);
    }

    #[test]
    fn a_proxy_trusts_public_authorities_or_on_trial_the_one_that_signed() {
        let snippets = |trial_root| {
            let edge = Edge {
                host: "localhost",
                https_port: 443,
                addresses: &[],
                trial_root,
            };
            let setup = setup("contoso.com", String::new(), edge, Connection::Proxy);
            ["nginx", "apache", "caddy"].map(|server| {
                let mut snippets = setup.snippets.iter();
                let snippet = snippets.find(|snippet| snippet.server == server).unwrap();
                (snippet.text.clone(), snippet.notes.join("\n"))
            })
        };
        let [nginx, apache, caddy] = snippets(None);
        assert!(nginx.0.contains("proxy_ssl_verify on;") && nginx.0.contains(PUBLIC_ROOTS));
        assert!(apache.0.contains("SSLProxyVerify require") && apache.0.contains(PUBLIC_ROOTS));
        assert!(!caddy.0.contains("tls") && !caddy.1.contains("trial"));
        for (text, notes) in snippets(Some("/srv/sign post/ca.pem")) {
            assert!(
                text.contains(" \"/srv/sign post/ca.pem\"") && !text.contains(PUBLIC_ROOTS),
                "{text}"
            );
            assert!(
                notes.contains("/srv/sign post/ca.pem") && notes.contains("on trial"),
                "{notes}"
            );
        }
    }

    // Services that no test can start: that their texts are what their documentation asks for.

    #[test]
    fn a_redirects_line_of_netlify_is_path_target_and_a_forced_status() {
        // https://docs.netlify.com/routing/redirects/redirect-options/: no 307 there.
        for snippet in snippets(&["netlify"]) {
            let status = if snippet.mode == Connection::Proxy {
                "200!"
            } else {
                "302!"
            };
            let words: Vec<_> = snippet.text.split_whitespace().collect();
            assert_eq!(words, [WELL_KNOWN, TARGET, status]);
        }
    }

    #[test]
    fn vercel_s_snippets_are_json_of_one_entry() {
        // https://vercel.com/docs/project-configuration: not permanent is a 307.
        let [redirect, proxy] = snippets(&["vercel"]).try_into().unwrap();
        let entries = |snippet: Snippet| serde_json::from_str::<serde_json::Value>(&snippet.text).unwrap();
        assert_eq!(
            entries(redirect),
            serde_json::json!({"redirects": [{"source": WELL_KNOWN, "destination": TARGET, "permanent": false}]})
        );
        assert_eq!(
            entries(proxy),
            serde_json::json!({"rewrites": [{"source": WELL_KNOWN, "destination": TARGET}]})
        );
    }

    #[test]
    fn a_redirect_rule_of_cloudflare_keeps_the_query() {
        // https://developers.cloudflare.com/rules/url-forwarding/single-redirects/settings/: off by default.
        let [rule] = snippets(&["cloudflare_redirect_rule"]).try_into().unwrap();
        let lines: Vec<_> = rule.text.lines().collect();
        let expression = format!("(http.host eq \"{HOSTNAME}\" and http.request.uri.path eq \"{WELL_KNOWN}\")");
        for line in [
            &expression,
            &format!("URL: {TARGET}"),
            "Status code: 307",
            "Preserve query string: yes",
        ] {
            assert!(lines.contains(&line), "{line}: {}", rule.text);
        }
    }

    #[test]
    fn a_worker_keeps_the_query_and_its_route_has_room_for_one() {
        for worker in snippets(&["cloudflare_worker"]) {
            assert!(worker.text.contains("TARGET + search"), "{}", worker.text);
            assert!(
                worker.text.contains(&format!("const TARGET = \"{TARGET}\";")),
                "{}",
                worker.text
            );
            assert!(
                worker.file.ends_with(&format!("{HOSTNAME}{WELL_KNOWN}*")),
                "{}",
                worker.file
            );
        }
    }

    #[test]
    fn iis_appends_the_query_and_its_file_is_well_formed() {
        let [redirect, proxy] = snippets(&["iis"]).try_into().unwrap();
        for snippet in [&redirect, &proxy] {
            assert_eq!(elements_left_open(&snippet.text), [""; 0]);
            assert!(
                snippet
                    .text
                    .contains(&format!("url=\"{TARGET}\" appendQueryString=\"true\""))
            );
        }
        assert!(redirect.text.contains("type=\"Redirect\"") && redirect.text.contains("redirectType=\"Temporary\""));
        assert!(proxy.text.contains("type=\"Rewrite\""));
    }

    /// Enough of XML for texts of our own: elements, and attributes in quotes without entities.
    fn elements_left_open(xml: &str) -> Vec<&str> {
        let mut open = Vec::new();
        let body = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").unwrap();
        for tag in body.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').unwrap();
            assert!(
                text.trim().is_empty() && tag.matches('"').count() % 2 == 0 && !tag.contains('&'),
                "{tag}"
            );
            let name = tag.split([' ', '/']).find(|name| !name.is_empty()).unwrap();
            match (tag.starts_with('/'), tag.ends_with('/')) {
                (true, _) => assert_eq!(open.pop(), Some(name)),
                (false, true) => {}
                (false, false) => open.push(name),
            }
        }
        open
    }
}
