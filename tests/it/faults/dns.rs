//! Name servers: dnsmasq with the records of one test, and one that only ever fails.
//!
//! ```ignore
//! let mut dns = TestDns::start(&[a("contoso.test", "127.0.0.1"), txt("_signpost.contoso.test", &["…"])]);
//! let app = TestApp::start_with(pool, &[("SIGNPOST_DNS_SERVERS", &dns.address())]).await;
//! dns.change(&[a("contoso.test", "127.0.0.2")]); // the same server, other records
//! ```
use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use uuid::Uuid;

use crate::process::{Process, TestDir, start_on_a_free_port};

/// Names end in this: every other name is refused (RCODE 5), and one without records does not exist (NXDOMAIN).
const ZONE: &str = "test";

/// dnsmasq on a port of its own. It knows the records given, for names below `.test`, and asks nobody.
pub struct TestDns {
    port: u16,
    dir: TestDir,
    process: Option<Process>,
}

/// A line of dnsmasq's configuration.
#[derive(Clone, Debug)]
pub struct Record(String);

/// An A or AAAA record. A name may have several.
pub fn a(name: &str, address: &str) -> Record {
    let address: IpAddr = address.parse().unwrap();
    Record(format!("host-record={name},{address}"))
}

/// A CNAME record; `target` need not exist.
pub fn cname(name: &str, target: &str) -> Record {
    Record(format!("cname={name},{target}"))
}

/// One TXT record of these strings, each of at most 255 bytes. A name may have several records.
pub fn txt(name: &str, strings: &[&str]) -> Record {
    let mut line = format!("txt-record={name}");
    for text in strings {
        assert!(text.len() < 256 && !text.contains('"'), "{text}");
        write!(line, ",\"{text}\"").unwrap();
    }
    Record(line)
}

/// A CAA record, for example `caa("contoso.test", 0, "issue", "letsencrypt.org")`.
pub fn caa(name: &str, flags: u8, tag: &str, value: &str) -> Record {
    let length = u8::try_from(tag.len()).unwrap();
    let data = [&[flags, length], tag.as_bytes(), value.as_bytes()].concat();
    other(name, 257, &data)
}

/// A record of any type with this data.
pub fn other(name: &str, kind: u16, data: &[u8]) -> Record {
    let mut line = format!("dns-rr={name},{kind},");
    for byte in data {
        write!(line, "{byte:02x}").unwrap();
    }
    Record(line)
}

/// The names at and below `domain` are asked of another server: of one that fails, say.
pub fn delegated(domain: &str, server: SocketAddr) -> Record {
    Record(format!("server=/{domain}/{}#{}", server.ip(), server.port()))
}

impl TestDns {
    pub fn start(records: &[Record]) -> Self {
        let start = |port| {
            let dir = TestDir::new();
            let process = run(port, &dir, records)?;
            Ok(Self {
                port,
                dir,
                process: Some(process),
            })
        };
        start_on_a_free_port(start)
    }

    /// As `SIGNPOST_DNS_SERVERS` takes it.
    pub fn address(&self) -> String {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)).to_string()
    }

    /// From now on these records, and no others, at the same address.
    pub fn change(&mut self, records: &[Record]) {
        self.process = None;
        self.process = Some(run(self.port, &self.dir, records).unwrap());
    }
}

fn run(port: u16, dir: &TestDir, records: &[Record]) -> Result<Process, String> {
    // Known to nobody else: who answers it is the process that was started here.
    let sign = format!("{}.{ZONE}", Uuid::now_v7());
    // Without a limit of its own to what it asks others at once: a test that keeps many waiting is not about that.
    let mut config = format!(
        "dns-forward-max=5000\nno-resolv\nno-hosts\nlocal=/{ZONE}/\nport={port}\nlisten-address=127.0.0.1\nbind-interfaces\ncache-size=0\n\
         log-facility=-\nhost-record={sign},127.0.0.1\n"
    );
    for Record(line) in records {
        writeln!(config, "{line}").unwrap();
    }
    let config = dir.write("dnsmasq.conf", config);
    let mut command = Command::new("dnsmasq");
    command
        .arg("--no-daemon")
        .arg(format!("--conf-file={}", config.display()));
    let mut process = Process::start(&mut command, dir.path().join("dnsmasq.log"));
    match process.is_up(|| knows(port, &sign)) {
        true => Ok(process),
        false => Err(process.said()),
    }
}

fn knows(port: u16, name: &str) -> bool {
    let ask = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        socket.send(&question(name))?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer)?;
        Ok::<_, std::io::Error>(answer[..length].to_vec())
    };
    // One record in the answer.
    ask().is_ok_and(|answer| answer.len() > 12 && answer[6..8] == [0, 1])
}

/// Asks for the A records of `name` (RFC 1035 §4.1).
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0x51, 0x9a, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// How a broken name server answers whatever it is asked.
#[derive(Clone, Copy, Debug)]
pub enum Broken {
    /// SERVFAIL, as a resolver says when the domain's own servers fail or DNSSEC does not hold.
    ServerFailure,
    /// REFUSED.
    Refused,
    /// NXDOMAIN, as some resolvers say of every name when they can ask nobody.
    DeniesEverything,
    /// Nothing, ever.
    Silent,
    /// What no name server would send.
    Garbage,
    /// An address, of a name whose compression points at itself.
    EndlessName,
    /// The name asked for is an alias of itself.
    AliasOfItself,
}

/// A name server that fails, over UDP and TCP.
pub struct BrokenDns {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl BrokenDns {
    pub fn start(how: Broken) -> Self {
        let (udp, tcp) = start_on_a_free_port(|port| {
            let at = (Ipv4Addr::LOCALHOST, port);
            let sockets = UdpSocket::bind(at).and_then(|udp| Ok((udp, TcpListener::bind(at)?)));
            sockets.map_err(|error| error.to_string())
        });
        let address = udp.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let threads = [
            thread::spawn({
                let stop = stop.clone();
                move || answer_datagrams(&udp, how, &stop)
            }),
            thread::spawn({
                let stop = stop.clone();
                move || answer_streams(&tcp, how, &stop)
            }),
        ];
        Self {
            address,
            stop,
            threads: threads.into(),
        }
    }

    pub fn socket_address(&self) -> SocketAddr {
        self.address
    }

    /// As `SIGNPOST_DNS_SERVERS` takes it.
    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for BrokenDns {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// How often a thread looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);

fn answer_datagrams(socket: &UdpSocket, how: Broken, stop: &AtomicBool) {
    socket.set_read_timeout(Some(TICK)).unwrap();
    let mut asked = [0; 4096];
    while !stop.load(Ordering::Acquire) {
        let Ok((length, peer)) = socket.recv_from(&mut asked) else {
            continue;
        };
        if let Some(answer) = answer(&asked[..length], how) {
            // Who asked may be gone.
            let _ = socket.send_to(&answer, peer);
        }
    }
}

fn answer_streams(listener: &TcpListener, how: Broken, stop: &AtomicBool) {
    use std::io::{Read, Write};
    listener.set_nonblocking(true).unwrap();
    let mut open = Vec::new();
    while !stop.load(Ordering::Acquire) {
        let Ok((mut stream, _)) = listener.accept() else {
            thread::sleep(TICK);
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut asked = [0; 4096];
        let length = stream.read(&mut asked).unwrap_or_default();
        let framed = asked.get(2..length).and_then(|asked| answer(asked, how));
        if let Some(answer) = framed {
            let size = u16::try_from(answer.len()).unwrap().to_be_bytes();
            let _ = stream.write_all(&[&size, answer.as_slice()].concat());
        }
        open.push(stream);
    }
}

fn answer(asked: &[u8], how: Broken) -> Option<Vec<u8>> {
    if asked.len() < 12 {
        return None;
    }
    let with_code = |code: u8| {
        let mut answer = asked.to_vec();
        answer[2] |= 0x80;
        answer[3] = 0x80 | code;
        // Nothing but the question: an OPT record that was asked with is not repeated.
        answer.truncate(end_of_question(asked));
        answer[6..12].fill(0);
        answer
    };
    let with_record = |record: &[u8]| {
        let mut answer = with_code(0);
        answer[7] = 1;
        answer.extend(record);
        answer
    };
    match how {
        Broken::ServerFailure => Some(with_code(2)),
        Broken::Refused => Some(with_code(5)),
        Broken::DeniesEverything => Some(with_code(3)),
        Broken::Silent => None,
        Broken::Garbage => Some([&asked[..2], &[0xff; 200]].concat()),
        Broken::EndlessName => {
            let here = u8::try_from(end_of_question(asked)).unwrap();
            Some(with_record(&[0xc0, here, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]))
        }
        Broken::AliasOfItself => Some(with_record(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 0, 0, 2, 0xc0, 12])),
    }
}

/// Past the header, the name's labels, its end, type and class.
fn end_of_question(asked: &[u8]) -> usize {
    let mut at = 12;
    while at < asked.len() && asked[at] != 0 {
        at += 1 + usize::from(asked[at]);
    }
    (at + 5).min(asked.len())
}

#[test]
fn the_bench_s_name_server_answers_what_it_was_told_last() {
    let mut dns = TestDns::start(&[
        a("contoso.test", "127.0.0.1"),
        cname("www.contoso.test", "nothing.test"),
        txt("_signpost.contoso.test", &["one, ", "two"]),
        caa("contoso.test", 0, "issue", "letsencrypt.org"),
    ]);
    assert!(knows(dns.port, "contoso.test"));
    dns.change(&[a("fabrikam.test", "127.0.0.1")]);
    assert!(knows(dns.port, "fabrikam.test") && !knows(dns.port, "contoso.test"));
}
