//! `reports`: reports that are made on a schedule; `receipts`: how receipts are signed.

use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use secrecy::ExposeSecret as _;
use serde::{Serialize, Serializer};

use super::expand::Env;
use super::read::{Choice, Field, Section};
use super::secret::Secret;

/// Most reports.
const MAX_REPORTS: usize = 100;
/// Most dimensions of one.
const MAX_DIMENSIONS: usize = 3;

/// A report of what usage came to, made once for each period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Its name, unique among reports. What was reported is remembered under it.
    pub name: String,
    /// The period it is about: the last whole day, week (from Monday) or month.
    pub every: Every,
    /// When it is made on the day after the period, as `HH:MM`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub at: TimeOfDay,
    /// The time zone of the period and of `at`, such as `Europe/Berlin`; one at whole hours from UTC.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// What the costs are broken down by, at most three.
    #[serde(default = "by_model")]
    pub group_by: Vec<Dimension>,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn by_model() -> Vec<Dimension> {
    vec![Dimension::Model]
}

/// How often a report is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// For each day.
    Day,
    /// For each week, from Monday.
    Week,
    /// For each month.
    Month,
}

impl Choice for Every {
    const ALL: &'static [(&'static str, Self)] = &[("day", Self::Day), ("week", Self::Week), ("month", Self::Month)];
}

/// What costs can be broken down by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Virtual key.
    Key,
    /// Team.
    Team,
    /// The key's user.
    User,
    /// The model as asked for.
    Model,
    /// Provider.
    Provider,
    /// Endpoint.
    Endpoint,
    /// Outcome.
    Status,
    /// Tag; a request with several is in several groups.
    Tag,
}

impl Dimension {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, one)| *one == self).map_or("model", |(name, _)| name)
    }
}

impl Choice for Dimension {
    const ALL: &'static [(&'static str, Self)] = &[
        ("key", Self::Key),
        ("team", Self::Team),
        ("user", Self::User),
        ("model", Self::Model),
        ("provider", Self::Provider),
        ("endpoint", Self::Endpoint),
        ("status", Self::Status),
        ("tag", Self::Tag),
    ];
}

/// A time of day, in minutes after midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay(pub u16);

impl Default for TimeOfDay {
    fn default() -> Self {
        Self(6 * 60)
    }
}

impl TimeOfDay {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected a time of day such as `06:00`";
        let (hours, minutes) = text.split_once(':').ok_or(EXPECTED)?;
        let part = |text: &str, below: u16| {
            let two = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u16>().ok().filter(|n| two && *n < below).ok_or(EXPECTED)
        };
        Ok(Self(part(hours, 24)? * 60 + part(minutes, 60)?))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

pub(super) fn read(section: &mut Section<'_>) -> Vec<Report> {
    let mut names = HashSet::new();
    let mut report = |field: Field<'_>| {
        field.section(|section| {
            let report = Report::read(section)?;
            if !names.insert(report.name.clone()) {
                let path = format!("{}.name", section.path);
                section.cx.fault_of(&path, format!("another report is called `{}` already", report.name), None);
            } else if names.len() > MAX_REPORTS {
                section.cx.fault_of("reports", format!("more than {MAX_REPORTS} reports"), None);
            }
            Some(report)
        })?
    };
    section.take("reports", |field| field.list(&mut report)).unwrap_or_default()
}

impl Report {
    /// `None` when it lacks what makes it a report, which has been told.
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let name = section
            .require("name", |field| field.parse(|text| super::models::check_name(text).map(|()| text.to_owned())));
        let every = section.require("every", Field::choice);
        let at = section.take("at", |field| field.parse(TimeOfDay::parse)).unwrap_or_default();
        let time_zone = section.take("time_zone", |field| field.parse(zone)).unwrap_or_else(utc);
        let group_by = section.take("group_by", |field| field.list(Field::choice)).unwrap_or_else(by_model);
        if group_by.len() > MAX_DIMENSIONS {
            let path = format!("{}.group_by", section.path);
            section.cx.fault_of(&path, format!("at most {MAX_DIMENSIONS} dimensions"), None);
        }
        Some(Self { name: name?, every: every?, at, time_zone, group_by })
    }
}

fn zone(text: &str) -> Result<String, &'static str> {
    let zone = TimeZone::get(text).map_err(|_| "not a time zone: expected a name such as `UTC` or `Europe/Berlin`")?;
    let year = jiff::civil::date(2026, 1, 1).to_zoned(zone.clone()).map(|there| there.offset());
    let summer = jiff::civil::date(2026, 7, 1).to_zoned(zone).map(|there| there.offset());
    let whole = [year, summer].into_iter().flatten().all(|offset| offset.seconds() % 3600 == 0);
    if whole {
        Ok(text.to_owned())
    } else {
        Err("the zone is not at whole hours from UTC, and usage is summed by the hour")
    }
}

/// How receipts (`GET /v1/usage/{request_id}`) are signed.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Receipts {
    /// The key that signs: 32 random bytes (an Ed25519 seed) in base64, as of `openssl rand -base64 32`. The
    /// default is `WEIR_RECEIPT_KEY`; without either, a key is made at the first receipt and kept in the
    /// database.
    pub signing_key: Option<Secret>,
}

impl Receipts {
    /// Without a file: what the environment says.
    pub(super) fn from_env(env: Env<'_>) -> Self {
        let key = env("WEIR_RECEIPT_KEY").filter(|key| !key.trim().is_empty()).map(Secret::new);
        Self { signing_key: key }
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let given = section.take("signing_key", Field::secret);
        Self { signing_key: given.or(Self::from_env(section.cx.env).signing_key) }
    }

    /// What is wrong with the key, if there is one.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let text = self.signing_key.as_ref()?.expose_secret().trim();
        let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text));
        let fits = bytes.is_ok_and(|bytes| bytes.len() == 32);
        (!fits).then_some("not 32 bytes in base64; make one with `openssl rand -base64 32`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_have_two_digits_each() {
        assert_eq!(TimeOfDay::parse("06:30"), Ok(TimeOfDay(390)));
        assert_eq!(TimeOfDay(390).to_string(), "06:30");
        for text in ["", "6:30", "24:00", "12:60", "12", "12:3", "+1:00", "12:00:00"] {
            assert!(TimeOfDay::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn zones_are_known_and_at_whole_hours() {
        assert!(zone("America/New_York").is_ok());
        assert!(zone("Asia/Kolkata").unwrap_err().contains("whole hours"));
        assert!(zone("Berlin").is_err());
    }
}
