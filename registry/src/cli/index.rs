//! `roadstead index`: begins a cluster of index nodes, shows it, and changes who belongs to it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;

use super::admin::{Admin, find};
use super::{ConfigArgs, Failure};
use crate::config::Config;
use crate::index::answer::{ACCEPT_TIME, CHANGE, FORM, JOIN, RAISE, SNAPSHOT, TRANSFER};
use crate::index::peers::wire::{Change, Form, Join, Joined, Member, NodeStatus};

/// How long a learner may take to catch up before we stop waiting for it.
const CATCHING_UP: Duration = Duration::from_mins(30);
const LOOK: Duration = Duration::from_millis(200);
/// Entries that a learner may be behind and still be called caught up.
const NEAR: u64 = 100;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Begin a cluster with the nodes of cluster.index, once. Said again with the same nodes it changes nothing.
    Init {
        /// The id of the cluster; without it a new one is made.
        #[arg(long)]
        cluster: Option<String>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show every node.
    Status {
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Take an empty node in as a learner, and wait until it has caught up.
    Add {
        /// Its address, as its peers dial it.
        node: String,
        /// Then make it a voter in the place of this member, whose volume is gone.
        #[arg(long, value_name = "MEMBER")]
        replace: Option<String>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Make a learner that has caught up a voter.
    Promote {
        /// Its id, address or host.
        member: String,
        /// The voter whose place it takes.
        #[arg(long, value_name = "MEMBER")]
        replace: Option<String>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Remove a member for ever: its id is never accepted again.
    Remove {
        /// Its id, address or host.
        member: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Let another voter lead.
    Transfer {
        /// Its id, address or host; without it the one that has most of the log.
        member: Option<String>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Take a snapshot on every node, so that its log can be cut.
    Snapshot {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Put a feature level in force, which every member must know. There is no way back to a version that does not.
    Raise {
        /// The level; without it the highest that every member knows.
        #[arg(long)]
        level: Option<u32>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Take the clock of the leader's machine as it is, although most members' clocks do not agree with it.
    AcceptTime {
        #[command(flatten)]
        config: ConfigArgs,
    },
}

pub(super) fn run(verb: Verb) -> Result<(), Failure> {
    let (Verb::Init { config, .. }
    | Verb::Status { config, .. }
    | Verb::Add { config, .. }
    | Verb::Promote { config, .. }
    | Verb::Remove { config, .. }
    | Verb::Transfer { config, .. }
    | Verb::Snapshot { config }
    | Verb::Raise { config, .. }
    | Verb::AcceptTime { config }) = &verb;
    let config = config.clone().load()?;
    let runtime = tokio::runtime::Runtime::new().context("could not start the runtime").map_err(Failure::Run)?;
    runtime.block_on(answer(verb, config)).map_err(Failure::Run)
}

async fn answer(verb: Verb, config: Config) -> anyhow::Result<()> {
    let admin = Admin::new(&config).await?;
    match verb {
        Verb::Init { cluster, .. } => init(&admin, cluster).await,
        Verb::Status { json, .. } => status(&admin, json).await,
        Verb::Add { node, replace, .. } => add(&admin, &node, replace).await,
        Verb::Promote { member, replace, .. } => {
            let members = admin.members().await?;
            let id = find(&members, &member, |member| !member.voter).or_else(|_| find(&members, &member, |_| true))?.id;
            promote(&admin, &members, id, replace).await
        }
        Verb::Remove { member, .. } => {
            let members = admin.members().await?;
            let member = find(&members, &member, |_| true)?;
            admin.ask_leader::<_, ()>(CHANGE, &Change::Remove { id: member.id }).await?;
            println!("removed {} (node {}); its volume must not be used again", member.name, member.id);
            Ok(())
        }
        Verb::Transfer { member, .. } => {
            let members = admin.members().await?;
            let to = member.map(|member| find(&members, &member, |_| true).map(|member| member.id)).transpose()?;
            let leader: Option<u64> = admin.ask_leader(TRANSFER, &to).await?;
            match leader {
                Some(id) => println!("{} leads", name_of(&members, id)),
                None => println!("there is no other voter"),
            }
            Ok(())
        }
        Verb::Snapshot { .. } => {
            for name in &admin.names {
                admin.ask::<_, ()>(name, SNAPSHOT, &()).await?;
                println!("{name} takes a snapshot");
            }
            Ok(())
        }
        Verb::Raise { level, .. } => {
            let level: u32 = admin.ask_leader(RAISE, &level).await?;
            println!("feature level {level} is in force");
            Ok(())
        }
        Verb::AcceptTime { .. } => {
            let time: u64 = admin.ask_leader(ACCEPT_TIME, &()).await?;
            println!("the time of the index is {time} ms since 1970");
            Ok(())
        }
    }
}

async fn init(admin: &Admin, cluster: Option<String>) -> anyhow::Result<()> {
    let statuses = admin.statuses().await;
    let mut known = Vec::new();
    for (name, status) in &statuses {
        match status {
            Ok(status) => known.extend(status.cluster.clone()),
            Err(error) => bail!("{name} does not answer, and every node must: {error}"),
        }
    }
    known.sort();
    known.dedup();
    let cluster = match (cluster, known.as_slice()) {
        (Some(cluster), [known]) if cluster != *known => bail!("these nodes belong to cluster {known} already"),
        (Some(cluster), _) => cluster,
        (None, []) => ulid::Ulid::new().to_string().to_lowercase(),
        (None, [known]) => known.clone(),
        (None, several) => bail!("these nodes belong to several clusters: {}", several.join(", ")),
    };
    let mut members = Vec::new();
    for name in &admin.names {
        let joined: Joined = admin
            .ask(name, JOIN, &Join { cluster: cluster.clone() })
            .await
            .with_context(|| format!("{name} did not join"))?;
        members.push((joined.id, joined.name));
    }
    let form = Form { cluster: cluster.clone(), members };
    let first = admin.names.first().context("cluster.index names no node")?;
    admin.ask::<_, ()>(first, FORM, &form).await.context("the cluster did not begin")?;
    println!("cluster {cluster} of {} index nodes has begun", form.members.len());
    Ok(())
}

async fn add(admin: &Admin, node: &str, replace: Option<String>) -> anyhow::Result<()> {
    let leader = admin.leader_status().await?;
    let cluster = leader.cluster.context("the leader belongs to no cluster")?;
    let joined: Joined =
        admin.ask(node, JOIN, &Join { cluster }).await.with_context(|| format!("{node} did not join"))?;
    let change = Change::Add { id: joined.id, name: joined.name.clone() };
    admin.ask_leader::<_, ()>(CHANGE, &change).await?;
    println!("{} is a learner (node {})", joined.name, joined.id);
    let began = Instant::now();
    loop {
        let leader = admin.leader_status().await?;
        let has = leader.matched.iter().find(|(id, _)| *id == joined.id).map_or(0, |(_, index)| *index);
        if has + NEAR >= leader.end {
            println!("it has caught up: at {has}, the leader at {}", leader.end);
            if replace.is_none() {
                return Ok(());
            }
            return promote(admin, &leader.members, joined.id, replace).await;
        }
        if began.elapsed() > CATCHING_UP {
            bail!("it has {has} of {} entries after {} minutes", leader.end, CATCHING_UP.as_secs() / 60);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn promote(admin: &Admin, members: &[Member], id: u64, replace: Option<String>) -> anyhow::Result<()> {
    let old = replace.map(|text| find(members, &text, |member| member.id != id).map(|member| member.id)).transpose()?;
    admin.ask_leader::<_, ()>(CHANGE, &Change::Promote { id, replace: old }).await?;
    match old {
        Some(old) => println!("{} is a voter (node {id}), in the place of node {old}", name_of(members, id)),
        None => println!("{} is a voter (node {id})", name_of(members, id)),
    }
    Ok(())
}

fn name_of(members: &[Member], id: u64) -> String {
    members.iter().find(|member| member.id == id).map_or_else(|| format!("node {id}"), |member| member.name.clone())
}

async fn status(admin: &Admin, as_json: bool) -> anyhow::Result<()> {
    let statuses = admin.statuses().await;
    let answers: Vec<&NodeStatus> = statuses.iter().filter_map(|(_, status)| status.as_ref().ok()).collect();
    let leader = answers.iter().filter(|s| s.leader == Some(s.id)).max_by_key(|s| s.term).copied();
    // The leader knows who belongs to the cluster; without one, whoever has seen most.
    let best = leader.or_else(|| answers.iter().max_by_key(|status| status.applied).copied());
    let members = best.map(|status| status.members.clone()).unwrap_or_default();
    let row = |member: &Member| {
        let status = answers.iter().find(|status| status.id == member.id);
        let matched = leader.and_then(|leader| leader.matched.iter().find(|(id, _)| *id == member.id));
        json!({
            "id": member.id,
            "name": member.name,
            "role": if member.voter { "voter" } else { "learner" },
            "leads": leader.is_some_and(|leader| leader.id == member.id),
            "answers": status.is_some(),
            "applied": status.map(|status| status.applied),
            "end": status.map(|status| status.end),
            "matched": matched.map(|(_, index)| index),
            "level": status.map(|status| status.level),
            "version": status.map(|status| status.version.clone()),
            "sum": status.and_then(|status| status.sums.last()),
            "has_space": status.map(|status| status.has_space),
            "time_paused": status.map(|status| status.time_paused),
        })
    };
    let mut rows: Vec<_> = members.iter().map(row).collect();
    for (name, status) in &statuses {
        if let Ok(status) = status
            && members.iter().all(|member| member.id != status.id)
        {
            let role = if status.cluster.is_none() { "empty" } else { "no member" };
            rows.push(json!({ "id": status.id, "name": name, "role": role, "leads": false, "answers": true,
                "applied": status.applied, "end": status.end, "level": status.level, "version": status.version }));
        }
    }
    let silent: Vec<_> = statuses
        .iter()
        .filter_map(|(name, status)| Some(json!({ "name": name, "reason": status.as_ref().err()? })))
        .collect();
    if as_json {
        let all = json!({
            "cluster": best.and_then(|status| status.cluster.clone()),
            "leader": leader.map(|leader| leader.id),
            "term": best.map(|status| status.term),
            "level": best.map(|status| status.level_in_force),
            "members": rows,
            "silent": silent,
        });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    println!(
        "cluster {}, term {}, level {}",
        best.and_then(|status| status.cluster.clone()).unwrap_or_else(|| "-".into()),
        best.map_or(0, |status| status.term),
        best.map_or(0, |status| status.level_in_force)
    );
    println!(
        "{:<28} {:>15} {:<9} {:<6} {:>10} {:>10} {:>5}  VERSION",
        "NAME", "ID", "ROLE", "LEADS", "APPLIED", "END", "LEVEL"
    );
    for row in &rows {
        let text = |key: &str| match &row[key] {
            serde_json::Value::Null => "-".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let leads = if row["leads"] == true { "yes" } else { "" };
        println!(
            "{:<28} {:>15} {:<9} {:<6} {:>10} {:>10} {:>5}  {}",
            text("name"),
            text("id"),
            text("role"),
            leads,
            text("applied"),
            text("end"),
            text("level"),
            text("version")
        );
    }
    for silent in &silent {
        println!(
            "{} does not answer: {}",
            silent["name"].as_str().unwrap_or("?"),
            silent["reason"].as_str().unwrap_or("?")
        );
    }
    leader.map(drop).context("there is no leader")
}
