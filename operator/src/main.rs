//! The binary `roadstead-operator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    roadstead_operator::cli::run()
}
