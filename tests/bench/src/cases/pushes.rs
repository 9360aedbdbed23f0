//! P6 and P7: a large blob is pushed, whole and in chunks.

use anyhow::Result;
use async_trait::async_trait;

use super::{Case, Needs, Plan, Work, Workload, figures};
use crate::content::Content;
use crate::figure::{Against, Figures, Good, Target};
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

struct Push {
    chunk: Option<u64>,
}

#[async_trait(?Send)]
impl Workload for Push {
    async fn prepare(&mut self, peer: &mut Peer, _: &Plan) -> Result<Option<String>> {
        let small = Content::unique(1 << 20);
        peer.target.connect().await?.push(REPOSITORY, small, &small.digest()).await?;
        Ok(None)
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
