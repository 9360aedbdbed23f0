//! Queries: every question that the rest of the program may ask the index. Each is answered from one consistent view
//! of the state by [`Query::answer`], a pure function; [`super::Index::query`] decides whether that view must be
//! brought up to date first.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::command::{HashState, Policy, Segment, StoredSnapshot, Time, UploadId};
use super::state::records::{Records, RecordsError};
use crate::blobs::ObjectKey;
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;
use crate::oci::reference::{Reference, Tag};

/// A question with a typed answer.
pub trait Query: Serialize + DeserializeOwned + Send + Sync + 'static {
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// Its name between processes; never changes.
    const NAME: &'static str;

    /// Answers from the state as it stands in `records`.
    ///
    /// # Errors
    /// Only when the records cannot be read; an absent thing is an answer.
    fn answer(&self, records: &dyn Records) -> Result<Self::Answer, RecordsError>;

    /// Whether an answer of this query can be settled at all: if not, it is not even looked for before the barrier.
    fn may_settle(&self) -> bool {
        false
    }

    /// Whether whoever is told that it is there leaves something out because of that, such as a push: then what is settled
    /// is not enough while there is a quorum to ask.
    fn decides(&self) -> bool {
        false
    }

    /// Whether many records may be visited: then it is answered away from the threads that serve connections.
    fn scans(&self) -> bool {
        false
    }

    /// Whether `answer` may be given although the state it was read from may be behind: true only for content named
    /// by its digest that was found, because such content never changes.
    fn settled(&self, _answer: &Self::Answer) -> bool {
        false
    }

    /// Whether it is answered from the state as it stands here, however old that is; such an answer is marked.
    fn as_it_stands(&self) -> bool {
        false
    }

    /// Before it is sent to another process: what is held here need not come. Returns what was left out.
    fn leave_out(&mut self, _held: &dyn Held) -> Option<Bytes> {
        None
    }

    /// After it was answered by another process: puts in what was left out, and keeps what came.
    fn fill_in(&self, _answer: &mut Self::Answer, _left_out: Option<Bytes>, _held: &dyn Held) {}
}

/// Bytes of manifests that a process without an index holds: they never change. That a repository has them is never
/// held.
pub trait Held {
    /// The manifest that this name pointed at when it was asked for last.
    fn guess(&self, repository: &RepositoryName, reference: &Reference) -> Option<Digest>;
    fn get(&self, digest: &Digest) -> Option<Bytes>;
    fn keep(&self, repository: &RepositoryName, reference: &Reference, digest: Digest, bytes: Bytes);
}

/// Something looked for inside a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found<T> {
    /// There is no such repository.
    NoRepository,
    /// The repository is there, the thing is not.
    Nothing,
    Here(T),
}

impl<T> Found<T> {
    pub fn here(self) -> Option<T> {
        match self {
            Self::Here(it) => Some(it),
            Self::NoRepository | Self::Nothing => None,
        }
    }
}

/// One page of an ordered list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Whether there are items after the last of these.
    pub more: bool,
}

/// A manifest by tag or digest. Linearizable by tag.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetManifest {
    pub repository: RepositoryName,
    pub reference: Reference,
    /// Whether the bytes are wanted too.
    pub bytes: bool,
    /// Of this manifest they are not wanted: the asker holds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Digest>,
    /// What the tag named when the node that is asked heard of it last will do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub as_it_stands: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub digest: Digest,
    pub media_type: String,
    pub size: u64,
    pub subject: Option<Digest>,
    /// When it was first pushed to this repository.
    pub time: Time,
    /// Present when asked for.
    pub bytes: Option<Bytes>,
}

/// A blob of a repository, with where its bytes are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetBlob {
    pub repository: RepositoryName,
    pub digest: Digest,
    /// A HEAD must be linearizable, since a client relies on its answer when it skips an upload.
    pub linearizable: bool,
    /// It is part of a push, so who asks needs the right to push and no other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub for_push: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    pub digest: Digest,
    pub size: u64,
    pub segments: Vec<Segment>,
    pub damaged: bool,
    /// Since when no manifest of the repository needs it; none when one does.
    pub unreferenced_since: Option<Time>,
    /// When the link goes then, by the grace that is in force.
    #[serde(default)]
    pub due: Option<Time>,
}

/// An upload that has at least one recorded segment, or was ended. Linearizable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetUpload {
    pub repository: RepositoryName,
    pub upload: UploadId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upload {
    /// Going on. Nothing recorded yet is the same as no row at all: see [`GetUpload`]'s `None`.
    Open {
        offset: u64,
        segments: Vec<Segment>,
        hash: HashState,
    },
    /// Finished as this blob.
    Finished {
        digest: Digest,
    },
    Cancelled,
}

/// The tags of a repository, in byte order, after `last`. `None` when there is no such repository.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListTags {
    pub repository: RepositoryName,
    pub last: Option<String>,
    pub limit: usize,
}

/// The repositories, in byte order, after `last`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListRepositories {
    pub last: Option<String>,
    pub limit: usize,
}

/// The referrers of a digest, in the order of their digests, after `last`; never fails for an unknown subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListReferrers {
    pub repository: RepositoryName,
    pub subject: Digest,
    pub artifact_type: Option<String>,
    pub last: Option<Digest>,
    pub limit: usize,
}

/// What the referrers API shows of one referrer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referrer {
    pub digest: Digest,
    pub media_type: String,
    pub size: u64,
    pub artifact_type: Option<String>,
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// What a tag pointed at over time, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TagHistory {
    pub repository: RepositoryName,
    pub tag: Tag,
    pub limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagChange {
    /// The position of the entry that made the change.
    pub position: u64,
    /// None: the tag was deleted.
    pub digest: Option<Digest>,
    pub time: Time,
    pub who: Option<String>,
}

/// Repositories that hold a blob, at most `limit`: sources for a mount without `from`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlobRepositories {
    pub digest: Digest,
    pub limit: usize,
}

/// Objects that may be deleted from the store: condemned, past the readers' pause, and in no kept backup. Linearizable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DueObjects {
    pub limit: usize,
    /// Where the archive stands: what was condemned behind that stays, so that a restore finds all its objects. None:
    /// there is no archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<u64>,
}

/// The backups that are kept, in the order of their names. Linearizable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListBackups;

/// A backup that holds what it refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedBackup {
    pub name: String,
    /// The position of the pin.
    pub position: u64,
    pub time: Time,
    /// The epoch under which it is stored.
    pub epoch: u64,
    pub keep_until: Option<Time>,
    /// None while it is being written, or when its writer died.
    pub snapshot: Option<StoredSnapshot>,
}

/// Which of these keys the index knows, as part of a blob or upload, or condemned. Linearizable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KnownObjects {
    pub keys: Vec<ObjectKey>,
}

/// Blobs in the order of their digests, after `last`: for scrubbing and for joining segments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListBlobs {
    pub last: Option<Digest>,
    pub limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBlob {
    pub digest: Digest,
    pub size: u64,
    pub segments: Vec<Segment>,
    pub damaged: bool,
}

/// What the index as a whole says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetStatus;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// None before the first command.
    pub cluster: Option<Cluster>,
    pub policy: Policy,
    /// The index time of the last entry.
    pub time: Time,
    /// When the head of the queue of things to expire is due; none when the queue is empty.
    pub next_due: Option<Time>,
    /// When the oldest condemned object may be deleted; none when there is none.
    pub next_condemned: Option<Time>,
    /// The newest closed day, 0 when none is.
    pub closed_day: u32,
    pub counts: Counts,
    /// The feature level in force.
    #[serde(default)]
    pub level: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    pub id: String,
    pub epoch: u64,
    pub upload_key: Bytes,
    /// Epochs before this one whose condemned objects may be deleted too: those of a cluster that is gone for good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owned: Vec<u64>,
    /// A copy restored beside its original, which owns the store: the claim under which this one took its epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

impl Cluster {
    /// Whether this cluster may delete what was written under `epoch`.
    pub fn owns(&self, epoch: u64) -> bool {
        epoch == self.epoch || self.owned.contains(&epoch)
    }

    /// The epochs whose objects it may delete.
    pub fn epochs(&self) -> impl Iterator<Item = u64> {
        self.owned.iter().copied().chain([self.epoch])
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub repositories: u64,
    pub manifests: u64,
    pub tags: u64,
    pub blobs: u64,
    pub blob_bytes: u64,
    pub uploads: u64,
    pub condemned: u64,
}
