//! Commands: every change that may be proposed to the index, and the replies to them.
//!
//! These types are a wire format and a disk format at once (entries of the log hold them). A field may be added with
//! `#[serde(default)]` or as an `Option`; nothing may be renamed or removed, and a new variant needs a new feature
//! level. `testdata/` keeps a sample of each released form.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::access::{AccessChange, OnBehalf};
pub use super::refusal::Refusal;
use crate::blobs::ObjectKey;
use crate::blobs::checksum::Checksums;
use crate::oci::digest::{Algorithm, Digest};
use crate::oci::name::RepositoryName;
use crate::oci::reference::Tag;

/// Milliseconds since the Unix epoch, by the clock of the index: stamped into the entry by the leader, never going back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
    /// This time, `milliseconds` later.
    #[must_use]
    pub const fn after(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// This time, `milliseconds` earlier.
    #[must_use]
    pub const fn before(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_sub(milliseconds))
    }
}

/// Names one submission of a command. A retry carries the same id, so that it is answered and not applied again.
/// The id begins with the index time as its sender knows it, which bounds how long replies must be kept: an id that is
/// more than five minutes behind is refused as [`Refusal::RequestTooOld`]. So a sender that was idle asks for the index
/// time before it makes an id (on the leader that is its running clock, not the time of the last entry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u128);

impl RequestId {
    /// An id for a sender that last saw the index time `seen`.
    pub const fn new(seen: Time, random: u128) -> Self {
        Self(((seen.0 as u128) << 80) | (random >> 48))
    }

    /// The index time its sender last saw.
    pub const fn seen(self) -> Time {
        Time((self.0 >> 80) as u64)
    }
}

/// A command as it stands in the log: what the leader stamped, and what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub time: Time,
    pub request: RequestId,
    /// Who asked, for history and audit; none for the index's own housekeeping and for anonymous clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    pub command: Command,
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.command.name(), self.time.0)
    }
}

/// Identifies one upload to the index. What the client holds also carries a MAC; see `push::upload_id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadId(pub String);

/// A hash stopped in mid-stream, so that another process can go on. Opaque to the index; see `push::hash`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashState {
    pub algorithm: Algorithm,
    /// Bytes hashed so far.
    pub length: u64,
    pub state: Bytes,
    /// CRC32C of `state`: the hash crate detects only some damage.
    pub sum: u32,
}

/// A run of bytes of a blob, written once by one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub length: u64,
    pub place: Place,
    /// One CRC32C for each MiB of the segment.
    pub sums: Checksums,
}

/// Where the bytes of a segment are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    Object(ObjectKey),
    /// In the index itself: small blobs.
    Inline(Bytes),
}

/// A blob or a manifest that a manifest needs, with the size its descriptor claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub digest: Digest,
    pub size: u64,
}

/// A condition on the tag in the path (RFC 9110 §13.1), judged in the entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// `If-Match: "<digest>", …`: the tag points at one of these.
    Matches(Vec<Digest>),
    /// `If-Match: *`: the tag exists.
    Exists,
    /// `If-None-Match: *`: the tag does not exist.
    Absent,
    /// `If-None-Match: "<digest>", …`: the tag points at none of these.
    MatchesNot(Vec<Digest>),
}

/// What every member must agree on; proposed when the configuration differs from what is in force. Milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How long a link that no manifest references keeps its blob.
    pub grace: u64,
    /// How long a condemned object is left for readers that still hold its key.
    pub reader_pause: u64,
    /// Age after which a manifest without tag, parent or living subject is removed; none: never.
    #[serde(default)]
    pub untagged: Option<u64>,
    /// Entries of history kept for each tag, and for how long.
    pub history_count: u64,
    pub history_age: u64,
    pub events_age: u64,
}

impl Default for Policy {
    fn default() -> Self {
        const HOUR: u64 = 3_600_000;
        Self {
            grace: 24 * HOUR,
            reader_pause: HOUR,
            untagged: None,
            history_count: 100,
            history_age: 90 * 24 * HOUR,
            events_age: 7 * 24 * HOUR,
        }
    }
}

/// A change proposed to the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The first command of a cluster. Repeated with the same arguments it does nothing; with others it is refused.
    Bootstrap(Bootstrap),
    SetPolicy(Policy),
    /// Appends a segment to an upload, if the upload still stands where the sender believes.
    RecordUpload(RecordUpload),
    CancelUpload(CancelUpload),
    /// Makes an upload, or one posted body, a blob of the repository.
    CommitBlob(CommitBlob),
    /// Links a blob of another repository.
    MountBlob(MountBlob),
    /// Starts the grace of an unreferenced link again.
    RenewLink(LinkName),
    DeleteBlob(LinkName),
    PutManifest(Box<PutManifest>),
    DeleteTag(DeleteTag),
    DeleteManifest(DeleteManifest),
    /// Does what has come due, at most `limit` items.
    Expire(Expire),
    /// From now on no object of this day may be committed.
    CloseDay(CloseDay),
    /// These condemned objects are gone from the store.
    ForgetObjects(ForgetObjects),
    /// A read or a scrub found a blob damaged: the next push of it replaces its bytes.
    MarkDamaged(MarkDamaged),
    /// A blob of several segments was rewritten as one object.
    ReplaceSegments(ReplaceSegments),
    /// Begins a backup, or completes it: what it refers to is kept from here on.
    PinBackup(PinBackup),
    /// A backup is gone from the store.
    ForgetBackup(ForgetBackup),
    /// Puts a feature level in force. One that is in force already, or a lower one, changes nothing.
    RaiseLevel(RaiseLevel),
    /// Changes who may do what.
    Access(Box<AccessChange>),
    /// Another command, if this caller may do it.
    OnBehalf(Box<OnBehalf>),
    /// Does nothing but exist: a command that the release before does not know.
    #[cfg(feature = "next-level")]
    Note(Note),
}

impl Command {
    /// The name in logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bootstrap(_) => "bootstrap",
            Self::SetPolicy(_) => "set_policy",
            Self::RecordUpload(_) => "record_upload",
            Self::CancelUpload(_) => "cancel_upload",
            Self::CommitBlob(_) => "commit_blob",
            Self::MountBlob(_) => "mount_blob",
            Self::RenewLink(_) => "renew_link",
            Self::DeleteBlob(_) => "delete_blob",
            Self::PutManifest(_) => "put_manifest",
            Self::DeleteTag(_) => "delete_tag",
            Self::DeleteManifest(_) => "delete_manifest",
            Self::Expire(_) => "expire",
            Self::CloseDay(_) => "close_day",
            Self::ForgetObjects(_) => "forget_objects",
            Self::MarkDamaged(_) => "mark_damaged",
            Self::ReplaceSegments(_) => "replace_segments",
            Self::PinBackup(_) => "pin_backup",
            Self::ForgetBackup(_) => "forget_backup",
            Self::RaiseLevel(_) => "raise_level",
            Self::Access(change) => change.name(),
            Self::OnBehalf(it) => it.command.name(),
            #[cfg(feature = "next-level")]
            Self::Note(_) => "note",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    pub cluster: String,
    pub epoch: u64,
    /// The key that binds upload ids; 32 random bytes.
    pub upload_key: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordUpload {
    pub repository: RepositoryName,
    pub upload: UploadId,
    /// Where the upload must stand for this to be applied.
    pub expected_offset: u64,
    pub segment: Segment,
    /// The hash after this segment.
    pub hash: HashState,
    /// When the upload expires: counted from the birth time inside its id, so the same in every request.
    pub expires: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelUpload {
    pub repository: RepositoryName,
    pub upload: UploadId,
    pub expires: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitBlob {
    pub repository: RepositoryName,
    pub digest: Digest,
    /// The length of the whole blob.
    pub size: u64,
    /// The upload that is finished; none for a body posted in one request.
    pub upload: Option<FinishedUpload>,
    /// What came with this request, after the recorded segments; none when the body was empty.
    pub segment: Option<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedUpload {
    pub upload: UploadId,
    /// Where the recorded segments end that were hashed. Segments are only ever appended, so the offset names them.
    pub expected_offset: u64,
    pub expires: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountBlob {
    pub repository: RepositoryName,
    pub digest: Digest,
    /// Repositories that the caller may read; the first that holds the blob is the source.
    pub from: Vec<RepositoryName>,
}

/// One blob in one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkName {
    pub repository: RepositoryName,
    pub digest: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutManifest {
    pub repository: RepositoryName,
    pub digest: Digest,
    pub media_type: String,
    /// The exact bytes.
    pub bytes: Bytes,
    /// The artifact type of the referrers API: `artifactType`, else the media type of the config.
    pub artifact_type: Option<String>,
    pub subject: Option<Digest>,
    /// Shown with the referrer's descriptor; empty unless there is a subject.
    pub annotations: BTreeMap<String, String>,
    /// Config and layers that must be linked in the repository.
    pub blobs: Vec<Part>,
    /// Layers that may be missing, because clients can fetch them from elsewhere; kept while the manifest is, if linked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<Part>,
    /// Manifests that an image index lists.
    pub children: Vec<Part>,
    /// Tags that will point here. With a condition there is exactly one.
    pub tags: Vec<Tag>,
    pub condition: Option<Condition>,
    /// Blobs and children may be missing.
    pub sparse: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTag {
    pub repository: RepositoryName,
    pub tag: Tag,
    pub condition: Option<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteManifest {
    pub repository: RepositoryName,
    pub digest: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expire {
    pub limit: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseDay {
    /// `yyyymmdd`, as in object keys.
    pub day: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetObjects {
    pub keys: Vec<ObjectKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkDamaged {
    pub digest: Digest,
    /// The object that was found damaged: a blob that no longer uses it is left alone.
    pub key: ObjectKey,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaceSegments {
    pub digest: Digest,
    /// The segments that were read; anything else in the record means that somebody else was first.
    pub old: Vec<ObjectKey>,
    pub new: Segment,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinBackup {
    pub name: String,
    /// When the backup may go by itself; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_until: Option<Time>,
    /// None begins the backup; its snapshot, once it is whole, completes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<StoredSnapshot>,
}

/// A snapshot in the store; see `index::archive::names`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSnapshot {
    pub position: u64,
    pub term: u64,
    pub id: String,
    pub length: u64,
    pub sum: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetBackup {
    pub name: String,
    /// The position of its pin: another backup may have the name by now. None: whichever it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaiseLevel {
    pub level: u32,
}

#[cfg(feature = "next-level")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub text: String,
}

/// The answer of the state machine to one command.
pub type Reply = Result<Outcome, Refusal>;

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Done,
    /// The upload stands at `offset` now.
    Upload {
        offset: u64,
    },
    /// The blob is linked. `known`: its bytes were there before, and what this command brought is condemned.
    Blob {
        known: bool,
    },
    /// The blob was linked from this repository.
    Mounted {
        from: RepositoryName,
    },
    /// The manifest is stored; `existed` says whether this repository had it before.
    Manifest {
        existed: bool,
    },
    /// The tag pointed here when it was deleted.
    TagDeleted {
        digest: Digest,
    },
    /// `more`: some that is due was left for the next command.
    Expired {
        done: u32,
        more: bool,
    },
}
