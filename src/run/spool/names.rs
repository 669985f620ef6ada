//! Under which names an object's segment may lie in the cache.
//!
//! Whether damaged objects are salvaged changes nothing about whole ones: they have one name with and without. Only what
//! was really salvaged has a name of its own, and nobody who has not asked for it looks there.

use crate::archive::ObjectEntry;
use crate::archive::manifest::Manifest;
use crate::cache::{Cache, CacheError, Segment, SegmentId, SegmentIdentity};
use crate::decode::{DECODER_VERSION, DecodeConfig};

/// What all names of one run have in common.
pub(super) struct Names {
    archive: String,
    whole: String,
    salvaged: Option<String>,
}

/// The names of one object's segment: hashes of all that its records depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    pub(super) whole: SegmentId,
    /// If the object turns out to be damaged, and salvaging was asked for.
    pub(super) salvaged: Option<SegmentId>,
}

impl Name {
    /// The object's segment, if the cache has it: whole, or else as it was salvaged. Blocks on the disk.
    pub(super) fn look_up(&self, cache: &Cache) -> Result<Option<Segment>, CacheError> {
        match (cache.lookup(&self.whole)?, self.salvaged) {
            (None, Some(salvaged)) => cache.lookup(&salvaged),
            (found, _) => Ok(found),
        }
    }
}

impl Names {
    pub(super) fn new(manifest: &Manifest, decode: &DecodeConfig) -> Self {
        // Plain data: there is nothing in it that JSON could not hold.
        let json = |config: DecodeConfig| serde_json::to_string(&config).unwrap_or_default();
        Self {
            archive: serde_json::to_string(&manifest.archive.of_keys()).unwrap_or_default(),
            whole: json(DecodeConfig { salvage: false, ..*decode }),
            salvaged: decode.salvage.then(|| json(*decode)),
        }
    }

    pub(super) fn of(&self, entry: &ObjectEntry) -> Name {
        let id = |decoding: &String| {
            let version = entry.version.as_deref();
            let (archive, decoding) = (self.archive.as_str(), decoding.as_str());
            let (key, etag, size) = (&*entry.key, &*entry.etag.to_string(), entry.size);
            let decoder_version = DECODER_VERSION;
            SegmentIdentity { archive, key, version, etag, size, decoding, decoder_version }.id()
        };
        Name { whole: id(&self.whole), salvaged: self.salvaged.as_ref().map(id) }
    }

    /// Of all objects.
    pub(super) fn all<'a>(&'a self, manifest: &'a Manifest) -> impl Iterator<Item = SegmentId> + 'a {
        let names = manifest.objects.iter().map(|entry| self.of(entry));
        names.flat_map(|name| std::iter::once(name.whole).chain(name.salvaged))
    }
}
