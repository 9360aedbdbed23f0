//! The moments at which a test may end the process, as a crash would. Compiled to nothing without the feature
//! `failpoints`.
//!
//! With the feature, `FAILPOINTS="index::log::before_sync=return"` aborts the process at that point: no destructor runs
//! and nothing is flushed. The other actions of the crate `fail` (`sleep`, `pause`, `1%return` …) work as well.

use std::path::Path;

use super::unsynced;

/// Every point of the index, in the order in which a push passes them; then those of snapshots.
pub const FAIL_POINTS: [&str; 16] = [
    "index::vote::before_save",
    "index::vote::after_save",
    "index::log::before_append",
    "index::log::after_append",
    "index::log::before_sync",
    "index::log::after_sync",
    "index::state::before_commit",
    "index::state::after_commit",
    "index::snapshot::before_sync",
    "index::snapshot::after_sync",
    "index::log::before_purge",
    "index::log::after_purge",
    "index::snapshot::before_receive",
    "index::snapshot::after_receive",
    "index::snapshot::before_switch",
    "index::snapshot::after_switch",
];

/// Every point of a restore, in the order in which it passes them; it passes those of receiving a snapshot, too.
pub const RESTORE_POINTS: [&str; 6] = [
    "index::restore::after_state",
    "index::restore::after_claim",
    "index::restore::after_snapshot",
    "index::restore::after_owner",
    "index::restore::before_identity",
    "index::restore::after_identity",
];

/// Where a test may let the disk fail once: what was to be made durable is answered with an error of the disk.
pub const DISK_POINTS: [&str; 3] = ["index::log::sync_fails", "index::state::write_fails", "index::state::sync_fails"];

/// Fails as the disk would at the point `name`, which is one of [`DISK_POINTS`].
#[inline]
#[allow(clippy::unnecessary_wraps)] // with the feature it fails
pub(super) fn disk(name: &'static str) -> Result<(), fjall::Error> {
    debug_assert!(DISK_POINTS.contains(&name), "{name} is not in the list");
    fail::fail_point!(name, |_| Err(fjall::Error::Io(std::io::Error::other("the disk fails because a test said so"))));
    Ok(())
}

/// Passes the point `name`, which is one of [`FAIL_POINTS`] or of [`RESTORE_POINTS`].
#[inline]
pub(super) fn point(name: &'static str) {
    debug_assert!(FAIL_POINTS.contains(&name) || RESTORE_POINTS.contains(&name), "{name} is not in a list");
    fail::fail_point!(name, |_| std::process::abort());
}

/// Ends the process because the disk did not do what it was told with `volume`: what is on it now is unknown, so nothing may
/// be retried, and nobody who waits was told that his command is durable.
pub(super) fn disk_failed(volume: &Path, what: &str, error: &dyn std::error::Error) -> ! {
    let mut causes = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        causes = format!("{causes}: {cause}");
        source = cause.source();
    }
    unsynced::mark(volume);
    tracing::error!(error = %causes, "{what}: this process ends; start it again when the disk is well");
    std::process::exit(1);
}
