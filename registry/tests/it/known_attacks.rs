//! Failures of other registries that became advisories: each must be impossible here. Numbers are those of the CVE.

use roadstead::oci::digest::Digest;
use serde_json::{Value, json};

use crate::support::{OCI_IMAGE, OCI_INDEX, Registry, digest_of};

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A huge page size allocates nothing.
#[tokio::test]
async fn cve_2023_2253_a_huge_page_size_is_the_largest_page() {
    let registry = Registry::start().await;
    let digest = registry.push_image("a", "t", "layer").await;
    for n in ["9223372036854775807", "1000000000", "99999999999999999999999999"] {
        for path in ["/v2/_catalog".to_owned(), "/v2/a/tags/list".into(), format!("/v2/a/referrers/{digest}")] {
            registry.get(&format!("{path}?n={n}")).await.expect(200);
        }
    }
}

/// An endless manifest is cut off early.
#[tokio::test]
async fn cve_2017_11468_an_endless_manifest_is_413_before_it_is_read() {
    let registry = Registry::start().await;
    let before = resident();
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 65_536])).take_bytes(1 << 30);
    let ask = registry.ask("PUT", "/v2/a/manifests/t").header("content-type", OCI_IMAGE);
    // The server answers and closes while the client still sends: the client sees the answer or the closed connection.
    if let Ok(answer) = ask.body(reqwest::Body::wrap_stream(endless)).try_send().await {
        answer.refused(413, "MANIFEST_INVALID");
    }
    assert!(resident().saturating_sub(before) < 64 << 20);
    registry.get("/v2/a/manifests/t").await.expect(404);
}

trait TakeBytes: Sized {
    fn take_bytes(self, bytes: usize) -> futures::stream::Take<Self>;
}

impl<S: futures::Stream> TakeBytes for S {
    /// As many buffers of 64 KiB as make `bytes`.
    fn take_bytes(self, bytes: usize) -> futures::stream::Take<Self> {
        futures::StreamExt::take(self, bytes / 65_536)
    }
}

/// A document that is an image to one reader and an index to another.
#[tokio::test]
async fn cve_2021_41190_a_manifest_has_one_type_for_everybody() {
    let registry = Registry::start().await;
    let image = registry.image("a", "layer").await;
    let bytes = |value: &Value| serde_json::to_vec(value).unwrap();
    let mut both = image.clone();
    both["manifests"] = json!([]);
    for media_type in [OCI_IMAGE, OCI_INDEX] {
        registry.put_bytes("a", "t", media_type, bytes(&both)).await.refused(400, "MANIFEST_INVALID");
        both.as_object_mut().unwrap().remove("mediaType");
    }
    registry.put_bytes("a", "t", OCI_INDEX, bytes(&image)).await.refused(400, "MANIFEST_INVALID");
    registry.put_bytes("a", "t", "text/html", bytes(&image)).await.refused(400, "MANIFEST_INVALID");
    // The same bytes cannot be stored again as another type.
    let mut untyped = image.clone();
    untyped.as_object_mut().unwrap().remove("mediaType");
    registry.put_bytes("a", "t", OCI_IMAGE, bytes(&untyped)).await.expect(201);
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    registry.put_bytes("a", "u", docker, bytes(&untyped)).await.refused(400, "MANIFEST_INVALID");
    assert_eq!(registry.get("/v2/a/manifests/t").await.header("content-type"), OCI_IMAGE);
}

/// Deletion that is turned off is off for every kind of name.
#[tokio::test]
async fn cve_2026_41888_deleting_turned_off_is_405_everywhere() {
    let registry = Registry::with(|config| config.delete.enabled = false).await;
    let digest = registry.push_image("a", "t", "layer").await;
    let blob = Digest::of(b"layer");
    for path in ["/v2/a/manifests/t".to_owned(), format!("/v2/a/manifests/{digest}"), format!("/v2/a/blobs/{blob}")] {
        registry.delete(&path).await.refused(405, "UNSUPPORTED");
        registry.get(&path).await.expect(200);
    }
    registry.delete("/v2/none/manifests/t").await.refused(405, "UNSUPPORTED");
}

/// A blob that is known elsewhere is not served, nor told, by a repository that does not have it.
#[tokio::test]
async fn cve_2024_39897_a_blob_of_another_repository_looks_like_one_that_is_nowhere() {
    let registry = Registry::start().await;
    registry.push_blob("b", b"own").await;
    let elsewhere = registry.push_blob("a", b"only in a").await;
    let nowhere = Digest::of(b"nowhere");
    for method in ["GET", "HEAD", "DELETE"] {
        let ask = |digest: Digest| registry.ask(method, &format!("/v2/b/blobs/{digest}")).send();
        let (known, unknown) = (ask(elsewhere).await.expect(404), ask(nowhere).await.expect(404));
        let neutral = |answer: &[u8], digest: Digest| String::from_utf8_lossy(answer).replace(&digest.to_string(), "");
        assert_eq!(neutral(&known.body, elsewhere), neutral(&unknown.body, nowhere));
    }
    let mount = |digest: Digest| registry.ask("POST", &format!("/v2/b/blobs/uploads/?mount={digest}&from=c")).send();
    for digest in [elsewhere, nowhere] {
        let answer = mount(digest).await.expect(202);
        assert_eq!(answer.header("docker-content-digest"), "");
    }
    // To bring the bytes is the only way to learn more.
    let wrong = registry.ask("POST", &format!("/v2/b/blobs/uploads/?digest={elsewhere}")).body("guess").send().await;
    wrong.refused(400, "DIGEST_INVALID");
    registry.get(&format!("/v2/b/blobs/{elsewhere}")).await.expect(404);
}

/// An upload is bound to its repository, and its id cannot be guessed or changed.
#[tokio::test]
async fn cve_2026_32589_the_upload_of_another_repository_is_unknown() {
    let registry = Registry::start().await;
    let upload = registry.begin("a").await;
    let upload = registry.append(&upload, b"some bytes").await;
    let id = upload.rsplit('/').next().unwrap().to_owned();
    let digest = Digest::of(b"some bytes");
    let mut changed = id.clone();
    changed.replace_range(10..11, if &id[10..11] == "0" { "1" } else { "0" });
    for path in
        [format!("/v2/b/blobs/uploads/{id}"), format!("/v2/a/blobs/uploads/{changed}"), "/v2/a/blobs/uploads/x".into()]
    {
        registry.get(&path).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
        registry.ask("PATCH", &path).body("x").send().await.refused(404, "BLOB_UPLOAD_UNKNOWN");
        registry.finish(&path, &digest, b"").await.refused(404, "BLOB_UPLOAD_UNKNOWN");
        registry.delete(&path).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
    }
    registry.finish(&upload, &digest, b"").await.expect(201);
}

/// Content of clients is never shown as a page.
#[tokio::test]
async fn cve_2025_32019_content_is_never_a_page_of_this_site() {
    let registry = Registry::start().await;
    let page = b"<html><script>alert(1)</script></html>";
    let blob = registry.push_blob("a", page).await;
    let answer = registry.ask("GET", &format!("/v2/a/blobs/{blob}")).header("accept", "text/html").send().await;
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("content-security-policy").contains("sandbox"));
    assert_eq!(answer.header("set-cookie"), "");
    let digest = registry.push_image("a", "t", "layer").await;
    let manifest = registry.ask("GET", &format!("/v2/a/manifests/{digest}")).header("accept", "text/html").send().await;
    assert_eq!(manifest.header("content-type"), OCI_IMAGE);
}

/// Paths that try to leave their place name nothing.
#[tokio::test]
async fn cve_2024_4956_a_path_cannot_leave_its_place() {
    let registry = Registry::start().await;
    registry.push_image("a", "t", "layer").await;
    let steps = ["..", "%2e%2e", "..%2f", "%2F%2F..%2F", "%252e%252e", "....//", "..%5c", "%c0%ae%c0%ae", ".%00."];
    for step in steps {
        for depth in [1, 3, 8] {
            let climb = vec![step; depth].join("/");
            for path in [
                format!("/v2/{climb}/etc/passwd"),
                format!("/v2/{climb}/manifests/t"),
                format!("/v2/a/{climb}/tags/list"),
                format!("/v2/a/manifests/{climb}"),
                format!("/v2/a/blobs/{climb}"),
                format!("/v2/a/blobs/uploads/{climb}"),
                format!("/v2/a/referrers/sha256:{climb}"),
            ] {
                // The client must not tidy the path up before it sends it.
                let status =
                    raw(&registry, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
                assert!(matches!(status, 400 | 404), "{path}: {status}");
            }
        }
    }
}

/// Sends exactly `request` and gives the status of the answer.
async fn raw(registry: &Registry, request: &str) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(registry.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer)[9..12].parse().unwrap()
}

/// A digest is checked before it is used for anything.
#[tokio::test]
async fn cve_2024_3727_a_digest_is_checked_before_it_is_used() {
    let registry = Registry::start().await;
    let hex = "a".repeat(64);
    for digest in [
        "sha256:../../x".replace('/', "%2f"),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha512:{hex}"),
    ] {
        registry.get(&format!("/v2/a/blobs/{digest}")).await.refused(400, "DIGEST_INVALID");
        let mut manifest = registry.image("a", "layer").await;
        manifest["layers"][0]["digest"] = json!(digest);
        registry.put_manifest("a", "t", &manifest).await.refused(400, "MANIFEST_INVALID");
    }
}

/// An image id that is a path.
#[tokio::test]
async fn cve_2014_9358_a_tag_is_never_a_path() {
    let registry = Registry::start().await;
    let manifest = registry.image("a", "layer").await;
    for tag in ["..%2f..%2fetc", "%2e%2e", ".", "..", "a%2fb", "a%00b"] {
        let path = format!(
            "PUT /v2/a/manifests/{tag} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        assert_eq!(raw(&registry, &path).await, 400, "{tag}");
    }
    registry.put_manifest("a", "fine", &manifest).await.expect(201);
}

/// `urls` in a layer are kept as they are and never followed.
#[tokio::test]
async fn cve_2020_15157_urls_of_a_layer_are_never_followed() {
    let registry = Registry::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/layer", listener.local_addr().unwrap());
    let mut manifest = registry.image("a", "layer").await;
    manifest["layers"][0]["urls"] = json!([url]);
    registry.put_manifest("a", "t", &manifest).await.expect(201);
    assert_eq!(registry.get("/v2/a/manifests/t").await.json()["layers"][0]["urls"], json!([url]));
    registry.get(&format!("/v2/a/blobs/{}", Digest::of(b"layer"))).await.expect(200);
    let called = tokio::time::timeout(std::time::Duration::from_millis(200), listener.accept()).await;
    assert!(called.is_err(), "somebody called");
}

/// JSON that claims to be enormous is not read.
#[tokio::test]
async fn cve_2023_25153_json_is_read_only_up_to_its_limit() {
    let registry = Registry::start().await;
    let announced = "PUT /v2/a/manifests/t HTTP/1.1\r\nhost: x\r\ncontent-length: 104857600\r\n\r\n";
    assert_eq!(raw(&registry, announced).await, 413, "refused by its length, before a byte of it came");
    let huge = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        { "mediaType": OCI_IMAGE, "digest": Digest::of(b"x").to_string(), "size": 104_857_600 }
    ]});
    registry.put_manifest("a", "t", &huge).await.refused(400, "MANIFEST_BLOB_UNKNOWN");
}

/// A path is read once: what is authorized is what is served.
#[tokio::test]
async fn cve_2020_29662_every_spelling_of_a_path_is_one_action_or_none() {
    let registry = Registry::start().await;
    let manifest = registry.image("a", "layer").await;
    registry.put_manifest("a", "t", &manifest).await.expect(201);
    for path in [
        "//v2/a/manifests/t",
        "/V2/a/manifests/t",
        "/v2//a/manifests/t",
        "/v2/a//manifests/t",
        "/v2/a/manifests/t/",
        "/v2/a/manifests//t",
        "/x/../v2/a/manifests/t",
        "/%762/a/manifests/t",
        "/v2%2fa/manifests/t",
    ] {
        let status = raw(&registry, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
    let digest = digest_of(&manifest).to_string().replace(':', "%3A");
    registry.get(&format!("/v2/a/manifests/{digest}")).await.expect(200);
}
