//! `GET /admin/v1/limits`: what is left of every limit now.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::keys::page_size;
use crate::clock::MonoNs;
use crate::error::ApiError;
use crate::gate::limit::{Limiter, Scope, Shown};
use crate::http::generate::json;
use crate::http::query::Params;
use crate::state::{Gateway, Shared};

/// `GET /admin/v1/limits`: keys, users, teams, organisations, models and providers that have limits and
/// were seen by this replica, and its upstream keys.
///
/// # Errors
/// 400 for a bad parameter.
pub async fn list(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let params = Params::read(request.uri().query(), &["scope", "subject", "limit", "cursor"])?;
    let scope = params.parsed("scope", scope)?;
    let most = page_size(&params)? as usize;
    let subject = params.get("subject");
    let mut entries: Vec<Entry> = entries(&gateway)
        .into_iter()
        .filter(|entry| scope.is_none_or(|scope| entry.shown.whose.scope == scope))
        .filter(|entry| subject.is_none_or(|subject| entry.subject == subject))
        .filter(|entry| params.get("cursor").is_none_or(|cursor| entry.place().as_str() > cursor))
        .collect();
    entries.sort_by_cached_key(Entry::place);
    let more = entries.len() > most;
    entries.truncate(most);
    let next = entries.last().filter(|_| more).map(Entry::place);
    let data: Vec<Value> = entries.iter().map(Entry::describe).collect();
    let list = json!({
        "object": "list",
        "data": data,
        "has_more": more,
        "next_cursor": next,
        "sharing": sharing(&gateway),
    });
    Ok(json(list.to_string()))
}

/// A limiter as it is now.
#[must_use]
pub fn describe(limiter: &Limiter, now: MonoNs) -> Value {
    Entry::of(limiter, now).describe()
}

fn scope(text: &str) -> Result<Scope, String> {
    let mut all = Scope::DECLARED.into_iter().chain([Scope::UpstreamKey]);
    all.find(|scope| scope.as_str() == text).ok_or_else(|| {
        let names: Vec<&str> = Scope::DECLARED.iter().map(|scope| scope.as_str()).collect();
        format!("must be one of {}, upstream_key", names.join(", "))
    })
}

/// With whom limits are shared.
fn sharing(gateway: &Gateway) -> Value {
    gateway.meter.limits.pool().map_or_else(
        || json!({"by": "none"}),
        |pool| json!({"by": pool.name(), "available": pool.is_there(), "replicas": pool.replicas().map(|replicas| replicas.count)}),
    )
}

/// A limiter in the list.
struct Entry {
    shown: Shown,
    /// Its subject as people know it.
    subject: String,
    /// Requests that wait for it.
    waiting: Option<usize>,
}

impl Entry {
    fn of(limiter: &Limiter, now: MonoNs) -> Self {
        let shown = limiter.show(now);
        Self { subject: shown.whose.subject.to_string(), shown, waiting: None }
    }

    /// Where it stands in the list.
    fn place(&self) -> String {
        let whose = &self.shown.whose;
        format!("{}:{}:{}", whose.scope.as_str(), self.subject, whose.declared)
    }

    fn describe(&self) -> Value {
        let rates = self.shown.rates.iter().map(|(kind, level)| {
            let reset = u64::try_from(level.reset.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            let shown = json!({"limit": level.limit, "remaining": level.remaining, "reset_ms": reset});
            (kind.name().to_owned(), shown)
        });
        let mut object = json!({
            "object": "limit",
            "scope": self.shown.whose.scope.as_str(),
            "subject": self.subject,
            "declared_in": if self.shown.whose.declared { "limits" } else { "own" },
            "rates": rates.collect::<Map<String, Value>>(),
            "concurrency": {"limit": self.shown.limits.concurrency, "in_flight": self.shown.in_flight},
        });
        if let Some(waiting) = self.waiting {
            object["waiting"] = waiting.into();
        }
        object
    }
}

fn entries(gateway: &Gateway) -> Vec<Entry> {
    let now = gateway.clock().mono_ns();
    let limited = |limiter: &Arc<Limiter>| !limiter.limits().is_unlimited();
    let keys = gateway.keys.slots().into_iter().map(|slot| Arc::clone(&slot.limiter));
    let others = gateway.meter.limits.all().into_iter();
    let mut entries: Vec<Entry> = keys.chain(others).filter(limited).map(|limiter| Entry::of(&limiter, now)).collect();
    for provider in gateway.snapshot.load().providers.values() {
        for (n, credential) in provider.credentials.iter().enumerate() {
            let entry = Entry::of(&credential.limiter, now);
            let waiting = provider.queue.as_ref().map(|queue| queue.len());
            entries.push(Entry { subject: format!("{}#{}", provider.id, n + 1), waiting, ..entry });
        }
    }
    entries
}
