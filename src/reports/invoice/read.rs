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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: UnixMs = 86_400_000;
    /// 2026-11-01.
    const FIRST: UnixMs = 1_793_491_200_000;

    fn line(day: i64, model: &str, item: &str, line_count: i64, numbers: [i64; 7]) -> Line {
        let [requests, input_tokens, cached_tokens, cache_write_tokens, output_tokens, web_searches, cost_nano] =
            numbers;
        let (day, model) = (FIRST + day * DAY, model.to_owned());
        let sums = LineSums {
            day,
            model,
            line_count,
            requests,
            input_tokens,
            cached_tokens,
            cache_write_tokens,
            output_tokens,
            web_searches,
            cost_nano,
        };
        Line { item: item.to_owned(), sums }
    }

    #[test]
    fn anthropics_usage_counts_its_parts_apart() {
        let file = "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,\
            usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,\
            usage_input_tokens_cache_read,usage_output_tokens,web_search_count,inference_geo,speed\n\
            2026-11-01,m-1,\"App, own\",Default,standard,≤ 200k,100,20,3,4000,50,1,global,\n\
            2026-11-01,m-1,other,Default,standard,≤ 200k,1,0,0,0,2,0,global,\n\
            2026-11-02,m-1,other,Default,batch,≤ 200k,7,0,0,0,0,0,global,fast\n";
        let parsed = parse(file.as_bytes(), None).unwrap();
        assert_eq!(parsed.format, Format::Anthropic);
        let expected =
            [line(0, "m-1", "", 2, [0, 4124, 4000, 23, 52, 1, 0]), line(1, "m-1", "", 1, [0, 7, 0, 0, 0, 0, 0])];
        assert_eq!(parsed.lines, expected);
        assert_eq!((parsed.first_day, parsed.last_day, parsed.line_count), (FIRST, FIRST + DAY, 3));
        assert_eq!((parsed.has_tokens, parsed.has_cost, parsed.unknown_columns.len()), (true, false, 0));
    }

    #[test]
    fn anthropics_costs_are_dollars_or_cents() {
        let file = "usage_date_utc,model,workspace,token_type,cost_usd,mood\n\
            2026-11-01,Model One,w,input_no_cache,0.25,good\n2026-11-01,Model One,w,output,1.5,good\n";
        let parsed = parse(file.as_bytes(), None).unwrap();
        let expected = [
            line(0, "Model One", "input_no_cache", 1, [0, 0, 0, 0, 0, 0, 250_000_000]),
            line(0, "Model One", "output", 1, [0, 0, 0, 0, 0, 0, 1_500_000_000]),
        ];
        assert_eq!(parsed.lines, expected);
        assert_eq!((parsed.unknown_columns, parsed.has_tokens), (vec!["mood".to_owned()], false));
        let file = "starting_at,model,description,amount,currency\n2026-11-01T00:00:00Z,m,d,123.5,USD\n";
        assert_eq!(parse(file.as_bytes(), None).unwrap().lines[0].sums.cost_nano, 1_235_000_000);
    }

    #[test]
    fn openais_usage_includes_its_cached_tokens() {
        let file = "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,\
            input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens\n\
            1793491200,1793491260,2026-11-01T00:00:00+00:00,2026-11-01T00:01:00+00:00,p,3.0,m-2026-08-06,7162,10,1280,5882\n\
            1793491260,1793491320,2026-11-01T00:01:00+00:00,2026-11-01T00:02:00+00:00,p,1.0,m-2026-08-06,1,1,0,1\n\
            1793491320,1793491380,2026-11-01T00:02:00+00:00,2026-11-01T00:03:00+00:00,,,,,,,\n";
        let parsed = parse(file.as_bytes(), Some(Format::OpenAi)).unwrap();
        assert_eq!(parsed.lines, [line(0, "m-2026-08-06", "", 2, [4, 7163, 1280, 0, 11, 0, 0])]);
        assert_eq!((parsed.line_count, parsed.unknown_columns.len()), (3, 0));
    }

    #[test]
    fn openais_costs_name_the_model_in_their_items() {
        let file = "\u{feff}start_time,amount_value,amount_currency,line_item\r\n\
            1793491200,0.060000000000000005,usd,\"m-1, input\"\r\n1793491200,1e-9,usd,\"m-1, cached input\"\r\n\
            1793577600,2,usd,web search tool calls\r\n";
        let parsed = parse(file.as_bytes(), None).unwrap();
        let expected = [
            line(0, "m-1", "cached input", 1, [0, 0, 0, 0, 0, 0, 1]),
            line(0, "m-1", "input", 1, [0, 0, 0, 0, 0, 0, 60_000_000]),
            line(1, "web search tool calls", "", 1, [0, 0, 0, 0, 0, 0, 2_000_000_000]),
        ];
        assert_eq!(parsed.lines, expected);
    }

    fn refused(file: &str, expected: &str) {
        let told = parse(file.as_bytes(), None).unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn wrong_lines_are_named() {
        let file = "start_time,line_item,amount_value,amount_currency\n1793491200,x,1,usd\nsoon,x,1,usd\n\
            1793491200,x,much,usd\n1793491200,x\n1793491200,x,1,eur\n";
        refused(file, "4 lines are wrong: line 3: day: expected a day");
        refused(file, "line 4: amount: expected an amount such as 12.34, not 'much'");
        refused(file, "line 5: 2 fields, and the header has 4");
        refused(file, "line 6: currency: only USD can be compared, not 'eur'");
        let many = format!("start_time_iso,amount_value\n{}", "x,1\n".repeat(30));
        refused(&many, "30 lines are wrong");
        refused(&many, "and 10 more");
    }

    #[test]
    fn what_is_no_invoice_is_refused() {
        refused("", "cannot be told");
        refused("a,b\n1,2\n", "cannot be told from the columns (a, b)");
        refused("line_item,amount_value\nx,1\n", "says the day");
        refused("start_time_iso,model\n2026-11-01,m\n", "counts tokens or says a cost");
        refused("start_time_iso,amount_value\n", "no lines");
        refused(&vec!["a"; 300].join(","), "more than 200 columns");
        assert!(matches!(parse(b"start_time_iso,amount_value\n\xff\xfe,1\n", None), Err(Fault::File(_))));
        let many: String = (0..=MAX_GROUPS).map(|n| format!("2026-11-01,item {n},1\n")).collect();
        refused(&format!("start_time_iso,line_item,amount_value\n{many}"), "in parts");
    }

    proptest! {
        #[test]
        fn no_file_is_too_odd(file in proptest::collection::vec(any::<u8>(), 0..200), body in "[0-9a-z,\"\n.-]{0,200}") {
            let _ = parse(&file, Some(Format::Anthropic));
            let _ = parse(format!("start_time,model,input_tokens,amount_value\n{body}").as_bytes(), Some(Format::OpenAi));
        }
    }
}
