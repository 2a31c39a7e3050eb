//! Another server's process, on loopback: started when it is needed, gone with its test.
use std::{
    collections::BTreeSet,
    fs,
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use uuid::Uuid;

/// A server that ends when it is dropped, and the file with what it said.
pub struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    pub fn start(command: &mut Command, said: PathBuf) -> Self {
        let file = fs::File::create(&said).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, said }
    }

    /// Waits until the server does what it is for. False: it has ended, because another took its port, say.
    pub fn is_up(&mut self, is_ready: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if is_ready() {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("not ready within twenty seconds: {}", self.said());
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself: what matters is that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server until it is up, each time on another port: somebody else may be quicker to take one.
pub fn start_on_a_free_port<T>(mut start: impl FnMut(u16) -> Result<T, String>) -> T {
    let mut why = Vec::new();
    for _ in 0..10 {
        match start(free_port()) {
            Ok(server) => return server,
            Err(error) => why.push(error),
        }
    }
    panic!("does not start: {why:#?}");
}

/// A port that nobody listens on, by UDP or TCP, below those that the system hands out for connections: nobody gets
/// it by chance while a server is started or started again. Never the same twice, and hardly ever one of another test's.
pub fn free_port() -> u16 {
    static HANDED_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mine = 16_000 + 500 * slot();
    loop {
        let random = Uuid::now_v7().as_u128() % 500;
        let port = mine + u16::try_from(random).unwrap();
        let any = ("0.0.0.0", port);
        let is_free = TcpListener::bind(any).is_ok() && UdpSocket::bind(any).is_ok();
        if is_free && HANDED_OUT.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// One of 32 ranges of ports, which no other test that runs now has: the port that stands for it is held until the
/// process ends. Else two tests could choose one port, and one of them speak to the other's server.
fn slot() -> u16 {
    static HELD: OnceLock<(u16, TcpListener)> = OnceLock::new();
    let (slot, _) = HELD.get_or_init(|| {
        let first = u16::try_from(std::process::id() % 32).unwrap();
        let mut slots = (first..32).chain(0..first).cycle();
        slots
            .find_map(|slot| Some((slot, TcpListener::bind(("127.0.0.1", 15_900 + slot)).ok()?)))
            .unwrap()
    });
    *slot
}

/// A directory for a server's files, gone with the test.
pub struct TestDir(PathBuf);

impl TestDir {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("signpost-rig-{}", Uuid::now_v7()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and says where it is.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
