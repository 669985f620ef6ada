//! A right that is missing, named as the statement of IAM that gives it, where a service has said no.

use serde_json::Value;

use super::absent::Seeker;
use crate::archive::{ArchiveCall, ArchiveError, ArchiveLocation};
use crate::error::Error;
use crate::run::permission::{
    DESCRIBE, LIST_ARCHIVE, LIST_SHARDS, READ_ARCHIVE, READ_STREAM, RESTORE_ARCHIVE, WRITE_STREAM, allow,
    allow_on_bucket, in_one_line, objects, resource,
};
use crate::stream::name::StreamName;

/// An archive's no to a whole listing, or to whatever it is asked for.
pub fn by_archive(location: &ArchiveLocation, error: ArchiveError) -> Error {
    match &error {
        ArchiveError::Forbidden { call, .. } => match statement(location, *call) {
            Some(statement) => {
                Error::refused(format!("{error}\n{}:\n{statement:#}", allows(*call, "This statement")))
            }
            None => super::open::archive_error(error),
        },
        _ => super::open::archive_error(error),
    }
}

/// What allows to read the objects at `location`, to be said in one line.
pub fn to_read_at(location: &ArchiveLocation) -> Option<String> {
    match location {
        ArchiveLocation::S3 { bucket, prefix, .. } => Some(to_read(bucket, prefix)),
        ArchiveLocation::Directory { .. } => None,
    }
}

/// The same of a bucket.
pub fn to_read(bucket: &str, prefix: &str) -> String {
    let statement = in_one_line(&allow(&[READ_ARCHIVE], &objects(bucket, prefix, None)));
    format!("{}: {statement}", allows(ArchiveCall::Read, "this statement"))
}

fn statement(location: &ArchiveLocation, call: ArchiveCall) -> Option<Value> {
    let ArchiveLocation::S3 { bucket, prefix, .. } = location else { return None };
    Some(match call {
        ArchiveCall::List => allow_on_bucket(LIST_ARCHIVE, bucket, prefix, None),
        ArchiveCall::Read => allow(&[READ_ARCHIVE], &objects(bucket, prefix, None)),
        ArchiveCall::Restore => allow(&[RESTORE_ARCHIVE], &objects(bucket, prefix, None)),
    })
}

/// A bucket of somebody else says for itself who may what.
fn allows(call: ArchiveCall, what: &str) -> String {
    let key = match call {
        ArchiveCall::Read => "; a key of KMS that they are encrypted with, kms:Decrypt",
        ArchiveCall::List | ArchiveCall::Restore => "",
    };
    format!(
        "{what} in a policy of yours allows it (a bucket of another account has to allow it in its own policy as well{key})"
    )
}

/// A stream's no before anything is sent, and the statement for what is to be done with it.
pub fn by_stream(stream: &StreamName, region: Option<&str>, seeker: &Seeker<'_>, message: &str) -> Error {
    let look = [DESCRIBE, LIST_SHARDS];
    let (actions, next) = match seeker {
        Seeker::Plan => {
            (look.to_vec(), "\nA plan can do without the stream: leave out --into, and say --shards 1,4,16")
        }
        Seeker::Live => (look.to_vec(), "\nOr say how long it keeps records: --live-retention"),
        Seeker::Verify(_) => ([&look[..], &READ_STREAM].concat(), ""),
        Seeker::Replay | Seeker::Resume(_) | Seeker::Retry(_) => (WRITE_STREAM.to_vec(), ""),
    };
    let statement = allow(&actions, &resource(stream, region, None));
    Error::refused(format!(
        "the stream {stream}: {message}\nThis statement in a policy of yours allows it:\n{statement:#}{next}"
    ))
}

/// The same of a write that was allowed when the run began.
pub fn while_sending(arn: Option<&str>, stream: &StreamName, region: Option<&str>, message: &str) -> String {
    let resource = arn.map_or_else(|| resource(stream, region, None), str::to_owned);
    let statement = in_one_line(&allow(&WRITE_STREAM, &resource));
    format!(
        "the service refuses: {message}; put this statement into a policy of yours, {statement} and then resume: nothing that \
         was delivered is sent again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bucket: &str, prefix: &str) -> ArchiveLocation {
        ArchiveLocation::S3 { endpoint: None, bucket: bucket.into(), prefix: prefix.into() }
    }

    #[test]
    fn whoever_may_not_list_is_told_what_allows_it() {
        let no = |call| ArchiveError::Forbidden {
            what: "s3://events".into(),
            message: "AccessDenied".into(),
            call,
        };
        let said = by_archive(&at("events", "live/"), no(ArchiveCall::List)).to_string();
        for words in
            ["s3://events: AccessDenied", "s3:ListBucket", "arn:aws:s3:::events\"", "live/*", "own policy"]
        {
            assert!(said.contains(words), "{words}: {said}");
        }
        let said = by_archive(&at("events", "live/"), no(ArchiveCall::Restore)).to_string();
        assert!(said.contains("s3:RestoreObject") && said.contains("arn:aws:s3:::events/live/*"), "{said}");
        let read = to_read_at(&at("events", "")).unwrap();
        assert!(read.contains("s3:GetObject") && read.contains("kms:Decrypt"), "{read}");
        assert_eq!(to_read_at(&ArchiveLocation::Directory { path: "/a".into() }), None);
    }

    #[test]
    fn whoever_may_not_look_at_a_stream_is_told_what_allows_what_he_wants() {
        let stream: StreamName = "orders".parse().unwrap();
        let said = |seeker: &Seeker<'_>| by_stream(&stream, Some("eu-west-1"), seeker, "no").to_string();
        assert!(said(&Seeker::Replay).contains("kinesis:PutRecords"));
        let plan = said(&Seeker::Plan);
        assert!(!plan.contains("PutRecords") && plan.contains("leave out --into"), "{plan}");
        assert!(said(&Seeker::Live).contains("--live-retention"));
    }
}
