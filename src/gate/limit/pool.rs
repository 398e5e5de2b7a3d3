//! What replicas share: one account of every limit, kept where all of them can reach it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::{Ask, Kind, Limits, Unit, Whose};
use crate::limits::{RATES, Rate};

/// Where the limits of all replicas are kept.
pub trait Pool: fmt::Debug + Send + Sync {
    /// Takes all of what is wanted, or nothing: for each what is left of its rates afterwards. Answers in
    /// a bounded time, and whoever stops waiting holds nothing.
    fn take<'a>(&'a self, wants: &'a [Want]) -> Taking<'a>;

    /// Gives back what was taken, or takes what was used without being asked for. At once, and without
    /// waiting: what cannot be told now is told later.
    fn settle(&self, whose: &Whose, limits: &Limits, change: Change);

    /// How many replicas there are; `None` until that is known.
    fn replicas(&self) -> Option<Replicas>;

    /// As many are known now.
    fn set_replicas(&self, replicas: Replicas);

    /// Whether it answers now.
    fn is_there(&self) -> bool;

    /// Its name: `redis` or `database`.
    fn name(&self) -> &'static str;
}

/// What comes of asking a pool.
pub type Taking<'a> = Pin<Box<dyn Future<Output = Result<Vec<Left>, NotTaken>> + Send + 'a>>;

/// What is wanted of one holder's limits.
#[derive(Clone, Debug)]
pub struct Want {
    /// Whose limits.
    pub whose: Whose,
    /// What they are.
    pub limits: Limits,
    /// What is asked for.
    pub ask: Ask,
}

impl Want {
    /// How much it takes of a rate: never more than all of it.
    #[must_use]
    pub fn of(&self, rate: Rate, limit: u64) -> u64 {
        of(self.ask, rate).min(limit)
    }
}

fn of(ask: Ask, rate: Rate) -> u64 {
    match rate.unit {
        Unit::Requests => ask.requests,
        Unit::Tokens => ask.tokens,
    }
}

/// Why nothing was taken.
#[derive(Clone, Debug)]
pub enum NotTaken {
    /// One of the limits does not have as much.
    Refused {
        /// Which of the wants.
        which: usize,
        /// Which of its limits.
        kind: Kind,
        /// Its value.
        limit: u64,
        /// How long until it has.
        wait: Duration,
        /// What is left, of each want.
        left: Vec<Left>,
    },
    /// The pool cannot be reached, or did not answer in time.
    Away,
}

/// What is left of each rate, whole ones; negative in debt. What is not known is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left([Option<i64>; RATES.len()]);

fn index(rate: Rate) -> usize {
    RATES.iter().position(|known| *known == rate).unwrap_or(0)
}

impl Left {
    /// What is left of a rate.
    #[must_use]
    pub fn of(&self, rate: Rate) -> Option<i64> {
        self.0[index(rate)]
    }

    /// Notes it.
    pub fn set(&mut self, rate: Rate, left: i64) {
        self.0[index(rate)] = Some(left);
    }
}

/// What is given back of each rate; negative is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    rates: [i64; RATES.len()],
    /// Places given back; negative are taken.
    pub places: i64,
}

impl Change {
    /// What `give` held of these limits comes back, and `used` tokens were used instead.
    #[must_use]
    pub fn of(limits: &Limits, give: Ask, used: u64) -> Self {
        let mut change = Self { places: i64::try_from(give.places).unwrap_or(i64::MAX), ..Self::default() };
        for (rate, limit) in limits.rates() {
            let held = i64::try_from(of(give, rate).min(limit)).unwrap_or(i64::MAX);
            let used = if rate.unit == Unit::Tokens { i64::try_from(used).unwrap_or(i64::MAX) } else { 0 };
            change.rates[index(rate)] = held.saturating_sub(used);
        }
        change
    }

    /// What was taken of these limits without asking the pool.
    #[must_use]
    pub fn taken(limits: &Limits, ask: Ask) -> Self {
        let given = Self::of(limits, ask, 0);
        Self { rates: given.rates.map(i64::saturating_neg), places: given.places.saturating_neg() }
    }

    /// Without what comes back: of what it is not known whether it was told, that must not be told again.
    #[must_use]
    pub fn only_taken(mut self) -> Self {
        for rate in &mut self.rates {
            *rate = (*rate).min(0);
        }
        self
    }

    /// The rates alone.
    #[must_use]
    pub fn without_places(self) -> Self {
        Self { places: 0, ..self }
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.rates.iter_mut().zip(other.rates) {
            *mine = mine.saturating_add(theirs);
        }
        self.places = self.places.saturating_add(other.places);
        self
    }

    /// What comes back of a rate.
    #[must_use]
    pub fn rate(&self, rate: Rate) -> i64 {
        self.rates[index(rate)]
    }
}

/// The replicas that share limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// How many there are; at least 1.
    pub count: u64,
    /// Which of them this is, from 0.
    pub rank: u64,
}

impl Replicas {
    /// One alone.
    pub const ALONE: Self = Self { count: 1, rank: 0 };

    /// This replica's part of so many places: all parts together are all of them.
    #[must_use]
    pub fn part(self, places: u64) -> u64 {
        let count = self.count.max(1);
        places / count + u64::from(self.rank < places % count)
    }
}

/// What becomes of a request while the pool is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnAway {
    /// Each replica has its part of every limit.
    #[default]
    LocalShares,
    /// It is refused.
    Refuse,
}
