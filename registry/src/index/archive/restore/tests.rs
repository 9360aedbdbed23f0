//! Which epoch is read, and which is taken.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::blobs::directory::Directory;

async fn restore(directory: &std::path::Path, wanted: Wanted, epoch: Option<u64>) -> Restore {
    Restore {
        store: Arc::new(Directory::open(&directory.join("store")).await.unwrap()),
        directory: directory.join("volume"),
        wanted,
        cluster: None,
        epoch,
        take_over: false,
        member: "self".into(),
        metrics: IndexMetrics::register(&prometheus::Registry::new()).unwrap(),
    }
}

/// The keys of a whole snapshot: of a backup, or of the archive.
fn snapshot(epoch: u64, backup: Option<&str>) -> [ObjectKey; 2] {
    let name = SnapshotName { position: 10, term: 1, id: "x".into() };
    let prefix =
        backup.map_or_else(|| names::snapshots_prefix("c", epoch), |backup| names::backup_prefix("c", epoch, backup));
    let whole = WholeSnapshot { name, length: 1, sum: 1 };
    [whole.mark(&prefix), whole.name.key(&prefix)]
}

#[tokio::test]
async fn what_the_owner_has_is_preferred_and_without_one_somebody_must_say_whose() {
    let directory = tempfile::tempdir().unwrap();
    let owner = |epoch| Some(Owner { cluster: "c".into(), epoch });
    let keys =
        [snapshot(1, Some("nightly")), snapshot(2, Some("nightly")), snapshot(1, None), snapshot(2, None)].concat();
    let epoch_of = async |wanted: Wanted, epoch, owner: Option<Owner>| {
        let restore = restore(directory.path(), wanted, epoch).await;
        restore.source("c".into(), owner.as_ref(), &keys).map(|source| source.epoch)
    };
    for wanted in [Wanted::Newest, Wanted::Backup("nightly".into())] {
        assert_eq!(epoch_of(wanted.clone(), None, owner(1)).await.unwrap(), 1);
        assert_eq!(epoch_of(wanted.clone(), None, owner(2)).await.unwrap(), 2);
        assert_eq!(epoch_of(wanted.clone(), Some(2), owner(1)).await.unwrap(), 2);
        let error = epoch_of(wanted, None, None).await.unwrap_err();
        assert!(matches!(&error, RestoreError::Ambiguous { epochs } if *epochs == [1, 2]), "{error}");
    }
}

#[tokio::test]
async fn an_epoch_that_was_taken_meanwhile_keeps_its_only_claim() {
    let directory = tempfile::tempdir().unwrap();
    let restore = restore(directory.path(), Wanted::Newest, None).await;
    let theirs = names::claim("c", 2, "them");
    stream::put(restore.store.as_ref(), &theirs, Bytes::from_static(b"x")).await.unwrap();
    let source = Source { cluster: "c".into(), epoch: 1, prefix: String::new(), plans: Vec::new() };
    let upload_key = Bytes::from_static(&[0; 32]);
    let old = Cluster { id: "c".into(), epoch: 1, upload_key, owned: Vec::new(), claim: None };
    // What was listed before the state was read did not show it.
    let (epoch, claim) = restore.take_epoch(&source, &old, None, &[]).await.unwrap();
    assert!(epoch > 2);
    let claims = async |epoch| stream::list(restore.store.as_ref(), &names::claims_prefix("c", epoch)).await.unwrap();
    assert_eq!(claims(2).await, [theirs]);
    assert_eq!(claims(epoch).await, [names::claim("c", epoch, &claim)]);
}
