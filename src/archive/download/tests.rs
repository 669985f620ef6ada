use std::collections::VecDeque;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Mutex;

use super::*;
use crate::record::ByteCount;

/// What a request gets: how many bytes of the rest come, and how the body ends.
#[derive(Clone, Copy)]
enum Answer {
    Whole,
    CutAfter(usize),
    /// All bytes, then what a checksum that does not fit looks like.
    BadChecksum,
    StallAfter(usize),
    /// From the start, whatever was asked for.
    IgnoresRange,
    /// As many bytes too many.
    TooLong,
    OtherEtag,
    OtherSize,
    /// Decoded on its way: three times as long, and without a length.
    Decoded,
    /// The same, and cut.
    DecodedAndCut,
    Fails(u16, &'static str),
    Refuses,
}

struct Server {
    content: Bytes,
    answers: Mutex<VecDeque<Answer>>,
    /// Where each request asked to begin.
    asked: Mutex<Vec<u64>>,
    knows_ranges: bool,
}

struct Pieces {
    pieces: VecDeque<Option<Result<Bytes, ServiceFault>>>,
}

impl Body for Pieces {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, ServiceFault>>> {
        Box::pin(async move {
            match self.pieces.pop_front() {
                Some(Some(piece)) => Some(piece),
                Some(None) => std::future::pending().await,
                None => None,
            }
        })
    }
}

impl Source for Server {
    fn open(&self, start: u64, until: Option<u64>) -> BoxFuture<'_, Result<Part, ServiceFault>> {
        self.asked.lock().unwrap().push(start);
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Whole);
        let ranged =
            self.knows_ranges && !matches!(answer, Answer::IgnoresRange) && (start > 0 || until.is_some());
        let (start, until) = if ranged { (start, until) } else { (0, None) };
        let until = until.map_or(self.content.len(), |until| usize::try_from(until).unwrap());
        let rest = self.content.slice(usize::try_from(start).unwrap()..until);
        let sized = |length: usize| rest.slice(..length.min(rest.len()));
        let broken = || Some(Err(ServiceFault::connection("reset")));
        let ok = |bytes: Bytes| Some(Ok(bytes));
        let pieces = match answer {
            Answer::Fails(status, code) => {
                let code = Some(code.to_owned());
                return Box::pin(async move {
                    Err(ServiceFault { status: Some(status), code, ..ServiceFault::default() })
                });
            }
            Answer::Refuses => return Box::pin(async { Err(ServiceFault::connection("refused")) }),
            Answer::CutAfter(length) => vec![ok(sized(length)), broken()],
            Answer::StallAfter(length) => vec![ok(sized(length)), None],
            Answer::BadChecksum => vec![ok(rest.clone()), broken()],
            Answer::Decoded => vec![ok(rest.clone()), ok(rest.clone()), ok(rest.clone())],
            Answer::DecodedAndCut => vec![ok(rest.clone()), ok(rest.clone()), broken()],
            Answer::TooLong => vec![ok(rest.clone()), ok(Bytes::from_static(b"more"))],
            _ => rest.chunks(100_000).map(|piece| ok(Bytes::copy_from_slice(piece))).collect(),
        };
        let total = self.content.len() as u64 + u64::from(matches!(answer, Answer::OtherSize));
        let etag = if matches!(answer, Answer::OtherEtag) { "other" } else { "\"etag\"" };
        let body = Box::new(Pieces { pieces: pieces.into() });
        let part = Part {
            etag: Some(etag.into()),
            start,
            ranged,
            total: (!matches!(answer, Answer::Decoded | Answer::DecodedAndCut)).then_some(total),
            content_encoding: Some("gzip".into()),
            body,
        };
        Box::pin(async move { Ok(part) })
    }
}

fn object(size: u64) -> ObjectEntry {
    ObjectEntry {
        key: "key".into(),
        size: ByteCount(size),
        etag: "\"etag\"".into(),
        version: None,
        modified: jiff::Timestamp::UNIX_EPOCH,
        time: None,
        storage_class: None,
        only: None,
    }
}

/// Downloads `size` bytes from a server with these answers; where the requests began, and the outcome.
async fn fetch(size: u64, answers: &[Answer]) -> (Vec<u64>, Result<ObjectBody, ArchiveError>) {
    let content: Bytes = (0..size).map(|n| (n * 31 % 251) as u8).collect();
    let server = Server {
        content: content.clone(),
        answers: Mutex::new(answers.iter().copied().collect()),
        asked: Mutex::default(),
        knows_ranges: true,
    };
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(0, dir.path().to_owned());
    let result = download(&server, &object(size), &spool, "s3://dumps/key").await;
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a spilled file has no name");
    let result = result.map(|body| {
        assert_eq!(body.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(matches!(body.bytes, BodyBytes::File(_)), size > MEMORY_OBJECT_BYTES_MAX);
        let mut bytes = Vec::new();
        body.reader().unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == content, "{} of {size} bytes, or other ones", bytes.len());
        ObjectBody { content_encoding: None, bytes: BodyBytes::Memory(Vec::new()) }
    });
    (server.asked.into_inner().unwrap(), result)
}

fn reason(result: Result<ObjectBody, ArchiveError>) -> DefectReason {
    match result {
        Err(ArchiveError::Defect { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

const LARGE: u64 = MEMORY_OBJECT_BYTES_MAX + 12_345;

#[tokio::test(start_paused = true)]
async fn a_download_goes_on_where_it_was_cut() {
    use Answer::{CutAfter, Fails, IgnoresRange, Refuses, StallAfter, Whole};
    let cases: &[(u64, &[Answer], &[u64])] = &[
        (0, &[Whole], &[0]),
        (1_000, &[Whole], &[0]),
        (LARGE, &[Whole], &[0]),
        (1_000, &[CutAfter(400), CutAfter(0), CutAfter(100), Whole], &[0, 400, 400, 500]),
        (LARGE, &[CutAfter(9_000_000), StallAfter(2_000_000), Whole], &[0, 9_000_000, 11_000_000]),
        (1_000, &[Fails(503, "SlowDown"), Refuses, Fails(500, "InternalError"), Whole], &[0, 0, 0, 0]),
        (1_000, &[CutAfter(400), IgnoresRange], &[0, 400]),
        (LARGE, &[CutAfter(9_000_000), IgnoresRange], &[0, 9_000_000]),
        // Whole by its length, but the end never came: fetched anew.
        (1_000, &[StallAfter(1_000), Whole], &[0, 0]),
    ];
    for (size, answers, asked) in cases {
        let (found, result) = fetch(*size, answers).await;
        result.unwrap();
        assert_eq!(found, *asked);
    }
}

#[tokio::test(start_paused = true)]
async fn progress_earns_new_attempts_and_standstill_ends_them() {
    let cuts = vec![Answer::CutAfter(100_000); 30];
    let (asked, result) = fetch(3_000_000, &cuts).await;
    result.unwrap();
    // The last cut leaves nothing to come, so the object is fetched once more for its checksum.
    assert_eq!(asked.len(), 31);
    let (asked, result) = fetch(3_000_000, &[Answer::CutAfter(1); ATTEMPTS_MAX as usize + 1]).await;
    assert!(matches!(result, Err(ArchiveError::Unavailable { .. })));
    assert_eq!(asked.len(), ATTEMPTS_MAX as usize);
    let (asked, result) = fetch(1_000, &[Answer::Fails(400, "ExpiredToken"); 200]).await;
    assert!(matches!(result, Err(ArchiveError::Unavailable { .. })), "with others a resume goes on");
    assert_eq!(asked.len(), CREDENTIAL_ATTEMPTS_MAX as usize);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_body_is_fetched_anew_and_then_given_up() {
    use Answer::{BadChecksum, OtherSize, TooLong, Whole};
    for size in [1_000, LARGE] {
        let (asked, result) = fetch(size, &[BadChecksum, TooLong, Whole]).await;
        result.unwrap();
        assert_eq!(asked, [0, 0, 0]);
        let (asked, result) = fetch(size, &[BadChecksum, OtherSize, TooLong, Whole]).await;
        assert_eq!((reason(result), asked.len()), (DefectReason::Checksum, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_retry_can_help_is_said_at_once() {
    for (answer, expected) in [
        (Answer::OtherEtag, DefectReason::Changed),
        (Answer::Fails(412, "PreconditionFailed"), DefectReason::Changed),
        (Answer::Fails(404, "NoSuchKey"), DefectReason::Deleted),
        (Answer::Fails(403, "InvalidObjectState"), DefectReason::Archived),
        (Answer::Fails(403, "AccessDenied"), DefectReason::Denied),
    ] {
        let (asked, result) = fetch(1_000, &[answer]).await;
        assert_eq!((reason(result), asked.len()), (expected, 1));
    }
    let (_, result) = fetch(1_000, &[Answer::Fails(404, "NoSuchBucket")]).await;
    assert!(matches!(result, Err(ArchiveError::NoSuchArchive { .. })));
    let (_, result) = fetch(1_000, &[Answer::CutAfter(400), Answer::OtherEtag]).await;
    assert_eq!(reason(result), DefectReason::Changed);
}

#[tokio::test(start_paused = true)]
async fn a_large_object_comes_in_ranges_and_each_goes_on_where_it_was_cut() {
    use Answer::{BadChecksum, CutAfter, Fails, OtherEtag, StallAfter, Whole};
    let (size, step) = (ranges::RANGED_OBJECT_BYTES_MIN + 12_345, ranges::RANGE_BYTES);
    let (mut asked, result) = fetch(size, &[]).await;
    result.unwrap();
    asked.sort_unstable();
    assert_eq!(asked, [0, step, 2 * step, 3 * step, 4 * step]);
    let (asked, result) =
        fetch(size, &[CutAfter(1_000_000), StallAfter(9), BadChecksum, Fails(503, "SlowDown")]).await;
    result.unwrap();
    assert!(asked.contains(&1_000_000) && asked.contains(&(step + 9)), "{asked:?}");
    let (_, result) = fetch(size, &[Whole, Whole, OtherEtag]).await;
    assert_eq!(reason(result), DefectReason::Changed);
    let (_, result) = fetch(size, &[Whole, Fails(404, "NoSuchKey")]).await;
    assert_eq!(reason(result), DefectReason::Deleted);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_a_gateway_decodes_is_taken_to_its_end() {
    for size in [1_000, LARGE] {
        let content: Bytes = vec![7; usize::try_from(size).unwrap()].into();
        let answers = Mutex::new([Answer::DecodedAndCut, Answer::Decoded].into());
        let server = Server { content, answers, asked: Mutex::default(), knows_ranges: false };
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(0, dir.path().to_owned());
        let body = download(&server, &object(size), &spool, "").await.unwrap();
        let mut bytes = Vec::new();
        body.reader().unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() as u64 == 3 * size && bytes.iter().all(|byte| *byte == 7), "{}", bytes.len());
        assert_eq!(*server.asked.lock().unwrap(), [0, 0], "never resumed");
    }
}

#[tokio::test]
async fn a_server_without_ranges_is_asked_for_the_whole() {
    let content: Bytes = vec![7; usize::try_from(ranges::RANGED_OBJECT_BYTES_MIN).unwrap() + 1].into();
    let object = object(content.len() as u64);
    let server = Server { content, answers: Mutex::default(), asked: Mutex::default(), knows_ranges: false };
    let dir = tempfile::tempdir().unwrap();
    let body = download(&server, &object, &Spool::new(0, dir.path().to_owned()), "").await.unwrap();
    let BodyBytes::File(file) = body.bytes else { panic!("in a file") };
    assert_eq!(file.metadata().unwrap().len(), object.size.0);
}

#[tokio::test]
async fn bodies_in_memory_weigh_on_the_budget_until_their_last_piece_is_gone() {
    let content: Bytes = vec![0; 12 << 20].into();
    let server = Server { content, answers: Mutex::default(), asked: Mutex::default(), knows_ranges: true };
    let spool = Spool::new(0, PathBuf::new());
    let object = object(12 << 20);
    let body = download(&server, &object, &spool, "").await.unwrap();
    let BodyBytes::Memory(mut pieces) = body.bytes else { panic!("in memory") };
    assert_eq!(spool.budget.available_permits(), 4 << 10);
    let last = pieces.pop();
    drop(pieces);
    assert_eq!(spool.budget.available_permits(), 4 << 10);
    drop(last);
    assert_eq!(spool.budget.available_permits(), 16 << 10);
}

#[test]
fn waiting_doubles_up_to_its_cap_and_is_never_the_same() {
    for failed in 1..40 {
        let wait = backoff(failed);
        assert!(wait >= BACKOFF_FIRST / 2 && wait <= BACKOFF_MAX, "{failed}: {wait:?}");
    }
    assert!(backoff(30) >= BACKOFF_MAX / 2 && backoff(1) <= BACKOFF_FIRST);
    assert!((0..20).any(|_| backoff(5) != backoff(5)));
}

#[test]
fn a_content_range_tells_start_and_size() {
    assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
    assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
    for bad in ["", "bytes */10", "5-9/10", "bytes 5/10", "bytes x-9/10"] {
        assert_eq!(content_range(bad), None, "{bad}");
    }
}
