//! Credentials that expire, renewed ahead of time by the calls that use them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::SignError;
use crate::clock::{Clock, MonoNs, UnixMs};

/// How long before their end credentials are renewed. Google's metadata server hands out the same
/// token until five minutes before its end, and AWS has new ones ready by then.
const AHEAD_MS: UnixMs = 5 * 60 * 1000;
/// How long a source that failed is left alone: who waited for it gets its error, too.
const PAUSE_NS: MonoNs = 2_000_000_000;
/// The same while there are valid credentials: nobody is in a hurry then.
const EASY_PAUSE_NS: MonoNs = 15_000_000_000;
/// How long a call that could go on with valid credentials waits for newer ones.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where credentials come from.
pub(super) trait Source<T>: Send + Sync + fmt::Debug {
    /// Asks for credentials.
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<T>, SignError>>;
}

/// Credentials and their times. They have no `Debug`.
pub(super) struct Fetched<T> {
    pub(super) value: T,
    /// From when on newer ones are asked for.
    renew: Option<UnixMs>,
    /// From when on they are of no use.
    expires: Option<UnixMs>,
}

impl<T> Fetched<T> {
    /// Good for ever.
    pub(super) fn lasting(value: T) -> Self {
        Self { value, renew: None, expires: None }
    }

    /// Good for ever as far as one knows, but asked for again at `renew`.
    pub(super) fn until_changed(value: T, renew: UnixMs) -> Self {
        Self { value, renew: Some(renew), expires: None }
    }

    /// Good until `expires`. Renewed five minutes ahead, or at half time when they are that short-lived.
    pub(super) fn expiring(value: T, now: UnixMs, expires: UnixMs) -> Self {
        let left = expires.saturating_sub(now).max(0);
        Self { value, renew: Some(expires.saturating_sub(AHEAD_MS.min(left / 2))), expires: Some(expires) }
    }

    fn is_fresh(&self, now: UnixMs) -> bool {
        self.is_valid(now) && self.renew.is_none_or(|renew| now < renew)
    }

    fn is_valid(&self, now: UnixMs) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// A source's last failure.
type Failure = Option<(MonoNs, SignError)>;

/// Credentials kept until they are due. One call at a time renews them; the others go on with those
/// that are still valid, or wait when there are none.
pub(super) struct Cached<T> {
    clock: Clock,
    source: Box<dyn Source<T>>,
    held: ArcSwapOption<Fetched<T>>,
    /// [`PATIENCE`].
    pub(super) patience: Duration,
    /// Held by who renews.
    renewing: Mutex<Failure>,
}

impl<T> Cached<T> {
    /// Nothing is asked before the first call.
    pub(super) fn new(clock: Clock, source: Box<dyn Source<T>>) -> Self {
        Self { clock, source, held: ArcSwapOption::empty(), patience: PATIENCE, renewing: Mutex::default() }
    }

    /// Valid credentials.
    ///
    /// # Errors
    /// The source's, when it has no credentials and none are left that are valid.
    pub(super) async fn get(&self) -> Result<Arc<Fetched<T>>, SignError> {
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let mut failure = match self.valid() {
            None => self.renewing.lock().await,
            Some(valid) => match self.renewing.try_lock() {
                Ok(failure) => failure,
                Err(_) => return Ok(valid),
            },
        };
        self.renew(&mut failure).await
    }

    /// Asks the source, unless who came before has just done so.
    async fn renew(&self, failure: &mut Failure) -> Result<Arc<Fetched<T>>, SignError> {
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let valid = self.valid();
        let pause = if valid.is_some() { EASY_PAUSE_NS } else { PAUSE_NS };
        let recent = |at: MonoNs| self.clock.mono_ns().saturating_sub(at) < pause;
        if let Some((_, error)) = failure.as_ref().filter(|(at, _)| recent(*at)) {
            return valid.ok_or_else(|| error.clone());
        }
        match self.ask(valid.is_some()).await.and_then(|fetched| self.checked(fetched)) {
            Ok(fetched) => {
                *failure = None;
                let fetched = Arc::new(fetched);
                self.held.store(Some(Arc::clone(&fetched)));
                Ok(fetched)
            }
            Err(error) => {
                *failure = Some((self.clock.mono_ns(), error.clone()));
                let valid = self.valid().ok_or_else(|| error.clone())?;
                tracing::warn!(%error, "upstream credentials cannot be renewed, those at hand are still valid: {error}");
                Ok(valid)
            }
        }
    }

    /// Asks the source; a call that `can_wait` for newer credentials does not do so for long.
    async fn ask(&self, can_wait: bool) -> Result<Fetched<T>, SignError> {
        if !can_wait {
            return self.source.fetch().await;
        }
        let patience = self.patience;
        let late = |_| Err(SignError::new(format!("the credentials' source did not answer within {patience:?}")));
        tokio::time::timeout(patience, self.source.fetch()).await.unwrap_or_else(late)
    }

    fn checked(&self, fetched: Fetched<T>) -> Result<Fetched<T>, SignError> {
        if fetched.is_valid(self.clock.unix_ms()) {
            return Ok(fetched);
        }
        Err(SignError::new("the credentials' source gave expired ones; check the clocks of both machines"))
    }

    fn fresh(&self) -> Option<Arc<Fetched<T>>> {
        self.held.load_full().filter(|held| held.is_fresh(self.clock.unix_ms()))
    }

    fn valid(&self) -> Option<Arc<Fetched<T>>> {
        self.held.load_full().filter(|held| held.is_valid(self.clock.unix_ms()))
    }
}

impl<T> fmt::Debug for Cached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("source", &self.source).finish_non_exhaustive()
    }
}
