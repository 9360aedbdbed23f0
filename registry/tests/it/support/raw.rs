//! A client that sends exactly the bytes it is told to, whatever a protocol says.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wait::PATIENCE;

/// Connects to `host:port`.
pub async fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Sends `bytes` and reads until the other side closes; a reset ends it too.
pub async fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut socket = connect(address).await;
    // The server may close before it has read all.
    let _ = socket.write_all(bytes).await;
    rest(&mut socket).await
}

/// Reads until the other side closes.
pub async fn rest(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, async {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = socket.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..count]);
        }
    });
    assert!(closed.await.is_ok(), "the server did not close: {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends `bytes` again and again, at most `most` of them, until the other side is gone; gives how many were taken.
/// What the server says meanwhile is left unread.
pub async fn flood(socket: &mut TcpStream, bytes: &[u8], most: usize) -> usize {
    let mut taken = 0;
    while taken < most {
        match tokio::time::timeout(Duration::from_secs(3), socket.write_all(bytes)).await {
            Ok(Ok(())) => taken += bytes.len(),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    taken
}

/// The status of an answer of HTTP/1.1.
#[track_caller]
pub fn status(answer: &str) -> u16 {
    let code = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no answer of HTTP/1.1: {answer:?}"))
}

/// Frames of HTTP/2 (RFC 9113 §4.1), by hand.
pub mod http2 {
    pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    pub const HEADERS: u8 = 1;
    pub const RESET: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const CONTINUATION: u8 = 9;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;

    pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    }

    /// `GET /v2/` in HPACK (RFC 7541): method and scheme by their index, path and authority as literals.
    pub fn get_version() -> Vec<u8> {
        let mut block = vec![0x82, 0x86];
        block.extend_from_slice(b"\x04\x04/v2/");
        block.extend_from_slice(b"\x01\x01a");
        block
    }
}
