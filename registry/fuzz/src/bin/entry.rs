//! Fuzz target: entries of the log and the commands in them.
#![no_main]

use roadstead::index::command::{Proposal, Reply};
use roadstead::index::raft::frame;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = frame::decode(bytes);
    if let Ok(proposal) = rmp_serde::from_slice::<Proposal>(bytes) {
        let again = rmp_serde::to_vec_named(&proposal).expect("what was read can be written");
        assert_eq!(rmp_serde::from_slice::<Proposal>(&again).expect("and read again"), proposal);
    }
    let _ = rmp_serde::from_slice::<Reply>(bytes);
});
