//! The only code that names openraft.
