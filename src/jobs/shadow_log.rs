//! Writes down how copies differ from their requests, off everybody's path, and throws away what is old.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::MonoNs;
use crate::dispatch::shadow::{Difference, Finished};
use crate::record::{Attempt, UsageRow};
use crate::state::Shared;
use crate::store::shadows::{self, Shadow};

/// Pairs that are written together.
const BATCH: usize = 64;
/// Between two tries while the database is away; and tries of one batch, for as long as which others wait.
const RETRY: Duration = Duration::from_millis(500);
const TRIES: u32 = 20;
/// How often what is old is thrown away.
const PRUNE_EVERY: MonoNs = 600_000_000_000;

/// The job.
#[derive(Debug)]
pub struct ShadowLog {
    gateway: Shared,
    finished: mpsc::Receiver<Finished>,
    pruned: Option<MonoNs>,
}

impl ShadowLog {
    /// Its name in logs.
    pub const NAME: &'static str = "shadow_log";

    /// A job that writes these down.
    #[must_use]
    pub fn new(gateway: Shared, finished: mpsc::Receiver<Finished>) -> Self {
        Self { gateway, finished, pruned: None }
    }

    /// Runs until it is stopped; what is there then is tried once more.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            tokio::select! {
                biased;
                _ = self.finished.recv_many(&mut batch, BATCH) => {}
                () = stop.cancelled() => return,
            }
            let rows: Vec<Shadow> = compared(batch).await;
            self.write(&rows, &stop).await;
            self.prune().await;
        }
    }

    async fn write(&self, rows: &[Shadow], stop: &CancellationToken) {
        for tries in 1.. {
            let Err(error) = shadows::insert(&self.gateway.db, rows).await else { return };
            if tries == 1 {
                tracing::warn!(job = Self::NAME, %error, "how copies of requests differ cannot be written down: {error}");
            }
            if tries == TRIES || stop.is_cancelled() || !error.is_retryable() {
                break;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(RETRY) => {}
            }
        }
        rows.iter().for_each(|_| self.gateway.meter.metrics.shadow("unrecorded"));
    }

    async fn prune(&mut self) {
        let now = self.gateway.clock().mono_ns();
        if self.pruned.is_some_and(|at| now.saturating_sub(at) < PRUNE_EVERY) {
            return;
        }
        self.pruned = Some(now);
        if let Err(error) = shadows::prune(&self.gateway.db, self.gateway.clock().unix_ms()).await {
            tracing::warn!(job = Self::NAME, %error, "old comparisons could not be thrown away: {error}");
        }
    }
}

/// Long texts take milliseconds each: not on a thread that others wait for.
async fn compared(batch: Vec<Finished>) -> Vec<Shadow> {
    let compare = move || batch.into_iter().map(row).collect();
    tokio::task::spawn_blocking(compare).await.unwrap_or_default()
}

fn row(finished: Finished) -> Shadow {
    let shadow = finished.shadow.clone();
    let ([of, copy], difference) = finished.difference();
    let Difference { text_equal, similarity, tools_equal, bytes, tools, stops: [finish, shadow_finish] } = difference;
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Shadow {
        target: asked(&of),
        stream: of.stream,
        billed: shadow.bill,
        route: shadow.route.to_string(),
        shadow_target: shadow.target.name.to_string(),
        status: of.status.as_str().to_owned(),
        shadow_status: copy.status.as_str().to_owned(),
        ttft_ms: of.ttft_ms.map(count),
        shadow_ttft_ms: copy.ttft_ms.map(count),
        latency_ms: count(of.latency_ms),
        shadow_latency_ms: count(copy.latency_ms),
        input_tokens: count(of.usage.input),
        shadow_input_tokens: count(copy.usage.input),
        output_tokens: count(of.usage.output),
        shadow_output_tokens: count(copy.usage.output),
        cost_nano: of.cost.map(|cost| cost.0),
        shadow_cost_nano: copy.cost.map(|cost| cost.0),
        finish,
        shadow_finish,
        text_bytes: count(bytes[0]),
        shadow_text_bytes: count(bytes[1]),
        text_equal: text_equal.map(i64::from),
        similarity: similarity.map(i64::from),
        tool_calls: i64::try_from(tools[0]).unwrap_or(i64::MAX),
        shadow_tool_calls: i64::try_from(tools[1]).unwrap_or(i64::MAX),
        tools_equal: tools_equal.map(i64::from),
        id: copy.id,
        at: of.at,
        request_id: of.id,
        endpoint: of.endpoint,
        error_code: of.error_code,
        shadow_error_code: copy.error_code,
    }
}

/// Who answered, or was asked last.
fn asked(row: &UsageRow) -> String {
    let answered = row.attempts.iter().rfind(|attempt| attempt.outcome == "ok").or(row.attempts.last());
    answered.map(|Attempt { provider, model, .. }| format!("{provider}/{model}")).unwrap_or_default()
}
