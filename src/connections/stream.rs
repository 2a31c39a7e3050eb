//! A client's TCP connection with a deadline for taking an answer.
//!
//! A client that stops reading would otherwise be kept for ever: a write that cannot go on has no timeout of its own.
use std::{
    io::{self, IoSlice},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

use super::{
    fair_limit::Permit,
    stats::{CloseReason, ConnectionStats},
};

/// While the kernel takes no more bytes, the client must read at least [`MIN_BYTES_PER_WINDOW`] in each window.
/// Shorter windows cut off slow readers: a receiver with large segments opens its window in steps of up to 64 KiB.
const WRITE_WINDOW: Duration = Duration::from_secs(60);
const MIN_BYTES_PER_WINDOW: usize = 16 * 1024;

pub struct ClientStream<S = TcpStream> {
    io: S,
    /// What was read beyond the PROXY header.
    unread: BytesMut,
    sender: IpAddr,
    stalled: Option<StalledWrite>,
    stats: Arc<ConnectionStats>,
    _permit: Permit,
}

/// A write that the kernel did not take at once.
struct StalledWrite {
    window_end: Pin<Box<Sleep>>,
    written_in_window: usize,
}

impl<S> ClientStream<S> {
    /// `sender`: the peer, or the one that its PROXY header names. `unread`: what followed that header.
    pub fn new(io: S, sender: IpAddr, unread: BytesMut, permit: Permit, stats: Arc<ConnectionStats>) -> Self {
        Self {
            io,
            unread,
            sender,
            stalled: None,
            stats,
            _permit: permit,
        }
    }

    #[must_use]
    pub fn sender(&self) -> IpAddr {
        self.sender
    }

    /// Bytes were written, or could not be. An error ends the connection.
    fn after_write(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(length)) => {
                if let Some(stalled) = &mut self.stalled {
                    stalled.written_in_window += length;
                }
                Poll::Ready(Ok(length))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let stalled = self.stalled.get_or_insert_with(StalledWrite::new);
                ready!(stalled.poll_is_too_slow(cx));
                self.stats.closed.count(CloseReason::WriteTimeout);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl StalledWrite {
    fn new() -> Self {
        Self {
            window_end: Box::pin(sleep(WRITE_WINDOW)),
            written_in_window: 0,
        }
    }

    /// Ready when a window has ended in which the client read too little.
    fn poll_is_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.window_end.as_mut().poll(cx));
            if self.written_in_window < MIN_BYTES_PER_WINDOW {
                return Poll::Ready(());
            }
            self.written_in_window = 0;
            self.window_end.as_mut().reset(Instant::now() + WRITE_WINDOW);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let length = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        if self.unread.is_empty() {
            self.unread = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.after_write(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.after_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// Called when all of an answer has been written (TLS and HTTP keep the rest in buffers of their own until then).
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stalled = None;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A connection whose client has room for so many bytes, and its client.
    fn connection(room: usize) -> (ClientStream<DuplexStream>, DuplexStream, Arc<ConnectionStats>) {
        let (server, client) = duplex(room);
        let stats = Arc::new(ConnectionStats::new(1, 1));
        let permit = stats.connections.try_acquire(None).unwrap();
        let sender = [127, 0, 0, 1].into();
        let stream = ClientStream::new(server, sender, BytesMut::from(&b"first "[..]), permit, stats.clone());
        (stream, client, stats)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_reads_is_cut_off_after_one_window() {
        let (mut stream, _client, stats) = connection(1_000);
        let began = Instant::now();
        let error = stream.write_all(&[0; 5_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), WRITE_WINDOW.as_secs());
        assert_eq!(stats.closed.total(CloseReason::WriteTimeout), 1);
        drop(stream);
        assert_eq!(stats.connections.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_above_the_minimum_rate_gets_all_and_one_below_does_not() {
        for (read_every_10_seconds, gets_all) in [(4_000, true), (2_000, false)] {
            let (mut stream, mut client, _stats) = connection(1_000);
            let reader = async {
                let mut buffer = vec![0; 1_000];
                loop {
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    let mut left = read_every_10_seconds;
                    while left > 0 {
                        match client.read(&mut buffer[..left.min(1_000)]).await.unwrap() {
                            0 => return,
                            length => left -= length,
                        }
                    }
                }
            };
            let answer = vec![0; 100_000];
            let written = tokio::select! {
                written = stream.write_all(&answer) => written,
                () = reader => unreachable!("the server closes last"),
            };
            assert_eq!(written.is_ok(), gets_all, "{read_every_10_seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_windows_of_its_own() {
        let (mut stream, mut client, _stats) = connection(1_000);
        for _ in 0..3 {
            let answer = async {
                stream.write_all(&[0; 1_500]).await?;
                stream.flush().await
            };
            let mut buffer = [0; 1_500];
            let read = async {
                tokio::time::sleep(Duration::from_secs(40)).await;
                client.read_exact(&mut buffer).await
            };
            let (written, read) = tokio::join!(answer, read);
            assert!(written.is_ok() && read.is_ok());
        }
    }

    #[tokio::test]
    async fn what_followed_the_proxy_header_is_read_first() {
        let (mut stream, mut client, _stats) = connection(1_000);
        client.write_all(b"second").await.unwrap();
        drop(client);
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "first second");
    }
}
