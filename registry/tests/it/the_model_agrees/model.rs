//! What the registry should do, as plain maps. No time passes in it, so nothing expires.

use std::collections::{BTreeMap, BTreeSet};

use roadstead::oci::digest::Digest;
use serde_json::{Value, json};

use super::operations::{Condition, Name, Operation, REPOSITORIES, TAGS, Told, World, part};

#[derive(Debug, Default)]
pub struct Model {
    repositories: BTreeMap<usize, Repository>,
    uploads: BTreeMap<usize, Upload>,
}

#[derive(Debug, Default)]
struct Repository {
    blobs: BTreeSet<usize>,
    manifests: BTreeSet<usize>,
    tags: BTreeMap<usize, usize>,
}

#[derive(Debug)]
struct Upload {
    repository: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Open(Vec<u8>),
    Finished(usize),
    Cancelled,
}

fn told(status: u16, content: Value) -> Told {
    Told { status, code: None, content }
}

fn refused(status: u16, code: &str) -> Told {
    Told { status, code: Some(code.into()), content: Value::Null }
}

/// A HEAD tells no code.
fn silent(told: Told, head: bool) -> Told {
    if head { Told { code: None, ..told } } else { told }
}

fn text(digest: Digest) -> Value {
    json!(digest.to_string())
}

fn range(length: usize) -> Value {
    json!(format!("0-{}", length.saturating_sub(1)))
}

impl Model {
    fn is_there(&self, repository: usize) -> bool {
        let empty = |it: &Repository| it.blobs.is_empty() && it.manifests.is_empty() && it.tags.is_empty();
        self.repositories.get(&repository).is_some_and(|it| !empty(it))
    }

    fn has_blob(&self, repository: usize, blob: usize) -> bool {
        self.repositories.get(&repository).is_some_and(|it| it.blobs.contains(&blob))
    }

    fn at(&mut self, repository: usize) -> &mut Repository {
        self.repositories.entry(repository).or_default()
    }

    /// What is told of something that is not in a repository.
    fn absent(&self, repository: usize, code: &str) -> Told {
        refused(404, if self.is_there(repository) { code } else { "NAME_UNKNOWN" })
    }

    fn find(&self, repository: usize, name: Name) -> Option<usize> {
        let it = self.repositories.get(&repository)?;
        match name {
            Name::Tag(tag) => it.tags.get(&tag).copied(),
            Name::Digest(manifest) => it.manifests.contains(&manifest).then_some(manifest),
        }
    }

    pub fn apply(&mut self, world: &World, operation: &Operation) -> Told {
        match *operation {
            Operation::PushBlob { repository, blob, .. } => {
                self.at(repository).blobs.insert(blob);
                told(201, text(world.blob(blob)))
            }
            Operation::GetBlob { repository, blob, head } => {
                if self.has_blob(repository, blob) {
                    told(200, text(world.blob(blob)))
                } else {
                    silent(self.absent(repository, "BLOB_UNKNOWN"), head)
                }
            }
            Operation::DeleteBlob { repository, blob } => self.delete_blob(world, repository, blob),
            Operation::Mount { repository, blob, from } => {
                let mut sources =
                    (0..REPOSITORIES.len()).filter(|it| from.is_none_or(|from| from == *it) || *it == repository);
                if sources.any(|it| self.has_blob(it, blob)) {
                    self.at(repository).blobs.insert(blob);
                    told(201, Value::Null)
                } else {
                    told(202, Value::Null)
                }
            }
            Operation::Begin { upload, repository } => {
                self.uploads.insert(upload, Upload { repository, state: State::Open(Vec::new()) });
                told(202, Value::Null)
            }
            Operation::Append { upload, blob, half, claim } => {
                let part = part(world, blob, half);
                match self.uploads.get_mut(&upload).map(|upload| &mut upload.state) {
                    Some(State::Open(content)) => {
                        if !part.is_empty() && claim.is_some_and(|start| start != content.len() as u64) {
                            return refused(416, "BLOB_UPLOAD_INVALID");
                        }
                        content.extend_from_slice(part);
                        told(202, range(content.len()))
                    }
                    _ => refused(404, "BLOB_UPLOAD_UNKNOWN"),
                }
            }
            Operation::Status { upload } => match self.uploads.get(&upload).map(|upload| &upload.state) {
                Some(State::Open(content)) => told(204, range(content.len())),
                _ => refused(404, "BLOB_UPLOAD_UNKNOWN"),
            },
            Operation::Finish { upload, blob } => self.finish(world, upload, blob),
            Operation::Cancel { upload } => match self.uploads.get_mut(&upload).map(|upload| &mut upload.state) {
                Some(state @ State::Open(_)) => {
                    *state = State::Cancelled;
                    told(204, Value::Null)
                }
                _ => refused(404, "BLOB_UPLOAD_UNKNOWN"),
            },
            Operation::Put { repository, manifest, tag, condition } => {
                self.put(world, repository, manifest, tag, condition)
            }
            Operation::Get { repository, name, head } => match self.find(repository, name) {
                Some(manifest) => told(200, text(world.manifests[manifest].digest)),
                None => silent(self.absent(repository, "MANIFEST_UNKNOWN"), head),
            },
            Operation::Delete { repository, name, condition } => self.delete(world, repository, name, condition),
            Operation::ListTags { repository, n, last } => {
                if !self.is_there(repository) {
                    return refused(404, "NAME_UNKNOWN");
                }
                let tags = self.at(repository).tags.keys().map(|tag| TAGS[*tag]);
                told(200, page(tags, n, last.map(|last| TAGS[last])))
            }
            Operation::ListRepositories { n, last } => {
                let there = (0..REPOSITORIES.len()).filter(|repository| self.is_there(*repository));
                told(
                    200,
                    page(there.map(|repository| REPOSITORIES[repository]), n, last.map(|last| REPOSITORIES[last])),
                )
            }
            Operation::ListReferrers { repository, subject, filter } => {
                let mut listed: Vec<_> = self
                    .repositories
                    .get(&repository)
                    .into_iter()
                    .flat_map(|it| &it.manifests)
                    .map(|manifest| &world.manifests[*manifest])
                    .filter(|document| document.subject == Some(subject))
                    .filter(|document| !filter || document.artifact_type.as_deref() == Some("application/x"))
                    .map(|document| json!([document.digest.to_string(), document.artifact_type]))
                    .collect();
                listed.sort_by_key(ToString::to_string);
                told(200, json!(listed))
            }
        }
    }

    fn delete_blob(&mut self, world: &World, repository: usize, blob: usize) -> Told {
        if !self.has_blob(repository, blob) {
            return refused(404, "BLOB_UNKNOWN");
        }
        let it = self.at(repository);
        if it.manifests.iter().any(|manifest| world.manifests[*manifest].blobs.contains(&blob)) {
            return refused(405, "UNSUPPORTED");
        }
        it.blobs.remove(&blob);
        told(202, Value::Null)
    }

    fn finish(&mut self, world: &World, upload: usize, blob: usize) -> Told {
        let Some(repository) = self.uploads.get(&upload).map(|upload| upload.repository) else {
            return refused(404, "BLOB_UPLOAD_UNKNOWN");
        };
        let has_blob = self.has_blob(repository, blob);
        let Some(upload) = self.uploads.get_mut(&upload) else { return refused(404, "BLOB_UPLOAD_UNKNOWN") };
        match &upload.state {
            State::Open(content) if *content == world.blobs[blob] => {
                upload.state = State::Finished(blob);
                self.at(repository).blobs.insert(blob);
                told(201, text(world.blob(blob)))
            }
            State::Open(_) => refused(400, "DIGEST_INVALID"),
            State::Finished(finished) if *finished == blob && has_blob => told(201, text(world.blob(blob))),
            State::Finished(_) | State::Cancelled => refused(404, "BLOB_UPLOAD_UNKNOWN"),
        }
    }

    /// The answer when the condition does not hold for a tag that points at `current`.
    fn judge(world: &World, condition: Condition, current: Option<usize>) -> Option<Told> {
        let holds = match condition {
            Condition::None => true,
            Condition::Matches(manifest) => current == Some(manifest),
            Condition::Exists => current.is_some(),
            Condition::Absent => current.is_none(),
        };
        let digest = current.map_or(String::new(), |manifest| world.manifests[manifest].digest.to_string());
        (!holds).then(|| Told { content: json!(digest), ..refused(412, "DENIED") })
    }

    fn put(
        &mut self,
        world: &World,
        repository: usize,
        manifest: usize,
        tag: Option<usize>,
        condition: Condition,
    ) -> Told {
        let document = &world.manifests[manifest];
        match tag {
            None if condition != Condition::None => return refused(400, "UNSUPPORTED"),
            None => {}
            Some(tag) => {
                let current = self.find(repository, Name::Tag(tag));
                if let Some(failed) = Self::judge(world, condition, current) {
                    return failed;
                }
            }
        }
        let empty = Repository::default();
        let it = self.repositories.get(&repository).unwrap_or(&empty);
        let whole = document.blobs.iter().all(|blob| it.blobs.contains(blob))
            && document.children.iter().all(|child| it.manifests.contains(child));
        if !whole {
            return refused(400, "MANIFEST_BLOB_UNKNOWN");
        }
        let it = self.at(repository);
        it.manifests.insert(manifest);
        if let Some(tag) = tag {
            it.tags.insert(tag, manifest);
        }
        told(201, text(document.digest))
    }

    fn delete(&mut self, world: &World, repository: usize, name: Name, condition: Condition) -> Told {
        let found = self.find(repository, name);
        match name {
            Name::Digest(_) if condition != Condition::None => return refused(400, "UNSUPPORTED"),
            Name::Digest(_) => {}
            Name::Tag(_) => {
                if let Some(failed) = Self::judge(world, condition, found) {
                    return failed;
                }
            }
        }
        let Some(manifest) = found else { return self.absent(repository, "MANIFEST_UNKNOWN") };
        let it = self.at(repository);
        match name {
            Name::Tag(tag) => {
                it.tags.remove(&tag);
            }
            Name::Digest(_) => {
                if it.manifests.iter().any(|parent| world.manifests[*parent].children.contains(&manifest)) {
                    return refused(405, "UNSUPPORTED");
                }
                it.manifests.remove(&manifest);
                it.tags.retain(|_, tagged| *tagged != manifest);
            }
        }
        told(202, Value::Null)
    }
}

/// A page of a list, and whether there is another.
fn page<'a>(all: impl Iterator<Item = &'a str>, n: usize, last: Option<&str>) -> Value {
    let after: Vec<_> = all.filter(|item| last.is_none_or(|last| *item > last)).collect();
    let items: Vec<_> = after.iter().take(n).collect();
    json!([items, n > 0 && after.len() > n])
}
