//! The credentials of a role for a token of another authority (EKS service accounts, CI systems).
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Method, Request, Uri, header};

use super::super::cache::{Fetched, Source};
use super::super::fetch::{Answer, field, is_safe, told};
use super::super::{Env, SignError, files, var};
use super::{Keys, Parts, document};
use crate::clock::UnixMs;

/// STS is in the region.
const WITHIN: Duration = Duration::from_secs(10);

/// Credentials that STS gives for a token in a file.
pub(super) struct WebIdentity {
    /// The role's ARN.
    role: String,
    /// Read each time: it is replaced while the process runs.
    token_file: PathBuf,
    /// The session's name in AWS's logs.
    session: String,
    /// STS.
    endpoint: String,
    parts: Parts,
}

/// The URL of STS: `AWS_ENDPOINT_URL_STS`, `AWS_ENDPOINT_URL`, or the region's.
///
/// # Errors
/// When the variable's value is no URL, or would send the token over the network without TLS.
fn endpoint(region: &str, env: Env<'_>) -> Result<String, String> {
    for name in ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"] {
        let Some(url) = var(env, name) else { continue };
        let safe = url.parse::<Uri>().is_ok_and(|uri| uri.host().is_some() && is_safe(&uri));
        return if safe { Ok(url) } else { Err(format!("{name} '{url}' is no https URL")) };
    }
    let domain = match region {
        r if r.starts_with("cn-") => "amazonaws.com.cn",
        r if r.starts_with("eusc-") => "amazonaws.eu",
        _ => "amazonaws.com",
    };
    Ok(format!("https://sts.{region}.{domain}/"))
}

/// The source that `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN` name.
///
/// # Errors
/// When one is there without the other, or the endpoint's variable is wrong.
pub(super) fn in_environment(env: Env<'_>, parts: &Parts) -> Result<Option<WebIdentity>, String> {
    let Some(file) = var(env, "AWS_WEB_IDENTITY_TOKEN_FILE") else { return Ok(None) };
    let role = var(env, "AWS_ROLE_ARN").ok_or("AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not")?;
    WebIdentity::new(role, &file, var(env, "AWS_ROLE_SESSION_NAME"), env, parts).map(Some)
}

impl WebIdentity {
    /// A source for this role and the token in this file.
    ///
    /// # Errors
    /// When the endpoint's variable is wrong.
    pub(super) fn new(
        role: String,
        file: &str,
        session: Option<String>,
        env: Env<'_>,
        parts: &Parts,
    ) -> Result<Self, String> {
        let session = session.unwrap_or_else(|| "weir".to_owned());
        let endpoint = endpoint(&parts.region, env)?;
        Ok(Self { role, token_file: files::expand(file, env), session, endpoint, parts: parts.clone() })
    }

    async fn ask(&self) -> Result<Fetched<Keys>, SignError> {
        let now = self.parts.clock.unix_ms();
        let token = files::read(&self.token_file).await;
        let token = token.map_err(|e| SignError::new(format!("the token file {}: {e}", self.token_file.display())))?;
        let form = [
            "Action=AssumeRoleWithWebIdentity".to_owned(),
            "Version=2011-06-15".to_owned(),
            field("RoleArn", &self.role),
            field("RoleSessionName", &self.session),
            field("WebIdentityToken", token.trim()),
        ];
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.endpoint)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(form.join("&")));
        let answer = self.parts.fetcher.send(request, WITHIN).await?;
        read(&answer, now).map_err(SignError::new)
    }
}

impl Source<Keys> for WebIdentity {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<Keys>, SignError>> {
        let told = |e| SignError::new(format!("the AWS role {} cannot be assumed: {e}", self.role));
        async move { self.ask().await.map_err(told) }.boxed()
    }
}

impl std::fmt::Debug for WebIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("WebIdentity");
        out.field("role", &self.role).field("token_file", &self.token_file).finish_non_exhaustive()
    }
}

fn read(answer: &Answer, now: UnixMs) -> Result<Fetched<Keys>, String> {
    let xml = std::str::from_utf8(&answer.body).map_err(|_| "the answer of STS is not UTF-8".to_owned())?;
    if !answer.status.is_success() {
        let part = |name| element(xml, name).unwrap_or_default();
        return Err(format!("STS answered {}: {}: {}", answer.status, told(&part("Code")), told(&part("Message"))));
    }
    let part = |name| element(xml, name).ok_or_else(|| format!("the answer of STS lacks {name}"));
    let expires = document::instant(&part("Expiration")?)?;
    let keys = Keys::new(&part("AccessKeyId")?, &part("SecretAccessKey")?, Some(&part("SessionToken")?));
    Ok(Fetched::expiring(keys, now, expires))
}

/// The text of the first element of this name. STS's answers have each once, without attributes.
fn element<'x>(xml: &'x str, name: &str) -> Option<Cow<'x, str>> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(unescape(text.trim()))
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    // The ampersand last: `&amp;lt;` is `&lt;`.
    const ENTITIES: [(&str, &str); 5] =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    Cow::Owned(ENTITIES.iter().fold(text.to_owned(), |text, (entity, c)| text.replace(entity, c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sts_is_that_of_the_region() {
        let at = |region| endpoint(region, &|_| None).unwrap();
        assert_eq!(at("eu-central-1"), "https://sts.eu-central-1.amazonaws.com/");
        assert_eq!(at("cn-north-1"), "https://sts.cn-north-1.amazonaws.com.cn/");
        assert_eq!(at("eusc-de-east-1"), "https://sts.eusc-de-east-1.amazonaws.eu/");
        let over =
            |url: &'static str| endpoint("us-east-1", &move |n| (n == "AWS_ENDPOINT_URL_STS").then(|| url.into()));
        assert_eq!(over("https://vpce.example/").unwrap(), "https://vpce.example/");
        assert!(over("http://sts.example/").unwrap_err().contains("AWS_ENDPOINT_URL_STS"));
    }

    #[test]
    fn elements_are_found_and_entities_undone() {
        let xml = "<A><Code>X</Code><Message> a &amp;lt; b &lt; &quot;c&quot; </Message><Open>";
        assert_eq!(element(xml, "Code").unwrap(), "X");
        assert_eq!(element(xml, "Message").unwrap(), "a &lt; b < \"c\"");
        assert_eq!((element(xml, "Open"), element(xml, "None")), (None, None));
    }
}
