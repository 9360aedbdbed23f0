//! The operator's own `/livez`, `/readyz` and `/metrics`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;

/// Answers until the process ends.
pub async fn serve(address: SocketAddr, metrics: Registry) -> anyhow::Result<()> {
    let listener = match TcpListener::bind(address).await {
        // A machine may have no addresses of version 6 at all.
        Err(_) if address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    let listener = listener.with_context(|| format!("could not listen on {address} (--listen)"))?;
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, metrics.clone()));
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service);
            if let Err(error) = served.await {
                tracing::debug!(%error, "a connection for health or metrics broke");
            }
        });
    }
}

async fn answer(request: Request<Incoming>, metrics: Registry) -> Result<Response<Full<Bytes>>, http::Error> {
    let (status, text) = match request.uri().path() {
        // A candidate that waits for the lease is as ready as the one that holds it.
        "/livez" | "/readyz" => (StatusCode::OK, b"ok\n".to_vec()),
        "/metrics" => {
            let mut text = Vec::new();
            match TextEncoder::new().encode(&metrics.gather(), &mut text) {
                Ok(()) => (StatusCode::OK, text),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string().into_bytes()),
            }
        }
        _ => (StatusCode::NOT_FOUND, b"only /livez, /readyz and /metrics are here\n".to_vec()),
    };
    Response::builder().status(status).body(Full::new(text.into()))
}
