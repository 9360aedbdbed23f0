//! The API over HTTP. `server` hands every request of the client port to [`handle`]; that is the only way in.
//!
//! A request is parsed into an [`Action`] once, access is decided on it, and the handler of its noun is called. Handlers
//! are short: they read headers, ask the index, the store or `push`, and shape the answer. Every answer under `/v2/`
//! that is an error is OCI JSON with one of the 14 codes of the specification.

mod access;
mod administer;
pub mod audit;
mod blobs;
mod body;
mod catalog;
mod conditions;
mod failure;
mod forwarded;
mod manifests;
mod metrics;
mod pages;
mod referrers;
mod reply;
mod tags;
mod token;
mod uploads;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tracing::Instrument;

pub use body::{Body, BodyError};
pub use metrics::HttpMetrics;
pub use reply::error_json;

use crate::app::App;
use crate::auth::authenticate::credentials;
use crate::auth::session::Session;
use crate::error::ApiError;
use crate::oci::action::{Action, ActionError};
use crate::oci::name::RepositoryName;
use crate::push::receive::RequestBody;
use reply::Reply;

/// The connection that a request came on.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The other end; for a handler the client, if it came through proxies that are trusted.
    pub peer: SocketAddr,
    pub tls: bool,
    /// The name in the certificate that the client has shown.
    pub certificate: Option<Arc<str>>,
}

/// What a handler is given beside its action.
struct Call {
    session: Session,
    headers: Arc<HeaderMap>,
}

/// Answers one request. A failure is an answer too; a panic is for the caller to catch.
pub async fn handle<B>(app: Arc<App>, request: Request<B>, mut connection: Connection) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let began = Instant::now();
    let _running = app.metrics.request_running();
    let (parts, body) = request.into_parts();
    let action = Action::parse(&parts.method, parts.uri.path(), parts.uri.query());
    let name = action.as_ref().map_or("none", Action::name);
    let id = request_id();
    let client = forwarded::client(connection.peer.ip(), &parts.headers, &app.config.server.trusted_proxies);
    connection.peer.set_ip(client);
    let span = tracing::info_span!("request", %id, action = name, peer = %connection.peer);
    let received = app.metrics.received.clone();
    let body = body.map_frame(move |frame| {
        received.inc_by(frame.data_ref().map_or(0, |data| data.len() as u64));
        frame
    });
    let body = RequestBody::new(body.map_err(Into::into));
    let headers = Arc::new(parts.headers);
    let mut who = audit::Asker::default();
    let mut reply = match &action {
        Ok(Action::IssueToken { post }) => {
            let query = parts.uri.query();
            token::issue(&app, &headers, query, *post, body, &connection, &mut who).instrument(span.clone()).await
        }
        _ => answer(&app, &headers, &connection, body, &action, &mut who).instrument(span.clone()).await,
    };
    if let Err(error) = &mut reply
        && error.status == StatusCode::UNAUTHORIZED
    {
        let service = &app.index.cluster().id;
        let value = match &action {
            Ok(Action::IssueToken { .. }) => HeaderValue::from_static("Basic realm=\"roadstead\""),
            action => {
                let origin = access::origin(&parts.uri, &headers, connection.tls);
                let had_token = headers.contains_key(AUTHORIZATION);
                access::challenge(&origin, service, action.as_ref().ok(), had_token)
            }
        };
        error.headers.push((WWW_AUTHENTICATE, value));
    }
    let mut response = span.in_scope(|| whole(reply, &parts.method, &id));
    response.body_mut().count(app.metrics.sent.clone());
    app.metrics.answered(name, response.status(), began.elapsed());
    if app.audit.is_on() {
        let status = response.status().as_u16();
        let action = action.as_ref().ok();
        let line = audit::Line {
            time: crate::date::rfc3339(app.index.time()),
            id: &id,
            who: who.known.as_deref(),
            tried: who.tried(),
            from: connection.peer.ip(),
            action: name,
            repository: action.and_then(Action::repository).map(RepositoryName::as_str),
            reference: action.and_then(Action::reference),
            source: action.and_then(Action::source).map(RepositoryName::as_str),
            subject: action.and_then(Action::subject),
            status,
            allowed: !matches!(status, 401 | 403),
        };
        app.audit.write(&line).await;
    }
    span.in_scope(|| {
        tracing::debug!(status = response.status().as_u16(), method = %parts.method, path = parts.uri.path(), "answered");
    });
    response
}

/// What every request is answered while the index has not been found yet.
pub fn not_yet(method: &Method) -> Response<Body> {
    let error = failure::unavailable(anyhow::anyhow!("no index node has answered yet"));
    whole(Err(error), method, &request_id())
}

async fn answer(
    app: &Arc<App>,
    headers: &Arc<HeaderMap>,
    connection: &Connection,
    body: RequestBody,
    action: &Result<Action, ActionError>,
    who: &mut audit::Asker,
) -> Reply {
    let action = action.as_ref().map_err(|error| *error)?;
    access::refuse_cross_site(action, headers)?;
    let credentials = credentials(headers)?;
    who.says(&credentials);
    let (mut body, mut kept) = (Some(body), Bytes::new());
    let mut round = 1;
    loop {
        let mut identified = access::identify(app, &credentials, connection).await?;
        let remembered = identified.remembered;
        who.known.clone_from(&identified.caller.subject);
        app.auth.grant(&mut identified.caller, || access::wanted(action)).await?;
        let session = Session::new(Arc::clone(app), identified.caller, identified.is_strict);
        let call = Call { session, headers: Arc::clone(headers) };
        let reply = match (access::check(&call.session, action).await, action) {
            (Ok(()), Action::Administer(operation)) => administer::run(&call, operation, &mut body, &mut kept).await,
            (Ok(()), action) => dispatch(&call, body.take().unwrap_or_else(empty), action.clone()).await,
            (Err(error), _) => Err(error),
        };
        // What was known of a password may be out of date: then it is looked at once more. Nothing was read or changed.
        let is_outdated = reply.as_ref().is_err_and(access::is_outdated);
        let Some(remembered) = remembered.filter(|_| is_outdated) else {
            if let Err(error) = &reply {
                access::note_refused(&call.session.caller, error);
            }
            return reply;
        };
        app.auth.forget(remembered);
        // What administrators send is kept; a body that was not looked at is still there.
        let is_repeatable = body.is_some() || action.is_read() || matches!(action, Action::Administer(_));
        if !is_repeatable || round == access::ROUNDS {
            return reply;
        }
        round += 1;
    }
}

fn empty() -> RequestBody {
    RequestBody::new(http_body_util::Empty::new().map_err(|never: std::convert::Infallible| match never {}))
}

async fn dispatch(call: &Call, body: RequestBody, action: Action) -> Reply {
    match action {
        Action::IssueToken { .. } | Action::Administer(_) => {
            Err(reply::internal().cause(anyhow::anyhow!("this is answered elsewhere")))
        }
        Action::CheckVersion => reply::json(Response::builder(), "application/json", &serde_json::json!({})),
        Action::ListRepositories { page } => catalog::list(call, &page).await,
        Action::GetBlob { repository, digest, head: false } => blobs::get(call, repository, digest).await,
        Action::GetBlob { repository, digest, head: true } => blobs::head(call, repository, digest).await,
        Action::DeleteBlob { repository, digest } => blobs::delete(call, repository, digest).await,
        Action::StartUpload { repository, start } => uploads::start(call, body, repository, start).await,
        Action::UploadStatus { repository, upload } => uploads::status(call, &repository, &upload).await,
        Action::AppendUpload { repository, upload } => uploads::append(call, body, repository, upload).await,
        Action::FinishUpload { repository, upload, digest } => {
            uploads::finish(call, body, repository, upload, digest).await
        }
        Action::CancelUpload { repository, upload } => uploads::cancel(call, &repository, &upload).await,
        Action::GetManifest { repository, reference, head } => manifests::get(call, repository, reference, head).await,
        Action::PutManifest { repository, reference, tags } => {
            manifests::put(call, body, repository, reference, tags).await
        }
        Action::DeleteManifest { repository, digest } => manifests::delete(call, repository, digest).await,
        Action::DeleteTag { repository, tag } => manifests::delete_tag(call, repository, tag).await,
        Action::ListTags { repository, page } => tags::list(call, repository, &page).await,
        Action::TagHistory { repository, tag, page } => tags::history(call, repository, tag, &page).await,
        Action::ListReferrers { repository, subject, artifact_type, page } => {
            referrers::list(call, repository, subject, artifact_type, &page).await
        }
    }
}

/// Makes the answer whole: an error its JSON, every answer the headers that all have, and HEAD no body.
fn whole(reply: Reply, method: &Method, id: &str) -> Response<Body> {
    let mut response = match reply {
        Ok(response) => response,
        Err(error) => {
            log(&error);
            reply::error(&error)
        }
    };
    let headers = response.headers_mut();
    headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    // Content of clients is never to be shown as a page of this site.
    headers.insert("content-security-policy", HeaderValue::from_static("default-src 'none'; sandbox"));
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    let (head, status) = (*method == Method::HEAD, response.status());
    // An error has no body to a HEAD, and these two never have one (RFC 9110 §8.6).
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if head && !status.is_success() {
        response.headers_mut().remove(CONTENT_TYPE);
    } else if !bodiless && !response.headers().contains_key(CONTENT_LENGTH) {
        // Said here, since nobody says it for an empty body over HTTP/2.
        let length = response.body().left();
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    if head {
        *response.body_mut() = Body::empty();
    }
    response
}

fn log(error: &ApiError) {
    let status = error.status.as_u16();
    match &error.cause {
        Some(cause) if error.status == StatusCode::INTERNAL_SERVER_ERROR => {
            tracing::error!(status, error = format!("{cause:#}"), "request failed");
        }
        Some(cause) if error.status.is_server_error() => {
            tracing::warn!(status, error = format!("{cause:#}"), "request not possible now");
        }
        Some(cause) => tracing::info!(status, error = format!("{cause:#}"), "request failed"),
        None => tracing::debug!(status, code = error.code.as_str(), message = error.message, "request refused"),
    }
}

/// Names a request in the log and to its client.
fn request_id() -> String {
    let mut random = [0; 8];
    // An id that is not random is still a name; a request does not fail for it.
    if let Err(error) = crate::random::fill(&mut random) {
        tracing::warn!(%error, "no random bytes for a request id");
    }
    hex::encode(random)
}
