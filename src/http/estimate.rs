//! `POST /v1/estimate`: what a request would cost at each of its targets, without asking any.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::response::Response;
use http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use weir_wire::hub::{BuiltIn, Request, ToolKind};
use weir_wire::usage::Usage;

use super::body::{self, BodyLimits};
use super::generate::{self, Ask};
use crate::clock::UnixMs;
use crate::dispatch::afford::{self, Bound};
use crate::dispatch::{Job, count};
use crate::error::ApiError;
use crate::flight::Flight;
use crate::money::NanoUsd;
use crate::price::Prices;
use crate::record::Status;
use crate::snapshot::{Operation, Target};
use crate::state::Gateway;
use crate::store::usage::{Filter, totals};

/// How far back a caller's own answers are averaged.
const HISTORY_DAYS: i64 = 30;
const DAY: UnixMs = 24 * 60 * 60 * 1000;
/// The answer that is expected of a caller that has none to average.
const USUAL_OUTPUT: u64 = 500;

/// Estimates a request in the form of OpenAI's chat or responses, or of Anthropic's messages.
///
/// # Errors
/// As the request itself would be refused, before it reaches a provider.
pub async fn serve(gateway: &Gateway, flight: &Arc<Flight>, request: HttpRequest) -> Result<Response, ApiError> {
    let (mut head, body) = request.into_parts();
    let bytes = body::read(gateway, &head.headers, body, BodyLimits::of(gateway)).await?;
    // It is read once more, as it is now.
    head.headers.remove(header::CONTENT_ENCODING);
    head.headers.remove(header::CONTENT_LENGTH);
    let ask = Ask::from(operation(&head.headers, &bytes));
    let job = generate::planned(gateway, flight, head.headers, Body::from(bytes), ask).await?;
    flight.draft().stream = false;
    let request = job.hub()?;
    let past = Past::of(gateway, flight, &job).await;
    let mut targets = Vec::with_capacity(job.plan.len());
    for step in &job.plan {
        let target = &step.target;
        if step.skip.is_some() {
            continue;
        }
        let sized = Sized::of(&job, request, target).await?;
        targets.push(sized.priced(&job, target, &past, flight.at));
    }
    flight.conclude(Status::Ok);
    let answer = json!({
        "object": "estimate",
        "model": job.peek.model,
        "expected_output": past.told(),
        "excludes": if runs_tools(request) { json!([OTHER_TOOLS]) } else { json!([]) },
        "targets": targets,
    });
    Ok(generate::json(answer.to_string()))
}

/// The form of the body: Anthropic's SDKs name their version, and a prompt of responses is `input`.
pub fn operation(headers: &HeaderMap, body: &[u8]) -> Operation {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Shape {
        messages: Option<IgnoredAny>,
        input: Option<IgnoredAny>,
    }
    if headers.contains_key("anthropic-version") {
        return Operation::Messages;
    }
    // What cannot be read is refused as a chat.
    match serde_json::from_slice::<Shape>(body) {
        Ok(Shape { messages: None, input: Some(_) }) => Operation::Responses,
        _ => Operation::Chat,
    }
}

/// What is no part of the worst case: no answer tells how often they were called, so no price of theirs is
/// billed.
const OTHER_TOOLS: &str = "tools that the provider runs, other than searches of the web";

/// Whether there are such tools.
fn runs_tools(request: &Request) -> bool {
    let other = |tool: &BuiltIn| !tool.name.to_ascii_lowercase().contains("search");
    request.tools.iter().any(|tool| matches!(&tool.kind, ToolKind::BuiltIn(tool) if other(tool)))
}

/// What the caller's own requests for the model have had of late.
#[derive(Default)]
struct Past {
    requests: u64,
    output: u64,
    input: u64,
    cached: u64,
}

impl Past {
    /// Nothing is known while the database is away; an estimate does not need it.
    async fn of(gateway: &Gateway, flight: &Flight, job: &Job) -> Self {
        let key_id = flight.draft().caller.as_ref().map(|caller| caller.key.id.clone());
        let from = (flight.at / DAY - HISTORY_DAYS) * DAY;
        let filter = Filter {
            from: Some(from),
            key_id,
            model: job.peek.model.clone(),
            status: Some(Status::Ok),
            endpoint: Some(job.operation.endpoint().to_owned()),
            ..Filter::default()
        };
        match totals(&gateway.db, &filter, &[]).await {
            Ok(found) => found.first().map_or_else(Self::default, |total| Self {
                requests: total.sums.requests,
                output: total.sums.usage.output,
                input: total.sums.usage.input,
                cached: total.sums.usage.cached,
            }),
            Err(error) => {
                tracing::warn!(%error, "an estimate goes without the caller's history: {error}");
                Self::default()
            }
        }
    }

    /// Tokens of one answer, of at most so many.
    fn output(&self, most: Option<u64>) -> u64 {
        let average = if self.requests == 0 { USUAL_OUTPUT } else { self.output.div_ceil(self.requests) };
        most.map_or(average, |most| average.min(most))
    }

    /// The part of a prompt that is expected to come from the provider's cache.
    fn cached(&self, prompt: u64) -> u64 {
        let part = u128::from(prompt) * u128::from(self.cached.min(self.input));
        u64::try_from(part.checked_div(u128::from(self.input)).unwrap_or(0)).unwrap_or(prompt)
    }

    fn told(&self) -> Value {
        match self.requests {
            0 => json!({"basis": "default", "tokens": USUAL_OUTPUT}),
            requests => {
                json!({"basis": "history", "tokens": self.output(None), "requests": requests, "days": HISTORY_DAYS})
            }
        }
    }
}

/// How large the request is for a target.
struct Sized {
    input: u64,
    counted_by: String,
    /// The most that it can use: what budgets must have room for.
    bound: Bound,
}

impl Sized {
    async fn of(job: &Job, request: &Request, target: &Target) -> Result<Self, ApiError> {
        let input = count::counted_here(request, target).await.map_err(|failed| failed.error)?;
        let tokenizer = target.info.as_ref().and_then(|info| info.tokenizer.clone());
        let counted_by = tokenizer.filter(|_| count::is_exact(target)).unwrap_or_else(|| "size".to_owned());
        Ok(Self { input, counted_by, bound: afford::bound(job, target).counted().await })
    }

    fn priced(&self, job: &Job, target: &Target, past: &Past, at: UnixMs) -> Value {
        let answers = job.peek.n.unwrap_or(1).max(1);
        let expected = past.output(Some(self.bound.output / answers)).saturating_mul(answers);
        let price = target.price.as_deref();
        let usage = Usage { input: self.input, cached: past.cached(self.input), output: expected, ..Usage::default() };
        let cost = price.map(|price| price.cost(&usage, job.peek.service_tier.as_deref(), at));
        json!({
            "target": &*target.name,
            "input_tokens": self.input,
            "counted_by": self.counted_by,
            "output_tokens": expected,
            "expected_usd": cost.filter(|cost| !cost.unpriced).map(|cost| cost.nano),
            "most_input_tokens": self.bound.all_input(),
            "most_web_searches": self.bound.web_searches,
            "most_output_tokens": self.bound.output,
            "worst_usd": price.map(|price| self.bound.cost(price, NanoUsd(0))),
            "assumes": self.bound.assumptions(),
            "price_version": price.map(Prices::version),
            "unpriced": cost.is_none_or(|cost| cost.unpriced),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_body_is_seen() {
        let plain = HeaderMap::new();
        let mut anthropic = HeaderMap::new();
        anthropic.insert("anthropic-version", header::HeaderValue::from_static("2023-06-01"));
        assert_eq!(operation(&plain, br#"{"messages":[],"input":1}"#), Operation::Chat);
        assert_eq!(operation(&plain, br#"{"input":"x"}"#), Operation::Responses);
        assert_eq!(operation(&plain, b"{"), Operation::Chat);
        assert_eq!(operation(&anthropic, br#"{"messages":[]}"#), Operation::Messages);
    }

    #[test]
    fn the_past_says_what_to_expect() {
        let past = Past { requests: 3, output: 100, input: 1_000, cached: 250 };
        assert_eq!((past.output(None), past.output(Some(10)), past.cached(400)), (34, 10, 100));
        let none = Past::default();
        assert_eq!((none.output(None), none.output(Some(10)), none.cached(400)), (500, 10, 0));
        let huge = Past { requests: 1, output: u64::MAX, input: u64::MAX, cached: u64::MAX };
        assert_eq!((huge.output(None), huge.cached(u64::MAX)), (u64::MAX, u64::MAX));
    }
}
