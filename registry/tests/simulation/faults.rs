//! What goes wrong, and when: decided by the seed alone.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use turmoil::Sim;

use super::store::SimulatedStore;

/// How many of each kind happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub crashes: u64,
    pub partitions: u64,
    pub outages: u64,
}

enum Until {
    Started(String),
    Repaired(String, String),
    StoreBack,
}

/// Makes faults, one after the other with pauses in between, never more than a minority of index nodes down at once.
pub struct Faults {
    random: SmallRng,
    index: Vec<String>,
    registries: Vec<String>,
    store: SimulatedStore,
    next: Duration,
    running: Vec<(Duration, Until)>,
    pub counts: Counts,
}

impl Faults {
    pub fn new(seed: u64, index: Vec<String>, registries: Vec<String>, store: SimulatedStore) -> Self {
        let random = SmallRng::seed_from_u64(seed.wrapping_mul(31));
        Self {
            random,
            index,
            registries,
            store,
            next: Duration::from_secs(3),
            running: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Does what is due at this moment of the simulation; after `end` it only heals.
    pub fn turn(&mut self, sim: &mut Sim<'_>, end: Duration) {
        let now = sim.elapsed();
        let (due, rest) = std::mem::take(&mut self.running).into_iter().partition(|(at, _)| *at <= now || now > end);
        self.running = rest;
        let due: Vec<(Duration, Until)> = due;
        for (_, until) in due {
            match until {
                Until::Started(host) => sim.bounce(host),
                Until::Repaired(one, other) => sim.repair(one, other),
                Until::StoreBack => self.store.0.down.store(false, Ordering::Relaxed),
            }
        }
        if now < self.next || now > end {
            return;
        }
        self.next = now + Duration::from_millis(self.random.random_range(500..2000));
        let until = now + Duration::from_millis(self.random.random_range(300..4000));
        let victim = self.index[self.random.random_range(0..self.index.len())].clone();
        let crashed = self.running.iter().any(|(_, until)| matches!(until, Until::Started(_)));
        // Soon enough to be there again before the others hold an election.
        let soon = now + Duration::from_millis(self.random.random_range(5..300));
        match self.random.random_range(0..14) {
            10..12 | 0..3 if !crashed => {
                self.counts.crashes += 1;
                sim.crash(victim.clone());
                let until = if self.random.random_bool(0.5) { soon } else { until };
                self.running.push((until, Until::Started(victim)));
            }
            12..14 if !crashed => {
                for victim in self.index.clone() {
                    self.counts.crashes += 1;
                    sim.crash(victim.clone());
                    self.running.push((soon, Until::Started(victim)));
                }
            }
            3 if !crashed => {
                let registry = self.registries[self.random.random_range(0..self.registries.len())].clone();
                self.counts.crashes += 1;
                sim.crash(registry.clone());
                self.running.push((until, Until::Started(registry)));
            }
            4..6 => {
                // One node alone, with the clients' side of it cut or not.
                self.counts.partitions += 1;
                let with_registries = self.random.random_bool(0.5);
                let mut others = self.index.clone();
                if with_registries {
                    others.extend(self.registries.clone());
                }
                for other in others.into_iter().filter(|other| *other != victim) {
                    sim.partition(victim.clone(), other.clone());
                    self.running.push((until, Until::Repaired(victim.clone(), other)));
                }
            }
            6..8 => {
                let other = self.index[self.random.random_range(0..self.index.len())].clone();
                if other != victim {
                    self.counts.partitions += 1;
                    sim.partition(victim.clone(), other.clone());
                    self.running.push((until, Until::Repaired(victim, other)));
                }
            }
            8 => {
                self.counts.outages += 1;
                self.store.0.down.store(true, Ordering::Relaxed);
                self.running.push((until, Until::StoreBack));
            }
            _ => {
                let every = self.random.random_range(0..60);
                self.store.0.fails.store(every, Ordering::Relaxed);
            }
        }
    }
}
