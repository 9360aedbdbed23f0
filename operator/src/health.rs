//! The operator's own `/livez`, `/readyz` and `/metrics`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;

/// Where it is if nobody says otherwise; the chart counts on it.
const PORT: u16 = 8080;

/// Answers until the process ends.
pub async fn serve(address: Option<SocketAddr>, metrics: Registry) -> anyhow::Result<()> {
    let listener = match address {
        Some(address) => listen(&[address]).await?,
        // Of both versions; where the machine has no version 6, of the other.
        None => listen(&[(Ipv6Addr::UNSPECIFIED, PORT).into(), (Ipv4Addr::UNSPECIFIED, PORT).into()]).await?,
    };
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

/// Listens on the first address that can be listened on.
async fn listen(addresses: &[SocketAddr]) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addresses).await.with_context(|| format!("could not listen on {addresses:?} (--listen)"))
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_the_machine_has_not_is_passed_over_and_both_versions_are_answered() {
        // Of the range for documentation: no machine has it.
        let foreign = "[2001:db8::1]:0".parse().unwrap();
        let listener = listen(&[foreign, "127.0.0.1:0".parse().unwrap()]).await.unwrap();
        assert!(listener.local_addr().unwrap().is_ipv4());
        assert!(listen(&[foreign]).await.is_err());
        let Ok(both) = TcpListener::bind("[::]:0").await else { return }; // this machine has no version 6
        let port = both.local_addr().unwrap().port();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    }
}
