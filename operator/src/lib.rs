//! The operator of Roadstead: makes clusters run what a `Registry` says.
//!
//! # The life of a pass
//!
//! [`controller`] looks at a Registry when it or something of it changes, and from time to time. [`observe`] reads what
//! there is and asks every node how it is; [`validate`] refuses what may not be; [`keep`] sees to the certificates;
//! [`build`] says what every object should be; [`plan`] names at most one step that could do harm, behind its guards;
//! [`apply`] writes what differs; [`act`] takes the step; [`status`] says how it is. Between IO everything is pure.

pub mod access;
pub mod act;
pub mod apply;
pub mod backups;
pub mod build;
pub mod certificates;
pub mod cli;
pub mod controller;
pub mod crd;
pub mod events;
pub mod first;
pub mod given;
pub mod health;
pub mod keep;
pub mod lease;
pub mod look;
pub mod memory;
pub mod metrics;
pub mod names;
pub mod nodes;
pub mod object;
pub mod observe;
pub mod optional;
pub mod pace;
pub mod pass;
pub mod plan;
pub mod probe;
pub mod quantity;
pub mod report;
pub mod rights;
pub mod schedule;
pub mod scrape;
pub mod shares;
pub mod status;
pub mod turns;
pub mod validate;
pub mod watches;
