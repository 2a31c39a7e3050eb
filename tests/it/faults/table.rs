//! What a probe must say of each fault, and the comparison with what it says.
use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::pki::day_in;
use crate::process::TestDir;

/// In the order of discovery.
const STEPS: [&str; 8] = [
    "dns",
    "connect",
    "tls",
    "http",
    "content_type",
    "document",
    "head",
    "query",
];

/// Whatever a server does, the probe has ended by then. What it promises is 75 seconds; no fault here is worth as much.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// One domain, broken in one way or not at all, and what must be said of it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The first label of its hostname, below `.test`.
    pub name: &'static str,
    /// Whether a current device succeeds.
    ok: bool,
    /// The steps that are not well, each with its code. The first one is the fault; the others follow from it.
    wrong: &'static [(&'static str, &'static str)],
    detail: &'static [&'static str],
    remedy: &'static [&'static str],
}

/// Nothing is wrong.
pub const fn well(name: &'static str) -> Row {
    Row {
        name,
        ok: true,
        wrong: &[],
        detail: &[],
        remedy: &[],
    }
}

/// No device succeeds.
pub const fn fails(name: &'static str, wrong: &'static [(&'static str, &'static str)]) -> Row {
    Row {
        ok: false,
        wrong,
        ..well(name)
    }
}

/// A current device succeeds all the same.
pub const fn passes(name: &'static str, wrong: &'static [(&'static str, &'static str)]) -> Row {
    Row { wrong, ..well(name) }
}

impl Row {
    /// Words that what was seen must hold. `{…}` are filled in by the bench.
    pub const fn saying(self, detail: &'static [&'static str]) -> Self {
        Self { detail, ..self }
    }

    /// Words that the remedy must hold.
    pub const fn curing(self, remedy: &'static [&'static str]) -> Self {
        Self { remedy, ..self }
    }

    pub fn hostname(&self) -> String {
        format!("{}.test", self.name)
    }

    /// What differs between `said` and this row.
    fn differences(&self, said: &Said) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut demand = |holds: bool, what: String| {
            if !holds {
                wrong.push(what);
            }
        };
        let json = &said.json;
        demand(json["ok"] == self.ok, format!("ok must be {}", self.ok));
        let code = i32::from(!self.ok);
        demand(
            said.exit == Some(code),
            format!("exit code {:?} instead of {code}", said.exit),
        );
        demand(json["hostname"] == self.hostname(), "another hostname".to_owned());
        let steps = json["steps"].as_array().cloned().unwrap_or_default();
        let order: Vec<_> = steps
            .iter()
            .map(|step| STEPS.iter().position(|name| step["step"] == *name))
            .collect();
        demand(
            order.is_sorted_by(|a, b| a.is_some() && a < b),
            "steps out of order, or told twice".to_owned(),
        );
        let found: Vec<_> = steps.iter().filter(|step| step["ok"] != true).collect();
        let codes: Vec<_> = found
            .iter()
            .map(|step| (text(step, "step"), text(step, "code")))
            .collect();
        demand(codes == self.wrong, format!("{:?} is expected", self.wrong));
        for step in steps.iter().filter(|step| step["ok"] == true) {
            demand(step["code"].is_null(), format!("a code of a step that is well: {step}"));
        }
        for step in &found {
            for member in ["detail", "expected", "remedy", "devices"] {
                demand(!text(step, member).is_empty(), format!("no {member} in {step}"));
            }
        }
        if let Some(step) = found.first() {
            for (member, words) in [("detail", self.detail), ("remedy", self.remedy)] {
                for word in words.iter().map(|word| filled(word)) {
                    let holds = text(step, member).to_lowercase().contains(&word.to_lowercase());
                    demand(holds, format!("“{word}” is not in the {member}"));
                }
            }
        }
        demand(said.took < PATIENCE, format!("took {:?}", said.took));
        wrong
    }
}

/// Certificates are made for the day of the test.
fn filled(word: &str) -> String {
    word.replace("{ten days ago}", &day_in(-10))
        .replace("{in ten days}", &day_in(10))
}

fn text<'a>(step: &'a Value, member: &str) -> &'a str {
    step[member].as_str().unwrap_or_default()
}

/// The probe as people run it.
#[derive(Clone)]
pub struct Prober {
    pub dns: String,
    pub ca: PathBuf,
}

/// What the probe said, and how it ended.
pub struct Said {
    pub json: Value,
    pub exit: Option<i32>,
    pub took: Duration,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// For a person who looks for what went wrong.
    pub fn told(&self) -> String {
        let step = |step: &Value| {
            let words = ["step", "code", "detail", "expected", "remedy", "devices"].map(|member| text(step, member));
            format!("    {}\n", words.join(" | "))
        };
        let steps = self.json["steps"].as_array().into_iter().flatten();
        format!(
            "    after {:?}: {}\n{}",
            self.took,
            self.stderr,
            steps.map(step).collect::<String>()
        )
    }
}

impl Prober {
    /// Asks for the domain on a port that stands for 443.
    pub fn probe(&self, hostname: &str, port: u16) -> Said {
        self.run(&["probe", hostname, "--json"], port)
    }

    pub fn run(&self, arguments: &[&str], port: u16) -> Said {
        self.run_by(&["env"], arguments, port)
    }

    /// The same, started by another program.
    pub fn run_by(&self, starter: &[&str], arguments: &[&str], port: u16) -> Said {
        let dir = TestDir::new();
        let began = Instant::now();
        let child = Command::new(starter[0])
            .args(&starter[1..])
            .arg(env!("CARGO_BIN_EXE_signpost"))
            .args(arguments)
            .arg("--cacert")
            .arg(&self.ca)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SIGNPOST_STATE_DIR", dir.path())
            .env("SIGNPOST_DNS_SERVERS", &self.dns)
            .env("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8,::1/128")
            .env("SIGNPOST_PUBLIC_HTTPS_PORT", port.to_string())
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        Said {
            json: serde_json::from_str(&stdout).unwrap_or_default(),
            exit: output.status.code(),
            took: began.elapsed(),
            stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Probes every row, several at a time, and says of all that differ how.
    #[track_caller]
    pub fn assert_table(&self, rows: &[(Row, u16)]) {
        let next = Mutex::new(rows.iter());
        let wrong = Mutex::new(Vec::new());
        let work = || {
            loop {
                let Some((row, port)) = next.lock().unwrap().next() else {
                    return;
                };
                let said = self.probe(&row.hostname(), *port);
                let differences = row.differences(&said);
                if !differences.is_empty() {
                    let told = format!("{}: {}\n{}", row.name, differences.join("; "), said.told());
                    wrong.lock().unwrap().push(told);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(work);
            }
        });
        let wrong = wrong.into_inner().unwrap();
        assert!(
            wrong.is_empty(),
            "{} of {}:\n{}",
            wrong.len(),
            rows.len(),
            wrong.join("\n")
        );
    }
}
