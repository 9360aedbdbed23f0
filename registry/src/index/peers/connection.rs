//! Calls to one peer over one connection, which is made when it is needed and made again when it broke.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use http::{Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::dial::Dial;
use super::wire::{self, Fault};

/// The longest answer that is read, unless said otherwise.
const LARGEST: usize = 256 << 20;
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
const FRAME: u32 = 1 << 20;
/// What HTTP/2 begins with.
const SMALLEST_WINDOW: u32 = 65_535;
/// Without a sign of life for so long while calls wait, a connection is given up.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_PATIENCE: Duration = Duration::from_secs(3);
/// A connection on which calls run out of time, and nothing was heard for so long, is made anew: behind a partition that
/// has healed it would take much longer to notice by itself.
const SILENCE: Duration = Duration::from_secs(1);
/// The longest time for one attempt to connect.
const DIAL: Duration = Duration::from_secs(2);

/// What a call carries.
pub type CallBody = UnsyncBoxBody<Bytes, io::Error>;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It was never sent.
    #[error("{address} cannot be reached: {source}")]
    Unreachable { address: String, source: io::Error },
    /// It was sent; whether it was done is not known.
    #[error("the call to {address} was not answered: {reason}")]
    Unanswered { address: String, reason: String },
    #[error("{address} refused: {fault}")]
    Fault { address: String, fault: Fault },
}

impl CallError {
    /// The reason that the peer itself gave.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Fault { fault, .. } => Some(fault),
            _ => None,
        }
    }
}

/// One peer, by its address. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Peer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: String,
    dialer: Arc<dyn Dial>,
    /// The longest answer that is read, in bytes.
    largest: usize,
    way: Mutex<Way>,
}

/// The connection, and the attempt to make one.
#[derive(Debug, Default)]
struct Way {
    line: Option<Line>,
    dialing: Option<Dialing>,
}

/// An attempt to connect that several may wait for.
type Dialing = Shared<BoxFuture<'static, Result<Line, (io::ErrorKind, String)>>>;

/// A connection, and when something was heard on it last.
#[derive(Clone, Debug)]
struct Line {
    sender: SendRequest<CallBody>,
    heard: Arc<Mutex<Instant>>,
}

impl Line {
    fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn is_silent(&self) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > SILENCE
    }
}

impl Peer {
    pub fn new(address: &str, dialer: Arc<dyn Dial>) -> Self {
        Self::limited(address, dialer, LARGEST)
    }

    /// One of which no answer of more bytes than these is read: it may be anybody's.
    pub fn limited(address: &str, dialer: Arc<dyn Dial>, largest: usize) -> Self {
        Self { inner: Arc::new(Inner { address: address.to_owned(), dialer, largest, way: Mutex::default() }) }
    }

    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// Says `message` to `path` and waits for the answer until `deadline`.
    pub async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        message: &Q,
        deadline: Duration,
    ) -> Result<A, CallError> {
        let unanswered = |reason: String| CallError::Unanswered { address: self.inner.address.clone(), reason };
        let body = wire::encode(message).map_err(unanswered)?;
        let answer = self.send(path, body_of(body), deadline).await?;
        wire::decode(&answer).map_err(unanswered)
    }

    /// Sends a body to `path` and waits for the bytes of the answer.
    pub async fn send(&self, path: &str, body: CallBody, deadline: Duration) -> Result<Bytes, CallError> {
        let unanswered = |reason: String| CallError::Unanswered { address: self.inner.address.clone(), reason };
        if let Ok(result) = tokio::time::timeout(deadline, self.exchange(path, body)).await {
            return result;
        }
        let mut way = self.inner.way();
        if way.line.as_ref().is_some_and(Line::is_silent) {
            way.line = None;
        }
        drop(way);
        Err(unanswered(format!("no answer within {} ms", deadline.as_millis())))
    }

    async fn exchange(&self, path: &str, body: CallBody) -> Result<Bytes, CallError> {
        let address = || self.inner.address.clone();
        let unanswered = |reason: String| CallError::Unanswered { address: address(), reason };
        let mut line = self.line().await.map_err(|source| CallError::Unreachable { address: address(), source })?;
        let request =
            Request::post(format!("http://index{path}")).body(body).map_err(|error| unanswered(error.to_string()))?;
        let response = line.sender.send_request(request).await.map_err(|error| unanswered(causes(&error)))?;
        line.hear();
        let status = response.status();
        let bytes = Limited::new(response.into_body(), self.inner.largest)
            .collect()
            .await
            .map_err(|error| unanswered(error.to_string()))?
            .to_bytes();
        if status == StatusCode::OK {
            return Ok(bytes);
        }
        let fault = wire::decode(&bytes).unwrap_or(Fault::Unknown);
        Err(CallError::Fault { address: address(), fault })
    }

    /// The connection, or a new one. Whoever needs one while it is made waits for the same; that his time is over does not
    /// end it, or a call with a short deadline would never get one where connecting takes longer.
    async fn line(&self) -> io::Result<Line> {
        let dialing = {
            let mut way = self.inner.way();
            if let Some(line) = way.line.as_ref()
                && !line.sender.is_closed()
            {
                return Ok(line.clone());
            }
            match &way.dialing {
                Some(dialing) => dialing.clone(),
                None => way.dialing.insert(dial(Arc::clone(&self.inner))).clone(),
            }
        };
        dialing.await.map_err(|(kind, text)| io::Error::new(kind, text))
    }
}

impl Inner {
    fn way(&self) -> MutexGuard<'_, Way> {
        // Nothing that holds it can panic half-way through a change.
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects in a task of its own.
fn dial(inner: Arc<Inner>) -> Dialing {
    let task = tokio::spawn(async move {
        let connected = match tokio::time::timeout(DIAL, connect(&inner)).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")),
        };
        let mut way = inner.way();
        way.dialing = None;
        way.line = connected.as_ref().ok().cloned();
        connected.map_err(|error| (error.kind(), error.to_string()))
    });
    async move { task.await.unwrap_or_else(|error| Err((io::ErrorKind::Other, error.to_string()))) }.boxed().shared()
}

async fn connect(inner: &Inner) -> io::Result<Line> {
    let stream = inner.dialer.dial(&inner.address).await?;
    // What came and was not read yet is held in memory, too.
    let most = u32::try_from(inner.largest).unwrap_or(u32::MAX).max(SMALLEST_WINDOW);
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW.min(most))
        .initial_connection_window_size(CONNECTION_WINDOW.min(most))
        .max_frame_size(FRAME.min(most))
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let address = inner.address.clone();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(address, error = causes(&error), "a connection to a peer broke");
        }
    });
    Ok(Line { sender, heard: Arc::new(Mutex::new(Instant::now())) })
}

/// A body of bytes that are there.
pub fn body_of(bytes: Bytes) -> CallBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::index::peers::dial::Io;

    /// Takes a while, and then leads nowhere.
    #[derive(Debug)]
    struct Slow(AtomicUsize);

    #[async_trait]
    impl Dial for Slow {
        async fn dial(&self, _address: &str) -> io::Result<Box<dyn Io>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
            Err(io::ErrorKind::ConnectionRefused.into())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_attempt_to_connect_serves_all_who_need_it_and_outlives_their_deadlines() {
        let dialer = Arc::new(Slow(AtomicUsize::new(0)));
        let peer = Peer::new("somewhere:1", dialer.clone());
        let call = async |deadline| peer.call::<(), ()>("/", &(), Duration::from_millis(deadline)).await.unwrap_err();
        let errors = futures::join!(call(50), call(100), call(1000));
        assert!(matches!(errors.0, CallError::Unanswered { .. }));
        assert!(matches!(errors.2, CallError::Unreachable { .. }), "{}", errors.2);
        assert_eq!(dialer.0.load(Ordering::SeqCst), 1);
        call(1000).await;
        assert_eq!(dialer.0.load(Ordering::SeqCst), 2, "the next one tries again");
    }
}
