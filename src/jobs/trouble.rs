//! What a job says of a database that is away: once when it fails, once when it goes on.

use crate::store::StoreError;

/// Whether a job's last round failed.
#[derive(Debug, Default)]
pub(super) struct Trouble(bool);

impl Trouble {
    /// Says what is news of a round: what `waits` with its error, or that it goes on `again`.
    pub(super) fn note<T>(&mut self, job: &str, outcome: &Result<T, StoreError>, again: &str, waits: &str) {
        match (outcome, std::mem::replace(&mut self.0, outcome.is_err())) {
            (Ok(_), true) => tracing::info!(job, "{again}"),
            (Err(error), false) => tracing::error!(job, %error, "{waits}: {error}"),
            (Ok(_), false) | (Err(_), true) => {}
        }
    }
}
