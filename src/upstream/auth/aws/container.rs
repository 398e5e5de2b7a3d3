//! The credentials of a container: ECS tasks, EKS Pod Identity, Greengrass.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Uri, header};
use secrecy::{ExposeSecret as _, SecretString};

use super::super::cache::{Fetched, Source};
use super::super::fetch::{address, is_safe};
use super::super::{Env, SignError, files, var};
use super::{Keys, Parts, document};

/// Where relative URIs are below.
const ECS: &str = "http://169.254.170.2";
/// Hosts that may be asked without TLS, besides this machine: ECS, and EKS Pod Identity in both families.
const PLAIN_HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
/// The agent behind the endpoint may have to ask STS.
const WITHIN: Duration = Duration::from_secs(5);

/// Credentials from the endpoint that the container's environment names.
pub(super) struct Container {
    url: String,
    token: Token,
    parts: Parts,
}

enum Token {
    None,
    Fixed(SecretString),
    /// Read each time: it is replaced while the container runs.
    File(PathBuf),
}

/// The source that `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `.._FULL_URI` names.
///
/// # Errors
/// When the URI is none, or its host is not allowed.
pub(super) fn in_environment(env: Env<'_>, parts: &Parts) -> Result<Option<Container>, String> {
    let Some(url) = url(env)? else { return Ok(None) };
    let file = var(env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(|path| Token::File(files::expand(&path, env)));
    let fixed = || var(env, "AWS_CONTAINER_AUTHORIZATION_TOKEN").map(|token| Token::Fixed(token.into()));
    Ok(Some(Container { url, token: file.or_else(fixed).unwrap_or(Token::None), parts: parts.clone() }))
}

fn url(env: Env<'_>) -> Result<Option<String>, String> {
    const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
    const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    if let Some(path) = var(env, RELATIVE) {
        let url = format!("{ECS}{path}");
        let valid = path.starts_with('/') && url.parse::<Uri>().is_ok();
        return if valid { Ok(Some(url)) } else { Err(format!("{RELATIVE} '{path}' is no path that begins with /")) };
    }
    let Some(url) = var(env, FULL) else { return Ok(None) };
    let uri: Uri = url.parse().map_err(|_| format!("{FULL} '{url}' is no URL"))?;
    if !is_allowed(&uri) {
        return Err(format!(
            "{FULL} '{url}' is not allowed: without TLS only this machine and {} are asked for credentials",
            PLAIN_HOSTS.join(", ")
        ));
    }
    Ok(Some(url))
}

/// TLS, this machine, or one of the link-local endpoints.
fn is_allowed(uri: &Uri) -> bool {
    let plain = || uri.scheme_str() == Some("http") && uri.host().and_then(address).is_some_and(is_endpoint);
    uri.host().is_some() && (is_safe(uri) || plain())
}

fn is_endpoint(ip: std::net::IpAddr) -> bool {
    PLAIN_HOSTS.iter().filter_map(|host| address(host)).any(|known| known == ip)
}

impl Container {
    async fn ask(&self) -> Result<Fetched<Keys>, SignError> {
        let now = self.parts.clock.unix_ms();
        let mut request = Request::builder().uri(&self.url).header(header::ACCEPT, "application/json");
        if let Some(token) = self.authorization().await? {
            request = request.header(header::AUTHORIZATION, token);
        }
        let answer = self.parts.fetcher.send(request.body(Bytes::new()), WITHIN).await?;
        document::read(&answer, now).map_err(SignError::new)
    }

    async fn authorization(&self) -> Result<Option<HeaderValue>, SignError> {
        let token = match &self.token {
            Token::None => return Ok(None),
            Token::Fixed(token) => token.clone(),
            Token::File(path) => {
                let told =
                    |e| SignError::new(format!("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE {}: {e}", path.display()));
                files::read(path).await.map_err(told)?.into()
            }
        };
        let mut value = HeaderValue::from_str(token.expose_secret().trim())
            .map_err(|_| SignError::new("the container's authorization token is no header value"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl Source<Keys> for Container {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<Keys>, SignError>> {
        let told = |e| SignError::new(format!("the container's AWS credentials: {e}"));
        async move { self.ask().await.map_err(told) }.boxed()
    }
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(name: &'static str, value: &'static str) -> Result<Option<String>, String> {
        url(&|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn a_relative_uri_is_below_the_ecs_endpoint() {
        let relative = |value| from("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", value);
        assert_eq!(relative("/v2/credentials/1"), Ok(Some("http://169.254.170.2/v2/credentials/1".to_owned())));
        // It could name another host.
        assert!(relative("@evil.example/x").unwrap_err().contains("begins with /"));
        assert_eq!(url(&|_| None), Ok(None));
    }

    #[test]
    fn without_tls_only_local_hosts_are_asked() {
        let full = |value| from("AWS_CONTAINER_CREDENTIALS_FULL_URI", value);
        for good in [
            "https://credentials.example/x",
            "http://127.0.0.1:8080/x",
            "http://127.9.9.9/x",
            "http://[::1]/x",
            "http://localhost:1/x",
            "http://169.254.170.2/x",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
        ] {
            assert_eq!(full(good), Ok(Some(good.to_owned())), "{good}");
        }
        for bad in [
            "http://credentials.example/x",
            "http://127.0.0.1.evil.example/x",
            "http://127.0.0.1@evil.example/x",
            "http://169.254.169.254/x",
            "http://10.0.0.1/x",
            "ftp://127.0.0.1/x",
            "/relative",
            "no url",
        ] {
            assert!(full(bad).is_err(), "{bad}");
        }
    }
}
