//! Cutting a request to what a provider takes at once, and putting its answers together.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Answer, Input, Request};
use crate::hub::{Dialect, Extra, Json, Spent};

/// What a provider takes at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The most inputs.
    pub inputs: Option<usize>,
    /// The most tokens of all inputs together.
    pub tokens: Option<u64>,
}

/// The parts of a batch whose inputs have these many tokens, in order: as few as keep the limits
/// when none is moved. An input that alone is beyond the limit of tokens is a part of its own, for
/// the provider to cut or to refuse.
#[must_use]
pub fn plan(tokens: &[u64], limits: Limits) -> Vec<Range<usize>> {
    let most = limits.inputs.unwrap_or(usize::MAX).max(1);
    let (mut parts, mut start, mut sum) = (Vec::new(), 0, 0_u64);
    for (at, count) in tokens.iter().enumerate() {
        let beyond = limits.tokens.is_some_and(|limit| sum.saturating_add(*count) > limit);
        if at > start && (beyond || at - start >= most) {
            parts.push(start..at);
            (start, sum) = (at, 0);
        }
        sum = sum.saturating_add(*count);
    }
    if start < tokens.len() {
        parts.push(start..tokens.len());
    }
    parts
}

impl Request {
    /// The tokens of each input: counted where they are given, else as `estimate` says of the text.
    #[must_use]
    pub fn tokens(&self, estimate: impl Fn(&str) -> u64) -> Vec<u64> {
        let count = |input: &Input| match input {
            Input::Text(text) => estimate(text),
            Input::Tokens(_, count) => *count,
        };
        self.inputs.iter().map(count).collect()
    }

    /// The same request for these inputs alone.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        let extra = of_part(&self.extra, &range);
        let inputs = self.inputs.get(range).unwrap_or_default().to_vec();
        let single = self.single && inputs.len() == 1;
        let Self { model, dimensions, encoding, user, purpose, truncate, .. } = self.clone();
        Self { model, inputs, single, dimensions, encoding, user, purpose, truncate, extra }
    }
}

/// What stands beside these inputs: of Gemini's form some is said of each, by its place.
fn of_part(extra: &Extra, range: &Range<usize>) -> Extra {
    let Some(dialect) = extra.dialect().filter(|dialect| *dialect == Dialect::Gemini) else { return extra.clone() };
    let place = |name: &str| {
        let (index, member) = name.strip_prefix("requests[")?.split_once("].")?;
        Some((index.parse::<usize>().ok()?, member.to_owned()))
    };
    let of = |(name, value): &(String, Json)| match place(name) {
        None => Some((name.clone(), value.clone())),
        Some((index, member)) if range.contains(&index) => {
            Some((format!("requests[{}].{member}", index - range.start), value.clone()))
        }
        Some(_) => None,
    };
    Extra::new(dialect, extra.members().iter().filter_map(of).collect())
}

/// Why answers do not make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// There are not as many answers as parts.
    Parts {
        /// Parts sent.
        sent: usize,
        /// Answers come.
        came: usize,
    },
    /// A part's answer has another number of vectors than the part had inputs.
    Vectors {
        /// Which part.
        part: usize,
        /// Inputs sent.
        sent: usize,
        /// Vectors come.
        came: usize,
    },
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parts { sent, came } => write!(f, "{came} answers came to {sent} requests"),
            Self::Vectors { part, sent, came } => {
                write!(f, "the provider gave {came} vectors for {sent} inputs (request {part})")
            }
        }
    }
}

impl std::error::Error for JoinError {}

/// Puts the answers to a plan's parts together, in its order, with their usage summed. What the first
/// says about itself stands for all. Usage is unknown if any part's is.
pub fn join(parts: &[Range<usize>], answers: Vec<Answer>) -> Result<Answer, JoinError> {
    if parts.len() != answers.len() {
        return Err(JoinError::Parts { sent: parts.len(), came: answers.len() });
    }
    let mut whole: Option<Answer> = None;
    for (part, (range, answer)) in parts.iter().zip(answers).enumerate() {
        if range.len() != answer.items.len() {
            return Err(JoinError::Vectors { part, sent: range.len(), came: answer.items.len() });
        }
        match &mut whole {
            None => whole = Some(answer),
            Some(whole) => {
                whole.items.extend(answer.items);
                whole.usage = sum(whole.usage.take(), answer.usage);
            }
        }
    }
    Ok(whole.unwrap_or_default())
}

fn sum(one: Option<Spent>, other: Option<Spent>) -> Option<Spent> {
    let (one, other) = (one?, other?);
    Some(Spent { tokens: one.tokens.plus(&other.tokens), native: None, bent: one.bent || other.bent })
}
