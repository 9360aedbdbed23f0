//! What callers without an identity may do, at each level that can be set.

use roadstead::config::Anonymous;

use crate::support::{Registry, image};

async fn registry(level: Anonymous) -> Registry {
    Registry::with(|config| config.access.anonymous = Some(level)).await
}

/// Else a client that could log in would believe that there is nothing to log in for.
#[tokio::test]
async fn clients_are_told_to_log_in_unless_everyone_may_do_everything() {
    registry(Anonymous::Delete).await.get("/v2/").await.expect(200);
    for level in [Anonymous::Nothing, Anonymous::Pull, Anonymous::Push] {
        registry(level).await.get("/v2/").await.refused(401, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn those_who_may_pull_may_not_push_or_delete() {
    let registry = registry(Anonymous::Pull).await;
    registry.get("/v2/_catalog").await.expect(200);
    registry.get("/v2/a/manifests/v1").await.refused(404, "NAME_UNKNOWN");
    registry.ask("POST", "/v2/a/blobs/uploads/").send().await.refused(401, "UNAUTHORIZED");
    registry.put_manifest("a", "v1", &image("x")).await.refused(401, "UNAUTHORIZED");
    registry.delete("/v2/a/manifests/v1").await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn those_who_may_push_may_not_delete() {
    let registry = registry(Anonymous::Push).await;
    registry.push_image("a", "v1", "layer").await;
    registry.push_image("a", "v1", "another").await;
    registry.get("/v2/a/manifests/v1").await.expect(200);
    registry.delete("/v2/a/manifests/v1").await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn those_who_may_do_nothing_are_asked_to_log_in_for_everything() {
    let registry = registry(Anonymous::Nothing).await;
    for (method, path) in [
        ("GET", "/v2/"),
        ("GET", "/v2/_catalog"),
        ("GET", "/v2/a/tags/list"),
        ("GET", "/v2/a/manifests/v1"),
        ("POST", "/v2/a/blobs/uploads/"),
        ("DELETE", "/v2/a/manifests/v1"),
    ] {
        registry.ask(method, path).send().await.refused(401, "UNAUTHORIZED");
    }
}
