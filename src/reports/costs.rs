//! Costs over time: a series for charts, the dearest groups, what caches saved, what failures cost, and
//! what the month will come to. All of it from sums by hour and by day, never from a year of rows.

use serde_json::{Map, Value, json};

use super::forecast::forecast;
use super::savings::savings;
use super::zone::{Length, Zone};
use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::record::Status;
use crate::snapshot::Snapshot;
use crate::store::usage::{self, Bucket, Filter, GroupBy, Point, Sums, Total};
use crate::store::{Db, StoreError, StoreErrorKind};

/// Most buckets of a series.
pub const MAX_BUCKETS: usize = 1000;
/// Most groups that have a series of their own.
pub const MAX_TOP: u32 = 50;
/// Most dimensions to group by at once.
pub const MAX_DIMENSIONS: usize = 3;
/// Longest range where tags are involved: there are no sums by tag, so rows are read.
pub const MAX_TAG_RANGE: UnixMs = 92 * super::zone::DAY;

/// A question about costs.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which rows, whatever their time.
    pub filter: Filter,
    /// From this time on.
    pub from: UnixMs,
    /// Before this time.
    pub to: UnixMs,
    /// What to group by; no time.
    pub group_by: Vec<GroupBy>,
    /// How long a bucket is: an hour, a day or a month.
    pub bucket: Length,
    /// Where days and months begin.
    pub zone: Zone,
    /// How many groups have a series of their own.
    pub top: u32,
}

/// A parameter that cannot be, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The parameter.
    pub param: &'static str,
    /// What it must be.
    pub why: String,
}

/// A question that can be answered.
#[derive(Clone, Debug)]
pub struct Plan {
    ask: Ask,
    cuts: Vec<Cut>,
    bucket: Bucket,
}

/// The values of a group, in the order of its dimensions.
type Group = Vec<Option<String>>;

/// A bucket of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    start: UnixMs,
    end: UnixMs,
    /// Its start as [`Bucket`] names it.
    named: UnixMs,
}

impl Plan {
    /// Checks a question's bounds.
    ///
    /// # Errors
    /// What does not fit.
    pub fn new(ask: Ask) -> Result<Self, Unfit> {
        let unfit = |param, why: String| Err(Unfit { param, why });
        if ask.from >= ask.to {
            return unfit("from", "must be before 'to'".to_owned());
        }
        if ask.group_by.len() > MAX_DIMENSIONS {
            return unfit("group_by", format!("must be at most {MAX_DIMENSIONS} dimensions"));
        }
        let tags = ask.filter.tag.is_some() || ask.group_by.contains(&GroupBy::Tag);
        if tags && ask.to - ask.from > MAX_TAG_RANGE {
            return unfit("from", "must be at most 92 days before 'to' where tags are involved".to_owned());
        }
        let cuts = cuts(&ask).ok_or_else(|| Unfit {
            param: "bucket",
            why: format!("makes more than {MAX_BUCKETS} buckets of that range: take longer ones, or a shorter range"),
        })?;
        let bucket = if ask.bucket == Length::Hour {
            Bucket::hours()
        } else {
            let offsets = ask.zone.offsets(ask.from, ask.to);
            let offsets = offsets.map_err(|why| Unfit { param: "time_zone", why })?;
            Bucket::days(offsets.before, offsets.last)
        };
        Ok(Self { ask, cuts, bucket })
    }

    /// The answer, as `/admin/v1/costs` gives it.
    ///
    /// # Errors
    /// As any call to the store.
    pub async fn answer(&self, db: &Db, snapshot: &Snapshot, now: UnixMs) -> Result<Value, StoreError> {
        let mut body = self.summary(db, snapshot).await?;
        body["forecast"] = match forecast(db, &self.ask.filter, &self.ask.zone, now).await {
            // A zone that this month's sums cannot be cut at; hours do not mind.
            Err(error) if error.kind() == StoreErrorKind::Invalid => Value::Null,
            told => told?,
        };
        Ok(body)
    }

    /// The same without the forecast.
    ///
    /// # Errors
    /// As any call to the store.
    pub async fn summary(&self, db: &Db, snapshot: &Snapshot) -> Result<Value, StoreError> {
        let ask = &self.ask;
        let filter = &Filter { from: Some(ask.from), to: Some(ask.to), ..ask.filter.clone() };
        let by_status = usage::totals(db, filter, &[GroupBy::Status]).await?;
        let top = usage::top(db, filter, &ask.group_by, ask.top).await?;
        // Without dimensions there is one group: all of it.
        let listed = top.iter().filter(|_| !ask.group_by.is_empty());
        let only: Vec<_> = listed.map(|total| total.group.clone()).collect();
        let points = usage::series(db, filter, &ask.group_by, &only, &self.bucket).await?;
        let cached = usage::cached(db, filter).await?;
        let total = add(by_status.iter().map(|total| &total.sums));
        let names: Vec<&str> = ask.group_by.iter().map(|by| by.as_str()).collect();
        Ok(json!({
            "object": "costs",
            "from": ask.zone.text(ask.from),
            "to": ask.zone.text(ask.to),
            "bucket": bucket_name(ask.bucket),
            "time_zone": ask.zone.name(),
            "group_by": names,
            "totals": sums(&total),
            "buckets": self.cuts.iter().map(|cut| json!({"start": ask.zone.text(cut.start), "end": ask.zone.text(cut.end)})).collect::<Vec<_>>(),
            "series": self.series(&only, &points),
            "top": top.iter().map(|one| ranked(&ask.group_by, one, &total)).collect::<Vec<_>>(),
            "cached_savings": savings(snapshot, &cached),
            "failed": failed(&by_status),
        }))
    }

    /// One line of numbers a group, one number a bucket: zero where there was nothing. The last line is
    /// everything else, if there is anything else.
    fn series(&self, only: &[Group], points: &[Point]) -> Vec<Value> {
        let empty = vec![Sums::default(); self.cuts.len()];
        let mut lines: Vec<(Option<&Group>, Vec<Sums>)> =
            only.iter().map(|group| (Some(group), empty.clone())).chain([(None, empty.clone())]).collect();
        let mut has_other = only.is_empty();
        for point in points {
            let listed = point.group.as_ref().and_then(|group| only.iter().position(|known| known == group));
            has_other |= listed.is_none();
            let line = listed.unwrap_or(only.len());
            let bucket = self.cuts.partition_point(|cut| cut.named <= point.bucket).saturating_sub(1);
            if let Some(slot) = lines.get_mut(line).and_then(|(_, slots)| slots.get_mut(bucket)) {
                *slot = plus(slot, &point.sums);
            }
        }
        if !has_other {
            lines.pop();
        }
        lines.iter().map(|(group, slots)| line(&self.ask.group_by, *group, slots)).collect()
    }
}

/// The buckets of a range; `None` when they are too many.
fn cuts(ask: &Ask) -> Option<Vec<Cut>> {
    let mut cuts = Vec::new();
    let mut start = ask.zone.start(ask.bucket, ask.from);
    while start < ask.to {
        if cuts.len() == MAX_BUCKETS {
            return None;
        }
        let end = ask.zone.next(ask.bucket, start);
        let named = if ask.bucket == Length::Hour { start } else { ask.zone.local(start) };
        cuts.push(Cut { start, end, named });
        start = end;
    }
    Some(cuts)
}

fn bucket_name(bucket: Length) -> &'static str {
    match bucket {
        Length::Hour => "hour",
        Length::Day => "day",
        Length::Week => "week",
        Length::Month => "month",
    }
}

fn line(group_by: &[GroupBy], group: Option<&Group>, slots: &[Sums]) -> Value {
    let values = |of: fn(&Sums) -> Value| slots.iter().map(of).collect::<Vec<_>>();
    json!({
        "group": group.map(|group| named(group_by, group)),
        "other": group.is_none() && !group_by.is_empty(),
        "cost_usd": values(|sums| sums.cost.to_string().into()),
        "requests": values(|sums| sums.requests.into()),
        "input_tokens": values(|sums| sums.usage.input.into()),
        "output_tokens": values(|sums| sums.usage.output.into()),
    })
}

fn named(group_by: &[GroupBy], group: &[Option<String>]) -> Map<String, Value> {
    group_by.iter().zip(group).map(|(by, value)| (by.as_str().to_owned(), value.clone().into())).collect()
}

/// A group among the dearest, with its share of the whole in hundredths of a percent, rounded down.
fn ranked(group_by: &[GroupBy], one: &Total, whole: &Sums) -> Value {
    let mut out = named(group_by, &one.group);
    if let Value::Object(numbers) = sums(&one.sums) {
        out.extend(numbers);
    }
    let share = match whole.cost.0 {
        0 => 0,
        whole => i128::from(one.sums.cost.0) * 10_000 / i128::from(whole),
    };
    out.insert("share_percent".to_owned(), format!("{}.{:02}", share / 100, (share % 100).abs()).into());
    Value::Object(out)
}

fn sums(sums: &Sums) -> Value {
    json!({
        "requests": sums.requests,
        "errors": sums.errors,
        "input_tokens": sums.usage.input,
        "cached_tokens": sums.usage.cached,
        "cache_write_tokens": sums.usage.cache_write,
        "output_tokens": sums.usage.output,
        "reasoning_tokens": sums.usage.reasoning,
        "cost_usd": sums.cost.to_string(),
        "unpriced": sums.unpriced,
        "estimated": sums.estimated,
    })
}

/// What requests cost that did not end well: every status but `ok`.
fn failed(by_status: &[Total]) -> Value {
    let status = |total: &Total| total.group.first().cloned().flatten().unwrap_or_default();
    let bad: Vec<&Total> = by_status.iter().filter(|total| status(total) != Status::Ok.as_str()).collect();
    let all = add(bad.iter().map(|total| &total.sums));
    let each = |total: &&Total| json!({"status": status(total), "requests": total.sums.requests, "cost_usd": total.sums.cost.to_string()});
    json!({
        "requests": all.requests,
        "cost_usd": all.cost.to_string(),
        "by_status": bad.iter().map(each).collect::<Vec<_>>(),
    })
}

fn add<'a>(all: impl Iterator<Item = &'a Sums>) -> Sums {
    all.fold(Sums::default(), |sum, one| plus(&sum, one))
}

fn plus(a: &Sums, b: &Sums) -> Sums {
    Sums {
        requests: a.requests.saturating_add(b.requests),
        errors: a.errors.saturating_add(b.errors),
        usage: a.usage.plus(&b.usage),
        cost: NanoUsd(a.cost.0.saturating_add(b.cost.0)),
        unpriced: a.unpriced.saturating_add(b.unpriced),
        estimated: a.estimated.saturating_add(b.estimated),
        latency_ms: a.latency_ms.saturating_add(b.latency_ms),
    }
}
