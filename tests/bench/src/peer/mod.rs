//! The registries that are compared: how each is started, on a directory or on S3, and what its process takes.

mod distribution;
mod ours;
mod process;
mod zot;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::http::Target;
use crate::s3::Store;
use crate::tls::Certificate;

pub use process::{Process, taskset};

/// A registry, with how durable what it acknowledges is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Roadstead,
    Distribution,
    ZotCommit,
    Zot,
    /// No registry, but it agrees on writes.
    Etcd,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Roadstead, Self::Distribution, Self::ZotCommit, Self::Zot, Self::Etcd];
    pub const REGISTRIES: [Self; 4] = [Self::Roadstead, Self::Distribution, Self::ZotCommit, Self::Zot];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Roadstead => "roadstead",
            Self::Distribution => "distribution",
            Self::ZotCommit => "zot, commit",
            Self::Zot => "zot",
            Self::Etcd => "etcd",
        }
    }

    /// What is on the disk when a push is acknowledged.
    pub const fn durability(self) -> &'static str {
        match self {
            Self::Roadstead => "everything: blobs and the log of the index are synced",
            Self::Distribution => "files are synced, the directories that name them are not",
            Self::ZotCommit => "blobs and manifests are synced (`commit: true`)",
            Self::Zot => "nothing is synced (its default)",
            Self::Etcd => "its log is synced, on a majority",
        }
    }
}

/// Where the programs are. What is not there is not compared, and the page says so.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Programs {
    /// The program `roadstead`, as it is built for others.
    #[arg(long)]
    pub roadstead: PathBuf,
    /// The program of distribution.
    #[arg(long)]
    pub distribution: Option<PathBuf>,
    /// The program of zot.
    #[arg(long)]
    pub zot: Option<PathBuf>,
    /// The program of etcd, as `etcd/` builds it.
    #[arg(long)]
    pub etcd: Option<PathBuf>,
    /// What starts a cluster of ours: `tests/local-cluster`.
    #[arg(long)]
    pub local_cluster: Option<PathBuf>,
    /// The program of versitygw, the S3 server of the cases that need one.
    #[arg(long)]
    pub versitygw: Option<PathBuf>,
}

impl Programs {
    pub fn of(&self, kind: Kind) -> Option<&Path> {
        match kind {
            Kind::Roadstead => Some(&self.roadstead),
            Kind::Distribution => self.distribution.as_deref(),
            Kind::Zot | Kind::ZotCommit => self.zot.as_deref(),
            Kind::Etcd => self.etcd.as_deref(),
        }
    }
}

/// Where blobs are, if not in a directory.
#[derive(Clone, Debug)]
pub struct S3 {
    pub endpoint: String,
    pub bucket: String,
    pub access_key: String,
    pub secret_key: String,
}

/// How a registry is started.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    pub certificate: Option<Certificate>,
    /// Blobs are in a store of its own, that answers so late.
    pub s3: Option<Duration>,
    /// The server has the first processor to itself, and the clients have the others.
    pub is_pinned: bool,
    /// Unused content is reclaimed all the time, by whoever can.
    pub reclaims: bool,
}

/// A registry that runs, until this is dropped.
pub struct Peer {
    pub kind: Kind,
    pub target: Target,
    pub process: Process,
    /// Where its blobs are, if in S3.
    pub store: Option<Store>,
    start: Start,
}

const PATIENCE: Duration = Duration::from_mins(2);

impl Peer {
    pub async fn start(kind: Kind, programs: &Programs, setting: &Setting, below: &Path) -> Result<Self> {
        let program = programs.of(kind).with_context(|| format!("no program of {}", kind.name()))?.to_owned();
        let directory = tempfile::Builder::new().prefix(&format!("{kind:?}-")).tempdir_in(below)?;
        let data = directory.path().join("data");
        std::fs::create_dir(&data)?;
        let store = match (setting.s3, &programs.versitygw) {
            (None, _) => None,
            (Some(_), None) => bail!("no program of versitygw"),
            (Some(late), Some(versitygw)) => Some(Store::start(versitygw, directory.path(), late).await?),
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let target = Target { address, tls: setting.certificate.as_ref().map(Certificate::client) };
        let start = Start {
            program,
            directory,
            data,
            port: address.port(),
            setting: setting.clone(),
            s3: store.as_ref().map(|store| store.access.clone()),
        };
        let process = start.process(kind)?;
        let mut peer = Self { kind, target, process, store, start };
        peer.wait().await?;
        Ok(peer)
    }

    /// Where its data are.
    pub fn data(&self) -> &Path {
        &self.start.data
    }

    /// Ends it as a crash does, and starts it again; gives how long it took until it served.
    pub async fn crash(&mut self) -> Result<Duration> {
        self.process.kill().await?;
        let began = Instant::now();
        self.process = self.start.process(self.kind)?;
        self.wait().await?;
        Ok(began.elapsed())
    }

    async fn wait(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            if let Ok(mut connection) = self.target.connect().await
                && let Ok(answer) = connection.get("/v2/").await
                && answer.status == StatusCode::OK
            {
                return Ok(());
            }
            if self.process.has_ended()? || began.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(self.start.directory.path().join(LOG)).unwrap_or_default();
                bail!("{} does not serve: {}", self.kind.name(), said.lines().last().unwrap_or("it says nothing"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What it says, in its directory.
const LOG: &str = "log";

/// What a command is made of.
struct Start {
    program: PathBuf,
    /// Of all that it keeps, and goes with it.
    directory: tempfile::TempDir,
    data: PathBuf,
    port: u16,
    setting: Setting,
    s3: Option<S3>,
}

impl Start {
    fn process(&self, kind: Kind) -> Result<Process> {
        let command = match kind {
            Kind::Roadstead => ours::command(self),
            Kind::Distribution => distribution::command(self)?,
            Kind::ZotCommit => zot::command(self, true)?,
            Kind::Zot => zot::command(self, false)?,
            Kind::Etcd => bail!("etcd is no registry"),
        };
        Process::start(command, &self.directory.path().join(LOG), self.setting.is_pinned)
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
