//! What can be configured, with its defaults: one struct a section, in the order of the reference.
//!
//! Only the parts of the program that `serve` starts read it, once; nothing reads the environment later.

mod access;
pub mod check;
pub mod keys;
pub mod load;
#[cfg(test)]
mod reference;
pub mod show;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use access::{Access, Anonymous, Kubernetes, Ldap};

/// How long a presigned address lives. `check` sees to it that condemned objects are left alone for longer.
pub const PRESIGNED_LIFE: Duration = Duration::from_mins(20);

/// The whole configuration. Every key has a default; `roadstead serve` with none of them is a working registry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub cluster: Cluster,
    pub tls: Tls,
    pub access: Access,
    pub storage: Storage,
    pub blobs: Blobs,
    pub uploads: Uploads,
    pub manifests: Manifests,
    pub delete: Delete,
    pub reclaim: Reclaim,
    pub history: History,
    pub archive: Archive,
    pub log: Log,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// What this process is.
    pub role: Role,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub admin_listen: SocketAddr,
    /// Where an index node takes connections of its peers.
    pub peer_listen: SocketAddr,
    /// The directory of everything this process keeps: `index/` and, for the directory store, `blobs/`.
    pub data: PathBuf,
    /// Seconds that running requests get to finish after SIGTERM.
    pub drain_seconds: u64,
    /// Connections served at once; more wait in the backlog.
    pub max_connections: usize,
    /// Seconds for the TLS handshake and the headers of a request.
    pub header_seconds: u64,
    /// Seconds a connection may be idle, and a body may bring no byte.
    pub idle_seconds: u64,
    /// Bytes a second that a body must bring, averaged over `idle_seconds`.
    pub min_body_rate: u64,
    /// Networks of proxies in front of us, whose `X-Forwarded-For` says who the client is.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Free bytes on the volume of the index below which writes are refused.
    pub min_free_bytes: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            role: Role::All,
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 5002)),
            peer_listen: SocketAddr::from(([127, 0, 0, 1], 5001)),
            data: PathBuf::from("data"),
            drain_seconds: 25,
            max_connections: 10_000,
            header_seconds: 15,
            idle_seconds: 60,
            min_body_rate: 1024,
            trusted_proxies: Vec::new(),
            min_free_bytes: 256 << 20,
        }
    }
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A whole registry in one process.
    All,
    /// A node of the index.
    Index,
    /// Serves clients; keeps nothing.
    Registry,
}

/// How index nodes and registry processes find and trust each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// This index node as its peers dial it, `host:port`; its certificate must be for `host`.
    pub name: Option<String>,
    /// The index nodes, `host:port` each; a host with several addresses stands for as many nodes.
    #[serde(deserialize_with = "list")]
    pub index: Vec<String>,
    /// Where the names are that DNS does not know.
    pub addresses: BTreeMap<String, SocketAddr>,
    /// Certificate, key and the authority of all peers, as PEM files; read again when they change.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    /// Milliseconds without a word of the leader after which another is elected; each node adds up to a third by chance.
    pub election_milliseconds: u64,
    /// Entries between two snapshots of the state, after which the log is cut.
    pub snapshot_entries: u64,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            name: None,
            index: Vec::new(),
            addresses: BTreeMap::new(),
            certificate: None,
            key: None,
            ca: None,
            election_milliseconds: 600,
            snapshot_entries: 10_000,
        }
    }
}

/// A list, or its members in one text with commas between them, as in an environment variable.
fn list<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::List(list) => list,
        Either::Text(text) => {
            text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
        }
    })
}

/// Networks, and single addresses as networks of one.
fn networks<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let one = |text: &String| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let wrong = |text: &String| {
        let known = one(text);
        known.map_err(|_| serde::de::Error::custom(format!("{text:?} is no network: write 10.0.0.0/8, or an address")))
    };
    list(deserializer)?.iter().map(wrong).collect()
}

/// Certificate files, read again when they change. Both or none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Whose certificates make clients known.
    pub client_ca: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    pub kind: StorageKind,
    /// Where the directory store is; none: under `server.data`. Several processes may share one.
    pub directory: Option<PathBuf>,
    pub s3: S3,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// Objects are files under `server.data`.
    #[default]
    Directory,
    S3,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3 {
    pub bucket: String,
    /// Everything is kept under this prefix; empty for the whole bucket.
    pub prefix: String,
    /// None: AWS's own endpoint of the region.
    pub endpoint: Option<String>,
    /// None: by the standard chain of the SDK.
    pub region: Option<String>,
    pub path_style: bool,
    /// Whether the SDK adds check sums to requests; `required` suits servers other than AWS.
    pub checksums: ChecksumMode,
    /// None: by the standard chain of the SDK (environment, profile, web identity, instance).
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    /// Bytes of one part of a multipart upload.
    pub part_bytes: u64,
    /// Seconds for one attempt of one call.
    pub attempt_seconds: u64,
    /// Attempts of one call.
    pub attempts: u32,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            prefix: String::new(),
            endpoint: None,
            region: None,
            path_style: false,
            checksums: ChecksumMode::Required,
            access_key_id: None,
            secret_access_key: None,
            part_bytes: 8 << 20,
            attempt_seconds: 30,
            attempts: 3,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumMode {
    Supported,
    Required,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blobs {
    /// Blobs up to this many bytes are kept in the index itself.
    pub inline_limit: u64,
    /// Send clients to presigned addresses of the store for blobs of at least `redirect_min_bytes`.
    pub redirect: bool,
    pub redirect_min_bytes: u64,
    /// The endpoint that clients reach; presigned addresses are made for it.
    pub public_endpoint: Option<String>,
    /// Days in which the background scrub reads every object once; 0 turns it off.
    pub scrub_days: u32,
}

impl Default for Blobs {
    fn default() -> Self {
        Self {
            inline_limit: 32 << 10,
            redirect: false,
            redirect_min_bytes: 1 << 20,
            public_endpoint: None,
            scrub_days: 30,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Uploads {
    /// Seconds after its birth at which an unfinished upload expires.
    pub ttl_seconds: u64,
    /// Bytes on their way to the store, of all uploads together.
    pub budget_bytes: u64,
    /// Told to clients as `OCI-Chunk-Min-Length`; smaller chunks are accepted all the same.
    pub chunk_min_bytes: u64,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { ttl_seconds: 24 * 3600, budget_bytes: 64 << 20, chunk_min_bytes: 0 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manifests {
    /// The largest manifest taken; the specification asks for at least 4 MiB.
    pub max_bytes: u64,
    /// Accept manifests whose blobs or children are not in the repository.
    pub sparse: bool,
    /// Bytes of manifests that a process without an index keeps in memory.
    pub cache_bytes: u64,
    /// Without a quorum, answer what a tag named last, with a `Warning`, instead of 503.
    pub stale_tags: bool,
}

impl Default for Manifests {
    fn default() -> Self {
        Self { max_bytes: 4 << 20, sparse: false, cache_bytes: 64 << 20, stale_tags: false }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delete {
    /// Off: every DELETE of a tag, manifest or blob is answered 405.
    pub enabled: bool,
}

impl Default for Delete {
    fn default() -> Self {
        Self { enabled: true }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reclaim {
    /// Seconds that a blob is kept which no manifest of the repository needs.
    pub grace_seconds: u64,
    /// Seconds that an object is left for readers after it was condemned.
    pub reader_pause_seconds: u64,
    /// Seconds after which a manifest without tag, parent or subject is removed; none: never.
    pub untagged_seconds: Option<u64>,
    /// Seconds between two looks at what is due.
    pub interval_seconds: u64,
}

impl Default for Reclaim {
    fn default() -> Self {
        Self { grace_seconds: 24 * 3600, reader_pause_seconds: 3600, untagged_seconds: None, interval_seconds: 10 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// Changes kept of each tag, and the days they are kept.
    pub per_tag: u64,
    pub days: u64,
    /// Days that events are kept.
    pub event_days: u64,
}

impl Default for History {
    fn default() -> Self {
        Self { per_tag: 100, days: 90, event_days: 7 }
    }
}

/// Snapshots and log of the index in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Archive {
    /// None: on for S3, off for a directory, which is usually lost together with the index.
    pub enabled: Option<bool>,
    /// Seconds that an entry waits to be archived at most, while the store is well.
    pub seconds: u64,
    /// Entries, bytes of entries and seconds since the last snapshot after which a new one is written.
    pub snapshot_entries: u64,
    pub snapshot_bytes: u64,
    pub snapshot_seconds: u64,
    /// Snapshots kept, with all entries behind the oldest of them.
    pub snapshots: u64,
}

impl Default for Archive {
    fn default() -> Self {
        Self {
            enabled: None,
            seconds: 10,
            snapshot_entries: 100_000,
            snapshot_bytes: 256 << 20,
            snapshot_seconds: 24 * 3600,
            snapshots: 2,
        }
    }
}

impl Config {
    /// Whether the index is archived.
    pub fn archives(&self) -> bool {
        self.archive.enabled.unwrap_or(self.storage.kind == StorageKind::S3)
    }

    /// Where the objects of a directory store are files.
    pub fn store_directory(&self) -> &Path {
        self.storage.directory.as_ref().unwrap_or(&self.server.data)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    /// What is logged, in the syntax of `tracing-subscriber`'s `EnvFilter`: `info`, `warn,roadstead=debug`.
    pub filter: String,
    /// A file to which a JSON line is appended for each request that was answered; none: nowhere.
    pub audit: Option<PathBuf>,
}

impl Default for Log {
    fn default() -> Self {
        Self { audit: None, format: LogFormat::Text, filter: "info,openraft=off,fjall=warn,lsm_tree=warn".into() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}
