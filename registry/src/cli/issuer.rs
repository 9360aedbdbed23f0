//! `roadstead issuer`: whose tokens are believed, besides the registry's own.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use serde_json::Value;

use super::Failure;
use super::api::{ApiArgs, part, print_json};
use super::policy::read_text;
use crate::api::body::NamedIssuer;
use crate::auth::issuer::Issuer;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List all issuers.
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Show an issuer, in the form that `apply` reads.
    Show {
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Believe the tokens of an issuer, as a file says.
    Apply {
        /// What it is called in policies: lowercase letters.
        name: String,
        /// YAML or JSON; `-` for stdin.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Its keys (a JSON Web Key Set), when they cannot be fetched from it.
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
        /// Authorities to trust on the way to it (PEM).
        #[arg(long = "issuer-ca", value_name = "FILE")]
        issuer_ca: Option<PathBuf>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Believe an issuer no more: whoever came with its tokens must log in again.
    Delete {
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(super) fn run(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::List { api } => api.run(|way| async move {
            let answer: Value = way.get("issuers").await?;
            if api.json {
                return print_json(&answer["issuers"]);
            }
            for NamedIssuer { name, issuer } in serde_json::from_value::<Vec<_>>(answer["issuers"].clone())? {
                println!("{name:<16} {:>3} rules  {}  {}", issuer.rules.len(), issuer.issuer, issuer.description);
            }
            Ok(())
        }),
        Verb::Show { name, api } => api.run(|way| async move {
            let found: NamedIssuer = way.get(&format!("issuers/{}", part(&name))).await?;
            if api.json {
                return print_json(&found);
            }
            print!("{}", serde_saphyr::to_string(&found.issuer)?);
            Ok(())
        }),
        Verb::Apply { name, file, keys, issuer_ca, api } => {
            let issuer = read(&file, keys.as_deref(), issuer_ca.as_deref()).map_err(Failure::Run)?;
            api.run(|way| async move {
                way.send("PUT", &format!("issuers/{}", part(&name)), &issuer).await?;
                println!("issuer {name}: tokens of {} are believed by {} rules", issuer.issuer, issuer.rules.len());
                Ok(())
            })
        }
        Verb::Delete { name, api } => {
            api.run(|way| async move { way.delete(&format!("issuers/{}", part(&name))).await })
        }
    }
}

fn read(file: &Path, keys: Option<&Path>, ca: Option<&Path>) -> anyhow::Result<Issuer> {
    let text = read_text(file)?;
    let mut issuer: Issuer =
        serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
    let beside = |path: Option<&Path>| {
        path.map(|path| std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display())))
            .transpose()
    };
    issuer.keys = beside(keys)?.or(issuer.keys);
    issuer.ca = beside(ca)?.or(issuer.ca);
    let problems = issuer.problems();
    anyhow::ensure!(problems.is_empty(), "{}: {}", file.display(), problems.join("; "));
    Ok(issuer)
}
