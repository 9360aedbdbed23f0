//! What a reader gives of whole and of damaged objects.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use futures::TryStreamExt;
use proptest::prelude::*;

use super::*;
use crate::blobs::checksum::Checksums;
use crate::blobs::directory::Directory;
use crate::index::command::Time;

/// A store with one blob in several segments, some of them inline.
struct Stored {
    store: Arc<dyn Store>,
    segments: Vec<Segment>,
    content: Vec<u8>,
    directory: tempfile::TempDir,
}

impl Stored {
    async fn new(lengths: &[usize]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Directory::open(directory.path()).await.unwrap());
        let total: usize = lengths.iter().sum();
        let content: Vec<u8> = (0..total).map(|i| (i * 13 + i / 255) as u8).collect();
        let (mut segments, mut begin) = (Vec::new(), 0);
        for (number, length) in lengths.iter().enumerate() {
            let bytes = Bytes::copy_from_slice(&content[begin..begin + length]);
            let place = if *length < 1000 {
                Place::Inline(bytes.clone())
            } else {
                let key = ObjectKey::new("c", 1, Time(0), number as u128);
                let mut writer = store.create(&key).await.unwrap();
                writer.write(bytes.clone()).await.unwrap();
                writer.finish().await.unwrap();
                Place::Object(key)
            };
            segments.push(Segment { length: *length as u64, place, sums: Checksums::of(&bytes) });
            begin += length;
        }
        Self { store, segments, content, directory }
    }

    async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, ReadError> {
        let buffers: Vec<Bytes> = read(self.store.clone(), self.segments.clone(), range).try_collect().await?;
        assert!(buffers.iter().all(|buffer| !buffer.is_empty() && buffer.len() <= CHUNK));
        Ok(buffers.concat())
    }

    /// Changes the file of segment `number`.
    fn change(&self, number: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let Place::Object(key) = &self.segments[number].place else { panic!("not an object") };
        let path = self.directory.path().join(&key.0);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
    }
}

#[tokio::test]
async fn a_blob_is_its_segments_in_order() {
    let stored = Stored::new(&[10, 3 * CHUNK + 5, 999, CHUNK, 1000]).await;
    let length = stored.content.len() as u64;
    assert_eq!(stored.read(0..length).await.unwrap(), stored.content);
    assert_eq!(stored.read(0..0).await.unwrap(), b"");
    assert_eq!(stored.read(length..length).await.unwrap(), b"");
}

#[tokio::test]
async fn a_wrong_byte_is_never_given_out() {
    let mut stored = Stored::new(&[100, 2 * CHUNK + 100]).await;
    stored.change(1, |bytes| bytes[CHUNK + 50] ^= 1);
    let at = (100 + CHUNK) as u64;
    for range in [0..at + 200, at + 40..at + 60, at + 49..at + 50, at..at + 1] {
        assert!(matches!(stored.read(range).await, Err(ReadError::Damaged { chunk: 1, .. })));
    }
    let good = 100 + CHUNK;
    assert_eq!(stored.read(0..good as u64).await.unwrap(), stored.content[..good]);
    assert!(stored.read(at + CHUNK as u64..at + CHUNK as u64 + 10).await.is_ok());
    let Place::Inline(bytes) = &stored.segments[0].place else { panic!() };
    let mut wrong = bytes.to_vec();
    wrong[3] ^= 1;
    stored.segments[0].place = Place::Inline(wrong.into());
    assert!(matches!(stored.read(50..60).await, Err(ReadError::InlineDamaged)));
}

#[tokio::test]
async fn an_object_that_is_too_short_is_damaged_and_one_that_is_not_there_is_gone() {
    let stored = Stored::new(&[CHUNK + 500]).await;
    stored.change(0, |bytes| bytes.truncate(CHUNK + 100));
    let error = stored.read(0..(CHUNK + 500) as u64).await.unwrap_err();
    assert!(error.damaged().is_some() && !error.is_gone(), "{error:?}");
    let Place::Object(key) = &stored.segments[0].place else { panic!() };
    stored.store.delete(key).await.unwrap();
    let error = stored.read(0..10).await.unwrap_err();
    assert!(error.is_gone() && error.damaged() == Some(key), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn every_range_is_exactly_its_bytes(
        lengths in prop::collection::vec(prop_oneof![1usize..1000, 1000usize..5000, CHUNK - 2..CHUNK + 3], 1..5),
        from in any::<u64>(),
        to in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let stored = Stored::new(&lengths).await;
            let length = stored.content.len() as u64 + 1;
            let (from, to) = ((from % length).min(to % length), (from % length).max(to % length));
            let got = stored.read(from..to).await.unwrap();
            prop_assert!(got == stored.content[from as usize..to as usize]);
            Ok(())
        })?;
    }
}
