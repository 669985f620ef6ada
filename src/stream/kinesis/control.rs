//! The owner's calls to Kinesis: create, set, scale, tag, delete, and may we write?
//!
//! Every change but `UpdateMaxRecordSize`, which wants an ARN, goes by name where the stream's own calls do.
//! A call that is repeated by the SDK after a lost answer may meet its own effect; that is told as
//! [`InUse`](ControlRefusal::InUse), and the caller looks what is there.

use std::collections::BTreeMap;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    EncryptionType, PutRecordsRequestEntry, ScalingType, ShardIteratorType, StreamMode, StreamModeDetails,
};

use super::super::control::{ControlError, ControlRefusal, NewStream, Permission, StreamParticulars};
use super::super::{CallError, CallErrorClass, failure};
use super::{KinesisStream, SentMark, bad_answer};

/// Pages of tags before we call it a loop; a stream has at most 50 tags.
const TAG_PAGES_MAX: usize = 50;
const DRY_RUN_SUCCEEDED: &str = "DryRunOperationException";

/// Sends a call with a mark of how far it came, and tells its failure in our words.
macro_rules! ask {
    ($stream:ident, $call:expr) => {{
        let sent = SentMark::default();
        let answer = $call.customize().interceptor(sent.clone()).send().await;
        answer.map_err(|error| $stream.control_error(&error, &sent))
    }};
}

/// What the answer to a call says of whoever makes it.
macro_rules! permitted {
    ($stream:ident, $call:expr, $answered:expr) => {{
        let sent = SentMark::default();
        let answer = $call.customize().interceptor(sent.clone()).send().await;
        answer.map_or_else(|error| $stream.permission(&error, &sent), $answered)
    }};
}

impl KinesisStream {
    /// Asks for the stream to be made, provisioned.
    pub async fn create(&self, new: &NewStream) -> Result<(), ControlError> {
        let mode = StreamModeDetails::builder().stream_mode(StreamMode::Provisioned).build();
        let mode = mode.map_err(|_| other(bad_answer("the SDK refuses our stream mode")))?;
        let call = self
            .clients()
            .describe
            .create_stream()
            .stream_name(self.config.stream.name())
            .shard_count(count(new.shards))
            .stream_mode_details(mode)
            .set_max_record_size_in_kib(new.record_kib.map(count))
            .set_tags(Some(new.tags.clone().into_iter().collect()));
        ask!(self, call).map(drop)
    }

    /// Everything about the stream.
    pub async fn particulars(&self) -> Result<StreamParticulars, ControlError> {
        let call = self
            .clients()
            .describe
            .describe_stream_summary()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call());
        let answer = ask!(self, call)?;
        let summary = answer
            .stream_description_summary
            .ok_or_else(|| other(bad_answer("DescribeStreamSummary was answered without a description")))?;
        let encrypted = summary.encryption_type() == Some(&EncryptionType::Kms);
        let number = |count: Option<i32>| count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        Ok(StreamParticulars {
            description: self.description(&summary),
            encryption_key: summary.key_id().filter(|_| encrypted).map(str::to_owned),
            consumers: number(summary.consumer_count()),
            tags: self.tags().await?,
        })
    }

    async fn tags(&self) -> Result<BTreeMap<String, String>, ControlError> {
        let mut tags = BTreeMap::new();
        let mut after: Option<String> = None;
        for _ in 0..TAG_PAGES_MAX {
            let call = self
                .clients()
                .describe
                .list_tags_for_stream()
                .set_stream_name(self.name_for_call())
                .set_stream_arn(self.arn_for_call())
                .set_exclusive_start_tag_key(after.take());
            let answer = ask!(self, call)?;
            for tag in answer.tags() {
                tags.insert(tag.key().to_owned(), tag.value().unwrap_or_default().to_owned());
            }
            if !answer.has_more_tags() {
                return Ok(tags);
            }
            after = answer.tags().last().map(|tag| tag.key().to_owned());
        }
        Err(other(bad_answer("ListTagsForStream does not come to an end")))
    }

    /// Adds labels.
    pub async fn add_tags(&self, tags: &BTreeMap<String, String>) -> Result<(), ControlError> {
        let call = self
            .clients()
            .describe
            .add_tags_to_stream()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call())
            .set_tags(Some(tags.clone().into_iter().collect()));
        ask!(self, call).map(drop)
    }

    /// Asks for records to be kept longer than now.
    pub async fn raise_retention(&self, hours: u32) -> Result<(), ControlError> {
        let call = self
            .clients()
            .describe
            .increase_stream_retention_period()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call())
            .retention_period_hours(count(hours));
        ask!(self, call).map(drop)
    }

    /// Asks for records of up to so many KiB to be taken. The call takes an ARN only.
    pub async fn set_record_kib(&self, arn: &str, kib: u32) -> Result<(), ControlError> {
        let call = self
            .clients()
            .describe
            .update_max_record_size()
            .stream_arn(arn)
            .max_record_size_in_kib(count(kib));
        ask!(self, call).map(drop)
    }

    /// Asks for records to be encrypted with a key of KMS.
    pub async fn encrypt(&self, key: &str) -> Result<(), ControlError> {
        let call = self
            .clients()
            .describe
            .start_stream_encryption()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call())
            .encryption_type(EncryptionType::Kms)
            .key_id(key);
        ask!(self, call).map(drop)
    }

    /// Asks for another number of shards.
    pub async fn scale(&self, shards: u32) -> Result<(), ControlError> {
        let call = self
            .clients()
            .describe
            .update_shard_count()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call())
            .target_shard_count(count(shards))
            .scaling_type(ScalingType::UniformScaling);
        ask!(self, call).map(drop)
    }

    /// Asks for the stream to be deleted with everything in it.
    pub async fn delete(&self, with_consumers: bool) -> Result<(), ControlError> {
        let call = self
            .clients()
            .describe
            .delete_stream()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call())
            .enforce_consumer_deletion(with_consumers);
        ask!(self, call).map(drop)
    }

    /// Whether PutRecords would be let through. Only for services that know `DryRun`: any other would write.
    pub async fn may_put(&self) -> Permission {
        let entry = PutRecordsRequestEntry::builder().data(Blob::new("{}")).partition_key("respool").build();
        let Ok(entry) = entry else {
            return Permission::Unknown { message: "the SDK refuses our entry".to_owned() };
        };
        let call = self
            .clients()
            .describe
            .put_records()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call())
            .records(entry)
            .dry_run(true);
        permitted!(self, call, |_| Permission::Unknown {
            message: "PutRecords with DryRun was carried out".to_owned()
        })
    }

    /// Whether the shards may be listed.
    pub async fn may_list_shards(&self) -> Permission {
        let call = self
            .clients()
            .describe
            .list_shards()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call())
            .max_results(1);
        permitted!(self, call, |_| Permission::Granted)
    }

    /// Whether the stream may be described.
    pub async fn may_describe(&self) -> Permission {
        let call = self
            .clients()
            .describe
            .describe_stream_summary()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call());
        permitted!(self, call, |_| Permission::Granted)
    }

    /// Whether the service knows `DryRun`, found out by a call that writes nothing in any case.
    pub async fn knows_dry_run(&self) -> bool {
        let call = self
            .clients()
            .describe
            .get_shard_iterator()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call())
            .shard_id("shardId-000000000000")
            .shard_iterator_type(ShardIteratorType::TrimHorizon)
            .dry_run(true);
        let answer = call.send().await;
        answer.err().is_some_and(|error| error.code() == Some(DRY_RUN_SUCCEEDED))
    }

    fn permission<E>(&self, error: &SdkError<E, HttpResponse>, sent: &SentMark) -> Permission
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let message = self.call_error(error, sent).message;
        match error.code() {
            Some(DRY_RUN_SUCCEEDED) => Permission::Granted,
            code if is_forbidden(code) => Permission::Missing { message },
            Some(code) if code.starts_with("KMS") => Permission::KeyRefused { message },
            _ => Permission::Unknown { message },
        }
    }

    fn control_error<E>(&self, error: &SdkError<E, HttpResponse>, sent: &SentMark) -> ControlError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let kind = match error.code() {
            Some("ResourceInUseException") => ControlRefusal::InUse,
            Some("LimitExceededException") => ControlRefusal::Limit,
            code if is_forbidden(code) => ControlRefusal::Forbidden,
            _ => ControlRefusal::Other,
        };
        ControlError { kind, error: self.call_error(error, sent) }
    }
}

impl ControlError {
    /// Whether the stream is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.error.class == CallErrorClass::NotFound
    }
}

/// Whether a service's code says that a call is not permitted.
pub(crate) fn is_forbidden(code: Option<&str>) -> bool {
    code.is_some_and(failure::is_forbidden)
}

fn other(error: CallError) -> ControlError {
    ControlError { kind: ControlRefusal::Other, error }
}

/// The API's signed numbers.
fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
