//! P13 and P14: pushes to a registry whose blobs are in S3.

use anyhow::{Context, Result};
use async_trait::async_trait;

use super::{Case, Needs, Plan, Work, Workload, figures, pushes};
use crate::content::Content;
use crate::figure::{Against, Figures, Good, Target};
use crate::peer::{Kind, Peer};

const REPOSITORY: &str = "bench/buckets";
const CLIENTS: usize = 64;
const SIZE: u64 = 100 << 20;
const LARGE: u64 = 1 << 30;

pub const MANY: Case = Case {
    id: "P13",
    title: "64 pushes to S3 at once",
    how: "64 clients push 100 MiB each at once to a registry on S3, whose requests and bytes are counted",
    needs: Needs { s3: Some(0), rests: true, ..Needs::NONE },
    kinds: &Kind::REGISTRIES,
    figures: &["memory at most, MiB", "written per byte", "requests of a blob", "copies of a blob", "GB/s"],
    targets: &[
        Target { figure: "memory at most, MiB", good: Good::Less, against: Against::Distribution, ratio: 0.2 },
        Target { figure: "written per byte", good: Good::Less, against: Against::Itself, ratio: 1.01 },
    ],
    limit: None,
    work: Work::Registries(|| Box::new(Many)),
};

pub const FINISH: Case = Case {
    id: "P14",
    title: "The end of a push of 1 GiB to S3 with 20 ms latency",
    how: "one client pushes to a registry on S3 that answers 20 ms late; the finish is the time from the last byte to the answer",
    needs: Needs { s3: Some(20), rests: true, ..Needs::NONE },
    kinds: &Kind::REGISTRIES,
    figures: &["finish, ms", "longest answer of the store, ms", "GB/s"],
    targets: &[Target { figure: "finish, ms", good: Good::Less, against: Against::Best, ratio: 0.1 }],
    limit: None,
    work: Work::Registries(|| Box::new(Finish)),
};

struct Many;

#[async_trait(?Send)]
impl Workload for Many {
    async fn prepare(&mut self, peer: &mut Peer, _: &Plan) -> Result<Option<String>> {
        peer.target.connect().await?.prepare(REPOSITORY, 600).await?;
        Ok(None)
    }

    async fn measure(&mut self, peer: &mut Peer, plan: &Plan, _: usize) -> Result<Figures> {
        let store = peer.store.as_ref().context("no S3")?;
        store.forget_counts().await?;
        peer.process.forget_peak()?;
        let timings = pushes::at_once(peer, REPOSITORY, CLIENTS, plan.size(SIZE)).await?;
        let (counts, peak) = (store.counts().await?, peer.process.peak()?);
        store.drop_large()?;
        let bytes = (CLIENTS as u64 * plan.size(SIZE)) as f64;
        Ok(figures([
            ("memory at most, MiB", peak as f64 / f64::from(1 << 20)),
            ("written per byte", counts.written as f64 / bytes),
            ("requests of a blob", counts.requests as f64 / CLIENTS as f64),
            ("copies of a blob", counts.copies as f64 / CLIENTS as f64),
            ("GB/s", bytes / 1e9 / timings.all.as_secs_f64()),
        ]))
    }
}

struct Finish;

#[async_trait(?Send)]
impl Workload for Finish {
    async fn prepare(&mut self, peer: &mut Peer, _: &Plan) -> Result<Option<String>> {
        peer.target.connect().await?.prepare(REPOSITORY, 600).await?;
        Ok(None)
    }

    async fn measure(&mut self, peer: &mut Peer, plan: &Plan, _: usize) -> Result<Figures> {
        let content = Content::unique(plan.size(LARGE));
        let digest = content.digest();
        let store = peer.store.as_ref().context("no S3")?;
        store.forget_counts().await?;
        let pushed = peer.target.connect().await?.push(REPOSITORY, content, &digest).await?;
        let counts = store.counts().await?;
        store.drop_large()?;
        Ok(figures([
            ("finish, ms", pushed.finish.as_secs_f64() * 1e3),
            ("longest answer of the store, ms", counts.slowest as f64 / 1e3),
            ("GB/s", content.size as f64 / 1e9 / pushed.took.as_secs_f64()),
        ]))
    }
}
