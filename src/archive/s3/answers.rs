//! From the SDK's answers to objects and faults.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId as _;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{EncodingType, Object};
use jiff::Timestamp;

use super::connect::{causes, chain};
use crate::archive::fault::ServiceFault;
use crate::archive::layout::decode_key;
use crate::archive::listing::Page;
use crate::archive::{ArchiveError, ObjectEntry};
use crate::record::ByteCount;
use crate::shown::shown;

pub(super) fn read_page(output: ListObjectsV2Output) -> Result<Page, ServiceFault> {
    let encoded = output.encoding_type() == Some(&EncodingType::Url);
    let name = |text: String| {
        let bad = || ServiceFault::connection("the list holds a key that is not encoded as it says");
        if encoded { decode_key(&text).ok_or_else(bad) } else { Ok(text) }
    };
    let next = output.next_continuation_token.filter(|_| output.is_truncated == Some(true));
    if output.is_truncated == Some(true) && next.is_none() {
        return Err(ServiceFault::connection(
            "a page of the list is cut off without saying where it goes on",
        ));
    }
    let objects = output.contents.unwrap_or_default().into_iter();
    let dirs = output.common_prefixes.unwrap_or_default().into_iter().filter_map(|dir| dir.prefix);
    Ok(Page {
        objects: objects.map(|object| entry(object, name)).collect::<Result<_, _>>()?,
        dirs: dirs.map(name).collect::<Result<_, _>>()?,
        next,
    })
}

fn entry(
    object: Object,
    name: impl Fn(String) -> Result<String, ServiceFault>,
) -> Result<ObjectEntry, ServiceFault> {
    let lacking =
        |field: &str| ServiceFault::connection(format!("the list holds an object without its {field}"));
    let key = name(object.key.ok_or_else(|| lacking("key"))?)?;
    let size = object.size.and_then(|size| u64::try_from(size).ok()).ok_or_else(|| lacking("size"))?;
    let modified = object.last_modified.ok_or_else(|| lacking("time"))?;
    let modified = Timestamp::new(modified.secs(), 0).map_err(|_| lacking("time"))?;
    Ok(ObjectEntry {
        key: key.into(),
        size: ByteCount(size),
        etag: object.e_tag.unwrap_or_default().into(),
        version: None,
        modified,
        time: None,
        storage_class: object
            .storage_class
            .filter(|class| class.as_str() != "STANDARD")
            .map(|class| class.as_str().into()),
        only: None,
    })
}

pub(super) fn entry_of_head(key: &str, head: &HeadObjectOutput) -> Result<ObjectEntry, ArchiveError> {
    let lacking = |field: &str| ArchiveError::Unavailable {
        what: shown(key).to_string(),
        message: format!("the answer has no {field}"),
    };
    let size = head.content_length().and_then(|size| u64::try_from(size).ok());
    let modified = head.last_modified().and_then(|time| Timestamp::new(time.secs(), 0).ok());
    Ok(ObjectEntry {
        key: key.into(),
        size: ByteCount(size.ok_or_else(|| lacking("length"))?),
        etag: head.e_tag().unwrap_or_default().into(),
        version: None,
        modified: modified.ok_or_else(|| lacking("time"))?,
        time: None,
        storage_class: head
            .storage_class()
            .filter(|class| class.as_str() != "STANDARD")
            .map(|class| class.as_str().into()),
        only: None,
    })
}

/// What is worth keeping of an SDK's error.
pub(super) fn fault_of<E>(error: &SdkError<E>) -> ServiceFault
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let text = |text: Option<&str>| text.map(str::to_owned);
    let response = error.raw_response();
    let mut fault = ServiceFault {
        status: response.map(|response| response.status().as_u16()),
        code: text(error.code()),
        message: text(error.message()).unwrap_or_default(),
        request_id: text(error.request_id()),
        region: text(response.and_then(|response| response.headers().get("x-amz-bucket-region"))),
        ours: false,
        unsigned: causes(error).any(<dyn std::error::Error>::is::<CredentialsError>),
    };
    match error {
        SdkError::ConstructionFailure(_) => {
            fault.ours = true;
            "the request cannot be built".clone_into(&mut fault.message);
        }
        SdkError::TimeoutError(_) => "the answer took too long".clone_into(&mut fault.message),
        SdkError::DispatchFailure(failure) => {
            fault.ours = failure.is_user();
            fault.message = failure.as_connector_error().map(|error| chain(error)).unwrap_or_default();
        }
        SdkError::ResponseError(_) => "the answer cannot be read".clone_into(&mut fault.message),
        SdkError::ServiceError(error) if error.raw().status().is_success() => {
            "the answer cannot be read".clone_into(&mut fault.message);
        }
        _ => {}
    }
    fault
}
