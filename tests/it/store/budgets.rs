//! Budgets: written whole, numbered in commit order, a key's own with its key, the file's as the file says.

use std::collections::BTreeMap;

use futures_util::future::{join, join_all};
use weir::budget::{Budget, Origin, Period, Raise, Scope, Zone, declared_id, key_budget_id};
use weir::limits::{Limits, LimitsPatch, Priority};
use weir::money::NanoUsd;
use weir::store::budgets::{self, BudgetPatch, Filter, State};
use weir::store::keys::{self, KeyHash, KeyPatch, KeyRow};
use weir::store::{Db, StoreErrorKind};

use super::{NOW, on_both_engines};

on_both_engines!(
    a_budget_is_kept_whole,
    a_patch_of_a_budget_changes_what_it_names,
    an_ended_budget_is_seen_by_pollers_alone,
    budgets_are_listed_by_what_they_are_for,
    many_are_found_by_their_ids,
    a_poller_of_budgets_sees_every_change,
    a_keys_budget_is_written_with_the_key,
    a_raise_meanwhile_is_not_lost,
    declared_budgets_follow_the_file,
    replicas_that_declare_together_agree,
    what_was_never_charged_is_all_zeros,
);

fn budget(id: &str) -> Budget {
    Budget {
        id: id.to_owned(),
        name: "name of it".to_owned(),
        scope: Scope::Team,
        subject: "t".to_owned(),
        period: Period::Week,
        zone: Zone::parse("Asia/Kathmandu").unwrap(),
        limit: NanoUsd(12_345_678_901),
        carry_over: true,
        thresholds: vec![1, 99],
        raise: Some(Raise { amount: NanoUsd(7), until: NOW + 9 }),
        origin: Origin::Api,
        created_at: NOW,
        updated_at: NOW,
        deleted_at: None,
        rev: 0,
    }
}

fn key(id: &str) -> KeyRow {
    KeyRow {
        id: id.to_owned(),
        name: "app".to_owned(),
        hash: KeyHash([7; 32]),
        prefix: "p".to_owned(),
        last4: "l".to_owned(),
        models: Vec::new(),
        team_id: None,
        user_id: None,
        organization_id: None,
        limits: Limits::default(),
        priority: Priority::default(),
        expires_at: None,
        revoked_at: None,
        metadata: None,
        created_at: NOW,
        updated_at: NOW,
        rev: 0,
    }
}

fn terms() -> BudgetPatch {
    BudgetPatch { limit: Some(NanoUsd(5)), period: Some(Period::Day), ..BudgetPatch::default() }
}

fn with_budget(budget: Option<BudgetPatch>) -> KeyPatch {
    KeyPatch { budget: Some(budget), ..KeyPatch::default() }
}

async fn a_budget_is_kept_whole(db: &Db) {
    let rev = budgets::insert(db, &budget("a")).await.unwrap();
    assert_eq!(budgets::get(db, "a").await.unwrap(), Some(Budget { rev, ..budget("a") }));
    for (n, (scope, period)) in Scope::ALL.iter().zip(Period::ALL.iter().cycle()).enumerate() {
        let other =
            Budget { scope: *scope, period: *period, raise: None, thresholds: Vec::new(), ..budget(&n.to_string()) };
        let rev = budgets::insert(db, &other).await.unwrap();
        assert_eq!(budgets::get(db, &other.id).await.unwrap(), Some(Budget { rev, ..other }));
        assert_eq!(budgets::current_rev(db).await.unwrap(), rev);
    }
    assert_eq!(budgets::insert(db, &budget("a")).await.unwrap_err().kind(), StoreErrorKind::Conflict);
    assert_eq!(budgets::get(db, "no").await.unwrap(), None);
}

async fn a_patch_of_a_budget_changes_what_it_names(db: &Db) {
    budgets::insert(db, &budget("a")).await.unwrap();
    let patch = BudgetPatch { limit: Some(NanoUsd(1)), raise: Some(None), ..BudgetPatch::default() };
    let changed = budgets::update(db, "a", patch, NOW + 5).await.unwrap().expect("exists");
    let expected = Budget { limit: NanoUsd(1), raise: None, updated_at: NOW + 5, rev: 2, ..budget("a") };
    assert_eq!(changed, expected);
    let patch = BudgetPatch {
        name: Some("n".to_owned()),
        period: Some(Period::Total),
        zone: Some(Zone::default()),
        carry_over: Some(false),
        thresholds: Some(vec![5]),
        ..BudgetPatch::default()
    };
    let changed = budgets::update(db, "a", patch, NOW + 6).await.unwrap().expect("exists");
    assert_eq!((changed.period, changed.zone, changed.carry_over), (Period::Total, Zone::default(), false));
    assert_eq!((changed.name.as_str(), changed.thresholds, changed.rev), ("n", vec![5], 3));
    assert_eq!(budgets::update(db, "no", BudgetPatch::default(), NOW).await.unwrap(), None);
    assert_eq!(budgets::current_rev(db).await.unwrap(), 3, "what is not there changes nothing");
}

async fn an_ended_budget_is_seen_by_pollers_alone(db: &Db) {
    budgets::insert(db, &budget("a")).await.unwrap();
    let ended = budgets::delete(db, "a", NOW + 1).await.unwrap().expect("exists");
    assert_eq!((ended.deleted_at, ended.rev), (Some(NOW + 1), 2));
    assert_eq!(budgets::get(db, "a").await.unwrap(), None);
    assert_eq!(budgets::get_many(db, &["a".to_owned()]).await.unwrap(), []);
    assert_eq!(budgets::list(db, None, 10, &Filter::default()).await.unwrap(), []);
    assert_eq!(budgets::update(db, "a", BudgetPatch::default(), NOW).await.unwrap(), None);
    assert_eq!(budgets::delete(db, "a", NOW).await.unwrap(), None);
    assert_eq!(budgets::changed_since(db, 1, 10).await.unwrap(), [ended]);
}

async fn budgets_are_listed_by_what_they_are_for(db: &Db) {
    for (n, scope) in [Scope::Team, Scope::User, Scope::Team, Scope::Key, Scope::Team].into_iter().enumerate() {
        let subject = if n < 3 { "x" } else { "y" };
        budgets::insert(db, &Budget { scope, subject: subject.to_owned(), ..budget(&format!("b{n}")) }).await.unwrap();
    }
    let ids = async |after: Option<&str>, limit, scope, subject: Option<&str>| {
        let filter = Filter { scope, subject: subject.map(str::to_owned) };
        let found = budgets::list(db, after, limit, &filter).await.unwrap();
        found.into_iter().map(|budget| budget.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 2, None, None).await, ["b0", "b1"]);
    assert_eq!(ids(Some("b1"), 10, None, None).await, ["b2", "b3", "b4"]);
    assert_eq!(ids(None, 10, Some(Scope::Team), None).await, ["b0", "b2", "b4"]);
    assert_eq!(ids(None, 10, None, Some("y")).await, ["b3", "b4"]);
    assert_eq!(ids(None, 10, Some(Scope::Team), Some("y")).await, ["b4"]);
    assert!(ids(None, 10, Some(Scope::Tag), None).await.is_empty());
}

async fn many_are_found_by_their_ids(db: &Db) {
    let ids: Vec<String> = (0..250).map(|n| format!("b{n:03}")).collect();
    for id in &ids {
        budgets::insert(db, &budget(id)).await.unwrap();
    }
    let mut found: Vec<String> = budgets::get_many(db, &ids).await.unwrap().into_iter().map(|b| b.id).collect();
    found.sort();
    assert_eq!(found, ids);
    let all = budgets::get_many(db, &ids).await.unwrap();
    assert_eq!(budgets::state(db, &all, NOW).await.unwrap().len(), 250);
    assert_eq!(budgets::get_many(db, &[]).await.unwrap(), []);
}

async fn a_poller_of_budgets_sees_every_change(db: &Db) {
    const WRITERS: i64 = 4;
    const CHANGES: i64 = 10;
    let write = |n: i64| async move {
        let id = format!("b{n}");
        budgets::insert(db, &budget(&id)).await.unwrap();
        for i in 0..CHANGES {
            let patch = BudgetPatch { limit: Some(NanoUsd(i)), ..BudgetPatch::default() };
            budgets::update(db, &id, patch, NOW).await.unwrap();
        }
    };
    let poll = async {
        let (mut last, mut seen) = (0, BTreeMap::new());
        while last < WRITERS * (CHANGES + 1) {
            for budget in budgets::changed_since(db, last, 3).await.unwrap() {
                assert!(budget.rev > last, "revisions arrive in order");
                last = budget.rev;
                seen.insert(budget.id.clone(), budget);
            }
            tokio::task::yield_now().await;
        }
        seen
    };
    let (_, seen) = join(join_all((0..WRITERS).map(write)), poll).await;
    for (id, budget) in seen {
        assert_eq!(budgets::get(db, &id).await.unwrap(), Some(budget));
    }
}

async fn a_keys_budget_is_written_with_the_key(db: &Db) {
    let id = key_budget_id("key_1");
    keys::insert_with(db, &key("key_1"), Some(terms())).await.unwrap();
    let made = budgets::get(db, &id).await.unwrap().expect("made");
    assert_eq!((made.scope, made.subject.as_str(), made.origin), (Scope::Key, "key_1", Origin::Key));
    assert_eq!((made.name.as_str(), made.limit, made.period), ("app", NanoUsd(5), Period::Day));
    assert_eq!((made.zone, made.carry_over, made.thresholds), (Zone::default(), false, vec![50, 80, 100]));

    // A change names what it changes.
    let patch = BudgetPatch { limit: Some(NanoUsd(9)), ..BudgetPatch::default() };
    keys::update(db, "key_1", with_budget(Some(patch)), NOW + 1).await.unwrap();
    let changed = budgets::get(db, &id).await.unwrap().expect("there");
    assert_eq!((changed.limit, changed.period, changed.updated_at), (NanoUsd(9), Period::Day, NOW + 1));
    // The budget has the key's name; other changes of the key are none of the budget.
    let rev = budgets::current_rev(db).await.unwrap();
    let limits = LimitsPatch { rpm: Some(Some(1)), ..LimitsPatch::default() };
    keys::update(db, "key_1", KeyPatch { limits, ..KeyPatch::default() }, NOW).await.unwrap();
    assert_eq!(budgets::current_rev(db).await.unwrap(), rev);
    keys::update(db, "key_1", KeyPatch { name: Some("new".to_owned()), ..KeyPatch::default() }, NOW).await.unwrap();
    assert_eq!(budgets::get(db, &id).await.unwrap().expect("there").name, "new");

    // Ended, and made again: a new one needs its terms.
    keys::update(db, "key_1", with_budget(None), NOW + 2).await.unwrap();
    assert_eq!(budgets::get(db, &id).await.unwrap(), None);
    let rev = budgets::current_rev(db).await.unwrap();
    keys::update(db, "key_1", with_budget(None), NOW + 3).await.unwrap();
    assert_eq!(budgets::current_rev(db).await.unwrap(), rev, "it has ended already");
    let half = BudgetPatch { limit: Some(NanoUsd(1)), ..BudgetPatch::default() };
    let both = KeyPatch { name: Some("half".to_owned()), ..with_budget(Some(half)) };
    assert_eq!(keys::update(db, "key_1", both, NOW).await.unwrap_err().kind(), StoreErrorKind::Invalid);
    assert_eq!(keys::get(db, "key_1").await.unwrap().expect("there").name, "new", "nor is the key changed");
    keys::update(db, "key_1", with_budget(Some(terms())), NOW + 4).await.unwrap();
    let again = budgets::get(db, &id).await.unwrap().expect("there again");
    assert_eq!((again.created_at, again.updated_at, again.name.as_str()), (NOW, NOW + 4, "new"));

    // A key that cannot be made leaves no budget behind.
    let twice = KeyRow { id: "key_2".to_owned(), ..key("key_1") };
    assert_eq!(keys::insert_with(db, &twice, Some(terms())).await.unwrap_err().kind(), StoreErrorKind::Conflict);
    assert_eq!(budgets::get(db, &key_budget_id("key_2")).await.unwrap(), None);
    let third = KeyRow { hash: KeyHash([3; 32]), ..key("key_3") };
    assert_eq!(
        keys::insert_with(db, &third, Some(BudgetPatch::default())).await.unwrap_err().kind(),
        StoreErrorKind::Invalid
    );
    assert_eq!(keys::get(db, "key_3").await.unwrap(), None);
}

/// A key's change and a raise of its budget at the same time: both are there afterwards.
async fn a_raise_meanwhile_is_not_lost(db: &Db) {
    keys::insert_with(db, &key("key_1"), Some(terms())).await.unwrap();
    let id = key_budget_id("key_1");
    for n in 1..=20 {
        let raise = Raise { amount: NanoUsd(n), until: NOW + 1 };
        let raised = budgets::update(db, &id, BudgetPatch { raise: Some(Some(raise)), ..BudgetPatch::default() }, NOW);
        let limit = BudgetPatch { limit: Some(NanoUsd(100 + n)), ..BudgetPatch::default() };
        let changed = keys::update(db, "key_1", with_budget(Some(limit)), NOW);
        let (raised, changed) = join(raised, changed).await;
        assert!(raised.unwrap().is_some() && changed.unwrap().is_some());
        let now = budgets::get(db, &id).await.unwrap().expect("there");
        assert_eq!((now.raise, now.limit), (Some(raise), NanoUsd(100 + n)));
    }
}

fn declared(name: &str, limit: i64) -> Budget {
    Budget { origin: Origin::Config, raise: None, limit: NanoUsd(limit), ..budget(&declared_id(name)) }
}

async fn declared_budgets_follow_the_file(db: &Db) {
    budgets::insert(db, &budget("of the api")).await.unwrap();
    budgets::declare(db, &[declared("a", 1), declared("b", 2)], NOW).await.unwrap();
    let rev = budgets::current_rev(db).await.unwrap();
    budgets::declare(db, &[declared("b", 2), declared("a", 1)], NOW + 5).await.unwrap();
    assert_eq!(budgets::current_rev(db).await.unwrap(), rev, "nothing has changed");

    let raise = Raise { amount: NanoUsd(3), until: NOW + 100 };
    let patch = BudgetPatch { raise: Some(Some(raise)), ..BudgetPatch::default() };
    budgets::update(db, "config:a", patch, NOW + 6).await.unwrap();
    budgets::declare(db, &[declared("a", 10), declared("c", 3)], NOW + 7).await.unwrap();
    let a = budgets::get(db, "config:a").await.unwrap().expect("there");
    assert_eq!((a.limit, a.raise, a.created_at, a.updated_at), (NanoUsd(10), Some(raise), NOW, NOW + 7));
    assert_eq!(budgets::get(db, "config:b").await.unwrap(), None, "no longer declared");
    assert!(budgets::get(db, "config:c").await.unwrap().is_some());

    // Each change has a number of its own, so that a poller's page never ends within one.
    let changed = budgets::changed_since(db, 0, 100).await.unwrap();
    let revs: std::collections::BTreeSet<i64> = changed.iter().map(|budget| budget.rev).collect();
    assert_eq!((changed.len(), revs.len()), (4, 4));

    budgets::declare(db, &[declared("b", 2)], NOW + 8).await.unwrap();
    let b = budgets::get(db, "config:b").await.unwrap().expect("declared again");
    assert_eq!((b.created_at, b.deleted_at), (NOW, None));
    budgets::declare(db, &[], NOW + 9).await.unwrap();
    let left = budgets::list(db, None, 10, &Filter::default()).await.unwrap();
    assert_eq!(left.iter().map(|b| b.id.as_str()).collect::<Vec<_>>(), ["of the api"]);
}

async fn replicas_that_declare_together_agree(db: &Db) {
    let file: Vec<Budget> = (0..10).map(|n| declared(&n.to_string(), n)).collect();
    for done in join_all((0..8).map(|n| budgets::declare(db, &file, NOW + n))).await {
        done.unwrap();
    }
    let stored = budgets::list(db, None, 100, &Filter::default()).await.unwrap();
    assert_eq!(stored.len(), 10);
    let first = stored[0].created_at;
    assert!(stored.iter().all(|budget| budget.created_at == first), "one of them made them all");
    let seen = budgets::changed_since(db, 0, 1000).await.unwrap();
    assert_eq!(seen.len(), 10);
}

async fn what_was_never_charged_is_all_zeros(db: &Db) {
    let (day, total) = (Budget { period: Period::Day, ..budget("d") }, Budget { period: Period::Total, ..budget("t") });
    let states = budgets::state(db, &[total.clone(), day.clone()], NOW).await.unwrap();
    let zeros = |budget: &Budget| State {
        window: budget.window(NOW),
        carried: NanoUsd(0),
        spent: NanoUsd(0),
        reserved: NanoUsd(0),
    };
    assert_eq!(states, [zeros(&total), zeros(&day)]);
    assert_eq!(states[0].remaining(&total, NOW), NanoUsd(12_345_678_908), "with the raise");
    assert_eq!(states[0].remaining(&total, NOW + 9), NanoUsd(12_345_678_901), "without it");
    let over = State { spent: NanoUsd(i64::MAX), ..states[0] };
    assert_eq!(over.remaining(&total, NOW), NanoUsd(0));
}
