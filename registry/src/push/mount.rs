//! Mounting: a blob that another repository has is linked here, in one entry, without moving a byte.
//!
//! Handlers in `http` call it with the repositories that the caller may read; it must never look anywhere else, since
//! the answer tells whether a blob exists.

use super::PushError;
use crate::app::App;
use crate::index::command::{Command, MountBlob, Refusal};
use crate::index::query::{BlobRepositories, Found, GetBlob};
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;

/// The most repositories that are looked at when the client names none.
const SOURCES: usize = 100;

/// Repositories that hold the blob; the caller must still be allowed to read them.
pub async fn sources(app: &App, digest: Digest) -> Result<Vec<RepositoryName>, PushError> {
    Ok(app.index.query(BlobRepositories { digest, limit: SOURCES }).await?)
}

/// Links the blob from the first of `from` that has it; says whether one did.
pub async fn mount(
    app: &App,
    repository: &RepositoryName,
    digest: Digest,
    from: Vec<RepositoryName>,
) -> Result<bool, PushError> {
    if from.is_empty() {
        return Ok(false);
    }
    let command = Command::MountBlob(MountBlob { repository: repository.clone(), digest, from });
    match app.index.submit(None, command).await.map_err(PushError::from) {
        // A damaged one is not there for who wants to push it: that heals it. What was known a moment ago will not do.
        Ok(_) => {
            let get = GetBlob { repository: repository.clone(), digest, linearizable: true };
            let found = app.index.query(get).await?;
            Ok(matches!(found, Found::Here(blob) if !blob.damaged))
        }
        Err(PushError::Refused(Refusal::MountSourceUnknown)) => Ok(false),
        Err(error) => Err(error),
    }
}
