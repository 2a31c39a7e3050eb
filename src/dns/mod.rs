//! Asks DNS, and tells apart why there is no answer: a name that does not exist, one without such records, name
//! servers that fail, refuse, or say nothing. Each has its own remedy.
//!
//! Remembers nothing: a record added a second ago must be seen. A name is absolute; neither a search list nor a hosts
//! file is read. Aliases are followed here, so that each can be shown. Decides nothing about what it finds.
mod answer;
mod ask;
pub mod verification;

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    net::NetError,
    proto::{
        op::Query,
        rr::{Name, RData, RecordType},
    },
    system_conf,
};
use serde::{Deserialize, Serialize};

use answer::{Chain, Step};

/// How long one server may take to answer one question.
const A_TRY: Duration = Duration::from_secs(5);

/// How long a lookup may take, with all its aliases and tries.
const A_LOOKUP: Duration = Duration::from_secs(10);

/// DNS servers to ask. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dns {
    servers: Arc<[SocketAddr]>,
    a_try: Duration,
    a_lookup: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("which DNS servers this system uses can't be read: name some in SIGNPOST_DNS_SERVERS")]
    Unknown(#[source] NetError),
}

/// What a name has. No records: the name exists, without any of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found<T> {
    /// The targets of the CNAMEs that were followed, in order.
    pub aliases: Vec<String>,
    pub records: Vec<T>,
}

/// Why nothing can be said about a name's records. In the order of how much they tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    #[error("no DNS server could be reached")]
    Unreachable,
    #[error("no DNS server answered in time")]
    Timeout,
    #[error("the DNS server's answer can't be read")]
    Unreadable,
    #[error("the DNS server refused to answer")]
    Refused,
    /// Also for aliases that lead in a circle: most resolvers say so of them.
    #[error("the name's DNS servers fail to answer (SERVFAIL)")]
    ServerFailure,
    #[error("the name does not exist (NXDOMAIN)")]
    NoSuchName,
}

pub type Lookup<T> = Result<Found<T>, Failure>;

/// A name's addresses, both families.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    pub a: Lookup<Ipv4Addr>,
    pub aaaa: Lookup<Ipv6Addr>,
}

/// Which authority may issue certificates (RFC 8659).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caa {
    /// Where it stands: the name that was asked about, or one above it.
    pub name: String,
    /// An authority that does not know the tag must not issue.
    pub critical: bool,
    /// Lower case: `issue`, `issuewild`, `iodef`, …
    pub tag: String,
    pub value: String,
}

impl Dns {
    /// No `servers`: those of the system. Like the C library, takes one on this machine if the system names none.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, DnsError> {
        let servers = match servers {
            [] => system_servers()?,
            named => named.to_vec(),
        };
        Ok(Self {
            servers: servers.into(),
            a_try: A_TRY,
            a_lookup: A_LOOKUP,
        })
    }

    /// A and AAAA, asked at the same time.
    pub async fn addresses(&self, name: &str) -> Addresses {
        let (a, aaaa) = tokio::join!(
            self.lookup(name, RecordType::A, answer::a),
            self.lookup(name, RecordType::AAAA, answer::aaaa)
        );
        Addresses { a, aaaa }
    }

    /// Each record's strings joined as they stand (RFC 7208 §3.3). What is no readable text becomes U+FFFD.
    pub async fn txt(&self, name: &str) -> Lookup<String> {
        self.lookup(name, RecordType::TXT, answer::txt).await
    }

    /// Where the name's own CNAME leads, if it has one, whether that exists or not.
    pub async fn alias(&self, name: &str) -> Result<Option<String>, Failure> {
        self.in_time(async {
            let name = answer::absolute(name)?;
            let query = Query::query(name.clone(), RecordType::CNAME);
            let message = ask::any(&self.servers, &query, self.a_try).await?;
            Ok(answer::target_of(&message, &name).as_ref().map(answer::readable_name))
        })
        .await
    }

    /// The records in force for `name`: its own, or those of the nearest name above it that has any (RFC 8659 §3).
    /// No records: nothing is forbidden, whether the name exists or not.
    pub async fn caa(&self, name: &str) -> Lookup<Caa> {
        self.in_time(async {
            let mut at = answer::absolute(name)?;
            while !at.is_root() {
                let read = |data: &RData| answer::caa(data, &at);
                match self.follow(at.clone(), RecordType::CAA, read).await {
                    Ok(found) if !found.records.is_empty() => return Ok(found),
                    Ok(_) | Err(Failure::NoSuchName) => at = at.base_name(),
                    Err(failure) => return Err(failure),
                }
            }
            Ok(Found {
                aliases: Vec::new(),
                records: Vec::new(),
            })
        })
        .await
    }

    async fn lookup<T>(&self, name: &str, kind: RecordType, read: impl Fn(&RData) -> Option<T>) -> Lookup<T> {
        self.in_time(async { self.follow(answer::absolute(name)?, kind, read).await })
            .await
    }

    async fn in_time<T>(&self, lookup: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::time::timeout(self.a_lookup, lookup)
            .await
            .unwrap_or(Err(Failure::Timeout))
    }

    /// A resolver follows aliases itself; one that does not is asked again for each.
    async fn follow<T>(&self, name: Name, kind: RecordType, read: impl Fn(&RData) -> Option<T>) -> Lookup<T> {
        let mut chain = Chain::new(name);
        loop {
            let query = Query::query(chain.end().clone(), kind);
            let message = ask::any(&self.servers, &query, self.a_try).await?;
            match chain.follow(&message, kind, &read)? {
                Step::Records(records) => {
                    return Ok(Found {
                        aliases: chain.aliases(),
                        records,
                    });
                }
                Step::AskForTheEnd => {}
            }
        }
    }
}

fn system_servers() -> Result<Vec<SocketAddr>, DnsError> {
    let named = match system_conf::read_system_conf() {
        Ok((config, _)) => config.name_servers().iter().map(|server| server.ip).collect(),
        Err(NetError::Io(error)) if names_none(&error) => Vec::new(),
        Err(error) => return Err(DnsError::Unknown(error)),
    };
    let servers = match named.as_slice() {
        [] => vec![Ipv4Addr::LOCALHOST.into()],
        _ => named,
    };
    Ok(servers.into_iter().map(|ip| SocketAddr::new(ip, 53)).collect())
}

/// No file, or (an error of no kind) one without a name server.
fn names_none(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Other)
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, str::FromStr, sync::Mutex};

    use hickory_resolver::proto::{
        op::{Message, ResponseCode},
        rr::{
            Record,
            rdata::{A, AAAA, CAA, CNAME, TXT},
        },
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream, UdpSocket},
        task::JoinSet,
    };

    use super::*;

    /// How a server behaves.
    #[derive(Clone, Copy, PartialEq)]
    enum Manner {
        /// Tells what the zone holds, and follows no alias.
        Plain,
        Says(ResponseCode),
        Silent,
        /// Right id, then nonsense.
        Garbage,
        /// Says of every datagram that it is cut off.
        Truncating,
    }

    /// A DNS server on loopback; ends with the value.
    struct Server {
        address: SocketAddr,
        asked: Arc<Mutex<Vec<(String, RecordType)>>>,
        _tasks: JoinSet<()>,
    }

    impl Server {
        async fn start(manner: Manner, zone: Vec<Record>) -> Self {
            let (udp, tcp) = same_port().await;
            let address = udp.local_addr().unwrap();
            let asked = Arc::new(Mutex::new(Vec::new()));
            let zone = Arc::new((manner, zone, asked.clone()));
            let mut tasks = JoinSet::new();
            let of_udp = zone.clone();
            tasks.spawn(async move {
                let mut buffer = [0; 4096];
                loop {
                    let (length, peer) = udp.recv_from(&mut buffer).await.unwrap();
                    if let Some(bytes) = answer(&of_udp, &buffer[..length], true) {
                        udp.send_to(&bytes, peer).await.unwrap();
                    }
                }
            });
            tasks.spawn(async move {
                loop {
                    let (stream, _) = tcp.accept().await.unwrap();
                    answer_over_tcp(&zone, stream).await;
                }
            });
            Self {
                address,
                asked,
                _tasks: tasks,
            }
        }

        fn dns(&self) -> Dns {
            impatient(&[self.address])
        }
    }

    fn impatient(servers: &[SocketAddr]) -> Dns {
        Dns {
            a_try: Duration::from_millis(1500),
            a_lookup: Duration::from_secs(4),
            ..Dns::new(servers).unwrap()
        }
    }

    type Zone = (Manner, Vec<Record>, Arc<Mutex<Vec<(String, RecordType)>>>);

    async fn same_port() -> (UdpSocket, TcpListener) {
        loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                return (udp, tcp);
            }
        }
    }

    async fn answer_over_tcp(zone: &Zone, mut stream: TcpStream) {
        let length = stream.read_u16().await.unwrap();
        let mut question = vec![0; length.into()];
        stream.read_exact(&mut question).await.unwrap();
        let bytes = answer(zone, &question, false).unwrap();
        stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    }

    fn answer((manner, zone, asked): &Zone, question: &[u8], is_udp: bool) -> Option<Vec<u8>> {
        let mut message = Message::from_vec(question).unwrap().into_response();
        let query = message.queries[0].clone();
        asked
            .lock()
            .unwrap()
            .push((query.name().to_string(), query.query_type()));
        match manner {
            Manner::Silent => return None,
            Manner::Garbage => return Some([&question[..2], &[0xff; 40]].concat()),
            Manner::Says(code) => message.metadata.response_code = *code,
            Manner::Truncating if is_udp => message.metadata.truncation = true,
            Manner::Plain | Manner::Truncating => {
                let of_name: Vec<_> = zone.iter().filter(|record| record.name == *query.name()).collect();
                let fits = |record: &&&Record| {
                    record.record_type() == query.query_type() || record.record_type() == RecordType::CNAME
                };
                message.add_answers(of_name.iter().filter(fits).map(|record| (*record).clone()));
                if of_name.is_empty() {
                    message.metadata.response_code = ResponseCode::NXDomain;
                }
            }
        }
        message.to_vec().ok()
    }

    fn record(name: &str, data: RData) -> Record {
        Record::from_rdata(Name::from_str(name).unwrap(), 60, data)
    }

    fn address(name: &str, ip: &str) -> Record {
        let data = match ip.parse().unwrap() {
            IpAddr::V4(ip) => RData::A(A(ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
        };
        record(name, data)
    }

    fn alias(name: &str, target: &str) -> Record {
        record(name, RData::CNAME(CNAME(Name::from_str(target).unwrap())))
    }

    fn text(name: &str, strings: &[&str]) -> Record {
        let strings = strings.iter().map(ToString::to_string).collect();
        record(name, RData::TXT(TXT::new(strings)))
    }

    fn issue(name: &str, authority: &str) -> Record {
        let authority = Name::from_str(authority).unwrap();
        record(name, RData::CAA(CAA::new_issue(false, Some(authority), vec![])))
    }

    #[expect(clippy::unnecessary_wraps, reason = "compared with a look-up")]
    fn found<T>(aliases: &[&str], records: Vec<T>) -> Lookup<T> {
        Ok(Found {
            aliases: aliases.iter().map(ToString::to_string).collect(),
            records,
        })
    }

    #[tokio::test]
    async fn both_families_are_asked_and_a_name_without_one_exists() {
        let server = Server::start(
            Manner::Plain,
            vec![
                address("both.example.", "192.0.2.1"),
                address("both.example.", "192.0.2.2"),
                address("both.example.", "2001:db8::1"),
                address("four.example.", "192.0.2.4"),
            ],
        )
        .await;
        let dns = server.dns();
        let both = dns.addresses("both.example").await;
        assert_eq!(
            both.a,
            found(&[], vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()])
        );
        assert_eq!(both.aaaa, found(&[], vec!["2001:db8::1".parse().unwrap()]));
        let four = dns.addresses("four.example.").await;
        assert_eq!(four.a, found(&[], vec!["192.0.2.4".parse().unwrap()]));
        assert_eq!(four.aaaa, found(&[], vec![]));
        let none = dns.addresses("none.example").await;
        assert_eq!(
            (none.a, none.aaaa),
            (Err(Failure::NoSuchName), Err(Failure::NoSuchName))
        );
        // Neither a search list nor a special meaning of a name.
        assert_eq!(dns.addresses("localhost").await.a, Err(Failure::NoSuchName));
        let asked = server.asked.lock().unwrap();
        assert!(asked.contains(&("localhost.".to_owned(), RecordType::A)), "{asked:?}");
    }

    #[tokio::test]
    async fn aliases_are_followed_and_told() {
        let mut zone = vec![
            alias("www.example.", "cdn.example."),
            alias("cdn.example.", "edge.example."),
            address("edge.example.", "192.0.2.1"),
            alias("gone.example.", "nowhere.example."),
            alias("loop.example.", "pool.example."),
            alias("pool.example.", "loop.example."),
        ];
        zone.extend((0..40).map(|n| alias(&format!("n{n}.example."), &format!("n{}.example.", n + 1))));
        let server = Server::start(Manner::Plain, zone).await;
        let dns = server.dns();
        let www = dns.addresses("www.example").await;
        let aliases = ["cdn.example", "edge.example"];
        assert_eq!(www.a, found(&aliases, vec!["192.0.2.1".parse().unwrap()]));
        assert_eq!(www.aaaa, found(&aliases, vec![]));
        assert_eq!(dns.addresses("gone.example").await.a, Err(Failure::NoSuchName));
        assert_eq!(dns.addresses("loop.example").await.a, Err(Failure::ServerFailure));
        assert_eq!(dns.addresses("n0.example").await.a, Err(Failure::ServerFailure));
    }

    #[tokio::test]
    async fn texts_are_joined_and_cut_off_answers_asked_for_again_over_tcp() {
        let mut zone = vec![text("_signpost.a.example.", &["signpost-veri", "fication=1"])];
        zone.extend((0..500).map(|n| text("many.example.", &[&format!("{n} {}", "x".repeat(90))])));
        for manner in [Manner::Plain, Manner::Truncating] {
            let server = Server::start(manner, zone.clone()).await;
            let texts = server.dns().txt("_signpost.a.example").await;
            assert_eq!(texts, found(&[], vec!["signpost-verification=1".to_owned()]));
        }
        let server = Server::start(Manner::Truncating, zone).await;
        let many = server.dns().txt("many.example").await.unwrap();
        assert_eq!(many.records.len(), 64);
    }

    #[tokio::test]
    async fn each_failure_is_told_apart() {
        for (manner, expected) in [
            (Manner::Says(ResponseCode::ServFail), Failure::ServerFailure),
            (Manner::Says(ResponseCode::Refused), Failure::Refused),
            (Manner::Says(ResponseCode::NXDomain), Failure::NoSuchName),
            (Manner::Silent, Failure::Timeout),
            (Manner::Garbage, Failure::Unreadable),
        ] {
            let server = Server::start(manner, vec![]).await;
            let dns = server.dns();
            assert_eq!(dns.txt("a.example").await, Err(expected));
            let addresses = dns.addresses("a.example").await;
            assert_eq!((addresses.a, addresses.aaaa), (Err(expected), Err(expected)));
        }
    }

    #[tokio::test]
    async fn a_server_that_fails_leaves_the_word_to_the_next() {
        let good = Server::start(Manner::Plain, vec![text("a.example.", &["here"])]).await;
        for manner in [
            Manner::Says(ResponseCode::ServFail),
            Manner::Says(ResponseCode::Refused),
            Manner::Silent,
            Manner::Garbage,
        ] {
            let bad = Server::start(manner, vec![]).await;
            let dns = impatient(&[bad.address, good.address]);
            assert_eq!(dns.txt("a.example").await, found(&[], vec!["here".to_owned()]));
        }
        // A failure that was told says more than silence.
        let (silent, failing) = (
            Server::start(Manner::Silent, vec![]).await,
            Server::start(Manner::Says(ResponseCode::ServFail), vec![]).await,
        );
        let dns = impatient(&[failing.address, silent.address]);
        assert_eq!(dns.txt("a.example").await, Err(Failure::ServerFailure));
    }

    #[tokio::test]
    async fn certificate_authorities_are_looked_for_upwards() {
        let server = Server::start(
            Manner::Plain,
            vec![
                issue("example.", "ca.example."),
                issue("own.example.", "own-ca.example."),
                alias("www.example.", "hosted.other."),
                issue("hosted.other.", "hosters-ca.example."),
                address("silent.other.", "192.0.2.1"),
            ],
        )
        .await;
        let dns = server.dns();
        let caa = |name: &str, value: &str| {
            vec![Caa {
                name: name.to_owned(),
                critical: false,
                tag: "issue".to_owned(),
                value: value.to_owned(),
            }]
        };
        for (name, expected) in [
            ("own.example", found(&[], caa("own.example", "own-ca.example."))),
            ("a.b.own.example", found(&[], caa("own.example", "own-ca.example."))),
            ("other.example", found(&[], caa("example", "ca.example."))),
            (
                "www.example",
                found(&["hosted.other"], caa("www.example", "hosters-ca.example.")),
            ),
            ("silent.other", found(&[], vec![])),
            ("no.such.name", found(&[], vec![])),
        ] {
            assert_eq!(dns.caa(name).await, expected, "{name}");
        }
        let failing = Server::start(Manner::Says(ResponseCode::ServFail), vec![]).await;
        assert_eq!(failing.dns().caa("a.example").await, Err(Failure::ServerFailure));
    }

    #[tokio::test]
    async fn nothing_is_remembered() {
        let server = Server::start(Manner::Plain, vec![text("a.example.", &["here"])]).await;
        let dns = server.dns();
        dns.txt("a.example").await.unwrap();
        dns.txt("a.example").await.unwrap();
        assert_eq!(server.asked.lock().unwrap().len(), 2);
    }
}
