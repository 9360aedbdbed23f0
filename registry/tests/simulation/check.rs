//! Whether what clients saw of one tag can have happened one after the other: the search of Wing and Gong with the
//! memory of Lowe, for a register with compare-and-set that may be absent.

use std::collections::HashSet;

/// What a client asked of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Get,
    Put(String),
    /// If it pointed at `from`.
    Swap {
        from: String,
        to: String,
    },
    /// If it was absent.
    Create(String),
    Delete,
}

/// What it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Value(String),
    Absent,
    Done,
    Refused,
    /// Perhaps it happened, and perhaps later.
    Unknown,
}

/// One call with its answer; times are those of the simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub key: u64,
    pub began: u64,
    pub ended: u64,
    pub call: Call,
    pub outcome: Outcome,
}

type State = Option<String>;

/// The state after an operation, if its outcome fits the state before.
fn step(state: &State, operation: &Operation) -> Option<State> {
    use Outcome::{Absent, Done, Refused, Unknown, Value};
    match (&operation.call, &operation.outcome) {
        (Call::Get, Value(value)) => (state.as_ref() == Some(value)).then(|| state.clone()),
        (Call::Get | Call::Delete, Absent) => state.is_none().then_some(None),
        (Call::Put(value), Done | Unknown) => Some(Some(value.clone())),
        (Call::Swap { from, to }, Done) => (state.as_ref() == Some(from)).then(|| Some(to.clone())),
        (Call::Swap { from, .. }, Refused) => (state.as_ref() != Some(from)).then(|| state.clone()),
        (Call::Swap { from, to }, Unknown) => {
            Some(if state.as_ref() == Some(from) { Some(to.clone()) } else { state.clone() })
        }
        (Call::Create(value), Done) => state.is_none().then(|| Some(value.clone())),
        (Call::Create(_), Refused) => state.is_some().then(|| state.clone()),
        (Call::Create(value), Unknown) => Some(state.clone().or_else(|| Some(value.clone()))),
        (Call::Delete, Done) => state.is_some().then_some(None),
        (Call::Delete, Unknown) => Some(None),
        _ => None,
    }
}

/// Whether the operations, all of one key, are linearizable.
pub fn is_linearizable(operations: &[Operation]) -> bool {
    // A read without an answer says nothing, and a write without one may come at any time from then on, or never.
    let mut known: Vec<Operation> = operations
        .iter()
        .filter(|operation| operation.call != Call::Get || operation.outcome != Outcome::Unknown)
        .cloned()
        .collect();
    for operation in &mut known {
        if operation.outcome == Outcome::Unknown {
            operation.ended = u64::MAX;
        }
    }
    known.sort_by_key(|operation| operation.began);
    let mut seen = HashSet::new();
    search(&known, &mut vec![false; known.len()], &None, &mut seen)
}

fn search(all: &[Operation], taken: &mut Vec<bool>, state: &State, seen: &mut HashSet<(Vec<bool>, State)>) -> bool {
    let open = || all.iter().enumerate().filter(|(at, _)| !taken[*at]);
    if open().all(|(_, operation)| operation.ended == u64::MAX) {
        return true;
    }
    if !seen.insert((taken.clone(), state.clone())) {
        return false;
    }
    // Only what began before everything else that is left had ended can be next.
    let first_end = open().map(|(_, operation)| operation.ended).min().unwrap_or(u64::MAX);
    let candidates: Vec<usize> =
        open().filter(|(_, operation)| operation.began <= first_end).map(|(at, _)| at).collect();
    for at in candidates {
        if let Some(next) = step(state, &all[at]) {
            taken[at] = true;
            if search(all, taken, &next, seen) {
                return true;
            }
            taken[at] = false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(began: u64, ended: u64, call: Call, outcome: Outcome) -> Operation {
        Operation { key: 0, began, ended, call, outcome }
    }

    fn value(text: &str) -> Outcome {
        Outcome::Value(text.into())
    }

    #[test]
    fn the_checker_accepts_what_can_be_and_refuses_what_cannot() {
        let put = |began, ended, text: &str| operation(began, ended, Call::Put(text.into()), Outcome::Done);
        let get = |began, ended, outcome| operation(began, ended, Call::Get, outcome);
        assert!(is_linearizable(&[put(0, 9, "a"), get(1, 2, Outcome::Absent), get(3, 4, value("a"))]));
        // A read that goes back in time.
        assert!(!is_linearizable(&[put(0, 9, "a"), get(1, 2, value("a")), get(3, 4, Outcome::Absent)]));
        // An acknowledged write that is lost.
        assert!(!is_linearizable(&[put(0, 1, "a"), get(2, 3, Outcome::Absent)]));
        // Two winners of one condition.
        let swap = |began, ended, from: &str, to: &str| {
            operation(began, ended, Call::Swap { from: from.into(), to: to.into() }, Outcome::Done)
        };
        assert!(!is_linearizable(&[put(0, 1, "a"), swap(2, 5, "a", "b"), swap(2, 5, "a", "c")]));
        assert!(is_linearizable(&[put(0, 1, "a"), swap(2, 5, "a", "b"), swap(2, 5, "b", "c")]));
        // What was not answered may come late, and only once.
        let lost = operation(0, 1, Call::Put("a".into()), Outcome::Unknown);
        assert!(is_linearizable(&[lost.clone(), get(2, 3, Outcome::Absent), get(4, 5, value("a"))]));
        assert!(!is_linearizable(&[
            lost,
            get(2, 3, value("a")),
            operation(4, 5, Call::Delete, Outcome::Done),
            get(6, 7, value("a")),
        ]));
    }
}
