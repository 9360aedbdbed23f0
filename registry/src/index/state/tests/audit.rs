//! The audit: what a record keeps of a change, by the level in force, and what it must never keep.

use super::super::records::{Records, Table};
use super::*;
use crate::auth::policy::{Policy as AccessPolicy, WriteOnce};
use crate::auth::secret::PasswordHash;
use crate::index::access::{AccessChange, Audited, Kind, ListAudit, PutAccount, PutToken};
use crate::index::command::RaiseLevel;

/// What no record may have in it: bytes of a hash or a salt.
const SECRET: [u8; 32] = [0xa5; 32];

fn hash() -> Bytes {
    Bytes::from_static(&SECRET)
}

fn password() -> PasswordHash {
    PasswordHash { memory_kib: 8, passes: 1, lanes: 1, salt: hash(), hash: hash() }
}

fn changes() -> Vec<AccessChange> {
    let account = PutAccount { password: Some(password()), ..PutAccount::of("alice", Kind::User, true) };
    let token = PutToken {
        id: "0123".into(),
        account: "alice".into(),
        hash: hash(),
        description: String::new(),
        expires: None,
        limits: None,
        keep: None,
    };
    vec![
        AccessChange::OfferFirst { hash: hash(), expires: Time(START + HOUR) },
        AccessChange::TakeFirst { hash: hash(), name: "root".into(), password: password(), from: None },
        AccessChange::PutAccount(account),
        AccessChange::SetPassword { account: "alice".into(), password: Some(password()) },
        AccessChange::PutToken(token),
        AccessChange::ChangeGroup { group: "dev".into(), add: vec!["alice".into()], remove: vec![] },
    ]
}

/// The records after all of these changes at this level, and what is stored of them.
fn after(level: u32) -> (Vec<Audited>, Vec<u8>) {
    let mut world = World::new();
    world.ok(Command::RaiseLevel(RaiseLevel { level }));
    for change in changes() {
        world.ok(Command::Access(Box::new(change)));
    }
    let mut stored = Vec::new();
    let keep = &mut |_: &[u8], value: &Bytes| {
        stored.extend_from_slice(value);
        std::ops::ControlFlow::Continue(())
    };
    world.records.scan(Table::Audit, &[], &[], false, keep).unwrap();
    (world.ask(ListAudit { after: 0, limit: 100, repository: None, who: None }).items, stored)
}

#[test]
fn a_record_keeps_the_change_from_level_4_on_and_never_a_secret_of_it() {
    let (records, stored) = after(4);
    let kept: Vec<_> = records.iter().map(|record| record.change.as_deref().unwrap().clone()).collect();
    assert_eq!(kept, changes().iter().map(AccessChange::without_secrets).collect::<Vec<_>>());
    assert_eq!(kept.last(), changes().last(), "what has no secret is kept as it was");
    let runs = |bytes: &[u8]| bytes.windows(4).filter(|window| *window == &SECRET[..4]).count();
    assert_eq!(runs(&stored), 0, "a hash or a salt is in the audit");
    let whole = rmp_serde::to_vec_named(&changes()).unwrap();
    assert!(runs(&whole) > 5 * 29, "and this would find them");
}

#[test]
fn below_that_level_all_members_keep_what_those_of_the_release_before_keep() {
    let (records, _) = after(3);
    assert_eq!(records.len(), changes().len());
    assert!(records.iter().all(|record| record.change.is_none()));
}

#[test]
fn who_made_the_first_administrator_is_said_by_his_address() {
    let from = Some("192.0.2.7".parse().unwrap());
    let take = AccessChange::TakeFirst { hash: hash(), name: "root".into(), password: password(), from };
    let take = Command::Access(Box::new(take));
    assert_eq!(take.level(), 4, "a member that does not know the field would leave it out");
    let mut world = World::new();
    world.ok(Command::RaiseLevel(RaiseLevel { level: 4 }));
    world.ok(Command::Access(Box::new(changes().remove(0))));
    world.ok(take);
    let records = world.ask(ListAudit { after: 0, limit: 100, repository: None, who: None }).items;
    assert_eq!(records.last().unwrap().from, from);
}

#[test]
fn a_page_of_large_changes_is_short_and_all_pages_have_all_of_them() {
    let mut world = World::new();
    world.ok(Command::RaiseLevel(RaiseLevel { level: 4 }));
    let repositories = vec![format!("{}/**", "a".repeat(200)).parse().unwrap(); 100];
    let kept = WriteOnce { repositories, tags: vec!["v*".into()] };
    let policy = AccessPolicy { write_once: vec![kept; 20], ..AccessPolicy::default() };
    for _ in 0..7 {
        let change = AccessChange::PutPolicy { name: "large".into(), policy: policy.clone() };
        world.ok(Command::Access(Box::new(change)));
    }
    let (mut pages, mut after) = (Vec::new(), Some(0));
    while let Some(from) = after {
        let page = world.ask(ListAudit { after: from, limit: 100, repository: None, who: None });
        pages.push(page.items.len());
        after = page.next;
    }
    assert_eq!(pages, [3, 3, 1], "each has some 400 KB");
}
