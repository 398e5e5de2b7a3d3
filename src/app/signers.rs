//! What proves the gateway's identity to providers that take no plain key.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderName, header};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Made, StartError};
use crate::catalog::AuthStyle;
use crate::config::{AuthOverride, Secret};
use crate::snapshot::ProviderDef;
use crate::snapshot::secrets::Secrets;
use crate::upstream::auth::{self, AwsSettings, GcpSettings, SignError, Signer, Tls};
use crate::upstream::client::HttpProvider;
use crate::upstream::{Answer, Call, Provider, SendError};

/// The token of a temporary AWS key.
const SESSION_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// A provider whose calls are signed.
#[derive(Debug)]
struct Signed {
    inner: HttpProvider,
    signer: Arc<dyn Signer>,
}

impl Provider for Signed {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Answer, SendError>> {
        let signed = Call { signer: Some(Arc::clone(&self.signer)), ..call };
        self.inner.send(signed).boxed()
    }
}

/// A signer whose tokens are remembered, so that no error text repeats them.
#[derive(Debug)]
struct Remembered {
    inner: Arc<dyn Signer>,
    secrets: Arc<Secrets>,
}

impl Signer for Remembered {
    fn sign<'a>(&'a self, call: &'a mut Call) -> BoxFuture<'a, Result<(), SignError>> {
        async move {
            self.inner.sign(call).await?;
            let text = |name: &HeaderName| call.headers.get(name).and_then(|value| value.to_str().ok());
            // A signature is good for its one call.
            let bearer = text(&header::AUTHORIZATION).filter(|value| value.starts_with("Bearer "));
            for token in bearer.into_iter().chain(text(&SESSION_TOKEN)) {
                self.secrets.remember(token);
            }
            Ok(())
        }
        .boxed()
    }
}

/// The sender of a provider, with a signer where it has no key and needs one.
///
/// # Errors
/// What the signer lacks.
pub(super) fn signed(
    provider: &Arc<ProviderDef>,
    start: &Made<'_>,
    inner: HttpProvider,
    tls: &Tls,
) -> Result<Arc<dyn Provider>, StartError> {
    let keyed = provider.credentials.iter().any(|credential| credential.header.is_some());
    let signer = match provider.auth {
        _ if keyed => None,
        AuthStyle::Sigv4 => Some(sigv4(provider, start, tls)),
        AuthStyle::Gcp => Some(gcp(provider, start, tls)),
        _ => None,
    };
    let signer =
        signer.transpose().map_err(|why| StartError::Config(format!("providers.{}.auth: {why}", provider.id)))?;
    Ok(match signer {
        Some(signer) => {
            let signer = Arc::new(Remembered { inner: signer, secrets: Arc::clone(&provider.secrets) });
            Arc::new(Signed { inner, signer })
        }
        None => Arc::new(inner),
    })
}

fn sigv4(provider: &ProviderDef, start: &Made<'_>, tls: &Tls) -> Result<Arc<dyn Signer>, String> {
    let entry = start.config.providers.get(&*provider.id);
    let own = entry.and_then(|entry| entry.auth.clone()).unwrap_or_default();
    let region = entry.and_then(|entry| entry.vars.get("region").cloned()).or_else(|| default_region(provider, start));
    let settings = AwsSettings {
        region,
        access_key: secret(own.access_key_id.as_ref()),
        secret_key: secret(own.secret_access_key.as_ref()),
        session_token: secret(own.session_token.as_ref()),
        profile: own.profile,
        ..AwsSettings::default()
    };
    auth::sigv4(&settings, &**start.env, start.clock.clone(), Arc::clone(tls))
}

/// The region that the URL was made with: what is signed must be what is called.
fn default_region(provider: &ProviderDef, start: &Made<'_>) -> Option<String> {
    let kind = provider.kind_def()?;
    let of_env = kind.env.vars.get("region").and_then(|var| (start.env)(var)).filter(|region| !region.is_empty());
    of_env.or_else(|| kind.defaults.get("region").cloned())
}

fn gcp(provider: &ProviderDef, start: &Made<'_>, tls: &Tls) -> Result<Arc<dyn Signer>, String> {
    let own: AuthOverride =
        start.config.providers.get(&*provider.id).and_then(|entry| entry.auth.clone()).unwrap_or_default();
    let settings = GcpSettings {
        credentials_json: secret(own.credentials.as_ref()),
        credentials_file: own.credentials_file.map(PathBuf::from),
    };
    auth::gcp(&settings, &**start.env, start.clock.clone(), Arc::clone(tls)).map(|(signer, _)| signer)
}

fn secret(given: Option<&Secret>) -> Option<SecretString> {
    given.map(|secret| SecretString::from(secret.expose_secret().to_owned()))
}
