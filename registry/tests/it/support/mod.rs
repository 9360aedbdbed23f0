//! A whole registry on a port of its own, and a client that speaks plain HTTP to it.

#![allow(dead_code, reason = "not every rule needs every helper")]

pub mod memory;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use memory::MemoryStore;
use roadstead::app::App;
use roadstead::config::Config;
use roadstead::http::{Connection, HttpMetrics, handle};
use roadstead::index::Index;
use roadstead::index::client::IndexOptions;
use roadstead::index::command::Policy;
use roadstead::index::metrics::IndexMetrics;
use roadstead::oci::digest::Digest;
use serde_json::{Value, json};

pub const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A running registry; it ends when it is dropped.
pub struct Registry {
    pub address: SocketAddr,
    pub store: MemoryStore,
    pub index: Index,
    client: reqwest::Client,
    server: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of the one error in the answer.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        self.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:?}: {}", self.headers, String::from_utf8_lossy(&self.body));
        self
    }

    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.code(), code, "{}", String::from_utf8_lossy(&answer.body));
        answer
    }
}

/// A request that is being put together.
pub struct Ask(reqwest::RequestBuilder);

impl Ask {
    pub fn header(self, name: &str, value: impl AsRef<str>) -> Self {
        Self(self.0.header(name, value.as_ref()))
    }

    pub fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.body(body))
    }

    pub async fn send(self) -> Answer {
        self.try_send().await.unwrap()
    }

    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let response = self.0.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
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
        let app = Arc::new(App {
            config,
            index: index.clone(),
            store: Arc::new(store.clone()),
            metrics: HttpMetrics::register(&metrics).unwrap(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let app = app.clone();
                let service = hyper::service::service_fn(move |request| {
                    let app = app.clone();
                    async move {
                        Ok::<_, std::convert::Infallible>(handle(app, request, Connection { peer, tls: false }).await)
                    }
                });
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { address, store, index, client, server, _directory: directory }
    }

    pub fn ask(&self, method: &str, path: &str) -> Ask {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Ask(self.client.request(method, format!("http://{}{path}", self.address)))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).send().await
    }

    pub async fn head(&self, path: &str) -> Answer {
        self.ask("HEAD", path).send().await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path).send().await
    }

    /// Begins an upload and gives the path to go on with.
    pub async fn begin(&self, name: &str) -> String {
        let answer = self.ask("POST", &format!("/v2/{name}/blobs/uploads/")).send().await.expect(202);
        answer.header("location").to_owned()
    }

    /// Appends to an upload and gives the path to go on with.
    pub async fn append(&self, upload: &str, content: &[u8]) -> String {
        let answer = self.ask("PATCH", upload).body(content.to_vec()).send().await.expect(202);
        answer.header("location").to_owned()
    }

    pub async fn finish(&self, upload: &str, digest: &Digest, content: &[u8]) -> Answer {
        self.ask("PUT", &format!("{upload}?digest={digest}")).body(content.to_vec()).send().await
    }

    pub async fn push_blob(&self, name: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let upload = self.begin(name).await;
        self.finish(&upload, &digest, content).await.expect(201);
        digest
    }

    pub async fn put_manifest(&self, name: &str, reference: &str, manifest: &Value) -> Answer {
        let media_type = manifest["mediaType"].as_str().unwrap_or(OCI_IMAGE).to_owned();
        self.put_bytes(name, reference, &media_type, serde_json::to_vec(manifest).unwrap()).await
    }

    pub async fn put_bytes(&self, name: &str, reference: &str, media_type: &str, bytes: Vec<u8>) -> Answer {
        let path = format!("/v2/{name}/manifests/{reference}");
        self.ask("PUT", &path).header("content-type", media_type).body(bytes).send().await
    }

    /// Pushes an image of one layer with `content` and gives the digest of its manifest.
    pub async fn push_image(&self, name: &str, tag: &str, content: &str) -> Digest {
        let manifest = self.image(name, content).await;
        self.put_manifest(name, tag, &manifest).await.expect(201);
        digest_of(&manifest)
    }

    /// Pushes the blobs of an image of one layer with `content` and gives its manifest.
    pub async fn image(&self, name: &str, content: &str) -> Value {
        self.push_blob(name, b"{}").await;
        self.push_blob(name, content.as_bytes()).await;
        image(content)
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
