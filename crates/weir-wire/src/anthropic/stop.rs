//! Why an answer ended. Read and written.

use super::form::OWN;
use crate::hub::write::Obj;
use crate::hub::{Fields, LossKind, Losses, Node, Part, PartKind, Place, Stop, StopReason, Word};
use crate::json::Kind;

/// The most bytes of a refusal that explain it.
const MAX_EXPLANATION: usize = 64 * 1024;

/// Takes `stop_reason` and `stop_sequence`. The explanation of a refusal is read out of
/// `stop_details`, which stay.
pub(super) fn take(fields: &mut Fields<'_>) -> Option<Stop> {
    let word = fields.word("stop_reason").ok().flatten()?;
    let reason = match word.as_str() {
        "end_turn" => StopReason::End,
        "stop_sequence" => StopReason::Sequence,
        "max_tokens" => StopReason::Length,
        "tool_use" => StopReason::ToolUse,
        "refusal" => StopReason::Refusal,
        "pause_turn" => StopReason::Pause,
        "model_context_window_exceeded" => StopReason::Window,
        _ => StopReason::Unknown,
    };
    let sequence = fields.text("stop_sequence").ok().flatten();
    let detail = fields.peek("stop_details").and_then(explanation);
    Some(Stop { word: Some(Word { dialect: OWN, text: word }), sequence, detail, ..Stop::new(reason) })
}

fn explanation(details: Node<'_>) -> Option<String> {
    if details.kind != Kind::Object {
        return None;
    }
    details.fields(Place::root()).ok()?.word("explanation").ok()?
}

/// What the parts of an answer say about its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// A tool is called.
    pub(super) called: bool,
    /// The model's words for its refusal.
    pub(super) refused: Option<String>,
    /// Log probabilities came, which there are none of.
    pub(super) logprobs: bool,
}

impl Told {
    pub(super) fn of(parts: &[Part]) -> Self {
        let mut told = Self::default();
        parts.iter().for_each(|part| told.add(part));
        told
    }

    pub(super) fn add(&mut self, part: &Part) {
        match &part.kind {
            PartKind::ToolCall(_) => self.called = true,
            PartKind::Refusal(words) => self.refuse(words),
            _ => {}
        }
    }

    /// Words of a refusal, of which the first are told again as its explanation.
    pub(super) fn refuse(&mut self, words: &str) {
        let known = self.refused.get_or_insert_default();
        let room = MAX_EXPLANATION.saturating_sub(known.len());
        known.push_str(words.get(..words.floor_char_boundary(room)).unwrap_or_default());
    }
}

/// Writes `stop_reason`, `stop_sequence` and the details of a refusal. A stop of this dialect is
/// written as it was: its details, and a sequence it has not, are members beside it.
pub(super) fn write(o: &mut Obj<'_>, stop: Option<&Stop>, told: &Told, losses: &mut Losses) {
    let Some(stop) = stop else { return };
    if let Some(word) = stop.word_of(OWN) {
        o.text("stop_reason", word);
        return o.opt_text("stop_sequence", stop.sequence.as_deref());
    }
    let refused = told.refused.is_some() && stop.reason == StopReason::End;
    let (word, exact) = match stop.reason {
        _ if refused => ("refusal", true),
        // Elsewhere an answer that calls a tool it was told to call just ends.
        StopReason::End if told.called => ("tool_use", true),
        StopReason::End => ("end_turn", true),
        StopReason::Sequence => ("stop_sequence", true),
        StopReason::Length => ("max_tokens", true),
        StopReason::ToolUse => ("tool_use", true),
        StopReason::Filter | StopReason::Refusal => ("refusal", true),
        StopReason::Pause => ("pause_turn", true),
        StopReason::Window => ("model_context_window_exceeded", true),
        StopReason::Malformed | StopReason::Unknown => ("end_turn", false),
    };
    if !exact {
        let why = format!("the reason {:?} became {word}", stop.reason);
        losses.add("stop_reason", LossKind::Approximated, why);
    }
    o.text("stop_reason", word);
    o.opt_text("stop_sequence", stop.sequence.as_deref());
    if word == "refusal"
        && let Some(why) = stop.detail.as_deref().or(told.refused.as_deref())
    {
        o.object("stop_details", |o| {
            o.text("type", "refusal");
            o.null("category");
            o.text("explanation", why);
        });
    }
}
