//! Credentials of upstream calls that are more than a static header: AWS signatures (version 4) and
//! Google access tokens.
//!
//! Neither vendor's SDK is used, nor a crate that fetches tokens by itself: each would bring a second
//! HTTP stack with its own TLS roots, its own clock and tasks of its own. Here tokens are fetched with
//! the client that makes all other calls ([`HttpProvider`](super::client::HttpProvider)), time comes
//! from [`Clock`], and a renewal happens inside the call that needs it, so that everything can be
//! tested on loopback and nothing outlives a shutdown.

mod aws;
mod cache;
mod fetch;
mod files;
mod gcp;
mod sigv4;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use aws::{AwsSettings, region as aws_region};
pub use gcp::{GcpSettings, metadata_project as gcp_metadata_project};

use super::Call;
use crate::clock::Clock;

/// Reads an environment variable.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// The TLS set-up all providers share.
pub type Tls = Arc<rustls::ClientConfig>;

/// Adds credentials to a call.
pub trait Signer: Send + Sync + fmt::Debug {
    /// Adds what proves the gateway's identity to the call's headers. The call must not be changed
    /// afterwards. May ask a source of credentials first; dropping the future stops that.
    fn sign<'a>(&'a self, call: &'a mut Call) -> BoxFuture<'a, Result<(), SignError>>;
}

/// Why a call has no credentials. The text names what is missing and the fix, and never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignError(String);

impl SignError {
    /// An error of this text.
    #[must_use]
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SignError {}

/// A signer of AWS requests. Its credentials come from the first of: the settings' key, the settings'
/// profile, `AWS_ACCESS_KEY_ID`, the profile of `AWS_PROFILE` (or `default`), the web identity of
/// `AWS_WEB_IDENTITY_TOKEN_FILE`, the container's endpoint, the instance's role. Which one is decided
/// here; files and endpoints are asked again whenever credentials are renewed.
///
/// # Errors
/// What is missing or contradictory, and the fix.
pub fn sigv4(settings: &AwsSettings, env: Env<'_>, clock: Clock, tls: Tls) -> Result<Arc<dyn Signer>, String> {
    let region = aws::region(settings, env)?;
    let source = aws::chain(settings, &region, env, &clock, tls)?;
    let keys = cache::Cached::new(clock.clone(), source);
    Ok(Arc::new(sigv4::SigV4::new(keys, region, settings.service.clone(), clock)))
}

/// A signer that adds Google access tokens, and the project that its credentials name. They come from
/// the first of: the settings' JSON, the settings' file, `GOOGLE_APPLICATION_CREDENTIALS`, the file
/// that `gcloud auth application-default login` writes, the metadata server (whose project
/// [`gcp_metadata_project`] tells).
///
/// # Errors
/// What is missing or of a kind that is not supported, and the fix.
pub fn gcp(
    settings: &GcpSettings,
    env: Env<'_>,
    clock: Clock,
    tls: Tls,
) -> Result<(Arc<dyn Signer>, Option<String>), String> {
    let found = gcp::find(settings, env, &clock, tls)?;
    let tokens = cache::Cached::new(clock, found.source);
    Ok((Arc::new(gcp::GcpToken::new(tokens, found.quota_project)), found.project))
}

/// A variable's value, unless it is blank.
fn var(env: Env<'_>, name: &str) -> Option<String> {
    env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
