//! P11: pages of the list of repositories.

use std::time::Instant;

use anyhow::{Result, ensure};
use async_trait::async_trait;

use super::{Case, Needs, Plan, Work, Workload, figures, fill};
use crate::figure::{Against, Figures, Good, Target};
use crate::load::micros_of;
use crate::peer::{Kind, Peer};
use crate::registry::items;

const REPOSITORIES: usize = 10_000;
const PAGE: usize = 100;
/// Pages that are asked for in a run, as far as there is time.
const PAGES: usize = 50;

pub const LIST: Case = Case {
    id: "P11",
    title: "The catalog of 10,000 repositories",
    how: "one client asks for the first 100 repositories, and for the 100 behind the middle one",
    needs: Needs { pinned: true, ..Needs::NONE },
    kinds: &Kind::REGISTRIES,
    figures: &["first page, ms", "page in the middle, ms"],
    targets: &[
        Target { figure: "first page, ms", good: Good::Less, against: Against::Best, ratio: 0.02 },
        Target { figure: "page in the middle, ms", good: Good::Less, against: Against::Best, ratio: 0.02 },
    ],
    limit: None,
    work: Work::Registries(|| Box::new(Catalog::default())),
};

#[derive(Default)]
struct Catalog {
    repositories: usize,
}

fn name(number: usize) -> String {
    format!("team-{:02}/app-{number:05}", number / 100)
}

#[async_trait(?Send)]
impl Workload for Catalog {
    async fn prepare(&mut self, peer: &mut Peer, plan: &Plan) -> Result<Option<String>> {
        let (repositories, note) = fill::repositories(peer, plan, name, 0..plan.count(REPOSITORIES)).await?;
        self.repositories = repositories;
        Ok(note)
    }

    async fn measure(&mut self, peer: &mut Peer, plan: &Plan, _: usize) -> Result<Figures> {
        let mut connection = peer.target.connect().await?;
        let middle = self.repositories / 2;
        let mut medians = Vec::new();
        for (first, query) in [(0, String::new()), (middle + 1, format!("&last={}", name(middle)))] {
            let path = format!("/v2/_catalog?n={PAGE}{query}");
            let (began, mut each) = (Instant::now(), Vec::new());
            while each.len() < PAGES && (each.is_empty() || began.elapsed() < plan.time) {
                let asked = Instant::now();
                let (page, _) = connection.page(&path).await?;
                each.push(asked.elapsed());
                let found = items(&page, "repositories")?;
                let wanted: Vec<String> = (first..self.repositories).take(PAGE).map(name).collect();
                ensure!(found == wanted, "other repositories than {}…", name(first));
            }
            medians.push(micros_of(&each, 0.5) / 1e3);
        }
        Ok(figures([("first page, ms", medians[0]), ("page in the middle, ms", medians[1])]))
    }
}
