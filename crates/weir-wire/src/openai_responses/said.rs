//! What the model says, written as items.

use super::call::member;
use super::form::{CONTINUES, HOLLOW, NO_ARGUMENTS, NO_TYPE, RAW, RESPONSES, SEALED_BEFORE};
use super::item::{kept, kept_id};
use super::parts;
use super::seals::{self, Sealed};
use super::written::Writing;
use crate::hub::write::{self, Obj};
use crate::hub::{CallKind, Dialect, Part, PartKind, ReasoningReplay, Seal, Source, Thinking, TokenLogprob, ToolCall};

/// What sort of item a part is, or is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Message,
    Reasoning,
    Call(CallKind),
    /// A picture the model made.
    Picture,
    /// An item of this dialect's own.
    Own,
    /// None that this dialect has.
    Unsayable,
}

impl Sort {
    /// Of a part of an answer or of an assistant's turn.
    pub(super) fn of(part: &Part) -> Self {
        match &part.kind {
            PartKind::Text(_) | PartKind::Refusal(_) => Self::Message,
            PartKind::Opaque(opaque) if opaque.native.of(RESPONSES).is_none() => Self::Unsayable,
            PartKind::Opaque(_) if part.form.bits(RESPONSES) == 0 => Self::Own,
            PartKind::Opaque(_) => Self::Message,
            PartKind::Thinking(_) => Self::Reasoning,
            PartKind::ToolCall(call) => Self::Call(call.kind),
            PartKind::Image(media) => match (&media.source, part.form.bits(RESPONSES)) {
                (_, bits) if bits != 0 => Self::Message,
                (Source::Base64(_), _) => Self::Picture,
                _ => Self::Unsayable,
            },
            PartKind::Audio(_) | PartKind::Document(_) if part.form.bits(RESPONSES) != 0 => Self::Message,
            PartKind::Audio(_) | PartKind::Video(_) | PartKind::Document(_) | PartKind::ToolResult(_) => {
                Self::Unsayable
            }
        }
    }

    /// What the ids of such items begin with.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Message => "msg_",
            Self::Reasoning => "rs_",
            Self::Call(CallKind::Function) => "fc_",
            Self::Call(CallKind::Custom) => "ctc_",
            Self::Picture => "ig_",
            Self::Own | Self::Unsayable => "item_",
        }
    }
}

/// Whether a part belongs to the item of the part before it.
pub(super) fn goes_on(before: &Part, part: &Part, same: bool) -> bool {
    if same {
        return part.form.has(RESPONSES, CONTINUES);
    }
    match (&before.kind, &part.kind) {
        (PartKind::Thinking(before), PartKind::Thinking(part)) => before.id.is_some() && before.id == part.id,
        _ => Sort::of(before) == Sort::Message && Sort::of(part) == Sort::Message,
    }
}

/// The id an item has, if it has one.
pub(super) fn known_id(parts: &[Part]) -> Option<String> {
    let first = parts.first()?;
    match &first.kind {
        PartKind::Thinking(thinking) => thinking.id.clone(),
        PartKind::ToolCall(_) => {
            let json = first.extra.get(RESPONSES, "id")?;
            json.to_value().as_str().map(str::to_owned)
        }
        _ => kept_id(first),
    }
}

/// An item of these parts; `None` if there is nothing to say or no way to say it. An id stands in
/// it if there is one, an end (`completed`) if it is another dialect's answer.
pub(super) fn item(
    parts: &[Part],
    id: Option<&str>,
    logprobs: &[TokenLogprob],
    writing: &mut Writing<'_>,
) -> Option<String> {
    let first = parts.first()?;
    if !writing.same() && parts.iter().all(Part::is_blank) {
        return None;
    }
    match (Sort::of(first), &first.kind) {
        (Sort::Message, _) => Some(message(parts, id, logprobs, writing)),
        (Sort::Reasoning, _) => reasoning(parts, id, writing),
        (Sort::Call(_), PartKind::ToolCall(call)) => Some(tool_call(first, call, id, writing)),
        (Sort::Picture, PartKind::Image(media)) if writing.answer => {
            let Source::Base64(data) = &media.source else { return None };
            Some(write::object(|o| {
                head(o, "image_generation_call", id, writing);
                o.text("result", data);
            }))
        }
        (Sort::Own, PartKind::Opaque(opaque)) => opaque.native.of(RESPONSES).map(|json| json.as_str().to_owned()),
        _ => {
            unsayable(first, writing);
            None
        }
    }
}

/// What the model said with its own hands is lost, what it was shown is missed.
fn unsayable(part: &Part, writing: &mut Writing<'_>) {
    match &part.kind {
        PartKind::Opaque(_) => writing.losses.drop_part(part, "cannot be said in this dialect"),
        _ if writing.answer => writing.losses.drop_part(part, "an answer in this dialect has none"),
        _ => writing.losses.refuse_part(part, "cannot be said by the model in this dialect"),
    }
}

/// The members with which an item begins.
fn head(o: &mut Obj<'_>, kind: &str, id: Option<&str>, writing: &Writing<'_>) {
    o.text("type", kind);
    o.opt_text("id", id);
    if writing.answer && !writing.same() {
        o.text("status", "completed");
    }
}

fn message(parts: &[Part], id: Option<&str>, logprobs: &[TokenLogprob], writing: &mut Writing<'_>) -> String {
    let same = writing.same();
    write::object(|o| {
        let typed = parts.first().is_none_or(|part| !part.form.has(RESPONSES, NO_TYPE));
        if typed {
            head(o, "message", id, writing);
        } else {
            o.opt_text("id", id);
        }
        o.text("role", "assistant");
        said(o, parts, logprobs, writing);
        if let Some(seal) = parts.iter().find_map(|part| google_seal(part, writing)) {
            seals::write_google(o, seal);
        }
        if let Some(last) = parts.last().filter(|_| same) {
            o.extra(&kept(last), RESPONSES);
        }
    })
}

fn said(o: &mut Obj<'_>, all: &[Part], logprobs: &[TokenLogprob], writing: &mut Writing<'_>) {
    let same = writing.same();
    match all {
        [only] if only.form.has(RESPONSES, HOLLOW) => {
            if !same {
                o.array("content", |_| {});
            }
        }
        [only] if parts::is_bare(only) && (same || !writing.answer) => {
            parts::note(only, writing);
            o.text("content", only.as_text().unwrap_or_default());
        }
        all => o.array("content", |a| {
            let mut logprobs = Some(logprobs);
            for part in all.iter().filter(|part| same || !part.is_blank()) {
                let tokens = if part.as_text().is_some() { logprobs.take() } else { None };
                parts::listed(a, part, true, tokens.unwrap_or_default(), writing);
            }
        }),
    }
}

/// Google's seal, which goes to callers and back to whoever wrote it here.
fn google_seal<'p>(part: &'p Part, writing: &mut Writing<'_>) -> Option<&'p Seal> {
    let seal = part.signature.as_ref()?;
    let written = writing.same() && !part.form.has(RESPONSES, SEALED_BEFORE);
    if seal.origin == Some(Dialect::Gemini) && (writing.answer || written) {
        return Some(seal);
    }
    writing.losses.drop_part(part, "its seal is for its maker");
    None
}

/// A reasoning item. A provider is told its own thoughts alone, unless it takes others in words.
fn reasoning(all: &[Part], id: Option<&str>, writing: &mut Writing<'_>) -> Option<String> {
    let same = writing.same();
    let thoughts = || all.iter().filter_map(|part| Some((part, thinking(part)?)));
    let seal = thoughts().find_map(|(part, thinking)| sealed(part, thinking));
    let own = seal.as_ref().is_some_and(|(seal, _)| seal.origin == Some(RESPONSES));
    if !writing.answer && !takes_back(all, seal.as_ref().map(|(seal, _)| seal), writing) {
        return None;
    }
    // What a caller is shown of another dialect's thoughts is a summary: clients show those, and
    // whether a seal follows is not known when a stream begins.
    let shortened = writing.answer && !same;
    let shown = |part: &Part, thinking: &Thinking| match same {
        true => !part.form.has(RESPONSES, HOLLOW),
        false => !thinking.text.is_empty(),
    };
    let list = |summary: bool| -> Vec<(&Part, &Thinking)> {
        thoughts().filter(|(part, t)| shown(part, t) && (t.summary || shortened) == summary).collect()
    };
    // Members beside the words, the seal and the id are how another dialect spelt them.
    Some(write::object(|o| {
        o.text("type", "reasoning");
        o.opt_text("id", id);
        write_thoughts(o, "summary", "summary_text", &list(true), !same);
        write_thoughts(o, "content", "reasoning_text", &list(false), false);
        match seal {
            Some((seal, _)) if own => o.text("encrypted_content", &seal.text),
            Some((seal, sealed)) if writing.answer => o.text("encrypted_content", &seals::mark(&seal, sealed)),
            _ => {}
        }
        if let Some(last) = all.last().filter(|_| same) {
            o.extra(&kept(last), RESPONSES);
        }
    }))
}

fn thinking(part: &Part) -> Option<&Thinking> {
    match &part.kind {
        PartKind::Thinking(thinking) => Some(thinking),
        _ => None,
    }
}

/// What seals a thought: its encrypted form, or the signature of its words.
fn sealed(part: &Part, thinking: &Thinking) -> Option<(Seal, Sealed)> {
    let encrypted = thinking.encrypted.clone().map(|seal| (seal, Sealed::Encrypted));
    encrypted.or_else(|| part.signature.clone().map(|seal| (seal, Sealed::Signature)))
}

/// Whether the provider takes these thoughts back.
fn takes_back(all: &[Part], seal: Option<&Seal>, writing: &mut Writing<'_>) -> bool {
    let Some(first) = all.first() else { return false };
    let replay = writing.capabilities().reasoning_replay;
    let taken = match seal.map(|seal| seal.origin) {
        _ if replay == ReasoningReplay::Never => false,
        Some(Some(RESPONSES)) => true,
        Some(_) => false,
        None if writing.same() => !is_foreign(first),
        None => replay != ReasoningReplay::AsWritten,
    };
    if !taken {
        let why = if seal.is_some() { "its seal is for its maker" } else { "the model takes no thoughts back" };
        writing.losses.drop_part(first, why);
    }
    taken
}

/// Whether another maker's model thought it, which its marked seal told.
fn is_foreign(part: &Part) -> bool {
    thinking(part).and_then(|thinking| thinking.origin).is_some_and(|origin| origin != RESPONSES)
}

fn write_thoughts(o: &mut Obj<'_>, name: &'static str, kind: &str, thoughts: &[(&Part, &Thinking)], always: bool) {
    if thoughts.is_empty() && !always {
        return;
    }
    o.array(name, |a| {
        for (part, thinking) in thoughts {
            a.object(|o| thought(o, kind, part, thinking));
        }
    });
}

/// One element of a reasoning item's lists.
pub(super) fn thought(o: &mut Obj<'_>, kind: &str, part: &Part, thinking: &Thinking) {
    o.text("type", kind);
    o.text("text", &thinking.text);
    let mut extra = part.extra.clone();
    extra.remove(RESPONSES, super::form::ITEM);
    o.extra(&extra, RESPONSES);
}

fn tool_call(part: &Part, call: &ToolCall, id: Option<&str>, writing: &mut Writing<'_>) -> String {
    let same = writing.same();
    writing.losses.extra(&part.extra, &part.at);
    writing.losses.extra(&call.extra, &part.at);
    let kind = match call.kind {
        CallKind::Function => "function_call",
        CallKind::Custom => "custom_tool_call",
    };
    write::object(|o| {
        head(o, kind, id, writing);
        o.opt_text("call_id", call.id.as_deref());
        o.text("name", &call.name);
        match &call.arguments {
            raw if part.form.has(RESPONSES, RAW) => o.raw(member(call.kind), raw),
            none if none.is_empty() && part.form.has(RESPONSES, NO_ARGUMENTS) => {}
            // A tool without arguments, as other dialects write it, has an empty object here.
            none if none.is_empty() && call.kind == CallKind::Function && !same => o.text("arguments", "{}"),
            text => o.text(member(call.kind), text),
        }
        if let Some(seal) = google_seal(part, writing) {
            seals::write_google(o, seal);
        }
        o.extra(&part.extra, RESPONSES);
    })
}
