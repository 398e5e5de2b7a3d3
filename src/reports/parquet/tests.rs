//! What a Parquet file holds and how much memory making it takes.

use bytes::Bytes;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use weir_wire::usage::Usage;

use super::*;
use crate::money::NanoUsd;
use crate::record::{Attempt, Status};

fn row(n: i64) -> UsageRow {
    let odd = n % 2 == 1;
    UsageRow {
        id: format!("req-{n}"),
        at: 1_795_000_000_000 + n,
        key_id: odd.then(|| "key_a".to_owned()),
        team_id: None,
        user_id: Some("ann".to_owned()),
        end_user: None,
        tags: vec![("env".to_owned(), "prod".to_owned())],
        endpoint: "chat/completions".to_owned(),
        model: Some("demo/chat".to_owned()),
        provider: odd.then(|| "demo".to_owned()),
        served_model: None,
        status: if odd { Status::Ok } else { Status::Timeout },
        http_status: 200,
        attempts: vec![Attempt { provider: "demo".into(), model: "chat".into(), outcome: "ok".into(), ms: 3 }],
        usage: Usage { input: 7, search_units: 2, ..Usage::default() },
        cost: odd.then_some(NanoUsd(n * 1_000_000_007)),
        price_version: None,
        estimated: odd,
        unpriced: !odd,
        latency_ms: 5,
        ttft_ms: odd.then_some(2),
        overhead_us: 9,
        stream: odd,
        error_code: None,
        error_message: None,
        metadata: odd.then(|| r#"{"a":1}"#.to_owned()),
        warnings: vec!["w".to_owned()],
        tier: None,
        charges: Vec::new(),
    }
}

#[test]
fn a_file_reads_back_as_its_rows() {
    let mut encoder = Encoder::new().unwrap();
    let mut file = encoder.push((0..5).map(row).collect()).unwrap();
    file.extend(encoder.finish().unwrap());
    let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
    assert_eq!(reader.metadata().file_metadata().schema_descr().num_columns(), COLUMNS.len());
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 5);
    for (n, read) in rows.iter().enumerate() {
        let cell = |name: &str| read.get_column_iter().find(|(found, _)| *found == name).unwrap().1.clone();
        let row = row(i64::try_from(n).unwrap());
        assert_eq!(cell("id"), Field::Str(row.id.clone()));
        assert_eq!(cell("at"), Field::TimestampMillis(row.at));
        let text = |value: &Option<String>| value.clone().map_or(Field::Null, Field::Str);
        assert_eq!((cell("key_id"), cell("team_id")), (text(&row.key_id), Field::Null));
        let cost = cell("cost_usd").to_string();
        assert_eq!(cost, row.cost.map_or("null".to_owned(), |cost| cost.to_string()));
        assert_eq!((cell("stream"), cell("search_units")), (Field::Bool(row.stream), Field::Long(2)));
        assert_eq!(cell("status"), Field::Str(row.status.to_string()));
        assert_eq!(cell("tags").to_string().replace("\\\"", "\""), "\"{\"env\":\"prod\"}\"");
    }
}

#[test]
fn groups_are_bounded_by_rows_and_by_bytes() {
    let mut encoder = Encoder::new().unwrap();
    let mut file = Vec::new();
    let mut most = 0;
    for page in 0..35 {
        file.extend(encoder.push((0..1000).map(|n| row(page * 1000 + n)).collect()).unwrap());
        most = most.max(encoder.held());
    }
    let heavy = |n| UsageRow { error_message: Some("x".repeat(100_000)), ..row(n) };
    for n in 0..300 {
        file.extend(encoder.push(vec![heavy(n)]).unwrap());
        most = most.max(encoder.held());
    }
    file.extend(encoder.finish().unwrap());
    assert!(most <= GROUP_BYTES + 200_000, "{most}");
    let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
    let sizes: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(sizes.iter().sum::<i64>(), 35_300);
    assert!(sizes.len() > 5 && sizes.iter().all(|rows| *rows <= 10_000), "{sizes:?}");
}

#[test]
fn no_rows_are_a_file_too() {
    let file = Encoder::new().unwrap().finish().unwrap();
    let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
    assert_eq!(reader.get_row_iter(None).unwrap().count(), 0);
}
