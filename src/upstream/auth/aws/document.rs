//! The credentials that the metadata endpoints of instances and containers hand out, as JSON.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::super::cache::Fetched;
use super::super::fetch::{Answer, told};
use super::Keys;
use crate::clock::UnixMs;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    access_key_id: Option<SecretString>,
    secret_access_key: Option<SecretString>,
    token: Option<SecretString>,
    /// RFC 3339.
    expiration: Option<String>,
    /// `Success`, or what is wrong.
    #[serde(alias = "code")]
    code: Option<String>,
    #[serde(alias = "message")]
    message: Option<String>,
}

/// Reads an answer.
///
/// # Errors
/// What it says is wrong, or what it lacks.
pub(super) fn read(answer: &Answer, now: UnixMs) -> Result<Fetched<Keys>, String> {
    let document = serde_json::from_slice::<Document>(&answer.body);
    if !answer.status.is_success() {
        let why =
            document.ok().and_then(|d| d.message.or(d.code)).map_or_else(String::new, |m| format!(": {}", told(&m)));
        return Err(format!("it answered {}{why}", answer.status));
    }
    // serde_json's own message may quote the text.
    let document = document.map_err(|_| "its answer is not the JSON of credentials".to_owned())?;
    if let Some(code) = document.code.filter(|code| code != "Success") {
        return Err(format!(
            "it has none: {}: {}",
            told(&code),
            told(document.message.as_deref().unwrap_or("no reason given"))
        ));
    }
    let (Some(access), Some(secret)) = (document.access_key_id, document.secret_access_key) else {
        return Err("its answer lacks AccessKeyId or SecretAccessKey".to_owned());
    };
    let token = document.token.as_ref().map(|token| token.expose_secret());
    let keys = Keys::new(access.expose_secret(), secret.expose_secret(), token);
    match document.expiration {
        None => Ok(Fetched::lasting(keys)),
        Some(text) => Ok(Fetched::expiring(keys, now, instant(&text)?)),
    }
}

/// A time in RFC 3339.
///
/// # Errors
/// When it is none.
pub(super) fn instant(text: &str) -> Result<UnixMs, String> {
    let time: jiff::Timestamp =
        text.trim().parse().map_err(|_| format!("its Expiration '{}' is no time", told(text)))?;
    Ok(time.as_millisecond())
}
