//! Whatever is restored beside a living registry, the living one loses nothing; and what took over is the only one that
//! deletes.

use roadstead::oci::digest::Digest;
use serde_json::json;

use crate::support::archive::{LARGE, all_archived, fail, options, serve, settings, succeed};
use crate::support::s3::FakeS3;
use crate::support::server::Server;
use crate::support::wait::eventually;

const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

/// Nothing is kept for a moment longer than it must be.
fn hasty(bucket: &FakeS3) -> Vec<String> {
    let mut set = settings(bucket);
    set.extend(["reclaim.grace_seconds=0", "reclaim.reader_pause_seconds=0"].map(str::to_owned));
    set
}

fn objects(bucket: &FakeS3, epoch: u64) -> Vec<String> {
    let inside = |key: &String| {
        let mut parts = key.split('/').skip_while(|part| *part != "blobs").skip(2);
        parts.next() == Some(epoch.to_string().as_str())
    };
    bucket.keys().into_iter().filter(inside).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_index_on_a_used_bucket_is_refused() {
    let bucket = FakeS3::start().await;
    let server = Server::with(options(settings(&bucket))).await;
    server.client().push_image_without_grace("a", "latest", LARGE).await;
    let directory = tempfile::tempdir().unwrap();
    let said = fail(&SERVE, &settings(&bucket), directory.path()).await;
    assert!(said.contains("belongs to cluster"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_beside_the_living_original_deletes_nothing_of_it() {
    let bucket = FakeS3::start().await;
    let set = hasty(&bucket);
    let original = Server::with(options(set.clone())).await;
    original.client().push_image_without_grace("a", "latest", LARGE).await;
    all_archived(&original).await;
    let before = objects(&bucket, 1);
    assert!(!before.is_empty());

    let directory = tempfile::tempdir().unwrap();
    let said = succeed(&["restore"], &set, directory.path()).await;
    assert!(said.contains("a copy"), "{said}");
    let mut copy = serve(set.clone(), directory.path()).await;
    let client = copy.client();
    client.get("/v2/a/manifests/latest").await.expect(200);
    client.push_image_without_grace("a", "own", "something that only the copy has, in an object of its own").await;
    assert!(!objects(&bucket, 2).is_empty());
    for tag in ["latest", "own"] {
        let manifest = client.get(&format!("/v2/a/manifests/{tag}")).await.expect(200);
        client.delete(&format!("/v2/a/manifests/{}", Digest::of(&manifest.body))).await.expect(202);
    }
    eventually("the copy has deleted what is its own, and nothing else waits", async || {
        objects(&bucket, 2).is_empty() && copy.metric("roadstead_reclaim_condemned_objects").await == Some(0.0)
    })
    .await;
    assert_eq!(objects(&bucket, 1), before);
    let blob = Digest::of(LARGE.as_bytes());
    assert_eq!(original.client().get(&format!("/v2/a/blobs/{blob}")).await.expect(200).body, LARGE.as_bytes());
    // Both go on, also after a start.
    copy.terminate().await;
    copy.restart().await;
    copy.client().push_image_without_grace("a", "again", "1").await;
    original.client().push_image_without_grace("a", "again", "2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_deletes_what_the_old_one_wrote_and_the_old_one_nothing_more() {
    let bucket = FakeS3::start().await;
    let set = hasty(&bucket);
    let mut original = Server::with(options(set.clone())).await;
    original.client().push_image_without_grace("a", "latest", LARGE).await;
    all_archived(&original).await;
    let directory = tempfile::tempdir().unwrap();
    succeed(&["restore", "--take-over"], &set, directory.path()).await;
    // It was not dead after all.
    let manifest = original.client().get("/v2/a/manifests/latest").await.expect(200);
    original.client().delete(&format!("/v2/a/manifests/{}", Digest::of(&manifest.body))).await.expect(202);
    eventually("the original may not delete", async || {
        original.metric("roadstead_reclaim_failures_total").await.unwrap() > 0.0
    })
    .await;
    assert!(!objects(&bucket, 1).is_empty());
    original.kill();
    let refused = fail(&SERVE, &set, original.data()).await;
    assert!(refused.contains("has taken the store over"), "{refused}");

    let new = serve(set, directory.path()).await;
    new.client().get("/v2/a/manifests/latest").await.expect(200);
    new.client().delete(&format!("/v2/a/manifests/{}", Digest::of(&manifest.body))).await.expect(202);
    eventually("the new one reclaims it", async || objects(&bucket, 1).is_empty()).await;
    assert_eq!(new.client().get("/v2/_catalog").await.expect(200).json()["repositories"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_restored_from_a_bucket_of_nobody() {
    let bucket = FakeS3::start().await;
    let set = settings(&bucket);
    let said = fail(&["restore"], &set, tempfile::tempdir().unwrap().path()).await;
    assert!(said.contains("whose it is"), "{said}");
    let said = fail(&["restore", "--from-cluster", "x"], &set, tempfile::tempdir().unwrap().path()).await;
    assert!(said.contains("holds nothing of cluster x"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_in_use_does_not_take_an_empty_store_for_its_own() {
    let mut server = Server::start().await;
    server.client().push_image_without_grace("a", "latest", LARGE).await;
    server.kill();
    let (there, away) = (server.data().join("OWNER"), server.data().join("away"));
    std::fs::rename(&there, &away).unwrap();
    let said = fail(&SERVE, &[], server.data()).await;
    assert!(said.contains("not that of this index"), "{said}");
    // What it says to do when all is gone for good works.
    let command = said[said.find("printf").unwrap()..].lines().next().unwrap();
    let made = std::process::Command::new("sh").args(["-c", command]).output().unwrap();
    std::fs::write(&there, made.stdout).unwrap();
    server.restart().await;
    server.client().get("/v2/a/manifests/latest").await.expect(200);
}
