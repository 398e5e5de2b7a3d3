//! Why a request goes where it goes: the steps of its plan as dispatch walks them.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use serde_json::{Value, json};

use super::{Ask, planned};
use crate::clock::MonoNs;
use crate::dispatch::Job;
use crate::dispatch::hedge::{Hedging, hedging};
use crate::error::ApiError;
use crate::flight::{Caller, Flight};
use crate::gate::keys::KeySlot;
use crate::gate::limit::{Remaining, Scope};
use crate::http::admin::limits;
use crate::http::body::{self, BodyLimits};
use crate::http::query::Params;
use crate::http::{estimate, layers};
use crate::route::plan::{Skip, Step};
use crate::snapshot::breaker::State as Breaker;
use crate::state::{Gateway, Shared, key_data};
use crate::store::keys;

/// Longest explanation in a header; of a longer one the tail is left out.
const MAX_HEADER: usize = 4096;
/// The request's and the answer's header.
pub(super) const HEADER: &str = "x-weir-explain";

/// `POST /admin/v1/routes/explain`: the plan of the body, as a key's request (`?key_id=`) or nobody's. No
/// upstream is asked.
///
/// # Errors
/// As the request itself would be refused.
pub async fn serve(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let params = Params::read(request.uri().query(), &["key_id"])?;
    let (mut head, body) = request.into_parts();
    let bytes = body::read(&gateway, &head.headers, body, BodyLimits::of(&gateway)).await?;
    head.headers.remove(header::CONTENT_ENCODING);
    head.headers.remove(header::CONTENT_LENGTH);
    let ask = Ask::from(estimate::operation(&head.headers, &bytes));
    let endpoint = ask.operation.endpoint();
    let id = uuid::Uuid::nil().to_string();
    let flight = Flight::unrecorded(id, endpoint, gateway.meter.clone());
    if let Some(id) = params.get("key_id") {
        flight.draft().caller = Some(caller(&gateway, id).await?);
    }
    flight.draft().tags = layers::tags(&head.headers)?;
    let job = planned(&gateway, &flight, head.headers, Body::from(bytes), ask).await?;
    let answer = json!({"object": "route.explanation", "model": job.peek.model, "endpoint": endpoint,
        "prompt_tokens": job.prompt_tokens, "strict": job.strict, "steps": steps(&job, flight.now()),
        "on_context_length": listed(&job, &job.on_context_length, flight.now()),
        "on_content_filter": listed(&job, &job.on_content_filter, flight.now()),
        "hedge": hedging(&job, &job.plan).map(|hedging| hedge(&hedging)),
        "caller_limits": caller_limits(&flight)});
    Ok(super::json(answer.to_string()).into_response())
}

async fn caller(gateway: &Gateway, id: &str) -> Result<Caller, ApiError> {
    if let Some(slot) = gateway.keys.slot(id) {
        return Ok(Caller { key: slot.data(), slot });
    }
    let row = keys::get(&gateway.db, id).await.map_err(|_| ApiError::database_away())?;
    let unknown =
        || ApiError::not_found("key_not_found", format!("there is no key '{}'", crate::flight::bounded(id, 64)));
    let data =
        key_data(row.ok_or_else(unknown)?).map_err(|why| ApiError::invalid("invalid_key", why).param("key_id"))?;
    let slot = std::sync::Arc::new(KeySlot::new(data, false, gateway.clock().mono_ns()));
    Ok(Caller { key: slot.data(), slot })
}

/// The plan in a header's form: short, and ASCII.
pub(super) fn header_value(job: &Job, now: MonoNs) -> HeaderValue {
    let mut short: Vec<Value> = job.plan.iter().map(|step| brief(step, now)).collect();
    loop {
        let text = ascii(&json!(short).to_string());
        if text.len() <= MAX_HEADER || short.is_empty() {
            return HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("[]"));
        }
        short.pop();
    }
}

fn brief(step: &Step, now: MonoNs) -> Value {
    let mut out = json!({"target": &*step.target.name, "route": &*step.route.name,
        "strategy": step.route.strategy, "breaker": step.target.health.state(now).as_str()});
    if !step.score.of.is_empty() {
        out[step.score.of] = step.score.value.into();
    }
    if let Some(skip) = &step.skip {
        out["skipped"] = skip.to_string().into();
    }
    if step.forced {
        out["last_resort"] = true.into();
    }
    out
}

/// Control characters and what is not ASCII as JSON escapes.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii_graphic() || c == ' ' {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

fn steps(job: &Job, now: MonoNs) -> Vec<Value> {
    listed(job, &job.plan, now)
}

fn listed(job: &Job, steps: &[Step], now: MonoNs) -> Vec<Value> {
    let mut place = 0;
    steps
        .iter()
        .map(|step| {
            place += usize::from(step.skip.is_none());
            full(job, step, place, now)
        })
        .collect()
}

fn full(job: &Job, step: &Step, place: usize, now: MonoNs) -> Value {
    let (target, health) = (&step.target, &step.target.health);
    let open_for = match health.state(now) {
        Breaker::Open(until) => until.saturating_sub(now) / 1_000_000,
        Breaker::Closed | Breaker::HalfOpen(_) => 0,
    };
    let cost = target.price.as_ref().map(|price| price.cost(&job.expected, None, job.flight.at).nano.to_string());
    json!({
        "target": &*target.name,
        "id": &*target.id,
        "route": &*step.route.name,
        "strategy": step.route.strategy,
        "place": if step.skip.is_none() { json!(place) } else { Value::Null },
        "score": if step.score.of.is_empty() { Value::Null } else { json!({"of": step.score.of, "value": step.score.value}) },
        "skipped": step.skip.as_ref().map(Skip::to_string),
        "last_resort": step.forced,
        "tries": step.retries.attempts.max(1),
        "weight": target.weight,
        "region": target.region.as_deref(),
        "breaker": health.state(now).as_str(),
        "open_for_ms": open_for,
        "in_flight": health.in_flight(),
        "latency_us": health.latency.get(now),
        "failure_rate": health.failure_rate(),
        "limits_left": limits_left(job, step, now),
        "predicted_cost_usd": cost,
    })
}

/// Who is asked as well, and after what time.
fn hedge(hedging: &Hedging<'_>) -> Value {
    let after = u64::try_from(hedging.after.as_millis()).unwrap_or(u64::MAX);
    json!({"target": &*hedging.at.target.name, "after_ms": after, "max_percent": hedging.hedge.max_percent})
}

/// What is left for a request there: of the provider, of the model, and of the upstream key that has the most left.
fn limits_left(job: &Job, step: &Step, now: MonoNs) -> Value {
    let (provider, limits) = (&step.target.provider, job.flight.limits());
    let keys = provider.credentials.iter().map(|key| key.limiter.remaining(now));
    let most = keys.max_by_key(|left| {
        (left.requests.map_or(u64::MAX, |level| level.remaining), left.tokens.map_or(u64::MAX, |level| level.remaining))
    });
    let of_all = limits.of(Scope::Provider, &provider.id).into_iter();
    let of_all = of_all.chain(limits.named(Scope::Model, &step.target.name)).map(|limiter| limiter.remaining(now));
    let left = of_all.fold(most.unwrap_or_default(), Remaining::tighter);
    json!({"requests": left.requests.map(|level| level.remaining), "tokens": left.tokens.map(|level| level.remaining)})
}

/// What is left of each limit that the caller is held to: its key's, its user's, and so on, and the model's that it
/// asks for.
fn caller_limits(flight: &Flight) -> Vec<Value> {
    let (caller, model) = {
        let draft = flight.draft();
        (draft.caller.clone(), draft.model.clone())
    };
    let line = caller.map(|caller| layers::callers_line(flight, &caller)).unwrap_or_default();
    let of_model = model.and_then(|model| flight.limits().of(Scope::Model, &model));
    let limiters = line.into_iter().map(|(limiter, _)| limiter).chain(of_model);
    limiters
        .filter(|limiter| !limiter.limits().is_unlimited())
        .map(|limiter| limits::describe(&limiter, flight.now()))
        .collect()
}
