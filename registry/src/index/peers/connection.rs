//! Calls to one peer over one connection, which is made when it is needed and made again when it broke.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::dial::Dial;
use super::wire::{self, Fault};

/// The longest answer that is read.
const LARGEST: usize = 256 << 20;
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
const FRAME: u32 = 1 << 20;
/// Without a sign of life for so long while calls wait, a connection is given up.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_PATIENCE: Duration = Duration::from_secs(3);
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
    sender: Mutex<Option<SendRequest<CallBody>>>,
}

impl Peer {
    pub fn new(address: &str, dialer: Arc<dyn Dial>) -> Self {
        Self { inner: Arc::new(Inner { address: address.to_owned(), dialer, sender: Mutex::new(None) }) }
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
        match tokio::time::timeout(deadline, self.exchange(path, body)).await {
            Ok(result) => result,
            Err(_) => Err(unanswered(format!("no answer within {} ms", deadline.as_millis()))),
        }
    }

    async fn exchange(&self, path: &str, body: CallBody) -> Result<Bytes, CallError> {
        let address = || self.inner.address.clone();
        let unanswered = |reason: String| CallError::Unanswered { address: address(), reason };
        let mut sender = self.sender().await.map_err(|source| CallError::Unreachable { address: address(), source })?;
        let request =
            Request::post(format!("http://index{path}")).body(body).map_err(|error| unanswered(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(|error| unanswered(causes(&error)))?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), LARGEST)
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

    /// The connection, or a new one.
    async fn sender(&self) -> io::Result<SendRequest<CallBody>> {
        let mut held = self.inner.sender.lock().await;
        if let Some(sender) = held.as_ref()
            && !sender.is_closed()
        {
            return Ok(sender.clone());
        }
        let connect = async {
            let stream = self.inner.dialer.dial(&self.inner.address).await?;
            Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_frame_size(FRAME)
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_PATIENCE)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(io::Error::other)
        };
        let (sender, connection) = tokio::time::timeout(DIAL, connect)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))??;
        let address = self.inner.address.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(address, error = causes(&error), "a connection to a peer broke");
            }
        });
        *held = Some(sender.clone());
        Ok(sender)
    }
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
