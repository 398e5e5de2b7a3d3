//! How much the model is told to think.

use super::encode_request::Writing;
use super::thinking;
use crate::hub::{Effort, Field, LossKind, Num, ReasoningStyle, Request, ToolChoice, unmeasured};

/// How much to think, decided.
#[derive(Debug, Default)]
pub(super) struct Thinking {
    /// Anthropic's older way, by tokens, which binds the sampling.
    pub(super) budget: Option<u64>,
    /// Anthropic's newer way: as much as the model sees fit.
    pub(super) adaptive: bool,
    /// Not at all, said in so many words.
    pub(super) off: bool,
    /// By a word.
    pub(super) effort: Option<Effort>,
}

/// Decides by what the caller said and the model takes.
pub(super) fn decide(request: &Request, writing: &mut Writing<'_>) -> Thinking {
    let reasoning = &request.params.reasoning;
    let effort = reasoning.effort.as_ref();
    if reasoning.is_empty() {
        return Thinking::default();
    }
    if writing.capabilities().reasoning == ReasoningStyle::None {
        return dropped("the model cannot be told how much to think", writing);
    }
    let none = budget(request) == Some(0) || reasoning.enabled == Some(false);
    if effort.map_or(none, |effort| *effort == Effort::None) {
        return silent(writing);
    }
    match writing.capabilities().reasoning {
        ReasoningStyle::Budget => by_budget(request, writing),
        ReasoningStyle::Adaptive => {
            Thinking { adaptive: true, effort: grounded(word(request, writing), writing), ..Thinking::default() }
        }
        ReasoningStyle::Effort | ReasoningStyle::None => match word(request, writing) {
            Some(effort) => Thinking { effort: Some(effort), ..Thinking::default() },
            None if request.params.reasoning.is_unmeasured() => Thinking {
                effort: unmeasured(&request.params.reasoning, writing.target.capabilities, &mut writing.losses),
                ..Thinking::default()
            },
            None => dropped("the model takes a word for how much to think", writing),
        },
    }
}

fn budget(request: &Request) -> Option<u64> {
    request.params.reasoning.budget.as_ref().and_then(Num::as_u64)
}

fn dropped(why: &str, writing: &mut Writing<'_>) -> Thinking {
    writing.losses.param(Field::Reasoning, LossKind::Dropped, why);
    Thinking::default()
}

/// The caller's word, or the one its budget stands for.
fn word(request: &Request, writing: &mut Writing<'_>) -> Option<Effort> {
    if let Some(effort) = &request.params.reasoning.effort {
        return Some(effort.clone());
    }
    let tokens = budget(request)?;
    let effort = Effort::of_budget(tokens);
    let why = format!("a budget of {tokens} tokens became effort {}", effort.word());
    writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
    Some(effort)
}

/// Adaptive models know no effort below low.
fn grounded(effort: Option<Effort>, writing: &mut Writing<'_>) -> Option<Effort> {
    if effort == Some(Effort::Minimal) {
        writing.losses.param(Field::Reasoning, LossKind::Coerced, "the least effort is low");
        return Some(Effort::Low);
    }
    effort
}

/// No thinking, or the least where it cannot be turned off.
fn silent(writing: &mut Writing<'_>) -> Thinking {
    let can = writing.capabilities();
    let least = match can.reasoning {
        ReasoningStyle::Effort if can.reasoning_off => {
            return Thinking { effort: Some(Effort::None), ..Thinking::default() };
        }
        _ if can.reasoning_off => return Thinking { off: true, ..Thinking::default() },
        ReasoningStyle::Budget => Thinking { budget: Some(can.min_budget), ..Thinking::default() },
        style => {
            let adaptive = style == ReasoningStyle::Adaptive;
            Thinking { adaptive, effort: Some(Effort::Low), ..Thinking::default() }
        }
    };
    writing.losses.param(Field::Reasoning, LossKind::Coerced, "the model always thinks: the least was asked for");
    least
}

/// A budget in tokens. A forced tool and missing thoughts exclude it: both say more exactly what
/// the caller wants than how much to think.
fn by_budget(request: &Request, writing: &mut Writing<'_>) -> Thinking {
    let reasoning = &request.params.reasoning;
    let least = writing.capabilities().min_budget;
    let meant = reasoning.effort.as_ref().and_then(Effort::budget);
    let Some(tokens) = budget(request).or(meant).or((reasoning.enabled == Some(true)).then_some(least)) else {
        return dropped("the model takes a budget of tokens, and this word stands for none", writing);
    };
    let forced = matches!(
        request.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Named { .. } | ToolChoice::Allowed { required: true, .. })
    );
    if forced && writing.capabilities().forced_tools {
        return dropped("a tool is forced, beside which the model does not think", writing);
    }
    if thinking::is_missing(request) {
        let why = "the thoughts before the last tool calls are missing, without which the model does not think on";
        return dropped(why, writing);
    }
    within_cap(request, tokens, writing)
}

/// The budget within what the model and the caller's cap allow. One that stands for a word, or is
/// not below the cap, leaves the answer half of it.
fn within_cap(request: &Request, tokens: u64, writing: &mut Writing<'_>) -> Thinking {
    let least = writing.capabilities().min_budget;
    let cap = request.params.max_output.as_ref().and_then(Num::as_u64).or(writing.capabilities().max_output);
    let cap = cap.unwrap_or(u64::MAX);
    if cap <= least {
        let why = format!("the cap on tokens leaves no room for the least budget, {least}");
        return dropped(&why, writing);
    }
    let most = if budget(request).is_some_and(|asked| asked < cap) { cap - 1 } else { (cap / 2).max(least) };
    let given = tokens.max(least).min(most);
    if given != tokens {
        let why =
            format!("a budget of {tokens} tokens became {given}, to fit the cap on tokens and the least, {least}");
        writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
    }
    Thinking { budget: Some(given), ..Thinking::default() }
}
