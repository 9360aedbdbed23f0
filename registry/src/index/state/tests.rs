//! Tests of the state machine, entry by entry: a small world of commands with a clock of its own.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod audit;
mod backups;
mod deleting;
mod levels;
mod pushing;
mod quotas;
mod requests;

use bytes::Bytes;

use super::apply;
use super::records::{MemoryRecords, Transaction};
use crate::blobs::ObjectKey;
use crate::blobs::checksum::Checksums;
use crate::index::command::{
    Bootstrap, Command, CommitBlob, Condition, DeleteManifest, DeleteTag, Expire, FinishedUpload, HashState, LinkName,
    Outcome, Part, Place, Policy, Proposal, PutManifest, RecordUpload, Refusal, Reply, RequestId, Segment, Time,
    UploadId,
};
use crate::index::query::{DueObjects, GetStatus, KnownObjects, Query, Status};
use crate::oci::digest::{Algorithm, Digest};
use crate::oci::name::RepositoryName;
use crate::oci::reference::Tag;

/// 2026-01-01.
const START: u64 = 1_767_225_600_000;
const HOUR: u64 = 3_600_000;

/// A state machine, its clock and its log position.
struct World {
    records: MemoryRecords,
    now: Time,
    position: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self::empty();
        world.ok(bootstrap("here"));
        world
    }

    fn with(policy: Policy) -> Self {
        let mut world = Self::new();
        world.ok(Command::SetPolicy(policy));
        world
    }

    fn empty() -> Self {
        Self { records: MemoryRecords::default(), now: Time(START), position: 0 }
    }

    fn apply(&mut self, proposal: &Proposal) -> Reply {
        self.position += 1;
        let mut transaction = Transaction::new(&self.records);
        let reply = apply(&mut transaction, self.position, proposal).unwrap();
        let changes: Vec<_> = transaction.into_changes().collect();
        self.records.write(changes);
        reply
    }

    fn proposal(&self, command: Command) -> Proposal {
        let request = RequestId::new(self.now, u128::from(self.position + 1) << 64);
        Proposal { time: self.now, request, who: Some("me".into()), command }
    }

    fn run(&mut self, command: Command) -> Reply {
        self.apply(&self.proposal(command))
    }

    fn ok(&mut self, command: Command) -> Outcome {
        self.run(command).unwrap()
    }

    fn refused(&mut self, command: Command) -> Refusal {
        let before = self.content();
        let refusal = self.run(command).unwrap_err();
        assert_eq!(before, self.content(), "a refused command changed something");
        refusal
    }

    /// Everything but what every entry moves: requests and the clock.
    fn content(&self) -> Vec<(String, Bytes)> {
        self.records
            .all()
            .filter(|((table, key), _)| *table != super::records::Table::Requests && key.as_slice() != b"clock")
            .map(|((table, key), value)| (format!("{table:?} {}", String::from_utf8_lossy(key)), value.clone()))
            .collect()
    }

    fn later(&mut self, milliseconds: u64) {
        self.now = self.now.after(milliseconds);
    }

    fn ask<Q: Query>(&self, query: Q) -> Q::Answer {
        query.answer(&self.records).unwrap()
    }

    fn status(&self) -> Status {
        self.ask(GetStatus)
    }

    /// Lets everything happen that is due.
    fn expire(&mut self) -> u32 {
        let mut total = 0;
        loop {
            match self.ok(Command::Expire(Expire { limit: 3 })) {
                Outcome::Expired { done, more } => {
                    total += done;
                    if !more {
                        return total;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn due_objects(&mut self) -> Vec<ObjectKey> {
        self.ok(Command::Expire(Expire { limit: 0 }));
        self.ask(DueObjects { limit: 100, archived: None })
    }

    fn is_known(&self, key: &ObjectKey) -> bool {
        self.ask(KnownObjects { keys: vec![key.clone()] }) == [key.clone()]
    }

    fn push_blob(&mut self, repository: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        self.ok(commit(repository, digest, Some(inline(content))));
        digest
    }

    /// Pushes an image of one blob, tagged.
    fn push_image(&mut self, repository: &str, content: &[u8], tags: &[&str]) -> Digest {
        let blob = self.push_blob(repository, content);
        let put = manifest(repository, content, &[(blob, content.len())], &[], tags);
        let digest = put.digest;
        self.ok(Command::PutManifest(Box::new(put)));
        digest
    }
}

fn bootstrap(cluster: &str) -> Command {
    Command::Bootstrap(Bootstrap { cluster: cluster.into(), epoch: 1, upload_key: Bytes::from_static(&[7; 32]) })
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn object(now: Time, number: u128) -> ObjectKey {
    ObjectKey::new("here", 1, now, number)
}

fn inline(content: &[u8]) -> Segment {
    Segment {
        length: content.len() as u64,
        place: Place::Inline(Bytes::copy_from_slice(content)),
        sums: Checksums::of(content),
    }
}

fn stored(content: &[u8], key: &ObjectKey) -> Segment {
    Segment { place: Place::Object(key.clone()), ..inline(content) }
}

fn commit(repository: &str, digest: Digest, segment: Option<Segment>) -> Command {
    let size = segment.as_ref().map_or(0, |segment| segment.length);
    Command::CommitBlob(CommitBlob { repository: name(repository), digest, size, upload: None, segment })
}

fn link(repository: &str, digest: Digest) -> LinkName {
    LinkName { repository: name(repository), digest }
}

fn manifest(
    repository: &str,
    salt: &[u8],
    blobs: &[(Digest, usize)],
    children: &[(Digest, usize)],
    tags: &[&str],
) -> PutManifest {
    let bytes = Bytes::from(format!("manifest of {} {blobs:?} {children:?}", String::from_utf8_lossy(salt)));
    let parts = |list: &[(Digest, usize)]| {
        list.iter().map(|(digest, size)| Part { digest: *digest, size: *size as u64 }).collect()
    };
    PutManifest {
        repository: name(repository),
        digest: Digest::of(&bytes),
        media_type: "application/vnd.oci.image.manifest.v1+json".into(),
        bytes,
        artifact_type: None,
        subject: None,
        annotations: std::collections::BTreeMap::new(),
        blobs: parts(blobs),
        foreign: Vec::new(),
        children: parts(children),
        tags: tags.iter().map(|text| tag(text)).collect(),
        condition: None,
        sparse: false,
    }
}

fn put(manifest: PutManifest) -> Command {
    Command::PutManifest(Box::new(manifest))
}

fn delete_tag(repository: &str, text: &str, condition: Option<Condition>) -> Command {
    Command::DeleteTag(DeleteTag { repository: name(repository), tag: tag(text), condition })
}

fn delete_manifest(repository: &str, digest: Digest) -> Command {
    Command::DeleteManifest(DeleteManifest { repository: name(repository), digest })
}

fn upload(id: &str) -> UploadId {
    UploadId(id.into())
}

fn record(repository: &str, id: &str, expected_offset: u64, segment: Segment) -> Command {
    let hash = HashState {
        algorithm: Algorithm::Sha256,
        length: expected_offset + segment.length,
        state: Bytes::new(),
        sum: 0,
    };
    Command::RecordUpload(RecordUpload {
        repository: name(repository),
        upload: upload(id),
        expected_offset,
        segment,
        hash,
        expires: Time(START + 24 * HOUR),
    })
}

fn finish(repository: &str, id: &str, expected_offset: u64, digest: Digest, size: u64) -> Command {
    Command::CommitBlob(CommitBlob {
        repository: name(repository),
        digest,
        size,
        upload: Some(FinishedUpload { upload: upload(id), expected_offset, expires: Time(START + 24 * HOUR) }),
        segment: None,
    })
}
