//! What was pushed is pulled, byte for byte.

use crate::support::{OCI_IMAGE, Registry, digest_of};

#[tokio::test]
async fn an_image_is_pulled_as_it_was_pushed() {
    let registry = Registry::start().await;
    let manifest = registry.image("team/app", "a layer").await;
    let pushed = registry.put_manifest("team/app", "v1", &manifest).await.expect(201);
    let digest = digest_of(&manifest).to_string();
    assert_eq!(pushed.header("docker-content-digest"), digest);
    for reference in ["v1", &digest] {
        let path = format!("/v2/team/app/manifests/{reference}");
        let pulled = registry.get(&path).await.expect(200);
        assert_eq!(pulled.body, serde_json::to_vec(&manifest).unwrap());
        let asked = registry.head(&path).await.expect(200);
        assert_eq!(asked.body, b"");
        for answer in [pulled, asked] {
            assert_eq!(answer.header("content-type"), OCI_IMAGE);
            assert_eq!(answer.header("docker-content-digest"), digest);
            assert_eq!(answer.header("etag"), format!("\"{digest}\""));
            assert_eq!(answer.header("content-length"), serde_json::to_vec(&manifest).unwrap().len().to_string());
        }
    }
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let pulled = registry.get(&format!("/v2/team/app/blobs/{layer}")).await.expect(200);
    assert_eq!(pulled.body, b"a layer");
    assert_eq!(pulled.header("docker-content-digest"), layer);
    let asked = registry.head(&format!("/v2/team/app/blobs/{layer}")).await.expect(200);
    assert_eq!(asked.header("content-length"), "7");
}
