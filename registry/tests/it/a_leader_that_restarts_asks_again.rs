//! A leader sends entries to the others before its own disk has them, so it may come back without what they hold. It must
//! not go on leading as if nothing had happened: the others would take its new entries for those that they have. `NEXT`
//! names a binary with fail points; `tests/run` builds it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::cluster::Cluster;
use crate::support::digest_of;
use crate::support::wait::eventually;

const WRITERS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_takes_after_it_came_back_without_the_end_of_its_log_is_held_by_all() {
    let Ok(next) = std::env::var("NEXT") else {
        println!("skipped: NEXT names no binary that was built with the feature failpoints; tests/run sets it");
        return;
    };
    // Long enough for the leader to come back before anybody else stands.
    let cluster = Cluster::up(3, 1, &["cluster.election_milliseconds=3000"]);
    let manifest = cluster.client(0).image("a", "one").await;
    cluster.client(0).put_manifest("a", "first", &manifest).await.expect(201);
    let leader = cluster.leader().await;
    let victim = cluster.index.iter().find(|name| **name != leader).unwrap().clone();
    cluster.kill(&victim);
    cluster.use_binary(&next);
    // A while without the disk, in which the two others take what it sends; then the end.
    cluster.start_with(&victim, &[("FAILPOINTS", "index::log::before_append=60*off->1*sleep(1500)->return")]);
    cluster.caught_up(&victim).await;
    eventually("it leads", async || {
        cluster.admin(&["transfer", &victim]);
        cluster.leader().await == victim
    })
    .await;

    let died = AtomicBool::new(false);
    let writer = async |number: usize| {
        let client = cluster.client(0);
        let mut acknowledged = Vec::new();
        let mut after = 0;
        while after < 10 {
            let tag = format!("t{number}-{}", acknowledged.len());
            let late = died.load(Ordering::Relaxed);
            if client.put_manifest("a", &tag, &manifest).await.status == 201 {
                acknowledged.push(tag);
                after += usize::from(late);
            }
        }
        acknowledged
    };
    let restart = async {
        eventually("the leader dies", async || !cluster.runs(&victim)).await;
        cluster.start(&victim);
        died.store(true, Ordering::Relaxed);
    };
    let writers = futures::future::join_all((0..WRITERS).map(writer));
    let (acknowledged, ()) = tokio::join!(writers, restart);
    for name in &cluster.index {
        cluster.caught_up(name).await;
    }
    cluster.kill(&victim);
    for tag in acknowledged.into_iter().flatten() {
        let answer = cluster.client(0).head(&format!("/v2/a/manifests/{tag}")).await;
        assert_eq!(answer.status, 200, "{tag} was acknowledged");
        assert_eq!(answer.header("docker-content-digest"), digest_of(&manifest).to_string(), "{tag}");
    }
}
