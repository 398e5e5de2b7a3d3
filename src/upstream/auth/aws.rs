//! AWS credentials: which source has them.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>

mod container;
mod document;
mod imds;
mod profile;
mod web_identity;

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};

use super::cache::{Fetched, Source};
use super::fetch::Fetcher;
use super::{Env, SignError, Tls, var};
use crate::clock::Clock;

/// How calls to AWS are signed. What is left out comes from the environment.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// The region, as in `us-east-1`.
    pub region: Option<String>,
    /// The access key's id.
    pub access_key: Option<SecretString>,
    /// The access key's secret.
    pub secret_key: Option<SecretString>,
    /// The token of a temporary access key.
    pub session_token: Option<SecretString>,
    /// The profile in AWS's own files.
    pub profile: Option<String>,
    /// The service's name in a signature.
    pub service: String,
}

impl Default for AwsSettings {
    fn default() -> Self {
        Self {
            region: None,
            access_key: None,
            secret_key: None,
            session_token: None,
            profile: None,
            service: "bedrock".to_owned(),
        }
    }
}

/// An access key.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) access: SecretString,
    pub(super) secret: SecretString,
    /// With temporary ones.
    pub(super) token: Option<SecretString>,
}

impl Keys {
    fn new(access: &str, secret: &str, token: Option<&str>) -> Self {
        let token = token.map(str::trim).filter(|token| !token.is_empty());
        Self { access: access.trim().into(), secret: secret.trim().into(), token: token.map(Into::into) }
    }
}

/// The region: the settings', `AWS_REGION`, `AWS_DEFAULT_REGION`, or the profile's.
///
/// # Errors
/// When there is none, or it is none by its looks (it becomes part of host names).
pub fn region(settings: &AwsSettings, env: Env<'_>) -> Result<String, String> {
    let named = settings.region.clone().or_else(|| var(env, "AWS_REGION")).or_else(|| var(env, "AWS_DEFAULT_REGION"));
    let region = match named {
        Some(region) => Some(region),
        None => profile::Files::locate(env).profile_now(&profile_name(settings, env).0)?.and_then(|p| p.region()),
    };
    let region = region.ok_or("the AWS region is missing: set vars.region, or AWS_REGION")?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if region.is_empty() || region.len() > 64 || !region.chars().all(fits) {
        return Err(format!("the AWS region '{region}' is none: it looks like us-east-1"));
    }
    Ok(region)
}

/// The profile to use, and whether somebody asked for it.
fn profile_name(settings: &AwsSettings, env: Env<'_>) -> (String, bool) {
    let asked = settings.profile.clone().or_else(|| var(env, "AWS_PROFILE"));
    let is_asked = asked.is_some();
    (asked.unwrap_or_else(|| "default".to_owned()), is_asked)
}

/// What every source is made of.
#[derive(Clone)]
struct Parts {
    fetcher: Arc<Fetcher>,
    clock: Clock,
    region: String,
}

/// The source that the settings and the environment name.
///
/// # Errors
/// What is half there, refused, or missing altogether.
pub(super) fn chain(
    settings: &AwsSettings,
    region: &str,
    env: Env<'_>,
    clock: &Clock,
    tls: Tls,
) -> Result<Box<dyn Source<Keys>>, String> {
    let parts = Parts { fetcher: Arc::new(Fetcher::new(tls)), clock: clock.clone(), region: region.to_owned() };
    if let Some(keys) = configured(settings)? {
        return Ok(Box::new(Static(keys)));
    }
    if settings.profile.is_none()
        && let Some(keys) = in_environment(env)?
    {
        return Ok(Box::new(Static(keys)));
    }
    if let Some(source) = profile::source(profile_name(settings, env), env, &parts)? {
        return Ok(source);
    }
    if let Some(source) = web_identity::in_environment(env, &parts)? {
        return Ok(Box::new(source));
    }
    if let Some(source) = container::in_environment(env, &parts)? {
        return Ok(Box::new(source));
    }
    Ok(Box::new(imds::InstanceRole::new(env, &parts)?))
}

/// The key of the settings.
fn configured(settings: &AwsSettings) -> Result<Option<Keys>, String> {
    match (&settings.access_key, &settings.secret_key) {
        (None, None) if settings.session_token.is_some() => {
            Err("session_token is of no use without access_key_id and secret_access_key".to_owned())
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err("secret_access_key is missing beside access_key_id".to_owned()),
        (None, Some(_)) => Err("access_key_id is missing beside secret_access_key".to_owned()),
        (Some(access), Some(secret)) => {
            let token = settings.session_token.as_ref().map(|token| token.expose_secret());
            Ok(Some(Keys::new(access.expose_secret(), secret.expose_secret(), token)))
        }
    }
}

/// The key of the environment.
fn in_environment(env: Env<'_>) -> Result<Option<Keys>, String> {
    match (var(env, "AWS_ACCESS_KEY_ID"), var(env, "AWS_SECRET_ACCESS_KEY")) {
        (None, None) => Ok(None),
        (Some(_), None) => Err("AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not".to_owned()),
        (None, Some(_)) => Err("AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not".to_owned()),
        (Some(access), Some(secret)) => Ok(Some(Keys::new(&access, &secret, var(env, "AWS_SESSION_TOKEN").as_deref()))),
    }
}

/// A key that stays what it is.
#[derive(Debug)]
struct Static(Keys);

impl Source<Keys> for Static {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<Keys>, SignError>> {
        std::future::ready(Ok(Fetched::lasting(self.0.clone()))).boxed()
    }
}
