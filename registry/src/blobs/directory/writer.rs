//! A file of the directory store while it is written: under a name of its own until it is whole and durable.

use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{blocking, failed, sync_parent};
use crate::blobs::{ObjectKey, ObjectWriter, StoreError};

/// After so many bytes the disk is told to take them, so that the end of a large file waits for little.
const FLUSH: u64 = 4 << 20;

/// A small object is held in memory: its file is made, written and synced in one turn of a thread, when it is whole.
const HELD: usize = 128 << 10;

/// Makes the file, and its directory if that is not there.
pub type Make = Arc<dyn Fn() -> io::Result<File> + Send + Sync>;

/// A file being written.
pub struct Writer {
    key: ObjectKey,
    path: PathBuf,
    part: PathBuf,
    make: Make,
    stage: Stage,
    /// Bytes since the disk was last told to take what there is.
    waiting: u64,
    flushing: Option<JoinHandle<io::Result<()>>>,
}

enum Stage {
    /// There is no file yet.
    Held(Vec<Bytes>),
    Begun(File),
    /// There may be a file, and nobody can go on with it.
    Broken,
    /// The file has its name.
    Whole,
}

#[async_trait]
impl ObjectWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.waiting += bytes.len() as u64;
        let (begun, pieces) = match mem::replace(&mut self.stage, Stage::Broken) {
            Stage::Held(mut held) => {
                held.push(bytes);
                if held.iter().map(Bytes::len).sum::<usize>() <= HELD {
                    self.stage = Stage::Held(held);
                    return Ok(());
                }
                (None, held)
            }
            Stage::Begun(file) => (Some(file), vec![bytes]),
            Stage::Broken | Stage::Whole => return Err(self.broken("write")),
        };
        let make = Arc::clone(&self.make);
        let file = blocking("write", &self.key, move || written(&make, begun, &pieces)).await?;
        self.flush(&file).await?;
        self.stage = Stage::Begun(file);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let (begun, pieces) = match mem::replace(&mut self.stage, Stage::Broken) {
            Stage::Held(held) => (None, held),
            Stage::Begun(file) => (Some(file), Vec::new()),
            Stage::Broken | Stage::Whole => return Err(self.broken("finish")),
        };
        self.flushed().await?;
        let (make, part, path) = (Arc::clone(&self.make), self.part.clone(), self.path.clone());
        blocking("finish", &self.key, move || {
            let file = written(&make, begun, &pieces)?;
            fail::fail_point!("blobs::directory::before_sync");
            file.sync_all()?;
            fail::fail_point!("blobs::directory::before_rename");
            fs::rename(part, &path)?;
            fail::fail_point!("blobs::directory::after_rename");
            sync_parent(&path)
        })
        .await?;
        self.stage = Stage::Whole;
        Ok(())
    }

    async fn abort(mut self: Box<Self>) {
        self.remove();
    }
}

/// The file, with these bytes at its end.
fn written(make: &Make, begun: Option<File>, pieces: &[Bytes]) -> io::Result<File> {
    let mut file = begun.map_or_else(|| make(), Ok)?;
    for piece in pieces {
        file.write_all(piece)?;
    }
    Ok(file)
}

impl Writer {
    pub fn new(key: ObjectKey, path: PathBuf, part: PathBuf, make: Make) -> Self {
        Self { key, path, part, make, stage: Stage::Held(Vec::new()), waiting: 0, flushing: None }
    }

    fn broken(&self, operation: &'static str) -> StoreError {
        failed(operation, &self.key, io::Error::other("an earlier write failed"))
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
        if let Stage::Begun(_) | Stage::Broken = mem::replace(&mut self.stage, Stage::Whole)
            && let Err(error) = fs::remove_file(&self.part)
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
        Writer::new(ObjectKey("a".into()), directory.join("a"), part.clone(), Arc::new(move || File::create(&part)))
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
    async fn a_small_object_has_no_file_before_it_is_whole_and_a_larger_one_only_one_that_is_not_there_yet() {
        let directory = tempfile::tempdir().unwrap();
        let names = || -> Vec<_> {
            let mut names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let pieces = [vec![1; 1], vec![2; HELD - 1], vec![3; 1]].map(Bytes::from);
        let mut small = writer(directory.path());
        small.write(pieces[0].clone()).await.unwrap();
        small.write(pieces[1].clone()).await.unwrap();
        assert!(names().is_empty());
        Box::new(small).finish().await.unwrap();
        assert_eq!(names(), ["a"]);
        assert_eq!(fs::read(directory.path().join("a")).unwrap(), pieces[..2].concat());
        let mut larger = writer(directory.path());
        for piece in &pieces {
            larger.write(piece.clone()).await.unwrap();
        }
        assert_eq!(names(), ["a", "a.part"]);
        Box::new(larger).abort().await;
        assert_eq!(names(), ["a"], "and what was given up is gone");
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
