//! Tokens for a service account's key: an assertion signed with it is exchanged for a token.
//!
//! <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>

use std::fmt;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::super::SignError;
use super::super::cache::{Fetched, Source};
use super::super::fetch::field;
use super::{Parts, SCOPE, grant};
use crate::clock::UnixMs;

/// Longest life that Google accepts for an assertion.
const ASSERTION_SECONDS: i64 = 3600;

/// The JSON of a key, as the console downloads it.
#[derive(Deserialize)]
struct File {
    client_email: String,
    private_key: SecretString,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

#[derive(Serialize)]
struct Claims<'c> {
    iss: &'c str,
    scope: &'c str,
    aud: &'c str,
    iat: i64,
    exp: i64,
}

/// A service account's key.
pub(super) struct ServiceAccount {
    email: String,
    key: EncodingKey,
    key_id: Option<String>,
    token_uri: String,
    parts: Parts,
}

impl ServiceAccount {
    /// Reads the JSON of a key.
    ///
    /// # Errors
    /// What it lacks.
    pub(super) fn read(text: &SecretString, parts: &Parts) -> Result<Self, String> {
        let file: File = serde_json::from_str(text.expose_secret())
            .map_err(|_| "a service account's key has client_email and private_key, this one lacks some")?;
        let key = EncodingKey::from_rsa_pem(file.private_key.expose_secret().as_bytes())
            .map_err(|_| "its private_key is not the PEM of an RSA key")?;
        let account = Self {
            email: file.client_email,
            key,
            key_id: file.private_key_id,
            token_uri: grant::endpoint(file.token_uri)?,
            parts: parts.clone(),
        };
        // A key that cannot sign is told at start, not at the first call.
        account.assertion(0).map_err(|_| "its private_key is broken: it cannot sign")?;
        Ok(account)
    }

    fn assertion(&self, now: UnixMs) -> Result<String, jsonwebtoken::errors::Error> {
        let iat = now / 1000;
        let (iss, aud) = (self.email.as_str(), self.token_uri.as_str());
        let claims = Claims { iss, scope: SCOPE, aud, iat, exp: iat + ASSERTION_SECONDS };
        let header = Header { kid: self.key_id.clone(), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, &claims, &self.key)
    }

    async fn ask(&self) -> Result<Fetched<HeaderValue>, SignError> {
        let assertion = self.assertion(self.parts.clock.unix_ms());
        let assertion = assertion.map_err(|e| SignError::new(format!("the assertion cannot be signed: {e}")))?;
        let kind = field("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
        grant::ask(&self.parts, &self.token_uri, format!("{kind}&{}", field("assertion", &assertion))).await
    }
}

impl Source<HeaderValue> for ServiceAccount {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<HeaderValue>, SignError>> {
        let told = |e| SignError::new(format!("the service account {} gets no token: {e}", self.email));
        async move { self.ask().await.map_err(told) }.boxed()
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("ServiceAccount");
        out.field("email", &self.email).field("token_uri", &self.token_uri).finish_non_exhaustive()
    }
}
