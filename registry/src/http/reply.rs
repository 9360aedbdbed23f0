//! Answers: the few shapes that handlers give, and errors in the form of the specification ("Error Codes").

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, WARNING};
use http::response::Builder;
use http::{Response, StatusCode};
use serde::Serialize;

use super::body::Body;
use crate::error::{ApiError, Code};
use crate::oci::digest::Digest;

pub const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub const OCI_CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
pub const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
pub const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

const STALE: HeaderValue =
    HeaderValue::from_static("110 roadstead \"the index has no quorum, this may be out of date\"");

/// What a handler gives.
pub type Reply = Result<Response<Body>, ApiError>;

/// Finishes an answer. The headers of `builder` were made from checked values, so it fails only by our mistake.
pub fn send(builder: Builder, body: Body) -> Reply {
    builder.body(body).map_err(|error| internal().cause(error))
}

/// Marks an answer that was given without a quorum (RFC 7234 §5.5.1), if it was.
pub fn mark_stale(builder: Builder, stale: bool) -> Builder {
    if stale { builder.header(WARNING, STALE) } else { builder }
}

/// An answer without a body.
pub fn empty(builder: Builder) -> Reply {
    send(builder, Body::empty())
}

/// `content` as JSON of the type `media_type`.
pub fn json(builder: Builder, media_type: &'static str, content: &impl Serialize) -> Reply {
    let bytes = serde_json::to_vec(content).map_err(|error| internal().cause(error))?;
    send(builder.header(CONTENT_TYPE, media_type), Body::whole(bytes))
}

/// `201 Created` for content at `location`.
pub fn created(location: String, digest: &Digest) -> Builder {
    Response::builder()
        .status(StatusCode::CREATED)
        .header(LOCATION, location)
        .header(DOCKER_CONTENT_DIGEST, digest.to_string())
        .header(CONTENT_LENGTH, 0)
}

/// Something went wrong that is not the client's doing. None of the 14 codes means that; `DENIED` is the one that
/// makes no client change its mind about what the registry holds or can do.
pub fn internal() -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        Code::Denied,
        "the registry could not do this; the administrator finds the reason in its log under the X-Request-Id of this answer",
    )
}

#[derive(Serialize)]
struct Errors<'a> {
    errors: [ErrorEntry<'a>; 1],
}

#[derive(Serialize)]
struct ErrorEntry<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    detail: &'a serde_json::Value,
}

/// An error in the form of the specification.
pub fn error_json(error: &ApiError) -> Vec<u8> {
    let entry = ErrorEntry { code: error.code.as_str(), message: &error.message, detail: &error.detail };
    serde_json::to_vec(&Errors { errors: [entry] }).unwrap_or_default()
}

/// The answer to a request that failed.
pub fn error(error: &ApiError) -> Response<Body> {
    let bytes = error_json(error);
    let mut response = Response::new(Body::whole(bytes));
    *response.status_mut() = error.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in &error.headers {
        response.headers_mut().append(name, value.clone());
    }
    response
}
