//! An archive in S3, or in anything that speaks its protocol. Only this file and those below it know the SDK.
//!
//! It gives pages to a [`listing`](super::listing), which asks for several prefixes at once, and fetches as
//! [`download`](super::download) decides. Listing is retried by the SDK. A GET is not: its retries are ours,
//! because only we know which bytes have arrived. A GET of a whole object asks for its checksum; a GET
//! of a range does not, since servers answer it with the checksum of the whole.
//!
//! Keys come plain at first. A page that cannot be read (XML has no place for control characters) is
//! asked for again with `encoding-type=url`, and decoded if the answer says that it is encoded: some servers
//! ignore the wish.

mod answers;
mod beginning;
mod clients;
mod connect;
mod tiers;
mod versions;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::{ListObjectsV2Error, ListObjectsV2Output};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{EncodingType, Object, RequestPayer};
use bytes::Bytes;

use answers::{entry_of_head, fault_of, read_page};
use clients::ClientAccess;
use connect::chain;

use super::download::{Body, CREDENTIAL_ATTEMPTS_MAX, Part, Source, Spool, backoff, content_range, download};
use super::fault::{ServiceFault, Verdict};
use super::listing::{Lister, Page, Pages};
use super::setbacks::Setbacks;
use super::tier::{Access, RestoreTier};
use super::walk::{Depth, Walk};
use super::{
    Archive, ArchiveCall, ArchiveError, ArchiveLocation, BoxFuture, DefectReason, Listing, ListingLog,
    ObjectBody, ObjectEntry, Selection,
};
use crate::limits::LIST_OBJECTS_PAGE_MAX;
use crate::record::{ByteCount, number};
use crate::shown::shown;

/// How often a page of a listing is tried anew, once the bucket has answered: an hour.
const LIST_OUTAGE_ATTEMPTS_MAX: u32 = 360;

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
    /// The endpoint, where neither AWS' nor what the environment or the profile names is meant.
    pub endpoint_url: Option<String>,
    /// `http://host/bucket/key` instead of `http://bucket.host/key`. By default with an endpoint of one's own.
    pub path_style: Option<bool>,
    /// Without credentials: for public buckets.
    pub anonymous: bool,
    /// The requester pays.
    pub request_payer: bool,
    /// The account that the bucket must belong to.
    pub bucket_owner: Option<String>,
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
            request_payer: false,
            bucket_owner: None,
            memory_bytes_max: ByteCount(128 * 1024 * 1024),
            spill_dir: spill_dir.into(),
        }
    }
}

/// A bucket, or what lies below a prefix of it.
pub struct S3Archive {
    bucket: Bucket,
    location: ArchiveLocation,
    spool: Spool,
    object_requests: AtomicU64,
}

impl fmt::Debug for S3Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Archive").field("location", &self.location).finish_non_exhaustive()
    }
}

/// What a task needs to ask it anything.
#[derive(Clone)]
struct Bucket {
    clients: Arc<ClientAccess>,
    name: Arc<str>,
    prefix: Arc<str>,
    payer: Option<RequestPayer>,
    owner: Option<String>,
    /// Whether a page of a listing has come.
    answered: Arc<AtomicBool>,
    /// Whatever asked.
    setbacks: Arc<Mutex<Setbacks>>,
    connected: Instant,
}

impl S3Archive {
    /// Prepares to speak to S3, finds credentials, and asks where the bucket lies.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`] without a region or without credentials.
    pub async fn connect(mut config: S3Config) -> Result<Self, ArchiveError> {
        let archive = Self::in_region(config.clone()).await?;
        match archive.other_region().await {
            Some(region) => {
                tracing::info!("{} lies in {region}", archive.location);
                config.region = Some(region);
                Self::in_region(config).await
            }
            None => Ok(archive),
        }
    }

    /// Where the bucket lies, if the service says that it is not where it was looked for. Whatever else it says comes
    /// up again, with more to tell, when the bucket is listed.
    async fn other_region(&self) -> Option<String> {
        let head = self.bucket.clients.now().whole.head_bucket().bucket(&*self.bucket.name);
        let fault = fault_of(&head.set_expected_bucket_owner(self.bucket.owner.clone()).send().await.err()?);
        fault.region.filter(|_| matches!(fault.status, Some(301 | 307 | 308 | 400)))
    }

    async fn in_region(config: S3Config) -> Result<Self, ArchiveError> {
        let (clients, endpoint) = ClientAccess::load(config.clone()).await?;
        let S3Config { bucket, prefix, .. } = config;
        Ok(Self {
            bucket: Bucket {
                clients: Arc::new(clients),
                name: bucket.as_str().into(),
                prefix: prefix.as_str().into(),
                payer: config.request_payer.then_some(RequestPayer::Requester),
                owner: config.bucket_owner,
                answered: Arc::default(),
                setbacks: Arc::default(),
                connected: Instant::now(),
            },
            spool: Spool::new(config.memory_bytes_max.0, config.spill_dir),
            location: ArchiveLocation::S3 { endpoint, bucket, prefix },
            object_requests: AtomicU64::new(0),
        })
    }

    /// How a message names the bucket.
    fn name_and_place(&self) -> String {
        let name = &self.bucket.name;
        match &self.location {
            ArchiveLocation::S3 { endpoint: Some(endpoint), .. } => format!("s3://{name} at {endpoint}"),
            _ => format!("s3://{name}"),
        }
    }

    /// How a message names an object.
    fn name_of(&self, key: &str) -> String {
        format!("s3://{}/{}", self.bucket.name, shown(key))
    }

    async fn head(&self, key: &str) -> Result<HeadObjectOutput, ServiceFault> {
        self.bucket.in_the_end(|| self.ask_for_head(key)).await
    }

    async fn ask_for_head(&self, key: &str) -> Result<HeadObjectOutput, ServiceFault> {
        self.object_requests.fetch_add(1, Ordering::Relaxed);
        let head = self.bucket.clients.now().list.head_object().bucket(&*self.bucket.name).key(key);
        let head = head.set_request_payer(self.bucket.payer.clone());
        let head = head.set_expected_bucket_owner(self.bucket.owner.clone());
        let head = head.send().await.map_err(|error| fault_of(&error));
        self.bucket.clients.after(head).await
    }

    async fn list_selection(
        &self,
        selection: &Selection,
        log: Option<Arc<ListingLog>>,
    ) -> Result<Listing, ArchiveError> {
        let lister = Lister {
            pages: Arc::new(self.bucket.clone()),
            prefix: self.bucket.prefix.clone(),
            selection: Arc::new(selection.clone()),
            log,
            what: self.name_and_place().into(),
        };
        lister.list().await
    }
}

impl Bucket {
    /// What `ask` brings; once the bucket has answered at all, trouble with it is waited out, and so are credentials
    /// that have expired.
    async fn in_the_end<T, F>(&self, ask: impl Fn() -> F) -> Result<T, ServiceFault>
    where
        F: Future<Output = Result<T, ServiceFault>>,
    {
        let mut failed = 0;
        loop {
            let fault = match ask().await {
                Ok(answer) => {
                    self.answered.store(true, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(fault) => fault,
            };
            let attempts_max = match fault.verdict() {
                Verdict::Retry => LIST_OUTAGE_ATTEMPTS_MAX,
                Verdict::RetryCredentials => CREDENTIAL_ATTEMPTS_MAX,
                _ => 0,
            };
            if !self.answered.load(Ordering::Relaxed) || failed >= attempts_max {
                return Err(fault);
            }
            failed += 1;
            self.tell_of(&fault);
            tokio::time::sleep(backoff(failed)).await;
        }
    }

    /// It is waited for, by up to as many tasks as there are prefixes.
    fn tell_of(&self, fault: &ServiceFault) {
        // Every change is whole before it could panic.
        let mut setbacks = self.setbacks.lock().unwrap_or_else(PoisonError::into_inner);
        match setbacks.failed(self.connected.elapsed()) {
            None => tracing::debug!(%fault, "s3://{} is waited for", self.name),
            Some(0) => {
                tracing::warn!("s3://{} is waited for: {fault}; more of such answers are counted", self.name);
            }
            Some(more) => {
                tracing::warn!(
                    "s3://{} is waited for: {fault}, and {} like it before",
                    self.name,
                    number(more)
                );
            }
        }
    }

    async fn ask_for_page(&self, step: &Walk, token: Option<String>) -> Result<Page, ServiceFault> {
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
        read_page(self.clients.after(output.map_err(|error| fault_of(&error))).await?)
    }

    async fn request(
        &self,
        step: &Walk,
        token: Option<String>,
        encoded: bool,
    ) -> Result<ListObjectsV2Output, SdkError<ListObjectsV2Error>> {
        let request =
            self.clients.now().list.list_objects_v2().bucket(&*self.name).max_keys(LIST_OBJECTS_PAGE_MAX);
        request
            .set_request_payer(self.payer.clone())
            .set_expected_bucket_owner(self.owner.clone())
            .set_prefix((!step.prefix.is_empty()).then(|| step.prefix.clone()))
            .set_delimiter((step.depth != Depth::Whole).then(|| "/".to_owned()))
            .set_encoding_type(encoded.then_some(EncodingType::Url))
            .set_continuation_token(token)
            .send()
            .await
    }
}

impl Pages for Bucket {
    fn page<'a>(
        &'a self,
        step: &'a Walk,
        token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, ServiceFault>> {
        Box::pin(self.in_the_end(move || self.ask_for_page(step, token.map(str::to_owned))))
    }
}

/// One object, as a source of bodies.
struct ObjectSource<'a> {
    archive: &'a S3Archive,
    object: &'a ObjectEntry,
}

impl Source for ObjectSource<'_> {
    fn open(&self, start: u64, until: Option<u64>) -> BoxFuture<'_, Result<Part, ServiceFault>> {
        Box::pin(async move {
            let range = match until {
                Some(until) => Some(format!("bytes={start}-{}", until.saturating_sub(1))),
                None => (start > 0).then(|| format!("bytes={start}-")),
            };
            let clients = self.archive.bucket.clients.now();
            let client = if range.is_none() { clients.whole } else { clients.range };
            self.archive.object_requests.fetch_add(1, Ordering::Relaxed);
            let output = client
                .get_object()
                .bucket(&*self.archive.bucket.name)
                .key(&*self.object.key)
                .set_request_payer(self.archive.bucket.payer.clone())
                .set_expected_bucket_owner(self.archive.bucket.owner.clone())
                .set_if_match((!self.object.etag.is_empty()).then(|| self.object.etag.to_string()))
                .set_version_id(self.object.version.as_deref().map(str::to_owned))
                .set_range(range)
                .send()
                .await
                .map_err(|error| fault_of(&error));
            self.archive.bucket.clients.after(output).await.map(part_of)
        })
    }
}

fn part_of(output: GetObjectOutput) -> Part {
    let range = output.content_range().and_then(content_range);
    let length = output.content_length().and_then(|length| u64::try_from(length).ok());
    Part {
        etag: output.e_tag,
        start: range.map_or(0, |(start, _)| start),
        ranged: range.is_some(),
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

    fn list<'a>(&'a self, selection: &'a Selection) -> BoxFuture<'a, Result<Listing, ArchiveError>> {
        Box::pin(self.list_selection(selection, None))
    }

    fn list_noted<'a>(
        &'a self,
        selection: &'a Selection,
        log: Arc<ListingLog>,
    ) -> BoxFuture<'a, Result<Listing, ArchiveError>> {
        Box::pin(self.list_selection(selection, Some(log)))
    }

    fn look_up<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<ObjectEntry>, ArchiveError>> {
        Box::pin(async move {
            match self.head(key).await {
                Ok(head) => entry_of_head(key, &head).map(Some),
                Err(fault) if fault.status == Some(404) => Ok(None),
                Err(fault) => Err(fault.of_archive(&self.name_of(key), ArchiveCall::Read)),
            }
        })
    }

    fn access<'a>(&'a self, object: &'a ObjectEntry) -> BoxFuture<'a, Result<Access, ArchiveError>> {
        Box::pin(self.access_of(object))
    }

    fn restore<'a>(
        &'a self,
        object: &'a ObjectEntry,
        tier: RestoreTier,
    ) -> BoxFuture<'a, Result<(), ArchiveError>> {
        Box::pin(self.ask_back(object, tier))
    }

    fn fetch<'a>(&'a self, object: &'a ObjectEntry) -> BoxFuture<'a, Result<ObjectBody, ArchiveError>> {
        Box::pin(async move {
            let what = self.name_of(&object.key);
            let fetched = download(&ObjectSource { archive: self, object }, object, &self.spool, &what).await;
            let gone = matches!(
                fetched,
                Err(ArchiveError::Defect { reason: DefectReason::Changed | DefectReason::Deleted, .. })
            );
            match if gone { self.listed_version(object).await } else { None } {
                Some(object) => {
                    let source = ObjectSource { archive: self, object: &object };
                    download(&source, &object, &self.spool, &what).await
                }
                None => fetched,
            }
        })
    }

    fn fetch_beginning<'a>(
        &'a self,
        object: &'a ObjectEntry,
        bytes: u64,
    ) -> BoxFuture<'a, Result<ObjectBody, ArchiveError>> {
        Box::pin(self.beginning(object, bytes))
    }

    fn object_requests(&self) -> u64 {
        self.object_requests.load(Ordering::Relaxed)
    }
}
