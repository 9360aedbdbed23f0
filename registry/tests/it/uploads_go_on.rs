//! Uploads: whole, in chunks, streamed, interrupted, raced, repeated, cancelled.

use roadstead::oci::digest::{Algorithm, Digest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Client, Registry};

/// More than stays in memory.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 253) as u8).collect()
}

async fn pulled(registry: &Registry, name: &str, digest: &Digest) -> Vec<u8> {
    registry.get(&format!("/v2/{name}/blobs/{digest}")).await.expect(200).body
}

/// The last byte that the registry says it has.
async fn last_byte(registry: &Registry, upload: &str) -> String {
    let answer = registry.get(upload).await.expect(204);
    assert!(answer.header("location").starts_with("/v2/"));
    answer.header("range").to_owned()
}

#[tokio::test]
async fn a_blob_comes_back_whichever_way_it_was_pushed() {
    let registry = Registry::start().await;
    for length in [0, 1, 1000, 32 << 10, (32 << 10) + 1, 3_000_000] {
        let content = content(length);
        let digest = Digest::of(&content);
        let path = format!("/v2/whole/blobs/uploads/?digest={digest}");
        let answer = registry.ask("POST", &path).body(content.clone()).send().await.expect(201);
        assert_eq!(answer.header("docker-content-digest"), digest.to_string());
        assert_eq!(answer.header("location"), format!("/v2/whole/blobs/{digest}"));
        assert_eq!(pulled(&registry, "whole", &digest).await, content);

        registry.push_blob("put", &content).await;
        assert_eq!(pulled(&registry, "put", &digest).await, content);

        let mut upload = registry.begin("chunks").await;
        for chunk in content.chunks(length / 3 + 1) {
            upload = registry.append(&upload, chunk).await;
        }
        registry.finish(&upload, &digest, b"").await.expect(201);
        assert_eq!(pulled(&registry, "chunks", &digest).await, content, "{length}");
    }
}

#[tokio::test]
async fn a_small_blob_never_touches_the_store() {
    let registry = Registry::start().await;
    let digest = registry.push_blob("a", &content(32 << 10)).await;
    assert_eq!(registry.store.0.begun.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert_eq!(pulled(&registry, "a", &digest).await, content(32 << 10));
    registry.push_blob("a", &content((32 << 10) + 1)).await;
    assert_eq!(registry.store.count(), 1);
}

#[tokio::test]
async fn chunks_of_both_algorithms_make_a_blob_of_either() {
    let registry = Registry::start().await;
    let content = content(200_000);
    for (announced, used) in [
        ("", Algorithm::Sha512),
        ("?digest-algorithm=sha512", Algorithm::Sha256),
        ("?digest-algorithm=sha512", Algorithm::Sha512),
    ] {
        let begun = registry.ask("POST", &format!("/v2/a/blobs/uploads/{announced}")).send().await.expect(202);
        let upload = registry.append(begun.header("location"), &content[..50_000]).await;
        let upload = registry.append(&upload, &content[50_000..150_000]).await;
        let digest = Digest::of_with(used, &content);
        registry.finish(&upload, &digest, &content[150_000..]).await.expect(201);
        assert_eq!(pulled(&registry, "a", &digest).await, content);
    }
    registry.ask("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5").send().await.refused(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn an_upload_says_where_it_stands() {
    let registry = Registry::start().await;
    let begun = registry.ask("POST", "/v2/a/blobs/uploads/").send().await.expect(202);
    assert_eq!((begun.header("range"), begun.header("content-length")), ("0-0", "0"));
    let upload = begun.header("location").to_owned();
    assert_eq!(last_byte(&registry, &upload).await, "0-0");
    let answer = registry.ask("PATCH", &upload).body(content(100)).send().await.expect(202);
    assert_eq!(answer.header("range"), "0-99");
    assert_eq!(last_byte(&registry, &upload).await, "0-99");
    // A chunk of nothing is no change.
    registry.ask("PATCH", &upload).send().await.expect(202);
    assert_eq!(last_byte(&registry, &upload).await, "0-99");
}

#[tokio::test]
async fn a_chunk_that_does_not_follow_is_416_and_changes_nothing() {
    let registry = Registry::start().await;
    let content = content(100_000);
    let upload = registry.begin("a").await;
    let upload = registry.append(&upload, &content[..50_000]).await;
    let send = |range: &str, body: &[u8]| {
        registry.ask("PATCH", &upload).header("content-range", range).body(body.to_vec()).send()
    };
    for range in [
        "60000-60009",
        "49999-50008",
        "0-9",
        "50009-50000",
        "50000-",
        "-5",
        "a-b",
        "50000-9223372036854775808",
        "bytes 50000-50009/100",
    ] {
        let answer = send(range, &content[..10]).await.refused(416, "BLOB_UPLOAD_INVALID");
        assert!(answer.header("location").starts_with("/v2/a/blobs/uploads/"), "{range}");
    }
    assert_eq!(send("60000-60009", &content[..10]).await.expect(416).header("range"), "0-49999");
    send("50000-50010", &content[..10]).await.refused(400, "SIZE_INVALID");
    assert_eq!(last_byte(&registry, &upload).await, "0-49999");
    assert_eq!(registry.store.count(), 1, "what was refused is deleted");
    send("50000-99999", &content[50_000..]).await.expect(202);
    let digest = Digest::of(&content);
    let late = registry.ask("PUT", &format!("{upload}?digest={digest}")).header("content-range", "5-9");
    late.body(content[5..10].to_vec()).send().await.refused(416, "BLOB_UPLOAD_INVALID");
    registry.finish(&upload, &digest, b"").await.expect(201);
    assert_eq!(pulled(&registry, "a", &digest).await, content);
}

#[tokio::test]
async fn a_digest_that_does_not_match_is_400_and_the_upload_stays() {
    let registry = Registry::start().await;
    let content = content(100_000);
    let (digest, other) = (Digest::of(&content), Digest::of(b"other"));
    let upload = registry.begin("a").await;
    let upload = registry.append(&upload, &content[..60_000]).await;
    registry.finish(&upload, &other, &content[60_000..]).await.refused(400, "DIGEST_INVALID");
    registry.finish(&upload, &digest, b"wrong").await.refused(400, "DIGEST_INVALID");
    registry.get(&format!("/v2/a/blobs/{other}")).await.expect(404);
    assert_eq!(last_byte(&registry, &upload).await, "0-59999");
    registry.finish(&upload, &digest, &content[60_000..]).await.expect(201);
    assert_eq!(pulled(&registry, "a", &digest).await, content);
    let path = format!("/v2/a/blobs/uploads/?digest={other}");
    registry.ask("POST", &path).body(content).send().await.refused(400, "DIGEST_INVALID");
    registry.get(&format!("/v2/a/blobs/{other}")).await.expect(404);
    assert_eq!(registry.store.count(), 2, "nothing is left of what was refused");
}

#[tokio::test]
async fn of_two_chunks_at_once_one_is_taken() {
    let registry = Registry::start().await;
    let (one, two) = (content(100_000), vec![7; 100_000]);
    for _ in 0..10 {
        let upload = registry.begin("a").await;
        let send =
            |body: &[u8]| registry.ask("PATCH", &upload).header("content-range", "0-99999").body(body.to_vec()).send();
        let (first, second) = tokio::join!(send(&one), send(&two));
        let (taken, refused) = if first.status == 202 { (&one, second) } else { (&two, first) };
        let refused = refused.refused(416, "BLOB_UPLOAD_INVALID");
        assert_eq!(refused.header("range"), "0-99999");
        registry.finish(&upload, &Digest::of(taken), b"").await.expect(201);
        assert_eq!(&pulled(&registry, "a", &Digest::of(taken)).await, taken);
    }
}

#[tokio::test]
async fn finishing_again_is_201_for_the_same_digest_only() {
    let registry = Registry::start().await;
    let content = content(50_000);
    let digest = Digest::of(&content);
    let upload = registry.begin("a").await;
    for _ in 0..3 {
        let answer = registry.finish(&upload, &digest, &content).await.expect(201);
        assert_eq!(answer.header("location"), format!("/v2/a/blobs/{digest}"));
    }
    registry.finish(&upload, &Digest::of(b"x"), b"x").await.refused(404, "BLOB_UPLOAD_UNKNOWN");
    registry.get(&upload).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
    registry.ask("PATCH", &upload).body("x").send().await.refused(404, "BLOB_UPLOAD_UNKNOWN");
    registry.delete(&upload).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_cancelled_upload_is_gone_for_good() {
    let registry = Registry::start().await;
    for filled in [false, true] {
        let mut upload = registry.begin("a").await;
        if filled {
            upload = registry.append(&upload, &content(50_000)).await;
        }
        registry.delete(&upload).await.expect(204);
        registry.get(&upload).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
        registry.ask("PATCH", &upload).body("x").send().await.refused(404, "BLOB_UPLOAD_UNKNOWN");
        registry.finish(&upload, &Digest::of(b"x"), b"x").await.refused(404, "BLOB_UPLOAD_UNKNOWN");
        registry.delete(&upload).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[tokio::test]
async fn an_upload_expires_a_fixed_time_after_its_birth() {
    let registry = Registry::with(|config| config.uploads.ttl_seconds = 1).await;
    let upload = registry.begin("a").await;
    let upload = registry.append(&upload, b"some").await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while registry.get(&upload).await.status != 404 {
        assert!(tokio::time::Instant::now() < deadline, "it never expired");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    registry.finish(&upload, &Digest::of(b"some"), b"").await.refused(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn what_came_before_the_client_vanished_is_gone_on_from() {
    let registry = Registry::start().await;
    let content = content(3_000_000);
    // The last of them is small enough to stay in memory.
    for (method, reset, kept) in
        [("PATCH", false, 2_000_000), ("PATCH", true, 2_000_000), ("PUT", false, 1_500_000), ("PATCH", false, 5000)]
    {
        let name = format!("{}-{reset}-{kept}", method.to_lowercase());
        let upload = registry.begin(&name).await;
        let digest = Digest::of(&content);
        let query = if method == "PUT" { format!("?digest={digest}") } else { String::new() };
        let head = format!("{method} {upload}{query} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", content.len());
        let mut stream = tokio::net::TcpStream::connect(registry.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&content[..kept]).await.unwrap();
        if reset {
            // What is still in the buffers of the sender is lost with a reset.
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            stream.set_zero_linger().unwrap();
            drop(stream);
        } else {
            stream.shutdown().await.unwrap();
        }
        let expected = format!("0-{}", kept - 1);
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        while last_byte(&registry, &upload).await != expected {
            assert!(tokio::time::Instant::now() < deadline, "{name}: {}", last_byte(&registry, &upload).await);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let upload = registry.append(&upload, &content[kept..]).await;
        registry.finish(&upload, &digest, b"").await.expect(201);
        assert!(pulled(&registry, &name, &digest).await == content);
    }
}

#[tokio::test]
async fn a_body_may_be_waited_for_and_may_have_trailers() {
    let registry = Registry::start().await;
    let upload = registry.begin("a").await;
    let mut stream = tokio::net::TcpStream::connect(registry.address).await.unwrap();
    let head = format!(
        "PATCH {upload} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = [0; 1000];
    let read = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&buffer[..read]));
    stream.write_all(b"5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n").await.unwrap();
    let read = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 202 "), "{}", String::from_utf8_lossy(&buffer[..read]));
    registry.finish(&upload, &Digest::of(b"hello"), b"").await.expect(201);
    // A refusal needs no body: it is told before one is asked for.
    let mut stream = tokio::net::TcpStream::connect(registry.address).await.unwrap();
    let head = "PUT /v2/a/manifests/t HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let read = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&buffer[..read]));
}

#[tokio::test]
async fn everything_works_over_http_2() {
    let registry = Registry::start().await;
    let builder = reqwest::Client::builder().http2_prior_knowledge();
    let client = Client::with(&format!("http://{}", registry.address), builder);
    let content = content(2_500_000);
    let digest = client.push_blob("a", &content).await;
    assert!(client.get(&format!("/v2/a/blobs/{digest}")).await.expect(200).body == content);
    let upload = client.begin("a").await;
    let upload = client.append(&upload, &content[..1_000_000]).await;
    assert_eq!(client.get(&upload).await.expect(204).header("range"), "0-999999");
    let late = client.ask("PATCH", &upload).header("content-range", "0-9").body(vec![0; 10]).send().await;
    late.refused(416, "BLOB_UPLOAD_INVALID");
    let created = client.finish(&upload, &digest, &content[1_000_000..]).await.expect(201);
    assert_eq!(created.header("content-length"), "0");
    let image = client.push_image("a", "t", "layer").await;
    let head = client.head("/v2/a/manifests/t").await.expect(200);
    assert_eq!(head.header("docker-content-digest"), image.to_string());
    assert!(head.header("content-length").parse::<u64>().unwrap() > 100);
    client.delete("/v2/a/manifests/t").await.expect(202);
    assert_eq!(client.head("/v2/a/manifests/t").await.expect(404).body, b"");
}

#[tokio::test]
async fn a_body_shorter_than_announced_stores_nothing() {
    let registry = Registry::start().await;
    let digest = Digest::of(b"abcdef");
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\n\r\nabcdef");
    let mut stream = tokio::net::TcpStream::connect(registry.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    registry.get(&format!("/v2/a/blobs/{digest}")).await.expect(404);
}

#[tokio::test]
async fn a_body_without_length_is_taken() {
    let registry = Registry::start().await;
    let content = content(300_000);
    let upload = registry.begin("a").await;
    let parts: Vec<Result<_, std::io::Error>> = content.chunks(10_000).map(|part| Ok(part.to_vec())).collect();
    let body = reqwest::Body::wrap_stream(futures::stream::iter(parts));
    registry.ask("PATCH", &upload).body(body).send().await.expect(202);
    registry.finish(&upload, &Digest::of(&content), b"").await.expect(201);
    assert_eq!(pulled(&registry, "a", &Digest::of(&content)).await, content);
}

#[tokio::test]
async fn a_smallest_chunk_is_advised_and_smaller_ones_are_taken() {
    let registry = Registry::with(|config| config.uploads.chunk_min_bytes = 5000).await;
    let begun = registry.ask("POST", "/v2/a/blobs/uploads/").send().await.expect(202);
    assert_eq!(begun.header("oci-chunk-min-length"), "5000");
    registry.append(begun.header("location"), b"x").await;
}

#[tokio::test]
async fn a_mount_links_a_blob_without_moving_it_and_else_begins_an_upload() {
    let registry = Registry::start().await;
    let content = content(50_000);
    let digest = registry.push_blob("from", &content).await;
    let mount = |query: String| registry.ask("POST", &format!("/v2/to/blobs/uploads/?{query}")).send();
    for query in [
        format!("mount={}&from=from", Digest::of(b"none")),
        format!("mount={digest}&from=none"),
        format!("mount={digest}&from=..%2Fx"),
    ] {
        let answer = mount(query).await.expect(202);
        assert!(answer.header("location").starts_with("/v2/to/blobs/uploads/"));
    }
    registry.get(&format!("/v2/to/blobs/{digest}")).await.expect(404);
    mount("mount=sha256:x&from=from".into()).await.refused(400, "DIGEST_INVALID");
    let answer = mount(format!("mount={digest}&from=from")).await.expect(201);
    assert_eq!(answer.header("location"), format!("/v2/to/blobs/{digest}"));
    assert_eq!(answer.header("docker-content-digest"), digest.to_string());
    let anywhere = registry.ask("POST", &format!("/v2/third/blobs/uploads/?mount={digest}")).send().await.expect(201);
    assert_eq!(anywhere.header("location"), format!("/v2/third/blobs/{digest}"));
    for name in ["to", "third"] {
        assert_eq!(pulled(&registry, name, &digest).await, content);
    }
    assert_eq!(registry.store.count(), 1);
}
