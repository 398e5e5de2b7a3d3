//! An event by HTTP, as the Standard Webhooks specification has it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use secrecy::ExposeSecret as _;

use super::{Failure, Note, sign, told};
use crate::clock::UnixMs;
use crate::config::{Webhook, webhook_key};
use crate::record::rfc3339;
use crate::snapshot::secrets::Secrets;
use crate::upstream::body::collect;
use crate::upstream::client::{Http2, HttpProvider, PoolOptions, tls_config};
use crate::upstream::{Answer, Call, CallBody, Provider as _};

/// From the beginning to the answer's end.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Until a connection must stand.
const CONNECT: Duration = Duration::from_secs(5);
/// What is read of an answer, which says nothing to us but in logs.
const MAX_ANSWER: usize = 64 * 1024;

/// A webhook.
pub(super) struct Hook {
    pub(super) shown: String,
    uri: Uri,
    key: Vec<u8>,
    headers: HeaderMap,
    client: HttpProvider,
    /// What an answer may repeat and nobody may read: the URL behind its host, the headers, the key.
    secrets: Secrets,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hook").field("url", &self.shown).finish_non_exhaustive()
    }
}

impl Hook {
    pub(super) fn new(config: &Webhook, extra_roots: Option<&str>) -> Result<Self, String> {
        let uri: Uri = config.url.expose_secret().parse().map_err(|_| "the webhook's URL cannot be used")?;
        let key = webhook_key(config.secret.expose_secret()).ok_or("the webhook's secret cannot be used")?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let value = HeaderValue::from_str(value.expose_secret());
            let (Ok(name), Ok(mut value)) = (name.parse::<HeaderName>(), value) else {
                return Err(format!("the header {name} cannot be used"));
            };
            value.set_sensitive(true);
            headers.append(name, value);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"))));
        let options = PoolOptions { connect_timeout: CONNECT, max_idle_per_host: 2, http2: Http2::Never };
        let client = HttpProvider::new(options, Arc::clone(&tls_config(extra_roots)?));
        let secrets = secrets(config, &uri);
        Ok(Self { shown: config.url.redacted(), uri, key, headers, client, secrets })
    }

    /// Posts an event; 2xx is yes, 410 is never, anything else is not now. Redirects are not followed: what
    /// is signed for one place is not sent to another.
    pub(super) async fn post(&self, note: &Note<'_>, now: UnixMs) -> Result<(), Failure> {
        let body = Bytes::from(payload(note));
        let headers = self.signed(note.id, now.div_euclid(1000), &body);
        let (method, uri) = (Method::POST, self.uri.clone());
        let call =
            Call { method, uri, headers, body: CallBody::from(body), first_byte: TIMEOUT, connect: None, signer: None };
        match tokio::time::timeout(TIMEOUT, self.whole(call)).await {
            Ok(Ok((answer, words))) => judge(&answer, self.secrets.mask(&words).as_deref().unwrap_or(&words), now),
            Ok(Err(why)) => Err(Failure::new(why)),
            Err(_) => Err(Failure::new(format!("no answer within {TIMEOUT:?}"))),
        }
    }

    fn signed(&self, id: &str, timestamp: i64, body: &[u8]) -> HeaderMap {
        let mut headers = self.headers.clone();
        let signature = sign(&self.key, id, timestamp, body);
        let values =
            [("webhook-id", id), ("webhook-timestamp", &timestamp.to_string()), ("webhook-signature", &signature)];
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers
    }

    async fn whole(&self, call: Call) -> Result<(Answer, String), String> {
        let mut answer = self.client.send(call).await.map_err(|e| e.to_string())?;
        // Read to its end so that the connection can be used again; what it says is for people.
        let words = collect(&mut answer.body, MAX_ANSWER).await.unwrap_or_default();
        Ok((answer, String::from_utf8_lossy(&words).into_owned()))
    }
}

fn secrets(config: &Webhook, uri: &Uri) -> Secrets {
    let behind_host = uri.path_and_query().map_or("", |rest| rest.as_str()).split(['/', '?', '&', '=']);
    let headers = config.headers.values().map(|value| value.expose_secret());
    Secrets::new(behind_host.chain(headers).chain([config.secret.expose_secret().trim_start_matches("whsec_")]))
}

/// The body: `id`, `type`, `created_at` and `data`, which is passed on as it was written.
fn payload(note: &Note<'_>) -> String {
    let head = serde_json::json!({"id": note.id, "type": note.kind, "created_at": rfc3339(note.at)}).to_string();
    format!("{},\"data\":{}}}", head.trim_end_matches('}'), note.body)
}

fn judge(answer: &Answer, words: &str, now: UnixMs) -> Result<(), Failure> {
    let status = answer.status;
    if status.is_success() {
        return Ok(());
    }
    let words = told(words);
    let words = if words.is_empty() { String::new() } else { format!(": {words}") };
    let why = match status {
        _ if status.is_redirection() => format!("it answered {status}, and redirects are not followed"),
        _ => format!("it answered {status}{words}"),
    };
    let after = answer.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    Err(Failure {
        after: after.and_then(|text| retry_after(text, now)),
        for_good: status == StatusCode::GONE,
        ..Failure::new(why)
    })
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: UnixMs) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp().as_millisecond();
    Some(Duration::from_millis(u64::try_from(at - now).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_holds_the_particulars_as_they_were_written() {
        let note = Note { id: "evt_1", kind: "price.unknown", at: 1_795_000_000_123, body: r#"{"b":1,"a":{}}"# };
        assert_eq!(
            payload(&note),
            r#"{"id":"evt_1","type":"price.unknown","created_at":"2026-11-18T11:06:40.123Z","data":{"b":1,"a":{}}}"#
        );
    }

    #[test]
    fn a_wish_is_seconds_or_a_date() {
        let now = 1_795_000_000_000;
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Wed, 18 Nov 2026 11:07:40 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Wed, 18 Nov 2020 11:07:40 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
