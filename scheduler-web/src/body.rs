//! The bodies of answers, and reading those of requests.

use std::{
    convert::Infallible,
    error::Error as StdError,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::changes::Changes;

/// The longest body of a request that is read. A job that is larger is added by the program.
pub(crate) const REQUEST_LIMIT: usize = 256 * 1024;

/// The body of an answer: whole, and in memory; or a stream, which tells that something has changed.
#[derive(Debug)]
pub struct Body(Content);

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    Changes(Changes),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self(Content::Whole(Bytes::new()))
    }

    /// How many bytes it has, if that is known.
    pub(crate) fn len(&self) -> Option<usize> {
        match &self.0 {
            Content::Whole(bytes) => Some(bytes.len()),
            Content::Changes(_) => None,
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Changes> for Body {
    fn from(changes: Changes) -> Self {
        Self(Content::Changes(changes))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Content::Whole(bytes))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Content::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Content::Changes(changes) => changes.poll_next(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.len() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.len().map_or_else(SizeHint::default, |length| SizeHint::with_exact(length as u64))
    }
}

/// Why the body of a request was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    TooLarge,
    Broken(String),
}

/// The whole body of a request, if it is not longer than it may be.
pub(crate) async fn read<B>(body: B) -> Result<Vec<u8>, Unread>
where
    B: HttpBody,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    if body.size_hint().lower() > REQUEST_LIMIT as u64 {
        return Err(Unread::TooLarge);
    }
    let mut body = pin!(body);
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|error| Unread::Broken(error.into().to_string()))?;
        let Ok(mut data) = frame.into_data() else { continue };
        if data.remaining() > REQUEST_LIMIT.saturating_sub(whole.len()) {
            return Err(Unread::TooLarge);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            whole.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }
    Ok(whole)
}
