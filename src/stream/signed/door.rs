//! Where a call of the SDK is stopped, for the sake of what it has found out.
//!
//! An interceptor sees each call when it is signed and addressed, with everything that the SDK would now use. This one
//! takes that down and lets nobody through.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use hyper::Uri;

/// Lets no call pass, and remembers the first.
#[derive(Debug, Clone, Default)]
pub(in crate::stream) struct Door(Arc<Mutex<Option<Stopped>>>);

/// What a call had found out when it was stopped.
#[derive(Debug)]
pub(super) struct Stopped {
    /// Where it was going.
    pub(super) uri: Uri,
    /// The region that it was signed for, which need not be the configured one.
    pub(super) region: String,
    /// The service's name in signatures.
    pub(super) service: String,
    /// The client's parts.
    pub(super) components: RuntimeComponents,
}

impl Door {
    /// The call that was stopped, if one came this far.
    pub(super) fn take(&self) -> Option<Stopped> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Intercept for Door {
    fn name(&self) -> &'static str {
        "Door"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let uri: Uri = request.uri().parse()?;
        let authorization = request.headers().get("authorization").ok_or("the SDK did not sign the call")?;
        let (region, service) =
            scope(authorization).ok_or("the SDK signs in a way that is not known here")?;
        let stopped = Stopped {
            uri,
            region: region.to_owned(),
            service: service.to_owned(),
            components: components.clone(),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(stopped);
        Err("stopped at the door".into())
    }
}

/// Region and service in `AWS4-HMAC-SHA256 Credential=KEY/20261122/eu-west-1/kinesis/aws4_request, …`.
fn scope(authorization: &str) -> Option<(&str, &str)> {
    let credential = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?.split_once("Credential=")?.1;
    let credential = credential.split([',', ' ']).next()?;
    // From the end, because a key's name may hold anything.
    let mut parts = credential.rsplit('/');
    let (_, service, region) = (parts.next()?, parts.next()?, parts.next()?);
    Some((region, service))
}

#[cfg(test)]
mod tests {
    use super::scope;

    #[test]
    fn the_scope_is_read_off_the_header() {
        let header = "AWS4-HMAC-SHA256 Credential=A/B/20261122/eu-west-1/kinesis/aws4_request, SignedHeaders=host, Signature=0";
        assert_eq!(scope(header), Some(("eu-west-1", "kinesis")));
        assert_eq!(scope("AWS4-ECDSA-P256-SHA256 Credential=A/20261122/kinesis/aws4_request"), None);
        assert_eq!(scope("Bearer x"), None);
    }
}
