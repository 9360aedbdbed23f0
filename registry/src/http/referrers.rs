//! `referrers/<digest>`: the manifests whose subject it is, as an image index of the OCI image specification.

use std::collections::BTreeMap;

use http::Response;
use serde::Serialize;

use super::reply::{self, OCI_FILTERS_APPLIED, Reply};
use super::{Call, access, pages};
use crate::index::query::{ListReferrers, Page, Referrer};
use crate::oci::action::PageRequest;
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;

const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The most bytes of an answer: the size of manifest that every client must take.
const MAX_BYTES: usize = 4 << 20;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageIndex {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

pub async fn list(
    call: &Call,
    repository: RepositoryName,
    subject: Digest,
    artifact_type: Option<String>,
    page: &PageRequest,
) -> Reply {
    let limit = pages::limit(page);
    let last = page.last.as_deref().map(str::parse).transpose().map_err(crate::oci::action::ActionError::Digest)?;
    let query =
        ListReferrers { repository: repository.clone(), subject, artifact_type: artifact_type.clone(), last, limit };
    let found = match call.session.query(query).await {
        // As of a repository that is not there.
        Err(error) if access::is_absent(&error) => Page { items: Vec::new(), more: false },
        found => fitting(found?),
    };
    let mut builder = Response::builder();
    if artifact_type.is_some() {
        builder = builder.header(OCI_FILTERS_APPLIED, "artifactType");
    }
    if let (true, Some(last)) = (found.more, found.items.last()) {
        let path = format!("/v2/{repository}/referrers/{subject}");
        let filter: Vec<_> = artifact_type.iter().map(|value| ("artifactType", value.as_str())).collect();
        builder = pages::link(builder, &path, &filter, limit, &last.digest.to_string());
    }
    let manifests = found.items.into_iter().map(descriptor).collect();
    reply::json(builder, IMAGE_INDEX, &ImageIndex { schema_version: 2, media_type: IMAGE_INDEX, manifests })
}

fn descriptor(referrer: Referrer) -> Descriptor {
    Descriptor {
        media_type: referrer.media_type,
        digest: referrer.digest,
        size: referrer.size,
        artifact_type: referrer.artifact_type,
        annotations: referrer.annotations,
    }
}

/// Cuts a page where its answer would become too large; the rest is on the next page. One referrer always fits, since
/// its annotations come from one manifest.
fn fitting(mut page: Page<Referrer>) -> Page<Referrer> {
    let mut bytes = 0;
    let count = page
        .items
        .iter()
        .take_while(|referrer| {
            bytes += json_size(referrer);
            bytes <= MAX_BYTES
        })
        .count()
        .max(1);
    if count < page.items.len() {
        page.items.truncate(count);
        page.more = true;
    }
    page
}

/// A bound of the size of a descriptor.
fn json_size(referrer: &Referrer) -> usize {
    let json = |text: &str| serde_json::to_string(text).map_or(text.len() * 6, |json| json.len());
    let annotations: usize = referrer.annotations.iter().map(|(key, value)| json(key) + json(value) + 2).sum();
    400 + json(&referrer.media_type) + referrer.artifact_type.as_deref().map_or(0, json) + annotations
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn referrer(number: usize, annotation: usize) -> Referrer {
        Referrer {
            digest: Digest::of(&number.to_le_bytes()),
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            size: 1,
            artifact_type: Some("a/b".into()),
            annotations: BTreeMap::from([("k".into(), "\u{1}".repeat(annotation))]),
        }
    }

    #[test]
    fn an_answer_stays_below_the_size_every_client_takes() {
        let items = (0..100).map(|number| referrer(number, 20_000)).collect();
        let page = fitting(Page { items, more: false });
        assert!(page.more && !page.items.is_empty());
        let index = ImageIndex {
            schema_version: 2,
            media_type: IMAGE_INDEX,
            manifests: page.items.into_iter().map(descriptor).collect(),
        };
        assert!(serde_json::to_vec(&index).unwrap().len() <= MAX_BYTES);
    }

    #[test]
    fn a_page_that_fits_is_left_alone() {
        let items: Vec<_> = (0..1000).map(|number| referrer(number, 10)).collect();
        assert_eq!(fitting(Page { items: items.clone(), more: false }), Page { items, more: false });
    }

    #[test]
    fn a_referrer_too_large_alone_is_still_listed() {
        let page = fitting(Page { items: vec![referrer(1, 5 << 20), referrer(2, 1)], more: false });
        assert_eq!((page.items.len(), page.more), (1, true));
    }
}
