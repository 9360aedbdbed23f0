//! What a listing of an archive says: where it ends, what a restore reads, what may be deleted. Pure.

use std::collections::HashMap;

use super::names::{SegmentName, SnapshotName, WholeSnapshot};
use crate::blobs::ObjectKey;

/// Everything that an epoch has archived, by its names.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Whole snapshots, oldest first.
    pub whole: Vec<WholeSnapshot>,
    /// Snapshots, whole or not.
    pub snapshots: Vec<SnapshotName>,
    /// Segments in the order of their entries.
    pub segments: Vec<SegmentName>,
}

/// How far the entries behind a snapshot go without a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    pub position: u64,
    /// The check sum of the last frame; 0 when there is none.
    pub sum: u32,
    pub segments: Vec<SegmentName>,
}

/// What a restore reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub snapshot: WholeSnapshot,
    pub segments: Vec<SegmentName>,
    /// The position it leads to.
    pub position: u64,
}

/// Why an archive cannot give a position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("the archive holds no whole snapshot")]
    Empty,
    #[error(
        "the archive holds no snapshot at or before position {wanted}; its oldest stands at {oldest}. An earlier epoch \
         may lead there: --from-epoch"
    )]
    TooOld { wanted: u64, oldest: u64 },
    #[error("the archive ends at position {end}, before position {wanted}")]
    NotArchived { wanted: u64, end: u64 },
    #[error(
        "entries are missing from the archive behind position {after}, though later ones are there: something was lost. \
         Restore what is whole with --position {after}, or use a backup"
    )]
    Hole { after: u64 },
}

impl Listing {
    /// Sorts keys of the log and of the snapshots; other keys are left out.
    pub fn of(keys: impl IntoIterator<Item = ObjectKey>) -> Self {
        let mut listing = Self::default();
        for key in keys {
            if let Some(whole) = WholeSnapshot::parse(&key) {
                listing.whole.push(whole);
            } else if let Some(snapshot) = SnapshotName::parse(&key) {
                listing.snapshots.push(snapshot);
            } else if let Some(segment) = SegmentName::parse(&key) {
                listing.segments.push(segment);
            }
        }
        listing.whole.sort();
        listing.snapshots.sort();
        listing.segments.sort();
        // A mark whose snapshot is gone says nothing.
        let snapshots = &listing.snapshots;
        listing.whole.retain(|whole| snapshots.binary_search(&whole.name).is_ok());
        listing
    }

    /// The newest whole snapshot.
    pub fn newest(&self) -> Option<&WholeSnapshot> {
        self.whole.last()
    }

    /// How far entries go on from `position` without a gap, each segment beginning exactly where the one before ended.
    /// There may be several ways, because a leader may have died half-way: the longest is taken. All hold the same entries.
    pub fn reach(&self, position: u64) -> Reach {
        // The best end behind each segment, found from the back: what follows has a higher number.
        let mut ends: Vec<(u64, Option<usize>)> = vec![(0, None); self.segments.len()];
        let mut begins: HashMap<(u64, u32), usize> = HashMap::new();
        for (at, segment) in self.segments.iter().enumerate().rev() {
            let next = begins.get(&(segment.last + 1, segment.sum)).copied();
            ends[at] = next.map_or((segment.last, None), |next| (ends[next].0, Some(next)));
            let best = begins.entry((segment.first, segment.before)).or_insert(at);
            if ends[at].0 > ends[*best].0 {
                *best = at;
            }
        }
        let first = (0..self.segments.len())
            .filter(|at| self.segments[*at].first <= position + 1 && self.segments[*at].last >= position)
            .max_by_key(|at| ends[*at].0);
        let mut reach = Reach { position, ..Reach::default() };
        let mut next = first;
        while let Some(at) = next {
            let segment = self.segments[at];
            reach = Reach {
                position: segment.last,
                sum: segment.sum,
                segments: {
                    reach.segments.push(segment);
                    reach.segments
                },
            };
            next = ends[at].1;
        }
        reach
    }

    /// What leads to `wanted`, or to the newest position: the nearest snapshot that is at least `skip` snapshots older than
    /// the best, and all behind it.
    ///
    /// # Errors
    /// When that position is not there, or when entries are missing in the middle: never a shorter plan.
    pub fn plan(&self, wanted: Option<u64>, skip: usize) -> Result<Plan, PlanError> {
        let oldest = self.whole.first().ok_or(PlanError::Empty)?.name.position;
        let limit = wanted.unwrap_or(u64::MAX);
        let bases = self.whole.iter().rev().filter(|whole| whole.name.position <= limit);
        let snapshot = bases.clone().nth(skip).ok_or(PlanError::TooOld { wanted: limit, oldest })?;
        let mut reach = self.reach(snapshot.name.position);
        let newest_snapshot = self.whole.last().map_or(0, |whole| whole.name.position);
        let end = self.segments.iter().map(|segment| segment.last).max().unwrap_or(0).max(newest_snapshot);
        let hole = PlanError::Hole { after: reach.position };
        let position = match wanted {
            Some(wanted) if wanted <= reach.position => wanted,
            Some(wanted) if end <= reach.position => {
                return Err(PlanError::NotArchived { wanted, end: reach.position });
            }
            None if end <= reach.position => reach.position,
            _ => return Err(hole),
        };
        let base = snapshot.name.position;
        reach.segments.retain(|segment| segment.last > base && segment.first <= position && position > base);
        Ok(Plan { snapshot: snapshot.clone(), segments: reach.segments, position })
    }

    /// What nothing needs when the newest `keep` snapshots are kept: older ones, and the entries before the oldest kept.
    /// `busy` is a snapshot that is being written.
    pub fn outdated(&self, keep: usize, cluster: &str, epoch: u64, busy: Option<&SnapshotName>) -> Vec<ObjectKey> {
        let prefix = super::names::snapshots_prefix(cluster, epoch);
        let Some(oldest) = self.whole.iter().rev().nth(keep.max(1) - 1).map(|whole| whole.name.clone()) else {
            return Vec::new();
        };
        let kept: Vec<_> = self.whole.iter().filter(|whole| whole.name >= oldest).map(|whole| &whole.name).collect();
        // The mark goes first: what it spoke of is never half there.
        let marks = self.whole.iter().filter(|whole| whole.name < oldest).map(|whole| whole.mark(&prefix));
        let snapshots = self
            .snapshots
            .iter()
            .filter(|name| **name < oldest && !kept.contains(name) && busy != Some(name))
            .map(|name| name.key(&prefix));
        let segments = self.segments.iter().filter(|segment| segment.last < oldest.position);
        marks.chain(snapshots).chain(segments.map(|segment| segment.key(cluster, epoch))).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn segment(first: u64, last: u64, before: u32, sum: u32) -> SegmentName {
        SegmentName { first, last, term: 1, before, sum, length: 10 }
    }

    fn whole(position: u64) -> WholeSnapshot {
        WholeSnapshot { name: SnapshotName { position, term: 1, id: "x".into() }, length: 1, sum: 1 }
    }

    fn listing(snapshots: &[u64], segments: &[SegmentName]) -> Listing {
        let prefix = super::super::names::snapshots_prefix("c", 1);
        let snapshots = snapshots.iter().map(|position| whole(*position));
        let keys = snapshots.flat_map(|whole| [whole.mark(&prefix), whole.name.key(&prefix)]);
        Listing::of(keys.chain(segments.iter().map(|segment| segment.key("c", 1))))
    }

    #[test]
    fn the_end_is_found_behind_the_newest_snapshot() {
        let listing = listing(&[10, 25], &[segment(11, 20, 0, 1), segment(21, 30, 1, 2), segment(31, 40, 2, 3)]);
        let plan = listing.plan(None, 0).unwrap();
        assert_eq!((plan.snapshot.name.position, plan.position, plan.segments.len()), (25, 40, 2));
        let plan = listing.plan(None, 1).unwrap();
        assert_eq!((plan.snapshot.name.position, plan.position, plan.segments.len()), (10, 40, 3));
        let plan = listing.plan(Some(24), 0).unwrap();
        assert_eq!((plan.snapshot.name.position, plan.position, plan.segments.len()), (10, 24, 2));
        let plan = listing.plan(Some(25), 0).unwrap();
        assert_eq!((plan.snapshot.name.position, plan.position, plan.segments.len()), (25, 25, 0));
        assert_eq!(listing.plan(Some(41), 0), Err(PlanError::NotArchived { wanted: 41, end: 40 }));
        assert_eq!(listing.plan(Some(9), 0), Err(PlanError::TooOld { wanted: 9, oldest: 10 }));
        assert_eq!(Listing::default().plan(None, 0), Err(PlanError::Empty));
    }

    #[test]
    fn a_hole_in_the_middle_is_an_error_and_a_branch_that_ended_is_none() {
        let lost = listing(&[10], &[segment(11, 20, 0, 1), segment(31, 40, 2, 3)]);
        assert_eq!(lost.plan(None, 0), Err(PlanError::Hole { after: 20 }));
        assert_eq!(lost.plan(Some(35), 0), Err(PlanError::Hole { after: 20 }));
        assert_eq!(lost.plan(Some(20), 0).unwrap().position, 20);
        let exchanged = listing(&[10], &[segment(11, 20, 0, 1), segment(21, 40, 9, 3)]);
        assert_eq!(exchanged.plan(None, 0), Err(PlanError::Hole { after: 20 }));
        let no_base = listing(&[10], &[segment(31, 40, 0, 3)]);
        assert_eq!(no_base.plan(None, 0), Err(PlanError::Hole { after: 10 }));
        // One leader wrote 11 to 15 and died; the next did not see it and wrote 11 to 20.
        let branched = listing(&[10], &[segment(11, 15, 0, 5), segment(11, 20, 0, 1), segment(21, 30, 1, 2)]);
        assert_eq!(branched.plan(None, 0).unwrap().position, 30);
        // A new chain behind a later snapshot.
        let begun_again = listing(&[10, 50], &[segment(11, 20, 0, 1), segment(51, 60, 0, 2)]);
        assert_eq!(begun_again.plan(None, 0).unwrap().position, 60);
        assert_eq!(begun_again.plan(Some(30), 0), Err(PlanError::Hole { after: 20 }));
    }

    #[test]
    fn a_snapshot_without_its_mark_and_a_mark_without_its_snapshot_are_no_snapshots() {
        let prefix = super::super::names::snapshots_prefix("c", 1);
        let listing = Listing::of([whole(5).mark(&prefix), whole(6).name.key(&prefix)]);
        assert_eq!(listing.plan(None, 0), Err(PlanError::Empty));
    }

    #[test]
    fn what_the_kept_snapshots_need_is_never_outdated() {
        let segments = [segment(11, 20, 0, 1), segment(21, 30, 1, 2), segment(31, 40, 2, 3)];
        let listing = listing(&[10, 25, 35], &segments);
        let gone = listing.outdated(2, "c", 1, None);
        let prefix = super::super::names::snapshots_prefix("c", 1);
        assert_eq!(gone, [whole(10).mark(&prefix), whole(10).name.key(&prefix), segments[0].key("c", 1)]);
        assert!(listing.outdated(3, "c", 1, None).is_empty());
        assert!(listing.outdated(4, "c", 1, None).is_empty());
        let left = Listing { whole: listing.whole[1..].to_vec(), segments: segments[1..].to_vec(), ..listing };
        assert_eq!(left.plan(None, 1).unwrap().position, 40);
    }
}
