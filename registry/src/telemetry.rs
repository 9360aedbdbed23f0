//! The log: text or JSON lines to stderr. Set up once by `serve`; stdout is for what a person reads.

use std::io::IsTerminal;
use std::panic;

use anyhow::Context;
use prometheus::{IntCounter, Registry};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts the log of this process.
pub fn start(config: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter).context("log.filter cannot be read")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let result = match config.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    result.map_err(|error| anyhow::anyhow!("the log was started twice: {error}"))
}

/// Logs and counts every panic from now on, in requests and in background work. A panic is always a bug of ours, and
/// never the end of the process.
pub fn watch_panics(registry: &Registry) -> prometheus::Result<()> {
    let panics = IntCounter::new("roadstead_panics_total", "Panics, each a bug; the process goes on")?;
    registry.register(Box::new(panics.clone()))?;
    panic::set_hook(Box::new(move |info| {
        panics.inc();
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(place, message = info.payload_as_str(), %backtrace, "a panic; this is a bug, please report it");
    }));
    Ok(())
}
