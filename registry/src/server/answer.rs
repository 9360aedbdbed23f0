//! Answers one request: refuses what is wrong before any handler sees it, and outlives a handler that panics. Called by
//! [`super::connection`] only.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use serde_json::json;

use super::accept::{Handler, Service};
use super::body::{AnswerBody, Running, WatchedBody};
use super::head::Refusal;
use super::watch::Watch;
use super::{Connection, MAX_TARGET_BYTES};
use crate::error::Code;

/// Answers one request, whatever happens in the handler.
pub(super) async fn answer<H: Handler>(
    service: Arc<Service<H>>,
    request: Request<Incoming>,
    connection: Connection,
    watch: Arc<Watch>,
) -> Result<Response<AnswerBody<H::Body>>, Infallible> {
    let version = request.version();
    let (running, head_good) = Running::begin(Arc::clone(&watch));
    if let Some(refusal) = refusal(&request, head_good) {
        let text = refusal.json();
        return Ok(refuse(refusal.status(), text, version, running));
    }
    let request = request.map(|body| WatchedBody::new(body, service.limits, Arc::clone(&watch)));
    let safe = request.method().is_safe();
    let peer = connection.peer;
    let handling = service.handler.handle(request, connection);
    let handled = if safe {
        AssertUnwindSafe(handling).catch_unwind().await.map_err(drop)
    } else {
        // A task of its own: a client that leaves does not stop what must be finished.
        service.requests.spawn(handling).await.map_err(drop)
    };
    let Ok(mut response) = handled else {
        tracing::error!(%peer, "a request ended in a panic; this is a bug, please report it");
        let message = "the registry failed; what happened is in its log";
        let code = Code::Unsupported.as_str();
        let text = json!({ "errors": [{ "code": code, "message": message, "detail": null }] }).to_string();
        return Ok(refuse(StatusCode::INTERNAL_SERVER_ERROR, text, version, running));
    };
    let must_go = version < Version::HTTP_2 && service.drain.is_begun();
    if watch.is_astray() || must_go {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| AnswerBody::handler(body, running, version)))
}

/// What is wrong with a request although it could be parsed.
fn refusal<B>(request: &Request<B>, head_good: bool) -> Option<Refusal> {
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > MAX_TARGET_BYTES) {
        return Some(Refusal::TargetTooLong);
    }
    if request.version() >= Version::HTTP_2 {
        return None;
    }
    let headers = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Some(Refusal::Host);
    }
    // A request sent before the last one was answered: its head was not looked at, and nobody sends bodies so.
    (!head_good && headers.contains_key(header::TRANSFER_ENCODING)).then_some(Refusal::Length)
}

/// An answer of the server itself. The body of the request was not read, so over HTTP/1.1 the connection ends.
fn refuse<B>(status: StatusCode, json: String, version: Version, running: Running) -> Response<AnswerBody<B>> {
    let mut response = Response::new(AnswerBody::text(json, running));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    if version < Version::HTTP_2 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
