//! What a manifest must be to be taken, and what its push answers.

use roadstead::oci::digest::{Algorithm, Digest};
use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::wait::eventually;
use crate::support::{OCI_IMAGE, OCI_INDEX, Registry, descriptor, descriptor_of, digest_of, image};

const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

/// `manifest` with `field` set to `value`.
fn with(manifest: &Value, field: &str, value: Value) -> Value {
    let mut manifest = manifest.clone();
    manifest[field] = value;
    manifest
}

fn index(children: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children })
}

#[tokio::test]
async fn a_document_that_is_not_a_manifest_is_400_manifest_invalid() {
    let registry = Registry::start().await;
    let good = registry.image("a", "layer").await;
    let text = String::from_utf8(bytes(&good)).unwrap();
    let deep = format!("{{\"schemaVersion\":2,\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let documents = [
        Vec::new(),
        b"not json".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"{}".to_vec(),
        deep.into_bytes(),
        format!("\u{feff}{text}").into_bytes(),
        format!("{text}{text}").into_bytes(),
        format!("{text} x").into_bytes(),
        text.replacen("\"schemaVersion\":2", "\"schemaVersion\":NaN", 1).into_bytes(),
        text.replacen('{', "{\"schemaVersion\":2,", 1).into_bytes(),
        text.replacen('{', "{\"annotations\":{\"a\":\"1\",\"a\":\"2\"},", 1).into_bytes(),
        text.replacen("layer", "\u{0}", 1).into_bytes(),
        bytes(&with(&good, "schemaVersion", json!(3))),
        bytes(&with(&good, "layers", json!(null))),
        bytes(&with(&good, "config", json!(null))),
        bytes(&with(&good, "layers", json!([{ "mediaType": "x/y", "digest": "sha256:abc", "size": 1 }]))),
        bytes(&with(&good, "annotations", json!({ "a": 1 }))),
        bytes(&index(&[])).iter().map(|byte| if *byte == b']' { b'}' } else { *byte }).collect(),
    ];
    for document in documents {
        let answer = registry.put_bytes("a", "t", OCI_IMAGE, document.clone()).await;
        assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(&document[..document.len().min(200)]));
        assert_eq!(answer.code(), "MANIFEST_INVALID");
    }
    for size in [json!(-1), json!(1.5), json!(u64::MAX), json!("5"), json!(6)] {
        let mut wrong = good.clone();
        wrong["layers"][0]["size"] = size;
        registry.put_manifest("a", "t", &wrong).await.refused(400, "MANIFEST_INVALID");
    }
    let schema1 = json!({ "schemaVersion": 1, "name": "a", "tag": "t", "fsLayers": [] });
    let old = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    registry.put_bytes("a", "t", old, bytes(&schema1)).await.refused(400, "UNSUPPORTED");
    registry.get("/v2/a/manifests/t").await.expect(404);
}

#[tokio::test]
async fn every_type_that_clients_push_is_taken_and_served_in_its_exact_bytes() {
    let registry = Registry::start().await;
    let base = registry.image("a", "layer").await;
    let spaced = format!("  {}\n\n", serde_json::to_string_pretty(&base).unwrap());
    let untyped = {
        let mut manifest = base.clone();
        manifest.as_object_mut().unwrap().remove("mediaType");
        manifest
    };
    registry.put_manifest("a", "base", &base).await.expect(201);
    let documents = [
        (OCI_IMAGE, spaced.into_bytes()),
        (OCI_IMAGE, bytes(&untyped)),
        (OCI_IMAGE, bytes(&with(&base, "unknownField", json!({ "deep": [1, 2, { "x": null }] })))),
        (DOCKER_IMAGE, bytes(&with(&base, "mediaType", json!(DOCKER_IMAGE)))),
        (OCI_INDEX, bytes(&index(&[descriptor_of(&base)]))),
        (DOCKER_LIST, bytes(&with(&index(&[descriptor_of(&base)]), "mediaType", json!(DOCKER_LIST)))),
        (OCI_INDEX, bytes(&index(&[]))),
        (OCI_IMAGE, bytes(&with(&base, "layers", json!([])))),
        (OCI_IMAGE, bytes(&with(&base, "artifactType", json!("application/vnd.example+json")))),
    ];
    for (media_type, document) in documents {
        let pushed = registry.put_bytes("a", "t", media_type, document.clone()).await.expect(201);
        let digest = Digest::of(&document).to_string();
        assert_eq!(pushed.header("docker-content-digest"), digest);
        assert_eq!(pushed.header("location"), format!("/v2/a/manifests/{digest}"));
        let pulled = registry.ask("GET", "/v2/a/manifests/t").header("accept", "text/plain").send().await.expect(200);
        assert_eq!((pulled.header("content-type"), &pulled.body), (media_type, &document));
    }
}

#[tokio::test]
async fn a_manifest_whose_parts_are_missing_is_400_manifest_blob_unknown() {
    let registry = Registry::start().await;
    registry.push_blob("a", b"{}").await;
    let answer = registry.put_manifest("a", "t", &image("never pushed")).await.refused(400, "MANIFEST_BLOB_UNKNOWN");
    let missing = Digest::of(b"never pushed").to_string();
    assert_eq!(answer.json()["errors"][0]["detail"]["missing"], json!([missing]));
    registry.put_manifest("a", "t", &index(&[descriptor_of(&image("x"))])).await.refused(400, "MANIFEST_BLOB_UNKNOWN");
    // A blob of another repository is not one of this.
    registry.push_blob("b", b"never pushed").await;
    registry.put_manifest("a", "t", &image("never pushed")).await.refused(400, "MANIFEST_BLOB_UNKNOWN");
    registry.get("/v2/a/manifests/t").await.expect(404);
}

#[tokio::test]
async fn the_sparse_option_takes_manifests_whose_parts_are_elsewhere() {
    let registry = Registry::with(|config| config.manifests.sparse = true).await;
    registry.put_manifest("a", "t", &index(&[descriptor_of(&image("x"))])).await.expect(201);
    registry.put_manifest("a", "u", &image("y")).await.expect(201);
    registry.get("/v2/a/manifests/u").await.expect(200);
}

#[tokio::test]
async fn foreign_layers_need_not_be_here() {
    let registry = Registry::start().await;
    let mut manifest = registry.image("a", "layer").await;
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let mut layer = descriptor(foreign, b"somewhere else");
    layer["urls"] = json!(["https://example.com/layer"]);
    manifest["layers"].as_array_mut().unwrap().push(layer);
    registry.put_manifest("a", "t", &manifest).await.expect(201);
}

#[tokio::test]
async fn a_push_by_digest_must_match_and_may_bring_tags() {
    let registry = Registry::start().await;
    let manifest = registry.image("a", "layer").await;
    let other = Digest::of(b"other").to_string();
    registry.put_manifest("a", &other, &manifest).await.refused(400, "DIGEST_INVALID");
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = Digest::of_with(algorithm, &bytes(&manifest)).to_string();
        let answer = registry.put_manifest("a", &digest, &manifest).await.expect(201);
        assert_eq!(answer.header("docker-content-digest"), digest);
        let pulled = registry.get(&format!("/v2/a/manifests/{digest}")).await.expect(200);
        assert_eq!(pulled.header("docker-content-digest"), digest);
    }
    let digest = digest_of(&manifest);
    let tags: Vec<String> = (0..100).map(|number| format!("t{number}")).collect();
    let query = |tags: &[String]| tags.iter().map(|tag| format!("tag={tag}")).collect::<Vec<_>>().join("&");
    let answer = registry.put_manifest("a", &format!("{digest}?{}", query(&tags)), &manifest).await.expect(201);
    let said: Vec<_> = answer.header("oci-tag").split(", ").collect();
    assert_eq!(said, tags);
    for tag in ["t0", "t99"] {
        registry.get(&format!("/v2/a/manifests/{tag}")).await.expect(200);
    }
    let many: Vec<String> = (0..101).map(|number| format!("u{number}")).collect();
    let answer = registry.put_manifest("a", &format!("{digest}?{}", query(&many)), &manifest).await;
    answer.refused(414, "MANIFEST_INVALID");
    registry.get("/v2/a/manifests/u0").await.expect(404);
}

#[tokio::test]
async fn a_manifest_of_four_mib_passes_and_a_byte_more_is_413() {
    let registry = Registry::start().await;
    let base = registry.image("a", "layer").await;
    let empty = bytes(&with(&base, "annotations", json!({ "padding": "" }))).len();
    let padded = |length: usize| bytes(&with(&base, "annotations", json!({ "padding": "x".repeat(length - empty) })));
    let limit = 4 << 20;
    let manifest = padded(limit);
    assert_eq!(manifest.len(), limit);
    registry.put_bytes("a", "t", OCI_IMAGE, manifest.clone()).await.expect(201);
    assert_eq!(registry.get("/v2/a/manifests/t").await.expect(200).body, manifest);
    registry.put_bytes("a", "t", OCI_IMAGE, padded(limit + 1)).await.refused(413, "MANIFEST_INVALID");
}

#[tokio::test]
async fn a_subject_is_told_whether_or_not_it_is_here() {
    let registry = Registry::start().await;
    let subject = descriptor(OCI_IMAGE, b"never pushed");
    let manifest = with(&registry.image("a", "layer").await, "subject", subject.clone());
    let answer = registry.put_manifest("a", "t", &manifest).await.expect(201);
    assert_eq!(answer.header("oci-subject"), subject["digest"].as_str().unwrap());
}

#[tokio::test]
async fn an_image_index_of_many_children_is_answered_in_bounded_time() {
    let registry = Registry::start().await;
    let children: Vec<Value> = (0..20_000_u32).map(|number| descriptor(OCI_IMAGE, &number.to_le_bytes())).collect();
    let began = std::time::Instant::now();
    registry.put_manifest("a", "t", &index(&children)).await.refused(400, "MANIFEST_BLOB_UNKNOWN");
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
}

#[tokio::test]
async fn large_manifests_that_trickle_in_do_not_fill_the_memory() {
    use tokio::io::AsyncWriteExt;

    let server = Server::start().await;
    let client = server.client();
    let base = client.image("a", "layer").await;
    let large = bytes(&with(&base, "annotations", json!({ "padding": "x".repeat(100_000) })));
    let head = "PUT /v2/a/manifests/t HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; 70_000]).await.unwrap();
        held.push(stream);
    }
    eventually("all of them have sent much", async || {
        server.metric("roadstead_received_bytes_total").await.unwrap() >= 64.0 * 70_000.0
    })
    .await;
    let answer = client.put_bytes("a", "t", OCI_IMAGE, large.clone()).await.refused(429, "TOOMANYREQUESTS");
    assert_ne!(answer.header("retry-after"), "");
    client.put_manifest("a", "t", &base).await.expect(201);
    drop(held);
    eventually("there is a place again", async || {
        client.put_bytes("a", "t", OCI_IMAGE, large.clone()).await.status == 201
    })
    .await;
}
