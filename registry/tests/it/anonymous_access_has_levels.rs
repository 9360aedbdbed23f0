//! What callers without an identity may do, at each level that can be set.

use roadstead::config::Anonymous;

use crate::support::{Registry, image};

async fn registry(level: Anonymous) -> Registry {
    Registry::with(|config| config.access.anonymous = Some(level)).await
}

#[tokio::test]
async fn those_who_may_pull_may_not_push_or_delete() {
    let registry = registry(Anonymous::Pull).await;
    registry.get("/v2/").await.expect(200);
    registry.get("/v2/_catalog").await.expect(200);
    registry.get("/v2/a/manifests/v1").await.refused(404, "NAME_UNKNOWN");
    registry.ask("POST", "/v2/a/blobs/uploads/").send().await.refused(403, "DENIED");
    registry.put_manifest("a", "v1", &image("x")).await.refused(403, "DENIED");
    registry.delete("/v2/a/manifests/v1").await.refused(403, "DENIED");
}

#[tokio::test]
async fn those_who_may_push_may_not_delete() {
    let registry = registry(Anonymous::Push).await;
    registry.push_image("a", "v1", "layer").await;
    registry.get("/v2/a/manifests/v1").await.expect(200);
    registry.delete("/v2/a/manifests/v1").await.refused(403, "DENIED");
}

#[tokio::test]
async fn to_those_who_may_do_nothing_everything_looks_absent() {
    let registry = registry(Anonymous::Nothing).await;
    registry.get("/v2/").await.expect(200);
    for (method, path) in [
        ("GET", "/v2/_catalog"),
        ("GET", "/v2/a/tags/list"),
        ("GET", "/v2/a/manifests/v1"),
        ("POST", "/v2/a/blobs/uploads/"),
        ("DELETE", "/v2/a/manifests/v1"),
    ] {
        registry.ask(method, path).send().await.refused(404, "NAME_UNKNOWN");
    }
}
