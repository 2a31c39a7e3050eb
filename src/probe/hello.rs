//! A TLS handshake's first message, made by hand, and what a server answers to it.
//!
//! Our TLS library speaks with servers that are as modern as it is. What an older one can do, and whether it knows
//! the Extended Master Secret (RFC 7627), is seen in its answer to a hello that offers everything from TLS 1.0 to
//! 1.2. The handshake ends there: nothing secret passes, and nothing that a server says is believed.
use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::text;

/// A server hello comes first and is short; what follows is not read.
const MAX_READ: usize = 16 * 1024;

const ECDHE_AEAD: [u16; 6] = [0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8];
/// ECDHE with CBC; DHE; RSA key exchange; 3DES and RC4 last.
const OLDER: [u16; 24] = [
    0xc023, 0xc027, 0xc024, 0xc028, 0xc009, 0xc013, 0xc00a, 0xc014, 0x009e, 0x009f, 0xccaa, 0x0067, 0x006b, 0x0033,
    0x0039, 0x009c, 0x009d, 0x003c, 0x003d, 0x002f, 0x0035, 0xc012, 0x000a, 0x0005,
];

/// What is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Everything from TLS 1.0 to 1.2.
    Everything,
    /// The suites of TLS 1.2 that devices take.
    Modern,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Hello(ServerHello),
    /// Its description (RFC 8446 §6).
    Alert(u8),
    /// Its first line.
    PlainHttp(String),
    /// The beginning of something else.
    Other(String),
    /// Framed like TLS, but not to be read.
    Garbled,
    Closed,
    Silence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerHello {
    pub version: u16,
    pub suite: u16,
    pub extended_master_secret: bool,
}

impl ServerHello {
    pub fn is_modern(self) -> bool {
        self.version >= 0x0303 && ECDHE_AEAD.contains(&self.suite)
    }
}

/// Says hello over `stream` and listens for the answer.
pub async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    name: Option<&str>,
    offer: Offer,
    patience: Duration,
) -> Heard {
    let hello = client_hello(name, offer, random());
    exchange(&mut stream, &hello, patience).await
}

/// Asks in the clear, as one asks port 80: a server that waits for a whole request says nothing to a hello.
pub async fn ask_in_the_clear(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    authority: &str,
    patience: Duration,
) -> Heard {
    let request = format!("HEAD / HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    exchange(&mut stream, request.as_bytes(), patience).await
}

async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), said: &[u8], patience: Duration) -> Heard {
    let mut read = Vec::new();
    let listen = async {
        if stream.write_all(said).await.is_err() {
            return;
        }
        let mut buffer = [0; 2048];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            read.extend_from_slice(&buffer[..length]);
            if heard(&read).is_some() || read.len() >= MAX_READ {
                return;
            }
        }
    };
    let is_over = timeout(patience, listen).await.is_ok();
    match heard(&read) {
        Some(heard) => heard,
        None if matches!(read.as_slice(), [21 | 22, 3, ..]) => Heard::Garbled,
        None if !read.is_empty() => Heard::Other(beginning(&read)),
        None if is_over => Heard::Closed,
        None => Heard::Silence,
    }
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    // Nothing depends on it: the handshake is never finished.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bytes
}

/// In one record, whose version is the oldest that is offered, as everybody writes it.
fn client_hello(name: Option<&str>, offer: Offer, random: [u8; 32]) -> Vec<u8> {
    let suites: Vec<u16> = match offer {
        Offer::Everything => ECDHE_AEAD.into_iter().chain(OLDER).collect(),
        Offer::Modern => ECDHE_AEAD.to_vec(),
    };
    let mut body = vec![3, 3];
    body.extend(random);
    body.push(0); // no session
    body.extend(counted16(&words(&suites)));
    body.extend([1, 0]); // no compression
    body.extend(counted16(&extensions(name)));
    let mut message = vec![1, 0];
    message.extend(counted16(&body));
    let mut record = vec![22, 3, 1];
    record.extend(counted16(&message));
    record
}

fn extensions(name: Option<&str>) -> Vec<u8> {
    let mut all = Vec::new();
    let mut add = |kind: u16, content: &[u8]| {
        all.extend(kind.to_be_bytes());
        all.extend(counted16(content));
    };
    if let Some(name) = name {
        let entry = [vec![0], counted16(name.as_bytes())].concat();
        add(0, &counted16(&entry));
    }
    add(10, &counted16(&words(&[29, 23, 24, 25])));
    add(11, &[1, 0]);
    let signatures = [
        0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0603, 0x0806, 0x0601, 0x0203, 0x0201,
    ];
    add(13, &counted16(&words(&signatures)));
    add(16, &counted16(&[&[8][..], b"http/1.1"].concat()));
    add(23, &[]); // the Extended Master Secret
    add(0xff01, &[0]);
    all
}

fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// With the length before it. A hello is far shorter than what two bytes can count.
fn counted16(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], content].concat()
}

/// What `read` says; `None` if more may follow that says it.
fn heard(read: &[u8]) -> Option<Heard> {
    match read {
        [21, 3, _, _, _, _level, description, ..] => Some(Heard::Alert(*description)),
        [22, 3, ..] => Some(server_hello(&handshake(read)?)),
        [b'H', b'T', b'T', b'P', b'/', ..] => first_line(read).map(Heard::PlainHttp),
        // A server that answers as HTTP 0.9 does, with the page alone.
        [b'<', b'!' | b'h' | b'H', ..] => first_line(read).map(Heard::PlainHttp),
        [21 | 22] | [] => None,
        [21, 3, ..] => None,
        _ if b"HTTP/".starts_with(&read[..read.len().min(5)]) => None,
        _ => Some(Heard::Other(beginning(read))),
    }
}

/// As text where it is one.
fn beginning(read: &[u8]) -> String {
    let first = &read[..read.len().min(16)];
    match first.is_ascii() && first.iter().any(u8::is_ascii_alphanumeric) {
        true => text::quoted_bytes(read),
        false => format!("bytes that are no text: {first:02x?}"),
    }
}

fn first_line(read: &[u8]) -> Option<String> {
    let is_whole = read.contains(&b'\n') || read.len() >= 256;
    let line = read.split(|byte| *byte == b'\n').next().unwrap_or(read);
    is_whole.then(|| text::quoted_bytes(line))
}

/// The first handshake message, which may be spread over several records.
fn handshake(read: &[u8]) -> Option<Vec<u8>> {
    let (mut message, mut rest) = (Vec::new(), read);
    while let [22, 3, _, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (content, next) = after.split_at_checked(length).unwrap_or((after, &[]));
        message.extend_from_slice(content);
        rest = next;
    }
    let length = message
        .get(1..4)?
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    message.truncate(4 + length);
    (message.len() == 4 + length).then_some(message)
}

fn server_hello(message: &[u8]) -> Heard {
    let parse = || {
        let [2, _, _, _, high, low, rest @ ..] = message else {
            return None;
        };
        let version = u16::from_be_bytes([*high, *low]);
        let (session, rest) = rest.get(32..)?.split_first()?;
        let [high, low, _compression, extensions @ ..] = rest.get(usize::from(*session)..)? else {
            return None;
        };
        Some(ServerHello {
            version,
            suite: u16::from_be_bytes([*high, *low]),
            extended_master_secret: has_extension(extensions.get(2..).unwrap_or_default(), 23),
        })
    };
    parse().map_or(Heard::Garbled, Heard::Hello)
}

fn has_extension(mut rest: &[u8], wanted: u16) -> bool {
    while let [a, b, high, low, after @ ..] = rest {
        if u16::from_be_bytes([*a, *b]) == wanted {
            return true;
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        rest = after.get(length..).unwrap_or_default();
    }
    false
}

/// As people know it.
pub fn version_name(version: u16) -> String {
    match version {
        0x0300 => "SSL 3.0".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0304 => "TLS 1.3".to_owned(),
        other => format!("TLS version {other:#06x}"),
    }
}

/// What kind of suite, which tells more than its name.
pub fn suite_name(suite: u16) -> String {
    let kind = match suite {
        0xc02b | 0xc02f | 0xc02c | 0xc030 | 0xcca9 | 0xcca8 => "ECDHE with AEAD",
        0xc023 | 0xc027 | 0xc024 | 0xc028 | 0xc009 | 0xc013 | 0xc00a | 0xc014 => "ECDHE with CBC",
        0x009e | 0x009f | 0xccaa => "DHE with AEAD",
        0x0067 | 0x006b | 0x0033 | 0x0039 => "DHE with CBC",
        0x009c | 0x009d => "RSA key exchange with GCM",
        0x003c | 0x003d | 0x002f | 0x0035 => "RSA key exchange with CBC",
        0xc012 | 0x000a => "3DES",
        0x0005 => "RC4",
        _ => "unknown",
    };
    format!("{kind}, {suite:#06x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        [&[kind, 3, 3][..], &counted16(content)].concat()
    }

    fn hello(version: u16, suite: u16, extensions: &[u8]) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        body.extend([7; 32]);
        body.extend([2, 9, 9]);
        body.extend(suite.to_be_bytes());
        body.push(0);
        if !extensions.is_empty() {
            body.extend(counted16(extensions));
        }
        [&[2, 0][..], &counted16(&body)].concat()
    }

    #[test]
    fn a_servers_hello_is_read_for_version_suite_and_master_secret() {
        let with = |version, suite, extended_master_secret| {
            Some(Heard::Hello(ServerHello {
                version,
                suite,
                extended_master_secret,
            }))
        };
        let renegotiation = [0xff, 1, 0, 1, 0];
        let both = [&renegotiation[..], &[0, 23, 0, 0]].concat();
        for (version, suite, extensions, expected) in [
            (0x0303, 0xc02f, &both[..], with(0x0303, 0xc02f, true)),
            (0x0303, 0xc02f, &renegotiation[..], with(0x0303, 0xc02f, false)),
            (0x0301, 0x002f, &[][..], with(0x0301, 0x002f, false)),
        ] {
            let message = hello(version, suite, extensions);
            assert_eq!(heard(&record(22, &message)), expected);
            // The same in two records, and with more behind.
            let (first, second) = message.split_at(20);
            let split = [record(22, first), record(22, second), record(22, &[11, 0, 0, 0])].concat();
            assert_eq!(heard(&split), expected);
            for end in 0..message.len() {
                assert_eq!(heard(&record(22, &message)[..5 + end]), None, "{end}");
            }
        }
    }

    #[test]
    fn what_is_no_server_hello_is_told_apart() {
        for (read, expected) in [
            (&[][..], None),
            (&[21, 3, 1, 0, 2, 2, 112], Some(Heard::Alert(112))),
            (&[21, 3, 1, 0, 2], None),
            (b"HTT", None),
            (b"HTTP/1.1 400 Bad", None),
            (
                b"HTTP/1.1 400 Bad Request\r\nServer",
                Some(Heard::PlainHttp("HTTP/1.1 400 Bad Request".to_owned())),
            ),
            (b"<html>\r\n", Some(Heard::PlainHttp("<html>".to_owned()))),
            (b"SSH-2.0-x\x1b[2J", Some(Heard::Other("SSH-2.0-x [2J".to_owned()))),
        ] {
            assert_eq!(heard(read), expected, "{read:?}");
        }
    }

    #[test]
    fn no_answer_however_made_is_a_panic() {
        let whole = record(22, &hello(0x0303, 0xc02f, &[0, 23, 0, 0]));
        for at in 0..whole.len() {
            for value in [0, 1, 2, 0x7f, 0xff] {
                let mut broken = whole.clone();
                broken[at] = value;
                let _ = heard(&broken);
                let _ = heard(&broken[..at]);
            }
        }
        let _ = heard(&record(22, &[0xff; 64]));
        let _ = heard(&record(22, &[2; 4096]));
    }

    #[tokio::test]
    async fn a_server_that_says_too_much_or_nothing_is_left() {
        let patience = Duration::from_millis(50);
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let endless = async {
            let record = [&[22, 3, 3, 0xff, 0xff, 2, 0xff, 0xff, 0xff][..], &[0; 1000]].concat();
            while theirs.write_all(&record).await.is_ok() {}
            std::future::pending().await
        };
        let heard = tokio::select! {
            heard = ask(ours, Some("contoso.com"), Offer::Everything, patience) => heard,
            () = endless => unreachable!("it is pending"),
        };
        assert_eq!(heard, Heard::Garbled);
        let (ours, _theirs) = tokio::io::duplex(4096);
        assert_eq!(ask(ours, None, Offer::Modern, patience).await, Heard::Silence);
        let (ours, theirs) = tokio::io::duplex(4096);
        drop(theirs);
        assert_eq!(ask(ours, None, Offer::Modern, patience).await, Heard::Closed);
    }

    #[test]
    fn our_hello_is_well_formed_and_names_the_server() {
        for offer in [Offer::Everything, Offer::Modern] {
            let hello = client_hello(Some("contoso.com"), offer, [0; 32]);
            let content = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
            assert_eq!(hello.len(), 5 + content);
            assert_eq!(usize::from(u16::from_be_bytes([hello[7], hello[8]])), content - 4);
            assert!(hello.windows(11).any(|part| part == b"contoso.com"));
            assert!(hello.windows(4).any(|part| part == [0, 23, 0, 0]));
        }
    }
}
