//! A client of the registries: speaks HTTP/1.1 over the simulated network and writes down what it saw.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use roadstead::oci::digest::Digest;
use serde_json::json;
use turmoil::net::TcpStream;

use super::check::{Call, Operation, Outcome};
use super::hosts::Ended;
use super::network::CLIENTS;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const PATIENCE: Duration = Duration::from_secs(12);
const CONFIG: &[u8] = b"{}";

/// What all clients write down.
#[derive(Debug, Default)]
pub struct Notes {
    pub operations: Vec<Operation>,
    pub trace: Vec<String>,
    pub images: u64,
    pub reads: u64,
    /// What must never be.
    pub wrong: Vec<String>,
}

pub type Shared = Rc<RefCell<Notes>>;

struct Answer {
    status: StatusCode,
    digest: Option<String>,
    body: Bytes,
}

/// One request to one registry; none when it was not answered.
async fn ask(host: &str, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Option<Answer> {
    let exchange = async {
        let socket = TcpStream::connect((host, CLIENTS)).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.ok()?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let mut request = Request::builder().method(method).uri(path).header("host", host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.ok()?;
        let status = answer.status();
        let digest =
            answer.headers().get("docker-content-digest").and_then(|value| Some(value.to_str().ok()?.to_owned()));
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        Some(Answer { status, digest, body })
    };
    tokio::time::timeout(PATIENCE, exchange).await.ok()?
}

fn now() -> u64 {
    turmoil::sim_elapsed().unwrap_or_default().as_micros() as u64
}

pub struct Client {
    pub number: u64,
    pub seed: u64,
    pub registries: Vec<String>,
    pub keys: u64,
    pub until: Duration,
    pub notes: Shared,
}

impl Client {
    pub async fn run(self) -> Ended {
        let mut random = SmallRng::seed_from_u64(self.seed ^ (self.number << 32));
        let mut count = 0_u64;
        while turmoil::sim_elapsed().unwrap_or_default() < self.until {
            count += 1;
            let registry = self.registries[random.random_range(0..self.registries.len())].clone();
            let key = random.random_range(0..self.keys);
            let path = format!("/v2/sim/manifests/k{key}");
            match random.random_range(0..100) {
                0..35 => self.put(&mut random, &registry, key, &path, count).await,
                35..75 => {
                    let head = random.random_bool(0.5);
                    let began = now();
                    let answer = ask(&registry, if head { "HEAD" } else { "GET" }, &path, &[], Vec::new()).await;
                    self.read(key, began, answer);
                }
                75..85 => {
                    let began = now();
                    let answer = ask(&registry, "DELETE", &path, &[], Vec::new()).await;
                    let outcome = match answer.as_ref().map(|answer| answer.status.as_u16()) {
                        Some(202) => Outcome::Done,
                        Some(404) => Outcome::Absent,
                        other => self.unknown("DELETE", &path, other),
                    };
                    self.note(Operation { key, began, ended: now(), call: Call::Delete, outcome });
                }
                _ => self.image(&mut random, &registry, count).await,
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(1..60))).await;
        }
        Ok(())
    }

    fn note(&self, operation: Operation) {
        let mut notes = self.notes.borrow_mut();
        notes.trace.push(format!("{} {operation:?}", self.number));
        notes.operations.push(operation);
    }

    fn wrong(&self, text: String) {
        self.notes.borrow_mut().wrong.push(format!("client {} at {} us: {text}", self.number, now()));
    }

    /// Whether it happened is not known, if that is what the answer says.
    fn unknown(&self, method: &str, path: &str, status: Option<u16>) -> Outcome {
        if let Some(status) = status
            && status != 503
        {
            self.wrong(format!("{method} {path} was answered {status}"));
        }
        Outcome::Unknown
    }

    fn read(&self, key: u64, began: u64, answer: Option<Answer>) {
        let outcome = match &answer {
            Some(Answer { status: StatusCode::OK, digest: Some(digest), .. }) => Outcome::Value(digest.clone()),
            Some(answer) if answer.status == 404 => Outcome::Absent,
            other => self.unknown("GET", "a tag", other.as_ref().map(|answer| answer.status.as_u16())),
        };
        self.note(Operation { key, began, ended: now(), call: Call::Get, outcome });
    }

    /// Puts a manifest without layers under a tag, perhaps on a condition.
    async fn put(&self, random: &mut SmallRng, registry: &str, key: u64, path: &str, count: u64) {
        if !self.push_blob(registry, CONFIG).await {
            return;
        }
        let bytes = manifest(&[], &format!("{}-{count}", self.number));
        let value = Digest::of(&bytes).to_string();
        let known = if random.random_bool(0.5) { self.known(key) } else { None };
        let (call, header) = match (random.random_range(0..10), known) {
            (0..5, _) => (Call::Put(value), None),
            (5..8, Some(known)) => {
                (Call::Swap { from: known.clone(), to: value }, Some(("if-match", format!("\"{known}\""))))
            }
            _ => (Call::Create(value), Some(("if-none-match", "*".to_owned()))),
        };
        let mut headers = vec![("content-type", MANIFEST)];
        headers.extend(header.as_ref().map(|(name, value)| (*name, value.as_str())));
        let began = now();
        let answer = ask(registry, "PUT", path, &headers, bytes).await;
        let outcome = match answer.as_ref().map(|answer| answer.status.as_u16()) {
            Some(201) => Outcome::Done,
            Some(412) => Outcome::Refused,
            // The grace of the config ran out between its push and this.
            Some(400) if now() - began > super::hosts::GRACE * 500 => return,
            other => self.unknown("PUT", path, other),
        };
        self.note(Operation { key, began, ended: now(), call, outcome });
    }

    /// A value that this key had at some time, as far as anybody saw.
    fn known(&self, key: u64) -> Option<String> {
        let notes = self.notes.borrow();
        notes.operations.iter().rev().take(40).find_map(|operation| match &operation.outcome {
            Outcome::Value(value) if operation.key == key => Some(value.clone()),
            _ => None,
        })
    }

    /// Pushes a blob until it is acknowledged; false when it was not in time.
    async fn push_blob(&self, registry: &str, content: &[u8]) -> bool {
        let path = format!("/v2/sim/blobs/uploads/?digest={}", Digest::of(content));
        for _ in 0..20 {
            let answer = ask(registry, "POST", &path, &[], content.to_vec()).await;
            match answer.map(|answer| answer.status.as_u16()) {
                Some(201) => return true,
                Some(503) | None => tokio::time::sleep(Duration::from_millis(200)).await,
                Some(status) => {
                    self.wrong(format!("a blob was answered {status}"));
                    return false;
                }
            }
        }
        false
    }

    /// Pushes an image under a tag of its own; once it is acknowledged every registry serves all of it.
    async fn image(&self, random: &mut SmallRng, registry: &str, count: u64) {
        let began = turmoil::sim_elapsed().unwrap_or_default();
        let layer = format!("layer {} {count}", self.number).into_bytes();
        if !self.push_blob(registry, CONFIG).await || !self.push_blob(registry, &layer).await {
            return;
        }
        let bytes = manifest(&[&layer], "image");
        let tag = format!("image-{}-{count}", self.number);
        let path = format!("/v2/sim/manifests/{tag}");
        let answer = ask(registry, "PUT", &path, &[("content-type", MANIFEST)], bytes.clone()).await;
        match answer.map(|answer| answer.status.as_u16()) {
            Some(201) => {}
            Some(503) | None => return,
            // It took longer than the grace: then what was pushed first may be gone.
            Some(400)
                if turmoil::sim_elapsed().unwrap_or_default().saturating_sub(began)
                    > Duration::from_millis(super::hosts::GRACE) =>
            {
                return;
            }
            Some(status) => return self.wrong(format!("{tag} was answered {status}")),
        }
        self.notes.borrow_mut().images += 1;
        let digest = Digest::of(&bytes);
        for registry in &self.registries {
            let reads = [
                (path.clone(), bytes.clone()),
                (format!("/v2/sim/manifests/{digest}"), bytes.clone()),
                (format!("/v2/sim/blobs/{}", Digest::of(&layer)), layer.clone()),
                (format!("/v2/sim/blobs/{}", Digest::of(CONFIG)), CONFIG.to_vec()),
            ];
            for (path, expected) in reads {
                self.read_back(random, registry, &path, &expected).await;
            }
        }
    }

    async fn read_back(&self, random: &mut SmallRng, registry: &str, path: &str, expected: &[u8]) {
        for _ in 0..100 {
            match ask(registry, "GET", path, &[], Vec::new()).await {
                Some(answer) if answer.status == 200 && answer.body == expected => {
                    self.notes.borrow_mut().reads += 1;
                    return;
                }
                Some(answer) if answer.status == 503 => {}
                None => {}
                Some(answer) => {
                    return self.wrong(format!("{registry} answered {path} with {} after the push", answer.status));
                }
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(50..300))).await;
        }
    }
}

fn manifest(layers: &[&[u8]], note: &str) -> Vec<u8> {
    let descriptor = |media: &str, content: &[u8]| json!({ "mediaType": media, "digest": Digest::of(content).to_string(), "size": content.len() });
    let layers: Vec<_> =
        layers.iter().map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", layer)).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", CONFIG),
        "layers": layers,
        "annotations": { "note": note },
    });
    serde_json::to_vec(&manifest).unwrap()
}
