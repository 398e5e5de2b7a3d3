//! AWS Signature Version 4.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningParams, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Uri, header};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use super::aws::Keys;
use super::cache::Cached;
use super::{SignError, Signer};
use crate::clock::{Clock, UnixMs};
use crate::upstream::{Call, CallBody};

/// Headers that a signature sets. A client's own would contradict it.
const OURS: [&str; 4] = ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];
/// A body is hashed in parts of this size; between them other tasks get their turn.
const PART: usize = 1024 * 1024;

/// Signs calls with AWS credentials.
#[derive(Debug)]
pub(super) struct SigV4 {
    keys: Cached<Keys>,
    region: String,
    service: String,
    clock: Clock,
}

impl SigV4 {
    pub(super) fn new(keys: Cached<Keys>, region: String, service: String, clock: Clock) -> Self {
        Self { keys, region, service, clock }
    }

    async fn apply(&self, call: &mut Call) -> Result<(), SignError> {
        let hash = hash(pieces(&call.body)?).await;
        let keys = self.keys.get().await?;
        for name in OURS {
            call.headers.remove(name);
        }
        let scope = Scope { region: &self.region, service: &self.service, now: self.clock.unix_ms() };
        for (name, value) in signature(call, hash, &keys.value, &scope)? {
            call.headers.insert(name, value);
        }
        Ok(())
    }
}

impl Signer for SigV4 {
    fn sign<'a>(&'a self, call: &'a mut Call) -> BoxFuture<'a, Result<(), SignError>> {
        self.apply(call).boxed()
    }
}

/// What a signature is good for.
pub(super) struct Scope<'s> {
    pub(super) region: &'s str,
    pub(super) service: &'s str,
    pub(super) now: UnixMs,
}

/// The headers that a signature adds. The signing settings' defaults are what every service but S3
/// wants: the path is encoded once more in the canonical request (`%3A` becomes `%253A`), and the
/// body's hash is no header.
pub(super) fn signature(
    call: &Call,
    hash: String,
    keys: &Keys,
    scope: &Scope<'_>,
) -> Result<Vec<(HeaderName, HeaderValue)>, SignError> {
    let host = host(&call.uri).ok_or_else(|| SignError::new(format!("the URL '{}' names no host", call.uri.path())))?;
    let (uri, body) = (call.uri.to_string(), SignableBody::Precomputed(hash));
    let headers = signed(call, &host)?.into_iter();
    let request = SignableRequest::new(call.method.as_str(), uri.as_str(), headers, body).map_err(unsignable)?;
    let token = keys.token.as_ref().map(|token| token.expose_secret().to_owned());
    let identity =
        Credentials::new(keys.access.expose_secret(), keys.secret.expose_secret(), token, None, "weir").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(UNIX_EPOCH + Duration::from_millis(u64::try_from(scope.now).unwrap_or(0)))
        .settings(SigningSettings::default());
    let params = SigningParams::from(params.build().map_err(unsignable)?);
    let (instructions, _) = sign(request, &params).map_err(unsignable)?.into_parts();
    let (headers, _) = instructions.into_parts();
    headers.into_iter().map(|h| Ok((HeaderName::from_static(h.name()), sensitive(h.value())?))).collect()
}

/// What of a call's headers is signed: `host`, `content-type` and every `x-amz-` header. AWS asks for no
/// more, and a proxy on the way may change the others.
fn signed<'c>(call: &'c Call, host: &'c str) -> Result<Vec<(&'c str, &'c str)>, SignError> {
    let mut headers = vec![("host", host)];
    for (name, value) in &call.headers {
        if *name == header::CONTENT_TYPE || name.as_str().starts_with("x-amz-") {
            let told = |_| SignError::new(format!("the header {name} is not ASCII, so it cannot be signed for AWS"));
            headers.push((name.as_str(), value.to_str().map_err(told)?));
        }
    }
    Ok(headers)
}

fn unsignable(error: impl std::error::Error) -> SignError {
    let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
    SignError::new(format!("the call cannot be signed for AWS: {error}{cause}"))
}

fn sensitive(value: &str) -> Result<HeaderValue, SignError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| SignError::new("the AWS credentials have characters that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The `host` header as the HTTP client writes it: without the scheme's own port.
fn host(uri: &Uri) -> Option<String> {
    let host = uri.host().filter(|host| !host.is_empty())?;
    let default = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    Some(uri.port_u16().filter(|port| *port != default).map_or(host.to_owned(), |port| format!("{host}:{port}")))
}

/// The pieces of a body that is in memory.
fn pieces(body: &CallBody) -> Result<Vec<Bytes>, SignError> {
    match body {
        CallBody::Pieces(pieces) => Ok(pieces.iter().cloned().collect()),
        CallBody::Stream { .. } => Err(SignError::new(
            "a body that is passed on while it comes in cannot be signed for AWS: its hash is part of the signature",
        )),
    }
}

/// SHA-256 of the pieces in order, in hexadecimal.
async fn hash(pieces: Vec<Bytes>) -> String {
    let mut hasher = Sha256::new();
    for part in pieces.iter().flat_map(|piece| piece.chunks(PART)) {
        hasher.update(part);
        if part.len() == PART {
            tokio::task::yield_now().await;
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
