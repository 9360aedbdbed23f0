//! What the caller of a request may do.

use super::Call;
use crate::oci::name::RepositoryName;

/// Whether blobs of the repository may be mounted from.
pub fn may_read(_call: &Call, _repository: &RepositoryName) -> bool {
    true
}
