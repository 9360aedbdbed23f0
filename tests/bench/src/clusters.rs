//! P16: three nodes agree on writes, here and in etcd; then the one that leads is killed.
//!
//! Clients of ours speak to a registry process, which asks the leader: so a write here is a request over HTTP and one to the index.
//! Those of etcd are its own, and speak to its members.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;

use crate::cases::{self, Case, Needs, Plan, fill};
use crate::figure::{Against, Figures, Good, Measured, Target};
use crate::http::Target as Address;
use crate::load::{Until, run as clients};
use crate::peer::{Kind, Process, Programs, free_port};

const NODES: usize = 3;
const CLIENTS: usize = 32;
const REPOSITORY: &str = "bench/cluster";

pub const CASE: Case = Case {
    id: "P16",
    title: "Three nodes agree on writes",
    how: "one client, then 32, put new tags into a registry with three index nodes, and new keys of the same size into etcd with three members; \
          then the node that leads is killed while 32 write, and the gap is the longest time without a write that was acknowledged",
    needs: Needs::NONE,
    kinds: &[Kind::Roadstead, Kind::Etcd],
    figures: &["32 clients, writes/s", "32 clients, p99 ms", "one client, p50 µs", "gap after a kill, ms"],
    targets: &[
        Target { figure: "32 clients, writes/s", good: Good::More, against: Against::Etcd, ratio: 0.8 },
        Target { figure: "gap after a kill, ms", good: Good::Less, against: Against::Itself, ratio: 2000.0 },
    ],
    limit: None,
    work: crate::cases::Work::Clusters,
};

/// Both, in turns; each time new clusters, since the last thing that is done is to kill one of their nodes.
pub async fn compare(programs: &Programs, plan: &Plan, data: &Path) -> Result<Measured> {
    let mut measured = Measured { id: CASE.id.to_owned(), ..Measured::default() };
    let directory = tempfile::tempdir_in(data)?;
    for turn in 0..plan.runs {
        for kind in CASE.kinds {
            let below = directory.path().join(format!("{kind:?}-{turn}"));
            std::fs::create_dir(&below)?;
            let run = match (kind, &programs.etcd, &programs.local_cluster) {
                (Kind::Etcd, Some(etcd), _) => etcd_of(etcd, plan, &below).await,
                (Kind::Roadstead, _, Some(cluster)) => ours(programs, cluster, plan, &below).await,
                _ => continue,
            };
            match run {
                Ok(figures) => measured.runs.push((*kind, figures)),
                Err(error) => measured.missing.push((*kind, format!("{error:#}"))),
            }
        }
    }
    Ok(measured)
}

/// What clients of one cluster saw together.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Written {
    per_second: f64,
    p50_micros: f64,
    p99_micros: f64,
    gap_millis: f64,
}

fn figures(one: Written, many: Written, killed: Written) -> Figures {
    cases::figures([
        ("32 clients, writes/s", many.per_second),
        ("32 clients, p99 ms", many.p99_micros / 1e3),
        ("one client, p50 µs", one.p50_micros),
        ("gap after a kill, ms", killed.gap_millis),
    ])
}

/// When the leader is killed, counted from when clients begin.
fn half(plan: &Plan) -> Duration {
    plan.time / 2
}

/// How long clients write around that: a leader that is gone may be missed for a while.
fn around(plan: &Plan) -> Duration {
    plan.time + Duration::from_secs(5)
}

/// A cluster of ours, which ends with this.
struct Cluster<'a> {
    script: &'a Path,
    roadstead: PathBuf,
    directory: PathBuf,
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        let mut down = std::process::Command::new(self.script);
        let _ = down.args(["down", "--dir"]).arg(&self.directory).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

#[derive(Deserialize)]
struct Status {
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    name: String,
    leads: bool,
}

impl Cluster<'_> {
    async fn start(&self) -> Result<SocketAddr> {
        let mut up = Command::new(self.script);
        up.args(["up", "--nodes", &NODES.to_string(), "--registries", "1", "--dir"]).arg(&self.directory);
        up.args(["--set", "log.filter=error"]).env("BINARY", &self.roadstead).stdin(Stdio::null());
        // Its processes keep what it prints to.
        let said = self.directory.join("up.log");
        std::fs::create_dir_all(&self.directory)?;
        let file = std::fs::File::create(&said)?;
        let status = up.stdout(file.try_clone()?).stderr(file).status().await?;
        let text = std::fs::read_to_string(&said)?;
        ensure!(status.success(), "the cluster does not come up: {text}");
        let address = text.lines().last().and_then(|line| line.strip_prefix("http://")).context("no address")?;
        Ok(address.parse()?)
    }

    async fn leader(&self) -> Result<u32> {
        let mut ask = Command::new(&self.roadstead);
        ask.args(["index", "status", "--json", "--config"]).arg(self.directory.join("admin.toml"));
        let status: Status = serde_json::from_slice(&ask.output().await?.stdout)?;
        let leader = status.members.into_iter().find(|member| member.leads).context("nobody leads")?;
        let node = leader.name.split(':').next().unwrap_or_default().to_owned();
        Ok(std::fs::read_to_string(self.directory.join(format!("{node}.pid")))?.trim().parse()?)
    }
}

async fn ours(programs: &Programs, script: &Path, plan: &Plan, below: &Path) -> Result<Figures> {
    let roadstead = std::path::absolute(&programs.roadstead)?;
    let cluster = Cluster { script, roadstead, directory: below.join("cluster") };
    let address = Address { address: cluster.start().await?, tls: None };
    let manifest = address.connect().await?.prepare(REPOSITORY, 600).await?;
    let leader = cluster.leader().await?;
    let next = Cell::new(0);
    let put = async |count: usize, time: Duration, kill: Option<u32>| -> Result<Written> {
        let mut connections = address.connect_many(count).await?;
        let (began, ends) = (Instant::now(), RefCell::new(Vec::new()));
        let (is_killed, failed) = (Cell::new(false), Cell::new(false));
        let timings = clients(&mut connections, Until::Passed(time), async |it, _| {
            if let Some(leader) = kill
                && began.elapsed() > half(plan)
                && !is_killed.replace(true)
            {
                crash(leader)?;
            }
            let number = next.replace(next.get() + 1);
            // What failed is not told again: it may have been done.
            match it.put_manifest(REPOSITORY, &fill::tag(number), &manifest).await {
                Ok(()) => ends.borrow_mut().push(Instant::now()),
                Err(error) if kill.is_none() => return Err(error),
                Err(_) => {
                    failed.set(true);
                    *it = address.connect().await?;
                }
            }
            Ok(())
        })
        .await?;
        let ends = ends.into_inner();
        let gap = ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        Ok(Written {
            per_second: ends.len() as f64 / timings.all.as_secs_f64(),
            p50_micros: timings.micros(0.5),
            p99_micros: timings.micros(0.99),
            gap_millis: gap.as_secs_f64() * 1e3,
        })
    };
    let one = put(1, plan.time, None).await?;
    let many = put(CLIENTS, plan.time, None).await?;
    let killed = put(CLIENTS, around(plan), Some(leader)).await?;
    Ok(figures(one, many, killed))
}

fn crash(process: u32) -> Result<()> {
    let status = std::process::Command::new("kill").args(["-9", &process.to_string()]).status()?;
    ensure!(status.success(), "could not kill {process}");
    Ok(())
}

async fn etcd_of(etcd: &Path, plan: &Plan, below: &Path) -> Result<Figures> {
    let ports: Vec<(u16, u16)> = (0..NODES).map(|_| Ok((free_port()?, free_port()?))).collect::<Result<_>>()?;
    let address = |port: u16| format!("http://127.0.0.1:{port}");
    let peers: Vec<String> =
        ports.iter().enumerate().map(|(at, (_, peer))| format!("node-{at}={}", address(*peer))).collect();
    let peers = peers.join(",");
    let mut members = Vec::new();
    for (at, (client, peer)) in ports.iter().enumerate() {
        let mut command = Command::new(etcd);
        let name = format!("node-{at}");
        command.args(["serve", "--name", &name, "--log-level", "error", "--data-dir"]).arg(below.join(&name));
        for (flag, value) in [
            ("--listen-client-urls", address(*client)),
            ("--advertise-client-urls", address(*client)),
            ("--listen-peer-urls", address(*peer)),
            ("--initial-advertise-peer-urls", address(*peer)),
            ("--initial-cluster", peers.clone()),
        ] {
            command.args([flag, &value]);
        }
        members.push(Process::start(command, &below.join(format!("{name}.log")), false)?);
    }
    let endpoints: Vec<String> = ports.iter().map(|(client, _)| format!("127.0.0.1:{client}")).collect();
    let ask = |verb: &str| {
        let mut command = Command::new(etcd);
        command.arg(verb).args(["--endpoints", &endpoints.join(",")]).stderr(Stdio::piped());
        command
    };
    let began = Instant::now();
    let leader = loop {
        let output = ask("leader").output().await?;
        if output.status.success() {
            break String::from_utf8(output.stdout)?.trim().to_owned();
        }
        ensure!(began.elapsed() < Duration::from_secs(30), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let leader = endpoints.iter().position(|endpoint| *endpoint == leader).context("an unknown leader")?;
    let load = |clients: usize, time: Duration| {
        let mut command = ask("load");
        command.args(["--clients", &clients.to_string(), "--seconds", &time.as_secs_f64().to_string()]);
        async move { read(&command.output().await?) }
    };
    let one = load(1, plan.time).await?;
    let many = load(CLIENTS, plan.time).await?;
    let kill = async {
        tokio::time::sleep(half(plan)).await;
        crash(members[leader].id)
    };
    let (killed, crashed) = tokio::join!(load(CLIENTS, around(plan)), kill);
    crashed?;
    Ok(figures(one, many, killed?))
}

fn read(output: &std::process::Output) -> Result<Written> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}
