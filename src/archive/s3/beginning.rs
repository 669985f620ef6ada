//! The first bytes of an object, for a look at it: one request for a range, tried a few times.
//!
//! Not what a run does: nothing is resumed, no checksum is asked for, and what cannot be had at once is left.

use std::time::Duration;

use tokio::time::sleep;

use super::answers::fault_of;
use super::{ByteStream, S3Archive};
use crate::archive::fault::{ServiceFault, Verdict};
use crate::archive::{ArchiveError, BodyBytes, ObjectBody, ObjectEntry};

/// Requests for one beginning.
const ATTEMPTS_MAX: u32 = 4;
/// Doubles from attempt to attempt.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);

impl S3Archive {
    pub(super) async fn beginning(
        &self,
        object: &ObjectEntry,
        bytes: u64,
    ) -> Result<ObjectBody, ArchiveError> {
        let (mut backoff, mut attempt) = (BACKOFF_FIRST, 1);
        loop {
            match self.ask_for_beginning(object, bytes).await {
                Ok(body) => return Ok(body),
                Err(fault)
                    if matches!(fault.verdict(), Verdict::Retry | Verdict::RetryCredentials)
                        && attempt < ATTEMPTS_MAX =>
                {
                    sleep(backoff).await;
                    backoff *= 2;
                    attempt += 1;
                }
                Err(fault) => return Err(fault.of_object(&self.name_of(&object.key))),
            }
        }
    }

    async fn ask_for_beginning(&self, object: &ObjectEntry, bytes: u64) -> Result<ObjectBody, ServiceFault> {
        self.object_requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let output = self
            .bucket
            .clients
            .now()
            .range
            .get_object()
            .bucket(&*self.bucket.name)
            .key(&*object.key)
            .set_request_payer(self.bucket.payer.clone())
            .set_expected_bucket_owner(self.bucket.owner.clone())
            .set_if_match((!object.etag.is_empty()).then(|| object.etag.to_string()))
            .set_version_id(object.version.as_deref().map(str::to_owned))
            .range(format!("bytes=0-{}", bytes.saturating_sub(1)))
            .send()
            .await
            .map_err(|error| fault_of(&error));
        let output = self.bucket.clients.after(output).await?;
        let content_encoding = output.content_encoding().map(str::to_owned);
        let (mut body, mut pieces, mut left): (ByteStream, _, _) = (output.body, Vec::new(), bytes);
        // A server that ignores ranges sends all of it: no more is taken than was asked for.
        while left > 0
            && let Some(piece) = body.next().await
        {
            let mut piece = piece.map_err(|error| ServiceFault::connection(error.to_string()))?;
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= piece.len() as u64;
            pieces.push(piece);
        }
        Ok(ObjectBody { content_encoding, bytes: BodyBytes::Memory(pieces) })
    }
}
