//! One request and its answer over a connection that is there already, as a device asks. Reads no more than a
//! discovery document can need, and no longer than it is told to.
use std::{io::ErrorKind, pin::pin, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::{Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};

use super::{
    lenient::Lenient,
    report::{Code, Fault},
    target::Target,
    text::{quoted, quoted_bytes},
    tls,
};

pub const MAX_BODY: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// `own_checks::HEADER`, which the caller signs.
const OWN_CHECK_HEADER: &str = "signpost-check";
/// What devices send.
const USER_AGENT: &str = "DeviceManagementClient/1.0";

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// What was read of it; of a redirect nothing is.
    pub body: Vec<u8>,
    pub end: End,
}

/// One request.
pub struct Question<'a> {
    pub target: &'a Target,
    pub method: Method,
    /// By which the installation under test recognises its own checks.
    pub own_check: Option<&'a str>,
}

/// How the body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Whole,
    /// More than [`MAX_BODY`]: left there.
    TooLong,
    TooSlow,
    /// Before its announced length.
    Broken,
    /// In chunks that can't be told from each other.
    Garbled,
}

/// No answer.
#[derive(Debug, PartialEq, Eq)]
pub enum NoAnswer {
    TooSlow,
    Closed,
    ClientCertificateWanted,
    Alert(u8),
    TooManyHeaders,
    /// In the words of who tried to read it.
    Unreadable(String),
}

impl Answer {
    /// The first value, as people write it.
    pub fn header(&self, name: &str) -> Option<String> {
        let value = self.headers.get(name)?;
        Some(quoted_bytes(value.as_bytes()))
    }

    /// A redirect that a client follows, and its target if it has one.
    pub fn redirect(&self) -> Option<Option<&[u8]>> {
        matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308)
            .then(|| self.headers.get(header::LOCATION).map(HeaderValue::as_bytes))
    }

    /// `404 Not Found`.
    pub fn status_line(&self) -> String {
        match self.status.canonical_reason() {
            Some(reason) => format!("{} {reason}", self.status.as_u16()),
            None => self.status.as_u16().to_string(),
        }
    }
}

/// Sends `question` over `stream`; the whole exchange ends within `patience`.
pub async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    question: &Question<'_>,
    patience: Duration,
) -> Result<Answer, NoAnswer> {
    let end = Instant::now() + patience;
    let request = request(question)?;
    let handshake = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES)
        // A line that a device would skip is no reason to end here.
        .ignore_invalid_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .handshake(TokioIo::new(Lenient(stream)));
    let (mut sender, connection) = handshake.await.map_err(|error| no_answer(&error))?;
    let exchange = async {
        match timeout_at(end, sender.send_request(request)).await {
            Ok(Ok(response)) => Ok(read(response, end).await),
            Ok(Err(error)) => Err(no_answer(&error)),
            Err(_) => Err(NoAnswer::TooSlow),
        }
    };
    let (mut exchange, connection) = (pin!(exchange), pin!(connection));
    tokio::select! {
        answer = &mut exchange => answer,
        // What it ended with is told to the exchange, which may still have something to read.
        _ = connection => exchange.await,
    }
}

fn request(question: &Question<'_>) -> Result<Request<Empty<Bytes>>, NoAnswer> {
    let request = Request::builder()
        .method(&question.method)
        .uri(&question.target.path_and_query)
        .header(header::HOST, question.target.authority())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*");
    let request = match question.own_check {
        Some(value) => request.header(OWN_CHECK_HEADER, value),
        None => request,
    };
    request
        .body(Empty::new())
        .map_err(|error| NoAnswer::Unreadable(error.to_string()))
}

async fn read(response: Response<Incoming>, end: Instant) -> Answer {
    let (head, mut incoming) = response.into_parts();
    let mut answer = Answer {
        status: head.status,
        headers: head.headers,
        body: Vec::new(),
        end: End::Whole,
    };
    if answer.redirect().is_some() {
        return answer;
    }
    loop {
        let frame = match timeout_at(end, incoming.frame()).await {
            Err(_) => {
                answer.end = End::TooSlow;
                return answer;
            }
            Ok(None) => return answer,
            Ok(Some(Err(error))) => {
                answer.end = broken(&error);
                return answer;
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Some(data) = frame.data_ref() else { continue };
        let room = MAX_BODY - answer.body.len();
        answer.body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            answer.end = End::TooLong;
            return answer;
        }
    }
}

/// The connection's errors are those of TLS and of the network; those of the reader are its own.
fn broken(error: &hyper::Error) -> End {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    let is_of_reader = |io: &std::io::Error| {
        matches!(io.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData)
            && !io
                .get_ref()
                .is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
    };
    match io.is_some_and(is_of_reader) {
        true => End::Garbled,
        false => End::Broken,
    }
}

fn no_answer(error: &hyper::Error) -> NoAnswer {
    let why = error.to_string();
    if error.is_parse() && why.contains("too large") {
        return NoAnswer::TooManyHeaders;
    }
    if error.is_parse() {
        return NoAnswer::Unreadable(why);
    }
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    match io.and_then(tls::alert).map(u8::from) {
        Some(116) => NoAnswer::ClientCertificateWanted,
        Some(alert) => NoAnswer::Alert(alert),
        None => NoAnswer::Closed,
    }
}

impl NoAnswer {
    pub fn fault(&self) -> Fault {
        match self {
            Self::TooSlow => too_slow("There was no answer in time."),
            Self::Closed => connection_closed("The server closed the connection without an answer."),
            Self::Alert(alert) => connection_closed(&format!(
                "The server ended the connection with the TLS alert number {alert}, without an answer."
            )),
            Self::ClientCertificateWanted => Fault::new(
                Code::AuthenticationRequired,
                "The server asks for a client certificate.",
            )
            .expected("An answer without a client certificate: a device has none before it is enrolled.")
            .remedy("Whoever runs the web server stops asking for client certificates below /.well-known/."),
            Self::TooManyHeaders => unreadable(&format!(
                "Its headers are more than {MAX_HEADERS}, or larger than {} KiB.",
                MAX_HEADER_BYTES / 1024
            )),
            Self::Unreadable(why) => unreadable(&format!("Where it is read: {}.", quoted(why))),
        }
    }
}

/// A fault of an answer that began well.
pub fn unfinished(answer: &Answer) -> Option<Fault> {
    match answer.end {
        End::Whole | End::TooLong => None,
        End::TooSlow => Some(too_slow(&format!(
            "The server answered {}, but did not finish the body in time.",
            answer.status_line()
        ))),
        End::Broken => Some(connection_closed(&format!(
            "The server answered {}, but closed the connection before the body was whole.",
            answer.status_line()
        ))),
        End::Garbled => Some(unreadable(&format!(
            "The server answered {}, but its body is not in chunks as Transfer-Encoding: chunked wants them: the size \
             of one can't be read, or does not fit.",
            answer.status_line()
        ))),
    }
}

fn too_slow(what: &str) -> Fault {
    Fault::new(Code::ResponseTooSlow, what)
        .expected("A whole answer within a few seconds.")
        .remedy(
            "Whoever runs the web server finds out what holds the answer up: most often an application behind it. A \
             static file, or a redirect, needs none.",
        )
}

fn connection_closed(what: &str) -> Fault {
    Fault::new(Code::ConnectionClosed, what)
        .expected("A whole answer.")
        .remedy(
            "Whoever runs the web server looks into its log. A firewall, or a filter for clients that are no browsers, \
             does the same.",
        )
}

fn unreadable(what: &str) -> Fault {
    Fault::new(
        Code::ResponseUnreadable,
        format!("The answer is not HTTP that can be read. {what}"),
    )
    .expected("An answer in HTTP/1.1.")
    .remedy("Whoever runs the web server finds out which program answers on this port.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// What comes of a server that writes `chunks`, the last of them for ever if `endless`.
    async fn told(method: Method, chunks: &[&[u8]], endless: bool) -> Result<Answer, NoAnswer> {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let target = Target::device("contoso.com", 443, Some("user-identifier=a@b&model-family=Mac"));
        let server = async {
            let mut request = [0; 4096];
            let length = theirs.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            for chunk in chunks {
                let _ = theirs.write_all(chunk).await;
            }
            while endless && theirs.write_all(chunks[chunks.len() - 1]).await.is_ok() {}
            drop(theirs);
            request
        };
        let question = Question {
            target: &target,
            method,
            own_check: Some("tag"),
        };
        let (answer, request) = tokio::join!(ask(ours, &question, Duration::from_millis(300)), server);
        assert!(
            request
                .contains(" /.well-known/com.apple.remotemanagement?user-identifier=a@b&model-family=Mac HTTP/1.1\r\n")
                && request.contains("host: contoso.com\r\nuser-agent: DeviceManagementClient/1.0\r\naccept: */*\r\nsignpost-check: tag\r\n"),
            "{request}"
        );
        answer
    }

    #[tokio::test]
    async fn an_answer_is_read_to_its_end() {
        let answer = told(
            Method::GET,
            &[b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\nhi"],
            false,
        );
        let answer = answer.await.unwrap();
        assert_eq!((answer.status_line().as_str(), answer.end), ("200 OK", End::Whole));
        assert_eq!(
            (answer.body.as_slice(), answer.header("content-type").as_deref()),
            (&b"hi"[..], Some("a/b"))
        );
        let until_close = told(Method::GET, &[b"HTTP/1.0 200 OK\r\n\r\n", b"hello"], false)
            .await
            .unwrap();
        assert_eq!(
            (until_close.body.as_slice(), until_close.end),
            (&b"hello"[..], End::Whole)
        );
        let head = told(Method::HEAD, &[b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"], false)
            .await
            .unwrap();
        assert_eq!((head.body.len(), head.end), (0, End::Whole));
    }

    #[tokio::test]
    async fn what_has_no_end_is_left_at_a_limit() {
        let body = told(Method::GET, &[b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 1000]], true)
            .await
            .unwrap();
        assert_eq!((body.body.len(), body.end), (MAX_BODY, End::TooLong));
        let line = [b'x'; 1000];
        let header = told(Method::GET, &[b"HTTP/1.1 200 OK\r\nX: ", &line], true).await;
        assert_eq!(header.unwrap_err(), NoAnswer::TooManyHeaders);
        let headers = told(Method::GET, &[b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"], true).await;
        assert_eq!(headers.unwrap_err(), NoAnswer::TooManyHeaders);
        let informational = told(Method::GET, &[b"HTTP/1.1 102 Processing\r\n\r\n"], true).await;
        assert!(informational.is_err());
        let redirect = told(
            Method::GET,
            &[b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", &line],
            true,
        )
        .await
        .unwrap();
        assert_eq!((redirect.body.len(), redirect.redirect()), (0, Some(Some(&b"/x"[..]))));
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_whole_says_how_it_ended() {
        let cut = told(Method::GET, &[b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"], false)
            .await
            .unwrap();
        assert_eq!(cut.end, End::Broken);
        assert_eq!(unfinished(&cut).unwrap().code, Code::ConnectionClosed);
        for (chunks, end, code) in [
            ("ZZ\r\nhi\r\n0\r\n\r\n", End::Garbled, Code::ResponseUnreadable),
            ("1\r\nhi\r\n0\r\n\r\n", End::Garbled, Code::ResponseUnreadable),
            ("fffffffffffffffff\r\nhi", End::Garbled, Code::ResponseUnreadable),
            ("9\r\nhi", End::Broken, Code::ConnectionClosed),
            ("2\r\nhi\r\n", End::Broken, Code::ConnectionClosed),
        ] {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let cut = told(Method::GET, &[head, chunks.as_bytes()], false).await.unwrap();
            assert_eq!((cut.end, unfinished(&cut).unwrap().code), (end, code), "{chunks}");
        }
        for (said, code) in [
            (&b""[..], Code::ConnectionClosed),
            (b"HTTP/1.1 200", Code::ConnectionClosed),
            (b"SSH-2.0-OpenSSH\r\n\r\n", Code::ResponseUnreadable),
            (b"\0\0\x12\x04\0\0\0\0\0\0\0", Code::ResponseUnreadable),
        ] {
            let fault = told(Method::GET, &[said], false).await.unwrap_err().fault();
            assert_eq!(fault.code, code, "{}", fault.detail);
        }
    }
}
