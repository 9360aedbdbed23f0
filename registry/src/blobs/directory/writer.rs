//! A file of the directory store while it is written: under a name of its own until it is whole and durable.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{blocking, failed, sync_parent};
use crate::blobs::{ObjectKey, ObjectWriter, StoreError};

/// After so many bytes the disk is told to take them, so that the end of a large file waits for little.
const FLUSH: u64 = 4 << 20;

/// A file being written.
pub struct Writer {
    key: ObjectKey,
    path: PathBuf,
    /// None once it is renamed or removed.
    part: Option<PathBuf>,
    file: Option<File>,
    /// Bytes since the disk was last told to take what there is.
    waiting: u64,
    flushing: Option<JoinHandle<io::Result<()>>>,
}

#[async_trait]
impl ObjectWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.waiting += bytes.len() as u64;
        let Some(mut file) = self.file.take() else {
            return Err(failed("write", &self.key, io::Error::other("an earlier write failed")));
        };
        let file = blocking("write", &self.key, move || {
            file.write_all(&bytes)?;
            Ok(file)
        })
        .await?;
        self.flush(&file).await?;
        self.file = Some(file);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let (Some(file), Some(part)) = (self.file.take(), self.part.clone()) else {
            return Err(failed("finish", &self.key, io::Error::other("an earlier write failed")));
        };
        self.flushed().await?;
        let path = self.path.clone();
        blocking("finish", &self.key, move || {
            fail::fail_point!("blobs::directory::before_sync");
            file.sync_all()?;
            fail::fail_point!("blobs::directory::before_rename");
            fs::rename(part, &path)?;
            fail::fail_point!("blobs::directory::after_rename");
            sync_parent(&path)
        })
        .await?;
        self.part = None;
        Ok(())
    }

    async fn abort(mut self: Box<Self>) {
        self.remove();
    }
}

impl Writer {
    pub fn new(key: ObjectKey, path: PathBuf, part: PathBuf, file: File) -> Self {
        Self { key, path, part: Some(part), file: Some(file), waiting: 0, flushing: None }
    }

    /// Lets the disk take what there is while more comes in, if it is much and the disk is idle.
    async fn flush(&mut self, file: &File) -> Result<(), StoreError> {
        if self.waiting < FLUSH || self.flushing.as_ref().is_some_and(|flushing| !flushing.is_finished()) {
            return Ok(());
        }
        self.flushed().await?;
        self.waiting = 0;
        let file = file.try_clone().map_err(|error| failed("flush", &self.key, error))?;
        self.flushing = Some(spawn_blocking(move || file.sync_data()));
        Ok(())
    }

    /// What became of that. The system tells a failure to one who asks, and no other: it must not be lost.
    async fn flushed(&mut self) -> Result<(), StoreError> {
        let Some(flushing) = self.flushing.take() else { return Ok(()) };
        let flushed = flushing.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        flushed.map_err(|error| failed("flush", &self.key, error))
    }

    fn remove(&mut self) {
        if let Some(part) = self.part.take()
            && let Err(error) = fs::remove_file(&part)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(key = %self.key, %error, "could not remove an unfinished file; it will be found later");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn writer(directory: &std::path::Path) -> Writer {
        let part = directory.join("a.part");
        Writer::new(ObjectKey("a".into()), directory.join("a"), part.clone(), File::create(part).unwrap())
    }

    #[tokio::test]
    async fn what_was_flushed_on_its_way_is_whole_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path());
        let piece = Bytes::from(vec![7; 1 << 20]);
        for _ in 0..40 {
            writer.write(piece.clone()).await.unwrap();
        }
        assert!(writer.flushing.is_some());
        Box::new(writer).finish().await.unwrap();
        assert_eq!(fs::read(directory.path().join("a")).unwrap(), vec![7; 40 << 20]);
    }

    #[tokio::test]
    async fn an_object_of_which_a_part_did_not_reach_the_disk_is_never_there() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path());
        writer.write(Bytes::from_static(b"a")).await.unwrap();
        writer.flushing = Some(spawn_blocking(|| Err(io::Error::other("a sector"))));
        assert!(matches!(Box::new(writer).finish().await, Err(StoreError::Unavailable { .. })));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
