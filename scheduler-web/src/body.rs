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

/// The longest body of a request that is read. A job that is larger is added by the program.
pub(crate) const REQUEST_LIMIT: usize = 256 * 1024;

/// The body of an answer: whole, and in memory.
#[derive(Debug, Clone, Default)]
pub struct Body(Bytes);

impl Body {
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
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
