//! Random numbers for ids and keys, from the system. In a simulation they come from a seed, so that it repeats a run.

/// No random numbers are to be had.
pub type RandomError = getrandom::Error;

/// Fills `bytes`.
#[cfg(not(feature = "simulation"))]
pub fn fill(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes)
}

#[cfg(feature = "simulation")]
mod seeded {
    use std::cell::Cell;

    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }

    /// Begins the sequence of this thread.
    pub fn seed(seed: u64) {
        STATE.set(seed);
    }

    /// Fills `bytes` (SplitMix64).
    pub fn fill(bytes: &mut [u8]) -> Result<(), super::RandomError> {
        for chunk in bytes.chunks_mut(8) {
            let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            STATE.set(state);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}
#[cfg(feature = "simulation")]
pub use seeded::{fill, seed};
