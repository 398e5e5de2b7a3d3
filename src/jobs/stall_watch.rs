//! Watches that the threads of the runtime come round: where one is held, by work that blocks it or by a machine with
//! no processor to spare, everything on it is late, and no request can tell why.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::meter::prom::Metrics;

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(250);
/// So late is worth a line in the log.
const LONG: Duration = Duration::from_secs(1);

/// Runs until it is stopped.
pub async fn run(clock: Clock, metrics: Arc<Metrics>, stop: CancellationToken) {
    loop {
        let since = clock.mono_ns();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let late = Duration::from_nanos(clock.mono_ns().saturating_sub(since)).saturating_sub(INTERVAL);
        metrics.runtime_delay.observe(late.as_secs_f64());
        if late >= LONG {
            let ms = late.as_millis();
            tracing::warn!(late_ms = ms, "the gateway's threads were held for {ms} ms, and all requests with them");
        }
    }
}
