//! Limits of all replicas together, kept in Redis: one script takes of every limit of a request or of none.
//!
//! Nobody waits longer for it than `redis.timeout`. After a failure nobody asks for a moment, and what was
//! taken meanwhile of local shares is told when it answers again. What comes back (tokens that were only
//! estimated, places) is told with the next request of the same holder, or by the job within a tenth of a
//! second. Times are the server's, so that the replicas' clocks need not agree.

mod account;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, RedisError, Script, TlsCertificates, Value};
use arc_swap::ArcSwapOption;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, MonoNs};
use crate::gate::limit::pool::{Change, Left, NotTaken, Pool, Replicas, Taking, Want};
use crate::gate::limit::{Kind, Limits, Whose};
use crate::limits::RATES;
use account::{Accounts, Asked};

const TAKE: &str = include_str!("redis/take.lua");
const ALIVE: &str = include_str!("redis/alive.lua");
/// Where the replicas are. The braces keep everything on one node of a cluster.
const REPLICAS: &str = "weir:{limits}:replicas";
/// A replica that is not seen for so long has no places any more.
const DEAD: Duration = Duration::from_secs(30);
/// Between two signs of life.
const SIGN: MonoNs = 5_000_000_000;
/// Between two looks at what is to be told.
const TICK: Duration = Duration::from_millis(100);
/// For a connection to stand.
const CONNECT: Duration = Duration::from_secs(1);
/// After a failure requests do not ask for so long.
const AWAY: MonoNs = 250_000_000;
/// Holders that are told of at once.
const BATCH: usize = 64;

/// Where Redis is.
pub struct Place<'a> {
    /// Its URL, with its password.
    pub url: &'a str,
    /// The authorities that may have signed its certificate (PEM), in place of the public ones.
    pub authorities: Option<Vec<u8>>,
}

impl fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

/// The limits in Redis.
pub struct RedisPool {
    client: Client,
    timeout: Duration,
    clock: Clock,
    replica: String,
    script: Script,
    alive: Script,
    link: ArcSwapOption<MultiplexedConnection>,
    away_until: AtomicU64,
    /// That it cannot be reached was told.
    is_unreachable: AtomicBool,
    accounts: Mutex<Accounts>,
    /// As the database knows them, and as Redis does: who does not share a database shares Redis.
    replicas: [ArcSwapOption<Replicas>; 2],
}

impl fmt::Debug for RedisPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPool").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl RedisPool {
    /// A pool that is not connected yet; `replica` is this process's own name.
    ///
    /// # Errors
    /// When the URL is none of Redis (its text is not repeated), or the authorities' certificates are none.
    pub fn new(place: Place<'_>, timeout: Duration, clock: Clock, replica: String) -> Result<Self, String> {
        let Place { url, authorities } = place;
        let client = Client::open(url).map_err(|_| "redis.url is no URL of a Redis server".to_owned())?;
        let client = match authorities {
            None => client,
            Some(_) if !url.starts_with("rediss://") => {
                return Err("redis.ca_file is of no use: redis.url must begin with rediss://".to_owned());
            }
            Some(pem) => Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert: Some(pem) })
                .map_err(|_| "redis.ca_file holds no certificates in the PEM form".to_owned())?,
        };
        Ok(Self {
            client,
            timeout,
            clock,
            replica,
            script: Script::new(TAKE),
            alive: Script::new(ALIVE),
            link: ArcSwapOption::empty(),
            away_until: AtomicU64::new(0),
            is_unreachable: AtomicBool::new(false),
            accounts: Mutex::default(),
            replicas: [ArcSwapOption::empty(), ArcSwapOption::empty()],
        })
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        // A panic while holding this lock leaves plain numbers behind, all of them valid.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the connection, tells what is to be told, and gives signs of life; until it is stopped.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut alive = 0;
        while !stop.is_cancelled() {
            self.connect().await;
            let now = self.clock.mono_ns();
            if (alive == 0 || now.saturating_sub(alive) >= SIGN) && self.sign().await {
                alive = now.max(1);
                self.accounts().tell_all();
            }
            self.tell().await;
            let _ = timeout(TICK, stop.cancelled()).await;
        }
        self.tell().await;
        self.link.store(None);
    }

    /// Says that this replica is alive, and learns who else is.
    async fn sign(&self) -> bool {
        let Some(link) = self.link.load_full() else { return false };
        let mut call = self.alive.key(REPLICAS);
        call.arg(&self.replica).arg(micros(DEAD));
        let told = timeout(CONNECT, call.invoke_async::<(u64, u64)>(&mut (*link).clone())).await;
        match told {
            Ok(Ok((count, rank))) => {
                self.replicas[1].store(Some(Arc::new(Replicas { count, rank })));
                true
            }
            Ok(Err(error)) if is_lost(&error) => {
                self.link.store(None);
                false
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }

    async fn connect(&self) {
        if self.link.load().is_some() {
            return;
        }
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(CONNECT));
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        match timeout(CONNECT, connecting).await {
            Ok(Ok(connection)) => {
                self.link.store(Some(Arc::new(connection)));
                self.away_until.store(0, Ordering::Release);
                self.is_unreachable.store(false, Ordering::Relaxed);
                tracing::info!("limits are shared in Redis");
            }
            Ok(Err(error)) => self.unreachable(&error.to_string()),
            Err(_) => self.unreachable("no connection in time"),
        }
    }

    /// Once for each outage, not for each try.
    fn unreachable(&self, why: &str) {
        if self.is_unreachable.swap(true, Ordering::Relaxed) {
            tracing::debug!(%why, "Redis is not reachable: {why}");
        } else {
            tracing::warn!(%why, "Redis is not reachable, limits are not shared: {why}");
        }
    }

    /// Tells what came back or was taken without asking.
    async fn tell(&self) {
        loop {
            let wants = self.accounts().untold(BATCH);
            if wants.is_empty() || self.ask(&wants).await.is_err() {
                return;
            }
        }
    }

    async fn ask(&self, wants: &[Want]) -> Result<Vec<Left>, NotTaken> {
        let connection = self.link.load_full().filter(|_| self.is_awake());
        let Some(mut connection) = connection.map(|connection| (*connection).clone()) else {
            return Err(NotTaken::Away);
        };
        let asked = Asked::begin(&self.accounts, wants);
        let mut call = self.script.prepare_invoke();
        call.arg(&self.replica).arg(micros(DEAD));
        asked.write(&mut call);
        match timeout(self.timeout, call.invoke_async::<Vec<Value>>(&mut connection)).await {
            Ok(Ok(answer)) => match read(wants, &answer) {
                Some(Ok(left)) => {
                    asked.granted();
                    Ok(left)
                }
                Some(Err(refused)) => {
                    asked.refused();
                    Err(refused)
                }
                None => self.failed("its answer cannot be read", false),
            },
            Ok(Err(error)) => {
                let lost = is_lost(&error);
                self.failed(&error.to_string(), lost)
            }
            Err(_) => self.failed("no answer in time", false),
        }
    }

    fn is_awake(&self) -> bool {
        self.clock.mono_ns() >= self.away_until.load(Ordering::Acquire)
    }

    /// Nobody asks for a moment; a connection that is lost is made anew.
    fn failed<T>(&self, why: &str, lost: bool) -> Result<T, NotTaken> {
        let until = self.clock.mono_ns().saturating_add(AWAY);
        let before = self.away_until.swap(until, Ordering::AcqRel);
        if lost {
            self.link.store(None);
        }
        // Once for each outage, not for each request of it.
        if before.saturating_add(AWAY) < until || before == 0 {
            tracing::warn!(%why, "limits cannot be shared in Redis: {why}");
        }
        Err(NotTaken::Away)
    }
}

impl Pool for RedisPool {
    fn take<'a>(&'a self, wants: &'a [Want]) -> Taking<'a> {
        Box::pin(self.ask(wants))
    }

    fn settle(&self, whose: &Whose, limits: &Limits, change: Change) {
        self.accounts().settle(whose, limits, change);
    }

    fn replicas(&self) -> Option<Replicas> {
        let known = self.replicas.iter().filter_map(|known| known.load().as_deref().copied());
        known.max_by_key(|replicas| replicas.count)
    }

    fn set_replicas(&self, replicas: Replicas) {
        self.replicas[0].store(Some(Arc::new(replicas)));
    }

    fn is_there(&self) -> bool {
        self.link.load().is_some() && self.is_awake()
    }

    fn name(&self) -> &'static str {
        "redis"
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Whether a connection is of no use any more.
fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped() || error.is_unrecoverable_error()
}

/// What the script answers: who refuses, which limit, its value, for how long; then what is left.
fn read(wants: &[Want], answer: &[Value]) -> Option<Result<Vec<Left>, NotTaken>> {
    let number = |value: &Value| match value {
        Value::Int(number) => Some(*number),
        _ => None,
    };
    let [which, kind, limit, wait, rest @ ..] = answer else { return None };
    let mut rest = rest.iter();
    let mut all = Vec::with_capacity(wants.len());
    for want in wants {
        let mut left = Left::default();
        for (rate, _) in want.limits.rates() {
            left.set(rate, number(rest.next()?)?);
        }
        all.push(left);
    }
    let which = usize::try_from(number(which)?).ok()?;
    let Some(which) = which.checked_sub(1) else { return Some(Ok(all)) };
    let kind = match kind {
        Value::BulkString(name) if name == b"concurrency" => Kind::Concurrency,
        Value::BulkString(name) => Kind::Rate(RATES.into_iter().find(|rate| rate.name.as_bytes() == name.as_slice())?),
        _ => return None,
    };
    let limit = u64::try_from(number(limit)?).unwrap_or(0);
    let wait = Duration::from_micros(u64::try_from(number(wait)?).unwrap_or(0));
    Some(Err(NotTaken::Refused { which, kind, limit, wait, left: all }))
}
