//! How much to think, written: `thinking` and `output_config.effort`.

use super::encode_request::Writing;
use super::form::OWN;
use crate::hub::write::Obj;
use crate::hub::{Effort, Field, LossKind, Num, PartKind, Reasoning, ReasoningStyle, Request, Role, unmeasured};

/// The budget of thinking that was switched on without saying how much.
const UNMEASURED: u64 = 4096;

/// What is written of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    thinking: Option<Thinking>,
    pub(super) effort: Option<Effort>,
}

#[derive(Debug, PartialEq, Eq)]
enum Thinking {
    /// As the caller wrote it.
    Native(String),
    Disabled,
    Adaptive,
    Budget(u64),
}

impl Plan {
    /// Whether the model thinks by a budget, with which sampling hardly goes.
    pub(super) fn is_budget(&self) -> bool {
        matches!(self.thinking, Some(Thinking::Budget(_)))
    }

    pub(super) fn write(&self, o: &mut Obj<'_>) {
        match &self.thinking {
            None => {}
            Some(Thinking::Native(json)) => o.raw("thinking", json),
            Some(Thinking::Disabled) => o.object("thinking", |o| o.text("type", "disabled")),
            Some(Thinking::Adaptive) => o.object("thinking", |o| {
                o.text("type", "adaptive");
                o.text("display", "summarized");
            }),
            Some(Thinking::Budget(tokens)) => o.object("thinking", |o| {
                o.text("type", "enabled");
                o.count("budget_tokens", *tokens);
            }),
        }
    }
}

/// What the target can be told. `max_tokens` is the cap within which a budget must stay; with a
/// `forced` tool models do not think.
pub(super) fn plan(request: &Request, max_tokens: Option<u64>, forced: bool, writing: &mut Writing<'_>) -> Plan {
    let reasoning = &request.params.reasoning;
    if reasoning.is_empty() {
        return Plan::default();
    }
    let style = writing.capabilities().reasoning;
    if style == ReasoningStyle::None {
        writing.losses.param(Field::Reasoning, LossKind::Dropped, "the model cannot be told how much to think");
        return Plan::default();
    }
    if let Some(plan) = as_written(reasoning, writing) {
        return plan;
    }
    if is_off(reasoning) {
        return off(writing);
    }
    let plan = match style {
        ReasoningStyle::Budget => budget(reasoning, max_tokens, writing),
        style => by_word(reasoning, style == ReasoningStyle::Adaptive, writing),
    };
    let why = match &plan.thinking {
        Some(_) if forced => "the model does not think where it must call a tool",
        Some(Thinking::Budget(_)) if unsigned_loop(request) => {
            "the model's thoughts before its last tool calls were not sent back, so it goes on without"
        }
        _ => return plan,
    };
    writing.losses.param(Field::Reasoning, LossKind::Dropped, why);
    Plan { thinking: None, ..plan }
}

/// What a caller of this dialect wrote, unless the model is told in the other style.
fn as_written(reasoning: &Reasoning, writing: &Writing<'_>) -> Option<Plan> {
    let json = reasoning.native.as_ref().and_then(|native| native.of(OWN));
    if json.is_none() && !writing.same() {
        return None;
    }
    let by_budget = reasoning.budget.is_some();
    let fits = match writing.capabilities().reasoning {
        _ if reasoning.enabled == Some(false) => writing.capabilities().reasoning_off,
        ReasoningStyle::Adaptive => !by_budget,
        ReasoningStyle::Budget => by_budget || reasoning.enabled.is_none(),
        ReasoningStyle::Effort | ReasoningStyle::None => true,
    };
    let thinking = json.map(|json| Thinking::Native(json.as_str().to_owned()));
    fits.then(|| Plan { thinking, effort: reasoning.effort.clone() })
}

fn is_off(reasoning: &Reasoning) -> bool {
    reasoning.effort == Some(Effort::None)
        || reasoning.enabled == Some(false)
        || (reasoning.effort.is_none() && reasoning.budget.as_ref().and_then(Num::as_u64) == Some(0))
}

fn off(writing: &mut Writing<'_>) -> Plan {
    if writing.capabilities().reasoning_off {
        return Plan { thinking: Some(Thinking::Disabled), effort: None };
    }
    writing.losses.param(Field::Reasoning, LossKind::Coerced, "the model always thinks: the least was asked for");
    Plan { thinking: None, effort: Some(Effort::Low) }
}

/// By a word, with thinking switched on where the model's is adaptive.
fn by_word(reasoning: &Reasoning, adaptive: bool, writing: &mut Writing<'_>) -> Plan {
    let mut effort = reasoning.effort.clone();
    if effort.is_none()
        && let Some(tokens) = reasoning.budget.as_ref().and_then(Num::as_u64)
    {
        let word = Effort::of_budget(tokens);
        let why = format!("a budget of {tokens} tokens became effort {}", word.word());
        writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
        effort = Some(word);
    }
    if effort.is_none() && !adaptive {
        effort = unmeasured(reasoning, writing.target.capabilities, &mut writing.losses);
    }
    if effort == Some(Effort::Minimal) {
        writing.losses.param(Field::Reasoning, LossKind::Coerced, "effort minimal became low, the least there is");
        effort = Some(Effort::Low);
    }
    if let Some(Effort::Other(word)) = &effort {
        writing.losses.param(Field::Reasoning, LossKind::Dropped, format!("effort {word} is not known"));
        effort = None;
    }
    Plan { thinking: adaptive.then_some(Thinking::Adaptive), effort }
}

/// By a budget, which must be below the cap on all that is generated.
fn budget(reasoning: &Reasoning, max_tokens: Option<u64>, writing: &mut Writing<'_>) -> Plan {
    let given = reasoning.budget.as_ref().and_then(Num::as_u64);
    let wanted = given.or(reasoning.effort.as_ref().and_then(Effort::budget));
    let wanted = wanted.or_else(|| {
        let unmeasured = reasoning.enabled == Some(true);
        if unmeasured {
            let why = format!("thinking without a measure became a budget of {UNMEASURED} tokens");
            writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
        }
        unmeasured.then_some(UNMEASURED)
    });
    let Some(wanted) = wanted else {
        writing.losses.param(Field::Reasoning, LossKind::Dropped, "the model takes a budget in tokens alone");
        return Plan::default();
    };
    let least = writing.capabilities().min_budget;
    let mut tokens = wanted.max(least);
    if let Some(cap) = max_tokens.filter(|cap| tokens >= *cap) {
        tokens = least.max(cap / 2);
        if tokens >= cap {
            let why = format!("thinking takes {least} tokens at least, and the answer may have {cap}");
            writing.losses.param(Field::Reasoning, LossKind::Dropped, why);
            return Plan::default();
        }
    }
    if tokens != wanted {
        let why = format!("a budget of {wanted} tokens became {tokens}");
        writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
    }
    Plan { thinking: Some(Thinking::Budget(tokens)), effort: None }
}

/// Whether tools have answered calls that were made without thoughts the model can recognise:
/// models that think by a budget refuse to go on thinking then.
fn unsigned_loop(request: &Request) -> bool {
    let Some(last) = request.turns.iter().rposition(|turn| turn.role == Role::Assistant) else { return false };
    let (said, after) = request.turns.split_at(last + 1);
    let answered = after.iter().flat_map(|turn| &turn.parts).any(|part| matches!(part.kind, PartKind::ToolResult(_)));
    let first = said.last().and_then(|turn| turn.parts.iter().find(|part| !part.is_blank()));
    answered && first.is_some_and(|part| !super::blocks::is_own_thought(part))
}
