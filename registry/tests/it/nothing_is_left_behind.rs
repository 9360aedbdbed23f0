//! What a process leaves in the store when it dies between an object and its entry is found and removed, and nothing
//! else is.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::TryStreamExt;
use roadstead::blobs::budget::Budget;
use roadstead::blobs::directory::Directory;
use roadstead::blobs::key::DAY;
use roadstead::blobs::s3::S3;
use roadstead::blobs::{ObjectKey, Store, StoreError};
use roadstead::config;
use roadstead::index::command::Time;
use roadstead::oci::digest::Digest;

use crate::support::s3::{FakeS3, Versitygw};
use crate::support::server::{Options, Server};
use crate::support::wait::eventually;

/// Days after which an object without an entry is surely an orphan: its day was closed yesterday at the latest.
const LONG_AGO: u64 = 4;

async fn s3(endpoint: &str) -> Arc<dyn Store> {
    let s3 = config::S3 {
        bucket: "registry".into(),
        endpoint: Some(endpoint.into()),
        path_style: true,
        access_key_id: Some("test".into()),
        secret_access_key: Some("testtest".into()),
        ..config::S3::default()
    };
    Arc::new(S3::new(&s3, &config::Blobs::default(), Budget::new(16 << 20)).await)
}

fn days_ago(days: u64) -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    Time(now - days * DAY)
}

/// A key like those that the registry makes, of another day.
fn key_of(pushed: &ObjectKey, days: u64) -> ObjectKey {
    let parts: Vec<&str> = pushed.0.split('/').collect();
    assert_eq!((parts.len(), parts[0]), (5, "blobs"), "{pushed}");
    ObjectKey::new(parts[1], parts[2].parse().unwrap(), days_ago(days), 1)
}

async fn write(store: &dyn Store, key: &ObjectKey) {
    let mut writer = store.create(key).await.unwrap();
    writer.write(Bytes::from_static(b"nobody knows me")).await.unwrap();
    writer.finish().await.unwrap();
}

async fn is_gone(store: &dyn Store, key: &ObjectKey) -> bool {
    match store.read(key, 0..1).await {
        Err(StoreError::NotFound { .. }) => true,
        Err(error) => panic!("{error}"),
        Ok(_) => false,
    }
}

/// A registry with one blob in `store`, and the key of that blob's object.
async fn with_a_blob(server: &Server, store: &dyn Store) -> (Digest, Vec<u8>, ObjectKey) {
    let content = vec![9; 200_000];
    let digest = server.client().push_blob("a", &content).await;
    let keys: Vec<ObjectKey> = store.list("blobs/").await.unwrap().try_collect().await.unwrap();
    let [key] = &keys[..] else { panic!("one blob is one object, not {keys:?}") };
    (digest, content, key.clone())
}

async fn orphans_go(mut server: Server, store: Arc<dyn Store>) {
    let store = store.as_ref();
    let (digest, content, pushed) = with_a_blob(&server, store).await;
    let (old, young) = (key_of(&pushed, LONG_AGO), key_of(&pushed, 0));
    write(store, &old).await;
    write(store, &young).await;
    server.kill();
    server.restart().await;
    eventually("the orphan is deleted", async || is_gone(store, &old).await).await;
    assert!(!is_gone(store, &young).await, "an entry may still come for it");
    let pulled = server.client().get(&format!("/v2/a/blobs/{digest}")).await.expect(200);
    assert!(pulled.body == content);
    eventually("it is counted", async || server.metric("roadstead_reclaim_orphans_total ").await == Some(1.0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_in_the_directory_goes_when_its_day_is_over() {
    let server = Server::start().await;
    let store = Directory::open(server.data()).await.unwrap();
    orphans_go(server, Arc::new(store)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_in_a_bucket_goes_when_its_day_is_over() {
    let bucket = Versitygw::start().await;
    let server = Server::with(Options { set: bucket.settings(), ..Options::default() }).await;
    orphans_go(server, s3(bucket.endpoint()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_to_the_bucket_that_nobody_ends_is_aborted() {
    let bucket = FakeS3::start().await;
    let mut server = Server::with(Options { set: bucket.settings(), ..Options::default() }).await;
    let (digest, content, pushed) = with_a_blob(&server, s3(bucket.endpoint()).await.as_ref()).await;
    server.kill();
    let url = format!("{}/registry/{}?uploads", bucket.endpoint(), key_of(&pushed, LONG_AGO));
    let begun = reqwest::Client::new().post(url).send().await.unwrap();
    assert!(begun.status().is_success());
    assert_eq!(bucket.unfinished(), 1);
    server.restart().await;
    eventually("the upload is aborted", async || bucket.unfinished() == 0).await;
    let pulled = server.client().get(&format!("/v2/a/blobs/{digest}")).await.expect(200);
    assert!(pulled.body == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_file_goes_when_it_is_old() {
    let mut server = Server::start().await;
    let store = Directory::open(server.data()).await.unwrap();
    let (_, _, pushed) = with_a_blob(&server, &store).await;
    server.kill();
    let part = |days| server.data().join(format!("{}.part", key_of(&pushed, days)));
    let (old, young) = (part(LONG_AGO), part(0));
    for path in [&old, &young] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "half of it").unwrap();
    }
    let times = std::fs::FileTimes::new().set_modified(SystemTime::now() - Duration::from_hours(72));
    std::fs::File::options().write(true).open(&old).unwrap().set_times(times).unwrap();
    server.restart().await;
    eventually("the old file is removed", async || !old.exists()).await;
    assert!(young.exists(), "somebody may still write it");
}
