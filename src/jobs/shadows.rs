//! Sends copies of requests to their routes' shadows, so many at a time, and reads their answers. What a stop finds on
//! its way may end within the time that connections have.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::dispatch::shadow::{Copied, Heard, Side};
use crate::flight::Flight;
use crate::record::Status;
use crate::state::{Gateway, Shared};

/// The job.
#[derive(Debug)]
pub struct ShadowSender {
    gateway: Shared,
    copies: mpsc::Receiver<Copied>,
    /// Nothing more comes.
    served: CancellationToken,
    /// Everything ends now.
    hard_stop: CancellationToken,
}

impl ShadowSender {
    /// Its name in logs.
    pub const NAME: &'static str = "shadows";

    /// A job that sends these copies until no request is `served` any more and all are sent, or until the `hard_stop`.
    #[must_use]
    pub fn new(
        gateway: Shared,
        copies: mpsc::Receiver<Copied>,
        served: CancellationToken,
        hard_stop: CancellationToken,
    ) -> Self {
        Self { gateway, copies, served, hard_stop }
    }

    /// Runs.
    pub async fn run(mut self) {
        let mut running = FuturesUnordered::new();
        let mut open = true;
        while open || !running.is_empty() {
            let most = usize::try_from(self.gateway.config.load().routing.max_shadows).unwrap_or(usize::MAX);
            // What waited when the key was set to 0 is not sent; and a hard stop ends each at once.
            let room = running.len() < most.max(1);
            tokio::select! {
                Some(()) = running.next(), if !running.is_empty() => {}
                copied = self.copies.recv(), if open && room => match copied {
                    Some(copied) => running.push(send(&self.gateway, copied, &self.hard_stop)),
                    None => open = false,
                },
                () = self.served.cancelled(), if !self.copies.is_closed() => self.copies.close(),
            }
        }
    }
}

/// Sends one, and settles it.
async fn send(gateway: &Gateway, mut copied: Copied, hard_stop: &CancellationToken) {
    let metrics = &gateway.meter.metrics;
    metrics.shadows_waiting.dec();
    let place = gateway.meter.ledger.reserve();
    let (Ok(place), false) = (place, hard_stop.is_cancelled() || gateway.config.load().routing.max_shadows == 0) else {
        return metrics.shadow("dropped");
    };
    let now = gateway.clock().unix_ms();
    let id = gateway.chance.uuid(now).to_string();
    let flight = Flight::aside(id, now, copied.endpoint(), gateway.meter.clone(), place);
    copied.describe(&flight);
    let limit = u64::try_from(gateway.config.load().server.request_timeout.as_nanos()).unwrap_or(u64::MAX);
    let deadline = flight.start.saturating_add(limit);
    metrics.shadows_running.inc();
    let sending = AssertUnwindSafe(gateway.dispatcher.send_copy(&copied, &flight, deadline)).catch_unwind();
    tokio::select! {
        sent = sending => if sent.is_err() {
            tracing::error!(job = ShadowSender::NAME, request = copied.of, "a copy of a request failed in the gateway; this is a defect");
            flight.fail(Status::Rejected, "internal_error", "the gateway failed on this copy; this is a defect");
        },
        () = hard_stop.cancelled() => {
            flight.fail(Status::Interrupted, "gateway_stopping", "the gateway is shutting down");
        }
    }
    copied.pair.heard(Side::Copy, Heard::nothing());
    flight.settle_together().await;
    metrics.shadows_running.dec();
}
