//! One request of a connection at a time.
//!
//! actix-http parses all requests that it has read, up to 128 KiB of them, before it answers the first: a client that
//! sends thousands of small requests at once and reads no answer would make each of its connections hold some 18 MiB. A
//! [`PacedStream`] hands over one request, and goes on when the request is answered, when its handler asks for the
//! body, and when the client has taken the answer. Meanwhile it reads ahead a little, to notice that the client is gone.
use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use actix_http::{BoxedPayloadStream, Payload, Request, error::PayloadError};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are handed over at once: a device's request, or a piece of a longer one.
const MAX_CHUNK_BYTES: usize = 1024;
/// Bytes that are read while a request is answered.
const MAX_READ_AHEAD_BYTES: usize = 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What the stream and the requests of a connection share. They are on one thread.
#[derive(Default)]
pub struct Pacer {
    is_answering: Cell<bool>,
    wants_body: Cell<bool>,
    /// Of the connection, if it has input to hand over later.
    waker: RefCell<Option<Waker>>,
}

impl Pacer {
    fn may_read(&self) -> bool {
        !self.is_answering.get() || self.wants_body.get()
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn want_body(&self) {
        self.wants_body.set(true);
        self.wake();
    }

    /// A handler has been given a request. No other one is read until the guard is dropped.
    #[must_use]
    pub fn begin(self: Rc<Self>) -> Answering {
        self.is_answering.set(true);
        self.wants_body.set(false);
        Answering(self)
    }
}

/// A request that is being answered.
pub struct Answering(Rc<Pacer>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.is_answering.set(false);
        self.0.wake();
    }
}

/// A request whose body is read from the connection as its handler asks for it.
pub fn with_body_on_demand(mut request: Request, pacer: &Rc<Pacer>) -> Request {
    if matches!(request.payload(), Payload::None) {
        return request;
    }
    let on_demand = BodyOnDemand {
        body: std::mem::replace(request.payload(), Payload::None),
        pacer: pacer.clone(),
    };
    *request.payload() = Payload::Stream {
        payload: Box::pin(on_demand),
    };
    request
}

struct BodyOnDemand {
    body: Payload<BoxedPayloadStream>,
    pacer: Rc<Pacer>,
}

impl Stream for BodyOnDemand {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.body).poll_next(cx);
        if polled.is_pending() {
            self.pacer.want_body();
        }
        polled
    }
}

/// A client's connection, with TLS or without.
pub struct PacedStream<S> {
    io: S,
    pacer: Rc<Pacer>,
    /// Read, and not handed over yet.
    held: BytesMut,
    is_at_end: bool,
    /// Bytes handed over since the caller last had to process them.
    handed_over: usize,
    /// The client does not take an answer: nothing more is asked of us until it does.
    is_write_stalled: bool,
}

impl<S> PacedStream<S> {
    pub fn new(io: S) -> Self {
        Self {
            io,
            pacer: Rc::default(),
            held: BytesMut::new(),
            is_at_end: false,
            handed_over: 0,
            is_write_stalled: false,
        }
    }

    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// For the requests of this connection.
    #[must_use]
    pub fn pacer(&self) -> Rc<Pacer> {
        self.pacer.clone()
    }

    /// The caller processes what it has before it reads on.
    fn pause(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.handed_over = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands over held bytes, to the end of the first request head at most.
    fn hand_over_held(&mut self, buffer: &mut ReadBuf<'_>) {
        let room = buffer.remaining().min(MAX_CHUNK_BYTES - self.handed_over);
        let length = self.held.len().min(room);
        let length = head_end(&self.held[..length]).unwrap_or(length);
        buffer.put_slice(&self.held[..length]);
        self.held.advance(length);
        self.note_handed_over(length);
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
    }

    /// After a head with something behind it the caller has to process it first.
    fn note_handed_over(&mut self, length: usize) {
        self.handed_over = if self.held.is_empty() {
            self.handed_over + length
        } else {
            MAX_CHUNK_BYTES
        };
        self.pacer.wants_body.set(false);
    }
}

/// Where the first request in `bytes` ends, if it has no body. What follows other heads is handed over with them: actix-http
/// closes a connection whose body was not there when the request was answered.
fn head_end(bytes: &[u8]) -> Option<usize> {
    if !bytes.starts_with(b"GET ") && !bytes.starts_with(b"HEAD ") {
        return None;
    }
    memchr::memmem::find(bytes, HEAD_END).map(|at| at + HEAD_END.len())
}

impl<S: AsyncRead + Unpin> PacedStream<S> {
    /// Reads a little, so that a client that has gone is noticed. Pending, unless it has.
    fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_at_end && self.held.len() < MAX_READ_AHEAD_BYTES {
            let mut bytes = [0; MAX_READ_AHEAD_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes[..MAX_READ_AHEAD_BYTES - self.held.len()]);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(read) => read?,
            }
            self.is_at_end = buffer.filled().is_empty();
            self.held.extend_from_slice(buffer.filled());
        }
        if self.is_at_end && self.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if !self.held.is_empty() {
            *self.pacer.waker.borrow_mut() = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PacedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_write_stalled || !this.pacer.may_read() {
            return this.poll_read_ahead(cx);
        }
        if this.handed_over >= MAX_CHUNK_BYTES {
            return this.pause(cx);
        }
        if !this.held.is_empty() {
            this.hand_over_held(buffer);
            return Poll::Ready(Ok(()));
        }
        if this.is_at_end {
            return Poll::Ready(Ok(()));
        }
        let chunk = (MAX_CHUNK_BYTES - this.handed_over).min(buffer.remaining());
        let mut read = ReadBuf::new(buffer.initialize_unfilled_to(chunk));
        let Poll::Ready(result) = Pin::new(&mut this.io).poll_read(cx, &mut read) else {
            this.handed_over = 0;
            return Poll::Pending;
        };
        result?;
        let bytes = read.filled();
        let length = head_end(bytes).unwrap_or(bytes.len());
        this.held.extend_from_slice(&bytes[length..]);
        buffer.advance(length);
        this.note_handed_over(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> PacedStream<S> {
    fn after_write(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.is_write_stalled = written.is_pending();
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.after_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.after_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// Called when all of an answer has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.pacer.wake();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    fn connection() -> (PacedStream<DuplexStream>, DuplexStream) {
        let (server, client) = duplex(4_000);
        (PacedStream::new(server), client)
    }

    /// What one read hands over, after as many pauses as it takes.
    async fn read(stream: &mut PacedStream<DuplexStream>) -> Vec<u8> {
        let mut bytes = vec![0; 8_192];
        let length = stream.read(&mut bytes).await.unwrap();
        bytes.truncate(length);
        bytes
    }

    fn is_paused(stream: &mut PacedStream<DuplexStream>) -> bool {
        futures_util::FutureExt::now_or_never(read(stream)).is_none()
    }

    #[tokio::test]
    async fn one_request_head_is_handed_over_and_the_next_after_the_answer() {
        let (mut stream, mut client) = connection();
        client.write_all(&GET.repeat(100)).await.unwrap();
        for _ in 0..100 {
            assert_eq!(read(&mut stream).await, GET);
            assert!(stream.held.len() <= MAX_READ_AHEAD_BYTES);
            let answering = stream.pacer().begin();
            assert!(is_paused(&mut stream));
            drop(answering);
        }
        drop(client);
        assert_eq!(read(&mut stream).await, b"");
    }

    #[tokio::test]
    async fn a_body_is_handed_over_when_its_handler_asks_for_it() {
        let (mut stream, mut client) = connection();
        let head = b"POST / HTTP/1.1\r\ncontent-length: 3000\r\n\r\n";
        client.write_all(&[&head[..], &[b'x'; 3_000]].concat()).await.unwrap();
        let first = read(&mut stream).await;
        assert!(first.starts_with(head) && first.len() == MAX_CHUNK_BYTES);
        let _answering = stream.pacer().begin();
        let mut length = first.len() - head.len();
        while length < 3_000 {
            assert!(is_paused(&mut stream));
            stream.pacer().want_body();
            let bytes = read(&mut stream).await;
            assert!(!bytes.is_empty() && bytes.len() <= MAX_CHUNK_BYTES);
            length += bytes.len();
        }
        assert_eq!(length, 3_000);
    }

    #[tokio::test]
    async fn a_body_that_has_to_be_waited_for_is_asked_for() {
        let pacer = Rc::new(Pacer::default());
        let mut request = Request::new();
        *request.payload() = Payload::Stream {
            payload: Box::pin(futures_util::stream::pending()),
        };
        let request = with_body_on_demand(request, &pacer);
        let _answering = pacer.clone().begin();
        let (_, mut body) = request.replace_payload(Payload::<BoxedPayloadStream>::None);
        assert!(!pacer.may_read());
        assert!(futures_util::FutureExt::now_or_never(body.next()).is_none());
        assert!(pacer.may_read());
    }

    #[tokio::test]
    async fn nothing_is_handed_over_while_the_client_takes_no_answer() {
        let (mut stream, mut client) = connection();
        client.write_all(GET).await.unwrap();
        let answer = vec![0; 6_000];
        assert!(futures_util::FutureExt::now_or_never(stream.write_all(&answer)).is_none());
        assert!(is_paused(&mut stream));
        let mut taken = vec![0; 4_000];
        client.read_exact(&mut taken).await.unwrap();
        stream.write_all(&answer[4_000..]).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(read(&mut stream).await, GET);
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_noticed_while_it_is_answered() {
        let (mut stream, client) = connection();
        let _answering = stream.pacer().begin();
        assert!(is_paused(&mut stream));
        drop(client);
        assert_eq!(read(&mut stream).await, b"");
    }

    #[tokio::test]
    async fn a_long_head_arrives_in_pieces() {
        let (mut stream, mut client) = connection();
        let head = [b"GET / HTTP/1.1\r\nx: ", "y".repeat(3_000).as_bytes(), b"\r\n\r\n"].concat();
        client.write_all(&head).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < head.len() {
            let bytes = read(&mut stream).await;
            assert!(bytes.len() <= MAX_CHUNK_BYTES);
            seen.extend(bytes);
        }
        assert_eq!(seen, head);
    }
}
