//! What the failure of a whole call means for its entries.
//!
//! The one question is whether they may have been stored. What never left is safe to send again; what
//! left without a clear no is unknown. A service error is judged by its code, and only a code that
//! nobody knows by its HTTP status. Only a code that can name a bad entry makes a request invalid, because
//! its entries are then rejected one by one; whatever else is refused stops the run.

use std::borrow::Cow;
use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;

use super::{CallErrorClass, UnknownCause};
use crate::renewed::how_to_have_credentials;
use crate::shown::{in_quotes, shown};

/// How far a call came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure<'a> {
    /// The request could not be built.
    NotBuilt,
    /// It could not be signed or addressed: nothing left this machine.
    NotSigned,
    /// No connection was made.
    NotConnected,
    /// It may have left, and no answer came in time.
    TimedOut,
    /// The connection broke.
    Disconnected,
    /// An answer came that cannot be read.
    Unreadable {
        /// Its HTTP status.
        status: u16,
    },
    /// The service said no.
    Refused {
        /// Its error code.
        code: Option<Cow<'a, str>>,
        /// Its HTTP status.
        status: u16,
    },
}

/// What there is to say about a failure. Nothing of it is control flow.
#[derive(Debug, Default)]
pub(super) struct Details {
    /// The innermost cause.
    pub(super) cause: String,
    /// What came of asking for credentials, if that is the reason.
    pub(super) credentials: Option<CredentialsFailure>,
    /// What the service says beside its code.
    pub(super) words: Option<String>,
    /// The service's number for the request.
    pub(super) request: Option<String>,
}

/// How credentials came to be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CredentialsFailure {
    /// There is nobody who could be asked for them.
    NoneFound,
    /// Whoever gives them did not answer, or said no.
    NotGiven,
}

impl Details {
    /// `cause` alone.
    pub(super) fn caused_by(cause: impl AsRef<str>) -> Self {
        Self { cause: printable(cause.as_ref()), ..Self::default() }
    }

    /// What lies behind `error`.
    pub(super) fn of(error: &(dyn StdError + 'static)) -> Self {
        Self::caused_by(causes(error).last().map(ToString::to_string).unwrap_or_default())
    }

    /// What lies behind `error`, which came of asking for credentials.
    pub(super) fn of_credentials(error: &(dyn StdError + 'static)) -> Self {
        let credentials = causes(error).find_map(|cause| match cause.downcast_ref()? {
            CredentialsError::CredentialsNotLoaded(_) => Some(CredentialsFailure::NoneFound),
            _ => Some(CredentialsFailure::NotGiven),
        });
        Self { credentials, ..Self::of(error) }
    }

    /// Credentials that did not come in time.
    pub(super) fn of_late_credentials() -> Self {
        let credentials = Some(CredentialsFailure::NotGiven);
        Self { credentials, ..Self::caused_by("they did not come in time") }
    }

    /// Why a call was not signed, for someone whose credentials are of `profile`.
    pub(super) fn unsigned(&self, service: &str, profile: Option<&str>) -> String {
        let (cause, advice) = (self.cause.trim_end_matches('.'), how_to_have_credentials(profile));
        let profile = profile.map(|profile| format!("the profile {}", in_quotes(&printable(profile))));
        match (self.credentials, profile) {
            (Some(CredentialsFailure::NoneFound), Some(profile)) => {
                format!("no AWS credentials found in {profile}: {cause}; {advice}")
            }
            // The SDK's words for "none found" list where it looked, which helps nobody.
            (Some(CredentialsFailure::NoneFound), None) => format!("no AWS credentials found: {advice}"),
            (Some(CredentialsFailure::NotGiven), profile) => format!(
                "AWS credentials could not be fetched{}: {cause}; what gives them (a login, a process, the endpoint of a container \
                 or an instance) did not answer or said no: {advice}",
                profile.map(|profile| format!(" for {profile}")).unwrap_or_default()
            ),
            (None, _) => format!("the call to {service} could not be signed or addressed: {cause}"),
        }
    }
}

/// An error and what caused it, the innermost cause last.
pub(super) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

impl Failure<'_> {
    /// What to do about it.
    pub(super) fn class(&self) -> CallErrorClass {
        match self {
            Self::NotBuilt => CallErrorClass::Denied,
            Self::NotSigned => CallErrorClass::Credentials,
            Self::NotConnected => CallErrorClass::Unreachable,
            Self::TimedOut => CallErrorClass::Unknown(UnknownCause::Timeout),
            Self::Disconnected => CallErrorClass::Unknown(UnknownCause::Connection),
            Self::Refused { code: Some(code), status } => {
                class_of_code(code).unwrap_or_else(|| class_of_status(*status))
            }
            Self::Unreadable { status } | Self::Refused { code: None, status } => class_of_status(*status),
        }
    }
}

/// Source: Kinesis API reference, PutRecords and Common Errors, read 2026-11-22. Kinesis reports a clock
/// that is off as `InvalidSignatureException`, so that one is not final.
fn class_of_code(code: &str) -> Option<CallErrorClass> {
    Some(match code {
        "ProvisionedThroughputExceededException"
        | "LimitExceededException"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown"
        | "TooManyRequestsException"
        | "KMSThrottlingException" => CallErrorClass::Throttled,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "RequestInTheFuture"
        | "InvalidSignatureException" => CallErrorClass::Credentials,
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "NotAuthorized"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "KMSAccessDeniedException"
        | "KMSDisabledException"
        | "KMSInvalidStateException"
        | "KMSNotFoundException"
        | "KMSOptInRequired"
        | "ResourceInUseException"
        | "UnknownOperationException"
        | "DryRunOperationException" => CallErrorClass::Denied,
        "ResourceNotFoundException" => CallErrorClass::NotFound,
        "InvalidArgumentException"
        | "ValidationException"
        | "ValidationError"
        | "SerializationException"
        | "ExpiredIteratorException"
        | "ExpiredNextTokenException" => CallErrorClass::Invalid,
        "InternalFailure"
        | "InternalFailureException"
        | "InternalServerError"
        | "InternalServerException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => CallErrorClass::Unknown(UnknownCause::ServerError),
        _ => return None,
    })
}

fn class_of_status(status: u16) -> CallErrorClass {
    match status {
        // A gateway gave up waiting for the rest of the request, or for the service.
        408 => CallErrorClass::Unknown(UnknownCause::Timeout),
        413 => CallErrorClass::Invalid,
        429 => CallErrorClass::Throttled,
        400..500 => CallErrorClass::Denied,
        500..600 => CallErrorClass::Unknown(UnknownCause::ServerError),
        _ => CallErrorClass::Unknown(UnknownCause::BadAnswer),
    }
}

/// A message about an invalid request without the values that it quotes: they are the user's.
pub(super) fn without_values(text: &str) -> String {
    let quoted = text.split('\'').enumerate().map(|(part, words)| if part % 2 == 1 { "…" } else { words });
    quoted.collect::<Vec<_>>().join("'")
}

/// A sentence from outside as one line fit for a terminal, of bounded length.
pub(super) fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 400;
    let words: Vec<&str> =
        text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty()).collect();
    let line = shown(&words.join(" ")).to_string();
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_class() {
        use CallErrorClass::{Credentials, Denied, Invalid, NotFound, Throttled, Unknown, Unreachable};
        let code = |code: &'static str, status| Failure::Refused { code: Some(code.into()), status };
        let none = |status| Failure::Refused { code: None, status };
        for (failure, class) in [
            (Failure::NotBuilt, Denied),
            (Failure::Unreadable { status: 404 }, Denied),
            (code("ResourceInUseException", 400), Denied),
            (Failure::NotSigned, Credentials),
            (Failure::NotConnected, Unreachable),
            (Failure::TimedOut, Unknown(UnknownCause::Timeout)),
            (Failure::Disconnected, Unknown(UnknownCause::Connection)),
            (Failure::Unreadable { status: 200 }, Unknown(UnknownCause::BadAnswer)),
            (Failure::Unreadable { status: 413 }, Invalid),
            (Failure::Unreadable { status: 502 }, Unknown(UnknownCause::ServerError)),
            (code("ProvisionedThroughputExceededException", 400), Throttled),
            (code("ThrottlingException", 400), Throttled),
            (code("KMSThrottlingException", 400), Throttled),
            (code("LimitExceededException", 400), Throttled),
            (code("ExpiredTokenException", 403), Credentials),
            (code("RequestExpired", 400), Credentials),
            (code("InvalidSignatureException", 403), Credentials),
            (code("UnrecognizedClientException", 403), Denied),
            (code("AccessDeniedException", 400), Denied),
            (code("KMSDisabledException", 400), Denied),
            (code("KMSInvalidStateException", 400), Denied),
            (code("KMSAccessDeniedException", 400), Denied),
            (code("KMSNotFoundException", 400), Denied),
            (code("KMSOptInRequired", 400), Denied),
            (code("ResourceNotFoundException", 400), NotFound),
            (code("ValidationException", 400), Invalid),
            (code("InvalidArgumentException", 400), Invalid),
            (code("SerializationException", 400), Invalid),
            (code("InternalFailure", 500), Unknown(UnknownCause::ServerError)),
            (code("InternalFailureException", 400), Unknown(UnknownCause::ServerError)),
            (code("ServiceUnavailable", 503), Unknown(UnknownCause::ServerError)),
            (code("NeverHeardOf", 400), Denied),
            (code("NeverHeardOf", 500), Unknown(UnknownCause::ServerError)),
            (code("NeverHeardOf", 200), Unknown(UnknownCause::BadAnswer)),
            (none(403), Denied),
            (none(408), Unknown(UnknownCause::Timeout)),
            (none(413), Invalid),
            (none(429), Throttled),
            (none(503), Unknown(UnknownCause::ServerError)),
        ] {
            assert_eq!(failure.class(), class, "{failure:?}");
        }
    }

    #[test]
    fn what_a_message_quotes_is_not_repeated() {
        let message =
            "Value 'alice@example.com' at 'records.1.member.partitionKey' failed to satisfy constraint";
        assert_eq!(without_values(message), "Value '…' at '…' failed to satisfy constraint");
        assert_eq!(without_values("Value 'cut short"), "Value '…");
    }

    #[test]
    fn a_sentence_from_outside_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\nb"), "a [2J b");
        assert_eq!(printable(&"x".repeat(401)), "x".repeat(400) + "…");
    }
}
