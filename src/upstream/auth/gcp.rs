//! Google access tokens: which source has them.
//!
//! <https://cloud.google.com/docs/authentication/application-default-credentials>

mod grant;
mod metadata;
mod service_account;
mod user;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

pub use metadata::project as metadata_project;

use super::cache::{Cached, Source};
use super::fetch::Fetcher;
use super::{Env, SignError, Signer, Tls, files, var};
use crate::clock::Clock;
use crate::upstream::Call;

/// What a token is good for. The account's rights narrow it down.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Whose quota a user's call counts against.
const QUOTA_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

/// Where Google's credentials are. What is left out comes from the environment.
#[derive(Clone, Debug, Default)]
pub struct GcpSettings {
    /// The JSON of a service account's key, or of a user's refresh token.
    pub credentials_json: Option<SecretString>,
    /// A file with such JSON.
    pub credentials_file: Option<PathBuf>,
}

/// What was found.
pub(super) struct Found {
    pub(super) source: Box<dyn Source<HeaderValue>>,
    /// The project that the credentials, or `GOOGLE_CLOUD_PROJECT`, name.
    pub(super) project: Option<String>,
    /// The project that pays for a user's calls.
    pub(super) quota_project: Option<HeaderValue>,
}

/// What sources are made of.
#[derive(Clone)]
struct Parts {
    fetcher: Arc<Fetcher>,
    clock: Clock,
}

/// The source that the settings and the environment name. JSON is read once, here.
///
/// # Errors
/// When a file that is named cannot be read, or is of no kind that is supported.
pub(super) fn find(settings: &GcpSettings, env: Env<'_>, clock: &Clock, tls: Tls) -> Result<Found, String> {
    let parts = Parts { fetcher: Arc::new(Fetcher::new(tls)), clock: clock.clone() };
    let named = var(env, "GOOGLE_CLOUD_PROJECT");
    let mut found = match json(settings, env)? {
        Some((place, text)) => from_json(&text, &parts).map_err(|why| format!("{place}: {why}"))?,
        None => Found { source: Box::new(metadata::Metadata::new(env, &parts)?), project: None, quota_project: None },
    };
    found.project = named.or(found.project);
    Ok(found)
}

/// The credentials' JSON and where it is.
fn json(settings: &GcpSettings, env: Env<'_>) -> Result<Option<(String, SecretString)>, String> {
    let read = |name: &str, path: &Path| {
        let text = files::read_now(path).map_err(|e| format!("{name} {}: {e}", path.display()))?;
        Ok(Some((format!("{name} {}", path.display()), text.into())))
    };
    if let Some(text) = &settings.credentials_json {
        return Ok(Some(("credentials".to_owned(), text.clone())));
    }
    if let Some(path) = &settings.credentials_file {
        let expanded = path.to_str().map(|text| files::expand(text, env));
        return read("credentials_file", expanded.as_deref().unwrap_or(path));
    }
    if let Some(path) = var(env, "GOOGLE_APPLICATION_CREDENTIALS") {
        return read("GOOGLE_APPLICATION_CREDENTIALS", &files::expand(&path, env));
    }
    match well_known(env) {
        Some(path) if path.exists() => read("the credentials of gcloud", &path),
        _ => Ok(None),
    }
}

/// Where `gcloud auth application-default login` leaves a user's credentials.
fn well_known(env: Env<'_>) -> Option<PathBuf> {
    let own = var(env, "CLOUDSDK_CONFIG").map(PathBuf::from);
    let windows = || var(env, "APPDATA").map(|data| Path::new(&data).join("gcloud"));
    let usual = || files::home(env).map(|home| home.join(".config/gcloud"));
    own.or_else(windows).or_else(usual).map(|dir| dir.join("application_default_credentials.json"))
}

/// What all kinds of credential files have.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: Option<String>,
    project_id: Option<String>,
    quota_project_id: Option<String>,
}

fn from_json(text: &SecretString, parts: &Parts) -> Result<Found, String> {
    // serde_json's own message may quote the text.
    let head: Head = serde_json::from_str(text.expose_secret()).map_err(|_| "it is not the JSON of credentials")?;
    let source: Box<dyn Source<HeaderValue>> = match head.kind.as_deref() {
        Some("service_account") => Box::new(service_account::ServiceAccount::read(text, parts)?),
        Some("authorized_user") => Box::new(user::User::read(text, parts)?),
        kind => {
            return Err(format!(
                "credentials of type '{}' are not supported: use the key of a service account (service_account) or \
                 gcloud auth application-default login (authorized_user)",
                super::fetch::told(kind.unwrap_or("(none)"))
            ));
        }
    };
    let quota = head.quota_project_id.as_deref().filter(|id| !id.is_empty());
    let quota_project = quota.map(HeaderValue::from_str).transpose().map_err(|_| "its quota_project_id is none")?;
    Ok(Found { source, project: head.project_id.or(head.quota_project_id), quota_project })
}

/// Adds `authorization: Bearer <token>`.
#[derive(Debug)]
pub(super) struct GcpToken {
    tokens: Cached<HeaderValue>,
    quota_project: Option<HeaderValue>,
}

impl GcpToken {
    pub(super) fn new(tokens: Cached<HeaderValue>, quota_project: Option<HeaderValue>) -> Self {
        Self { tokens, quota_project }
    }

    async fn apply(&self, call: &mut Call) -> Result<(), SignError> {
        let token = self.tokens.get().await?;
        call.headers.insert(header::AUTHORIZATION, token.value.clone());
        if let Some(project) = &self.quota_project {
            call.headers.insert(QUOTA_PROJECT, project.clone());
        }
        Ok(())
    }
}

impl Signer for GcpToken {
    fn sign<'a>(&'a self, call: &'a mut Call) -> BoxFuture<'a, Result<(), SignError>> {
        self.apply(call).boxed()
    }
}
