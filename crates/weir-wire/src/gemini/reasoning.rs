//! How much to think: `thinkingConfig`. Read and written.
//!
//! Newer models take a level, older ones a budget in tokens, and none takes both.

use super::encode_request::Writing;
use super::form::GEMINI;
use super::names::{Aliases, name_of};
use crate::hub::write;
use crate::hub::{
    DecodeError, Dialect, Effort, Field, Fields, Json, LossKind, Mode, Native, Node, Num, Place, Reasoning,
    ReasoningStyle,
};

/// Takes `thinkingConfig`. An empty one is left.
pub(super) fn take(fields: &mut Fields<'_>, aliases: &mut Aliases) -> Result<Reasoning, DecodeError> {
    let name = aliases.of(fields, "thinkingConfig");
    let Some(node) = fields.peek(name).filter(|node| !node.json().is_empty()) else {
        aliases.0.retain(|alias| *alias != "thinkingConfig");
        return Ok(Reasoning::default());
    };
    let mut inner = fields.require_object(name)?;
    let told = Told::take(&mut inner)?;
    let off = told.budget.as_ref().is_some_and(|budget| budget.as_f64() < 0.0);
    Ok(Reasoning {
        effort: told.level.filter(|word| !word.ends_with("UNSPECIFIED")).map(|word| Effort::from_word(&word)),
        enabled: off.then_some(true),
        budget: told.budget.filter(|_| !off),
        summary: (told.shown == Some(true)).then(|| "auto".to_owned()),
        native: Some(Native { dialect: GEMINI, json: node.json() }),
    })
}

/// The members of `thinkingConfig`.
struct Told {
    level: Option<String>,
    budget: Option<Num>,
    shown: Option<bool>,
}

impl Told {
    fn take(inner: &mut Fields<'_>) -> Result<Self, DecodeError> {
        let name = |inner: &Fields<'_>, name: &'static str| name_of(inner, name).0;
        let (level, budget, shown) =
            (name(inner, "thinkingLevel"), name(inner, "thinkingBudget"), name(inner, "includeThoughts"));
        Ok(Self { level: inner.word(level)?, budget: inner.num(budget)?, shown: inner.flag(shown)? })
    }

    /// Of what a caller of this dialect wrote.
    fn of(json: &Json) -> Option<Self> {
        let node = Node::of_body(json.as_str().as_bytes(), Mode::Answer).ok()?;
        Self::take(&mut node.fields(Place::root()).ok()?).ok()
    }
}

/// The `thinkingConfig` to send, if any.
pub(super) fn config(reasoning: &Reasoning, writing: &mut Writing<'_>) -> Option<String> {
    if reasoning.is_empty() {
        return None;
    }
    let style = writing.capabilities().reasoning;
    if style == ReasoningStyle::None {
        writing.losses.param(Field::Reasoning, LossKind::Dropped, "the model cannot be told how much to think");
        return None;
    }
    let levels = style != ReasoningStyle::Budget;
    if let Some(json) = reasoning.native.as_ref().and_then(|native| native.of(GEMINI)) {
        let told = Told::of(json)?;
        // A budget is understood by the models that take levels, but not the other way round.
        if !(told.level.is_some() && (!levels || told.budget.is_some())) {
            return Some(json.as_str().to_owned());
        }
        if told.budget.is_some() {
            let why = "a level and a budget cannot both be sent: the one that the model knows was kept";
            writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
        }
    }
    let amount = if levels { level(reasoning, writing) } else { budget(reasoning, writing) };
    let shown = shown(reasoning, writing) && !matches!(amount, Amount::Budget(0));
    if matches!(amount, Amount::Unsaid) && !shown {
        return None;
    }
    Some(write::object(|o| {
        if shown {
            o.flag("includeThoughts", true);
        }
        match amount {
            Amount::Unsaid => {}
            Amount::Level(word) => o.text("thinkingLevel", word),
            Amount::Budget(tokens) => o.raw("thinkingBudget", &tokens.to_string()),
        }
    }))
}

/// How much to think, as it is said.
enum Amount {
    Unsaid,
    Level(&'static str),
    Budget(i64),
}

fn off(reasoning: &Reasoning) -> bool {
    let none = reasoning.effort == Some(Effort::None) || reasoning.enabled == Some(false);
    none || reasoning.budget.as_ref().and_then(Num::as_u64) == Some(0)
}

/// Whether to show the thoughts. Responses callers ask for them; others that ask for thinking expect
/// to see it.
fn shown(reasoning: &Reasoning, writing: &Writing<'_>) -> bool {
    let asked = reasoning.summary.as_ref().is_some_and(|summary| summary != "none");
    let expected = !matches!(writing.target.caller, Dialect::OpenAiResponses | Dialect::Gemini);
    asked || (expected && !off(reasoning))
}

fn level(reasoning: &Reasoning, writing: &mut Writing<'_>) -> Amount {
    if off(reasoning) {
        if writing.capabilities().reasoning_off {
            return Amount::Budget(0);
        }
        writing.losses.param(Field::Reasoning, LossKind::Coerced, "the model always thinks: the least was asked for");
        return Amount::Level("LOW");
    }
    let effort = match (&reasoning.effort, reasoning.budget.as_ref().and_then(Num::as_u64)) {
        (Some(effort), _) => effort.clone(),
        (None, Some(tokens)) => {
            let effort = Effort::of_budget(tokens);
            let why = format!("a budget of {tokens} tokens became effort {}", effort.word());
            writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
            effort
        }
        (None, None) => return Amount::Unsaid,
    };
    let mut coerced = |word: &'static str| {
        let why = format!("effort {} became {}", effort.word(), word.to_ascii_lowercase());
        writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
        Amount::Level(word)
    };
    match &effort {
        Effort::Minimal if !writing.target.capabilities.minimal_effort => coerced("LOW"),
        Effort::None | Effort::Minimal => Amount::Level("MINIMAL"),
        Effort::Low => Amount::Level("LOW"),
        Effort::Medium => Amount::Level("MEDIUM"),
        Effort::High => Amount::Level("HIGH"),
        Effort::XHigh => Amount::Level("XHIGH"),
        Effort::Max => coerced("XHIGH"),
        Effort::Other(word) => {
            let why = format!("unknown effort {word:?}");
            writing.losses.param(Field::Reasoning, LossKind::Dropped, why);
            Amount::Unsaid
        }
    }
}

fn budget(reasoning: &Reasoning, writing: &mut Writing<'_>) -> Amount {
    let (least, can_stop) = (writing.capabilities().min_budget, writing.capabilities().reasoning_off);
    if off(reasoning) {
        if can_stop {
            return Amount::Budget(0);
        }
        writing.losses.param(Field::Reasoning, LossKind::Coerced, "the model always thinks: the least was asked for");
        return Amount::Budget(i64::try_from(least).unwrap_or(i64::MAX));
    }
    let given = reasoning.budget.as_ref().and_then(Num::as_u64);
    let Some(tokens) = given.or_else(|| reasoning.effort.as_ref().and_then(Effort::budget)) else {
        if let Some(effort) = &reasoning.effort {
            let why = format!("unknown effort {:?}", effort.word());
            writing.losses.param(Field::Reasoning, LossKind::Dropped, why);
        }
        return if reasoning.enabled == Some(true) { Amount::Budget(-1) } else { Amount::Unsaid };
    };
    if tokens < least {
        let why = format!("a budget of {tokens} tokens became {least}, the model's least");
        writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
    }
    Amount::Budget(i64::try_from(tokens.max(least)).unwrap_or(i64::MAX))
}
