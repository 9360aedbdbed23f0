//! The command line: one file a verb. `main` calls [`run`]; nothing else may.
//!
//! Exit codes: 0 it did what was asked; 1 it failed while running; 2 the command line is wrong; 78 (`EX_CONFIG` of
//! sysexits.h) the configuration is wrong, so starting again without a change cannot help.

mod accounts;
mod admin;
mod api;
mod audit;
mod backup;
mod certificates;
mod config;
mod directory;
mod index;
mod issuer;
mod login;
mod open;
mod peers;
mod policy;
mod quota;
mod restore;
mod scrub;
mod serve;
mod socket;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::config::check::check;
use crate::config::load::{LoadError, Sources, load};

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed while running; 2 wrong command line; 78 wrong configuration";

#[derive(Debug, Parser)]
#[command(name = "roadstead", version, about = "An OCI image registry whose tags are linearizable", after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the registry; without any option on 127.0.0.1:5000 with its data in ./data.
    Serve(ConfigArgs),
    /// Read everything that is stored and check it; the registry on the same data must not run.
    ///
    /// A running registry does this by itself, slowly: see blobs.scrub_days.
    Scrub(ConfigArgs),
    /// Begin a cluster of index nodes, look at it, and change who belongs to it.
    Index(index::IndexArgs),
    /// Make, list, check and delete backups of the index.
    #[command(subcommand)]
    Backup(backup::Verb),
    /// Make the index again from what was archived, into an empty data directory; nothing may run on it.
    Restore(restore::Arguments),
    /// Make certificates for the processes of a cluster.
    Certificates(certificates::Arguments),
    /// Make, list, change and delete users, and their passwords.
    #[command(subcommand)]
    User(accounts::UserVerb),
    /// Make, list, change and delete robots: accounts of programs, with what they may do and until when.
    #[command(subcommand)]
    Robot(accounts::RobotVerb),
    /// Take users into groups and out of them.
    #[command(subcommand)]
    Group(accounts::GroupVerb),
    /// Make, list and delete tokens of an account.
    #[command(subcommand)]
    Token(accounts::TokenVerb),
    /// Say who may do what, and ask which rule decides.
    #[command(subcommand)]
    Policy(policy::Verb),
    /// Say whose tokens are believed besides the registry's own: of OpenID providers, CI systems and Kubernetes clusters.
    #[command(subcommand)]
    Issuer(issuer::Verb),
    /// Log in with a provider that a registry believes, for docker-credential-roadstead.
    Login(login::Arguments),
    /// Forget a login.
    Logout(login::LogoutArguments),
    /// Answer the kubelet, which asks how to log in for an image (its configuration names this program).
    CredentialProvider,
    /// Say how much repositories may hold together, and see what they hold.
    #[command(subcommand)]
    Quota(quota::Verb),
    /// Show who changed what, or was refused it, in the order of the log.
    Audit(audit::Arguments),
    /// Check or show the configuration that `serve` with the same options would use.
    #[command(subcommand)]
    Config(config::Verb),
}

/// Where the configuration comes from. Each source wins over those before it: the defaults, the file, the environment
/// (ROADSTEAD_SERVER_LISTEN for server.listen), --set, the other options.
#[derive(Clone, Debug, Args)]
struct ConfigArgs {
    /// A configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "ROADSTEAD_CONFIG")]
    config: Option<PathBuf>,
    /// Set any key of the configuration; may be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Where clients connect (server.listen).
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where health and metrics are (server.admin_listen).
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_listen: Option<String>,
    /// The directory of all data (server.data).
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<String>,
}

/// Why a verb did not do what was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("could not read the configuration file {path}")]
    ReadConfig {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the configuration is not usable:\n{}", list(.0))]
    Check(Vec<String>),
    #[error(transparent)]
    Run(#[from] anyhow::Error),
    /// The answer is no, and was printed.
    #[error("no")]
    Said,
}

/// How a shell names the end by that signal.
const SIGPIPE: i32 = 128 + 13;

fn list(problems: &[String]) -> String {
    problems.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n")
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Load(_) | Self::ReadConfig { .. } | Self::Check(_) => ExitCode::from(78),
            Self::Run(_) | Self::Said => ExitCode::from(1),
        }
    }
}

/// Does what the command line asks.
pub fn run() -> ExitCode {
    // A link to this program may be called as the helper that docker looks for.
    if let Some(code) = login::helper::docker() {
        return code;
    }
    let verb = Cli::parse().verb;
    if !matches!(verb, Verb::Serve(_)) {
        end_with_the_reader();
    }
    let result = match verb {
        Verb::Serve(args) => args.load().and_then(|config| serve::run(config).map_err(Failure::Run)),
        Verb::Scrub(args) => args.load().and_then(|config| scrub::run(config).map_err(Failure::Run)),
        Verb::Certificates(arguments) => certificates::run(&arguments).map_err(Failure::Run),
        Verb::Index(args) => index::run(args),
        Verb::Backup(verb) => backup::run(verb),
        Verb::Restore(arguments) => restore::run(arguments),
        Verb::User(verb) => accounts::user(verb),
        Verb::Robot(verb) => accounts::robot(verb),
        Verb::Group(verb) => accounts::group(verb),
        Verb::Token(verb) => accounts::token(verb),
        Verb::Policy(verb) => policy::run(verb),
        Verb::Issuer(verb) => issuer::run(verb),
        Verb::Login(arguments) => login::run(&arguments),
        Verb::Logout(arguments) => login::logout(&arguments),
        Verb::CredentialProvider => login::helper::kubelet(),
        Verb::Quota(verb) => quota::run(verb),
        Verb::Audit(arguments) => audit::run(arguments),
        Verb::Config(verb) => config::run(verb),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure @ Failure::Said) => failure.exit_code(),
        Err(failure) => {
            // `{:#}` of anyhow gives the chain of causes on one line.
            let code = failure.exit_code();
            eprintln!("roadstead: {:#}", anyhow::Error::from(failure));
            code
        }
    }
}

/// Ends as other programs do when nobody reads any more what is printed (`| head`). They are ended by a signal, which Rust ignores, so
/// that printing panics.
fn end_with_the_reader() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>();
        if text.is_some_and(|text| text.starts_with("failed printing to") && text.contains("Broken pipe")) {
            std::process::exit(SIGPIPE);
        }
        tell(info);
    }));
}

impl ConfigArgs {
    /// Reads all sources and checks the result.
    fn load(self) -> Result<Config, Failure> {
        let mut sources = Sources { environment: environment(), set: self.set, ..Sources::default() };
        if let Some(path) = self.config {
            match std::fs::read_to_string(&path) {
                Ok(text) => sources.file = Some((path.display().to_string(), text)),
                Err(source) => return Err(Failure::ReadConfig { path, source }),
            }
        }
        for (key, value) in
            [("server.listen", self.listen), ("server.admin_listen", self.admin_listen), ("server.data", self.data)]
        {
            sources.flags.extend(value.map(|value| (key, value)));
        }
        let config = load(&sources)?;
        let problems = check(&config);
        if problems.is_empty() { Ok(config) } else { Err(Failure::Check(problems)) }
    }
}

/// The variables that belong to us. A variable that is not UTF-8 cannot be one of them.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("ROADSTEAD_") && name != "ROADSTEAD_CONFIG" && !api::is_variable(name))
        .collect()
}
