//! Fills registries with many tags or repositories: over the API, for as long as the plan allows; and distribution, which would take
//! too long, in its own layout on disk.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, StatusCode};

use super::Plan;
use crate::http::{Ask, Connection};
use crate::load::{Until, run};
use crate::peer::{Kind, Peer};
use crate::registry::{Blob, Manifest};

/// Clients that fill.
const CLIENTS: usize = 32;
/// What all images of a repository are made of.
const CONFIG: &[u8] = b"{}";
const LAYER: &[u8] = b"a layer";
/// Manifests in each of many repositories.
const EACH: usize = 100;

/// The name of a tag, so that lists of them are in the order of their numbers.
pub fn tag(number: usize) -> String {
    format!("v{number:07}")
}

/// Names a manifest by the tags of these numbers. Says how many it came to, if it was too slow; so do the others.
pub async fn tags(
    peer: &Peer,
    plan: &Plan,
    repository: &str,
    manifest: &Manifest,
    numbers: Range<usize>,
) -> Result<(usize, Option<String>)> {
    let mut connections = peer.target.connect_many(CLIENTS).await?;
    connections[0].put_manifest(repository, &tag(numbers.start), manifest).await?;
    if peer.kind == Kind::Distribution {
        let tags = root(peer).join(repository).join("_manifests/tags");
        for number in numbers.clone().skip(1) {
            link_tag(&tags.join(tag(number)), &manifest.digest)?;
        }
        return Ok((numbers.end, None));
    }
    let done = each(&mut connections, plan, &numbers, async |connection, number| {
        connection.put_manifest(repository, &tag(number), manifest).await
    })
    .await?;
    Ok((done, told(done, &numbers, "tags")))
}

/// Makes the repositories of these numbers, each with a manifest under one tag.
pub async fn repositories(
    peer: &Peer,
    plan: &Plan,
    name: impl Fn(usize) -> String,
    numbers: Range<usize>,
) -> Result<(usize, Option<String>)> {
    let mut connections = peer.target.connect_many(CLIENTS).await?;
    let first = name(numbers.start);
    let config = connections[0].push_bytes(&first, Bytes::from_static(CONFIG)).await?;
    let layer = connections[0].push_bytes(&first, Bytes::from_static(LAYER)).await?;
    let manifest = only_manifest();
    connections[0].put_manifest(&first, "v1", &manifest).await?;
    if peer.kind == Kind::Distribution {
        for number in numbers.clone().skip(1) {
            let repository = root(peer).join(name(number));
            for blob in [&config, &layer] {
                link(&repository.join("_layers").join(path_of(&blob.digest)?), &blob.digest)?;
            }
            link(&repository.join("_manifests/revisions").join(path_of(&manifest.digest)?), &manifest.digest)?;
            link_tag(&repository.join("_manifests/tags/v1"), &manifest.digest)?;
        }
        return Ok((numbers.end, None));
    }
    let done = each(&mut connections, plan, &numbers, async |connection, number| {
        let repository = name(number);
        for blob in [&config, &layer] {
            mount(connection, &repository, blob, &first).await?;
        }
        connection.put_manifest(&repository, "v1", &manifest).await
    })
    .await?;
    Ok((done, told(done, &numbers, "repositories")))
}

/// Makes the manifests of these numbers, no two alike, in repositories of a hundred.
pub async fn manifests(peer: &Peer, plan: &Plan, numbers: Range<usize>) -> Result<(usize, Option<String>)> {
    let homes = numbers.start / EACH..numbers.end.div_ceil(EACH);
    let (homes, _) = repositories(peer, plan, |number| home(number * EACH), homes).await?;
    let housed = numbers.start..numbers.end.min(homes * EACH);
    let mut connections = peer.target.connect_many(CLIENTS).await?;
    let done = each(&mut connections, plan, &housed, async |connection, number| {
        let (repository, tag, manifest) = place(number);
        connection.put_manifest(&repository, &tag, &manifest).await
    })
    .await?;
    Ok((done, told(done, &numbers, "manifests")))
}

/// Where [`manifests`] puts the one of a number, its tag, and it.
pub fn place(number: usize) -> (String, String, Manifest) {
    (home(number), tag(number % EACH), image(&format!("manifest {number}")))
}

fn home(number: usize) -> String {
    format!("bench/many-{:05}", number / EACH)
}

/// The one manifest that [`repositories`] are of.
pub fn only_manifest() -> Manifest {
    image("of many")
}

fn image(note: &str) -> Manifest {
    static BLOBS: LazyLock<[Blob; 2]> = LazyLock::new(|| {
        [CONFIG, LAYER].map(|bytes| Blob { digest: crate::content::digest(bytes), size: bytes.len() as u64 })
    });
    let [config, layer] = &*BLOBS;
    Manifest::of(config, std::slice::from_ref(layer), note, 600)
}

fn told(done: usize, wanted: &Range<usize>, what: &str) -> Option<String> {
    (done < wanted.end).then(|| format!("{done} {what} of {}: it takes too long to be filled", wanted.end))
}

/// Does it for each of the numbers, in batches, until the patience is over; gives the first that was not done.
async fn each(
    connections: &mut [Connection],
    plan: &Plan,
    numbers: &Range<usize>,
    work: impl AsyncFn(&mut Connection, usize) -> Result<()>,
) -> Result<usize> {
    const BATCH: usize = 500;
    let (began, mut next) = (Instant::now(), numbers.start);
    while next < numbers.end && began.elapsed() < plan.patience {
        let batch = BATCH.min(numbers.end - next);
        run(connections, Until::Done(batch), async |connection, number| work(connection, next + number).await).await?;
        next += batch;
    }
    Ok(next)
}

async fn mount(connection: &mut Connection, repository: &str, blob: &Blob, from: &str) -> Result<()> {
    let path = format!("/v2/{repository}/blobs/uploads/?mount={}&from={from}", blob.digest);
    connection.call(Ask::new(Method::POST, &path), Bytes::new()).await?.expect(StatusCode::CREATED)?;
    Ok(())
}

/// Where distribution has its repositories.
fn root(peer: &Peer) -> std::path::PathBuf {
    peer.data().join("docker/registry/v2/repositories")
}

fn path_of(digest: &str) -> Result<String> {
    digest.split_once(':').map(|(kind, hex)| format!("{kind}/{hex}")).context("no digest")
}

fn link_tag(tag: &Path, digest: &str) -> Result<()> {
    link(&tag.join("current"), digest)?;
    link(&tag.join("index").join(path_of(digest)?), digest)
}

fn link(directory: &Path, digest: &str) -> Result<()> {
    fs::create_dir_all(directory)?;
    Ok(fs::write(directory.join("link"), digest)?)
}
