//! `/readyz` is about whether clients should be sent here, and names what is in the way of a push and a pull.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use roadstead::blobs::budget::Budget;
use roadstead::blobs::s3::S3;
use roadstead::config;
use roadstead::ready::{IndexNeed, Needs, Readiness};
use roadstead::server::drain::Drain;

use crate::support::Registry;
use crate::support::s3::Versitygw;

fn readiness(registry: &Registry) -> Readiness {
    with(registry, Drain::new())
}

fn with(registry: &Registry, drain: Drain) -> Readiness {
    let readiness = Readiness::new(drain);
    readiness.started(Needs {
        index: IndexNeed::Index(registry.index.clone()),
        store: Arc::new(registry.store.clone()),
        volume: Some((std::env::temp_dir(), 0)),
    });
    readiness
}

async fn report(readiness: &Readiness) -> (bool, serde_json::Value) {
    let report = readiness.look().await;
    (report.ready(), serde_json::to_value(&report).unwrap())
}

#[tokio::test]
async fn when_all_is_well_it_is_ready() {
    let registry = Registry::start().await;
    let (ready, report) = report(&readiness(&registry)).await;
    assert!(ready, "{report}");
}

#[tokio::test]
async fn one_that_has_never_reached_its_store_is_not_ready() {
    let registry = Registry::start().await;
    let readiness = readiness(&registry);
    registry.store.0.down.store(true, Ordering::SeqCst);
    let (ready, told) = report(&readiness).await;
    assert!(!ready && told["store"] != "ok" && told["index"] == "ok", "{told}");
    registry.store.0.down.store(false, Ordering::SeqCst);
    assert!(report(&readiness).await.0);
}

#[tokio::test]
async fn a_store_that_goes_away_is_named_and_takes_nobody_out() {
    let registry = Registry::start().await;
    let readiness = readiness(&registry);
    assert!(report(&readiness).await.0);
    registry.store.0.down.store(true, Ordering::SeqCst);
    let (ready, told) = report(&readiness).await;
    assert!(ready && told["store"] != "ok", "all processes have the same store: {told}");
}

#[tokio::test]
async fn what_the_object_storage_answers_is_told() {
    let (registry, bucket) = (Registry::start().await, Versitygw::start().await);
    for (secret, name, told) in [
        ("testtest", "registry", "ok"),
        ("another", "registry", "SignatureDoesNotMatch"),
        ("testtest", "no-such-bucket", "NoSuchBucket"),
    ] {
        let s3 = config::S3 {
            bucket: name.into(),
            endpoint: Some(bucket.endpoint().into()),
            path_style: true,
            access_key_id: Some("test".into()),
            secret_access_key: Some(secret.into()),
            ..config::S3::default()
        };
        let store = S3::new(&s3, &config::Blobs::default(), Budget::new(16 << 20)).await;
        let readiness = Readiness::new(Drain::new());
        let (index, store) = (IndexNeed::Index(registry.index.clone()), Arc::new(store));
        readiness.started(Needs { index, store, volume: None });
        let (ready, report) = report(&readiness).await;
        let says = report["store"].as_str().unwrap();
        assert!(says.contains(told) && ready == (told == "ok"), "{told}: {says}");
        assert!(!says.contains("service error") && !says.contains("unhandled") && !says.contains(secret), "{says}");
    }
}

#[tokio::test]
async fn an_index_that_is_closed_is_named() {
    let registry = Registry::start().await;
    registry.index.close().await.unwrap();
    let (ready, told) = report(&readiness(&registry)).await;
    assert!(!ready && told["index"] != "ok" && told["store"] == "ok", "{told}");
}

#[tokio::test]
async fn a_process_that_is_ending_is_not_ready() {
    let registry = Registry::start().await;
    let drain = Drain::new();
    let readiness = with(&registry, drain.clone());
    drain.begin();
    let (ready, told) = report(&readiness).await;
    assert!(!ready && told["process"] == "ending", "{told}");
}

#[tokio::test]
async fn a_process_that_is_starting_is_not_ready() {
    let (ready, told) = report(&Readiness::new(Drain::new())).await;
    assert!(!ready && told["index"] == "starting", "{told}");
}
