//! From a provider's CSV to sums by day, model and item.

use std::collections::BTreeMap;
use std::fmt;

use csv::StringRecord;

use super::columns::{Column, Format, normal};
use super::number::{amount, count, day, nano};
use crate::clock::UnixMs;
use crate::store::invoices::{Line, LineSums};

/// Most sums by day, model and item.
pub const MAX_GROUPS: usize = 50_000;
const MAX_COLUMNS: usize = 200;
/// Wrong lines that are named.
const MAX_NAMED: usize = 20;
/// Longest name of a model or an item, in bytes.
const MAX_NAME: usize = 256;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// As a whole.
    File(String),
    /// In some of its lines: their number and what is wrong, the first twenty; and how many there are.
    Lines(Vec<(u64, String)>, usize),
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(why) => f.write_str(why),
            Self::Lines(lines, count) => {
                let named: Vec<String> = lines.iter().map(|(line, why)| format!("line {line}: {why}")).collect();
                let more = count - lines.len();
                let more = if more > 0 { format!("; and {more} more") } else { String::new() };
                write!(f, "nothing was imported, for {count} lines are wrong: {}{more}", named.join("; "))
            }
        }
    }
}

/// A file that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Whose form it has.
    pub format: Format,
    /// The first day, its first moment in UTC.
    pub first_day: UnixMs,
    /// The last.
    pub last_day: UnixMs,
    /// How many lines it has.
    pub line_count: usize,
    /// It counts tokens.
    pub has_tokens: bool,
    /// It says what they cost.
    pub has_cost: bool,
    /// Columns that are not known, and so were not read.
    pub unknown_columns: Vec<String>,
    /// Sums by day, model and item, in that order. Lines whose every number is zero are in none.
    pub lines: Vec<Line>,
}

/// Reads a file. Its format is told by its columns where it is not given.
///
/// # Errors
/// What is wrong, line by line.
pub fn parse(file: &[u8], format: Option<Format>) -> Result<Parsed, Fault> {
    let mut csv = csv::ReaderBuilder::new().from_reader(file);
    let broken = |error: csv::Error| Fault::File(format!("not CSV in UTF-8: {error}"));
    let headers: Vec<String> = csv.headers().map_err(broken)?.iter().map(normal).collect();
    if headers.len() > MAX_COLUMNS {
        return Err(Fault::File(format!("more than {MAX_COLUMNS} columns")));
    }
    let layout = Layout::new(&headers, format)?;
    let mut sums = Sums::new(&layout);
    let mut record = StringRecord::new();
    loop {
        match csv.read_record(&mut record) {
            Ok(false) => return sums.done(),
            Ok(true) => sums.add(&record)?,
            Err(error) if matches!(error.kind(), csv::ErrorKind::UnequalLengths { .. }) => sums.uneven(&error),
            Err(error) => return Err(broken(error)),
        }
    }
}

/// Which column holds what.
struct Layout {
    format: Format,
    columns: Vec<(usize, Column)>,
    unknown: Vec<String>,
}

impl Layout {
    fn new(headers: &[String], format: Option<Format>) -> Result<Self, Fault> {
        let untold = || {
            let names = headers.join(", ");
            Fault::File(format!("the format cannot be told from the columns ({names}): name it, openai or anthropic"))
        };
        let format = format.or_else(|| Format::of(headers)).ok_or_else(untold)?;
        let known = |header: &String| format.column(header);
        let unknown = headers.iter().filter(|header| known(header).is_none() && !header.is_empty()).cloned().collect();
        let mut columns: Vec<(usize, Column)> = Vec::new();
        for (at, header) in headers.iter().enumerate() {
            let Some(column) = known(header).filter(|column| *column != Column::Ignored) else { continue };
            let other = columns.iter_mut().find(|(_, other)| *other == column && column != Column::CacheWrite);
            match other {
                // Of two that mean the same the better one; a file may have its times twice.
                Some(other) if format.rank(header) < format.rank(&headers[other.0]) => other.0 = at,
                Some(_) => {}
                None => columns.push((at, column)),
            }
        }
        let layout = Self { format, columns, unknown };
        layout.check()?;
        Ok(layout)
    }

    fn check(&self) -> Result<(), Fault> {
        let name = self.format.as_str();
        if !self.has(|column| column == Column::Day) {
            return Err(Fault::File(format!("no column of the {name} format says the day")));
        }
        if !self.has(|column| column.is_tokens() || column.is_cost()) {
            return Err(Fault::File(format!("no column of the {name} format counts tokens or says a cost")));
        }
        Ok(())
    }

    fn has(&self, what: impl Fn(Column) -> bool) -> bool {
        self.columns.iter().any(|(_, column)| what(*column))
    }
}

/// What a line says.
#[derive(Default)]
struct Read<'r> {
    day: UnixMs,
    model: &'r str,
    item: &'r str,
    numbers: [i64; 7],
    cost: i128,
}

const REQUESTS: usize = 0;
const INPUT: usize = 1;
const UNCACHED: usize = 2;
const CACHED: usize = 3;
const WRITTEN: usize = 4;
const OUTPUT: usize = 5;
const SEARCHES: usize = 6;

/// The sums so far.
struct Sums<'l> {
    layout: &'l Layout,
    groups: BTreeMap<(UnixMs, String, String), (LineSums, i128)>,
    line_count: usize,
    days: Option<(UnixMs, UnixMs)>,
    wrong: Vec<(u64, String)>,
    wrong_count: usize,
}

impl<'l> Sums<'l> {
    fn new(layout: &'l Layout) -> Self {
        Self { layout, groups: BTreeMap::new(), line_count: 0, days: None, wrong: Vec::new(), wrong_count: 0 }
    }

    fn add(&mut self, record: &StringRecord) -> Result<(), Fault> {
        self.line_count += 1;
        let line = record.position().map_or(0, csv::Position::line);
        match self.layout.line(record) {
            Ok(read) => self.add_read(&read)?,
            Err(why) => self.wrong(line, why),
        }
        Ok(())
    }

    fn uneven(&mut self, error: &csv::Error) {
        self.line_count += 1;
        let csv::ErrorKind::UnequalLengths { pos, expected_len, len } = error.kind() else { return };
        let line = pos.as_ref().map_or(0, csv::Position::line);
        self.wrong(line, format!("{len} fields, and the header has {expected_len}"));
    }

    fn wrong(&mut self, line: u64, why: String) {
        self.wrong_count += 1;
        if self.wrong.len() < MAX_NAMED {
            self.wrong.push((line, why));
        }
    }

    fn add_read(&mut self, read: &Read<'_>) -> Result<(), Fault> {
        let (first, last) = self.days.unwrap_or((read.day, read.day));
        self.days = Some((first.min(read.day), last.max(read.day)));
        if read.cost == 0 && read.numbers == [0; 7] {
            return Ok(());
        }
        let (model, item) = named(read.model, read.item);
        let identity = (read.day, bounded(model), bounded(item));
        let (sums, cost) = self.groups.entry(identity).or_default();
        let [requests, input, uncached, cached, written, output, searches] = read.numbers;
        // What the provider calls input is all of it, or what is left beside the caches.
        let input = if self.layout.has(|column| column == Column::Input) {
            input
        } else {
            uncached.saturating_add(cached).saturating_add(written)
        };
        sums.line_count += 1;
        sums.requests = sums.requests.saturating_add(requests);
        sums.input_tokens = sums.input_tokens.saturating_add(input);
        sums.cached_tokens = sums.cached_tokens.saturating_add(cached);
        sums.cache_write_tokens = sums.cache_write_tokens.saturating_add(written);
        sums.output_tokens = sums.output_tokens.saturating_add(output);
        sums.web_searches = sums.web_searches.saturating_add(searches);
        *cost = cost.saturating_add(read.cost);
        if self.groups.len() > MAX_GROUPS {
            let why = format!("more than {MAX_GROUPS} days, models and items together: import it in parts, by month");
            return Err(Fault::File(why));
        }
        Ok(())
    }

    fn done(self) -> Result<Parsed, Fault> {
        if self.wrong_count > 0 {
            return Err(Fault::Lines(self.wrong, self.wrong_count));
        }
        let Some((first_day, last_day)) = self.days else {
            return Err(Fault::File("no lines beside the header".to_owned()));
        };
        let line = |((day, model, item), (sums, cost)): ((UnixMs, String, String), (LineSums, i128))| Line {
            item,
            sums: LineSums { day, model, cost_nano: nano(cost), ..sums },
        };
        Ok(Parsed {
            format: self.layout.format,
            first_day,
            last_day,
            line_count: self.line_count,
            has_tokens: self.layout.has(Column::is_tokens),
            has_cost: self.layout.has(Column::is_cost),
            unknown_columns: self.layout.unknown.clone(),
            lines: self.groups.into_iter().map(line).collect(),
        })
    }
}

impl Layout {
    fn line<'r>(&self, record: &'r StringRecord) -> Result<Read<'r>, String> {
        let mut read = Read::default();
        for (at, column) in &self.columns {
            let text = record.get(*at).unwrap_or_default();
            let told = |why: &str| format!("{}: {why}, not '{}'", describe(*column), shown(text));
            let mut number = |slot: usize| {
                count(text).map(|n| read.numbers[slot] = read.numbers[slot].saturating_add(n)).map_err(told)
            };
            match column {
                Column::Day => read.day = day(text).map_err(told)?,
                Column::Model => read.model = text.trim(),
                Column::Item => read.item = text.trim(),
                Column::Requests => number(REQUESTS)?,
                Column::Input => number(INPUT)?,
                Column::Uncached => number(UNCACHED)?,
                Column::Cached => number(CACHED)?,
                Column::CacheWrite => number(WRITTEN)?,
                Column::Output => number(OUTPUT)?,
                Column::WebSearches => number(SEARCHES)?,
                Column::Dollars => read.cost += amount(text, false).map_err(told)?,
                Column::Cents => read.cost += amount(text, true).map_err(told)?,
                Column::Currency if text.trim().is_empty() || text.trim().eq_ignore_ascii_case("usd") => {}
                Column::Currency => return Err(told("only USD can be compared")),
                Column::Ignored => {}
            }
        }
        Ok(read)
    }
}

fn describe(column: Column) -> &'static str {
    match column {
        Column::Day => "day",
        Column::Model => "model",
        Column::Item => "item",
        Column::Requests => "requests",
        Column::Input | Column::Uncached => "input tokens",
        Column::Cached => "cached tokens",
        Column::CacheWrite => "cache write tokens",
        Column::Output => "output tokens",
        Column::WebSearches => "web searches",
        Column::Dollars | Column::Cents => "amount",
        Column::Currency => "currency",
        Column::Ignored => "column",
    }
}

/// OpenAI's costs name model and kind in one text: `gpt-x, cached input`.
fn named<'r>(model: &'r str, item: &'r str) -> (&'r str, &'r str) {
    match item.split_once(", ") {
        Some((of, kind)) if model.is_empty() => (of, kind),
        _ if model.is_empty() => (item, ""),
        _ => (model, item),
    }
}

fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_NAME)].to_owned()
}

fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(40)]
}

#[cfg(test)]
mod tests;
