//! Content that is sent and looked for again: so much of it as is wanted, each kind different from all others, without holding it.

use std::sync::LazyLock;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

/// Content comes in blocks, each with a head that no other has and random bytes that all share.
pub const BLOCK: usize = 1 << 20;
const HEAD: usize = 16;

static SHARED: LazyLock<Bytes> = LazyLock::new(|| {
    let mut bytes = vec![0; BLOCK - HEAD];
    SmallRng::seed_from_u64(1).fill_bytes(&mut bytes);
    bytes.into()
});

/// Some bytes, told from others by their seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub seed: u64,
    pub size: u64,
}

impl Content {
    /// One that no process before this has sent.
    pub fn unique(size: u64) -> Self {
        Self { seed: rand::random(), size }
    }

    /// The pieces from `start` on, `length` bytes of them in all; nothing is copied but the heads.
    pub fn pieces(self, start: u64, length: u64) -> impl Iterator<Item = Bytes> + Send {
        let end = (start + length).min(self.size);
        let mut at = start;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let (block, within) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            let most = (end - at) as usize;
            let piece = if within < HEAD {
                self.head(block).slice(within..HEAD.min(within + most))
            } else {
                SHARED.slice(within - HEAD..(BLOCK - HEAD).min(within - HEAD + most))
            };
            at += piece.len() as u64;
            Some(piece)
        })
    }

    fn head(self, block: u64) -> Bytes {
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&self.seed.to_le_bytes());
        head[8..].copy_from_slice(&block.to_le_bytes());
        Bytes::copy_from_slice(&head)
    }

    pub fn all(self) -> impl Iterator<Item = Bytes> + Send {
        self.pieces(0, self.size)
    }

    pub fn digest(self) -> String {
        let mut sum = Sha256::new();
        self.all().for_each(|piece| sum.update(&piece));
        format!("sha256:{}", hex::encode(sum.finalize()))
    }

    /// Whether these are the bytes at `start`: all that a digest would tell, at the speed of a comparison.
    pub fn is_at(self, start: u64, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        self.pieces(start, bytes.len() as u64).all(|piece| {
            let (here, after) = rest.split_at(piece.len().min(rest.len()));
            rest = after;
            here == piece
        }) && rest.is_empty()
    }
}

/// The digest of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_the_same_wherever_it_is_cut_and_differs_from_other_content() {
        let content = Content { seed: 7, size: 3 * BLOCK as u64 + 100 };
        let whole: Vec<u8> = content.all().flatten().collect();
        assert_eq!(whole.len() as u64, content.size);
        assert_eq!(digest(&whole), content.digest());
        for (start, length) in [(0, 10), (10, 20), (BLOCK - 3, 40), (BLOCK + 15, 1), (0, whole.len())] {
            let cut: Vec<u8> = content.pieces(start as u64, length as u64).flatten().collect();
            assert_eq!(cut, whole[start..start + length]);
            assert!(content.is_at(start as u64, &whole[start..start + length]));
        }
        let mut changed = whole.clone();
        changed[BLOCK + 20] ^= 1;
        assert!(!content.is_at(0, &changed) && !content.is_at(1, &whole[..10]));
        assert!(!content.is_at(content.size - 1, &[whole[whole.len() - 1], 0]), "more than there is");
        assert_ne!(Content { seed: 8, ..content }.digest(), content.digest());
    }
}
