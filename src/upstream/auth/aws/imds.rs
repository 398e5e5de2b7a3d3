//! The role of an EC2 instance: the instance metadata service, version 2.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html>

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, StatusCode, Uri};

use super::super::cache::{Fetched, Source};
use super::super::fetch::{Answer, told};
use super::super::{Env, SignError, var};
use super::{Keys, Parts, document};

const IPV4: &str = "http://169.254.169.254";
const IPV6: &str = "http://[fd00:ec2::254]";
const ROLE_PATH: &str = "/latest/meta-data/iam/security-credentials/";
/// How long the session token is asked for: only a moment's use of it is made.
const SESSION_SECONDS: &str = "300";
/// The endpoint is in the host; where there is none, nothing answers.
const WITHIN: Duration = Duration::from_secs(2);

/// Credentials of the role attached to the instance.
pub(super) struct InstanceRole {
    endpoint: String,
    parts: Parts,
}

impl InstanceRole {
    /// The last source to try.
    ///
    /// # Errors
    /// When it is turned off: then there is none. When the endpoint is no URL.
    pub(super) fn new(env: Env<'_>, parts: &Parts) -> Result<Self, String> {
        if var(env, "AWS_EC2_METADATA_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return Err(
                "there are no AWS credentials (set access_key_id and secret_access_key, AWS_ACCESS_KEY_ID and \
                        AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; the instance's role is turned off by \
                        AWS_EC2_METADATA_DISABLED)"
                    .to_owned(),
            );
        }
        let ipv6 = var(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").is_some_and(|m| m.eq_ignore_ascii_case("ipv6"));
        let endpoint = var(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let endpoint = endpoint.unwrap_or_else(|| if ipv6 { IPV6 } else { IPV4 }.to_owned());
        let url: Result<Uri, _> = endpoint.parse();
        if !url.is_ok_and(|url| url.scheme().is_some() && url.host().is_some()) {
            return Err(format!("AWS_EC2_METADATA_SERVICE_ENDPOINT '{endpoint}' is no URL"));
        }
        Ok(Self { endpoint: endpoint.trim_end_matches('/').to_owned(), parts: parts.clone() })
    }

    async fn ask(&self) -> Result<Fetched<Keys>, SignError> {
        let now = self.parts.clock.unix_ms();
        let session = self.session().await?;
        let role = self.role(&session).await?;
        let answer = self.get(&format!("{ROLE_PATH}{role}"), &session).await?;
        document::read(&answer, now).map_err(|why| SignError::new(format!("the credentials of role {role}: {why}")))
    }

    async fn session(&self) -> Result<HeaderValue, SignError> {
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("{}/latest/api/token", self.endpoint))
            .header("x-aws-ec2-metadata-token-ttl-seconds", SESSION_SECONDS)
            .body(Bytes::new());
        let answer = self.parts.fetcher.send(request, WITHIN).await?;
        if !answer.status.is_success() {
            return Err(SignError::new(format!("it gives no session token: {}", answer.status)));
        }
        let mut token = HeaderValue::from_maybe_shared(answer.body)
            .map_err(|_| SignError::new("its session token is no header value"))?;
        token.set_sensitive(true);
        Ok(token)
    }

    async fn role(&self, session: &HeaderValue) -> Result<String, SignError> {
        let answer = self.get(ROLE_PATH, session).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(SignError::new("no role is attached to the instance; attach one, or set AWS_ACCESS_KEY_ID"));
        }
        let text = String::from_utf8_lossy(&answer.body);
        let role = text.lines().next().unwrap_or("").trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
        if !answer.status.is_success() || role.is_empty() || role.len() > 64 || !role.chars().all(fits) {
            return Err(SignError::new(format!("it names no role: {} '{}'", answer.status, told(role))));
        }
        Ok(role.to_owned())
    }

    async fn get(&self, path: &str, session: &HeaderValue) -> Result<Answer, SignError> {
        let request = Request::builder()
            .uri(format!("{}{path}", self.endpoint))
            .header("x-aws-ec2-metadata-token", session)
            .body(Bytes::new());
        self.parts.fetcher.send(request, WITHIN).await
    }
}

impl Source<Keys> for InstanceRole {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<Keys>, SignError>> {
        let told = |e| {
            SignError::new(format!(
                "there are no AWS credentials: no key or profile is set, and the instance metadata service has none: {e}"
            ))
        };
        async move { self.ask().await.map_err(told) }.boxed()
    }
}

impl std::fmt::Debug for InstanceRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstanceRole").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
