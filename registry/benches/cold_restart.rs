//! How long a registry takes from its start to ready with many manifests in its index.
//!
//! A child fills an index as fast as it takes commands, and is killed in the middle of it. Then the real binary is started on
//! that volume: after this kill, after another one while it did nothing, and after a clean stop. Each time it is asked for
//! some of what was acknowledged. `MANIFESTS` says how many there are (10,000); with `READY_SECONDS` a start that takes
//! longer fails the run.
//!
//! `cargo bench -p roadstead --bench cold_restart`; `cargo test` runs the short form, which judges no time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use bytes::Bytes;
use roadstead::blobs::checksum::Checksums;
use roadstead::blobs::directory::Directory;
use roadstead::index::Index;
use roadstead::index::client::IndexOptions;
use roadstead::index::command::{Command, CommitBlob, Part, Place, PutManifest, Segment};
use roadstead::index::metrics::IndexMetrics;
use roadstead::oci::digest::Digest;
use serde_json::json;
use support::server::{Options, Server};
use support::{OCI_IMAGE, descriptor};

/// Manifests of one repository.
const PER_REPOSITORY: u32 = 100;
/// Repositories that are filled at once.
const WRITERS: u32 = 128;
/// The variable that tells the child where to write.
const FILL: &str = "COLD_RESTART_FILL";
/// Manifests that are read back after each start.
const READ_BACK: usize = 200;

#[tokio::main]
async fn main() {
    if let Some(directory) = std::env::var_os(FILL) {
        return fill(Path::new(&directory)).await;
    }
    // A test run that was asked for other tests.
    let asked: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if !asked.is_empty() && !asked.iter().any(|name| "cold_restart".contains(name.as_str())) {
        return;
    }
    let manifests: u32 = std::env::var("MANIFESTS").map_or(10_000, |text| text.parse().unwrap());
    let limit: Option<f64> = std::env::var("READY_SECONDS").ok().map(|text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let full = filled(&directory.path().join("index"), manifests / PER_REPOSITORY);
    println!("{} manifests in {:.0?}", full.len() as u32 * PER_REPOSITORY, began.elapsed());

    let mut slowest = 0_f64;
    let mut started = |what: &str, began: Instant, server: &Server| {
        let seconds = began.elapsed().as_secs_f64();
        slowest = slowest.max(seconds);
        let memory = server.resident_bytes();
        println!(
            "{what}: ready in {seconds:.2} s, {} MiB resident, {} bytes a manifest",
            memory >> 20,
            memory / u64::from(manifests)
        );
    };
    let began = Instant::now();
    let mut server = Server::with(Options { data: Some(directory.path().to_owned()), ..Options::default() }).await;
    started("after a kill while it wrote", began, &server);
    read_back(&server, &full).await;
    server.kill();
    let began = Instant::now();
    server.restart().await;
    started("after a kill while it did nothing", began, &server);
    read_back(&server, &full).await;
    assert!(server.terminate().await.success());
    let began = Instant::now();
    server.restart().await;
    started("after a clean stop", began, &server);
    read_back(&server, &full).await;

    let failed = u8::from(limit.is_some_and(|limit| slowest > limit));
    println!("cold restart: {} passed, {failed} failed", 1 - failed);
    // Leaving the process drops nothing, and a million manifests are more than a gigabyte.
    drop(server);
    drop(directory);
    std::process::exit(i32::from(failed));
}

/// Fills an index in a process of its own and kills it when so many repositories are full; returns those.
fn filled(directory: &Path, repositories: u32) -> Vec<u32> {
    let mut child =
        Process::new(std::env::current_exe().unwrap()).env(FILL, directory).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let full = lines.take(repositories as usize).map(|line| line.unwrap().parse().unwrap()).collect();
    println!("{} KiB read for a manifest", bytes_read(child.id()) / 1024 / u64::from(repositories * PER_REPOSITORY));
    child.kill().unwrap();
    child.wait().unwrap();
    full
}

/// What a process has read, from the cache of the system too (proc_pid_io(5)).
fn bytes_read(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/io")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

/// Writes repository after repository until it is killed, and names each that is full.
async fn fill(directory: &Path) {
    let options = IndexOptions { directory: directory.to_owned(), min_free_bytes: 0 };
    let metrics = IndexMetrics::register(&prometheus::Registry::new()).unwrap();
    let index = Index::open(&options, metrics).await.unwrap();
    // What is pushed is small enough for the index; the store is the registry's all the same.
    let store = Directory::open(directory.parent().unwrap()).await.unwrap();
    roadstead::reclaim::claim(&store, index.cluster()).await.unwrap();
    let next = Arc::new(AtomicU32::new(0));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (index, next) = (index.clone(), next.clone());
        writers.spawn(async move {
            loop {
                let repository = next.fetch_add(1, Ordering::Relaxed);
                index.submit(None, commit(repository, &base(repository))).await.unwrap();
                for number in repository * PER_REPOSITORY..(repository + 1) * PER_REPOSITORY {
                    index.submit(None, commit(repository, &layer(number))).await.unwrap();
                    index.submit(None, put(number)).await.unwrap();
                }
                std::io::stdout().write_all(format!("{repository}\n").as_bytes()).unwrap();
            }
        });
    }
    writers.join_next().await.unwrap().unwrap();
}

fn name(repository: u32) -> String {
    format!("team-{}/service-{repository}", repository % 100)
}

/// What all images of a repository share.
fn base(repository: u32) -> Bytes {
    Bytes::from(format!("base of {repository}"))
}

fn layer(number: u32) -> Bytes {
    Bytes::from(format!("layer of {number}"))
}

/// The manifest of an image of two layers, about as long as usual.
fn manifest(number: u32) -> Bytes {
    let (base, layer) = (base(number / PER_REPOSITORY), layer(number));
    let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &base),
        "layers": [descriptor(gzip, &base), descriptor(gzip, &layer)],
        "annotations": {
            "org.opencontainers.image.created": "2026-11-23T12:00:00Z",
            "org.opencontainers.image.revision": Digest::of(&layer).to_string(),
            "org.opencontainers.image.source": format!("https://git.example.com/{}", name(number / PER_REPOSITORY)),
        },
    });
    Bytes::from(serde_json::to_vec(&manifest).unwrap())
}

fn commit(repository: u32, content: &Bytes) -> Command {
    let length = content.len() as u64;
    let segment = Segment { length, place: Place::Inline(content.clone()), sums: Checksums::of(content) };
    Command::CommitBlob(CommitBlob {
        repository: name(repository).parse().unwrap(),
        digest: Digest::of(content),
        size: length,
        upload: None,
        segment: Some(segment),
    })
}

fn put(number: u32) -> Command {
    let repository = number / PER_REPOSITORY;
    let bytes = manifest(number);
    let part = |content: Bytes| Part { digest: Digest::of(&content), size: content.len() as u64 };
    Command::PutManifest(Box::new(PutManifest {
        repository: name(repository).parse().unwrap(),
        digest: Digest::of(&bytes),
        media_type: OCI_IMAGE.into(),
        bytes,
        artifact_type: None,
        subject: None,
        annotations: BTreeMap::new(),
        blobs: vec![part(base(repository)), part(layer(number))],
        foreign: Vec::new(),
        children: Vec::new(),
        tags: vec![format!("v{number}").parse().unwrap()],
        condition: None,
        sparse: false,
    }))
}

/// Reads images of the full repositories by their tags, spread over all of them.
async fn read_back(server: &Server, full: &[u32]) {
    for turn in 0..READ_BACK {
        let repository = full[turn * full.len() / READ_BACK];
        let number = repository * PER_REPOSITORY + turn as u32 % PER_REPOSITORY;
        let answer = server.client().get(&format!("/v2/{}/manifests/v{number}", name(repository))).await.expect(200);
        assert_eq!(answer.body, manifest(number), "v{number} has other bytes");
    }
}
