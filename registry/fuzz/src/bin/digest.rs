//! Fuzz target: digests from text.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(digest) = text.parse::<roadstead::oci::digest::Digest>() {
        assert_eq!(digest.to_string(), text);
    }
});
