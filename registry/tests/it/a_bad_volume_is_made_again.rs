//! A node whose volume is damaged, or was put back to an older copy, is made again from its peers under a new id, and
//! nothing that was acknowledged is lost by it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::cluster::Cluster;
use crate::support::wait::{PATIENCE, within};

/// The id of the voter of this name.
fn voter(cluster: &Cluster, name: &str) -> Option<u64> {
    let address = cluster.address(name);
    let status = cluster.status();
    let members = status["members"].as_array()?;
    let of_name: Vec<_> = members.iter().filter(|member| member["name"] == address.as_str()).collect();
    match of_name.as_slice() {
        [member] if member["role"] == "voter" => member["id"].as_u64(),
        _ => None,
    }
}

async fn made_again(cluster: &Cluster, name: &str, old: u64) {
    within(PATIENCE, &format!("{name} is a voter under a new id\n{}", cluster.log(name)), async || {
        // A node that found out while it ran has ended; whoever looks after processes starts it again.
        if !cluster.runs(name) {
            cluster.start(name);
        }
        voter(cluster, name).is_some_and(|id| id != old)
    })
    .await;
    cluster.caught_up(name).await;
}

fn follower(cluster: &Cluster, leader: &str) -> String {
    cluster.index.iter().find(|name| *name != leader).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_log_is_damaged_is_made_again_from_its_peers() {
    let cluster = Cluster::up(3, 1, &[]);
    let client = cluster.client(0);
    for number in 0..30 {
        client.push_image("a/b", &format!("t{number}"), &format!("{number}")).await;
    }
    let victim = follower(&cluster, &cluster.leader().await);
    let old = voter(&cluster, &victim).unwrap();
    cluster.kill(&victim);
    damage(&cluster.data(&victim).join("index/log"));
    cluster.start(&victim);
    made_again(&cluster, &victim, old).await;
    assert!(cluster.log(&victim).contains("set aside"), "{}", cluster.log(&victim));
    // It counts: with it and one more there is a quorum.
    let other = cluster.index.iter().find(|name| **name != victim).unwrap();
    cluster.kill(other);
    within(PATIENCE, "all tags are there", async || client.get("/v2/a/b/tags/list").await.status == 200).await;
    let tags = client.get("/v2/a/b/tags/list").await.expect(200).json()["tags"].as_array().unwrap().len();
    assert_eq!(tags, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_was_put_back_to_an_older_copy_is_not_used() {
    let cluster = Cluster::up(3, 1, &[]);
    let client = cluster.client(0);
    client.push_image("a/b", "before", "before").await;
    let victim = follower(&cluster, &cluster.leader().await);
    let old = voter(&cluster, &victim).unwrap();
    cluster.stop(&victim);
    let copy = tempfile::tempdir().unwrap();
    let status =
        Command::new("cp").arg("-a").arg(cluster.data(&victim)).arg(copy.path().join("copy")).status().unwrap();
    assert!(status.success());
    cluster.start(&victim);
    for number in 0..20 {
        client.push_image("a/b", &format!("t{number}"), &format!("{number}")).await;
    }
    cluster.caught_up(&victim).await;
    cluster.stop(&victim);
    fs::remove_dir_all(cluster.data(&victim)).unwrap();
    fs::rename(copy.path().join("copy"), cluster.data(&victim)).unwrap();
    cluster.start(&victim);
    made_again(&cluster, &victim, old).await;
    assert!(cluster.log(&victim).contains("older copy"), "{}", cluster.log(&victim));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_state_became_another_is_found_by_its_check_sums_and_made_again() {
    let Ok(next) = std::env::var("NEXT") else {
        println!("skipped: NEXT names no binary that was built with the feature mutants; tests/run sets it");
        return;
    };
    let cluster = Cluster::up(3, 1, &[]);
    // Such a binary compares every hundred entries.
    cluster.use_binary(&next);
    for name in &cluster.index {
        cluster.stop(name);
        cluster.start(name);
    }
    let client = cluster.client(0);
    let image = client.image("a/b", "content").await;
    let victim = follower(&cluster, &cluster.leader().await);
    let old = voter(&cluster, &victim).unwrap();
    cluster.stop(&victim);
    cluster.start_with(&victim, &[("MUTANT", "skipped_entry")]);
    let mut tags = 0;
    while cluster.runs(&victim) {
        assert!(tags < 20_000, "nobody noticed that {victim} leaves entries out\n{}", cluster.log(&victim));
        client.put_manifest("a/b", &format!("t{}", tags % 500), &image).await.expect(201);
        tags += 1;
    }
    let said = cluster.log(&victim);
    assert!(said.contains("its state is not that of the other members"), "{said}");

    made_again(&cluster, &victim, old).await;
    let other = cluster.index.iter().find(|name| **name != victim).unwrap();
    cluster.kill(other);
    within(PATIENCE, "all tags are there", async || {
        let list = client.get("/v2/a/b/tags/list").await;
        list.status == 200 && list.json()["tags"].as_array().unwrap().len() == tags.min(500)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_new_volume_is_bad_too_takes_the_place_of_its_first() {
    let Ok(next) = std::env::var("NEXT") else {
        println!("skipped: NEXT names no binary that was built with the feature failpoints; tests/run sets it");
        return;
    };
    let cluster = Cluster::up(3, 1, &["cluster.snapshot_entries=10"]);
    let client = cluster.client(0);
    let image = client.image("a/b", "content").await;
    // A member that lacks no more than a hundred entries counts as caught up.
    for number in 0..150 {
        client.put_manifest("a/b", &format!("t{number}"), &image).await.expect(201);
    }
    let victim = follower(&cluster, &cluster.leader().await);
    let (first, address) = (voter(&cluster, &victim).unwrap(), cluster.address(&victim));
    let refuse = || {
        let text = r#"{"reason": "diverged", "detail": "said by a test"}"#;
        fs::write(cluster.data(&victim).join("index/refused.json"), text).unwrap();
    };
    cluster.kill(&victim);
    refuse();
    cluster.use_binary(&next);
    cluster.start_with(&victim, &[("FAILPOINTS", "index::snapshot::after_receive=pause")]);
    let of_name = || {
        let members = cluster.status()["members"].as_array().cloned().unwrap_or_default();
        members.into_iter().filter(|member| member["name"] == address.as_str()).collect::<Vec<_>>()
    };
    within(PATIENCE, "it is a learner under another id", async || {
        of_name().iter().any(|member| member["role"] == "learner")
    })
    .await;
    let second = of_name().iter().find(|member| member["role"] == "learner").unwrap()["id"].as_u64().unwrap();
    cluster.kill(&victim);
    refuse();
    cluster.start(&victim);
    made_again(&cluster, &victim, first).await;
    let third = voter(&cluster, &victim).unwrap();
    assert!(third != first && third != second, "{first} {second} {third}");
    let done = async || !cluster.data(&victim).join("replaces.json").exists();
    within(PATIENCE, "it knows that it has the place", done).await;
}

/// Flips bits in the middle of everything that a node has written there.
fn damage(directory: &Path) {
    let mut damaged = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "jnl") {
            let mut bytes = fs::read(&path).unwrap();
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default();
            if end > 1000 {
                for byte in &mut bytes[end / 3..end / 3 + 64] {
                    *byte ^= 0xff;
                }
                fs::write(&path, bytes).unwrap();
                damaged += 1;
            }
        }
    }
    assert!(damaged > 0, "there is nothing to damage in {}", directory.display());
}
