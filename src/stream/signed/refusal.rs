//! What a service says when it says no, and a clock that is off.
//!
//! A signature is good for some minutes around the service's time. When it is refused for what may be its time, the
//! answer's own date says how far the clock here is off, and calls are dated accordingly from then on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::Fault;
use crate::stream::failure::{Details, Failure, printable};

/// Codes of refused signatures for which the time may be the reason.
const MAYBE_LATE: [&str; 5] = [
    "RequestTimeTooSkewed",
    "RequestExpired",
    "RequestInTheFuture",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
];
/// Below this the clock is not the reason.
const SKEW_SECONDS_MIN: i64 = 60;

/// By how many seconds the clock here is behind the service's. Clones share it.
#[derive(Debug, Clone, Default)]
pub(in crate::stream) struct Skew(Arc<AtomicI64>);

impl Skew {
    /// The service's time, as signatures write it.
    pub(super) fn date(&self) -> String {
        let ahead = SignedDuration::from_secs(self.0.load(Ordering::Relaxed));
        let now = Timestamp::now();
        now.checked_add(ahead).unwrap_or(now).strftime("%Y%m%dT%H%M%SZ").to_string()
    }

    /// Takes the service's time from an answer that refuses a signature.
    pub(super) fn learn(&self, failure: &Failure<'_>, date: Option<&str>) {
        let Failure::Refused { code: Some(code), .. } = failure else { return };
        let Some(theirs) = date.filter(|_| MAYBE_LATE.contains(&code.as_ref())).and_then(timestamp) else {
            return;
        };
        let seconds = theirs.as_second() - Timestamp::now().as_second();
        let seconds = if seconds.abs() < SKEW_SECONDS_MIN { 0 } else { seconds };
        if self.0.swap(seconds, Ordering::Relaxed).abs_diff(seconds) >= SKEW_SECONDS_MIN.unsigned_abs() {
            tracing::warn!("the clock here is off by {seconds} s: calls are dated by the service's clock");
        }
    }
}

fn timestamp(date: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(date).ok().map(|date| date.timestamp())
}

/// How services call an error's code, and its words. Some send more than one.
const CODE_FIELDS: [&str; 3] = ["__type", "code", "Code"];
const WORDS_FIELDS: [&str; 2] = ["message", "Message"];

/// What a refusal says.
pub(super) fn refused(status: u16, header: Option<&str>, body: &[u8], request: Option<String>) -> Fault {
    let error: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let texts = |fields: &'static [&str]| fields.iter().filter_map(|&field| error.get(field)?.as_str());
    let code = header.into_iter().chain(texts(&CODE_FIELDS)).map(short).find(|code| !code.is_empty());
    Fault {
        failure: Failure::Refused { code: code.map(|code| printable(code).into()), status },
        details: Details {
            words: texts(&WORDS_FIELDS).map(printable).find(|words| !words.is_empty()),
            request,
            ..Details::default()
        },
    }
}

/// The code in `com.amazon.coral.service#Code:http://…`.
fn short(code: &str) -> &str {
    let code = code.split(':').next().unwrap_or_default();
    code.rsplit('#').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(header: Option<&str>, body: &str) -> (Option<String>, Option<String>) {
        let fault = refused(400, header, body.as_bytes(), None);
        let Failure::Refused { code, .. } = fault.failure else { panic!("{fault:?}") };
        (code.map(Into::into), fault.details.words)
    }

    #[test]
    fn a_refusal_is_read_in_all_its_spellings() {
        let some = |code: &str, words: &str| (Some(code.to_owned()), Some(words.to_owned()));
        assert_eq!(code(None, r#"{"__type":"a.b#Slow","message":"m"}"#), some("Slow", "m"));
        assert_eq!(code(None, r#"{"code":"Slow","Message":"m"}"#), some("Slow", "m"));
        assert_eq!(code(Some("Slow:http://x/"), r#"{"Message":"m","x":[1]}"#), some("Slow", "m"));
        assert_eq!(code(None, r#"{"__type":"a#Slow","code":"Slow","message":"m"}"#), some("Slow", "m"));
        assert_eq!(
            code(None, r#"{"__type":null,"Code":"Slow","message":"","Message":"m"}"#),
            some("Slow", "m")
        );
        for empty in ["", " ", ":http://x/"] {
            assert_eq!(code(Some(empty), r#"{"__type":"Slow","message":"m"}"#), some("Slow", "m"), "{empty}");
        }
        assert_eq!(code(None, "<html>"), (None, None));
        assert_eq!(code(Some(""), "[]"), (None, None));
    }

    #[test]
    fn a_clock_that_is_off_is_corrected_and_one_that_is_not_is_left_alone() {
        let skew = Skew::default();
        let refused = |code: &'static str| Failure::Refused { code: Some(code.into()), status: 400 };
        let date = |seconds: i64| {
            let then = Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap();
            then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
        };
        let learned = |code, seconds| {
            skew.learn(&refused(code), Some(&date(seconds)));
            skew.0.load(Ordering::Relaxed)
        };
        assert_eq!(learned("AccessDeniedException", 3_600), 0);
        assert!((learned("RequestExpired", 3_600) - 3_600).abs() <= 2);
        assert!((learned("InvalidSignatureException", -86_400) + 86_400).abs() <= 2);
        let day = (Timestamp::now() - SignedDuration::from_hours(24)).strftime("%Y%m%d").to_string();
        assert!(skew.date().starts_with(&day), "{}", skew.date());
        assert_eq!(learned("InvalidSignatureException", 3), 0, "the clock is right, the key is not");
        skew.learn(&refused("RequestExpired"), Some("tomorrow"));
        assert_eq!(skew.0.load(Ordering::Relaxed), 0);
    }
}
