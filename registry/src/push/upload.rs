//! What can be done with an upload: begin, ask, append, finish, cancel; and a blob posted whole.
//!
//! Handlers in `http` call it. Bytes become an object (or stay in memory) first and are named by an entry then, on the
//! condition that the upload still stands where this request found it: so of two requests that race, one is refused,
//! and what it brought is removed. An upload that is not recorded yet is the same as one that stands at 0.

use bytes::Bytes;
use futures::StreamExt;

use super::PushError;
use super::crash;
use super::hash::Hasher;
use super::receive::{Ending, Received, RequestBody, receive};
use super::upload_id::Upload;
use crate::auth::session::Session;
use crate::blobs::ObjectKey;
use crate::index::IndexError;
use crate::index::command::{
    CancelUpload, Command, CommitBlob, FinishedUpload, HashState, LinkName, Outcome, Place, RecordUpload, Refusal,
    Segment,
};
use crate::index::query::{self, Found, GetBlob, GetUpload};
use crate::oci::action::UploadText;
use crate::oci::digest::{Algorithm, Digest};
use crate::oci::name::RepositoryName;

/// The bytes that a request says it brings: `start` up to and without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub start: u64,
    pub end: u64,
}

/// The most chunks of one upload: each is kept in the row of the upload until it is finished.
const MAX_SEGMENTS: usize = 10_000;

/// Where an open upload stands.
struct Standing {
    offset: u64,
    segments: Vec<Segment>,
    hash: Option<HashState>,
}

/// Begins an upload. Nothing is recorded: its id says all.
pub fn begin(session: &Session, repository: &RepositoryName, algorithm: Algorithm) -> Result<Upload, PushError> {
    let mut random = [0; 10];
    crate::random::fill(&mut random).map_err(|error| PushError::Hash(error.into()))?;
    Upload::begin(
        &session.app.index.cluster().upload_key,
        repository,
        session.who(),
        session.app.index.time(),
        algorithm,
        random,
    )
    .ok_or_else(|| PushError::Hash(anyhow::anyhow!("the upload key of the cluster cannot be used")))
}

/// Finds out which upload a client means.
pub fn named(session: &Session, repository: &RepositoryName, text: &UploadText) -> Result<Upload, PushError> {
    let upload = Upload::check(&session.app.index.cluster().upload_key, repository, session.who(), text)
        .ok_or(PushError::UploadUnknown)?;
    if upload.expires(session.app.config.uploads.ttl_seconds) <= session.app.index.time() {
        return Err(PushError::UploadUnknown);
    }
    Ok(upload)
}

/// How many bytes of an upload are durable.
pub async fn offset(session: &Session, repository: &RepositoryName, upload: &Upload) -> Result<u64, PushError> {
    match find(session, repository, upload).await? {
        None => Ok(0),
        Some(query::Upload::Open { offset, .. }) => Ok(offset),
        Some(query::Upload::Finished { .. } | query::Upload::Cancelled) => Err(PushError::UploadUnknown),
    }
}

/// Appends `body`, and says where the upload stands then.
pub async fn append(
    session: &Session,
    repository: &RepositoryName,
    upload: &Upload,
    claim: Option<Claim>,
    body: RequestBody,
) -> Result<u64, PushError> {
    let standing = open(find(session, repository, upload).await?)?;
    if standing.segments.len() >= MAX_SEGMENTS {
        return Err(PushError::TooManyChunks);
    }
    check_claim(claim, standing.offset)?;
    let hasher = resume(&standing, upload.algorithm)?;
    let received = receive_after(session, standing.offset, hasher, body).await?;
    let expected = claim.map(|claim| claim.end - claim.start);
    let received = match (&received.ending, expected) {
        (Ending::Whole, Some(expected)) if expected != received.length => {
            let actual = received.length;
            received.discard().await;
            return Err(PushError::Size { expected, actual });
        }
        _ => received,
    };
    record(session, repository, upload, standing.offset, received).await
}

/// Appends `body` and makes everything a blob of the repository.
pub async fn finish(
    session: &Session,
    repository: &RepositoryName,
    upload: &Upload,
    digest: Digest,
    claim: Option<Claim>,
    body: RequestBody,
) -> Result<(), PushError> {
    let found = find(session, repository, upload).await?;
    if matches!(found, Some(query::Upload::Finished { digest: finished }) if finished == digest) {
        return still_there(session, repository, digest).await;
    }
    let standing = open(found)?;
    check_claim(claim, standing.offset)?;
    let hasher = match &standing.hash {
        Some(hash) if hash.algorithm != digest.algorithm() => {
            hash_again(session, &standing.segments, digest.algorithm()).await?
        }
        _ => resume(&standing, digest.algorithm())?,
    };
    let received = receive_after(session, standing.offset, hasher, body).await?;
    if matches!(received.ending, Ending::Broken(_)) {
        // The client may ask where it stands and go on from there.
        return record(session, repository, upload, standing.offset, received).await.map(|_| ());
    }
    let expected = claim.map_or(received.length, |claim| claim.end - claim.start);
    let segment = keep_if_right(received, digest, expected).await?;
    let commit = CommitBlob {
        repository: repository.clone(),
        digest,
        size: standing.offset + segment.as_ref().map_or(0, |segment| segment.length),
        upload: Some(FinishedUpload {
            upload: upload.id.clone(),
            expected_offset: standing.offset,
            expires: upload.expires(session.app.config.uploads.ttl_seconds),
        }),
        segment,
    };
    let committed = commit_blob(session, commit).await;
    // What there is no room for does not stay until its time is over.
    if let Err(PushError::Refused(Refusal::QuotaExceeded { .. })) = &committed
        && let Err(error) = cancel(session, repository, upload).await
    {
        tracing::warn!(%error, "could not end an upload that a quota refuses; it ends with its time");
    }
    committed
}

/// Makes a body posted in one request a blob of the repository.
pub async fn post(
    session: &Session,
    repository: &RepositoryName,
    digest: Digest,
    body: RequestBody,
) -> Result<(), PushError> {
    let received = receive_after(session, 0, Hasher::new(digest.algorithm()), body).await?;
    let size = received.length;
    let segment = keep_if_right(received, digest, size).await?;
    commit_blob(session, CommitBlob { repository: repository.clone(), digest, size, upload: None, segment }).await
}

/// Ends an upload without a blob. It stays ended: what is still on its way to it is refused.
pub async fn cancel(session: &Session, repository: &RepositoryName, upload: &Upload) -> Result<(), PushError> {
    let expires = upload.expires(session.app.config.uploads.ttl_seconds);
    let command = CancelUpload { repository: repository.clone(), upload: upload.id.clone(), expires };
    session.submit(Command::CancelUpload(command)).await?;
    Ok(())
}

async fn find(
    session: &Session,
    repository: &RepositoryName,
    upload: &Upload,
) -> Result<Option<query::Upload>, PushError> {
    Ok(session.query(GetUpload { repository: repository.clone(), upload: upload.id.clone() }).await?)
}

fn open(found: Option<query::Upload>) -> Result<Standing, PushError> {
    match found {
        None => Ok(Standing { offset: 0, segments: Vec::new(), hash: None }),
        Some(query::Upload::Open { offset, segments, hash }) => Ok(Standing { offset, segments, hash: Some(hash) }),
        Some(query::Upload::Finished { .. } | query::Upload::Cancelled) => Err(PushError::UploadUnknown),
    }
}

/// The answer to a client that finishes again, having lost the first answer: true only as long as the blob is there and
/// whole. The grace begins again, as it does with every finish.
async fn still_there(session: &Session, repository: &RepositoryName, digest: Digest) -> Result<(), PushError> {
    let query = GetBlob { repository: repository.clone(), digest, linearizable: true, for_push: true };
    match session.query(query).await? {
        Found::Here(blob) if !blob.damaged => {}
        Found::Here(_) | Found::Nothing | Found::NoRepository => return Err(PushError::UploadUnknown),
    }
    match session.submit(Command::RenewLink(LinkName { repository: repository.clone(), digest })).await {
        Err(IndexError::Refused { refusal: Refusal::BlobUnknown { .. }, .. }) => Err(PushError::UploadUnknown),
        other => Ok(other.map(|_| ())?),
    }
}

fn check_claim(claim: Option<Claim>, offset: u64) -> Result<(), PushError> {
    match claim {
        Some(claim) if claim.start != offset => Err(PushError::Offset { offset }),
        _ => Ok(()),
    }
}

fn resume(standing: &Standing, algorithm: Algorithm) -> Result<Hasher, PushError> {
    match &standing.hash {
        Some(saved) => Hasher::restore(saved).map_err(|error| PushError::Hash(error.into())),
        None => Ok(Hasher::new(algorithm)),
    }
}

async fn receive_after(
    session: &Session,
    offset: u64,
    hasher: Hasher,
    body: RequestBody,
) -> Result<Received, PushError> {
    let _running = session.app.metrics.upload_running();
    let inline = session.app.config.blobs.inline_limit.saturating_sub(offset);
    Ok(receive(session.app.store.as_ref(), new_key(session)?, inline, hasher, body).await?)
}

fn new_key(session: &Session) -> Result<ObjectKey, PushError> {
    let mut random = [0; 16];
    crate::random::fill(&mut random).map_err(|error| PushError::Hash(error.into()))?;
    let cluster = session.app.index.cluster();
    Ok(ObjectKey::new(&cluster.id, cluster.epoch, session.app.index.time(), u128::from_le_bytes(random)))
}

/// Records what was received as the next segment; when the client vanished, what came before that.
async fn record(
    session: &Session,
    repository: &RepositoryName,
    upload: &Upload,
    offset: u64,
    mut received: Received,
) -> Result<u64, PushError> {
    let ending = std::mem::replace(&mut received.ending, Ending::Whole);
    let hash = received.hasher.save();
    let after = match received.keep().await? {
        None => offset,
        Some(segment) => {
            let key = key_of(&segment);
            let record = RecordUpload {
                repository: repository.clone(),
                upload: upload.id.clone(),
                expected_offset: offset,
                segment,
                hash,
                expires: upload.expires(session.app.config.uploads.ttl_seconds),
            };
            match submit(session, Command::RecordUpload(record), key).await? {
                Outcome::Upload { offset } => offset,
                _ => offset,
            }
        }
    };
    match ending {
        Ending::Whole => Ok(after),
        Ending::Broken(error) => Err(PushError::Body(error)),
    }
}

/// Keeps what was received if all came and the digest is right; else removes it.
async fn keep_if_right(received: Received, expected: Digest, size: u64) -> Result<Option<Segment>, PushError> {
    let actual = received.hasher.digest().map_err(|error| PushError::Hash(error.into()));
    let wrong = match (&received.ending, actual) {
        (Ending::Whole, Ok(_)) if received.length != size => {
            Some(PushError::Size { expected: size, actual: received.length })
        }
        (Ending::Whole, Ok(actual)) if actual != expected => {
            Some(PushError::Digest { expected: Box::new(expected), actual: Box::new(actual) })
        }
        (Ending::Broken(error), Ok(_)) => Some(PushError::Body(error.to_string().into())),
        (_, Err(error)) => Some(error),
        (Ending::Whole, Ok(_)) => None,
    };
    match wrong {
        None => Ok(received.keep().await?),
        Some(error) => {
            received.discard().await;
            Err(error)
        }
    }
}

async fn commit_blob(session: &Session, commit: CommitBlob) -> Result<(), PushError> {
    let key = commit.segment.as_ref().and_then(key_of);
    submit(session, Command::CommitBlob(commit), key).await.map(|_| ())
}

/// Submits a command that names a new object; when the index certainly did not take it, the object is deleted.
async fn submit(session: &Session, command: Command, key: Option<ObjectKey>) -> Result<Outcome, PushError> {
    crash::point("push::upload::before_entry");
    let result = session.submit(command).await;
    crash::point("push::upload::after_entry");
    if let (Err(error), Some(key)) = (&result, key)
        && error.is_certain()
        && let Err(error) = session.app.store.delete(&key).await
    {
        tracing::warn!(%key, %error, "could not delete an object that nothing refers to; it will be found as an orphan");
    }
    Ok(result?)
}

fn key_of(segment: &Segment) -> Option<ObjectKey> {
    match &segment.place {
        Place::Object(key) => Some(key.clone()),
        Place::Inline(_) => None,
    }
}

/// Hashes what was recorded with another algorithm. A damaged byte gives a digest that does not match.
async fn hash_again(session: &Session, segments: &[Segment], algorithm: Algorithm) -> Result<Hasher, PushError> {
    let mut hasher = Hasher::new(algorithm);
    for segment in segments {
        match &segment.place {
            Place::Inline(bytes) => hasher.update(bytes),
            Place::Object(key) => {
                let mut stream = session.app.store.read(key, 0..segment.length).await?;
                while let Some(bytes) = stream.next().await {
                    hasher = update(hasher, bytes?).await?;
                }
            }
        }
    }
    Ok(hasher)
}

async fn update(mut hasher: Hasher, bytes: Bytes) -> Result<Hasher, PushError> {
    let run = tokio::task::spawn_blocking(move || {
        hasher.update(&bytes);
        hasher
    });
    run.await.map_err(|error| PushError::Hash(error.into()))
}
