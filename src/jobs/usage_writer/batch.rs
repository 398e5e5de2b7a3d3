//! From the journal's records to rows that are ready to be written.

use crate::flight::{Meter, price_row};
use crate::gate::budget::Budgets;
use crate::meter::journal::Record;
use crate::meter::ledger::Count;
use crate::record::UsageRow;

/// The rows of records, with their tickets. What cannot be read is told: it is a defect, or a record of a
/// later version.
pub(super) fn parse(records: Vec<Record>) -> Vec<(u64, UsageRow)> {
    records.into_iter().filter_map(|record| Some((record.ticket, row(&record)?))).collect()
}

fn row(record: &Record) -> Option<UsageRow> {
    match serde_json::from_slice(&record.json) {
        Ok(row) => Some(row),
        Err(error) => {
            let text = String::from_utf8_lossy(&record.json);
            tracing::error!(%error, ticket = record.ticket, row = &*text, "a record of the journal is no row: {error}");
            None
        }
    }
}

/// The rows of this process, with tokens counted where nobody has reported them.
pub(super) async fn complete(settled: Vec<(u64, UsageRow)>, meter: &Meter, budgets: &Budgets) -> Vec<UsageRow> {
    let mut rows = Vec::with_capacity(settled.len());
    for (ticket, mut row) in settled {
        if let Some(count) = meter.ledger.take_count(ticket) {
            let (estimate, label) = (row.cost.unwrap_or_default(), std::sync::Arc::clone(&count.label));
            counted(&mut row, count).await;
            budgets.corrected(&row.charges, estimate, row.cost.unwrap_or_default());
            meter.metrics.settled(&row, &label);
        }
        rows.push(row);
    }
    rows
}

/// Puts counted tokens, and what they cost, in the place of those that were estimated by size.
async fn counted(row: &mut UsageRow, count: Count) {
    let Count { job, reported, sunk, price, tier, .. } = count;
    // A count that fails leaves the estimate.
    let Ok(counted) = tokio::task::spawn_blocking(move || job.count()).await else { return };
    row.usage = reported;
    row.usage.input = row.usage.input.max(counted.input);
    row.usage.output = row.usage.output.max(counted.output);
    (row.cost, row.price_version, row.unpriced) = (None, None, false);
    price_row(row, price.as_deref(), tier.as_deref());
    if let Some(sunk) = sunk {
        sunk.add_to(row);
    }
}
