//! The judge is judged: each kind of damage to a sound ledger is found, and a sound one passes.

use tokio::time::Instant;

use super::*;
use crate::prove::tariff::{ALPHA, BETA, FLAT};

const USED: Tokens = Tokens { input: 100, cached: 10, output: 7, reasoning: 2 };

/// A sound run: 0 whole, 1 by fallback, 2 left, 3 refused, 4 cut, 5 silent, 6 shed, 7 never sent.
struct Run {
    sent: SentLog,
    calls: Vec<Call>,
    rows: Vec<Row>,
    killed: bool,
}

fn call(id: Id, model: u8, ending: Ending, reported: Option<Tokens>) -> Call {
    Call { id, model, ending, reported, cost: Tariffs::read().unwrap().cost(model, USED) }
}

fn row(id: Id, status: &str, http_status: u16, calls: &[Call], tokens: Tokens) -> Row {
    let tried = calls.iter().rev().find(|call| call.id == id).map(|call| call.model);
    Row {
        id: Some(id),
        name: String::new(),
        at: "2026-11-18T11:06:40.123Z".to_owned(),
        key: Some("key".to_owned()),
        model: "proof/alpha".to_owned(),
        tries: calls.iter().filter(|call| call.id == id).count(),
        tried,
        status: status.to_owned(),
        http_status,
        tokens,
        cost: Some(tried.map_or(0, |model| Tariffs::read().unwrap().cost(model, tokens))),
        estimated: false,
    }
}

fn sound() -> Run {
    let now = Instant::now();
    let refused = |status, code: &str| End::Refused { status, code: code.to_owned(), message: String::new() };
    let ends = [
        End::Whole,
        End::Whole,
        End::Left(now),
        refused(404, "model_not_found"),
        End::Broken("cut".to_owned()),
        End::Whole,
        refused(503, "overloaded"),
        End::Unsent,
    ];
    let sent = ends.into_iter().map(|end| Sent { key: 0, tags: None, end, told: None });
    let sent: SentLog = (0..).zip(sent).collect();
    let calls = vec![
        call(0, ALPHA, Ending::Finished, Some(USED)),
        call(1, ALPHA, Ending::Failed(500), None),
        call(1, BETA, Ending::Finished, Some(USED)),
        call(2, ALPHA, Ending::HungUp(now), None),
        call(4, ALPHA, Ending::Cut, None),
        call(5, ALPHA, Ending::Finished, None),
    ];
    let counted = Tokens { input: 9, output: 3, ..Tokens::default() };
    let mut rows = vec![
        row(0, "ok", 200, &calls, USED),
        row(1, "ok", 200, &calls, USED),
        row(2, "cancelled", 499, &calls, counted),
        row(3, "rejected", 404, &calls, Tokens::default()),
        row(4, "upstream_error", 200, &calls, counted),
        row(5, "ok", 200, &calls, counted),
    ];
    [2, 4, 5].into_iter().for_each(|at| rows[at].estimated = true);
    Run { sent, calls, rows, killed: false }
}

impl Run {
    fn faults(&self) -> Vec<Fault> {
        let tariffs = Tariffs::read().unwrap();
        let keys = ["key".to_owned()];
        let Self { sent, calls, rows, killed } = self;
        Evidence { sent, calls, rows, keys: &keys, tariffs: &tariffs, killed: *killed }.faults()
    }
}

/// The faults after one change to the sound run.
fn after(change: impl FnOnce(&mut Run)) -> Vec<Fault> {
    let mut run = sound();
    change(&mut run);
    run.faults()
}

fn is_wrong(faults: &[Fault], id: Id) -> bool {
    !faults.is_empty() && faults.iter().all(|fault| matches!(fault, Fault::Wrong(at, ..) if *at == id))
}

#[test]
fn a_sound_ledger_passes() {
    assert_eq!(sound().faults(), []);
}

#[test]
fn a_lost_row_is_found_whatever_its_request_came_to() {
    for id in 0..6 {
        let faults = after(|run| run.rows.retain(|row| row.id != Some(id)));
        assert!(matches!(faults[..], [Fault::Lost(lost, _)] if lost == id), "{id}: {faults:?}");
    }
    let killed = after(|run| {
        run.killed = true;
        run.rows.retain(|row| row.id != Some(3));
    });
    assert_eq!(killed, [], "a refusal costs nothing and may go with a killed gateway");
}

#[test]
fn a_doubled_row_is_found() {
    let faults = after(|run| run.rows.push(run.rows[1].clone()));
    assert_eq!(faults, [Fault::Doubled(1, 2)]);
}

#[test]
fn a_row_without_a_cause_is_found() {
    let faults = after(|run| run.rows.push(Row { id: Some(99), ..run.rows[0].clone() }));
    assert_eq!(faults, [Fault::Causeless("proof-000000099".to_owned())]);
    let faults = after(|run| run.rows.push(Row { id: None, name: "stranger".to_owned(), ..run.rows[0].clone() }));
    assert_eq!(faults, [Fault::Causeless("stranger".to_owned())]);
    assert!(is_wrong(&after(|run| run.rows.push(Row { id: Some(7), ..run.rows[3].clone() })), 7));
}

#[test]
fn a_row_that_is_wrong_by_one_nano_dollar_or_token_is_found() {
    assert!(is_wrong(&after(|run| run.rows[0].cost = run.rows[0].cost.map(|cost| cost + 1)), 0));
    assert!(is_wrong(&after(|run| run.rows[2].cost = run.rows[2].cost.map(|cost| cost - 1)), 2));
    assert!(is_wrong(&after(|run| run.rows[1].cost = None), 1));
    // Tokens that fit their own cost, and are not what was reported.
    let faults = after(|run| {
        let other = Tokens { input: 101, ..USED };
        run.rows[0] = row(0, "ok", 200, &run.calls, other);
    });
    assert!(is_wrong(&faults, 0), "{faults:?}");
}

#[test]
fn a_row_with_a_wrong_outcome_is_found() {
    assert!(is_wrong(&after(|run| run.rows[0].status = "cancelled".to_owned()), 0));
    assert!(is_wrong(&after(|run| run.rows[0].estimated = true), 0));
    assert!(is_wrong(&after(|run| run.rows[5].estimated = false), 5));
    assert!(is_wrong(&after(|run| run.rows[3].http_status = 400), 3));
    assert!(is_wrong(&after(|run| run.rows[1].tried = Some(ALPHA)), 1));
    assert!(is_wrong(&after(|run| run.rows[0].key = Some("other".to_owned())), 0));
    assert!(is_wrong(&after(|run| run.rows[2].status = "ok".to_owned()), 2));
    assert!(is_wrong(&after(|run| run.rows[1].tries = 1), 1));
}

#[test]
fn a_row_without_its_key_is_right_only_where_the_key_could_not_be_asked_for() {
    let nameless = |run: &mut Run, id: Id| {
        let row = row(id, "rejected", 503, &run.calls, Tokens::default());
        run.rows.push(Row { key: None, ..row });
    };
    assert_eq!(after(|run| nameless(run, 6)), []);
    assert!(is_wrong(&after(|run| run.rows[2].key = None), 2), "its upstream was called");
    assert!(is_wrong(&after(|run| run.rows[3].key = None), 3));
}

#[test]
fn work_that_is_written_off_in_silence_is_found() {
    let free = |run: &mut Run| run.rows[2] = row(2, "cancelled", 499, &run.calls, Tokens::default());
    assert!(is_wrong(&after(free), 2));
    let interrupted = |estimated| {
        move |run: &mut Run| {
            run.killed = true;
            run.rows[2].status = "interrupted".to_owned();
            run.rows[2].estimated = estimated;
        }
    };
    assert_eq!(after(interrupted(true)), []);
    assert!(is_wrong(&after(interrupted(false)), 2));
}

#[test]
fn a_cost_that_was_told_is_the_one_that_is_kept() {
    let told = |cost| move |run: &mut Run| run.sent.get_mut(&0).unwrap().told = Some(cost);
    assert_eq!(after(told(27_467)), []);
    assert!(is_wrong(&after(told(27_468)), 0));
}

#[test]
fn a_total_that_is_not_its_rows_is_found() {
    let rows = sound().rows;
    let group = |row: &Row| vec![row.hour()];
    let mut sound_totals = Totals::new();
    rows.iter().for_each(|row| sound_totals.entry(group(row)).or_default().add(row));
    assert_eq!(sums("hour", &rows, &sound_totals, group), []);
    let damage: [fn(&mut Sums); 4] =
        [|sums| sums.cost -= 1, |sums| sums.requests += 1, |sums| sums.errors += 1, |sums| sums.output -= 1];
    for change in damage {
        let mut totals = sound_totals.clone();
        totals.values_mut().for_each(change);
        assert_eq!(sums("hour", &rows, &totals, group).len(), 1);
    }
    assert_eq!(sums("hour", &rows, &Totals::new(), group).len(), 1, "a group that is missing");
    assert_eq!(sums("hour", &[], &sound_totals, group).len(), 1, "a group of nothing");
}

#[test]
fn an_overshoot_of_one_nano_dollar_is_found() {
    let sent: SentLog = (0..4).map(|id| (id, Sent { key: (id % 2) as u8, ..sound().sent[&0].clone() })).collect();
    let mut calls: Vec<Call> = (0..4).map(|id| call(id, FLAT, Ending::Finished, Some(USED))).collect();
    calls[2].ending = Ending::Failed(500);
    let cost = calls[0].cost;
    assert_eq!(spent(&sent, &calls, |_| true), 3 * cost, "a refused call costs nothing");
    assert_eq!(spent(&sent, &calls, |sent| sent.key == 0), cost);
    calls[1].ending = Ending::HungUp(Instant::now());
    assert_eq!(spent(&sent, &calls, |sent| sent.key == 1), 2 * cost, "work for a client that left is work");
    assert_eq!(cap("key", 2 * cost, 2 * cost), None);
    assert_eq!(cap("key", 2 * cost - 1, 2 * cost), Some(Fault::Overshoot("key".to_owned(), 2 * cost - 1, 2 * cost)));
}
