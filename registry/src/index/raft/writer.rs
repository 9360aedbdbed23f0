//! The thread that writes the log: takes everything that waits, writes it as one batch, makes it durable with one fsync,
//! and only then says so.

use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode};
use openraft::storage::IOFlushed;
use tokio::sync::oneshot;

use super::log::{Shared, purged_key};
use super::types::Types;
use crate::index::metrics::IndexMetrics;

/// Frames written with one fsync, in bytes, about: so that the first of them need not wait for too many.
const BATCH_BYTES: usize = 8 << 20;

/// Something to write.
pub enum Job {
    Append {
        frames: Vec<(u64, Vec<u8>)>,
        flushed: IOFlushed<Types>,
    },
    Meta {
        key: &'static [u8],
        value: Vec<u8>,
        durable: bool,
        done: Option<oneshot::Sender<()>>,
    },
    /// Removes entries; `purged` is the position up to which, when it is the beginning that goes.
    Remove {
        range: Range<u64>,
        purged: Option<Vec<u8>>,
        done: oneshot::Sender<()>,
    },
}

/// The way to the thread. It ends when this is dropped.
pub struct Writer {
    jobs: Sender<Job>,
    shared: Arc<Mutex<Weak<Shared>>>,
}

impl Writer {
    pub fn start(database: Database, entries: Keyspace, meta: Keyspace, metrics: IndexMetrics) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let shared = Arc::new(Mutex::new(Weak::new()));
        let thread = Thread { database, entries, meta, metrics, shared: shared.clone() };
        std::thread::Builder::new().name("log-writer".into()).spawn(move || thread.run(&queue))?;
        Ok(Self { jobs, shared })
    }

    /// Lets the thread trim what readers keep in memory.
    pub fn attach(&self, shared: &Arc<Shared>) {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(shared);
    }

    pub fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.send(job).map_err(|_| io::Error::other("the thread that writes the log has ended"))
    }
}

struct Thread {
    database: Database,
    entries: Keyspace,
    meta: Keyspace,
    metrics: IndexMetrics,
    shared: Arc<Mutex<Weak<Shared>>>,
}

/// Whom to tell when a batch is durable.
#[derive(Default)]
struct Waiting {
    flushed: Vec<IOFlushed<Types>>,
    done: Vec<oneshot::Sender<()>>,
    last: Option<u64>,
    bytes: usize,
    entries: usize,
    durable: bool,
}

impl Thread {
    fn run(&self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            if let Err(error) = self.batch(first, queue) {
                // Neither the page cache nor the disk can be trusted now. Whoever waits was never told "durable".
                tracing::error!(%error, "could not write the log: this process ends, restart it when the disk is well");
                std::process::exit(1);
            }
        }
    }

    fn batch(&self, first: Job, queue: &Receiver<Job>) -> Result<(), fjall::Error> {
        let mut batch = self.database.batch();
        let mut waiting = Waiting::default();
        self.put(first, &mut batch, &mut waiting);
        while waiting.bytes < BATCH_BYTES {
            match queue.try_recv() {
                Ok(job) => self.put(job, &mut batch, &mut waiting),
                Err(_) => break,
            }
        }
        fail::fail_point!("index::log::before_append");
        batch.commit()?;
        fail::fail_point!("index::log::after_append");
        if waiting.durable {
            let timer = self.metrics.fsync_seconds.start_timer();
            fail::fail_point!("index::log::before_sync");
            self.database.persist(PersistMode::SyncData)?;
            fail::fail_point!("index::log::after_sync");
            timer.observe_duration();
        }
        if waiting.entries > 0 {
            self.metrics.entries_appended.inc_by(waiting.entries as u64);
            self.metrics.batch_entries.observe(waiting.entries as f64);
        }
        for flushed in waiting.flushed {
            flushed.io_completed(Ok(()));
        }
        for done in waiting.done {
            let _ = done.send(()); // whoever asked may have gone
        }
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let (Some(last), Some(shared)) = (waiting.last, shared) {
            shared.recent.lock().unwrap_or_else(PoisonError::into_inner).trim(last);
        }
        Ok(())
    }

    fn put(&self, job: Job, batch: &mut OwnedWriteBatch, waiting: &mut Waiting) {
        match job {
            Job::Append { frames, flushed } => {
                for (index, frame) in frames {
                    waiting.bytes += frame.len();
                    waiting.entries += 1;
                    waiting.last = Some(index);
                    batch.insert(&self.entries, index.to_be_bytes(), frame);
                }
                waiting.flushed.push(flushed);
                waiting.durable = true;
            }
            Job::Meta { key, value, durable, done } => {
                batch.insert(&self.meta, key, value);
                waiting.durable |= durable;
                waiting.done.extend(done);
            }
            Job::Remove { range, purged, done } => {
                for index in range {
                    batch.remove(&self.entries, index.to_be_bytes());
                }
                if let Some(purged) = purged {
                    batch.insert(&self.meta, purged_key(), purged);
                }
                waiting.durable = true;
                waiting.done.push(done);
            }
        }
    }
}
