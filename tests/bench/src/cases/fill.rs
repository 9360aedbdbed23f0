//! Fills registries with many tags or repositories: over the API, for as long as the plan allows; and distribution, which would take
//! too long, in its own layout on disk.

use std::fs;
use std::path::Path;
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

/// The name of a tag, so that lists of them are in the order of their numbers.
pub fn tag(number: usize) -> String {
    format!("v{number:07}")
}

/// Names a manifest by `count` tags. Says how many it came to, if it was too slow.
pub async fn tags(
    peer: &Peer,
    plan: &Plan,
    repository: &str,
    manifest: &Manifest,
    count: usize,
) -> Result<(usize, Option<String>)> {
    let mut connections = peer.target.connect_many(CLIENTS).await?;
    connections[0].put_manifest(repository, &tag(0), manifest).await?;
    if peer.kind == Kind::Distribution {
        let tags = root(peer).join(repository).join("_manifests/tags");
        for number in 1..count {
            link_tag(&tags.join(tag(number)), &manifest.digest)?;
        }
        return Ok((count, None));
    }
    let done = until(&mut connections, plan, count, async |connection, number| {
        connection.put_manifest(repository, &tag(number), manifest).await
    })
    .await?;
    Ok((done, (done < count).then(|| format!("{done} tags of {count}: it takes too long to be filled"))))
}

/// Makes `count` repositories, each with a manifest under one tag.
pub async fn repositories(
    peer: &Peer,
    plan: &Plan,
    name: impl Fn(usize) -> String,
    count: usize,
) -> Result<(usize, Option<String>)> {
    let mut connections = peer.target.connect_many(CLIENTS).await?;
    let first = name(0);
    let config = connections[0].push_bytes(&first, Bytes::from_static(b"{}")).await?;
    let layer = connections[0].push_bytes(&first, Bytes::from_static(b"a layer")).await?;
    let manifest = Manifest::of(&config, std::slice::from_ref(&layer), "of many", 600);
    connections[0].put_manifest(&first, "v1", &manifest).await?;
    if peer.kind == Kind::Distribution {
        for number in 1..count {
            let repository = root(peer).join(name(number));
            for blob in [&config, &layer] {
                link(&repository.join("_layers").join(path_of(&blob.digest)?), &blob.digest)?;
            }
            link(&repository.join("_manifests/revisions").join(path_of(&manifest.digest)?), &manifest.digest)?;
            link_tag(&repository.join("_manifests/tags/v1"), &manifest.digest)?;
        }
        return Ok((count, None));
    }
    let done = until(&mut connections, plan, count, async |connection, number| {
        let repository = name(number);
        for blob in [&config, &layer] {
            mount(connection, &repository, blob, &first).await?;
        }
        connection.put_manifest(&repository, "v1", &manifest).await
    })
    .await?;
    Ok((done, (done < count).then(|| format!("{done} repositories of {count}: it takes too long to be filled"))))
}

/// Makes `count` manifests, no two alike, in repositories of a hundred.
pub async fn manifests(peer: &Peer, plan: &Plan, count: usize) -> Result<(usize, Option<String>)> {
    const EACH: usize = 100;
    let (repositories, _) =
        repositories(peer, plan, |number| format!("bench/many-{number:05}"), count.div_ceil(EACH)).await?;
    let mut connections = peer.target.connect_many(CLIENTS).await?;
    let config = Blob { digest: crate::content::digest(b"{}"), size: 2 };
    let layer = Blob { digest: crate::content::digest(b"a layer"), size: 7 };
    let done = until(&mut connections, plan, (repositories * EACH).min(count), async |connection, number| {
        let manifest = Manifest::of(&config, std::slice::from_ref(&layer), &format!("manifest {number}"), 600);
        connection.put_manifest(&format!("bench/many-{:05}", number / EACH), &tag(number % EACH), &manifest).await
    })
    .await?;
    Ok((done, (done < count).then(|| format!("{done} manifests of {count}: it takes too long to be filled"))))
}

/// Does it for each number up to `count`, in batches, until the patience is over; gives how many were done.
async fn until(
    connections: &mut [Connection],
    plan: &Plan,
    count: usize,
    work: impl AsyncFn(&mut Connection, usize) -> Result<()>,
) -> Result<usize> {
    const BATCH: usize = 500;
    let (began, mut done) = (Instant::now(), 0);
    while done < count && began.elapsed() < plan.patience {
        let batch = BATCH.min(count - done);
        run(connections, Until::Done(batch), async |connection, number| work(connection, done + number).await).await?;
        done += batch;
    }
    Ok(done)
}

async fn mount(connection: &mut Connection, repository: &str, blob: &Blob, from: &str) -> Result<()> {
    let path = format!("/v2/{repository}/blobs/uploads/?mount={}&from={from}", blob.digest);
    connection.call(Ask::new(Method::POST, &path), Bytes::new()).await?.expect(StatusCode::CREATED)?;
    Ok(())
}

/// Where distribution has its repositories.
fn root(peer: &Peer) -> std::path::PathBuf {
    peer.data.join("docker/registry/v2/repositories")
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
