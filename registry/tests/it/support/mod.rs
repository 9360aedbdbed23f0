//! A whole registry on a port of its own, and a client that speaks plain HTTP to it.

#![allow(dead_code, unused_imports, reason = "not every rule needs every helper")]

pub mod archive;
pub mod client;
pub mod cluster;
pub mod issuer;
pub mod memory;
pub mod raw;
pub mod reviews;
pub mod s3;
pub mod server;
pub mod wait;

pub use client::{Answer, Client};

use std::net::SocketAddr;
use std::sync::Arc;

use memory::MemoryStore;
use roadstead::app::App;
use roadstead::auth::authenticate::Authenticator;
use roadstead::config::Config;
use roadstead::http::HttpMetrics;
use roadstead::http::audit::AuditLog;
use roadstead::index::Index;
use roadstead::index::client::IndexOptions;
use roadstead::index::command::Policy;
use roadstead::index::metrics::IndexMetrics;
use roadstead::oci::digest::Digest;
use roadstead::server::Limits;
use roadstead::server::accept::{self, Service};
use roadstead::server::api::Api;
use roadstead::server::drain::Drain;
use roadstead::server::metrics::ServerMetrics;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

pub const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A running registry; it ends when it is dropped.
pub struct Registry {
    pub address: SocketAddr,
    pub store: MemoryStore,
    pub index: Index,
    client: Client,
    server: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl std::ops::Deref for Registry {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Registry {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts a registry whose configuration `change` has changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        change(&mut config);
        let metrics = prometheus::Registry::new();
        let options = IndexOptions { directory: directory.path().join("index"), min_free_bytes: 0 };
        let index = Index::open(&options, IndexMetrics::register(&metrics).unwrap()).await.unwrap();
        let policy = Policy { grace: config.reclaim.grace_seconds * 1000, ..Policy::default() };
        index.set_policy(policy).await.unwrap();
        let store = MemoryStore::default();
        let audit = config.log.audit.as_deref().map_or(AuditLog::off(), |file| AuditLog::to(file).unwrap());
        let auth = Authenticator::new(&config.access).unwrap();
        let app = Arc::new(App {
            config,
            audit,
            auth,
            index: index.clone(),
            store: Arc::new(store.clone()),
            metrics: HttpMetrics::register(&metrics).unwrap(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handler = Api::default();
        handler.begin(app);
        let service = Service {
            handler,
            limits: Limits::new(&roadstead::config::Server::default()),
            certificates: None,
            metrics: ServerMetrics::register(&metrics).unwrap(),
            drain: Drain::new(),
            requests: TaskTracker::new(),
        };
        let server = tokio::spawn(accept::run(listener, service));
        let client = Client::new(&format!("http://{address}"));
        Self { address, store, index, client, server, _directory: directory }
    }
}

/// The manifest of an image of one layer with `content`.
pub fn image(content: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", content.as_bytes())],
    })
}

pub fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(content).to_string(), "size": content.len() })
}

/// The descriptor of a manifest.
pub fn descriptor_of(manifest: &Value) -> Value {
    descriptor(manifest["mediaType"].as_str().unwrap(), &serde_json::to_vec(manifest).unwrap())
}

pub fn digest_of(manifest: &Value) -> Digest {
    Digest::of(&serde_json::to_vec(manifest).unwrap())
}
