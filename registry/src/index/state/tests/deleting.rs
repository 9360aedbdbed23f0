//! Deleting, expiry and reclaiming.

use super::*;
use crate::index::command::{ForgetObjects, MountBlob};
use crate::index::query::{Found, GetBlob, GetManifest, ListReferrers};
use crate::index::state::manifests;
use crate::oci::reference::Reference;

const DAY: u64 = 24 * HOUR;

fn has_blob(world: &World, repository: &str, digest: Digest) -> bool {
    matches!(
        world.ask(GetBlob { repository: name(repository), digest, linearizable: true, for_push: false }),
        Found::Here(_)
    )
}

fn has_manifest(world: &World, repository: &str, digest: Digest) -> bool {
    let query = GetManifest {
        repository: name(repository),
        reference: Reference::Digest(digest),
        bytes: true,
        held: None,
        as_it_stands: false,
    };
    match world.ask(query) {
        Found::Here(manifest) => {
            assert!(manifest.bytes.is_some());
            true
        }
        Found::Nothing | Found::NoRepository => false,
    }
}

#[test]
fn a_blob_that_a_manifest_needs_is_not_deleted() {
    let mut world = World::new();
    let image = world.push_image("a", b"data", &["t"]);
    let blob = Digest::of(b"data");
    assert_eq!(world.refused(Command::DeleteBlob(link("a", blob))), Refusal::BlobInUse { digest: blob });
    world.ok(delete_manifest("a", image));
    world.ok(Command::DeleteBlob(link("a", blob)));
    assert!(!has_blob(&world, "a", blob));
    assert_eq!(world.refused(Command::DeleteBlob(link("a", blob))), Refusal::BlobUnknown { digest: blob });
}

#[test]
fn a_blob_that_comes_after_its_sparse_manifest_is_needed_by_it() {
    let mut world = World::new();
    let blob = Digest::of(b"data");
    let sparse = PutManifest { sparse: true, ..manifest("a", b"", &[(blob, 4)], &[], &[]) };
    let image = sparse.digest;
    world.ok(put(sparse));
    assert!(!has_blob(&world, "a", blob));
    world.push_blob("a", b"data");
    world.later(2 * DAY);
    world.expire();
    assert_eq!(world.refused(Command::DeleteBlob(link("a", blob))), Refusal::BlobInUse { digest: blob });
    world.ok(delete_manifest("a", image));
    world.ok(Command::DeleteBlob(link("a", blob)));
    // A manifest that is gone before its blob came leaves no claim.
    let again = PutManifest { sparse: true, ..manifest("a", b"", &[(blob, 4)], &[], &[]) };
    world.ok(put(again));
    world.ok(delete_manifest("a", image));
    world.push_blob("a", b"data");
    world.ok(Command::DeleteBlob(link("a", blob)));
}

#[test]
fn a_foreign_layer_may_be_missing_and_is_kept_when_it_is_there() {
    let mut world = World::new();
    let (here, elsewhere) = (Digest::of(b"here"), Digest::of(b"elsewhere"));
    world.push_blob("a", b"here");
    let foreign = |digest, size| vec![Part { digest, size }];
    let wrong = PutManifest { foreign: foreign(here, 5), ..manifest("a", b"", &[], &[], &[]) };
    assert_eq!(world.refused(put(wrong)), Refusal::SizeMismatch { digest: here, claimed: 5, actual: 4 });
    let image = PutManifest { foreign: foreign(here, 4), ..manifest("a", b"", &[], &[], &[]) };
    let digest = image.digest;
    world.ok(put(image));
    world.ok(put(PutManifest { foreign: foreign(elsewhere, 9), ..manifest("a", b" ", &[], &[], &[]) }));
    world.later(2 * DAY);
    world.expire();
    assert!(has_blob(&world, "a", here));
    assert!(!has_blob(&world, "a", elsewhere));
    world.ok(delete_manifest("a", digest));
    world.later(2 * DAY);
    world.expire();
    assert!(!has_blob(&world, "a", here));
}

#[test]
fn a_blob_deleted_in_one_repository_stays_in_the_others() {
    let mut world = World::new();
    let key = object(world.now, 1);
    let digest = Digest::of(b"data");
    world.ok(commit("a", digest, Some(stored(b"data", &key))));
    world.ok(Command::MountBlob(MountBlob { repository: name("b"), digest, from: vec![name("a")] }));
    world.ok(Command::DeleteBlob(link("a", digest)));
    assert!(!has_blob(&world, "a", digest) && has_blob(&world, "b", digest));
    world.ok(Command::DeleteBlob(link("b", digest)));
    assert!(!has_blob(&world, "b", digest));
    assert_eq!(world.due_objects(), []);
    world.later(HOUR);
    assert_eq!(world.due_objects(), [key]);
}

#[test]
fn an_unreferenced_blob_is_kept_for_the_grace_and_a_renewal_begins_it_again() {
    let mut world = World::new();
    let digest = world.push_blob("a", b"data");
    world.later(DAY - 1);
    assert_eq!(world.expire(), 0);
    world.ok(Command::RenewLink(link("a", digest)));
    world.later(DAY - 1);
    assert_eq!(world.expire(), 0);
    assert!(has_blob(&world, "a", digest));
    world.later(1);
    assert_eq!(world.expire(), 1);
    assert!(!has_blob(&world, "a", digest));
    assert_eq!(world.status().counts, crate::index::query::Counts::default());
}

#[test]
fn a_referenced_blob_outlives_every_grace() {
    let mut world = World::new();
    let image = world.push_image("a", b"data", &["t"]);
    let blob = Digest::of(b"data");
    world.later(30 * DAY);
    world.expire();
    assert!(has_blob(&world, "a", blob));
    world.ok(delete_manifest("a", image));
    world.later(DAY - 1);
    world.expire();
    assert!(has_blob(&world, "a", blob), "the grace begins when the last reference goes");
    world.later(1);
    world.expire();
    assert!(!has_blob(&world, "a", blob));
}

#[test]
fn two_manifests_hold_a_blob_until_both_are_gone() {
    let mut world = World::new();
    let blob = world.push_blob("a", b"data");
    let (one, two) = (manifest("a", b"1", &[(blob, 4)], &[], &[]), manifest("a", b"2", &[(blob, 4)], &[], &[]));
    world.ok(put(one.clone()));
    world.ok(put(two.clone()));
    world.ok(delete_manifest("a", one.digest));
    assert_eq!(world.refused(Command::DeleteBlob(link("a", blob))), Refusal::BlobInUse { digest: blob });
    world.ok(delete_manifest("a", two.digest));
    world.ok(Command::DeleteBlob(link("a", blob)));
}

#[test]
fn only_condemned_objects_are_forgotten() {
    let mut world = World::new();
    let key = object(world.now, 1);
    let digest = Digest::of(b"data");
    world.ok(commit("a", digest, Some(stored(b"data", &key))));
    world.ok(Command::ForgetObjects(ForgetObjects { keys: vec![key.clone()] }));
    assert!(world.is_known(&key));
    world.ok(Command::DeleteBlob(link("a", digest)));
    assert!(world.is_known(&key), "a condemned object is known until it is forgotten");
    world.later(HOUR);
    world.ok(Command::ForgetObjects(ForgetObjects { keys: world.ask(DueObjects { limit: 9, archived: None }) }));
    world.ok(Command::Expire(Expire { limit: 0 }));
    world.ok(Command::ForgetObjects(ForgetObjects { keys: world.ask(DueObjects { limit: 9, archived: None }) }));
    assert!(!world.is_known(&key));
    assert_eq!((world.due_objects(), world.status().counts.condemned), (vec![], 0));
}

#[test]
fn deleting_a_manifest_takes_its_tags_along() {
    let mut world = World::new();
    let image = world.push_image("a", b"data", &["one", "two"]);
    let other = world.push_image("a", b"other", &["three"]);
    world.ok(delete_manifest("a", image));
    assert!(!has_manifest(&world, "a", image) && has_manifest(&world, "a", other));
    assert_eq!(world.refused(delete_tag("a", "one", None)), Refusal::TagUnknown);
    assert_eq!(world.status().counts.tags, 1);
    assert_eq!(world.refused(delete_manifest("a", image)), Refusal::ManifestUnknown);
    assert_eq!(world.refused(delete_manifest("z", image)), Refusal::RepositoryUnknown);
}

#[test]
fn a_tag_that_moved_no_longer_dies_with_its_old_manifest() {
    let mut world = World::new();
    let one = world.push_image("a", b"1", &["t"]);
    let two = world.push_image("a", b"2", &["t"]);
    world.ok(delete_manifest("a", one));
    assert_eq!(world.ok(delete_tag("a", "t", None)), Outcome::TagDeleted { digest: two });
}

#[test]
fn a_manifest_that_an_image_index_lists_is_not_deleted() {
    let mut world = World::new();
    let child = manifest("a", b"child", &[], &[], &[]);
    let parent = manifest("a", b"parent", &[], &[(child.digest, child.bytes.len())], &["t"]);
    world.ok(put(child.clone()));
    world.ok(put(parent.clone()));
    assert_eq!(world.refused(delete_manifest("a", child.digest)), Refusal::ManifestInUse { parent: parent.digest });
    world.ok(delete_manifest("a", parent.digest));
    world.ok(delete_manifest("a", child.digest));
}

#[test]
fn the_bytes_of_a_manifest_stay_while_any_repository_has_it() {
    let mut world = World::new();
    let (in_a, in_b) = (manifest("a", b"", &[], &[], &["t"]), manifest("b", b"", &[], &[], &["t"]));
    assert_eq!(in_a.digest, in_b.digest);
    world.ok(put(in_a.clone()));
    world.ok(put(in_b.clone()));
    world.ok(delete_manifest("a", in_a.digest));
    assert!(has_manifest(&world, "b", in_b.digest));
    world.ok(delete_manifest("b", in_b.digest));
    assert!(!world.records.all().any(|((table, _), _)| *table == super::super::records::Table::ManifestBytes));
}

#[test]
fn untagged_manifests_stay_by_default() {
    let mut world = World::new();
    let image = world.push_image("a", b"data", &["t"]);
    world.ok(delete_tag("a", "t", None));
    world.later(1000 * DAY);
    world.expire();
    assert!(has_manifest(&world, "a", image));
}

#[test]
fn untagged_manifests_go_by_policy_with_their_children_and_referrers() {
    let mut world = World::with(Policy { untagged: Some(HOUR), ..Policy::default() });
    let child = manifest("a", b"child", &[], &[], &[]);
    let parent = manifest("a", b"parent", &[], &[(child.digest, child.bytes.len())], &["t"]);
    world.ok(put(child.clone()));
    world.ok(put(parent.clone()));
    let referrers: Vec<_> = (0..150u32)
        .map(|number| PutManifest {
            subject: Some(parent.digest),
            ..manifest("a", &number.to_be_bytes(), &[], &[], &[])
        })
        .collect();
    for referrer in &referrers {
        world.ok(put(referrer.clone()));
    }
    world.later(2 * HOUR);
    world.expire();
    assert!(has_manifest(&world, "a", child.digest), "a parent holds its child");
    assert!(has_manifest(&world, "a", referrers[0].digest), "a living subject holds its referrers");

    world.ok(delete_tag("a", "t", None));
    world.later(HOUR - 1);
    world.expire();
    assert!(has_manifest(&world, "a", parent.digest));
    world.later(1);
    world.expire();
    assert!(!has_manifest(&world, "a", parent.digest));
    for referrer in &referrers {
        assert!(!has_manifest(&world, "a", referrer.digest));
    }
    let list =
        ListReferrers { repository: name("a"), subject: parent.digest, artifact_type: None, last: None, limit: 1 };
    assert_eq!(world.ask(list).items, []);
    world.later(HOUR);
    world.expire();
    assert!(!has_manifest(&world, "a", child.digest), "a child goes when its parent is gone");
    assert_eq!(world.status().counts.repositories, 0);
}

#[test]
fn a_policy_turned_on_later_finds_what_was_untagged_before() {
    let mut world = World::new();
    let kept = world.push_image("a", b"kept", &["t"]);
    let images: Vec<_> = (0..450u32).map(|n| world.push_image("a", &n.to_be_bytes(), &[])).collect();
    world.ok(Command::SetPolicy(Policy { untagged: Some(HOUR), ..Policy::default() }));
    world.expire();
    world.later(HOUR);
    world.expire();
    assert!(images.iter().all(|image| !has_manifest(&world, "a", *image)));
    assert!(has_manifest(&world, "a", kept));
}

#[test]
fn a_manifest_tagged_again_in_time_is_spared() {
    let mut world = World::with(Policy { untagged: Some(HOUR), ..Policy::default() });
    let image = world.push_image("a", b"data", &[]);
    world.later(HOUR - 1);
    world.push_image("a", b"data", &["t"]);
    world.later(DAY);
    world.expire();
    assert!(has_manifest(&world, "a", image));
}

#[test]
fn a_referrer_pushed_behind_its_dead_subject_has_an_age_of_its_own() {
    let mut world = World::with(Policy { untagged: Some(HOUR), ..Policy::default() });
    let subject = manifest("a", b"subject", &[], &[], &["t"]);
    let of_it = |salt: &[u8]| PutManifest { subject: Some(subject.digest), ..manifest("a", salt, &[], &[], &[]) };
    let (old, new) = (of_it(b"old"), of_it(b"new"));
    world.expire(); // the look at everything that a new policy brings
    world.ok(put(subject.clone()));
    world.ok(put(old.clone()));
    world.ok(delete_manifest("a", subject.digest));
    world.later(HOUR - 1);
    world.ok(put(new.clone()));
    world.later(1);
    world.expire();
    assert!(!has_manifest(&world, "a", old.digest));
    assert!(has_manifest(&world, "a", new.digest), "it was pushed a moment ago");
    world.later(HOUR - 1);
    world.expire();
    assert!(!has_manifest(&world, "a", new.digest));
}

#[test]
fn a_manifest_with_more_tags_than_go_at_once_is_deleted_when_some_are_gone() {
    let mut world = World::new();
    let blob = world.push_blob("a", b"data");
    let tags: Vec<String> = (0..=manifests::MOST_TAGS).map(|number| format!("t{number}")).collect();
    let texts: Vec<&str> = tags.iter().map(String::as_str).collect();
    let many = manifest("a", b"", &[(blob, 4)], &[], &texts);
    let image = many.digest;
    world.ok(put(many));
    let most = manifests::MOST_TAGS as u32;
    assert_eq!(world.refused(delete_manifest("a", image)), Refusal::TooManyTags { most });
    world.ok(delete_tag("a", "t7", None));
    world.ok(delete_manifest("a", image));
    assert_eq!(world.status().counts.tags, 0);
}

#[test]
fn what_one_entry_lets_go_is_bounded_however_much_each_manifest_holds() {
    let mut world = World::with(Policy { untagged: Some(HOUR), ..Policy::default() });
    world.expire(); // looks for what was there before the policy
    let images: Vec<Digest> = (0..4_u32)
        .map(|image| {
            let blobs: Vec<_> =
                (0..15_000_u32).map(|blob| (Digest::of(&[image, blob].map(u32::to_be_bytes).concat()), 1)).collect();
            let sparse = PutManifest { sparse: true, ..manifest("a", b"", &blobs, &[], &[]) };
            let digest = sparse.digest;
            world.ok(put(sparse));
            digest
        })
        .collect();
    world.later(2 * HOUR);
    let mut entries = 0;
    let mut all = 0;
    loop {
        let Outcome::Expired { done, more } = world.ok(Command::Expire(Expire { limit: 100 })) else { panic!() };
        entries += 1;
        all += done;
        if !more {
            break;
        }
    }
    assert!(entries > 1 && all == 4, "{all} in {entries}");
    assert!(!images.iter().any(|image| has_manifest(&world, "a", *image)));
}
