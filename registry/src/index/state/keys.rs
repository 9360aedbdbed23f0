//! Keys: how each table is ordered. A repository name and a tag contain no NUL, a digest has a fixed length after its
//! first byte, and numbers are big-endian: so keys sort as the things they name, and a prefix names a group.

use crate::index::command::{RequestId, Time};
use crate::oci::digest::{Algorithm, Digest};
use crate::oci::name::RepositoryName;
use crate::oci::reference::Tag;

/// A digest: one byte for the algorithm, then its raw bytes. Sorts as the text does.
pub fn digest(digest: &Digest) -> Vec<u8> {
    let mut key = Vec::with_capacity(65);
    key.push(match digest.algorithm() {
        Algorithm::Sha256 => 1,
        Algorithm::Sha512 => 2,
    });
    key.extend_from_slice(digest.raw());
    key
}

/// Reads the digest at the end of a key.
pub fn digest_at(key: &[u8]) -> Option<Digest> {
    let (first, raw) = key.split_first()?;
    let algorithm = match first {
        1 => Algorithm::Sha256,
        2 => Algorithm::Sha512,
        _ => return None,
    };
    Digest::from_raw(algorithm, raw).ok()
}

/// Everything of a repository begins with this.
pub fn repository(name: &RepositoryName) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.as_str().len() + 66);
    key.extend_from_slice(name.as_str().as_bytes());
    key.push(0);
    key
}

/// What follows the repository in a key that [`repository`] begins.
pub fn after_repository(key: &[u8]) -> Option<(RepositoryName, &[u8])> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(&key[..end]).ok()?.parse().ok()?;
    Some((name, &key[end + 1..]))
}

/// (repository, digest): manifests, links.
pub fn in_repository(name: &RepositoryName, of: &Digest) -> Vec<u8> {
    let mut key = repository(name);
    key.extend_from_slice(&digest(of));
    key
}

/// (repository, digest, digest): (subject, referrer) and (child, parent).
pub fn pair(name: &RepositoryName, first: &Digest, second: &Digest) -> Vec<u8> {
    let mut key = in_repository(name, first);
    key.extend_from_slice(&digest(second));
    key
}

/// (repository, tag).
pub fn tag(name: &RepositoryName, tag: &Tag) -> Vec<u8> {
    let mut key = repository(name);
    key.extend_from_slice(tag.as_str().as_bytes());
    key
}

/// The history of a tag begins with this; the position of each change follows.
pub fn history(name: &RepositoryName, of: &Tag) -> Vec<u8> {
    let mut key = tag(name, of);
    key.push(0);
    key
}

/// (repository, digest, tag).
pub fn tag_of(name: &RepositoryName, of: &Digest, tag: &Tag) -> Vec<u8> {
    let mut key = in_repository(name, of);
    key.extend_from_slice(tag.as_str().as_bytes());
    key
}

/// (digest, repository): who has a blob.
pub fn by_digest(of: &Digest, name: &RepositoryName) -> Vec<u8> {
    let mut key = digest(of);
    key.extend_from_slice(name.as_str().as_bytes());
    key
}

/// What is counted, under [`super::records::Table::Counts`].
pub fn count(kind: u8, of: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + of.len());
    key.push(kind);
    key.extend_from_slice(of);
    key
}

/// A position of the log.
pub fn position(position: u64) -> [u8; 8] {
    position.to_be_bytes()
}

/// A request.
pub fn request(id: RequestId) -> [u8; 16] {
    id.0.to_be_bytes()
}

/// The head of a lane of the queue at `time`.
pub fn due(lane: u8, time: Time) -> Vec<u8> {
    let mut key = vec![lane];
    key.extend_from_slice(&time.0.to_be_bytes());
    key
}
