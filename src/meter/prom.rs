//! Prometheus metrics. Label sets are bounded: models come from the configuration or the catalogue,
//! and beyond [`MAX_SERIES`] they are counted as `other`.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use papaya::HashMap;
use prometheus::core::{AtomicF64, AtomicU64, GenericCounter};
use prometheus::{
    CounterVec, Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::log;
use crate::record::UsageRow;

/// Distinct (endpoint, provider, model, status) combinations kept apart.
pub const MAX_SERIES: usize = 4096;

/// All metrics of the gateway.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    overhead: HistogramVec,
    ttft: HistogramVec,
    tokens: IntCounterVec,
    cost: CounterVec,
    attempts: IntCounterVec,
    rate_limited: IntCounterVec,
    faults_injected: IntCounterVec,
    /// Whether the configuration lets calls go wrong on purpose.
    pub chaos_active: IntGauge,
    limited: IntCounterVec,
    /// Whether what replicas share of limits answers: 1 or 0.
    pub limits_shared: IntGauge,
    queue_wait: HistogramVec,
    /// Requests that wait for an upstream, by provider.
    pub queue_length: IntGaugeVec,
    /// Requests being served.
    pub in_flight: IntGauge,
    /// How late the runtime came round, in seconds.
    pub runtime_delay: Histogram,
    /// Rows settled and not yet in the database.
    pub journal_pending: IntGauge,
    /// Records of the journal that could not be read.
    pub journal_damaged: IntGauge,
    /// Sums that differ from what they are of, as of the last look.
    pub ledger_mismatches: IntGauge,
    /// How often the journal was brought to the disk.
    pub journal_syncs: IntCounter,
    budget_rejected: IntCounterVec,
    /// Rows that were lost. Stays 0.
    pub usage_dropped: IntCounter,
    /// Keys in memory.
    pub keys_cached: IntGauge,
    /// Open connections of clients.
    pub connections: IntGauge,
    /// Requests and connections refused at the door, by reason.
    pub refused: IntCounterVec,
    /// New certificates that were taken up, or could not be.
    pub tls_reloads: IntCounterVec,
    /// Requests refused because of overload, by reason.
    pub shed: IntCounterVec,
    /// Lines of the log that were left out.
    log_dropped: IntCounter,
    /// Breaker state of each provider: 0 closed, 1 open, 2 half open.
    pub breaker_state: IntGaugeVec,
    upstream_keys_rejected: IntCounterVec,
    health_checks: IntCounterVec,
    hedges: IntCounterVec,
    alert_deliveries: IntCounterVec,
    /// Events that a receiver of alerts has not been told of yet; counted up to ten thousand.
    pub alerts_pending: IntGaugeVec,
    /// Reloads of the configuration by outcome: `applied`, `unchanged`, `refused`.
    pub config_reloads: IntCounterVec,
    /// 1 while the configuration that was last asked for is not in force, because it was refused.
    pub config_refused: IntGauge,
    /// Keys of the configuration that wait for a restart.
    pub config_needs_restart: IntGauge,
    shadows: IntCounterVec,
    /// Copies of requests that wait for a place.
    pub shadows_waiting: IntGauge,
    /// Copies of requests that are on their way.
    pub shadows_running: IntGauge,
    /// Bytes of request bodies in memory.
    pub body_memory: IntGauge,
    /// Usage writer failures.
    pub writer_errors: IntCounter,
    /// Seconds since the epoch at which the process started.
    pub started: Gauge,
    series: HashMap<u64, Arc<Series>>,
    series_count: AtomicUsize,
    hasher: std::hash::RandomState,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The handles of one combination of labels, looked up once.
struct Series {
    requests: GenericCounter<AtomicU64>,
    duration: Histogram,
    overhead: Histogram,
    ttft: Histogram,
    input: GenericCounter<AtomicU64>,
    cached: GenericCounter<AtomicU64>,
    cache_write: GenericCounter<AtomicU64>,
    output: GenericCounter<AtomicU64>,
    reasoning: GenericCounter<AtomicU64>,
    cost: GenericCounter<AtomicF64>,
}

/// Outcomes of tries that are told apart.
const OUTCOMES: [&str; 13] = [
    "ok",
    "content_filter",
    "context_length_exceeded",
    "incomplete_body",
    "insufficient_quota",
    "internal_error",
    "model_not_found",
    "rate_limit_exceeded",
    "unsupported_operation",
    "upstream_credentials_rejected",
    "upstream_error",
    "upstream_invalid_response",
    "upstream_timeout",
];

const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
const OVERHEAD: [f64; 11] = [2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2, 0.5];

fn int(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let vec = IntCounterVec::new(Opts::new(name, help), labels).expect("the metric's name and labels are valid");
    register(registry, vec)
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    register(registry, HistogramVec::new(opts, labels).expect("the metric's name and labels are valid"))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(name, help).expect("the metric's name is valid"))
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::new(name, help).expect("the metric's name is valid"))
}

fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry.register(Box::new(collector.clone())).expect("each metric is registered once");
    collector
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, at zero.
    ///
    /// # Panics
    /// Never: names and labels are constants, and a test builds them.
    #[must_use]
    pub fn new() -> Self {
        let r = Registry::new();
        #[cfg(target_os = "linux")]
        r.register(Box::new(prometheus::process_collector::ProcessCollector::for_self())).expect("registered once");
        let delay = HistogramOpts::new("weir_runtime_delay_seconds", "How late a timer was, of four in a second")
            .buckets(vec![0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0]);
        let queue = Opts::new("weir_queue_length", "Requests that wait for an upstream's limits");
        let breaker = Opts::new("weir_breaker_state", "Circuit breaker of a target: 0 closed, 1 open, 2 half open");
        let alerts =
            Opts::new("weir_alerts_pending", "Events that a receiver has not been told of, up to ten thousand");
        let started = Gauge::new("weir_start_time_seconds", "When the gateway started, Unix seconds");
        Self {
            requests: int(
                &r,
                "weir_requests_total",
                "Requests by outcome",
                &["endpoint", "provider", "model", "status"],
            ),
            duration: histogram(
                &r,
                "weir_request_duration_seconds",
                "Arrival to last byte",
                &SECONDS,
                &["endpoint", "provider"],
            ),
            overhead: histogram(&r, "weir_overhead_seconds", "Time spent in the gateway", &OVERHEAD, &["endpoint"]),
            ttft: histogram(
                &r,
                "weir_time_to_first_token_seconds",
                "Arrival to first byte of a stream",
                &SECONDS,
                &["provider", "model"],
            ),
            tokens: int(&r, "weir_tokens_total", "Tokens by kind", &["provider", "model", "kind"]),
            cost: register(
                &r,
                CounterVec::new(Opts::new("weir_cost_usd_total", "Cost in US dollars"), &["provider", "model"])
                    .expect("the metric's name and labels are valid"),
            ),
            attempts: int(&r, "weir_upstream_attempts_total", "Upstream tries by outcome", &["provider", "outcome"]),
            rate_limited: int(&r, "weir_rate_limited_total", "Requests refused by a limit", &["scope"]),
            faults_injected: int(
                &r,
                "weir_faults_injected_total",
                "Faults made on purpose: asked for by the request, or by the configuration's chaos",
                &["provider", "fault", "origin"],
            ),
            chaos_active: gauge(&r, "weir_chaos_active", "1 while the configuration lets calls go wrong on purpose"),
            limited: int(
                &r,
                "weir_limits_reached_total",
                "Requests refused by a limit, by whose it is and which",
                &["whose", "limit"],
            ),
            limits_shared: gauge(
                &r,
                "weir_limits_shared",
                "Whether limits hold over all replicas now: 1, or 0 while they are not shared",
            ),
            queue_wait: histogram(
                &r,
                "weir_queue_wait_seconds",
                "Time requests waited for an upstream's limits, by what came of it",
                &SECONDS,
                &["provider", "outcome"],
            ),
            queue_length: register(&r, IntGaugeVec::new(queue, &["provider"]).expect("valid")),
            in_flight: gauge(&r, "weir_in_flight", "Requests being served"),
            runtime_delay: register(&r, Histogram::with_opts(delay).expect("valid")),
            journal_pending: gauge(&r, "weir_usage_journal_pending", "Usage rows not yet in the database"),
            journal_damaged: gauge(&r, "weir_usage_journal_damaged", "Places in the journal that could not be read"),
            ledger_mismatches: gauge(
                &r,
                "weir_ledger_mismatches",
                "Sums that differ from their rows, as of the last look",
            ),
            journal_syncs: counter(&r, "weir_usage_journal_syncs_total", "Times the journal was brought to the disk"),
            budget_rejected: int(&r, "weir_budget_rejected_total", "Requests refused by a budget", &["scope"]),
            usage_dropped: counter(
                &r,
                "weir_usage_dropped_total",
                "Usage rows lost: those that could not be written before the gateway had to end",
            ),
            keys_cached: gauge(&r, "weir_keys_cached", "Virtual keys in memory"),
            hedges: int(
                &r,
                "weir_hedges_total",
                "Requests that took too long to begin, by what came of asking a second target",
                &["model", "outcome"],
            ),
            upstream_keys_rejected: int(
                &r,
                "weir_upstream_keys_rejected_total",
                "Upstream keys that a provider refused, each time that it was news",
                &["provider"],
            ),
            health_checks: int(
                &r,
                "weir_health_checks_total",
                "Active health checks of providers by outcome",
                &["provider", "outcome"],
            ),
            connections: gauge(&r, "weir_connections", "Open connections of clients"),
            refused: int(&r, "weir_refused_total", "Requests and connections refused at the door", &["reason"]),
            tls_reloads: int(&r, "weir_tls_reloads_total", "New certificates by outcome", &["outcome"]),
            log_dropped: counter(&r, "weir_log_lines_dropped_total", "Lines of the log that nobody took in time"),
            shed: int(&r, "weir_shed_total", "Requests refused because of overload", &["reason"]),
            breaker_state: register(&r, IntGaugeVec::new(breaker, &["provider", "model"]).expect("valid")),
            alert_deliveries: int(
                &r,
                "weir_alert_deliveries_total",
                "Tries to tell a receiver of an event, by outcome",
                &["sink", "outcome"],
            ),
            alerts_pending: register(&r, IntGaugeVec::new(alerts, &["sink"]).expect("valid")),
            config_reloads: int(
                &r,
                "weir_config_reloads_total",
                "Reloads of the configuration by outcome",
                &["outcome"],
            ),
            config_refused: gauge(
                &r,
                "weir_config_refused",
                "1 while the configuration that was last asked for is refused and an older one serves",
            ),
            config_needs_restart: gauge(&r, "weir_config_needs_restart", "Changed keys that wait for a restart"),
            shadows: int(&r, "weir_shadows_total", "Copies of requests (shadow) by what came of them", &["outcome"]),
            shadows_waiting: gauge(&r, "weir_shadows_waiting", "Copies of requests that wait for a place"),
            shadows_running: gauge(&r, "weir_shadows_running", "Copies of requests that are on their way"),
            body_memory: gauge(&r, "weir_body_memory_bytes", "Bytes of request bodies in memory"),
            writer_errors: counter(
                &r,
                "weir_usage_writer_errors_total",
                "Failed writes of usage rows (they are retried)",
            ),
            started: register(&r, started.expect("the metric's name is valid")),
            registry: r,
            series: HashMap::new(),
            series_count: AtomicUsize::new(0),
            hasher: std::hash::RandomState::new(),
        }
    }

    /// Counts a finished request.
    #[expect(clippy::cast_precision_loss, reason = "metrics are floats; the ledger has the exact figures")]
    pub fn settled(&self, row: &UsageRow, model: &str) {
        let series = self.series(row, model);
        series.requests.inc();
        series.duration.observe(row.latency_ms as f64 / 1e3);
        series.overhead.observe(row.overhead_us as f64 / 1e6);
        if let Some(ttft) = row.ttft_ms.filter(|_| row.stream) {
            series.ttft.observe(ttft as f64 / 1e3);
        }
        for (counter, tokens) in [
            (&series.input, row.usage.input),
            (&series.cached, row.usage.cached),
            (&series.cache_write, row.usage.cache_write),
            (&series.output, row.usage.output),
            (&series.reasoning, row.usage.reasoning),
        ] {
            if tokens > 0 {
                counter.inc_by(tokens);
            }
        }
        if let Some(cost) = row.cost.filter(|c| c.0 > 0) {
            series.cost.inc_by(cost.0 as f64 / 1e9);
        }
    }

    fn series(&self, row: &UsageRow, model: &str) -> Arc<Series> {
        let provider = row.provider.as_deref().unwrap_or("none");
        let status = row.status.as_str();
        let key = self.hash(&[&row.endpoint, provider, model, status]);
        if let Some(series) = self.series.pin().get(&key) {
            return Arc::clone(series);
        }
        let model = if self.series_count.load(Ordering::Relaxed) < MAX_SERIES { model } else { "other" };
        let key = self.hash(&[&row.endpoint, provider, model, status]);
        let series = Arc::new(self.make_series(&row.endpoint, provider, model, status));
        if self.series.pin().insert(key, Arc::clone(&series)).is_none() {
            self.series_count.fetch_add(1, Ordering::Relaxed);
        }
        series
    }

    fn hash(&self, labels: &[&str]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for label in labels {
            hasher.write(label.as_bytes());
            hasher.write_u8(0xff);
        }
        hasher.finish()
    }

    fn make_series(&self, endpoint: &str, provider: &str, model: &str, status: &str) -> Series {
        let tokens = |kind: &str| self.tokens.with_label_values(&[provider, model, kind]);
        Series {
            requests: self.requests.with_label_values(&[endpoint, provider, model, status]),
            duration: self.duration.with_label_values(&[endpoint, provider]),
            overhead: self.overhead.with_label_values(&[endpoint]),
            ttft: self.ttft.with_label_values(&[provider, model]),
            input: tokens("input"),
            cached: tokens("cached"),
            cache_write: tokens("cache_write"),
            output: tokens("output"),
            reasoning: tokens("reasoning"),
            cost: self.cost.with_label_values(&[provider, model]),
        }
    }

    /// Counts one try at an upstream. An upstream's own code is counted as `other`: it may be anything.
    pub fn attempt(&self, provider: &str, outcome: &str) {
        let outcome = if OUTCOMES.contains(&outcome) { outcome } else { "other" };
        self.attempts.with_label_values(&[provider, outcome]).inc();
    }

    /// A budget of this scope had not enough left.
    pub fn budget_rejected(&self, scope: &str) {
        self.budget_rejected.with_label_values(&[scope]).inc();
    }

    /// Counts a copy of a request: `ok`, `failed`, `dropped` (there was no room, or the gateway ended), or `unrecorded`
    /// (how it differs could not be written down).
    pub fn shadow(&self, outcome: &str) {
        self.shadows.with_label_values(&[outcome]).inc();
    }

    /// A provider refused one of the gateway's keys.
    pub fn upstream_key_rejected(&self, provider: &str) {
        self.upstream_keys_rejected.with_label_values(&[provider]).inc();
    }

    /// Counts an active health check.
    pub fn health_check(&self, provider: &str, outcome: &str) {
        self.health_checks.with_label_values(&[provider, outcome]).inc();
    }

    /// A request of this route took too long: a second target answered first (`won`) or not (`lost`), failed, or was
    /// not asked because there were too many (`capped`).
    pub fn hedged(&self, route: &str, outcome: &str) {
        self.hedges.with_label_values(&[route, outcome]).inc();
    }

    /// Counts a fault that was made on purpose: which kind, and whether the request or `chaos` asked.
    pub fn fault_injected(&self, provider: &str, kind: &str, origin: &str) {
        self.faults_injected.with_label_values(&[provider, kind, origin]).inc();
    }

    /// Counts a request that a limit refused.
    pub fn rate_limited(&self, scope: &str) {
        self.rate_limited.with_label_values(&[scope]).inc();
    }

    /// Counts a request that a limit refused, by whose limit it is and which one; and by what it counts.
    pub fn limited(&self, whose: &str, limit: &str, unit: &str) {
        self.rate_limited(unit);
        self.limited.with_label_values(&[whose, limit]).inc();
    }

    /// Counts a call that a limit of its upstream refused, by whose limit it is and which one.
    pub fn upstream_limited(&self, whose: &str, limit: &str) {
        self.rate_limited("upstream");
        self.limited.with_label_values(&[whose, limit]).inc();
    }

    /// Notes how long a request waited for an upstream, and whether it was `admitted`, `refused` or `left`.
    #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
    pub fn queued(&self, provider: &str, outcome: &str, waited_ns: u64) {
        self.queue_wait.with_label_values(&[provider, outcome]).observe(waited_ns as f64 / 1e9);
    }

    /// Counts tries to tell a receiver of alerts: `delivered`, `failed` (and tried again) or `dead`. Receivers
    /// come from the configuration, which has at most 32.
    pub fn alert(&self, sink: &str, outcome: &str, tries: u64) {
        self.alert_deliveries.with_label_values(&[sink, outcome]).inc_by(tries);
    }

    /// The Prometheus text format (version 0.0.4).
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let lost = log::dropped();
        self.log_dropped.inc_by(lost.saturating_sub(self.log_dropped.get()));
        let mut out = Vec::with_capacity(16 * 1024);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!(%error, "metrics could not be written");
        }
        out
    }
}
