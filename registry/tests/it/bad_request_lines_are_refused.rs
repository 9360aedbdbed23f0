//! A request line that is not in the language of the API is refused with the right status and code, and stores nothing.

use crate::support::{OCI_IMAGE, Registry};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[tokio::test]
async fn an_ill_formed_name_is_400_name_invalid() {
    let registry = Registry::start().await;
    let long = "a".repeat(256);
    for name in ["A", "a//b", "-a", "a%2fb", "a%00", "%c3%a4", "a%C0%AF", "a..b", long.as_str()] {
        for (method, path) in [
            ("GET", format!("/v2/{name}/tags/list")),
            ("GET", format!("/v2/{name}/manifests/v1")),
            ("PUT", format!("/v2/{name}/manifests/v1")),
            ("POST", format!("/v2/{name}/blobs/uploads/")),
            ("GET", format!("/v2/{name}/blobs/sha256:{HEX}")),
        ] {
            registry.ask(method, &path).send().await.refused(400, "NAME_INVALID");
        }
    }
}

#[tokio::test]
async fn an_ill_formed_digest_is_400_digest_invalid() {
    let registry = Registry::start().await;
    let upload = registry.begin("a").await;
    let upper = format!("sha256:{}", HEX.to_uppercase());
    let short = format!("sha256:{}", &HEX[1..]);
    let long = format!("sha512:{HEX}");
    for digest in ["sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e", &upper, &short, &long, "sha256:..%2f..%2fx"] {
        for (method, path) in [
            ("GET", format!("/v2/a/blobs/{digest}")),
            ("DELETE", format!("/v2/a/blobs/{digest}")),
            ("GET", format!("/v2/a/manifests/{digest}")),
            ("PUT", format!("/v2/a/manifests/{digest}")),
            ("GET", format!("/v2/a/referrers/{digest}")),
            ("PUT", format!("{upload}?digest={digest}")),
            ("POST", format!("/v2/a/blobs/uploads/?digest={digest}")),
            ("POST", format!("/v2/a/blobs/uploads/?mount={digest}&from=b")),
        ] {
            registry.ask(method, &path).send().await.refused(400, "DIGEST_INVALID");
        }
        assert_eq!(registry.head(&format!("/v2/a/blobs/{digest}")).await.expect(400).body, b"");
    }
    registry.ask("PUT", &upload).send().await.refused(400, "DIGEST_INVALID");
    assert_eq!(registry.store.count(), 0);
}

#[tokio::test]
async fn an_ill_formed_tag_is_invalid_to_push_and_unknown_to_pull() {
    let registry = Registry::start().await;
    let manifest = serde_json::to_vec(&registry.image("a", "layer").await).unwrap();
    let long = "t".repeat(129);
    for tag in [".t", "-t", "t%20t", long.as_str()] {
        registry.put_bytes("a", tag, OCI_IMAGE, manifest.clone()).await.refused(400, "MANIFEST_INVALID");
        registry.get(&format!("/v2/a/manifests/{tag}")).await.refused(404, "MANIFEST_UNKNOWN");
        registry.delete(&format!("/v2/a/manifests/{tag}")).await.refused(404, "MANIFEST_UNKNOWN");
    }
    registry.get("/v2/a/manifests/t").await.refused(404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn an_unknown_path_is_404_and_an_unknown_method_405_in_the_same_json() {
    let registry = Registry::start().await;
    for path in ["/", "/v1/", "/V2/", "/v2/a", "/v2/a/unknown/x", "/v2/_catalog/", "/favicon.ico"] {
        registry.get(path).await.refused(404, "UNSUPPORTED");
    }
    for (method, path, allow) in [
        ("POST", "/v2/", "GET, HEAD"),
        ("PATCH", "/v2/a/manifests/v1", "GET, HEAD, PUT, DELETE"),
        ("GET", "/v2/a/blobs/uploads/", "POST"),
        ("OPTIONS", "/v2/a/tags/list", "GET, HEAD"),
    ] {
        let answer = registry.ask(method, path).send().await.refused(405, "UNSUPPORTED");
        assert_eq!(answer.header("allow"), allow);
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_with_the_code_of_what_is_missing() {
    let registry = Registry::start().await;
    let digest = format!("sha256:{HEX}");
    registry.get("/v2/none/tags/list").await.refused(404, "NAME_UNKNOWN");
    registry.get("/v2/none/manifests/v1").await.refused(404, "NAME_UNKNOWN");
    registry.get(&format!("/v2/none/blobs/{digest}")).await.refused(404, "NAME_UNKNOWN");
    registry.delete("/v2/none/manifests/v1").await.refused(404, "NAME_UNKNOWN");
    registry.delete(&format!("/v2/none/manifests/{digest}")).await.refused(404, "NAME_UNKNOWN");
    registry.push_image("a", "v1", "layer").await;
    registry.get("/v2/a/manifests/v2").await.refused(404, "MANIFEST_UNKNOWN");
    registry.get(&format!("/v2/a/manifests/{digest}")).await.refused(404, "MANIFEST_UNKNOWN");
    registry.get(&format!("/v2/a/blobs/{digest}")).await.refused(404, "BLOB_UNKNOWN");
    registry.delete("/v2/a/manifests/v2").await.refused(404, "MANIFEST_UNKNOWN");
    registry.delete(&format!("/v2/a/manifests/{digest}")).await.refused(404, "MANIFEST_UNKNOWN");
    registry.delete(&format!("/v2/a/blobs/{digest}")).await.refused(404, "BLOB_UNKNOWN");
    for path in ["/v2/a/manifests/v2".to_owned(), format!("/v2/a/blobs/{digest}")] {
        let answer = registry.head(&path).await.expect(404);
        assert_eq!(answer.body, b"");
    }
}

#[tokio::test]
async fn every_answer_names_the_api_and_the_request() {
    let registry = Registry::start().await;
    for path in ["/v2/", "/v2/_catalog", "/v2/a/tags/list", "/nowhere"] {
        let answer = registry.get(path).await;
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("content-security-policy").contains("sandbox"));
        assert_eq!(answer.header("x-request-id").len(), 16);
    }
    assert_eq!(registry.get("/v2/").await.expect(200).body, b"{}");
}

#[tokio::test]
async fn a_request_line_that_is_too_long_is_414() {
    let registry = Registry::start().await;
    let path = format!("/v2/_catalog?last={}", "a".repeat(20_000));
    registry.get(&path).await.refused(414, "UNSUPPORTED");
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let registry = Registry::start().await;
    let digest = registry.push_image("a", "v1", "layer").await;
    for path in [
        "/v2/".to_owned(),
        "/v2/_catalog".to_owned(),
        "/v2/a/tags/list".to_owned(),
        "/v2/a/manifests/v1".to_owned(),
        format!("/v2/a/referrers/{digest}"),
        "/v2/a/_roadstead/tags/history?tag=v1".to_owned(),
    ] {
        let (get, head) = (registry.get(&path).await.expect(200), registry.head(&path).await.expect(200));
        assert_eq!(head.body, b"", "{path}");
        for name in ["content-type", "content-length", "docker-content-digest", "etag"] {
            assert_eq!(get.header(name), head.header(name), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn a_name_may_be_made_of_the_words_of_the_api() {
    let registry = Registry::start().await;
    for name in ["blobs/uploads", "tags/list", "manifests", "a/referrers/tags", "v2/blobs"] {
        registry.push_image(name, "list", name).await;
        registry.get(&format!("/v2/{name}/manifests/list")).await.expect(200);
        assert_eq!(registry.get(&format!("/v2/{name}/tags/list")).await.expect(200).json()["name"], name);
    }
}
