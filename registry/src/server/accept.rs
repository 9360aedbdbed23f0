//! Takes connections from a listener, each when there is a place for it. Called by `cli/serve` once a listener.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::body::WatchedBody;
use super::drain::Drain;
use super::metrics::ServerMetrics;
use super::tls::Certificates;
use super::{Connection, Limits, connection};

/// What answers requests. It must not assume that its caller waits to the end: when a client goes away, what was begun
/// is still finished.
pub trait Handler: Send + Sync + 'static {
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + Send + 'static;

    fn handle(
        &self,
        request: Request<WatchedBody>,
        connection: Connection,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static;
}

/// A listener and everything its connections need.
#[derive(Debug)]
pub struct Service<H> {
    pub handler: H,
    pub limits: Limits,
    /// None: plain HTTP.
    pub certificates: Option<Certificates>,
    pub metrics: ServerMetrics,
    pub drain: Drain,
    /// Running requests, which go on when their client has left.
    pub requests: TaskTracker,
}

/// Serves until the drain begins, then stops listening and waits for the connections to end.
pub async fn run<H: Handler>(listener: TcpListener, service: Service<H>) {
    let places = Arc::new(Semaphore::new(service.limits.connections));
    let connections = TaskTracker::new();
    let service = Arc::new(service);
    loop {
        let accepted = tokio::select! {
            () = service.drain.begun() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (socket, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                // Out of file descriptors: trying again at once would only burn the processor.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        take(socket, place, &service, &connections);
    }
    let mut waiting = Vec::new();
    if let Err(error) = take_waiting(listener, &mut waiting) {
        tracing::warn!(%error, "could not accept the connections that waited");
    }
    for socket in waiting {
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { break };
        take(socket, place, &service, &connections);
    }
    connections.close();
    connections.wait().await;
    service.requests.close();
    service.requests.wait().await;
}

fn take<H: Handler>(
    socket: TcpStream,
    place: OwnedSemaphorePermit,
    service: &Arc<Service<H>>,
    connections: &TaskTracker,
) {
    let service = Arc::clone(service);
    connections.spawn(async move {
        service.metrics.accepted.inc();
        service.metrics.connections.inc();
        let metrics = service.metrics.clone();
        // Without it answers only come later.
        let _ = socket.set_nodelay(true);
        connection::serve(socket, service).await;
        metrics.connections.dec();
        drop(place);
    });
}

/// Closes the listener and takes the connections that the system had let in for us: their clients are connected and may
/// have asked already, and closing alone would reset them.
fn take_waiting(listener: TcpListener, sockets: &mut Vec<TcpStream>) -> io::Result<()> {
    // Asks the system itself: the runtime may not have heard yet that somebody waits.
    let listener = listener.into_std()?;
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(true)?;
                sockets.push(TcpStream::from_std(socket)?);
            }
            Err(error) if is_gone(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The client was gone before we took it.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return Ok((socket, place)),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
}
