//! `roadstead restore`: makes the index again from what was archived, into the data directory of this configuration.

use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;

use super::{ConfigArgs, Failure, backup, directory};
use crate::config::{Config, Role};
use crate::index::archive::restore::{Restore, Restored, Wanted};
use crate::index::metrics::IndexMetrics;
use crate::index::raft::restore::{is_whole, occupied};
use crate::telemetry;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Restore this backup.
    #[arg(long, value_name = "NAME", conflicts_with = "position")]
    backup: Option<String>,
    /// Restore the index as it stood at this position of the log; without it, the newest that is archived.
    #[arg(long)]
    position: Option<u64>,
    /// The cluster that is restored; without it, the one that owns the store.
    #[arg(long, value_name = "ID")]
    from_cluster: Option<String>,
    /// The epoch that is restored, when the cluster was restored before; without it, the one that owns the store.
    #[arg(long, value_name = "EPOCH")]
    from_epoch: Option<u64>,
    /// The old cluster is gone for good: the store belongs to the restored one, which also deletes what the old one wrote.
    #[arg(long)]
    take_over: bool,
    /// Do nothing if there is an index already: for a program that says the same again at each start.
    #[arg(long, conflicts_with = "force")]
    if_empty: bool,
    /// Do nothing unless cluster.name is this: for a program that all nodes of a cluster start with the same words.
    #[arg(long, value_name = "HOST:PORT")]
    only_as: Option<String>,
    /// Set an index aside that is in the data directory.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = arguments.config.clone().load()?;
    telemetry::start(&config.log).map_err(Failure::Run)?;
    let runtime = tokio::runtime::Runtime::new().context("could not start the runtime").map_err(Failure::Run)?;
    runtime.block_on(restore(arguments, config)).map_err(Failure::Run)
}

async fn restore(arguments: Arguments, config: Config) -> anyhow::Result<()> {
    if config.server.role == Role::Registry {
        bail!("a process of role registry has no index: restore where an index node will run");
    }
    if let Some(only) = &arguments.only_as
        && config.cluster.name.as_ref() != Some(only)
    {
        println!("nothing is restored here: {only} restores");
        return Ok(());
    }
    let began = std::time::Instant::now();
    let _claim = directory::claim(&config.server.data)?;
    let directory = config.server.data.join("index");
    if arguments.if_empty
        && is_whole(&directory).with_context(|| format!("could not look into {}", directory.display()))?
    {
        println!("nothing is restored: there is an index already");
        return Ok(());
    }
    // Asked before anything is set aside: a store that does not answer leaves the old index in its place.
    let (store, cluster) = backup::open(&config, arguments.from_cluster, "--from-cluster").await?;
    if arguments.force {
        set_aside(&directory)?;
    }
    let metrics = IndexMetrics::register(&prometheus::Registry::new()).context("could not set up metrics")?;
    let wanted = match (arguments.backup, arguments.position) {
        (Some(name), _) => Wanted::Backup(name),
        (None, Some(position)) => Wanted::Position(position),
        (None, None) => Wanted::Newest,
    };
    let member = match config.server.role {
        Role::Index => config.cluster.name.clone().context("cluster.name is not set")?,
        Role::All | Role::Registry => "self".to_owned(),
    };
    let restore = Restore {
        store,
        directory,
        wanted,
        cluster: Some(cluster),
        epoch: arguments.from_epoch,
        take_over: arguments.take_over,
        member,
        metrics,
    };
    let restored = restore.run().await.context("nothing was restored")?;
    tell(&restored, arguments.take_over, began.elapsed().as_secs_f64());
    if let Some(position) = arguments.position {
        println!(
            "images that were deleted behind position {position} are listed again, and may lack blobs that were deleted from the store since"
        );
    }
    Ok(())
}

fn tell(restored: &Restored, take_over: bool, seconds: f64) {
    let Restored { cluster, epoch, from_epoch, snapshot, position, entries, bytes, .. } = restored;
    println!(
        "restored cluster {cluster}, epoch {from_epoch}, at position {position}: a snapshot at {snapshot} and {entries} entries, {bytes} bytes, in {seconds:.1} s"
    );
    if take_over {
        println!("it is epoch {epoch} now, and the store is its own");
    } else {
        println!(
            "it is epoch {epoch} now, a copy beside the original: it deletes nothing that the original wrote. If the original is gone for good, restore with --take-over"
        );
    }
    println!("start it with `roadstead serve`; add other index nodes with `roadstead index add`");
}

/// Moves an index out of the way, into a directory beside it.
fn set_aside(directory: &Path) -> anyhow::Result<()> {
    let there = occupied(directory).with_context(|| format!("could not look into {}", directory.display()))?;
    if there.is_empty() {
        return Ok(());
    }
    let aside = directory.with_file_name(format!("index-before-{}", ulid::Ulid::new().to_string().to_lowercase()));
    std::fs::create_dir(&aside).with_context(|| format!("could not make {}", aside.display()))?;
    for path in there {
        let name = path.file_name().context("a file without a name")?;
        std::fs::rename(&path, aside.join(name)).with_context(|| format!("could not move {}", path.display()))?;
    }
    println!("the index that was there is in {} now: remove it when you no longer need it", aside.display());
    Ok(())
}
