//! An archive in S3, or in anything that speaks its protocol. The only file that knows the SDK.
//!
//! It lists as [`walk`](super::walk) decides, several prefixes at once, and fetches as
//! [`download`](super::download) decides. Listing is retried by the SDK. A GET is not: its retries are ours,
//! because only we know which bytes have arrived. A GET of a whole object asks for its checksum; a GET
//! of a range does not, since servers answer it with the checksum of the whole.
//!
//! Keys come plain at first. A page that cannot be read (XML has no place for control characters) is
//! asked for again with `encoding-type=url`, and decoded if the answer says that it is encoded: some servers
//! ignore the wish.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    ProvideCredentials as _, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId as _;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::{ListObjectsV2Error, ListObjectsV2Output};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{EncodingType, Object};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::task::JoinSet;

use super::download::{Body, Part, Source, Spool, content_range, download};
use super::fault::ServiceFault;
use super::layout::{decode_key, holds_no_events, key_time};
use super::walk::{Depth, FOREIGN_DIRS_MAX, Walk};
use super::{
    Archive, ArchiveError, ArchiveLocation, BoxFuture, Listing, ObjectBody, ObjectEntry, ObjectWindow,
};
use crate::limits::LIST_OBJECTS_PAGE_MAX;
use crate::record::ByteCount;

/// Prefixes that are listed at the same time.
const LISTINGS_MAX: usize = 16;

/// Attempts of one page of a listing, by the SDK.
const LIST_ATTEMPTS_MAX: u32 = 5;

/// How an archive in S3 is reached.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// The prefix, possibly empty.
    pub prefix: String,
    /// The region, where the profile's or the environment's is not the right one.
    pub region: Option<String>,
    /// The profile of the SDK's configuration files.
    pub profile: Option<String>,
    /// The endpoint, where it is not AWS'. One that only `AWS_ENDPOINT_URL_S3` or a profile's services
    /// section names is used, but does not show in the archive's location: resolve it before.
    pub endpoint_url: Option<String>,
    /// `http://host/bucket/key` instead of `http://bucket.host/key`. By default with an endpoint of one's own.
    pub path_style: Option<bool>,
    /// Without credentials: for public buckets.
    pub anonymous: bool,
    /// What bodies may take of memory together; at least 16 MiB, the largest body held there.
    pub memory_bytes_max: ByteCount,
    /// Where larger bodies are spilled, in files without a name.
    pub spill_dir: PathBuf,
}

impl S3Config {
    /// What most buckets need: everything as the SDK finds it.
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>, spill_dir: impl Into<PathBuf>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: prefix.into(),
            region: None,
            profile: None,
            endpoint_url: None,
            path_style: None,
            anonymous: false,
            memory_bytes_max: ByteCount(128 * 1024 * 1024),
            spill_dir: spill_dir.into(),
        }
    }
}

/// A bucket, or what lies below a prefix of it.
pub struct S3Archive {
    bucket: Bucket,
    /// For GETs of whole objects: no retries.
    whole: Client,
    /// For GETs of ranges: no retries, no checksums.
    range: Client,
    location: ArchiveLocation,
    spool: Spool,
    object_requests: AtomicU64,
}

impl fmt::Debug for S3Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Archive").field("location", &self.location).finish_non_exhaustive()
    }
}

/// What a task needs to list.
#[derive(Clone)]
struct Bucket {
    client: Client,
    name: Arc<str>,
    prefix: Arc<str>,
}

impl S3Archive {
    /// Prepares to speak to S3 and finds credentials; the bucket itself is not asked yet.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`] without a region or without credentials.
    pub async fn connect(config: S3Config) -> Result<Self, ArchiveError> {
        let shared = load(&config).await?;
        let builder = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(config.path_style.unwrap_or(shared.endpoint_url().is_some()))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(5))
                    .read_timeout(Duration::from_secs(20))
                    .operation_attempt_timeout(Duration::from_secs(30))
                    .build(),
            );
        let client = |builder: aws_sdk_s3::config::Builder| Client::from_conf(builder.build());
        let list = builder.clone().retry_config(RetryConfig::standard().with_max_attempts(LIST_ATTEMPTS_MAX));
        let once = builder.retry_config(RetryConfig::disabled());
        let whole = once.clone().response_checksum_validation(ResponseChecksumValidation::WhenSupported);
        let range = once.response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        Ok(Self {
            bucket: Bucket {
                client: client(list),
                name: config.bucket.as_str().into(),
                prefix: config.prefix.as_str().into(),
            },
            whole: client(whole),
            range: client(range),
            spool: Spool::new(config.memory_bytes_max.0, config.spill_dir),
            location: ArchiveLocation::S3 {
                endpoint: shared.endpoint_url().map(str::to_owned),
                bucket: config.bucket,
                prefix: config.prefix,
            },
            object_requests: AtomicU64::new(0),
        })
    }

    async fn list_window(&self, window: &ObjectWindow) -> Result<Listing, ArchiveError> {
        let mut waiting = vec![Walk::root(&self.bucket.prefix)];
        let mut running = JoinSet::new();
        let mut listing = Listing::default();
        loop {
            while running.len() < LISTINGS_MAX
                && let Some(step) = waiting.pop()
            {
                running.spawn(self.bucket.clone().list_step(step, *window));
            }
            let Some(ended) = running.join_next().await else { return Ok(listing) };
            let (found, next) = ended
                .map_err(std::io::Error::other)?
                .map_err(|fault| fault.of_archive(&format!("s3://{}", self.bucket.name)))?;
            listing.objects.extend(found.objects);
            listing.skipped += found.skipped;
            listing.outside += found.outside;
            waiting.extend(next);
        }
    }
}

/// The SDK's configuration for `config`, with a region and with credentials that were found.
async fn load(config: &S3Config) -> Result<aws_config::SdkConfig, ArchiveError> {
    let what = format!("s3://{}", config.bucket);
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(profile) = &config.profile {
        // A profile that was asked for by name goes before keys that happen to stand in the environment.
        let credentials = ProfileFileCredentialsProvider::builder().profile_name(profile).build();
        loader = loader.profile_name(profile).credentials_provider(credentials);
    }
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(url) = &config.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if config.anonymous {
        loader = loader.no_credentials();
    }
    let mut shared = loader.load().await;
    if shared.region().is_none() {
        if shared.endpoint_url().is_none() {
            let message =
                "no region is known: use --s3-region, AWS_REGION or a profile that has one".to_owned();
            return Err(ArchiveError::Refused { what, message });
        }
        // Servers other than AWS' want some region in the signature; this is the one they expect.
        shared = shared.into_builder().region(Region::from_static("us-east-1")).build();
    }
    if let Some(provider) = shared.credentials_provider()
        && let Err(error) = provider.provide_credentials().await
    {
        // The SDK's words for "none found" list where it looked, which helps nobody; others tell what failed.
        let message = match (&error, &config.profile) {
            (CredentialsError::CredentialsNotLoaded(_), None) => "no AWS credentials found: name a profile with \
                --s3-profile, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or read a public bucket with --anonymous"
                .to_owned(),
            _ => format!("no AWS credentials found: {}", chain(&error)),
        };
        return Err(ArchiveError::Refused { what, message });
    }
    Ok(shared)
}

/// An error and its causes, in their own words, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Bucket {
    /// Carries out one step of a walk: what it found, and the steps it leads to.
    async fn list_step(self, step: Walk, window: ObjectWindow) -> Result<(Listing, Vec<Walk>), ServiceFault> {
        let mut found = Listing::default();
        let mut dirs = Vec::new();
        let mut token = None;
        loop {
            let page = self.page(&step, token.take()).await?;
            for object in page.objects {
                self.sort_in(object, &window, &mut found);
            }
            dirs.extend(page.dirs);
            // Far more than can be looked into, whatever they are.
            let flood = dirs.len() > 10 * FOREIGN_DIRS_MAX;
            token = page.next.filter(|_| !flood);
            if token.is_none() {
                break;
            }
        }
        dirs.sort_unstable();
        dirs.dedup();
        match step.next(&dirs, &window) {
            Some(next) => Ok((found, next)),
            None => Ok((Listing::default(), vec![Walk { depth: Depth::Whole, ..step }])),
        }
    }

    fn sort_in(&self, object: ObjectEntry, window: &ObjectWindow, found: &mut Listing) {
        let below = object.key.strip_prefix(&*self.prefix).unwrap_or(&object.key);
        if holds_no_events(below, object.size.0) {
            found.skipped += 1;
        } else if window.selects(key_time(&object.key), object.modified) {
            found.objects.push(object);
        } else {
            found.outside += 1;
        }
    }

    async fn page(&self, step: &Walk, token: Option<String>) -> Result<Page, ServiceFault> {
        let plain = self.request(step, token.clone(), false).await;
        let unreadable = match &plain {
            Ok(output) => {
                output.contents().iter().filter_map(Object::key).any(|key| key.contains('\u{fffd}'))
            }
            Err(SdkError::ResponseError(_)) => true,
            Err(SdkError::ServiceError(error)) => error.raw().status().is_success(),
            Err(_) => false,
        };
        let output = if unreadable { self.request(step, token, true).await } else { plain };
        read_page(output.map_err(|error| fault_of(&error))?)
    }

    async fn request(
        &self,
        step: &Walk,
        token: Option<String>,
        encoded: bool,
    ) -> Result<ListObjectsV2Output, SdkError<ListObjectsV2Error>> {
        let request = self.client.list_objects_v2().bucket(&*self.name).max_keys(LIST_OBJECTS_PAGE_MAX);
        request
            .set_prefix((!step.prefix.is_empty()).then(|| step.prefix.clone()))
            .set_delimiter((step.depth != Depth::Whole).then(|| "/".to_owned()))
            .set_encoding_type(encoded.then_some(EncodingType::Url))
            .set_continuation_token(token)
            .send()
            .await
    }
}

/// One page of a listing.
struct Page {
    objects: Vec<ObjectEntry>,
    dirs: Vec<String>,
    next: Option<String>,
}

fn read_page(output: ListObjectsV2Output) -> Result<Page, ServiceFault> {
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
    let time = key_time(&key).map(|named| named.start);
    Ok(ObjectEntry {
        key,
        size: ByteCount(size),
        etag: object.e_tag.unwrap_or_default(),
        version: None,
        modified,
        time,
    })
}

/// What is worth keeping of an SDK's error.
fn fault_of<E: ProvideErrorMetadata>(error: &SdkError<E>) -> ServiceFault {
    let text = |text: Option<&str>| text.map(str::to_owned);
    let response = error.raw_response();
    let mut fault = ServiceFault {
        status: response.map(|response| response.status().as_u16()),
        code: text(error.code()),
        message: text(error.message()).unwrap_or_default(),
        request_id: text(error.request_id()),
        region: text(response.and_then(|response| response.headers().get("x-amz-bucket-region"))),
        ours: false,
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

/// One object, as a source of bodies.
struct ObjectSource<'a> {
    archive: &'a S3Archive,
    object: &'a ObjectEntry,
}

impl Source for ObjectSource<'_> {
    fn open(&self, start: u64) -> BoxFuture<'_, Result<Part, ServiceFault>> {
        Box::pin(async move {
            let client = if start == 0 { &self.archive.whole } else { &self.archive.range };
            self.archive.object_requests.fetch_add(1, Ordering::Relaxed);
            let output = client
                .get_object()
                .bucket(&*self.archive.bucket.name)
                .key(&self.object.key)
                .set_if_match((!self.object.etag.is_empty()).then(|| self.object.etag.clone()))
                .set_version_id(self.object.version.clone())
                .set_range((start > 0).then(|| format!("bytes={start}-")))
                .send()
                .await
                .map_err(|error| fault_of(&error))?;
            Ok(part_of(output))
        })
    }
}

fn part_of(output: GetObjectOutput) -> Part {
    let range = output.content_range().and_then(content_range);
    let length = output.content_length().and_then(|length| u64::try_from(length).ok());
    Part {
        etag: output.e_tag,
        start: range.map_or(0, |(start, _)| start),
        total: range.map_or(length, |(_, total)| total),
        content_encoding: output.content_encoding,
        body: Box::new(output.body),
    }
}

impl Body for ByteStream {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, ServiceFault>>> {
        Box::pin(async move {
            let piece = ByteStream::next(self).await?;
            Some(piece.map_err(|error| ServiceFault::connection(chain(&error))))
        })
    }
}

impl Archive for S3Archive {
    fn location(&self) -> &ArchiveLocation {
        &self.location
    }

    fn list<'a>(&'a self, window: &'a ObjectWindow) -> BoxFuture<'a, Result<Listing, ArchiveError>> {
        Box::pin(self.list_window(window))
    }

    fn fetch<'a>(&'a self, object: &'a ObjectEntry) -> BoxFuture<'a, Result<ObjectBody, ArchiveError>> {
        Box::pin(async move {
            let what = format!("s3://{}/{}", self.bucket.name, object.key.escape_debug());
            download(&ObjectSource { archive: self, object }, object, &self.spool, &what).await
        })
    }

    fn object_requests(&self) -> u64 {
        self.object_requests.load(Ordering::Relaxed)
    }
}
