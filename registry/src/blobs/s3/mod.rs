//! Objects in a bucket of S3, or of anything that speaks its protocol.
//!
//! Only plain calls are used: put, get with a range, delete, list, and multipart uploads for what is larger than a part.
//! No copy, no conditional write, no append.

mod client;
mod errors;
mod writer;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::budget::Budget;
use super::{ObjectKey, ObjectWriter, Store, StoreError};
use crate::config;
use errors::{Operation, failed, is_missing_call};
use writer::Writer;

/// How often a body that broke off is asked for again, from where it broke.
const RESUMES: u32 = 4;

/// A bucket, or a prefix of one.
#[derive(Clone, Debug)]
pub struct S3 {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    /// Signs addresses for the endpoint that clients reach.
    public: Option<Client>,
    bucket: String,
    /// Empty, or ends in `/`.
    prefix: String,
    part_bytes: u64,
    /// For one attempt of a call, and for the next bytes of a body.
    patience: Duration,
    budget: Budget,
}

impl S3 {
    /// Prepares the client. Nothing is asked of the bucket yet.
    pub async fn new(s3: &config::S3, blobs: &config::Blobs, budget: Budget) -> Self {
        let public = match (&blobs.public_endpoint, blobs.redirect) {
            (Some(endpoint), true) => Some(client::connect(s3, Some(endpoint)).await),
            _ => None,
        };
        let prefix = s3.prefix.trim_matches('/');
        let shared = Shared {
            client: client::connect(s3, s3.endpoint.as_deref()).await,
            public,
            bucket: s3.bucket.clone(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            part_bytes: s3.part_bytes,
            patience: Duration::from_secs(s3.attempt_seconds.max(1)),
            budget,
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Shared {
    /// The key in the bucket.
    fn name(&self, key: &ObjectKey) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn get(&self, key: &ObjectKey, range: &Range<u64>) -> Result<ByteStream, StoreError> {
        let asked = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let get = self.client.get_object().bucket(&self.bucket).key(self.name(key)).range(asked);
        match get.send().await {
            Ok(object) if begins_at(object.content_range(), range.start) => Ok(object.body),
            Ok(_) => {
                let source = "the server answered with another range than it was asked for".into();
                Err(StoreError::Unavailable { operation: "read", key: key.clone(), source })
            }
            Err(error) => Err(failed(Operation::Read, key, error)),
        }
    }
}

/// Whether an answer with this `Content-Range` begins at `start`. Without one it is the whole object.
fn begins_at(content_range: Option<&str>, start: u64) -> bool {
    match content_range {
        None => start == 0,
        Some(text) => text
            .strip_prefix("bytes ")
            .and_then(|text| text.split_once('-'))
            .is_some_and(|(first, _)| first.parse() == Ok(start)),
    }
}

/// A range being read, which goes on where a broken body ended.
struct Reading {
    shared: Arc<Shared>,
    key: ObjectKey,
    range: Range<u64>,
    body: ByteStream,
    resumes: u32,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        while self.range.start < self.range.end {
            let next = tokio::time::timeout(self.shared.patience, self.body.next()).await;
            let broken: Box<dyn std::error::Error + Send + Sync> = match next {
                Ok(Some(Ok(bytes))) if bytes.is_empty() => continue,
                Ok(Some(Ok(bytes))) => {
                    let left = self.range.end - self.range.start;
                    let bytes = if bytes.len() as u64 > left { bytes.slice(..left as usize) } else { bytes };
                    self.range.start += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Ok(Some(Err(error))) => error.into(),
                Ok(None) if self.resumes > 0 => return Err(StoreError::Truncated { key: self.key.clone() }),
                Ok(None) => "the body ended early".into(),
                Err(_) => "no bytes came in time".into(),
            };
            if self.resumes == RESUMES {
                return Err(StoreError::Unavailable { operation: "read", key: self.key.clone(), source: broken });
            }
            self.resumes += 1;
            tracing::debug!(key = %self.key, error = %broken, "a read broke off, going on from there");
            self.body = self.shared.get(&self.key, &self.range).await?;
        }
        Ok(None)
    }
}

#[async_trait]
impl Store for S3 {
    async fn create(&self, key: &ObjectKey) -> Result<Box<dyn ObjectWriter>, StoreError> {
        Ok(Box::new(Writer::new(self.shared.clone(), key.clone())))
    }

    async fn read(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let body = self.shared.get(key, &range).await?;
        let reading = Reading { shared: self.shared.clone(), key: key.clone(), range, body, resumes: 0 };
        let chunks = stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|bytes| (bytes, reading)))
        });
        Ok(chunks.boxed())
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let shared = &self.shared;
        let delete = shared.client.delete_object().bucket(&shared.bucket).key(shared.name(key));
        match delete.send().await.map_err(|error| failed(Operation::Delete, key, error)) {
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectKey, StoreError>>, StoreError> {
        let shared = self.shared.clone();
        let key = ObjectKey(prefix.to_owned());
        let name = shared.name(&key);
        let pages = shared.client.list_objects_v2().bucket(&shared.bucket).prefix(name).into_paginator().send();
        let keys = stream::unfold(pages, |mut pages| async move { pages.next().await.map(|page| (page, pages)) });
        let keys = keys.flat_map(move |page| {
            let found: Vec<_> = match page {
                Ok(page) => page
                    .contents()
                    .iter()
                    .filter_map(|object| object.key()?.strip_prefix(&shared.prefix))
                    .map(|name| Ok(ObjectKey(name.to_owned())))
                    .collect(),
                Err(error) => vec![Err(failed(Operation::List, &key, error))],
            };
            stream::iter(found)
        });
        Ok(keys.boxed())
    }

    async fn presign(&self, key: &ObjectKey, valid: Duration) -> Result<Option<String>, StoreError> {
        let shared = &self.shared;
        let Some(client) = &shared.public else { return Ok(None) };
        let signing = |source| StoreError::Unavailable { operation: "presign", key: key.clone(), source };
        let valid = PresigningConfig::expires_in(valid).map_err(|error| signing(error.into()))?;
        let request = client.get_object().bucket(&shared.bucket).key(shared.name(key)).presigned(valid).await;
        request.map(|request| Some(request.uri().to_owned())).map_err(|error| signing(error.into()))
    }

    async fn abort_stale(&self, prefix: &str, age: Duration) -> Result<u64, StoreError> {
        let shared = &self.shared;
        let key = ObjectKey(prefix.to_owned());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let oldest = now.saturating_sub(age).as_secs() as i64;
        let (mut key_marker, mut id_marker, mut aborted) = (None, None, 0);
        loop {
            let list = shared.client.list_multipart_uploads().bucket(&shared.bucket).prefix(shared.name(&key));
            let page = list.set_key_marker(key_marker).set_upload_id_marker(id_marker).send().await;
            let page = match page {
                Ok(page) => page,
                Err(error) if is_missing_call(&error) => {
                    tracing::info!(
                        "the object storage cannot list unfinished uploads; let it remove them by a rule of its own"
                    );
                    return Ok(aborted);
                }
                Err(error) => return Err(failed(Operation::List, &key, error)),
            };
            for upload in page.uploads() {
                let old = upload.initiated().is_none_or(|began| began.secs() <= oldest);
                if let (true, Some(name), Some(id)) = (old, upload.key(), upload.upload_id()) {
                    let abort = shared.client.abort_multipart_upload().bucket(&shared.bucket).key(name).upload_id(id);
                    match abort.send().await.map_err(|error| failed(Operation::Abort, &key, error)) {
                        Ok(_) => aborted += 1,
                        Err(StoreError::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            key_marker = page.next_key_marker().map(str::to_owned);
            id_marker = page.next_upload_id_marker().map(str::to_owned);
            if !page.is_truncated().unwrap_or_default() || key_marker.is_none() {
                return Ok(aborted);
            }
        }
    }
}
