//! P18 to P20: what grows with what is there already, and what does not.
//!
//! A registry is filled step by step, and at each step the same is asked of it in several runs.

use std::ops::Range;
use std::time::Instant;

use anyhow::{Result, ensure};
use async_trait::async_trait;

use super::{Case, Needs, Plan, Work, Workload, fill};
use crate::figure::{Against, Figures, Good, Target};
use crate::load::{Until, run};
use crate::peer::{Kind, Peer};
use crate::registry::Manifest;

const REPOSITORY: &str = "bench/tags";
const PAGE: usize = 100;
/// What one client asks in a run.
const WRITES: usize = 1000;
const PULLS: usize = 2000;
const PAGES: usize = 500;

/// What is told of each of these steps, in the order in which [`Scale::look`] gives it.
macro_rules! at {
    ($($step:literal),*) => {
        &[$(
            concat!("new tag p50, µs · ", $step),
            concat!("new tag processor, µs · ", $step),
            concat!("pull p50, µs · ", $step),
            concat!("page p50, µs · ", $step),
            concat!("memory, MiB · ", $step),
        )*]
    };
}

/// A tag is made as fast, and with as little work, at the last step as at the first.
macro_rules! flat {
    ($first:literal, $last:literal) => {
        &[
            Target {
                figure: concat!("new tag p50, µs · ", $last),
                good: Good::Less,
                against: Against::Own(concat!("new tag p50, µs · ", $first)),
                ratio: 1.2,
            },
            Target {
                figure: concat!("new tag processor, µs · ", $last),
                good: Good::Less,
                against: Against::Own(concat!("new tag processor, µs · ", $first)),
                ratio: 1.2,
            },
        ]
    };
}

pub const MANIFESTS: Case = Case {
    id: "P18",
    title: "Beside a million manifests",
    how: "a registry is filled with manifests, in repositories of a hundred. Meanwhile, with so many there, one client makes tags, pulls by \
          tag, and asks for all tags of a repository",
    figures: at!["1000", "10 000", "100 000", "1 000 000"],
    targets: flat!["1000", "1 000 000"],
    work: Work::Registries(|| Box::new(Scale::of(What::Manifests, [1000, 10_000, 100_000, 1_000_000]))),
    ..SCALE
};

pub const TAGS: Case = Case {
    id: "P19",
    title: "Beside 100,000 tags in one repository",
    how: "a repository is filled with tags. Meanwhile, with so many there, one client makes more, pulls by tag, and asks for a page of 100 from \
          the middle",
    figures: at!["100", "1000", "10 000", "100 000"],
    targets: flat!["100", "100 000"],
    work: Work::Registries(|| Box::new(Scale::of(What::Tags, [100, 1000, 10_000, 100_000]))),
    ..SCALE
};

pub const REPOSITORIES: Case = Case {
    id: "P20",
    title: "Beside 10,000 repositories",
    how: "a registry is filled with repositories of one image. Meanwhile, with so many there, one client makes tags, pulls by tag, and asks for a \
          page of 100 repositories from the middle",
    figures: at!["10", "100", "1000", "10 000"],
    targets: flat!["10", "10 000"],
    work: Work::Registries(|| Box::new(Scale::of(What::Repositories, [10, 100, 1000, 10_000]))),
    ..SCALE
};

/// What all of them have in common.
const SCALE: Case = Case {
    id: "",
    title: "",
    how: "",
    needs: Needs { pinned: true, ..Needs::NONE },
    kinds: &[Kind::Roadstead],
    figures: &[],
    targets: &[],
    limit: None,
    work: Work::Clusters,
};

#[derive(Clone, Copy)]
enum What {
    Manifests,
    Tags,
    Repositories,
}

impl What {
    const fn figures(self) -> &'static [&'static str] {
        match self {
            Self::Manifests => MANIFESTS.figures,
            Self::Tags => TAGS.figures,
            Self::Repositories => REPOSITORIES.figures,
        }
    }
}

/// What [`Scale::look`] sees of one step.
const SEEN: usize = 5;

struct Scale {
    what: What,
    steps: [usize; 4],
    /// What each run saw, at all steps.
    runs: Vec<Figures>,
}

impl Scale {
    fn of(what: What, steps: [usize; 4]) -> Self {
        Self { what, steps, runs: Vec::new() }
    }

    async fn fill(&self, peer: &Peer, plan: &Plan, numbers: Range<usize>) -> Result<()> {
        // This is about what is there, however long that took.
        let plan = &Plan { patience: plan.patience * 10, ..*plan };
        let (_, note) = match self.what {
            What::Manifests => fill::manifests(peer, plan, numbers).await?,
            What::Tags => fill::tags(peer, plan, REPOSITORY, &fill::only_manifest(), numbers).await?,
            What::Repositories => fill::repositories(peer, plan, repository, numbers).await?,
        };
        ensure!(note.is_none(), "{}", note.unwrap_or_default());
        Ok(())
    }

    /// Where one of those is that are there: its repository, its tag, and what that names.
    fn place(&self, number: usize) -> (String, String, Manifest) {
        match self.what {
            What::Manifests => fill::place(number),
            What::Tags => (REPOSITORY.to_owned(), fill::tag(number), fill::only_manifest()),
            What::Repositories => (repository(number), "v1".to_owned(), fill::only_manifest()),
        }
    }

    fn page(&self, count: usize) -> String {
        let middle = count / 2;
        match self.what {
            What::Manifests => format!("/v2/{}/tags/list?n={PAGE}", self.place(middle).0),
            What::Tags => format!("/v2/{REPOSITORY}/tags/list?n={PAGE}&last={}", fill::tag(middle)),
            What::Repositories => format!("/v2/_catalog?n={PAGE}&last={}", repository(middle)),
        }
    }

    /// Asks the same of it at each step, with so many there.
    async fn look(&self, peer: &Peer, plan: &Plan, count: usize, turn: usize) -> Result<[f64; SEEN]> {
        // A stride that meets each one.
        let any = |number: usize| self.place(number * 7919 % count);
        let mut one = peer.target.connect_many(1).await?;
        let before = peer.process.processor()?;
        let written = run(&mut one, Until::Done(plan.count(WRITES)), async |it, number| {
            let (repository, _, manifest) = any(number);
            it.put_manifest(&repository, &format!("at-{count}-{turn}-{number}"), &manifest).await
        })
        .await?;
        let processor =
            peer.process.processor()?.saturating_sub(before).as_secs_f64() * 1e6 / written.each.len() as f64;
        let pulled = run(&mut one, Until::Done(plan.count(PULLS)), async |it, number| {
            let (repository, tag, manifest) = any(number);
            it.get_manifest(&format!("/v2/{repository}/manifests/{tag}"), &manifest).await
        })
        .await?;
        let page = self.page(count);
        let paged = run(&mut one, Until::Done(plan.count(PAGES)), async |it, _| it.page(&page).await.map(drop)).await?;
        let memory = peer.process.resident()? as f64 / f64::from(1 << 20);
        Ok([written.micros(0.5), processor, pulled.micros(0.5), paged.micros(0.5), memory])
    }
}

fn repository(number: usize) -> String {
    format!("bench/app-{number:05}")
}

#[async_trait(?Send)]
impl Workload for Scale {
    async fn prepare(&mut self, peer: &mut Peer, plan: &Plan) -> Result<Option<String>> {
        if let What::Tags = self.what {
            fill::repositories(peer, plan, |_| REPOSITORY.to_owned(), 0..1).await?;
        }
        self.runs = vec![Figures::new(); plan.runs];
        let mut there = 0;
        for (step, names) in self.steps.into_iter().zip(self.what.figures().chunks(SEEN)) {
            let count = plan.count(step);
            if count > there {
                self.fill(peer, plan, there..count).await?;
                there = count;
            }
            settle(peer, plan).await?;
            for turn in 0..plan.runs {
                let seen = self.look(peer, plan, count, turn).await?;
                self.runs[turn].extend(names.iter().map(|name| (*name).to_owned()).zip(seen));
            }
        }
        Ok(None)
    }

    async fn measure(&mut self, _: &mut Peer, _: &Plan, turn: usize) -> Result<Figures> {
        Ok(std::mem::take(&mut self.runs[turn]))
    }
}

/// Waits until the registry has done what it does by itself after much was written.
async fn settle(peer: &Peer, plan: &Plan) -> Result<()> {
    let (began, look) = (Instant::now(), plan.time / 5);
    loop {
        let before = peer.process.processor()?;
        tokio::time::sleep(look).await;
        if peer.process.processor()?.saturating_sub(before) <= look / 20 || began.elapsed() > plan.patience {
            return Ok(());
        }
    }
}
