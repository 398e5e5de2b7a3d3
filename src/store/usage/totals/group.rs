//! What sums can be grouped by.

use crate::clock::UnixMs;
use crate::store::usage::calendar;
use crate::store::usage::filter::Source;

/// What to group by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// Virtual key.
    Key,
    /// Team.
    Team,
    /// The key's user.
    User,
    /// The model as asked for.
    Model,
    /// Provider that served it.
    Provider,
    /// Endpoint.
    Endpoint,
    /// Outcome.
    Status,
    /// Tag, as `name=value`. A row with several tags is in several groups.
    Tag,
    /// Hour of UTC, as `2026-11-21T10:00:00Z`.
    Hour,
    /// Day of UTC, as `2026-11-21`.
    Day,
    /// Month of UTC, as `2026-11`.
    Month,
}

impl GroupBy {
    /// Everything to group by, in the order of the documentation.
    pub const ALL: [Self; 11] = [
        Self::Key,
        Self::Team,
        Self::User,
        Self::Model,
        Self::Provider,
        Self::Endpoint,
        Self::Status,
        Self::Tag,
        Self::Hour,
        Self::Day,
        Self::Month,
    ];

    /// Its name in queries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Team => "team",
            Self::User => "user",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Endpoint => "endpoint",
            Self::Status => "status",
            Self::Tag => "tag",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// What has that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.as_str() == name)
    }

    /// The group's value as text, over a table called `u` whose times are in `time`.
    pub(super) fn expression(self, source: Source, time: &str) -> String {
        let column = match self {
            Self::Key => "key_id",
            Self::Team => "team_id",
            Self::User => "user_id",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Endpoint => "endpoint",
            Self::Status => "status",
            Self::Tag => return "CASE WHEN t.name IS NULL THEN '' ELSE t.name || '=' || t.value END".to_owned(),
            Self::Hour => return truncated(time, calendar::HOUR),
            // A month has no fixed length: the days are added up afterwards.
            Self::Day | Self::Month => return truncated(time, calendar::DAY),
        };
        match source {
            Source::Rows => format!("COALESCE(u.{column}, '')"),
            Source::Sums => format!("u.{column}"),
        }
    }

    /// The text for people of what [`GroupBy::expression`] gave.
    pub(super) fn label(self, value: &str) -> Option<String> {
        let time = || value.parse::<UnixMs>().unwrap_or(0);
        match self {
            Self::Hour => Some(calendar::hour_text(time())),
            Self::Day => Some(calendar::day_text(time())),
            Self::Month => Some(calendar::month_text(time())),
            _ => Some(value.to_owned()).filter(|v| !v.is_empty()),
        }
    }
}

fn truncated(time: &str, length: UnixMs) -> String {
    format!("CAST({time} - {time} % {length} AS TEXT)")
}
