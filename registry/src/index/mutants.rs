//! Ways to be wrong on purpose, so that the tests which must notice can be seen to notice. Only with the feature
//! `mutants`, never in a release; the variable `MUTANT` names the one that is in effect. One line at each place.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A read is answered from the state as it is here, without asking whether it is new enough.
    StaleRead,
    /// A leader that was confirmed once answers reads by itself for a while, by a clock that stands while the process does.
    LeaseWithoutPauseCheck,
    /// An append is said to be durable before it is written.
    AckBeforeFsync,
    /// A command that was applied before is applied again.
    LostDeduplication,
    /// Some entries of others are not applied.
    SkippedEntry,
}

const ALL: [(&str, Mutant); 5] = [
    ("stale_read", Mutant::StaleRead),
    ("lease_without_pause_check", Mutant::LeaseWithoutPauseCheck),
    ("ack_before_fsync", Mutant::AckBeforeFsync),
    ("lost_deduplication", Mutant::LostDeduplication),
    ("skipped_entry", Mutant::SkippedEntry),
];

/// How long an append that was called durable is held back.
pub const HELD: Duration = Duration::from_millis(200);
/// One entry in so many is skipped.
const SKIPPED: u64 = 50;
/// A lease, in steps of its clock, and a step.
const LEASE: u64 = 300;
const STEP: Duration = Duration::from_millis(10);

/// Whether this one is in effect.
pub fn is(mutant: Mutant) -> bool {
    static CHOSEN: OnceLock<Option<Mutant>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("MUTANT").ok().filter(|name| !name.is_empty())?;
        let found = ALL.into_iter().find(|(known, _)| *known == name).map(|(_, mutant)| mutant);
        if found.is_none() {
            tracing::error!(name, "there is no such mutant: this process ends");
            std::process::exit(2);
        }
        tracing::warn!(name, "this process is wrong on purpose");
        found
    });
    *chosen == Some(mutant)
}

/// Whether an entry that came from elsewhere is skipped. The first one says who the members are: without it nobody leads when
/// the log is cut, and there is nothing to find out.
pub fn skips(index: u64) -> bool {
    is(Mutant::SkippedEntry) && index > 0 && index.is_multiple_of(SKIPPED)
}

/// The steps that this process was awake for, about.
static STEPS: AtomicU64 = AtomicU64::new(0);
/// Until which step reads need no round.
static UNTIL: AtomicU64 = AtomicU64::new(0);

/// A round has just confirmed the leader.
pub fn renew_lease() {
    if is(Mutant::LeaseWithoutPauseCheck) {
        static CLOCK: OnceLock<()> = OnceLock::new();
        CLOCK.get_or_init(|| {
            std::thread::spawn(|| {
                loop {
                    std::thread::sleep(STEP);
                    STEPS.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        UNTIL.store(STEPS.load(Ordering::Relaxed) + LEASE, Ordering::Relaxed);
    }
}

/// Whether a leader answers by its lease.
pub fn has_lease() -> bool {
    is(Mutant::LeaseWithoutPauseCheck) && STEPS.load(Ordering::Relaxed) < UNTIL.load(Ordering::Relaxed)
}
