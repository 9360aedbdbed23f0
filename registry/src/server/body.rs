//! Bodies on their way through: a request's body that gives up on a client that is too slow, and an answer's body that
//! tells [`Watch`] how far the client has come.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::Limits;
use super::watch::Watch;

/// The most bytes of an answer that HTTP/2 is given at once.
const HTTP2_PIECE: usize = 64 << 10;

/// Why a body ended early; what it says is for the log.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The client sent nothing for too long, or too little on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body came in too slowly")]
pub struct TooSlow;

/// How long we still wait for a client: waiting uses it up, bytes bring it back, and it never exceeds the idle time.
/// So both a body that stops and one that dribbles run out of it, and a burst does not buy an hour.
#[derive(Clone, Copy, Debug)]
struct Patience {
    limits: Limits,
    left: Duration,
}

impl Patience {
    fn new(limits: Limits) -> Self {
        Self { limits, left: limits.idle }
    }

    fn received(&mut self, bytes: u64, waited: Duration) {
        self.left = (self.left.saturating_sub(waited) + self.limits.time_for(bytes)).min(self.limits.idle);
    }
}

/// The body of a request. The clock runs only while a handler waits for the client, never while the client waits for
/// the store.
#[derive(Debug)]
pub struct WatchedBody {
    inner: Incoming,
    watch: Arc<Watch>,
    ended: bool,
    patience: Patience,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl WatchedBody {
    pub fn new(inner: Incoming, limits: Limits, watch: Arc<Watch>) -> Self {
        Self { inner, watch, ended: false, patience: Patience::new(limits), waiting: None }
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if !self.ended && !self.inner.is_end_stream() {
            self.watch.body_was_left();
        }
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                let waited = this.waiting.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
                this.ended = frame.is_none();
                if let Some(Ok(frame)) = &frame {
                    this.patience.received(frame.data_ref().map_or(0, |data| data.len() as u64), waited);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let left = this.patience.left;
                let (_, sleep) =
                    this.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
                ready!(sleep.as_mut().poll(cx));
                Poll::Ready(Some(Err(TooSlow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// One request being served. Its end is reported when this is dropped, wherever that happens.
#[derive(Debug)]
pub struct Running {
    watch: Arc<Watch>,
    request: u64,
    last: u64,
}

impl Running {
    /// Also says whether the head of the request was found good, see [`Watch::request_began`].
    pub fn begin(watch: Arc<Watch>) -> (Self, bool) {
        let (request, good) = watch.request_began();
        (Self { watch, request, last: 0 }, good)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.watch.request_ended(self.request, self.last, Instant::now());
    }
}

/// The body of an answer: the handler's, or a short text of the server itself.
///
/// Over HTTP/2 it is handed out in pieces: only by asking for the next one does the client's window show that it reads.
#[derive(Debug)]
pub struct AnswerBody<B> {
    content: Content<B>,
    /// What is left of the last data of `content`.
    rest: Bytes,
    /// The most bytes handed out at once.
    piece: usize,
    running: Running,
}

#[derive(Debug)]
enum Content<B> {
    Handler(B),
    Text(Bytes),
}

impl<B> AnswerBody<B> {
    pub fn handler(body: B, running: Running, version: Version) -> Self {
        let piece = if version < Version::HTTP_2 { usize::MAX } else { HTTP2_PIECE };
        Self { content: Content::Handler(body), rest: Bytes::new(), piece, running }
    }

    pub fn text(text: impl Into<Bytes>, running: Running) -> Self {
        Self { content: Content::Text(text.into()), rest: Bytes::new(), piece: usize::MAX, running }
    }

    /// Hands out the next piece of `data` and keeps the rest.
    fn cut(&mut self, mut data: Bytes) -> Frame<Bytes> {
        if data.len() > self.piece {
            self.rest = data.split_off(self.piece);
        }
        self.running.last = data.len() as u64;
        Frame::data(data)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        this.running.watch.asked(this.running.request);
        let frame = if this.rest.is_empty() {
            match &mut this.content {
                Content::Handler(body) => ready!(Pin::new(body).poll_frame(cx)),
                Content::Text(text) if text.is_empty() => None,
                Content::Text(text) => Some(Ok(Frame::data(std::mem::take(text)))),
            }
        } else {
            Some(Ok(Frame::data(std::mem::take(&mut this.rest))))
        };
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
        let frame = match frame.into_data() {
            Ok(data) => this.cut(data),
            Err(other) => other,
        };
        this.running.watch.gave(this.running.request, this.running.last, Instant::now());
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && match &self.content {
                Content::Handler(body) => body.is_end_stream(),
                Content::Text(text) => text.is_empty(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let left = match &self.content {
            Content::Handler(body) => body.size_hint(),
            Content::Text(text) => SizeHint::with_exact(text.len() as u64),
        };
        match left.exact() {
            Some(bytes) => SizeHint::with_exact(bytes + self.rest.len() as u64),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { connections: 1, head: Duration::from_secs(1), idle: Duration::from_mins(1), min_rate: 1000 };

    #[test]
    fn waiting_uses_up_patience_and_bytes_bring_it_back() {
        let mut patience = Patience::new(LIMITS);
        patience.received(10_000, Duration::from_secs(30));
        assert_eq!(patience.left, Duration::from_secs(40));
        patience.received(1 << 30, Duration::from_secs(30));
        assert_eq!(patience.left, LIMITS.idle, "a burst buys no more than the idle time");
    }

    #[test]
    fn a_byte_a_second_runs_out_of_patience() {
        let mut patience = Patience::new(LIMITS);
        for _ in 0..60 {
            patience.received(1, Duration::from_secs(1));
        }
        assert!(patience.left < Duration::from_secs(1), "{:?}", patience.left);
    }
}
