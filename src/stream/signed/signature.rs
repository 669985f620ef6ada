//! Signature version 4 of a JSON call.
//!
//! The signed headers are always the same few, so the canonical request is written down directly. The key
//! that a day's signatures are made with is derived once. Source: Signature Version 4 in the IAM user guide, read
//! 2026-11-22; the SDK's own signer is the oracle of the tests.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::hex;

/// What of a call is signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToSign<'a> {
    /// The path of its address.
    pub(super) path: &'a str,
    /// Host, and port if it is not the usual one.
    pub(super) host: &'a str,
    /// The header of this name, and so below.
    pub(super) content_type: &'a str,
    /// `20261122T010203Z`.
    pub(super) date: &'a str,
    /// Service and operation.
    pub(super) target: &'a str,
    /// The session's token, which goes with temporary credentials.
    pub(super) token: Option<&'a str>,
    /// The body's digest in hexadecimal.
    pub(super) sha256: &'a str,
}

/// Signs for one region and service.
pub(super) struct Signer {
    region: String,
    service: String,
    day: Mutex<Option<DayKey>>,
}

/// What a day's signatures are made with.
#[derive(Clone)]
struct DayKey {
    day: String,
    credentials: Credentials,
    key: [u8; 32],
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, {})", self.region, self.service)
    }
}

impl Signer {
    pub(super) fn new(region: String, service: String) -> Self {
        Self { region, service, day: Mutex::default() }
    }

    /// The same for another service.
    pub(super) fn signing_for(self, service: &str) -> Self {
        Self::new(self.region, service.to_owned())
    }

    /// The header `Authorization`.
    pub(super) fn authorization(&self, call: &ToSign<'_>, credentials: &Credentials) -> String {
        let day = call.date.get(..8).unwrap_or_default();
        let (token, token_name) = match call.token {
            Some(token) => (["x-amz-security-token:", token, "\n"].concat(), "x-amz-security-token;"),
            None => (String::new(), ""),
        };
        let path = canonical_path(call.path);
        let ToSign { host, content_type, date, target, sha256, .. } = call;
        let names = format!("content-type;host;x-amz-date;{token_name}x-amz-target");
        let canonical = format!(
            "POST\n{path}\n\ncontent-type:{content_type}\nhost:{host}\nx-amz-date:{date}\n{token}\
             x-amz-target:{target}\n\n{names}\n{sha256}"
        );
        let digest = hex(&Sha256::digest(canonical));
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
        let signature = calculate_signature(self.key(day, credentials), to_sign.as_bytes());
        let id = credentials.access_key_id();
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }

    fn key(&self, day: &str, credentials: &Credentials) -> [u8; 32] {
        let mut known = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |known: &&DayKey| {
            known.day == day && known.credentials.secret_access_key() == credentials.secret_access_key()
        };
        if let Some(known) = known.as_ref().filter(fits) {
            return known.key;
        }
        let derived =
            generate_signing_key(credentials.secret_access_key(), noon(day), &self.region, &self.service);
        let key = derived.as_ref().first_chunk().copied().unwrap_or_default();
        *known = Some(DayKey { day: day.to_owned(), credentials: credentials.clone(), key });
        key
    }
}

/// A moment of the day `20261122`.
fn noon(day: &str) -> SystemTime {
    let noon = DateTime::strptime("%Y%m%dT%H", format!("{day}T12")).ok();
    let noon = noon.and_then(|noon| noon.to_zoned(TimeZone::UTC).ok());
    noon.map_or(SystemTime::UNIX_EPOCH, |noon| noon.timestamp().into())
}

/// The path with each byte but letters, digits, `-._~/` in per cent, even where it is already.
fn canonical_path(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let mut canonical = String::with_capacity(path.len());
    for byte in path.bytes() {
        if plain(byte) {
            canonical.push(char::from(byte));
        } else {
            canonical.push('%');
            canonical.push_str(&hex(&[byte]).to_ascii_uppercase());
        }
    }
    if canonical.is_empty() { "/".to_owned() } else { canonical }
}

#[cfg(test)]
mod tests {
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4::SigningParams;

    use super::*;

    /// The same by the SDK's signer.
    fn by_sdk(call: &ToSign<'_>, credentials: &Credentials) -> String {
        let identity = credentials.clone().into();
        let time = DateTime::strptime("%Y%m%dT%H%M%SZ", call.date).unwrap().to_zoned(TimeZone::UTC).unwrap();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name("kinesis")
            .time(time.timestamp().into())
            .settings(SigningSettings::default())
            .build()
            .unwrap();
        let headers = [("content-type", call.content_type), ("x-amz-target", call.target)];
        let uri = format!("https://{}{}", call.host, call.path);
        let body = SignableBody::Precomputed(call.sha256.to_owned());
        let request = SignableRequest::new("POST", uri, headers.into_iter(), body).unwrap();
        let (instructions, _) = sign(request, &params.into()).unwrap().into_parts();
        let header = instructions.headers().find(|(name, _)| *name == "authorization").unwrap();
        header.1.to_owned()
    }

    #[test]
    fn the_signature_is_the_one_the_sdk_makes() {
        let signer = Signer::new("eu-west-1".to_owned(), "kinesis".to_owned());
        let sha256 = hex(&Sha256::digest("body"));
        // Twice the same day, then another day, key and session: a key that is kept too long would show.
        for (date, secret, token) in [
            ("20261122T010203Z", "SECRET", None),
            ("20261122T235959Z", "SECRET", None),
            ("20261123T000000Z", "SECRET", None),
            ("20261123T000001Z", "OTHER", None),
            ("20261123T000002Z", "OTHER", Some("TOKEN+/=")),
        ] {
            for (host, path) in [
                ("kinesis.eu-west-1.amazonaws.com", "/"),
                ("127.0.0.1:4567", "/behind/a%20prefix/~x"),
                ("123456789012.data-kinesis.eu-west-1.amazonaws.com", "/a-b_c.d"),
            ] {
                let credentials = Credentials::new("AKID", secret, token.map(str::to_owned), None, "test");
                let call = ToSign {
                    path,
                    host,
                    content_type: "application/x-amz-json-1.1",
                    date,
                    target: "Kinesis_20131202.PutRecords",
                    token,
                    sha256: &sha256,
                };
                let ours = signer.authorization(&call, &credentials);
                assert_eq!(ours, by_sdk(&call, &credentials), "{call:?}");
                assert!(!format!("{signer:?}").contains(secret));
            }
        }
    }
}
