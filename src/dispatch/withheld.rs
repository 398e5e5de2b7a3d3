//! Answers that a filter withheld: good ones by their status, and nobody's use by what they say.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use weir_wire::fault::ErrorClass;
use weir_wire::hub::Dialect;
use weir_wire::rules::UsageRules;
use weir_wire::usage::Usage;

use super::attempt::Trip;
use super::outcome::Blame;
use super::{Failed, Job, Next, WORTH_A_TRY, translation};
use crate::error::ApiError;
use crate::record::Status;
use crate::route::plan::Step;
use crate::snapshot::Operation;

/// Whether somebody else is asked when the filter of this step's target withholds the answer.
pub(super) fn goes_on(job: &Job, step: &Step) -> bool {
    !job.on_content_filter.is_empty()
        && !matches!(job.operation, Operation::Embeddings | Operation::EmbedContent | Operation::Rerank)
        && job.plan.iter().any(|planned| std::ptr::eq(planned, step))
        && job.time_left() >= WORTH_A_TRY
}

/// Whether a whole answer says nothing because of what it, or its prompt, is about.
pub(super) fn is_withheld(dialect: Dialect, body: &Bytes, rules: &Arc<UsageRules>) -> bool {
    translation::decode(dialect, body, false, rules).is_ok_and(|answer| translation::facts(&answer).withheld())
}

/// The failure that sends the request on. The target did what it does: it is not unwell, and what it used is paid.
pub(super) fn failed(trip: &mut Trip, usage: Option<Usage>) -> Failed {
    trip.arrived();
    trip.succeeded();
    let prompt_tokens = trip.flight.draft().prompt_tokens;
    let used = usage.unwrap_or(Usage { input: prompt_tokens, ..Usage::default() });
    trip.flight.sink(trip.target.price.as_deref(), &used, usage.is_none());
    let message = format!("provider {}: its filter withheld the answer", trip.target.provider.id);
    let error = ApiError {
        class: ErrorClass::ContentFilter,
        outcome: Status::ClientError,
        ..ApiError::new(StatusCode::BAD_REQUEST, "invalid_request_error", "content_filter", message)
    };
    Failed { error, next: Next::Stop, blame: Blame::Nobody }
}
