//! P12: pulls beside pushes, deletes and reclaiming.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode};

use super::{Case, Needs, Plan, Work, Workload, figures};
use crate::content::Content;
use crate::figure::{Against, Figures, Good, Target};
use crate::http::{Ask, Connection};
use crate::load::{Until, micros_of, run};
use crate::peer::{Kind, Peer};
use crate::registry::Manifest;

const REPOSITORY: &str = "bench/mixed";
const LAYER: u64 = 1 << 20;
const CLIENTS: usize = 16;
/// Images that are there; each that is pushed takes the place of the oldest, which is deleted.
const IMAGES: usize = 100;

pub const MIXED: Case = Case {
    id: "P12",
    title: "Pulls beside pushes, deletes and reclaiming",
    how: "16 clients: three of four times one pulls an image of 1 MiB, else it pushes one and deletes the oldest, while unused content is reclaimed \
          all the time (distribution cannot, and only deletes)",
    needs: Needs { reclaims: true, ..Needs::NONE },
    kinds: &Kind::REGISTRIES,
    figures: &["pull p99, ms", "pull p50, ms", "pulls and pushes/s", "errors"],
    targets: &[
        Target { figure: "pull p99, ms", good: Good::Less, against: Against::ZotCommit, ratio: 0.3 },
        Target { figure: "errors", good: Good::Less, against: Against::Itself, ratio: 0.0 },
    ],
    limit: None,
    work: Work::Registries(|| Box::new(Mixed::default())),
};

#[derive(Clone)]
struct Image {
    layer: Content,
    layer_digest: String,
    manifest: Manifest,
}

#[derive(Default)]
struct Mixed {
    images: RefCell<VecDeque<Image>>,
}

async fn push(connection: &mut Connection) -> Result<Image> {
    let layer = Content::unique(LAYER);
    let layer_digest = layer.digest();
    connection.push(REPOSITORY, layer, &layer_digest).await?;
    let config = connection.push_bytes(REPOSITORY, Bytes::from(format!("{{\"of\":\"{layer_digest}\"}}"))).await?;
    let blob = crate::registry::Blob { digest: layer_digest.clone(), size: LAYER };
    let manifest = Manifest::of(&config, &[blob], "mixed", 0);
    connection.put_manifest(REPOSITORY, &tag(&manifest), &manifest).await?;
    Ok(Image { layer, layer_digest, manifest })
}

fn tag(manifest: &Manifest) -> String {
    format!("of-{}", &manifest.digest[7..23])
}

async fn pull(connection: &mut Connection, image: &Image) -> Result<()> {
    let path = format!("/v2/{REPOSITORY}/manifests/{}", tag(&image.manifest));
    connection.get_manifest(&path, &image.manifest).await?;
    connection.get_blob(REPOSITORY, &image.layer_digest, image.layer).await
}

async fn delete(connection: &mut Connection, image: &Image) -> Result<()> {
    let path = format!("/v2/{REPOSITORY}/manifests/{}", image.manifest.digest);
    connection.call(Ask::new(Method::DELETE, &path), Bytes::new()).await?.expect(StatusCode::ACCEPTED)?;
    Ok(())
}

#[async_trait(?Send)]
impl Workload for Mixed {
    async fn prepare(&mut self, peer: &mut Peer, plan: &Plan) -> Result<Option<String>> {
        let mut connections = peer.target.connect_many(CLIENTS).await?;
        run(&mut connections, Until::Done(plan.count(IMAGES)), async |it, _| {
            let image = push(it).await?;
            self.images.borrow_mut().push_back(image);
            Ok(())
        })
        .await?;
        Ok(None)
    }

    async fn measure(&mut self, peer: &mut Peer, plan: &Plan, _: usize) -> Result<Figures> {
        let mut connections = peer.target.connect_many(CLIENTS).await?;
        let (pulls, errors) = (RefCell::new(Vec::new()), Cell::new(0));
        let timings = run(&mut connections, Until::Passed(plan.time * 2), async |it, number| {
            let done = if number % 4 == 3 {
                self.turn_over(it).await
            } else {
                // Not one of the oldest, which somebody may be deleting.
                let image = {
                    let images = self.images.borrow();
                    images.get(images.len() / 2 + number * 31 % (images.len() / 2).max(1)).cloned()
                };
                let (asked, Some(image)) = (Instant::now(), image) else { return Ok(()) };
                let pulled = pull(it, &image).await;
                pulls.borrow_mut().push(asked.elapsed());
                pulled
            };
            if let Err(error) = done {
                errors.set(errors.get() + 1);
                if errors.get() == 1 {
                    println!("  an error: {error:#}");
                }
                // What is left of an answer must not be taken for the next.
                *it = peer.target.connect().await?;
            }
            Ok(())
        })
        .await?;
        let pulls = pulls.into_inner();
        Ok(figures([
            ("pull p99, ms", micros_of(&pulls, 0.99) / 1e3),
            ("pull p50, ms", micros_of(&pulls, 0.5) / 1e3),
            ("pulls and pushes/s", timings.per_second()),
            ("errors", f64::from(errors.get())),
        ]))
    }
}

impl Mixed {
    async fn turn_over(&self, connection: &mut Connection) -> Result<()> {
        let image = push(connection).await?;
        let oldest = {
            let mut images = self.images.borrow_mut();
            images.push_back(image);
            images.pop_front()
        };
        match oldest {
            Some(oldest) => delete(connection, &oldest).await,
            None => Ok(()),
        }
    }
}
