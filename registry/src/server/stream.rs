//! [`ClientStream`]: the socket of a client, with or without TLS, that reports to [`Watch`] what moves and says
//! goodbye properly.
//!
//! A socket that is closed while bytes of the client are still unread resets the connection, and the client may never
//! see the answer that told it to stop (413, 431). So an orderly end sends FIN and reads on for a moment first.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::head::{Head, Refusal, Seen};
use super::watch::Watch;

/// How long, and for how many bytes, we read on after our side is closed.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 << 20;
/// Sockets that may linger at once: a flood of them must not take the place of clients.
const LINGERING: usize = 512;

static LINGER_COUNT: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
pub enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Taken away to linger.
    Gone,
}

#[derive(Debug)]
pub struct ClientStream {
    socket: Socket,
    watch: Arc<Watch>,
    /// The head of an HTTP/1.1 request that is coming in.
    head: Option<Head>,
    /// An answer of our own, being written; hyper sees the end of the stream.
    refusing: Option<Vec<u8>>,
    /// The client closed its side, or the connection broke: there is nobody to linger for.
    ended: bool,
}

impl ClientStream {
    pub fn new(socket: Socket, watch: Arc<Watch>) -> Self {
        Self { socket, watch, head: None, refusing: None, ended: false }
    }

    fn poll_socket_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Gone => Poll::Ready(Ok(())),
        }
    }

    /// Looks at bytes that belong to the head of a request, or begin with it.
    fn look(&mut self, bytes: &[u8]) -> Option<Refusal> {
        match self.head.get_or_insert_default().feed(bytes) {
            Seen::Part => None,
            Seen::Whole => {
                self.head = None;
                self.watch.head_was_good();
                None
            }
            Seen::Refused(refusal) => Some(refusal),
        }
    }

    /// Writes the answer of our own, then ends the stream.
    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(answer) = self.refusing.as_mut().filter(|answer| !answer.is_empty()) {
            let written = match &mut self.socket {
                Socket::Plain(stream) => Pin::new(stream).poll_write(cx, answer),
                Socket::Tls(stream) => Pin::new(stream).poll_write(cx, answer),
                Socket::Gone => return Poll::Ready(Ok(())),
            };
            let count = ready!(written)?;
            answer.drain(..count);
        }
        match &mut self.socket {
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Plain(_) | Socket::Gone => Poll::Ready(Ok(())),
        }
    }

    fn wrote<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &result {
            Poll::Ready(Ok(_)) => self.watch.sent(),
            Poll::Ready(Err(_)) => self.ended = true,
            Poll::Pending => self.watch.blocked(Instant::now()),
        }
        result
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.refusing.is_some() {
            return self.poll_refuse(cx);
        }
        let expects_head = self.watch.expects_head();
        let before = buffer.filled().len();
        let result = self.poll_socket_read(cx, buffer);
        match &result {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                self.watch.received(Instant::now());
                if expects_head && let Some(refusal) = self.look(&buffer.filled()[before..]) {
                    tracing::debug!(reason = refusal.message(), "a request was refused");
                    buffer.set_filled(before);
                    self.refusing = Some(refusal.answer());
                    return self.poll_refuse(cx);
                }
            }
            Poll::Ready(_) => self.ended = true,
            Poll::Pending => {}
        }
        result
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Socket::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Socket::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
            Socket::Gone => false,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = match &mut self.socket {
            // Flushing a TCP socket does nothing, so it says nothing about the client.
            Socket::Plain(_) | Socket::Gone => return Poll::Ready(Ok(())),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        self.wrote(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        let socket = match std::mem::replace(&mut self.socket, Socket::Gone) {
            Socket::Plain(stream) => stream,
            Socket::Tls(stream) => stream.into_inner().0,
            Socket::Gone => return,
        };
        if self.ended || LINGER_COUNT.load(Ordering::Relaxed) >= LINGERING {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            LINGER_COUNT.fetch_add(1, Ordering::Relaxed);
            runtime.spawn(async move {
                let _ = tokio::time::timeout(LINGER, linger(socket)).await;
                LINGER_COUNT.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}

/// Closes our side and throws away what the client still sends, until it closes its own.
async fn linger(socket: TcpStream) {
    let Ok(socket) = socket.into_std() else { return };
    if socket.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let Ok(socket) = TcpStream::from_std(socket) else { return };
    let mut buffer = vec![0; 16 << 10];
    let mut left = LINGER_BYTES;
    while left > 0 && socket.readable().await.is_ok() {
        match socket.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => left = left.saturating_sub(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// The address at the other end, as IPv4 when it is one.
pub fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}
