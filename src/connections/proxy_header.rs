//! The PROXY protocol, versions 1 and 2: a load balancer names the sender of a TCP connection in its first bytes.
//! [haproxy.org/download/3.0/doc/proxy-protocol.txt]
use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use bytes::{Buf, BytesMut};
use proxy_header::{Error, ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A version 2 header may carry TLVs, certificates among them. Longer headers are refused.
pub const MAX_HEADER_BYTES: usize = 4 * 1024;

const SIGNATURE_V1: &[u8] = b"PROXY ";
const SIGNATURE_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the load balancer says, and what it sent after the header.
pub struct Accepted {
    /// `None`: the connection is the balancer's own (LOCAL or UNKNOWN), for example a health check.
    pub sender: Option<IpAddr>,
    pub rest: BytesMut,
}

#[derive(Debug, thiserror::Error)]
pub enum ProxyHeaderError {
    #[error("the connection does not begin with a valid PROXY header")]
    Invalid,
    #[error("the connection ended before its PROXY header did")]
    Incomplete,
    #[error("the PROXY header could not be read")]
    Io(#[from] io::Error),
}

/// Reads the header from the beginning of a connection. The caller sets a timeout.
pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Accepted, ProxyHeaderError> {
    let mut received = BytesMut::with_capacity(512);
    loop {
        match parse(&received)? {
            Some((sender, length)) => {
                received.advance(length);
                return Ok(Accepted {
                    sender: sender.map(|sender| sender.ip().to_canonical()),
                    rest: received,
                });
            }
            None if received.len() >= MAX_HEADER_BYTES => return Err(ProxyHeaderError::Invalid),
            None => {}
        }
        if from.read_buf(&mut received).await? == 0 {
            return Err(ProxyHeaderError::Incomplete);
        }
    }
}

/// The sender and the header's length; `None` if more bytes are needed.
fn parse(received: &[u8]) -> Result<Option<(Option<SocketAddr>, usize)>, ProxyHeaderError> {
    let begins = |signature: &[u8]| {
        let common = received.len().min(signature.len());
        received[..common] == signature[..common]
    };
    if !begins(SIGNATURE_V1) && !begins(SIGNATURE_V2) {
        return Err(ProxyHeaderError::Invalid);
    }
    match ProxyHeader::parse(received, ParseConfig::default()) {
        Ok((header, length)) => Ok(Some((header.proxied_address().map(|address| address.source), length))),
        Err(Error::BufferTooShort) => Ok(None),
        Err(_) => Err(ProxyHeaderError::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A version 2 header with this command, address family, and addresses with TLVs.
    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE_V2, &[command, family], &length, body].concat()
    }

    async fn sender_of(bytes: &[u8]) -> Result<(Option<String>, Vec<u8>), ProxyHeaderError> {
        let accepted = read(&mut &*bytes).await?;
        Ok((accepted.sender.map(|sender| sender.to_string()), accepted.rest.to_vec()))
    }

    const V4: &[u8] = &[203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x34, 1, 187];

    #[tokio::test]
    async fn the_sender_is_the_one_that_the_header_names() {
        let v6 = [
            &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9][..],
            &[0; 16],
            &[0, 1, 0, 2],
        ]
        .concat();
        let mapped = [
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 7][..],
            &[0; 16],
            &[0, 1, 0, 2],
        ]
        .concat();
        let with_tlv = [V4, &[0x04, 0, 3, 1, 2, 3]].concat();
        for (header, expected) in [
            (
                b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n".to_vec(),
                Some("203.0.113.7"),
            ),
            (
                b"PROXY TCP6 2001:db8::9 2001:db8::1 56324 443\r\n".to_vec(),
                Some("2001:db8::9"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, V4), Some("203.0.113.7")),
            (v2(0x21, 0x11, &with_tlv), Some("203.0.113.7")),
            (v2(0x21, 0x21, &v6), Some("2001:db8::9")),
            (v2(0x21, 0x21, &mapped), Some("203.0.113.7")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, V4), None),
            (v2(0x21, 0x00, &[]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            for rest in [&b""[..], b"GET / HTTP/1.1\r\n"] {
                let bytes = [&header, rest].concat();
                let (sender, left) = sender_of(&bytes).await.unwrap();
                assert_eq!((sender.as_deref(), &*left), (expected, rest), "{header:02x?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let endless = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        let too_long = v2(0x21, 0x11, &[0; MAX_HEADER_BYTES]);
        let too_long = &too_long[..MAX_HEADER_BYTES + 15];
        for (bytes, is_invalid) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], true),
            (b"\x16\x03\x01\x02\x00\x01\x00", true),
            (b"PROXY TCP4 203.0.113.7 192.0.2.1 70000 443\r\n", true),
            (b"PROXY TCP4 203.0.113.700 192.0.2.1 1 443\r\n", true),
            (b"PROXY TCP4 2001:db8::9 192.0.2.1 1 443\r\n", true),
            (b"PROXY TCP9 203.0.113.7 192.0.2.1 1 443\r\n", true),
            (b"PROXY TCP4 203.0.113.7 192.0.2.1 1 443\rX", true),
            (b"proxy TCP4 203.0.113.7 192.0.2.1 1 443\r\n", true),
            (&v2(0x31, 0x11, V4), true),
            (&v2(0x22, 0x11, V4), true),
            (
                &[v2(0x21, 0x11, &V4[..8]), b"GET / HTTP/1.1\r\n".to_vec()].concat(),
                true,
            ),
            (&v2(0x21, 0x41, V4), true),
            (&endless, true),
            (too_long, true),
            (b"", false),
            (b"PRO", false),
            (b"PROXY TCP4 203.0.113.7 192.0.2.1 1 443\r", false),
            (&v2(0x21, 0x11, V4)[..20], false),
        ] {
            let refused = sender_of(bytes).await.err();
            let as_expected = match refused {
                Some(ProxyHeaderError::Invalid) => is_invalid,
                Some(ProxyHeaderError::Incomplete) => !is_invalid,
                _ => false,
            };
            assert!(as_expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
