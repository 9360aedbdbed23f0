//! What HTTP allows and few clients do is served all the same.

use roadstead::oci::digest::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::raw::{self, status};
use crate::support::server::Server;

async fn said(server: &Server, request: &str) -> String {
    raw::exchange(server.address(), request.as_bytes()).await
}

#[tokio::test]
async fn old_and_absolute_and_empty_lines() {
    let server = Server::start().await;
    let close = "Connection: close\r\n\r\n";
    for (name, request) in [
        ("HTTP/1.0 without a host", "GET /v2/ HTTP/1.0\r\n\r\n".to_owned()),
        ("an absolute target", format!("GET http://{}/v2/ HTTP/1.1\r\nHost: a\r\n{close}", server.address())),
        ("empty lines before", format!("\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: a\r\n{close}")),
        ("odd case", format!("GET /v2/ HTTP/1.1\r\nhOsT: a\r\n{close}")),
        ("a body that nobody asked for", format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n{close}abc")),
    ] {
        let answer = said(&server, &request).await;
        assert!(answer.starts_with("HTTP/1.") && answer.contains(" 200 OK\r\n"), "{name}: {answer}");
    }
}

#[tokio::test]
async fn requests_sent_together_are_answered_in_order() {
    let server = Server::start().await;
    let request = |path: &str, close: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{close}\r\n");
    let together =
        request("/v2/", "") + &request("/v2/a/tags/list", "") + &request("/v2/_catalog", "Connection: close\r\n");
    let answer = said(&server, &together).await;
    let statuses: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).map(|one| &one[..3]).collect();
    assert_eq!(statuses, ["200", "404", "200"], "{answer}");
}

#[tokio::test]
async fn a_client_may_wait_for_100_continue() {
    let server = Server::start().await;
    let upload = server.client().begin("a").await;
    let mut socket = raw::connect(server.address()).await;
    let head = format!(
        "PATCH {upload} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    socket.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"hello").await.unwrap();
    assert_eq!(status(&raw::rest(&mut socket).await), 202);
}

#[tokio::test]
async fn who_waits_for_100_continue_is_refused_before_sending() {
    let server = Server::start().await;
    let head = "PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n";
    assert_eq!(status(&said(&server, head).await), 413);
}

#[tokio::test]
async fn a_body_may_come_in_chunks_with_trailers() {
    let server = Server::start().await;
    let upload = server.client().begin("a").await;
    let body = "5;name=value\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: yes\r\n\r\n";
    let request =
        format!("PATCH {upload} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{body}");
    let answer = said(&server, &request).await;
    assert_eq!(status(&answer), 202, "{answer}");
    let upload = server.client().get(&upload).await.header("location").to_owned();
    server.client().finish(&upload, &Digest::of(b"hello world"), b"").await.expect(201);
}

#[tokio::test]
async fn a_connection_serves_many_chunked_bodies() {
    let server = Server::start().await;
    let upload = server.client().begin("a").await;
    let mut socket = raw::connect(server.address()).await;
    let request =
        format!("PATCH {upload} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
    let mut path = upload.clone();
    for number in 0..5 {
        let request = request.replace(&upload, &path);
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let count = socket.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert_eq!(status(&answer), 202, "{number}: {answer}");
        let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
        path = location.trim().to_owned();
    }
    server.client().finish(&path, &Digest::of(b"xxxxx"), b"").await.expect(201);
}
