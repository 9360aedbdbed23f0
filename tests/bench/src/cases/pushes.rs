//! P6, P7 and P21: large blobs are pushed, whole and in chunks, and many at once.

use anyhow::Result;
use async_trait::async_trait;

use super::{Case, Needs, Plan, Work, Workload, figures};
use crate::content::Content;
use crate::figure::{Against, Figures, Good, Target};
use crate::load::{Timings, Until, run};
use crate::peer::{Kind, Peer};

const REPOSITORY: &str = "bench/pushes";
const SIZE: u64 = 1 << 30;
const CHUNK: u64 = 10 << 20;

pub const WHOLE: Case = Case {
    id: "P6",
    title: "A push of 1 GiB",
    how: "one client pushes content that nobody has seen, with POST and PUT; the finish is the time from the last byte to the answer",
    needs: Needs { rests: true, ..Needs::NONE },
    kinds: &Kind::REGISTRIES,
    figures: &["GB/s", "finish, ms"],
    targets: &[
        Target { figure: "GB/s", good: Good::More, against: Against::Distribution, ratio: 1.5 },
        Target { figure: "GB/s", good: Good::More, against: Against::ZotCommit, ratio: 2.0 },
    ],
    limit: Some(("GB/s", "file write and sync, GB/s")),
    work: Work::Registries(|| Box::new(Push { chunk: None })),
};

pub const IN_CHUNKS: Case = Case {
    id: "P7",
    title: "A push of 1 GiB in chunks of 10 MiB",
    how: "one client pushes content that nobody has seen, a PATCH for each chunk; the finish is the time of the last PUT",
    needs: Needs { rests: true, ..Needs::NONE },
    kinds: &Kind::REGISTRIES,
    figures: &["GB/s", "finish, ms"],
    targets: &[Target { figure: "GB/s", good: Good::More, against: Against::Best, ratio: 2.0 }],
    limit: Some(("GB/s", "file write and sync, GB/s")),
    work: Work::Registries(|| Box::new(Push { chunk: Some(CHUNK) })),
};

/// What is pushed in P21: so many at once, each so large.
const AT_ONCE: [(&str, usize, u64); 4] = [
    ("memory at most, MiB · 1 of 16 MiB", 1, 16 << 20),
    ("memory at most, MiB · 1 of 1 GiB", 1, 1 << 30),
    ("memory at most, MiB · 8 of 16 MiB", 8, 16 << 20),
    ("memory at most, MiB · 64 of 16 MiB", 64, 16 << 20),
];

pub const MEMORY: Case = Case {
    id: "P21",
    title: "Memory of pushes",
    how: "clients push content that nobody has seen, all at once, with POST and PUT",
    needs: Needs::NONE,
    kinds: &Kind::REGISTRIES,
    figures: &[AT_ONCE[0].0, AT_ONCE[1].0, AT_ONCE[2].0, AT_ONCE[3].0],
    targets: &[Target { figure: AT_ONCE[1].0, good: Good::Less, against: Against::Own(AT_ONCE[0].0), ratio: 1.2 }],
    limit: None,
    work: Work::Registries(|| Box::new(AtOnce)),
};

struct Push {
    chunk: Option<u64>,
}

#[async_trait(?Send)]
impl Workload for Push {
    async fn prepare(&mut self, peer: &mut Peer, _: &Plan) -> Result<Option<String>> {
        warm(peer).await
    }

    async fn measure(&mut self, peer: &mut Peer, plan: &Plan, _: usize) -> Result<Figures> {
        let content = Content::unique(plan.size(SIZE));
        let digest = content.digest();
        let mut connection = peer.target.connect().await?;
        let pushed = match self.chunk {
            None => connection.push(REPOSITORY, content, &digest).await?,
            Some(chunk) => connection.push_in_chunks(REPOSITORY, content, &digest, chunk).await?,
        };
        Ok(figures([
            ("GB/s", content.size as f64 / 1e9 / pushed.took.as_secs_f64()),
            ("finish, ms", pushed.finish.as_secs_f64() * 1e3),
        ]))
    }
}

struct AtOnce;

#[async_trait(?Send)]
impl Workload for AtOnce {
    async fn prepare(&mut self, peer: &mut Peer, _: &Plan) -> Result<Option<String>> {
        warm(peer).await
    }

    async fn measure(&mut self, peer: &mut Peer, plan: &Plan, _: usize) -> Result<Figures> {
        let mut seen = Figures::new();
        for (figure, count, size) in AT_ONCE {
            peer.process.forget_peak()?;
            at_once(peer, REPOSITORY, count, plan.size(size)).await?;
            seen.insert(figure.to_owned(), peer.process.peak()? as f64 / f64::from(1 << 20));
        }
        Ok(seen)
    }
}

/// As many clients push as much each, all at once.
pub async fn at_once(peer: &Peer, repository: &str, count: usize, size: u64) -> Result<Timings> {
    let contents: Vec<_> = (0..count).map(|_| Content::unique(size)).collect();
    let contents: Vec<_> = contents.into_iter().map(|content| (content, content.digest())).collect();
    let mut connections = peer.target.connect_many(count).await?;
    run(&mut connections, Until::Done(count), async |it, number| {
        let (content, digest) = &contents[number];
        it.push(repository, *content, digest).await.map(drop)
    })
    .await
}

/// Pushes something small: what a registry does once is done then.
async fn warm(peer: &Peer) -> Result<Option<String>> {
    let small = Content::unique(1 << 20);
    peer.target.connect().await?.push(REPOSITORY, small, &small.digest()).await?;
    Ok(None)
}
