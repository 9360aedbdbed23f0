//! `roadstead quota`: how much repositories may hold together.

use clap::Subcommand;
use serde_json::Value;

use super::Failure;
use super::api::{ApiArgs, part, print_json};
use super::terminal::say;
use crate::api::body::{NamedQuota, QuotaBody};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a quota, or change it. What is there already is counted by and by.
    Set {
        name: String,
        /// The repositories that share it: names, `*` for any one part, and at the end `**` for everything below. Each way to
        /// fill in the `*` has the whole quota for itself.
        repositories: String,
        /// Bytes of blobs and manifests, each distinct digest once: 500MB, 10GiB.
        #[arg(long, value_name = "SIZE", value_parser = size)]
        bytes: Option<u64>,
        #[arg(long, value_name = "NUMBER")]
        tags: Option<u64>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// List all quotas, with what their shares hold.
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Delete a quota.
    Delete {
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(super) fn run(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Set { name, repositories, bytes, tags, api } => api.run(|way| async move {
            let body = QuotaBody { repositories, bytes, tags };
            let answer = way.send("PUT", &format!("quotas/{}", part(&name)), &body).await?;
            if api.json { print_json(&answer) } else { print(&serde_json::from_value(answer)?) }
        }),
        Verb::List { api } => api.run(|way| async move {
            let answer: Value = way.get("quotas").await?;
            if api.json {
                return print_json(&answer["quotas"]);
            }
            serde_json::from_value::<Vec<NamedQuota>>(answer["quotas"].clone())?.iter().try_for_each(print)
        }),
        Verb::Delete { name, api } => {
            api.run(|way| async move { way.delete(&format!("quotas/{}", part(&name))).await })
        }
    }
}

#[allow(clippy::unnecessary_wraps)] // the form of everything that prints an answer
fn print(quota: &NamedQuota) -> anyhow::Result<()> {
    let limit = |limit: Option<u64>| limit.map_or("any number of".to_owned(), |limit| limit.to_string());
    let counting = if quota.counted { "" } else { ", still counting" };
    let (bytes, tags) = (limit(quota.bytes), limit(quota.tags));
    say(&format!("{}  {}: {bytes} bytes, {tags} tags{counting}", quota.name, quota.repositories));
    for share in &quota.shares {
        say(&format!("  {:<32} {:>16} bytes {:>8} tags", share.share, share.bytes, share.tags));
    }
    Ok(())
}

/// Reads a size: a number of bytes, or with a unit of 1000 or 1024.
fn size(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        "Ti" | "TiB" => 1 << 40,
        _ => return Err(format!("{text:?} is no size: write it as 500MB or 10GiB")),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no size: write it as 500MB or 10GiB"))?;
    number.checked_mul(factor).ok_or_else(|| format!("{text:?} is more than can be counted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit_or_is_bytes() {
        for (text, bytes) in [
            ("0", 0),
            ("12", 12),
            ("5kB", 5000),
            ("2MB", 2_000_000),
            ("10GiB", 10 << 30),
            ("1Ti", 1 << 40),
            ("3 MiB", 3 << 20),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "1.5GB", "-1", "5 apples", "99999999999TB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
