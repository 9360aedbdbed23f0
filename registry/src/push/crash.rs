//! The moments of a push at which a test may end the process, as a crash would; those of the index are in
//! `index::crash`. Compiled to nothing without the feature `failpoints`.

/// Every point, in the order in which a push passes them.
pub const FAIL_POINTS: [&str; 6] = [
    "push::segment::before_finish",
    "push::segment::after_finish",
    "push::upload::before_entry",
    "push::upload::after_entry",
    "push::manifest::before_entry",
    "push::manifest::after_entry",
];

/// Passes the point `name`, which is one of [`FAIL_POINTS`].
#[inline]
pub(crate) fn point(name: &'static str) {
    debug_assert!(FAIL_POINTS.contains(&name), "{name} is not in the list");
    fail::fail_point!(name, |_| std::process::abort());
}
