//! The limits of the configuration at work, and what replicas share of them.

use std::path::Path;
use std::sync::Arc;

use secrecy::ExposeSecret as _;
use tokio::sync::mpsc;

use super::StartError;
use crate::clock::Clock;
use crate::config::{Config, LimitSharing, OnFailure};
use crate::gate::limit::leased::{self, Demand, LeasedPool};
use crate::gate::limit::pool::OnAway;
use crate::gate::limit::{Declared, Limiters, Pool, Rules};
use crate::jobs::shares::{Parts, ReplicaWatch, ShareKeeper};
use crate::lifecycle::Lifecycle;
use crate::redis::{Place, RedisPool};
use crate::state::Gateway;
use crate::store::{Db, Engine};

/// What the list `limits` declares.
pub(super) fn rules(config: &Config) -> Rules {
    Rules::new(config.limits.iter().filter_map(|entry| {
        let (scope, subject) = entry.subject()?;
        Some(Declared { scope, subject: subject.to_owned(), limits: entry.limits() })
    }))
}

/// Who keeps what replicas share.
pub(super) enum Keeper {
    /// Nothing is shared.
    None,
    /// The database does, with the demands of requests.
    Database(Arc<LeasedPool>, mpsc::Receiver<Demand>),
    /// Redis does.
    Redis(Arc<RedisPool>),
}

/// The limiters of a configuration, and who keeps what is shared of them; `replica` is this process's
/// own name.
///
/// # Errors
/// When `redis.url` is none, or `redis.ca_file` cannot be read.
pub(super) fn limiters(
    config: &Config,
    clock: &Clock,
    db: &Db,
    replica: &str,
) -> Result<(Arc<Limiters>, Keeper), StartError> {
    let limiters = Limiters::new(clock.clone(), rules(config));
    let sharing = config.limit_sharing.unwrap_or(match db.engine() {
        Engine::Postgres => LimitSharing::Database,
        Engine::Sqlite => LimitSharing::None,
    });
    Ok(match (sharing, &config.redis) {
        (LimitSharing::Redis, Some(redis)) => {
            let authorities = redis.ca_file.as_deref().map(authorities).transpose().map_err(StartError::Config)?;
            let place = Place { url: redis.url.expose_secret(), authorities };
            let pool = RedisPool::new(place, redis.timeout, clock.clone(), replica.to_owned());
            let pool = Arc::new(pool.map_err(StartError::Config)?);
            let on_away = match redis.on_failure {
                OnFailure::LocalShares => OnAway::LocalShares,
                OnFailure::Refuse => OnAway::Refuse,
            };
            (Arc::new(limiters.shared(Arc::clone(&pool) as Arc<dyn Pool>, on_away)), Keeper::Redis(pool))
        }
        (LimitSharing::Database, _) => {
            let (keeper, demands) = mpsc::channel(leased::MAX_WAITING);
            let pool = Arc::new(LeasedPool::new(clock.clone(), keeper));
            let shared = limiters.shared(Arc::clone(&pool) as Arc<dyn Pool>, OnAway::LocalShares);
            (Arc::new(shared), Keeper::Database(pool, demands))
        }
        // Redis without its URL: the configuration is checked for that.
        (LimitSharing::None | LimitSharing::Redis, _) => (Arc::new(limiters), Keeper::None),
    })
}

fn authorities(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("redis.ca_file: cannot read {}: {error}", file.display()))
}

/// Starts the jobs that keep what is shared.
pub(super) fn share(gateway: &Gateway, keeper: Keeper, lifecycle: &Lifecycle) {
    let (db, clock) = (gateway.db.clone(), gateway.clock().clone());
    let replica = gateway.meter.ledger.journal().folder().id().to_owned();
    let pool: Arc<dyn Pool> = match keeper {
        Keeper::None => return,
        Keeper::Redis(pool) => {
            lifecycle.job(Arc::clone(&pool).run(lifecycle.jobs_stop.clone()));
            pool
        }
        Keeper::Database(pool, demands) => {
            let (db, clock, replica) = (db.clone(), clock.clone(), replica.clone());
            let parts = Parts { db, clock, pool: Arc::clone(&pool), demands, replica };
            lifecycle.job(ShareKeeper::new(parts).run(lifecycle.jobs_stop.clone()));
            pool
        }
    };
    let is_there = gateway.meter.metrics.limits_shared.clone();
    let watch = ReplicaWatch { db, clock, pool, replica, is_there };
    lifecycle.job(watch.run(lifecycle.jobs_stop.clone()));
}
