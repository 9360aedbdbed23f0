//! What a registry is, as plain maps.

use std::collections::{BTreeMap, BTreeSet};

use roadstead::oci::digest::Digest;
use serde_json::{Value, json};

use crate::support::{OCI_IMAGE, OCI_INDEX};

pub const REPOSITORIES: [&str; 3] = ["a", "a/b", "ab"];
pub const TAGS: [&str; 4] = ["0.1", "0.1.2", "0.1.20", "latest"];

/// The content of a blob, by its number.
pub fn blob(number: usize) -> Vec<u8> {
    let length = [2, 100, 40_000, 1][number];
    vec![b'a' + number as u8; length]
}

/// How a manifest is made, by its number: images of two blobs, one with a subject, and an image index.
#[derive(Clone, Debug)]
pub struct Made {
    pub document: Vec<u8>,
    pub media_type: &'static str,
    pub blobs: Vec<usize>,
    pub children: Vec<usize>,
    pub subject: Option<usize>,
}

impl Made {
    pub fn digest(&self) -> Digest {
        Digest::of(&self.document)
    }
}

fn image(config: usize, layer: usize, subject: Option<usize>) -> Made {
    let part = |number: usize| {
        let content = blob(number);
        json!({ "mediaType": "application/octet-stream", "digest": Digest::of(&content), "size": content.len() })
    };
    let mut document =
        json!({ "schemaVersion": 2, "mediaType": OCI_IMAGE, "config": part(config), "layers": [part(layer)] });
    if let Some(subject) = subject {
        document["subject"] = descriptor(&made(subject));
        document["artifactType"] = json!("application/vnd.example");
    }
    let document = serde_json::to_vec(&document).unwrap();
    let blobs = if config == layer { vec![config] } else { vec![config, layer] };
    Made { document, media_type: OCI_IMAGE, blobs, children: vec![], subject }
}

fn descriptor(made: &Made) -> Value {
    json!({ "mediaType": made.media_type, "digest": made.digest(), "size": made.document.len() })
}

/// The manifest of a number.
pub fn made(number: usize) -> Made {
    match number {
        0 => image(0, 1, None),
        1 => image(0, 2, None),
        2 => image(3, 3, Some(0)),
        _ => {
            let document = json!({
                "schemaVersion": 2,
                "mediaType": OCI_INDEX,
                "manifests": [descriptor(&made(0)), descriptor(&made(1))],
            });
            let document = serde_json::to_vec(&document).unwrap();
            Made { document, media_type: OCI_INDEX, blobs: vec![], children: vec![0, 1], subject: None }
        }
    }
}

pub const MANIFESTS: usize = 4;
pub const BLOBS: usize = 4;

#[derive(Clone, Debug, Default)]
pub struct Repository {
    pub blobs: BTreeSet<usize>,
    pub manifests: BTreeSet<usize>,
    pub tags: BTreeMap<&'static str, usize>,
}

impl Repository {
    fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.manifests.is_empty()
    }

    /// Whether a manifest needs the blob.
    pub fn needs(&self, blob: usize) -> bool {
        self.manifests.iter().any(|manifest| made(*manifest).blobs.contains(&blob))
    }

    /// Whether an image index lists the manifest.
    pub fn lists(&self, manifest: usize) -> bool {
        self.manifests.iter().any(|parent| made(*parent).children.contains(&manifest))
    }
}

/// All repositories, by their number; one that holds nothing does not exist.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub repositories: BTreeMap<usize, Repository>,
}

impl Model {
    pub fn get(&self, repository: usize) -> Option<&Repository> {
        self.repositories.get(&repository).filter(|repository| !repository.is_empty())
    }

    pub fn change(&mut self, repository: usize) -> &mut Repository {
        self.repositories.entry(repository).or_default()
    }

    pub fn tag(&self, repository: usize, tag: usize) -> Option<usize> {
        self.get(repository)?.tags.get(TAGS[tag]).copied()
    }
}
