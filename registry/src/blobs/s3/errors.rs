//! What the SDK's errors mean to a caller of the store.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::blobs::{ObjectKey, StoreError};

/// What was asked of the store.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    Write,
    Read,
    Delete,
    List,
    Abort,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Abort => "abort an upload of",
        }
    }
}

/// Sorts an error by what can be done about it.
pub fn failed<E>(operation: Operation, key: &ObjectKey, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let code = error.code().unwrap_or_default();
    match (status, code) {
        // A write makes what it needs: when something is missing, the store lost it.
        (_, "NoSuchKey" | "NoSuchUpload") | (404, "" | "NotFound") if !matches!(operation, Operation::Write) => {
            StoreError::NotFound { key: key.clone() }
        }
        (416, _) => StoreError::Truncated { key: key.clone() },
        (507, _) | (_, "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull") => StoreError::Full,
        _ => StoreError::Unavailable { operation: operation.name(), key: key.clone(), source: answered(error, status) },
    }
}

/// What the server said, in its own words, is what whoever runs it can do something with; that there is an answer is not.
#[derive(Debug, thiserror::Error)]
#[error("the server answers {status} {code}: {message}")]
struct Answered<E: std::error::Error + 'static> {
    status: u16,
    code: String,
    message: String,
    #[source]
    source: E,
}

fn answered<E>(error: SdkError<E, HttpResponse>, status: u16) -> Box<dyn std::error::Error + Send + Sync>
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let Some(code) = error.code().map(str::to_owned) else { return Box::new(error) };
    let message = error.message().unwrap_or_default().to_owned();
    Box::new(Answered { status, code, message, source: error })
}

/// The server has no such call at all.
pub fn is_missing_call<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let status = error.raw_response().map(|response| response.status().as_u16());
    matches!(status, Some(405 | 501)) || error.code() == Some("NotImplemented")
}
