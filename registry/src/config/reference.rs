//! The reference of the configuration in `docs/` must name every key there is, and no other.

#![allow(clippy::unwrap_used)]

use super::keys::known;

#[test]
fn the_reference_names_every_key_and_no_other() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut written: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(key, _)| key).collect();
    written.sort_unstable();
    let mut there = known();
    there.sort();
    assert_eq!(written, there);
}
