//! The usage ledger: one row per request, its tags, and sums by hour and by day.
//!
//! The sums are written in the same transaction as the rows and count only rows that were really
//! inserted, so they always agree with them, however often a batch is sent again.

pub(super) mod bulk;
mod calendar;
mod filter;
mod find;
mod page;
mod partitions;
mod prepare;
mod quarantine;
mod record;
mod rerate;
mod rollup;
mod totals;
mod walk;
mod write;

pub use filter::{Filter, TagFilter};
pub use find::{Found, find};
pub use page::{Cursor, Export, InvalidCursor, Page, export, page};
pub use partitions::ensure_partitions;
pub use rerate::{Range, RatedRow, Rating, Run, rate, rated_rows};
pub use totals::{Bucket, GroupBy, MAX_GROUPS, Point, Sums, Total, cached, series, top, totals, totals_from_rows};
pub use walk::{Walk, Walked, walk};
pub use write::{Batch, Inserted, Told, insert, insert_batch};

use super::db::Engine;

/// Texts for the test that prepares them on both engines.
pub(super) fn statements(engine: Engine) -> Vec<String> {
    [
        write::statements(engine),
        quarantine::statements(),
        page::statements(),
        find::statements(),
        rerate::statements(),
        totals::statements(),
        walk::statements(),
    ]
    .concat()
}

/// The token classes, as columns name them, in the order every table and text has them.
const CLASSES: [&str; 18] = [
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_write_30m_tokens",
    "cache_write_12h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "audio_ms",
    "characters",
    "web_searches",
    "images",
    "search_units",
];

/// The values of [`CLASSES`].
fn classes(usage: &weir_wire::usage::Usage) -> [u64; 18] {
    [
        usage.input,
        usage.cached,
        usage.cache_write,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.cache_write_30m,
        usage.cache_write_12h,
        usage.output,
        usage.reasoning,
        usage.audio_input,
        usage.audio_output,
        usage.image_input,
        usage.image_output,
        usage.audio_ms,
        usage.characters,
        usage.web_searches,
        usage.images,
        usage.search_units,
    ]
}

/// The inverse of [`classes`]. The columns are never negative.
fn usage_of(classes: [i64; 18]) -> weir_wire::usage::Usage {
    let [
        input,
        cached,
        cache_write,
        cache_write_5m,
        cache_write_1h,
        cache_write_30m,
        cache_write_12h,
        output,
        reasoning,
        audio_input,
        audio_output,
        image_input,
        image_output,
        audio_ms,
        characters,
        web_searches,
        images,
        search_units,
    ] = classes.map(|n| u64::try_from(n).unwrap_or(0));
    weir_wire::usage::Usage {
        input,
        cached,
        cache_write,
        cache_write_5m,
        cache_write_1h,
        cache_write_30m,
        cache_write_12h,
        output,
        reasoning,
        audio_input,
        audio_output,
        image_input,
        image_output,
        audio_ms,
        characters,
        web_searches,
        images,
        search_units,
    }
}
