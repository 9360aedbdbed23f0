//! A cluster rolls from one version to the next and one step back, with two real binaries: this one, and one that knows a
//! feature level more. `NEXT` names the latter; `tests/run` builds it with the feature `next-level`.

use roadstead::index::level::LEVEL;

use crate::support::cluster::{Cluster, text};
use crate::support::wait::{PATIENCE, within};

async fn restart_with(cluster: &Cluster, name: &str, binary: &str) {
    cluster.stop(name);
    cluster.use_binary(binary);
    cluster.start(name);
    cluster.caught_up(name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_two_versions_work_together_until_the_level_is_raised_and_then_the_old_one_refuses() {
    let Ok(next) = std::env::var("NEXT") else {
        println!("skipped: NEXT names no binary that was built with the feature next-level; tests/run sets it");
        return;
    };
    let this = env!("CARGO_BIN_EXE_roadstead");
    let cluster = Cluster::up(3, 1, &[]);
    let client = cluster.client(0);
    let mut count = 0;
    let mut push = async || {
        count += 1;
        within(PATIENCE, "a push is acknowledged", async || {
            let bytes = serde_json::to_vec(&crate::support::image("one")).unwrap();
            for blob in [b"{}".as_slice(), b"one"] {
                let digest = roadstead::oci::digest::Digest::of(blob);
                let path = format!("/v2/a/b/blobs/uploads/?digest={digest}");
                if client.ask("POST", &path).body(blob.to_vec()).send().await.status != 201 {
                    return false;
                }
            }
            let tag = format!("t{count}");
            client.put_bytes("a/b", &tag, crate::support::OCI_IMAGE, bytes).await.status == 201
        })
        .await;
        count
    };
    push().await;

    // Forward, with the level as it was: nothing is written that the old version does not know.
    for name in ["index-1", "index-2"] {
        restart_with(&cluster, name, &next).await;
        push().await;
    }
    let level = (LEVEL + 1).to_string();
    let output = cluster.admin(&["raise", "--level", &level]);
    assert!(!output.status.success(), "one member does not know level {level}: {}", text(&output));
    // One step back.
    restart_with(&cluster, "index-1", this).await;
    push().await;
    // And forward again, all of them.
    for name in ["index-1", "index-3"] {
        restart_with(&cluster, name, &next).await;
        push().await;
    }
    let said = cluster.admin_ok(&["raise", "--level", &level]);
    assert!(said.contains(&format!("level {level}")), "{said}");
    push().await;
    assert_eq!(cluster.status()["level"], LEVEL + 1);

    // From here there is no way back: the old version says so and harms nothing.
    cluster.stop("index-1");
    cluster.use_binary(this);
    cluster.start("index-1");
    within(PATIENCE, "the old version refuses", async || !cluster.runs("index-1")).await;
    let log = cluster.log("index-1");
    assert!(log.contains(&format!("level {level}")), "{log}");
    cluster.use_binary(&next);
    cluster.start("index-1");
    cluster.caught_up("index-1").await;
    let pushed = push().await;
    let tags = client.get("/v2/a/b/tags/list").await.expect(200).json()["tags"].as_array().unwrap().len();
    assert_eq!(tags, pushed);
}
