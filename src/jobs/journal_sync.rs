//! Brings the journal to the disk for all who wait for that at once, where power losses are to be
//! survived (`ledger.durability: power`).

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::meter::journal::Journal;
use crate::meter::prom::Metrics;

/// Between two tries when the disk fails.
const RETRY: Duration = Duration::from_millis(100);

/// Runs until the journal's last record is on the disk and the gateway stops.
pub async fn run(journal: Arc<Journal>, metrics: Arc<Metrics>, stop: CancellationToken) {
    loop {
        let stopping = tokio::select! {
            () = journal.sync_wanted() => false,
            () = stop.cancelled() => true,
        };
        let syncing = Arc::clone(&journal);
        match tokio::task::spawn_blocking(move || syncing.sync()).await {
            Ok(Ok(())) => metrics.journal_syncs.inc(),
            Ok(Err(error)) => {
                tracing::error!(%error, "the journal cannot be brought to the disk; answers wait for it: {error}");
                tokio::time::sleep(RETRY).await;
                journal.ask_sync();
            }
            Err(_) => return,
        }
        if stopping {
            return;
        }
    }
}
