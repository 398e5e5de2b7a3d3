//! Pairs of requests and their copies.

use weir::clock::UnixMs;
use weir::store::Db;
use weir::store::shadows::{Cursor, Filter, Shadow, insert, list, prune, prune_to, summary};

use crate::store::on_both_engines;

const DAY: UnixMs = 86_400_000;
const NOW: UnixMs = 1_795_000_000_000;

on_both_engines!(
    pairs_are_listed_newest_first_each_once,
    what_is_old_or_too_much_goes,
    figures_are_of_pairs_that_both_ended_well
);

fn pair(n: i64) -> Shadow {
    Shadow {
        id: format!("copy-{n:04}"),
        at: NOW + n,
        request_id: format!("request-{n}"),
        route: if n % 2 == 0 { "even" } else { "odd" }.to_owned(),
        endpoint: "chat/completions".to_owned(),
        stream: n % 2 == 0,
        billed: n % 3 == 0,
        target: "a/x".to_owned(),
        shadow_target: "b/y".to_owned(),
        status: "ok".to_owned(),
        shadow_status: "ok".to_owned(),
        error_code: None,
        shadow_error_code: Some("none".to_owned()),
        ttft_ms: Some(n),
        shadow_ttft_ms: None,
        latency_ms: n,
        shadow_latency_ms: 1000 - n,
        input_tokens: 1,
        shadow_input_tokens: 2,
        output_tokens: 3,
        shadow_output_tokens: 4,
        cost_nano: Some(5),
        shadow_cost_nano: None,
        finish: "end".to_owned(),
        shadow_finish: String::new(),
        text_bytes: 6,
        shadow_text_bytes: 7,
        text_equal: Some(n % 4 / 2),
        similarity: Some(500),
        tool_calls: 8,
        shadow_tool_calls: 9,
        tools_equal: None,
    }
}

fn all() -> Filter {
    Filter { from: 0, to: UnixMs::MAX, route: String::new() }
}

async fn pairs_are_listed_newest_first_each_once(db: &Db) {
    let pairs: Vec<Shadow> = (0..90).map(pair).collect();
    insert(db, &pairs).await.unwrap();
    insert(db, &pairs[..3]).await.unwrap();
    let found = list(db, &all(), None, 1000).await.unwrap();
    assert_eq!(found, pairs.iter().rev().cloned().collect::<Vec<_>>());
    let rest = list(db, &all(), Some(&Cursor::after(&found[87])), 1000).await.unwrap();
    assert_eq!(rest, found[88..]);
    let some = Filter { from: NOW + 2, to: NOW + 5, route: "even".to_owned() };
    assert_eq!(list(db, &some, None, 1000).await.unwrap(), [pair(4), pair(2)]);
}

async fn what_is_old_or_too_much_goes(db: &Db) {
    insert(db, &(0..10).map(pair).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(prune(db, NOW + 30 * DAY).await.unwrap(), 0);
    assert_eq!(prune(db, NOW + 30 * DAY + 3).await.unwrap(), 3);
    assert_eq!(prune_to(db, NOW, 4).await.unwrap(), 3);
    let ids: Vec<String> = list(db, &all(), None, 1000).await.unwrap().into_iter().map(|pair| pair.id).collect();
    assert_eq!(ids, ["copy-0009", "copy-0008", "copy-0007", "copy-0006"]);
}

async fn figures_are_of_pairs_that_both_ended_well(db: &Db) {
    let mut pairs: Vec<Shadow> = (1..=200).map(pair).collect();
    for pair in &mut pairs {
        pair.route = "one".to_owned();
    }
    let failed = |n: i64, status: &str, shadow_status: &str| Shadow {
        route: "one".to_owned(),
        status: status.to_owned(),
        shadow_status: shadow_status.to_owned(),
        latency_ms: 1_000_000,
        text_equal: None,
        similarity: None,
        ..pair(n)
    };
    pairs.extend([failed(301, "timeout", "ok"), failed(302, "ok", "upstream_error"), failed(303, "ok", "timeout")]);
    pairs.push(Shadow { status: "cancelled".to_owned(), ..pair(401) });
    insert(db, &pairs).await.unwrap();
    let found = summary(db, &all()).await.unwrap();
    let [odd, one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((odd.route.as_str(), odd.pairs, odd.failures, &odd.both), ("odd", 1, 1, &None));
    assert_eq!((one.pairs, one.failures, one.shadow_failures), (203, 1, 2));
    assert_eq!((one.compared, one.equal, one.measured, one.similarity), (200, 100, 200, 100_000));
    assert_eq!((one.cost_nano, one.shadow_cost_nano, one.tools_compared), (203 * 5, 0, 0));
    assert_eq!((one.first_at, one.last_at), (NOW + 1, NOW + 303));
    let both = one.both.as_ref().unwrap();
    assert_eq!((both.pairs, both.cost_nano, both.output_tokens, both.shadow_output_tokens), (200, 1000, 600, 800));
    assert_eq!((both.latency_p50, both.latency_p95), (100, 190));
    assert_eq!((both.shadow_latency_p50, both.shadow_latency_p95), (899, 989));
    assert_eq!((both.ttft_p50, both.shadow_ttft_p95), (100, 989), "without a first byte, the last");
    let only = Filter { route: "odd".to_owned(), ..all() };
    assert_eq!(summary(db, &only).await.unwrap(), std::slice::from_ref(odd));
}
