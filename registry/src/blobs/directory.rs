//! Objects as files under a directory: the store of a single process, and of tests.
//!
//! An object is written to `<key>.<random>.part`, made durable, renamed to its key, and the directories are made durable: so a
//! file under a key is always whole. A part file that nobody finishes is found by `abort_stale`.

mod reading;
mod writer;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::task::spawn_blocking;

use super::{ObjectKey, ObjectWriter, Store, StoreError};
use writer::Writer;

const PART: &str = ".part";
/// Keys that are found before somebody asks for them.
const LISTED: usize = 256;

/// A store under one directory.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
    named: Named,
}

impl Directory {
    /// Opens the store, and makes its directory.
    pub async fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self { root: root.to_owned(), named: Named::default() };
        let key = ObjectKey(String::new());
        let (root, named) = (store.root.clone(), store.named.clone());
        blocking("open the directory of", &key, move || make_directory(&root, &root, &named)).await?;
        Ok(store)
    }

    /// The directory of a prefix, as part of keys: it may not lead elsewhere either.
    fn prefix(&self, prefix: &str) -> Result<String, StoreError> {
        let prefix = prefix.trim_end_matches('/').to_owned();
        self.path(&ObjectKey(prefix.clone()))?;
        Ok(prefix)
    }

    /// The file of an object. Keys come from the index, which may come from a backup: none may lead elsewhere.
    fn path(&self, key: &ObjectKey) -> Result<PathBuf, StoreError> {
        let fits = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.len() <= 128
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        if key.0.split('/').all(fits) && !key.0.ends_with(PART) {
            Ok(self.root.join(&key.0))
        } else {
            Err(failed("name a file for", key, io::Error::new(io::ErrorKind::InvalidInput, "not a key of ours")))
        }
    }
}

fn failed(operation: &'static str, key: &ObjectKey, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::NotFound { key: key.clone() },
        // An object that is shorter than its record is damaged: that must not look like its end, nor like trouble that passes.
        io::ErrorKind::UnexpectedEof => StoreError::Truncated { key: key.clone() },
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::Unavailable { operation, key: key.clone(), source: Box::new(error) },
    }
}

async fn blocking<T: Send + 'static>(
    operation: &'static str,
    key: &ObjectKey,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    match spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| failed(operation, key, error)),
        Err(error) => Err(failed(operation, key, io::Error::other(error))),
    }
}

/// Directories whose names this process has made durable: one that is there may be named by somebody who died before that,
/// or who is about to do it.
type Named = Arc<Mutex<BTreeSet<PathBuf>>>;

/// Makes a directory and those above it up to `root`, each durable in its parent.
fn make_directory(root: &Path, path: &Path, named: &Named) -> io::Result<()> {
    let known = || named.lock().unwrap_or_else(PoisonError::into_inner);
    match create_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if known().contains(path) {
                return Ok(());
            }
            // Nor may those above it be durable.
            if let Some(parent) = path.parent()
                && path != root
            {
                make_directory(root, parent, named)?;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = path.parent() {
                make_directory(root, parent, named)?;
            }
            match create_private(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other?,
            }
        }
        other => other?,
    }
    sync_parent(path)?;
    known().insert(path.to_owned());
    Ok(())
}

/// What is pushed is for those alone who may pull it from the registry.
fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[async_trait]
impl Store for Directory {
    async fn create(&self, key: &ObjectKey) -> Result<Box<dyn ObjectWriter>, StoreError> {
        let path = self.path(key)?;
        // Of each writer its own: what a crash left of another does not stand in the way.
        let mut random = [0; 8];
        crate::random::fill(&mut random).map_err(|error| failed("create", key, io::Error::other(error)))?;
        let mut part = path.clone().into_os_string();
        part.push(format!(".{}{PART}", hex::encode(random)));
        let part = PathBuf::from(part);
        let (root, temporary, named) = (self.root.clone(), part.clone(), self.named.clone());
        let make = Arc::new(move || {
            if let Some(parent) = temporary.parent() {
                make_directory(&root, parent, &named)?;
            }
            File::options().write(true).create_new(true).open(&temporary)
        });
        Ok(Box::new(Writer::new(key.clone(), path, part, make)))
    }

    async fn read(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        let path = self.path(key)?;
        let file = blocking("open", key, move || File::open(path)).await?;
        Ok(reading::read(key.clone(), file, range.start, range.end).boxed())
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let path = self.path(key)?;
        blocking("delete", key, move || match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectKey, StoreError>>, StoreError> {
        let (root, prefix) = (self.root.clone(), self.prefix(prefix)?);
        let (found, keys) = tokio::sync::mpsc::channel(LISTED);
        // The keys of an epoch can be many millions: they are found as they are asked for.
        spawn_blocking(move || {
            let walked = files(&root, &prefix, &mut |key, _| {
                if key.ends_with(PART) || found.blocking_send(Ok(ObjectKey(key))).is_ok() {
                    Ok(())
                } else {
                    Err(io::ErrorKind::BrokenPipe.into()) // nobody asks any more
                }
            });
            if let Err(error) = walked {
                let _ = found.blocking_send(Err(failed("list", &ObjectKey(prefix), error)));
            }
        });
        Ok(stream::unfold(keys, |mut keys| async move { keys.recv().await.map(|key| (key, keys)) }).boxed())
    }

    async fn abort_stale(&self, prefix: &str, age: Duration) -> Result<u64, StoreError> {
        let (root, prefix) = (self.root.clone(), self.prefix(prefix)?);
        let key = ObjectKey(prefix.clone());
        blocking("remove unfinished files of", &key, move || {
            let mut removed = 0;
            files(&root, &prefix, &mut |key, entry| {
                if key.ends_with(PART) {
                    match remove_if_old(entry, age) {
                        // Its writer ended in the meantime.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        other => removed += u64::from(other?),
                    }
                }
                Ok(())
            })?;
            Ok(removed)
        })
        .await
    }
}

/// Removes a file that was last written before `age`, and says whether it did.
fn remove_if_old(entry: &fs::DirEntry, age: Duration) -> io::Result<bool> {
    let written = entry.metadata()?.modified()?;
    let old = SystemTime::now().duration_since(written).is_ok_and(|since| since >= age);
    if old {
        fs::remove_file(entry.path())?;
    }
    Ok(old)
}

/// Visits the files under `prefix`, with their keys.
fn files(root: &Path, prefix: &str, visit: &mut dyn FnMut(String, &fs::DirEntry) -> io::Result<()>) -> io::Result<()> {
    let entries = match fs::read_dir(root.join(prefix)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let key = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            files(root, &key, visit)?;
        } else {
            visit(key, &entry)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    /// What is not held in memory until it is whole.
    const LARGE: Bytes = Bytes::from_static(&[7; 1 << 20]);

    async fn write(store: &Directory, key: &ObjectKey, content: &'static [u8]) {
        let mut writer = store.create(key).await.unwrap();
        writer.write(Bytes::from_static(content)).await.unwrap();
        writer.finish().await.unwrap();
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey(format!("blobs/c/1/20260101/{name}"))
    }

    #[tokio::test]
    async fn an_unfinished_object_is_not_seen_and_its_file_goes() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::open(root.path()).await.unwrap();
        let mut writer = store.create(&key("a")).await.unwrap();
        writer.write(LARGE).await.unwrap();
        assert!(matches!(store.read(&key("a"), 0..4).await, Err(StoreError::NotFound { .. })));
        let listed: Vec<_> = store.list("blobs/c/1/").await.unwrap().try_collect().await.unwrap();
        assert_eq!(listed, []);
        assert_eq!(fs::read_dir(root.path().join("blobs/c/1/20260101")).unwrap().count(), 1);
        drop(writer);
        assert_eq!(fs::read_dir(root.path().join("blobs/c/1/20260101")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_is_pushed_is_for_nobody_else_on_the_machine() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("blobs");
        let store = Directory::open(&directory).await.unwrap();
        write(&store, &key("a"), b"secret").await;
        for path in [&directory, &directory.join("blobs")] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700, "{}", path.display());
        }
    }

    #[tokio::test]
    async fn what_a_crash_left_is_found_by_its_age() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::open(root.path()).await.unwrap();
        write(&store, &key("whole"), b"whole").await;
        let mut writer = store.create(&key("a")).await.unwrap();
        writer.write(LARGE).await.unwrap();
        std::mem::forget(writer);
        assert_eq!(store.abort_stale("blobs/c/1/", Duration::from_hours(1)).await.unwrap(), 0);
        assert_eq!(store.abort_stale("blobs/c/1/", Duration::ZERO).await.unwrap(), 1);
        let listed: Vec<_> = store.list("blobs/c/1/").await.unwrap().try_collect().await.unwrap();
        assert_eq!(listed, [key("whole")]);
    }

    #[tokio::test]
    async fn a_key_that_leads_elsewhere_opens_nothing() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::open(root.path()).await.unwrap();
        for text in ["../x", "/etc/passwd", "a//b", "a/../../b", "", ".hidden", "a/b\0c", "x.part", "a/."] {
            let key = ObjectKey(text.into());
            assert!(matches!(store.create(&key).await, Err(StoreError::Unavailable { .. })), "{text:?}");
            assert!(store.read(&key, 0..1).await.is_err(), "{text:?}");
            assert!(store.delete(&key).await.is_err(), "{text:?}");
            assert!(store.list(&format!("{text}/")).await.is_err(), "{text:?}");
            assert!(store.abort_stale(&format!("{text}/"), Duration::ZERO).await.is_err(), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_list_may_be_long_and_may_be_left() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::open(root.path()).await.unwrap();
        let day = root.path().join("blobs/c/1/20260101");
        fs::create_dir_all(&day).unwrap();
        for number in 0..LISTED * 3 {
            File::create(day.join(number.to_string())).unwrap();
        }
        let listed: Vec<_> = store.list("blobs/c/1/").await.unwrap().try_collect().await.unwrap();
        assert_eq!(listed.len(), LISTED * 3);
        let first: Vec<_> = store.list("blobs/c/1/").await.unwrap().take(2).try_collect().await.unwrap();
        assert_eq!(first.len(), 2);
    }

    #[tokio::test]
    async fn an_object_shorter_than_its_range_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::open(root.path()).await.unwrap();
        write(&store, &key("a"), b"short").await;
        let read: Result<Vec<_>, _> = store.read(&key("a"), 2..9).await.unwrap().try_collect().await;
        assert!(matches!(read, Err(StoreError::Truncated { .. })));
        let read: Vec<_> = store.read(&key("a"), 2..5).await.unwrap().try_collect().await.unwrap();
        assert_eq!(read.concat(), b"ort");
    }
}
