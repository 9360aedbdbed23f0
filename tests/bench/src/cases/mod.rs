//! The cases: what is done, what is told of it, and what is promised. P1 to P21, as the page names them.

mod blobs;
mod buckets;
mod catalog;
pub mod fill;
mod images;
mod manifests;
mod mixed;
mod pushes;
mod restart;
mod scale;
mod tags;

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;

use crate::figure::{Figures, Target};
use crate::peer::{Kind, Peer};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What sizes and counts are divided by: 1, or 10 for the quick form.
    pub divisor: u64,
    pub runs: usize,
    /// How long clients ask, where a time is what ends them.
    pub time: Duration,
    /// How long a registry may take to be filled over its API.
    pub patience: Duration,
}

impl Plan {
    pub fn size(&self, full: u64) -> u64 {
        (full / self.divisor).max(1)
    }

    pub fn count(&self, full: usize) -> usize {
        (full / self.divisor as usize).max(10)
    }
}

/// How a case wants its registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    pub pinned: bool,
    pub tls: bool,
    /// Blobs are in S3, which answers so many milliseconds late.
    pub s3: Option<u64>,
    /// What nothing needs is reclaimed all the time.
    pub reclaims: bool,
    /// So much is written that the disk must rest before each turn.
    pub rests: bool,
}

impl Needs {
    pub const NONE: Self = Self { pinned: false, tls: false, s3: None, reclaims: false, rests: false };
}

pub struct Case {
    pub id: &'static str,
    pub title: &'static str,
    pub how: &'static str,
    pub needs: Needs,
    pub kinds: &'static [Kind],
    /// What the page shows, in this order. Of `what · step` it makes a row for each step.
    pub figures: &'static [&'static str],
    pub targets: &'static [Target],
    /// A figure, and the wall of the calibration that it is a share of.
    pub limit: Option<(&'static str, &'static str)>,
    pub work: Work,
}

#[derive(Clone, Copy)]
pub enum Work {
    /// The same is done to each of some registries.
    Registries(fn() -> Box<dyn Workload>),
    /// See [`crate::clusters`].
    Clusters,
}

/// What is done to one registry.
#[async_trait(?Send)]
pub trait Workload {
    /// Fills one that was just started; says what is to be known of that.
    async fn prepare(&mut self, peer: &mut Peer, plan: &Plan) -> Result<Option<String>>;

    async fn measure(&mut self, peer: &mut Peer, plan: &Plan, run: usize) -> Result<Figures>;
}

pub fn all() -> Vec<Case> {
    vec![
        manifests::BY_DIGEST,
        manifests::BY_TAG,
        manifests::ONE_CLIENT,
        blobs::PLAIN,
        blobs::TLS,
        pushes::WHOLE,
        pushes::IN_CHUNKS,
        images::SMALL,
        tags::STORM,
        tags::LIST,
        catalog::LIST,
        mixed::MIXED,
        buckets::MANY,
        buckets::FINISH,
        crate::clusters::CASE,
        restart::RESTART,
        scale::MANIFESTS,
        scale::TAGS,
        scale::REPOSITORIES,
        pushes::MEMORY,
    ]
}

/// The figures of a run.
pub fn figures<const N: usize>(of: [(&str, f64); N]) -> Figures {
    of.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::peer::{Programs, Setting};
    use crate::runner;

    /// The registry that the tests of the workspace have built, and nobody else.
    fn programs() -> Programs {
        let here = std::env::current_exe().unwrap();
        let roadstead = here.parent().and_then(std::path::Path::parent).unwrap().join("roadstead");
        assert!(roadstead.exists(), "build it first: cargo build --workspace --bin roadstead");
        Programs { roadstead, ..Programs::default() }
    }

    #[tokio::test]
    async fn who_takes_too_long_to_be_filled_is_said_to() {
        let (programs, data) = (programs(), tempfile::tempdir().unwrap());
        let peer = Peer::start(Kind::Roadstead, &programs, &Setting::default(), data.path()).await.unwrap();
        let plan = Plan { divisor: 1, runs: 1, time: Duration::ZERO, patience: Duration::ZERO };
        let (done, note) = fill::manifests(&peer, &plan, 100..300).await.unwrap();
        assert_eq!((done, &*note.unwrap()), (100, "100 manifests of 300: it takes too long to be filled"));
    }

    /// With as little of everything as there can be.
    #[tokio::test]
    async fn every_case_measures_what_it_shows() {
        let programs = programs();
        let time = Duration::from_millis(50);
        let plan = Plan { divisor: 10_000, runs: 1, time, patience: Duration::from_mins(1) };
        let data = tempfile::tempdir().unwrap();
        for case in all().into_iter().filter(|case| case.needs.s3.is_none() && matches!(case.work, Work::Registries(_)))
        {
            let measured = runner::compare(&case, &programs, &plan, data.path(), None).await.unwrap();
            assert_eq!(measured.missing, [], "{}", case.id);
            let (_, figures) = &measured.runs[0];
            for figure in case.figures {
                assert!(figures.get(*figure).is_some_and(|value| value.is_finite()), "{}: {figure}", case.id);
            }
            for target in case.targets {
                assert!(figures.contains_key(target.figure), "{}: a target of {}", case.id, target.figure);
            }
        }
    }

    #[test]
    fn cases_are_called_after_their_numbers_and_each_once() {
        let mut numbers: Vec<u32> =
            all().iter().map(|case| case.id.strip_prefix('P').unwrap().parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all().len());
    }
}
