//! Serves one connection: handshake, HTTP/1.1 or HTTP/2, requests to the handler, and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::TcpStream;

use super::accept::{Handler, Service};
use super::drain::Drain;
use super::stream::{ClientStream, Socket, canonical};
use super::tls::name_of;
use super::watch::{Expired, Watch};
use super::{Connection, Limits, MAX_HEAD_BYTES, MAX_HEADERS, answer};

/// The first bytes of HTTP/2 without TLS; no method of HTTP/1.1 begins so.
const PREFACE: &[u8] = b"PRI ";

/// What a client is told that speaks HTTP to the HTTPS listener.
const PLAIN_TO_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 44\r\n\
    connection: close\r\n\r\nthis address speaks HTTPS, and you sent HTTP\n";

const HTTP1_BUFFER: usize = 256 << 10;
/// Bytes that are encrypted before they are handed to the system.
const TLS_BUFFER: usize = 256 << 10;
const HTTP2_STREAM_WINDOW: u32 = 1 << 20;
const HTTP2_CONNECTION_WINDOW: u32 = 8 << 20;
const HTTP2_FRAME: u32 = 64 << 10;
const HTTP2_STREAMS: u32 = 128;
/// Streams that the client opened and reset before we took them (CVE-2023-44487), and that we reset for its errors.
const HTTP2_RESETS: usize = 20;
const HTTP2_ERRORS: usize = 200;
/// Bytes of one stream that wait to be sent.
const HTTP2_SEND_BUFFER: usize = 512 << 10;

/// How long an idle connection of HTTP/1.1, and one that has said nothing yet, stays when the process is to end. Without a
/// way to say that it goes, it would be closed just when a request is on its way; a client that asks in this time is told
/// by the answer.
const LINGER: Duration = Duration::from_secs(1);

enum Speaks {
    Http1,
    Http2,
}

/// Serves a connection to its end.
pub async fn serve<H: Handler>(socket: TcpStream, service: Arc<Service<H>>) {
    let Ok(peer) = socket.peer_addr() else { return };
    let drain = service.drain.clone();
    let opened = tokio::select! {
        opened = tokio::time::timeout(service.limits.head, open(socket, &service)) => opened,
        () = must_go(&drain, LINGER) => return,
    };
    let (socket, speaks, certificate) = match opened {
        Ok(Some(opened)) => opened,
        Ok(None) => return,
        Err(_) => return cut(&service, peer, Expired::Silent),
    };
    let connection = Connection { peer: canonical(peer), tls: service.certificates.is_some(), certificate };
    let watch = Arc::new(Watch::new(service.limits, Instant::now()));
    let stream = TokioIo::new(ClientStream::new(socket, Arc::clone(&watch)));
    let answer = {
        let (service, watch) = (Arc::clone(&service), Arc::clone(&watch));
        service_fn(move |request| answer::answer(Arc::clone(&service), request, connection.clone(), Arc::clone(&watch)))
    };
    let why = match speaks {
        Speaks::Http1 => {
            let serving = http1_builder(service.limits).serve_connection(stream, answer);
            drive(serving, &watch, &drain, LINGER).await
        }
        Speaks::Http2 => {
            watch.is_http2();
            let serving = http2_builder(service.limits).serve_connection(stream, answer);
            drive(serving, &watch, &drain, Duration::ZERO).await
        }
    };
    match why {
        Ended::Done => {}
        Ended::Broke(error) => {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a connection broke");
        }
        Ended::Cut(why) => cut(&service, peer, why),
    }
}

/// Waits until the drain has begun and `linger` has passed since it was noticed here.
async fn must_go(drain: &Drain, linger: Duration) {
    drain.begun().await;
    tokio::time::sleep(linger).await;
}

/// How a connection ended.
enum Ended {
    Done,
    Broke(hyper::Error),
    Cut(Expired),
}

/// Lets a connection run until it ends, breaks a limit, or must go; `linger` after it is known that it must.
async fn drive<C>(serving: C, watch: &Watch, drain: &Drain, linger: Duration) -> Ended
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut serving = std::pin::pin!(serving);
    let mut draining = false;
    loop {
        tokio::select! {
            result = serving.as_mut() => return result.map_or_else(Ended::Broke, |()| Ended::Done),
            why = watch.expired() => return Ended::Cut(why),
            () = must_go(drain, linger), if !draining => {
                draining = true;
                serving.as_mut().graceful_shutdown();
            }
            () = drain.over() => return Ended::Done,
        }
    }
}

fn cut<H>(service: &Service<H>, peer: SocketAddr, why: Expired) {
    service.metrics.cut.with_label_values(&[why.name()]).inc();
    tracing::debug!(%peer, reason = why.name(), "a connection was ended");
}

/// Shakes hands and finds out what the client speaks; none when it went away.
async fn open<H>(socket: TcpStream, service: &Service<H>) -> Option<(Socket, Speaks, Option<Arc<str>>)> {
    let Some(certificates) = &service.certificates else {
        let speaks = speaks(&socket).await?;
        return Some((Socket::Plain(socket), speaks, None));
    };
    if speaks_plain(&socket).await {
        let _ = socket.writable().await;
        let _ = socket.try_write(PLAIN_TO_TLS);
        // Reads on for a moment, so that the client sees the answer.
        drop(ClientStream::new(Socket::Plain(socket), Arc::new(Watch::new(service.limits, Instant::now()))));
        return None;
    }
    match certificates.acceptor().accept(socket).await {
        Ok(mut stream) => {
            stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
            let speaks = if stream.get_ref().1.alpn_protocol() == Some(b"h2") { Speaks::Http2 } else { Speaks::Http1 };
            let certificate = name_of(stream.get_ref().1.peer_certificates()).map(Arc::from);
            Some((Socket::Tls(Box::new(stream)), speaks, certificate))
        }
        Err(error) => {
            service.metrics.cut.with_label_values(&["handshake"]).inc();
            tracing::debug!(%error, "a tls handshake failed");
            None
        }
    }
}

/// Looks at the first bytes without taking them.
async fn speaks(socket: &TcpStream) -> Option<Speaks> {
    let mut first = [0; PREFACE.len()];
    loop {
        let count = socket.peek(&mut first).await.ok()?;
        if count == 0 {
            return None;
        }
        if first[..count] != PREFACE[..count] {
            return Some(Speaks::Http1);
        }
        if count == PREFACE.len() {
            return Some(Speaks::Http2);
        }
        // A preface in pieces: what was peeked stays readable, so there is nothing to wait for but time.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a client of an HTTPS listener begins with a method instead of a handshake.
async fn speaks_plain(socket: &TcpStream) -> bool {
    let mut first = [0];
    matches!(socket.peek(&mut first).await, Ok(1)) && first[0].is_ascii_uppercase()
}

fn http1_builder(limits: Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Counts from the end of the last request; `Watch` is finer and comes first.
        .header_read_timeout(limits.idle + limits.head)
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .max_buf_size(HTTP1_BUFFER);
    builder
}

fn http2_builder(limits: Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_frame_size(HTTP2_FRAME)
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_pending_accept_reset_streams(HTTP2_RESETS)
        .max_local_error_reset_streams(HTTP2_ERRORS)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .keep_alive_interval(limits.idle / 2)
        .keep_alive_timeout(limits.head);
    builder
}

#[cfg(test)]
mod tests;
