//! The binary `roadstead`: parses the command line and leaves with an exit code that says what kind of end it was.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Reads `FAILPOINTS`; see `roadstead::index::crash`.
    #[cfg(feature = "failpoints")]
    let _points = fail::FailScenario::setup();
    roadstead::cli::run()
}
