//! Quotas: what shares hold is what is there, however a quota comes to be, and nothing goes beyond it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::records::{Records, Table};
use super::super::{blobs, keys, manifests};
use super::*;
use crate::auth::quota::Quota;
use crate::index::access::{AccessChange, ListQuotas};
use crate::index::command::RaiseLevel;

fn world() -> World {
    let mut world = World::new();
    world.ok(Command::RaiseLevel(RaiseLevel { level: 2 }));
    world
}

fn quota(name: &str, repositories: &str, bytes: Option<u64>, tags: Option<u64>) -> Command {
    let quota = Quota { repositories: repositories.parse().unwrap(), bytes, tags };
    Command::Access(Box::new(AccessChange::PutQuota { name: name.into(), quota }))
}

fn delete(name: &str) -> Command {
    Command::Access(Box::new(AccessChange::DeleteQuota { name: name.into() }))
}

/// What the shares of a quota hold by what is counted.
fn counted(world: &World, name: &str) -> BTreeMap<String, (u64, u64)> {
    let view = world.ask(ListQuotas { shares: 1000 }).into_iter().find(|view| view.name == name).unwrap();
    assert!(view.is_counted, "{view:?}");
    view.shares.into_iter().map(|(share, bytes, tags)| (share, (bytes, tags))).collect()
}

/// The same by looking at everything.
fn recounted(world: &World, pattern: &str) -> BTreeMap<String, (u64, u64)> {
    let shares: crate::auth::quota::Shares = pattern.parse().unwrap();
    let (mut digests, mut found): (BTreeSet<_>, BTreeMap<String, (u64, u64)>) = Default::default();
    for table in [Table::Links, Table::Manifests, Table::Tags] {
        world
            .records
            .scan(table, &[], &[], false, &mut |key, _| {
                let (repository, rest) = keys::after_repository(key).unwrap();
                let Some(share) = shares.of(repository.as_str()) else { return std::ops::ControlFlow::Continue(()) };
                let entry = found.entry(share.to_owned()).or_default();
                if table == Table::Tags {
                    entry.1 += 1;
                } else {
                    let digest = keys::digest_at(rest).unwrap();
                    let size = if table == Table::Links {
                        blobs::get(&world.records, &digest).unwrap().unwrap().size
                    } else {
                        manifests::get(&world.records, &repository, &digest).unwrap().unwrap().size
                    };
                    if digests.insert((share.to_owned(), digest)) {
                        entry.0 += size;
                    }
                }
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
    }
    found.retain(|_, held| *held != (0, 0));
    found
}

#[test]
fn a_push_beyond_the_quota_is_refused_with_the_figures_and_changes_nothing() {
    let mut world = world();
    world.ok(quota("team", "team/**", Some(100), Some(2)));
    world.expire();
    world.push_blob("team/a", &[1; 60]);
    world.push_blob("team/b", &[1; 60]);
    assert_eq!(counted(&world, "team")["team"], (60, 0), "each digest counts once");
    let refusal = world.refused(commit("team/a", Digest::of(&[2; 41]), Some(inline(&[2; 41]))));
    let exceeded = |what: &str, needed, most| Refusal::QuotaExceeded {
        quota: "team".into(),
        share: "team".into(),
        what: what.into(),
        needed,
        most,
    };
    assert_eq!(refusal, exceeded("bytes", 101, 100));
    world.push_blob("other", &[2; 41]);
    let mount = |to: &str| {
        Command::MountBlob(crate::index::command::MountBlob {
            repository: name(to),
            digest: Digest::of(&[2; 41]),
            from: vec![name("other")],
        })
    };
    assert_eq!(world.refused(mount("team/a")), exceeded("bytes", 101, 100));
    world.ok(mount("elsewhere"));
    world.ok(Command::DeleteBlob(link("team/a", Digest::of(&[1; 60]))));
    assert_eq!(world.refused(mount("team/a")), exceeded("bytes", 101, 100), "team/b has it still");
    world.ok(Command::DeleteBlob(link("team/b", Digest::of(&[1; 60]))));
    world.ok(mount("team/a"));

    let mut world = World { records: world.records, ..world };
    world.ok(quota("team", "team/**", None, Some(2)));
    world.push_image("team/c", b"x", &["one", "two"]);
    let blob = Digest::of(b"x");
    let image = |tags: &[&str]| put(manifest("team/c", b"x", &[(blob, 1)], &[], tags));
    assert_eq!(world.refused(image(&["two", "three"])), exceeded("tags", 3, 2));
    world.ok(image(&["one"]));
    world.ok(delete_tag("team/c", "one", None));
    world.ok(image(&["three"]));
}

#[test]
fn a_quota_that_is_below_what_is_there_lets_it_shrink_only() {
    let mut world = world();
    world.push_blob("home/alice/x", &[1; 50]);
    world.push_blob("home/bob/x", &[1; 50]);
    world.ok(quota("homes", "home/*/**", Some(40), None));
    world.expire();
    let held = counted(&world, "homes");
    assert_eq!(held, BTreeMap::from([("home/alice".into(), (50, 0)), ("home/bob".into(), (50, 0))]));
    world.refused(commit("home/alice/x", Digest::of(b"more"), Some(inline(b"more"))));
    // The same again needs nothing more.
    world.push_blob("home/alice/y", &[1; 50]);
    world.push_blob("home/carol/x", &[3; 40]);
    world.ok(Command::DeleteBlob(link("home/alice/x", Digest::of(&[1; 50]))));
    world.ok(Command::DeleteBlob(link("home/alice/y", Digest::of(&[1; 50]))));
    world.push_blob("home/alice/x", b"more");
    world.ok(delete("homes"));
    world.push_blob("home/alice/x", &[9; 100]);
    world.expire();
    assert!(world.records.all().all(|((table, _), _)| *table != Table::Usage), "nothing is left of it");
    assert_eq!(world.refused(delete("homes")), Refusal::QuotaUnknown { name: "homes".into() });
}

#[test]
fn a_quota_that_makes_no_sense_is_refused() {
    let mut world = world();
    assert!(matches!(world.refused(quota("x", "a", None, None)), Refusal::AccessInvalid { .. }));
    assert!(matches!(world.refused(quota("X", "a", Some(1), None)), Refusal::AccessInvalid { .. }));
    for number in 0..100 {
        world.ok(quota(&format!("q{number}"), "a/**", Some(1), None));
    }
    assert!(matches!(world.refused(quota("more", "a/**", Some(1), None)), Refusal::AccessInvalid { .. }));
    world.ok(quota("q1", "a/**", Some(2), None));
}

#[derive(Clone, Debug)]
enum Act {
    Blob(usize, usize),
    Image(usize, usize, usize),
    DeleteBlob(usize, usize),
    DeleteImage(usize, usize),
    DeleteTag(usize, usize),
    Mount(usize, usize, usize),
    Quota(usize, bool),
    Drop(usize),
    Step,
    Later,
}

const REPOSITORIES: [&str; 5] = ["home/alice/x", "home/alice/y", "home/bob/x", "team", "team/a"];
const PATTERNS: [&str; 4] = ["**", "home/*/**", "team/**", "home/alice/x"];

fn act() -> impl Strategy<Value = Act> {
    let (repository, content) = (0..REPOSITORIES.len(), 0..4_usize);
    prop_oneof![
        (repository.clone(), content.clone()).prop_map(|(r, c)| Act::Blob(r, c)),
        (repository.clone(), content.clone(), 0..3_usize).prop_map(|(r, c, t)| Act::Image(r, c, t)),
        (repository.clone(), content.clone()).prop_map(|(r, c)| Act::DeleteBlob(r, c)),
        (repository.clone(), content.clone()).prop_map(|(r, c)| Act::DeleteImage(r, c)),
        (repository.clone(), 0..3_usize).prop_map(|(r, t)| Act::DeleteTag(r, t)),
        (repository.clone(), repository, content).prop_map(|(r, f, c)| Act::Mount(r, f, c)),
        (0..PATTERNS.len(), any::<bool>()).prop_map(|(p, tight)| Act::Quota(p, tight)),
        (0..PATTERNS.len()).prop_map(Act::Drop),
        Just(Act::Step),
        Just(Act::Later),
    ]
}

fn image(repository: usize, content: usize, tags: &[&str]) -> PutManifest {
    let bytes = [content as u8; 30];
    manifest(REPOSITORIES[repository], &bytes, &[(Digest::of(&bytes), 30)], &[], tags)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens, also while it is still being counted: the count is what is there, and what a quota refuses is not.
    #[test]
    fn what_is_counted_is_what_is_there(acts in proptest::collection::vec(act(), 1..60)) {
        let mut world = world();
        let mut quotas = BTreeSet::new();
        for act in acts {
            let command = match act {
                Act::Blob(r, c) => commit(REPOSITORIES[r], Digest::of(&[c as u8; 30]), Some(inline(&[c as u8; 30]))),
                Act::Image(r, c, t) => put(image(r, c, &[["a", "b", "c"][t]])),
                Act::DeleteBlob(r, c) => Command::DeleteBlob(link(REPOSITORIES[r], Digest::of(&[c as u8; 30]))),
                Act::DeleteImage(r, c) => delete_manifest(REPOSITORIES[r], image(r, c, &[]).digest),
                Act::DeleteTag(r, t) => delete_tag(REPOSITORIES[r], ["a", "b", "c"][t], None),
                Act::Mount(r, f, c) => Command::MountBlob(crate::index::command::MountBlob {
                    repository: name(REPOSITORIES[r]), digest: Digest::of(&[c as u8; 30]), from: vec![name(REPOSITORIES[f])],
                }),
                Act::Quota(p, tight) => {
                    quotas.insert(p);
                    let most = if tight { 100 } else { 1_000_000 };
                    quota(&format!("q{p}"), PATTERNS[p], Some(most), Some(most))
                }
                Act::Drop(p) => {
                    quotas.remove(&p);
                    delete(&format!("q{p}"))
                }
                Act::Step => Command::Expire(Expire { limit: 1 }),
                Act::Later => {
                    world.later(25 * HOUR);
                    continue;
                }
            };
            drop(world.run(command));
        }
        world.expire();
        for p in quotas {
            prop_assert_eq!(counted(&world, &format!("q{p}")), recounted(&world, PATTERNS[p]), "{}", PATTERNS[p]);
        }
    }
}
