//! The plan as tables.
