//! `roadstead policy`: who may do what.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use serde_json::Value;

use super::Failure;
use super::api::{ApiArgs, part, print_json};
use super::terminal::{plain, print_text, rules, say};
use crate::api::body::NamedPolicy;
use crate::auth::policy::{self, Policy};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List all policies.
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Show a policy, in the form that `apply` reads.
    Show {
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Put a policy in force, or another in its place.
    Apply {
        name: String,
        /// Its rules, as YAML or JSON; `-` for stdin.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Delete a policy.
    Delete {
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Say whether somebody may do something, and which rule decides; ends with 1 when he may not.
    Explain {
        /// `user:NAME`, `robot:NAME`, or anonymous; a name alone is a user's.
        subject: String,
        /// pull, push, overwrite, delete or admin.
        action: policy::Verb,
        repository: String,
        /// A group that somebody else than the registry vouches for; may be repeated.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(super) fn run(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::List { api } => api.run(|way| async move {
            let answer: Value = way.get("policies").await?;
            if api.json {
                return print_json(&answer["policies"]);
            }
            for policy in serde_json::from_value::<Vec<NamedPolicy>>(answer["policies"].clone())? {
                let NamedPolicy { name, policy, .. } = policy;
                let number = policy.rules.len();
                say(&format!("{name:<24} {number:>3} {:<5}  {}", rules(number), policy.description));
            }
            Ok(())
        }),
        Verb::Show { name, api } => api.run(|way| async move {
            let found: NamedPolicy = way.get(&format!("policies/{}", part(&name))).await?;
            if api.json {
                return print_json(&found);
            }
            print_text(&serde_saphyr::to_string(&found.policy)?);
            Ok(())
        }),
        Verb::Apply { name, file, api } => {
            let policy = read(&file).map_err(Failure::Run)?;
            api.run(|way| async move {
                let answer = way.send("PUT", &format!("policies/{}", part(&name)), &policy).await?;
                for warning in answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    eprintln!("roadstead: {}", plain(warning));
                }
                let number = policy.rules.len();
                println!("policy {name}: {number} {} in force", rules(number));
                Ok(())
            })
        }
        Verb::Delete { name, api } => {
            api.run(|way| async move { way.delete(&format!("policies/{}", part(&name))).await })
        }
        Verb::Explain { subject, action, repository, groups, api } => {
            let is_whole = subject == "anonymous" || subject.contains(':');
            let subject = if is_whole { subject } else { format!("user:{subject}") };
            let mut path =
                format!("explain?subject={}&verb={}&repository={}", part(&subject), action.as_str(), part(&repository));
            for group in &groups {
                path = format!("{path}&group={}", part(group));
            }
            let is_allowed = Cell::new(false);
            let decided = &is_allowed;
            api.run(|way| async move {
                let answer: Value = way.get(&path).await?;
                decided.set(answer["allowed"] == Value::Bool(true));
                if api.json {
                    return print_json(&answer);
                }
                let word = if decided.get() { "allowed" } else { "denied" };
                say(&format!("{word}: {}", answer["reason"].as_str().unwrap_or_default()));
                Ok(())
            })?;
            if is_allowed.get() { Ok(()) } else { Err(Failure::Said) }
        }
    }
}

/// What is in a file; `-` is stdin.
pub(super) fn read_text(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("could not read stdin")
    } else {
        std::fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))
    }
}

fn read(file: &Path) -> anyhow::Result<Policy> {
    let text = read_text(file)?;
    let policy: Policy =
        serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
    let problems = policy.problems();
    anyhow::ensure!(problems.is_empty(), "{}: {}", file.display(), problems.join("; "));
    Ok(policy)
}
