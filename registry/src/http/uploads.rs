//! `blobs/uploads/`: beginning, filling, finishing and cancelling uploads, and mounting.
//!
//! What changes something runs as a task of its own: a client that goes away in the middle must not stop what its
//! bytes have begun, so that they can be gone on from.

use std::future::Future;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, LOCATION, RANGE};
use http::response::Builder;
use http::{HeaderMap, Response, StatusCode};

use super::Call;
use super::reply::{self, DOCKER_UPLOAD_UUID, OCI_CHUNK_MIN_LENGTH, Reply};
use crate::auth::session::Session;
use crate::error::{ApiError, Code};
use crate::oci::action::{MountSource, UploadStart, UploadText};
use crate::oci::content_range;
use crate::oci::digest::{Algorithm, Digest};
use crate::oci::name::RepositoryName;
use crate::push::receive::RequestBody;
use crate::push::upload::{self, Claim};
use crate::push::upload_id::Upload;
use crate::push::{PushError, mount};

pub async fn start(call: &Call, body: RequestBody, repository: RepositoryName, start: UploadStart) -> Reply {
    match start {
        UploadStart::Session { algorithm } => begun(&call.session, &repository, algorithm.unwrap_or(Algorithm::Sha256)),
        UploadStart::Whole { digest } => {
            let (session, name) = (call.session.fork(), repository.clone());
            detached(async move { upload::post(&session, &name, digest, body).await }).await??;
            reply::empty(blob_created(&repository, &digest))
        }
        UploadStart::Mount { digest, from } => {
            let from = match from {
                MountSource::Repository(name) => vec![name],
                MountSource::Anywhere => mount::sources(&call.session, digest).await?,
                MountSource::Nowhere => Vec::new(),
            };
            let (session, name) = (call.session.fork(), repository.clone());
            if detached(async move { mount::mount(&session, &name, digest, from).await }).await?? {
                return reply::empty(blob_created(&repository, &digest));
            }
            begun(&call.session, &repository, digest.algorithm())
        }
    }
}

pub async fn status(call: &Call, repository: &RepositoryName, text: &UploadText) -> Reply {
    let upload = upload::named(&call.session, repository, text)?;
    let offset = upload::offset(&call.session, repository, &upload).await?;
    reply::empty(stands(StatusCode::NO_CONTENT, repository, &upload, offset))
}

pub async fn append(call: &Call, body: RequestBody, repository: RepositoryName, text: UploadText) -> Reply {
    let session = call.session.fork();
    let upload = upload::named(&session, &repository, &text)?;
    let claim = claim(&call.headers).map_err(|error| at_offset(error, &repository, &upload, None))?;
    check_length(&call.headers, claim)?;
    let (name, named) = (repository.clone(), upload.clone());
    let result = detached(async move { upload::append(&session, &name, &named, claim, body).await }).await?;
    let offset = result.map_err(|error| refused(error, &repository, &upload))?;
    reply::empty(stands(StatusCode::ACCEPTED, &repository, &upload, offset).header(CONTENT_LENGTH, 0))
}

pub async fn finish(
    call: &Call,
    body: RequestBody,
    repository: RepositoryName,
    text: UploadText,
    digest: Digest,
) -> Reply {
    let session = call.session.fork();
    let upload = upload::named(&session, &repository, &text)?;
    let claim = claim(&call.headers).map_err(|error| at_offset(error, &repository, &upload, None))?;
    check_length(&call.headers, claim)?;
    let (name, named) = (repository.clone(), upload.clone());
    let result = detached(async move { upload::finish(&session, &name, &named, digest, claim, body).await }).await?;
    result.map_err(|error| refused(error, &repository, &upload))?;
    reply::empty(blob_created(&repository, &digest))
}

pub async fn cancel(call: &Call, repository: &RepositoryName, text: &UploadText) -> Reply {
    let upload = upload::named(&call.session, repository, text)?;
    upload::cancel(&call.session, repository, &upload).await?;
    reply::empty(Response::builder().status(StatusCode::NO_CONTENT))
}

/// Runs `work` to its end whether or not the client waits for it.
async fn detached<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, ApiError> {
    use tracing::Instrument as _;
    tokio::spawn(work.in_current_span()).await.map_err(|error| reply::internal().cause(error))
}

fn begun(session: &Session, repository: &RepositoryName, algorithm: Algorithm) -> Reply {
    let upload = upload::begin(session, repository, algorithm)?;
    let app = &session.app;
    let mut builder = stands(StatusCode::ACCEPTED, repository, &upload, 0).header(CONTENT_LENGTH, 0);
    if app.config.uploads.chunk_min_bytes > 0 {
        builder = builder.header(OCI_CHUNK_MIN_LENGTH, app.config.uploads.chunk_min_bytes);
    }
    reply::empty(builder)
}

fn blob_created(repository: &RepositoryName, digest: &Digest) -> Builder {
    reply::created(format!("/v2/{repository}/blobs/{digest}"), digest)
}

fn location(repository: &RepositoryName, upload: &Upload) -> String {
    format!("/v2/{repository}/blobs/uploads/{}", upload.text)
}

/// `0-<last byte>`; an empty upload is `0-0`, as clients have always been told.
fn range(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn stands(status: StatusCode, repository: &RepositoryName, upload: &Upload, offset: u64) -> Builder {
    Response::builder()
        .status(status)
        .header(LOCATION, location(repository, upload))
        .header(RANGE, range(offset))
        .header(DOCKER_UPLOAD_UUID, upload.text.as_str())
}

/// A refusal of bytes that do not follow what is there tells where to go on.
fn refused(error: PushError, repository: &RepositoryName, upload: &Upload) -> ApiError {
    match error {
        PushError::Offset { offset } => at_offset(error.into(), repository, upload, Some(offset)),
        error => error.into(),
    }
}

fn at_offset(error: ApiError, repository: &RepositoryName, upload: &Upload, offset: Option<u64>) -> ApiError {
    let mut error = error;
    if let Ok(value) = HeaderValue::try_from(location(repository, upload)) {
        error = error.header(LOCATION, value);
    }
    match offset.map(|offset| HeaderValue::try_from(range(offset))) {
        Some(Ok(value)) => error.header(RANGE, value),
        _ => error,
    }
}

/// What a chunk says it brings.
fn claim(headers: &HeaderMap) -> Result<Option<Claim>, ApiError> {
    let Some(value) = headers.get(CONTENT_RANGE) else { return Ok(None) };
    match value.to_str().ok().and_then(content_range::parse) {
        Some(bytes) => Ok(Some(Claim { start: bytes.start, end: bytes.end })),
        None => Err(ApiError::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            Code::BlobUploadInvalid,
            "Content-Range is <first byte>-<last byte> of what this request brings",
        )),
    }
}

/// Refuses a body early whose announced length contradicts its range.
fn check_length(headers: &HeaderMap, claim: Option<Claim>) -> Result<(), ApiError> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match (announced, claim) {
        (Some(actual), Some(claim)) if actual != claim.end - claim.start => {
            Err(PushError::Size { expected: claim.end - claim.start, actual }.into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_content_range_is_refused_as_unsatisfiable() {
        let of = |text: &str| claim(&HeaderMap::from_iter([(CONTENT_RANGE, HeaderValue::try_from(text).unwrap())]));
        assert_eq!(of("0-9").unwrap(), Some(Claim { start: 0, end: 10 }));
        assert_eq!(claim(&HeaderMap::new()).unwrap(), None);
        assert_eq!(of("bytes 0-1/2").unwrap_err().status, StatusCode::RANGE_NOT_SATISFIABLE);
    }

    #[test]
    fn a_length_that_contradicts_the_range_is_refused_before_the_body_is_read() {
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static("5"))]);
        assert!(check_length(&headers, Some(Claim { start: 10, end: 15 })).is_ok());
        assert!(check_length(&headers, None).is_ok());
        let error = check_length(&headers, Some(Claim { start: 10, end: 16 })).unwrap_err();
        assert_eq!((error.status, error.code), (StatusCode::BAD_REQUEST, Code::SizeInvalid));
    }

    #[test]
    fn an_empty_upload_stands_at_0_0() {
        assert_eq!((range(0), range(1), range(10)), ("0-0".into(), "0-0".into(), "0-9".into()));
    }
}
