//! The body of a request, sent in small pieces.
//!
//! The pieces keep the limit on bytes a second without bursts, and let a link that stands still be
//! noticed: a body handed over whole counts as sent at once.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::pace::Pace;

/// Makes a body that can be sent again when a call is repeated.
pub(super) fn of(bytes: Bytes, pace: &Arc<Pace>) -> ByteStream {
    let pace = Arc::clone(pace);
    let begin = move || Pieces { rest: bytes.clone(), pace: Arc::clone(&pace), next: None };
    ByteStream::new(SdkBody::retryable(move || SdkBody::from_body_1_x(begin())))
}

struct Pieces {
    rest: Bytes,
    pace: Arc<Pace>,
    /// A piece whose moment is reserved but has not come.
    next: Option<(Pin<Box<Sleep>>, Bytes)>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.next.is_none() && !self.rest.is_empty() {
            let length = self.rest.len().min(self.pace.piece_bytes());
            let piece = self.rest.split_to(length);
            let pause = self.pace.reserve(length as u64, Instant::now());
            if pause.is_zero() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            self.next = Some((Box::pin(tokio::time::sleep(pause)), piece));
        }
        if let Some((moment, _)) = &mut self.next {
            ready!(moment.as_mut().poll(context));
        }
        Poll::Ready(self.next.take().map(|(_, piece)| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.next.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let waiting = self.next.as_ref().map_or(0, |(_, piece)| piece.len());
        SizeHint::with_exact((self.rest.len() + waiting) as u64)
    }
}
