//! `roadstead audit`: who changed what, or was refused it.

use clap::Args;
use serde_json::Value;

use super::Failure;
use super::api::{ApiArgs, part};
use crate::api::body::AuditRecord;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only of this repository.
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// Only by this subject: `user:NAME`, `robot:NAME`, or `machine`.
    #[arg(long, value_name = "SUBJECT")]
    who: Option<String>,
    /// Only records behind this position of the log.
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: u64,
    #[command(flatten)]
    api: ApiArgs,
}

/// Prints the records, the oldest first; with `--json` one JSON object a line.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { repository, who, after, api } = arguments;
    api.run(|way| async move {
        let mut after = Some(after);
        while let Some(from) = after {
            let mut path = format!("audit?after={from}");
            for (key, value) in [("repository", &repository), ("who", &who)] {
                if let Some(value) = value {
                    path = format!("{path}&{key}={}", part(value));
                }
            }
            let answer: Value = way.get(&path).await?;
            for record in serde_json::from_value::<Vec<AuditRecord>>(answer["records"].clone())? {
                if api.json { println!("{}", serde_json::to_string(&record)?) } else { print(&record) }
            }
            after = answer["next"].as_u64();
        }
        Ok(())
    })
}

fn print(record: &AuditRecord) {
    let mut what = record.repository.clone().unwrap_or_default();
    for tag in &record.tags {
        what = format!("{what}:{tag}");
    }
    if let Some(digest) = &record.digest {
        what = format!("{what}@{digest}");
    }
    what.push_str(record.subject.as_deref().unwrap_or_default());
    let who = record.who.as_deref().unwrap_or("anonymous");
    let from = record.from.as_deref().unwrap_or("-");
    let allowed = if record.allowed { "" } else { "REFUSED " };
    println!("{} {who} {from} {allowed}{} {what}", record.time, record.action);
}
