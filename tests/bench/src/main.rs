//! Measures roadstead and what people would pick instead, side by side on one machine, in turns.
//!
//! `tests/bench/run` builds and installs all that is needed, and calls this.

#![allow(clippy::print_stdout, missing_debug_implementations)]

mod calibrate;
mod cases;
mod clusters;
mod content;
mod figure;
mod http;
mod load;
mod page;
mod peer;
mod registry;
mod runner;
mod s3;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;

use crate::cases::Plan;
use crate::peer::Programs;
use crate::runner::Results;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    programs: Programs,
    /// Only these cases: P1, P2 and so on.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Some minutes: sizes and counts are a tenth, one run each.
    #[arg(long)]
    quick: bool,
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Where registries keep their data meanwhile.
    #[arg(long)]
    data: PathBuf,
    /// All numbers, as JSON. Cases that are not measured now stay as they are there.
    #[arg(long)]
    results: PathBuf,
    /// The page that is written of them; its plots go beside it.
    #[arg(long)]
    page: Option<PathBuf>,
}

impl Arguments {
    const fn plan(&self) -> Plan {
        if self.quick {
            Plan { divisor: 10, runs: 1, time: Duration::from_secs(2), patience: Duration::from_secs(30) }
        } else {
            Plan { divisor: 1, runs: self.runs, time: Duration::from_secs(5), patience: Duration::from_mins(2) }
        }
    }
}

fn main() -> Result<()> {
    let said: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, numbers @ ..] = said.as_slice()
        && verb == "s3-proxy"
    {
        return proxy(numbers);
    }
    let arguments = Arguments::parse();
    // All clients are on one thread, so that they never take more than one processor.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let results = runtime.block_on(measure(&arguments))?;
    if let Some(path) = &arguments.page {
        page::write(path, &results)?;
        println!("{}", path.display());
    }
    let failed: Vec<&str> =
        results.rows.iter().filter(|row| row.is_ours_missing()).map(|row| &*row.measured.id).collect();
    ensure!(failed.is_empty(), "not measured: {}", failed.join(" "));
    Ok(())
}

/// The process that stands before an S3 server: `s3-proxy LISTEN UPSTREAM MILLISECONDS`.
fn proxy(numbers: &[String]) -> Result<()> {
    let [listen, upstream, late] = numbers else { anyhow::bail!("s3-proxy LISTEN UPSTREAM MILLISECONDS") };
    let late = Duration::from_millis(late.parse()?);
    tokio::runtime::Runtime::new()?.block_on(s3::proxy(listen.parse()?, upstream.parse()?, late))
}

async fn measure(arguments: &Arguments) -> Result<Results> {
    let programs = &arguments.programs;
    let cases = cases::all();
    for wanted in &arguments.only {
        let known: Vec<&str> = cases.iter().map(|case| case.id).collect();
        ensure!(known.contains(&wanted.as_str()), "there is no {wanted}: {}", known.join(" "));
    }
    std::fs::create_dir_all(&arguments.data)?;
    let mut results = Results::read(&arguments.results)?;
    let plan = arguments.plan();
    for case in cases {
        if arguments.only.is_empty() || arguments.only.iter().any(|wanted| wanted == case.id) {
            let measured = runner::run(&case, programs, &plan, &arguments.data).await?;
            results.put(measured, programs);
            results.write(&arguments.results)?;
        }
    }
    Ok(results)
}
