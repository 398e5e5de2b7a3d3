//! What goes wrong with a request, in one form: a status, a code, a text for the caller.
//!
//! The text names the input and the fix and never holds a secret. Each dialect writes it in its own
//! shape (`http/error.rs`); the row keeps code and text.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use weir_wire::fault::{ErrorClass, UpstreamError};
use weir_wire::hub::Dialect;

use crate::record::Status;

/// A refusal or failure on its way to the caller.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// OpenAI's `type`.
    pub kind: Cow<'static, str>,
    /// OpenAI's `code`.
    pub code: Option<Cow<'static, str>>,
    /// The field that is wrong.
    pub param: Option<Cow<'static, str>>,
    /// What is wrong and what to do.
    pub message: String,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
    /// `false` tells SDKs not to try again.
    pub should_retry: Option<bool>,
    /// The row's status.
    pub outcome: Status,
    /// What sort of failure it is, as far as the upstream told; else its status says it.
    pub class: ErrorClass,
    /// The upstream's own error body and its dialect, when it is complete: callers of that dialect get
    /// it as it is.
    pub raw: Option<(Dialect, Bytes)>,
}

impl ApiError {
    /// An error with a status, a `type` and a code.
    #[must_use]
    pub fn new(
        status: StatusCode,
        kind: impl Into<Cow<'static, str>>,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind: kind.into(),
            code: Some(code.into()),
            param: None,
            message: message.into(),
            retry_after: None,
            should_retry: None,
            outcome: Status::Rejected,
            class: ErrorClass::Unknown,
            raw: None,
        }
    }

    /// 400: the request itself is wrong.
    #[must_use]
    pub fn invalid(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", code, message)
    }

    /// 401.
    #[must_use]
    pub fn unauthorized(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", code, message).no_retry()
    }

    /// 403.
    #[must_use]
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "invalid_request_error", code, message).no_retry()
    }

    /// 404.
    #[must_use]
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", code, message).no_retry()
    }

    /// 413; `setting` is the key of the configuration that sets the limit.
    #[must_use]
    pub fn too_large(limit: u64, setting: &str) -> Self {
        let message = format!("the request body is larger than {limit} bytes, this gateway's limit ({setting})");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", "request_too_large", message).no_retry()
    }

    /// 503 with a time to come back.
    #[must_use]
    pub fn overloaded(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "overloaded", message).after(Duration::from_secs(1))
    }

    /// 503: the database that would know is away. Never "invalid key" for a key that could not be
    /// checked.
    #[must_use]
    pub fn database_away() -> Self {
        let message = "the gateway's database is not reachable; try again shortly";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "database_unavailable", message)
            .after(Duration::from_secs(2))
    }

    /// 503: the limits are kept elsewhere, which does not answer, and nobody may pass then
    /// (`redis.on_failure: refuse`).
    #[must_use]
    pub fn limits_unavailable() -> Self {
        let message = "limits cannot be checked at the moment, so nothing is accepted; try again shortly";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "limits_unavailable", message)
            .after(Duration::from_secs(1))
    }

    /// 502: an upstream failed.
    #[must_use]
    pub fn upstream(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::BAD_GATEWAY, "upstream_error", code, message);
        Self { outcome: Status::UpstreamError, ..error }
    }

    /// 504: an upstream took too long.
    #[must_use]
    pub fn upstream_timeout(message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::GATEWAY_TIMEOUT, "upstream_error", "upstream_timeout", message);
        Self { outcome: Status::Timeout, ..error }
    }

    /// Names the field.
    #[must_use]
    pub fn param(self, param: impl Into<Cow<'static, str>>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// Says when to come back.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// Says that trying again is useless.
    #[must_use]
    pub fn no_retry(self) -> Self {
        Self { should_retry: Some(false), ..self }
    }

    /// The upstream's own body, for a caller of its dialect. OpenAI's two dialects have one shape.
    #[must_use]
    pub fn raw_for(&self, dialect: Dialect) -> Option<&Bytes> {
        let shape = |dialect| if dialect == Dialect::OpenAiResponses { Dialect::OpenAiChat } else { dialect };
        self.raw.as_ref().filter(|(own, _)| shape(*own) == shape(dialect)).map(|(_, body)| body)
    }

    /// The parts that every dialect's error is made of.
    #[must_use]
    pub fn told(&self) -> UpstreamError {
        UpstreamError {
            message: self.message.clone(),
            kind: Some(self.kind.clone().into_owned()),
            param: self.param.clone().map(Cow::into_owned),
            code: self.code.clone().map(Cow::into_owned),
            class: match self.class {
                ErrorClass::Unknown => ErrorClass::of_status(self.status.as_u16()),
                class => class,
            },
            retry_after_ms: self.retry_after.and_then(|wait| u64::try_from(wait.as_millis()).ok()),
        }
    }

    /// OpenAI's error object in JSON, all four keys always.
    #[must_use]
    pub fn body(&self) -> Bytes {
        if let Some(raw) = self.raw_for(Dialect::OpenAiChat) {
            return raw.clone();
        }
        serde_json::json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
        .to_string()
        .into()
    }

    /// The code, or the type where there is none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or(&self.kind)
    }
}
