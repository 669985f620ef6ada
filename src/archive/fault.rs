//! What a failed request to S3 means: for the run, for the object, or only for this attempt.
//!
//! A fault is what is left of a service's answer once the SDK's types are taken off: status, code,
//! message, request id. Nothing else of it may reach a log, because headers and bodies can hold what
//! should not be there. The decision is made by code and status, never by the words of a message.

use std::fmt;

use super::{ArchiveCall, ArchiveError, DefectReason};
use crate::shown::shown;

/// A request that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServiceFault {
    /// The HTTP status; none if there was no answer.
    pub(super) status: Option<u16>,
    /// S3's code, such as `NoSuchKey`.
    pub(super) code: Option<String>,
    /// S3's words, or ours.
    pub(super) message: String,
    pub(super) request_id: Option<String>,
    /// Where the bucket lies, if the answer says so.
    pub(super) region: Option<String>,
    /// Asking again cannot help, although there was no answer: no credentials, a bad endpoint.
    pub(super) ours: bool,
    /// It never left: whoever gives credentials gave none.
    pub(super) unsigned: bool,
}

/// What to do about a fault of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask again.
    Retry,
    /// Ask again, because credentials may be renewed meanwhile.
    RetryCredentials,
    /// The object goes to quarantine.
    Defect(DefectReason),
    /// Nothing in this archive can be had.
    Refused,
    /// The bucket is gone.
    NoSuchArchive,
}

impl ServiceFault {
    /// A fault of the connection, without an answer.
    pub(super) fn connection(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_default()
    }

    /// What it means for the object that was asked for.
    pub(super) fn verdict(&self) -> Verdict {
        use Verdict::{Defect, NoSuchArchive, Refused, Retry, RetryCredentials};
        match self.code() {
            "NoSuchBucket" => return NoSuchArchive,
            "NoSuchKey" | "NoSuchVersion" => return Defect(DefectReason::Deleted),
            "InvalidObjectState" => return Defect(DefectReason::Archived),
            "PreconditionFailed" | "InvalidRange" => return Defect(DefectReason::Changed),
            "ExpiredToken" | "RequestExpired" | "TokenRefreshRequired" => return RetryCredentials,
            "AccessDenied" => return Defect(DefectReason::Denied),
            "SlowDown"
            | "RequestTimeout"
            | "Throttling"
            | "ThrottlingException"
            | "InternalError"
            | "ServiceUnavailable"
            | "RequestLimitExceeded"
            | "KMS.ThrottlingException" => return Retry,
            code if REFUSALS.contains(&code) => return Refused,
            _ => {}
        }
        match self.status {
            None if self.unsigned => RetryCredentials,
            None if self.ours => Refused,
            Some(301 | 307 | 308 | 401) => Refused,
            Some(404 | 405 | 410) => Defect(DefectReason::Deleted),
            Some(412 | 416) => Defect(DefectReason::Changed),
            Some(408 | 425 | 429) => Retry,
            // Among others: an object encrypted with a key that only its writer has, a disabled KMS key.
            Some(400..=499) => Defect(DefectReason::Denied),
            _ => Retry,
        }
    }

    /// The error of a request for an object, after the last attempt.
    pub(super) fn of_object(self, what: &str) -> ArchiveError {
        match self.verdict() {
            Verdict::Defect(reason) => ArchiveError::Defect { reason, message: self.to_string() },
            Verdict::Retry | Verdict::RetryCredentials => {
                ArchiveError::Unavailable { what: what.to_owned(), message: self.to_string() }
            }
            _ => self.of_archive(what, ArchiveCall::Read),
        }
    }

    /// The error of a `call` that failed for the whole archive.
    pub(super) fn of_archive(self, what: &str, call: ArchiveCall) -> ArchiveError {
        let what = what.to_owned();
        match self.verdict() {
            Verdict::NoSuchArchive | Verdict::Defect(DefectReason::Deleted) => {
                ArchiveError::NoSuchArchive { what }
            }
            Verdict::Retry => ArchiveError::Unavailable { what, message: self.to_string() },
            _ if self.is_forbidden() => ArchiveError::Forbidden { what, message: self.to_string(), call },
            _ => ArchiveError::Refused { what, message: self.advice() },
        }
    }

    /// Whether a right is missing; the answer to a HEAD has no code.
    fn is_forbidden(&self) -> bool {
        self.code() == "AccessDenied" || (self.code.is_none() && self.status == Some(403))
    }

    /// The fault, and what the user can do about it.
    fn advice(&self) -> String {
        let wrong_region = matches!(
            self.code(),
            "PermanentRedirect"
                | "AuthorizationHeaderMalformed"
                | "TemporaryRedirect"
                | "IllegalLocationConstraintException"
        ) || matches!(self.status, Some(301 | 307 | 308));
        match (wrong_region, &self.region) {
            (true, Some(region)) => {
                format!("the bucket lies in the region {region}: use --s3-region {region} ({self})")
            }
            (true, None) => format!("the bucket lies in another region or behind another endpoint ({self})"),
            (false, _) => self.to_string(),
        }
    }
}

/// Codes that say no to everything, whichever object is asked for.
const REFUSALS: [&str; 18] = [
    "AccountProblem",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError",
    "IllegalLocationConstraintException",
    "InvalidAccessKeyId",
    "InvalidBucketName",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidToken",
    "NotSignedUp",
    "PermanentRedirect",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TemporaryRedirect",
    "UnauthorizedAccess",
    "UnrecognizedClientException",
    "UserSuspended",
];

impl fmt::Display for ServiceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (&self.code, self.status) {
            (Some(code), _) => shown(code).to_string(),
            (None, Some(status)) => format!("HTTP status {status}"),
            (None, None) => String::new(),
        };
        let message = shown(&self.message).to_string();
        let parts = [kind, message].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        f.write_str(if parts.is_empty() { "no answer" } else { "" })?;
        f.write_str(&parts.join(": "))?;
        match &self.request_id {
            Some(id) => write!(f, " (request {})", shown(id)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: u16, code: &str) -> ServiceFault {
        let code = (!code.is_empty()).then(|| code.to_owned());
        ServiceFault { status: Some(status), code, ..ServiceFault::default() }
    }

    #[test]
    fn a_fault_is_judged_by_its_code_and_else_by_its_status() {
        use Verdict::{Defect, NoSuchArchive, Refused, Retry, RetryCredentials};
        for (status, code, expected) in [
            (404, "NoSuchKey", Defect(DefectReason::Deleted)),
            (404, "", Defect(DefectReason::Deleted)),
            (404, "NoSuchBucket", NoSuchArchive),
            (412, "PreconditionFailed", Defect(DefectReason::Changed)),
            (412, "", Defect(DefectReason::Changed)),
            (416, "InvalidRange", Defect(DefectReason::Changed)),
            (403, "InvalidObjectState", Defect(DefectReason::Archived)),
            (403, "AccessDenied", Defect(DefectReason::Denied)),
            (403, "", Defect(DefectReason::Denied)),
            (400, "KMS.DisabledException", Defect(DefectReason::Denied)),
            (403, "SignatureDoesNotMatch", Refused),
            (403, "InvalidAccessKeyId", Refused),
            (301, "PermanentRedirect", Refused),
            (400, "ExpiredToken", RetryCredentials),
            (503, "SlowDown", Retry),
            (400, "RequestTimeout", Retry),
            (500, "", Retry),
            (200, "", Retry),
        ] {
            assert_eq!(fault(status, code).verdict(), expected, "{status} {code}");
        }
        assert_eq!(ServiceFault::connection("reset").verdict(), Retry);
        let ours = ServiceFault { ours: true, ..ServiceFault::default() };
        assert_eq!(ours.verdict(), Refused);
        let unsigned = ServiceFault { unsigned: true, ..ours };
        assert_eq!(unsigned.verdict(), RetryCredentials);
    }

    #[test]
    fn a_wrong_region_is_named() {
        let fault = ServiceFault { region: Some("eu-west-1".into()), ..fault(301, "PermanentRedirect") };
        let error = fault.of_archive("s3://dumps", ArchiveCall::List).to_string();
        assert!(error.contains("s3://dumps") && error.contains("--s3-region eu-west-1"), "{error}");
    }

    #[test]
    fn a_right_that_is_missing_is_told_from_other_refusals() {
        for (status, code, forbidden) in [
            (403, "AccessDenied", true),
            (403, "", true),
            (403, "SignatureDoesNotMatch", false),
            (400, "KMS.DisabledException", false),
        ] {
            let error = fault(status, code).of_archive("s3://dumps", ArchiveCall::List);
            let is_forbidden = matches!(error, ArchiveError::Forbidden { call: ArchiveCall::List, .. });
            assert_eq!(is_forbidden, forbidden, "{status} {code}");
        }
    }

    #[test]
    fn what_a_service_says_cannot_steer_a_terminal() {
        let fault = ServiceFault { message: "a\u{1b}[2Jb\n".into(), ..fault(500, "X\u{7}") };
        assert!(!fault.to_string().contains(char::is_control), "{fault}");
    }
}
