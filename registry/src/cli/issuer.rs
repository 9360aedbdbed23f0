//! `roadstead issuer`: whose tokens are believed, besides the registry's own.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use serde_json::Value;

use super::Failure;
use super::api::{ApiArgs, part, print_json};
use super::policy::read_text;
use super::terminal::{print_text, rules, say};
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
        /// Its keys (a JSON Web Key Set), when they cannot be fetched from it. Those that it had are dropped without this.
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
        /// Authorities to trust on the way to it (PEM). Those that it had are dropped without this.
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
                let number = issuer.rules.len();
                let (kind, address, description) = (rules(number), issuer.issuer, issuer.description);
                say(&format!("{name:<16} {number:>3} {kind:<5}  {address}  {description}"));
            }
            Ok(())
        }),
        Verb::Show { name, api } => api.run(|way| async move {
            let found: NamedIssuer = way.get(&format!("issuers/{}", part(&name))).await?;
            if api.json {
                return print_json(&found);
            }
            print_text(&serde_saphyr::to_string(&found.issuer)?);
            Ok(())
        }),
        Verb::Apply { name, file, keys, issuer_ca, api } => {
            let issuer = read(&file, keys.as_deref(), issuer_ca.as_deref()).map_err(Failure::Run)?;
            api.run(|way| async move {
                let path = format!("issuers/{}", part(&name));
                // There may be none yet; whatever else is wrong is told by what follows.
                let before = way.get::<NamedIssuer>(&path).await.ok();
                way.send("PUT", &path, &issuer).await?;
                for lost in before.iter().flat_map(|before| dropped(&before.issuer, &issuer)) {
                    eprintln!("roadstead: issuer {name} had {lost}");
                }
                let number = issuer.rules.len();
                say(&format!("issuer {name}: tokens of {} are believed by {number} {}", issuer.issuer, rules(number)));
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

/// What an issuer had and has no more: most likely its file was said again without what had come from beside it.
fn dropped(before: &Issuer, now: &Issuer) -> Vec<&'static str> {
    let mut lost = Vec::new();
    if before.keys.is_some() && now.keys.is_none() {
        lost.push("keys beside it, and is asked for them now: give them with --keys each time");
    }
    if before.ca.is_some() && now.ca.is_none() {
        lost.push("authorities to trust, and has none now: give them with --issuer-ca each time");
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_issuer_loses_by_being_said_again_is_told() {
        let of = |keys: Option<&str>, ca: Option<&str>| Issuer {
            keys: keys.map(str::to_owned),
            ca: ca.map(str::to_owned),
            ..Issuer::default()
        };
        let both = of(Some("{}"), Some("pem"));
        assert!(dropped(&both, &both).is_empty() && dropped(&of(None, None), &both).is_empty());
        assert_eq!(dropped(&both, &of(None, None)).len(), 2);
        assert!(dropped(&both, &of(Some("{}"), None))[0].contains("--issuer-ca"));
        assert!(dropped(&both, &of(None, Some("pem")))[0].contains("--keys"));
    }
}
