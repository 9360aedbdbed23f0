//! `blobs/<digest>`: downloads, questions, deletion.
//!
//! What is sent was checked chunk by chunk; when a chunk is found wrong the connection breaks before any byte of it, and
//! the blob is marked, so that the next push of it brings good bytes.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, LOCATION, RANGE};
use http::response::Builder;
use http::{Response, StatusCode};

use super::body::{Body, BodyError};
use super::reply::{self, DOCKER_CONTENT_DIGEST, Reply};
use super::{Call, conditions, failure, tags};
use crate::app::App;
use crate::auth::session::Session;
use crate::blobs::reader::{self, ReadError};
use crate::config::PRESIGNED_LIFE;
use crate::error::{ApiError, Code};
use crate::index::command::{Command, LinkName, MarkDamaged, Place, Segment, Time};
use crate::index::query::{Blob, Found, GetBlob};
use crate::oci::byte_range::{self, ByteRange};
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;
use crate::reclaim::owner;

pub async fn get(call: &Call, repository: RepositoryName, digest: Digest) -> Reply {
    let (blob, stale) = find(&call.session, &repository, digest, false).await?;
    if conditions::not_modified(&call.headers, &digest) {
        return reply::empty(named(StatusCode::NOT_MODIFIED, &digest));
    }
    let range = wanted(call, &blob);
    let (status, range) = match range {
        ByteRange::Whole => (StatusCode::OK, 0..blob.size),
        ByteRange::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        ByteRange::Unsatisfiable => return Err(unsatisfiable(blob.size)),
    };
    if let Some(address) = redirect(&call.session.app, &blob).await? {
        let builder = named(StatusCode::TEMPORARY_REDIRECT, &digest).header(LOCATION, address);
        let builder = reply::mark_stale(builder, stale);
        return reply::empty(builder.header(CONTENT_LENGTH, 0));
    }
    let mut builder = reply::mark_stale(content(status, &digest), stale);
    if status == StatusCode::PARTIAL_CONTENT {
        builder = builder.header(CONTENT_RANGE, format!("bytes {}-{}/{}", range.start, range.end - 1, blob.size));
    }
    let length = range.end - range.start;
    let stream = opened(&call.session, &repository, blob, range).await?;
    reply::send(builder, Body::stream(stream, length))
}

/// Linearizable, since a client that is told that the blob is there does not push it; for the same reason a link whose
/// grace runs out gets a new one, and a damaged blob is not there.
pub async fn head(call: &Call, repository: RepositoryName, digest: Digest) -> Reply {
    let (blob, _) = find(&call.session, &repository, digest, true).await?;
    if blob.damaged {
        return Err(unknown());
    }
    if needs_renewal(&blob, call.session.app.index.time()) {
        call.session.submit(Command::RenewLink(LinkName { repository, digest })).await?;
    }
    if conditions::not_modified(&call.headers, &digest) {
        return reply::empty(named(StatusCode::NOT_MODIFIED, &digest));
    }
    reply::empty(content(StatusCode::OK, &digest).header(CONTENT_LENGTH, blob.size))
}

pub async fn delete(call: &Call, repository: RepositoryName, digest: Digest) -> Reply {
    check_deletable(&call.session.app)?;
    call.session.submit(Command::DeleteBlob(LinkName { repository, digest })).await?;
    reply::empty(Response::builder().status(StatusCode::ACCEPTED).header(CONTENT_LENGTH, 0))
}

/// Refuses every deletion when deleting is turned off.
pub fn check_deletable(app: &App) -> Result<(), ApiError> {
    if app.config.delete.enabled {
        return Ok(());
    }
    Err(failure::not_deletable("deleting is turned off in this registry (delete.enabled)"))
}

/// Whether less than half of the grace of an unreferenced link is left: of the one that the index has, for that of this
/// process may be another.
fn needs_renewal(blob: &Blob, now: Time) -> bool {
    let Some(since) = blob.unreferenced_since else { return false };
    blob.due.is_none_or(|due| now.0.saturating_sub(since.0) > due.0.saturating_sub(since.0) / 2)
}

fn unknown() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, Code::BlobUnknown, "there is no such blob in this repository")
}

fn unsatisfiable(size: u64) -> ApiError {
    let text = format!("the blob has {size} bytes and none in this range");
    let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::SizeInvalid, text);
    match HeaderValue::try_from(format!("bytes */{size}")) {
        Ok(value) => error.header(CONTENT_RANGE, value),
        Err(_) => error,
    }
}

/// The blob, and whether that may be out of date.
async fn find(
    session: &Session,
    repository: &RepositoryName,
    digest: Digest,
    linearizable: bool,
) -> Result<(Blob, bool), ApiError> {
    let query = GetBlob { repository: repository.clone(), digest, linearizable, for_push: false };
    let answer = session.query_any(query).await?;
    match answer.answer {
        Found::Here(blob) => Ok((blob, answer.stale)),
        Found::Nothing => Err(unknown()),
        Found::NoRepository => Err(tags::unknown_repository()),
    }
}

fn named(status: StatusCode, digest: &Digest) -> Builder {
    Response::builder()
        .status(status)
        .header(ETAG, conditions::etag(digest))
        .header(DOCKER_CONTENT_DIGEST, digest.to_string())
}

fn content(status: StatusCode, digest: &Digest) -> Builder {
    named(status, digest).header(CONTENT_TYPE, "application/octet-stream").header(ACCEPT_RANGES, "bytes")
}

fn wanted(call: &Call, blob: &Blob) -> ByteRange {
    match call.headers.get(RANGE).and_then(|value| value.to_str().ok()) {
        Some(header) if conditions::range_applies(&call.headers, &blob.digest) => byte_range::parse(header, blob.size),
        _ => ByteRange::Whole,
    }
}

/// Where the store itself would send the blob from, if clients are to go there.
async fn redirect(app: &App, blob: &Blob) -> Result<Option<String>, ApiError> {
    let config = &app.config.blobs;
    match blob.segments.as_slice() {
        [Segment { place: Place::Object(key), .. }]
            if config.redirect && blob.size >= config.redirect_min_bytes && !blob.damaged =>
        {
            Ok(app.store.presign(key, PRESIGNED_LIFE).await?)
        }
        _ => Ok(None),
    }
}

/// Opens the content and waits for its first bytes, so that a failure to begin is an answer of its own. An object that
/// is gone was condemned after the index was asked: where the bytes are now is asked once more.
async fn opened(
    session: &Session,
    repository: &RepositoryName,
    blob: Blob,
    range: Range<u64>,
) -> Result<BoxStream<'static, Result<Bytes, BodyError>>, ApiError> {
    let (app, digest) = (&session.app, blob.digest);
    match begin(app, blob, range.clone()).await {
        Err(error) if error.is_gone() => {
            let (blob, _) = find(session, repository, digest, true).await?;
            begin(app, blob, range).await.map_err(|error| failed(app, digest, error))
        }
        Err(error) => Err(failed(app, digest, error)),
        Ok(stream) => Ok(stream),
    }
}

async fn begin(
    app: &Arc<App>,
    blob: Blob,
    range: Range<u64>,
) -> Result<BoxStream<'static, Result<Bytes, BodyError>>, ReadError> {
    let mut content = reader::read(app.store.clone(), blob.segments, range);
    let first = match content.next().await {
        None => return Ok(stream::empty().boxed()),
        Some(first) => first?,
    };
    let (app, digest) = (app.clone(), blob.digest);
    let rest = content.map(move |result| {
        result.map_err(|error| {
            tracing::error!(%digest, error = format!("{error:#}"), "a download broke off");
            mark_damaged(&app, digest, &error);
            BodyError::Read(error.into())
        })
    });
    Ok(stream::once(async { Ok(first) }).chain(rest).boxed())
}

fn failed(app: &Arc<App>, digest: Digest, error: ReadError) -> ApiError {
    mark_damaged(app, digest, &error);
    match error {
        ReadError::Store(error) => error.into(),
        error => reply::internal().cause(error),
    }
}

/// Tells the index of a damaged or lost object, so that the next push of the blob replaces it. Nobody waits for it. Of one
/// that the blob does not use any more, the index knows better.
fn mark_damaged(app: &Arc<App>, digest: Digest, error: &ReadError) {
    let Some(key) = error.damaged().cloned() else { return };
    let (app, lost) = (app.clone(), error.is_gone());
    tokio::spawn(async move {
        // Another store, or an empty one, in the place of ours says nothing about our blobs.
        if lost && let Err(error) = owner::check(app.store.as_ref(), app.index.cluster()).await {
            tracing::warn!(%digest, %error, "an object is not in the store, and the store is not ours");
            return;
        }
        let command = Command::MarkDamaged(MarkDamaged { digest, key });
        if let Err(error) = app.index.submit(None, command).await {
            tracing::warn!(%digest, %error, "could not mark a damaged blob");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreferenced_link_is_renewed_once_half_of_its_grace_is_over() {
        let blob = |unreferenced_since, due| Blob {
            digest: Digest::of(b""),
            size: 0,
            segments: Vec::new(),
            damaged: false,
            unreferenced_since,
            due,
        };
        let unreferenced = blob(Some(Time(100)), Some(Time(110)));
        assert!(!needs_renewal(&blob(None, None), Time(u64::MAX)));
        assert!(!needs_renewal(&unreferenced, Time(105)));
        assert!(needs_renewal(&unreferenced, Time(106)));
        assert!(!needs_renewal(&unreferenced, Time(50)), "a clock that is behind renews nothing");
        assert!(needs_renewal(&blob(Some(Time(100)), None), Time(101)), "an older index does not say until when");
    }
}
