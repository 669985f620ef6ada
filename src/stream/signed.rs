//! Signed JSON calls to a service of AWS, without the SDK's own path for them.
//!
//! The SDK decides who calls, where and how: its providers give the credentials, and its cache renews them; its
//! rules give endpoint and region; its HTTP client keeps the connections. All that is learned from one call of
//! the SDK that is stopped at the [`Door`], signed and ready, before anything leaves. From then on a call here is
//! a body and its digest, signed and handed to the same connections, and an answer as bytes. What it saves is what lies
//! between: a tree of values on either side, copies, and the machinery around each attempt.
//!
//! Nothing is tried twice. A failure says how far the call came, because that decides whether it may have been
//! carried out. Which operation it is, and what its bodies mean, is not known here.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::identity::{ResolveCachedIdentity, SharedIdentityResolver};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{GetIdentityResolver, RuntimeComponents};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, InvalidHeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Error as HttpError;
use tokio::time::timeout;

use super::failure::{Details, Failure, printable};

mod door;
mod refusal;
mod signature;

pub(super) use self::door::Door;
pub(super) use self::refusal::Skew;
use self::signature::{Signer, ToSign};

/// An answer is a few hundred bytes for each of at most 500 entries.
const ANSWER_BYTES_MAX: usize = 4 << 20;
const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const OWN_NAME: HeaderValue = HeaderValue::from_static(concat!("respool/", env!("CARGO_PKG_VERSION")));

/// How a service wants to be spoken to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    /// `application/x-amz-json-1.1`, or `1.0`.
    pub(super) content_type: &'static str,
    /// What stands before an operation's name in `X-Amz-Target`.
    pub(super) target_prefix: &'static str,
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a connection.
    pub(super) connect: Duration,
    /// For a call, from its credentials to the end of its answer.
    pub(super) call: Duration,
}

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Fault {
    /// How far it came.
    pub(super) failure: Failure<'static>,
    /// What there is to say about it.
    pub(super) details: Details,
}

/// A service, as the SDK would call it.
pub(super) struct SignedClient {
    dialect: Dialect,
    patience: Patience,
    skew: Skew,
    uri: Uri,
    host: String,
    connector: SharedHttpConnector,
    components: RuntimeComponents,
    identities: SharedIdentityResolver,
    signer: Signer,
}

// The parts hold credentials; what holds them says so itself, but nobody should have to rely on that.
impl fmt::Debug for SignedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedClient({} of {})", self.dialect.target_prefix, self.host)
    }
}

impl SignedClient {
    /// Calls what the call that was stopped at `door` would have called. `None` if none came that far.
    pub(super) fn behind(door: &Door, dialect: Dialect, patience: Patience, skew: Skew) -> Option<Self> {
        let stopped = door.take()?;
        let mut settings = HttpConnectorSettings::builder();
        settings.set_connect_timeout(Some(patience.connect));
        let connector =
            stopped.components.http_client()?.http_connector(&settings.build(), &stopped.components);
        let identities = stopped.components.identity_resolver(AuthSchemeId::new("sigv4"))?;
        let host = stopped.uri.authority()?.as_str();
        // A user's name and password before the host are not part of it.
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host).to_owned();
        Some(Self {
            dialect,
            patience,
            skew,
            host,
            connector,
            identities,
            signer: Signer::new(stopped.region, stopped.service),
            uri: stopped.uri,
            components: stopped.components,
        })
    }

    /// The same, signed for `service`, where the door's own address leads to another service.
    pub(super) fn signing_for(self, service: &str) -> Self {
        Self { signer: self.signer.signing_for(service), ..self }
    }

    /// Calls `operation` once. `sha256` is the body's digest in hexadecimal.
    pub(super) async fn call(&self, operation: &str, body: Bytes, sha256: &str) -> Result<Bytes, Fault> {
        let mut sent = false;
        match timeout(self.patience.call, self.attempt(operation, body, sha256, &mut sent)).await {
            Ok(answered) => answered,
            Err(_) if sent => Err(Failure::TimedOut.into()),
            Err(_) => Err(Fault::new(Failure::NotSigned, Details::of_late_credentials())),
        }
    }

    async fn attempt(
        &self,
        operation: &str,
        body: Bytes,
        sha256: &str,
        sent: &mut bool,
    ) -> Result<Bytes, Fault> {
        let cache = self.components.identity_cache();
        let bag = ConfigBag::base();
        let identity = cache.resolve_cached_identity(self.identities.clone(), &self.components, &bag);
        let identity = identity.await.map_err(|error| not_signed(&*error))?;
        let credentials = identity.data::<Credentials>().ok_or_else(|| {
            let none = CredentialsError::unhandled("the SDK's credentials are of an unknown kind");
            not_signed(&none)
        })?;
        let request = self.request(operation, body, sha256, credentials)?;
        *sent = true;
        let response = self.connector.call(request).await.map_err(|error| unconnected(&error))?;
        self.read(response).await
    }

    fn request(
        &self,
        operation: &str,
        body: Bytes,
        sha256: &str,
        credentials: &Credentials,
    ) -> Result<HttpRequest, Fault> {
        let target = [self.dialect.target_prefix, operation].concat();
        let date = self.skew.date();
        let authorization = self.signer.authorization(
            &ToSign {
                path: self.uri.path(),
                host: &self.host,
                content_type: self.dialect.content_type,
                date: &date,
                target: &target,
                token: credentials.session_token(),
                sha256,
            },
            credentials,
        );
        let build = || -> Result<Request<SdkBody>, InvalidHeaderValue> {
            let mut request = Request::new(SdkBody::from(body));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = self.uri.clone();
            let headers = request.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.dialect.content_type));
            headers.insert(USER_AGENT, OWN_NAME);
            headers.insert(AMZ_TARGET, HeaderValue::try_from(target)?);
            headers.insert(AMZ_DATE, HeaderValue::try_from(date)?);
            if let Some(token) = credentials.session_token() {
                headers.insert(AMZ_SECURITY_TOKEN, secret(token)?);
            }
            headers.insert(AUTHORIZATION, secret(&authorization)?);
            Ok(request)
        };
        // A header's error does not repeat its value.
        let not_built =
            |error: &dyn StdError| Fault::new(Failure::NotBuilt, Details::caused_by(error.to_string()));
        HttpRequest::try_from(build().map_err(|error| not_built(&error))?).map_err(|error| not_built(&error))
    }

    async fn read(&self, response: HttpResponse) -> Result<Bytes, Fault> {
        let status = response.status().as_u16();
        let request = response.headers().get("x-amzn-requestid").map(printable);
        let date = response.headers().get("date").map(str::to_owned);
        let kind = response.headers().get("x-amzn-errortype").map(str::to_owned);
        let body = collect(response.into_body(), status).await?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let fault = refusal::refused(status, kind.as_deref(), &body, request);
        self.skew.learn(&fault.failure, date.as_deref());
        Err(fault)
    }
}

/// The whole body; without a copy if it came in one piece.
async fn collect(mut body: SdkBody, status: u16) -> Result<Bytes, Fault> {
    let mut whole = Bytes::new();
    let mut pieces = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| disconnected(&*error))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + pieces.len() + data.len() > ANSWER_BYTES_MAX {
            return Err(Failure::Unreadable { status }.into());
        }
        if whole.is_empty() && pieces.is_empty() {
            whole = data;
        } else {
            pieces.extend_from_slice(&std::mem::take(&mut whole));
            pieces.extend_from_slice(&data);
        }
    }
    Ok(if pieces.is_empty() { whole } else { pieces.freeze() })
}

fn secret(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(text)?;
    value.set_sensitive(true);
    Ok(value)
}

impl Fault {
    fn new(failure: Failure<'static>, details: Details) -> Self {
        Self { failure, details }
    }
}

impl From<Failure<'static>> for Fault {
    fn from(failure: Failure<'static>) -> Self {
        Self::new(failure, Details::default())
    }
}

fn not_signed(error: &(dyn StdError + 'static)) -> Fault {
    Fault::new(Failure::NotSigned, Details::of_credentials(error))
}

fn disconnected(error: &(dyn StdError + 'static)) -> Fault {
    Fault::new(Failure::Disconnected, Details::of(error))
}

fn unconnected(error: &ConnectorError) -> Fault {
    let not_connected = super::failure::causes(error)
        .any(|cause| cause.downcast_ref::<HttpError>().is_some_and(HttpError::is_connect));
    let failure = if not_connected {
        Failure::NotConnected
    } else if error.is_timeout() {
        Failure::TimedOut
    } else {
        Failure::Disconnected
    };
    Fault::new(failure, Details::of(error))
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
