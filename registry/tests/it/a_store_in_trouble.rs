//! The registry while its object store is out, slow, or lies.

use std::time::{Duration, Instant};

use roadstead::oci::digest::Digest;
use tokio::io::AsyncWriteExt;

use crate::support::cluster::Cluster;
use crate::support::raw;
use crate::support::s3::{FakeS3, Fault, GIVES_UP, impatient};
use crate::support::server::{Options, Server, roadstead};
use crate::support::wait::eventually;

/// Larger than what is kept in the index.
fn large(salt: u8) -> Vec<u8> {
    vec![salt; 300_000]
}

async fn start(store: &FakeS3) -> Server {
    let set = [store.settings(), impatient()].concat();
    Server::with(Options { set, ..Options::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_during_a_push_gives_503_and_never_201_and_tags_can_still_be_read() {
    let store = FakeS3::start().await;
    let server = start(&store).await;
    let client = server.client();
    let image = client.push_image("a", "latest", "content").await;
    store.fail(|_, _| Some(Fault::Status(503)));

    let content = large(1);
    let digest = Digest::of(&content);
    let upload = client.begin("a").await;
    let began = Instant::now();
    client.finish(&upload, &digest, &content).await.expect(503);
    assert!(began.elapsed() < GIVES_UP, "{:?}", began.elapsed());
    client.ask("PATCH", &client.begin("a").await).body(content.clone()).send().await.expect(503);
    client.head(&format!("/v2/a/blobs/{digest}")).await.expect(404);
    let answer = client.get("/v2/a/manifests/latest").await.expect(200);
    assert_eq!(Digest::of(&answer.body), image);
    client.get("/v2/a/tags/list").await.expect(200);
    // What can be served is served: nobody takes this process out of a load balancer.
    let (status, report) = server.admin("/readyz").await;
    assert!(status == 200 && !report.contains("\"store\":\"ok\""), "{report}");

    store.heal();
    client.finish(&client.begin("a").await, &digest, &content).await.expect(201);
    assert_eq!(client.get(&format!("/v2/a/blobs/{digest}")).await.expect(200).body, content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_started_again_during_an_outage_serves_tags() {
    let store = FakeS3::start().await;
    let mut server = start(&store).await;
    let image = server.client().push_image("a", "latest", "content").await;
    eventually("the reclaimer has worked on the store", async || {
        server.metric("roadstead_index_commands_total{command=\"close_day\"").await == Some(1.0)
    })
    .await;
    store.fail(|_, _| Some(Fault::Status(503)));
    server.kill();
    server.restart_unready();
    let answer = server.client().get("/v2/a/manifests/latest").await.expect(200);
    assert_eq!(Digest::of(&answer.body), image);
    assert_eq!(server.admin("/readyz").await.0, 503);
    store.heal();
    eventually("it is ready", async || server.admin("/readyz").await.0 == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_registry_does_not_start_on_a_store_that_is_out() {
    let store = FakeS3::start().await;
    store.fail(|_, _| Some(Fault::Status(503)));
    let set = [store.settings(), impatient()].concat();
    let mut command = roadstead();
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data"]);
    let data = tempfile::tempdir().unwrap();
    command.arg(data.path()).args(set.iter().flat_map(|setting| ["--set", setting]));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("could not make the store ours"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_never_answers_ends_in_503() {
    let store = FakeS3::start().await;
    let server = start(&store).await;
    let client = server.client();
    store.fail(|_, _| Some(Fault::Stall));
    let content = large(2);
    let began = Instant::now();
    let answer = client.finish(&client.begin("a").await, &Digest::of(&content), &content).await.expect(503);
    assert_ne!(answer.header("retry-after"), "");
    assert!(began.elapsed() < GIVES_UP, "{:?}", began.elapsed());
}

/// What a client makes of a download: the bytes of a complete answer, or nothing.
async fn download(server: &Server, path: &str, range: Option<&str>) -> Option<(u16, Vec<u8>)> {
    let mut ask = server.client().ask("GET", path);
    if let Some(range) = range {
        ask = ask.header("range", range);
    }
    ask.try_send().await.ok().map(|answer| (answer.status.as_u16(), answer.body))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_never_served_as_a_complete_answer_and_a_push_heals_it() {
    let store = FakeS3::start().await;
    let server = start(&store).await;
    let client = server.client();
    let content = large(3);
    let digest = client.push_blob("a", &content).await;
    let path = format!("/v2/a/blobs/{digest}");
    assert_eq!(download(&server, &path, None).await, Some((200, content.clone())));

    store.corrupt();
    for range in [None, Some("bytes=0-9"), Some("bytes=140000-160000"), Some("bytes=-1")] {
        match download(&server, &path, range).await {
            None => {}
            Some((status, _)) => assert!(status >= 500, "{range:?} was answered {status}"),
        }
    }
    eventually("the blob is marked", async || {
        client.finish(&client.begin("a").await, &digest, &content).await.expect(201);
        download(&server, &path, None).await == Some((200, content.clone()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_the_store_breaks_off_goes_on_where_it_broke() {
    let store = FakeS3::start().await;
    let server = start(&store).await;
    let content = large(4);
    let digest = server.client().push_blob("a", &content).await;
    let mut broken = 0;
    store.fail(move |method, key| {
        broken += 1;
        (method == "GET" && !key.is_empty() && broken <= 2).then_some(Fault::Truncated)
    });
    let path = format!("/v2/a/blobs/{digest}");
    let (status, body) = download(&server, &path, None).await.unwrap_or_else(|| panic!("{}", server.log()));
    assert_eq!((status, body.len()), (200, content.len()), "{}", server.log());
    assert!(body == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_through_a_store_that_fails_now_and_then_are_whole_or_refused() {
    let store = FakeS3::start().await;
    let server = start(&store).await;
    let client = server.client();
    let mut number = 0_u32;
    store.fail(move |_, _| {
        number += 1;
        match number % 5 {
            0 => Some(Fault::Status(500)),
            3 => Some(Fault::DoneAndFailed),
            _ => None,
        }
    });
    let mut acknowledged = Vec::new();
    for salt in 10..40 {
        let content = large(salt);
        let digest = Digest::of(&content);
        let answer = client.finish(&client.begin("a").await, &digest, &content).await;
        match answer.status.as_u16() {
            201 => acknowledged.push((digest, content)),
            503 => drop(client.head(&format!("/v2/a/blobs/{digest}")).await.expect(404)),
            other => panic!("{other}"),
        }
    }
    store.heal();
    println!("{} of 30 pushes acknowledged", acknowledged.len());
    assert!(acknowledged.len() >= 10);
    for (digest, content) in acknowledged {
        assert_eq!(client.get(&format!("/v2/a/blobs/{digest}")).await.expect(200).body, content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_byte_is_written_to_the_store_once() {
    let store = FakeS3::start().await;
    let server = start(&store).await;
    let before = store.written();
    let content = vec![7; 20_000_000];
    server.client().push_blob("a", &content).await;
    let written = store.written() - before;
    assert!(written < content.len() as u64 * 101 / 100, "{written} bytes for {}", content.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stand_still_do_not_keep_others_from_the_store() {
    let store = FakeS3::start().await;
    let mut set = store.settings();
    set.extend(["storage.s3.part_bytes=5242880", "uploads.budget_bytes=10485760"].map(str::to_owned));
    let server = Server::with(Options { set, ..Options::default() }).await;
    let mut still = Vec::new();
    for _ in 0..4 {
        let upload = server.client().begin("still").await;
        let head = format!("PATCH {upload} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
        let mut socket = raw::connect(server.address()).await;
        socket.write_all(head.as_bytes()).await.unwrap();
        // Some of it waits in the sockets when all room is taken.
        let sending = tokio::spawn(async move {
            let _ = socket.write_all(&vec![1; 4_500_000]).await;
            socket
        });
        still.push(sending);
    }
    eventually("they have taken all room", async || {
        server.metric("roadstead_received_bytes_total").await > Some(11_000_000.0)
    })
    .await;
    let began = Instant::now();
    server.client().push_blob("a", &large(5)).await;
    println!("served after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_begins_to_lead_while_the_store_is_out_goes_on() {
    let store = FakeS3::start().await;
    let settings = [store.settings(), impatient()].concat();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let cluster = Cluster::up(3, 1, &settings);
    let client = cluster.client(0);
    let image = client.push_image("a", "latest", "content").await;
    store.fail(|_, _| Some(Fault::Status(503)));
    // Each in turn finds that it cannot ask whose the store is.
    for _ in 0..2 {
        let before = cluster.leader().await;
        cluster.admin_ok(&["transfer"]);
        let mut now = before.clone();
        eventually("another one leads", async || {
            now = cluster.leader().await;
            now != before
        })
        .await;
        eventually("it tries again", async || cluster.log(&now).contains("could not do what a leader does first"))
            .await;
    }
    assert!(cluster.index.iter().all(|name| cluster.runs(name)), "one has ended");
    eventually("the tag is read", async || {
        let answer = client.get("/v2/a/manifests/latest").await;
        answer.status == 200 && Digest::of(&answer.body) == image
    })
    .await;
    store.heal();
    eventually("a push of a blob goes through", async || {
        let content = large(2);
        let answer = client.finish(&client.begin("a").await, &Digest::of(&content), &content).await;
        answer.status == 201
    })
    .await;
}
