//! Tokens of the service account attached to a machine, from its metadata server.
//!
//! <https://cloud.google.com/compute/docs/access/authenticate-workloads#applications>

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Uri};

use super::super::cache::{Fetched, Source};
use super::super::fetch::{Answer, Fetcher, told};
use super::super::{Env, SignError, Tls, var};
use super::{Parts, grant};

const HOST: &str = "metadata.google.internal";
const TOKEN_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const PROJECT_PATH: &str = "/computeMetadata/v1/project/project-id";
/// It is in the host, but may have to fetch a token itself.
const WITHIN: Duration = Duration::from_secs(5);

/// The metadata server.
pub(super) struct Metadata {
    base: String,
    parts: Parts,
}

impl Metadata {
    /// The last source to try.
    ///
    /// # Errors
    /// When `GCE_METADATA_HOST` is no host.
    pub(super) fn new(env: Env<'_>, parts: &Parts) -> Result<Self, String> {
        Ok(Self { base: base(env)?, parts: parts.clone() })
    }

    async fn ask(&self) -> Result<Fetched<HeaderValue>, SignError> {
        let now = self.parts.clock.unix_ms();
        let answer = get(&self.parts.fetcher, &self.base, TOKEN_PATH).await?;
        grant::read(&answer, now).map_err(|why| SignError::new(format!("{}: {why}", self.base)))
    }
}

fn base(env: Env<'_>) -> Result<String, String> {
    let host = var(env, "GCE_METADATA_HOST").unwrap_or_else(|| HOST.to_owned());
    let base = format!("http://{host}");
    let fits = base.parse::<Uri>().is_ok_and(|uri| uri.path() == "/" && uri.query().is_none() && uri.host().is_some());
    if fits && !host.contains('@') { Ok(base) } else { Err(format!("GCE_METADATA_HOST '{host}' is no host")) }
}

/// The header shows that a request is meant for this server and not forged by a redirect.
async fn get(fetcher: &Fetcher, base: &str, path: &str) -> Result<Answer, SignError> {
    let request = Request::builder().uri(format!("{base}{path}")).header("metadata-flavor", "Google");
    fetcher.send(request.body(Bytes::new()), WITHIN).await
}

/// The project of the machine, from its metadata server (`GCE_METADATA_HOST`, if it is elsewhere).
///
/// # Errors
/// When there is no such server, or it knows none.
pub fn project(env: Env<'_>, tls: Tls) -> BoxFuture<'static, Result<String, SignError>> {
    let base = base(env).map_err(SignError::new);
    async move { ask_project(&Fetcher::new(tls), &base?).await }.boxed()
}

async fn ask_project(fetcher: &Fetcher, base: &str) -> Result<String, SignError> {
    let answer = get(fetcher, base, PROJECT_PATH).await?;
    let text = String::from_utf8_lossy(&answer.body).trim().to_owned();
    // Ids of a domain's projects have a colon: `example.com:project`.
    let fits = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
    if answer.status.is_success() && !text.is_empty() && text.len() <= 128 && text.chars().all(fits) {
        return Ok(text);
    }
    Err(SignError::new(format!("{base} names no project: {} '{}'", answer.status, told(&text))))
}

impl Source<HeaderValue> for Metadata {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<HeaderValue>, SignError>> {
        let told = |e| {
            SignError::new(format!(
                "there are no Google credentials: no key is set (GOOGLE_APPLICATION_CREDENTIALS), and the metadata \
                 server has none: {e}"
            ))
        };
        async move { self.ask().await.map_err(told) }.boxed()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata").field("base", &self.base).finish_non_exhaustive()
    }
}
