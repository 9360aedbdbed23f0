//! What the operator remembers of the objects that it looks after, for as long as it runs: what it has told of each, so that
//! nothing is told twice, and since when each has the same trouble, so that it is looked at less and less often. Pure but for
//! the lock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was not so for this long is news again. Something that comes and goes is told once in this time.
const STALE: Duration = Duration::from_mins(10);
/// An object that nobody looked at for this long is gone.
const GONE: Duration = Duration::from_hours(1);

/// Something that is wrong, for a condition and an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// For a condition: stable, and one word.
    pub reason: String,
    pub message: String,
    /// By which it is the same as before: without numbers that change all the time.
    same: String,
    /// For how long there must be one of its reason before it counts. What comes right by itself is no trouble.
    patience: Duration,
}

impl Trouble {
    /// One whose words are the same as long as it is the same.
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { reason: reason.into(), same: format!("{reason} {message}"), message, patience: Duration::ZERO }
    }

    /// One that is the same as long as there is one of its reason.
    pub fn one(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), same: reason.into(), message: message.into(), patience: Duration::ZERO }
    }

    /// One whose `why` counts something: of that, only the words make it another one.
    pub fn counting(reason: &str, what: &str, why: &str, message: impl Into<String>) -> Self {
        let same = format!("{reason} {what} {}", blurred(why));
        Self { reason: reason.into(), same, message: message.into(), patience: Duration::ZERO }
    }

    /// It counts only once there has been one of its reason for so long.
    #[must_use]
    pub fn after(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

/// A text without its numbers.
fn blurred(text: &str) -> String {
    text.split(|char: char| char.is_ascii_digit()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("#")
}

/// What is known of objects, by their uid. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<BTreeMap<String, Known>>>);

#[derive(Debug)]
struct Known {
    seen: Instant,
    /// What was told, and when it was last so.
    told: BTreeMap<String, Instant>,
    /// Since when there is a trouble that may pass, by its reason; none: it was never looked at.
    since: Option<BTreeMap<String, Instant>>,
    /// What keeps it from being done with, and since when.
    stuck: Option<(String, Instant)>,
    /// Somebody administers it.
    has_administrator: bool,
}

impl Memory {
    /// Those troubles that were not told yet.
    pub fn news(&self, uid: &str, troubles: &[Trouble], now: Instant) -> Vec<Trouble> {
        self.with(uid, now, |known| {
            known.told.retain(|_, last| now.saturating_duration_since(*last) < STALE);
            let is_new = |trouble: &&Trouble| known.told.insert(trouble.same.clone(), now).is_none();
            troubles.iter().filter(is_new).cloned().collect()
        })
    }

    /// Troubles that count, and those that may pass yet. Of an object that is looked at for the first time, and of which it
    /// was said that it has trouble, all count: whoever looked before has waited.
    pub fn sorted(
        &self,
        uid: &str,
        troubles: Vec<Trouble>,
        was_in_trouble: bool,
        now: Instant,
    ) -> (Vec<Trouble>, Vec<Trouble>) {
        self.with(uid, now, |known| {
            let is_first = known.since.is_none();
            let before = known.since.take().unwrap_or_default();
            let mut since = BTreeMap::new();
            let sorted = troubles.into_iter().partition(|trouble| {
                let began = before.get(&trouble.reason).copied().unwrap_or_else(|| {
                    let earlier = now.checked_sub(trouble.patience).filter(|_| is_first && was_in_trouble);
                    earlier.unwrap_or(now)
                });
                since.entry(trouble.reason.clone()).or_insert(began);
                now.saturating_duration_since(began) >= trouble.patience
            });
            known.since = Some(since);
            sorted
        })
    }

    /// Until the next look at something: at least `least`; and if it has had the same trouble for long, half of that time,
    /// up to `most`.
    pub fn wait(&self, uid: &str, stuck: Option<String>, least: Duration, most: Duration, now: Instant) -> Duration {
        self.with(uid, now, |known| {
            let Some(why) = stuck else {
                known.stuck = None;
                return least;
            };
            let since = known.stuck.take().filter(|(before, _)| *before == why).map_or(now, |(_, since)| since);
            known.stuck = Some((why, since));
            (now.saturating_duration_since(since) / 2).clamp(least, most.max(least))
        })
    }

    /// Whether it is known that somebody administers it: that stays so.
    pub fn has_administrator(&self, uid: &str, now: Instant) -> bool {
        self.with(uid, now, |known| known.has_administrator)
    }

    pub fn note_administrator(&self, uid: &str, now: Instant) {
        self.with(uid, now, |known| known.has_administrator = true);
    }

    fn with<T>(&self, uid: &str, now: Instant, what: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, known| now.saturating_duration_since(known.seen) < GONE);
        let fresh = || Known { seen: now, told: BTreeMap::new(), since: None, stuck: None, has_administrator: false };
        let known = all.entry(uid.to_owned()).or_insert_with(fresh);
        known.seen = now;
        what(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(wants: &str, why: &str) -> Trouble {
        Trouble::counting("Refused", wants, why, format!("{wants}: {why}"))
    }

    #[test]
    fn nothing_is_told_twice_and_everything_new_is_told() {
        let start = Instant::now();
        let (grow, move_it) = ("the volume of node 0 to be made larger", "the pod of node 0 to be made again");
        let memory = Memory::default();
        for (what, seconds, uid, said, told) in [
            ("it is new", 0, "a", vec![refused(grow, "the class does not allow it")], 1),
            ("it is the same", 5, "a", vec![refused(grow, "the class does not allow it")], 0),
            ("another object's", 5, "b", vec![refused(grow, "the class does not allow it")], 1),
            ("another reason why", 6, "a", vec![refused(grow, "it is not known")], 1),
            ("something else is wanted", 7, "a", vec![refused(move_it, "node 1 is 12 behind")], 1),
            ("a number has changed", 8, "a", vec![refused(move_it, "node 1 is 7 behind")], 0),
            ("one old and one new", 9, "a", vec![refused(grow, "x"), refused(grow, "it is not known")], 1),
            ("it comes back soon", 20, "a", vec![refused(grow, "the class does not allow it")], 0),
            ("it comes back after long", 700, "a", vec![refused(grow, "the class does not allow it")], 1),
            ("a number that says what is wrong", 701, "a", vec![Trouble::new("Forbidden", "10.0.0.1")], 1),
            ("and another such", 702, "a", vec![Trouble::new("Forbidden", "10.0.0.2")], 1),
        ] {
            let news = memory.news(uid, &said, start + Duration::from_secs(seconds));
            assert_eq!(news.len(), told, "{what}: {news:?}");
        }
    }

    #[test]
    fn what_stays_so_for_hours_is_told_once() {
        let (start, memory) = (Instant::now(), Memory::default());
        let said = [refused("more room", "no")];
        let told: usize =
            (0..600).map(|minute| memory.news("a", &said, start + Duration::from_mins(minute)).len()).sum();
        assert_eq!(told, 1);
    }

    #[test]
    fn what_may_pass_counts_once_it_has_lasted() {
        let (start, memory, patience) = (Instant::now(), Memory::default(), Duration::from_mins(2));
        let node = |ordinal: u32| Trouble::one("NodesUnwell", format!("node {ordinal}")).after(patience);
        for (what, seconds, said, counting, passing) in [
            ("it begins", 0, vec![node(1)], 0, 1),
            ("what cannot pass counts at once", 60, vec![node(1), refused("room", "no")], 1, 1),
            ("another node, before all were well", 119, vec![node(2)], 0, 1),
            ("it lasts", 120, vec![node(2)], 1, 0),
            ("all are well", 121, vec![], 0, 0),
            ("it begins again", 122, vec![node(1)], 0, 1),
        ] {
            let (counts, passes) = memory.sorted("a", said, false, start + Duration::from_secs(seconds));
            assert_eq!((counts.len(), passes.len()), (counting, passing), "{what}");
        }
        let first = |uid: &str, was: bool| memory.sorted(uid, vec![node(1)], was, start + patience).0.len();
        assert_eq!((first("b", true), first("c", false)), (1, 0), "another operator said so before");
    }

    #[test]
    fn the_same_trouble_is_looked_at_less_and_less_often() {
        let (start, memory) = (Instant::now(), Memory::default());
        let (least, most) = (Duration::from_secs(2), Duration::from_mins(1));
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..14 {
            let wait = memory.wait("a", Some("quota".into()), least, most, now);
            waits.push(wait.as_secs());
            now += wait;
        }
        assert!(waits.is_sorted() && waits[0] == 2 && waits[13] == 60, "{waits:?}");
        let wait = |why: Option<&str>| memory.wait("a", why.map(str::to_owned), least, most, now);
        assert_eq!(wait(Some("another")), least);
        assert_eq!(wait(None), least);
        assert_eq!(wait(Some("quota")), least, "in between it was well");
    }

    #[test]
    fn what_is_gone_takes_no_memory() {
        let (start, memory) = (Instant::now(), Memory::default());
        memory.news("a", &[], start);
        memory.news("b", &[], start + Duration::from_hours(2));
        assert_eq!(memory.0.lock().map(|all| all.len()).ok(), Some(1));
    }
}
