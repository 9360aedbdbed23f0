//! A cluster that has begun does not begin again: not when some of its nodes have lost their volumes, and not by a detour.

use crate::support::cluster::{Cluster, text};
use crate::support::wait::{PATIENCE, within};

/// A cluster of three with an image, two of whose nodes have lost their volumes; and the digest of the image.
async fn two_of_three_are_empty() -> (Cluster, String) {
    let cluster = Cluster::up(3, 1, &[]);
    let digest = cluster.client(0).push_image("a/b", "v1", "one").await;
    for name in &cluster.index {
        cluster.caught_up(name).await;
    }
    for name in ["index-1", "index-2"] {
        cluster.kill(name);
        cluster.wipe(name);
        cluster.start(name);
    }
    (cluster, digest.to_string())
}

async fn init(cluster: &Cluster, arguments: &[&str]) -> std::process::Output {
    let mut output = None;
    within(PATIENCE, "every node answers", async || {
        let now = cluster.admin(&[&["init"], arguments].concat());
        let said = text(&now);
        println!("{said}");
        output = Some(now);
        !said.contains("every node must") && !said.contains("does not answer")
    })
    .await;
    output.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_nodes_are_not_let_in_by_beginning_again() {
    let (cluster, digest) = two_of_three_are_empty().await;
    let output = init(&cluster, &[]).await;
    assert!(!output.status.success() && text(&output).contains("has begun already"), "{}", text(&output));
    for member in cluster.status()["members"].as_array().unwrap() {
        assert!(
            member["name"].as_str().unwrap().starts_with("index-3")
                || member["role"] != "voter"
                || member["answers"] == false
        );
    }
    // What the third one has is what there is.
    let client = cluster.client(0);
    within(PATIENCE, "the image is served by its digest", async || {
        client.get(&format!("/v2/a/b/manifests/{digest}")).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_has_applied_is_not_replaced_by_a_cluster_that_began_again() {
    let (cluster, digest) = two_of_three_are_empty().await;
    let id = cluster.status()["cluster"].as_str().unwrap().to_owned();
    // Two empty nodes, told nothing of the third, make a cluster with the id of the old one, and then take the third in.
    let two = format!("cluster.index={},{}", cluster.address("index-1"), cluster.address("index-2"));
    let output = init(&cluster, &["--cluster", &id, "--set", &two]).await;
    assert!(output.status.success(), "{}", text(&output));
    let mut add = cluster.admin_command(&["add", &cluster.address("index-3"), "--set", &two]).spawn().unwrap();
    within(PATIENCE, "the third one says what it was sent", async || {
        cluster.log("index-3").contains("another history than the one that is applied here")
    })
    .await;
    let _ = add.kill();
    let _ = add.wait();
    cluster.kill("index-1");
    cluster.kill("index-2");
    cluster.stop("index-3");
    cluster.start("index-3");
    let client = cluster.client(0);
    within(PATIENCE, "its volume is as it was", async || {
        client.get(&format!("/v2/a/b/manifests/{digest}")).await.status == 200
    })
    .await;
    assert!(!cluster.log("index-3").contains("set aside"), "{}", cluster.log("index-3"));
}
