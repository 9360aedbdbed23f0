//! Uploads, blobs, manifests and tags as clients push them.

use super::*;
use crate::index::command::{CancelUpload, CloseDay, MarkDamaged, MountBlob, ReplaceSegments};
use crate::index::query::{
    Found, GetBlob, GetManifest, GetUpload, ListReferrers, ListRepositories, ListTags, TagHistory, Upload,
};
use crate::index::state::records::Table;
use crate::oci::reference::Reference;

fn resolve(world: &World, repository: &str, text: &str) -> Option<Digest> {
    let query = GetManifest {
        repository: name(repository),
        reference: Reference::Tag(tag(text)),
        bytes: true,
        held: None,
        as_it_stands: false,
    };
    world.ask(query).here().map(|manifest| manifest.digest)
}

fn blob(world: &World, repository: &str, digest: Digest) -> Found<crate::index::query::Blob> {
    world.ask(GetBlob { repository: name(repository), digest, linearizable: true, for_push: false })
}

#[test]
fn before_the_bootstrap_everything_is_refused() {
    let mut world = World::empty();
    assert_eq!(world.refused(delete_tag("a", "t", None)), Refusal::NotBootstrapped);
}

#[test]
fn a_bootstrap_may_be_repeated_but_not_changed() {
    let mut world = World::new();
    world.ok(bootstrap("here"));
    assert_eq!(world.refused(bootstrap("elsewhere")), Refusal::OtherCluster { cluster: "here".into(), epoch: 1 });
}

#[test]
fn an_upload_grows_segment_by_segment_and_becomes_a_blob() {
    let mut world = World::new();
    let (first, second) = (object(world.now, 1), object(world.now, 2));
    assert_eq!(world.ok(record("a", "u", 0, stored(b"hello ", &first))), Outcome::Upload { offset: 6 });
    assert_eq!(world.refused(record("a", "u", 0, stored(b"other ", &second))), Refusal::OffsetMismatch { offset: 6 });
    assert_eq!(world.ok(record("a", "u", 6, stored(b"world", &second))), Outcome::Upload { offset: 11 });
    assert_eq!(world.refused(record("b", "u", 11, inline(b"!"))), Refusal::UploadUnknown);
    assert_eq!(world.status().counts.uploads, 1);

    let digest = Digest::of(b"hello world");
    assert_eq!(world.refused(finish("a", "u", 6, digest, 6)), Refusal::OffsetMismatch { offset: 11 });
    assert_eq!(world.ok(finish("a", "u", 11, digest, 11)), Outcome::Blob { known: false });
    let Found::Here(found) = blob(&world, "a", digest) else { panic!() };
    assert_eq!((found.size, found.segments.len(), found.unreferenced_since), (11, 2, Some(world.now)));

    // The end of an upload is remembered: the same finish again is answered, anything else is unknown.
    assert_eq!(world.ok(finish("a", "u", 11, digest, 11)), Outcome::Blob { known: true });
    assert_eq!(world.refused(finish("a", "u", 11, Digest::of(b"x"), 11)), Refusal::UploadUnknown);
    world.later(1000);
    world.ok(finish("a", "u", 11, digest, 11));
    assert_eq!(blob(&world, "a", digest).here().unwrap().unreferenced_since, Some(world.now), "the grace begins again");
    assert_eq!(world.refused(record("a", "u", 11, inline(b"!"))), Refusal::UploadUnknown);
    let ended = world.ask(GetUpload { repository: name("a"), upload: upload("u") });
    assert_eq!(ended, Some(Upload::Finished { digest }));
    world.ok(Command::MarkDamaged(MarkDamaged { digest, key: first }));
    assert_eq!(world.refused(finish("a", "u", 11, digest, 11)), Refusal::UploadUnknown, "what is damaged is not there");
}

#[test]
fn a_cancelled_upload_stays_cancelled_and_its_objects_are_condemned() {
    let mut world = World::new();
    let key = object(world.now, 1);
    world.ok(record("a", "u", 0, stored(b"hello", &key)));
    let cancel = || {
        let expires = Time(START + 24 * HOUR);
        Command::CancelUpload(CancelUpload { repository: name("a"), upload: upload("u"), expires })
    };
    world.ok(cancel());
    assert_eq!(world.refused(cancel()), Refusal::UploadUnknown);
    assert_eq!(world.refused(record("a", "u", 0, inline(b"x"))), Refusal::UploadUnknown);
    assert_eq!(world.due_objects(), []);
    world.later(HOUR);
    assert_eq!(world.due_objects(), [key]);
}

#[test]
fn an_expired_upload_is_unknown_and_its_objects_are_condemned() {
    let mut world = World::new();
    let key = object(world.now, 1);
    world.ok(record("a", "u", 0, stored(b"hello", &key)));
    world.later(24 * HOUR);
    assert_eq!(world.refused(record("a", "u", 5, inline(b"x"))), Refusal::UploadUnknown);
    assert_eq!(world.refused(finish("a", "never", 0, Digest::of(b""), 0)), Refusal::UploadUnknown);
    assert_eq!(world.expire(), 1);
    assert_eq!(world.status().counts.uploads, 0);
    world.later(HOUR);
    assert_eq!(world.due_objects(), [key]);
}

#[test]
fn a_known_blob_keeps_its_bytes_and_the_new_object_is_condemned() {
    let mut world = World::new();
    let (first, second) = (object(world.now, 1), object(world.now, 2));
    let digest = Digest::of(b"data");
    assert_eq!(world.ok(commit("a", digest, Some(stored(b"data", &first)))), Outcome::Blob { known: false });
    assert_eq!(world.ok(commit("b", digest, Some(stored(b"data", &second)))), Outcome::Blob { known: true });
    world.later(HOUR);
    assert_eq!(world.due_objects(), [second]);
    let counts = world.status().counts;
    assert_eq!((counts.blobs, counts.blob_bytes, counts.repositories), (1, 4, 2));
}

#[test]
fn a_damaged_blob_is_replaced_by_the_next_push() {
    let mut world = World::new();
    let (first, second) = (object(world.now, 1), object(world.now, 2));
    let digest = Digest::of(b"data");
    world.ok(commit("a", digest, Some(stored(b"data", &first))));
    let damaged = |key: &ObjectKey| Command::MarkDamaged(MarkDamaged { digest, key: key.clone() });
    assert_eq!(world.refused(damaged(&second)), Refusal::Outdated);
    world.ok(damaged(&first));
    assert_eq!(world.ok(commit("a", digest, Some(stored(b"data", &second)))), Outcome::Blob { known: false });
    let found = blob(&world, "a", digest).here().unwrap();
    assert_eq!((found.damaged, &found.segments[0].place), (false, &Place::Object(second)));
    world.later(HOUR);
    assert_eq!(world.due_objects(), [first]);
}

#[test]
fn segments_are_replaced_only_if_nobody_was_first() {
    let mut world = World::new();
    let (first, second, joined) = (object(world.now, 1), object(world.now, 2), object(world.now, 3));
    world.ok(record("a", "u", 0, stored(b"he", &first)));
    world.ok(record("a", "u", 2, stored(b"llo", &second)));
    let digest = Digest::of(b"hello");
    world.ok(finish("a", "u", 5, digest, 5));
    let replace = |old: &[&ObjectKey]| {
        let old = old.iter().map(|key| (*key).clone()).collect();
        Command::ReplaceSegments(ReplaceSegments { digest, old, new: stored(b"hello", &joined) })
    };
    assert_eq!(world.refused(replace(&[&first])), Refusal::Outdated);
    world.ok(replace(&[&first, &second]));
    assert_eq!(world.refused(replace(&[&first, &second])), Refusal::Outdated);
    world.later(HOUR);
    assert_eq!(world.due_objects(), [first, second]);
}

#[test]
fn an_object_of_a_closed_day_is_refused() {
    let mut world = World::new();
    let key = object(world.now, 1);
    world.ok(Command::CloseDay(CloseDay { day: 20_260_101 }));
    let refusal = Refusal::DayClosed { day: 20_260_101 };
    assert_eq!(world.refused(commit("a", Digest::of(b"data"), Some(stored(b"data", &key)))), refusal);
    assert_eq!(world.refused(record("a", "u", 0, stored(b"data", &key))), refusal);
    world.ok(commit("a", Digest::of(b"data"), Some(inline(b"data"))));
}

#[test]
fn a_mount_needs_a_source_that_has_the_blob() {
    let mut world = World::new();
    let digest = world.push_blob("a", b"data");
    let mount = |from: &[&str]| {
        let from = from.iter().map(|text| name(text)).collect();
        Command::MountBlob(MountBlob { repository: name("b"), digest, from })
    };
    assert_eq!(world.refused(mount(&[])), Refusal::MountSourceUnknown);
    assert_eq!(world.refused(mount(&["c"])), Refusal::MountSourceUnknown);
    assert_eq!(world.ok(mount(&["c", "a"])), Outcome::Mounted { from: name("a") });
    assert!(blob(&world, "b", digest).here().is_some());
}

#[test]
fn a_manifest_is_taken_only_with_all_its_parts_and_their_sizes() {
    let mut world = World::new();
    let (here, missing) = (world.push_blob("a", b"data"), Digest::of(b"missing"));
    let refusal = world.refused(put(manifest("a", b"", &[(here, 4), (missing, 1)], &[(missing, 1)], &["t"])));
    assert_eq!(refusal, Refusal::PartsMissing { missing: vec![missing, missing] });
    let refusal = world.refused(put(manifest("a", b"", &[(here, 5)], &[], &["t"])));
    assert_eq!(refusal, Refusal::SizeMismatch { digest: here, claimed: 5, actual: 4 });
    // A blob of another repository is not a blob of this one.
    assert!(matches!(world.refused(put(manifest("b", b"", &[(here, 4)], &[], &[]))), Refusal::PartsMissing { .. }));
    let sparse = PutManifest { sparse: true, ..manifest("a", b"", &[(here, 4)], &[(missing, 1)], &["t"]) };
    assert_eq!(world.ok(put(sparse)), Outcome::Manifest { existed: false });
    // The reply is kept for minutes: of very many it names some.
    let many: Vec<_> = (0..1000u32).map(|number| (Digest::of(&number.to_be_bytes()), 4)).collect();
    let Refusal::PartsMissing { missing } = world.refused(put(manifest("a", b"", &many, &[], &[]))) else { panic!() };
    assert_eq!(missing, many[..32].iter().map(|(digest, _)| *digest).collect::<Vec<_>>());
}

#[test]
fn the_media_type_of_a_manifest_is_fixed() {
    let mut world = World::new();
    let first = manifest("a", b"", &[], &[], &["t"]);
    world.ok(put(first.clone()));
    assert_eq!(world.ok(put(first.clone())), Outcome::Manifest { existed: true });
    let other = PutManifest { media_type: "application/json".into(), ..first.clone() };
    assert_eq!(world.refused(put(other)), Refusal::MediaTypeMismatch { stored: first.media_type });
}

#[test]
fn a_condition_on_a_tag_is_judged_in_the_entry() {
    let mut world = World::new();
    let (one, two) = (manifest("a", b"1", &[], &[], &["t"]), manifest("a", b"2", &[], &[], &["t"]));
    let conditional =
        |manifest: &PutManifest, condition| put(PutManifest { condition: Some(condition), ..manifest.clone() });
    let failed = |current| Refusal::ConditionFailed { current };
    assert_eq!(world.refused(conditional(&one, Condition::Exists)), failed(None));
    assert_eq!(world.refused(conditional(&one, Condition::Matches(vec![one.digest]))), failed(None));
    world.ok(conditional(&one, Condition::Absent));
    assert_eq!(world.refused(conditional(&two, Condition::Absent)), failed(Some(one.digest)));
    assert_eq!(world.refused(conditional(&two, Condition::Matches(vec![two.digest]))), failed(Some(one.digest)));
    assert_eq!(world.refused(conditional(&two, Condition::MatchesNot(vec![one.digest]))), failed(Some(one.digest)));
    world.ok(conditional(&two, Condition::Matches(vec![two.digest, one.digest])));
    assert_eq!(resolve(&world, "a", "t"), Some(two.digest));
    let stale = Some(Condition::Matches(vec![one.digest]));
    assert_eq!(world.refused(delete_tag("a", "t", stale)), failed(Some(two.digest)));
    assert_eq!(world.ok(delete_tag("a", "t", Some(Condition::Exists))), Outcome::TagDeleted { digest: two.digest });
    assert_eq!(world.refused(delete_tag("a", "t", None)), Refusal::TagUnknown);
    assert_eq!(world.refused(delete_tag("z", "t", None)), Refusal::RepositoryUnknown);
}

#[test]
fn the_history_of_a_tag_tells_every_change_newest_first() {
    let mut world = World::new();
    let one = world.push_image("a", b"1", &["t"]);
    world.later(1000);
    let two = world.push_image("a", b"2", &["t"]);
    world.push_image("a", b"2", &["t"]); // the same again is no change
    world.ok(delete_tag("a", "t", None));
    let Found::Here(changes) = world.ask(TagHistory { repository: name("a"), tag: tag("t"), limit: 10 }) else {
        panic!()
    };
    let digests: Vec<_> = changes.iter().map(|change| change.digest).collect();
    assert_eq!(digests, [None, Some(two), Some(one)]);
    assert_eq!(changes[0].who.as_deref(), Some("me"));
    assert!(changes.is_sorted_by(|a, b| a.position > b.position));
}

#[test]
fn the_history_of_a_tag_is_bounded_by_count_and_age() {
    let policy = Policy { history_count: 3, history_age: 10 * HOUR, ..Policy::default() };
    let mut world = World::with(policy);
    let ask = |world: &World| {
        let found = world.ask(TagHistory { repository: name("a"), tag: tag("t"), limit: 100 });
        found.here().map_or(0, |changes| changes.len())
    };
    for content in [b"1", b"2", b"3", b"4", b"5"] {
        world.push_image("a", content, &["t"]);
    }
    assert_eq!(ask(&world), 3);
    world.later(11 * HOUR);
    world.push_image("a", b"6", &["t"]);
    assert_eq!(ask(&world), 1, "what is older than the age is not shown");
    world.ok(delete_tag("a", "t", None));
    world.later(11 * HOUR);
    world.expire();
    assert_eq!(ask(&world), 0, "the history of a deleted tag ends");
}

#[test]
fn the_history_of_a_deleted_tag_ends_also_when_it_is_kept_for_longer_later() {
    let mut world = World::with(Policy { history_age: 10 * HOUR, ..Policy::default() });
    let kept = |world: &World| world.records.all().filter(|((table, _), _)| *table == Table::History).count();
    world.push_image("a", b"1", &["t"]);
    world.ok(delete_tag("a", "t", None));
    world.ok(Command::SetPolicy(Policy { history_age: 20 * HOUR, ..Policy::default() }));
    world.later(11 * HOUR);
    world.expire();
    assert_eq!(kept(&world), 2);
    world.later(10 * HOUR);
    world.expire();
    assert_eq!(kept(&world), 0);
}

#[test]
fn lists_are_ordered_and_every_page_goes_on_where_the_last_ended() {
    let mut world = World::new();
    let tags = ["0.1", "0.1.2", "0.1.20", "0.1.3", "0.10", "A", "_", "a-b", "a.b", "a_b"];
    for text in tags.iter().rev() {
        world.push_image("a", b"x", &[text]);
    }
    for repository in ["a/b", "a-b", "a/b/c", "ab", "z"] {
        world.push_image(repository, b"x", &["t"]);
    }
    let mut expected: Vec<_> = tags.iter().map(|text| tag(text)).collect();
    expected.sort();
    for limit in 1..=tags.len() {
        let (mut seen, mut last) = (Vec::new(), None);
        loop {
            let page = world.ask(ListTags { repository: name("a"), last: last.take(), limit }).unwrap();
            seen.extend(page.items.clone());
            last = page.items.last().map(ToString::to_string);
            if !page.more {
                break;
            }
            assert_eq!(page.items.len(), limit);
        }
        assert_eq!(seen, expected);
    }
    let page = world.ask(ListRepositories { last: Some("a/b".into()), limit: 2 });
    assert_eq!((page.items, page.more), (vec![name("a/b/c"), name("ab")], true));
    assert_eq!(world.ask(ListTags { repository: name("none"), last: None, limit: 1 }), None);
}

#[test]
fn referrers_are_listed_with_or_without_their_subject() {
    let mut world = World::new();
    let subject = Digest::of(b"not pushed yet");
    let referrer = |salt: &[u8], kind: &str| PutManifest {
        subject: Some(subject),
        artifact_type: Some(kind.into()),
        ..manifest("a", salt, &[], &[], &[])
    };
    let (first, second) = (referrer(b"1", "sbom"), referrer(b"2", "signature"));
    world.ok(put(first.clone()));
    world.ok(put(second.clone()));
    let list = |kind: Option<&str>| ListReferrers {
        repository: name("a"),
        subject,
        artifact_type: kind.map(str::to_owned),
        last: None,
        limit: 10,
    };
    assert_eq!(world.ask(list(None)).items.len(), 2);
    let filtered = world.ask(list(Some("sbom"))).items;
    assert_eq!(filtered.iter().map(|referrer| referrer.digest).collect::<Vec<_>>(), [first.digest]);
    world.ok(delete_manifest("a", first.digest));
    assert_eq!(world.ask(list(None)).items.len(), 1);
}
