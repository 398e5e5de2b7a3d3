use super::*;

fn budget() -> Budget {
    Budget {
        id: "bud_1".into(),
        name: "b".into(),
        scope: Scope::Team,
        subject: "t".into(),
        period: Period::Day,
        zone: Zone::default(),
        limit: NanoUsd(100),
        carry_over: true,
        thresholds: DEFAULT_THRESHOLDS.to_vec(),
        raise: None,
        origin: Origin::Api,
        created_at: 0,
        updated_at: 0,
        deleted_at: None,
        rev: 0,
    }
}

#[test]
fn words_are_read_as_they_are_written() {
    for scope in Scope::ALL {
        assert_eq!(Scope::parse(scope.as_str()), Some(*scope));
        assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
    }
    for period in Period::ALL {
        assert_eq!(Period::parse(period.as_str()), Some(*period));
        assert_eq!(serde_json::to_value(period).unwrap(), period.as_str());
    }
    for origin in Origin::ALL {
        assert_eq!(Origin::parse(&origin.to_string()), Some(*origin));
    }
    assert_eq!((Scope::ALL.len(), Period::ALL.len()), (7, 5));
    assert_eq!((Scope::parse("Key"), Period::parse("year"), Origin::parse("")), (None, None, None));
}

#[test]
fn a_raise_counts_until_its_end_and_no_longer() {
    let raised = Budget { raise: Some(Raise { amount: NanoUsd(50), until: 1_000 }), ..budget() };
    assert_eq!(raised.allowance(NanoUsd(0), 999), NanoUsd(150));
    assert_eq!(raised.allowance(NanoUsd(0), 1_000), NanoUsd(100));
}

#[test]
fn what_was_carried_counts_where_it_is_carried_over() {
    assert_eq!(budget().allowance(NanoUsd(30), 0), NanoUsd(130));
    let not = Budget { carry_over: false, ..budget() };
    assert_eq!(not.allowance(NanoUsd(30), 0), NanoUsd(100));
    assert_eq!(budget().carry(NanoUsd(30), NanoUsd(40)), NanoUsd(90));
    assert_eq!(budget().carry(NanoUsd(30), NanoUsd(140)), NanoUsd(0), "what was overspent is not carried");
    assert_eq!(not.carry(NanoUsd(30), NanoUsd(40)), NanoUsd(0));
    let raised = Budget { raise: Some(Raise { amount: NanoUsd(50), until: 1_000 }), ..budget() };
    assert_eq!(raised.carry(NanoUsd(0), NanoUsd(120)), NanoUsd(0), "nor is a raise");
}

#[test]
fn no_sum_overflows() {
    let most = NanoUsd(i64::MAX);
    let much = Budget { limit: most, raise: Some(Raise { amount: most, until: 1 }), ..budget() };
    assert_eq!(much.allowance(most, 0), most);
    assert_eq!(much.carry(most, NanoUsd(i64::MIN)), most);
    assert_eq!(budget().carry(NanoUsd(i64::MIN), most), NanoUsd(0));
}

#[test]
fn names_subjects_amounts_and_thresholds_are_checked() {
    assert!(check_name("Team A").is_ok() && check_name(&"n".repeat(200)).is_ok());
    for bad in ["", "  ", "a\nb", &"n".repeat(201)] {
        assert!(check_name(bad).is_err(), "{bad:?}");
    }
    for (scope, fine) in [(Scope::Key, "config:app"), (Scope::Model, "openai/m"), (Scope::Tag, "app=a=b")] {
        assert_eq!(check_subject(scope, fine), Ok(()), "{fine}");
    }
    for bad in ["app", "=a", "a=", "", "a=b\0"] {
        assert!(check_subject(Scope::Tag, bad).is_err(), "{bad:?}");
    }
    assert!(check_subject(Scope::Team, &"t".repeat(257)).is_err());
    assert!(check_amount(NanoUsd(0)).is_ok() && check_amount(MAX_AMOUNT).is_ok());
    assert!(check_amount(NanoUsd(-1)).is_err() && check_amount(NanoUsd(MAX_AMOUNT.0 + 1)).is_err());
    assert_eq!(checked_thresholds(vec![90, 10, 90]), Ok(vec![10, 90]));
    assert_eq!(checked_thresholds(Vec::new()), Ok(Vec::new()));
    for bad in [vec![0], vec![101], (1..=11).collect()] {
        assert!(checked_thresholds(bad).is_err());
    }
}

#[test]
fn a_window_contains_its_first_moment_and_not_its_end() {
    let window = Window { start: 5, end: Some(7) };
    assert_eq!([4, 5, 6, 7].map(|at| window.contains(at)), [false, true, true, false]);
    assert!(Window { end: None, ..window }.contains(i64::MAX));
}

#[test]
fn what_is_left_lasts_as_long_as_it_did_so_far() {
    let window = Window { start: 1_000, end: Some(11_000) };
    let budget = Budget { created_at: 500, ..budget() };
    let out = |spent: i64, window: &Window| budget.runs_out(window, NanoUsd(spent), NanoUsd(100), 2_000);
    assert_eq!(out(50, &window), Some(3_000));
    assert_eq!(out(10, &window), None, "at the window's end it begins anew");
    assert_eq!((out(0, &window), out(100, &window)), (None, None));
    let total = Window { start: 0, end: None };
    assert_eq!(out(10, &total), Some(2_000 + 13_500));
    assert_eq!(budget.runs_out(&total, NanoUsd(1), NanoUsd(i64::MAX), i64::MAX), None);
}
