//! Objects that the archive refuses one after the other.
//!
//! They are handed over when another object was had: as long as none is, the fault may be the archive's and
//! not theirs. An object that lay in the cache says nothing about the archive, so it does not end the row.

use tokio::sync::mpsc;

use super::feed::Fed;
use super::forbidden;
use super::journal::QuarantineLine;
use crate::archive::ArchiveLocation;
use crate::error::Error;
use crate::record::many;
use crate::shown::shown;

/// Reasons by which an archive refuses an object, rather than the object being broken.
const REFUSALS: [&str; 3] = [DENIED, "deleted", "archived"];
const DENIED: &str = "denied";
/// When so many objects in a row are refused, it is not about the objects.
const REFUSED_IN_A_ROW_MAX: u32 = 50;

/// The row so far.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Those that were not handed over yet.
    lines: Vec<QuarantineLine>,
    in_a_row: u32,
    /// The user has said that they are to be set aside, however many.
    accepted: bool,
    /// What allows to read them, where they lie.
    allows: Option<String>,
}

impl Refused {
    /// No object yet.
    pub(super) fn new(accepted: bool, archive: Option<&ArchiveLocation>) -> Self {
        Self { accepted, allows: archive.and_then(forbidden::to_read_at), ..Self::default() }
    }

    /// An object is set aside. `Ok(true)` if it can be handed over.
    ///
    /// # Errors
    /// If the archive seems to refuse everything: too many in a row, or all that this process `wanted` of it.
    pub(super) fn push(&mut self, line: QuarantineLine, wanted: usize) -> Result<bool, Error> {
        let refusal = REFUSALS.contains(&line.reason.as_str());
        self.in_a_row = if refusal { self.in_a_row + 1 } else { 0 };
        let too_many =
            self.in_a_row >= REFUSED_IN_A_ROW_MAX || (self.in_a_row as usize == wanted && wanted > 1);
        if refusal && too_many && !self.accepted {
            let allows = self.allows.as_ref().filter(|_| line.reason == DENIED);
            let allows = allows.map(|allows| format!("; {allows} and then resume")).unwrap_or_default();
            return Err(Error::incomplete(format!(
                "{} in a row cannot be had, the last one {}: {} ({}){allows}; if they are not to be had, resume with \
                 --accept-refusals to set them aside",
                many(self.in_a_row, "object"),
                shown(&line.key),
                line.reason,
                line.detail
            )));
        }
        self.lines.push(line);
        Ok(!refusal || self.accepted)
    }

    /// The archive has given an object.
    pub(super) fn end_row(&mut self) {
        self.in_a_row = 0;
    }

    /// `false` if nobody listens any more.
    pub(super) async fn hand_over(&mut self, sink: &mpsc::Sender<Fed>) -> bool {
        for line in self.lines.drain(..) {
            if sink.send(Fed::Quarantined(line)).await.is_err() {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(object: u32, reason: &str) -> QuarantineLine {
        let line = QuarantineLine::of(object, None, &format!("{object}.gz"), reason);
        QuarantineLine { detail: "AccessDenied".into(), ..line }
    }

    /// The next `count` of `wanted` objects are set aside for `reason`.
    fn refuse(refused: &mut Refused, count: u32, reason: &str, wanted: usize) -> Result<bool, Error> {
        (1..=count).map(|object| refused.push(line(object, reason), wanted)).last().unwrap()
    }

    #[test]
    fn an_archive_that_refuses_everything_ends_the_run() {
        let check = |count, reason, total| refuse(&mut Refused::default(), count, reason, total);
        assert!(!check(49, "denied", 99).unwrap(), "they wait");
        let error = check(50, "denied", 99).unwrap_err();
        assert_eq!(error.exit_code(), crate::error::ExitCode::Incomplete);
        assert!(error.to_string().contains("50.gz: denied (AccessDenied)"), "{error}");
        assert!(error.to_string().contains("--accept-refusals"), "{error}");
        assert!(check(3, "deleted", 3).is_err(), "all that there are");
        assert!(check(3, "deleted", 9).is_ok(), "six others were had, or are to come");
        assert!(check(1, "denied", 1).is_ok(), "of a single one nothing can be told");
        assert!(check(99, "truncated", 99).unwrap(), "broken objects are themselves at fault");
    }

    #[test]
    fn an_archive_that_may_not_be_read_comes_with_the_statement_that_allows_it() {
        let (bucket, prefix) = ("events".into(), "live/".into());
        let location = ArchiveLocation::S3 { endpoint: None, bucket, prefix };
        let said = |reason: &str| {
            let mut refused = Refused::new(false, Some(&location));
            refuse(&mut refused, 2, reason, 2).unwrap_err().to_string()
        };
        let denied = said("denied");
        for words in ["s3:GetObject", "arn:aws:s3:::events/live/*", "another account", "--accept-refusals"] {
            assert!(denied.contains(words), "{words}: {denied}");
        }
        assert!(!said("deleted").contains("s3:GetObject"));
    }

    #[tokio::test]
    async fn what_lies_in_the_cache_does_not_end_the_row() {
        let (sink, mut fed) = mpsc::channel(100);
        let mut refused = Refused::default();
        for _ in 0..7 {
            refuse(&mut refused, 7, "denied", 99).unwrap();
            assert!(refused.hand_over(&sink).await, "an object of the cache follows");
        }
        assert!(refused.push(line(0, "denied"), 99).is_err());
        refused.end_row();
        assert!(refused.push(line(0, "denied"), 99).is_ok());
        assert!(fed.try_recv().is_ok());
    }

    #[test]
    fn refusals_that_are_accepted_end_nothing() {
        assert!(refuse(&mut Refused::new(true, None), 99, "deleted", 99).unwrap());
    }
}
