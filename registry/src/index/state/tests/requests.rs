//! What a retried, repeated or late request gets; determinism.

use super::super::records::{Records, Table};
use super::*;

#[test]
fn a_repeated_request_is_answered_and_not_applied_again() {
    let mut world = World::new();
    let image = world.push_image("a", b"1", &["t"]);
    let delete = world.proposal(delete_tag("a", "t", None));
    assert_eq!(world.apply(&delete), Ok(Outcome::TagDeleted { digest: image }));
    world.push_image("a", b"1", &["t"]);
    world.later(60_000);
    let late = Proposal { time: world.now, ..delete };
    assert_eq!(world.apply(&late), Ok(Outcome::TagDeleted { digest: image }));
    assert!(world.records.get(Table::Tags, b"a\0t").unwrap().is_some(), "the tag that came since is still there");
}

#[test]
fn a_refusal_is_remembered_too() {
    let mut world = World::new();
    let delete = world.proposal(delete_tag("a", "t", None));
    assert_eq!(world.apply(&delete), Err(Refusal::RepositoryUnknown));
    world.push_image("a", b"1", &["t"]);
    assert_eq!(world.apply(&delete), Err(Refusal::RepositoryUnknown));
}

#[test]
fn a_request_older_than_five_minutes_is_refused() {
    let mut world = World::new();
    let delete = world.proposal(delete_tag("a", "t", None));
    world.later(5 * 60_000 + 1);
    let late = Proposal { time: world.now, ..delete };
    assert_eq!(world.apply(&late), Err(Refusal::RequestTooOld));
}

#[test]
fn replies_are_forgotten_only_when_their_requests_would_be_refused() {
    let mut world = World::new();
    let first = world.proposal(delete_tag("a", "t", None));
    assert_eq!(world.apply(&first), Err(Refusal::RepositoryUnknown));
    for _ in 0..30 {
        world.later(60_000);
        world.refused(delete_tag("a", "t", None));
        let again = Proposal { time: world.now, ..first.clone() };
        let reply = world.apply(&again);
        assert!(matches!(reply, Err(Refusal::RepositoryUnknown | Refusal::RequestTooOld)), "{reply:?}");
    }
    let kept = world.records.all().filter(|((table, _), _)| *table == Table::Requests).count();
    assert!(kept <= 12, "{kept} replies kept");
}

#[test]
fn however_many_requests_come_in_a_millisecond_new_ones_are_taken() {
    let mut world = World::new();
    for number in 0..5_000 {
        if number % 7 == 0 {
            world.later(1);
        }
        assert_eq!(world.run(delete_tag("a", "t", None)), Err(Refusal::RepositoryUnknown), "request {number}");
    }
    let kept = world.records.all().filter(|((table, _), _)| *table == Table::Requests).count();
    assert!((490..=510).contains(&kept), "{kept} replies kept");
}

#[test]
fn time_never_goes_back() {
    let mut world = World::new();
    world.later(1000);
    world.push_blob("a", b"data");
    let before = world.status().time;
    world.now = Time(START);
    world.push_blob("a", b"more");
    assert_eq!(world.status().time, before);
}

#[test]
fn old_events_are_dropped_as_new_entries_come() {
    let mut world = World::with(Policy { events_age: HOUR, ..Policy::default() });
    for number in 0..20u32 {
        world.push_image("a", &number.to_be_bytes(), &["t"]);
    }
    let count = |world: &World| world.records.all().filter(|((table, _), _)| *table == Table::Events).count();
    assert_eq!(count(&world), 40);
    world.later(2 * HOUR);
    for number in 0..10u32 {
        world.push_image("a", &number.to_be_bytes(), &["t"]);
    }
    assert!(count(&world) < 20, "{} events kept", count(&world));
}

#[test]
fn one_entry_may_change_the_same_thing_in_several_repositories() {
    let mut world = World::with(Policy { untagged: Some(HOUR), ..Policy::default() });
    let put = |repository| {
        let put = PutManifest {
            bytes: Bytes::from_static(b"same"),
            digest: Digest::of(b"same"),
            ..manifest(repository, b"", &[], &[], &[])
        };
        Command::PutManifest(Box::new(put))
    };
    world.ok(put("a"));
    world.ok(put("b"));
    world.expire(); // a policy that was turned on looks for what is there
    let events = |world: &World| -> Vec<_> {
        let events = world.records.all().filter(|((table, _), _)| *table == Table::Events);
        events.map(|(place, _)| place.clone()).collect()
    };
    let before = events(&world);
    world.later(2 * HOUR);
    world.ok(Command::Expire(Expire { limit: 10 }));
    assert_eq!(world.status().counts.manifests, 0);
    let new = events(&world).iter().filter(|place| !before.contains(place)).count();
    assert_eq!(new, 2, "both manifests were deleted");
}

#[test]
fn the_same_entries_make_the_same_tables() {
    let build = || {
        let mut world = World::with(Policy { untagged: Some(HOUR), ..Policy::default() });
        for number in 0..30u32 {
            world.push_image("a", &number.to_be_bytes(), &["t", "u"]);
            world.later(HOUR / 3);
            world.expire();
        }
        world.records
    };
    let (one, two) = (build(), build());
    assert!(one == two);
    assert!(one.all().count() > 50);
}

#[test]
fn a_transaction_reads_its_own_changes_in_order_both_ways() {
    let mut base = MemoryRecords::default();
    let mut transaction = Transaction::new(&base);
    for key in ["b", "d", "f"] {
        transaction.put(Table::Tags, key.as_bytes(), Bytes::from_static(b"old"));
    }
    let changes: Vec<_> = transaction.into_changes().collect();
    base.write(changes);
    let mut transaction = Transaction::new(&base);
    transaction.put(Table::Tags, b"a", Bytes::from_static(b"new"));
    transaction.put(Table::Tags, b"d", Bytes::from_static(b"new"));
    transaction.savepoint();
    transaction.put(Table::Tags, b"e", Bytes::from_static(b"undone"));
    transaction.remove(Table::Tags, b"a");
    transaction.rollback();
    transaction.remove(Table::Tags, b"f");
    transaction.put(Table::Tags, b"g", Bytes::from_static(b"new"));
    for (from, to, descending, expected) in [
        ("", "", false, "a=new b=old d=new g=new"),
        ("", "", true, "g=new d=new b=old a=new"),
        ("b", "g", false, "b=old d=new"),
        ("c", "", true, "g=new d=new"),
        ("g", "b", false, ""),
    ] {
        let mut seen = Vec::new();
        transaction
            .scan(Table::Tags, from.as_bytes(), to.as_bytes(), descending, &mut |key, value| {
                seen.push(format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)));
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(seen.join(" "), expected, "{from}..{to} {descending}");
    }
}
