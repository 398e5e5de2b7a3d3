//! What pairs come to, by route and the copies' target.

use sqlx::FromRow;

use super::Filter;
use crate::clock::UnixMs;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::statement::Statement;

/// Most routes and targets of one answer.
const MAX_GROUPS: i64 = 1_000;

pub(super) const STATEMENTS: [&str; 2] = [SUMS, FIGURES];

const SUMS: &str = "\
SELECT route, shadow_target, COUNT(*) AS pairs, MIN(at) AS first_at, MAX(at) AS last_at,
    CAST(SUM(CASE WHEN status = 'ok' THEN 0 ELSE 1 END) AS BIGINT) AS failures,
    CAST(SUM(CASE WHEN shadow_status = 'ok' THEN 0 ELSE 1 END) AS BIGINT) AS shadow_failures,
    CAST(COALESCE(SUM(cost_nano), 0) AS BIGINT) AS cost_nano,
    CAST(COALESCE(SUM(shadow_cost_nano), 0) AS BIGINT) AS shadow_cost_nano,
    COUNT(text_equal) AS compared, CAST(COALESCE(SUM(text_equal), 0) AS BIGINT) AS equal,
    COUNT(similarity) AS measured, CAST(COALESCE(SUM(similarity), 0) AS BIGINT) AS similarity,
    COUNT(tools_equal) AS tools_compared, CAST(COALESCE(SUM(tools_equal), 0) AS BIGINT) AS tools_equal
FROM shadows WHERE at >= $1 AND at < $2 AND ($3 = '' OR route = $3)
GROUP BY route, shadow_target ORDER BY route, shadow_target LIMIT $4";

/// A quantile is the smallest value that so many in a hundred do not exceed.
macro_rules! quantile {
    ($place:literal, $percent:literal, $value:literal) => {
        concat!("MIN(CASE WHEN ", $place, " * 100 >= pairs * ", $percent, " THEN ", $value, " END)")
    };
}

const FIGURES: &str = concat!(
    "SELECT route, shadow_target, COUNT(*) AS pairs,
    CAST(COALESCE(SUM(cost_nano), 0) AS BIGINT) AS cost_nano,
    CAST(COALESCE(SUM(shadow_cost_nano), 0) AS BIGINT) AS shadow_cost_nano,
    CAST(SUM(input_tokens) AS BIGINT) AS input_tokens, CAST(SUM(shadow_input_tokens) AS BIGINT) AS shadow_input_tokens,
    CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
    CAST(SUM(shadow_output_tokens) AS BIGINT) AS shadow_output_tokens, ",
    quantile!("latency_place", "50", "latency_ms"),
    " AS latency_p50, ",
    quantile!("latency_place", "95", "latency_ms"),
    " AS latency_p95, ",
    quantile!("shadow_latency_place", "50", "shadow_latency_ms"),
    " AS shadow_latency_p50, ",
    quantile!("shadow_latency_place", "95", "shadow_latency_ms"),
    " AS shadow_latency_p95, ",
    quantile!("ttft_place", "50", "ttft"),
    " AS ttft_p50, ",
    quantile!("ttft_place", "95", "ttft"),
    " AS ttft_p95, ",
    quantile!("shadow_ttft_place", "50", "shadow_ttft"),
    " AS shadow_ttft_p50, ",
    quantile!("shadow_ttft_place", "95", "shadow_ttft"),
    " AS shadow_ttft_p95
FROM (SELECT route, shadow_target, cost_nano, shadow_cost_nano, input_tokens, shadow_input_tokens, output_tokens,
        shadow_output_tokens, latency_ms, shadow_latency_ms,
        COALESCE(ttft_ms, latency_ms) AS ttft, COALESCE(shadow_ttft_ms, shadow_latency_ms) AS shadow_ttft,
        COUNT(*) OVER (PARTITION BY route, shadow_target) AS pairs,
        ROW_NUMBER() OVER (PARTITION BY route, shadow_target ORDER BY latency_ms) AS latency_place,
        ROW_NUMBER() OVER (PARTITION BY route, shadow_target ORDER BY shadow_latency_ms) AS shadow_latency_place,
        ROW_NUMBER() OVER (PARTITION BY route, shadow_target ORDER BY COALESCE(ttft_ms, latency_ms)) AS ttft_place,
        ROW_NUMBER() OVER (PARTITION BY route, shadow_target
            ORDER BY COALESCE(shadow_ttft_ms, shadow_latency_ms)) AS shadow_ttft_place
    FROM shadows WHERE at >= $1 AND at < $2 AND ($3 = '' OR route = $3)
        AND status = 'ok' AND shadow_status = 'ok') AS pair
GROUP BY route, shadow_target ORDER BY route, shadow_target LIMIT $4"
);

/// What the pairs of a route and a target come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Sum {
    /// The route.
    pub route: String,
    /// Where its copies went.
    pub shadow_target: String,
    /// How many.
    pub pairs: i64,
    /// When the first request arrived.
    pub first_at: UnixMs,
    /// When the last one did.
    pub last_at: UnixMs,
    /// Requests that did not end well.
    pub failures: i64,
    /// Copies that did not.
    pub shadow_failures: i64,
    /// What the requests cost, in nano-dollars.
    pub cost_nano: i64,
    /// What the copies cost.
    pub shadow_cost_nano: i64,
    /// Pairs whose texts were compared.
    pub compared: i64,
    /// Of those, the ones with the same text.
    pub equal: i64,
    /// Pairs of which it is known how alike they are.
    pub measured: i64,
    /// The thousandths of those, added up.
    pub similarity: i64,
    /// Pairs in which a tool was called.
    pub tools_compared: i64,
    /// Of those, the ones with the same calls.
    pub tools_equal: i64,
    /// Of the pairs that both ended well.
    #[sqlx(skip)]
    pub both: Option<Figures>,
}

/// The pairs that both ended well, side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Figures {
    /// The route.
    pub route: String,
    /// Where its copies went.
    pub shadow_target: String,
    /// How many.
    pub pairs: i64,
    /// What the requests cost, in nano-dollars.
    pub cost_nano: i64,
    /// What the copies cost.
    pub shadow_cost_nano: i64,
    /// Tokens of the requests' prompts.
    pub input_tokens: i64,
    /// Of the copies'.
    pub shadow_input_tokens: i64,
    /// Tokens of the answers.
    pub output_tokens: i64,
    /// Of the copies'.
    pub shadow_output_tokens: i64,
    /// Milliseconds to the last byte that half of the requests do not exceed.
    pub latency_p50: i64,
    /// And 95 of a hundred.
    pub latency_p95: i64,
    /// The copies'.
    pub shadow_latency_p50: i64,
    /// The copies'.
    pub shadow_latency_p95: i64,
    /// Milliseconds to the first byte.
    pub ttft_p50: i64,
    /// Milliseconds to the first byte.
    pub ttft_p95: i64,
    /// The copies'.
    pub shadow_ttft_p50: i64,
    /// The copies'.
    pub shadow_ttft_p95: i64,
}

/// What pairs come to, by route and target; a thousand of those at most.
///
/// # Errors
/// As any call to the store.
pub async fn summary(db: &Db, filter: &Filter) -> Result<Vec<Sum>, StoreError> {
    let statement = |text: &'static str| {
        Statement::new(text).bind(filter.from).bind(filter.to).bind(filter.route.as_str()).bind(MAX_GROUPS)
    };
    let mut reader = db.reader().await?;
    let mut sums: Vec<Sum> = reader.fetch_all(statement(SUMS)).await?;
    let figures: Vec<Figures> = reader.fetch_all(statement(FIGURES)).await?;
    for sum in &mut sums {
        let mut own = figures.iter();
        sum.both = own.find(|both| both.route == sum.route && both.shadow_target == sum.shadow_target).cloned();
    }
    Ok(sums)
}
