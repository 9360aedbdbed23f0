//! Why the state machine refuses a command: a wire format and a disk format, under the rules of [`super::command`].

use serde::{Deserialize, Serialize};

use super::access::Kind;
use crate::auth::caller::Denial;
use crate::oci::digest::Digest;

/// Why the state machine refused a command. A refusal is replicated like any other outcome, and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("the index is not bootstrapped")]
    NotBootstrapped,
    #[error("the index belongs to cluster {cluster}, epoch {epoch}")]
    OtherCluster { cluster: String, epoch: u64 },
    #[error("the request is too old to be told from a repeated one")]
    RequestTooOld,
    #[error("the upload is unknown, cancelled or expired")]
    UploadUnknown,
    #[error("the upload stands at {offset}")]
    OffsetMismatch { offset: u64 },
    #[error("the object's day {day} is closed")]
    DayClosed { day: u32 },
    #[error("blob {digest} is not in the repository")]
    BlobUnknown { digest: Digest },
    #[error("no source repository holds the blob")]
    MountSourceUnknown,
    #[error("blob {digest} is needed by a manifest of the repository")]
    BlobInUse { digest: Digest },
    #[error("parts of the manifest are not in the repository: {missing:?}")]
    /// The first of them.
    PartsMissing { missing: Vec<Digest> },
    #[error("the descriptor of {digest} claims {claimed} bytes, it has {actual}")]
    SizeMismatch { digest: Digest, claimed: u64, actual: u64 },
    #[error("the manifest is stored as {stored}")]
    MediaTypeMismatch { stored: String },
    #[error("the manifest is unknown")]
    ManifestUnknown,
    #[error("the manifest is listed by the image index {parent}")]
    ManifestInUse { parent: Digest },
    #[error(
        "more than {most} tags point at the manifest, which are too many to be taken away at once: delete tags by their names first"
    )]
    TooManyTags { most: u32 },
    #[error("the tag is unknown")]
    TagUnknown,
    #[error("the condition does not hold; the tag points at {current:?}")]
    ConditionFailed { current: Option<Digest> },
    #[error("the repository is unknown")]
    RepositoryUnknown,
    #[error("somebody else changed this first")]
    Outdated,
    #[error("there is a backup of this name already")]
    BackupExists,
    #[error("there is no backup of this name")]
    BackupUnknown,
    #[error("this needs feature level {needed}, and {in_force} is in force: `roadstead index raise` raises it")]
    LevelNotInForce { needed: u32, in_force: u32 },
    #[error("feature level {level} is not known to every member: the highest that can be put in force is {known}")]
    LevelUnknown { level: u32, known: u32 },
    #[error("the caller may not do this: {denial:?}")]
    Forbidden { denial: Denial },
    #[error("there is an account {name} already, a {}", .kind.as_str())]
    AccountExists { name: String, kind: Kind },
    #[error("there is no account {name}")]
    AccountUnknown { name: String },
    #[error("there is no such token")]
    TokenUnknown,
    #[error("there is no policy {name}")]
    PolicyUnknown { name: String },
    #[error("there is no issuer {name}")]
    IssuerUnknown { name: String },
    #[error("there is no quota {name}")]
    QuotaUnknown { name: String },
    #[error(
        "quota {quota} allows {most} {what} under {share:?}, and this would make it {needed}: delete something, or ask an administrator for more"
    )]
    QuotaExceeded { quota: String, share: String, what: String, needed: u64, most: u64 },
    #[error("this is the only administrator: make another first")]
    LastAdministrator,
    #[error("there is an administrator already: ask one for an account")]
    AdministratorExists,
    #[error("{reason}")]
    AccessInvalid { reason: String },
}
