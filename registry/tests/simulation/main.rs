//! Whole clusters in one thread: index nodes, registry processes and clients on simulated hosts, with a simulated network,
//! store and time, and faults that a seed decides. The same seed gives the same run.
//!
//! `SEED=7 cargo test -p roadstead --features simulation --test simulation a_seed` runs one again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod check;
mod client;
mod faults;
mod hosts;
mod network;
mod store;
mod world;

use world::{Report, run};

/// Seeds that found something once, and some that exercise much; they stay green.
const CORPUS: &str = include_str!("seeds.txt");

fn seeds() -> Vec<u64> {
    if let Ok(filter) = std::env::var("SIMULATION_LOG") {
        let _ =
            tracing_subscriber::fmt().without_time().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
    if let Ok(seed) = std::env::var("SEED") {
        return vec![seed.parse().unwrap()];
    }
    let mut seeds: Vec<u64> = CORPUS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    if std::env::var_os("TORTURE").is_some() {
        let count = std::env::var("SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
        seeds.extend(1000..1000 + count);
    }
    seeds
}

/// In processes of their own, as one would run a seed again.
#[test]
fn a_seed_repeats_a_run_to_the_last_message() {
    let seed = seeds()[0];
    if let Ok(file) = std::env::var("TRACE_TO") {
        std::fs::write(file, run(seed).trace.join("\n")).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let traces = ["one", "other"].map(|name| {
        let file = directory.path().join(name);
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let again = again.args(["--exact", "a_seed_repeats_a_run_to_the_last_message"]);
        let again = again.env("TRACE_TO", &file).env("SEED", seed.to_string());
        let status = again.stdout(std::process::Stdio::null()).status().unwrap();
        assert!(status.success(), "seed {seed}");
        std::fs::read_to_string(file).unwrap()
    });
    let [one, other] = traces.each_ref().map(|trace| trace.lines().collect::<Vec<_>>());
    assert!(one.len() > 100, "INVALID: hardly anything happened");
    for (at, (one, other)) in one.iter().zip(&other).enumerate() {
        assert_eq!(one, other, "seed {seed} differs at {at}");
    }
    assert_eq!(one.len(), other.len(), "seed {seed}");
}

#[test]
fn whatever_fails_tags_are_linearizable_and_what_was_acknowledged_is_there() {
    let mut all = Report::default();
    for seed in seeds() {
        let report = run(seed);
        println!("seed {seed}: {}", report.summary());
        all.add(&report);
    }
    println!("all: {}", all.summary());
    all.was_worth_it();
}
