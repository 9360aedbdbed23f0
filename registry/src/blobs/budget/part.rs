//! A part being filled: its buffers, the room they take, and how long it got nothing. Used by the writers of
//! [`super::super::s3`]; what is in it goes away when the room is needed for others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Budget, Taken};

/// The part got nothing for long while others waited for room, and its bytes were given up.
#[derive(Debug, thiserror::Error)]
#[error("the upload brought nothing for long while others waited for room")]
pub struct TooSlow;

/// Bytes that are collected until they go to the store together.
#[derive(Debug)]
pub struct Part {
    budget: Budget,
    number: u64,
    length: u64,
    buffers: Arc<Mutex<Buffers>>,
}

#[derive(Debug, Default)]
pub(super) struct Buffers {
    pieces: Vec<Bytes>,
    taken: Taken,
    /// Since when it has room and does not ask for more.
    idle_since: Option<Instant>,
    evicted: bool,
}

impl Buffers {
    /// How long nothing has come; none while it waits for room itself, or has none.
    pub(super) fn idle(&self) -> Option<Duration> {
        (!self.taken.permits.is_empty()).then_some(self.idle_since?.elapsed())
    }

    pub(super) fn evict(&mut self) {
        *self = Self { evicted: true, ..Self::default() };
    }
}

pub(super) fn lock(buffers: &Mutex<Buffers>) -> MutexGuard<'_, Buffers> {
    buffers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Part {
    pub(super) const fn new(budget: Budget, number: u64, buffers: Arc<Mutex<Buffers>>) -> Self {
        Self { budget, number, length: 0, buffers }
    }

    /// Bytes in it.
    pub const fn len(&self) -> u64 {
        self.length
    }

    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds bytes; waits until there is room for them.
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), TooSlow> {
        let length = bytes.len() as u64;
        let beyond = {
            let mut buffers = lock(&self.buffers);
            if buffers.evicted {
                return Err(TooSlow);
            }
            buffers.idle_since = None;
            buffers.taken.beyond
        };
        let more = if beyond { Taken::default() } else { self.budget.room(length).await };
        let mut buffers = lock(&self.buffers);
        if buffers.evicted {
            return Err(TooSlow);
        }
        buffers.taken.permits.extend(more.permits);
        buffers.taken.beyond |= more.beyond;
        buffers.pieces.push(bytes);
        buffers.idle_since = Some(Instant::now());
        self.length += length;
        Ok(())
    }

    /// Everything in it, with the room it takes until the bytes are stored.
    pub fn take(self) -> Result<(Vec<Bytes>, Taken), TooSlow> {
        let mut buffers = lock(&self.buffers);
        if buffers.evicted {
            return Err(TooSlow);
        }
        buffers.idle_since = None;
        Ok((std::mem::take(&mut buffers.pieces), std::mem::take(&mut buffers.taken)))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.budget.forget(self.number);
    }
}
