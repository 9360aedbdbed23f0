//! P17: a registry with many manifests is killed and starts again.

use anyhow::Result;
use async_trait::async_trait;

use super::{Case, Needs, Plan, Work, Workload, figures, fill};
use crate::figure::{Against, Figures, Good, Target};
use crate::peer::{Kind, Peer};

const MANIFESTS: usize = 1_000_000;

pub const RESTART: Case = Case {
    id: "P17",
    title: "A restart with a million manifests",
    how: "a registry with a million manifests in 10,000 repositories is killed and started; it is there when it answers `GET /v2/`",
    needs: Needs::NONE,
    kinds: &[Kind::Roadstead],
    figures: &["seconds to serve", "memory then, MiB", "bytes of memory a manifest"],
    targets: &[Target { figure: "seconds to serve", good: Good::Less, against: Against::Itself, ratio: 2.0 }],
    limit: None,
    work: Work::Registries(|| Box::new(Restart::default())),
};

#[derive(Default)]
struct Restart {
    manifests: usize,
}

#[async_trait(?Send)]
impl Workload for Restart {
    async fn prepare(&mut self, peer: &mut Peer, plan: &Plan) -> Result<Option<String>> {
        // This is about what is there, however long that took.
        let plan = Plan { patience: plan.patience * 10, ..*plan };
        let (manifests, note) = fill::manifests(peer, &plan, 0..plan.count(MANIFESTS)).await?;
        self.manifests = manifests;
        Ok(note)
    }

    async fn measure(&mut self, peer: &mut Peer, _: &Plan, _: usize) -> Result<Figures> {
        let took = peer.crash().await?;
        let resident = peer.process.resident()? as f64;
        Ok(figures([
            ("seconds to serve", took.as_secs_f64()),
            ("memory then, MiB", resident / f64::from(1 << 20)),
            ("bytes of memory a manifest", resident / self.manifests as f64),
        ]))
    }
}
