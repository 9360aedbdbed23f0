//! Fuzz target: the Range of a download.
#![no_main]

use roadstead::oci::byte_range::{ByteRange, parse};

libfuzzer_sys::fuzz_target!(|input: (&str, u64)| {
    let (text, size) = input;
    if let ByteRange::Part(range) = parse(text, size) {
        assert!(range.start < range.end && range.end <= size);
    }
});
