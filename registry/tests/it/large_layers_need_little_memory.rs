//! A layer far larger than the memory that the process may use goes up and comes down whole.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use roadstead::oci::digest::Digest;
use sha2::{Digest as _, Sha256};

use crate::support::s3::Versitygw;
use crate::support::server::{Options, Server};

const MIB: u64 = 1 << 20;
const LAYER: u64 = 1024 * MIB;
const LIMIT: u64 = 200 * MIB;

/// The MiB with this number: no two are alike, so that none can be mistaken for another.
fn piece(number: u64) -> Bytes {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut piece = Vec::with_capacity(MIB as usize);
    while piece.len() < MIB as usize {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        piece.extend_from_slice(&state.to_le_bytes());
    }
    piece.into()
}

fn digest() -> Digest {
    let mut hash = Sha256::new();
    (0..LAYER / MIB).for_each(|number| hash.update(piece(number)));
    format!("sha256:{}", hex::encode(hash.finalize())).parse().unwrap()
}

/// The most memory that the process ever had resident.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

async fn goes_up_and_down(server: Server, store: &str) {
    let digest = tokio::task::spawn_blocking(digest).await.unwrap();
    let upload = server.client().begin("large").await;
    let pieces = stream::iter((0..LAYER / MIB).map(|number| Ok::<_, Infallible>(piece(number))));
    let began = std::time::Instant::now();
    let put = server.client().ask("PUT", &format!("{upload}?digest={digest}"));
    put.header("content-length", LAYER.to_string()).body(reqwest::Body::wrap_stream(pieces)).send().await.expect(201);
    let pushed = began.elapsed();
    let mut answer = reqwest::get(format!("{}/v2/large/blobs/{digest}", server.url())).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.content_length()), (200, Some(LAYER)));
    let (mut length, mut hash) = (0, Sha256::new());
    while let Some(bytes) = answer.chunk().await.unwrap() {
        length += bytes.len() as u64;
        hash.update(&bytes);
    }
    assert_eq!((length, format!("sha256:{}", hex::encode(hash.finalize()))), (LAYER, digest.to_string()));
    let (peak, all) = (peak(&server) / MIB, began.elapsed());
    println!("{store}: {LAYER} bytes up in {pushed:.1?}, up and down in {all:.1?}, at most {peak} MiB resident");
    assert!(peak < LIMIT / MIB, "{peak} MiB were resident");
}

#[tokio::test(flavor = "multi_thread")]
async fn into_a_directory() {
    goes_up_and_down(Server::start().await, "directory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn into_a_bucket() {
    let bucket = Versitygw::start().await;
    goes_up_and_down(Server::with(Options { set: bucket.settings(), ..Options::default() }).await, "versitygw").await;
}
