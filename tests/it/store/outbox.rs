//! Events in the outbox.

use sqlx::{Connection as _, PgConnection};
use weir::clock::UnixMs;
use weir::events::Event;
use weir::store::outbox::deliveries::{self, Done, Failed, Work};
use weir::store::outbox::prune::{Pruned, prune, prune_to};
use weir::store::outbox::{self, Listing, NewEvent, Stored, letters};
use weir::store::{Db, Options, StoreErrorKind};

use super::{NOW, on_both_engines};
use crate::support;

on_both_engines!(
    an_event_is_told_once,
    numbers_have_no_gaps_and_are_given_once,
    events_are_listed_newest_first,
    what_is_too_large_is_refused,
    a_new_receiver_is_told_of_what_comes,
    one_at_a_time_sends_to_a_receiver,
    what_was_not_taken_waits_or_is_dead,
    a_receiver_is_taken_back,
    what_everybody_knows_is_forgotten_in_time,
    what_is_too_much_is_forgotten_and_told,
);

pub(crate) fn event(key: &str, at: UnixMs) -> NewEvent {
    Event::new("price.unknown", key, at, &serde_json::json!({"model": key}))
}

async fn an_event_is_told_once(db: &Db) {
    outbox::put_now(db, &[]).await.unwrap();
    outbox::put_now(db, &[event("a", NOW), event("a", NOW), event("b", NOW)]).await.unwrap();
    outbox::put_now(db, &[event("b", NOW + 1), event("c", NOW + 1)]).await.unwrap();
    let all = outbox::list(db, &Listing { limit: 10, ..Listing::default() }).await.unwrap();
    let mut keys: Vec<&str> = all.iter().map(|e| e.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["price.unknown:a", "price.unknown:b", "price.unknown:c"]);
    assert!(all.iter().all(|e| e.seq.is_none() && e.kind == "price.unknown"));
    assert_eq!(all[0].body, r#"{"model":"c"}"#);
}

async fn numbers_have_no_gaps_and_are_given_once(db: &Db) {
    let put = async |from: i64, to: i64| {
        let events: Vec<NewEvent> = (from..to).map(|n| event(&format!("k{n}"), NOW + n)).collect();
        outbox::put_now(db, &events).await.unwrap();
    };
    assert_eq!(outbox::head(db).await.unwrap(), outbox::Head { seq: 0, unnumbered: false });
    put(0, 1500).await;
    assert!(outbox::head(db).await.unwrap().unnumbered);
    let done = futures_util::future::join_all((0..4).map(|_| outbox::number(db))).await;
    let given: u64 = done.into_iter().map(Result::unwrap).sum();
    assert_eq!(given, 1500);
    put(1500, 1503).await;
    assert_eq!(outbox::number(db).await.unwrap(), 3);
    assert_eq!(outbox::number(db).await.unwrap(), 0);
    assert_eq!(outbox::head(db).await.unwrap(), outbox::Head { seq: 1503, unnumbered: false });
    let newest = outbox::list(db, &Listing { limit: 1001, ..Listing::default() }).await.unwrap();
    let numbers: Vec<i64> = newest.iter().map(|e| e.seq.unwrap()).collect();
    assert_eq!(numbers, (503..=1503).rev().collect::<Vec<_>>());
}

async fn events_are_listed_newest_first(db: &Db) {
    let events: Vec<NewEvent> = (0..5).map(|n| event(&format!("k{n}"), NOW + n)).collect();
    outbox::put_now(db, &events).await.unwrap();
    let list = async |listing: Listing| {
        let found = outbox::list(db, &listing).await.unwrap();
        found.iter().map(|e| e.at - NOW).collect::<Vec<_>>()
    };
    let all = Listing { limit: 10, ..Listing::default() };
    assert_eq!(list(all.clone()).await, [4, 3, 2, 1, 0]);
    assert_eq!(list(Listing { since: Some(NOW + 3), ..all.clone() }).await, [4, 3]);
    assert_eq!(list(Listing { kind: Some("usage.settled".into()), ..all.clone() }).await, [0_i64; 0]);
    let first = outbox::list(db, &Listing { limit: 2, ..all.clone() }).await.unwrap();
    assert_eq!(list(Listing { after: Some(first[1].id.clone()), ..all }).await, [2, 1, 0]);
}

async fn what_is_too_large_is_refused(db: &Db) {
    let large = NewEvent { body: "x".repeat(outbox::MAX_BODY + 1), ..event("a", NOW) };
    let error = outbox::put_now(db, &[event("b", NOW), large]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Invalid);
    assert!(outbox::list(db, &Listing::default()).await.unwrap().is_empty());
}

const DAY: UnixMs = 86_400_000;
const KINDS: [&str; 2] = ["price.unknown", "usage.settled"];

async fn put(db: &Db, from: i64, to: i64) {
    let events: Vec<NewEvent> = (from..to).map(|n| event(&format!("k{n}"), NOW + n)).collect();
    outbox::put_now(db, &events).await.unwrap();
    while outbox::number(db).await.unwrap() > 0 {}
}

async fn all(db: &Db) -> Vec<Stored> {
    outbox::list(db, &Listing { limit: 1001, ..Listing::default() }).await.unwrap()
}

async fn work(db: &Db, now: UnixMs) -> Work {
    deliveries::work(db, "ops", now).await.unwrap().unwrap()
}

async fn claimed(db: &Db, owner: &str, now: UnixMs) -> Option<i64> {
    deliveries::claim(db, "ops", owner, now, now + 1000).await.unwrap()
}

fn failed(event: &Stored, attempts: i64, next_at: Option<UnixMs>) -> Failed {
    Failed { event_id: event.id.clone(), event_at: event.at, attempts, next_at, error: format!("no {attempts}") }
}

async fn a_new_receiver_is_told_of_what_comes(db: &Db) {
    put(db, 0, 3).await;
    assert_eq!(deliveries::work(db, "ops", NOW).await.unwrap(), None);
    deliveries::register(db, "ops", NOW).await.unwrap();
    put(db, 3, 5).await;
    deliveries::register(db, "ops", NOW + 5).await.unwrap();
    assert_eq!(work(db, NOW).await, Work { seq: 3, head: 5, waiting: 0, due: false });
    let next = deliveries::next(db, 3, 5, &KINDS, 10).await.unwrap();
    assert_eq!(next.iter().map(|event| event.seq.unwrap()).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(deliveries::next(db, 3, 5, &KINDS, 1).await.unwrap(), next[..1]);
    assert_eq!(deliveries::next(db, 3, 5, &["budget.exceeded"], 10).await.unwrap(), []);
    assert_eq!(deliveries::next(db, 5, 5, &KINDS, 10).await.unwrap(), []);
    assert_eq!(deliveries::next(db, 3, 5, &[], 10).await.unwrap(), []);
    assert_eq!(deliveries::ahead(db, 3, &KINDS, 100).await.unwrap(), 2);
    assert_eq!(deliveries::ahead(db, 0, &KINDS, 4).await.unwrap(), 4, "no further than is asked");
    assert_eq!(letters::cursors(db).await.unwrap()[0].seen_at, NOW + 5);
}

async fn one_at_a_time_sends_to_a_receiver(db: &Db) {
    deliveries::register(db, "ops", NOW).await.unwrap();
    put(db, 0, 4).await;
    let names = ["a", "b", "c", "d"];
    let claims = futures_util::future::join_all(names.map(|name| claimed(db, name, NOW))).await;
    let owners: Vec<&str> = names.iter().zip(&claims).filter_map(|(name, got)| got.map(|_| *name)).collect();
    assert_eq!(owners.len(), 1, "{claims:?}");
    let (owner, other) = (owners[0], if owners[0] == "a" { "b" } else { "a" });
    assert_eq!(claimed(db, owner, NOW + 1).await, Some(0), "its own claim is no obstacle");
    let done = Done { from: 0, to: 2, at: NOW + 2, until: NOW + 1002, delivered: 2, ..Done::default() };
    assert!(deliveries::settle(db, "ops", owner, &done).await.unwrap());
    assert!(!deliveries::settle(db, "ops", owner, &done).await.unwrap(), "the place is another by now");
    assert!(!deliveries::settle(db, "ops", other, &Done { from: 2, to: 3, ..done.clone() }).await.unwrap());
    assert_eq!(claimed(db, other, NOW + 1001).await, None);
    assert_eq!(claimed(db, other, NOW + 1002).await, Some(2), "the claim has ended");
    assert!(!deliveries::settle(db, "ops", owner, &Done { from: 2, to: 3, ..done }).await.unwrap());
    deliveries::release(db, "ops", owner).await.unwrap();
    assert_eq!(claimed(db, owner, NOW + 1003).await, None, "nobody gives back what another has");
    deliveries::release(db, "ops", other).await.unwrap();
    assert_eq!(claimed(db, owner, NOW + 1003).await, Some(2));
    let cursor = letters::cursors(db).await.unwrap().remove(0);
    assert_eq!((cursor.delivered, cursor.delivered_at, cursor.last_error), (2, Some(NOW + 2), None));
}

async fn what_was_not_taken_waits_or_is_dead(db: &Db) {
    deliveries::register(db, "ops", NOW).await.unwrap();
    put(db, 0, 3).await;
    claimed(db, "a", NOW).await.unwrap();
    let events = deliveries::next(db, 0, 3, &KINDS, 10).await.unwrap();
    let failures = vec![failed(&events[0], 1, Some(NOW + 10)), failed(&events[2], 1, None)];
    let done = Done { from: 0, to: 3, at: NOW, until: NOW + 1000, delivered: 1, failed: failures, ..Done::default() };
    assert!(deliveries::settle(db, "ops", "a", &done).await.unwrap());
    assert_eq!(work(db, NOW + 9).await, Work { seq: 3, head: 3, waiting: 1, due: false });
    assert_eq!(deliveries::due(db, "ops", NOW + 9, 10).await.unwrap(), []);
    assert!(work(db, NOW + 10).await.due);
    let due = deliveries::due(db, "ops", NOW + 10, 10).await.unwrap();
    assert_eq!((due.len(), due[0].attempts, &due[0].event), (1, 1, &events[0]));
    let again = Done { from: 3, to: 3, delivered: 0, failed: vec![failed(&events[0], 2, None)], ..done.clone() };
    assert!(deliveries::settle(db, "ops", "a", &again).await.unwrap());
    let dead = letters::dead(db, Some("ops"), None, 10).await.unwrap();
    assert_eq!(
        dead.iter().map(|letter| (&letter.event_id, letter.attempts)).collect::<Vec<_>>(),
        [(&events[2].id, 1), (&events[0].id, 2)]
    );
    assert_eq!(letters::dead(db, None, Some(&dead[0].id), 10).await.unwrap(), dead[1..]);
    assert_eq!(letters::dead(db, Some("other"), None, 10).await.unwrap(), []);
    assert_eq!(letters::replay_one(db, &dead[1].id, NOW + 20).await.unwrap().as_deref(), Some("ops"));
    assert_eq!(letters::replay_one(db, &dead[1].id, NOW + 20).await.unwrap(), None, "it is not dead now");
    let due = deliveries::due(db, "ops", NOW + 20, 10).await.unwrap();
    assert_eq!((due.len(), due[0].attempts), (1, 0));
    let recovered = vec![(events[0].id.clone(), events[0].at)];
    let taken = Done { from: 3, to: 3, delivered: 1, recovered, failed: Vec::new(), ..done };
    assert!(deliveries::settle(db, "ops", "a", &taken).await.unwrap());
    let counts = letters::counts(db).await.unwrap();
    assert_eq!(counts, [letters::Count { sink: "ops".into(), state: "dead".into(), events: 1 }]);
    let cursor = letters::cursors(db).await.unwrap().remove(0);
    assert_eq!((cursor.delivered, cursor.last_error.as_deref()), (2, Some("no 2")));
}

async fn a_receiver_is_taken_back(db: &Db) {
    deliveries::register(db, "ops", NOW).await.unwrap();
    put(db, 0, 5).await;
    claimed(db, "a", NOW).await.unwrap();
    let events = deliveries::next(db, 0, 5, &KINDS, 10).await.unwrap();
    let failures = events.iter().map(|event| failed(event, 9, None)).collect();
    let done = Done { from: 0, to: 4, at: NOW, until: NOW, failed: failures, ..Done::default() };
    assert!(deliveries::settle(db, "ops", "a", &done).await.unwrap());
    letters::replay_since(db, "ops", NOW + 2).await.unwrap();
    assert_eq!(work(db, NOW).await.seq, 2);
    assert_eq!(letters::dead(db, None, None, 10).await.unwrap().len(), 2, "the others will be sent anyhow");
    letters::replay_since(db, "ops", NOW + 4).await.unwrap();
    assert_eq!(work(db, NOW).await.seq, 2, "never forward");
    letters::replay_since(db, "ops", NOW + 500).await.unwrap();
    assert_eq!(work(db, NOW).await.seq, 2);
}

async fn what_everybody_knows_is_forgotten_in_time(db: &Db) {
    let settled = Event::new("usage.settled", "1", NOW + 4, &serde_json::json!({}));
    for sink in ["ops", "slow"] {
        deliveries::register(db, sink, NOW).await.unwrap();
    }
    put(db, 0, 4).await;
    outbox::put_now(db, &[settled]).await.unwrap();
    outbox::number(db).await.unwrap();
    let advance = async |sink: &str, from: i64, to: i64, dead: Option<&Stored>| {
        deliveries::claim(db, sink, "a", NOW, NOW).await.unwrap().unwrap();
        let failed = dead.map(|event| failed(event, 1, None)).into_iter().collect();
        let done = Done { from, to, at: NOW, until: NOW, failed, ..Done::default() };
        assert!(deliveries::settle(db, sink, "a", &done).await.unwrap());
    };
    let first = all(db).await.pop().unwrap();
    advance("ops", 0, 5, Some(&first)).await;
    advance("slow", 0, 2, None).await;
    assert_eq!(prune(db, NOW + 2 * DAY).await.unwrap(), Pruned::default(), "slow does not know of the usage");
    advance("slow", 2, 5, None).await;
    assert_eq!(prune(db, NOW + 2 * DAY).await.unwrap(), Pruned { told: 1, ..Pruned::default() });
    for sink in ["ops", "slow"] {
        deliveries::register(db, sink, NOW + 20 * DAY).await.unwrap();
    }
    assert_eq!(prune(db, NOW + 29 * DAY).await.unwrap(), Pruned::default());
    assert_eq!(prune(db, NOW + 31 * DAY).await.unwrap(), Pruned { told: 3, ..Pruned::default() });
    assert_eq!(all(db).await, [first], "a dead letter keeps its event");
    deliveries::register(db, "ops", NOW + 80 * DAY).await.unwrap();
    assert_eq!(prune(db, NOW + 91 * DAY).await.unwrap(), Pruned { told: 1, dead: 1, lost: 0 });
    let sinks: Vec<String> = letters::cursors(db).await.unwrap().into_iter().map(|cursor| cursor.sink).collect();
    assert_eq!(sinks, ["ops"], "nobody has had the other for thirty days");
}

async fn what_is_too_much_is_forgotten_and_told(db: &Db) {
    deliveries::register(db, "ops", NOW).await.unwrap();
    put(db, 0, 10).await;
    claimed(db, "a", NOW).await.unwrap();
    let done = Done { from: 0, to: 3, at: NOW, until: NOW, ..Done::default() };
    assert!(deliveries::settle(db, "ops", "a", &done).await.unwrap());
    assert_eq!(prune_to(db, NOW, 4).await.unwrap(), Pruned { told: 3, lost: 3, dead: 0 });
    assert_eq!(all(db).await.iter().map(|event| event.seq.unwrap()).collect::<Vec<_>>(), [10, 9, 8, 7]);
    assert_eq!(deliveries::next(db, 3, 10, &KINDS, 10).await.unwrap().len(), 4, "the receiver goes on behind the gap");
}

/// The transaction that began first commits last.
#[tokio::test]
async fn an_event_that_is_committed_late_is_not_missed() {
    let url = support::postgres::fresh_database().await;
    let db = Db::open(&url, &Options::default()).unwrap();
    db.migrate().await.unwrap();
    deliveries::register(&db, "ops", NOW).await.unwrap();
    let mut slow = PgConnection::connect(&url).await.unwrap();
    let insert = "INSERT INTO outbox (id, kind, key, at, body) VALUES ('evt_0', 'price.unknown', 'slow', 1, '{}')";
    for text in ["BEGIN", insert] {
        sqlx::query(text).execute(&mut slow).await.unwrap();
    }
    put(&db, 0, 2).await;
    let told = deliveries::next(&db, 0, outbox::head(&db).await.unwrap().seq, &KINDS, 10).await.unwrap();
    assert_eq!(told.iter().map(|event| event.seq.unwrap()).collect::<Vec<_>>(), [1, 2], "the others do not wait");
    sqlx::query("COMMIT").execute(&mut slow).await.unwrap();
    assert_eq!(outbox::number(&db).await.unwrap(), 1);
    let told = deliveries::next(&db, 2, outbox::head(&db).await.unwrap().seq, &KINDS, 10).await.unwrap();
    assert_eq!(told.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["evt_0"]);
}
