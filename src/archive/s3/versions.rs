//! An object that was overwritten or deleted since it was listed, in a bucket that keeps versions.
//!
//! A listing does not tell versions, and what is fetched is pinned by `ETag`. So when that pin breaks, the versions of
//! the key are looked through for the one that was listed, and it is fetched by its id.

use super::answers::fault_of;
use super::{Bucket, S3Archive};
use crate::archive::ObjectEntry;
use crate::archive::fault::ServiceFault;

/// Pages of versions that are looked through: 1,000 versions each.
const PAGES_MAX: usize = 10;

impl S3Archive {
    /// `object` with the version that was listed, if the bucket still has it. A bucket without versions, or one whose
    /// versions may not be listed, has none.
    pub(super) async fn listed_version(&self, object: &ObjectEntry) -> Option<ObjectEntry> {
        if object.version.is_some() || object.etag.is_empty() {
            return None;
        }
        match self.bucket.version_of(object).await {
            Ok(Some(version)) => {
                tracing::info!(
                    "{} was replaced; the version that was listed is fetched",
                    self.name_of(&object.key)
                );
                Some(ObjectEntry { version: Some(version.into()), ..object.clone() })
            }
            Ok(None) => None,
            Err(fault) => {
                tracing::debug!(%fault, "the versions of an object cannot be listed");
                None
            }
        }
    }
}

impl Bucket {
    async fn version_of(&self, object: &ObjectEntry) -> Result<Option<String>, ServiceFault> {
        let etag = object.etag.to_string();
        let (mut key_marker, mut version_marker) = (None, None);
        for _ in 0..PAGES_MAX {
            let request =
                self.clients.now().list.list_object_versions().bucket(&*self.name).prefix(&*object.key);
            let page = request
                .set_request_payer(self.payer.clone())
                .set_expected_bucket_owner(self.owner.clone())
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
                .await
                .map_err(|error| fault_of(&error));
            let page = self.clients.after(page).await?;
            let listed = page
                .versions()
                .iter()
                .find(|version| version.key() == Some(&object.key) && version.e_tag() == Some(&etag));
            if let Some(id) = listed.and_then(|version| version.version_id()) {
                return Ok(Some(id.to_owned()));
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            (key_marker, version_marker) = (page.next_key_marker, page.next_version_id_marker);
        }
        Ok(None)
    }
}
