//! The embedded stream behind a loopback port: `respool simulate`.
//!
//! HTTP/1.1 around [`super::protocol`]. A request must carry an `Authorization` header, as every
//! SDK's does, but it is not verified. What a stranger may send is bounded: connections, time for the
//! headers and the body, size of the body. CBOR, which some SDKs prefer, is refused with a sentence.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::drip::Drip;
use super::fault::{CallFault, FaultPlan};
use super::limit::BurstRule;
use super::model::{NewStream, Retention, Service, ServiceConfig};
use super::service_error::ServiceError;
use super::world::World;
use super::{SimTime, protocol};

/// A PutRecords call of 10 MiB in base64, with room for keys and JSON.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Twice what one process of ours opens.
const CONNECTIONS_MAX: usize = 4_096;
const HEADER_TIME_MAX: Duration = Duration::from_secs(10);
const BODY_TIME_MAX: Duration = Duration::from_mins(1);
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
const TARGET_PREFIX: &str = "Kinesis_20131202.";
/// What is late is late by less than this.
const FAULT_SECONDS_MAX: f64 = 3.0;
const REGION_DEFAULT: &str = "us-east-1";
/// What a served stream keeps of its records by default: 1 GiB.
const RETAINED_BYTES_DEFAULT: usize = 1024 * 1024 * 1024;

/// How a served world behaves.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Shards of the stream `demo`, which exists from the start.
    pub shards: NonZeroU32,
    /// How shards measure their limits.
    pub burst_rule: BurstRule,
    /// What can be read back.
    pub retention: Retention,
    /// What each call takes beside its own work.
    pub latency: Duration,
    /// How long a stream is `CREATING`, `UPDATING` or `DELETING`.
    pub transition: Duration,
    /// What goes wrong with PutRecords.
    pub faults: FaultPlan,
    /// Whether a request without an `Authorization` header is refused, as AWS does.
    pub require_authorization: bool,
}

impl ServeConfig {
    /// Real limits, no added latency, 1 GiB of records.
    pub const fn with_shards(shards: NonZeroU32) -> Self {
        Self {
            shards,
            burst_rule: BurstRule::SECOND,
            retention: Retention::Bytes(RETAINED_BYTES_DEFAULT),
            latency: Duration::ZERO,
            transition: Duration::ZERO,
            faults: FaultPlan::NONE,
            require_authorization: true,
        }
    }
}

/// Makes the world and opens its port on 127.0.0.1 (0: any free one). The future serves until `shutdown`.
pub async fn simulate(
    config: ServeConfig,
    port: u16,
    shutdown: impl Future<Output = ()> + Send,
) -> std::io::Result<(SocketAddr, impl Future<Output = ()> + Send)> {
    let mut service = Service::new(ServiceConfig {
        started: Timestamp::now(),
        burst_rule: config.burst_rule,
        retention: config.retention,
        transition: Duration::ZERO,
    });
    service
        .create_stream(SimTime::START, "demo", NewStream::with_shards(config.shards.get()))
        .map_err(std::io::Error::other)?;
    service.set_transition(config.transition);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    Ok((address, serve(listener, service, config, shutdown)))
}

/// What all connections share.
struct Shared {
    world: World,
    config: ServeConfig,
    requests: AtomicU64,
    /// PutRecords calls.
    puts: AtomicU64,
}

/// Serves `service` until `shutdown`, then finishes the requests that are being answered.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    config: ServeConfig,
    shutdown: impl Future<Output = ()> + Send,
) {
    let shared = Arc::new(Shared {
        world: World::new(service),
        config,
        requests: AtomicU64::new(0),
        puts: AtomicU64::new(0),
    });
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (stop, stopped) = watch::channel(false);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((socket, slot)) = accepted else { continue };
        let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
        tokio::spawn(async move {
            connection(socket, shared, stopped).await;
            drop(slot);
        });
    }
    drop(listener);
    stop.send_replace(true);
    drop(stopped);
    // Each connection ends after the request in hand, whose body and answer have bounds of their own.
    let _ = timeout(BODY_TIME_MAX, stop.closed()).await;
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((socket, _)) => Some((socket, slot)),
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            sleep(ACCEPT_RETRY).await;
            None
        }
    }
}

async fn connection(socket: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    // Without it a small answer waits for the client's delayed acknowledgement.
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { respond(&shared, request).await.ok_or(HangUp) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = &mut connection => return log_end(ended),
        _ = stopped.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    log_end(connection.await);
}

fn log_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the plan of faults says so")]
struct HangUp;

/// A body at once, or slowly.
type AnswerBody = Either<Full<Bytes>, Drip>;

/// `None` if there is to be no answer.
async fn respond(shared: &Arc<Shared>, request: Request<Incoming>) -> Option<Response<AnswerBody>> {
    let Answer { result: answer, manner } = answer(shared, request).await;
    sleep_if(shared.config.latency).await;
    match manner {
        Manner::HangUp => return None,
        Manner::Late(wait) => sleep(wait).await,
        Manner::Prompt | Manner::Slow => {}
    }
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (
            StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            protocol::error_body(&error),
        ),
    };
    let number = shared.requests.fetch_add(1, Ordering::Relaxed);
    let body = match manner {
        Manner::Slow => Either::Right(Drip::new(Bytes::from(body))),
        _ => Either::Left(Full::new(Bytes::from(body))),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    if let Ok(id) = HeaderValue::try_from(format!("00000000-0000-4000-8000-{number:012x}")) {
        headers.insert("x-amzn-requestid", id);
    }
    Some(response)
}

async fn sleep_if(wait: Duration) {
    if !wait.is_zero() {
        sleep(wait).await;
    }
}

/// What is answered, and how.
struct Answer {
    result: Result<Vec<u8>, ServiceError>,
    manner: Manner,
}

/// How an answer goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Prompt,
    Late(Duration),
    Slow,
    HangUp,
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Answer {
    match understand(shared, request).await {
        Ok(understood) if understood.operation == "PutRecords" && !shared.config.faults.is_empty() => {
            put_faulty(shared, understood)
        }
        Ok(understood) => Answer { result: understood.carry_out(shared, 0), manner: Manner::Prompt },
        Err(error) => Answer { result: Err(error), manner: Manner::Prompt },
    }
}

/// A PutRecords call and what goes wrong with it.
fn put_faulty(shared: &Arc<Shared>, request: Understood) -> Answer {
    let call = shared.puts.fetch_add(1, Ordering::Relaxed);
    let plan = &shared.config.faults;
    let refuse = |code, status| {
        let message = "The plan of faults says so.".to_owned();
        Answer { result: Err(ServiceError { code, message, status }), manner: Manner::Prompt }
    };
    let late = Duration::from_secs_f64(FAULT_SECONDS_MAX * plan.fraction(call));
    let manner = match plan.call(call) {
        Some(CallFault::Throttle) => return refuse("ProvisionedThroughputExceededException", 400),
        Some(CallFault::ServerError) => return refuse("InternalFailure", 500),
        Some(CallFault::Expire) => return refuse("ExpiredTokenException", 400),
        Some(CallFault::Disconnect) => return Answer { result: Ok(Vec::new()), manner: Manner::HangUp },
        Some(CallFault::ApplyLate) => {
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                sleep(late).await;
                // Nobody waits for it any more.
                let _ = request.carry_out(&shared, call);
            });
            return Answer { result: Ok(Vec::new()), manner: Manner::HangUp };
        }
        Some(CallFault::LoseAnswer) => Manner::HangUp,
        Some(CallFault::Stall) => Manner::Late(late),
        Some(CallFault::Drip) => Manner::Slow,
        Some(CallFault::Miscount) | None => Manner::Prompt,
    };
    Answer { result: request.carry_out(shared, call), manner }
}

/// A request of the protocol, whole.
struct Understood {
    operation: String,
    region: String,
    body: Bytes,
}

impl Understood {
    fn carry_out(&self, shared: &Shared, call: u64) -> Result<Vec<u8>, ServiceError> {
        let Self { operation, region, body } = self;
        let faults = (&shared.config.faults, call);
        protocol::handle(&shared.world, protocol::Request { operation, region, body, faults })
    }
}

async fn understand(shared: &Shared, request: Request<Incoming>) -> Result<Understood, ServiceError> {
    let (head, body) = request.into_parts();
    check_head(&head.method, &head.headers)?;
    let authorization = text(&head.headers, AUTHORIZATION.as_str());
    if authorization.is_none() && shared.config.require_authorization {
        return Err(ServiceError::client(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ));
    }
    let operation = text(&head.headers, "x-amz-target").and_then(|target| target.strip_prefix(TARGET_PREFIX));
    let Some(operation) = operation else {
        return Err(ServiceError::client("UnknownOperationException", "No operation of Kinesis_20131202"));
    };
    let body = timeout(BODY_TIME_MAX, read_body(body)).await.map_err(|_| ServiceError {
        code: "RequestTimeoutException",
        message: "The body is late.".into(),
        status: 408,
    })??;
    let region = authorization.and_then(scope_region).unwrap_or(REGION_DEFAULT);
    Ok(Understood { operation: operation.to_owned(), region: region.to_owned(), body })
}

fn check_head(method: &Method, headers: &HeaderMap) -> Result<(), ServiceError> {
    if method != Method::POST {
        let message = "Kinesis takes POST only.".to_owned();
        return Err(ServiceError { code: "MethodNotAllowedException", message, status: 405 });
    }
    let content_type = text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    if content_type.starts_with("application/x-amz-cbor") {
        let message = "respool simulate speaks JSON only; switch CBOR off in the client \
                       (Java SDK: aws.cborEnabled=false, or AWS_CBOR_DISABLE=true)";
        return Err(ServiceError {
            code: "UnsupportedMediaTypeException",
            message: message.to_owned(),
            status: 415,
        });
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The region in `Credential=KEY/20261122/us-east-1/kinesis/aws4_request`.
fn scope_region(authorization: &str) -> Option<&str> {
    let credential = authorization.split_once("Credential=")?.1;
    credential.split([',', ' ']).next()?.split('/').nth(2).filter(|region| !region.is_empty())
}

async fn read_body(mut body: Incoming) -> Result<Bytes, ServiceError> {
    let too_large = || ServiceError {
        code: "RequestEntityTooLargeException",
        message: format!("The body exceeds {BODY_BYTES_MAX} bytes."),
        status: 413,
    };
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > BODY_BYTES_MAX {
        return Err(too_large());
    }
    let mut whole = BytesMut::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| ServiceError::client("SerializationException", error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}
