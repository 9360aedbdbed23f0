//! `roadstead index`: begins a cluster of index nodes, shows it, and changes who belongs to it.

mod status;

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::{Value, json};

use super::admin::{Admin, find};
use super::{ConfigArgs, Failure};
use crate::config::Config;
use crate::index::answer::{ACCEPT_TIME, CHANGE, FORM, JOIN, RAISE, SNAPSHOT, TRANSFER};
use crate::index::peers::wire::{Change, Form, Join, Joined, Member};

/// How long a learner may take to catch up before we stop waiting for it.
const CATCHING_UP: Duration = Duration::from_mins(30);
/// How long the leader may take to reach a new node at all.
const REACHED: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(200);
/// Entries that a learner may be behind and still be called caught up.
const NEAR: u64 = 100;

#[derive(Debug, clap::Args)]
pub(super) struct IndexArgs {
    #[command(subcommand)]
    verb: Verb,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
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

/// What a verb says when it is done: for people, or for programs.
#[derive(Clone, Copy, Debug)]
struct Output {
    json: bool,
}

impl Output {
    /// What is under way is told to people alone.
    fn progress(self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }

    fn done(self, text: &str, value: &Value) {
        println!("{}", if self.json { value.to_string() } else { text.to_owned() });
    }
}

pub(super) fn run(IndexArgs { verb, json }: IndexArgs) -> Result<(), Failure> {
    let (Verb::Init { config, .. }
    | Verb::Status { config }
    | Verb::Add { config, .. }
    | Verb::Promote { config, .. }
    | Verb::Remove { config, .. }
    | Verb::Transfer { config, .. }
    | Verb::Snapshot { config }
    | Verb::Raise { config, .. }
    | Verb::AcceptTime { config }) = &verb;
    let config = config.clone().load()?;
    let runtime = tokio::runtime::Runtime::new().context("could not start the runtime").map_err(Failure::Run)?;
    runtime.block_on(answer(verb, config, Output { json })).map_err(Failure::Run)
}

async fn answer(verb: Verb, config: Config, output: Output) -> anyhow::Result<()> {
    let of_members = matches!(
        verb,
        Verb::Init { .. } | Verb::Add { .. } | Verb::Promote { .. } | Verb::Remove { .. } | Verb::Transfer { .. }
    );
    if of_members && config.cluster.index.is_empty() {
        bail!(
            "cluster.index names no index nodes, and a registry of one process has no members: name the nodes of a cluster"
        );
    }
    let admin = Admin::new(&config).await?;
    match verb {
        Verb::Init { cluster, .. } => init(&admin, cluster, output).await,
        Verb::Status { .. } => status::status(&admin, output.json).await,
        Verb::Add { node, replace, .. } => add(&admin, &node, replace, output).await,
        Verb::Promote { member, replace, .. } => {
            let members = admin.members().await?;
            let found =
                find(&members, &member, |member| !member.voter).or_else(|_| find(&members, &member, |_| true))?;
            if found.voter && replace.is_none() {
                let text = format!("{} is a voter already (node {})", found.name, found.id);
                output.done(&text, &json!({ "id": found.id, "name": found.name, "role": "voter" }));
                return Ok(());
            }
            promote(&admin, &members, found.id, replace, output).await
        }
        Verb::Remove { member, .. } => {
            let members = admin.members().await?;
            let member = find(&members, &member, |_| true)?;
            admin.ask_leader::<_, ()>(CHANGE, &Change::Remove { id: member.id }).await?;
            let text = format!("removed {} (node {}); its volume must not be used again", member.name, member.id);
            output.done(&text, &json!({ "removed": { "id": member.id, "name": member.name } }));
            Ok(())
        }
        Verb::Transfer { member, .. } => {
            let members = admin.members().await?;
            let to = member.map(|member| find(&members, &member, |_| true).map(|member| member.id)).transpose()?;
            let leader: Option<u64> = admin.ask_leader(TRANSFER, &to).await?;
            let name = leader.map(|id| name_of(&members, id));
            if let (Some(wanted), Some(leads)) = (to, &name)
                && leader != to
            {
                bail!("{} did not take the lead: {leads} leads", name_of(&members, wanted));
            }
            let text = name.as_ref().map_or("there is no other voter".to_owned(), |name| format!("{name} leads"));
            output.done(&text, &json!({ "leader": leader, "name": name }));
            Ok(())
        }
        Verb::Snapshot { .. } => {
            for name in &admin.names {
                admin.ask::<_, ()>(name, SNAPSHOT, &()).await?;
            }
            output
                .done(&format!("snapshots are taken by {}", admin.names.join(", ")), &json!({ "nodes": admin.names }));
            Ok(())
        }
        Verb::Raise { level, .. } => {
            let level: u32 = admin.ask_leader(RAISE, &level).await?;
            output.done(&format!("feature level {level} is in force"), &json!({ "level": level }));
            Ok(())
        }
        Verb::AcceptTime { .. } => {
            let time: u64 = admin.ask_leader(ACCEPT_TIME, &()).await?;
            output.done(&format!("the time of the index is {time} ms since 1970"), &json!({ "time": time }));
            Ok(())
        }
    }
}

async fn init(admin: &Admin, cluster: Option<String>, output: Output) -> anyhow::Result<()> {
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
    // An empty node is not let in by beginning again: with a majority of empty ones that would replace what the others have.
    if let Some(begun) = statuses.iter().filter_map(|(_, s)| s.as_ref().ok()).find(|status| !status.members.is_empty())
    {
        for (name, status) in &statuses {
            if let Ok(status) = status
                && begun.members.iter().all(|member| member.id != status.id)
            {
                bail!(
                    "cluster {cluster} has begun already, and {name} is no member of it, though its name may be: its volume is \
                     another one. `roadstead index add {name} --replace MEMBER` lets it take the place of a member; when most \
                     volumes are gone, restore"
                );
            }
        }
    }
    let mut members = Vec::new();
    for name in &admin.names {
        let joined: Joined = admin
            .ask(name, JOIN, &Join { cluster: cluster.clone(), epoch: None })
            .await
            .with_context(|| format!("{name} did not join"))?;
        members.push((joined.id, joined.name));
    }
    let form = Form { cluster: cluster.clone(), members };
    admin.ask_leader::<_, ()>(FORM, &form).await.context("the cluster did not begin")?;
    let text = format!("cluster {cluster} of {} index nodes has begun", form.members.len());
    let members: Vec<_> = form.members.iter().map(|(id, name)| json!({ "id": id, "name": name })).collect();
    output.done(&text, &json!({ "cluster": cluster, "members": members }));
    Ok(())
}

async fn add(admin: &Admin, node: &str, replace: Option<String>, output: Output) -> anyhow::Result<()> {
    let leader = admin.leader_status().await?;
    let join = Join { cluster: leader.cluster.context("the leader belongs to no cluster")?, epoch: leader.epoch };
    let joined: Joined = admin.ask(node, JOIN, &join).await.with_context(|| format!("{node} did not join"))?;
    let others = |member: &Member| member.id != joined.id;
    let voter = leader.members.iter().any(|member| member.id == joined.id && member.voter);
    let old = replace.as_ref().map(|text| find(&leader.members, text, others));
    if voter && old.as_ref().is_none_or(Result::is_err) {
        let text = format!("{} is a voter already (node {})", joined.name, joined.id);
        output.done(&text, &json!({ "id": joined.id, "name": joined.name, "role": "voter" }));
        return Ok(());
    }
    // Asked before anything changes.
    old.transpose()?;
    let change = Change::Add { id: joined.id, name: joined.name.clone() };
    admin.ask_leader::<_, ()>(CHANGE, &change).await?;
    output.progress(&format!("{} is a learner (node {})", joined.name, joined.id));
    let began = Instant::now();
    loop {
        let leader = admin.leader_status().await?;
        let has = leader.matched.iter().find(|(id, _)| *id == joined.id).map_or(0, |(_, index)| *index);
        if has == 0 && began.elapsed() > REACHED {
            bail!(
                "it is a learner, and the leader has not reached it in {} s: if DNS does not know {}, that name must be in \
                 cluster.addresses of every node. `roadstead index remove {}` takes it out again",
                REACHED.as_secs(),
                joined.name,
                joined.id
            );
        }
        if has > 0 && has + NEAR >= leader.end {
            let text = format!("it has caught up: at {has}, the leader at {}", leader.end);
            if replace.is_some() {
                output.progress(&text);
                return promote(admin, &leader.members, joined.id, replace, output).await;
            }
            output.done(&text, &json!({ "id": joined.id, "name": joined.name, "role": "learner" }));
            return Ok(());
        }
        if began.elapsed() > CATCHING_UP {
            bail!("it has {has} of {} entries after {} minutes", leader.end, CATCHING_UP.as_secs() / 60);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn promote(
    admin: &Admin,
    members: &[Member],
    id: u64,
    replace: Option<String>,
    output: Output,
) -> anyhow::Result<()> {
    let old = replace.map(|text| find(members, &text, |member| member.id != id).map(|member| member.id)).transpose()?;
    admin.ask_leader::<_, ()>(CHANGE, &Change::Promote { id, replace: old }).await?;
    let name = name_of(members, id);
    let place = old.map_or_else(String::new, |old| format!(", in the place of node {old}"));
    let text = format!("{name} is a voter (node {id}){place}");
    output.done(&text, &json!({ "id": id, "name": name, "role": "voter", "replaced": old }));
    Ok(())
}

fn name_of(members: &[Member], id: u64) -> String {
    members.iter().find(|member| member.id == id).map_or_else(|| format!("node {id}"), |member| member.name.clone())
}
