//! One run: the hosts, the clients, the faults, and what must hold at its end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use roadstead::index::answer::{FORM, JOIN};
use roadstead::index::peers::connection::Peer;
use roadstead::index::peers::wire::{Form, Join, Joined};

use super::check::{Operation, is_linearizable};
use super::client::{Client, Notes, Shared};
use super::faults::{Counts, Faults};
use super::hosts::{self, Ended, address};
use super::network::{PEERS, SimulatedDial};
use super::store::SimulatedStore;

const NODES: u64 = 3;
const REGISTRIES: usize = 2;
const CLIENTS: u64 = 4;
const KEYS: u64 = 4;
/// Faults until then, and calm afterwards.
const STORM: Duration = Duration::from_secs(25);
const END: Duration = Duration::from_secs(30);
const LAST: Duration = Duration::from_secs(100);
const YEAR: i64 = 365 * 24 * 3_600_000;

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub trace: Vec<String>,
    operations: u64,
    unknown: u64,
    images: u64,
    reads: u64,
    faults: Counts,
    store_failures: u64,
    wall: Duration,
}

impl Report {
    pub fn summary(&self) -> String {
        format!(
            "{} operations ({} without an answer), {} images read back by {} reads, {} crashes, {} partitions, {} outages, {} failures of the store, {:.1} s",
            self.operations,
            self.unknown,
            self.images,
            self.reads,
            self.faults.crashes,
            self.faults.partitions,
            self.faults.outages,
            self.store_failures,
            self.wall.as_secs_f64()
        )
    }

    pub fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.unknown += other.unknown;
        self.images += other.images;
        self.reads += other.reads;
        self.store_failures += other.store_failures;
        self.wall += other.wall;
        self.faults.crashes += other.faults.crashes;
        self.faults.partitions += other.faults.partitions;
        self.faults.outages += other.faults.outages;
    }

    /// Runs that did little, or in which little went wrong, show nothing.
    pub fn was_worth_it(&self) {
        assert!(self.operations > 500, "INVALID: too few operations: {}", self.summary());
        assert!(self.images > 50, "INVALID: too few images: {}", self.summary());
        assert!(self.faults.crashes > 3 && self.faults.partitions > 3, "INVALID: too few faults: {}", self.summary());
        assert!(self.unknown * 2 < self.operations, "INVALID: hardly anything was answered: {}", self.summary());
    }
}

/// Runs one seed to its end.
pub fn run(seed: u64) -> Report {
    let began = Instant::now();
    roadstead::random::seed(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut random = SmallRng::seed_from_u64(seed);
    let mut sim = turmoil::Builder::new()
        .simulation_duration(LAST)
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_micros(200))
        .max_message_latency(Duration::from_millis(random.random_range(2..15)))
        .rng_seed(seed)
        .build();
    let store = SimulatedStore::default();
    let notes: Shared = Rc::new(RefCell::new(Notes::default()));
    let index: Vec<String> = (1..=NODES).map(|id| format!("index-{id}")).collect();
    let registries: Vec<String> = (1..=REGISTRIES).map(|number| format!("registry-{number}")).collect();
    // In most runs one machine has a clock that is a year off; most clocks must agree for a cluster to begin.
    let wrong = random.random_range(0..=NODES);
    let off = if random.random_bool(0.5) { YEAR } else { -YEAR };
    for (id, name) in (1..=NODES).zip(&index) {
        let skew = if id == wrong { off } else { 0 };
        let (name, directory, store) = (name.clone(), directory.path().join(name), store.clone());
        let starts = Rc::new(RefCell::new(0_u64));
        sim.host(name.clone(), move || {
            *starts.borrow_mut() += 1;
            let seed = seed.wrapping_mul(1000) + id * 100 + *starts.borrow();
            hosts::index(id, name.clone(), directory.clone(), store.clone(), skew, seed)
        });
    }
    let addresses: Vec<String> = index.iter().map(|name| address(name)).collect();
    for (number, name) in registries.iter().enumerate() {
        let (nodes, store) = (addresses.clone(), store.clone());
        sim.host(name.clone(), move || hosts::registry(number, nodes.clone(), store.clone()));
    }
    sim.client("admin", form(seed, index.clone()));
    for number in 0..CLIENTS {
        let client =
            Client { number, seed, registries: registries.clone(), keys: KEYS, until: END, notes: Rc::clone(&notes) };
        sim.client(format!("client-{number}"), client.run());
    }
    let mut faults = Faults::new(seed, index, registries, store.clone());
    loop {
        let done = sim.step().unwrap_or_else(|error| panic!("seed {seed} at {:?}: {error}", sim.elapsed()));
        faults.turn(&mut sim, STORM);
        if done {
            break;
        }
    }
    let counts = faults.counts;
    drop(sim);
    let notes = notes.borrow();
    assert!(notes.wrong.is_empty(), "seed {seed}: {:#?}", notes.wrong);
    check_tags(seed, &notes.operations);
    Report {
        trace: notes.trace.clone(),
        operations: notes.operations.len() as u64,
        unknown: notes.operations.iter().filter(|operation| operation.outcome == super::check::Outcome::Unknown).count()
            as u64,
        images: notes.images,
        reads: notes.reads,
        faults: counts,
        store_failures: store.0.failed.load(Ordering::Relaxed),
        wall: began.elapsed(),
    }
}

fn check_tags(seed: u64, operations: &[Operation]) {
    let mut keys: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
    for operation in operations {
        keys.entry(operation.key).or_default().push(operation.clone());
    }
    for (key, operations) in keys {
        if !is_linearizable(&operations) {
            let mut sorted = operations;
            sorted.sort_by_key(|operation| operation.began);
            panic!("seed {seed}: tag k{key} is not linearizable: {sorted:#?}");
        }
    }
}

/// Begins the cluster, as `roadstead index init` does.
async fn form(seed: u64, index: Vec<String>) -> Ended {
    let cluster = format!("simulated{seed}");
    let peer = |name: &str| Peer::new(&format!("{name}:{}", PEERS + 1), std::sync::Arc::new(SimulatedDial));
    let patience = Duration::from_secs(20);
    let mut members = Vec::new();
    for name in &index {
        let joined: Joined = loop {
            match peer(name).call(JOIN, &Join { cluster: cluster.clone(), epoch: None }, patience).await {
                Ok(joined) => break joined,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        members.push((joined.id, joined.name));
    }
    let form = Form { cluster, members };
    while peer(&index[0]).call::<_, ()>(FORM, &form, patience).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
