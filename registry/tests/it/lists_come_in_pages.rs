//! `_catalog`, `tags/list` and `referrers`: ordered, complete, in pages of a bounded size.

use std::collections::BTreeSet;

use roadstead::oci::digest::Digest;
use serde_json::{Value, json};

use crate::support::{OCI_IMAGE, OCI_INDEX, Registry, descriptor, digest_of};

/// Follows the links from `path` and gives what stands under `field` of each page.
async fn pages(registry: &Registry, path: &str, field: &str) -> Vec<Vec<Value>> {
    let mut next = Some(path.to_owned());
    let mut pages = Vec::new();
    while let Some(path) = next {
        let answer = registry.get(&path).await.expect(200);
        pages.push(answer.json()[field].as_array().unwrap().clone());
        let link = answer.header("link");
        next = (!link.is_empty()).then(|| {
            let target = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
            target.to_owned()
        });
        assert!(pages.len() < 1000, "the links go in a circle");
    }
    pages
}

#[tokio::test]
async fn every_tag_is_listed_once_in_byte_order_whatever_the_page() {
    let registry = Registry::start().await;
    let tags = ["0.1", "0.1-a", "0.1.2", "0.1.20", "0.1_a", "A", "Z", "_", "a", "a.b", "latest", "z"];
    let manifest = registry.image("a", "layer").await;
    let query: Vec<String> = tags.iter().rev().map(|tag| format!("tag={tag}")).collect();
    registry.put_manifest("a", &format!("{}?{}", digest_of(&manifest), query.join("&")), &manifest).await.expect(201);
    for n in [1, 2, 5, 11, 12, 13, 1000] {
        let pages = pages(&registry, &format!("/v2/a/tags/list?n={n}"), "tags").await;
        assert!(pages.iter().all(|page| page.len() <= n));
        assert_eq!(pages.concat(), tags, "{n}");
    }
    assert_eq!(registry.get("/v2/a/tags/list").await.json(), json!({ "name": "a", "tags": tags }));
    let after = |last: &str| format!("/v2/a/tags/list?last={last}");
    assert_eq!(registry.get(&after("0.1.3")).await.json()["tags"][0], "0.1_a");
    assert_eq!(registry.get(&after("%00%ff/../")).await.expect(200).json()["tags"].as_array().unwrap().len(), 12);
    assert_eq!(registry.get(&after("zz")).await.expect(200).json()["tags"], json!([]));
}

#[tokio::test]
async fn a_page_of_none_is_empty_and_leads_nowhere() {
    let registry = Registry::start().await;
    registry.push_image("a", "t", "layer").await;
    for (path, field) in [("/v2/a/tags/list?n=0", "tags"), ("/v2/_catalog?n=0", "repositories")] {
        let answer = registry.get(path).await.expect(200);
        assert_eq!(answer.json()[field], json!([]));
        assert_eq!(answer.header("link"), "");
    }
}

#[tokio::test]
async fn a_page_size_that_is_no_number_is_400() {
    let registry = Registry::start().await;
    let digest = registry.push_image("a", "t", "layer").await;
    for n in ["-1", "abc", "1e30", "", "1.5"] {
        for path in ["/v2/a/tags/list".to_owned(), "/v2/_catalog".to_owned(), format!("/v2/a/referrers/{digest}")] {
            registry.get(&format!("{path}?n={n}")).await.refused(400, "UNSUPPORTED");
        }
    }
}

#[tokio::test]
async fn every_repository_is_listed_once_in_byte_order() {
    let registry = Registry::start().await;
    let names = ["a", "a-b", "a.b", "a/b", "a/b/c", "a0", "b", "team/app"];
    for name in names.iter().rev() {
        registry.push_blob(name, b"content").await;
    }
    for n in [1, 3, 8, 100] {
        assert_eq!(pages(&registry, &format!("/v2/_catalog?n={n}"), "repositories").await.concat(), names);
    }
}

#[tokio::test]
async fn referrers_are_an_image_index_with_filter_and_pages() {
    let registry = Registry::start().await;
    let subject = registry.push_image("a", "t", "layer").await;
    let base = registry.image("a", "signature").await;
    let mut digests = BTreeSet::new();
    for number in 0..7 {
        let mut manifest = base.clone();
        manifest["subject"] = json!({ "mediaType": OCI_IMAGE, "digest": subject.to_string(), "size": 1 });
        manifest["artifactType"] = json!(if number < 3 { "application/spdx+json" } else { "application/x" });
        manifest["annotations"] = json!({ "number": number.to_string() });
        registry.put_manifest("a", &digest_of(&manifest).to_string(), &manifest).await.expect(201);
        digests.insert(digest_of(&manifest).to_string());
    }
    let path = format!("/v2/a/referrers/{subject}");
    let all = registry.get(&path).await.expect(200);
    assert_eq!(all.header("content-type"), OCI_INDEX);
    assert_eq!(all.header("oci-filters-applied"), "");
    let index = all.json();
    assert_eq!((index["schemaVersion"].clone(), index["mediaType"].clone()), (json!(2), json!(OCI_INDEX)));
    for listed in [
        index["manifests"].as_array().unwrap().clone(),
        pages(&registry, &format!("{path}?n=2"), "manifests").await.concat(),
    ] {
        let found: BTreeSet<_> = listed.iter().map(|it| it["digest"].as_str().unwrap().to_owned()).collect();
        assert_eq!((found.len(), &found), (listed.len(), &digests));
        for it in &listed {
            assert_eq!(it["mediaType"], OCI_IMAGE);
            assert!(it["annotations"]["number"].is_string() && it["size"].is_u64() && it["artifactType"].is_string());
        }
    }
    for filter in ["application/spdx+json", "application%2Fspdx%2Bjson"] {
        let answer = registry.get(&format!("{path}?artifactType={filter}")).await.expect(200);
        assert_eq!(answer.header("oci-filters-applied"), "artifactType");
        assert_eq!(answer.json()["manifests"].as_array().unwrap().len(), 3);
        assert_eq!(pages(&registry, &format!("{path}?artifactType={filter}&n=1"), "manifests").await.concat().len(), 3);
    }
}

#[tokio::test]
async fn referrers_of_what_is_unknown_are_an_empty_image_index() {
    let registry = Registry::start().await;
    registry.push_image("a", "t", "layer").await;
    for name in ["a", "none"] {
        let answer = registry.get(&format!("/v2/{name}/referrers/{}", Digest::of(b"x"))).await.expect(200);
        assert_eq!(answer.json(), json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }));
        assert_eq!(answer.header("content-type"), OCI_INDEX);
    }
}

#[tokio::test]
async fn a_referrer_that_is_deleted_is_listed_no_more() {
    let registry = Registry::start().await;
    let mut manifest = registry.image("a", "signature").await;
    let subject = descriptor(OCI_IMAGE, b"subject");
    manifest["subject"] = subject.clone();
    let digest = digest_of(&manifest).to_string();
    registry.put_manifest("a", &digest, &manifest).await.expect(201);
    let path = format!("/v2/a/referrers/{}", subject["digest"].as_str().unwrap());
    assert_eq!(registry.get(&path).await.json()["manifests"].as_array().unwrap().len(), 1);
    registry.delete(&format!("/v2/a/manifests/{digest}")).await.expect(202);
    assert_eq!(registry.get(&path).await.json()["manifests"], json!([]));
}

#[tokio::test]
async fn referrers_with_large_annotations_come_in_more_pages() {
    let registry = Registry::start().await;
    let base = registry.image("a", "signature").await;
    let subject = descriptor(OCI_IMAGE, b"subject");
    for number in 0..5 {
        let mut manifest = base.clone();
        manifest["subject"] = subject.clone();
        manifest["annotations"] = json!({ "number": number.to_string(), "large": "\"".repeat(1_000_000) });
        registry.put_manifest("a", &digest_of(&manifest).to_string(), &manifest).await.expect(201);
    }
    let path = format!("/v2/a/referrers/{}", subject["digest"].as_str().unwrap());
    let first = registry.get(&path).await.expect(200);
    assert!(first.body.len() <= 4 << 20, "{}", first.body.len());
    let pages = pages(&registry, &path, "manifests").await;
    assert!(pages.len() >= 3);
    let all: BTreeSet<_> = pages.concat().iter().map(|it| it["digest"].to_string()).collect();
    assert_eq!((all.len(), pages.concat().len()), (5, 5));
}
