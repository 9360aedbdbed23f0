//! Takes connections of peers, finds out who calls, and hands each call to the one who answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dial::Io;
use super::identity::{Identity, caller};
use super::wire::{self, Fault};
use super::{Caller, Role};

const CONNECTIONS: usize = 4096;
const STREAMS: u32 = 1024;
const HANDSHAKE: Duration = Duration::from_secs(5);
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
const FRAME: u32 = 1 << 20;
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_PATIENCE: Duration = Duration::from_secs(10);

/// Answers calls.
#[async_trait]
pub trait Answer: Send + Sync + 'static {
    /// Answers the call to `path` with bytes.
    async fn answer(&self, caller: &Caller, path: &str, body: Incoming) -> Result<Bytes, Fault>;
}

/// Where connections come from. Accepting is quick; the handshake may take its time, so it has a step of its own.
#[async_trait]
pub trait Listen: Send + Sync + 'static {
    type Raw: Send + 'static;
    async fn accept(&self) -> io::Result<Self::Raw>;
    async fn shake(&self, raw: Self::Raw) -> io::Result<(Box<dyn Io>, Caller)>;
}

/// Mutual TLS.
#[derive(Debug)]
pub struct TlsListener {
    pub listener: TcpListener,
    pub identity: Arc<Identity>,
}

#[async_trait]
impl Listen for TlsListener {
    type Raw = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (socket, _) = self.listener.accept().await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    async fn shake(&self, raw: TcpStream) -> io::Result<(Box<dyn Io>, Caller)> {
        let stream = TlsAcceptor::from(self.identity.server()).accept(raw).await?;
        let caller = caller(stream.get_ref().1.peer_certificates()).map_err(io::Error::other)?;
        Ok((Box::new(stream), caller))
    }
}

/// The socket of this machine: whoever may open it is an administrator.
#[derive(Debug)]
pub struct SocketListener(pub UnixListener);

#[async_trait]
impl Listen for SocketListener {
    type Raw = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.0.accept().await?.0)
    }

    async fn shake(&self, raw: UnixStream) -> io::Result<(Box<dyn Io>, Caller)> {
        Ok((Box::new(raw), Caller { role: Role::Admin, names: Vec::new() }))
    }
}

/// Serves until `stop`; then what runs is broken off, since every caller knows how to try again.
pub async fn run<L: Listen, A: Answer>(listener: L, answers: Arc<A>, stop: CancellationToken) {
    let listener = Arc::new(listener);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let raw = match accepted {
            Ok(raw) => raw,
            Err(error) => {
                tracing::warn!(%error, "could not accept the connection of a peer");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (listener, answers, stop) = (Arc::clone(&listener), Arc::clone(&answers), stop.clone());
        connections.spawn(async move {
            let _place = place;
            match tokio::time::timeout(HANDSHAKE, listener.shake(raw)).await {
                Ok(Ok((stream, caller))) => {
                    stop.run_until_cancelled(serve(stream, caller, answers)).await;
                }
                Ok(Err(error)) => tracing::warn!(%error, "refused the connection of a peer"),
                Err(_) => tracing::debug!("a peer did not finish its handshake"),
            }
        });
    }
    connections.close();
    connections.wait().await;
}

async fn serve<A: Answer>(stream: Box<dyn Io>, caller: Caller, answers: Arc<A>) {
    let caller = Arc::new(caller);
    let service = service_fn(move |request: Request<Incoming>| {
        let (caller, answers) = (Arc::clone(&caller), Arc::clone(&answers));
        async move {
            let (head, body) = request.into_parts();
            // A call goes on when its caller has gone: what it began must not stop in the middle.
            let work = tokio::spawn(async move { answers.answer(&caller, head.uri.path(), body).await });
            Ok::<_, std::convert::Infallible>(respond(work.await))
        }
    });
    let result = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE)
        // Nobody here asks for it, and it makes what is sent depend on the time of day.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = result {
        tracing::debug!(%error, "the connection of a peer broke");
    }
}

fn respond(result: Result<Result<Bytes, Fault>, tokio::task::JoinError>) -> Response<Full<Bytes>> {
    let fault = match result {
        Ok(Ok(bytes)) => return Response::new(Full::new(bytes)),
        Ok(Err(fault)) => fault,
        Err(error) => {
            tracing::error!(%error, "a call failed inside");
            Fault::Unavailable { reason: "a call failed inside".into() }
        }
    };
    let mut response = Response::new(Full::new(wire::encode(&fault).unwrap_or_default()));
    *response.status_mut() = StatusCode::CONFLICT;
    response
}
