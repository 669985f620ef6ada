//! A body that comes a few bytes at a time.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// The parts a body is cut into.
const PARTS: usize = 10;
/// The wait before each.
const PAUSE: Duration = Duration::from_millis(60);

/// A body in parts, each after a pause.
#[derive(Debug)]
pub(super) struct Drip {
    rest: Bytes,
    part: usize,
    pause: Pin<Box<Sleep>>,
}

impl Drip {
    /// `body`, slowly.
    pub(super) fn new(body: Bytes) -> Self {
        let part = body.len().div_ceil(PARTS).max(1);
        Self { rest: body, part, pause: Box::pin(sleep(PAUSE)) }
    }
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        ready!(self.pause.as_mut().poll(context));
        self.pause = Box::pin(sleep(PAUSE));
        let part = self.part.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
