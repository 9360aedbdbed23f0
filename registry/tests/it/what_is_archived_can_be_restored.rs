//! All volumes of the index are lost and only the bucket is left: what was archived is served again, to the position that
//! is asked for, and what is missing or damaged is told and never passed over.

use roadstead::oci::digest::Digest;

use crate::support::archive::{LARGE, all_archived, applied, archived, fail, options, serve, settings, succeed};
use crate::support::cluster::Cluster;
use crate::support::image;
use crate::support::s3::{FakeS3, Fault, impatient};
use crate::support::server::{Server, roadstead};
use crate::support::wait::eventually;

/// The keys that hold `part`, in order.
fn keys(bucket: &FakeS3, part: &str) -> Vec<String> {
    bucket.keys().into_iter().filter(|key| key.contains(part)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_was_archived_is_served_after_all_volumes_are_lost() {
    let bucket = FakeS3::start().await;
    let set = settings(&bucket);
    let mut server = Server::with(options(set.clone())).await;
    let client = server.client();
    let image = client.push_image("team/app", "v1", LARGE).await;
    client.push_image("team/app", "v2", "small").await;
    client.push_image("other", "gone", "soon").await;
    client.delete("/v2/other/manifests/gone").await.expect(202);
    let upload = client.append(&client.begin("team/app").await, LARGE.as_bytes()).await;
    all_archived(&server).await;
    server.kill();
    drop(server);

    let directory = tempfile::tempdir().unwrap();
    let said = succeed(&["restore", "--take-over"], &set, directory.path()).await;
    assert!(said.contains("epoch 2"), "{said}");
    let mut server = serve(set.clone(), directory.path()).await;
    let client = server.client();
    let tags = client.get("/v2/team/app/tags/list").await.expect(200).json();
    assert_eq!(tags["tags"], serde_json::json!(["v1", "v2"]));
    let manifest = client.get("/v2/team/app/manifests/v1").await.expect(200);
    assert_eq!(Digest::of(&manifest.body), image);
    for content in [LARGE, "small", "{}"] {
        let blob = client.get(&format!("/v2/team/app/blobs/{}", Digest::of(content.as_bytes()))).await.expect(200);
        assert_eq!(blob.body, content.as_bytes());
    }
    client.get("/v2/other/manifests/gone").await.expect(404);
    // Whatever became of the upload behind the archived position, it is not mixed up: it begins again.
    client.ask("PATCH", &upload).body("more").send().await.expect(404);
    client.push_image("team/app", "v3", "pushed after the restore, and large enough for an object").await;
    assert!(bucket.keys().iter().any(|key| key.contains("/2/") && key.contains("blobs/")), "{:?}", bucket.keys());

    // It archives under its own epoch, and can be restored again.
    all_archived(&server).await;
    server.kill();
    let again = tempfile::tempdir().unwrap();
    let said = succeed(&["restore", "--take-over"], &set, again.path()).await;
    assert!(said.contains("epoch 3"), "{said}");
    let server = serve(set.clone(), again.path()).await;
    let tags = server.client().get("/v2/team/app/tags/list").await.expect(200).json();
    assert_eq!(tags["tags"], serde_json::json!(["v1", "v2", "v3"]));
    server.client().get(&format!("/v2/team/app/blobs/{}", Digest::of(LARGE.as_bytes()))).await.expect(200);

    // Lost before it ever served, it is restored from what it began with.
    drop(server);
    for epoch in [4, 5] {
        let lost = tempfile::tempdir().unwrap();
        let said = succeed(&["restore", "--take-over"], &set, lost.path()).await;
        assert!(
            said.contains(&format!("epoch {}, at", epoch - 1)) && said.contains(&format!("epoch {epoch} now")),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_is_restored_as_it_stood_at_a_position() {
    let bucket = FakeS3::start().await;
    let set = settings(&bucket);
    let server = Server::with(options(set.clone())).await;
    let first = server.client().push_image("a", "latest", "one").await;
    let position = all_archived(&server).await.to_string();
    server.client().push_image("a", "latest", "two").await;
    all_archived(&server).await;
    let directory = tempfile::tempdir().unwrap();
    succeed(&["restore", "--position", &position], &set, directory.path()).await;
    let copy = serve(set.clone(), directory.path()).await;
    let manifest = copy.client().get("/v2/a/manifests/latest").await.expect(200);
    assert_eq!(Digest::of(&manifest.body), first);
    let said = fail(&["restore", "--position", "99999"], &set, tempfile::tempdir().unwrap().path()).await;
    assert!(said.contains("ends at position"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_there_is_not_overwritten() {
    let bucket = FakeS3::start().await;
    let set = settings(&bucket);
    let mut server = Server::with(options(set.clone())).await;
    server.client().push_image("a", "latest", "one").await;
    all_archived(&server).await;
    let said = fail(&["restore"], &set, server.data()).await;
    assert!(said.contains("in use by another roadstead"), "{said}");
    server.kill();
    let said = fail(&["restore", "--take-over"], &set, server.data()).await;
    assert!(said.contains("--force"), "{said}");
    // Why the volume was not to be used is set aside with it.
    let refused = r#"{"reason": "damaged", "detail": "said by a test"}"#;
    std::fs::write(server.data().join("index/refused.json"), refused).unwrap();
    let said = succeed(&["restore", "--take-over", "--force"], &set, server.data()).await;
    assert!(said.contains("index-before-"), "{said}");
    server.restart().await;
    server.client().get("/v2/a/manifests/latest").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_damaged_is_told_and_never_passed_over() {
    let bucket = FakeS3::start().await;
    let set = settings(&bucket);
    let mut server = Server::with(options(set.clone())).await;
    for number in 0..3 {
        server.client().push_image("a", &format!("v{number}"), &format!("image {number}")).await;
        all_archived(&server).await;
    }
    server.kill();
    let segments = keys(&bucket, "/log/");
    assert!(segments.len() >= 3, "{segments:?}");
    let verify = ["backup", "verify"];
    succeed(&verify, &set, server.data()).await;

    let (whole, middle) = (bucket.edit(|objects| objects.clone()), &segments[segments.len() / 2]);
    bucket.edit(|objects| objects.remove(middle));
    for verb in [&verify[..], &["restore", "--take-over"]] {
        let said = fail(verb, &set, tempfile::tempdir().unwrap().path()).await;
        assert!(said.contains("entries are missing"), "{said}");
    }
    bucket.edit(|objects| objects.clone_from(&whole));
    bucket.corrupt_one(middle);
    for verb in [&verify[..], &["restore", "--take-over"]] {
        let said = fail(verb, &set, tempfile::tempdir().unwrap().path()).await;
        assert!(said.contains("is not whole"), "{said}");
    }
    bucket.edit(|objects| objects.clone_from(&whole));
    let snapshot = keys(&bucket, ".snapshot").remove(0);
    bucket.corrupt_one(&snapshot);
    for verb in [&verify[..], &["restore", "--take-over"]] {
        let said = fail(verb, &set, tempfile::tempdir().unwrap().path()).await;
        assert!(said.contains("is not whole"), "{said}");
    }
    // A restore that was cut short left no index that would start.
    bucket.edit(|objects| objects.clone_from(&whole));
    let directory = tempfile::tempdir().unwrap();
    succeed(&["restore", "--take-over"], &set, directory.path()).await;
    let server = serve(set, directory.path()).await;
    let tags = server.client().get("/v2/a/tags/list").await.expect(200).json();
    assert_eq!(tags["tags"], serde_json::json!(["v0", "v1", "v2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_snapshot_leads_to_the_same_position_when_the_newest_is_damaged() {
    let bucket = FakeS3::start().await;
    let mut set = settings(&bucket);
    set.push("archive.snapshot_entries=10".into());
    let mut server = Server::with(options(set.clone())).await;
    let mut pushed = 0;
    eventually("there are two snapshots", async || {
        server.client().push_image("a", &format!("v{pushed}"), &format!("image {pushed}")).await;
        pushed += 1;
        keys(&bucket, ".whole").len() >= 2
    })
    .await;
    all_archived(&server).await;
    server.kill();
    let newest = keys(&bucket, ".snapshot").pop().unwrap();
    bucket.corrupt_one(&newest);
    let directory = tempfile::tempdir().unwrap();
    succeed(&["restore", "--take-over"], &set, directory.path()).await;
    let server = serve(set, directory.path()).await;
    let last = format!("/v2/a/manifests/v{}", pushed - 1);
    server.client().get(&last).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_does_not_disturb_writes_and_the_archive_catches_up() {
    let bucket = FakeS3::start().await;
    let mut set = settings(&bucket);
    set.extend(impatient());
    let server = Server::with(options(set)).await;
    all_archived(&server).await;
    bucket.fail(|_, _| Some(Fault::Status(503)));
    let before = archived(&server).await;
    server.client().push_image("a", "latest", "tiny").await;
    eventually("the lag shows", async || {
        server.metric("roadstead_archive_lag_seconds").await.unwrap() > 2.0
            && server.metric("roadstead_archive_failures_total").await.unwrap() > 0.0
    })
    .await;
    assert!(archived(&server).await <= before + 1 && applied(&server).await > before);
    server.client().push_image("a", "latest", "tiny too").await;
    bucket.heal();
    all_archived(&server).await;
    eventually("there is no lag", async || server.metric("roadstead_archive_lag_seconds").await.unwrap() < 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_on_a_directory_is_archived_beside_its_blobs_when_that_is_wanted() {
    let set = ["archive.enabled=true", "archive.seconds=1", "blobs.inline_limit=16"].map(str::to_owned).to_vec();
    let mut server = Server::with(options(set.clone())).await;
    server.client().push_image("a", "latest", LARGE).await;
    all_archived(&server).await;
    server.kill();
    succeed(&["restore", "--take-over", "--force"], &set, server.data()).await;
    server.restart().await;
    let blob = Digest::of(LARGE.as_bytes());
    assert_eq!(server.client().get(&format!("/v2/a/blobs/{blob}")).await.expect(200).body, LARGE.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_lost_every_volume_goes_on_from_the_archive_and_takes_new_members() {
    let bucket = FakeS3::start().await;
    let set = settings(&bucket);
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let cluster = Cluster::up(3, 1, &set);
    cluster.client(0).push_image("a", "latest", LARGE).await;
    let leader = cluster.leader().await;
    let address = cluster.address(&leader);
    let status = cluster.status();
    let leading = status["members"].as_array().unwrap().iter().find(|member| member["name"] == address.as_str());
    let applied = leading.unwrap()["applied"].as_u64().unwrap();
    let last = |key: &String| key.rsplit('/').next()?.split('-').nth(1)?.parse::<u64>().ok();
    eventually("everything is archived", async || {
        keys(&bucket, "/log/").iter().filter_map(last).max() >= Some(applied)
    })
    .await;
    for name in &cluster.index {
        cluster.kill(name);
        cluster.wipe(name);
    }

    let mut restore = roadstead();
    restore.args(["restore", "--take-over", "--config"]).arg(cluster.path().join("index-1.toml"));
    restore.args(set.iter().flat_map(|setting| ["--set", setting]));
    let output = tokio::task::spawn_blocking(move || restore.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    cluster.start("index-1");
    // It would write under the epoch before: it ends, and whoever runs it starts it again.
    eventually("the registry process ends and says why", async || {
        cluster.log("registry-1").contains("belong to another cluster now, or were restored")
    })
    .await;
    eventually("it has ended", async || !cluster.runs("registry-1")).await;
    cluster.start("registry-1");
    let blob = format!("/v2/a/blobs/{}", Digest::of(LARGE.as_bytes()));
    eventually("the registry serves what was archived", async || {
        let answer = cluster.client(0).ask("GET", "/v2/a/manifests/latest").try_send().await;
        answer.is_ok_and(|answer| answer.status.is_success())
    })
    .await;
    assert_eq!(cluster.client(0).get(&blob).await.expect(200).body, LARGE.as_bytes());
    for name in ["index-2", "index-3"] {
        cluster.start(name);
        let address = cluster.address(name);
        eventually("the empty node is a learner", async || cluster.admin(&["add", &address]).status.success()).await;
        cluster.admin_ok(&["promote", &cluster.address(name)]);
    }
    cluster.kill("index-1");
    eventually("the new members go on without the first", async || {
        let put = cluster.client(0).put_manifest("a", "later", &image(LARGE)).await;
        put.status.as_u16() == 201
    })
    .await;
}
