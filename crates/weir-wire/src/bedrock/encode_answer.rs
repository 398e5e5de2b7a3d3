//! A Converse answer, written: for the law of identity and for playing a provider.

use super::encode_request::Writing;
use super::form::{BEDROCK, nested};
use super::parts;
use crate::hub::write::{self, Obj};
use crate::hub::{
    Answer, Capabilities, Choice, Encoded, LossKind, Part, PartKind, Place, Reply, Role, Spent, Stop, StopReason,
    Target, Tier,
};
use crate::usage::Usage;

/// Writes an answer. One that came in this dialect is written as it was, member for member. Never
/// fails: what cannot be said is a loss, and so are choices beyond the first.
#[must_use]
pub fn encode_answer(answer: &Answer, reply: &mut Reply) -> Encoded {
    let capabilities = Capabilities::default();
    let target = Target { model: "", capabilities: &capabilities, caller: reply.source };
    let mut writing = Writing::new(&target, true);
    let none = Choice::default();
    let choice = answer.choices.first().unwrap_or(&none);
    if answer.choices.len() > 1 {
        writing.losses.add("choices", LossKind::Dropped, "Bedrock has one choice: the first");
    }
    let body = write::object(|o| {
        nested(o, "output", &answer.head.extra, |o| message(o, choice, reply, &mut writing));
        if let Some(stop) = &choice.stop {
            o.text("stopReason", word(stop, &mut writing));
        }
        if let Some(spent) = &answer.usage {
            usage(o, spent);
        }
        if let Some(tier) = &answer.head.tier {
            o.object("serviceTier", |o| o.text("type", Tier::word(tier)));
        }
        writing.losses.extra(&choice.extra, &Place::root());
        writing.losses.extra(&answer.head.extra, &Place::root());
        o.extra(&answer.head.extra, BEDROCK);
    });
    writing.losses.seal_answer(body)
}

fn message(o: &mut Obj<'_>, choice: &Choice, reply: &mut Reply, writing: &mut Writing<'_>) {
    let said = with_ids(&choice.parts, reply);
    let blocks = parts::list(&said, Role::Assistant, writing);
    o.object("message", |o| {
        if choice.message_extra.get(BEDROCK, "role").is_none() {
            o.text("role", "assistant");
        }
        if !blocks.is_empty() || choice.message_extra.get(BEDROCK, "content").is_none() {
            o.raw("content", &format!("[{}]", blocks.join(",")));
        }
        writing.losses.extra(&choice.message_extra, &Place::root().member("output"));
        o.extra(&choice.message_extra, BEDROCK);
    });
}

/// The parts, with an id for every call that has none.
fn with_ids(parts: &[Part], reply: &mut Reply) -> Vec<Part> {
    let mut parts = parts.to_vec();
    for part in &mut parts {
        if let PartKind::ToolCall(call) = &mut part.kind
            && call.extra.get(BEDROCK, "toolUseId").is_none()
        {
            call.id.get_or_insert_with(|| reply.ids.next("tooluse_"));
        }
    }
    parts
}

fn word<'s>(stop: &'s Stop, writing: &mut Writing<'_>) -> &'s str {
    if let Some(word) = stop.word_of(BEDROCK) {
        return word;
    }
    let (word, exact) = match stop.reason {
        StopReason::End => ("end_turn", true),
        StopReason::Sequence => ("stop_sequence", true),
        StopReason::Length => ("max_tokens", true),
        StopReason::ToolUse => ("tool_use", true),
        StopReason::Filter | StopReason::Refusal => ("content_filtered", true),
        StopReason::Window => ("model_context_window_exceeded", true),
        StopReason::Malformed => ("malformed_model_output", true),
        StopReason::Pause => ("max_tokens", false),
        StopReason::Unknown => ("end_turn", false),
    };
    if !exact {
        let why = format!("the reason {:?} became {word}", stop.reason);
        writing.losses.add("stopReason", LossKind::Approximated, why);
    }
    word
}

fn usage(o: &mut Obj<'_>, spent: &Spent) {
    if let Some(json) = spent.native.as_ref().and_then(|native| native.of(BEDROCK)) {
        return o.raw("usage", json.as_str());
    }
    let Usage { input, cached, cache_write, output, .. } = spent.tokens;
    o.object("usage", |o| {
        o.count("inputTokens", input.saturating_sub(cached).saturating_sub(cache_write));
        o.count("outputTokens", output);
        o.count("totalTokens", input.saturating_add(output));
        o.count("cacheReadInputTokens", cached);
        o.count("cacheWriteInputTokens", cache_write);
    });
}
