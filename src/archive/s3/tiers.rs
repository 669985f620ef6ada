//! What S3 has put away: whether an object is, and asking for it back.

use aws_sdk_s3::types::{ArchiveStatus, GlacierJobParameters, RestoreRequest, StorageClass, Tier};

use super::answers::fault_of;
use super::{Bucket, S3Archive};
use crate::archive::fault::ServiceFault;
use crate::archive::tier::{Access, RestoreTier, access};
use crate::archive::{ArchiveCall, ArchiveError, ObjectEntry};

/// How long a restored copy stays: a run may take days.
const RESTORED_DAYS: i32 = 7;

impl S3Archive {
    pub(super) async fn access_of(&self, object: &ObjectEntry) -> Result<Access, ArchiveError> {
        let head =
            self.head(&object.key).await.map_err(|fault| fault.of_object(&self.name_of(&object.key)))?;
        let class = head.storage_class().map(StorageClass::as_str);
        Ok(access(class, head.archive_status().map(ArchiveStatus::as_str), head.restore()))
    }

    pub(super) async fn ask_back(&self, object: &ObjectEntry, tier: RestoreTier) -> Result<(), ArchiveError> {
        match self.bucket.restore(object, tier).await {
            // Somebody has asked before.
            Err(fault) if fault.code.as_deref() == Some("RestoreAlreadyInProgress") => Ok(()),
            asked => {
                asked.map_err(|fault| fault.of_archive(&self.name_of(&object.key), ArchiveCall::Restore))
            }
        }
    }
}

impl Bucket {
    /// Intelligent-Tiering takes no days: it brings an object back for good.
    async fn restore(&self, object: &ObjectEntry, tier: RestoreTier) -> Result<(), ServiceFault> {
        let tier = match tier {
            RestoreTier::Standard => Tier::Standard,
            RestoreTier::Bulk => Tier::Bulk,
            RestoreTier::Expedited => Tier::Expedited,
        };
        let parameters = GlacierJobParameters::builder().tier(tier).build();
        let parameters = parameters.map_err(|error| ServiceFault::connection(error.to_string()))?;
        let for_good = object.storage_class.as_deref() == Some("INTELLIGENT_TIERING");
        let request = RestoreRequest::builder()
            .set_days((!for_good).then_some(RESTORED_DAYS))
            .glacier_job_parameters(parameters)
            .build();
        let call = self
            .clients
            .now()
            .list
            .restore_object()
            .bucket(&*self.name)
            .key(&*object.key)
            .restore_request(request);
        let call = call.set_request_payer(self.payer.clone()).set_expected_bucket_owner(self.owner.clone());
        self.clients.after(call.send().await.map(drop).map_err(|error| fault_of(&error))).await
    }
}
