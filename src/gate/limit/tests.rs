use futures_util::FutureExt as _;

use super::*;
use crate::clock::Clock;

const SECOND: MonoNs = 1_000_000_000;

fn with(limits: Limits) -> Limiter {
    Limiter::new(Whose::new(Scope::Key, "key_1"), limits, 0)
}

fn limiter(rpm: Option<u64>, tpm: Option<u64>, concurrency: Option<u64>) -> Limiter {
    with(Limits { rpm, tpm, concurrency, ..Limits::default() })
}

fn leave(limiter: &Limiter) {
    limiter.give_back(Ask { places: 1, ..Ask::default() }, 0);
}

fn correct(limiter: &Limiter, held: u64, used: u64) {
    limiter.settle(Settled { back: Ask::tokens(held), held, used }, 0);
}

#[test]
fn the_wait_it_names_is_exact() {
    let limiter = limiter(Some(3), None, None);
    for _ in 0..3 {
        limiter.admit_request(0).unwrap();
    }
    let refused = limiter.admit_request(0).unwrap_err();
    let wait = u64::try_from(refused.retry_after.as_nanos()).unwrap();
    assert_eq!(wait, 20 * SECOND);
    assert_eq!(limiter.admit_request(wait - 1).unwrap_err().kind.name(), "rpm");
    limiter.admit_request(wait).unwrap();
}

#[test]
fn every_span_refills_within_itself() {
    let all = [
        (Limits { rps: Some(4), ..Limits::default() }, 1),
        (Limits { rpm: Some(4), ..Limits::default() }, 60),
        (Limits { rph: Some(4), ..Limits::default() }, 3_600),
        (Limits { rpd: Some(4), ..Limits::default() }, 86_400),
    ];
    for (limits, seconds) in all {
        let limiter = with(limits);
        for _ in 0..4 {
            limiter.admit_request(0).unwrap();
        }
        let refused = limiter.admit_request(0).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(seconds) / 4, "{}", refused.described());
        let quarter = seconds * SECOND / 4;
        limiter.admit_request(quarter).unwrap();
        assert!(limiter.admit_request(quarter).is_err());
        assert!(limiter.remaining(quarter + seconds * SECOND).requests.unwrap().reset.is_zero());
    }
}

#[test]
fn the_longest_wait_of_several_limits_is_told_and_nothing_is_taken() {
    let limiter = with(Limits { rps: Some(1), rpm: Some(2), tpd: Some(100), ..Limits::default() });
    limiter.take(Ask::request(100), 0).unwrap();
    let refused = limiter.take(Ask::request(50), 0).unwrap_err();
    assert_eq!((refused.kind.name(), refused.retry_after), ("tpd", Duration::from_secs(43_200)));
    let refused = limiter.take(Ask::request(0), 0).unwrap_err();
    assert_eq!((refused.kind.name(), refused.retry_after), ("rps", Duration::from_secs(1)));
    limiter.take(Ask::request(0), SECOND).unwrap();
    let shown = limiter.show(SECOND);
    let left: Vec<_> = shown.rates.iter().map(|(kind, level)| (kind.name(), level.remaining)).collect();
    assert_eq!((left, shown.in_flight), (vec![("rps", 0), ("rpm", 0), ("tpd", 0)], 2));
    assert_eq!(limiter.remaining(SECOND).requests.unwrap().limit, 2, "of equals the one that takes longer");
}

#[test]
fn a_refused_request_takes_nothing() {
    let limiter = limiter(Some(2), None, Some(1));
    limiter.admit_request(0).unwrap();
    assert_eq!(limiter.admit_request(0).unwrap_err().kind, Kind::Concurrency);
    assert_eq!(limiter.remaining(0).requests.unwrap().remaining, 1);
    leave(&limiter);
    limiter.admit_request(0).unwrap();
    assert_eq!(limiter.in_flight(), 1);
}

#[test]
fn tokens_are_corrected_after_the_answer() {
    let limiter = limiter(None, Some(1000), None);
    limiter.take(Ask::tokens(600), 0).unwrap();
    assert_eq!(limiter.remaining(0).tokens.unwrap().remaining, 400);
    correct(&limiter, 600, 100);
    assert_eq!(limiter.remaining(0).tokens.unwrap().remaining, 900);
    limiter.take(Ask::tokens(900), 0).unwrap();
    correct(&limiter, 900, 1500);
    assert_eq!(limiter.remaining(0).tokens.unwrap().remaining, 0);
    assert_eq!(limiter.take(Ask::tokens(1), 30 * SECOND).unwrap_err().kind.name(), "tpm");
    limiter.take(Ask::tokens(1), 37 * SECOND).unwrap();
}

#[test]
fn an_estimate_above_the_limit_is_held_to_it() {
    let limiter = limiter(None, Some(100), None);
    limiter.take(Ask::tokens(5000), 0).unwrap();
    let refused = limiter.take(Ask::tokens(5000), 0).unwrap_err();
    assert_eq!(refused.retry_after.as_secs(), 60);
    correct(&limiter, 5000, 0);
    assert_eq!(limiter.remaining(0).tokens.unwrap().remaining, 100);
}

#[test]
fn a_limit_of_zero_admits_nothing() {
    assert!(limiter(Some(0), None, None).admit_request(0).is_err());
    assert!(limiter(None, Some(0), None).take(Ask::tokens(0), 0).is_err());
    assert!(limiter(None, None, Some(0)).admit_request(0).is_err());
    // What spends no tokens is none of a token limit's.
    limiter(None, Some(0), None).admit_request(0).unwrap();
}

#[test]
fn lowering_a_limit_keeps_what_was_used() {
    let limiter = limiter(Some(10), None, None);
    for _ in 0..4 {
        limiter.admit_request(0).unwrap();
    }
    limiter.set_limits(Limits { rpm: Some(5), tph: Some(7), ..Limits::default() }, 0);
    assert_eq!(limiter.remaining(0).requests.unwrap().remaining, 1);
    assert_eq!(limiter.remaining(0).tokens.unwrap().remaining, 7);
    limiter.set_limits(Limits::default(), 0);
    assert_eq!(limiter.remaining(0), Remaining::default());
}

#[test]
fn slow_buckets_refill_however_often_they_are_asked() {
    let limiter = limiter(Some(1), None, None);
    limiter.admit_request(0).unwrap();
    for tick in 1..60_000 {
        let _ = limiter.remaining(tick * 1_000_000);
    }
    assert!(limiter.admit_request(59 * SECOND).is_err());
    limiter.admit_request(61 * SECOND).unwrap();
}

#[test]
fn a_replicas_part_is_its_part_of_the_rate_and_of_what_is_left() {
    let limiter = limiter(Some(60), None, Some(4));
    let replicas = pool::Replicas { count: 3, rank: 0 };
    for _ in 0..30 {
        limiter.take(Ask { requests: 1, ..Ask::default() }, 0).unwrap();
    }
    let one = Ask { requests: 1, ..Ask::default() };
    let taken = (0..60).filter(|_| limiter.take_part(one, replicas, 0).is_ok()).count();
    assert_eq!(taken, 10, "a third of the thirty that are left");
    let taken = (0..60).filter(|_| limiter.take_part(one, replicas, 30 * SECOND).is_ok()).count();
    assert_eq!(taken, 10, "a third of a minute's in half of it");
    let places = Ask { places: 1, ..Ask::default() };
    assert_eq!((0..9).filter(|_| limiter.take_part(places, replicas, 0).is_ok()).count(), 2);
    let parts: Vec<u64> = (0..3).map(|rank| pool::Replicas { count: 3, rank }.part(4)).collect();
    assert_eq!(parts, [2, 1, 1]);
}

fn line() -> Line {
    Line::new(&Arc::new(Limiters::new(Clock::mock(0), Rules::default())))
}

#[test]
fn a_line_takes_of_all_or_of_none_and_gives_back() {
    let (key, team) = (Arc::new(limiter(Some(10), Some(100), None)), Arc::new(limiter(Some(1), None, Some(5))));
    let asks = [(Arc::clone(&key), Ask::request(0)), (Arc::clone(&team), Ask::request(0))];
    let mut first = line();
    first.take(&asks, 0).now_or_never().unwrap().unwrap();
    let mut second = line();
    let refused = second.take(&asks, 0).now_or_never().unwrap().unwrap_err();
    assert_eq!((refused.limit, refused.retry_after), (1, Duration::from_secs(60)));
    assert_eq!((key.remaining(0).requests.unwrap().remaining, key.in_flight(), team.in_flight()), (9, 1, 1));
    // The team is the tighter one, and told to who was refused, too.
    assert_eq!(second.remaining(0).requests.unwrap().limit, 1);
    drop(second);
    assert_eq!((key.in_flight(), team.in_flight()), (1, 1));
    first.take_tokens(60, None, 0).now_or_never().unwrap().unwrap();
    assert!(first.limits_tokens());
    let mut third = line();
    let tokens = [(Arc::clone(&key), Ask::request(50))];
    assert!(third.take(&tokens, 0).now_or_never().unwrap().is_err());
    first.settle(Tokens::Used(10), 0);
    assert_eq!((key.remaining(0).tokens.unwrap().remaining, key.in_flight(), team.in_flight()), (90, 0, 0));
    third.take(&tokens, 0).now_or_never().unwrap().unwrap();
    third.settle(Tokens::AsHeldAnd(5), 0);
    assert_eq!(key.remaining(0).tokens.unwrap().remaining, 35);
}

#[test]
fn who_was_refused_has_used_nothing_and_a_request_can_be_given_back() {
    let key = Arc::new(limiter(Some(1), Some(100), None));
    let mut first = line();
    first.take(&[(Arc::clone(&key), Ask::request(10))], 0).now_or_never().unwrap().unwrap();
    let mut second = line();
    second.take(&[(Arc::clone(&key), Ask::request(10))], 0).now_or_never().unwrap().unwrap_err();
    second.settle(Tokens::Used(50), 0);
    assert_eq!(key.remaining(0).tokens.unwrap().remaining, 90);
    first.refund_requests(0);
    first.refund_requests(0);
    assert_eq!(key.remaining(0).requests.unwrap().remaining, 1);
    drop(first);
    assert_eq!((key.remaining(0).tokens.unwrap().remaining, key.in_flight()), (100, 0));
}
