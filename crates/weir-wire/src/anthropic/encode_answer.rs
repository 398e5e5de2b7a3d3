//! A message, written whole.

use super::encode_request::Writing;
use super::form::OWN;
use super::stop::Told;
use super::{blocks, seals, stop, usage};
use crate::hub::write::{self, Obj};
use crate::hub::{
    Answer, Capabilities, Choice, Encoded, Extra, Head, LossKind, Losses, Part, PartKind, Place, Reply, Target,
};

/// Writes an answer for a caller who speaks this dialect. An answer that came in it is written as
/// it was, member for member. Never fails: what cannot be said is a loss.
#[must_use]
pub fn encode_answer(answer: &Answer, reply: &mut Reply) -> Encoded {
    let capabilities = Capabilities::default();
    let target = Target { model: "", capabilities: &capabilities, caller: reply.source };
    let mut writing = Writing::new(&target, true);
    let none = Choice::default();
    let choice = answer.choices.first().unwrap_or(&none);
    if answer.choices.len() > 1 {
        writing.losses.add("choices", LossKind::Dropped, "there is one answer in this dialect: the first");
    }
    note(choice, &mut writing.losses);
    let body = write::object(|o| {
        head(o, &answer.head, reply);
        o.raw("content", &format!("[{}]", blocks_of(&choice.parts, reply, &mut writing).join(",")));
        stop::write(o, choice.stop.as_ref(), &Told::of(&choice.parts), &mut writing.losses);
        if answer.usage.is_some() || !writing.same() {
            usage::write(o, answer.usage.as_ref(), answer.head.tier.as_ref());
        }
        if !writing.same() {
            o.null("stop_reason");
            o.null("stop_sequence");
        }
        writing.losses.extra(&answer.head.extra, &Place::root());
        o.extra(&answer.head.extra, OWN);
    });
    writing.losses.seal_answer(body)
}

/// The blocks of all parts, with those that carry seals of other makers beside them.
fn blocks_of(parts: &[Part], reply: &mut Reply, writing: &mut Writing<'_>) -> Vec<String> {
    let mut texts = Vec::new();
    let mut carried = false;
    for (at, part) in parts.iter().enumerate() {
        if let Some(block) = parts.get(at + 1).and_then(|next| with_seal_of(part, next)) {
            blocks::note(part, writing);
            texts.push(block);
            carried = true;
            continue;
        }
        let text = said(part, reply, writing);
        let before = text.as_ref().filter(|_| !std::mem::take(&mut carried));
        texts.extend(before.and_then(|_| seals::carry_next(part)));
        texts.extend(text);
        texts.extend(seals::carry_last(part));
    }
    texts
}

/// The block of an unsealed thought that carries the seal of the call behind it.
fn with_seal_of(part: &Part, next: &Part) -> Option<String> {
    let PartKind::Thinking(thinking) = &part.kind else { return None };
    if part.signature.is_some() || thinking.text.is_empty() {
        return None;
    }
    let signature = seals::carry_with(thinking, next)?;
    Some(write::object(|o| {
        o.text("type", "thinking");
        o.text("thinking", &thinking.text);
        o.text("signature", &signature);
    }))
}

/// What of a choice this dialect does not say.
fn note(choice: &Choice, losses: &mut Losses) {
    let at = Place::root().member("choices");
    losses.extra(&choice.extra, &at);
    losses.extra(&choice.message_extra, &at);
    if choice.logprobs.is_some() {
        losses.add(at.member("logprobs").as_str(), LossKind::Dropped, "there are none in this dialect");
    }
}

/// The members with which every answer begins.
pub(super) fn head(o: &mut Obj<'_>, head: &Head, reply: &mut Reply) {
    match &head.id {
        Some(id) => o.text("id", id),
        None if kept(&head.extra, "id", reply) => {}
        None => o.text("id", &reply.ids.next("msg_")),
    }
    for (name, word) in [("type", "message"), ("role", "assistant")] {
        if !kept(&head.extra, name, reply) {
            o.text(name, word);
        }
    }
    match &head.model {
        Some(model) => o.text("model", model),
        None if kept(&head.extra, "model", reply) => {}
        None => o.text("model", &reply.model),
    }
}

/// Whether the answer came in this dialect and holds the member in a way of its own.
fn kept(extra: &Extra, name: &str, reply: &Reply) -> bool {
    reply.source == OWN && extra.get(OWN, name).is_some()
}

/// The block of a part; `None` for one that an answer has not in this dialect.
fn said(part: &Part, reply: &mut Reply, writing: &mut Writing<'_>) -> Option<String> {
    if unsayable(part) {
        writing.losses.drop_part(part, "an answer in this dialect has none");
        return None;
    }
    if part.is_blank() && !writing.same() {
        return None;
    }
    match &part.kind {
        PartKind::ToolCall(call) if call.id.is_none() && part.extra.get(OWN, "id").is_none() => {
            let mut part = part.clone();
            if let PartKind::ToolCall(call) = &mut part.kind {
                call.id = Some(reply.ids.next("toolu_"));
            }
            blocks::block(&part, writing)
        }
        _ => blocks::block(part, writing),
    }
}

/// What a model may say elsewhere and not here.
pub(super) fn unsayable(part: &Part) -> bool {
    match &part.kind {
        PartKind::Image(_) | PartKind::Audio(_) | PartKind::Video(_) | PartKind::Document(_) => {
            part.form.bits(OWN) == 0
        }
        PartKind::ToolResult(_) => true,
        _ => false,
    }
}
