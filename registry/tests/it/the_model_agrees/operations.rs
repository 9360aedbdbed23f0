//! What is done: operations on a small world, so that they often meet, and how each is asked of the registry.

use proptest::prelude::*;
use roadstead::oci::digest::Digest;
use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::{OCI_IMAGE, OCI_INDEX, Registry, descriptor, descriptor_of};

pub const REPOSITORIES: [&str; 3] = ["a", "a/b", "z"];
pub const TAGS: [&str; 3] = ["0", "latest", "v1"];
const UPLOADS: usize = 2;

/// The contents that operations are about.
pub struct World {
    pub blobs: Vec<Vec<u8>>,
    /// Images, then image indexes.
    pub manifests: Vec<Document>,
}

pub struct Document {
    pub bytes: Vec<u8>,
    pub media_type: &'static str,
    pub digest: Digest,
    pub blobs: Vec<usize>,
    pub children: Vec<usize>,
    pub subject: Option<usize>,
    pub artifact_type: Option<String>,
}

impl World {
    pub fn new() -> Self {
        let blobs: Vec<Vec<u8>> =
            vec![b"{}".to_vec(), Vec::new(), b"small".to_vec(), vec![7; 40_000], vec![9; 100_000]];
        let mut world = Self { blobs, manifests: Vec::new() };
        world.image(&[2], None, None);
        world.image(&[3, 4], None, None);
        world.image(&[1, 2, 3], Some(0), Some("application/x"));
        world.image(&[], Some(0), Some("application/y"));
        world.index(&[0, 1], None);
        world.index(&[4], Some(1));
        world
    }

    fn image(&mut self, layers: &[usize], subject: Option<usize>, artifact_type: Option<&str>) {
        let layer = |blob: &usize| descriptor("application/vnd.oci.image.layer.v1.tar", &self.blobs[*blob]);
        let mut document = json!({
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &self.blobs[0]),
            "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        });
        if let Some(artifact_type) = artifact_type {
            document["artifactType"] = json!(artifact_type);
        }
        let blobs = [&[0], layers].concat();
        let artifact_type = artifact_type.unwrap_or("application/vnd.oci.image.config.v1+json");
        self.add(document, OCI_IMAGE, blobs, Vec::new(), subject, Some(artifact_type));
    }

    fn index(&mut self, children: &[usize], subject: Option<usize>) {
        let child = |number: &usize| {
            let document: Value = serde_json::from_slice(&self.manifests[*number].bytes).unwrap();
            descriptor_of(&document)
        };
        let children_of = children.iter().map(child).collect::<Vec<_>>();
        let document = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children_of });
        self.add(document, OCI_INDEX, Vec::new(), children.to_vec(), subject, None);
    }

    fn add(
        &mut self,
        mut document: Value,
        media_type: &'static str,
        blobs: Vec<usize>,
        children: Vec<usize>,
        subject: Option<usize>,
        artifact_type: Option<&str>,
    ) {
        if let Some(subject) = subject {
            document["subject"] = descriptor(self.manifests[subject].media_type, &self.manifests[subject].bytes);
        }
        let bytes = serde_json::to_vec(&document).unwrap();
        let digest = Digest::of(&bytes);
        let artifact_type = artifact_type.map(str::to_owned);
        self.manifests.push(Document { bytes, media_type, digest, blobs, children, subject, artifact_type });
    }

    pub fn blob(&self, number: usize) -> Digest {
        Digest::of(&self.blobs[number])
    }
}

/// How a manifest is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Tag(usize),
    Digest(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    None,
    Matches(usize),
    Exists,
    Absent,
}

#[derive(Clone, Debug)]
pub enum Operation {
    PushBlob { repository: usize, blob: usize, whole: bool },
    GetBlob { repository: usize, blob: usize, head: bool },
    DeleteBlob { repository: usize, blob: usize },
    Mount { repository: usize, blob: usize, from: Option<usize> },
    Begin { upload: usize, repository: usize },
    Append { upload: usize, blob: usize, half: bool, claim: Option<u64> },
    Status { upload: usize },
    Finish { upload: usize, blob: usize },
    Cancel { upload: usize },
    Put { repository: usize, manifest: usize, tag: Option<usize>, condition: Condition },
    Get { repository: usize, name: Name, head: bool },
    Delete { repository: usize, name: Name, condition: Condition },
    ListTags { repository: usize, n: usize, last: Option<usize> },
    ListRepositories { n: usize, last: Option<usize> },
    ListReferrers { repository: usize, subject: usize, filter: bool },
}

pub fn operation() -> impl Strategy<Value = Operation> {
    let (repository, blob, manifest, tag, upload) = (0..3_usize, 0..5_usize, 0..6_usize, 0..3_usize, 0..UPLOADS);
    let condition = prop_oneof![
        4 => Just(Condition::None),
        1 => manifest.clone().prop_map(Condition::Matches),
        1 => Just(Condition::Exists),
        1 => Just(Condition::Absent),
    ];
    let name = prop_oneof![tag.clone().prop_map(Name::Tag), manifest.clone().prop_map(Name::Digest)];
    let option = |strategy| prop::option::of(strategy);
    prop_oneof![
        6 => (repository.clone(), blob.clone(), any::<bool>())
            .prop_map(|(repository, blob, whole)| Operation::PushBlob { repository, blob, whole }),
        2 => (repository.clone(), blob.clone(), any::<bool>())
            .prop_map(|(repository, blob, head)| Operation::GetBlob { repository, blob, head }),
        2 => (repository.clone(), blob.clone()).prop_map(|(repository, blob)| Operation::DeleteBlob { repository, blob }),
        3 => (repository.clone(), blob.clone(), option(repository.clone()))
            .prop_map(|(repository, blob, from)| Operation::Mount { repository, blob, from }),
        2 => (upload.clone(), repository.clone()).prop_map(|(upload, repository)| Operation::Begin { upload, repository }),
        4 => (upload.clone(), blob.clone(), any::<bool>(), prop::option::of(prop_oneof![Just(0), Just(5), Just(20_000)]))
            .prop_map(|(upload, blob, half, claim)| Operation::Append { upload, blob, half, claim }),
        1 => upload.clone().prop_map(|upload| Operation::Status { upload }),
        3 => (upload.clone(), blob.clone()).prop_map(|(upload, blob)| Operation::Finish { upload, blob }),
        1 => upload.prop_map(|upload| Operation::Cancel { upload }),
        8 => (repository.clone(), manifest.clone(), option(tag.clone()), condition.clone())
            .prop_map(|(repository, manifest, tag, condition)| Operation::Put { repository, manifest, tag, condition }),
        3 => (repository.clone(), name.clone(), any::<bool>())
            .prop_map(|(repository, name, head)| Operation::Get { repository, name, head }),
        3 => (repository.clone(), name, condition)
            .prop_map(|(repository, name, condition)| Operation::Delete { repository, name, condition }),
        1 => (repository.clone(), 0..4_usize, option(tag))
            .prop_map(|(repository, n, last)| Operation::ListTags { repository, n, last }),
        1 => (0..4_usize, option(repository.clone())).prop_map(|(n, last)| Operation::ListRepositories { n, last }),
        1 => (repository, manifest, any::<bool>())
            .prop_map(|(repository, subject, filter)| Operation::ListReferrers { repository, subject, filter }),
    ]
}

/// Questions about everything there may be.
pub fn all_questions() -> Vec<Operation> {
    let mut all = vec![Operation::ListRepositories { n: 100, last: None }];
    for repository in 0..3 {
        all.push(Operation::ListTags { repository, n: 100, last: None });
        all.extend((0..5).map(|blob| Operation::GetBlob { repository, blob, head: false }));
        all.extend((0..3).map(|tag| Operation::Get { repository, name: Name::Tag(tag), head: false }));
        for manifest in 0..6 {
            all.push(Operation::Get { repository, name: Name::Digest(manifest), head: false });
            all.push(Operation::ListReferrers { repository, subject: manifest, filter: false });
        }
    }
    all
}

/// What is compared of an answer: the status, the code of an error, and what it says.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub status: u16,
    pub code: Option<String>,
    pub content: Value,
}

/// Where the uploads go on: one path for each, none before it has begun.
pub type Uploads = [Option<String>; UPLOADS];

fn conditional(ask: Ask, world: &World, condition: Condition) -> Ask {
    match condition {
        Condition::None => ask,
        Condition::Matches(manifest) => ask.header("if-match", format!("\"{}\"", world.manifests[manifest].digest)),
        Condition::Exists => ask.header("if-match", "*"),
        Condition::Absent => ask.header("if-none-match", "*"),
    }
}

fn reference(world: &World, name: Name) -> String {
    match name {
        Name::Tag(tag) => TAGS[tag].to_owned(),
        Name::Digest(manifest) => world.manifests[manifest].digest.to_string(),
    }
}

/// Asks the registry and gives what it told.
pub async fn run(world: &World, registry: &Registry, uploads: &mut Uploads, operation: &Operation) -> Told {
    let mut begun = None;
    let of = |repository: &usize| REPOSITORIES[*repository];
    // An upload that never began has a path that names none.
    let path = |upload: &usize| uploads[*upload].clone().unwrap_or_else(|| "/v2/a/blobs/uploads/none".into());
    let ask = match operation {
        Operation::PushBlob { repository, blob, whole } => {
            let digest = world.blob(*blob);
            let path = format!("/v2/{}/blobs/uploads/", of(repository));
            let (method, path) = if *whole { ("POST", path) } else { ("PUT", registry.begin(of(repository)).await) };
            registry.ask(method, &format!("{path}?digest={digest}")).body(world.blobs[*blob].clone())
        }
        Operation::GetBlob { repository, blob, head } => {
            let path = format!("/v2/{}/blobs/{}", of(repository), world.blob(*blob));
            registry.ask(if *head { "HEAD" } else { "GET" }, &path)
        }
        Operation::DeleteBlob { repository, blob } => {
            registry.ask("DELETE", &format!("/v2/{}/blobs/{}", of(repository), world.blob(*blob)))
        }
        Operation::Mount { repository, blob, from } => {
            let from = from.map_or(String::new(), |from| format!("&from={}", REPOSITORIES[from]));
            let path = format!("/v2/{}/blobs/uploads/?mount={}{from}", of(repository), world.blob(*blob));
            registry.ask("POST", &path)
        }
        Operation::Begin { upload, repository } => {
            begun = Some(*upload);
            registry.ask("POST", &format!("/v2/{}/blobs/uploads/", of(repository)))
        }
        Operation::Append { upload, blob, half, claim } => {
            let part = part(world, *blob, *half);
            let ask = registry.ask("PATCH", &path(upload)).body(part.to_vec());
            match claim {
                Some(start) if !part.is_empty() => {
                    ask.header("content-range", format!("{start}-{}", start + part.len() as u64 - 1))
                }
                _ => ask,
            }
        }
        Operation::Status { upload } => registry.ask("GET", &path(upload)),
        Operation::Finish { upload, blob } => {
            registry.ask("PUT", &format!("{}?digest={}", path(upload), world.blob(*blob)))
        }
        Operation::Cancel { upload } => registry.ask("DELETE", &path(upload)),
        Operation::Put { repository, manifest, tag, condition } => {
            let document = &world.manifests[*manifest];
            let reference = tag.map_or_else(|| document.digest.to_string(), |tag| TAGS[tag].to_owned());
            let ask = registry.ask("PUT", &format!("/v2/{}/manifests/{reference}", of(repository)));
            let ask = ask.header("content-type", document.media_type).body(document.bytes.clone());
            conditional(ask, world, *condition)
        }
        Operation::Get { repository, name, head } => {
            let path = format!("/v2/{}/manifests/{}", of(repository), reference(world, *name));
            registry.ask(if *head { "HEAD" } else { "GET" }, &path)
        }
        Operation::Delete { repository, name, condition } => {
            let path = format!("/v2/{}/manifests/{}", of(repository), reference(world, *name));
            conditional(registry.ask("DELETE", &path), world, *condition)
        }
        Operation::ListTags { repository, n, last } => {
            let last = last.map_or(String::new(), |last| format!("&last={}", TAGS[last]));
            registry.ask("GET", &format!("/v2/{}/tags/list?n={n}{last}", of(repository)))
        }
        Operation::ListRepositories { n, last } => {
            let last = last.map_or(String::new(), |last| format!("&last={}", REPOSITORIES[last]));
            registry.ask("GET", &format!("/v2/_catalog?n={n}{last}"))
        }
        Operation::ListReferrers { repository, subject, filter } => {
            let filter = if *filter { "?artifactType=application/x" } else { "" };
            let path = format!("/v2/{}/referrers/{}{filter}", of(repository), world.manifests[*subject].digest);
            registry.ask("GET", &path)
        }
    };
    let answer = ask.send().await;
    if let Some(upload) = begun {
        uploads[upload] = Some(answer.header("location").to_owned());
    }
    let failed = answer.status.is_client_error() || answer.status.is_server_error();
    let code = (failed && !answer.body.is_empty()).then(|| answer.code());
    let digest = || json!(answer.header("docker-content-digest"));
    let content = match operation {
        _ if answer.status == 412 => digest(),
        _ if failed => Value::Null,
        Operation::GetBlob { head: false, .. } | Operation::Get { head: false, .. } => {
            json!(Digest::of(&answer.body).to_string())
        }
        Operation::PushBlob { .. }
        | Operation::Finish { .. }
        | Operation::Put { .. }
        | Operation::GetBlob { head: true, .. }
        | Operation::Get { head: true, .. } => digest(),
        Operation::Append { .. } | Operation::Status { .. } => json!(answer.header("range")),
        Operation::ListTags { .. } => json!([answer.json()["tags"], !answer.header("link").is_empty()]),
        Operation::ListRepositories { .. } => json!([answer.json()["repositories"], !answer.header("link").is_empty()]),
        Operation::ListReferrers { .. } => {
            let index = answer.json();
            let listed = index["manifests"].as_array().unwrap().iter();
            json!(listed.map(|it| json!([it["digest"], it["artifactType"]])).collect::<Vec<_>>())
        }
        Operation::DeleteBlob { .. }
        | Operation::Mount { .. }
        | Operation::Begin { .. }
        | Operation::Cancel { .. }
        | Operation::Delete { .. } => Value::Null,
    };
    Told { status: answer.status.as_u16(), code, content }
}

/// The first half of a blob, or all of it.
pub fn part(world: &World, blob: usize, half: bool) -> &[u8] {
    let content = &world.blobs[blob];
    if half { &content[..content.len() / 2] } else { content }
}
