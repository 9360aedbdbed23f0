//! Manifests that a process without an index holds, by digest: they never change. Bounded in bytes. That a repository
//! has one is asked each time, so a deleted one is never served.

use bytes::Bytes;
use moka::sync::Cache;

use super::query::Held;
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;
use crate::oci::reference::Reference;

/// What an entry takes beside its bytes.
const BASE: usize = 128;
/// Names whose last manifest is remembered.
const NAMES: u64 = 100_000;

/// The cache. Clones share it.
#[derive(Clone, Debug)]
pub struct HeldManifests {
    caches: Option<Caches>,
}

#[derive(Clone, Debug)]
struct Caches {
    bytes: Cache<Digest, Bytes>,
    names: Cache<(RepositoryName, Reference), Digest>,
}

impl HeldManifests {
    /// Holds at most so many bytes; 0: none at all.
    pub fn new(bytes: u64) -> Self {
        let weigh = |_: &Digest, value: &Bytes| u32::try_from(value.len() + BASE).unwrap_or(u32::MAX);
        let caches =
            || Caches { bytes: Cache::builder().max_capacity(bytes).weigher(weigh).build(), names: Cache::new(NAMES) };
        Self { caches: (bytes > 0).then(caches) }
    }
}

impl Held for HeldManifests {
    fn guess(&self, repository: &RepositoryName, reference: &Reference) -> Option<Digest> {
        match reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => self.caches.as_ref()?.names.get(&(repository.clone(), reference.clone())),
        }
    }

    fn get(&self, digest: &Digest) -> Option<Bytes> {
        self.caches.as_ref()?.bytes.get(digest)
    }

    fn keep(&self, repository: &RepositoryName, reference: &Reference, digest: Digest, bytes: Bytes) {
        let Some(caches) = &self.caches else { return };
        if matches!(reference, Reference::Tag(_)) {
            caches.names.insert((repository.clone(), reference.clone()), digest);
        }
        caches.bytes.insert(digest, bytes);
    }
}
