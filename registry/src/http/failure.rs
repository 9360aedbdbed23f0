//! What each failure of a layer below is to the client: one table from errors to statuses and codes. Pure.
//!
//! The specification has no code for "later" and "full". A `503` goes with `TOOMANYREQUESTS`, the one code that tells
//! a client to try again, and always has `Retry-After`; a `507` goes with `DENIED`.

use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::reply::{DOCKER_CONTENT_DIGEST, internal};
use crate::auth::ldap::LdapError;
use crate::blobs::StoreError;
use crate::error::{ApiError, Code};
use crate::index::IndexError;
use crate::index::command::Refusal;
use crate::oci::action::ActionError;
use crate::push::PushError;

/// Seconds after which a client should try again what was not possible now.
const RETRY_SECONDS: &str = "2";

fn new(status: StatusCode, code: Code, error: &impl std::fmt::Display) -> ApiError {
    ApiError::new(status, code, error.to_string())
}

/// The registry can do it, but not now.
pub fn unavailable(error: impl Into<anyhow::Error>) -> ApiError {
    not_now("the registry cannot do this at the moment; try again", error)
}

/// Who people are cannot be found out; accounts of the registry can log in all the same.
pub fn directory(error: LdapError) -> ApiError {
    not_now("the directory of the people who log in here does not answer; try again", error)
}

fn not_now(text: &str, error: impl Into<anyhow::Error>) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, Code::TooManyRequests, text)
        .header(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS))
        .cause(error)
}

fn full(error: impl Into<anyhow::Error>) -> ApiError {
    ApiError::new(
        StatusCode::INSUFFICIENT_STORAGE,
        Code::Denied,
        "the registry has no space left; delete something, or ask its administrator for more",
    )
    .cause(error)
}

/// Deleting is turned off, or the thing is needed by something else.
pub fn not_deletable(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, message)
        .header(ALLOW, HeaderValue::from_static("GET, HEAD"))
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        let bad = StatusCode::BAD_REQUEST;
        match error {
            ActionError::Route | ActionError::Operation => new(StatusCode::NOT_FOUND, Code::Unsupported, &error),
            ActionError::Method { allow } => new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, &error)
                .header(ALLOW, HeaderValue::from_static(allow)),
            ActionError::Name(_) => new(bad, Code::NameInvalid, &error),
            ActionError::Digest(_) | ActionError::DigestMissing => new(bad, Code::DigestInvalid, &error),
            ActionError::Tag(_) => new(bad, Code::ManifestInvalid, &error),
            ActionError::TagUnknown(_) => new(StatusCode::NOT_FOUND, Code::ManifestUnknown, &error),
            ActionError::PageSize | ActionError::TagMissing | ActionError::Explain => {
                new(bad, Code::Unsupported, &error)
            }
            ActionError::TooManyTags => new(StatusCode::URI_TOO_LONG, Code::ManifestInvalid, &error),
        }
    }
}

impl From<IndexError> for ApiError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Refused { refusal, .. } => refusal.into(),
            IndexError::Full { .. } => full(error),
            error @ IndexError::State(_) => internal().cause(error),
            error @ IndexError::Older { .. } => unavailable(error),
            error @ IndexError::Unavailable { .. } => {
                not_now("the registry's index has no majority or does not answer at the moment; try again", error)
            }
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => full(error),
            StoreError::NotFound { .. } | StoreError::Truncated { .. } => internal().cause(error),
            error @ StoreError::Unavailable { .. } => {
                not_now("the registry's storage does not answer as it should at the moment; try again", error)
            }
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let bad = StatusCode::BAD_REQUEST;
        let missing = StatusCode::NOT_FOUND;
        match &refusal {
            Refusal::UploadUnknown => new(missing, Code::BlobUploadUnknown, &refusal),
            Refusal::OffsetMismatch { .. } => new(StatusCode::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid, &refusal),
            Refusal::BlobUnknown { .. } | Refusal::MountSourceUnknown => new(missing, Code::BlobUnknown, &refusal),
            Refusal::BlobInUse { .. } | Refusal::TooManyTags { .. } => not_deletable(refusal.to_string()),
            Refusal::ManifestInUse { parent } => not_deletable(refusal.to_string()).detail(json!({ "parent": parent })),
            Refusal::PartsMissing { missing } => {
                let text = "blobs or manifests that this manifest lists are not in the repository; push them first";
                ApiError::new(bad, Code::ManifestBlobUnknown, text).detail(json!({ "missing": missing }))
            }
            Refusal::SizeMismatch { .. } | Refusal::MediaTypeMismatch { .. } => {
                new(bad, Code::ManifestInvalid, &refusal)
            }
            Refusal::ManifestUnknown | Refusal::TagUnknown => new(missing, Code::ManifestUnknown, &refusal),
            Refusal::RepositoryUnknown
            | Refusal::AccountUnknown { .. }
            | Refusal::TokenUnknown
            | Refusal::PolicyUnknown { .. }
            | Refusal::QuotaUnknown { .. }
            | Refusal::IssuerUnknown { .. } => new(missing, Code::NameUnknown, &refusal),
            Refusal::ConditionFailed { current } => {
                let text = current.map_or_else(
                    || "the condition does not hold: there is no such tag".to_owned(),
                    |digest| format!("the condition does not hold: the tag points at {digest}"),
                );
                let error = ApiError::new(StatusCode::PRECONDITION_FAILED, Code::Denied, text);
                match current.map(|digest| HeaderValue::try_from(digest.to_string())) {
                    Some(Ok(value)) => error.header(DOCKER_CONTENT_DIGEST, value),
                    _ => error,
                }
            }
            Refusal::Forbidden { denial } => super::access::denied(*denial),
            Refusal::QuotaExceeded { quota, share, what, needed, most } => {
                let detail = json!({ "quota": quota, "share": share, "what": what, "needed": needed, "most": most });
                new(StatusCode::FORBIDDEN, Code::Denied, &refusal).detail(detail)
            }
            Refusal::AccountExists { .. } | Refusal::LastAdministrator | Refusal::AdministratorExists => {
                new(StatusCode::CONFLICT, Code::Denied, &refusal)
            }
            Refusal::AccessInvalid { .. } => new(bad, Code::Unsupported, &refusal),
            Refusal::Outdated
            | Refusal::BackupExists
            | Refusal::BackupUnknown
            | Refusal::DayClosed { .. }
            | Refusal::RequestTooOld
            | Refusal::NotBootstrapped
            | Refusal::LevelNotInForce { .. }
            | Refusal::LevelUnknown { .. }
            | Refusal::OtherCluster { .. } => unavailable(refusal),
        }
    }
}

impl From<PushError> for ApiError {
    fn from(error: PushError) -> Self {
        let bad = StatusCode::BAD_REQUEST;
        match error {
            PushError::UploadUnknown => new(StatusCode::NOT_FOUND, Code::BlobUploadUnknown, &error),
            PushError::Offset { .. } => new(StatusCode::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid, &error),
            PushError::TooManyChunks => new(bad, Code::BlobUploadInvalid, &error),
            PushError::Digest { ref expected, ref actual } => {
                new(bad, Code::DigestInvalid, &error).detail(json!({ "expected": expected, "actual": actual }))
            }
            PushError::Size { .. } => new(bad, Code::SizeInvalid, &error),
            PushError::Body(_) => new(bad, Code::SizeInvalid, &error).cause(error),
            PushError::Refused(refusal) => refusal.into(),
            PushError::Index(error) => error.into(),
            PushError::Store(error) => error.into(),
            PushError::Hash(_) => internal().cause(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::digest::Digest;

    #[test]
    fn each_refusal_of_the_index_has_its_status_and_code() {
        let digest = Digest::of(b"");
        let table = [
            (Refusal::UploadUnknown, 404, Code::BlobUploadUnknown),
            (Refusal::OffsetMismatch { offset: 1 }, 416, Code::BlobUploadInvalid),
            (Refusal::BlobUnknown { digest }, 404, Code::BlobUnknown),
            (Refusal::BlobInUse { digest }, 405, Code::Unsupported),
            (Refusal::TooManyTags { most: 10_000 }, 405, Code::Unsupported),
            (Refusal::PartsMissing { missing: vec![digest] }, 400, Code::ManifestBlobUnknown),
            (Refusal::SizeMismatch { digest, claimed: 1, actual: 2 }, 400, Code::ManifestInvalid),
            (Refusal::MediaTypeMismatch { stored: "a/b".into() }, 400, Code::ManifestInvalid),
            (Refusal::ManifestUnknown, 404, Code::ManifestUnknown),
            (Refusal::TagUnknown, 404, Code::ManifestUnknown),
            (Refusal::ManifestInUse { parent: digest }, 405, Code::Unsupported),
            (Refusal::ConditionFailed { current: None }, 412, Code::Denied),
            (Refusal::RepositoryUnknown, 404, Code::NameUnknown),
            (Refusal::Outdated, 503, Code::TooManyRequests),
            (Refusal::DayClosed { day: 20_261_123 }, 503, Code::TooManyRequests),
            (Refusal::NotBootstrapped, 503, Code::TooManyRequests),
        ];
        for (refusal, status, code) in table {
            let text = refusal.to_string();
            let error = ApiError::from(refusal);
            assert_eq!((error.status.as_u16(), error.code), (status, code), "{text}");
            let later = error.headers.iter().any(|(name, _)| *name == RETRY_AFTER);
            assert_eq!(later, status == 503, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_inside_is_not_told_to_the_client() {
        let inside = || StoreError::Unavailable {
            operation: "write",
            key: crate::blobs::ObjectKey("blobs/secret".into()),
            source: "10.0.0.7 refused".into(),
        };
        let failures = [
            ApiError::from(PushError::Store(inside())),
            ApiError::from(IndexError::Unavailable { reason: "node 10.0.0.7 is gone".into() }),
            ApiError::from(IndexError::Full { command: "commit_blob" }),
            ApiError::from(PushError::Hash(anyhow::anyhow!("secret state"))),
            ApiError::from(PushError::Body("10.0.0.7 reset".into())),
        ];
        for error in failures {
            assert!(error.cause.is_some());
            for secret in ["secret", "10.0.0.7", "commit_blob"] {
                assert!(!error.message.contains(secret), "{}", error.message);
            }
        }
    }
}
