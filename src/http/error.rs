//! Errors on the wire, in the caller's dialect: OpenAI's `{"error":{"message","type","param","code"}}`,
//! Anthropic's or Gemini's.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use weir_wire::gemini::Framing;
use weir_wire::hub::Dialect;
use weir_wire::translate::Inbound;
use weir_wire::{anthropic, gemini};

use crate::error::ApiError;
use crate::flight::bounded;

/// 405; the answer's `allow` header names the methods that are accepted.
#[must_use]
pub fn wrong_method(method: &Method, path: &str) -> ApiError {
    let (method, path) = (bounded(method.as_str(), 32), bounded(path, 200));
    let message = format!("{path} does not accept {method}; the allow header names what it accepts");
    ApiError { status: StatusCode::METHOD_NOT_ALLOWED, ..ApiError::not_found("method_not_allowed", message) }
}

/// Left in a response's extensions, so that the flight's row names the error.
#[derive(Clone, Debug)]
pub struct Reported(pub ApiError);

/// Whose error shape an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voice {
    /// The form of the request.
    pub form: Inbound,
    /// How a Gemini stream was to be framed.
    pub framing: Framing,
}

impl Voice {
    /// Whose a request outside the data plane is: Gemini's by its path, or where Google's own client
    /// says `v1`; Anthropic's by the version that its clients send; else OpenAI's.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let form = match request.uri().path() {
            path if path.starts_with("/v1beta/") => Inbound::Gemini,
            _ if request.headers().contains_key("anthropic-version") => Inbound::Anthropic,
            _ if request.headers().contains_key("x-goog-api-client") => Inbound::Gemini,
            _ => Inbound::Chat,
        };
        Self { form, framing: Framing::Sse }
    }

    /// The answer that this error is. Anthropic's carry the request's id.
    #[must_use]
    pub fn say(self, error: ApiError, request_id: &str) -> Response {
        let body = self.body(&error, request_id);
        respond(error, body)
    }

    fn body(self, error: &ApiError, request_id: &str) -> Bytes {
        let status = error.status.as_u16();
        match self.form.dialect() {
            dialect @ (Dialect::Anthropic | Dialect::Gemini) if error.raw_for(dialect).is_some() => {
                error.raw_for(dialect).cloned().unwrap_or_default()
            }
            Dialect::Anthropic => anthropic::encode_error(status, &error.told(), Some(request_id)).into(),
            Dialect::Gemini => gemini::encode_error(status, &error.told(), self.framing).into(),
            _ => error.body(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = self.body();
        respond(self, body)
    }
}

fn respond(error: ApiError, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = error.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Anthropic's and Gemini's errors have no place for it.
    if let Ok(code) = HeaderValue::from_str(error.code()) {
        headers.insert("x-weir-error-code", code);
    }
    if let Some(wait) = error.retry_after {
        // Whole seconds are rounded up: a caller that comes back in time is admitted.
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_nanos().div_ceil(1_000_000_000) as u64));
        headers.insert("retry-after-ms", HeaderValue::from(wait.as_nanos().div_ceil(1_000_000) as u64));
    }
    if let Some(retry) = error.should_retry {
        headers.insert("x-should-retry", HeaderValue::from_static(if retry { "true" } else { "false" }));
    }
    response.extensions_mut().insert(Reported(error));
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn waits_are_rounded_up_and_useless_retries_are_named() {
        let error = ApiError::overloaded("full").after(Duration::from_micros(1_200_300)).no_retry();
        let response = error.into_response();
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["retry-after-ms"], "1201");
        assert_eq!(response.headers()["x-should-retry"], "false");
    }

    #[test]
    fn all_four_keys_are_always_there() {
        let body = ApiError::invalid("invalid_json", "no").body();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let keys: Vec<_> = value["error"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["message", "type", "param", "code"]);
    }
}
