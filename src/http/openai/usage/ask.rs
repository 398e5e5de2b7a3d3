//! The parameters of a usage query.

use jiff::Timestamp;

use crate::clock::UnixMs;
use crate::error::ApiError;
use crate::http::query::Params;
use crate::record::Status;
use crate::store::usage::{Cursor, Filter, GroupBy, TagFilter};

const KNOWN: [&str; 15] = [
    "from", "to", "key_id", "team_id", "user", "model", "provider", "endpoint", "status", "tag", "limit", "cursor",
    "group_by", "format", "since",
];
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A page, or totals.
    #[default]
    Json,
    /// All rows or totals, RFC 4180.
    Csv,
    /// All rows or totals, one JSON object a line.
    Ndjson,
    /// All rows, as an Apache Parquet file.
    Parquet,
}

/// A usage query.
#[derive(Debug)]
pub struct Ask {
    /// Which rows.
    pub filter: Filter,
    /// Totals by these, or rows when empty.
    pub group_by: Vec<GroupBy>,
    /// Where the page begins.
    pub cursor: Option<Cursor>,
    /// Rows of a page.
    pub limit: u32,
    /// How it is written.
    pub format: Format,
}

impl Ask {
    /// Reads a query string.
    pub fn read(query: Option<&str>, now: UnixMs) -> Result<Self, ApiError> {
        let params = Params::read(query, &KNOWN)?;
        let from = params.parsed("from", |v| time(v, now))?;
        let since = params.parsed("since", |v| time(v, now))?;
        let group_by = params.parsed("group_by", |v| group_by(v, &GroupBy::ALL))?.unwrap_or_default();
        let format = params.parsed("format", format)?.unwrap_or_default();
        if format == Format::Parquet && !group_by.is_empty() {
            let message = "'format' must be json, csv or ndjson for totals: parquet is for rows";
            return Err(ApiError::invalid("invalid_value", message).param("format"));
        }
        Ok(Self {
            filter: Filter { from: from.or(since), to: params.parsed("to", |v| time(v, now))?, ..filter(&params)? },
            group_by,
            cursor: params.parsed("cursor", |v| {
                v.parse::<Cursor>()
                    .map_err(|_| "is not a cursor: pass next_cursor of the page before, unchanged".to_owned())
            })?,
            limit: params.parsed("limit", limit)?.unwrap_or(DEFAULT_LIMIT),
            format,
        })
    }
}

/// Which rows, whatever their time.
pub(in crate::http) fn filter(params: &Params) -> Result<Filter, ApiError> {
    let text = |name: &str| params.get(name).map(ToOwned::to_owned);
    Ok(Filter {
        from: None,
        to: None,
        key_id: text("key_id"),
        team_id: text("team_id"),
        user: text("user"),
        model: text("model"),
        provider: text("provider"),
        status: params.parsed("status", status)?,
        endpoint: text("endpoint"),
        tag: text("tag").map(tag),
    })
}

/// RFC 3339, or a span before now: `90m`, `12h`, `7d`, `4w`.
pub(in crate::http) fn time(text: &str, now: UnixMs) -> Result<UnixMs, String> {
    let expected = || "must be a time such as 2026-11-21T00:00:00Z, a date, or a span such as 12h or 7d".to_owned();
    if let Some(unit) = text.chars().last().filter(char::is_ascii_lowercase) {
        let count: i64 = text[..text.len() - 1].parse().map_err(|_| expected())?;
        let minutes = match unit {
            'm' => 1,
            'h' => 60,
            'd' => 24 * 60,
            'w' => 7 * 24 * 60,
            _ => return Err(expected()),
        };
        let span = count.checked_mul(minutes * 60_000).filter(|span| *span >= 0).ok_or_else(expected)?;
        return Ok(now.saturating_sub(span));
    }
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    full.parse::<Timestamp>().map(Timestamp::as_millisecond).map_err(|_| expected())
}

fn status(text: &str) -> Result<Status, String> {
    let names = || Status::ALL.map(Status::as_str).join(", ");
    Status::parse(text).ok_or_else(|| format!("must be one of {}", names()))
}

fn tag(text: String) -> TagFilter {
    match text.split_once(['=', ':']) {
        Some((name, value)) => TagFilter { name: name.to_owned(), value: Some(value.to_owned()) },
        None => TagFilter { name: text, value: None },
    }
}

/// A list of dimensions, each among those known.
pub(in crate::http) fn group_by(text: &str, known: &[GroupBy]) -> Result<Vec<GroupBy>, String> {
    let names = || known.iter().map(|by| by.as_str()).collect::<Vec<_>>().join(", ");
    let mut out = Vec::new();
    for name in text.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        let by = GroupBy::parse(name)
            .filter(|by| known.contains(by))
            .ok_or_else(|| format!("must be a list of {}", names()))?;
        if !out.contains(&by) {
            out.push(by);
        }
    }
    Ok(out)
}

fn limit(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=MAX_LIMIT).contains(n))
        .ok_or_else(|| format!("must be a number from 1 to {MAX_LIMIT}"))
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "json" => Ok(Format::Json),
        "csv" => Ok(Format::Csv),
        "ndjson" => Ok(Format::Ndjson),
        "parquet" => Ok(Format::Parquet),
        _ => Err("must be json, csv, ndjson or parquet".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = 1_795_000_000_000;

    #[test]
    fn times_are_absolute_or_before_now() {
        assert_eq!(time("7d", NOW), Ok(NOW - 7 * 86_400_000));
        assert_eq!(time("90m", NOW), Ok(NOW - 5_400_000));
        assert_eq!(time("1970-01-02", NOW), Ok(86_400_000));
        assert_eq!(time("1970-01-01T01:00:00+01:00", NOW), Ok(0));
        for text in ["", "d", "-1d", "7y", "yesterday", "99999999999999999w"] {
            assert!(time(text, NOW).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_query_is_read_whole() {
        let ask = Ask::read(
            Some("from=7d&model=demo%2Fchat&status=ok&tag=team=a&group_by=model,day&limit=5&format=csv"),
            NOW,
        )
        .unwrap();
        assert_eq!(ask.filter.from, Some(NOW - 7 * 86_400_000));
        assert_eq!(ask.filter.model.as_deref(), Some("demo/chat"));
        assert_eq!(ask.filter.status, Some(Status::Ok));
        assert_eq!(ask.filter.tag, Some(TagFilter { name: "team".into(), value: Some("a".into()) }));
        assert_eq!(ask.group_by, [GroupBy::Model, GroupBy::Day]);
        assert_eq!((ask.limit, ask.format), (5, Format::Csv));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, param) in [
            ("status=fine", "status"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("group_by=colour", "group_by"),
            ("format=xml", "format"),
            ("cursor=%21", "cursor"),
            ("from=soon", "from"),
            ("modle=x", "modle"),
        ] {
            let error = Ask::read(Some(query), NOW).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{query}");
        }
    }
}
