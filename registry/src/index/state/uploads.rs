//! Uploads in progress. A row appears with the first recorded segment, or with the end of an upload, and stays until
//! the upload expires, so that nothing revives what was finished or cancelled.

use serde::{Deserialize, Serialize};

use super::objects::{self, Of};
use super::queue::{self, Item};
use super::records::{Records, RecordsError, Table, Transaction, load};
use super::settings;
use crate::index::command::{
    CancelUpload, FinishedUpload, HashState, Outcome, Policy, RecordUpload, Refusal, Reply, Segment, Time, UploadId,
};
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub repository: RepositoryName,
    pub offset: u64,
    pub segments: Vec<Segment>,
    /// None once it is ended.
    pub hash: Option<HashState>,
    pub expires: Time,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Open,
    Finished(Digest),
    Cancelled,
}

pub fn get(records: &dyn Records, id: &UploadId) -> Result<Option<Upload>, RecordsError> {
    load(records, Table::Uploads, id.0.as_bytes())
}

fn save(transaction: &mut Transaction<'_>, id: &UploadId, upload: &Upload) {
    transaction.save(Table::Uploads, id.0.as_bytes(), upload);
}

/// The row of an upload of this repository; none when nothing was recorded yet. Past its end it is unknown.
pub fn at(
    transaction: &Transaction<'_>,
    now: Time,
    repository: &RepositoryName,
    id: &UploadId,
    expires: Time,
) -> Result<Result<Option<Upload>, Refusal>, RecordsError> {
    Ok(match get(transaction, id)? {
        _ if expires <= now => Err(Refusal::UploadUnknown),
        Some(upload) if upload.repository != *repository => Err(Refusal::UploadUnknown),
        found => Ok(found),
    })
}

fn add(transaction: &mut Transaction<'_>, id: &UploadId, upload: &Upload) -> Result<(), RecordsError> {
    queue::push(transaction, upload.expires, &Item::Upload(id.clone()));
    save(transaction, id, upload);
    settings::count(transaction, |counts| counts.uploads += 1)
}

pub fn record(transaction: &mut Transaction<'_>, now: Time, record: &RecordUpload) -> Result<Reply, RecordsError> {
    let row = match at(transaction, now, &record.repository, &record.upload, record.expires)? {
        Err(refusal) => return Ok(Err(refusal)),
        Ok(row) => row,
    };
    let offset = match &row {
        Some(upload) if upload.state != State::Open => return Ok(Err(Refusal::UploadUnknown)),
        Some(upload) => upload.offset,
        None => 0,
    };
    if offset != record.expected_offset {
        return Ok(Err(Refusal::OffsetMismatch { offset }));
    }
    if let Err(refusal) = objects::check_new(transaction, &record.segment)? {
        return Ok(Err(refusal));
    }
    let new = row.is_none();
    let mut upload = row.unwrap_or_else(|| Upload {
        repository: record.repository.clone(),
        offset: 0,
        segments: Vec::new(),
        hash: None,
        expires: record.expires,
        state: State::Open,
    });
    upload.offset += record.segment.length;
    upload.segments.push(record.segment.clone());
    upload.hash = Some(record.hash.clone());
    objects::assign(transaction, std::slice::from_ref(&record.segment), Of::Upload(&record.upload))?;
    if new {
        add(transaction, &record.upload, &upload)?;
    } else {
        save(transaction, &record.upload, &upload);
    }
    Ok(Ok(Outcome::Upload { offset: upload.offset }))
}

/// Ends an upload that [`at`] gave: its segments belong to somebody else now, or are condemned.
pub fn end(
    transaction: &mut Transaction<'_>,
    repository: &RepositoryName,
    finished: &FinishedUpload,
    state: State,
) -> Result<(), RecordsError> {
    let ended = Upload {
        repository: repository.clone(),
        offset: finished.expected_offset,
        segments: Vec::new(),
        hash: None,
        expires: finished.expires,
        state,
    };
    if get(transaction, &finished.upload)?.is_some() {
        save(transaction, &finished.upload, &ended);
        Ok(())
    } else {
        add(transaction, &finished.upload, &ended)
    }
}

pub fn cancel(transaction: &mut Transaction<'_>, now: Time, cancel: &CancelUpload) -> Result<Reply, RecordsError> {
    let row = match at(transaction, now, &cancel.repository, &cancel.upload, cancel.expires)? {
        Err(refusal) => return Ok(Err(refusal)),
        Ok(row) => row,
    };
    let (offset, segments) = match row {
        Some(upload) if upload.state != State::Open => return Ok(Err(Refusal::UploadUnknown)),
        Some(upload) => (upload.offset, upload.segments),
        None => (0, Vec::new()),
    };
    let policy = settings::policy(transaction)?;
    objects::condemn(transaction, now, &policy, &segments)?;
    let finished = FinishedUpload { upload: cancel.upload.clone(), expected_offset: offset, expires: cancel.expires };
    end(transaction, &cancel.repository, &finished, State::Cancelled)?;
    Ok(Ok(Outcome::Done))
}

/// The time of an upload is over: what it recorded is condemned.
pub fn expire(
    transaction: &mut Transaction<'_>,
    now: Time,
    policy: &Policy,
    id: &UploadId,
) -> Result<(), RecordsError> {
    let Some(upload) = get(transaction, id)? else { return Ok(()) };
    objects::condemn(transaction, now, policy, &upload.segments)?;
    transaction.remove(Table::Uploads, id.0.as_bytes());
    settings::count(transaction, |counts| counts.uploads -= 1)
}
