//! The program itself, as people run it.
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::Value;
use sqlx::{ConnectOptions, PgPool, postgres::PgConnectOptions};

use crate::app::Msp;

/// A state directory and an environment in which `signpost` is run.
pub struct Machine {
    pub directory: PathBuf,
    environment: Vec<(String, String)>,
    /// The soft and the hard limit on open files; `None`: the test's own.
    pub open_files: Option<(u32, u32)>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// A `signpost serve` that answers.
pub struct Serving {
    child: Child,
    pub output: Output,
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub ops: SocketAddr,
}

/// The lines that a process has printed so far, of both streams.
#[derive(Clone, Default)]
pub struct Output(Arc<Mutex<Vec<String>>>);

impl Machine {
    /// With a database of the test's own.
    pub fn new(pool: &PgPool) -> Self {
        let mut machine = Self::bare();
        machine.set_database(&pool.connect_options());
        machine
    }

    pub fn set_database(&mut self, options: &PgConnectOptions) {
        self.set("DATABASE_URL", options.to_url_lossy().as_str());
    }

    /// Without a database.
    pub fn bare() -> Self {
        let directory = std::env::temp_dir().join(format!("signpost-it-{}", uuid::Uuid::now_v7()));
        fs::DirBuilder::new().mode(0o700).create(&directory).unwrap();
        let mut machine = Self {
            directory,
            environment: Vec::new(),
            open_files: None,
        };
        let state_dir = machine.state_dir();
        machine.set("SIGNPOST_STATE_DIR", state_dir.to_str().unwrap());
        for name in ["SIGNPOST_HTTP_ADDR", "SIGNPOST_HTTPS_ADDR", "SIGNPOST_OPS_ADDR"] {
            machine.set(name, "127.0.0.1:0");
        }
        machine.set("SIGNPOST_PORTAL_HOST", "portal.signpost.test");
        machine.set("SIGNPOST_EDGE_HOST", "edge.signpost.test");
        machine
    }

    pub fn state_dir(&self) -> PathBuf {
        self.directory.join("state")
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_signpost");
        let mut command = match self.open_files {
            None => Command::new(program),
            Some((soft, hard)) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={soft}:{hard}")).arg(program);
                command
            }
        };
        // What the tests themselves were started with is not for the program.
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", &self.directory);
        command
            .envs(self.environment.iter().cloned())
            .current_dir(&self.directory)
            .args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, "")
    }

    pub fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // A command that reads nothing may have ended already.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        let output = child.wait_with_output().unwrap();
        Ended {
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The object that is printed for a new organisation.
    pub fn create_organisation(&self, name: &str) -> Value {
        let email = format!("{}@msp.example", name.to_ascii_lowercase().replace(' ', "."));
        let printed = self
            .run(&["org", "create", "--name", name, "--email", &email])
            .succeeded();
        assert_eq!(printed.lines().count(), 1);
        serde_json::from_str(&printed).unwrap()
    }

    /// Starts `serve` and waits until it is ready.
    pub fn serve(&self, arguments: &[&str]) -> Serving {
        let mut serving = self.spawn(arguments);
        let output = serving.output.clone();
        let ready = || output.find(|line| line.contains(r#""message":"ready""#));
        let mut has_ended = || serving.child.try_wait().unwrap().is_some();
        soon(|| ready().is_some() || has_ended());
        let ready = ready().unwrap_or_else(|| panic!("not ready: {:#?}", output.lines()));
        let ready: Value = serde_json::from_str(&ready).unwrap();
        let address = |name: &str| ready[name].as_str().unwrap().parse().unwrap();
        (serving.http, serving.https, serving.ops) = (address("http"), address("https"), address("ops"));
        serving
    }

    /// Starts `serve` and does not wait.
    pub fn begin(&self) -> Serving {
        self.spawn(&[])
    }

    fn spawn(&self, arguments: &[&str]) -> Serving {
        let mut child = self.command(&[&["serve"], arguments].concat()).spawn().unwrap();
        let output = Output::default();
        output.follow(child.stdout.take().unwrap());
        output.follow(child.stderr.take().unwrap());
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        Serving {
            child,
            output,
            http: unknown,
            https: unknown,
            ops: unknown,
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

impl Ended {
    /// Standard output of a run that succeeded.
    pub fn succeeded(self) -> String {
        assert!(self.status.success(), "{self:?}");
        self.stdout
    }

    /// The one line in which a run failed.
    pub fn failed(self) -> String {
        assert_eq!((self.status.code(), self.stdout.as_str()), (Some(1), ""), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.stderr.trim_end().to_owned()
    }
}

impl Serving {
    /// Whoever holds the token of an organisation as it was printed.
    pub fn program(&self, created: &Value) -> Msp {
        let organisation_id = created["organisation_id"].as_str().unwrap().parse().unwrap();
        Msp::at(self.http, organisation_id, created["token"].as_str().unwrap())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// No file that it writes may grow over so many bytes; or any again.
    pub fn limit_files(&self, current: Option<u64>) {
        let maximum = getrlimit(Resource::Fsize).maximum;
        let limit = Rlimit { current, maximum };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Tells it to stop. Returns how it ended, and after how long.
    pub fn terminate(mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        self.signal(Signal::TERM);
        (self.child.wait().unwrap(), began.elapsed())
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Output {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn find(&self, is_wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.lines().into_iter().find(|line| is_wanted(line))
    }

    fn follow(&self, stream: impl std::io::Read + Send + 'static) {
        let output = self.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                output.0.lock().unwrap().push(text);
                line.clear();
            }
        });
    }
}

/// Whether it comes true within half a minute.
pub fn soon(mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > Duration::from_secs(30) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}
