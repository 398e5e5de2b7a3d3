//! What an upstream's failure means for the client and for the next try.

pub(super) mod wait;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use weir_wire::fault::{ErrorClass, UpstreamError, read_typed_error};
use weir_wire::hub::Dialect;
use weir_wire::openai_chat;

use super::outcome::{Blame, of_timeout};
use super::{Failed, Next};
use crate::clock::UnixMs;
use crate::error::ApiError;
use crate::record::Status;
use crate::snapshot::ProviderDef;
use crate::upstream::{BodyFault, SendError};

/// A call that has no answer.
#[must_use]
pub fn send_error(provider: &ProviderDef, error: &SendError) -> Failed {
    let message = format!("provider {}: {error}", provider.id);
    match error {
        SendError::Connect(_) => {
            Failed { error: ApiError::upstream("upstream_error", message), next: Next::AtOnce, blame: Blame::Target }
        }
        SendError::ConnectTimeout(waited) => Failed {
            error: ApiError::upstream("upstream_error", message),
            next: Next::AtOnce,
            blame: of_timeout(*waited, provider.timeouts.connect),
        },
        SendError::Unprocessed => {
            Failed { error: ApiError::upstream("upstream_error", message), next: Next::AtOnce, blame: Blame::Nobody }
        }
        SendError::Broken(_) => {
            Failed { error: ApiError::upstream("upstream_error", message), next: Next::Again, blame: Blame::Target }
        }
        SendError::FirstByteTimeout(waited) | SendError::UnsentTimeout(waited) => {
            let blame = of_timeout(*waited, provider.timeouts.first_byte.min(provider.timeouts.total));
            let sent = matches!(error, SendError::FirstByteTimeout(_));
            let next = if sent { Next::Unanswered } else { Next::OtherTarget };
            Failed { error: ApiError::upstream_timeout(message), next, blame }
        }
        SendError::ClientBody(fault) => Failed { error: client_body(fault), next: Next::Stop, blame: Blame::Nobody },
        SendError::Credentials(_) => no_credentials(provider, message),
    }
}

/// The gateway could not sign the call. Asking the same target again would fail the same way.
fn no_credentials(provider: &ProviderDef, message: String) -> Failed {
    tracing::error!(provider = %provider.id, "{message}");
    Failed {
        error: ApiError::upstream("upstream_credentials_rejected", message).no_retry(),
        next: Next::OtherTarget,
        blame: Blame::Nobody,
    }
}

/// A client's body that broke off while it was passed on.
#[must_use]
pub fn client_body(fault: &BodyFault) -> ApiError {
    match fault {
        BodyFault::TooLarge(limit) => ApiError::too_large(*limit, "server.upload_limit"),
        BodyFault::Stalled(_) | BodyFault::Slow(_) => {
            let error = ApiError::invalid("request_timeout", format!("the request body: {fault}"));
            ApiError { status: StatusCode::REQUEST_TIMEOUT, ..error }
        }
        BodyFault::Incomplete | BodyFault::BadFraming(_) => {
            ApiError::invalid("incomplete_body", format!("the request body: {fault}"))
        }
        BodyFault::Malformed(how) => {
            ApiError::invalid("invalid_multipart", format!("the multipart body cannot be read: {how}"))
        }
    }
}

/// An answer with an error status, of this dialect.
#[must_use]
pub fn error_answer(
    provider: &ProviderDef,
    dialect: Dialect,
    status: StatusCode,
    headers: &HeaderMap,
    body: &Bytes,
    now: UnixMs,
) -> Failed {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let kind = headers.get("x-amzn-errortype").and_then(|v| v.to_str().ok());
    let told = in_openais_words(dialect, status, read_typed_error(status.as_u16(), content_type, kind, body));
    let retry_after =
        wait::asked(headers, now).or(told.retry_after_ms.map(|ms| Duration::from_millis(ms).min(wait::MAX)));
    let mut failed = by_status(provider, status, &told);
    failed.error.retry_after = retry_after.or(failed.error.retry_after);
    if let Blame::Throttled(wait) = &mut failed.blame {
        *wait = retry_after;
    }
    if passes_unchanged(status) && is_complete_error(dialect, body) && !provider.secrets.are_in(body) {
        failed.error.raw = Some((dialect, body.clone()));
    }
    failed
}

/// An error that an upstream reports inside a 200.
#[must_use]
pub fn in_band(provider: &ProviderDef, told: &UpstreamError) -> Failed {
    let status = told.status().filter(|s| (400..600).contains(s)).or(told.class.status());
    let status = status.and_then(|s| StatusCode::from_u16(s).ok());
    by_status(provider, status.unwrap_or(StatusCode::BAD_GATEWAY), told)
}

/// What an upstream says, without the gateway's credentials, which careless ones repeat.
#[must_use]
pub fn masked(provider: &ProviderDef, told: &UpstreamError) -> UpstreamError {
    let mask = |text: &String| provider.secrets.mask(text).unwrap_or_else(|| text.clone());
    UpstreamError {
        message: mask(&told.message),
        kind: told.kind.as_ref().map(mask),
        param: told.param.as_ref().map(mask),
        code: told.code.as_ref().map(mask),
        class: told.class,
        retry_after_ms: told.retry_after_ms,
    }
}

/// Other dialects' types and codes say nothing to clients of OpenAI's, whose words a row has too.
fn in_openais_words(dialect: Dialect, status: StatusCode, told: UpstreamError) -> UpstreamError {
    if matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses) {
        return told;
    }
    let (kind, code) = openai_chat::error_words(status.as_u16(), &told);
    UpstreamError { kind: Some(kind), code, ..told }
}

/// Whether the provider or the account failed, whatever the status says: AWS, for one, has 400 for
/// throttling.
fn is_theirs(class: ErrorClass) -> bool {
    matches!(
        class,
        ErrorClass::RateLimit | ErrorClass::Quota | ErrorClass::Overloaded | ErrorClass::Timeout | ErrorClass::Server
    )
}

fn by_status(provider: &ProviderDef, status: StatusCode, told: &UpstreamError) -> Failed {
    let told = &masked(provider, told);
    match status.as_u16() {
        300..400 => redirect(provider, status),
        401 => credentials(provider, status, Blame::Rejected),
        403 if told.class != ErrorClass::Quota => credentials(provider, status, Blame::Denied),
        403 => credentials(provider, status, Blame::Throttled(None)),
        // Google has 400 for a wrong key.
        400 if told.class == ErrorClass::Authentication => credentials(provider, status, Blame::Rejected),
        400..500 if is_theirs(told.class) => {
            let error = passed_on(status, told, Status::UpstreamError);
            let blame = match told.class {
                ErrorClass::RateLimit | ErrorClass::Quota => Blame::Throttled(None),
                _ => Blame::Target,
            };
            Failed { error, next: Next::OtherTarget, blame }
        }
        404 | 400 | 402 | 405..408 | 410..429 | 430..500 => {
            Failed { error: passed_on(status, told, Status::ClientError), next: Next::Stop, blame: Blame::Nobody }
        }
        429 => {
            let error = passed_on(status, told, Status::UpstreamError);
            Failed { error, next: Next::OtherTarget, blame: Blame::Throttled(None) }
        }
        _ => Failed { error: passed_on(status, told, Status::UpstreamError), next: Next::Again, blame: Blame::Target },
    }
}

/// Redirects are never followed: the credentials would go along.
fn redirect(provider: &ProviderDef, status: StatusCode) -> Failed {
    let message = format!(
        "provider {} answered with a redirect ({status}), which is not followed; check its base_url",
        provider.id
    );
    Failed { error: ApiError::upstream("upstream_error", message), next: Next::OtherTarget, blame: Blame::Nobody }
}

/// The caller's key is fine, ours is not: never a 401 for the caller, and none of the upstream's
/// text, which tends to repeat the key.
fn credentials(provider: &ProviderDef, status: StatusCode, blame: Blame) -> Failed {
    tracing::error!(provider = %provider.id, %status, "provider {} refuses the gateway's credentials ({status})", provider.id);
    let message = format!(
        "provider {} refused the gateway's credentials; the operator of the gateway must correct them",
        provider.id
    );
    let error = ApiError::upstream("upstream_credentials_rejected", message).no_retry();
    Failed { error, next: Next::OtherTarget, blame }
}

fn passed_on(status: StatusCode, told: &UpstreamError, outcome: Status) -> ApiError {
    let kind = told.kind.clone().unwrap_or_else(|| default_kind(status).to_owned());
    ApiError {
        status,
        kind: kind.into(),
        code: told.code.clone().map(Into::into),
        param: told.param.clone().map(Into::into),
        message: told.message.clone(),
        retry_after: None,
        should_retry: None,
        outcome,
        class: told.class,
        raw: None,
    }
}

fn default_kind(status: StatusCode) -> &'static str {
    if status.is_client_error() { "invalid_request_error" } else { "upstream_error" }
}

fn passes_unchanged(status: StatusCode) -> bool {
    !matches!(status.as_u16(), 300..=399 | 401 | 403)
}

/// Whether a body is the dialect's error object with all its keys, so that it may pass byte for byte.
fn is_complete_error(dialect: Dialect, body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Envelope {
        error: std::collections::HashMap<String, serde::de::IgnoredAny>,
    }
    let keys: &[&str] = match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => &["message", "type", "param", "code"],
        Dialect::Anthropic => &["message", "type"],
        Dialect::Gemini => &["message", "code", "status"],
        Dialect::Bedrock | Dialect::Cohere | Dialect::Ollama => return false,
    };
    serde_json::from_slice::<Envelope>(body).is_ok_and(|e| keys.iter().all(|key| e.error.contains_key(*key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigSource, Format};
    use crate::snapshot::Snapshot;

    #[test]
    fn a_call_that_cannot_be_signed_goes_to_another_target() {
        let source = ConfigSource::Text { name: "test".into(), text: "{}".into(), format: Format::Yaml };
        let config = Config::load(&source, &|_| None, &crate::cli::known()).unwrap();
        let snapshot = Snapshot::build(&config, &|_| None, 0).unwrap();
        let failed = send_error(&snapshot.providers["demo"], &SendError::Credentials("set AWS_REGION".to_owned()));
        assert!(matches!(failed.next, Next::OtherTarget));
        let error = failed.error;
        assert_eq!(error.code(), "upstream_credentials_rejected");
        assert_eq!((error.status, error.should_retry), (StatusCode::BAD_GATEWAY, Some(false)));
        assert_eq!(error.message, "provider demo: the gateway has no credentials to send: set AWS_REGION");
    }
}
