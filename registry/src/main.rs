//! The binary `roadstead`.

fn main() {}
