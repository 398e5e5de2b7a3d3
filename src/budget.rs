//! Budgets: what a key, a team, a provider, ... may cost within a period of the calendar.
//!
//! Pure: what a budget is, when its windows begin and end, how much may be spent in one. Where it is kept is
//! `store::budgets`, how it is enforced is not known here.

mod window;
mod zone;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::zone::{UnknownZone, Zone};
use crate::clock::UnixMs;
use crate::money::NanoUsd;

/// Longest name of a budget, in bytes.
pub const MAX_NAME: usize = 200;
/// Longest subject, in bytes.
pub const MAX_SUBJECT: usize = 256;
/// Most thresholds of a budget.
pub const MAX_THRESHOLDS: usize = 10;
/// At how much of a budget somebody is told, in percent, where it does not say.
pub const DEFAULT_THRESHOLDS: [u8; 3] = [50, 80, 100];
/// The largest amount of a budget: a billion dollars, which leaves room to carry over and raise.
pub const MAX_AMOUNT: NanoUsd = NanoUsd(1_000_000_000_000_000_000);

/// An enum that is written as one of a closed list of words, in rows, files and answers alike.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The one of that word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What a budget's subject is.
    Scope {
        /// A virtual key, by its id.
        Key = "key",
        /// The user of keys.
        User = "user",
        /// The team of keys.
        Team = "team",
        /// The organisation of keys.
        Organization = "organization",
        /// A provider, by its id.
        Provider = "provider",
        /// A model: as it was asked for, or `provider/model`.
        Model = "model",
        /// A tag of requests: `name=value`.
        Tag = "tag",
    }
}

words! {
    /// After what a budget begins anew.
    Period {
        /// An hour.
        Hour = "hour",
        /// A day of the calendar.
        Day = "day",
        /// A week, which begins on Monday.
        Week = "week",
        /// A month of the calendar.
        Month = "month",
        /// Never.
        Total = "total",
    }
}

words! {
    /// Where a budget is managed.
    Origin {
        /// As a budget of its own, over the admin API.
        Api = "api",
        /// With the key it is for.
        Key = "key",
        /// In the configuration.
        Config = "config",
    }
}

/// More for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    /// How much more.
    pub amount: NanoUsd,
    /// Until when; from then on it is not there.
    pub until: UnixMs,
}

/// A budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What `subject` is.
    pub scope: Scope,
    /// What it is for: a key's id, a team's id, a provider's id, a model as it is asked for or
    /// `provider/model`, a tag as `name=value`.
    pub subject: String,
    /// After what it begins anew.
    pub period: Period,
    /// Whose calendar that is.
    pub zone: Zone,
    /// What may be spent in a period.
    pub limit: NanoUsd,
    /// Whether what is left at a period's end is added to the next.
    pub carry_over: bool,
    /// At which percent of what may be spent somebody is told; ascending.
    pub thresholds: Vec<u8>,
    /// More for a while.
    pub raise: Option<Raise>,
    /// Where it is managed.
    pub origin: Origin,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
    /// Since when it does not count any more.
    pub deleted_at: Option<UnixMs>,
    /// The number of its last change; set by the store.
    pub rev: i64,
}

/// A period of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Its first moment.
    pub start: UnixMs,
    /// The first moment after it, which is the next window's first; `None` when it has no end.
    pub end: Option<UnixMs>,
}

impl Window {
    /// Whether a moment is in it.
    #[must_use]
    pub fn contains(&self, at: UnixMs) -> bool {
        self.start <= at && self.end.is_none_or(|end| at < end)
    }
}

impl Budget {
    /// The window of a moment between 1970 and 9998; what lies outside is taken for the nearest within.
    /// Windows have neither overlap nor gap and depend on nothing but period, zone and moment. That of
    /// [`Period::Total`] begins with 1970.
    #[must_use]
    pub fn window(&self, at: UnixMs) -> Window {
        window::at(self.period, &self.zone, at)
    }

    /// The window before one that [`Budget::window`] gave: it ends where that begins.
    #[must_use]
    pub fn previous(&self, window: &Window) -> Option<Window> {
        window::before(self.period, &self.zone, window)
    }

    /// What may be spent in a window: the limit, what was carried into it (if this budget still carries
    /// over) and the raise while there is one.
    #[must_use]
    pub fn allowance(&self, carried: NanoUsd, now: UnixMs) -> NanoUsd {
        let raised = self.raise.filter(|raise| now < raise.until).map_or(0, |raise| raise.amount.0);
        NanoUsd(self.limit.0.saturating_add(self.kept(carried)).saturating_add(raised))
    }

    /// What is carried out of a window in which `spent` was spent, `carried` having been carried into it. A
    /// raise is for its time and is not carried.
    #[must_use]
    pub fn carry(&self, carried: NanoUsd, spent: NanoUsd) -> NanoUsd {
        let left = self.limit.0.saturating_add(self.kept(carried)).saturating_sub(spent.0);
        NanoUsd(if self.carry_over { left.max(0) } else { 0 })
    }

    /// When `allowance` is used up if spending goes on as it did since the window's begin (a total's: since it
    /// was made); `None` when it lasts to the window's end, or is used up already.
    #[must_use]
    pub fn runs_out(&self, window: &Window, spent: NanoUsd, allowance: NanoUsd, now: UnixMs) -> Option<UnixMs> {
        let begin = window.end.map_or(self.created_at, |_| window.start);
        let left = i128::from(allowance.0) - i128::from(spent.0);
        let elapsed = i128::from(now.saturating_sub(begin)).max(1);
        if left <= 0 || spent.0 <= 0 {
            return None;
        }
        let wait = i64::try_from(left * elapsed / i128::from(spent.0)).ok()?;
        let at = now.checked_add(wait)?;
        window.end.is_none_or(|end| at < end).then_some(at)
    }

    fn kept(&self, carried: NanoUsd) -> i64 {
        if self.carry_over { carried.0 } else { 0 }
    }
}

/// The id of the budget that is managed with a key.
#[must_use]
pub fn key_budget_id(key_id: &str) -> String {
    format!("bud_{key_id}")
}

/// The id of a budget that the configuration declares.
#[must_use]
pub fn declared_id(name: &str) -> String {
    format!("config:{name}")
}

/// The id of the budget of a key that the configuration declares. So no declared budget's name may begin with
/// [`OF_DECLARED_KEY`].
#[must_use]
pub fn declared_key_budget_id(key_name: &str) -> String {
    format!("config:{OF_DECLARED_KEY}{key_name}")
}

/// How the names of the budgets of declared keys begin in their ids.
pub const OF_DECLARED_KEY: &str = "key:";

/// Whether a text can name a budget.
///
/// # Errors
/// Says what a name is.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let fine = !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    fine.then_some(()).ok_or("a name must have 1 to 200 bytes and no control characters")
}

/// Whether a text can be the subject of a budget of that scope. Whether there is such a key, team, ... is
/// not asked: it may come later.
///
/// # Errors
/// Says what a subject is.
pub fn check_subject(scope: Scope, subject: &str) -> Result<(), &'static str> {
    let plain = !subject.trim().is_empty() && !subject.chars().any(char::is_control);
    if !plain || subject.len() > MAX_SUBJECT {
        return Err("a subject must have 1 to 256 bytes and no control characters");
    }
    let is_tag = subject.split_once('=').is_some_and(|(name, value)| !name.is_empty() && !value.is_empty());
    match scope {
        Scope::Tag if !is_tag => Err("the subject of a tag's budget is `name=value`"),
        _ => Ok(()),
    }
}

/// Whether an amount can be a limit or a raise.
///
/// # Errors
/// Says what such an amount is.
pub fn check_amount(amount: NanoUsd) -> Result<(), &'static str> {
    let fine = (0..=MAX_AMOUNT.0).contains(&amount.0);
    fine.then_some(()).ok_or("an amount must be at least 0 and at most 1000000000 US dollars")
}

/// Thresholds in order and each once.
///
/// # Errors
/// Says what thresholds are.
pub fn checked_thresholds(mut thresholds: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    if thresholds.len() > MAX_THRESHOLDS || thresholds.iter().any(|percent| !(1..=100).contains(percent)) {
        return Err("thresholds are at most 10 whole percents from 1 to 100");
    }
    thresholds.sort_unstable();
    thresholds.dedup();
    Ok(thresholds)
}

#[cfg(test)]
mod tests;
