use tokio::sync::mpsc;

use super::*;
use crate::budget::{Origin, Period, Scope, Zone};

fn budget(id: &str, scope: Scope, subject: &str) -> Budget {
    Budget {
        id: id.to_owned(),
        name: id.to_owned(),
        scope,
        subject: subject.to_owned(),
        period: Period::Day,
        zone: Zone::default(),
        limit: NanoUsd(1000),
        carry_over: false,
        thresholds: vec![50, 80, 100],
        raise: None,
        origin: Origin::Api,
        created_at: 0,
        updated_at: 0,
        deleted_at: None,
        rev: 1,
    }
}

fn budgets(list: Vec<Budget>) -> (Budgets, mpsc::Receiver<Demand>) {
    let (keeper, demands) = mpsc::channel(10);
    let budgets = Budgets::new(keeper);
    budgets.apply(list);
    (budgets, demands)
}

fn lease(account: &Account, at: UnixMs, amount: i64) {
    account.leased(account.budget().window(at), amount, 0);
}

fn held(account: &Account) -> i64 {
    account.slice(account.budget().window(0).start).unwrap().held
}

#[test]
fn a_request_is_charged_to_every_budget_of_its_line() {
    let list = vec![
        budget("k", Scope::Key, "key_1"),
        budget("t", Scope::Team, "search"),
        budget("m", Scope::Model, "fast"),
        budget("p", Scope::Model, "openai/gpt"),
        budget("g", Scope::Tag, "env=dev"),
        budget("other", Scope::Key, "key_2"),
        Budget { deleted_at: Some(1), ..budget("gone", Scope::Key, "key_1") },
    ];
    let (budgets, _demands) = budgets(list);
    let tags = [("env".to_owned(), "dev".to_owned())];
    let of = LineOf {
        key: Some("key_1"),
        team: Some("search"),
        model: Some("fast"),
        target: Some("openai/gpt"),
        tags: &tags,
        ..LineOf::default()
    };
    let mut line: Vec<String> = budgets.line(&of).iter().map(|account| account.budget().id.clone()).collect();
    line.sort();
    assert_eq!(line, ["g", "k", "m", "p", "t"]);
    assert!(budgets.line(&LineOf { key: Some("key_3"), ..LineOf::default() }).is_empty());
}

#[test]
fn it_is_all_or_nothing() {
    let (budgets, _demands) = budgets(vec![budget("a", Scope::Key, "k"), budget("b", Scope::Team, "t")]);
    let line = budgets.line(&LineOf { key: Some("k"), team: Some("t"), ..LineOf::default() });
    lease(&line[0], 0, 500);
    lease(&line[1], 0, 100);
    assert!(budgets.try_hold(&line, 0, NanoUsd(200)).is_none());
    assert_eq!((held(&line[0]), held(&line[1])), (0, 0), "nothing stays held of the one that had enough");
    let reservation = budgets.try_hold(&line, 0, NanoUsd(100)).unwrap();
    assert_eq!((held(&line[0]), held(&line[1])), (100, 100));
    drop(reservation);
    assert_eq!((held(&line[0]), held(&line[1])), (0, 0));
}

#[test]
fn what_was_held_becomes_what_it_cost_until_that_is_written() {
    let (budgets, _demands) = budgets(vec![budget("a", Scope::Key, "k")]);
    let line = budgets.line(&LineOf { key: Some("k"), ..LineOf::default() });
    lease(&line[0], 0, 500);
    let reservation = budgets.try_hold(&line, 0, NanoUsd(300)).unwrap();
    assert!(budgets.try_hold(&line, 0, NanoUsd(201)).is_none());
    let charges = reservation.settle(NanoUsd(120));
    assert_eq!((held(&line[0]), charges.len()), (120, 1));
    budgets.corrected(&charges, NanoUsd(120), NanoUsd(130));
    budgets.write_begins();
    assert_eq!(budgets.quiet(), None);
    budgets.written([(&charges[..], NanoUsd(130))].into_iter());
    assert!(budgets.quiet().is_some());
    let slice = line[0].slice(charges[0].1).unwrap();
    assert_eq!((slice.held, slice.lease), (0, 370));
}

#[test]
fn a_request_that_costs_more_than_it_held_stops_the_next() {
    let (budgets, _demands) = budgets(vec![budget("a", Scope::Key, "k")]);
    let line = budgets.line(&LineOf { key: Some("k"), ..LineOf::default() });
    lease(&line[0], 0, 100);
    let charges = budgets.try_hold(&line, 0, NanoUsd(100)).unwrap().settle(NanoUsd(150));
    assert!(budgets.try_hold(&line, 0, NanoUsd(0)).is_none());
    budgets.written([(&charges[..], NanoUsd(150))].into_iter());
    let slice = line[0].slice(charges[0].1).unwrap();
    assert_eq!((slice.held, slice.lease), (0, 0));
}

#[test]
fn another_day_is_another_window_and_the_old_one_is_settled_where_it_was_held() {
    const DAY: UnixMs = 86_400_000;
    let (budgets, _demands) = budgets(vec![budget("a", Scope::Key, "k")]);
    let line = budgets.line(&LineOf { key: Some("k"), ..LineOf::default() });
    lease(&line[0], 0, 100);
    let reservation = budgets.try_hold(&line, DAY - 1, NanoUsd(100)).unwrap();
    assert!(budgets.try_hold(&line, DAY, NanoUsd(1)).is_none(), "nothing is leased of the next day");
    assert_eq!(reservation.settle(NanoUsd(60)), [("a".to_owned(), 0)]);
    // A clock that goes back finds the old window as it was left.
    assert!(budgets.try_hold(&line, DAY - 1, NanoUsd(41)).is_none());
    assert!(budgets.try_hold(&line, DAY - 1, NanoUsd(40)).is_some());
}

#[tokio::test]
async fn what_is_not_leased_is_asked_for_and_comes_back_if_nobody_waits() {
    let (budgets, mut demands) = budgets(vec![budget("a", Scope::Key, "k")]);
    let line = budgets.line(&LineOf { key: Some("k"), ..LineOf::default() });
    let mut hold = Box::pin(budgets.hold(&line, 0, NanoUsd(70)));
    assert!(futures_util::poll!(&mut hold).is_pending());
    let demand = demands.recv().await.unwrap();
    assert_eq!(demand.amount, NanoUsd(70));
    demand.account.leased(demand.window, 70, 70);
    drop(hold);
    let answer = Answer::Held(Hold::of(Arc::clone(&demand.account), demand.window.start, demand.amount));
    assert!(demand.answer.send(answer).is_err());
    assert_eq!(held(&line[0]), 0);

    let hold = budgets.hold(&line, 0, NanoUsd(100));
    let keeper = async {
        let demand = demands.recv().await.unwrap();
        let _ = demand.answer.send(Answer::Exceeded { left: NanoUsd(3), allowance: NanoUsd(1000) });
    };
    let (refused, ()) = tokio::join!(hold, keeper);
    let Err(Refused::Exceeded(exceeded)) = refused else { panic!("there is no more") };
    assert_eq!((exceeded.left, exceeded.needed, exceeded.window.end), (NanoUsd(3), NanoUsd(100), Some(86_400_000)));
}
