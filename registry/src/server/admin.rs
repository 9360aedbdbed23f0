//! The admin listener: `/livez`, `/readyz`, `/metrics`, and nothing else. It has no access control, so nothing that
//! changes or tells content may ever be here.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use prometheus::{Encoder, Registry, TextEncoder};

use super::Connection;
use super::accept::Handler;
use super::body::WatchedBody;
use crate::ready::Readiness;

/// Answers the admin listener.
#[derive(Clone, Debug)]
pub struct Admin {
    pub readiness: Arc<Readiness>,
    pub metrics: Registry,
}

impl Handler for Admin {
    type Body = Full<Bytes>;

    fn handle(
        &self,
        request: Request<WatchedBody>,
        _: Connection,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send + 'static {
        let admin = self.clone();
        async move { admin.answer(&request).await }
    }
}

impl Admin {
    async fn answer(&self, request: &Request<WatchedBody>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        }
        match request.uri().path() {
            // Alive is whoever can answer: a lost quorum or a full disk is not mended by a restart.
            "/livez" => text(StatusCode::OK, "alive\n"),
            "/readyz" => {
                let report = self.readiness.look().await;
                let status = if report.ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                let body = serde_json::to_vec(&report).unwrap_or_default();
                answer(status, "application/json", body)
            }
            "/metrics" => {
                let encoder = TextEncoder::new();
                let mut body = Vec::new();
                match encoder.encode(&self.metrics.gather(), &mut body) {
                    Ok(()) => answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body),
                    Err(error) => {
                        tracing::error!(%error, "could not write the metrics");
                        text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n")
                    }
                }
            }
            _ => text(StatusCode::NOT_FOUND, "here are /livez, /readyz and /metrics\n"),
        }
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
