//! P4 and P5: a large blob is pulled, by one client and by eight, plain and over TLS.

use anyhow::Result;
use async_trait::async_trait;

use super::{Case, Needs, Plan, Work, Workload, figures};
use crate::content::Content;
use crate::figure::{Against, Figures, Good, Target};
use crate::load::{Until, run};
use crate::peer::{Kind, Peer};

const REPOSITORY: &str = "bench/blobs";
const SIZE: u64 = 1 << 30;
const STREAMS: usize = 8;
const FIGURES: &[&str] = &["one stream, GB/s", "eight streams, GB/s", "processor, s/GB"];

pub const PLAIN: Case = Case {
    id: "P4",
    title: "A blob of 1 GiB",
    how: "one client pulls it, then eight do at once; each byte is compared with what was pushed",
    needs: Needs::NONE,
    kinds: &Kind::REGISTRIES,
    figures: FIGURES,
    targets: &[
        Target { figure: "one stream, GB/s", good: Good::More, against: Against::Best, ratio: 1.2 },
        Target { figure: "eight streams, GB/s", good: Good::More, against: Against::Best, ratio: 1.2 },
    ],
    limit: Some(("one stream, GB/s", "loopback TCP, GB/s")),
    work: Work::Registries(|| Box::new(Pull::default())),
};

pub const TLS: Case = Case {
    id: "P5",
    title: "A blob of 1 GiB over TLS",
    how: "the same over TLS 1.3 with AES-128-GCM",
    needs: Needs { tls: true, ..Needs::NONE },
    kinds: &Kind::REGISTRIES,
    figures: FIGURES,
    targets: &[
        Target { figure: "one stream, GB/s", good: Good::More, against: Against::Best, ratio: 1.3 },
        Target { figure: "eight streams, GB/s", good: Good::More, against: Against::Best, ratio: 1.3 },
    ],
    limit: Some(("one stream, GB/s", "loopback TCP, GB/s")),
    work: Work::Registries(|| Box::new(Pull::default())),
};

#[derive(Default)]
struct Pull(Option<(Content, String)>);

#[async_trait(?Send)]
impl Workload for Pull {
    async fn prepare(&mut self, peer: &mut Peer, plan: &Plan) -> Result<Option<String>> {
        let content = Content::unique(plan.size(SIZE));
        let digest = content.digest();
        let mut connection = peer.target.connect().await?;
        connection.push(REPOSITORY, content, &digest).await?;
        // From here on it is in the page cache.
        connection.get_blob(REPOSITORY, &digest, content).await?;
        self.0 = Some((content, digest));
        Ok(None)
    }

    async fn measure(&mut self, peer: &mut Peer, _: &Plan, _: usize) -> Result<Figures> {
        let Some((content, digest)) = &self.0 else { return Ok(Figures::new()) };
        let mut connections = peer.target.connect_many(STREAMS).await?;
        let before = peer.process.processor()?;
        let pull = async |it: &mut crate::http::Connection, _| it.get_blob(REPOSITORY, digest, *content).await;
        let one = run(&mut connections[..1], Until::Done(1), pull).await?;
        let eight = run(&mut connections, Until::Done(STREAMS), pull).await?;
        let processor = peer.process.processor()?.checked_sub(before).unwrap_or_default();
        let gigabytes = content.size as f64 / 1e9;
        Ok(figures([
            ("one stream, GB/s", gigabytes / one.all.as_secs_f64()),
            ("eight streams, GB/s", gigabytes * STREAMS as f64 / eight.all.as_secs_f64()),
            ("processor, s/GB", processor.as_secs_f64() / (gigabytes * (STREAMS + 1) as f64)),
        ]))
    }
}
