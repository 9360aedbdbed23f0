//! When the volume is full, writes are refused and nothing is acknowledged; reads and deletes go on, and with room the
//! registry takes writes again by itself. The server has a small volume of its own.

use std::fs::{self, File};
use std::path::PathBuf;

use crate::support::server::{Options, Server};
use crate::support::wait::eventually;
use crate::support::{Answer, digest_of};
use roadstead::oci::digest::Digest;

const MIB: usize = 1 << 20;

/// Bytes that cannot be compressed and differ for each seed.
fn content(seed: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| ((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 ^ seed).collect()
}

async fn try_push(server: &Server, content: &[u8]) -> Answer {
    let begun = server.client().ask("POST", "/v2/full/blobs/uploads/").send().await;
    if begun.status != 202 {
        return begun;
    }
    let upload = begun.header("location").to_owned();
    server.client().finish(&upload, &Digest::of(content), content).await
}

fn refused_for_space(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 507 | 503) && !answer.code().is_empty()
}

/// Takes all of the volume but `left` bytes.
fn fill(server: &Server, left: u64) -> PathBuf {
    let path = server.inside(&server.data().join("filler"));
    let volume = rustix::fs::statvfs(path.parent().unwrap()).unwrap();
    let take = (volume.f_bavail * volume.f_frsize).checked_sub(left).unwrap();
    fs::write(&path, vec![1; usize::try_from(take).unwrap()]).unwrap();
    path
}

#[tokio::test]
async fn below_the_floor_writes_are_refused_and_deletes_pass() {
    let options = Options::set(&["server.min_free_bytes=16777216"]).on_a_volume(128);
    let server = Server::with(options).await;
    let manifest = server.client().image("full", "a layer").await;
    server.client().put_manifest("full", "v1", &manifest).await.expect(201);
    server.client().put_manifest("full", "v2", &manifest).await.expect(201);
    let filler = fill(&server, 8 << 20);
    eventually("the process is not ready", async || server.admin("/readyz").await.0 == 503).await;

    // The index looks at the volume once a second.
    eventually("writes are refused", async || refused_for_space(&try_push(&server, &content(1, 1000)).await)).await;
    assert!(refused_for_space(&server.client().put_manifest("full", "v3", &manifest).await));
    server.client().get("/v2/full/manifests/v3").await.expect(404);
    server.client().get(&format!("/v2/full/manifests/{}", digest_of(&manifest))).await.expect(200);
    server.client().delete("/v2/full/manifests/v2").await.expect(202);
    server.client().get("/v2/full/manifests/v2").await.expect(404);

    fs::remove_file(filler).unwrap();
    eventually("the process is ready again", async || server.admin("/readyz").await.0 == 200).await;
    eventually("writes pass again", async || try_push(&server, &content(1, 1000)).await.status == 201).await;
    server.client().put_manifest("full", "v3", &manifest).await.expect(201);
}

#[tokio::test]
async fn below_the_reserve_nothing_is_written_and_with_room_everything_goes_on() {
    let options = Options::set(&["server.min_free_bytes=33554432"]).on_a_volume(160);
    let server = Server::with(options).await;
    let manifest = server.client().image("full", "a layer").await;
    server.client().put_manifest("full", "v1", &manifest).await.expect(201);
    server.client().put_manifest("full", "v2", &manifest).await.expect(201);
    // A quarter of the floor is the reserve.
    let filler = fill(&server, 4 << 20);
    eventually("deletes are refused", async || {
        refused_for_space(&server.client().delete("/v2/full/manifests/v2").await)
    })
    .await;
    for _ in 0..50 {
        assert!(refused_for_space(&server.client().delete("/v2/full/manifests/v1").await));
    }
    server.client().get("/v2/full/manifests/v1").await.expect(200);

    fs::remove_file(filler).unwrap();
    eventually("deletes pass again", async || server.client().delete("/v2/full/manifests/v1").await.status == 202)
        .await;
    server.client().put_manifest("full", "v3", &manifest).await.expect(201);
}

#[tokio::test]
async fn a_blob_that_does_not_fit_is_refused_and_leaves_nothing() {
    let options = Options::set(&["server.min_free_bytes=8388608"]).on_a_volume(96);
    let mut server = Server::with(options).await;
    let kept = content(1, 8 * MIB);
    try_push(&server, &kept).await.expect(201);
    let free = || {
        let volume = rustix::fs::statvfs(server.inside(server.data())).unwrap();
        volume.f_bavail * volume.f_frsize
    };
    let before = free();
    let large = content(2, 120 * MIB);
    let answer = try_push(&server, &large).await;
    assert!(refused_for_space(&answer), "{answer:?}");
    server.client().head(&format!("/v2/full/blobs/{}", Digest::of(&large))).await.expect(404);
    eventually("what was written is removed", async || free() + (4 << 20) > before).await;

    let pulled = server.client().get(&format!("/v2/full/blobs/{}", Digest::of(&kept))).await.expect(200);
    assert_eq!(pulled.body, kept);
    let fits = content(3, 8 * MIB);
    try_push(&server, &fits).await.expect(201);
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn pushes_until_it_is_full_lose_nothing_that_was_acknowledged() {
    let options = Options::set(&["server.min_free_bytes=16777216"]).on_a_volume(128);
    let server = Server::with(options).await;
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for seed in 0..40 {
        let content = content(seed, 6 * MIB);
        let answer = try_push(&server, &content).await;
        if answer.status == 201 {
            acknowledged.push(content);
        } else {
            assert!(refused_for_space(&answer), "{answer:?}");
            refused += 1;
        }
    }
    assert!(refused > 0 && acknowledged.len() > 5, "{refused} {}", acknowledged.len());
    for content in acknowledged {
        let pulled = server.client().get(&format!("/v2/full/blobs/{}", Digest::of(&content))).await.expect(200);
        assert_eq!(pulled.body, content);
    }
    assert!(File::open(server.inside(&server.data().join("lock"))).is_ok(), "the process still runs");
}
