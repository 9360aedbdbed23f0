//! Fuzz target: the Content-Range of a chunk.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Some(range) = roadstead::oci::content_range::parse(text) {
        assert!(range.start < range.end);
    }
});
