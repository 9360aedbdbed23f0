//! The thread that writes the log: takes everything that waits, writes it as one batch, makes it durable with one fsync,
//! and only then says so.
//!
//! Every batch is durable before the next one is begun. So a crash leaves at most one batch incomplete, which is what
//! `index::journal` relies on to tell a torn end from damage.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode};
use openraft::storage::IOFlushed;
use tokio::sync::oneshot;

use super::log::{COMMITTED, PURGED, Shared, VOTE};
use super::types::{Position, Types};
use crate::index::crash::{self, disk_failed};
use crate::index::metrics::IndexMetrics;
#[cfg(feature = "mutants")]
use crate::index::mutants::{self, Mutant};

/// Frames written with one fsync, in bytes, about: so that the first of them need not wait for too many.
const BATCH_BYTES: usize = 8 << 20;

/// How long a simulated disk takes at most, when it is quick and when it is slow. What waits for it is lost in a crash.
const SIMULATED_DISK: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(300)];

/// Something to write.
pub enum Job {
    Append {
        frames: Vec<(u64, Vec<u8>)>,
        /// The last of them.
        last: Option<Position>,
        flushed: IOFlushed<Types>,
    },
    Vote {
        vote: Vec<u8>,
        done: oneshot::Sender<()>,
    },
    /// What is committed: only spares work after a restart, so it waits for the next batch.
    Committed(Vec<u8>),
    /// Removes entries; `purged` is the position up to which, when it is the beginning that goes.
    Remove {
        range: Range<u64>,
        purged: Option<Vec<u8>>,
        done: oneshot::Sender<()>,
    },
    /// Ends the thread.
    End {
        done: oneshot::Sender<()>,
    },
}

/// Frames with the last of their positions, and whom to tell when they are durable.
type Append = (Vec<(u64, Vec<u8>)>, Option<Position>, IOFlushed<Types>);

type Simulated = Arc<Mutex<(Thread, Receiver<Job>)>>;

/// The way to the thread. It ends when this is dropped.
pub struct Writer {
    jobs: Sender<Job>,
    shared: Arc<Mutex<Weak<Shared>>>,
    /// In a simulation there is no thread: what was sent is done a little later, if the process still lives then.
    simulated: Option<Simulated>,
}

impl Writer {
    pub fn start(
        database: Database,
        entries: Keyspace,
        meta: Keyspace,
        metrics: IndexMetrics,
        volume: PathBuf,
    ) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let shared = Arc::new(Mutex::new(Weak::new()));
        let mut thread = Thread { database, entries, meta, metrics, shared: shared.clone(), committed: None, volume };
        if cfg!(feature = "simulation") {
            let simulated = Some(Arc::new(Mutex::new((thread, queue))));
            return Ok(Self { jobs, shared, simulated });
        }
        std::thread::Builder::new().name("log-writer".into()).spawn(move || thread.run(&queue))?;
        Ok(Self { jobs, shared, simulated: None })
    }

    /// Lets the thread tell readers what is durable, and trim what they keep in memory.
    pub fn attach(&self, shared: &Arc<Shared>) {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(shared);
    }

    pub fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.send(job).map_err(|_| io::Error::other("the thread that writes the log has ended"))?;
        if let Some(simulated) = self.simulated.clone() {
            let mut random = [0; 2];
            crate::random::fill(&mut random).map_err(io::Error::other)?;
            let [part, slow] = random;
            tokio::spawn(async move {
                tokio::time::sleep(SIMULATED_DISK[usize::from(slow < 32)] * u32::from(part) / 255).await;
                let mut simulated = simulated.lock().unwrap_or_else(PoisonError::into_inner);
                let (thread, queue) = &mut *simulated;
                thread.drain(queue);
            });
        }
        Ok(())
    }
}

struct Thread {
    database: Database,
    entries: Keyspace,
    meta: Keyspace,
    metrics: IndexMetrics,
    shared: Arc<Mutex<Weak<Shared>>>,
    /// What is committed and not yet written.
    committed: Option<Vec<u8>>,
    /// The directory of the node, which the log is a part of.
    volume: PathBuf,
}

/// Whom to tell when a batch is durable.
#[derive(Default)]
struct Waiting {
    flushed: Vec<IOFlushed<Types>>,
    last: Option<Position>,
    bytes: usize,
    entries: usize,
}

impl Thread {
    fn run(&mut self, queue: &Receiver<Job>) {
        self.work(queue, || queue.recv().ok());
    }

    /// Does what waits, and no more.
    fn drain(&mut self, queue: &Receiver<Job>) {
        self.work(queue, || queue.try_recv().ok());
    }

    fn work(&mut self, queue: &Receiver<Job>, next: impl Fn() -> Option<Job>) {
        let mut held = None;
        while let Some(job) = held.take().or_else(&next) {
            let result = match job {
                Job::Append { frames, last, flushed } => self.append((frames, last, flushed), queue, &mut held),
                Job::Committed(position) => {
                    self.committed = Some(position);
                    Ok(())
                }
                Job::Vote { vote, done } => self.vote(vote, done),
                Job::Remove { range, purged, done } => self.remove(range, purged, done),
                Job::End { done } => {
                    let _ = done.send(()); // whoever asked may have gone
                    return;
                }
            };
            if let Err(error) = result {
                disk_failed(&self.volume, "could not write the log", &error);
            }
        }
    }

    /// Writes these frames and all that wait behind them; what is no append is held back for its turn.
    fn append(&mut self, first: Append, queue: &Receiver<Job>, held: &mut Option<Job>) -> Result<(), fjall::Error> {
        let mut batch = self.database.batch();
        let mut waiting = Waiting::default();
        self.put(first, &mut batch, &mut waiting);
        while waiting.bytes < BATCH_BYTES {
            match queue.try_recv() {
                Ok(Job::Append { frames, last, flushed }) => {
                    self.put((frames, last, flushed), &mut batch, &mut waiting);
                }
                Ok(Job::Committed(position)) => self.committed = Some(position),
                Ok(other) => {
                    *held = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        if let Some(committed) = self.committed.take() {
            batch.insert(&self.meta, COMMITTED, committed);
        }
        #[cfg(feature = "mutants")]
        if mutants::is(Mutant::AckBeforeFsync) {
            self.is_durable(&waiting);
            waiting.flushed.drain(..).for_each(|flushed| flushed.io_completed(Ok(())));
            std::thread::sleep(mutants::HELD);
        }
        self.write(batch)?;
        self.metrics.entries_appended.inc_by(waiting.entries as u64);
        self.metrics.batch_entries.observe(waiting.entries as f64);
        self.is_durable(&waiting);
        for flushed in waiting.flushed {
            flushed.io_completed(Ok(()));
        }
        Ok(())
    }

    /// Tells those who follow the log how much of it is durable.
    fn is_durable(&self, waiting: &Waiting) {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let (Some(last), Some(shared)) = (waiting.last, shared) {
            shared.durable.send_modify(|durable| durable.end = Some(last));
            shared.recent.lock().unwrap_or_else(PoisonError::into_inner).trim(last.index);
        }
    }

    fn put(&self, (frames, last, flushed): Append, batch: &mut OwnedWriteBatch, waiting: &mut Waiting) {
        for (index, frame) in frames {
            waiting.bytes += frame.len();
            waiting.entries += 1;
            batch.insert(&self.entries, index.to_be_bytes(), frame);
        }
        waiting.last = last.or(waiting.last);
        waiting.flushed.push(flushed);
    }

    fn vote(&self, vote: Vec<u8>, done: oneshot::Sender<()>) -> Result<(), fjall::Error> {
        crash::point("index::vote::before_save");
        let mut batch = self.database.batch();
        batch.insert(&self.meta, VOTE, vote);
        self.write(batch)?;
        crash::point("index::vote::after_save");
        let _ = done.send(()); // whoever asked may have gone
        Ok(())
    }

    fn remove(
        &self,
        range: Range<u64>,
        purged: Option<Vec<u8>>,
        done: oneshot::Sender<()>,
    ) -> Result<(), fjall::Error> {
        crash::point("index::log::before_purge");
        let mut batch = self.database.batch();
        for index in range {
            batch.remove(&self.entries, index.to_be_bytes());
        }
        if let Some(purged) = purged {
            batch.insert(&self.meta, PURGED, purged);
        }
        self.write(batch)?;
        crash::point("index::log::after_purge");
        let _ = done.send(()); // whoever asked may have gone
        Ok(())
    }

    fn write(&self, batch: OwnedWriteBatch) -> Result<(), fjall::Error> {
        crash::point("index::log::before_append");
        batch.commit()?;
        crash::point("index::log::after_append");
        let timer = self.metrics.fsync_seconds.start_timer();
        crash::point("index::log::before_sync");
        crash::disk("index::log::sync_fails")?;
        // What a simulated crash may lose is decided elsewhere, and a real disk would only cost time.
        self.database.persist(if cfg!(feature = "simulation") {
            PersistMode::Buffer
        } else {
            PersistMode::SyncData
        })?;
        crash::point("index::log::after_sync");
        timer.observe_duration();
        Ok(())
    }
}
