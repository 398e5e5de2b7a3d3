//! A chat completion, written whole.

use super::encode_request::Writing;
use super::form::{CHAT, LEGACY};
use crate::hub::write::{self, Obj};
use crate::hub::{
    Answer, Capabilities, Choice, Citation, Encoded, Extra, Head, Logprobs, LossKind, Losses, Part, PartKind, Place,
    Reply, Spent, Stop, StopReason, Target, Text, Tier, TokenLogprob,
};
use crate::usage::Usage;

/// Writes an answer for a caller who speaks this dialect. An answer that came in it is written as
/// it was, member for member. Never fails: what cannot be said is a loss.
#[must_use]
pub fn encode_answer(answer: &Answer, reply: &mut Reply) -> Encoded {
    let capabilities = Capabilities::default();
    let target = Target { model: "", capabilities: &capabilities, caller: reply.source };
    let mut writing = Writing { losses: Losses::new(reply.source, CHAT), target: &target, answer: true };
    let body = write::object(|o| {
        head(o, &answer.head, "chat.completion", reply);
        let choices: Vec<String> =
            answer.choices.iter().map(|choice| one_choice(choice, reply, &mut writing)).collect();
        o.raw("choices", &format!("[{}]", choices.join(",")));
        if let Some(spent) = &answer.usage {
            usage(o, spent, None);
        }
        o.opt_text("service_tier", answer.head.tier.as_ref().map(Tier::word));
        writing.losses.extra(&answer.head.extra, &Place::root());
        o.extra(&answer.head.extra, CHAT);
    });
    writing.losses.seal_answer(body)
}

/// The members with which every answer and every chunk begins.
pub(super) fn head(o: &mut Obj<'_>, head: &Head, object: &str, reply: &mut Reply) {
    match &head.id {
        Some(id) => o.text("id", id),
        None if kept(&head.extra, "id", reply) => {}
        None => o.text("id", &reply.ids.next("chatcmpl-")),
    }
    if !kept(&head.extra, "object", reply) {
        o.text("object", object);
    }
    match head.created {
        Some(created) => o.count("created", created),
        None if kept(&head.extra, "created", reply) => {}
        None => o.count("created", reply.now),
    }
    match &head.model {
        Some(model) => o.text("model", model),
        None if kept(&head.extra, "model", reply) => {}
        None => o.text("model", &reply.model),
    }
}

/// Whether the answer came in this dialect and holds the member in a way of its own.
fn kept(extra: &Extra, name: &str, reply: &Reply) -> bool {
    reply.source == CHAT && extra.get(CHAT, name).is_some()
}

fn one_choice(choice: &Choice, reply: &mut Reply, writing: &mut Writing<'_>) -> String {
    write::object(|o| {
        if choice.extra.get(CHAT, "index").is_none() {
            o.count("index", u64::from(choice.index));
        }
        let parts = with_ids(&choice.parts, reply);
        o.object("message", |o| message(o, choice, &parts, writing));
        if let Some(logprobs) = &choice.logprobs {
            o.object("logprobs", |o| write_logprobs(o, logprobs));
        } else if !writing.same() {
            o.null("logprobs");
        }
        if let Some(stop) = &choice.stop {
            o.text("finish_reason", word(stop, &parts, writing));
        }
        writing.losses.extra(&choice.extra, &Place::root().member("choices"));
        o.extra(&choice.extra, CHAT);
    })
}

/// The parts, with an id for every call that has none: clients answer calls by their ids.
fn with_ids(parts: &[Part], reply: &mut Reply) -> Vec<Part> {
    let mut parts = parts.to_vec();
    for part in parts.iter_mut().filter(|part| !part.form.has(CHAT, LEGACY)) {
        if let PartKind::ToolCall(call) = &mut part.kind {
            call.id.get_or_insert_with(|| reply.ids.next("call_"));
        }
    }
    parts
}

fn message(o: &mut Obj<'_>, choice: &Choice, said: &[Part], writing: &mut Writing<'_>) {
    if choice.message_extra.get(CHAT, "role").is_none() {
        o.text("role", "assistant");
    }
    super::said::write(o, said, writing);
    for part in said.iter().filter(|part| unsayable(part)) {
        writing.losses.drop_part(part, "an answer in this dialect has none");
    }
    let citations = citations(said, writing.answer);
    if !citations.is_empty() {
        o.raw("annotations", &format!("[{}]", citations.join(",")));
    }
    if let Some(why) = refusal(choice, writing) {
        o.text("refusal", why);
    }
    if !writing.same() {
        o.null("content");
        o.null("refusal");
    }
    writing.losses.extra(&choice.message_extra, &Place::root().member("choices"));
    o.extra(&choice.message_extra, CHAT);
}

/// The provider's explanation of a refusal, where the model gave no words for it.
fn refusal<'c>(choice: &'c Choice, writing: &Writing<'_>) -> Option<&'c str> {
    let said = choice.parts.iter().any(|part| matches!(part.kind, PartKind::Refusal(_)));
    if said || writing.same() { None } else { explanation(choice.stop.as_ref()?) }
}

/// The explanation of a stop that is a refusal.
pub(super) fn explanation(stop: &Stop) -> Option<&str> {
    stop.detail.as_deref().filter(|_| stop.reason == StopReason::Refusal)
}

/// What a model may say elsewhere and not here: pictures, files, another provider's own parts.
pub(super) fn unsayable(part: &Part) -> bool {
    match &part.kind {
        PartKind::Image(_) | PartKind::Video(_) | PartKind::Document(_) => part.form.bits(CHAT) == 0,
        PartKind::ToolResult(_) => true,
        _ => false,
    }
}

/// The annotations of the texts. Where those are joined to one, passages are counted from its start.
fn citations(parts: &[Part], answer: bool) -> Vec<String> {
    let joined = super::said::is_joined(&super::said::content(parts, answer));
    let (mut all, mut before) = (Vec::new(), 0);
    for part in parts {
        if let PartKind::Text(Text { text, citations }) = &part.kind {
            all.extend(citations.iter().map(|citation| write_citation(citation, before)));
            before += if joined { text.chars().count() as u64 } else { 0 };
        }
    }
    all
}

/// One annotation, of a text that stands behind `before` characters.
pub(super) fn write_citation(citation: &Citation, before: u64) -> String {
    if let Some(json) = citation.raw.as_ref().and_then(|raw| raw.of(CHAT)) {
        return json.as_str().to_owned();
    }
    write::object(|o| {
        o.text("type", "url_citation");
        o.object("url_citation", |o| {
            // Without a passage it is of no place: zero, which is nowhere.
            o.count("start_index", citation.start.map_or(0, |start| start.saturating_add(before)));
            o.count("end_index", citation.end.map_or(0, |end| end.saturating_add(before)));
            o.text("title", citation.title.as_deref().unwrap_or_default());
            o.text("url", citation.url.as_deref().unwrap_or_default());
            o.opt_text("content", citation.quote.as_deref());
        });
    })
}

/// The word for why it ended.
pub(super) fn word<'s>(stop: &'s Stop, parts: &[Part], writing: &mut Writing<'_>) -> &'s str {
    if let Some(word) = stop.word_of(CHAT) {
        return word;
    }
    let (word, exact) = reason_word(stop.reason);
    if !exact {
        let why = format!("the reason {:?} became {word}", stop.reason);
        writing.losses.add("choices.finish_reason", LossKind::Approximated, why);
    }
    let legacy = parts.iter().any(|part| part.form.has(CHAT, LEGACY));
    if legacy && word == "tool_calls" { "function_call" } else { word }
}

/// The word for a reason, and whether it says the same.
pub(crate) fn reason_word(reason: StopReason) -> (&'static str, bool) {
    match reason {
        StopReason::End | StopReason::Sequence => ("stop", true),
        StopReason::Length | StopReason::Window => ("length", true),
        StopReason::ToolUse => ("tool_calls", true),
        StopReason::Filter | StopReason::Refusal => ("content_filter", true),
        StopReason::Pause => ("length", false),
        StopReason::Malformed | StopReason::Unknown => ("stop", false),
    }
}

/// Writes log probabilities.
pub(super) fn write_logprobs(o: &mut Obj<'_>, logprobs: &Logprobs) {
    for (name, tokens) in [("content", &logprobs.content), ("refusal", &logprobs.refusal)] {
        if !tokens.is_empty() {
            o.array(name, |a| tokens.iter().for_each(|token| a.object(|o| write_token(o, token))));
        } else if logprobs.extra.get(CHAT, name).is_none() {
            o.null(name);
        }
    }
    o.extra(&logprobs.extra, CHAT);
}

fn write_token(o: &mut Obj<'_>, token: &TokenLogprob) {
    o.text("token", &token.token);
    o.opt_num("logprob", Some(&token.logprob));
    o.opt_json("bytes", token.bytes.as_ref());
    if !token.top.is_empty() {
        o.array("top_logprobs", |a| token.top.iter().for_each(|token| a.object(|o| write_token(o, token))));
    }
    o.extra(&token.extra, CHAT);
}

/// Writes `usage`: as it was, or in this dialect's members, with what it cost in dollars where the
/// head of a stream came before that was known.
pub(crate) fn usage(o: &mut Obj<'_>, spent: &Spent, cost: Option<&str>) {
    if let Some(json) = spent.native.as_ref().and_then(|native| native.of(CHAT)) {
        return o.raw("usage", json.as_str());
    }
    let Usage { input, cached, cache_write, output, reasoning, audio_input, audio_output, .. } = spent.tokens;
    o.object("usage", |o| {
        o.count("prompt_tokens", input);
        o.count("completion_tokens", output);
        o.count("total_tokens", input.saturating_add(output));
        o.object("prompt_tokens_details", |o| {
            o.count("cached_tokens", cached);
            o.count("cache_write_tokens", cache_write);
            o.count("audio_tokens", audio_input);
        });
        o.object("completion_tokens_details", |o| {
            o.count("reasoning_tokens", reasoning);
            o.count("audio_tokens", audio_output);
        });
        o.opt_text("cost_usd", cost);
    });
}
