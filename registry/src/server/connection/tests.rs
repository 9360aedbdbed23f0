//! The server around a handler of the tests: what it does when the handler or the client misbehaves.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::*;
use crate::server::accept;
use crate::server::body::WatchedBody;
use crate::server::metrics::ServerMetrics;

/// `/panic` panics; anything else is answered with the length of the body, or `slow` when it came in too slowly.
struct Odd;

impl Handler for Odd {
    type Body = Full<Bytes>;

    #[allow(clippy::manual_async_fn, reason = "the trait's future borrows nothing")]
    fn handle(
        &self,
        request: Request<WatchedBody>,
        _: Connection,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send + 'static {
        async move {
            assert!(request.uri().path() != "/panic", "as asked");
            let text = match request.into_body().collect().await {
                Ok(body) => body.to_bytes().len().to_string(),
                Err(_) => "slow".into(),
            };
            Response::new(Full::new(text.into()))
        }
    }
}

struct Running {
    address: SocketAddr,
    metrics: ServerMetrics,
    drain: Drain,
    task: JoinHandle<()>,
}

async fn start(limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = ServerMetrics::register(&prometheus::Registry::new()).unwrap();
    let drain = Drain::new();
    let service = Service {
        handler: Odd,
        limits,
        certificates: None,
        metrics: metrics.clone(),
        drain: drain.clone(),
        requests: TaskTracker::new(),
    };
    Running { address, metrics, drain, task: tokio::spawn(accept::run(listener, service)) }
}

fn limits() -> Limits {
    Limits { connections: 100, head: Duration::from_secs(10), idle: Duration::from_secs(10), min_rate: 1000 }
}

/// Sends and reads until the server ends the connection.
async fn speak(address: SocketAddr, text: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(20), socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn a_panic_ends_one_request_with_500_and_nothing_else() {
    let server = start(limits()).await;
    let mut other = TcpStream::connect(server.address).await.unwrap();
    other.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\na").await.unwrap();
    let answer = speak(server.address, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("\"errors\":[{\"code\""), "{answer}");
    let answer = speak(server.address, "PUT /panic HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    other.write_all(b"bc").await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n3"), "{answer}");
}

#[tokio::test]
async fn a_body_that_stops_ends_for_the_handler() {
    let server = start(Limits { idle: Duration::from_millis(200), ..limits() }).await;
    let answer = speak(server.address, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na").await;
    assert!(answer.ends_with("slow"), "{answer}");
}

#[tokio::test]
async fn every_way_to_hang_ends_the_connection_and_is_counted() {
    let limits = Limits { head: Duration::from_millis(150), idle: Duration::from_millis(300), ..limits() };
    let server = start(limits).await;
    for (said, answered, reason) in [
        ("", "", "silent"),
        ("GET / HTTP/1.1\r\nHo", "", "head"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK", "idle"),
    ] {
        let answer = speak(server.address, said).await;
        assert!(answer.starts_with(answered), "{reason}: {answer}");
        let counted = async {
            while server.metrics.cut.with_label_values(&[reason]).get() != 1 {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(5), counted).await.is_ok(), "{reason}");
    }
}

#[tokio::test]
async fn a_second_request_on_a_connection_is_looked_at_like_the_first() {
    let server = start(limits()).await;
    let good = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let both = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        socket.write_all(good.as_bytes()).await.unwrap();
        let mut answer = vec![0; 1000];
        let count = socket.read(&mut answer).await.unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200 OK"), "{answer:?}");
    }
    socket.write_all(both.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // Sent together, the second head cannot be looked at: it is refused for what it could be.
    let answer = speak(server.address, &format!("{good}{both}3\r\nabc\r\n0\r\n\r\n")).await;
    assert_eq!((answer.matches("200 OK").count(), answer.matches("400 Bad").count()), (1, 1), "{answer}");
}

#[tokio::test]
async fn when_all_places_are_taken_the_next_client_waits_for_one() {
    let server = start(Limits { connections: 1, ..limits() }).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\n").await.unwrap();
    let second = tokio::spawn(speak(server.address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!second.is_finished());
    first.write_all(b"x").await.unwrap();
    assert!(second.await.unwrap().starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_drain_ends_idle_connections_and_finishes_what_runs() {
    let server = start(limits()).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 1000]).await.unwrap() > 0);
    let mut running = TcpStream::connect(server.address).await.unwrap();
    running.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.drain.begin();
    assert_eq!(idle.read(&mut [0; 1000]).await.unwrap(), 0, "an idle connection is closed");
    running.write_all(b"bc").await.unwrap();
    let mut answer = String::new();
    running.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with('3'), "{answer}");
    tokio::time::timeout(Duration::from_secs(5), server.task).await.unwrap().unwrap();
}
