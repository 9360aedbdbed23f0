//! P1 to P3: manifests are pulled, by digest, by tag, and by one client alone.

use anyhow::Result;
use async_trait::async_trait;

use super::{Case, Needs, Plan, Work, Workload, figures, fill};
use crate::figure::{Against, Figures, Good, Target};
use crate::load::{Until, run};
use crate::peer::{Kind, Peer};
use crate::registry::Manifest;

const REPOSITORY: &str = "bench/manifests";
const SIZE: usize = 1500;
const CLIENTS: usize = 64;
const TAGS: usize = 10_000;

pub const BY_DIGEST: Case = Case {
    id: "P1",
    title: "Manifests by digest",
    how: "64 connections pull a manifest of 1.5 KB by its digest",
    needs: Needs { pinned: true, ..Needs::NONE },
    kinds: &Kind::REGISTRIES,
    figures: &["GET/s", "p50, µs", "p99, µs"],
    targets: &[Target { figure: "GET/s", good: Good::More, against: Against::Best, ratio: 4.0 }],
    limit: None,
    work: Work::Registries(|| Box::new(ByDigest::default())),
};

pub const BY_TAG: Case = Case {
    id: "P2",
    title: "Manifests by tag, of 10,000 tags",
    how: "64 connections pull a manifest by the tags of one repository, in turns; then ask for it with HEAD",
    needs: Needs { pinned: true, ..Needs::NONE },
    kinds: &Kind::REGISTRIES,
    figures: &["GET/s", "GET p99, µs", "HEAD/s", "HEAD p99, µs"],
    targets: &[
        Target { figure: "GET/s", good: Good::More, against: Against::ZotCommit, ratio: 20.0 },
        Target { figure: "GET/s", good: Good::More, against: Against::Distribution, ratio: 4.0 },
        Target { figure: "HEAD/s", good: Good::More, against: Against::Distribution, ratio: 4.0 },
    ],
    limit: None,
    work: Work::Registries(|| Box::new(ByTag::default())),
};

pub const ONE_CLIENT: Case = Case {
    id: "P3",
    title: "One client asks for a tag",
    how: "one connection asks for a tag with HEAD, again and again: how a pull begins",
    needs: Needs { pinned: true, ..Needs::NONE },
    kinds: &Kind::REGISTRIES,
    figures: &["p50, µs", "p99, µs"],
    targets: &[Target { figure: "p50, µs", good: Good::Less, against: Against::Best, ratio: 0.5 }],
    limit: None,
    work: Work::Registries(|| Box::new(OneClient::default())),
};

/// Pushes a manifest as `v1`.
async fn tagged(peer: &Peer) -> Result<Manifest> {
    let mut connection = peer.target.connect().await?;
    let manifest = connection.prepare(REPOSITORY, SIZE).await?;
    connection.put_manifest(REPOSITORY, "v1", &manifest).await?;
    Ok(manifest)
}

#[derive(Default)]
struct ByDigest(Option<Manifest>);

#[async_trait(?Send)]
impl Workload for ByDigest {
    async fn prepare(&mut self, peer: &mut Peer, _: &Plan) -> Result<Option<String>> {
        self.0 = Some(tagged(peer).await?);
        Ok(None)
    }

    async fn measure(&mut self, peer: &mut Peer, plan: &Plan, _: usize) -> Result<Figures> {
        let Some(manifest) = &self.0 else { return Ok(Figures::new()) };
        let path = format!("/v2/{REPOSITORY}/manifests/{}", manifest.digest);
        let mut connections = peer.target.connect_many(CLIENTS).await?;
        let until = Until::Passed(plan.time);
        let timings =
            run(&mut connections, until, async |connection, _| connection.get_manifest(&path, manifest).await).await?;
        Ok(figures([
            ("GET/s", timings.per_second()),
            ("p50, µs", timings.micros(0.5)),
            ("p99, µs", timings.micros(0.99)),
        ]))
    }
}

#[derive(Default)]
struct ByTag {
    manifest: Option<Manifest>,
    paths: Vec<String>,
}

#[async_trait(?Send)]
impl Workload for ByTag {
    async fn prepare(&mut self, peer: &mut Peer, plan: &Plan) -> Result<Option<String>> {
        let manifest = peer.target.connect().await?.prepare(REPOSITORY, SIZE).await?;
        let (tags, note) = fill::tags(peer, plan, REPOSITORY, &manifest, 0..plan.count(TAGS)).await?;
        self.paths = (0..tags).map(|number| format!("/v2/{REPOSITORY}/manifests/{}", fill::tag(number))).collect();
        self.manifest = Some(manifest);
        Ok(note)
    }

    async fn measure(&mut self, peer: &mut Peer, plan: &Plan, _: usize) -> Result<Figures> {
        let Some(manifest) = &self.manifest else { return Ok(Figures::new()) };
        // A stride that meets each tag, and none twice in a row.
        let path = |number: usize| &self.paths[number * 7919 % self.paths.len()];
        let mut connections = peer.target.connect_many(CLIENTS).await?;
        let until = Until::Passed(plan.time / 2);
        let get =
            run(&mut connections, until, async |it, number| it.get_manifest(path(number), manifest).await).await?;
        let head =
            run(&mut connections, until, async |it, number| it.head_manifest(path(number), manifest).await).await?;
        Ok(figures([
            ("GET/s", get.per_second()),
            ("GET p99, µs", get.micros(0.99)),
            ("HEAD/s", head.per_second()),
            ("HEAD p99, µs", head.micros(0.99)),
        ]))
    }
}

#[derive(Default)]
struct OneClient(Option<Manifest>);

#[async_trait(?Send)]
impl Workload for OneClient {
    async fn prepare(&mut self, peer: &mut Peer, _: &Plan) -> Result<Option<String>> {
        self.0 = Some(tagged(peer).await?);
        Ok(None)
    }

    async fn measure(&mut self, peer: &mut Peer, plan: &Plan, _: usize) -> Result<Figures> {
        let Some(manifest) = &self.0 else { return Ok(Figures::new()) };
        let path = format!("/v2/{REPOSITORY}/manifests/v1");
        let mut connections = peer.target.connect_many(1).await?;
        let until = Until::Passed(plan.time / 2);
        let timings = run(&mut connections, until, async |it, _| it.head_manifest(&path, manifest).await).await?;
        Ok(figures([("p50, µs", timings.micros(0.5)), ("p99, µs", timings.micros(0.99))]))
    }
}
