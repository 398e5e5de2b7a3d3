//! OAuth 2.0 token requests (RFC 6749, 5.1 and 5.2), which all sources of tokens answer alike.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::super::SignError;
use super::super::cache::Fetched;
use super::super::fetch::{Answer, is_safe, told};
use super::Parts;
use crate::clock::UnixMs;

/// Google's token endpoint, when a credential file names none.
pub(super) const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// It is across the internet.
const WITHIN: Duration = Duration::from_secs(10);
/// Longest life of a token that is believed.
const MAX_SECONDS: i64 = 24 * 3600;

#[derive(Deserialize)]
struct Token {
    access_token: SecretString,
    /// Seconds.
    expires_in: i64,
}

#[derive(Deserialize)]
struct Fault {
    error: Option<String>,
    error_description: Option<String>,
}

/// Asks the token endpoint with this form.
///
/// # Errors
/// What went wrong, or what it says is wrong.
pub(super) async fn ask(parts: &Parts, uri: &str, form: String) -> Result<Fetched<HeaderValue>, SignError> {
    let now = parts.clock.unix_ms();
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from(form));
    let answer = parts.fetcher.send(request, WITHIN).await?;
    read(&answer, now).map_err(|why| SignError::new(format!("{uri}: {why}")))
}

/// Reads an answer into the header's value.
///
/// # Errors
/// What it says is wrong, or what it lacks.
pub(super) fn read(answer: &Answer, now: UnixMs) -> Result<Fetched<HeaderValue>, String> {
    if !answer.status.is_success() {
        let fault: Option<Fault> = serde_json::from_slice(&answer.body).ok();
        let parts = fault.into_iter().flat_map(|fault| [fault.error, fault.error_description]).flatten();
        let why: String = parts.map(|part| format!(": {}", told(&part))).collect();
        return Err(format!("it answered {}{why}", answer.status));
    }
    // serde_json's own message may quote the text.
    let token: Token =
        serde_json::from_slice(&answer.body).map_err(|_| "its answer lacks access_token or expires_in".to_owned())?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.access_token.expose_secret()))
        .map_err(|_| "its token is no header value".to_owned())?;
    value.set_sensitive(true);
    let life = token.expires_in.clamp(0, MAX_SECONDS) * 1000;
    Ok(Fetched::expiring(value, now, now.saturating_add(life)))
}

/// The token endpoint that a credential file names.
///
/// # Errors
/// When secrets would go there without TLS.
pub(super) fn endpoint(named: Option<String>) -> Result<String, String> {
    let url = named.unwrap_or_else(|| TOKEN_URI.to_owned());
    let safe = url.parse::<Uri>().is_ok_and(|uri| uri.host().is_some() && is_safe(&uri));
    if safe { Ok(url) } else { Err(format!("its token_uri '{}' is no https URL", told(&url))) }
}
