//! Deletion of tags, manifests and blobs, and the switch that turns it off.

use serde_json::json;

use crate::support::{OCI_INDEX, Registry, descriptor_of, digest_of};

#[tokio::test]
async fn a_tag_goes_alone_and_a_manifest_with_its_tags() {
    let registry = Registry::start().await;
    let digest = registry.push_image("a", "t", "layer").await;
    registry.push_image("a", "u", "layer").await;
    registry.delete("/v2/a/manifests/t").await.expect(202);
    registry.get("/v2/a/manifests/t").await.expect(404);
    registry.get(&format!("/v2/a/manifests/{digest}")).await.expect(200);
    registry.delete(&format!("/v2/a/manifests/{digest}")).await.expect(202);
    registry.get("/v2/a/manifests/u").await.refused(404, "MANIFEST_UNKNOWN");
    registry.get(&format!("/v2/a/manifests/{digest}")).await.expect(404);
    assert_eq!(registry.get("/v2/a/tags/list").await.expect(200).json()["tags"], json!([]));
    registry.delete(&format!("/v2/a/manifests/{digest}")).await.refused(404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn what_is_needed_is_not_deleted() {
    let registry = Registry::start().await;
    let manifest = registry.image("a", "layer").await;
    registry.put_manifest("a", "t", &manifest).await.expect(201);
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor_of(&manifest)] });
    registry.put_manifest("a", "i", &index).await.expect(201);
    let layer = format!("/v2/a/blobs/{}", manifest["layers"][0]["digest"].as_str().unwrap());
    registry.delete(&layer).await.refused(405, "UNSUPPORTED");
    let child = format!("/v2/a/manifests/{}", digest_of(&manifest));
    let refused = registry.delete(&child).await.refused(405, "UNSUPPORTED");
    assert_eq!(refused.json()["errors"][0]["detail"]["parent"], digest_of(&index).to_string());
    registry.get(&layer).await.expect(200);
    registry.get(&child).await.expect(200);
    registry.delete(&format!("/v2/a/manifests/{}", digest_of(&index))).await.expect(202);
    registry.delete(&child).await.expect(202);
    registry.delete(&layer).await.expect(202);
    registry.get(&layer).await.expect(404);
}

#[tokio::test]
async fn a_deleted_image_is_pushed_again_as_if_it_had_never_been() {
    let registry = Registry::start().await;
    for _ in 0..3 {
        let digest = registry.push_image("a", "t", &"layer ".repeat(10_000)).await;
        registry.get("/v2/a/manifests/t").await.expect(200);
        registry.delete(&format!("/v2/a/manifests/{digest}")).await.expect(202);
        registry.get("/v2/a/manifests/t").await.expect(404);
    }
}
