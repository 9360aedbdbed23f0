//! Mounting: a blob that another repository has is linked here, in one entry, without moving a byte.
//!
//! Handlers in `http` call it. The index looks only into repositories that the caller may read, since the answer tells
//! whether a blob exists.

use super::PushError;
use crate::auth::session::Session;
use crate::index::command::{Command, MountBlob, Refusal};
use crate::index::query::{Found, GetBlob};
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;

/// The most repositories that are looked at when the client names none.
const SOURCES: usize = 100;

/// Repositories that hold the blob and that the caller may read.
pub async fn sources(session: &Session, digest: Digest) -> Result<Vec<RepositoryName>, PushError> {
    Ok(session.sources(digest, SOURCES).await?)
}

/// Links the blob from the first of `from` that has it; says whether one did.
pub async fn mount(
    session: &Session,
    repository: &RepositoryName,
    digest: Digest,
    from: Vec<RepositoryName>,
) -> Result<bool, PushError> {
    if from.is_empty() {
        return Ok(false);
    }
    let command = Command::MountBlob(MountBlob { repository: repository.clone(), digest, from });
    match session.submit(command).await.map_err(PushError::from) {
        // A damaged one is not there for who wants to push it: that heals it. What was known a moment ago will not do.
        Ok(_) => {
            let get = GetBlob { repository: repository.clone(), digest, linearizable: true, for_push: true };
            let found = session.query(get).await?;
            Ok(matches!(found, Found::Here(blob) if !blob.damaged))
        }
        Err(PushError::Refused(Refusal::MountSourceUnknown)) => Ok(false),
        Err(error) => Err(error),
    }
}
