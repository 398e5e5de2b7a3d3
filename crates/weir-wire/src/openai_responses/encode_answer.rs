//! A response, written whole.

use super::form::RESPONSES;
use super::said::{Sort, goes_on, item, known_id};
use super::seals;
use super::written::Writing;
use crate::hub::write::{self, Obj};
use crate::hub::{
    Answer, Capabilities, Choice, Encoded, Head, LossKind, Part, PartKind, Place, Reply, Spent, Stop, StopReason,
    Target, Tier,
};
use crate::usage::Usage;

/// Writes an answer for a caller who speaks this dialect. An answer that came in it is written as
/// it was, member for member. Never fails: what cannot be said is a loss.
///
/// What the SDKs expect of every response (tools, temperature and the like) is an echo of the
/// request: give it to another dialect's answer with [`super::echo`], else it is null or empty.
#[must_use]
pub fn encode_answer(answer: &Answer, reply: &mut Reply) -> Encoded {
    let capabilities = Capabilities::default();
    let target = Target { model: "", capabilities: &capabilities, caller: reply.source };
    let mut writing = Writing::new(&target, true);
    let nothing = Choice::default();
    let choice = answer.choices.first().unwrap_or(&nothing);
    if answer.choices.len() > 1 {
        writing.losses.add("choices", LossKind::Dropped, "a response has one choice: the first was kept");
    }
    writing.losses.extra(&choice.extra, &Place::root());
    writing.losses.extra(&choice.message_extra, &Place::root());
    let parts = complete(choice, reply, &mut writing);
    let tokens = choice.logprobs.as_ref().map(|logprobs| logprobs.content.as_slice()).unwrap_or_default();
    let output = items(&parts, reply, tokens, &mut writing);
    let body = write::object(|o| {
        let status = status(choice.stop.as_ref(), &mut writing);
        head(o, &answer.head, status, reply);
        o.raw("output", &format!("[{}]", output.join(",")));
        if let Some(spent) = &answer.usage {
            usage(o, spent);
        }
        writing.losses.extra(&answer.head.extra, &Place::root());
        tail(o, &answer.head, choice.stop.as_ref(), reply);
    });
    writing.losses.seal_answer(body)
}

/// The parts, with an id for every call that has none, the seals of calls before them, and a refusal's explanation where the model
/// gave no words for it.
fn complete(choice: &Choice, reply: &mut Reply, writing: &mut Writing<'_>) -> Vec<Part> {
    let mut parts = choice.parts.to_vec();
    if writing.same() {
        return parts;
    }
    for part in &mut parts {
        with_id(part, reply);
    }
    let refused = parts.iter().any(|part| matches!(part.kind, PartKind::Refusal(_)));
    let why = choice.stop.as_ref().and_then(explanation).filter(|_| !refused);
    parts.extend(why.map(|why| Part::new(PartKind::Refusal(why.to_owned()))));
    seals::with_seals_before(parts)
}

/// Clients answer calls by their ids.
pub(super) fn with_id(part: &mut Part, reply: &mut Reply) {
    if let PartKind::ToolCall(call) = &mut part.kind {
        call.id.get_or_insert_with(|| reply.ids.next("call_"));
    }
}

/// The explanation of a stop that is a refusal.
pub(super) fn explanation(stop: &Stop) -> Option<&str> {
    stop.detail.as_deref().filter(|_| stop.reason == StopReason::Refusal)
}

fn items(
    parts: &[Part],
    reply: &mut Reply,
    logprobs: &[crate::hub::TokenLogprob],
    writing: &mut Writing<'_>,
) -> Vec<String> {
    let same = writing.same();
    let mut texts = Vec::new();
    let mut logprobs = Some(logprobs);
    for parts in parts.chunk_by(|before, part| goes_on(before, part, same)) {
        let sort = parts.first().map_or(Sort::Unsayable, Sort::of);
        let id = known_id(parts).filter(|_| same).or_else(|| (!same).then(|| reply.ids.next(sort.prefix())));
        let tokens = if sort == Sort::Message { logprobs.take() } else { None };
        texts.extend(item(parts, id.as_deref(), tokens.unwrap_or_default(), writing));
    }
    texts
}

/// The word for how it ended. `None` if an answer in this dialect had none.
pub(super) fn status<'s>(stop: Option<&'s Stop>, writing: &mut Writing<'_>) -> Option<&'s str> {
    let Some(stop) = stop else { return (!writing.same()).then_some("completed") };
    if let Some(word) = stop.word_of(RESPONSES) {
        return Some(word);
    }
    let status = if unfinished(stop.reason).is_some() { "incomplete" } else { "completed" };
    if matches!(stop.reason, StopReason::Pause | StopReason::Malformed | StopReason::Unknown) {
        let why = format!("the reason {:?} became {status}", stop.reason);
        writing.losses.add("status", LossKind::Approximated, why);
    }
    Some(status)
}

/// Why an answer is incomplete, if it is.
fn unfinished(reason: StopReason) -> Option<&'static str> {
    match reason {
        // A paused turn is not complete, and that is all there is to say it.
        StopReason::Length | StopReason::Window | StopReason::Pause => Some("max_output_tokens"),
        StopReason::Filter | StopReason::Refusal => Some("content_filter"),
        _ => None,
    }
}

/// The members with which a response begins.
pub(super) fn head(o: &mut Obj<'_>, head: &Head, status: Option<&str>, reply: &mut Reply) {
    let kept = |name: &str| reply.source == RESPONSES && head.extra.get(RESPONSES, name).is_some();
    match &head.id {
        Some(id) => o.text("id", id),
        None if kept("id") => {}
        None => o.text("id", &reply.ids.next("resp_")),
    }
    if !kept("object") {
        o.text("object", "response");
    }
    match head.created {
        Some(created) => o.count("created_at", created),
        None if kept("created_at") => {}
        None => o.count("created_at", reply.now),
    }
    o.opt_text("status", status);
    match &head.model {
        Some(model) => o.text("model", model),
        None if kept("model") => {}
        None => o.text("model", &reply.model),
    }
    o.opt_text("service_tier", head.tier.as_ref().map(Tier::word));
}

/// The members with which a response ends: its own, or the echo of the request, and what every
/// response has.
pub(super) fn tail(o: &mut Obj<'_>, head: &Head, stop: Option<&Stop>, reply: &Reply) {
    if reply.source == RESPONSES {
        return o.extra(&head.extra, RESPONSES);
    }
    if let Some(why) = stop.and_then(|stop| unfinished(stop.reason)) {
        o.object("incomplete_details", |o| o.text("reason", why));
    }
    o.extra(&head.extra, RESPONSES);
    let has = |name: &str| head.extra.get(RESPONSES, name).is_some();
    for (name, usual) in USUAL {
        if !has(name) && !o.wrote(name) {
            o.raw(name, usual);
        }
    }
}

/// What every response has, and what it is if nobody says.
const USUAL: [(&str, &str); 16] = [
    ("error", "null"),
    ("incomplete_details", "null"),
    ("instructions", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("temperature", "null"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_p", "null"),
    ("background", "false"),
    ("max_output_tokens", "null"),
    ("previous_response_id", "null"),
    ("reasoning", "null"),
    ("store", "false"),
    ("truncation", "\"disabled\""),
    ("usage", "null"),
];

/// Writes `usage`: as it was, or in this dialect's members.
pub(super) fn usage(o: &mut Obj<'_>, spent: &Spent) {
    if let Some(json) = spent.native.as_ref().and_then(|native| native.of(RESPONSES)) {
        return o.raw("usage", json.as_str());
    }
    let Usage { input, cached, cache_write, output, reasoning, .. } = spent.tokens;
    o.object("usage", |o| {
        o.count("input_tokens", input);
        o.object("input_tokens_details", |o| {
            o.count("cached_tokens", cached);
            o.count("cache_write_tokens", cache_write);
        });
        o.count("output_tokens", output);
        o.object("output_tokens_details", |o| o.count("reasoning_tokens", reasoning));
        o.count("total_tokens", input.saturating_add(output));
    });
}
