//! Active health checks: a provider is asked how it is, with one of the gateway's own keys and without a caller's
//! request. Nothing is generated, so that nothing is spent and no row is written.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use weir_wire::fault::{ErrorClass, read_error};

use super::classify::wait;
use super::{Dispatcher, outcome};
use crate::clock::Clock;
use crate::flight::bounded;
use crate::meter::prom::Metrics;
use crate::snapshot::ProviderDef;
use crate::snapshot::check::{Check, Outcome, Report, Verdict};
use crate::upstream::body::{CollectError, collect};
use crate::upstream::{Answer, Call, CallBody, SendError};

/// So much of an answer is read, so that its connection can be used again; the rest is not waited for.
const MAX_BODY: usize = 256 * 1024;
/// Longest error that is kept, in bytes.
const MAX_ERROR: usize = 256;

/// What came back.
struct Said {
    outcome: Outcome,
    status: Option<StatusCode>,
    error: Option<String>,
    /// How long the key is to wait.
    wait: Option<Duration>,
}

impl Said {
    fn nothing(outcome: Outcome, error: String) -> Self {
        Self { outcome, status: None, error: Some(error), wait: None }
    }
}

impl Dispatcher {
    /// Asks a provider with one of its keys, and acts on the answer: its targets are left alone or asked again, and the
    /// key is taken out of use or brought back.
    pub async fn check(&self, provider: &ProviderDef, check: &Check, key: usize, clock: &Clock, metrics: &Metrics) {
        let started = clock.mono_ns();
        let said = match tokio::time::timeout(check.timeout, self.ask_how(provider, check, key, clock)).await {
            Ok(said) => said,
            Err(_) => Said::nothing(Outcome::Timeout, format!("no answer within {:?}", check.timeout)),
        };
        let now = clock.mono_ns();
        metrics.health_check(&provider.id, said.outcome.as_str());
        act_on_key(provider, key, &said, metrics, now);
        let report = Report {
            outcome: said.outcome,
            at: clock.unix_ms(),
            took: Duration::from_nanos(now.saturating_sub(started)),
            status: said.status.map(|status| status.as_u16()),
            key,
            error: said.error.map(|error| bounded(&error, MAX_ERROR)),
        };
        let why = report.error.clone().unwrap_or_default();
        match provider.live.checked.note(check, report, now) {
            Verdict::Nothing => {}
            Verdict::Hold => {
                let targets = provider.live.hold(check.hold_until(now));
                if targets > 0 {
                    tracing::warn!(provider = %provider.id, targets, "provider {} fails its health checks ({why}): {targets} of its models are left alone", provider.id);
                }
            }
            Verdict::Heal => {
                let targets = provider.live.heal();
                tracing::info!(provider = %provider.id, targets, "provider {} is well again by its health checks: {targets} of its models are asked again", provider.id);
            }
        }
    }

    async fn ask_how(&self, provider: &ProviderDef, check: &Check, key: usize, clock: &Clock) -> Said {
        let sender = self.senders.load().get(&provider.sender).cloned();
        let Some(sender) = sender else {
            return Said::nothing(Outcome::Unsigned, "a reload took its connections away".to_owned());
        };
        let call = Call {
            method: Method::GET,
            uri: check.uri.clone(),
            headers: headers(provider, key),
            body: CallBody::empty(),
            first_byte: check.timeout,
            connect: None,
            signer: None,
        };
        match sender.send(call).await {
            Err(SendError::FirstByteTimeout(after) | SendError::UnsentTimeout(after)) => {
                Said::nothing(Outcome::Timeout, format!("no answer within {after:?}"))
            }
            Err(error @ SendError::Credentials(_)) => Said::nothing(Outcome::Unsigned, error.to_string()),
            Err(error) => Said::nothing(Outcome::Failed, error.to_string()),
            Ok(answer) => read(answer, clock).await,
        }
    }
}

async fn read(mut answer: Answer, clock: &Clock) -> Said {
    let status = answer.status;
    let body = match collect(&mut answer.body, MAX_BODY).await {
        Ok(body) => body,
        // What is longer has still been answered.
        Err(CollectError::TooLarge) => Bytes::new(),
        // Not while the whole check has its own time.
        Err(CollectError::Stalled(after)) => {
            return Said::nothing(Outcome::Timeout, format!("it stalled for {after:?}"));
        }
        Err(CollectError::Broken(why)) => {
            return Said {
                status: Some(status),
                ..Said::nothing(Outcome::Failed, format!("its answer broke off: {why}"))
            };
        }
    };
    let outcome = judge(status, &answer.headers, &body);
    let wait = (outcome == Outcome::Throttled).then(|| wait::asked(&answer.headers, clock.unix_ms())).flatten();
    let error = (outcome != Outcome::Ok).then(|| format!("it answered {status}"));
    Said { outcome, status: Some(status), error, wait }
}

/// What an answer says. Below 500 it comes from somebody who is up, whatever they think of the path.
fn judge(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Outcome {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match status.as_u16() {
        401 => Outcome::Rejected,
        403 => Outcome::Denied,
        429 => Outcome::Throttled,
        // Google has 400 for a wrong key.
        400 if read_error(400, content_type, body).class == ErrorClass::Authentication => Outcome::Rejected,
        500.. => Outcome::Failed,
        _ => Outcome::Ok,
    }
}

/// The provider's own headers and the key.
fn headers(provider: &ProviderDef, key: usize) -> HeaderMap {
    let mut headers = provider.headers.clone();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some((name, value)) = provider.credentials.get(key).and_then(|credential| credential.header.as_ref()) {
        headers.insert(name.clone(), value.clone());
    }
    headers
}

/// A 403 says that the key may not ask this, which a key for generating alone need not: it stays in use.
fn act_on_key(provider: &ProviderDef, key: usize, said: &Said, metrics: &Metrics, now: u64) {
    let Some(credential) = provider.credentials.get(key) else { return };
    match said.outcome {
        Outcome::Rejected => {
            credential.health.check_refused();
            outcome::rejected(provider, key, metrics, now);
        }
        Outcome::Throttled => said.wait.into_iter().for_each(|wait| credential.health.cool(wait, now)),
        Outcome::Ok => {
            if credential.health.check_served() {
                let number = key + 1;
                tracing::info!(provider = %provider.id, key = number, "provider {} takes its upstream key number {number} again", provider.id);
            }
        }
        Outcome::Failed | Outcome::Timeout | Outcome::Denied | Outcome::Unsigned => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_answers_below_500_is_up() {
        let judged = |status: u16, body: &'static str| {
            judge(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), &Bytes::from_static(body.as_bytes()))
        };
        for status in [200, 204, 301, 400, 404, 405, 422] {
            assert_eq!(judged(status, "{}"), Outcome::Ok, "{status}");
        }
        for status in [500, 502, 503, 529] {
            assert_eq!(judged(status, "{}"), Outcome::Failed, "{status}");
        }
        assert_eq!(judged(401, ""), Outcome::Rejected);
        assert_eq!(judged(403, ""), Outcome::Denied);
        assert_eq!(judged(429, ""), Outcome::Throttled);
        let google = r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;
        assert_eq!(judged(400, google), Outcome::Rejected);
    }
}
