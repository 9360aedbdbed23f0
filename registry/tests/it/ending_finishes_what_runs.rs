//! SIGTERM: no new work, what runs is finished, then the process ends with success.

use std::time::{Duration, Instant};

use roadstead::oci::digest::Digest;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::raw::{self, status};
use crate::support::server::{Options, Server};
use crate::support::wait::eventually;

/// Begins to finish an upload of `content` and sends only its first half.
async fn half(server: &Server, content: &[u8]) -> TcpStream {
    let upload = server.client().begin("late").await;
    let (digest, length) = (Digest::of(content), content.len());
    let separator = if upload.contains('?') { '&' } else { '?' };
    let head =
        format!("PUT {upload}{separator}digest={digest} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    let mut socket = raw::connect(server.address()).await;
    socket.write_all(head.as_bytes()).await.unwrap();
    let before = server.metric("roadstead_received_bytes_total").await.unwrap();
    socket.write_all(&content[..length / 2]).await.unwrap();
    eventually("the half arrived", async || {
        server.metric("roadstead_received_bytes_total").await.unwrap() >= before + (length / 2) as f64
    })
    .await;
    socket
}

#[tokio::test]
async fn an_upload_that_runs_is_finished_and_nothing_new_begins() {
    let mut server = Server::start().await;
    let content = vec![9; 300_000];
    let mut running = half(&server, &content).await;
    let mut idle = raw::connect(server.address()).await;
    idle.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut answer = [0; 1000];
    let count = idle.read(&mut answer).await.unwrap();
    assert_eq!(status(&String::from_utf8_lossy(&answer[..count])), 200);

    server.signal(Signal::TERM);
    eventually("it says that it is ending", async || {
        let (status, report) = server.admin("/readyz").await;
        status == 503 && report.contains("ending")
    })
    .await;
    raw::rest(&mut idle).await;
    eventually("nobody is let in", async || TcpStream::connect(server.address()).await.is_err()).await;

    running.write_all(&content[150_000..]).await.unwrap();
    assert_eq!(status(&raw::rest(&mut running).await), 201);
    assert!(server.ended().await.success());
    server.restart().await;
    let pulled = server.client().get(&format!("/v2/late/blobs/{}", Digest::of(&content))).await.expect(200);
    assert_eq!(pulled.body, content);
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_given_up() {
    let mut server = Server::with(Options::set(&["server.drain_seconds=1"])).await;
    let _running = half(&server, &vec![9; 300_000]).await;
    let began = Instant::now();
    assert!(server.terminate().await.success());
    assert!((Duration::from_secs(1)..Duration::from_secs(15)).contains(&began.elapsed()), "{:?}", began.elapsed());
    server.restart().await;
    server.client().push_image("late", "v1", "layer").await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut server = Server::with(Options::set(&["server.drain_seconds=600"])).await;
    let _running = half(&server, &vec![9; 300_000]).await;
    server.signal(Signal::INT);
    eventually("the drain has begun", async || server.admin("/readyz").await.0 == 503).await;
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn idle_connections_of_both_versions_do_not_delay_the_end() {
    let mut server = Server::with(Options::set(&["server.drain_seconds=600"])).await;
    let mut clients = Vec::new();
    for builder in [reqwest::Client::builder().http1_only(), reqwest::Client::builder().http2_prior_knowledge()] {
        let client = builder.build().unwrap();
        assert!(client.get(format!("{}/v2/", server.url())).send().await.unwrap().status().is_success());
        clients.push(client);
    }
    let began = Instant::now();
    assert!(server.terminate().await.success());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_client_that_goes_on_asking_is_told_to_go_and_never_cut_off() {
    let mut server = Server::with(Options::set(&["server.drain_seconds=600"])).await;
    let mut socket = raw::connect(server.address()).await;
    let mut answered = 0;
    let asking = async {
        loop {
            socket.write_all(b"HEAD /v2/ HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                assert_ne!(socket.read(&mut byte).await.unwrap(), 0, "cut off after {answered} answers");
                head.push(byte[0]);
            }
            answered += 1;
            let head = String::from_utf8(head).unwrap().to_lowercase();
            if head.contains("connection: close") {
                return;
            }
        }
    };
    let (ended, ()) = tokio::join!(server.terminate(), asking);
    assert!(ended.success());
}

#[tokio::test]
async fn who_was_let_in_by_the_system_just_before_the_end_is_answered() {
    let mut server = Server::start().await;
    server.signal(Signal::STOP);
    let mut sockets = Vec::new();
    for _ in 0..50 {
        let mut socket = raw::connect(server.address()).await;
        socket.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        sockets.push(socket);
    }
    server.signal(Signal::TERM);
    server.signal(Signal::CONT);
    for socket in &mut sockets {
        assert_eq!(status(&raw::rest(socket).await), 200);
    }
    assert!(server.ended().await.success());
}
