//! The administrators' API over HTTP.

use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt;

use super::reply::{self, Reply};
use super::{Call, access};
use crate::api::operation::Operation;
use crate::api::{By, Desk};
use crate::error::{ApiError, Code};
use crate::push::receive::RequestBody;

/// The whole body of a request, of so many bytes at most.
async fn read(mut body: RequestBody, most: usize) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let early = |_| ApiError::new(StatusCode::BAD_REQUEST, Code::SizeInvalid, "the body ended early");
        bytes.extend_from_slice(&frame.map_err(early)?.into_data().unwrap_or_default());
        if bytes.len() > most {
            let text = format!("this request may have {most} bytes");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid, text));
        }
    }
    Ok(bytes.freeze())
}

/// Does it, if the caller may. The body is read only then, and kept, so that it can be judged once more.
pub async fn run(call: &Call, operation: &Operation, body: &mut Option<RequestBody>, kept: &mut Bytes) -> Reply {
    let desk = Desk {
        index: &call.session.app.index,
        by: By::Client(&call.session),
        everyone: access::everyone(&call.session.app),
    };
    let admitted = desk.admit(operation).await?;
    if let Some(body) = body.take() {
        *kept = read(body, admitted.most()).await?;
    }
    // A form of a page elsewhere, sent with what a browser remembers, cannot say this (CSRF).
    let content_type = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kept.is_empty() && !content_type.starts_with("application/json") {
        let text = "say what the body is: Content-Type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unsupported, text));
    }
    let (status, value) = admitted.run(kept).await?;
    // Some answers hold secrets.
    let builder = Response::builder().status(status).header(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if value.is_null() { reply::empty(builder) } else { reply::json(builder, "application/json", &value) }
}
