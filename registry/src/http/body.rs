//! The body of an answer. Its length is always known, so a body that breaks off can never look complete.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::BoxStream;
use http_body::{Frame, SizeHint};
use prometheus::IntCounter;

/// Why an answer broke off after it had begun; hyper closes the connection or resets the stream.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the content could not be read to its end")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the content has not the length that was promised")]
    Length,
}

/// The body of an answer.
pub struct Body {
    content: Content,
    sent: Option<IntCounter>,
}

enum Content {
    Whole(Bytes),
    Stream { stream: BoxStream<'static, Result<Bytes, BodyError>>, left: u64 },
}

impl Body {
    pub fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { content: Content::Whole(bytes.into()), sent: None }
    }

    /// A stream of exactly `length` bytes.
    pub fn stream(stream: BoxStream<'static, Result<Bytes, BodyError>>, length: u64) -> Self {
        Self { content: Content::Stream { stream, left: length }, sent: None }
    }

    pub(super) fn count(&mut self, sent: IntCounter) {
        self.sent = Some(sent);
    }

    /// Bytes that are still to come.
    pub fn left(&self) -> u64 {
        match &self.content {
            Content::Whole(bytes) => bytes.len() as u64,
            Content::Stream { left, .. } => *left,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("left", &self.left()).finish_non_exhaustive()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = match &mut self.content {
            Content::Whole(bytes) if bytes.is_empty() => None,
            Content::Whole(bytes) => Some(Ok(std::mem::take(bytes))),
            Content::Stream { stream, left } => match std::task::ready!(stream.as_mut().poll_next(context)) {
                None if *left > 0 => Some(Err(BodyError::Length)),
                None => None,
                Some(Ok(bytes)) => match left.checked_sub(bytes.len() as u64) {
                    Some(rest) => {
                        *left = rest;
                        Some(Ok(bytes))
                    }
                    None => Some(Err(BodyError::Length)),
                },
                Some(Err(error)) => Some(Err(error)),
            },
        };
        if let (Some(Ok(bytes)), Some(sent)) = (&next, &self.sent) {
            sent.inc_by(bytes.len() as u64);
        }
        Poll::Ready(next.map(|result| result.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use futures::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    fn streamed(parts: &[&'static str], length: u64) -> Body {
        let parts: Vec<Result<Bytes, BodyError>> =
            parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect();
        Body::stream(stream::iter(parts).boxed(), length)
    }

    #[tokio::test]
    async fn a_stream_that_is_shorter_or_longer_than_promised_is_an_error() {
        assert_eq!(streamed(&["ab", "c"], 3).collect().await.unwrap().to_bytes(), "abc");
        assert!(matches!(streamed(&["ab"], 3).collect().await, Err(BodyError::Length)));
        assert!(matches!(streamed(&["ab", "cd"], 3).collect().await, Err(BodyError::Length)));
    }
}
