//! Buffers of a MiB that are used again. Fresh memory is cleared by the system page by page, which takes as long as filling it:
//! of the time that it takes to send a large blob a quarter went there.
//!
//! Called by whatever moves blobs. As many buffers exist as somebody holds, and at most 16 more.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::checksum::CHUNK;

/// Free buffers that are kept for the next one.
const KEPT: usize = 16;

static FREE: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A buffer of [`CHUNK`] bytes that nobody else has; what is in it is whatever was there before.
#[derive(Debug)]
pub struct Buffer(Box<[u8]>);

impl Buffer {
    pub fn take() -> Self {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self(free.unwrap_or_else(|| vec![0; CHUNK].into_boxed_slice()))
    }

    /// The first `length` bytes, to be shared; once nobody holds them any more the buffer is free again.
    pub fn share(self, length: usize) -> Bytes {
        Bytes::from_owner(Shared { buffer: self, length: length.min(CHUNK) })
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.0));
        }
    }
}

struct Shared {
    buffer: Buffer,
    length: usize,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.buffer.0[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_nobody_elses_until_all_that_hold_it_are_gone() {
        let mut one = Buffer::take();
        one.as_mut()[..3].copy_from_slice(b"one");
        let one = one.share(3);
        let part = one.slice(1..2);
        drop(one);
        let mut others: Vec<Buffer> = (0..KEPT * 2).map(|_| Buffer::take()).collect();
        for other in &mut others {
            other.as_mut().fill(7);
        }
        assert_eq!(&*part, b"n");
        drop((part, others));
        assert!(FREE.lock().unwrap_or_else(PoisonError::into_inner).len() <= KEPT);
        assert_eq!(Buffer::take().share(CHUNK + 1).len(), CHUNK);
    }
}
