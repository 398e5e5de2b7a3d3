//! Renewal: when, by whom, and what a failure does.

use std::collections::VecDeque;
use std::sync::Mutex;

use futures_util::FutureExt as _;
use tokio::sync::Semaphore;

use super::super::cache::{Cached, Fetched, Source};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Credentials' number and life in seconds, or an error.
type Answer = Result<(u32, i64), &'static str>;

/// Answers in turn; each answer waits for a permit.
#[derive(Clone, Debug)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    gate: Arc<Semaphore>,
    clock: Clock,
}

impl Script {
    fn cached(answers: &[Answer]) -> (Self, Cached<u32>) {
        let answers = Arc::new(Mutex::new(answers.iter().copied().collect()));
        let script = Self { answers, gate: Arc::new(Semaphore::new(1000)), clock: Clock::mock(NOW) };
        let cached = Cached::new(script.clock.clone(), Box::new(script.clone()));
        (script, cached)
    }

    fn left(&self) -> usize {
        self.answers.lock().unwrap().len()
    }
}

impl Source<u32> for Script {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<u32>, SignError>> {
        async move {
            self.gate.acquire().await.unwrap().forget();
            let answer = self.answers.lock().unwrap().pop_front().expect("the script is long enough");
            let now = self.clock.unix_ms();
            answer.map(|(n, seconds)| Fetched::expiring(n, now, now + seconds * 1000)).map_err(SignError::new)
        }
        .boxed()
    }
}

async fn value(cached: &Cached<u32>) -> Result<u32, String> {
    cached.get().await.map(|held| held.value).map_err(|e| e.to_string())
}

#[tokio::test]
async fn credentials_are_renewed_five_minutes_ahead() {
    let (script, cached) = Script::cached(&[Ok((1, 3600)), Ok((2, 3600))]);
    assert_eq!(value(&cached).await, Ok(1));
    script.clock.advance(54 * MINUTE);
    assert_eq!(value(&cached).await, Ok(1));
    script.clock.advance(MINUTE);
    assert_eq!((value(&cached).await, value(&cached).await), (Ok(2), Ok(2)));
}

#[tokio::test]
async fn short_lived_ones_are_renewed_at_half_time() {
    let (script, cached) = Script::cached(&[Ok((1, 120)), Ok((2, 120))]);
    assert_eq!((value(&cached).await, value(&cached).await), (Ok(1), Ok(1)));
    script.clock.advance(MINUTE);
    assert_eq!(value(&cached).await, Ok(2));
}

#[tokio::test]
async fn callers_at_the_same_time_ask_once() {
    let (script, cached) = Script::cached(&[Ok((1, 3600)), Ok((2, 3600))]);
    let all = futures_util::future::join_all((0..50).map(|_| value(&cached))).await;
    assert!(all.iter().all(|v| *v == Ok(1)), "{all:?}");
    assert_eq!(script.left(), 1);
}

#[tokio::test]
async fn while_one_renews_the_others_use_what_is_valid() {
    let (script, cached) = Script::cached(&[Ok((1, 3600)), Ok((2, 3600))]);
    assert_eq!(value(&cached).await, Ok(1));
    script.clock.advance(56 * MINUTE);
    script.gate.forget_permits(1000);
    let mut renewing = Box::pin(value(&cached));
    assert!(futures_util::poll!(&mut renewing).is_pending());
    assert_eq!((value(&cached).await, value(&cached).await), (Ok(1), Ok(1)));
    script.gate.add_permits(1);
    assert_eq!(renewing.await, Ok(2));
    assert_eq!(value(&cached).await, Ok(2));
}

#[tokio::test]
async fn a_caller_that_leaves_hands_the_renewal_on() {
    let (script, cached) = Script::cached(&[Ok((1, 3600))]);
    script.gate.forget_permits(1000);
    let (mut first, mut second) = (Box::pin(value(&cached)), Box::pin(value(&cached)));
    assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
    drop(first);
    script.gate.add_permits(1);
    assert_eq!(second.await, Ok(1));
}

#[tokio::test]
async fn a_failed_renewal_leaves_valid_credentials_and_is_not_repeated_at_once() {
    let (script, cached) = Script::cached(&[Ok((1, 3600)), Err("away"), Err("still away"), Err("gone"), Ok((2, 3600))]);
    assert_eq!(value(&cached).await, Ok(1));
    script.clock.advance(56 * MINUTE);
    assert_eq!((value(&cached).await, value(&cached).await), (Ok(1), Ok(1)));
    assert_eq!(script.left(), 3);
    script.clock.advance(Duration::from_secs(14));
    assert_eq!((value(&cached).await, script.left()), (Ok(1), 3));
    script.clock.advance(Duration::from_secs(1));
    assert_eq!((value(&cached).await, script.left()), (Ok(1), 2));
    // Now they are over, and so is patience.
    script.clock.advance(5 * MINUTE);
    assert_eq!(value(&cached).await, Err("gone".to_owned()));
    assert_eq!(value(&cached).await, Err("gone".to_owned()));
    script.clock.advance(Duration::from_secs(2));
    assert_eq!(value(&cached).await, Ok(2));
}

/// A source that hangs holds up a call with valid credentials for a moment only, and then no other.
#[tokio::test]
async fn nobody_waits_long_for_what_is_not_needed_yet() {
    let (script, mut cached) = Script::cached(&[Ok((1, 3600)), Ok((2, 3600))]);
    cached.patience = Duration::from_millis(1);
    assert_eq!(value(&cached).await, Ok(1));
    script.clock.advance(56 * MINUTE);
    script.gate.forget_permits(1000);
    assert_eq!(value(&cached).await, Ok(1));
    let again = Box::pin(value(&cached));
    assert_eq!(again.now_or_never(), Some(Ok(1)));
    script.gate.add_permits(1);
    script.clock.advance(Duration::from_secs(15));
    cached.patience = Duration::from_secs(60);
    assert_eq!(value(&cached).await, Ok(2));
}

#[tokio::test]
async fn everybody_who_waited_gets_the_error_of_the_one_who_asked() {
    let (script, cached) = Script::cached(&[Err("away"), Ok((1, 3600))]);
    let all = futures_util::future::join_all((0..50).map(|_| value(&cached))).await;
    assert!(all.iter().all(|v| *v == Err("away".to_owned())), "{all:?}");
    assert_eq!(script.left(), 1);
}

#[tokio::test]
async fn credentials_that_come_expired_are_an_error() {
    let (_script, cached) = Script::cached(&[Ok((1, 0))]);
    assert!(value(&cached).await.unwrap_err().contains("expired"));
}
