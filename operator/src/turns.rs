//! A new release of the operator brings a new image to every Registry that names none. They take turns: a release that does
//! not work stops at the first of them. Pure but for the lock.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A turn that nobody has used for so long is free: its Registry was deleted.
const FORGOTTEN: Duration = Duration::from_mins(5);
/// So long a Registry keeps the turn in which nothing goes on: something else than the image is in its way.
const IDLE: Duration = Duration::from_mins(10);
/// So long one keeps it whose pods run the new image and do not become ready. Whoever rolls the release out sees it by then; and
/// no Registry keeps it from all others for ever.
const FAILING: Duration = Duration::from_hours(4);
/// So long after the start nobody gets a turn, but who has the new image and is not done with it.
const START: Duration = Duration::from_mins(1);

/// Whose turn it is.
#[derive(Debug)]
pub struct Turns {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// Those that had the turn and came to no end.
    gave_up: BTreeSet<String>,
}

#[derive(Debug)]
struct Held {
    uid: String,
    /// `namespace/name`, for those who wait.
    name: String,
    used: Instant,
    /// When something was last changed.
    moved: Instant,
    is_failing: bool,
}

impl Held {
    fn is_over(&self, now: Instant) -> bool {
        let patience = if self.is_failing { FAILING } else { IDLE };
        now.duration_since(self.used) >= FORGOTTEN || now.duration_since(self.moved) >= patience
    }
}

/// A Registry that may have to wait for its turn.
#[derive(Clone, Copy, Debug)]
pub struct Asks<'a> {
    pub uid: &'a str,
    pub name: &'a str,
    /// The image that its pods are to have now; none: it has no pods yet.
    pub has: Option<&'a str>,
    /// Whether it serves clients: one that does not has nothing to lose.
    pub is_ready: bool,
    /// Whether pods of it run the new image and are not ready.
    pub is_failing: bool,
}

impl Turns {
    pub fn new(now: Instant) -> Self {
        Self { began: now, state: Mutex::default() }
    }

    /// Whether a Registry may have the new image, or what it waits for. It keeps the turn until it rests, or comes to no end.
    pub fn may_have(&self, image: &str, asks: Asks<'_>, now: Instant) -> Result<(), String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(over) = state.held.take_if(|held| held.is_over(now)) {
            tracing::warn!(registry = over.name, "the new image came to no end here: the next Registry gets it");
            state.gave_up.insert(over.uid);
        }
        let has_it = asks.has == Some(image);
        if let Some(held) = state.held.as_mut().filter(|held| held.uid == asks.uid) {
            (held.used, held.is_failing) = (now, asks.is_failing);
            return Ok(());
        }
        // The operator was restarted while it was at it.
        let resumes = has_it && asks.is_failing && state.held.is_none() && !state.gave_up.contains(asks.uid);
        if !resumes && (!asks.is_ready || asks.has.is_none() || has_it) {
            return Ok(());
        }
        match &state.held {
            Some(other) => {
                let name = &other.name;
                return Err(format!(
                    "the image of this release comes when the Registry {name} runs it: one after the other"
                ));
            }
            None if !resumes && now.duration_since(self.began) < START => {
                return Err("the image of this release comes when it is known which Registries are at it".into());
            }
            None => {}
        }
        let (uid, name) = (asks.uid.to_owned(), asks.name.to_owned());
        state.held = Some(Held { uid, name, used: now, moved: now, is_failing: asks.is_failing });
        Ok(())
    }

    /// Something of the Registry was changed.
    pub fn moves(&self, uid: &str, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = state.held.as_mut().filter(|held| held.uid == uid) {
            held.moved = now;
        }
    }

    /// The Registry is as it should be: the next one may begin.
    pub fn rests(&self, uid: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held.take_if(|held| held.uid == uid);
        state.gave_up.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(uid: &'static str) -> Asks<'static> {
        Asks { uid, name: uid, has: Some("old"), is_ready: true, is_failing: false }
    }

    fn waits_for_a(may: Result<(), String>) -> bool {
        may.is_err_and(|why| why.contains("the Registry a "))
    }

    /// Of an operator that has run for a while.
    fn turns() -> (Turns, Instant) {
        let began = Instant::now();
        (Turns::new(began), began + START)
    }

    #[test]
    fn one_after_the_other_gets_a_new_image() {
        let (turns, now) = turns();
        assert_eq!(turns.may_have("new", asks("a"), now), Ok(()));
        assert!(waits_for_a(turns.may_have("new", asks("b"), now)));
        let has_it = Asks { has: Some("new"), is_ready: false, ..asks("a") };
        assert_eq!(turns.may_have("new", has_it, now), Ok(()), "it has the image, and rolls");
        assert!(waits_for_a(turns.may_have("new", asks("b"), now)), "the first does not rest yet");
        turns.rests("b");
        assert!(waits_for_a(turns.may_have("new", asks("b"), now)));
        turns.rests("a");
        assert_eq!(turns.may_have("new", asks("b"), now), Ok(()));
    }

    #[test]
    fn who_has_nothing_to_lose_waits_for_nobody() {
        let (turns, now) = turns();
        assert_eq!(turns.may_have("new", asks("a"), now), Ok(()));
        assert_eq!(turns.may_have("new", Asks { has: None, ..asks("b") }, now), Ok(()), "it is just being made");
        assert_eq!(
            turns.may_have("new", Asks { is_ready: false, ..asks("c") }, now),
            Ok(()),
            "it may be what mends it"
        );
        assert_eq!(turns.may_have("new", Asks { has: Some("new"), ..asks("d") }, now), Ok(()), "it has it already");
        turns.rests("d");
        assert!(waits_for_a(turns.may_have("new", asks("e"), now)));
    }

    #[test]
    fn the_turn_of_a_registry_that_is_gone_is_free_after_a_while() {
        let (turns, now) = turns();
        assert_eq!(turns.may_have("new", asks("a"), now), Ok(()));
        assert!(waits_for_a(turns.may_have("new", asks("b"), now + FORGOTTEN / 2)));
        assert_eq!(turns.may_have("new", asks("a"), now + FORGOTTEN / 2), Ok(()), "it is still at it");
        assert!(waits_for_a(turns.may_have("new", asks("b"), now + FORGOTTEN)));
        assert_eq!(turns.may_have("new", asks("b"), now + FORGOTTEN * 2), Ok(()));
    }

    #[test]
    fn a_registry_in_which_nothing_goes_on_does_not_keep_the_turn_from_all_others() {
        let minute = Duration::from_mins(1);
        for (what, is_failing, moves, minutes) in [
            ("nothing is changed", false, false, 10),
            ("something is changed now and then", false, true, 10 + 60),
            ("the new image does not come up", true, false, 4 * 60),
        ] {
            let (turns, now) = turns();
            assert_eq!(turns.may_have("new", asks("a"), now), Ok(()));
            let a = Asks { has: Some("new"), is_failing, ..asks("a") };
            let mut waited = 0;
            loop {
                let now = now + minute * waited;
                assert_eq!(turns.may_have("new", a, now), Ok(()), "{what}");
                if turns.may_have("new", asks("b"), now).is_ok() {
                    break;
                }
                if moves && waited <= 60 {
                    turns.moves("a", now);
                }
                waited += 1;
            }
            assert_eq!(waited, minutes, "{what}");
            turns.rests("b");
            let later = now + minute * waited;
            assert_eq!(turns.may_have("new", a, later), Ok(()));
            assert_eq!(turns.may_have("new", asks("c"), later), Ok(()), "{what}: who gave up does not get it again");
        }
    }

    #[test]
    fn a_release_that_does_not_work_stops_at_the_first_though_the_operator_is_restarted() {
        let now = Instant::now();
        let turns = Turns::new(now);
        assert!(turns.may_have("new", asks("b"), now).is_err(), "it is not known yet who is at it");
        let a = Asks { has: Some("new"), is_ready: false, is_failing: true, ..asks("a") };
        assert_eq!(turns.may_have("new", a, now), Ok(()));
        assert!(waits_for_a(turns.may_have("new", asks("b"), now + START)));
        turns.rests("a");
        assert_eq!(turns.may_have("new", asks("b"), now + START), Ok(()));
    }
}
