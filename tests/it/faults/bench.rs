//! What the tables stand on: domains below `.test` in a name server of their own, certificates, and nginx.
use std::{fs, process::Command};

use super::{
    dns::{Record, TestDns, a},
    pki::{Files, Kind, Pki},
    table::{Prober, Row, fails, well},
};
use crate::{app::WELL_KNOWN, process::TestDir, web_servers::WebServer};

/// The enrollment address that a good document names.
pub const BASE_URL: &str = "https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=11111111-2222-3333-4444-555555555555";

pub struct Bench {
    pub dns: TestDns,
    pub pki: Pki,
}

impl Bench {
    /// With these records, and the MDM's.
    pub fn new(records: &[Record]) -> Self {
        let mdm = a("manage.microsoft.com", "20.190.128.1");
        let records: Vec<_> = records.iter().cloned().chain([mdm]).collect();
        Self {
            dns: TestDns::start(&records),
            pki: Pki::new(),
        }
    }

    /// Each row's domain is this machine.
    pub fn of(rows: &[Row]) -> Self {
        Self::of_and(rows, &[])
    }

    /// The same, with more records.
    pub fn of_and(rows: &[Row], more: &[Record]) -> Self {
        let here = |row: &Row| a(&row.hostname(), "127.0.0.1");
        let records: Vec<_> = rows.iter().map(here).chain(more.iter().cloned()).collect();
        Self::new(&records)
    }

    pub fn prober(&self) -> Prober {
        Prober {
            dns: self.dns.address(),
            ca: self.pki.root(),
        }
    }

    /// A certificate for the row's domain.
    pub fn issue(&self, row: &Row, kind: Kind) -> Files {
        self.pki.issue(&[&row.hostname()], kind)
    }
}

/// A site of nginx, on its port of every address in `listen`. In `site`, which stands beside its `server_name`,
/// `{path}` is the path that devices ask, `{document}` a good document, `{base_url}` the address in it.
pub fn site(hostname: &str, certificate: &Files, listen: &[&str], site: &str) -> String {
    let listen: Vec<_> = listen
        .iter()
        .map(|address| format!("listen {address}:{{port}} ssl;"))
        .collect();
    let site = site
        .replace("{document}", &format!("'{}'", document()))
        .replace("{base_url}", BASE_URL)
        .replace("{path}", WELL_KNOWN);
    format!(
        "server {{ {} server_name {hostname};\n\
         ssl_certificate {}; ssl_certificate_key {};\n{site}\n}}\n",
        listen.join(" "),
        certificate.chain.display(),
        certificate.key.display(),
    )
}

/// A site that does what discovery asks for.
pub const GOOD: &str = "location = {path} { return 200 {document}; }";

pub fn document() -> String {
    format!(r#"{{"Servers":[{{"Version":"mdm-byod","BaseURL":"{BASE_URL}"}}]}}"#)
}

/// A row, and what nginx is told for its site.
pub type Site = (Row, &'static str);

/// Sites that others lead to.
pub const OTHERS: &[Site] = &[
    (well("good"), "location = {path} { return 200 {document}; }"),
    (
        fails("not-found", &[("http", "not_found")])
            .saying(&["404"])
            .curing(&["/.well-known/com.apple.remotemanagement"]),
        "",
    ),
];

/// Probes all of them, in one nginx. `{files}` in a site stands for the directory that [`files`] makes.
pub fn assert_sites(sites: &[Site]) {
    let files = files();
    let rows: Vec<_> = sites.iter().map(|(row, _)| *row).collect();
    let more = [
        a("metadata.test", "169.254.169.254"),
        a("unnamed.test", "127.0.0.1"),
        a("mdm.good.test", "20.190.128.2"),
    ];
    let bench = Bench::of_and(&rows, &more);
    let certificate = bench
        .pki
        .issue(&rows.iter().map(Row::hostname).collect::<Vec<_>>(), Kind::Good);
    let files = files.path().to_str().unwrap();
    let sites: String = sites
        .iter()
        .map(|(row, text)| {
            site(
                &row.hostname(),
                &certificate,
                &["127.0.0.1"],
                &text.replace("{files}", files),
            )
        })
        .collect();
    let nginx = WebServer::nginx(&sites);
    let table: Vec<_> = rows.iter().map(|row| (*row, nginx.port)).collect();
    bench.prober().assert_table(&table);
}

/// The document as a file without an ending, and packed.
fn files() -> TestDir {
    let files = TestDir::new();
    for folder in ["plain", "packed"] {
        let folder = files.path().join(folder).join(".well-known");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("com.apple.remotemanagement"), document()).unwrap();
    }
    let utf_16: Vec<u8> = document().encode_utf16().flat_map(u16::to_le_bytes).collect();
    files.write("utf-16", [&[0xff, 0xfe], utf_16.as_slice()].concat());
    files.write("latin-1", b"{\"Servers\":[],\"Name\":\"M\xfcller\"}");
    let packed = files.path().join("packed/.well-known/com.apple.remotemanagement");
    assert!(Command::new("gzip").arg(packed).status().unwrap().success());
    files
}
