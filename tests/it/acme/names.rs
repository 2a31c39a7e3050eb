//! The name server that our processes and the CA ask. Its records are changed without a moment of silence, and it
//! remembers what it was asked.
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinHandle,
};

use super::rig;
use crate::process::start_on_a_free_port;

/// What stands at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Address(IpAddr),
    Alias(String),
    Text(String),
    /// Flags, tag and value.
    Caa(u8, &'static str, String),
}

/// Every name that was not put into it does not exist.
pub struct Names {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct Zone {
    records: HashMap<String, Vec<Record>>,
    asked: HashMap<String, usize>,
}

const A: u16 = 1;
const CNAME: u16 = 5;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const CAA: u16 = 257;

impl Names {
    pub fn start() -> Self {
        let _inside = rig::runtime().enter();
        let (udp, tcp) = start_on_a_free_port(|port| {
            let at = (Ipv4Addr::LOCALHOST, port);
            let sockets = std::net::UdpSocket::bind(at).and_then(|udp| Ok((udp, std::net::TcpListener::bind(at)?)));
            sockets.map_err(|error| error.to_string())
        });
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let (udp, tcp) = (UdpSocket::from_std(udp).unwrap(), TcpListener::from_std(tcp).unwrap());
        let address = udp.local_addr().unwrap();
        let zone = Arc::<Mutex<Zone>>::default();
        let tasks = [
            rig::runtime().spawn(answer_datagrams(udp, zone.clone())),
            rig::runtime().spawn(answer_streams(tcp, zone.clone())),
        ];
        Self { address, zone, tasks }
    }

    /// As `SIGNPOST_DNS_SERVERS` and Pebble's `-dnsserver` take it.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on these, and no others, stand at `name`.
    pub fn put(&self, name: &str, records: &[Record]) {
        self.zone
            .lock()
            .unwrap()
            .records
            .insert(name.to_ascii_lowercase(), records.to_vec());
    }

    /// Each of these is this machine.
    pub fn put_here(&self, names: &[String]) {
        for name in names {
            self.put(name, &[address("127.0.0.1")]);
        }
    }

    pub fn remove(&self, name: &str) {
        self.zone.lock().unwrap().records.remove(name);
    }

    /// How often `name` was asked for, whatever the type.
    pub fn asked(&self, name: &str) -> usize {
        self.zone.lock().unwrap().asked.get(name).copied().unwrap_or_default()
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

pub fn address(text: &str) -> Record {
    Record::Address(text.parse().unwrap())
}

async fn answer_datagrams(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut asked = [0; 4096];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut asked).await else {
            continue;
        };
        if let Some(answer) = answer(&asked[..length], &zone) {
            // Who asked may be gone.
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

async fn answer_streams(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            rig::runtime().spawn(answer_stream(stream, zone.clone()));
        }
    }
}

async fn answer_stream(mut stream: TcpStream, zone: Arc<Mutex<Zone>>) -> Option<()> {
    loop {
        let length = stream.read_u16().await.ok()?;
        let mut asked = vec![0; length.into()];
        stream.read_exact(&mut asked).await.ok()?;
        let answer = answer(&asked, &zone)?;
        stream.write_u16(u16::try_from(answer.len()).unwrap()).await.ok()?;
        stream.write_all(&answer).await.ok()?;
    }
}

/// RFC 1035 §4.1: the question again, and the records of its type.
fn answer(asked: &[u8], zone: &Mutex<Zone>) -> Option<Vec<u8>> {
    let (name, end) = name_at(asked, 12)?;
    let kind = u16::from_be_bytes([*asked.get(end)?, *asked.get(end + 1)?]);
    let mut zone = zone.lock().unwrap();
    *zone.asked.entry(name.clone()).or_default() += 1;
    let mut answers = Vec::new();
    let exists = collect(&zone, &name, kind, &mut answers);
    let mut message = asked[..end + 4].to_vec();
    message[2] = 0x84 | (asked[2] & 1);
    message[3] = 0x80 | if exists { 0 } else { 3 };
    message[4..12].fill(0);
    message[5] = 1;
    message[7] = u8::try_from(answers.len()).ok()?;
    for (name, kind, data) in answers {
        message.extend(wire_name(&name));
        message.extend(kind.to_be_bytes());
        // Class IN, and nobody may remember it.
        message.extend([0, 1, 0, 0, 0, 0]);
        message.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        message.extend(data);
    }
    Some(message)
}

/// Whether the name, or the last of its aliases, exists.
fn collect(zone: &Zone, name: &str, kind: u16, answers: &mut Vec<(String, u16, Vec<u8>)>) -> bool {
    let Some(records) = zone.records.get(name) else {
        // A name exists also when only something below it does (RFC 8020).
        return zone.records.keys().any(|known| known.ends_with(&format!(".{name}")));
    };
    for record in records {
        let (its_kind, data) = match record {
            Record::Address(IpAddr::V4(address)) => (A, address.octets().to_vec()),
            Record::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
            Record::Text(text) => (TXT, counted(text)),
            Record::Caa(flags, tag, value) => (CAA, [&[*flags], counted(tag).as_slice(), value.as_bytes()].concat()),
            Record::Alias(target) => {
                answers.push((name.to_owned(), CNAME, wire_name(target)));
                return kind == CNAME || collect(zone, target, kind, answers);
            }
        };
        if its_kind == kind {
            answers.push((name.to_owned(), its_kind, data));
        }
    }
    true
}

fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        if length == 0 {
            return Some((labels.join("."), at + 1));
        }
        let label = message.get(at + 1..at + 1 + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += 1 + length;
    }
}

fn wire_name(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(counted);
    labels.chain([0]).collect()
}

fn counted(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    [&[length], text.as_bytes()].concat()
}

#[tokio::test]
async fn the_name_server_says_what_it_was_told_last() {
    use signpost::dns::{Dns, Failure};

    let names = Names::start();
    let dns = Dns::new(&[names.address]).unwrap();
    let here = || async { dns.addresses("contoso.test").await.a };
    assert_eq!(here().await.unwrap_err(), Failure::NoSuchName);

    let forbids = Record::Caa(0, "issue", ";".to_owned());
    names.put("contoso.test", &[address("127.0.0.1"), address("127.0.0.2"), forbids]);
    names.put("www.contoso.test", &[Record::Alias("contoso.test".to_owned())]);
    names.put("_signpost.contoso.test", &[Record::Text("one".to_owned())]);
    assert_eq!(here().await.unwrap().records.len(), 2);
    assert_eq!(
        dns.addresses("www.contoso.test").await.a.unwrap().aliases,
        ["contoso.test"]
    );
    assert_eq!(dns.txt("_signpost.contoso.test").await.unwrap().records, ["one"]);
    assert_eq!(dns.caa("www.contoso.test").await.unwrap().records[0].value, ";");

    names.put("contoso.test", &[address("::1")]);
    let found = dns.addresses("contoso.test").await;
    assert!(found.a.unwrap().records.is_empty());
    assert_eq!(found.aaaa.unwrap().records.len(), 1);
    names.remove("contoso.test");
    assert!(names.asked("contoso.test") > 3);
}
