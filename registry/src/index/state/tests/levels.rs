//! Feature levels in the state, and check sums over what entries change.

use super::super::sums::Chain;
use super::*;
use crate::index::command::RaiseLevel;
use crate::index::level::LEVEL;

fn raise(level: u32) -> Command {
    Command::RaiseLevel(RaiseLevel { level })
}

#[test]
fn a_level_is_raised_once_and_never_goes_back() {
    let mut world = World::new();
    assert_eq!(world.status().level, 1);
    for (level, in_force) in [(1, 1), (3, 3), (3, 3), (2, 3), (0, 3)] {
        assert_eq!(world.ok(raise(level)), Outcome::Done);
        assert_eq!(world.status().level, in_force);
    }
}

#[test]
fn what_is_above_the_level_in_force_is_refused() {
    let commands = [raise(2), put(manifest("a/b", b"", &[], &[], &["t"]))];
    assert!(commands.iter().all(|command| command.level() <= 1), "an entry of the first level needs nothing more");
    assert_eq!(raise(7).reader(), 7, "whoever cannot read what comes after it must not go past it");
    #[cfg(feature = "next-level")]
    {
        let note = || Command::Note(crate::index::command::Note { text: "x".into() });
        let mut world = World::new();
        assert_eq!(world.refused(note()), Refusal::LevelNotInForce { needed: LEVEL, in_force: 1 });
        world.ok(raise(LEVEL));
        world.ok(note());
    }
    #[cfg(not(feature = "next-level"))]
    assert_eq!(LEVEL, 4);
}

/// Some entries of each kind of outcome: done, refused, repeated, too old.
fn proposals() -> Vec<Proposal> {
    let mut world = World::new();
    let mut all = vec![world.proposal(bootstrap("here"))];
    let content = b"content";
    let blob = Digest::of(content);
    let image = |tag: &str| put(manifest("a/b", tag.as_bytes(), &[(blob, content.len())], &[], &[tag]));
    for command in [
        commit("a/b", blob, Some(inline(content))),
        image("one"),
        image("two"),
        put(manifest("a/b", b"missing", &[(Digest::of(b"missing"), 7)], &[], &["three"])),
        delete_tag("a/b", "one", None),
        delete_tag("a/b", "one", None),
        Command::Expire(Expire { limit: 10 }),
    ] {
        world.later(1000);
        world.position += 1;
        all.push(world.proposal(command));
    }
    all.push(all[3].clone());
    all.push(Proposal { request: RequestId::new(Time(1), 1), ..all[3].clone() });
    all
}

/// The sum after all entries, applied in batches of `batch`.
fn sum(proposals: &[Proposal], batch: usize) -> (Chain, MemoryRecords) {
    let mut records = MemoryRecords::default();
    let mut chain = Chain::default();
    let entries: Vec<_> = proposals.iter().zip(1..).collect();
    for entries in entries.chunks(batch) {
        let changes: Vec<_> = {
            let mut transaction = Transaction::after(&records, chain);
            for (proposal, position) in entries {
                drop(apply(&mut transaction, *position, proposal).unwrap());
                chain = transaction.end_entry(*position);
            }
            transaction.into_changes().collect()
        };
        records.write(changes);
    }
    (chain, records)
}

#[test]
fn the_check_sum_is_the_same_however_entries_were_batched() {
    let proposals = proposals();
    let (one, state) = sum(&proposals, 1);
    for batch in 2..=proposals.len() {
        let (other, records) = sum(&proposals, batch);
        assert_eq!((one, &state), (other, &records), "in batches of {batch}");
    }
}

#[test]
fn one_entry_that_was_left_out_or_applied_to_another_state_makes_another_sum() {
    let all = proposals();
    let (whole, _) = sum(&all, 3);
    for without in 0..all.len() {
        let mut some = all.clone();
        some.remove(without);
        assert_ne!(sum(&some, 3).0, whole, "without {without}");
    }
    let mut other = all.clone();
    other[2].who = Some("somebody else".into());
    assert_ne!(sum(&other, 3).0, whole);
}
