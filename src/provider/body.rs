//! The body of a request, which looks at the deadline once more when the connection asks for it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use secrecy::{ExposeSecret, SecretString};

/// The connection was ready only after the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deadline passed before the request was written")]
pub(super) struct DeadlineReached;

/// A body of one piece. Connecting takes time, and only a request whose body arrives has an effect, so this is the
/// last moment at which a deadline can still keep it from happening. Its length is known, which spares servers
/// chunked requests.
pub(super) struct DeadlineBody {
    bytes: Option<Bytes>,
    deadline: Option<Instant>,
}

impl DeadlineBody {
    pub(super) fn new(body: SecretString, deadline: Option<Instant>) -> Self {
        Self { bytes: Some(Bytes::from_owner(SecretBytes(body))), deadline }
    }
}

impl Body for DeadlineBody {
    type Data = Bytes;
    type Error = DeadlineReached;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DeadlineReached>>> {
        let Some(bytes) = self.bytes.take() else { return Poll::Ready(None) };
        if has_passed(self.deadline) {
            return Poll::Ready(Some(Err(DeadlineReached)));
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// Whether nothing may be sent any more.
pub(super) fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

/// Wiped when the connection lets go of it.
struct SecretBytes(SecretString);

impl AsRef<[u8]> for SecretBytes {
    fn as_ref(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}
