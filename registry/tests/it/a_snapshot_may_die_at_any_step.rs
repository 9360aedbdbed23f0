//! A node that dies while it receives a snapshot joins all the same: at each fail point of the way. `NEXT` names a binary
//! that has them; `tests/run` builds it.

use roadstead::index::crash::FAIL_POINTS;

use crate::support::cluster::Cluster;
use crate::support::wait::{PATIENCE, within};

/// The points that only a node passes which receives a snapshot from another.
const POINTS: [(&str, &str); 4] = [
    ("index::snapshot::before_receive", "return"),
    ("index::snapshot::after_receive", "return"),
    // Passed the first time when an empty volume is made.
    ("index::snapshot::before_switch", "1*off->return"),
    ("index::snapshot::after_switch", "1*off->return"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_while_it_receives_a_snapshot_joins_all_the_same() {
    let Ok(next) = std::env::var("NEXT") else {
        println!("skipped: NEXT names no binary that was built with the feature failpoints; tests/run sets it");
        return;
    };
    for (point, action) in POINTS {
        assert!(FAIL_POINTS.contains(&point));
        let cluster = Cluster::up(3, 1, &["cluster.snapshot_entries=20"]);
        let client = cluster.client(0);
        for number in 0..40 {
            client.push_image("a/b", &format!("t{number}"), &format!("{number}")).await;
        }
        let leader = cluster.leader().await;
        let victim = cluster.index.iter().find(|name| **name != leader).unwrap().clone();
        cluster.kill(&victim);
        cluster.wipe(&victim);
        cluster.use_binary(&next);
        cluster.start_with(&victim, &[("FAILPOINTS", &format!("{point}={action}"))]);
        let address = cluster.address(&victim);
        within(PATIENCE, "the empty node answers", async || {
            let status = cluster.status();
            let members = status["members"].as_array().cloned().unwrap_or_default();
            members.iter().any(|member| member["role"] == "empty")
        })
        .await;
        std::thread::scope(|scope| {
            let adding = scope.spawn(|| cluster.admin_ok(&["add", &address, "--replace", &victim]));
            let deadline = std::time::Instant::now() + PATIENCE;
            while cluster.runs(&victim) {
                assert!(std::time::Instant::now() < deadline, "{point} was not passed");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            cluster.start(&victim);
            adding.join().unwrap();
        });
        cluster.caught_up(&victim).await;
        let other = cluster.index.iter().find(|name| **name != victim && **name != leader).unwrap();
        cluster.kill(other);
        within(PATIENCE, "all tags are there", async || {
            let answer = client.get("/v2/a/b/tags/list").await;
            answer.status == 200 && answer.json()["tags"].as_array().unwrap().len() == 40
        })
        .await;
    }
}
