//! `roadstead backup`: makes, lists, checks and deletes backups. Making and deleting is asked of the process that leads;
//! listing and checking read the store, so that they work when nothing else does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;

use super::admin::Admin;
use super::{ConfigArgs, Failure};
use crate::blobs::measured::StoreMetrics;
use crate::blobs::{self, Store};
use crate::config::{Config, StorageKind};
use crate::index::archive::calls::{BackupNow, DELETE, LIST, NOW, WRITING};
use crate::index::archive::restore::{FoundBackup, backups};
use crate::index::archive::verify::{self, Report};
use crate::index::archive::{names, stream};
use crate::index::query::PinnedBackup;
use crate::reclaim::owner;

/// How often we look whether a backup is complete.
const LOOK: Duration = Duration::from_millis(200);
/// How long a backup may be neither written nor complete.
const GIVE_UP: Duration = Duration::from_secs(15);
/// How long the running process may keep us from listing what is in the store.
const PINS: Duration = Duration::from_secs(3);

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a backup of everything that is acknowledged now, and wait until it is whole.
    Now {
        /// Its name; without it, day and second.
        #[arg(long)]
        name: Option<String>,
        /// Delete it by itself after this time, such as 30m, 12h or 7d; without it, it stays until it is deleted.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        keep: Option<Duration>,
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// List the backups in the store.
    List {
        /// Of this cluster; without it, of the one that owns the store.
        #[arg(long, value_name = "ID")]
        cluster: Option<String>,
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Read a backup, or the archive and all backups, and check every byte.
    Verify {
        /// The backup; without it everything.
        name: Option<String>,
        /// Look for every object that the backups refer to as well.
        #[arg(long)]
        objects: bool,
        /// Of this cluster; without it, of the one that owns the store.
        #[arg(long, value_name = "ID")]
        cluster: Option<String>,
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Delete a backup. What only it referred to is reclaimed from then on.
    Delete {
        name: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

pub(super) fn run(verb: Verb) -> Result<(), Failure> {
    let (Verb::Now { config, .. }
    | Verb::List { config, .. }
    | Verb::Verify { config, .. }
    | Verb::Delete { config, .. }) = &verb;
    let config = config.clone().load()?;
    let runtime = tokio::runtime::Runtime::new().context("could not start the runtime").map_err(Failure::Run)?;
    runtime.block_on(answer(verb, config)).map_err(Failure::Run)
}

async fn answer(verb: Verb, config: Config) -> anyhow::Result<()> {
    match verb {
        Verb::Now { name, keep, json, .. } => now(&config, name, keep, json).await,
        Verb::List { cluster, json, .. } => list(&config, cluster, json).await,
        Verb::Verify { name, objects, cluster, json, .. } => verify(&config, name, objects, cluster, json).await,
        Verb::Delete { name, .. } => {
            Admin::new(&config).await?.ask_leader::<_, ()>(DELETE, &name).await?;
            println!("deleted {name}");
            Ok(())
        }
    }
}

async fn now(config: &Config, name: Option<String>, keep: Option<Duration>, as_json: bool) -> anyhow::Result<()> {
    let admin = Admin::new(config).await?;
    let keep = keep.map(|keep| u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
    let name: String = admin.ask_leader(NOW, &BackupNow { name, keep }).await?;
    let mut written = Instant::now();
    loop {
        let pins: Vec<PinnedBackup> = admin.ask_leader(LIST, &()).await?;
        let Some(pin) = pins.into_iter().find(|pin| pin.name == name) else {
            bail!("the backup {name} was not made: the log of the process that leads says why");
        };
        if let Some(snapshot) = pin.snapshot {
            if as_json {
                println!("{}", json!({ "name": name, "position": snapshot.position, "bytes": snapshot.length }));
            } else {
                println!("made {name}: position {}, {} bytes", snapshot.position, snapshot.length);
            }
            return Ok(());
        }
        // A process that no longer leads may still come to its end with it.
        if admin.ask_leader::<_, Vec<String>>(WRITING, &()).await?.contains(&name) {
            written = Instant::now();
        } else if written.elapsed() > GIVE_UP {
            bail!(
                "whoever leads does not write the backup {name}: the process that did ended, or another leads. If it still comes to its \
                 end, `roadstead backup list` shows it as kept; otherwise say `roadstead backup delete {name}`, and make it again"
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The store, and the cluster whose backups are meant.
pub(super) async fn open(
    config: &Config,
    cluster: Option<String>,
    option: &str,
) -> anyhow::Result<(Arc<dyn Store>, String)> {
    let storage = &config.storage;
    if !config.cluster.index.is_empty() && storage.kind == StorageKind::Directory && storage.directory.is_none() {
        bail!(
            "this configuration names index nodes and no store: what is archived is read from the store itself, so give it the \
             [storage] of the cluster, too"
        );
    }
    let metrics = StoreMetrics::register(&prometheus::Registry::new()).context("could not set up metrics")?;
    let store = blobs::open::open(config, metrics).await.context("could not open the store")?;
    if let Some(cluster) = cluster {
        return Ok((store, cluster));
    }
    let Some(owner) = owner::read(store.as_ref()).await? else {
        let place = match storage.kind {
            StorageKind::S3 => format!("the bucket {}", storage.s3.bucket),
            StorageKind::Directory => config.store_directory().display().to_string(),
        };
        bail!("the store {place} does not say whose it is: is it the right one? If so, name the cluster with {option}");
    };
    Ok((store, owner.cluster))
}

async fn found(store: &dyn Store, cluster: &str) -> anyhow::Result<Vec<FoundBackup>> {
    Ok(backups(&stream::list(store, &names::cluster_prefix(cluster)).await?, cluster))
}

async fn list(config: &Config, cluster: Option<String>, as_json: bool) -> anyhow::Result<()> {
    let (store, cluster) = open(config, cluster, "--cluster").await?;
    let found = found(store.as_ref(), &cluster).await?;
    // Until when they are kept is known to the index alone, which need not run.
    let pins = tokio::time::timeout(PINS, async {
        Admin::new(config).await?.ask_leader::<_, Vec<PinnedBackup>>(LIST, &()).await
    });
    let pins = pins.await.ok().and_then(Result::ok);
    // A pin without a snapshot is completed soon, or deleted: only then is it a backup.
    let fits = |pin: &&PinnedBackup, backup: &FoundBackup| {
        pin.name == backup.name && pin.epoch == backup.epoch && pin.snapshot.is_some()
    };
    let until = |backup: &FoundBackup| {
        let pin = pins.as_ref()?.iter().find(|pin| fits(pin, backup))?;
        Some(pin.keep_until.map(|time| time.0))
    };
    if as_json {
        let rows: Vec<_> = found
            .iter()
            .map(|backup| {
                let snapshot = &backup.snapshot;
                json!({ "name": backup.name, "epoch": backup.epoch, "position": snapshot.name.position,
                    "time": snapshot.time(), "bytes": snapshot.length, "pinned": pins.as_ref().map(|_| until(backup).is_some()),
                    "keep_until": until(backup).flatten() })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    println!("{:<32} {:>5} {:>10} {:>20} {:>12}  KEPT", "NAME", "EPOCH", "POSITION", "TIME (UTC)", "BYTES");
    for backup in &found {
        let snapshot = &backup.snapshot;
        let kept = match (&pins, until(backup)) {
            (None, _) => "?".to_owned(),
            (Some(_), None) => "not pinned".to_owned(),
            (Some(_), Some(None)) => "until deleted".to_owned(),
            (Some(_), Some(Some(time))) => format!("until {}", time_of(time)),
        };
        let (name, epoch, position) = (&backup.name, backup.epoch, snapshot.name.position);
        println!(
            "{name:<32} {epoch:>5} {position:>10} {:>20} {:>12}  {kept}",
            time_of(snapshot.time()),
            snapshot.length
        );
    }
    Ok(())
}

/// A time in milliseconds, for people.
fn time_of(milliseconds: u64) -> String {
    let day = blobs::key::day(crate::index::command::Time(milliseconds));
    let seconds = milliseconds / 1000 % 86_400;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{:04}-{:02}-{:02} {hours:02}:{minutes:02}:{seconds:02}", day / 10_000, day / 100 % 100, day % 100)
}

async fn verify(
    config: &Config,
    name: Option<String>,
    objects: bool,
    cluster: Option<String>,
    as_json: bool,
) -> anyhow::Result<()> {
    let (store, cluster) = open(config, cluster, "--cluster").await?;
    let mut found = found(store.as_ref(), &cluster).await?;
    let mut reports: BTreeMap<String, Report> = BTreeMap::new();
    if let Some(name) = &name {
        found.retain(|backup| backup.name == *name);
        if found.is_empty() {
            bail!("there is no backup {name}; `roadstead backup list` shows what there is");
        }
    } else if let Some(owner) = owner::read(store.as_ref()).await?.filter(|owner| owner.cluster == cluster) {
        let keys = stream::list(store.as_ref(), &names::snapshots_prefix(&cluster, owner.epoch)).await?;
        if !keys.is_empty() {
            let report = verify::archive(&store, &cluster, owner.epoch).await?;
            reports.insert(format!("archive of epoch {}", owner.epoch), report);
        }
    }
    for backup in &found {
        let report = verify::backup(&store, &cluster, backup, objects).await?;
        reports.insert(format!("backup {}", backup.name), report);
    }
    if as_json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    } else {
        for (what, report) in &reports {
            let looked = report.objects.map(|count| format!(", {count} objects looked for")).unwrap_or_default();
            println!(
                "{what}: position {}, {} snapshots, {} segments with {} entries, {} bytes read{looked}: {}",
                report.position,
                report.snapshots,
                report.segments,
                report.entries,
                report.bytes,
                if report.problems.is_empty() { "whole" } else { "DAMAGED" }
            );
            for problem in &report.problems {
                println!("  {problem}");
            }
        }
    }
    let damaged = reports.values().filter(|report| !report.problems.is_empty()).count();
    if reports.is_empty() {
        bail!("there is nothing to check: neither an archive nor a backup of cluster {cluster}");
    }
    anyhow::ensure!(damaged == 0, "{damaged} of {} are damaged", reports.len());
    Ok(())
}

/// Reads 90s, 30m, 12h or 7d.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write it as 90s, 30m, 12h or 7d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7d"), Ok(Duration::from_hours(168)));
        for wrong in ["", "7", "d", "-1d", "0h", "1w", "99999999999999999999d", "7ä"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_shown_in_utc() {
        assert_eq!(time_of(1_709_251_199_000), "2024-02-29 23:59:59");
    }
}
