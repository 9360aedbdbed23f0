//! What a manifest says, as far as the registry must know it: what it needs, lists and refers to. Pure.
//!
//! Called when a manifest is pushed. The bytes themselves are kept and served exactly as they came; nothing here is ever
//! written out again, and no `urls` in it are ever followed.

mod json;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::digest::Digest;
use json::Object;

pub const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Layers of these types are fetched from elsewhere, so they need not be here (OCI image specification, "Layer Media
/// Types", and Docker schema 2).
const FOREIGN: [&str; 4] = [
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
];

/// What a manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub media_type: &'static str,
    /// `artifactType`, else the media type of the config.
    pub artifact_type: Option<String>,
    pub subject: Option<Digest>,
    pub annotations: BTreeMap<String, String>,
    /// Config and layers with the sizes claimed, each once.
    pub blobs: BTreeMap<Digest, u64>,
    /// Layers that clients may fetch from elsewhere: they need not be here, but are needed if they are.
    pub foreign: BTreeMap<Digest, u64>,
    /// Manifests that an image index lists, each once.
    pub children: BTreeMap<Digest, u64>,
}

/// Why a document is not a manifest that can be taken.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest is not the JSON of its type: {0}")]
    Json(#[from] serde_json::Error),
    #[error("schema 1 manifests are not supported; push the image with a newer client")]
    Schema1,
    #[error("the manifest has neither a Content-Type nor a mediaType")]
    NoType,
    #[error("the Content-Type is {header}, but the mediaType of the manifest is {field}")]
    TypesDiffer { header: String, field: String },
    #[error("{0} is not the type of an image manifest or an image index")]
    UnknownType(String),
    #[error("the manifest has fields of an image and of an image index")]
    Ambiguous,
    #[error("the manifest lacks {0}")]
    Lacks(&'static str),
    #[error("schemaVersion is not 2")]
    Version,
    #[error("the manifest lists {digest} with two sizes")]
    TwoSizes { digest: Digest },
    #[error("the size of {digest} is too large")]
    Size { digest: Digest },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Object<Descriptor>>,
    layers: Option<Vec<Object<Descriptor>>>,
    manifests: Option<Vec<Object<Descriptor>>>,
    subject: Option<Object<Descriptor>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
}

/// Reads a manifest that was sent with `content_type`.
pub fn parse(content_type: Option<&str>, bytes: &[u8]) -> Result<Manifest, ManifestError> {
    // The first reading is of the JSON as such: parsers differ in which of two equal keys they take and in how deep they
    // go, and everybody must see the same manifest.
    let _: json::Unambiguous = serde_json::from_slice(bytes)?;
    let Object(document): Object<Document> = serde_json::from_slice(bytes)?;
    if document.schema_version == 1 || document.fs_layers.is_some() {
        return Err(ManifestError::Schema1);
    }
    if document.schema_version != 2 {
        return Err(ManifestError::Version);
    }
    let media_type = media_type(content_type, document.media_type.as_deref())?;
    let mut parts = Parts::default();
    let artifact_type = document.artifact_type.filter(|text| !text.is_empty());
    let artifact_type = if matches!(media_type, OCI_IMAGE | DOCKER_IMAGE) {
        if document.manifests.is_some() {
            return Err(ManifestError::Ambiguous);
        }
        let Object(config) = document.config.ok_or(ManifestError::Lacks("config"))?;
        parts.blob(&config)?;
        for Object(layer) in document.layers.ok_or(ManifestError::Lacks("layers"))? {
            if FOREIGN.contains(&layer.media_type.as_str()) { parts.foreign(&layer)? } else { parts.blob(&layer)? }
        }
        artifact_type.or(Some(config.media_type))
    } else {
        if document.config.is_some() || document.layers.is_some() {
            return Err(ManifestError::Ambiguous);
        }
        for Object(child) in document.manifests.ok_or(ManifestError::Lacks("manifests"))? {
            // Some builders list the layers of a cache in an image index.
            if known(&child.media_type).is_some() { parts.child(&child)? } else { parts.blob(&child)? }
        }
        artifact_type
    };
    Ok(Manifest {
        media_type,
        artifact_type,
        subject: document.subject.map(|Object(subject)| subject.digest),
        annotations: document.annotations.unwrap_or_default(),
        foreign: parts.foreign_alone()?,
        blobs: parts.blobs,
        children: parts.children,
    })
}

fn known(media_type: &str) -> Option<&'static str> {
    [OCI_IMAGE, OCI_INDEX, DOCKER_IMAGE, DOCKER_LIST].into_iter().find(|known| *known == media_type)
}

fn media_type(header: Option<&str>, field: Option<&str>) -> Result<&'static str, ManifestError> {
    let header =
        header.map(|value| value.split(';').next().unwrap_or_default().trim()).filter(|value| !value.is_empty());
    let text = match (header, field) {
        (Some(header), Some(field)) if header != field => {
            return Err(ManifestError::TypesDiffer { header: header.to_owned(), field: field.to_owned() });
        }
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => return Err(ManifestError::NoType),
    };
    known(text).ok_or_else(|| ManifestError::UnknownType(text.to_owned()))
}

#[derive(Default)]
struct Parts {
    blobs: BTreeMap<Digest, u64>,
    foreign: BTreeMap<Digest, u64>,
    children: BTreeMap<Digest, u64>,
}

impl Parts {
    fn blob(&mut self, descriptor: &Descriptor) -> Result<(), ManifestError> {
        add(&mut self.blobs, descriptor)
    }

    fn foreign(&mut self, descriptor: &Descriptor) -> Result<(), ManifestError> {
        add(&mut self.foreign, descriptor)
    }

    /// The foreign layers that are not listed as ordinary ones as well.
    fn foreign_alone(&mut self) -> Result<BTreeMap<Digest, u64>, ManifestError> {
        let mut foreign = std::mem::take(&mut self.foreign);
        for (digest, size) in &self.blobs {
            if foreign.remove(digest).is_some_and(|other| other != *size) {
                return Err(ManifestError::TwoSizes { digest: *digest });
            }
        }
        Ok(foreign)
    }

    fn child(&mut self, descriptor: &Descriptor) -> Result<(), ManifestError> {
        add(&mut self.children, descriptor)
    }
}

fn add(parts: &mut BTreeMap<Digest, u64>, descriptor: &Descriptor) -> Result<(), ManifestError> {
    let digest = descriptor.digest;
    if i64::try_from(descriptor.size).is_err() {
        return Err(ManifestError::Size { digest });
    }
    match parts.insert(digest, descriptor.size) {
        Some(other) if other != descriptor.size => Err(ManifestError::TwoSizes { digest }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
