//! Does the target feed the very archive that is read? What is replayed into it would be archived once more, and the next
//! replay would find both.
//!
//! Pure: it judges names. Whoever may ask Firehose knows more (`lifecycle::delivery`).

use crate::archive::ObjectEntry;
use crate::config::Target;
use crate::error::Error;
use crate::shown::shown;

/// The sign by which a stream seems to feed the archive, if there is one: Firehose names its objects and folders
/// after its stream, and people name both alike.
pub fn loop_sign(target: &Target, objects: &[ObjectEntry]) -> Option<String> {
    let Target::Kinesis { stream } = target else { return None };
    let stream = stream.name();
    let named_after = |object: &&ObjectEntry| {
        object.key.rsplit('/').next().and_then(|name| name.strip_prefix(stream)).is_some_and(|rest| {
            // NAME-1-2026-11-02-…
            let version = rest.strip_prefix('-').and_then(|rest| rest.split_once('-'));
            version.is_some_and(|(version, rest)| {
                let digit = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
                !version.is_empty() && digit(version) && rest.get(..4).is_some_and(digit)
            })
        })
    };
    let in_folder =
        |object: &&ObjectEntry| object.key.split('/').rev().skip(1).any(|folder| folder == stream);
    let found = objects.iter().take(1_000).find(|object| named_after(object) || in_folder(object))?;
    Some(format!(
        "the archive seems to be what is delivered from the stream {stream} (it holds {}): what is replayed into it \
         would be archived once more, and be found by the next replay",
        shown(&found.key)
    ))
}

/// What is replayed into the stream that feeds the archive is archived once more, and the next replay finds both.
///
/// # Errors
/// The sign of it, and what to say if it deceives.
pub fn refuse_loop(target: &Target, objects: &[ObjectEntry]) -> Result<(), Error> {
    match loop_sign(target, objects) {
        Some(sign) => Err(Error::refused(format!("{sign}; say --allow-loop if that is not so, or meant"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str) -> ObjectEntry {
        ObjectEntry::of(key, 10)
    }

    #[test]
    fn a_stream_that_feeds_the_archive_is_recognised_by_names() {
        let firehose = [object("live/2026/11/02/06/orders-1-2026-11-02-06-00-00-uuid.gz")];
        let folder = [object("firehose/orders/2026/11/02/06/x.gz")];
        let other = [object("live/2026/11/02/06/orders-archive-1-2026-11-02-06-00-00-uuid.gz")];
        let sign = |target: &str, objects: &[ObjectEntry]| loop_sign(&target.parse().unwrap(), objects);
        assert!(sign("orders", &firehose).unwrap().contains("archived once more"));
        assert!(sign("arn:aws:kinesis:eu-west-1:123456789012:stream/orders", &firehose).is_some());
        assert!(sign("orders", &folder).is_some());
        assert_eq!(sign("orders", &other), None);
        assert_eq!(sign("orders-backfill", &firehose), None);
        assert_eq!(sign("sim:4", &firehose), None);
    }
}
