//! Sums over the usage ledger.

use std::collections::BTreeMap;

use weir::clock::Entropy;
use weir::record::{Status, UsageRow};
use weir::store::Db;
use weir::store::usage::{Filter, GroupBy, TagFilter, Total, insert_batch, totals, totals_from_rows};

use super::{NOW, on_both_engines, random_rows, usage_row};

on_both_engines!(
    sums_answer_as_rows_do,
    sums_add_up_to_what_was_sent,
    time_is_grouped_by_the_calendar_of_utc,
    tags_are_groups_of_their_own,
    the_dearest_group_comes_first,
    nothing_adds_up_to_nothing,
);

const HOUR: i64 = 3_600_000;

/// Random filters and groups, with ragged and whole ends: the tables of sums and the rows themselves
/// must give the same answer.
async fn sums_answer_as_rows_do(db: &Db) {
    for seed in [10, 11, 12] {
        insert_batch(db, &random_rows(seed, 500)).await.unwrap();
    }
    let chance = Entropy::fixed(13);
    let below = |n: u64| chance.u64() % n;
    for round in 0..120 {
        let end = || {
            let at = NOW - i64::try_from(below(42 * 24)).unwrap() * HOUR;
            [Some(at - at % (24 * HOUR)), Some(at - at % HOUR), Some(at + 12_345), None]
                [usize::try_from(below(4)).unwrap()]
        };
        let maybe = |text: &str| (below(4) == 0).then(|| text.to_owned());
        let filter = Filter {
            from: end(),
            to: end(),
            key_id: maybe("key_a"),
            team_id: maybe(""),
            user: maybe("ann"),
            model: maybe("demo/chat"),
            provider: None,
            status: (below(4) == 0).then_some(Status::Ok),
            endpoint: maybe("chat/completions"),
            tag: None,
        };
        let group_by: Vec<GroupBy> =
            GroupBy::ALL.into_iter().filter(|by| *by != GroupBy::Tag && below(4) == 0).collect();
        let fast = totals(db, &filter, &group_by).await.unwrap();
        let slow = totals_from_rows(db, &filter, &group_by).await.unwrap();
        assert_eq!(fast, slow, "round {round}: {filter:?} by {group_by:?}");
    }
}

fn by_hand(
    rows: &[UsageRow],
    group: impl Fn(&UsageRow) -> Option<String>,
) -> BTreeMap<Option<String>, (u64, u64, i64, u64)> {
    let mut sums = BTreeMap::new();
    for row in rows {
        let sum = sums.entry(group(row)).or_insert((0, 0, 0, 0));
        sum.0 += 1;
        sum.1 += u64::from(!matches!(row.status, Status::Ok | Status::Cancelled));
        sum.2 += row.cost.map_or(0, |cost| cost.0);
        sum.3 += row.usage.input;
    }
    sums
}

fn of(totals: Vec<Total>) -> BTreeMap<Option<String>, (u64, u64, i64, u64)> {
    totals
        .into_iter()
        .map(|t| (t.group[0].clone(), (t.sums.requests, t.sums.errors, t.sums.cost.0, t.sums.usage.input)))
        .collect()
}

async fn sums_add_up_to_what_was_sent(db: &Db) {
    let rows = random_rows(14, 700);
    insert_batch(db, &rows).await.unwrap();
    let filter = Filter::default();
    assert_eq!(of(totals(db, &filter, &[GroupBy::Key]).await.unwrap()), by_hand(&rows, |r| r.key_id.clone()));
    assert_eq!(of(totals(db, &filter, &[GroupBy::User]).await.unwrap()), by_hand(&rows, |r| r.user_id.clone()));
    assert_eq!(
        of(totals(db, &filter, &[GroupBy::Status]).await.unwrap()),
        by_hand(&rows, |r| Some(r.status.to_string()))
    );
    let all = totals(db, &filter, &[]).await.unwrap();
    assert_eq!((all.len(), all[0].sums.requests, all[0].group.len()), (1, 700, 0));
    assert_eq!(all[0].sums.unpriced, rows.iter().filter(|r| r.unpriced).count() as u64);
    assert_eq!(all[0].sums.latency_ms, rows.iter().map(|r| r.latency_ms).sum::<u64>());
}

async fn time_is_grouped_by_the_calendar_of_utc(db: &Db) {
    // 2024-02-29T23:59:59.999Z and the millisecond after; 2024-12-31T23:30Z.
    let rows =
        [usage_row("a", 1_709_251_199_999), usage_row("b", 1_709_251_200_000), usage_row("c", 1_735_687_800_000)];
    insert_batch(db, &rows).await.unwrap();
    let groups = async |by: GroupBy| {
        let mut groups: Vec<String> = totals(db, &Filter::default(), &[by])
            .await
            .unwrap()
            .into_iter()
            .filter_map(|t| t.group[0].clone())
            .collect();
        groups.sort();
        groups
    };
    assert_eq!(groups(GroupBy::Hour).await, ["2024-02-29T23:00:00Z", "2024-03-01T00:00:00Z", "2024-12-31T23:00:00Z"]);
    assert_eq!(groups(GroupBy::Day).await, ["2024-02-29", "2024-03-01", "2024-12-31"]);
    assert_eq!(groups(GroupBy::Month).await, ["2024-02", "2024-03", "2024-12"]);
}

async fn tags_are_groups_of_their_own(db: &Db) {
    let tagged = |id: &str, tags: &[(&str, &str)]| UsageRow {
        tags: tags.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        ..usage_row(id, NOW)
    };
    let rows = [tagged("a", &[("app", "web"), ("env", "prod")]), tagged("b", &[("app", "ios")]), tagged("c", &[])];
    insert_batch(db, &rows).await.unwrap();
    let count = async |filter: &Filter| -> BTreeMap<Option<String>, u64> {
        let totals = totals(db, filter, &[GroupBy::Tag]).await.unwrap();
        totals.into_iter().map(|t| (t.group[0].clone(), t.sums.requests)).collect()
    };
    let some = |text: &str| Some(text.to_owned());
    let everything = [(None, 1), (some("app=ios"), 1), (some("app=web"), 1), (some("env=prod"), 1)];
    assert_eq!(count(&Filter::default()).await, everything.into());
    let apps = Filter { tag: Some(TagFilter { name: "app".to_owned(), value: None }), ..Filter::default() };
    assert_eq!(count(&apps).await, [(some("app=ios"), 1), (some("app=web"), 1)].into());
}

async fn the_dearest_group_comes_first(db: &Db) {
    let priced = |id: &str, key: &str, cost: i64| UsageRow {
        key_id: Some(key.to_owned()),
        cost: Some(weir::money::NanoUsd(cost)),
        ..usage_row(id, NOW)
    };
    insert_batch(
        db,
        &[priced("a", "cheap", 1), priced("b", "dear", 9), priced("c", "middle", 5), priced("d", "also", 5)],
    )
    .await
    .unwrap();
    let order: Vec<_> =
        totals(db, &Filter::default(), &[GroupBy::Key]).await.unwrap().into_iter().map(|t| t.group).collect();
    let expected = ["dear", "also", "middle", "cheap"].map(|key| vec![Some(key.to_owned())]);
    assert_eq!(order, expected);
}

async fn nothing_adds_up_to_nothing(db: &Db) {
    assert_eq!(totals(db, &Filter::default(), &[]).await.unwrap(), []);
    insert_batch(db, &[usage_row("a", NOW)]).await.unwrap();
    let reversed = Filter { from: Some(NOW), to: Some(NOW - 1), ..Filter::default() };
    assert_eq!(totals(db, &reversed, &[GroupBy::Key]).await.unwrap(), []);
}
