//! What a failed call to Kinesis says, and what it means.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_kinesis::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents, http::HttpResponse};
use aws_sdk_kinesis::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::RequestId;
use hyper_util::client::legacy::Error as HttpError;

use super::super::CallErrorClass;
use super::super::failure::{Details, Failure, causes, printable, without_values};

/// Whether a request was handed to a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct SentMark(Arc<AtomicBool>);

impl SentMark {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Intercept for SentMark {
    fn name(&self) -> &'static str {
        "SentMark"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _runtime_components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.store(true, Ordering::Release);
        Ok(())
    }
}

pub(super) fn failure_of<'a, E>(error: &'a SdkError<E, HttpResponse>, sent: &SentMark) -> Failure<'a>
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match error {
        SdkError::ConstructionFailure(_) => Failure::NotBuilt,
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) if !sent.is_set() => Failure::NotSigned,
        SdkError::TimeoutError(_) => Failure::TimedOut,
        SdkError::DispatchFailure(dispatch) => {
            let not_connected = causes(error)
                .any(|cause| cause.downcast_ref::<HttpError>().is_some_and(HttpError::is_connect));
            if not_connected {
                Failure::NotConnected
            } else if dispatch.is_timeout() {
                Failure::TimedOut
            } else {
                Failure::Disconnected
            }
        }
        SdkError::ResponseError(response) => Failure::Unreadable { status: response.raw().status().as_u16() },
        SdkError::ServiceError(service) => Failure::Refused {
            code: service.err().code().map(Into::into),
            status: service.raw().status().as_u16(),
        },
        // The SDK may learn new ways to fail.
        _ => Failure::Disconnected,
    }
}

/// What `error` says beside how far its call came.
pub(super) fn details_of<E>(error: &SdkError<E, HttpResponse>, sent: &SentMark) -> Details
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    // Before anything is sent only credentials are waited for.
    if matches!(error, SdkError::TimeoutError(_)) && !sent.is_set() {
        return Details::of_late_credentials();
    }
    Details {
        words: error.as_service_error().and_then(ProvideErrorMetadata::message).map(printable),
        request: error.request_id().map(printable),
        ..Details::of_credentials(error)
    }
}

/// A failure in one sentence, for someone whose credentials are of `profile`.
pub(super) fn message(failure: &Failure<'_>, details: &Details, profile: Option<&str>) -> String {
    let Details { cause, words, request, .. } = details;
    match failure {
        Failure::NotBuilt => format!("the request to Kinesis could not be built: {cause}"),
        Failure::NotSigned => details.unsigned("Kinesis", profile),
        Failure::NotConnected => format!("Kinesis cannot be reached: {cause}"),
        Failure::TimedOut => "Kinesis did not answer in time".to_owned(),
        Failure::Disconnected => format!("the connection to Kinesis broke: {cause}"),
        Failure::Unreadable { status } => {
            format!("Kinesis gave an answer that cannot be read (HTTP {status})")
        }
        Failure::Refused { code, status } => {
            let code = code.as_deref().map_or_else(|| format!("HTTP {status}"), printable);
            let invalid = failure.class() == CallErrorClass::Invalid;
            let words =
                words.as_ref().map(|words| if invalid { without_values(words) } else { words.clone() });
            [
                code,
                words.map(|words| format!(": {words}")).unwrap_or_default(),
                request.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default(),
            ]
            .concat()
        }
    }
}
