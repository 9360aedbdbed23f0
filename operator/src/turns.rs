//! A new release of the operator brings a new image to every Registry that names none. They take turns: a release that does
//! not work stops at the first of them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A turn that nobody has used for so long is free: its Registry was deleted.
const FORGOTTEN: Duration = Duration::from_mins(5);

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct Turns {
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    uid: String,
    /// `namespace/name`, for those who wait.
    name: String,
    used: Instant,
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
}

impl Turns {
    /// Whether a Registry may have the new image, or whose turn it is. It keeps the turn until it rests.
    pub fn may_have(&self, image: &str, asks: Asks<'_>, now: Instant) -> Result<(), String> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_mut().filter(|held| held.uid == asks.uid) {
            held.used = now;
            return Ok(());
        }
        if !asks.is_ready || asks.has.is_none_or(|has| has == image) {
            return Ok(());
        }
        if let Some(other) = held.as_ref().filter(|held| now.duration_since(held.used) < FORGOTTEN) {
            return Err(other.name.clone());
        }
        *held = Some(Held { uid: asks.uid.to_owned(), name: asks.name.to_owned(), used: now });
        Ok(())
    }

    /// The Registry is as it should be: the next one may begin.
    pub fn rests(&self, uid: &str) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|held| held.uid == uid) {
            *held = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(uid: &'static str) -> Asks<'static> {
        Asks { uid, name: uid, has: Some("old"), is_ready: true }
    }

    #[test]
    fn one_after_the_other_gets_a_new_image() {
        let (turns, now) = (Turns::default(), Instant::now());
        assert_eq!(turns.may_have("new", asks("a"), now), Ok(()));
        assert_eq!(turns.may_have("new", asks("b"), now), Err("a".into()));
        let has_it = Asks { has: Some("new"), is_ready: false, ..asks("a") };
        assert_eq!(turns.may_have("new", has_it, now), Ok(()), "it has the image, and rolls");
        assert_eq!(turns.may_have("new", asks("b"), now), Err("a".into()), "the first does not rest yet");
        turns.rests("b");
        assert_eq!(turns.may_have("new", asks("b"), now), Err("a".into()));
        turns.rests("a");
        assert_eq!(turns.may_have("new", asks("b"), now), Ok(()));
    }

    #[test]
    fn who_has_nothing_to_lose_waits_for_nobody() {
        let (turns, now) = (Turns::default(), Instant::now());
        assert_eq!(turns.may_have("new", asks("a"), now), Ok(()));
        assert_eq!(turns.may_have("new", Asks { has: None, ..asks("b") }, now), Ok(()), "it is just being made");
        assert_eq!(
            turns.may_have("new", Asks { is_ready: false, ..asks("c") }, now),
            Ok(()),
            "it may be what mends it"
        );
        assert_eq!(turns.may_have("new", Asks { has: Some("new"), ..asks("d") }, now), Ok(()), "it has it already");
        turns.rests("d");
        assert_eq!(turns.may_have("new", asks("e"), now), Err("a".into()));
    }

    #[test]
    fn the_turn_of_a_registry_that_is_gone_is_free_after_a_while() {
        let (turns, now) = (Turns::default(), Instant::now());
        assert_eq!(turns.may_have("new", asks("a"), now), Ok(()));
        assert_eq!(turns.may_have("new", asks("b"), now + FORGOTTEN / 2), Err("a".into()));
        assert_eq!(turns.may_have("new", asks("a"), now + FORGOTTEN / 2), Ok(()), "it is still at it");
        assert_eq!(turns.may_have("new", asks("b"), now + FORGOTTEN), Err("a".into()));
        assert_eq!(turns.may_have("new", asks("b"), now + FORGOTTEN * 2), Ok(()));
    }
}
