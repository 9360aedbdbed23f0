//! `roadstead config check` and `roadstead config show`.

use anyhow::Context;
use clap::Subcommand;

use super::{ConfigArgs, Failure};
use crate::config::show::show;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Check the configuration and say what is wrong with it.
    Check(ConfigArgs),
    /// Print the configuration in force, as TOML, with secrets hidden.
    Show(ConfigArgs),
}

pub(super) fn run(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Check(args) => {
            args.load()?;
            println!("the configuration is good");
        }
        Verb::Show(args) => {
            let text = show(&args.load()?).context("could not write the configuration as TOML")?;
            print!("{text}");
        }
    }
    Ok(())
}
