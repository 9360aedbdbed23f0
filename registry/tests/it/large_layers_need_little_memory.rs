//! A layer of a GiB goes up and down while the process stays small, whatever the store.

use std::time::Instant;

use bytes::Bytes;
use futures::{StreamExt, stream};
use roadstead::oci::digest::Digest;
use sha2::Digest as _;

use crate::support::s3::Versitygw;
use crate::support::server::{Options, Server};

const MIB: u64 = 1 << 20;
/// In MiB.
const LAYER: u64 = 1024;
/// Resident memory at the most, in MiB.
const LIMIT: u64 = 200;

/// One MiB of the layer, different from every other.
fn piece(number: u64) -> Bytes {
    let mut bytes = vec![number as u8; MIB as usize];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

async fn there_and_back(store: &str, settings: Vec<String>) {
    let server = Server::with(Options { set: settings, ..Options::default() }).await;
    let mut hash = sha2::Sha256::new();
    for number in 0..LAYER {
        hash.update(piece(number));
    }
    let digest: Digest = format!("sha256:{}", hex::encode(hash.finalize())).parse().unwrap();
    let client = reqwest::Client::new();

    let began = Instant::now();
    let upload = server.client().begin("large").await;
    let joint = if upload.contains('?') { '&' } else { '?' };
    let target = if upload.starts_with("http") { upload } else { format!("{}{upload}", server.url()) };
    let body =
        reqwest::Body::wrap_stream(stream::iter((0..LAYER).map(|number| Ok::<_, std::io::Error>(piece(number)))));
    let put = client.put(format!("{target}{joint}digest={digest}")).header("content-length", LAYER * MIB);
    assert_eq!(put.body(body).send().await.unwrap().status().as_u16(), 201, "{}", server.log());
    let pushed = began.elapsed();

    let began = Instant::now();
    let answer = client.get(format!("{}/v2/large/blobs/{digest}", server.url())).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let mut hash = sha2::Sha256::new();
    let mut body = answer.bytes_stream();
    while let Some(bytes) = body.next().await {
        hash.update(bytes.unwrap());
    }
    assert_eq!(format!("sha256:{}", hex::encode(hash.finalize())), digest.to_string());
    let peak = peak_mib(server.pid());
    println!("{store}: {LAYER} MiB pushed in {pushed:?}, pulled in {:?}, {peak} MiB at the most", began.elapsed());
    assert!(peak < LIMIT, "{peak} MiB of memory on {store}");
}

/// The most resident memory that the process ever had.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_directory() {
    there_and_back("directory", Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3() {
    let store = Versitygw::start().await;
    there_and_back("versitygw", store.settings()).await;
}
