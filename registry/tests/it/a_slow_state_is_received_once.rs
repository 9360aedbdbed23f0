//! A node that takes long to receive a state joins all the same, however much is written meanwhile: the log behind that
//! state is kept for it. `NEXT` names a binary with fail points; `tests/run` builds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use roadstead::index::crash::FAIL_POINTS;

use crate::support::cluster::Cluster;
use crate::support::wait::{PATIENCE, within};

const POINT: &str = "index::snapshot::after_receive";
const ENTRIES: u64 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_receives_slowly_joins_however_much_is_written() {
    let Ok(next) = std::env::var("NEXT") else {
        println!("skipped: NEXT names no binary that was built with the feature failpoints; tests/run sets it");
        return;
    };
    assert!(FAIL_POINTS.contains(&POINT));
    let cluster = Cluster::up(3, 1, &[&format!("cluster.snapshot_entries={ENTRIES}")]);
    let client = cluster.client(0);
    let image = client.image("a/b", "written").await;
    // A member that lacks no more than a hundred entries counts as caught up.
    for number in 0..150 {
        client.put_manifest("a/b", &format!("first-{number}"), &image).await.expect(201);
    }
    let leader = cluster.leader().await;
    let victim = cluster.index.iter().find(|name| **name != leader).unwrap().clone();
    cluster.kill(&victim);
    cluster.wipe(&victim);
    cluster.use_binary(&next);
    cluster.start_with(&victim, &[("FAILPOINTS", &format!("{POINT}=sleep(3000)"))]);
    within(PATIENCE, "the empty node answers", async || {
        let members = cluster.status()["members"].as_array().cloned().unwrap_or_default();
        members.iter().any(|member| member["role"] == "empty")
    })
    .await;

    let (done, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers = [1, 2, 3, 4].map(|writer| {
        let (client, image, done, written) = (client.clone(), image.clone(), done.clone(), written.clone());
        tokio::spawn(async move {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                client.put_manifest("a/b", &format!("w{writer}-{number}"), &image).await.expect(201);
                number += 1;
                written.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let mut adding = cluster.admin_command(&["add", &cluster.address(&victim), "--replace", &victim]).spawn().unwrap();
    let mut added = None;
    within(PATIENCE, "the node joins while others write", async || {
        added = adding.try_wait().unwrap();
        added.is_some()
    })
    .await;
    assert!(added.unwrap().success());
    done.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }

    let written = written.load(Ordering::Relaxed);
    println!("{written} tags were written meanwhile");
    assert!(written > 3 * ENTRIES, "INVALID: only {written} tags were written meanwhile");
    let states = std::fs::read_dir(cluster.data(&victim).join("index")).unwrap().flatten();
    let states: Vec<_> =
        states.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().starts_with("state-")).collect();
    assert!(states.len() <= 2, "one state was received, not several: {states:?}");
    cluster.caught_up(&victim).await;
}
