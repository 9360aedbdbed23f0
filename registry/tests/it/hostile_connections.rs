//! Clients that hold, flood or confuse the server do it to themselves only.
//!
//! The server runs with small limits, so that a test sees in a second what a client in the field sees in a minute.

use std::time::{Duration, Instant};

use roadstead::oci::digest::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::raw::{self, http2, status};
use crate::support::server::{Options, Server};
use crate::support::wait::{eventually, within};

const MIB: usize = 1 << 20;

async fn impatient() -> Server {
    Server::with(Options::set(&["server.header_seconds=1", "server.idle_seconds=1", "server.min_body_rate=1000"])).await
}

/// An honest client is served, and at once.
async fn others_are_served(server: &Server) {
    let began = Instant::now();
    server.client().get("/v2/").await.expect(200);
    server.client().push_image("honest", "v1", "layer").await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

async fn cut(server: &Server, reason: &str) -> f64 {
    server.metric(&format!("roadstead_connections_cut_total{{reason=\"{reason}\"}}")).await.unwrap_or_default()
}

#[tokio::test]
async fn connections_that_say_nothing_are_closed() {
    let server = impatient().await;
    let mut sockets = Vec::new();
    for _ in 0..300 {
        sockets.push(raw::connect(server.address()).await);
    }
    others_are_served(&server).await;
    for socket in &mut sockets {
        assert_eq!(raw::rest(socket).await, "");
    }
    eventually("each is counted", async || cut(&server, "silent").await >= 300.0).await;
}

#[tokio::test]
async fn more_connections_than_files_may_be_open_wait_and_nothing_breaks() {
    let options = Options { open_files: Some(400), ..Options::set(&["server.header_seconds=1"]) };
    let server = Server::with(options).await;
    assert!(server.log().contains("fewer connections than server.max_connections"), "{}", server.log());
    let mut sockets = Vec::new();
    for _ in 0..600 {
        sockets.push(raw::connect(server.address()).await);
    }
    // The honest one waits until those before it are cut.
    server.client().push_image("honest", "v1", "layer").await;
    for socket in &mut sockets {
        assert_eq!(raw::rest(socket).await, "");
    }
    assert!(!server.log().contains("could not accept"), "{}", server.log());
    others_are_served(&server).await;
}

#[tokio::test]
async fn headers_that_dribble_are_cut_off() {
    let server = impatient().await;
    let mut sockets = Vec::new();
    for _ in 0..200 {
        let mut socket = raw::connect(server.address()).await;
        socket.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ").await.unwrap();
        sockets.push(socket);
    }
    // A byte now and then does not help.
    within(Duration::from_secs(15), "all are cut", async || {
        for socket in &mut sockets {
            let _ = socket.write_all(b"x").await;
        }
        cut(&server, "head").await >= 200.0
    })
    .await;
    others_are_served(&server).await;
}

#[tokio::test]
async fn bodies_that_dribble_are_cut_off_and_the_upload_goes_on() {
    let server = impatient().await;
    let upload = server.client().begin("slow").await;
    let head = format!("PATCH {upload} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nfirst");
    let mut socket = raw::connect(server.address()).await;
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 1000];
    within(Duration::from_secs(15), "the body is given up", async || {
        let _ = socket.write_all(b"x").await;
        let read = tokio::time::timeout(Duration::from_millis(100), socket.read(&mut answer)).await;
        matches!(read, Ok(Ok(_) | Err(_)))
    })
    .await;
    others_are_served(&server).await;
    let content = finish_from_where_it_is(&server, &upload, "slow").await;
    assert!(content.starts_with(b"firstx"), "what came in was kept");
}

/// Asks where an upload is, appends an end, and finishes it; gives the content, which began with `first` and went on
/// with `x`.
async fn finish_from_where_it_is(server: &Server, upload: &str, name: &str) -> Vec<u8> {
    let mut at = 0;
    eventually("the upload can be asked for", async || {
        let answer = server.client().get(upload).await;
        let range = answer.header("range").to_owned();
        at = range.strip_prefix("0-").and_then(|end| end.parse::<usize>().ok()).map_or(0, |end| end + 1);
        // Nothing at all is told as `0-0` too.
        answer.status == 204 && at > 1
    })
    .await;
    let mut content = b"first".to_vec();
    content.resize(at.max(5), b'x');
    content.truncate(at);
    let upload = server.client().get(upload).await.header("location").to_owned();
    let digest = Digest::of(&[content.as_slice(), b"end"].concat());
    server.client().finish(&upload, &digest, b"end").await.expect(201);
    content.extend_from_slice(b"end");
    let pulled = server.client().get(&format!("/v2/{name}/blobs/{digest}")).await.expect(200);
    assert_eq!(pulled.body, content);
    content
}

#[tokio::test]
async fn a_client_that_vanishes_in_a_patch_finds_its_durable_bytes() {
    let server = Server::start().await;
    let upload = server.client().begin("gone").await;
    let head = format!("PATCH {upload} HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\nfirst");
    let mut socket = raw::connect(server.address()).await;
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![b'x'; 3 * MIB]).await.unwrap();
    // What was sent is on its way when the reset comes: any prefix of it may be kept, but something is.
    eventually("bytes arrived", async || server.metric("roadstead_received_bytes_total").await > Some(MIB as f64))
        .await;
    socket.set_zero_linger().unwrap();
    drop(socket);
    finish_from_where_it_is(&server, &upload, "gone").await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_does_not_hold_its_connection() {
    let server = impatient().await;
    let content = vec![7; 48 * MIB];
    let digest = server.client().push_blob("big", &content).await;
    let before = server.resident_bytes();
    let mut sockets = Vec::new();
    for _ in 0..10 {
        let mut socket = raw::connect(server.address()).await;
        let request = format!("GET /v2/big/blobs/{digest} HTTP/1.1\r\nHost: a\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        sockets.push(socket);
    }
    eventually("all are cut", async || cut(&server, "unread").await >= 10.0).await;
    assert!(server.resident_bytes() < before + 64 * MIB as u64, "{before} {}", server.resident_bytes());
    others_are_served(&server).await;
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let server = impatient().await;
    let mut socket = raw::connect(server.address()).await;
    socket.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(status(&raw::rest(&mut socket).await), 200);
    let mut socket = raw::connect(server.address()).await;
    socket.write_all(&opening()).await.unwrap();
    raw::rest(&mut socket).await;
}

#[tokio::test]
async fn heads_and_addresses_have_a_limit() {
    let server = Server::start().await;
    let long = format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(17 << 10));
    let many = format!("GET /v2/ HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(1000));
    let address = format!("GET /v2/{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(MIB));
    let query = format!("GET /v2/_catalog?last={} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000));
    for (request, code) in [(long, 431), (many, 431), (address, 414), (query, 414)] {
        assert_eq!(status(&raw::exchange(server.address(), request.as_bytes()).await), code);
    }
    let fits = format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: {}\r\nConnection: close\r\n\r\n", "x".repeat(12 << 10));
    assert_eq!(status(&raw::exchange(server.address(), fits.as_bytes()).await), 200);
}

#[tokio::test]
async fn cve_2025_30204_a_token_of_dots_is_refused_by_its_size() {
    let server = Server::start().await;
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", ".".repeat(MIB));
    assert_eq!(status(&raw::exchange(server.address(), request.as_bytes()).await), 431);
    others_are_served(&server).await;
}

#[tokio::test]
async fn cve_2021_32714_and_others_a_request_that_could_be_two_is_refused() {
    let server = Server::start().await;
    let inner = "GET /v2/_catalog HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (name, head, body) in [
        ("a signed length", "Content-Length: +3\r\n", "abc"),
        ("a negative length", "Content-Length: -3\r\n", "abc"),
        ("a length in hex", "Content-Length: 0x3\r\n", "abc"),
        ("a length with a space", "Content-Length: 3 3\r\n", "abc"),
        ("a list of lengths", "Content-Length: 3, 4\r\n", "abc"),
        ("a length beyond 64 bits", "Content-Length: 18446744073709551619\r\n", "abc"),
        ("two lengths", "Content-Length: 3\r\nContent-Length: 4\r\n", "abc"),
        ("the same length twice", "Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
        ("length, then encoding", &format!("Content-Length: 3\r\n{chunked}"), "0\r\n\r\n"),
        ("encoding, then length", &format!("{chunked}Content-Length: 3\r\n"), "0\r\n\r\n"),
        ("an unknown encoding", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("chunked not last", "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("two encodings", &format!("{chunked}{chunked}"), "0\r\n\r\n"),
        ("a space before the colon", "Content-Length : 3\r\n", "abc"),
        ("a folded header", "X: a\r\n Content-Length: 3\r\n", "abc"),
        ("a bare line feed", "X: a\nContent-Length: 3\r\n", "abc"),
        ("a bare carriage return", "X: a\rContent-Length: 3\r\n", "abc"),
        ("a nul", "X: a\0b\r\n", ""),
        ("another host", "Host: b\r\n", ""),
    ] {
        let request = format!("POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\n{head}\r\n{body}{inner}");
        let answer = raw::exchange(server.address(), request.as_bytes()).await;
        assert_eq!(status(&answer), 400, "{name}");
        assert_eq!(answer.matches("HTTP/1.1 400 ").count(), 1, "{name}: {answer}");
        assert!(!answer.contains("repositories"), "{name}: what followed was answered too: {answer}");
    }
    for (name, request) in [
        ("no host", "GET /v2/ HTTP/1.1\r\n\r\n"),
        ("an old version with an encoding", "POST /v2/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("only line feeds", "GET /v2/ HTTP/1.1\nHost: a\n\n"),
        ("no version", "GET /v2/\r\n\r\n"),
        ("something else", "\x16\x03\x01\x02\r\n\r\n"),
    ] {
        assert_eq!(status(&raw::exchange(server.address(), request.as_bytes()).await), 400, "{name}");
    }
}

#[tokio::test]
async fn cve_2021_32715_a_chunk_size_that_overflows_breaks_the_request() {
    let server = Server::start().await;
    let upload = server.client().begin("a").await;
    let inner = "GET /v2/_catalog HTTP/1.1\r\nHost: a\r\n\r\n";
    for size in ["f0000000000000003", "10000000000000003", "-3", "+3", "0x3", "3 3", ""] {
        let request = format!(
            "PATCH {upload} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nabc\r\n0\r\n\r\n{inner}"
        );
        let answer = raw::exchange(server.address(), request.as_bytes()).await;
        assert_eq!(answer.matches("\"repositories\"").count(), 0, "{size:?}: {answer}");
        assert!(answer.is_empty() || status(&answer) == 400, "{size:?}: {answer}");
    }
    let asked = server.client().get(&upload).await;
    assert!(asked.status == 404 || asked.header("range") == "0-0" || asked.header("range").is_empty(), "{asked:?}");
}

#[tokio::test]
async fn an_endless_manifest_is_refused_while_it_is_being_sent() {
    let server = Server::start().await;
    let before = server.resident_bytes();
    let mut socket = raw::connect(server.address()).await;
    let head = "PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(MIB));
    let taken = raw::flood(&mut socket, chunk.as_bytes(), 2048 * MIB).await;
    assert!(taken < 100 * MIB, "{taken} bytes of a manifest were taken");
    assert!(server.resident_bytes() < before + 48 * MIB as u64, "{before} {}", server.resident_bytes());
    // Said beforehand, it is refused before it is sent, and the client can read why.
    let head = "PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n";
    assert_eq!(status(&raw::exchange(server.address(), &[head.as_bytes(), &vec![b' '; 100_000]].concat()).await), 413);
    others_are_served(&server).await;
}

/// The beginning of a connection of HTTP/2.
fn opening() -> Vec<u8> {
    [http2::PREFACE, &http2::frame(http2::SETTINGS, 0, 0, &[])].concat()
}

/// Floods a connection of HTTP/2 with frames while an honest client is served; gives how many bytes were taken.
async fn flood_http2(server: &Server, frames: impl Fn(u32) -> Vec<u8>, most: usize) -> usize {
    let before = server.resident_bytes();
    let mut socket = raw::connect(server.address()).await;
    socket.write_all(&opening()).await.unwrap();
    let attack = async {
        let (mut taken, mut number) = (0, 0);
        while taken < most {
            let batch: Vec<u8> = (0..100).flat_map(|at| frames(number + at)).collect();
            number += 100;
            match raw::flood(&mut socket, &batch, batch.len()).await {
                0 => break,
                count => taken += count,
            }
        }
        taken
    };
    let (taken, ()) = tokio::join!(attack, others_are_served(server));
    assert!(server.resident_bytes() < before + 64 * MIB as u64, "{before} {}", server.resident_bytes());
    others_are_served(server).await;
    taken
}

#[tokio::test]
async fn cve_2023_44487_streams_opened_and_reset_end_their_connection() {
    let server = Server::start().await;
    let taken = flood_http2(
        &server,
        |number| {
            let stream = number * 2 + 1;
            let flags = http2::END_HEADERS | http2::END_STREAM;
            let mut frames = http2::frame(http2::HEADERS, flags, stream, &http2::get_version());
            frames.extend(http2::frame(http2::RESET, 0, stream, &8_u32.to_be_bytes()));
            frames
        },
        64 * MIB,
    )
    .await;
    assert!(taken < 64 * MIB, "the connection was not ended");
}

#[tokio::test]
async fn rustsec_2024_0332_continuations_without_end_end_their_connection() {
    let server = Server::start().await;
    let filler: Vec<u8> = b"\0\x01x\x7f\x00".iter().copied().chain([b'y'; 127]).collect();
    let taken = flood_http2(
        &server,
        |number| match number {
            0 => http2::frame(http2::HEADERS, 0, 1, &http2::get_version()),
            _ => http2::frame(http2::CONTINUATION, 0, 1, &filler.repeat(100)),
        },
        256 * MIB,
    )
    .await;
    assert!(taken < 256 * MIB, "the connection was not ended");
}

#[tokio::test]
async fn cve_2019_9512_pings_and_settings_without_end_do_not_grow_the_process() {
    let server = Server::start().await;
    flood_http2(&server, |_| http2::frame(http2::PING, 0, 0, &[0; 8]), 32 * MIB).await;
    flood_http2(&server, |_| http2::frame(http2::SETTINGS, 0, 0, &[]), 32 * MIB).await;
}

#[tokio::test]
async fn the_preface_of_http2_may_come_in_pieces() {
    let server = Server::start().await;
    let mut socket: TcpStream = raw::connect(server.address()).await;
    socket.set_nodelay(true).unwrap();
    for byte in opening() {
        socket.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut answer = [0; 9];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[3], http2::SETTINGS);
}

#[tokio::test]
async fn a_stream_of_http2_that_nobody_reads_does_not_hold_its_connection() {
    let settings = ["server.header_seconds=1", "server.idle_seconds=1", "server.min_body_rate=100000"];
    let server = Server::with(Options::set(&settings)).await;
    let digest = server.client().push_blob("big", &vec![7; 8 * MIB]).await;
    let mut socket = raw::connect(server.address()).await;
    let path = format!("/v2/big/blobs/{digest}");
    let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(b"\x01\x01a");
    let get = http2::frame(http2::HEADERS, http2::END_HEADERS | http2::END_STREAM, 1, &block);
    socket.write_all(&[opening(), get].concat()).await.unwrap();
    // Everything that comes is taken, pings are answered, only more of the blob is never asked for.
    let read = async {
        let mut head = [0; 9];
        while socket.read_exact(&mut head).await.is_ok() {
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            if socket.read_exact(&mut payload).await.is_err() {
                break;
            }
            if head[3] == http2::PING && head[4] == 0 {
                let _ = socket.write_all(&http2::frame(http2::PING, 1, 0, &payload)).await;
            }
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), read).await.is_ok(), "the connection was not ended");
    eventually("it is counted", async || cut(&server, "unread").await >= 1.0).await;
}
