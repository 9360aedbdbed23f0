//! A disk that hangs, without an error, keeps nobody from writing: its node lets another one lead. `NEXT` names a binary with
//! fail points; `tests/run` builds it.

use crate::support::cluster::Cluster;
use crate::support::wait::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_hangs_lets_another_one_lead() {
    let Ok(next) = std::env::var("NEXT") else {
        println!("skipped: NEXT names no binary that was built with the feature failpoints; tests/run sets it");
        return;
    };
    let cluster = Cluster::up(3, 1, &[]);
    let client = cluster.client(0);
    let manifest = client.image("a", "one").await;
    client.put_manifest("a", "first", &manifest).await.expect(201);
    let leader = cluster.leader().await;
    let victim = cluster.index.iter().find(|name| **name != leader).unwrap().clone();
    cluster.kill(&victim);
    cluster.use_binary(&next);
    cluster.start_with(&victim, &[("FAILPOINTS", "index::log::before_sync=100*off->pause")]);
    cluster.caught_up(&victim).await;
    eventually("it leads", async || {
        cluster.admin(&["transfer", &victim]);
        cluster.leader().await == victim
    })
    .await;
    // Those that it has taken are asked again of whoever leads then, so most clients only wait.
    let mut number = 0;
    eventually("its disk hangs, and it says so", async || {
        number += 1;
        client.put_manifest("a", &format!("t{number}"), &manifest).await;
        cluster.log(&victim).contains("the disk of this node hangs")
    })
    .await;
    eventually("another one leads, and takes what comes", async || {
        client.put_manifest("a", "after", &manifest).await.status == 201
    })
    .await;
    assert_ne!(cluster.leader().await, victim);
    cluster.kill(&victim); // it cannot end in order
}
