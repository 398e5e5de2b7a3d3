//! Start-up and stop, top to bottom.

mod budgets;
mod handover;
mod limits;
mod listen;
mod reload;
mod signers;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::alerts::Receivers;
use crate::clock::{Clock, Entropy};
use crate::config::{Config, ConfigSource, Durability, Key, Policy, Pool, Server, Unanswered};
use crate::demo::Demo;
use crate::dispatch::retries::Budget as Retries;
use crate::dispatch::shadow::{self, Shadows};
use crate::dispatch::{Dispatcher, Senders, afford};
use crate::flight::ids::RecentIds;
use crate::flight::{Caller, Meter};
use crate::gate::brake::{self, Brake};
use crate::gate::budget::{self, Budgets, Demand};
use crate::gate::keys::{Bounds, KeyData, KeyRing, KeySlot};
use crate::gate::limit::{Limits, Priority};
use crate::gate::memory::BodyMemory;
use crate::gate::rights::ModelRights;
use crate::gate::secret::{self, KeyHash};
use crate::http::router::{operations_router, router, stopping_router};
use crate::http::server::tls::Certificates;
use crate::http::server::{Listening, Routers, serve};
use crate::jobs::budget_keeper::{self, BudgetKeeper};
use crate::jobs::config_watch::ConfigWatch;
use crate::jobs::health_checks::HealthChecks;
use crate::jobs::journal_sync;
use crate::jobs::key_watch::KeyWatch;
use crate::jobs::outbox::OutboxKeeper;
use crate::jobs::price_watch::PriceWatch;
use crate::jobs::reconcile::Reconcile;
use crate::jobs::reports::Reports;
use crate::jobs::shadow_log::ShadowLog;
use crate::jobs::shadows::ShadowSender;
use crate::jobs::stall_watch;
use crate::jobs::upstream_watch::UpstreamWatch;
use crate::jobs::usage_writer::told::Teller;
use crate::jobs::usage_writer::{self, UsageWriter};
use crate::lifecycle::Lifecycle;
use crate::meter::journal::{self, Journal};
use crate::meter::ledger::Ledger;
use crate::meter::prom::Metrics;
use crate::snapshot::Snapshot;
use crate::state::{Ask, ConfigDesk, Gateway, PriceDesk, Readiness, Shared, Wanted};
use crate::store::{self, Db, Engine, Options, StoreError};
use crate::upstream::client::{Http2, HttpProvider, PoolOptions, tls_config};
use crate::upstream::{LaneOptions, Provider};
use handover::{Heir, Predecessor};
pub use listen::Socket;
use listen::{Doors, until_left};
use reload::{Reloader, Way};
use secrecy::ExposeSecret as _;

/// Largest answer held in memory.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Key look-ups in the database at once.
const KEY_LOOKUPS: usize = 16;
/// How long a replica can go on spending at its present rate while the database is away.
const AUTONOMY: Duration = Duration::from_secs(600);
/// How long clients get to use their open connections once more and be told that it was the last time, where another
/// gateway takes new ones.
const LINGER: Duration = Duration::from_secs(5);
/// Setting that holds the admin key's hash.
const ADMIN_HASH: &str = "admin_key_hash";

/// Reads an environment variable.
pub type Environment = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;
/// The same, for all who need it while the gateway runs.
type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the gateway is started with.
pub struct Start {
    /// The configuration.
    pub config: Config,
    /// What it was read from, and is when it is reloaded.
    pub source: ConfigSource,
    /// The address that goes before the configuration's.
    pub listen: Option<SocketAddr>,
    /// Listening sockets that a service manager gave, and keeps.
    pub sockets: Vec<Socket>,
    /// The environment.
    pub env: Environment,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub chance: Entropy,
}

/// What the parts of the gateway are made of.
struct Made<'a> {
    config: &'a Config,
    env: &'a Env,
    clock: &'a Clock,
    chance: &'a Entropy,
}

impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct App {
    /// Its parts.
    pub gateway: Shared,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where its metrics are, when apart.
    pub metrics_addr: Option<SocketAddr>,
    /// Secrets made on this start, to be shown once.
    pub welcome: Welcome,
    lifecycle: Lifecycle,
    leave: Leave,
}

/// How its sockets are left to others.
#[derive(Debug, Default)]
struct Leave {
    /// Somebody keeps them while nobody accepts: what comes meanwhile waits for the next gateway.
    is_shared: bool,
    /// Another gateway accepts from them now.
    relieved: CancellationToken,
    /// This one accepts nothing more.
    left: CancellationToken,
}

/// Secrets made on a first start.
#[derive(Default)]
pub struct Welcome {
    /// The admin key.
    pub admin_key: Option<String>,
    /// A first virtual key.
    pub first_key: Option<String>,
}

impl std::fmt::Debug for Welcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Welcome").field("is_first_start", &self.admin_key.is_some()).finish()
    }
}

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration does not fit together.
    #[error("configuration: {0}")]
    Config(String),
    /// The database, by its URL without its password.
    #[error("database {0}: {1}")]
    Store(String, StoreError),
    /// The folder of the journal.
    #[error("cannot keep a journal in {}: {error}", folder.display())]
    Journal {
        /// Where.
        folder: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The socket of `server.handover`.
    #[error("cannot hand sockets over at {path}: {error}", path = .0.display(), error = .1)]
    Handover(PathBuf, std::io::Error),
    /// The address.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

impl App {
    /// Starts the gateway: everything that can be wrong is found before a port is open.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn start(start: Start) -> Result<Self, StartError> {
        let lifecycle = Lifecycle::default();
        let Start { mut config, source, listen: first, sockets, env, clock, chance } = start;
        config.server.listen = first.unwrap_or(config.server.listen);
        let way = Way { source, listen: first, env: env.into() };
        let made = Made { config: &config, env: &way.env, clock: &clock, chance: &chance };
        let snapshot = Snapshot::build(&config, &*way.env, clock.mono_ns()).map_err(StartError::Config)?;
        let senders = senders(&snapshot, &made, &Senders::new())?;
        for warning in config.chaos.warnings() {
            tracing::warn!("{warning}");
        }
        let db = open_database(&config)?;
        let journal = open_journal(&made)?;
        let ledger = Ledger::new(Arc::clone(&journal));
        let replica = journal.folder().id();
        let (limits, keeper_of_limits) = limits::limiters(&config, &clock, &db, replica)?;
        let meter = Meter { clock: clock.clone(), ledger, metrics: Arc::new(Metrics::new()), limits };
        meter.metrics.chaos_active.set(i64::from(config.chaos.is_active()));
        let (keeper, demands) = mpsc::channel(budget::MAX_WAITING);
        let budgets = Arc::new(Budgets::new(keeper));
        #[expect(clippy::cast_precision_loss, reason = "seconds fit an f64 for millions of years")]
        meter.metrics.started.set(clock.unix_ms() as f64 / 1e3);
        let file = if let ConfigSource::File(path) = &way.source { Some(path.clone()) } else { None };
        let (configs, asked) = ConfigDesk::new(clock.unix_ms(), file);
        let (shadows_desk, copies) = Shadows::new(Arc::clone(&meter.metrics));
        let budgets = Arc::clone(&budgets);
        let parts = Parts { snapshot, senders, db, meter, budgets, configs, shadows: shadows_desk };
        let gateway = Arc::new(gateway(&made, parts, &lifecycle)?);
        let welcome = set_up(&gateway, &lifecycle).await?;
        accounting(&gateway, &lifecycle, demands);
        lifecycle.job(stall_watch::run(clock.clone(), Arc::clone(&gateway.meter.metrics), lifecycle.jobs_stop.clone()));
        limits::share(&gateway, keeper_of_limits, &lifecycle);
        shadows(&gateway, copies, &lifecycle);
        lifecycle.job(KeyWatch::new(Arc::clone(&gateway)).run(lifecycle.jobs_stop.clone()));
        let (keeper, head) = OutboxKeeper::new(Arc::clone(&gateway));
        lifecycle.job(keeper.run(lifecycle.jobs_stop.clone()));
        let mut reloader = Reloader::new(&gateway, &lifecycle, way, asked, head);
        // Before the first request: where the database has the configuration, it is the one.
        reloader.round().await;
        lifecycle.job(reloader.run());
        lifecycle.job(ConfigWatch::new(Arc::clone(&gateway)).run(lifecycle.jobs_stop.clone()));
        lifecycle.job(HealthChecks::new(Arc::clone(&gateway)).run(lifecycle.jobs_stop.clone()));
        lifecycle.job(UpstreamWatch::new(Arc::clone(&gateway)).run(lifecycle.jobs_stop.clone()));
        lifecycle.job(Reconcile::new(Arc::clone(&gateway)).run(lifecycle.jobs_stop.clone()));
        lifecycle.job(Reports::new(Arc::clone(&gateway)).run(lifecycle.jobs_stop.clone()));
        lifecycle.job(PriceWatch::new(Arc::clone(&gateway)).run(lifecycle.jobs_stop.clone()));
        let config = gateway.config.load_full();
        let server = &config.server;
        let leave = Leave { is_shared: !sockets.is_empty(), ..Leave::default() };
        let (sockets, predecessor) = predecessor(server, sockets)?;
        let doors = Doors::open(server, sockets).await?;
        let addr = listen::address(&doors.api[0])?;
        let metrics_addr = doors.metrics.as_ref().map(listen::address).transpose()?;
        let heir = server.handover.as_ref().map(|path| {
            let heir = doors.copies().and_then(|sockets| Heir::expect(path, sockets));
            heir.map_err(|error| StartError::Handover(path.clone(), error))
        });
        let heir = heir.transpose()?;
        let certificates = certificates(&gateway, &lifecycle)?;
        let listening = Listening::new(&gateway, certificates, lifecycle.clone());
        let routers = Routers { serving: router(&gateway), stopping: stopping_router(&gateway) };
        for listener in doors.api {
            let accepting = serve(listener, routers.clone(), listening.clone());
            lifecycle.job(until_left(accepting, leave.left.clone()));
        }
        if let Some(listener) = doors.metrics {
            let router = operations_router(&gateway);
            let routers = Routers { serving: router.clone(), stopping: router };
            lifecycle.job(until_left(serve(listener, routers, listening.operations()), leave.left.clone()));
        }
        // From here on this gateway serves.
        if let Some(predecessor) = predecessor
            && let Err(error) = predecessor.relieve()
        {
            tracing::warn!(%error, "the gateway before this one did not hear that it may end: {error}");
        }
        if let Some(heir) = heir {
            lifecycle.job(heir.run(leave.relieved.clone(), lifecycle.soft_stop.clone()));
        }
        Ok(Self { gateway, addr, metrics_addr, welcome, lifecycle, leave })
    }

    /// Reads the configuration again, as on SIGHUP.
    pub fn reload(&self) {
        let ask = Ask { wanted: Wanted::Again, by: "signal", note: None, dry_run: false, reply: None };
        if !self.gateway.configs.ask(ask) {
            tracing::warn!("too many reloads wait already; this one is left out");
        }
    }

    /// Resolves when another gateway has taken the sockets and serves.
    pub async fn relieved(&self) {
        self.leave.relieved.cancelled().await;
    }

    /// Drains and stops; `hurry` ends the wait early.
    pub async fn stop(self, hurry: impl Future<Output = ()>) {
        let mut hurry = std::pin::pin!(hurry);
        if self.leave.is_shared || self.leave.relieved.is_cancelled() {
            // Whoever connects from now on is another's.
            self.leave.left.cancel();
            self.gateway.readiness.leave();
            tokio::select! {
                () = self.lifecycle.wait_for_connections(LINGER) => {}
                () = hurry.as_mut() => {}
            }
        }
        // In this order: whoever is told that the gateway drains finds its doors closed.
        self.lifecycle.soft_stop.cancel();
        self.gateway.readiness.drain();
        let drain = self.gateway.config.load().server.drain_timeout;
        self.lifecycle.stop(drain, hurry).await;
        self.gateway.db.close().await;
    }
}

/// The sockets to listen on: those of the gateway that runs go before those that were given, which are the same.
fn predecessor(server: &Server, given: Vec<Socket>) -> Result<(Vec<Socket>, Option<Predecessor>), StartError> {
    let Some(path) = &server.handover else { return Ok((given, None)) };
    match Predecessor::find(path).map_err(|error| StartError::Handover(path.clone(), error))? {
        Some((_, predecessor)) if !given.is_empty() => Ok((given, Some(predecessor))),
        Some((sockets, predecessor)) => Ok((sockets, Some(predecessor))),
        None => Ok((given, None)),
    }
}

/// The certificates of the door, and the job that follows their files.
fn certificates(gateway: &Shared, lifecycle: &Lifecycle) -> Result<Option<Arc<Certificates>>, StartError> {
    let config = gateway.config.load_full();
    let Some(files) = &config.server.tls else { return Ok(None) };
    let certificates = Arc::new(Certificates::load(files).map_err(StartError::Config)?);
    lifecycle.job(Arc::clone(&certificates).watch(Arc::clone(gateway), lifecycle.jobs_stop.clone()));
    Ok(Some(certificates))
}

/// What a gateway is put together of.
struct Parts {
    snapshot: Snapshot,
    senders: Senders,
    db: Db,
    meter: Meter,
    budgets: Arc<Budgets>,
    configs: ConfigDesk,
    shadows: Shadows,
}

fn gateway(made: &Made<'_>, parts: Parts, lifecycle: &Lifecycle) -> Result<Gateway, StartError> {
    let (config, clock) = (made.config, made.clock);
    let Parts { snapshot, senders, db, meter, budgets, configs, shadows } = parts;
    let keys = KeyRing::new(clock.clone(), Bounds::default());
    for key in &config.keys {
        let data = declared_key(key).map_err(|why| StartError::Config(format!("keys: {}: {why}", key.name)))?;
        keys.pin(data);
    }
    let admin = config.auth.admin_key.as_ref().map(|key| Arc::new(KeyHash::of(key.expose_secret().trim())));
    let dispatcher = Dispatcher {
        retries: Retries::new(config.routing.retry_percent),
        senders: ArcSwap::from_pointee(senders),
        chance: made.chance.clone(),
        hard_stop: lifecycle.hard_stop.clone(),
        max_answer: MAX_ANSWER,
        budgets: Arc::clone(&budgets),
        policy: ArcSwap::from_pointee(policy(config)),
    };
    let roots = (made.env)("SSL_CERT_FILE");
    let receivers = Receivers::new(config, roots.as_deref()).map_err(StartError::Config)?;
    Ok(Gateway {
        alerts: Arc::new(ArcSwap::from_pointee(receivers)),
        anonymous: ArcSwapOption::new((!config.auth.required).then(|| Arc::new(anonymous(clock)))),
        snapshot: ArcSwap::from_pointee(snapshot.priced(snapshot.book(), clock.unix_ms())),
        prices: PriceDesk::default(),
        dispatcher,
        shadows,
        keys,
        budgets,
        recent_ids: RecentIds::default(),
        brake: Arc::new(Brake::new(brake_limits(config))),
        body_memory: BodyMemory::new(config.server.max_body_memory),
        key_lookups: Semaphore::new(KEY_LOOKUPS),
        db,
        admin: ArcSwapOption::new(admin),
        chance: made.chance.clone(),
        readiness: Readiness::default(),
        started_at: clock.unix_ms(),
        config: ArcSwap::from_pointee(config.clone()),
        configs,
        meter,
    })
}

fn policy(config: &Config) -> afford::Policy {
    afford::Policy {
        allow_unpriced: config.budget_policy.unpriced == Policy::Allow,
        allow_unknown: config.budget_policy.unknown == Policy::Allow,
        unanswered_costs: config.routing.unanswered == Unanswered::Prompt,
    }
}

fn brake_limits(config: &Config) -> brake::Limits {
    brake::Limits {
        spend: config.brake.session_usd,
        turns: config.brake.session_turns,
        repeats: config.brake.repeats,
        idle: config.brake.idle,
    }
}

/// The jobs that keep the accounts: what is written to the database, what is leased of budgets, what
/// is brought to the disk.
fn accounting(gateway: &Shared, lifecycle: &Lifecycle, demands: mpsc::Receiver<Demand>) {
    let (db, meter, budgets) = (gateway.db.clone(), gateway.meter.clone(), Arc::clone(&gateway.budgets));
    let (journal, metrics) = (Arc::clone(meter.ledger.journal()), Arc::clone(&meter.metrics));
    let keeper = budget_keeper::Parts {
        db: db.clone(),
        clock: meter.clock.clone(),
        budgets: Arc::clone(&budgets),
        demands,
        replica: journal.folder().id().to_owned(),
        autonomy: AUTONOMY,
    };
    lifecycle.job(BudgetKeeper::new(keeper).run(lifecycle.jobs_stop.clone()));
    let config = gateway.config.load_full();
    let root = config.ledger.journal.clone();
    let alerts = Arc::clone(&gateway.alerts);
    let teller = Teller { budgets: Arc::clone(&budgets), clock: meter.clock.clone(), alerts };
    let writer = UsageWriter::new(usage_writer::Parts { db, meter, budgets, root, teller });
    lifecycle.job(writer.run(lifecycle.jobs_stop.clone()));
    if config.ledger.durability == Durability::Power {
        lifecycle.job(journal_sync::run(journal, metrics, lifecycle.jobs_stop.clone()));
    }
}

/// The jobs that send copies of requests, and write down how they differ.
fn shadows(gateway: &Shared, ends: shadow::Ends, lifecycle: &Lifecycle) {
    let (served, hard_stop) = (lifecycle.served.clone(), lifecycle.hard_stop.clone());
    lifecycle.left_over(ShadowSender::new(Arc::clone(gateway), ends.copies, served, hard_stop).run());
    lifecycle.job(ShadowLog::new(Arc::clone(gateway), ends.finished).run(lifecycle.jobs_stop.clone()));
}

/// A journal of this process's own.
fn open_journal(start: &Made<'_>) -> Result<Arc<Journal>, StartError> {
    let ledger = &start.config.ledger;
    let durability = match ledger.durability {
        Durability::Process => journal::Durability::Process,
        Durability::Power => journal::Durability::Power,
    };
    let options = journal::Options { durability, max_size: ledger.max_size, ..journal::Options::default() };
    let id = start.chance.uuid(start.clock.unix_ms()).to_string();
    let journal = Journal::create(&ledger.journal, &id, options);
    journal.map(Arc::new).map_err(|error| StartError::Journal { folder: ledger.journal.clone(), error })
}

fn open_database(config: &Config) -> Result<Db, StartError> {
    let connections = u32::try_from(config.database.max_connections).unwrap_or(u32::MAX);
    let options = Options { connections, ..Options::default() };
    Db::open(config.database.url.expose_secret(), &options).map_err(|e| store_error(config, e))
}

fn store_error(config: &Config, error: StoreError) -> StartError {
    StartError::Store(config.database.url.redacted(), error)
}

/// One sender for each provider, with its own connections; not for those whose sender is there.
fn senders(snapshot: &Snapshot, start: &Made<'_>, there: &Senders) -> Result<Senders, StartError> {
    let tls = tls_config((start.env)("SSL_CERT_FILE").as_deref()).map_err(StartError::Config)?;
    let mut senders: Senders = HashMap::new();
    for provider in snapshot.providers.values().filter(|provider| !there.contains_key(&provider.sender)) {
        let sender: Arc<dyn Provider> = if provider.demo {
            Arc::new(Demo::new(start.clock.clone()))
        } else {
            let options = PoolOptions {
                connect_timeout: provider.timeouts.connect,
                max_idle_per_host: usize::try_from(provider.pool.max_idle_per_host).unwrap_or(usize::MAX),
                http2: http2(&provider.pool),
            };
            signers::signed(provider, start, HttpProvider::new(options, Arc::clone(&tls)), &tls)?
        };
        senders.insert(Arc::clone(&provider.sender), sender);
    }
    Ok(senders)
}

fn http2(pool: &Pool) -> Http2 {
    let size = |most: u64| usize::try_from(most).unwrap_or(usize::MAX);
    let lanes = LaneOptions { connections: size(pool.http2_connections), streams: size(pool.http2_streams) };
    match pool.http2 {
        crate::config::Http2::Auto => Http2::Auto(lanes),
        crate::config::Http2::Always => Http2::Always(lanes),
        crate::config::Http2::Never => Http2::Never,
    }
}

/// The id of a key that the configuration declares.
fn declared_key_id(name: &str) -> String {
    format!("config:{name}")
}

fn declared_key(key: &Key) -> Result<KeyData, String> {
    let metadata = (!key.metadata.is_empty()).then(|| serde_json::to_string(&key.metadata).unwrap_or_default());
    Ok(KeyData {
        id: declared_key_id(&key.name),
        name: key.name.clone(),
        hash: KeyHash::of(key.key.expose_secret()),
        rights: ModelRights::new(&key.models)?,
        limits: key.limits,
        priority: key.priority,
        team_id: key.team_id.clone(),
        user_id: key.user_id.clone(),
        organization_id: key.organization_id.clone(),
        expires_at: key.expires_at.map(jiff::Timestamp::as_millisecond),
        rev: 0,
        revoked: false,
        metadata,
    })
}

/// Everybody, where keys are not required (loopback only; the configuration checks that).
fn anonymous(clock: &Clock) -> Caller {
    let data = KeyData {
        id: "anonymous".into(),
        name: "anonymous".into(),
        hash: KeyHash([0; 32]),
        rights: ModelRights::default(),
        limits: Limits::default(),
        priority: Priority::default(),
        team_id: None,
        user_id: None,
        organization_id: None,
        expires_at: None,
        rev: 0,
        revoked: false,
        metadata: None,
    };
    let slot = Arc::new(KeySlot::new(data, true, clock.mono_ns()));
    Caller { key: slot.data(), slot }
}

/// Migrates the database and finds or makes the admin key. A PostgreSQL that is away does not keep
/// the gateway from starting: it is set up as soon as it is back.
async fn set_up(gateway: &Shared, lifecycle: &Lifecycle) -> Result<Welcome, StartError> {
    match prepare_database(gateway).await {
        Ok(welcome) => Ok(welcome),
        Err(error) if gateway.db.engine() == Engine::Postgres && error.is_retryable() => {
            tracing::error!(%error, "the database is not reachable; the gateway starts without it and goes on trying: {error}");
            let (gateway, stop) = (Arc::clone(gateway), lifecycle.jobs_stop.clone());
            lifecycle.job(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = prepare_later(gateway) => {}
                }
            });
            Ok(Welcome::default())
        }
        Err(error) => Err(store_error(&gateway.config.load(), error)),
    }
}

async fn prepare_later(gateway: Shared) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match prepare_database(&gateway).await {
            Ok(welcome) => {
                if welcome.admin_key.is_some() {
                    tracing::warn!(
                        "the admin key was generated while nobody could see it; set WEIR_ADMIN_KEY and restart"
                    );
                }
                return tracing::info!("the database is reachable");
            }
            Err(error) => tracing::warn!(%error, "the database is still not reachable: {error}"),
        }
    }
}

async fn prepare_database(gateway: &Gateway) -> Result<Welcome, StoreError> {
    gateway.db.migrate().await?;
    let now = gateway.clock().unix_ms();
    // Where the database has the configuration, the file's budgets are none.
    if store::configs::head(&gateway.db).await?.truth == 0 {
        store::budgets::declare(&gateway.db, &budgets::declared(&gateway.config.load(), now), now).await?;
    }
    let welcome = if gateway.admin.load().is_some() { Welcome::default() } else { bootstrap(gateway).await? };
    // Before the first request, so that it is priced as all others; and what nobody knows of limits nobody.
    gateway.follow_prices().await?;
    gateway.follow_budgets().await?;
    gateway.readiness.database_is_up();
    Ok(welcome)
}

/// The admin key's hash from the database; on the very first start a new key, and a first virtual
/// key with it. Of several replicas starting at once, one makes them.
async fn bootstrap(gateway: &Gateway) -> Result<Welcome, StoreError> {
    let made = secret::generate_admin(&gateway.chance);
    let is_first = store::settings::set_if_absent(&gateway.db, ADMIN_HASH, &hex(&made.hash.0)).await?;
    let stored = store::settings::get(&gateway.db, ADMIN_HASH).await?.and_then(|text| unhex(&text));
    let Some(hash) = stored else {
        return Err(StoreError::new(
            store::StoreErrorKind::Corrupt,
            "the stored hash of the admin key is damaged; set WEIR_ADMIN_KEY",
        ));
    };
    gateway.admin.store(Some(Arc::new(KeyHash(hash))));
    if !is_first {
        return Ok(Welcome::default());
    }
    let first = first_key(gateway).await?;
    Ok(Welcome { admin_key: Some(made.text), first_key: Some(first) })
}

async fn first_key(gateway: &Gateway) -> Result<String, StoreError> {
    let now = gateway.clock().unix_ms();
    let made = secret::generate(&gateway.chance);
    let row = store::keys::KeyRow {
        id: format!("key_{}", gateway.chance.uuid(now).simple()),
        name: "first".into(),
        hash: store::keys::KeyHash(made.hash.0),
        prefix: made.prefix.clone(),
        last4: made.last4.clone(),
        models: Vec::new(),
        team_id: None,
        user_id: None,
        organization_id: None,
        limits: Limits::default(),
        priority: Priority::default(),
        expires_at: None,
        revoked_at: None,
        metadata: None,
        created_at: now,
        updated_at: now,
        rev: 0,
    };
    store::keys::insert(&gateway.db, &row).await?;
    Ok(made.text)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[i * 2..i * 2 + 2], 16).ok()?;
    }
    Some(out)
}
