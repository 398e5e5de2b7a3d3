//! Usage rows as an Apache Parquet file, made piece by piece.
//!
//! The columns are those of the CSV. `at` is a timestamp in milliseconds of UTC, `cost_usd` a
//! `decimal(18,9)`, which is the nano-dollars of the ledger; `tags`, `attempts`, `metadata` and `warnings`
//! are JSON. A row group has [`GROUP_ROWS`] rows, or fewer when their texts come to [`GROUP_BYTES`].
//! What is held in memory is one group and, until the end, the footer: about 10 KB a group.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use serde_json::{Map, Value};

use crate::record::UsageRow;

/// Most rows of a group.
pub const GROUP_ROWS: usize = 10_000;
/// Bytes of texts at which a group is full, whatever its rows.
pub const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// What a row weighs beside its texts.
const ROW_BYTES: usize = 512;

/// What went wrong while a file was made.
#[derive(Debug, thiserror::Error)]
#[error("the Parquet file could not be made: {0}")]
pub struct EncodeError(#[from] ParquetError);

/// How a column gets its value from a row.
#[derive(Clone, Copy)]
enum Read {
    Text(fn(&UsageRow) -> Option<&str>),
    Json(fn(&UsageRow) -> Option<String>),
    Int(fn(&UsageRow) -> Option<i64>),
    Bool(fn(&UsageRow) -> bool),
}

/// A column: its type as a message type says it, its name, its value.
type Column = (&'static str, &'static str, &'static str, Read);

const TEXT: &str = "(STRING)";
const REQUIRED: &str = "required";
const OPTIONAL: &str = "optional";

/// The columns, in the order of the CSV.
const COLUMNS: &[Column] = &[
    (REQUIRED, "id", TEXT, Read::Text(|row| Some(&row.id))),
    (REQUIRED, "at", "(TIMESTAMP(MILLIS,true))", Read::Int(|row| Some(row.at))),
    (OPTIONAL, "key_id", TEXT, Read::Text(|row| row.key_id.as_deref())),
    (OPTIONAL, "team_id", TEXT, Read::Text(|row| row.team_id.as_deref())),
    (OPTIONAL, "user_id", TEXT, Read::Text(|row| row.user_id.as_deref())),
    (OPTIONAL, "end_user", TEXT, Read::Text(|row| row.end_user.as_deref())),
    (REQUIRED, "tags", "(JSON)", Read::Json(|row| Some(tags(row)))),
    (REQUIRED, "endpoint", TEXT, Read::Text(|row| Some(&row.endpoint))),
    (OPTIONAL, "model", TEXT, Read::Text(|row| row.model.as_deref())),
    (OPTIONAL, "provider", TEXT, Read::Text(|row| row.provider.as_deref())),
    (OPTIONAL, "served_model", TEXT, Read::Text(|row| row.served_model.as_deref())),
    (REQUIRED, "status", TEXT, Read::Text(|row| Some(row.status.as_str()))),
    (REQUIRED, "http_status", "", Read::Int(|row| Some(row.http_status.into()))),
    (REQUIRED, "attempts", "(JSON)", Read::Json(|row| Some(json(&row.attempts)))),
    (REQUIRED, "input_tokens", "", Read::Int(|row| count(row.usage.input))),
    (REQUIRED, "cached_tokens", "", Read::Int(|row| count(row.usage.cached))),
    (REQUIRED, "cache_write_tokens", "", Read::Int(|row| count(row.usage.cache_write))),
    (REQUIRED, "output_tokens", "", Read::Int(|row| count(row.usage.output))),
    (REQUIRED, "reasoning_tokens", "", Read::Int(|row| count(row.usage.reasoning))),
    (REQUIRED, "cache_write_5m_tokens", "", Read::Int(|row| count(row.usage.cache_write_5m))),
    (REQUIRED, "cache_write_1h_tokens", "", Read::Int(|row| count(row.usage.cache_write_1h))),
    (REQUIRED, "cache_write_30m_tokens", "", Read::Int(|row| count(row.usage.cache_write_30m))),
    (REQUIRED, "cache_write_12h_tokens", "", Read::Int(|row| count(row.usage.cache_write_12h))),
    (REQUIRED, "audio_input_tokens", "", Read::Int(|row| count(row.usage.audio_input))),
    (REQUIRED, "audio_output_tokens", "", Read::Int(|row| count(row.usage.audio_output))),
    (REQUIRED, "image_input_tokens", "", Read::Int(|row| count(row.usage.image_input))),
    (REQUIRED, "image_output_tokens", "", Read::Int(|row| count(row.usage.image_output))),
    (REQUIRED, "audio_ms", "", Read::Int(|row| count(row.usage.audio_ms))),
    (REQUIRED, "characters", "", Read::Int(|row| count(row.usage.characters))),
    (REQUIRED, "web_searches", "", Read::Int(|row| count(row.usage.web_searches))),
    (REQUIRED, "images", "", Read::Int(|row| count(row.usage.images))),
    (REQUIRED, "search_units", "", Read::Int(|row| count(row.usage.search_units))),
    (OPTIONAL, "cost_usd", "(DECIMAL(18,9))", Read::Int(|row| row.cost.map(|cost| cost.0))),
    (OPTIONAL, "price_version", TEXT, Read::Text(|row| row.price_version.as_deref())),
    (REQUIRED, "estimated", "", Read::Bool(|row| row.estimated)),
    (REQUIRED, "unpriced", "", Read::Bool(|row| row.unpriced)),
    (REQUIRED, "latency_ms", "", Read::Int(|row| count(row.latency_ms))),
    (OPTIONAL, "ttft_ms", "", Read::Int(|row| row.ttft_ms.and_then(count))),
    (REQUIRED, "overhead_us", "", Read::Int(|row| count(row.overhead_us))),
    (REQUIRED, "stream", "", Read::Bool(|row| row.stream)),
    (OPTIONAL, "error_code", TEXT, Read::Text(|row| row.error_code.as_deref())),
    (OPTIONAL, "error_message", TEXT, Read::Text(|row| row.error_message.as_deref())),
    (OPTIONAL, "metadata", "(JSON)", Read::Json(metadata)),
    (REQUIRED, "warnings", "(JSON)", Read::Json(|row| Some(json(&row.warnings)))),
];

/// A file under way.
pub struct Encoder {
    file: SerializedFileWriter<Vec<u8>>,
    rows: Vec<UsageRow>,
    weight: usize,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

impl Encoder {
    /// An empty file.
    ///
    /// # Errors
    /// None that its columns do not cause.
    pub fn new() -> Result<Self, EncodeError> {
        let schema = Arc::new(parse_message_type(&message_type())?);
        let properties = WriterProperties::builder()
            .set_created_by(concat!("weir ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::SNAPPY)
            // What would grow with the file and must be held until its end.
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .build();
        let file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
        Ok(Self { file, rows: Vec::new(), weight: 0 })
    }

    /// Takes rows; answers the bytes that are ready to be sent, if any.
    ///
    /// # Errors
    /// When a group cannot be written; the file is then broken.
    pub fn push(&mut self, rows: Vec<UsageRow>) -> Result<Vec<u8>, EncodeError> {
        for row in rows {
            self.weight = self.weight.saturating_add(weight(&row));
            self.rows.push(row);
            if self.rows.len() >= GROUP_ROWS || self.weight >= GROUP_BYTES {
                self.write_group()?;
            }
        }
        Ok(std::mem::take(self.file.inner_mut()))
    }

    /// The rest of the file.
    ///
    /// # Errors
    /// As [`Encoder::push`].
    pub fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        self.write_group()?;
        self.file.finish()?;
        Ok(std::mem::take(self.file.inner_mut()))
    }

    /// Bytes that are held: of rows that wait for their group, and of what was written and not taken.
    #[must_use]
    pub fn held(&self) -> usize {
        self.weight + self.file.inner().len()
    }

    fn write_group(&mut self) -> Result<(), EncodeError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        let mut columns = COLUMNS.iter();
        while let (Some(column), Some(writer)) = (columns.next(), group.next_column()?) {
            write_column(column, writer, &self.rows)?;
        }
        group.close()?;
        self.rows.clear();
        self.weight = 0;
        Ok(())
    }
}

fn message_type() -> String {
    let columns = COLUMNS.iter().map(|(repetition, name, logical, read)| {
        let physical = match read {
            Read::Text(_) | Read::Json(_) => "binary",
            Read::Int(_) => "int64",
            Read::Bool(_) => "boolean",
        };
        format!("{repetition} {physical} {name} {logical};\n")
    });
    format!("message usage {{\n{}}}", columns.collect::<String>())
}

fn write_column(
    column: &Column,
    mut writer: SerializedColumnWriter<'_>,
    rows: &[UsageRow],
) -> Result<(), ParquetError> {
    let (repetition, name, _, read) = column;
    let texts = |texts: Vec<Option<ByteArray>>| (levels(repetition, &texts), texts.into_iter().flatten().collect());
    match (read, writer.untyped()) {
        (Read::Text(read), ColumnWriter::ByteArrayColumnWriter(out)) => {
            let (levels, values): (_, Vec<_>) = texts(rows.iter().map(|row| read(row).map(ByteArray::from)).collect());
            out.write_batch(&values, levels.as_deref(), None)?;
        }
        (Read::Json(read), ColumnWriter::ByteArrayColumnWriter(out)) => {
            let bytes = |text: String| ByteArray::from(text.into_bytes());
            let (levels, values): (_, Vec<_>) = texts(rows.iter().map(|row| read(row).map(bytes)).collect());
            out.write_batch(&values, levels.as_deref(), None)?;
        }
        (Read::Int(read), ColumnWriter::Int64ColumnWriter(out)) => {
            let values: Vec<Option<i64>> = rows.iter().map(read).collect();
            let levels = levels(repetition, &values);
            out.write_batch(&values.into_iter().flatten().collect::<Vec<_>>(), levels.as_deref(), None)?;
        }
        (Read::Bool(read), ColumnWriter::BoolColumnWriter(out)) => {
            let values: Vec<bool> = rows.iter().map(read).collect();
            out.write_batch(&values, None, None)?;
        }
        _ => return Err(ParquetError::General(format!("column {name} has another type than its schema"))),
    }
    writer.close()
}

/// 1 where a value of an optional column is there, 0 where not; a required one has no levels.
fn levels<T>(repetition: &str, values: &[Option<T>]) -> Option<Vec<i16>> {
    (repetition == OPTIONAL).then(|| values.iter().map(|value| i16::from(value.is_some())).collect())
}

/// What a row takes in memory, about.
fn weight(row: &UsageRow) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let texts = [&row.key_id, &row.team_id, &row.user_id, &row.end_user, &row.model, &row.provider, &row.served_model];
    let more = [&row.price_version, &row.error_code, &row.error_message, &row.metadata];
    let lists = row.tags.iter().map(|(name, value)| name.len() + value.len() + 64).sum::<usize>()
        + row.attempts.iter().map(|one| one.provider.len() + one.model.len() + one.outcome.len() + 96).sum::<usize>()
        + row.warnings.iter().map(|text| text.len() + 32).sum::<usize>();
    ROW_BYTES + row.id.len() + row.endpoint.len() + texts.into_iter().chain(more).map(optional).sum::<usize>() + lists
}

fn count(n: u64) -> Option<i64> {
    Some(i64::try_from(n).unwrap_or(i64::MAX))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// Written anew, as the databases keep it in different forms.
fn metadata(row: &UsageRow) -> Option<String> {
    let value: Value = serde_json::from_str(row.metadata.as_deref()?).ok()?;
    Some(value.to_string())
}

/// As in JSON: an object; of two tags of one name the last.
fn tags(row: &UsageRow) -> String {
    let map: Map<String, Value> = row.tags.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    Value::Object(map).to_string()
}

#[cfg(test)]
mod tests {
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
}
