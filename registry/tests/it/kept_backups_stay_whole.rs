//! What a kept backup refers to is not reclaimed, what came after it is, and a restored backup is what it was.

use roadstead::oci::digest::Digest;

use crate::support::archive::{LARGE, fail, options, serve, settings, succeed};
use crate::support::s3::FakeS3;
use crate::support::server::Server;
use crate::support::wait::eventually;

const LATER: &str = "a layer that came after the backup, and is as large as the others are";

fn hasty(bucket: &FakeS3) -> Vec<String> {
    let mut set = settings(bucket);
    set.extend(["reclaim.grace_seconds=0", "reclaim.reader_pause_seconds=0"].map(str::to_owned));
    set
}

fn objects(bucket: &FakeS3) -> usize {
    bucket.keys().iter().filter(|key| key.contains("blobs/")).count()
}

async fn delete(server: &Server, tag: &str) {
    let manifest = server.client().get(&format!("/v2/a/manifests/{tag}")).await.expect(200);
    server.client().delete(&format!("/v2/a/manifests/{}", Digest::of(&manifest.body))).await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_keeps_what_it_refers_to_while_the_rest_is_reclaimed() {
    let bucket = FakeS3::start().await;
    let set = hasty(&bucket);
    let server = Server::with(options(set.clone())).await;
    let data = server.data().to_owned();
    server.client().push_image_without_grace("a", "kept", LARGE).await;
    assert_eq!(objects(&bucket), 1);
    let said = succeed(&["backup", "now", "--name", "nightly"], &set, &data).await;
    assert!(said.contains("made nightly"), "{said}");
    assert!(fail(&["backup", "now", "--name", "nightly"], &set, &data).await.contains("already"));
    assert!(fail(&["backup", "now", "--name", "../x"], &set, &data).await.contains("no name"));

    server.client().push_image_without_grace("a", "later", LATER).await;
    assert_eq!(objects(&bucket), 2);
    delete(&server, "kept").await;
    delete(&server, "later").await;
    eventually("what came after the backup is reclaimed", async || objects(&bucket) == 1).await;
    let condemned = async || server.metric("roadstead_reclaim_condemned_objects").await;
    eventually("only what is kept waits", async || condemned().await == Some(1.0)).await;
    let said = succeed(&["backup", "verify", "nightly", "--objects"], &set, &data).await;
    assert!(said.contains("1 objects looked for: whole"), "{said}");
    let said = succeed(&["backup", "list"], &set, &data).await;
    assert!(said.contains("nightly") && said.contains("until deleted"), "{said}");

    // It can be restored, although the registry has deleted the image long since.
    let directory = tempfile::tempdir().unwrap();
    succeed(&["restore", "--backup", "nightly"], &set, directory.path()).await;
    let copy = serve(set.clone(), directory.path()).await;
    let blob = copy.client().get(&format!("/v2/a/blobs/{}", Digest::of(LARGE.as_bytes()))).await.expect(200);
    assert_eq!(blob.body, LARGE.as_bytes());
    copy.client().get("/v2/a/manifests/later").await.expect(404);
    drop(copy);

    succeed(&["backup", "delete", "nightly"], &set, &data).await;
    eventually("what only the backup kept is reclaimed", async || objects(&bucket) == 0).await;
    assert!(!bucket.keys().iter().any(|key| key.contains("nightly")), "{:?}", bucket.keys());
    assert!(fail(&["backup", "delete", "nightly"], &set, &data).await.contains("no backup"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_by_itself_when_its_time_is_over() {
    let bucket = FakeS3::start().await;
    let set = hasty(&bucket);
    let server = Server::with(options(set.clone())).await;
    server.client().push_image_without_grace("a", "kept", LARGE).await;
    let said = succeed(&["backup", "now", "--name", "short", "--keep", "3s", "--json"], &set, server.data()).await;
    let made: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(made["name"], "short");
    delete(&server, "kept").await;
    eventually("backup and object are gone", async || {
        objects(&bucket) == 0 && !bucket.keys().iter().any(|key| key.contains("/short/"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_a_backup_and_missing_objects_are_found() {
    let bucket = FakeS3::start().await;
    let set = hasty(&bucket);
    let server = Server::with(options(set.clone())).await;
    let data = server.data().to_owned();
    server.client().push_image_without_grace("a", "kept", LARGE).await;
    succeed(&["backup", "now", "--name", "one"], &set, &data).await;
    let blob = bucket.keys().into_iter().find(|key| key.contains("blobs/")).unwrap();
    let content = bucket.edit(|objects| objects.remove(&blob)).unwrap();
    let said = fail(&["backup", "verify", "one", "--objects"], &set, &data).await;
    assert!(said.contains("is missing"), "{said}");
    bucket.edit(|objects| objects.insert(blob.clone(), content.slice(1..)));
    let said = fail(&["backup", "verify", "one", "--objects"], &set, &data).await;
    assert!(said.contains("shorter"), "{said}");
    bucket.edit(|objects| objects.insert(blob.clone(), content));
    succeed(&["backup", "verify", "one", "--objects"], &set, &data).await;
    let snapshot = bucket.keys().into_iter().find(|key| key.contains("/one/") && key.ends_with(".snapshot")).unwrap();
    bucket.corrupt_one(&snapshot);
    for verb in [&["backup", "verify", "one"][..], &["restore", "--backup", "one"]] {
        let said = fail(verb, &set, tempfile::tempdir().unwrap().path()).await;
        assert!(said.contains("is not whole"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_keeps_backups_that_are_newer_than_what_it_restored() {
    let bucket = FakeS3::start().await;
    let set = hasty(&bucket);
    let mut server = Server::with(options(set.clone())).await;
    server.client().push_image_without_grace("a", "kept", LARGE).await;
    let position = crate::support::archive::all_archived(&server).await.to_string();
    succeed(&["backup", "now", "--name", "newer"], &set, server.data()).await;
    crate::support::archive::all_archived(&server).await;
    server.kill();
    let directory = tempfile::tempdir().unwrap();
    succeed(&["restore", "--take-over", "--position", &position], &set, directory.path()).await;
    let server = serve(set.clone(), directory.path()).await;
    delete(&server, "kept").await;
    eventually("it is condemned", async || server.metric("roadstead_reclaim_condemned_objects").await == Some(1.0))
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await; // some turns of the reclaimer
    succeed(&["backup", "verify", "newer", "--objects"], &set, directory.path()).await;
    succeed(&["backup", "delete", "newer"], &set, directory.path()).await;
    eventually("then it is reclaimed", async || objects(&bucket) == 0).await;
}
