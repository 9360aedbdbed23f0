//! Downloads: ranges, damage, objects that moved, and questions that keep a blob alive.

use std::sync::atomic::Ordering;

use roadstead::oci::digest::Digest;

use crate::support::{Answer, Registry};

const MIB: usize = 1 << 20;

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 11 + i / 257) as u8).collect()
}

async fn range(registry: &Registry, digest: &Digest, value: &str) -> Answer {
    registry.ask("GET", &format!("/v2/a/blobs/{digest}")).header("range", value).send().await
}

#[tokio::test]
async fn a_range_is_exactly_the_bytes_asked_for() {
    let registry = Registry::start().await;
    let content = content(3 * MIB + 100);
    let digest = Digest::of(&content);
    // In chunks, so that ranges cross segments, the first of which is inline.
    let mut upload = registry.begin("a").await;
    for (from, to) in [(0, 1000), (1000, MIB + 7), (MIB + 7, content.len())] {
        upload = registry.append(&upload, &content[from..to]).await;
    }
    registry.finish(&upload, &digest, b"").await.expect(201);
    let last = content.len() - 1;
    for (from, to) in [
        (0, 0),
        (0, 999),
        (999, 1000),
        (500, MIB + 6),
        (MIB, MIB + 10),
        (MIB + 7, 2 * MIB),
        (last, last),
        (0, last),
        (2 * MIB - 1, 3 * MIB + 50),
    ] {
        let answer = range(&registry, &digest, &format!("bytes={from}-{to}")).await.expect(206);
        assert_eq!(answer.header("content-range"), format!("bytes {from}-{to}/{}", content.len()));
        assert_eq!(answer.header("content-length"), (to - from + 1).to_string());
        assert_eq!(answer.header("docker-content-digest"), digest.to_string());
        assert!(answer.body == content[from..=to], "{from}-{to}");
    }
    let suffix = range(&registry, &digest, "bytes=-10").await.expect(206);
    assert_eq!(suffix.body, content[content.len() - 10..]);
    let open =
        range(&registry, &digest, &format!("bytes={}-99999999999999999999", content.len() - 5)).await.expect(206);
    assert_eq!(open.body, content[content.len() - 5..]);
    for ignored in ["bytes=0-1,5-6", "lines=0-1", "bytes=x", "bytes"] {
        assert!(range(&registry, &digest, ignored).await.expect(200).body == content, "{ignored}");
    }
    for unsatisfiable in [
        format!("bytes={}-", content.len()),
        "bytes=99999999999999999999-".into(),
        "bytes=-0".into(),
        "bytes=9-5".into(),
    ] {
        let answer = range(&registry, &digest, &unsatisfiable).await.refused(416, "SIZE_INVALID");
        assert_eq!(answer.header("content-range"), format!("bytes */{}", content.len()));
    }
    let path = format!("/v2/a/blobs/{digest}");
    let other = registry.ask("GET", &path).header("range", "bytes=0-1").header("if-range", "\"sha256:0\"");
    assert_eq!(other.send().await.expect(200).body.len(), content.len());
    assert_eq!(registry.get(&path).await.header("accept-ranges"), "bytes");
}

#[tokio::test]
async fn a_damaged_object_is_never_a_whole_answer_and_the_next_push_replaces_it() {
    let registry = Registry::start().await;
    let content = content(3 * MIB);
    let digest = registry.push_blob("a", &content).await;
    registry.store.damage(2 * MIB + 5);
    let path = format!("/v2/a/blobs/{digest}");
    let whole = registry.ask("GET", &path).try_send().await;
    assert!(whole.is_err(), "the connection breaks: {:?}", whole.map(|answer| answer.status));
    assert!(range(&registry, &digest, "bytes=2097152-2097160").await.status.is_server_error());
    assert_eq!(range(&registry, &digest, "bytes=0-9").await.expect(206).body, content[..10]);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while registry.head(&path).await.status != 404 {
        assert!(tokio::time::Instant::now() < deadline, "it is never said to be missing");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // A mount would keep the client from sending the good bytes that it has.
    let mount = registry.ask("POST", &format!("/v2/b/blobs/uploads/?mount={digest}&from=a")).send().await;
    mount.expect(202);
    registry.push_blob("a", &content).await;
    assert!(registry.get(&path).await.expect(200).body == content);
    registry.head(&path).await.expect(200);
}

#[tokio::test]
async fn a_blob_deleted_in_one_repository_is_gone_there_at_once_and_stays_elsewhere() {
    let registry = Registry::start().await;
    let digest = registry.push_blob("a", &content(100_000)).await;
    registry.push_blob("b", &content(100_000)).await;
    registry.delete(&format!("/v2/a/blobs/{digest}")).await.expect(202);
    for _ in 0..3 {
        registry.get(&format!("/v2/a/blobs/{digest}")).await.expect(404);
        registry.head(&format!("/v2/a/blobs/{digest}")).await.expect(404);
        registry.get(&format!("/v2/b/blobs/{digest}")).await.expect(200);
    }
}

#[tokio::test]
async fn asking_for_a_blob_keeps_it_alive() {
    let registry = Registry::with(|config| config.reclaim.grace_seconds = 1).await;
    let digest = registry.push_blob("a", b"content").await;
    let since = async || {
        use roadstead::index::query::GetBlob;
        let query = GetBlob { repository: "a".parse().unwrap(), digest, linearizable: true, for_push: false };
        registry.index.query(query).await.unwrap().here().unwrap().unreferenced_since.unwrap()
    };
    let born = since().await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while since().await == born {
        assert!(tokio::time::Instant::now() < deadline, "it was never renewed");
        registry.head(&format!("/v2/a/blobs/{digest}")).await.expect(200);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(since().await.0 - born.0 > 500, "it is renewed only once half of the grace is over");
}

#[tokio::test]
async fn a_store_that_is_down_is_503_and_tags_can_still_be_read() {
    let registry = Registry::start().await;
    let big = registry.push_blob("a", &content(100_000)).await;
    let image = registry.push_image("a", "t", "layer").await;
    registry.store.0.down.store(true, Ordering::SeqCst);
    let answer = registry.get(&format!("/v2/a/blobs/{big}")).await.refused(503, "TOOMANYREQUESTS");
    assert!(!answer.header("retry-after").is_empty());
    let other = content(90_000);
    let upload = registry.begin("a").await;
    let answer = registry.finish(&upload, &Digest::of(&other), &other).await.refused(503, "TOOMANYREQUESTS");
    assert!(!answer.header("retry-after").is_empty());
    for reference in ["t".to_owned(), image.to_string()] {
        registry.get(&format!("/v2/a/manifests/{reference}")).await.expect(200);
    }
    registry.get(&format!("/v2/a/blobs/{}", Digest::of(b"layer"))).await.expect(200);
    registry.store.0.down.store(false, Ordering::SeqCst);
    registry.get(&format!("/v2/a/blobs/{}", Digest::of(&other))).await.expect(404);
    registry.finish(&upload, &Digest::of(&other), &other).await.expect(201);
}

#[tokio::test]
async fn a_store_that_is_full_is_507_and_nothing_is_acknowledged() {
    let registry = Registry::start().await;
    let content = content(100_000);
    let digest = Digest::of(&content);
    registry.store.0.full.store(true, Ordering::SeqCst);
    let upload = registry.begin("a").await;
    registry.ask("PATCH", &upload).body(content.clone()).send().await.refused(507, "DENIED");
    registry.finish(&upload, &digest, &content).await.refused(507, "DENIED");
    registry.get(&format!("/v2/a/blobs/{digest}")).await.expect(404);
    assert_eq!(registry.store.count(), 0);
    registry.store.0.full.store(false, Ordering::SeqCst);
    registry.finish(&upload, &digest, &content).await.expect(201);
    assert!(registry.get(&format!("/v2/a/blobs/{digest}")).await.expect(200).body == content);
}

#[tokio::test]
async fn an_object_that_was_reclaimed_meanwhile_is_looked_for_once_more() {
    let registry = Registry::start().await;
    let content = content(100_000);
    let digest = registry.push_blob("a", &content).await;
    registry.store.0.lose_next.store(true, Ordering::SeqCst);
    assert!(registry.get(&format!("/v2/a/blobs/{digest}")).await.expect(200).body == content);
}

#[tokio::test]
async fn large_blobs_of_one_object_are_redirected_when_that_is_turned_on() {
    let registry = Registry::with(|config| {
        config.blobs.redirect = true;
        config.blobs.redirect_min_bytes = 50_000;
    })
    .await;
    let (large, small) =
        (registry.push_blob("a", &content(50_000)).await, registry.push_blob("a", &content(49_999)).await);
    let upload = registry.begin("a").await;
    let upload = registry.append(&upload, &content(60_000)[..40_000]).await;
    let pieces = Digest::of(&content(60_000));
    registry.finish(&upload, &pieces, &content(60_000)[40_000..]).await.expect(201);
    registry.get(&format!("/v2/a/blobs/{large}")).await.expect(200);
    *registry.store.0.public.lock().unwrap() = Some("https://objects.example".into());
    let answer = registry.get(&format!("/v2/a/blobs/{large}")).await.expect(307);
    assert!(answer.header("location").starts_with("https://objects.example/blobs/"), "{answer:?}");
    assert_eq!(answer.header("docker-content-digest"), large.to_string());
    registry.head(&format!("/v2/a/blobs/{large}")).await.expect(200);
    for digest in [small, pieces] {
        registry.get(&format!("/v2/a/blobs/{digest}")).await.expect(200);
    }
}
