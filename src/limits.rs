//! What can be limited, for whom, and how it is counted.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most that a limit may be: what is above is as good as none.
pub const MOST: u64 = 1_000_000_000_000;

/// How much at a time. What is not set is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a second.
    #[schemars(range(min = 1))]
    pub rps: Option<u64>,
    /// Requests a minute.
    #[schemars(range(min = 1))]
    pub rpm: Option<u64>,
    /// Requests an hour.
    #[schemars(range(min = 1))]
    pub rph: Option<u64>,
    /// Requests a day.
    #[schemars(range(min = 1))]
    pub rpd: Option<u64>,
    /// Tokens a second, input and output together.
    #[schemars(range(min = 1))]
    pub tps: Option<u64>,
    /// Tokens a minute, input and output together.
    #[schemars(range(min = 1))]
    pub tpm: Option<u64>,
    /// Tokens an hour, input and output together.
    #[schemars(range(min = 1))]
    pub tph: Option<u64>,
    /// Tokens a day, input and output together.
    #[schemars(range(min = 1))]
    pub tpd: Option<u64>,
    /// Requests at a time.
    #[schemars(range(min = 1))]
    pub concurrency: Option<u64>,
}

/// What a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Requests.
    Requests,
    /// Tokens.
    Tokens,
}

impl Unit {
    /// Its name in metrics and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }
}

/// One kind of rate: so many of something within a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Its name in configuration and API: `rpm`, `tpd`, ...
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The span's name.
    pub per: &'static str,
    /// The span.
    pub span: Duration,
}

/// Every kind of rate, those of requests first.
pub const RATES: [Rate; 8] = [
    rate("rps", Unit::Requests, "second", 1),
    rate("rpm", Unit::Requests, "minute", 60),
    rate("rph", Unit::Requests, "hour", 3_600),
    rate("rpd", Unit::Requests, "day", 86_400),
    rate("tps", Unit::Tokens, "second", 1),
    rate("tpm", Unit::Tokens, "minute", 60),
    rate("tph", Unit::Tokens, "hour", 3_600),
    rate("tpd", Unit::Tokens, "day", 86_400),
];

const fn rate(name: &'static str, unit: Unit, per: &'static str, seconds: u64) -> Rate {
    Rate { name, unit, per, span: Duration::from_secs(seconds) }
}

impl Limits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    fn values(&self) -> [Option<u64>; 8] {
        [self.rps, self.rpm, self.rph, self.rpd, self.tps, self.tpm, self.tph, self.tpd]
    }

    /// The rates that are limited, in the order of [`RATES`].
    pub fn rates(&self) -> impl Iterator<Item = (Rate, u64)> {
        RATES.into_iter().zip(self.values()).filter_map(|(rate, limit)| Some((rate, limit?)))
    }

    /// Whether tokens are limited.
    #[must_use]
    pub fn limits_tokens(&self) -> bool {
        self.values()[4..].iter().any(Option::is_some)
    }

    /// Every limit by its name, set or not.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Option<u64>); 9] {
        let mut all = [("concurrency", self.concurrency); 9];
        for (slot, (rate, limit)) in all.iter_mut().zip(RATES.into_iter().zip(self.values())) {
            *slot = (rate.name, limit);
        }
        all
    }

    /// The first limit that is above [`MOST`], by its name.
    #[must_use]
    pub fn too_large(&self) -> Option<&'static str> {
        self.named().into_iter().find_map(|(name, limit)| limit.filter(|limit| *limit > MOST).map(|_| name))
    }
}

/// What to change of limits: absent stays, `null` is cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsPatch {
    /// Requests a second.
    #[serde(deserialize_with = "present")]
    pub rps: Option<Option<u64>>,
    /// Requests a minute.
    #[serde(deserialize_with = "present")]
    pub rpm: Option<Option<u64>>,
    /// Requests an hour.
    #[serde(deserialize_with = "present")]
    pub rph: Option<Option<u64>>,
    /// Requests a day.
    #[serde(deserialize_with = "present")]
    pub rpd: Option<Option<u64>>,
    /// Tokens a second.
    #[serde(deserialize_with = "present")]
    pub tps: Option<Option<u64>>,
    /// Tokens a minute.
    #[serde(deserialize_with = "present")]
    pub tpm: Option<Option<u64>>,
    /// Tokens an hour.
    #[serde(deserialize_with = "present")]
    pub tph: Option<Option<u64>>,
    /// Tokens a day.
    #[serde(deserialize_with = "present")]
    pub tpd: Option<Option<u64>>,
    /// Requests at a time.
    #[serde(deserialize_with = "present")]
    pub concurrency: Option<Option<u64>>,
}

/// Tells `null` from absent.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::<u64>::deserialize(deserializer).map(Some)
}

impl LimitsPatch {
    /// Makes the change.
    pub fn apply(self, to: &mut Limits) {
        let fields = [
            (&mut to.rps, self.rps),
            (&mut to.rpm, self.rpm),
            (&mut to.rph, self.rph),
            (&mut to.rpd, self.rpd),
            (&mut to.tps, self.tps),
            (&mut to.tpm, self.tpm),
            (&mut to.tph, self.tph),
            (&mut to.tpd, self.tpd),
            (&mut to.concurrency, self.concurrency),
        ];
        for (field, value) in fields {
            if let Some(value) = value {
                *field = value;
            }
        }
    }
}

/// Whom a limit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// A virtual key.
    Key,
    /// A user of keys.
    User,
    /// A team.
    Team,
    /// An organisation.
    Organization,
    /// A model, as it is asked for or as `provider/model`.
    Model,
    /// A provider, all its upstream keys together.
    Provider,
    /// One upstream key of a provider.
    UpstreamKey,
}

impl Scope {
    /// Those that the list `limits` can name.
    pub const DECLARED: [Self; 6] =
        [Self::Key, Self::User, Self::Team, Self::Organization, Self::Model, Self::Provider];

    /// Its name in configuration, API, metrics and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::User => "user",
            Self::Team => "team",
            Self::Organization => "organization",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::UpstreamKey => "upstream_key",
        }
    }
}

/// Who goes first where requests wait for an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before all others.
    High,
    /// As most.
    #[default]
    Normal,
    /// When nobody else waits.
    Low,
}

impl Priority {
    /// All of them, the first to be served first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_its_name_and_span() {
        let limits = Limits { rps: Some(1), tpd: Some(2), concurrency: Some(3), ..Limits::default() };
        let rates: Vec<_> = limits.rates().map(|(rate, limit)| (rate.name, rate.span.as_secs(), limit)).collect();
        assert_eq!(rates, [("rps", 1, 1), ("tpd", 86_400, 2)]);
        assert!(limits.limits_tokens() && !limits.is_unlimited());
        assert_eq!(limits.named().map(|(name, _)| name)[8], "concurrency");
        assert_eq!(limits.named().iter().filter(|(_, limit)| limit.is_some()).count(), 3);
        assert_eq!(Limits { tph: Some(MOST + 1), ..limits }.too_large(), Some("tph"));
        assert_eq!(limits.too_large(), None);
    }

    #[test]
    fn a_patch_tells_null_from_absent() {
        let mut limits = Limits { rpm: Some(1), tpm: Some(2), ..Limits::default() };
        serde_json::from_str::<LimitsPatch>(r#"{"rpm":null,"rps":5}"#).unwrap().apply(&mut limits);
        assert_eq!(limits, Limits { rps: Some(5), tpm: Some(2), ..Limits::default() });
        assert!(serde_json::from_str::<LimitsPatch>(r#"{"rpx":1}"#).is_err());
    }
}
