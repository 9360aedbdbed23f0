//! The requests of a stream: how each is sent, and what the model says of it.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use roadstead::oci::digest::Digest;

use super::model::{BLOBS, MANIFESTS, Model, REPOSITORIES, TAGS, blob, made};
use crate::support::Answer;
use crate::support::client::Client;

#[derive(Clone, Copy, Debug)]
pub enum Named {
    Tag(usize),
    Digest,
}

#[derive(Clone, Copy, Debug)]
pub enum Condition {
    None,
    Absent,
    Exists,
    /// That the tag points at this manifest.
    Matches(usize),
}

#[derive(Clone, Copy, Debug)]
pub enum Way {
    Posted,
    PostAndPut,
    Chunked,
}

#[derive(Clone, Debug)]
pub enum Operation {
    PushBlob { repository: usize, blob: usize, way: Way },
    Mount { repository: usize, from: usize, blob: usize },
    GetBlob { repository: usize, blob: usize },
    DeleteBlob { repository: usize, blob: usize },
    PutManifest { repository: usize, manifest: usize, named: Named, condition: Condition },
    GetManifest { repository: usize, manifest: usize, named: Named, head: bool },
    DeleteManifest { repository: usize, manifest: usize, named: Named, condition: Condition },
    ListTags { repository: usize, limit: usize, last: Option<usize> },
    ListRepositories { limit: usize },
    Referrers { repository: usize, manifest: usize, filtered: bool },
}

/// What is compared of an answer: its status, the code of an error, and what a test of this kind can know of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    status: u16,
    code: String,
    content: String,
}

fn ok(status: u16, content: impl Into<String>) -> Seen {
    Seen { status, code: String::new(), content: content.into() }
}

fn error(status: u16, code: &str) -> Seen {
    Seen { status, code: code.into(), content: String::new() }
}

pub fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let repository = || 0..REPOSITORIES.len();
    let blob = || 0..BLOBS;
    let manifest = || 0..MANIFESTS;
    let way = || prop_oneof![Just(Way::Posted), Just(Way::PostAndPut), Just(Way::Chunked)];
    let named = || prop_oneof![3 => (0..TAGS.len()).prop_map(Named::Tag), 1 => Just(Named::Digest)];
    let condition = || {
        prop_oneof![
            4 => Just(Condition::None),
            1 => Just(Condition::Absent),
            1 => Just(Condition::Exists),
            1 => (0..MANIFESTS).prop_map(Condition::Matches),
        ]
    };
    let operation = prop_oneof![
        6 => (repository(), blob(), way()).prop_map(|(repository, blob, way)| Operation::PushBlob { repository, blob, way }),
        1 => (repository(), repository(), blob())
            .prop_map(|(repository, from, blob)| Operation::Mount { repository, from, blob }),
        2 => (repository(), blob()).prop_map(|(repository, blob)| Operation::GetBlob { repository, blob }),
        1 => (repository(), blob()).prop_map(|(repository, blob)| Operation::DeleteBlob { repository, blob }),
        6 => (repository(), manifest(), named(), condition()).prop_map(|(repository, manifest, named, condition)| {
            Operation::PutManifest { repository, manifest, named, condition }
        }),
        3 => (repository(), manifest(), named(), any::<bool>()).prop_map(|(repository, manifest, named, head)| {
            Operation::GetManifest { repository, manifest, named, head }
        }),
        2 => (repository(), manifest(), named(), condition()).prop_map(|(repository, manifest, named, condition)| {
            Operation::DeleteManifest { repository, manifest, named, condition }
        }),
        1 => (repository(), 0..6_usize, proptest::option::of(0..TAGS.len()))
            .prop_map(|(repository, limit, last)| Operation::ListTags { repository, limit, last }),
        1 => (1..5_usize).prop_map(|limit| Operation::ListRepositories { limit }),
        1 => (repository(), manifest(), any::<bool>())
            .prop_map(|(repository, manifest, filtered)| Operation::Referrers { repository, manifest, filtered }),
    ];
    vec(operation, 1..80)
}

fn name(world: &str, repository: usize) -> String {
    format!("{world}/{}", REPOSITORIES[repository])
}

fn reference(named: Named, manifest: usize) -> String {
    match named {
        Named::Tag(tag) => TAGS[tag].to_owned(),
        Named::Digest => made(manifest).digest().to_string(),
    }
}

/// What is seen of an answer whose content `read` picks when it is a success.
fn seen(answer: &Answer, read: impl FnOnce(&Answer) -> String) -> Seen {
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        return ok(status, read(answer));
    }
    let code = if answer.body.is_empty() { String::new() } else { answer.code() };
    Seen { status, code, content: String::new() }
}

impl Operation {
    /// Sends the request to the registry.
    pub async fn ask(&self, client: &Client, world: &str, _model: &Model) -> Seen {
        match self {
            Self::PushBlob { repository, blob: number, way } => {
                let (name, content) = (name(world, *repository), blob(*number));
                let digest = Digest::of(&content);
                let answer = match way {
                    Way::Posted => {
                        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
                        client.ask("POST", &path).body(content).send().await
                    }
                    Way::PostAndPut => client.finish(&client.begin(&name).await, &digest, &content).await,
                    Way::Chunked => {
                        let (first, rest) = content.split_at(content.len() / 2);
                        let upload = client.append(&client.begin(&name).await, first).await;
                        client.finish(&upload, &digest, rest).await
                    }
                };
                seen(&answer, |answer| answer.header("docker-content-digest").to_owned())
            }
            Self::Mount { repository, from, blob: number } => {
                let (name, from) = (name(world, *repository), name(world, *from));
                let digest = Digest::of(&blob(*number));
                let path = format!("/v2/{name}/blobs/uploads/?mount={digest}&from={from}");
                seen(&client.ask("POST", &path).send().await, |_| String::new())
            }
            Self::GetBlob { repository, blob: number } => {
                let path = format!("/v2/{}/blobs/{}", name(world, *repository), Digest::of(&blob(*number)));
                seen(&client.get(&path).await, |answer| Digest::of(&answer.body).to_string())
            }
            Self::DeleteBlob { repository, blob: number } => {
                let path = format!("/v2/{}/blobs/{}", name(world, *repository), Digest::of(&blob(*number)));
                seen(&client.delete(&path).await, |_| String::new())
            }
            Self::PutManifest { repository, manifest, named, condition } => {
                let path = format!("/v2/{}/manifests/{}", name(world, *repository), reference(*named, *manifest));
                let made = made(*manifest);
                let ask = client.ask("PUT", &path).header("content-type", made.media_type);
                let answer = conditional(ask, *condition).body(made.document).send().await;
                seen(&answer, |answer| answer.header("docker-content-digest").to_owned())
            }
            Self::GetManifest { repository, manifest, named, head } => {
                let path = format!("/v2/{}/manifests/{}", name(world, *repository), reference(*named, *manifest));
                let answer = if *head { client.head(&path).await } else { client.get(&path).await };
                seen(&answer, |answer| {
                    let digest = answer.header("docker-content-digest").to_owned();
                    assert!(*head || Digest::of(&answer.body).to_string() == digest);
                    digest
                })
            }
            Self::DeleteManifest { repository, manifest, named, condition } => {
                let path = format!("/v2/{}/manifests/{}", name(world, *repository), reference(*named, *manifest));
                let ask = conditional(client.ask("DELETE", &path), *condition);
                seen(&ask.send().await, |_| String::new())
            }
            Self::ListTags { repository, limit, last } => {
                let last = last.map(|last| format!("&last={}", TAGS[last])).unwrap_or_default();
                let path = format!("/v2/{}/tags/list?n={limit}{last}", name(world, *repository));
                seen(&client.get(&path).await, |answer| {
                    format!("{} more={}", answer.json()["tags"], !answer.header("link").is_empty())
                })
            }
            Self::ListRepositories { limit } => {
                // What sorts just before everything of this world; what comes after belongs to no later world yet.
                let answer = client.get(&format!("/v2/_catalog?n={limit}&last={world}")).await;
                seen(&answer, |answer| answer.json()["repositories"].to_string().replace(&format!("{world}/"), ""))
            }
            Self::Referrers { repository, manifest, filtered } => {
                let filter = if *filtered { "?artifactType=application/vnd.example" } else { "" };
                let digest = made(*manifest).digest();
                let path = format!("/v2/{}/referrers/{digest}{filter}", name(world, *repository));
                seen(&client.get(&path).await, |answer| {
                    let list = answer.json()["manifests"].as_array().unwrap().clone();
                    list.iter().map(|item| item["digest"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
                })
            }
        }
    }

    /// What the model answers, and does.
    pub fn expect(&self, model: &mut Model) -> Seen {
        match *self {
            Self::PushBlob { repository, blob: number, .. } => {
                model.change(repository).blobs.insert(number);
                ok(201, Digest::of(&blob(number)).to_string())
            }
            Self::Mount { repository, from, blob } => {
                let source = [repository, from]
                    .into_iter()
                    .any(|name| model.get(name).is_some_and(|repository| repository.blobs.contains(&blob)));
                if source {
                    model.change(repository).blobs.insert(blob);
                }
                ok(if source { 201 } else { 202 }, "")
            }
            Self::GetBlob { repository, blob: number } => match model.get(repository) {
                Some(found) if found.blobs.contains(&number) => ok(200, Digest::of(&blob(number)).to_string()),
                Some(_) => error(404, "BLOB_UNKNOWN"),
                None => error(404, "NAME_UNKNOWN"),
            },
            Self::DeleteBlob { repository, blob } => match model.get(repository) {
                Some(found) if !found.blobs.contains(&blob) => error(404, "BLOB_UNKNOWN"),
                Some(found) if found.needs(blob) => error(405, "UNSUPPORTED"),
                Some(_) => {
                    model.change(repository).blobs.remove(&blob);
                    ok(202, "")
                }
                None => error(404, "BLOB_UNKNOWN"),
            },
            Self::PutManifest { repository, manifest, named, condition } => {
                put(model, repository, manifest, named, condition)
            }
            Self::GetManifest { repository, manifest, named, head } => {
                let found = match named {
                    Named::Tag(tag) => model.tag(repository, tag),
                    Named::Digest => {
                        model.get(repository).filter(|it| it.manifests.contains(&manifest)).map(|_| manifest)
                    }
                };
                match (found, model.get(repository)) {
                    (Some(found), _) => ok(200, made(found).digest().to_string()),
                    (None, _) if head => error(404, ""),
                    (None, Some(_)) => error(404, "MANIFEST_UNKNOWN"),
                    (None, None) => error(404, "NAME_UNKNOWN"),
                }
            }
            Self::DeleteManifest { repository, manifest, named, condition } => {
                delete(model, repository, manifest, named, condition)
            }
            Self::ListTags { repository, limit, last } => match model.get(repository) {
                None => error(404, "NAME_UNKNOWN"),
                Some(found) => {
                    let after = found.tags.keys().filter(|tag| last.is_none_or(|last| **tag > TAGS[last]));
                    let all: Vec<_> = after.map(|tag| format!("\"{tag}\"")).collect();
                    let more = limit > 0 && all.len() > limit;
                    ok(200, format!("[{}] more={more}", all[..all.len().min(limit)].join(",")))
                }
            },
            Self::ListRepositories { limit } => {
                let mut names: Vec<_> = (0..REPOSITORIES.len()).filter(|name| model.get(*name).is_some()).collect();
                names.sort_by_key(|name| REPOSITORIES[*name]);
                let names: Vec<_> =
                    names.iter().take(limit).map(|name| format!("\"{}\"", REPOSITORIES[*name])).collect();
                ok(200, format!("[{}]", names.join(",")))
            }
            Self::Referrers { repository, manifest, .. } => {
                let referrers = model.get(repository).into_iter().flat_map(|found| &found.manifests);
                let mut digests: Vec<_> = referrers
                    .filter(|referrer| made(**referrer).subject == Some(manifest))
                    .map(|referrer| made(*referrer).digest().to_string())
                    .collect();
                digests.sort();
                ok(200, digests.join(" "))
            }
        }
    }
}

fn conditional(ask: crate::support::client::Ask, condition: Condition) -> crate::support::client::Ask {
    match condition {
        Condition::None => ask,
        Condition::Absent => ask.header("if-none-match", "*"),
        Condition::Exists => ask.header("if-match", "*"),
        Condition::Matches(manifest) => ask.header("if-match", format!("\"{}\"", made(manifest).digest())),
    }
}

/// Whether the condition holds for the tag; none when it cannot be judged at all.
fn holds(model: &Model, repository: usize, named: Named, condition: Condition) -> Option<bool> {
    let Named::Tag(tag) = named else { return matches!(condition, Condition::None).then_some(true) };
    let current = model.tag(repository, tag);
    Some(match condition {
        Condition::None => true,
        Condition::Absent => current.is_none(),
        Condition::Exists => current.is_some(),
        Condition::Matches(manifest) => current == Some(manifest),
    })
}

const CONDITION_FAILED: &str = "DENIED";

fn put(model: &mut Model, repository: usize, manifest: usize, named: Named, condition: Condition) -> Seen {
    match holds(model, repository, named, condition) {
        None => return error(400, "UNSUPPORTED"),
        Some(false) => return error(412, CONDITION_FAILED),
        Some(true) => {}
    }
    let made = made(manifest);
    let found = model.change(repository);
    let whole = made.blobs.iter().all(|blob| found.blobs.contains(blob))
        && made.children.iter().all(|child| found.manifests.contains(child));
    if !found.manifests.contains(&manifest) && !whole {
        return error(400, "MANIFEST_BLOB_UNKNOWN");
    }
    found.manifests.insert(manifest);
    if let Named::Tag(tag) = named {
        found.tags.insert(TAGS[tag], manifest);
    }
    ok(201, made.digest().to_string())
}

fn delete(model: &mut Model, repository: usize, manifest: usize, named: Named, condition: Condition) -> Seen {
    match holds(model, repository, named, condition) {
        None => return error(400, "UNSUPPORTED"),
        Some(false) => return error(412, CONDITION_FAILED),
        Some(true) => {}
    }
    if model.get(repository).is_none() {
        return error(404, "NAME_UNKNOWN");
    }
    let found = model.change(repository);
    match named {
        Named::Tag(tag) => match found.tags.remove(TAGS[tag]) {
            Some(_) => ok(202, ""),
            None => error(404, "MANIFEST_UNKNOWN"),
        },
        Named::Digest if !found.manifests.contains(&manifest) => error(404, "MANIFEST_UNKNOWN"),
        Named::Digest if found.lists(manifest) => error(405, "UNSUPPORTED"),
        Named::Digest => {
            found.manifests.remove(&manifest);
            found.tags.retain(|_, at| *at != manifest);
            ok(202, "")
        }
    }
}
