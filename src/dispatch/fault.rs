//! Calls that go wrong on purpose. What happens to one is what its caller asked for, where the provider
//! allows it, and what the configuration's `chaos` has for its target. The answer, the attempt and the
//! record are those of a provider that behaves so: what was never sent costs nothing, and an answer that
//! breaks off is metered by what came of it.

mod spoil;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use weir_wire::gemini::Framing;
use weir_wire::hub::Dialect;
use weir_wire::{anthropic, gemini, openai_chat};

use super::Dispatcher;
use super::attempt::Trip;
use crate::error::ApiError;
use crate::faults::Faults;
use crate::snapshot::Target;
use crate::upstream::{Answer, AnswerBody, Call, Provider, SendError};

/// The header in which callers ask for faults.
pub const HEADER: &str = "x-weir-fault";
/// The code of an error that was made here.
const CODE: &str = "injected_fault";

/// The faults that a request asks for.
///
/// # Errors
/// 400 for what are none.
pub fn asked(client: &HeaderMap) -> Result<Option<Faults>, ApiError> {
    let Some(value) = client.get(HEADER) else { return Ok(None) };
    let text = value.to_str().map_err(|_| "it must be ASCII".to_owned());
    let faults = text.and_then(str::parse::<Faults>);
    let faults = faults.map_err(|why| ApiError::invalid("invalid_header", format!("{HEADER}: {why}")).param(HEADER))?;
    Ok(Some(faults).filter(|faults| !faults.is_nothing()))
}

/// Whether the faults that a request asks for may happen at one of its targets at least.
///
/// # Errors
/// 403 where no provider of them allows it.
pub fn check<'t>(
    asked: Option<&Faults>,
    targets: impl Iterator<Item = &'t Arc<Target>> + Clone,
) -> Result<(), ApiError> {
    let Some(asked) = asked else { return Ok(()) };
    let allows = |target: &&Arc<Target>| target.provider.faults_allowed && asked.are_for(&target.provider.id);
    if targets.clone().any(|target| allows(&target)) {
        return Ok(());
    }
    let mut names: Vec<&str> = targets.map(|target| &*target.provider.id).collect();
    names.dedup();
    let message = format!(
        "{HEADER} is not allowed at {}: leave it out, or set providers.NAME.faults to allowed in the configuration",
        names.join(", ")
    );
    Err(ApiError::forbidden("faults_not_allowed", message).param(HEADER))
}

impl Dispatcher {
    /// Sends a call, unless it is to go wrong.
    ///
    /// # Errors
    /// As the provider, or as one that is too late.
    pub(super) async fn send(
        &self,
        sender: &dyn Provider,
        mut call: Call,
        trip: &Trip,
        asked: Option<&Faults>,
    ) -> Result<Answer, SendError> {
        if asked.is_none() && trip.target.chaos.is_empty() {
            return sender.send(call).await;
        }
        let Some(faults) = self.struck(trip, asked) else { return sender.send(call).await };
        if let Some(delay) = faults.delay {
            // The provider has not heard of it: whoever leaves now owes it nothing.
            let prompt = trip.flight.draft().prompt.take();
            tokio::time::sleep(delay.min(call.first_byte)).await;
            trip.flight.draft().prompt = prompt;
            if delay >= call.first_byte {
                return Err(SendError::UnsentTimeout(call.first_byte));
            }
            call.first_byte -= delay;
        }
        if let Some(status) = faults.status {
            return Ok(refusal(status, trip.dialect));
        }
        Ok(spoil::spoiled(sender.send(call).await?, &faults))
    }

    /// What happens to this call, told in its answer's warnings, its row and the metrics.
    fn struck(&self, trip: &Trip, asked: Option<&Faults>) -> Option<Faults> {
        let provider = &trip.target.provider;
        let asked = asked.filter(|asked| asked.are_for(&provider.id));
        if asked.is_some() && !provider.faults_allowed {
            trip.flight.warn(format!("{HEADER} is ignored: provider {} does not allow it", provider.id));
        }
        let asked = asked.filter(|_| provider.faults_allowed).map(|faults| (faults, "request"));
        let chaos = trip.target.chaos.iter().map(|faults| (faults, "chaos"));
        let mut all: Option<Faults> = None;
        for (faults, origin) in asked.into_iter().chain(chaos).filter(|(faults, _)| faults.happen(&self.chance)) {
            for kind in faults.kinds() {
                trip.flight.metrics().fault_injected(&provider.id, kind, origin);
            }
            trip.flight.warn(format!("fault injected at {}: {faults} ({origin})", provider.id));
            all = Some(all.unwrap_or_default().or(faults));
        }
        all
    }
}

/// An error as the provider of this dialect would tell it.
fn refusal(status: StatusCode, dialect: Dialect) -> Answer {
    let message = "this failure was asked for (x-weir-fault or chaos)";
    let error = ApiError { status, ..ApiError::upstream(CODE, message.to_owned()) }.told();
    let code = status.as_u16();
    let body = match dialect {
        Dialect::Anthropic => anthropic::encode_error(code, &error, None),
        Dialect::Gemini => gemini::encode_error(code, &error, Framing::Sse),
        Dialect::OpenAiChat | Dialect::OpenAiResponses => openai_chat::encode_error(code, &error),
        Dialect::Bedrock | Dialect::Cohere => serde_json::json!({ "message": message }).to_string(),
        Dialect::Ollama => serde_json::json!({ "error": message }).to_string(),
    };
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))].into_iter().collect();
    Answer { status, headers, body: AnswerBody::whole(Bytes::from(body)) }
}
