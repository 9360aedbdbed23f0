//! Snapshots as bytes.
