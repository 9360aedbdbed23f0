//! Writing an object: one put when it fits into a part, else a multipart upload whose parts go up in parallel while the
//! next is filled.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use tokio::task::JoinSet;

use super::Shared;
use super::errors::{Operation, failed};
use crate::blobs::budget::{Part, Taken, TooSlow};
use crate::blobs::{ObjectKey, ObjectWriter, StoreError};

/// Parts of one object on their way at once.
const AT_ONCE: usize = 4;
/// How long an upload that is given up waits for its parts on their way.
const ENDING: Duration = Duration::from_secs(5);
/// Every so many parts they become twice as large, up to four times: S3 allows 10 000 of them.
const GROWTH: i32 = 1000;

/// An object being written.
pub struct Writer {
    shared: Arc<Shared>,
    key: ObjectKey,
    /// The part being filled.
    part: Part,
    /// Bytes in it and in those before it.
    length: u64,
    multipart: Option<Multipart>,
    failed: bool,
}

struct Multipart {
    id: String,
    parts: i32,
    running: JoinSet<Result<CompletedPart, StoreError>>,
    done: Vec<CompletedPart>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, key: ObjectKey) -> Self {
        let part = shared.budget.part();
        Self { shared, key, part, length: 0, multipart: None, failed: false }
    }

    fn part_bytes(&self) -> u64 {
        let parts = self.multipart.as_ref().map_or(0, |multipart| multipart.parts);
        self.shared.part_bytes << (parts / GROWTH).min(2)
    }

    async fn take(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        while !bytes.is_empty() {
            let room = self.part_bytes() - self.part.len();
            let piece = bytes.split_to(bytes.len().min(room as usize));
            self.length += piece.len() as u64;
            let pushed = self.part.push(piece).await;
            pushed.map_err(|error| self.too_slow(error))?;
            if self.part.len() == self.part_bytes() {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    fn too_slow(&self, error: TooSlow) -> StoreError {
        StoreError::Unavailable { operation: "write", key: self.key.clone(), source: error.into() }
    }

    /// The bytes of the part, and an empty one in its place.
    fn filled(&mut self) -> Result<(Vec<Bytes>, Taken), StoreError> {
        let part = std::mem::replace(&mut self.part, self.shared.budget.part());
        part.take().map_err(|error| self.too_slow(error))
    }

    /// Puts the filled part on its way, and waits while too many are.
    async fn send_part(&mut self) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        let length = self.part.len();
        let (pieces, taken) = self.filled()?;
        let multipart = match &mut self.multipart {
            Some(multipart) => multipart,
            none => {
                let create = shared.client.create_multipart_upload().bucket(&shared.bucket);
                let created = create.key(shared.name(&self.key)).send().await;
                let created = created.map_err(|error| failed(Operation::Write, &self.key, error))?;
                let id = created.upload_id().unwrap_or_default().to_owned();
                none.insert(Multipart { id, parts: 0, running: JoinSet::new(), done: Vec::new() })
            }
        };
        while multipart.running.len() >= AT_ONCE {
            multipart.wait(&self.key).await?;
        }
        multipart.parts += 1;
        let (number, id, key) = (multipart.parts, multipart.id.clone(), self.key.clone());
        multipart.running.spawn(async move {
            let upload = shared.client.upload_part().bucket(&shared.bucket).key(shared.name(&key)).upload_id(id);
            let upload = upload.part_number(number).content_length(length as i64).body(body(pieces));
            let sent = upload.customize().disable_payload_signing().send().await;
            drop(taken);
            let sent = sent.map_err(|error| failed(Operation::Write, &key, error))?;
            Ok(CompletedPart::builder().part_number(number).e_tag(sent.e_tag().unwrap_or_default()).build())
        });
        Ok(())
    }

    /// The whole object in one call.
    async fn put(&mut self) -> Result<(), StoreError> {
        let length = self.part.len();
        let (pieces, _taken) = self.filled()?;
        let shared = &self.shared;
        let put = shared.client.put_object().bucket(&shared.bucket).key(shared.name(&self.key));
        let put = put.content_length(length as i64).body(body(pieces));
        let sent = put.customize().disable_payload_signing().send().await;
        sent.map(|_| ()).map_err(|error| failed::<PutObjectError>(Operation::Write, &self.key, error))
    }

    async fn complete(&mut self) -> Result<(), StoreError> {
        if !self.part.is_empty() {
            self.send_part().await?;
        }
        let Some(multipart) = &mut self.multipart else { return Ok(()) };
        while !multipart.running.is_empty() {
            multipart.wait(&self.key).await?;
        }
        let mut parts = std::mem::take(&mut multipart.done);
        parts.sort_by_key(CompletedPart::part_number);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let shared = &self.shared;
        let complete = shared.client.complete_multipart_upload().bucket(&shared.bucket).key(shared.name(&self.key));
        let completed = complete.upload_id(&multipart.id).multipart_upload(parts).send().await;
        match completed.map_err(|error| failed(Operation::Write, &self.key, error)) {
            Ok(_) => Ok(()),
            // When it was done and its answer got lost, asking again finds the upload gone.
            Err(_) if self.is_whole().await => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The object is there with all its bytes: nobody else writes under its key, and uploads are completed as a whole.
    async fn is_whole(&self) -> bool {
        let shared = &self.shared;
        let head = shared.client.head_object().bucket(&shared.bucket).key(shared.name(&self.key)).send().await;
        head.is_ok_and(|object| object.content_length() == Some(self.length as i64))
    }

    fn give_up(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let mut multipart = self.multipart.take()?;
        let (shared, key) = (self.shared.clone(), self.key.clone());
        Some(async move {
            // A part that arrives after the end of its upload may bring it back, so those on their way end first.
            let ended = async { while multipart.running.join_next().await.is_some() {} };
            if tokio::time::timeout(ENDING, ended).await.is_err() {
                multipart.running.shutdown().await;
            }
            let abort = shared.client.abort_multipart_upload().bucket(&shared.bucket).key(shared.name(&key));
            if let Err(error) = abort.upload_id(&multipart.id).send().await {
                let error = failed(Operation::Abort, &key, error);
                tracing::debug!(%key, %error, "could not abort an upload to the store; it will be found later");
            }
        })
    }
}

impl Multipart {
    /// Waits for one part.
    async fn wait(&mut self, key: &ObjectKey) -> Result<(), StoreError> {
        match self.running.join_next().await {
            None => Ok(()),
            Some(Ok(part)) => {
                self.done.push(part?);
                Ok(())
            }
            Some(Err(error)) => {
                Err(StoreError::Unavailable { operation: "write", key: key.clone(), source: Box::new(error) })
            }
        }
    }
}

/// A body that can be sent again, of buffers that are not copied.
fn body(pieces: Vec<Bytes>) -> ByteStream {
    let pieces: Arc<[Bytes]> = pieces.into();
    ByteStream::new(SdkBody::retryable(move || {
        let pieces = pieces.clone();
        let frames = (0..pieces.len()).map(move |number| Ok::<_, std::io::Error>(pieces[number].clone()));
        let stream = futures::StreamExt::map(futures::stream::iter(frames), |piece| piece.map(http_body::Frame::data));
        SdkBody::from_body_1_x(http_body_util::StreamBody::new(stream))
    }))
}

#[async_trait]
impl ObjectWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        // A part that failed must never be passed over by what comes after it.
        if self.failed {
            let source = "an earlier write failed".into();
            return Err(StoreError::Unavailable { operation: "write", key: self.key.clone(), source });
        }
        let result = self.take(bytes).await;
        self.failed = result.is_err();
        result
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let result = if self.failed {
            let source = "an earlier write failed".into();
            Err(StoreError::Unavailable { operation: "finish", key: self.key.clone(), source })
        } else if self.multipart.is_some() {
            self.complete().await
        } else {
            self.put().await
        };
        match result {
            Ok(()) => {
                self.multipart = None;
                Ok(())
            }
            Err(error) => {
                if let Some(abort) = self.give_up() {
                    abort.await;
                }
                Err(error)
            }
        }
    }

    async fn abort(mut self: Box<Self>) {
        if let Some(abort) = self.give_up() {
            abort.await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let (Some(abort), Ok(runtime)) = (self.give_up(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(abort);
        }
    }
}
