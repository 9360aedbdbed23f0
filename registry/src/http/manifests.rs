//! `manifests/<reference>`: pull, push, delete.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::body::Body;
use super::reply::{self, DOCKER_CONTENT_DIGEST, OCI_SUBJECT, OCI_TAG, Reply};
use super::{Call, blobs, conditions, tags};
use crate::error::{ApiError, Code};
use crate::index::IndexError;
use crate::index::client::Answer;
use crate::index::command::{Command, DeleteManifest, DeleteTag, Part, PutManifest};
use crate::index::query::{Found, GetManifest, Manifest};
use crate::oci::digest::Digest;
use crate::oci::manifest::{self, ManifestError};
use crate::oci::name::RepositoryName;
use crate::oci::reference::{Reference, Tag};
use crate::push::crash;
use crate::push::receive::RequestBody;

/// Nearly all manifests are smaller.
const ORDINARY: usize = 64 << 10;
/// Larger ones that are in memory at once: clients that send theirs slowly must not fill it.
static LARGE_MANIFESTS: Semaphore = Semaphore::const_new(64);

/// The manifest in the type that it was pushed as, whatever `Accept` says: another type would be another digest.
pub async fn get(call: &Call, repository: RepositoryName, reference: Reference, head: bool) -> Reply {
    let query = GetManifest { repository, reference, bytes: !head, held: None, as_it_stands: false };
    let answer = match call.session.query_any(query.clone()).await {
        Err(error @ IndexError::Unavailable { .. }) if call.session.app.config.manifests.stale_tags => {
            last_heard_of(call, query).await.ok_or(error)?
        }
        answer => answer?,
    };
    let manifest = match answer.answer {
        Found::Here(manifest) => manifest,
        Found::Nothing => return Err(unknown()),
        Found::NoRepository => return Err(tags::unknown_repository()),
    };
    let builder = reply::mark_stale(Response::builder(), answer.stale)
        .header(ETAG, conditions::etag(&manifest.digest))
        .header(DOCKER_CONTENT_DIGEST, manifest.digest.to_string());
    if conditions::not_modified(&call.headers, &manifest.digest) {
        return reply::empty(builder.status(StatusCode::NOT_MODIFIED));
    }
    let builder = builder.header(CONTENT_TYPE, manifest.media_type).header(CONTENT_LENGTH, manifest.size);
    match manifest.bytes {
        _ if head => reply::empty(builder),
        Some(bytes) if bytes.len() as u64 == manifest.size => reply::send(builder, Body::whole(bytes)),
        _ => Err(reply::internal().cause(anyhow::anyhow!("the bytes of manifest {} are not whole", manifest.digest))),
    }
}

/// What was named so when an index node heard of it last. That something was not there then says nothing.
async fn last_heard_of(call: &Call, query: GetManifest) -> Option<Answer<Found<Manifest>>> {
    let answer = call.session.query_any(GetManifest { as_it_stands: true, ..query }).await.ok()?;
    matches!(answer.answer, Found::Here(_)).then_some(answer)
}

pub async fn put(
    call: &Call,
    body: RequestBody,
    repository: RepositoryName,
    reference: Reference,
    mut tags: Vec<Tag>,
) -> Reply {
    let condition = conditions::of_write(&call.headers)?;
    if condition.is_some() && (!tags.is_empty() || matches!(reference, Reference::Digest(_))) {
        let text = "a condition is about the tag in the path; push without tag parameters, by that tag";
        return Err(conditions::refused(text));
    }
    let announced = call.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let limit = call.session.app.config.manifests.max_bytes;
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let (bytes, _place) = collect(body, limit).await?;
    let content_type = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let manifest = manifest::parse(content_type, &bytes).map_err(|error| invalid(&error))?;
    let pushed = tags.clone();
    let digest = match &reference {
        Reference::Digest(expected) => matching(*expected, &bytes)?,
        Reference::Tag(tag) => {
            tags.retain(|other| other != tag);
            tags.insert(0, tag.clone());
            Digest::of(&bytes)
        }
    };
    let command = PutManifest {
        repository: repository.clone(),
        digest,
        media_type: manifest.media_type.to_owned(),
        bytes,
        artifact_type: manifest.artifact_type,
        subject: manifest.subject,
        annotations: if manifest.subject.is_some() { manifest.annotations } else { BTreeMap::new() },
        blobs: parts(manifest.blobs),
        foreign: parts(manifest.foreign),
        children: parts(manifest.children),
        tags,
        condition,
        sparse: call.session.app.config.manifests.sparse,
    };
    crash::point("push::manifest::before_entry");
    call.session.submit(Command::PutManifest(Box::new(command))).await?;
    crash::point("push::manifest::after_entry");
    let mut builder = reply::created(format!("/v2/{repository}/manifests/{digest}"), &digest);
    if let Some(subject) = manifest.subject {
        builder = builder.header(OCI_SUBJECT, subject.to_string());
    }
    if !pushed.is_empty() {
        // One header for all: clients refuse an answer of more than about a hundred.
        let tags: Vec<&str> = pushed.iter().map(Tag::as_str).collect();
        builder = builder.header(OCI_TAG, tags.join(", "));
    }
    reply::empty(builder)
}

pub async fn delete(call: &Call, repository: RepositoryName, digest: Digest) -> Reply {
    blobs::check_deletable(&call.session.app)?;
    if call.headers.contains_key(IF_MATCH) || call.headers.contains_key(IF_NONE_MATCH) {
        return Err(conditions::refused("a condition is about a tag; a digest always names the same manifest"));
    }
    call.session.submit(Command::DeleteManifest(DeleteManifest { repository, digest })).await?;
    reply::empty(Response::builder().status(StatusCode::ACCEPTED).header(CONTENT_LENGTH, 0))
}

pub async fn delete_tag(call: &Call, repository: RepositoryName, tag: Tag) -> Reply {
    blobs::check_deletable(&call.session.app)?;
    let condition = conditions::of_write(&call.headers)?;
    call.session.submit(Command::DeleteTag(DeleteTag { repository, tag, condition })).await?;
    reply::empty(Response::builder().status(StatusCode::ACCEPTED).header(CONTENT_LENGTH, 0))
}

/// There is no such manifest or tag.
pub fn unknown() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, Code::ManifestUnknown, "there is no such manifest in this repository")
}

fn too_large(limit: u64) -> ApiError {
    let text = format!("a manifest may have {limit} bytes; put large content into a blob");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ManifestInvalid, text)
}

fn too_many() -> ApiError {
    let text = "too many large manifests are being pushed; try again";
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, text)
        .header(RETRY_AFTER, HeaderValue::from_static("2"))
}

fn invalid(error: &ManifestError) -> ApiError {
    let code = if matches!(error, ManifestError::Schema1) { Code::Unsupported } else { Code::ManifestInvalid };
    ApiError::new(StatusCode::BAD_REQUEST, code, error.to_string())
}

/// Checks that `bytes` are what `expected` names.
fn matching(expected: Digest, bytes: &[u8]) -> Result<Digest, ApiError> {
    let actual = Digest::of_with(expected.algorithm(), bytes);
    if actual == expected {
        return Ok(actual);
    }
    let text = format!("the content has digest {actual}, not {expected}");
    Err(ApiError::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, text))
}

fn parts(parts: BTreeMap<Digest, u64>) -> Vec<Part> {
    parts.into_iter().map(|(digest, size)| Part { digest, size }).collect()
}

/// Reads a body of at most `limit` bytes; more is refused as soon as it is seen. A large one takes a place, which is to
/// be held as long as its bytes.
async fn collect(mut body: RequestBody, limit: u64) -> Result<(Bytes, Option<SemaphorePermit<'static>>), ApiError> {
    let mut bytes = BytesMut::new();
    let mut place = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, Code::SizeInvalid, "the body ended early")
                .cause(anyhow::anyhow!("{error}"))
        })?;
        let data = frame.into_data().unwrap_or_default();
        if bytes.len() as u64 + data.len() as u64 > limit {
            return Err(too_large(limit));
        }
        if place.is_none() && bytes.len() + data.len() > ORDINARY {
            place = Some(LARGE_MANIFESTS.try_acquire().map_err(|_| too_many())?);
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes.freeze(), place))
}
