//! Tokens for a user's refresh token, which `gcloud auth application-default login` leaves behind.
//!
//! <https://developers.google.com/identity/protocols/oauth2/native-app#offline>

use std::fmt;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::super::SignError;
use super::super::cache::{Fetched, Source};
use super::super::fetch::field;
use super::{Parts, grant};

#[derive(Deserialize)]
struct File {
    client_id: String,
    client_secret: SecretString,
    refresh_token: SecretString,
    token_uri: Option<String>,
}

/// A user's refresh token.
pub(super) struct User {
    client_id: String,
    client_secret: SecretString,
    refresh_token: SecretString,
    token_uri: String,
    parts: Parts,
}

impl User {
    /// Reads the JSON that gcloud writes.
    ///
    /// # Errors
    /// What it lacks.
    pub(super) fn read(text: &SecretString, parts: &Parts) -> Result<Self, String> {
        let file: File = serde_json::from_str(text.expose_secret())
            .map_err(|_| "a user's credentials have client_id, client_secret and refresh_token, these lack some")?;
        Ok(Self {
            client_id: file.client_id,
            client_secret: file.client_secret,
            refresh_token: file.refresh_token,
            token_uri: grant::endpoint(file.token_uri)?,
            parts: parts.clone(),
        })
    }

    async fn ask(&self) -> Result<Fetched<HeaderValue>, SignError> {
        let form = [
            field("grant_type", "refresh_token"),
            field("client_id", &self.client_id),
            field("client_secret", self.client_secret.expose_secret()),
            field("refresh_token", self.refresh_token.expose_secret()),
        ];
        grant::ask(&self.parts, &self.token_uri, form.join("&")).await
    }
}

impl Source<HeaderValue> for User {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<HeaderValue>, SignError>> {
        let told = |e| {
            SignError::new(format!(
                "the user's refresh token gets no access token (gcloud auth application-default login makes a new one): {e}"
            ))
        };
        async move { self.ask().await.map_err(told) }.boxed()
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("token_uri", &self.token_uri).finish_non_exhaustive()
    }
}
