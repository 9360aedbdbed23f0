//! What was ever written can be read: one sample of each stored form, of each released version, under `testdata/`.
//!
//! A sample is never changed. A new form gets a new sample: `ROADSTEAD_WRITE_SAMPLES=1 cargo test -p roadstead samples`
//! writes those that are missing and leaves the others alone. When a form changes in a compatible way (a field is added),
//! raise `NEW` so that the new form gets samples of its own beside the old ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blobs::ObjectKey;
use crate::blobs::checksum::Checksums;
use crate::index::access::{
    GetAccount, GetFirst, GetToken, ListAudit, ListIssuers, ListKeys, ListPolicies, ListQuotas,
};
use crate::index::archive::names::SegmentName;
use crate::index::archive::segment::{self as archived, Builder};
use crate::index::command::{
    Bootstrap, CancelUpload, CloseDay, Command, CommitBlob, Condition, DeleteManifest, DeleteTag, Expire,
    FinishedUpload, ForgetBackup, ForgetObjects, HashState, LinkName, MarkDamaged, MountBlob, Outcome, Part, PinBackup,
    Place, Policy, Proposal, PutManifest, RaiseLevel, RecordUpload, Refusal, ReplaceSegments, Reply, RequestId,
    Segment, StoredSnapshot, Time, UploadId,
};
use crate::index::query::{Cluster, Found, GetManifest, GetStatus, Query};
use crate::index::raft::frame;
use crate::index::raft::types::{Applied, Content, Members, Position, StoredEntry, StoredVote};
use crate::index::snapshot::{Decoder, Encoder, Header};
use crate::index::state::apply;
use crate::index::state::backups::Backup;
use crate::index::state::records::{MemoryRecords, Transaction};
use crate::index::state::sums::Sums;
use crate::oci::digest::{Algorithm, Digest};
use crate::oci::reference::Reference;

mod access;

use access::{access_commands, audit_commands, issuer_commands};

/// The version of samples that are written now.
const NEW: &str = "v1";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// The sample `name`; made from `content` when it is missing and samples are to be written.
fn sample(name: &str, content: &[u8]) -> Vec<u8> {
    let file = directory().join(name);
    if !file.exists() && std::env::var_os("ROADSTEAD_WRITE_SAMPLES").is_some() {
        fs::write(&file, content).unwrap();
    }
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; see the top of this file", file.display()))
}

fn samples_of(kind: &str) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)))
        .filter(|(name, _)| name.starts_with(kind))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    found.sort();
    found
}

const TIME: Time = Time(1_767_225_600_000);

fn segment(place: Place) -> Segment {
    Segment { length: 5, sums: Checksums::of(b"hello"), place }
}

fn object(name: &str) -> ObjectKey {
    ObjectKey(format!("blobs/c/1/20260101/{name}"))
}

/// One of each, in an order in which most of them succeed.
fn commands() -> Vec<Command> {
    let repository = || "team/app".parse().unwrap();
    let hello = Digest::of(b"hello");
    let other = Digest::of(b"other");
    let manifest = Bytes::from_static(b"{\"schemaVersion\":2}");
    let digest = Digest::of(&manifest);
    let upload = |name: &str| UploadId(name.into());
    let expires = TIME.after(86_400_000);
    let record = |name: &str| RecordUpload {
        repository: repository(),
        upload: upload(name),
        expected_offset: 0,
        segment: segment(Place::Object(object(name))),
        hash: HashState {
            algorithm: Algorithm::Sha256,
            length: 5,
            state: Bytes::from_static(&[1, 2, 3]),
            sum: crc32c::crc32c(&[1, 2, 3]),
        },
        expires,
    };
    let put = PutManifest {
        repository: repository(),
        digest,
        media_type: "application/vnd.oci.image.manifest.v1+json".into(),
        bytes: manifest,
        artifact_type: Some("application/example".into()),
        subject: Some(other),
        annotations: BTreeMap::from([("key".into(), "value".into())]),
        blobs: vec![Part { digest: hello, size: 5 }],
        foreign: Vec::new(),
        children: vec![],
        tags: vec!["latest".parse().unwrap()],
        condition: Some(Condition::Absent),
        sparse: false,
    };
    let children = PutManifest {
        digest: other,
        bytes: Bytes::from_static(b"other"),
        foreign: Vec::new(),
        children: vec![Part { digest, size: 19 }],
        condition: None,
        tags: vec![],
        sparse: true,
        ..put.clone()
    };
    vec![
        Command::Bootstrap(Bootstrap { cluster: "c".into(), epoch: 1, upload_key: Bytes::from_static(&[7; 32]) }),
        Command::SetPolicy(Policy { untagged: Some(3_600_000), ..Policy::default() }),
        Command::CommitBlob(CommitBlob {
            repository: repository(),
            digest: hello,
            size: 5,
            upload: None,
            segment: Some(segment(Place::Inline(Bytes::from_static(b"hello")))),
        }),
        Command::RecordUpload(record("one")),
        Command::RecordUpload(record("two")),
        Command::CancelUpload(CancelUpload { repository: repository(), upload: upload("one"), expires }),
        Command::CommitBlob(CommitBlob {
            repository: repository(),
            digest: other,
            size: 5,
            upload: Some(FinishedUpload { upload: upload("two"), expected_offset: 5, expires }),
            segment: None,
        }),
        Command::MountBlob(MountBlob {
            repository: "other/app".parse().unwrap(),
            digest: hello,
            from: vec![repository()],
        }),
        Command::RenewLink(LinkName { repository: repository(), digest: hello }),
        Command::PutManifest(Box::new(put)),
        Command::PutManifest(Box::new(children)),
        Command::DeleteTag(DeleteTag {
            repository: repository(),
            tag: "latest".parse().unwrap(),
            condition: Some(Condition::Matches(vec![other])),
        }),
        Command::DeleteManifest(DeleteManifest { repository: repository(), digest: hello }),
        Command::DeleteBlob(LinkName { repository: "other/app".parse().unwrap(), digest: hello }),
        Command::Expire(Expire { limit: 10 }),
        Command::CloseDay(CloseDay { day: 20_251_230 }),
        Command::ForgetObjects(ForgetObjects { keys: vec![object("one")] }),
        Command::MarkDamaged(MarkDamaged { digest: other, key: object("two") }),
        Command::ReplaceSegments(ReplaceSegments {
            digest: other,
            old: vec![object("two")],
            new: segment(Place::Object(object("three"))),
        }),
        Command::RaiseLevel(RaiseLevel { level: 1 }),
        Command::PinBackup(PinBackup { name: "nightly".into(), keep_until: Some(expires), snapshot: None }),
        Command::PinBackup(PinBackup {
            name: "nightly".into(),
            keep_until: None,
            snapshot: Some(StoredSnapshot { position: 22, term: 1, id: "01abc".into(), length: 4711, sum: 7 }),
        }),
        Command::ForgetBackup(ForgetBackup { name: "other".into(), position: None }),
    ]
}

/// Every entry of the first level, then every one of the second.
fn access_entries() -> Vec<(String, StoredEntry)> {
    followed(entries(), access_commands())
}

/// Then every one of the third.
fn issuer_entries() -> Vec<(String, StoredEntry)> {
    followed(access_entries(), issuer_commands())
}

/// Those of all levels.
fn all_entries() -> Vec<(String, StoredEntry)> {
    followed(issuer_entries(), audit_commands())
}

fn followed(mut all: Vec<(String, StoredEntry)>, commands: Vec<Command>) -> Vec<(String, StoredEntry)> {
    let next = all.last().map_or(0, |(_, entry)| entry.position.index + 1);
    all.extend(commands_from(next, commands));
    all
}

fn entries() -> Vec<(String, StoredEntry)> {
    let position = |index| Position { term: 1, node: 1, index };
    let members = Members {
        since: None,
        voters: vec![[1, 2].into(), [1, 2, 3].into()],
        nodes: (1..=3).map(|id| (id, format!("node-{id}:5001"))).collect(),
    };
    let mut entries = vec![
        ("blank".to_owned(), StoredEntry { position: position(0), level: 1, content: Content::Blank }),
        ("members".to_owned(), StoredEntry { position: position(1), level: 1, content: Content::Members(members) }),
    ];
    entries.extend(commands_from(2, commands()));
    entries
}

fn commands_from(first: u64, commands: Vec<Command>) -> Vec<(String, StoredEntry)> {
    let entry = |(command, index): (Command, u64)| {
        let name = format!("{index:02}-{}", command.name());
        let request = RequestId::new(TIME, u128::from(index) << 64);
        let proposal = Proposal { time: TIME.after(index), request, who: Some("me".into()), command };
        let level = proposal.command.reader();
        let position = Position { term: 1, node: 1, index };
        (name, StoredEntry { position, level, content: Content::Command(proposal) })
    };
    commands.into_iter().zip(first..).map(entry).collect()
}

/// Checks that all samples of a form decode, and that the newest are still what is written now.
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(kind: &str, value: &T) {
    let now = rmp_serde::to_vec_named(value).unwrap();
    let newest = sample(&format!("{kind}-{NEW}.msgpack"), &now);
    assert_eq!(rmp_serde::from_slice::<T>(&newest).unwrap(), *value);
    assert_eq!(newest, now, "{kind} is written in another form: raise NEW");
    for (name, bytes) in samples_of(&format!("{kind}-v")) {
        rmp_serde::from_slice::<T>(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_entry_that_was_ever_written_is_read() {
    let mut before = 0;
    for (name, entry) in all_entries() {
        let (now, sum) = frame::encode(&entry, before).unwrap();
        let newest = sample(&format!("entry-{NEW}-{name}.frame"), &now);
        let read = frame::decode(&newest).unwrap();
        assert_eq!((&read.entry, read.sum, read.before), (&entry, sum, before), "{name}");
        assert_eq!(newest, now, "{name} is written in another form: raise NEW");
        before = sum;
    }
    let all = samples_of("entry-v");
    assert!(all.len() >= all_entries().len());
    for (name, bytes) in all {
        frame::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_command_has_a_sample() {
    let all: Vec<_> = commands().into_iter().chain(access_commands()).collect();
    let names: std::collections::BTreeSet<_> = all.iter().map(Command::name).collect();
    // A new command is added to `Command::name`, which must match all of them, and here.
    assert_eq!(names.len(), 19 + 14, "{names:?}");
    assert!(all.iter().any(|command| matches!(command, Command::OnBehalf(_))));
}

#[test]
fn what_the_node_and_the_table_of_requests_keep_is_read() {
    let position = Position { term: 3, node: 1, index: 70 };
    let members = Members { since: Some(position), voters: vec![[1].into()], nodes: [(1, "self".into())].into() };
    let applied = Applied { position: Some(position), members: members.clone(), ..Applied::default() };
    check("applied", &applied);
    check("applied-installed", &Applied { installed: Some(70), ..applied.clone() });
    check("applied-removed", &Applied { removed: std::collections::BTreeSet::from([3, 9]), ..applied });
    let sums: Sums = serde_json::from_str(r#"{"now":18446744073709551615,"marks":[[60,1],[70,2]]}"#).unwrap();
    check("applied-sums", &Applied { position: Some(position), sums, ..Applied::default() });
    check("position", &position);
    check("vote", &StoredVote { term: 3, node: 1, committed: true });
    check::<Reply>("reply-done", &Ok(Outcome::Manifest { existed: false }));
    check::<Reply>("reply-refused", &Err(Refusal::ConditionFailed { current: Some(Digest::of(b"x")) }));
}

#[test]
fn every_segment_of_an_archive_that_was_ever_written_is_read() {
    for (kind, entries) in [
        ("segment", entries()),
        ("segment-access", access_entries()),
        ("segment-issuers", issuer_entries()),
        ("segment-audit", all_entries()),
    ] {
        let mut builder = Builder::new(0, 0);
        for (_, entry) in &entries {
            builder.push(entry).unwrap();
        }
        let (name, now) = builder.finish("c", 1).unwrap();
        let newest = sample(&format!("{kind}-{NEW}.bin"), &now);
        assert_eq!(newest, now, "segments are written in another form: raise NEW");
        for (file, bytes) in samples_of(&format!("{kind}-v")) {
            let name = SegmentName { length: bytes.len() as u64, ..name };
            let read = archived::decode(&bytes, &name, "c").unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(read.len(), entries.len(), "{file}");
        }
    }
}

#[test]
fn every_record_of_a_backup_and_of_a_restored_cluster_that_was_ever_written_is_read() {
    let snapshot = StoredSnapshot { position: 22, term: 1, id: "01abc".into(), length: 4711, sum: 7 };
    let (position, time, epoch) = (20, TIME, 1);
    check("backup-begun", &Backup { position, time, epoch, keep_until: None, snapshot: None });
    check("backup", &Backup { position, time, epoch, keep_until: Some(TIME), snapshot: Some(snapshot) });
    let upload_key = Bytes::from_static(&[7; 32]);
    check("cluster", &Cluster { id: "c".into(), epoch: 1, upload_key: upload_key.clone(), owned: vec![], claim: None });
    let claim = Some("01abc".into());
    check("cluster-restored", &Cluster { id: "c".into(), epoch: 3, upload_key, owned: vec![1, 2], claim });
}

/// The state after these entries.
fn state(entries: Vec<(String, StoredEntry)>) -> MemoryRecords {
    let mut records = MemoryRecords::default();
    for (_, entry) in entries {
        let Content::Command(proposal) = entry.content else { continue };
        let mut transaction = Transaction::new(&records);
        drop(apply(&mut transaction, entry.position.index, &proposal).unwrap());
        let changes: Vec<_> = transaction.into_changes().collect();
        records.write(changes);
    }
    records
}

/// A sample of a snapshot, made of the state after these entries; and all there are of its kind, as they are read.
fn snapshots(kind: &str, header: &Header, entries: Vec<(String, StoredEntry)>) -> Vec<(String, MemoryRecords)> {
    let mut encoder = Encoder::new(Vec::new(), header).unwrap();
    for ((table, key), value) in state(entries).all() {
        encoder.record(*table, key, value).unwrap();
    }
    let (now, _) = encoder.finish().unwrap();
    sample(&format!("{kind}-{NEW}.bin"), &now);
    let read = |(name, bytes): (String, Vec<u8>)| {
        let mut decoder = Decoder::new(&bytes[..]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(decoder.header(), header, "{name}");
        let mut records = MemoryRecords::default();
        while let Some(read) = decoder.records().unwrap_or_else(|error| panic!("{name}: {error}")) {
            records.write(read.into_iter().map(|(table, key, value)| ((table, key.to_vec()), Some(value))));
        }
        (name, records)
    };
    samples_of(&format!("{kind}-v")).into_iter().map(read).collect()
}

fn header(position: u64, level: u32) -> Header {
    Header { cluster: "c".into(), position, applied: Bytes::from_static(b"opaque"), level }
}

#[test]
fn every_snapshot_that_was_ever_written_is_read_and_answers() {
    for (name, records) in snapshots("snapshot", &header(20, 1), entries()) {
        let status = GetStatus.answer(&records).unwrap();
        assert_eq!(status.cluster.unwrap().id, "c", "{name}");
        assert_eq!(status.counts.manifests, 2, "{name}");
        let reference = Reference::Tag("latest".parse().unwrap());
        let query = GetManifest {
            repository: "team/app".parse().unwrap(),
            reference,
            bytes: true,
            held: None,
            as_it_stands: false,
        };
        let Found::Here(manifest) = query.answer(&records).unwrap() else { panic!("{name}: no manifest") };
        assert_eq!(manifest.bytes.unwrap(), &b"{\"schemaVersion\":2}"[..], "{name}");
    }
}

#[test]
fn every_snapshot_with_accounts_that_was_ever_written_is_read_and_answers() {
    for (name, records) in snapshots("snapshot-access", &header(40, 2), access_entries()) {
        let alice = GetAccount { name: "alice".into() }.answer(&records).unwrap().unwrap();
        assert_eq!(alice.groups, ["dev".to_owned(), "ops".to_owned()].into(), "{name}");
        let token = GetToken { id: "0123456789abcdef".into() }.answer(&records).unwrap().unwrap();
        assert_eq!((token.account.as_str(), token.last_used), ("ci", Some(TIME)), "{name}");
        assert_eq!(ListPolicies.answer(&records).unwrap().len(), 1, "{name}");
        assert_eq!(ListKeys.answer(&records).unwrap().len(), 1, "{name}");
        assert_eq!(ListQuotas { shares: 9 }.answer(&records).unwrap().len(), 1, "{name}");
        assert_eq!(GetFirst.answer(&records).unwrap().administrators, 1, "{name}");
    }
}

#[test]
fn every_snapshot_with_issuers_that_was_ever_written_is_read_and_answers() {
    for (name, records) in snapshots("snapshot-issuers", &header(60, 3), issuer_entries()) {
        let issuers = ListIssuers.answer(&records).unwrap();
        assert_eq!(issuers.iter().map(|view| view.name.as_str()).collect::<Vec<_>>(), ["github"], "{name}");
        assert!(issuers[0].version > 0 && issuers[0].issuer.rules.len() == 2, "{name}");
    }
}

#[test]
fn every_snapshot_with_an_audit_of_changes_that_was_ever_written_is_read_and_answers() {
    for (name, records) in snapshots("snapshot-audit", &header(80, 4), all_entries()) {
        let ask = ListAudit { after: 0, limit: 100, repository: None, who: None };
        let changes: Vec<_> = ask.answer(&records).unwrap().items.into_iter().map(|record| record.change).collect();
        let last = Command::Access(changes.last().unwrap().clone().unwrap());
        assert_eq!(Some(&last), audit_commands().last(), "{name}");
        assert_eq!(changes.iter().flatten().count(), 1, "{name}: what was before that level says no more than it did");
    }
}
