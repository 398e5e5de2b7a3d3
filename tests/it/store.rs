//! The store, on both engines: every test in here runs on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "clippy.toml lets tests unwrap, but does not see that these functions are")]

mod budgets;
mod db;
mod keys;
mod objects;
mod outbox;
mod settings;
mod shadows;
mod totals;
mod usage_read;
mod usage_write;

use tempfile::TempDir;
use weir::clock::{Clock, Entropy, UnixMs};
use weir::money::NanoUsd;
use weir::record::{Attempt, Status, UsageRow};
use weir::store::{Db, Options};

use crate::support::postgres;

/// Runs each named `async fn(&Db)` once per engine, on a fresh, migrated database.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let (_folder, db) = crate::store::sqlite().await;
                super::$name(&db).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&crate::store::postgres().await).await;
            })+
        }
    };
}
pub(crate) use on_both_engines;

/// 2026-11-21T10:30:00Z.
pub(crate) const NOW: UnixMs = 1_795_257_000_000;

pub(crate) async fn sqlite() -> (TempDir, Db) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = Db::open(&sqlite_url(&folder), &Options::default()).expect("opens");
    db.migrate().await.expect("migrates");
    (folder, db)
}

pub(crate) fn sqlite_url(folder: &TempDir) -> String {
    format!("sqlite://{}/new/weir.db", folder.path().display())
}

pub(crate) async fn postgres() -> Db {
    let url = postgres::fresh_database().await;
    let db = Db::open(&url, &Options { connections: 4, ..Options::default() }).expect("opens");
    db.migrate().await.expect("migrates");
    db
}

/// A successful chat request; tests change what they are about.
pub(crate) fn usage_row(id: &str, at: UnixMs) -> UsageRow {
    UsageRow {
        id: id.to_owned(),
        at,
        key_id: Some("key_a".to_owned()),
        team_id: Some("team_a".to_owned()),
        user_id: None,
        end_user: Some("customer-7".to_owned()),
        tags: Vec::new(),
        endpoint: "chat/completions".to_owned(),
        model: Some("demo/chat".to_owned()),
        provider: Some("demo".to_owned()),
        served_model: Some("chat-2026".to_owned()),
        status: Status::Ok,
        http_status: 200,
        attempts: vec![Attempt {
            provider: "demo".to_owned(),
            model: "chat".to_owned(),
            outcome: "ok".to_owned(),
            ms: 12,
        }],
        usage: weir_wire::usage::Usage { input: 10, cached: 4, output: 5, reasoning: 2, ..Default::default() },
        cost: Some(NanoUsd(150_000)),
        price_version: Some("2026-11-01".to_owned()),
        tier: Some("default".to_owned()),
        estimated: false,
        unpriced: false,
        latency_ms: 40,
        ttft_ms: Some(20),
        overhead_us: 90,
        stream: true,
        error_code: None,
        error_message: None,
        metadata: Some(r#"{"plan":"gold"}"#.to_owned()),
        warnings: Vec::new(),
        charges: Vec::new(),
    }
}

/// Rows spread over six weeks, with every status, absent texts and tags.
pub(crate) fn random_rows(seed: u64, count: usize) -> Vec<UsageRow> {
    let chance = Entropy::fixed(seed);
    let clock = Clock::mock(NOW);
    let below = |n: u64| chance.u64() % n;
    let pick = |names: &[&str]| {
        let name = names[usize::try_from(below(names.len() as u64)).unwrap()];
        Some(name.to_owned()).filter(|name| !name.is_empty())
    };
    (0..count)
        .map(|_| {
            let at = clock.unix_ms() - i64::try_from(below(42 * 86_400_000)).unwrap();
            let mut row = usage_row(&chance.uuid(at).to_string(), at);
            row.key_id = pick(&["key_a", "key_b", "key_c", ""]);
            row.team_id = pick(&["team_a", ""]);
            row.user_id = pick(&["ann", "bob", ""]);
            row.model = pick(&["demo/chat", "demo/embed", ""]);
            row.provider = pick(&["demo", "other", ""]);
            row.status = Status::ALL[usize::try_from(below(7)).unwrap()];
            row.cost = Some(NanoUsd(i64::try_from(below(1_000_000)).unwrap())).filter(|_| below(5) > 0);
            row.unpriced = row.cost.is_none();
            row.estimated = below(3) == 0;
            row.latency_ms = below(10_000);
            row.usage.input = below(1000);
            row.usage.images = below(3);
            row.usage.search_units = below(2);
            row.tags = [("app", pick(&["web", "ios", ""])), ("env", pick(&["prod", ""]))]
                .into_iter()
                .filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)))
                .collect();
            row
        })
        .collect()
}
