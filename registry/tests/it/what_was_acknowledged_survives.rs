//! kill -9 at random moments while clients push: every push that was acknowledged is complete afterwards, no half image
//! is visible, and the start needs nobody. The same with the process paused, and with the store failing on purpose.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roadstead::oci::digest::Digest;
use serde_json::{Value, json};

use crate::support::s3::{FakeS3, Fault, impatient};
use crate::support::server::{Options, Server};
use crate::support::{Client, OCI_IMAGE};

const WRITERS: usize = 4;

/// An image that a writer was told is stored.
#[derive(Clone, Debug)]
struct Acknowledged {
    manifest: Digest,
    blobs: Vec<Digest>,
}

/// What may stand under a tag: the last image acknowledged, or one after it whose answer did not come.
#[derive(Clone, Default)]
struct Possible {
    last: Option<Acknowledged>,
    later: Vec<Acknowledged>,
}

/// What all writers were told, by tag.
#[derive(Default)]
struct Ledger {
    tags: Mutex<BTreeMap<String, Possible>>,
    /// Held by every push; who verifies holds it alone, so that nothing moves meanwhile.
    gate: tokio::sync::RwLock<()>,
    pushes: AtomicU64,
    stop: AtomicBool,
}

/// A xorshift: the moments of the kills differ from run to run, the seed is printed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn layer(writer: usize, number: u64) -> Vec<u8> {
    // Small ones stay in the index, large ones go to the store.
    let size = if number.is_multiple_of(3) { 100_000 } else { 500 };
    let mut content = format!("layer {writer} {number} ").into_bytes();
    content.resize(size, b'x');
    content
}

/// Pushes one image; true when the registry said that it is stored.
async fn push(client: &Client, name: &str, tag: &str, content: &[u8], image: &Value) -> bool {
    for blob in [content, b"{}".as_slice()] {
        let digest = Digest::of(blob);
        let begun = match client.ask("POST", &format!("/v2/{name}/blobs/uploads/")).try_send().await {
            Ok(answer) if answer.status == 202 => answer.header("location").to_owned(),
            _ => return false,
        };
        let (first, rest) = blob.split_at(blob.len() / 2);
        let Ok(answer) = client.ask("PATCH", &begun).body(first.to_vec()).try_send().await else { return false };
        if answer.status != 202 {
            return false;
        }
        let finish = format!("{}?digest={digest}", answer.header("location"));
        match client.ask("PUT", &finish).body(rest.to_vec()).try_send().await {
            Ok(answer) if answer.status == 201 => {}
            _ => return false,
        }
    }
    let put = client.ask("PUT", &format!("/v2/{name}/manifests/{tag}")).header("content-type", OCI_IMAGE);
    matches!(put.body(serde_json::to_vec(image).unwrap()).try_send().await, Ok(answer) if answer.status == 201)
}

fn image_of(content: &[u8]) -> (Value, Acknowledged) {
    let (layer, config) = (Digest::of(content), Digest::of(b"{}"));
    let image = json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": "application/octet-stream", "digest": layer, "size": content.len() }],
    });
    let manifest = Digest::of(&serde_json::to_vec(&image).unwrap());
    (image, Acknowledged { manifest, blobs: vec![config, layer] })
}

/// Pushes images one after the other, over and over to a few tags, until it is told to stop.
async fn write(address: Arc<Mutex<String>>, ledger: Arc<Ledger>, writer: usize) {
    let http = || reqwest::Client::builder().timeout(Duration::from_secs(20));
    for number in 0.. {
        if ledger.stop.load(Ordering::Relaxed) {
            return;
        }
        let _pushing = ledger.gate.read().await;
        let client = Client::with(&address.lock().unwrap().clone(), http());
        let content = layer(writer, number);
        let (image, pushed) = image_of(&content);
        let tag = format!("w{writer}-{}", number % 7);
        ledger.tags.lock().unwrap().entry(tag.clone()).or_default().later.push(pushed.clone());
        if push(&client, "crash/test", &tag, &content, &image).await {
            ledger.tags.lock().unwrap().insert(tag, Possible { last: Some(pushed), later: Vec::new() });
            ledger.pushes.fetch_add(1, Ordering::Relaxed);
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await; // the server is down: do not spin
        }
    }
}

/// Reads everything that was acknowledged, and everything that is visible, as a client would.
async fn verify(server: &Server, ledger: &Ledger) {
    let _alone = ledger.gate.write().await;
    let client = server.client();
    let tags = ledger.tags.lock().unwrap().clone();
    for (tag, Possible { last, later }) in &tags {
        let answer = client.get(&format!("/v2/crash/test/manifests/{tag}")).await;
        if last.is_none() && answer.status == 404 {
            continue;
        }
        let digest = Digest::of(&answer.expect(200).body);
        let known = last.iter().chain(later).find(|image| image.manifest == digest);
        let image = known.unwrap_or_else(|| panic!("{tag} points at {digest}, acknowledged was {last:?}"));
        for blob in &image.blobs {
            let answer = client.get(&format!("/v2/crash/test/blobs/{blob}")).await.expect(200);
            assert_eq!(Digest::of(&answer.body), *blob, "{tag}");
        }
        if let Some(last) = last {
            client.get(&format!("/v2/crash/test/manifests/{}", last.manifest)).await.expect(200);
        }
    }
    // Whatever is visible is whole, acknowledged or not.
    let answer = client.get("/v2/crash/test/tags/list").await;
    if answer.status == 200 {
        for tag in answer.json()["tags"].as_array().unwrap() {
            let path = format!("/v2/crash/test/manifests/{}", tag.as_str().unwrap());
            let image = client.get(&path).await.expect(200).json();
            let parts = image["layers"].as_array().unwrap().iter().chain([&image["config"]]);
            for part in parts {
                client.head(&format!("/v2/crash/test/blobs/{}", part["digest"].as_str().unwrap())).await.expect(200);
            }
        }
    }
}

/// Runs writers while `disturb` does something to the server, so many times, and verifies after each.
async fn run(rounds: u64, options: Options, mut disturb: impl AsyncFnMut(&mut Server, &mut Random)) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = u64::from(now.subsec_nanos()) | 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut server = Server::with(options).await;
    let ledger = Arc::new(Ledger::default());
    let address = Arc::new(Mutex::new(server.url().to_owned()));
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(address.clone(), ledger.clone(), writer))).collect();
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(30 + random.below(300))).await;
        disturb(&mut server, &mut random).await;
        server.url().clone_into(&mut address.lock().unwrap());
        verify(&server, &ledger).await;
    }
    ledger.stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    verify(&server, &ledger).await;
    let pushes = ledger.pushes.load(Ordering::Relaxed);
    println!("{rounds} rounds, {pushes} pushes acknowledged, none lost");
    assert!(pushes >= rounds, "too few pushes ({pushes}) for the run to mean anything");
}

fn rounds(short: u64, long: u64) -> u64 {
    if std::env::var_os("TORTURE").is_some_and(|value| value == "1") { long } else { short }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_loses_nothing_acknowledged() {
    run(rounds(20, 200), Options::default(), async |server, _| {
        server.kill();
        server.restart().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_loses_nothing_acknowledged() {
    run(rounds(4, 40), Options::default(), async |server, random| {
        server.pause();
        tokio::time::sleep(Duration::from_millis(200 + random.below(3000))).await;
        server.resume();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_on_purpose_loses_nothing_acknowledged() {
    let bucket = FakeS3::start().await;
    let set = [bucket.settings(), impatient()].concat();
    run(rounds(10, 100), Options { set, ..Options::default() }, async |server, random| {
        let mut fate = Random(random.below(1 << 40) | 1);
        bucket.fail(move |_, _| match fate.below(12) {
            0 | 1 => Some(Fault::Status(503)),
            2 | 3 => Some(Fault::Status(500)),
            4 | 5 => Some(Fault::DoneAndFailed),
            6 => Some(Fault::Stall),
            _ => None,
        });
        tokio::time::sleep(Duration::from_millis(200 + random.below(800))).await;
        if random.below(2) == 0 {
            server.kill();
            bucket.heal();
            server.restart().await;
        } else {
            bucket.heal();
        }
    })
    .await;
    assert!(bucket.keys().iter().any(|key| key.starts_with("blobs/")), "nothing ever went to the store");
}
