//! When the volume of one index node is full, the others go on: as a follower it takes nothing more, as the leader it lets
//! another one lead. With room it catches up by itself.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::cluster::Cluster;
use crate::support::image;
use crate::support::wait::eventually;

/// The floor; a quarter of it is the reserve.
const FLOOR: u64 = 16 << 20;

fn member(cluster: &Cluster, name: &str) -> Value {
    let (status, address) = (cluster.status(), cluster.address(name));
    let members = status["members"].as_array().cloned().unwrap_or_default();
    members.into_iter().find(|member| member["name"] == address.as_str()).unwrap_or_default()
}

/// Takes all of the node's volume but `left` bytes.
fn fill(cluster: &Cluster, name: &str, left: u64) -> PathBuf {
    let path = cluster.inside(name, &cluster.data(name)).join("filler");
    let volume = rustix::fs::statvfs(path.parent().unwrap()).unwrap();
    let take = (volume.f_bavail * volume.f_frsize).checked_sub(left).unwrap();
    fs::write(&path, vec![1; usize::try_from(take).unwrap()]).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_and_with_room_it_catches_up() {
    let cluster = Cluster::up(3, 1, &[&format!("server.min_free_bytes={FLOOR}")]);
    let client = cluster.client(0);
    client.push_image("a", "before", "before").await;
    let old = member(&cluster, "index-3")["id"].to_string();
    cluster.kill("index-3");
    cluster.wipe("index-3");
    cluster.start_on_a_volume("index-3", 160);
    let address = cluster.address("index-3");
    eventually("the empty node takes the place of the one before", async || {
        cluster.admin(&["add", &address, "--replace", &old]).status.success()
    })
    .await;
    eventually("another node leads", async || {
        cluster.leader().await != "index-3" || !cluster.admin(&["transfer", "index-1"]).status.success()
    })
    .await;

    // As a follower, below its reserve.
    cluster.caught_up("index-3").await;
    let filler = fill(&cluster, "index-3", FLOOR / 8);
    eventually("the node says that it is full", async || member(&cluster, "index-3")["has_space"] == false).await;
    for number in 0..20 {
        client.push_image("a", &format!("t{number}"), &format!("{number}")).await;
    }
    let end = |name| member(&cluster, name)["end"].as_u64().unwrap();
    let leader = cluster.leader().await;
    assert_ne!(leader, "index-3");
    assert!(end("index-3") < end(&leader), "{}", cluster.status());
    fs::remove_file(filler).unwrap();
    cluster.caught_up("index-3").await;
    assert!(!cluster.log("index-3").contains("set aside"), "it goes on with what it has");

    // As the leader, below the floor.
    cluster.admin_ok(&["transfer", "index-3"]);
    let filler = fill(&cluster, "index-3", FLOOR / 2);
    let manifest = image("before");
    eventually("the full leader lets another one lead", async || cluster.leader().await != "index-3").await;
    eventually("writes pass", async || client.put_manifest("a", "later", &manifest).await.status == 201).await;
    client.get("/v2/a/manifests/t19").await.expect(200);
    fs::remove_file(filler).unwrap();
    eventually("the node has room again", async || member(&cluster, "index-3")["has_space"] == true).await;
    cluster.caught_up("index-3").await;
}
