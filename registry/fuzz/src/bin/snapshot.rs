//! Fuzz target: snapshots, as another node or a backup might hand them to us.
#![no_main]

use roadstead::index::snapshot;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = snapshot::verify(bytes);
});
