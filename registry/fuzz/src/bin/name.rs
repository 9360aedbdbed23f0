//! Fuzz target: repository names, tags and references from text.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<roadstead::oci::name::RepositoryName>() {
        assert_eq!(name.as_str(), text);
        assert!(text.len() <= 255 && !text.contains("..") && !text.contains("//"));
    }
    if let Ok(tag) = text.parse::<roadstead::oci::reference::Tag>() {
        assert_eq!(tag.as_str(), text);
        assert!(!text.contains('/'));
    }
});
