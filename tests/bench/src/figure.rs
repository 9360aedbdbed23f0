//! What is measured: a number of each run, what of several runs is told, and what a case promises.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::peer::Kind;

/// The numbers of one run, by what they are.
pub type Figures = BTreeMap<String, f64>;

/// The median of several runs, and the two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// None: there was no run.
    pub fn of(runs: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = runs.iter().copied().filter(|run| run.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            *sorted.get(middle)?
        } else {
            f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, *sorted.get(middle)?)
        };
        Some(Self { median, least: *sorted.first()?, most: *sorted.last()? })
    }
}

/// Which numbers are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Good {
    More,
    Less,
}

/// A promise: how a number of ours stands to that of somebody else in the same runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    pub figure: &'static str,
    pub good: Good,
    pub against: Against,
    /// At least so much of theirs where more is good, at most where less is.
    pub ratio: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The best of those that were measured.
    Best,
    Distribution,
    ZotCommit,
    Etcd,
    /// Nobody: the number itself.
    Itself,
    /// Another number of ours.
    Own(&'static str),
}

/// All that a case has measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    pub id: String,
    /// One of the runs of each, in turns.
    pub runs: Vec<(Kind, Figures)>,
    /// What could not be measured, and why.
    pub missing: Vec<(Kind, String)>,
    /// Said of how large it was.
    pub notes: Vec<String>,
}

impl Measured {
    pub fn kinds(&self) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| self.runs.iter().any(|(of, _)| of == kind)).collect()
    }

    pub fn spread(&self, kind: Kind, figure: &str) -> Option<Spread> {
        let runs = self.runs.iter().filter(|(of, _)| *of == kind);
        Spread::of(&runs.filter_map(|(_, figures)| figures.get(figure).copied()).collect::<Vec<_>>())
    }
}

/// What became of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub ratio: f64,
    /// Whose number it was compared with.
    pub with: Option<Kind>,
    pub is_met: bool,
}

impl Target {
    /// None: nobody whom it is about was measured.
    pub fn judge(&self, measured: &Measured) -> Option<Verdict> {
        let ours = measured.spread(Kind::Roadstead, self.figure)?.median;
        let of = |kind: Kind| measured.spread(kind, self.figure).map(|spread| (kind, spread.median));
        let better = |a: f64, b: f64| match self.good {
            Good::More => a > b,
            Good::Less => a < b,
        };
        let theirs = match self.against {
            Against::Best => Kind::ALL[1..]
                .iter()
                .filter_map(|kind| of(*kind))
                .reduce(|best, other| if better(other.1, best.1) { other } else { best }),
            Against::Distribution => of(Kind::Distribution),
            Against::ZotCommit => of(Kind::ZotCommit),
            Against::Etcd => of(Kind::Etcd),
            Against::Itself => Some((Kind::Roadstead, 1.0)),
            Against::Own(other) => {
                measured.spread(Kind::Roadstead, other).map(|spread| (Kind::Roadstead, spread.median))
            }
        };
        let (kind, theirs) = theirs?;
        let ratio = ours / theirs;
        let is_met = match self.good {
            Good::More => ratio >= self.ratio,
            Good::Less => ratio <= self.ratio,
        };
        Some(Verdict { ratio, with: (kind != Kind::Roadstead).then_some(kind), is_met })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn several_runs_are_told_by_their_median_and_ends() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::of(&[1.0, 2.0]), Some(Spread { median: 1.5, least: 1.0, most: 2.0 }));
        assert_eq!(Spread::of(&[f64::NAN]), None);
    }

    #[test]
    fn a_target_is_judged_by_medians_and_against_whom_it_is_about() {
        let run = |kind, rate: f64, late: f64| (kind, Figures::from([("rate".into(), rate), ("late".into(), late)]));
        let measured = Measured {
            runs: vec![
                run(Kind::Roadstead, 40.0, 1.0),
                run(Kind::Distribution, 10.0, 4.0),
                run(Kind::Zot, 5.0, 1.5),
                run(Kind::Roadstead, 50.0, 1.0),
            ],
            ..Measured::default()
        };
        let target = |figure, good, against, ratio| Target { figure, good, against, ratio };
        let best = target("rate", Good::More, Against::Best, 4.0).judge(&measured).unwrap();
        assert_eq!((best.ratio, best.with, best.is_met), (4.5, Some(Kind::Distribution), true));
        let late = target("late", Good::Less, Against::Best, 0.5).judge(&measured).unwrap();
        assert_eq!((late.with, late.is_met), (Some(Kind::Zot), false));
        assert_eq!(target("rate", Good::More, Against::ZotCommit, 2.0).judge(&measured), None);
        let own = target("late", Good::Less, Against::Own("rate"), 1.0).judge(&measured).unwrap();
        assert_eq!((own.with, own.is_met), (None, true));
    }
}
