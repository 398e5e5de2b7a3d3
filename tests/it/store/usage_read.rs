//! Reading the usage ledger row by row.

use weir::record::{Status, UsageRow};
use weir::store::Db;
use weir::store::usage::{Cursor, Filter, TagFilter, export, insert_batch, page};

use super::{NOW, on_both_engines, random_rows, usage_row};

on_both_engines!(
    pages_come_newest_first_and_meet_every_row_once,
    new_rows_do_not_move_a_cursor,
    every_filter_keeps_what_it_names,
    an_export_meets_every_row_once,
    a_foreign_cursor_is_harmless,
);

fn ids(rows: &[UsageRow]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

async fn pages_come_newest_first_and_meet_every_row_once(db: &Db) {
    // Several rows of one millisecond, so that the id decides.
    let rows: Vec<UsageRow> = (0..25).map(|n| usage_row(&format!("{n:02}"), NOW + n / 5)).collect();
    insert_batch(db, &rows).await.unwrap();
    let mut expected: Vec<&str> = ids(&rows);
    expected.reverse();
    for limit in [1, 4, 25, 26, 0] {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = page(db, &Filter::default(), cursor.as_ref(), limit).await.unwrap();
            seen.extend(page.rows);
            // Through its text, as a client does.
            cursor = page.next_cursor.map(|c: Cursor| c.to_string().parse().unwrap());
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(ids(&seen), expected, "limit {limit}");
    }
}

async fn new_rows_do_not_move_a_cursor(db: &Db) {
    insert_batch(db, &[usage_row("a", NOW), usage_row("b", NOW + 1), usage_row("c", NOW + 2)]).await.unwrap();
    let first = page(db, &Filter::default(), None, 2).await.unwrap();
    insert_batch(db, &[usage_row("d", NOW + 3)]).await.unwrap();
    let second = page(db, &Filter::default(), first.next_cursor.as_ref(), 2).await.unwrap();
    assert_eq!((ids(&first.rows), ids(&second.rows)), (vec!["c", "b"], vec!["a"]));
    assert_eq!(second.next_cursor, None);
}

async fn every_filter_keeps_what_it_names(db: &Db) {
    let rows = random_rows(6, 400);
    insert_batch(db, &rows).await.unwrap();
    let some = |text: &str| Some(text.to_owned());
    let none = Filter::default();
    let tag =
        |name: &str, value: Option<&str>| Some(TagFilter { name: name.to_owned(), value: value.map(str::to_owned) });
    let has = |row: &UsageRow, name: &str, value: Option<&str>| {
        row.tags.iter().any(|(n, v)| n == name && value.is_none_or(|value| v == value))
    };
    type Matches<'a> = Box<dyn Fn(&UsageRow) -> bool + 'a>;
    let middle = NOW - 20 * 86_400_000;
    let cases: Vec<(Filter, Matches<'_>)> = vec![
        (Filter { from: Some(middle), ..none.clone() }, Box::new(|r| r.at >= middle)),
        (Filter { to: Some(middle), ..none.clone() }, Box::new(|r| r.at < middle)),
        (Filter { from: Some(rows[0].at), to: Some(rows[0].at + 1), ..none.clone() }, Box::new(|r| r.at == rows[0].at)),
        (Filter { key_id: some("key_b"), ..none.clone() }, Box::new(|r| r.key_id.as_deref() == Some("key_b"))),
        (Filter { key_id: some(""), ..none.clone() }, Box::new(|r| r.key_id.is_none())),
        (Filter { team_id: some("team_a"), ..none.clone() }, Box::new(|r| r.team_id.is_some())),
        (Filter { user: some("ann"), ..none.clone() }, Box::new(|r| r.user_id.as_deref() == Some("ann"))),
        (Filter { model: some("demo/embed"), ..none.clone() }, Box::new(|r| r.model.as_deref() == Some("demo/embed"))),
        (Filter { provider: some("other"), ..none.clone() }, Box::new(|r| r.provider.as_deref() == Some("other"))),
        (Filter { status: Some(Status::Timeout), ..none.clone() }, Box::new(|r| r.status == Status::Timeout)),
        (Filter { endpoint: some("embeddings"), ..none.clone() }, Box::new(|_| false)),
        (Filter { tag: tag("app", None), ..none.clone() }, Box::new(|r| has(r, "app", None))),
        (Filter { tag: tag("app", Some("ios")), ..none.clone() }, Box::new(|r| has(r, "app", Some("ios")))),
        (Filter { tag: tag("app", Some("' OR 1=1 --")), ..none.clone() }, Box::new(|_| false)),
        (
            Filter { key_id: some("key_a"), status: Some(Status::Ok), tag: tag("env", Some("prod")), ..none.clone() },
            Box::new(|r| r.key_id.as_deref() == Some("key_a") && r.status == Status::Ok && has(r, "env", None)),
        ),
    ];
    for (filter, matches) in cases {
        let found = page(db, &filter, None, 1000).await.unwrap().rows;
        let mut expected: Vec<&UsageRow> = rows.iter().filter(|row| matches(row)).collect();
        expected.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        assert_eq!(ids(&found), expected.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), "{filter:?}");
    }
}

async fn an_export_meets_every_row_once(db: &Db) {
    for part in random_rows(7, 2500).chunks(500) {
        insert_batch(db, part).await.unwrap();
    }
    let mut pages = export(db, Filter { key_id: Some("key_a".to_owned()), ..Filter::default() });
    let mut seen = Vec::new();
    while let Some(rows) = pages.next().await.unwrap() {
        assert!((1..=1000).contains(&rows.len()));
        seen.extend(rows.into_iter().map(|row| row.id));
    }
    let mut expected: Vec<String> =
        random_rows(7, 2500).into_iter().filter(|r| r.key_id.as_deref() == Some("key_a")).map(|r| r.id).collect();
    expected.sort();
    seen.sort();
    assert_eq!(seen, expected);
    assert!(export(db, Filter { to: Some(0), ..Filter::default() }).next().await.unwrap().is_none());
}

async fn a_foreign_cursor_is_harmless(db: &Db) {
    insert_batch(db, &[usage_row("a", NOW)]).await.unwrap();
    // Eight bytes of time, then NUL and a quote.
    let cursor: Cursor = "f_________8AJw".parse().unwrap();
    assert_eq!(page(db, &Filter::default(), Some(&cursor), 5).await.unwrap().rows.len(), 1);
}
