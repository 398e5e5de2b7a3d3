//! Whether a request is copied for its route's shadow, and what is read of its answer then.

use std::sync::Arc;

use axum::body::Body;
use http::HeaderMap;
use weir_wire::gemini::Framing;

use crate::dispatch::shadow::{Billed, Form, Heard, Pair, Side, Watched};
use crate::dispatch::{Job, Reply, ReplyBody};
use crate::error::ApiError;
use crate::http::layers::callers_line;
use crate::record::Status;
use crate::snapshot::Shadow;
use crate::state::Gateway;

/// An answer that comes bit by bit, and is read as it passes.
pub(super) struct Watching {
    form: Form,
    pair: Arc<Pair>,
}

impl Watching {
    /// The body, read for the comparison.
    pub(super) fn around(self, body: Body) -> Body {
        Body::new(Watched::new(body, self.form, self.pair))
    }
}

/// Leaves a copy of a request whose plan was walked, if its route has a shadow and chance wants it. What was refused
/// before anybody answered is not copied.
pub(super) fn copied(gateway: &Gateway, job: &Job, answer: Result<&Reply, &ApiError>) -> Option<Watching> {
    let shadow = job.shadow.as_ref()?;
    let was_asked = match answer {
        Ok(_) => true,
        Err(error) => matches!(error.outcome, Status::UpstreamError | Status::Timeout),
    };
    if !was_asked || gateway.chance.unit() * 100.0 >= f64::from(shadow.percent) {
        return None;
    }
    // A copy holds its request's body for as long as it waits.
    if gateway.config.load().routing.max_shadows == 0 || gateway.body_memory.is_half_full() {
        gateway.meter.metrics.shadow("dropped");
        return None;
    }
    let pair = gateway.shadows.copy(job, shadow, shadow.bill.then(|| billed(job)))?;
    job.flight.draft().witness = Some(pair.witness(Side::Original));
    watch(job, answer.ok(), pair)
}

/// What is known of the answer at once is noted; the rest is to be watched.
fn watch(job: &Job, answer: Option<&Reply>, pair: Arc<Pair>) -> Option<Watching> {
    let Some(reply) = answer else {
        pair.heard(Side::Original, Heard::nothing());
        return None;
    };
    let form = form(job, &reply.headers)?;
    match &reply.body {
        ReplyBody::Whole(body) => {
            pair.heard(Side::Original, Heard::whole(form, body.peek().unwrap_or_default()));
            None
        }
        ReplyBody::Stream(_) | ReplyBody::Raw(_) => Some(Watching { form, pair }),
    }
}

fn form(job: &Job, headers: &HeaderMap) -> Option<Form> {
    let array = job.peek.stream && job.framing == Framing::Array;
    Some(Form::of(job.operation.inbound()?, headers, array))
}

fn billed(job: &Job) -> Billed {
    let draft = job.flight.draft();
    let experiment = job.plan.iter().filter_map(|step| step.route.experiment.as_deref()).next();
    let tags = draft.tags.iter().filter(|(name, _)| Some(name.as_str()) != experiment).cloned().collect();
    let (caller, end_user) = (draft.caller.clone(), draft.end_user.clone());
    drop(draft);
    let line = caller.as_ref().map(|caller| callers_line(&job.flight, caller)).unwrap_or_default();
    Billed { caller, line, end_user, tags }
}

/// What explains a shadow.
pub(super) fn explained(shadow: &Shadow) -> serde_json::Value {
    serde_json::json!({"target": &*shadow.target.name, "percent": shadow.percent, "bill": shadow.bill})
}
