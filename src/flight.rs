//! A request in flight: what is known of it so far, settled exactly once.
//!
//! Whoever works on a request holds an `Arc<Flight>`; the last holder is the response body. Before the
//! client gets the end of its answer the flight is settled ([`Flight::settle`]): tokens and cost,
//! limits and budgets corrected, metrics counted, the row in the journal. Where nobody came to that
//! (the client left, a panic) its drop does it. A future or body that is dropped before anybody named
//! an outcome is a client that left.

pub mod ids;
mod interrupted;
pub mod lane;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use weir_wire::usage::Usage;

use crate::clock::{Clock, MonoNs, UnixMs};
use crate::error::ApiError;
use crate::gate::brake::{Brake, SessionId};
use crate::gate::budget::Reservation;
use crate::gate::headers;
use crate::gate::keys::{KeyData, KeySlot};
use crate::gate::limit::{Limiters, Line, Tokens};
use crate::meter::count::CountJob;
use crate::meter::ledger::{Count, Entry, Ledger, Place, Settled};
use crate::meter::prom::Metrics;
use crate::money::NanoUsd;
use crate::price::Prices;
use crate::record::{Attempt, MAX_WARNING, MAX_WARNINGS, Status, Sunk, UsageRow};
use crate::snapshot::{ProviderDef, Target};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const X_WEIR_PROVIDER: HeaderName = HeaderName::from_static("x-weir-provider");
const X_WEIR_ATTEMPTS: HeaderName = HeaderName::from_static("x-weir-attempts");
const X_WEIR_MODEL: HeaderName = HeaderName::from_static("x-weir-model");
const X_WEIR_WARNINGS: HeaderName = HeaderName::from_static("x-weir-warnings");

/// Longest error text kept in a row.
const MAX_MESSAGE: usize = 2048;
/// What stands in place of the warnings beyond the most.
const MORE_WARNINGS: &str = "there is more that was dropped or changed";
/// Longest model, user or tag text kept in a row.
const MAX_TEXT: usize = 256;

/// A row on its way to the disk, where it has to be there before the client's answer ends.
pub type Settling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The parts a flight settles into.
#[derive(Clone, Debug)]
pub struct Meter {
    /// Time.
    pub clock: Clock,
    /// The ledger's queue.
    pub ledger: Ledger,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Limits.
    pub limits: Arc<Limiters>,
}

/// The identified caller of a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its slot in the key ring: the live limits.
    pub slot: Arc<KeySlot>,
    /// Its key as it was when the request came in. The row keeps this view.
    pub key: Arc<KeyData>,
}

/// The most that a try can use.
#[derive(Clone, Debug, Default)]
pub struct Most {
    /// The amounts, whatever class they turn out to be of.
    pub usage: Usage,
    /// The service tier that is asked for.
    pub tier: Option<String>,
    /// Neither the prompt nor the answer is anything but text.
    pub text_only: bool,
}

/// Who is shown a request's row, once it is settled and before its tokens are counted, where that is necessary. It is
/// called on the request's path: it must neither wait nor take long.
pub struct Witness(pub Box<dyn FnOnce(&UsageRow) + Send>);

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Witness")
    }
}

/// A try beside another one.
#[derive(Debug)]
pub struct Beside {
    /// The most that it uses.
    pub usage: Usage,
    /// What that costs, if it has a price.
    pub cost: Option<NanoUsd>,
    /// Who is asked.
    pub attempt: Option<Attempt>,
}

/// What is known of a request so far.
#[derive(Debug, Default)]
pub struct Draft {
    /// `chat/completions`, `embeddings`, ...
    pub endpoint: &'static str,
    /// Who calls, once known.
    pub caller: Option<Caller>,
    /// What it holds of its caller's limits.
    pub line: Option<Line>,
    /// The model asked for.
    pub model: Option<String>,
    /// The model's name in metrics: only names from the configuration or the catalogue.
    pub model_label: Option<Arc<str>>,
    /// The provider serving it.
    pub provider: Option<Arc<ProviderDef>>,
    /// The upstream's own name of the model.
    pub served_model: Option<String>,
    /// The answer's service tier.
    pub tier: Option<String>,
    /// The price of what is being served.
    pub price: Option<Arc<Prices>>,
    /// Reported usage.
    pub usage: Option<Usage>,
    /// What tries that came to nothing have cost; of a try under way, until it is the answer.
    pub sunk: Option<Box<Sunk>>,
    /// The try under way is one of several calls, whose parts are in `sunk` as they come.
    pub in_parts: bool,
    /// What to count if no usage was reported.
    pub count: Option<CountJob>,
    /// The prompt, where it is for a model: what is counted if the client leaves while an upstream works.
    pub prompt: Option<Bytes>,
    /// The prompt's tokens, by size: what is estimated where the provider does not say.
    pub prompt_tokens: u64,
    /// The most that the try under way can use, by which budgets hold it.
    pub worst: Most,
    /// The session it belongs to, where sessions are watched.
    pub session: Option<(Arc<Brake>, SessionId)>,
    /// What is held of the caller's budgets.
    pub reservation: Option<Reservation>,
    /// The same of tries that were outpaced: it is given back once the request is settled.
    pub also_held: Vec<Reservation>,
    /// A try under way at the same time, as it is charged if the process dies.
    pub beside: Option<Box<Beside>>,
    /// Something was done that costs and that nobody measured.
    pub unmetered: bool,
    /// Outcome, once known.
    pub status: Option<Status>,
    /// HTTP status the client sees.
    pub http_status: u16,
    /// Error code and text.
    pub error: Option<(String, String)>,
    /// The try under way: who is asked, and since when.
    pub trying: Option<(Arc<Target>, MonoNs)>,
    /// Tries at upstreams.
    pub attempts: Vec<Attempt>,
    /// Nanoseconds spent waiting for upstreams.
    pub upstream_ns: u64,
    /// Nanoseconds waited between tries.
    pub paused_ns: u64,
    /// When the answer's first byte was ready.
    pub first_byte: Option<MonoNs>,
    /// When Weir had the answer's head ready: the end of its own work for streams.
    pub head_ready: Option<MonoNs>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The body's `user`.
    pub end_user: Option<String>,
    /// `x-weir-tags`.
    pub tags: Vec<(String, String)>,
    /// What was dropped or changed for the upstream.
    pub warnings: Vec<String>,
    /// Who is shown the row.
    pub witness: Option<Witness>,
}

/// A request in flight.
#[derive(Debug)]
pub struct Flight {
    /// The request id.
    pub id: String,
    /// Arrival, wall time.
    pub at: UnixMs,
    /// Arrival, monotonic.
    pub start: MonoNs,
    meter: Meter,
    draft: Mutex<Draft>,
    place: Mutex<Option<Place>>,
    /// How far the journal must be on the disk for this row to last, once it is settled.
    settled: OnceLock<Settled>,
    /// Set when the answer's head is on its way: from then on the body owns the outcome.
    head_sent: AtomicBool,
    /// It is nobody's request, and not among those that are being served.
    aside: bool,
}

impl Flight {
    /// Opens a flight that arrived at `at`; `place` is its reserved place in the ledger.
    #[must_use]
    pub fn open(id: String, at: UnixMs, endpoint: &'static str, meter: Meter, place: Place) -> Arc<Self> {
        meter.metrics.in_flight.inc();
        Arc::new(Self::new(id, at, endpoint, meter, Some(place), false))
    }

    /// A flight of Weir's own making, which takes nobody's place among the requests that are being served.
    #[must_use]
    pub fn aside(id: String, at: UnixMs, endpoint: &'static str, meter: Meter, place: Place) -> Arc<Self> {
        Arc::new(Self::new(id, at, endpoint, meter, Some(place), true))
    }

    /// A flight that leaves no row: nobody is asked and nothing is spent.
    #[must_use]
    pub fn unrecorded(id: String, endpoint: &'static str, meter: Meter) -> Arc<Self> {
        meter.metrics.in_flight.inc();
        let at = meter.clock.unix_ms();
        Arc::new(Self::new(id, at, endpoint, meter, None, false))
    }

    fn new(id: String, at: UnixMs, endpoint: &'static str, meter: Meter, place: Option<Place>, aside: bool) -> Self {
        Self {
            id,
            at,
            start: meter.clock.mono_ns(),
            draft: Mutex::new(Draft { endpoint, ..Draft::default() }),
            place: Mutex::new(place),
            settled: OnceLock::new(),
            head_sent: AtomicBool::new(false),
            aside,
            meter,
        }
    }

    /// What is known so far, to read or add to. Never hold it across an await.
    pub fn draft(&self) -> MutexGuard<'_, Draft> {
        // A panic while it was held leaves a draft that is still worth settling.
        self.draft.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, monotonic.
    #[must_use]
    pub fn now(&self) -> MonoNs {
        self.meter.clock.mono_ns()
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.meter.clock
    }

    /// Counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.meter.metrics
    }

    /// Limits.
    #[must_use]
    pub fn limits(&self) -> &Arc<Limiters> {
        &self.meter.limits
    }

    /// Names the outcome, once: a later word does not change it.
    pub fn conclude(&self, status: Status) {
        self.draft().status.get_or_insert(status);
    }

    /// Names a failure, once.
    pub fn fail(&self, status: Status, code: &str, message: &str) {
        let mut draft = self.draft();
        if draft.status.is_none() {
            draft.status = Some(status);
            draft.error = Some((bounded(code, MAX_TEXT), bounded(message, MAX_MESSAGE)));
        }
    }

    /// Tells the caller of something that was dropped or changed for the upstream, once: in the
    /// answer's head if that is not sent yet, and in the row. Of too many the last says so.
    pub fn warn(&self, mut warning: String) {
        warning.truncate(warning.floor_char_boundary(MAX_WARNING));
        let warnings = &mut self.draft().warnings;
        if warnings.len() >= MAX_WARNINGS || warnings.contains(&warning) {
            return;
        }
        let last = warnings.len() + 1 == MAX_WARNINGS;
        warnings.push(if last { MORE_WARNINGS.to_owned() } else { warning });
    }

    /// Records one try at an upstream.
    pub fn attempt(&self, provider: &ProviderDef, model: &str, outcome: &str, started: MonoNs) {
        let elapsed = self.now().saturating_sub(started);
        self.meter.metrics.attempt(&provider.id, outcome_label(outcome));
        let mut draft = self.draft();
        draft.trying = None;
        draft.upstream_ns += elapsed;
        draft.attempts.push(Attempt {
            provider: provider.id.to_string(),
            model: bounded(model, MAX_TEXT),
            outcome: bounded(outcome, MAX_TEXT),
            ms: elapsed / 1_000_000,
        });
    }

    /// Notes what a call cost that is not the answer by itself; `estimated` when nobody reported it.
    pub fn sink(&self, price: Option<&Prices>, usage: &Usage, estimated: bool) {
        let cost = price.map(|price| (price.cost(usage, None, self.at), price.version()));
        let mut draft = self.draft();
        let sunk = draft.sunk.get_or_insert_default();
        sunk.usage = sunk.usage.plus(usage);
        sunk.estimated |= estimated;
        match cost {
            Some((cost, version)) => {
                sunk.cost = sunk.cost_with(cost.nano);
                sunk.unpriced |= cost.unpriced;
                sunk.price_version = Some(version.to_owned());
            }
            None => sunk.unpriced |= !usage.is_zero(),
        }
    }

    /// The headers every answer of the data plane carries.
    pub fn decorate(&self, out: &mut HeaderMap) {
        out.reserve(16);
        let now = self.now();
        let mut draft = self.draft();
        draft.head_ready.get_or_insert(now);
        out.insert(X_REQUEST_ID, header(&self.id));
        let upstream = draft.upstream_ns;
        let own = now.saturating_sub(self.start).saturating_sub(upstream).saturating_sub(draft.paused_ns);
        out.insert(SERVER_TIMING, header(&server_timing(own, upstream)));
        if let Some(provider) = &draft.provider {
            out.insert(X_WEIR_PROVIDER, header(&provider.id));
            out.insert(X_WEIR_ATTEMPTS, HeaderValue::from(draft.attempts.len()));
        }
        if let Some(attempt) = draft.attempts.last().filter(|attempt| !attempt.model.is_empty()) {
            out.insert(X_WEIR_MODEL, header(&attempt.model));
        }
        if !draft.warnings.is_empty() {
            out.insert(X_WEIR_WARNINGS, header(&draft.warnings.join("; ")));
        }
        if let Some(line) = &draft.line {
            headers::write(&line.remaining(now), out);
        }
    }

    /// The answer's head is ready and its body takes over.
    pub fn head_sent(&self, http_status: u16) {
        self.head_sent.store(true, Ordering::Relaxed);
        self.draft().http_status = http_status;
    }

    /// A try that was under way when the client left.
    fn give_up_trying(&self) {
        let trying = self.draft().trying.take();
        let Some((target, started)) = trying else { return };
        self.attempt(&target.provider, &target.model, "cancelled", started);
        let mut draft = self.draft();
        // The upstream had it, and bills it: the prompt for certain, and what was made of it nobody has seen.
        let unseen = draft.usage.is_none() && draft.count.is_none() && !draft.in_parts;
        if let Some(prompt) = draft.prompt.clone().filter(|_| unseen) {
            let tokenizer = target.info.as_ref().and_then(|info| info.tokenizer.clone());
            draft.count = Some(CountJob { prompt, tokenizer, ..CountJob::default() });
        }
    }

    /// Leaves in the journal what this request is if the process dies from here on: it is about to be
    /// sent to an upstream.
    ///
    /// # Errors
    /// 503 when the journal has no room: what cannot be recorded is not done.
    pub async fn depart(&self) -> Result<(), ApiError> {
        let begun = {
            let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(place) = place.as_ref() else { return Ok(()) };
            let draft = self.draft();
            place.begin(&interrupted::Interrupted { flight: self, draft: &draft }).map_err(|_| ledger_full())?
        };
        begun.written().await.map_err(|_| ledger_full())
    }

    /// Settles it, once: what is known by now is its row, which lasts when the answer's future has
    /// resolved (`None`: it does already).
    pub fn settle(&self) -> Option<Settling> {
        let durable = self.meter.ledger.durable(self.settled()?)?;
        Some(Box::pin(durable))
    }

    /// Settles it as [`Flight::settle`] does, and waits until the row lasts. Rows of many are written
    /// together.
    pub async fn settle_together(&self) {
        if let Some(settled) = self.settled() {
            self.meter.ledger.lasting(settled).await;
        }
    }

    fn settled(&self) -> Option<Settled> {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(place) = place {
            let settled = self.settle_at(place);
            let _ = self.settled.set(settled);
        }
        self.settled.get().copied()
    }

    fn settle_at(&self, place: Place) -> Settled {
        self.give_up_trying();
        let now = self.now();
        let mut draft = std::mem::take(&mut *self.draft());
        let status = draft.status.unwrap_or(Status::Cancelled);
        release(&mut draft, status, now);
        let (reservation, session) = (draft.reservation.take(), draft.session.take());
        let witness = draft.witness.take();
        // Given back at the end of this: what was outpaced is a part of the cost that is settled first.
        let _also_held = std::mem::take(&mut draft.also_held);
        let label = draft.model_label.clone().unwrap_or_else(|| "none".into());
        let mut entry = Settlement { flight: self, draft, status, now, label: Arc::clone(&label) }.entry();
        if let Some((brake, session)) = session {
            brake.spent(session, entry.row.cost.unwrap_or_default());
        }
        if let Some(reservation) = reservation {
            entry.row.charges = reservation.settle(entry.row.cost.unwrap_or_default());
        }
        if let Some(Witness(shown)) = witness {
            shown(&entry.row);
        }
        if entry.count.is_none() {
            self.meter.metrics.settled(&entry.row, &label);
        }
        let estimate = entry.count.is_some().then(|| entry.row.clone());
        let (settled, left) = place.settle(entry);
        if let (Some(row), Some(_)) = (estimate, left) {
            self.meter.metrics.settled(&row, &label);
        }
        settled
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        drop(self.settle());
        if !self.aside {
            self.meter.metrics.in_flight.dec();
        }
    }
}

/// What is said where the journal has no room.
pub const LEDGER_FULL: &str = "usage cannot be recorded at the moment, so nothing is accepted";

/// 503: what cannot be recorded is not done.
fn ledger_full() -> ApiError {
    ApiError::overloaded(LEDGER_FULL)
}

/// Gives back what is held of the caller's limits, and corrects the estimate by what was used.
fn release(draft: &mut Draft, status: Status, now: MonoNs) {
    if let Some(mut line) = draft.line.take() {
        line.settle(tokens_used(draft, status), now);
    }
}

fn tokens_used(draft: &Draft, status: Status) -> Tokens {
    let sunk = draft.sunk.as_ref().map_or(0, |sunk| sunk.usage.input.saturating_add(sunk.usage.output));
    match (&draft.usage, status) {
        (Some(usage), _) => Tokens::Used(usage.input.saturating_add(usage.output).saturating_add(sunk)),
        // Something ran and was not reported: the estimate stands.
        (None, Status::Ok | Status::Cancelled) if draft.count.is_some() => Tokens::AsHeldAnd(sunk),
        (None, _) => Tokens::Used(sunk),
    }
}

/// A flight's last moment.
struct Settlement<'a> {
    flight: &'a Flight,
    draft: Draft,
    status: Status,
    now: MonoNs,
    label: Arc<str>,
}

impl Settlement<'_> {
    fn entry(mut self) -> Entry {
        let count = self.draft.usage.is_none().then(|| self.draft.count.take()).flatten();
        let usage = self.draft.usage.unwrap_or_default();
        let price = self.draft.price.take();
        let tier = self.draft.tier.clone();
        let sunk = self.draft.sunk.take();
        let unmetered = self.draft.unmetered && self.draft.usage.is_none() && self.status == Status::Ok;
        let label = Arc::clone(&self.label);
        let prompt_tokens = self.draft.prompt_tokens;
        let mut row = self.row(usage);
        match count {
            Some(job) => {
                row.estimated = true;
                let counted = job.estimate();
                row.usage.input = row.usage.input.max(counted.input.max(prompt_tokens));
                row.usage.output = row.usage.output.max(counted.output);
                price_row(&mut row, price.as_deref(), tier.as_deref());
                if let Some(sunk) = sunk.clone() {
                    sunk.add_to(&mut row);
                }
                Entry { row, count: Some(Count { job, reported: usage, sunk, price, tier, label }) }
            }
            None => {
                price_row(&mut row, price.as_deref(), tier.as_deref());
                if unmetered {
                    (row.cost, row.unpriced) = (None, true);
                }
                if let Some(sunk) = sunk {
                    sunk.add_to(&mut row);
                }
                Entry { row, count: None }
            }
        }
    }

    fn row(self, usage: Usage) -> UsageRow {
        let Self { flight, draft, status, now, .. } = self;
        let latency = now.saturating_sub(flight.start);
        let own_end = if draft.stream { draft.head_ready.unwrap_or(now) } else { now };
        let key = draft.caller.as_ref().map(|c| &c.key);
        let (error_code, error_message) = draft.error.unzip();
        UsageRow {
            id: flight.id.clone(),
            at: flight.at,
            key_id: key.map(|k| k.id.clone()),
            team_id: key.and_then(|k| k.team_id.clone()),
            user_id: key.and_then(|k| k.user_id.clone()),
            end_user: draft.end_user.map(|u| bounded(&u, MAX_TEXT)),
            tags: draft.tags,
            endpoint: draft.endpoint.to_owned(),
            model: draft.model.map(|m| bounded(&m, MAX_TEXT)),
            provider: draft.provider.map(|p| p.id.to_string()),
            served_model: draft.served_model.map(|m| bounded(&m, MAX_TEXT)),
            status,
            http_status: if status == Status::Cancelled { 499 } else { draft.http_status },
            attempts: draft.attempts,
            usage,
            cost: None,
            price_version: None,
            tier: draft.tier.map(|t| bounded(&t, MAX_TEXT)),
            estimated: false,
            unpriced: false,
            latency_ms: latency / 1_000_000,
            ttft_ms: draft.first_byte.map(|at| at.saturating_sub(flight.start) / 1_000_000),
            overhead_us: own_end
                .saturating_sub(flight.start)
                .saturating_sub(draft.upstream_ns)
                .saturating_sub(draft.paused_ns)
                / 1_000,
            stream: draft.stream,
            error_code,
            error_message,
            metadata: key.and_then(|k| k.metadata.clone()),
            warnings: draft.warnings,
            charges: Vec::new(),
        }
    }
}

/// Computes a row's cost. A row without tokens costs nothing and is not `unpriced`.
pub fn price_row(row: &mut UsageRow, price: Option<&Prices>, tier: Option<&str>) {
    if row.usage.is_zero() {
        row.cost = Some(NanoUsd(0));
        return;
    }
    match price {
        Some(price) => {
            let cost = price.cost(&row.usage, tier, row.at);
            row.cost = cost.amount();
            row.price_version = Some(price.version().to_owned());
            row.unpriced = cost.unpriced;
        }
        None => row.unpriced = true,
    }
}

/// An attempt's outcome in metrics: Weir's own codes; an upstream's codes are one.
fn outcome_label(outcome: &str) -> &'static str {
    const OWN: [&str; 10] = [
        "ok",
        "cancelled",
        lane::OUTPACED,
        "upstream_error",
        "upstream_timeout",
        "upstream_credentials_rejected",
        "upstream_invalid_response",
        "rate_limit_exceeded",
        "unsupported_operation",
        "incomplete_body",
    ];
    OWN.into_iter().find(|own| *own == outcome).unwrap_or("refused")
}

/// Cuts a text at a character boundary.
#[must_use]
pub fn bounded(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_owned()
}

fn header(text: &str) -> HeaderValue {
    let clean: String;
    let text = if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        text
    } else {
        clean = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
        &clean
    };
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("?"))
}

/// `weir;dur=0.21, upstream;dur=312.4`, in milliseconds.
fn server_timing(own_ns: u64, upstream_ns: u64) -> String {
    format!(
        "weir;dur={}.{:02}, upstream;dur={}.{}",
        own_ns / 1_000_000,
        own_ns / 10_000 % 100,
        upstream_ns / 1_000_000,
        upstream_ns / 100_000 % 10
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::limit::Rules;
    use crate::meter::journal::{Journal, Options, Reader};

    #[test]
    fn warnings_reach_answer_and_row_once_and_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::create(folder.path(), "test", Options::default()).unwrap());
        let ledger = Ledger::new(Arc::clone(&journal));
        let place = ledger.reserve().unwrap();
        let clock = Clock::mock(0);
        let limits = Arc::new(Limiters::new(clock.clone(), Rules::default()));
        let meter = Meter { clock, ledger, metrics: Arc::new(Metrics::new()), limits };
        let flight = Flight::open("id".to_owned(), 0, "chat/completions", meter, place);
        flight.warn("temperature dropped".to_owned());
        flight.warn("temperature dropped".to_owned());
        // Cut between characters; what is the same after that is the same.
        flight.warn(format!("x{}a", "é".repeat(300)));
        flight.warn(format!("x{}b", "é".repeat(300)));
        let mut headers = HeaderMap::new();
        flight.decorate(&mut headers);
        let told = headers[X_WEIR_WARNINGS].to_str().unwrap();
        assert!(told.starts_with("temperature dropped; x?") && told.len() < 19 + 2 + MAX_WARNING, "{told}");
        for n in 0..100 {
            flight.warn(format!("{n} dropped"));
        }
        drop(flight);
        let settles = Reader::own(journal).settles(10).unwrap();
        let [settled] = &settles[..] else { panic!("the flight is settled once") };
        let warnings = serde_json::from_slice::<UsageRow>(&settled.json).unwrap().warnings;
        assert_eq!(
            (warnings.len(), warnings[0].as_str(), warnings[1].len()),
            (MAX_WARNINGS, "temperature dropped", 511)
        );
        assert_eq!(warnings[2..5], ["0 dropped", "1 dropped", "2 dropped"]);
        assert_eq!(warnings[62..], ["60 dropped", MORE_WARNINGS]);
    }
}
