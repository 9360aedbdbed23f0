//! Several index nodes and registry processes behave as one registry, whatever happens to any one of them.

use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::support::cluster::{Cluster, text};
use crate::support::wait::{PATIENCE, within};
use crate::support::{Client, OCI_IMAGE, image};

/// Pushes until it is acknowledged: a 503 may come while a leader is elected.
async fn push(client: &Client, name: &str, tag: &str, content: &str) {
    within(PATIENCE, "a push is acknowledged", async || {
        for blob in [b"{}".as_slice(), content.as_bytes()] {
            let digest = roadstead::oci::digest::Digest::of(blob);
            let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
            let answer = client.ask("POST", &path).body(blob.to_vec()).send().await;
            if answer.status != 201 {
                assert_eq!(answer.status, 503, "{answer:?}");
                assert!(!answer.header("retry-after").is_empty());
                return false;
            }
        }
        let answer = client.put_manifest(name, tag, &image(content)).await;
        assert!(answer.status == 201 || answer.status == 503, "{answer:?}");
        answer.status == 201
    })
    .await;
}

async fn tag(client: &Client, name: &str, tag: &str) -> Option<String> {
    let mut found = None;
    within(PATIENCE, "a tag is read", async || {
        let answer = client.head(&format!("/v2/{name}/manifests/{tag}")).await;
        assert!(matches!(answer.status.as_u16(), 200 | 404 | 503), "{answer:?}");
        found = (answer.status == 200).then(|| answer.header("docker-content-digest").to_owned());
        answer.status != 503
    })
    .await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_acknowledged_every_process_serves_while_any_one_node_is_killed_paused_or_wiped() {
    let cluster = Cluster::up(3, 2, &[]);
    let clients = cluster.clients();
    let mut expected = Vec::new();
    let mut number = 0;
    let mut check = async |what: &str| {
        for client in &clients {
            number += 1;
            let name = format!("t{number}");
            push(client, "a/b", &name, &format!("{what} {number}")).await;
            expected.push((
                name,
                roadstead::oci::digest::Digest::of(&serde_json::to_vec(&image(&format!("{what} {number}"))).unwrap()),
            ));
        }
        for (name, digest) in &expected {
            for client in &clients {
                assert_eq!(tag(client, "a/b", name).await, Some(digest.to_string()), "{what}: {name}");
            }
        }
    };
    check("all is well").await;

    let leader = cluster.leader().await;
    cluster.kill(&leader);
    check("the leader is killed").await;
    cluster.start(&leader);
    cluster.caught_up(&leader).await;

    let leader = cluster.leader().await;
    cluster.pause(&leader);
    check("the leader is paused").await;
    cluster.resume(&leader);
    cluster.caught_up(&leader).await;
    check("the old leader goes on").await;

    let victim = cluster.leader().await;
    cluster.kill(&victim);
    cluster.wipe(&victim);
    cluster.start(&victim);
    check("the leader is wiped").await;
    let address = cluster.address(&victim);
    cluster.admin_ok(&["add", &address, "--replace", &victim]);
    cluster.caught_up(&victim).await;
    // The new node counts: with it and one more there is a quorum.
    let other = cluster.index.iter().find(|name| **name != victim).unwrap();
    cluster.kill(other);
    check("the wiped node is back and another is killed").await;
    cluster.start(other);
    cluster.caught_up(other).await;

    let leader = cluster.leader().await;
    cluster.stop(&leader);
    check("the leader is stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_digests_are_served_with_a_warning_and_tags_and_writes_are_503_until_it_returns() {
    let cluster = Cluster::up(3, 2, &[]);
    let client = cluster.client(0);
    let digest = client.push_image("a/b", "v1", "one").await;
    let layer = roadstead::oci::digest::Digest::of(b"one");
    // Every node must have it before the quorum goes.
    for name in &cluster.index {
        cluster.caught_up(name).await;
    }
    cluster.kill("index-1");
    cluster.kill("index-2");
    within(PATIENCE, "it is known that there is no quorum", async || {
        let began = Instant::now();
        client.head("/v2/a/b/manifests/v1").await.expect(503);
        began.elapsed() < Duration::from_secs(1)
    })
    .await;
    let output = cluster.admin(&["status"]);
    assert!(!output.status.success() && text(&output).contains("there is no "), "{}", text(&output));
    within(PATIENCE, "who writes is told soon, too", async || {
        let began = Instant::now();
        let bytes = serde_json::to_vec(&image("one")).unwrap();
        client.put_bytes("a/b", "v2", OCI_IMAGE, bytes).await.expect(503);
        began.elapsed() < Duration::from_secs(1)
    })
    .await;
    for number in 0..2 {
        let client = cluster.client(number);
        within(PATIENCE, "digests are served", async || {
            client.get(&format!("/v2/a/b/manifests/{digest}")).await.status == 200
        })
        .await;
        let answer = client.get(&format!("/v2/a/b/manifests/{digest}")).await.expect(200);
        assert!(answer.header("warning").starts_with("110 "), "{answer:?}");
        let answer = client.head(&format!("/v2/a/b/manifests/{digest}")).await.expect(200);
        assert!(answer.header("warning").starts_with("110 "), "clients resolve what they pull: {answer:?}");
        let answer = client.get(&format!("/v2/a/b/blobs/{layer}")).await.expect(200);
        assert_eq!(answer.body, b"one");
        assert!(answer.header("warning").starts_with("110 "), "{answer:?}");
        let answer = client.get("/v2/a/b/manifests/v1").await.expect(503);
        assert!(!answer.header("retry-after").is_empty());
        let bytes = serde_json::to_vec(&image("one")).unwrap();
        client.put_bytes("a/b", "v2", OCI_IMAGE, bytes).await.expect(503);
        client.get("/v2/a/b/tags/list").await.expect(503);
        let absent = roadstead::oci::digest::Digest::of(b"absent");
        client.get(&format!("/v2/a/b/manifests/{absent}")).await.expect(503);
    }
    cluster.start("index-1");
    let began = Instant::now();
    assert_eq!(tag(&client, "a/b", "v1").await, Some(digest.to_string()));
    println!("a quorum is back after {} ms", began.elapsed().as_millis());
    push(&client, "a/b", "v3", "three").await;

    // With no index node at all nothing is said.
    cluster.kill("index-1");
    cluster.kill("index-3");
    let answer = client.get(&format!("/v2/a/b/manifests/{digest}")).await.expect(503);
    assert!(!answer.header("retry-after").is_empty());

    // Nor by a process that starts then; it serves as soon as there is an index.
    cluster.kill("registry-2");
    cluster.start("registry-2");
    let client = cluster.client(1);
    within(PATIENCE, "it listens", async || client.ask("GET", "/v2/").try_send().await.is_ok()).await;
    let answer = client.get("/v2/").await.expect(503);
    assert!(!answer.header("retry-after").is_empty());
    cluster.start("index-1");
    cluster.start("index-3");
    assert_eq!(tag(&client, "a/b", "v1").await, Some(digest.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_leader_without_a_majority_does_not_grow() {
    let cluster = Cluster::up(3, 1, &[]);
    let client = cluster.client(0);
    client.push_image("a/b", "v1", "one").await;
    let leader = cluster.leader().await;
    let address = cluster.address(&leader);
    for name in cluster.index.iter().filter(|name| **name != leader) {
        cluster.kill(name);
    }
    let bytes = serde_json::to_vec(&image("one")).unwrap();
    let refused = async |tag: &str| {
        let began = Instant::now();
        client.put_bytes("a/b", tag, OCI_IMAGE, bytes.clone()).await.expect(503);
        began.elapsed() < Duration::from_secs(1)
    };
    within(PATIENCE, "it is known that there is no quorum", async || refused("v2").await).await;
    let end = || {
        let status = cluster.status();
        let members = status["members"].as_array().cloned().unwrap_or_default();
        members.iter().find(|member| member["name"] == address.as_str()).and_then(|member| member["end"].as_u64())
    };
    let before = end();
    assert!(before.is_some(), "the leader answers");
    for number in 0..20 {
        refused(&format!("w{number}")).await;
    }
    assert_eq!(end(), before);
    for name in cluster.index.iter().filter(|name| **name != leader) {
        cluster.start(name);
    }
    push(&client, "a/b", "v3", "three").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_tags_are_served_with_a_warning_where_that_is_asked_for() {
    let cluster = Cluster::up(3, 1, &["manifests.stale_tags=true"]);
    let client = cluster.client(0);
    let digest = client.push_image("a/b", "v1", "one").await;
    assert!(client.get("/v2/a/b/manifests/v1").await.expect(200).headers.get("warning").is_none());
    for name in &cluster.index {
        cluster.caught_up(name).await;
    }
    cluster.kill("index-1");
    cluster.kill("index-2");
    let path = "/v2/a/b/manifests/v1";
    within(PATIENCE, "the tag is served", async || client.get(path).await.status == 200).await;
    let answer = client.get(path).await.expect(200);
    assert_eq!(answer.header("docker-content-digest"), digest.to_string());
    assert!(answer.header("warning").starts_with("110 "), "{answer:?}");
    assert!(client.head(path).await.expect(200).header("warning").starts_with("110 "));
    // What that node has not heard of may be there all the same.
    client.get("/v2/a/b/manifests/v2").await.expect(503);
    let bytes = serde_json::to_vec(&image("one")).unwrap();
    client.put_bytes("a/b", "v2", OCI_IMAGE, bytes).await.expect(503);
    cluster.start("index-1");
    within(PATIENCE, "the tag is what it is", async || {
        let answer = client.get(path).await;
        answer.status == 200 && answer.headers.get("warning").is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_pushed_through_two_processes_at_once_are_all_there_in_order_and_each_once() {
    let cluster = Cluster::up(3, 2, &[]);
    let clients = cluster.clients();
    for client in &clients {
        client.push_blob("a/b", b"{}").await;
        client.push_blob("a/b", b"one").await;
    }
    let count = if std::env::var_os("TORTURE").is_some() { 1000 } else { 100 };
    // Names that are prefixes of each other: what a store that lists by prefix loses.
    let names: Vec<String> =
        (0..count).flat_map(|n| [format!("0.{n}"), format!("0.{n}.{n}"), format!("0.{n}-{n}")]).collect();
    let bytes = serde_json::to_vec(&image("one")).unwrap();
    let pushes = names.chunks(names.len() / 8).enumerate().map(|(number, chunk)| {
        let (client, bytes) = (clients[number % 2].clone(), bytes.clone());
        async move {
            for name in chunk {
                client.put_bytes("a/b", name, OCI_IMAGE, bytes.clone()).await.expect(201);
            }
        }
    });
    join_all(pushes).await;
    let mut sorted = names.clone();
    sorted.sort();
    for client in &clients {
        let mut found = Vec::new();
        let mut last = String::new();
        loop {
            let page = client.get(&format!("/v2/a/b/tags/list?n=37&last={last}")).await.expect(200).json();
            let tags: Vec<String> =
                page["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
            let Some(end) = tags.last() else { break };
            last.clone_from(end);
            found.extend(tags);
        }
        assert_eq!(found, sorted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_has_one_winner_though_all_processes_judge_it_at_once() {
    let cluster = Cluster::up(3, 2, &[]);
    let clients = cluster.clients();
    for client in &clients {
        client.push_blob("a/b", b"{}").await;
        for number in 0..8 {
            client.push_blob("a/b", format!("{number}").as_bytes()).await;
        }
    }
    for round in 0..20 {
        let puts = (0..8).map(|number| {
            let client = clients[number % 2].clone();
            async move {
                let bytes = serde_json::to_vec(&image(&format!("{number}"))).unwrap();
                let path = format!("/v2/a/b/manifests/r{round}");
                let put = client.ask("PUT", &path).header("content-type", OCI_IMAGE).header("if-none-match", "*");
                put.body(bytes).send().await.status.as_u16()
            }
        });
        let mut answers = join_all(puts).await;
        answers.sort_unstable();
        assert_eq!(answers, [201, 412, 412, 412, 412, 412, 412, 412]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_begins_once_and_grows_and_shrinks_one_by_one() {
    let cluster = Cluster::up(3, 1, &["cluster.snapshot_entries=50"]);
    let client = cluster.client(0);
    for number in 0..40 {
        push(&client, "a/b", &format!("t{number}"), &format!("{number}")).await;
    }
    // The same words again change nothing; others are refused.
    let again = cluster.admin_ok(&["init"]);
    assert!(again.contains("has begun"), "{again}");
    let output = cluster.admin(&["init", "--cluster", "another"]);
    assert!(!output.status.success() && text(&output).contains("belong to cluster"), "{}", text(&output));

    cluster.admin_ok(&["remove", "index-3"]);
    let status = cluster.status();
    let names = |status: &serde_json::Value| -> Vec<String> {
        let members = status["members"].as_array().unwrap().iter().filter(|member| member["role"] == "voter");
        members.map(|member| member["name"].as_str().unwrap().split(':').next().unwrap().to_owned()).collect()
    };
    let mut voters = names(&status);
    voters.sort();
    assert_eq!(voters, ["index-1", "index-2"]);
    push(&client, "a/b", "with-two", "two").await;

    // The removed node is told so when it speaks to a member, and does not come back with what it has.
    let removed = cluster.address("index-3");
    let output = cluster.admin(&["add", &removed]);
    assert!(!output.status.success(), "{}", text(&output));
    within(PATIENCE, "the removed node ends and says why", async || {
        cluster.log("index-3").contains("was removed from the cluster. If it shall be a member again")
    })
    .await;
    cluster.wipe("index-3");
    cluster.start("index-3");
    within(PATIENCE, "the empty node answers", async || {
        cluster.status()["members"].as_array().unwrap().iter().any(|member| member["role"] == "empty")
    })
    .await;
    cluster.admin_ok(&["add", &removed]);
    let status = cluster.status();
    let learner = status["members"].as_array().unwrap().iter().find(|member| member["role"] == "learner").cloned();
    assert_eq!(learner.unwrap()["name"], removed.as_str());
    let output = cluster.admin(&["transfer", "index-3"]);
    assert!(!output.status.success() && text(&output).contains("is no voter"), "{}", text(&output));
    push(&client, "a/b", "beside-a-learner", "learner").await;
    let promoted: serde_json::Value =
        serde_json::from_str(&cluster.admin_ok(&["promote", "index-3", "--json"])).unwrap();
    assert_eq!((&promoted["name"], &promoted["role"]), (&removed.as_str().into(), &"voter".into()));
    cluster.caught_up("index-3").await;
    let leader = cluster.leader().await;
    cluster.admin_ok(&["transfer", "index-3"]);
    let now = cluster.leader().await;
    assert!(leader == "index-3" || now == "index-3", "{leader} {now}");
    let said = cluster.admin_ok(&["transfer", "index-3"]);
    assert!(said.contains("index-3"), "who leads already goes on: {said}");
    let said = cluster.admin_ok(&["add", &removed]);
    assert!(said.contains("is a voter already"), "{said}");
    let output = cluster.admin(&["add", &removed, "--replace", "index-9"]);
    assert!(output.status.success(), "it has the place: {}", text(&output));
    for number in 0..40 {
        assert!(tag(&client, "a/b", &format!("t{number}")).await.is_some());
    }
    for verb in ["init", "status", "snapshot", "raise", "transfer"] {
        let said = cluster.admin_ok(&[verb, "--json"]);
        let object: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{verb}: {said}"));
        assert!(object.is_object(), "{verb}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_at_the_address_of_a_member_harms_nobody() {
    let cluster = Cluster::up(3, 1, &[]);
    let client = cluster.client(0);
    push(&client, "a/b", "before", "one").await;
    let leader = cluster.leader().await;
    let stranger = cluster.index.iter().find(|name| **name != leader).unwrap().clone();
    cluster.kill(&stranger);
    cluster.wipe(&stranger);
    // A store of its own: the leader of another cluster ends as soon as it sees whose this one is.
    let store = cluster.path().join("store-of-the-stranger");
    cluster.start_with(&stranger, &[("ROADSTEAD_STORAGE_DIRECTORY", store.to_str().unwrap())]);
    let alone = format!("cluster.index={}", cluster.address(&stranger));
    within(PATIENCE, "another cluster begins there", async || {
        let output = cluster.admin(&["init", "--set", &alone]);
        eprintln!("{}", text(&output));
        output.status.success()
    })
    .await;
    within(PATIENCE, "a member says who answers there", async || {
        cluster.index.iter().any(|name| cluster.log(name).contains("a node of another cluster answers"))
    })
    .await;
    for number in 0..20 {
        push(&client, "a/b", &format!("t{number}"), "one").await;
    }
    for name in &cluster.index {
        assert!(cluster.runs(name), "{name} ended: {}", cluster.log(name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_registry_may_not_change_the_membership() {
    let cluster = Cluster::up(1, 1, &[]);
    let text = std::fs::read_to_string(cluster.path().join("admin.toml")).unwrap();
    let (admin, registry) = (cluster.path().join("admin"), cluster.path().join("registry"));
    let forged = text.replace(admin.to_str().unwrap(), registry.to_str().unwrap());
    let config = cluster.path().join("forged.toml");
    std::fs::write(&config, forged).unwrap();
    let mut command = crate::support::server::roadstead();
    let output = command.args(["index", "remove", "index-1", "--config"]).arg(&config).output().unwrap();
    let said = crate::support::cluster::text(&output);
    assert!(!output.status.success() && said.contains("roadstead://admin"), "{said}");
}
