//! The reading side: each query answered from one view of the tables.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::records::{Records, RecordsError, Table, decode, exists, past};
use super::{backups, blobs, keys, links, manifests, objects, queue, referrers, repositories, settings, tags, uploads};
use crate::blobs::ObjectKey;
use crate::index::query::{
    Blob, BlobRepositories, DueObjects, Found, GetBlob, GetManifest, GetStatus, GetUpload, Held, KnownObjects,
    ListBackups, ListBlobs, ListReferrers, ListRepositories, ListTags, Manifest, Page, PinnedBackup, Query, Referrer,
    Status, StoredBlob, TagChange, TagHistory, Upload,
};
use crate::oci::name::RepositoryName;
use crate::oci::reference::{Reference, Tag};

/// What is said when something was not found: is it the thing or the repository that is missing?
fn nothing<T>(records: &dyn Records, name: &RepositoryName) -> Result<Found<T>, RecordsError> {
    Ok(if repositories::is_there(records, name)? { Found::Nothing } else { Found::NoRepository })
}

impl Query for GetManifest {
    type Answer = Found<Manifest>;
    const NAME: &'static str = "get_manifest";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let digest = match &self.reference {
            Reference::Digest(digest) => *digest,
            Reference::Tag(tag) => match tags::get(records, &self.repository, tag)? {
                Some(record) => record.digest,
                None => return nothing(records, &self.repository),
            },
        };
        let Some(record) = manifests::get(records, &self.repository, &digest)? else {
            return nothing(records, &self.repository);
        };
        let bytes = if self.bytes && self.held != Some(digest) {
            records.get(Table::ManifestBytes, &keys::digest(&digest))?
        } else {
            None
        };
        Ok(Found::Here(Manifest {
            digest,
            media_type: record.media_type,
            size: record.size,
            subject: record.subject,
            time: record.time,
            bytes,
        }))
    }

    fn may_settle(&self) -> bool {
        matches!(self.reference, Reference::Digest(_))
    }

    fn decides(&self) -> bool {
        !self.bytes
    }

    fn as_it_stands(&self) -> bool {
        self.as_it_stands
    }

    fn settled(&self, answer: &Self::Answer) -> bool {
        self.may_settle() && matches!(answer, Found::Here(_))
    }

    fn leave_out(&mut self, held: &dyn Held) -> Option<Bytes> {
        let guess = if self.bytes { held.guess(&self.repository, &self.reference) } else { None };
        let bytes = held.get(&guess?)?;
        self.held = guess;
        Some(bytes)
    }

    fn fill_in(&self, answer: &mut Self::Answer, left_out: Option<Bytes>, held: &dyn Held) {
        let Found::Here(manifest) = answer else { return };
        match &manifest.bytes {
            Some(bytes) => held.keep(&self.repository, &self.reference, manifest.digest, bytes.clone()),
            None if self.bytes => manifest.bytes = left_out,
            None => {}
        }
    }
}

impl Query for GetBlob {
    type Answer = Found<Blob>;
    const NAME: &'static str = "get_blob";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let Some(link) = links::get(records, &self.repository, &self.digest)? else {
            return nothing(records, &self.repository);
        };
        let Some(blob) = blobs::get(records, &self.digest)? else {
            return nothing(records, &self.repository);
        };
        Ok(Found::Here(Blob {
            digest: self.digest,
            size: blob.size,
            segments: blob.segments,
            damaged: blob.damaged,
            unreferenced_since: link.unreferenced_since,
            due: link.due,
        }))
    }

    fn may_settle(&self) -> bool {
        !self.linearizable
    }

    fn settled(&self, answer: &Self::Answer) -> bool {
        self.may_settle() && matches!(answer, Found::Here(_))
    }
}

impl Query for GetUpload {
    type Answer = Option<Upload>;
    const NAME: &'static str = "get_upload";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let Some(upload) = uploads::get(records, &self.upload)? else { return Ok(None) };
        if upload.repository != self.repository {
            return Ok(Some(Upload::Cancelled));
        }
        Ok(Some(match (upload.state, upload.hash) {
            (uploads::State::Open, Some(hash)) => {
                Upload::Open { offset: upload.offset, segments: upload.segments, hash }
            }
            (uploads::State::Finished(digest), _) => Upload::Finished { digest },
            (uploads::State::Open | uploads::State::Cancelled, _) => Upload::Cancelled,
        }))
    }
}

/// Lists the ends of the keys that begin with `prefix`, after `last`.
pub(super) fn list<T>(
    records: &dyn Records,
    table: Table,
    prefix: &[u8],
    last: Option<&[u8]>,
    limit: usize,
    read: impl Fn(&[u8], &[u8]) -> Result<T, RecordsError>,
) -> Result<Page<T>, RecordsError> {
    let mut from = prefix.to_vec();
    if let Some(last) = last {
        from.extend_from_slice(last);
        from.push(0);
    }
    let mut page = Page { items: Vec::new(), more: false };
    let mut result = Ok(());
    records.scan(table, &from, &past(prefix), false, &mut |key, value| {
        if page.items.len() == limit {
            page.more = true;
            return ControlFlow::Break(());
        }
        match read(&key[prefix.len()..], value) {
            Ok(item) => {
                page.items.push(item);
                ControlFlow::Continue(())
            }
            Err(error) => {
                result = Err(error);
                ControlFlow::Break(())
            }
        }
    })?;
    result.map(|()| page)
}

/// Parses the text at the end of a key.
pub(super) fn text<T: std::str::FromStr>(table: Table, key: &[u8]) -> Result<T, RecordsError> {
    std::str::from_utf8(key)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| RecordsError::Damaged { table, reason: "the key does not parse".into() })
}

impl Query for ListTags {
    type Answer = Option<Page<Tag>>;
    const NAME: &'static str = "list_tags";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        if !repositories::is_there(records, &self.repository)? {
            return Ok(None);
        }
        let prefix = keys::repository(&self.repository);
        let last = self.last.as_ref().map(String::as_bytes);
        list(records, Table::Tags, &prefix, last, self.limit, |key, _| text(Table::Tags, key)).map(Some)
    }
}

impl Query for ListRepositories {
    type Answer = Page<RepositoryName>;
    const NAME: &'static str = "list_repositories";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let last = self.last.as_ref().map(String::as_bytes);
        list(records, Table::Repositories, &[], last, self.limit, |key, _| text(Table::Repositories, key))
    }
}

impl Query for ListReferrers {
    type Answer = Page<Referrer>;
    const NAME: &'static str = "list_referrers";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        referrers::list(records, self)
    }
}

impl Query for TagHistory {
    type Answer = Found<Vec<TagChange>>;
    const NAME: &'static str = "tag_history";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let changes = tags::history(records, &self.repository, &self.tag, self.limit)?;
        if changes.is_empty() { nothing(records, &self.repository) } else { Ok(Found::Here(changes)) }
    }
}

impl Query for BlobRepositories {
    type Answer = Vec<RepositoryName>;
    const NAME: &'static str = "blob_repositories";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let prefix = keys::digest(&self.digest);
        let page =
            list(records, Table::LinksByDigest, &prefix, None, self.limit, |key, _| text(Table::LinksByDigest, key))?;
        Ok(page.items)
    }
}

/// Visits the repositories that hold a blob, in byte order, until told to stop.
pub(super) fn holders(
    records: &dyn Records,
    digest: &crate::oci::digest::Digest,
    visit: &mut dyn FnMut(RepositoryName) -> ControlFlow<()>,
) -> Result<(), RecordsError> {
    let prefix = keys::digest(digest);
    let mut result = Ok(());
    records.scan(Table::LinksByDigest, &prefix, &past(&prefix), false, &mut |key, _| match text(
        Table::LinksByDigest,
        &key[prefix.len()..],
    ) {
        Ok(name) => visit(name),
        Err(error) => {
            result = Err(error);
            ControlFlow::Break(())
        }
    })?;
    result
}

impl Query for DueObjects {
    type Answer = Vec<ObjectKey>;
    const NAME: &'static str = "due_objects";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let holds = backups::holds(records, self.archived)?;
        objects::due(records, settings::clock(records)?.time, &holds, self.limit)
    }
}

impl Query for ListBackups {
    type Answer = Vec<PinnedBackup>;

    const NAME: &'static str = "list_backups";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        backups::all(records)
    }
}

impl Query for KnownObjects {
    type Answer = Vec<ObjectKey>;
    const NAME: &'static str = "known_objects";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let mut known = Vec::new();
        for key in &self.keys {
            if exists(records, Table::Objects, key.0.as_bytes())? {
                known.push(key.clone());
            }
        }
        Ok(known)
    }
}

impl Query for ListBlobs {
    type Answer = Page<StoredBlob>;
    const NAME: &'static str = "list_blobs";

    fn scans(&self) -> bool {
        true
    }

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let last = self.last.as_ref().map(keys::digest);
        list(records, Table::Blobs, &[], last.as_deref(), self.limit, |key, value| {
            let digest = keys::digest_at(key)
                .ok_or_else(|| RecordsError::Damaged { table: Table::Blobs, reason: "not a digest".into() })?;
            let blob: blobs::Blob = decode(Table::Blobs, value)?;
            Ok(StoredBlob { digest, size: blob.size, segments: blob.segments, damaged: blob.damaged })
        })
    }
}

impl Query for GetStatus {
    type Answer = Status;
    const NAME: &'static str = "get_status";

    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError> {
        let clock = settings::clock(records)?;
        Ok(Status {
            cluster: settings::cluster(records)?,
            policy: settings::policy(records)?,
            time: clock.time,
            next_due: queue::next_due(records)?,
            next_condemned: queue::next_condemned(records)?,
            closed_day: clock.closed_day,
            counts: settings::counts(records)?,
            level: settings::level(records)?,
        })
    }
}
