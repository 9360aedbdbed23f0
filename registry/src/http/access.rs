//! Who makes a request and what he may do: asks [`crate::auth`], and tells a client how to log in.
//!
//! Reads are judged by the index in the same view that answers them; here is judged what would begin before the index is
//! asked. A change is judged again in its entry.

use http::header::{HOST, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode, Uri};

use super::Connection;
use crate::app::App;
use crate::auth::authenticate::{AuthError, Credentials, Identified};
use crate::auth::caller::{By, Caller, Denial, Proof};
use crate::auth::decide::{Need, needed};
use crate::auth::policy::{Verb, Verbs};
use crate::auth::session::Session;
use crate::config::Anonymous;
use crate::error::{ApiError, Code};
use crate::index::IndexError;
use crate::index::access::Asks;
use crate::index::command::Refusal;
use crate::oci::action::{Action, MountSource, UploadStart};
use crate::oci::name::RepositoryName;

/// How often a request is judged at most, while what was known of its password is out of date each time.
pub const ROUNDS: u32 = 3;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What the configuration lets everyone do. Nothing said means everything: `config::check` lets that pass on loopback only.
pub fn everyone(app: &App) -> Anonymous {
    app.config.access.anonymous.unwrap_or(Anonymous::Delete)
}

/// Finds out who makes a request.
pub async fn identify(app: &App, credentials: &Credentials, connection: &Connection) -> Result<Identified, AuthError> {
    let mut identified = app.auth.identify(&app.index, credentials, everyone(app), connection.peer.ip()).await?;
    // Whoever says in the request who he is, is that.
    if let (Credentials::None, Some(name)) = (credentials, &connection.certificate) {
        identified.caller.subject = Some(format!("certificate:{name}"));
    }
    Ok(identified)
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Wrong => Self::new(
                StatusCode::UNAUTHORIZED,
                Code::Unauthorized,
                "the user name, password or token is not right, has expired or was taken back: log in again",
            ),
            AuthError::TooMany | AuthError::Busy => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, error.to_string())
                    .header(RETRY_AFTER, HeaderValue::from_static("5"))
            }
            AuthError::Index(error) => error.into(),
            error @ (AuthError::Issuer(_) | AuthError::Kubernetes(_)) => super::failure::unavailable(error),
            AuthError::Directory(error) => super::failure::directory(error),
            AuthError::Random(error) => super::reply::internal().cause(error),
            AuthError::Hash(error) => super::reply::internal().cause(error),
        }
    }
}

/// All that a caller may need for an action, of what a cluster may grant; a repository of none stands for all.
pub fn wanted(action: &Action) -> Vec<(Option<RepositoryName>, Verbs)> {
    let verbs: &[Verb] = match needed(action) {
        Need::Filter => return vec![(None, Verbs::of([Verb::Pull]))],
        Need::On(Verb::Pull, _) => &[Verb::Pull],
        // A tag may have to be moved, and one that is written once.
        Need::On(Verb::Push | Verb::Overwrite, _) => &[Verb::Pull, Verb::Push, Verb::Overwrite, Verb::Admin],
        Need::On(Verb::Delete | Verb::Admin, _) => &[Verb::Delete, Verb::Admin],
        Need::Nothing | Need::Identity => &[],
    };
    let mut wanted: Vec<_> =
        action.repository().map(|name| (Some(name.clone()), Verbs::of(verbs.iter().copied()))).into_iter().collect();
    if let Action::StartUpload { start: UploadStart::Mount { from: MountSource::Repository(from), .. }, .. } = action {
        wanted.push((Some(from.clone()), Verbs::of([Verb::Pull])));
    }
    wanted
}

/// Refuses what the caller may not begin. What is only read is judged where it is answered.
pub async fn check(session: &Session, action: &Action) -> Result<(), ApiError> {
    let everyone = session.caller.everyone;
    let is_unknown = session.caller.subject.is_none() && session.caller.limits.is_none();
    match needed(action) {
        Need::Identity if is_unknown && everyone < Anonymous::Delete => Err(denied(Denial::Unauthenticated)),
        Need::Filter if is_unknown && everyone < Anonymous::Pull => Err(denied(Denial::Unauthenticated)),
        Need::Identity if !is_unknown => Ok(session.authorize(Asks::Nothing, session.is_strict).await.map(drop)?),
        Need::Nothing | Need::Identity | Need::On(Verb::Pull, _) | Need::Filter => Ok(()),
        Need::On(verb, repository) if is_entry(action) => Ok(session.foresee(verb, repository).await?),
        Need::On(verb, repository) => {
            Ok(session.authorize(Asks::On(verb, repository.clone()), session.is_strict).await.map(drop)?)
        }
    }
}

/// Whether it is one entry of the log and nothing besides.
const fn is_entry(action: &Action) -> bool {
    matches!(
        action,
        Action::PutManifest { .. }
            | Action::DeleteManifest { .. }
            | Action::DeleteTag { .. }
            | Action::DeleteBlob { .. }
    )
}

/// Refuses what a page of another site makes a browser ask for that changes something: a browser brings along what its user has
/// logged in with (W3C Fetch Metadata).
pub fn refuse_cross_site(action: &Action, headers: &HeaderMap) -> Result<(), ApiError> {
    let is_cross_site = headers.get(FETCH_SITE).is_some_and(|site| site == "cross-site" || site == "same-site");
    if !is_cross_site || action.is_read() {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, Code::Denied, "pages of other sites may not change anything here"))
}

/// Notes in the log why somebody is refused whom his issuer vouches for: his account is not there, or shut, or over.
pub fn note_refused(caller: &Caller, error: &ApiError) {
    if let (StatusCode::UNAUTHORIZED, Some(Proof { account, by: By::Word })) = (error.status, &caller.proof) {
        let subject = caller.subject.as_deref().unwrap_or_default();
        tracing::info!(
            subject,
            account,
            "refused: the account that a rule of the issuer names is not there, shut or over"
        );
    }
}

/// Whether a refusal says that what the caller came with no longer holds.
pub fn is_outdated(error: &ApiError) -> bool {
    error.status == StatusCode::UNAUTHORIZED
}

/// What a client is told that may not do something.
pub fn denied(denial: Denial) -> ApiError {
    match denial {
        Denial::Unauthenticated => {
            let text = "log in first: this is not open to everyone, or whom you logged in as has no account or one that is shut";
            ApiError::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, text)
        }
        Denial::InsufficientScope => ApiError::new(
            StatusCode::UNAUTHORIZED,
            Code::Unauthorized,
            "the token does not allow this: ask for one with the scope of the challenge",
        ),
        Denial::Denied => ApiError::new(
            StatusCode::FORBIDDEN,
            Code::Denied,
            "you may not do this here; an administrator of the registry grants it by a policy",
        ),
        Denial::WriteOnce => ApiError::new(
            StatusCode::FORBIDDEN,
            Code::Denied,
            "the tag is written once: it stays as it is; push another tag",
        ),
        // Word for word what a repository that does not exist gets.
        Denial::Absent => Refusal::RepositoryUnknown.into(),
    }
}

/// Whether an error is what is told of a repository that may not be seen: where one that is not there gets something else
/// than an error, so does this one.
pub fn is_absent(error: &IndexError) -> bool {
    matches!(error, IndexError::Refused { refusal: Refusal::Forbidden { denial: Denial::Absent }, .. })
}

/// Where a request came to, as its client calls it: `https://registry.example.com`. A node may reach us by another name
/// than the one in our configuration, so this is where it is sent to for a token.
pub fn origin(uri: &Uri, headers: &HeaderMap, tls: bool) -> String {
    let forwarded = headers.get(FORWARDED_PROTO).and_then(|value| value.to_str().ok());
    let scheme = if tls || forwarded == Some("https") { "https" } else { "http" };
    let host = uri.authority().map(http::uri::Authority::as_str);
    let host = host.or_else(|| headers.get(HOST)?.to_str().ok()).unwrap_or_default();
    // It stands between quotes in a header.
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
    let host = if !host.is_empty() && host.bytes().all(is_plain) { host } else { "localhost" };
    format!("{scheme}://{host}")
}

/// How to log in for an action, as the token specification of distribution has it.
pub fn challenge(origin: &str, service: &str, action: Option<&Action>, had_token: bool) -> HeaderValue {
    let scope = action.and_then(scope).map_or(String::new(), |scope| format!(",scope=\"{scope}\""));
    let error = if had_token { ",error=\"insufficient_scope\"" } else { "" };
    let text = format!("Bearer realm=\"{origin}/token\",service=\"{service}\"{scope}{error}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
}

fn scope(action: &Action) -> Option<String> {
    if matches!(action, Action::ListRepositories { .. }) {
        return Some("registry:catalog:*".into());
    }
    let Need::On(verb, repository) = needed(action) else { return None };
    let actions = match verb {
        Verb::Pull => "pull",
        Verb::Push | Verb::Overwrite => "pull,push",
        Verb::Delete => "delete",
        Verb::Admin => "*",
    };
    let mut scope = format!("repository:{repository}:{actions}");
    if let Action::StartUpload { start: UploadStart::Mount { from: MountSource::Repository(from), .. }, .. } = action {
        scope = format!("{scope} repository:{from}:pull");
    }
    Some(scope)
}
