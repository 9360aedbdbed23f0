//! Fuzz target: manifests as clients push them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (Option<&str>, &[u8])| {
    let (content_type, bytes) = input;
    let _ = roadstead::oci::manifest::parse(content_type, bytes);
});
