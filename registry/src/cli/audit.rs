//! `roadstead audit`: who changed what, or was refused it.

use clap::Args;
use serde_json::Value;

use super::Failure;
use super::api::{ApiArgs, part};
use super::terminal::{say, word};
use crate::api::body::AuditRecord;

/// Characters of what was changed, in a line.
const MOST_OF_DETAIL: usize = 300;

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
                if api.json { println!("{}", serde_json::to_string(&record)?) } else { say(&line(&record)) }
            }
            after = answer["next"].as_u64();
        }
        Ok(())
    })
}

/// A record as text; names are those that others chose.
fn line(record: &AuditRecord) -> String {
    let mut what = record.repository.clone().unwrap_or_default();
    for tag in &record.tags {
        what = format!("{what}:{tag}");
    }
    if let Some(digest) = &record.digest {
        what = format!("{what}@{digest}");
    }
    what.push_str(&record.subject.as_deref().map(word).unwrap_or_default());
    let who = record.who.as_deref().map_or_else(|| "anonymous".to_owned(), word);
    let from = record.from.as_deref().unwrap_or("-");
    let allowed = if record.allowed { "" } else { "REFUSED " };
    let detail = record.detail.as_deref().map(|detail| format!(" ({})", beginning(detail))).unwrap_or_default();
    format!("{} {who} {from} {allowed}{} {what}{detail}", record.time, record.action)
}

/// What has room in a line; `--json` has all of it.
fn beginning(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(MOST_OF_DETAIL) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_long_change_a_line_has_the_beginning() {
        assert_eq!(beginning("added bob"), "added bob");
        let (long, short) = ("ä".repeat(MOST_OF_DETAIL + 1), "ä".repeat(MOST_OF_DETAIL));
        assert_eq!(beginning(&short), short);
        assert_eq!(beginning(&long), format!("{short}…"));
    }

    #[test]
    fn a_name_with_spaces_does_not_look_like_other_columns() {
        let said = |who: &str, subject: &str| {
            let record = json!({
                "position": 1, "time": "2026-11-28T12:00:00Z", "who": who, "from": "192.0.2.7", "action": "put_policy",
                "subject": subject, "detail": "added bob", "allowed": false,
            });
            line(&serde_json::from_value(record).unwrap())
        };
        assert_eq!(
            said("user:bob", "team"),
            "2026-11-28T12:00:00Z user:bob 192.0.2.7 REFUSED put_policy team (added bob)"
        );
        assert_eq!(
            said("corp:eve 192.0.2.1 put_policy", "a b"),
            "2026-11-28T12:00:00Z \"corp:eve 192.0.2.1 put_policy\" 192.0.2.7 REFUSED put_policy \"a b\" (added bob)"
        );
    }
}
