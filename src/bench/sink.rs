//! A server that only answers: it counts a request's entries and says yes to each.
//!
//! It runs on one thread of its own and tells that thread's CPU time, so that what remains of the process' is the
//! client's.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::usage;
use crate::error::Error;

/// What each entry is answered with: as long as the service's own.
const ANSWER: &str = r#"{"SequenceNumber":"49645678901234567890123456789012345678901234567890123456","ShardId":"shardId-000000000000"}"#;

/// The server. It ends when this is dropped.
pub(super) struct Sink {
    /// Where it listens.
    pub(super) address: SocketAddr,
    cpu_nanos: Arc<AtomicU64>,
    _running: oneshot::Sender<()>,
}

impl Sink {
    /// Starts it on a free loopback port.
    pub(super) fn start() -> Result<Self, Error> {
        let cannot = |error| Error::refused("cannot start the server to send to").with_source(error);
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let cpu_nanos = Arc::new(AtomicU64::new(0));
        let (running, ended) = oneshot::channel::<()>();
        let told = cpu_nanos.clone();
        let serve = move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = accept(listener, told) => {}
                    _ = ended => {}
                }
            });
        };
        std::thread::Builder::new().name("sink".into()).spawn(serve).map_err(cannot)?;
        Ok(Self { address, cpu_nanos, _running: running })
    }

    /// The server's CPU time up to its last answer.
    pub(super) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos.load(Ordering::Relaxed))
    }
}

async fn accept(listener: TcpListener, cpu_nanos: Arc<AtomicU64>) {
    while let Ok((connection, _)) = listener.accept().await {
        let told = cpu_nanos.clone();
        let service = service_fn(move |request| answer(request, told.clone()));
        tokio::spawn(async move {
            // A client that goes away is no matter of ours.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    cpu_nanos: Arc<AtomicU64>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    match request.into_body().collect().await {
        Ok(body) => {
            let entries = memmem::find_iter(&body.to_bytes(), b"\"PartitionKey\"").count();
            let mut text = String::with_capacity(entries * (ANSWER.len() + 1) + 64);
            text.push_str(r#"{"FailedRecordCount":0,"Records":["#);
            for entry in 0..entries {
                text.push_str(if entry == 0 { "" } else { "," });
                text.push_str(ANSWER);
            }
            text.push_str("]}");
            *response.body_mut() = Full::new(text.into());
        }
        Err(_) => *response.status_mut() = hyper::StatusCode::BAD_REQUEST,
    }
    let json = HeaderValue::from_static("application/x-amz-json-1.1");
    response.headers_mut().insert(CONTENT_TYPE, json);
    let nanos = u64::try_from(usage::thread_cpu().as_nanos()).unwrap_or(u64::MAX);
    cpu_nanos.store(nanos, Ordering::Relaxed);
    Ok(response)
}
