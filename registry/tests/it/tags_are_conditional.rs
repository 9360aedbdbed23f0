//! Compare-and-swap on tags, conditional reads, and the history of what a tag was.

use serde_json::Value;

use crate::support::{Answer, Registry, digest_of};

async fn put_if(registry: &Registry, reference: &str, manifest: &Value, header: &str, value: &str) -> Answer {
    let ask = registry.ask("PUT", &format!("/v2/a/manifests/{reference}"));
    let ask = ask.header("content-type", manifest["mediaType"].as_str().unwrap()).header(header, value);
    ask.body(serde_json::to_vec(manifest).unwrap()).send().await
}

#[tokio::test]
async fn a_tag_is_created_once_and_moved_only_by_who_knows_it() {
    let registry = Registry::start().await;
    let (one, two) = (registry.image("a", "one").await, registry.image("a", "two").await);
    let etag = |manifest: &Value| format!("\"{}\"", digest_of(manifest));
    put_if(&registry, "t", &one, "if-match", "*").await.refused(412, "DENIED");
    put_if(&registry, "t", &one, "if-none-match", "*").await.expect(201);
    let refused = put_if(&registry, "t", &two, "if-none-match", "*").await.refused(412, "DENIED");
    assert_eq!(refused.header("docker-content-digest"), digest_of(&one).to_string());
    let refused = put_if(&registry, "t", &two, "if-match", &etag(&two)).await.refused(412, "DENIED");
    assert_eq!(refused.header("docker-content-digest"), digest_of(&one).to_string());
    put_if(&registry, "t", &two, "if-match", &etag(&one)).await.expect(201);
    assert_eq!(registry.get("/v2/a/manifests/t").await.header("etag"), etag(&two));
    put_if(&registry, "t", &one, "if-none-match", &etag(&two)).await.expect(412);
    put_if(&registry, "t", &one, "if-match", &format!("\"x\", {}", etag(&two))).await.expect(201);
}

#[tokio::test]
async fn of_writers_that_race_for_one_tag_one_wins_each_round() {
    let registry = Registry::start().await;
    let first = registry.push_image("a", "t", "base").await;
    let mut images = Vec::new();
    for number in 0..8 {
        images.push(registry.image("a", &format!("image {number}")).await);
    }
    let etag = format!("\"{first}\"");
    let tries = images.iter().map(|image| put_if(&registry, "t", image, "if-match", &etag));
    let answers = futures::future::join_all(tries).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 412).count(), 7);
}

#[tokio::test]
async fn a_condition_that_cannot_be_judged_is_400() {
    let registry = Registry::start().await;
    let image = registry.image("a", "one").await;
    let digest = digest_of(&image).to_string();
    put_if(&registry, &digest, &image, "if-none-match", "*").await.refused(400, "UNSUPPORTED");
    put_if(&registry, "t?tag=u", &image, "if-none-match", "*").await.refused(400, "UNSUPPORTED");
    registry.push_image("a", "t", "one").await;
    let ask = registry.ask("DELETE", &format!("/v2/a/manifests/{digest}")).header("if-match", "*");
    ask.send().await.refused(400, "UNSUPPORTED");
}

#[tokio::test]
async fn a_tag_is_deleted_only_if_it_is_what_the_client_believes() {
    let registry = Registry::start().await;
    let (one, two) = (registry.push_image("a", "t", "one").await, registry.push_image("a", "u", "two").await);
    let delete = |value: String| registry.ask("DELETE", "/v2/a/manifests/t").header("if-match", value).send();
    let refused = delete(format!("\"{two}\"")).await.refused(412, "DENIED");
    assert_eq!(refused.header("docker-content-digest"), one.to_string());
    delete(format!("\"{one}\"")).await.expect(202);
    registry.get("/v2/a/manifests/t").await.expect(404);
    registry.get(&format!("/v2/a/manifests/{one}")).await.expect(200);
}

#[tokio::test]
async fn content_that_the_client_has_is_304() {
    let registry = Registry::start().await;
    let digest = registry.push_image("a", "t", "one").await;
    let blob = registry.push_blob("a", b"content").await;
    for (path, digest) in [("/v2/a/manifests/t".to_owned(), digest), (format!("/v2/a/blobs/{blob}"), blob)] {
        for method in ["GET", "HEAD"] {
            let ask = |value: String| registry.ask(method, &path).header("if-none-match", value).send();
            let answer = ask(format!("\"{digest}\"")).await.expect(304);
            assert_eq!(answer.header("etag"), format!("\"{digest}\""));
            assert_eq!(answer.header("docker-content-digest"), digest.to_string());
            assert_eq!(answer.body, b"");
            ask("\"sha256:0\"".into()).await.expect(200);
        }
    }
}

#[tokio::test]
async fn a_tag_remembers_what_it_was() {
    let registry = Registry::start().await;
    let one = registry.push_image("a", "t", "one").await;
    let two = registry.push_image("a", "t", "two").await;
    registry.push_image("a", "t", "two").await;
    registry.delete("/v2/a/manifests/t").await.expect(202);
    let answer = registry.get("/v2/a/_roadstead/tags/history?tag=t").await.expect(200).json();
    let digests: Vec<_> = answer["changes"].as_array().unwrap().iter().map(|change| change["digest"].clone()).collect();
    assert_eq!(digests, [Value::Null, two.to_string().into(), one.to_string().into()]);
    let newest = registry.get("/v2/a/_roadstead/tags/history?tag=t&n=1").await.expect(200).json();
    assert_eq!(newest["changes"].as_array().unwrap().len(), 1);
    registry.get("/v2/a/_roadstead/tags/history?tag=never").await.refused(404, "MANIFEST_UNKNOWN");
    registry.get("/v2/a/_roadstead/tags/history").await.refused(400, "UNSUPPORTED");
    registry.get("/v2/none/_roadstead/tags/history?tag=t").await.refused(404, "NAME_UNKNOWN");
}
