//! What single steps cost, away from the network and the disk's syncs: `cargo bench -p roadstead --bench micro`.
//!
//! An entry applied to a state of many tags; a page of a list of them; a request and a manifest parsed; a MiB of a push hashed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http::Method;
use roadstead::blobs::checksum::ChecksumBuilder;
use roadstead::index::command::{Bootstrap, Command, Policy, Proposal, PutManifest, RequestId, Time};
use roadstead::index::query::{ListTags, Query};
use roadstead::index::state::apply;
use roadstead::index::state::records::Transaction;
use roadstead::index::state::store::Store;
use roadstead::oci::action::Action;
use roadstead::oci::digest::{Algorithm, Digest};
use roadstead::oci::manifest;
use roadstead::push::hash::Hasher;

/// 2026-01-01.
const START: u64 = 1_767_225_600_000;
const REPOSITORY: &str = "team/app";
const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Tags of the small state and of the large one: a write costs the same in both.
const TAGS: [usize; 2] = [100, 100_000];

struct World {
    store: Store,
    position: u64,
    _directory: tempfile::TempDir,
}

impl World {
    /// A state in which a manifest has so many tags.
    fn with(tags: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut world = Self { store: Store::open(directory.path()).unwrap(), position: 0, _directory: directory };
        world.apply(Command::Bootstrap(Bootstrap {
            cluster: "here".into(),
            epoch: 1,
            upload_key: Bytes::from_static(&[7; 32]),
        }));
        world.apply(Command::SetPolicy(Policy::default()));
        for first in (0..tags).step_by(50) {
            world.apply(tagged(first..tags.min(first + 50)));
        }
        world
    }

    fn apply(&mut self, command: Command) {
        self.position += 1;
        let view = self.store.view();
        let mut transaction = Transaction::new(&view);
        let time = Time(START);
        let request = RequestId::new(time, u128::from(self.position) << 64);
        let proposal = Proposal { time, request, who: Some("me".into()), command };
        apply(&mut transaction, self.position, &proposal).unwrap().unwrap();
        let changes: Vec<_> = transaction.into_changes().collect();
        self.store.write(changes, &self.position.to_be_bytes()).unwrap();
    }
}

/// Puts one manifest, of nothing, under these tags.
fn tagged(tags: std::ops::Range<usize>) -> Command {
    let bytes = Bytes::from_static(b"a manifest");
    Command::PutManifest(Box::new(PutManifest {
        repository: REPOSITORY.parse().unwrap(),
        digest: Digest::of(&bytes),
        media_type: TYPE.into(),
        bytes,
        artifact_type: None,
        subject: None,
        annotations: std::collections::BTreeMap::new(),
        blobs: Vec::new(),
        foreign: Vec::new(),
        children: Vec::new(),
        tags: tags.map(|number| format!("v{number:07}").parse().unwrap()).collect(),
        condition: None,
        sparse: false,
    }))
}

fn applying(criterion: &mut Criterion) {
    for tags in TAGS {
        let mut world = World::with(tags);
        let mut number = 1_000_000;
        criterion.bench_function(&format!("apply: a new tag beside {tags}"), |bencher| {
            bencher.iter(|| {
                world.apply(tagged(number..number + 1));
                number += 1;
            });
        });
    }
}

fn listing(criterion: &mut Criterion) {
    for tags in TAGS {
        let world = World::with(tags);
        let view = world.store.view();
        let last = Some(format!("v{:07}", tags / 2));
        let page = ListTags { repository: REPOSITORY.parse().unwrap(), last, limit: 50 };
        criterion.bench_function(&format!("list: a page of 50 tags of {tags}"), |bencher| {
            bencher.iter(|| page.answer(&view).unwrap().unwrap().items.len());
        });
    }
}

fn parsing(criterion: &mut Criterion) {
    let path = format!("/v2/{REPOSITORY}/manifests/sha256:{}", "a".repeat(64));
    criterion.bench_function("parse: a request for a manifest", |bencher| {
        bencher.iter(|| Action::parse(&Method::GET, black_box(&path), None).unwrap());
    });
    let digest = format!("sha256:{}", "b".repeat(64));
    let layer =
        serde_json::json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": 7 });
    let image = serde_json::json!({
        "schemaVersion": 2, "mediaType": TYPE,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 7 },
        "layers": vec![layer; 12],
    });
    let text = Bytes::from(image.to_string());
    criterion.bench_function("parse: a manifest of 12 layers", |bencher| {
        bencher.iter(|| manifest::parse(Some(TYPE), black_box(&text)).unwrap());
    });
}

/// What each byte of a push goes through: the digest and the check sum.
fn hashing(criterion: &mut Criterion) {
    let bytes = vec![7; 1 << 20];
    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("a MiB of a push", |bencher| {
        let begin = || (Hasher::new(Algorithm::Sha256), ChecksumBuilder::default());
        let work = |(mut hasher, mut sums): (Hasher, ChecksumBuilder)| {
            hasher.update(&bytes);
            sums.update(&bytes);
            hasher.digest().unwrap()
        };
        bencher.iter_batched(begin, work, BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(steps, applying, listing, parsing, hashing);
criterion_main!(steps);
