//! A disk or a network that changes a byte: no client ever gets a complete answer with a wrong byte in it, and a push of
//! the same blob heals it.

use std::path::PathBuf;

use futures::TryStreamExt;
use roadstead::blobs::directory::Directory;
use roadstead::blobs::{ObjectKey, Store};
use roadstead::oci::digest::Digest;

use crate::support::s3::{FakeS3, Fault, impatient};
use crate::support::server::{Options, Server};
use crate::support::wait::eventually;

const MIB: usize = 1 << 20;

fn content(salt: u32) -> Vec<u8> {
    (0..3 * MIB + 11).map(|at| (at as u32 ^ salt).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

/// Ranges in the first chunk, over the border of the second and third, in the last, and everything.
const RANGES: [Option<(usize, usize)>; 5] =
    [None, Some((0, 9)), Some((2 * MIB - 5, 2 * MIB + 5)), Some((3 * MIB, 3 * MIB + 10)), Some((MIB, 3 * MIB))];

/// Asks for everything and for ranges. What comes as a complete answer is right; says how many were not answered so.
async fn never_wrong(server: &Server, digest: &Digest, content: &[u8]) -> usize {
    let path = format!("/v2/a/blobs/{digest}");
    let mut refused = 0;
    for range in RANGES {
        let ask = server.client().ask("GET", &path);
        let (ask, status, expected) = match range {
            None => (ask, 200, content),
            Some((from, last)) => (ask.header("range", format!("bytes={from}-{last}")), 206, &content[from..=last]),
        };
        match ask.try_send().await {
            Ok(answer) if answer.status.is_success() => {
                assert_eq!(answer.status.as_u16(), status, "{range:?}");
                assert!(answer.body == expected, "wrong bytes for {range:?}");
            }
            Ok(answer) => {
                assert!(answer.status.is_server_error() || answer.status == 404, "{range:?} was answered {answer:?}");
                refused += 1;
            }
            Err(_) => refused += 1, // the connection broke before the answer was complete
        }
    }
    refused
}

async fn a_push_heals(server: &Server, digest: &Digest, content: &[u8]) {
    let path = format!("/v2/a/blobs/{digest}");
    eventually("the damaged blob is said to be missing", async || {
        let _ = server.client().ask("GET", &path).try_send().await;
        server.client().head(&path).await.status == 404
    })
    .await;
    server.client().push_blob("a", content).await;
    assert_eq!(never_wrong(server, digest, content).await, 0);
}

/// Pushes a blob and gives the file that it became.
async fn file_of(server: &Server, content: &[u8]) -> (Digest, PathBuf) {
    let digest = server.client().push_blob("a", content).await;
    assert_eq!(never_wrong(server, &digest, content).await, 0);
    let store = Directory::open(server.data()).await.unwrap();
    let keys: Vec<ObjectKey> = store.list("blobs/").await.unwrap().try_collect().await.unwrap();
    let mut files = keys.iter().map(|key| server.data().join(&key.0));
    let file = files.find(|file| std::fs::read(file).unwrap() == content).expect("one blob is one object");
    (digest, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_on_the_disk() {
    let server = Server::start().await;
    for (salt, at) in [(1, 0), (2, 2 * MIB), (3, 3 * MIB + 10)] {
        let content = content(salt);
        let (digest, file) = file_of(&server, &content).await;
        let mut bytes = content.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&file, bytes).unwrap();
        assert!(never_wrong(&server, &digest, &content).await >= 2, "the byte at {at} went unnoticed");
        a_push_heals(&server, &digest, &content).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_on_the_disk() {
    let server = Server::start().await;
    let content = content(4);
    let (digest, file) = file_of(&server, &content).await;
    std::fs::write(file, &content[..2 * MIB]).unwrap();
    assert!(never_wrong(&server, &digest, &content).await >= 2, "nobody noticed that bytes are missing");
    a_push_heals(&server, &digest, &content).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_from_the_disk() {
    let server = Server::start().await;
    let content = content(6);
    let (digest, file) = file_of(&server, &content).await;
    std::fs::remove_file(file).unwrap();
    assert_eq!(never_wrong(&server, &digest, &content).await, RANGES.len(), "there is nothing to serve");
    a_push_heals(&server, &digest, &content).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_there_marks_nothing() {
    let server = Server::start().await;
    let content = content(7);
    let (digest, _) = file_of(&server, &content).await;
    let (here, unmounted) = (server.data().join("blobs"), server.data().join("unmounted"));
    let (owner, no_owner) = (server.data().join("OWNER"), server.data().join("NO-OWNER"));
    std::fs::rename(&here, &unmounted).unwrap();
    std::fs::rename(&owner, &no_owner).unwrap();
    assert_eq!(never_wrong(&server, &digest, &content).await, RANGES.len());
    std::fs::rename(&no_owner, &owner).unwrap();
    std::fs::rename(&unmounted, &here).unwrap();
    server.client().head(&format!("/v2/a/blobs/{digest}")).await.expect(200);
    assert_eq!(never_wrong(&server, &digest, &content).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_on_the_way_from_the_bucket() {
    let bucket = FakeS3::start().await;
    let set = [bucket.settings(), impatient()].concat();
    let server = Server::with(Options { set, ..Options::default() }).await;
    let content = content(5);
    let digest = server.client().push_blob("a", &content).await;
    bucket.fail(|method, key| (method == "GET" && key.starts_with("blobs/")).then_some(Fault::Flipped));
    assert_eq!(never_wrong(&server, &digest, &content).await, RANGES.len(), "a byte of each answer was flipped");
    bucket.heal();
    never_wrong(&server, &digest, &content).await;
    a_push_heals(&server, &digest, &content).await;
}
