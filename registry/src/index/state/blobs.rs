//! Blobs: where the bytes of a digest are. One record for all repositories; [`super::links`] says who has it.

use serde::{Deserialize, Serialize};

use super::objects::{self, Of};
use super::records::{Records, RecordsError, Table, Transaction, load};
use super::uploads::{self, State};
use super::{keys, links, settings};
use crate::index::command::{
    CommitBlob, MarkDamaged, MountBlob, Outcome, Policy, Refusal, ReplaceSegments, Reply, Segment, Time,
};
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;

/// Kind of [`Table::Counts`]: links of a blob.
pub const LINKS: u8 = b'l';

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    pub size: u64,
    pub segments: Vec<Segment>,
    /// A read found wrong bytes: the next push replaces them.
    #[serde(default)]
    pub damaged: bool,
}

pub fn get(records: &dyn Records, digest: &Digest) -> Result<Option<Blob>, RecordsError> {
    load(records, Table::Blobs, &keys::digest(digest))
}

fn save(transaction: &mut Transaction<'_>, digest: &Digest, blob: &Blob) -> Result<(), RecordsError> {
    transaction.save(Table::Blobs, &keys::digest(digest), blob);
    objects::assign(transaction, &blob.segments, Of::Blob(digest))
}

/// The last link is gone: the record goes and its objects are condemned. A later push makes new objects.
pub fn remove(
    transaction: &mut Transaction<'_>,
    now: Time,
    policy: &Policy,
    digest: &Digest,
) -> Result<(), RecordsError> {
    let Some(blob) = get(transaction, digest)? else { return Ok(()) };
    transaction.remove(Table::Blobs, &keys::digest(digest));
    objects::condemn(transaction, now, policy, &blob.segments)?;
    settings::count(transaction, |counts| {
        counts.blobs -= 1;
        counts.blob_bytes = counts.blob_bytes.saturating_sub(blob.size);
    })
}

/// Whether the repository has the blob, undamaged.
fn is_whole(records: &dyn Records, name: &RepositoryName, digest: &Digest) -> Result<bool, RecordsError> {
    Ok(links::get(records, name, digest)?.is_some() && get(records, digest)?.is_some_and(|blob| !blob.damaged))
}

pub fn commit(transaction: &mut Transaction<'_>, now: Time, commit: &CommitBlob) -> Result<Reply, RecordsError> {
    let policy = settings::policy(transaction)?;
    let mut segments = Vec::new();
    if let Some(finished) = &commit.upload {
        match uploads::at(transaction, now, &commit.repository, &finished.upload, finished.expires)? {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(None) if finished.expected_offset == 0 => {}
            Ok(None) => return Ok(Err(Refusal::OffsetMismatch { offset: 0 })),
            Ok(Some(upload)) => match upload.state {
                // The answer to the first try was lost. What this one brought is not needed.
                State::Finished(digest)
                    if digest == commit.digest && is_whole(transaction, &commit.repository, &digest)? =>
                {
                    objects::condemn(transaction, now, &policy, commit.segment.as_slice())?;
                    links::add_or_renew(transaction, now, &policy, &commit.repository, &digest, commit.size)?;
                    return Ok(Ok(Outcome::Blob { known: true }));
                }
                State::Finished(_) | State::Cancelled => return Ok(Err(Refusal::UploadUnknown)),
                State::Open if upload.offset != finished.expected_offset => {
                    return Ok(Err(Refusal::OffsetMismatch { offset: upload.offset }));
                }
                State::Open => segments = upload.segments,
            },
        }
    }
    if let Some(segment) = &commit.segment {
        if let Err(refusal) = objects::check_new(transaction, segment)? {
            return Ok(Err(refusal));
        }
        segments.push(segment.clone());
    }
    if segments.iter().map(|segment| segment.length).sum::<u64>() != commit.size {
        return Ok(Err(Refusal::Outdated));
    }
    if let Some(finished) = &commit.upload {
        uploads::end(transaction, &commit.repository, finished, State::Finished(commit.digest))?;
    }
    let known = match get(transaction, &commit.digest)? {
        Some(blob) if !blob.damaged => {
            objects::condemn(transaction, now, &policy, &segments)?;
            true
        }
        Some(damaged) => {
            objects::condemn(transaction, now, &policy, &damaged.segments)?;
            save(transaction, &commit.digest, &Blob { size: commit.size, segments, damaged: false })?;
            false
        }
        None => {
            settings::count(transaction, |counts| {
                counts.blobs += 1;
                counts.blob_bytes += commit.size;
            })?;
            save(transaction, &commit.digest, &Blob { size: commit.size, segments, damaged: false })?;
            false
        }
    };
    links::add_or_renew(transaction, now, &policy, &commit.repository, &commit.digest, commit.size)?;
    Ok(Ok(Outcome::Blob { known }))
}

pub fn mount(transaction: &mut Transaction<'_>, now: Time, mount: &MountBlob) -> Result<Reply, RecordsError> {
    let Some(blob) = get(transaction, &mount.digest)? else { return Ok(Err(Refusal::MountSourceUnknown)) };
    let policy = settings::policy(transaction)?;
    for from in std::iter::once(&mount.repository).chain(&mount.from) {
        if links::get(transaction, from, &mount.digest)?.is_some() {
            links::add_or_renew(transaction, now, &policy, from, &mount.digest, blob.size)?;
            links::add_or_renew(transaction, now, &policy, &mount.repository, &mount.digest, blob.size)?;
            return Ok(Ok(Outcome::Mounted { from: from.clone() }));
        }
    }
    Ok(Err(Refusal::MountSourceUnknown))
}

pub fn mark_damaged(transaction: &mut Transaction<'_>, mark: &MarkDamaged) -> Result<Reply, RecordsError> {
    match get(transaction, &mark.digest)? {
        Some(mut blob) if objects::keys(&blob.segments).any(|key| *key == mark.key) => {
            blob.damaged = true;
            save(transaction, &mark.digest, &blob)?;
            Ok(Ok(Outcome::Done))
        }
        _ => Ok(Err(Refusal::Outdated)),
    }
}

/// Swaps the segments of a blob for one object with the same bytes; readers of the old ones have the pause.
pub fn replace(transaction: &mut Transaction<'_>, now: Time, replace: &ReplaceSegments) -> Result<Reply, RecordsError> {
    let Some(blob) = get(transaction, &replace.digest)? else {
        return Ok(Err(Refusal::BlobUnknown { digest: replace.digest }));
    };
    if !objects::keys(&blob.segments).eq(&replace.old) || blob.size != replace.new.length {
        return Ok(Err(Refusal::Outdated));
    }
    if let Err(refusal) = objects::check_new(transaction, &replace.new)? {
        return Ok(Err(refusal));
    }
    let policy = settings::policy(transaction)?;
    objects::condemn(transaction, now, &policy, &blob.segments)?;
    save(
        transaction,
        &replace.digest,
        &Blob { size: blob.size, segments: vec![replace.new.clone()], damaged: blob.damaged },
    )?;
    Ok(Ok(Outcome::Done))
}
