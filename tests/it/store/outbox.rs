//! Events in the outbox.

use weir::clock::UnixMs;
use weir::events::Event;
use weir::store::outbox::{self, Listing, NewEvent};
use weir::store::{Db, StoreErrorKind};

use super::{NOW, on_both_engines};

on_both_engines!(
    an_event_is_told_once,
    numbers_have_no_gaps_and_are_given_once,
    events_are_listed_newest_first,
    what_is_too_large_is_refused
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
