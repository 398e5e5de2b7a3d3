//! Thoughts: `reasoningContent`, read and written.
//!
//! What is redacted is a text of the model behind Bedrock, which Bedrock writes as base64 once
//! more. The seal is that text itself: it is what the model's own API calls it, and the pieces of
//! a stream can be put together.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::encode_request::Writing;
use super::form::{BEDROCK, RAW, bit_if, form};
use crate::hub::write::{self, Obj};
use crate::hub::{Dialect, Part, PartKind, ReasoningReplay, Request, Role, Seal, Thinking, Turn};

/// Thoughts in words.
pub(super) fn said(text: String) -> Part {
    Part::new(PartKind::Thinking(Thinking { text, origin: Some(BEDROCK), ..Thinking::default() }))
}

/// Thoughts that only the model can read.
pub(super) fn redacted(data: &str) -> Part {
    let text = unwrap(data);
    let raw = text.is_none();
    let seal = Seal { text: text.unwrap_or_else(|| data.to_owned()), origin: Some(BEDROCK) };
    let thinking = Thinking { encrypted: Some(seal), redacted: true, origin: Some(BEDROCK), ..Thinking::default() };
    Part { form: form(bit_if(raw, RAW)), ..Part::new(PartKind::Thinking(thinking)) }
}

/// The text within the base64, if it is one and comes back as it was.
fn unwrap(data: &str) -> Option<String> {
    let text = String::from_utf8(STANDARD.decode(data).ok()?).ok()?;
    (STANDARD.encode(&text) == data).then_some(text)
}

/// Whether the model's last turn called tools without the thoughts that led there, or with seals
/// that cannot be sent back: a model told to think refuses such a turn.
pub(super) fn is_missing(request: &Request) -> bool {
    let asks = |turn: &Turn| matches!(turn.role, Role::User | Role::Tool);
    let since = request.turns.iter().rposition(|turn| {
        asks(turn) && turn.parts.iter().any(|part| !matches!(part.kind, PartKind::ToolResult(_)) && !part.is_blank())
    });
    let answered = request.turns.iter().skip(since.map_or(0, |at| at + 1)).find(|turn| turn.role == Role::Assistant);
    let Some(turn) = answered else { return false };
    let called = turn.parts.iter().any(|part| matches!(part.kind, PartKind::ToolCall(_)));
    let thought = turn.parts.iter().any(|part| match &part.kind {
        PartKind::Thinking(thinking) => part.signature.as_ref().or(thinking.encrypted.as_ref()).is_some_and(is_ours),
        _ => false,
    });
    called && !thought
}

/// Whether this dialect's provider made the seal: Bedrock's are those of the model behind it.
fn is_ours(seal: &Seal) -> bool {
    matches!(seal.origin, Some(Dialect::Bedrock | Dialect::Anthropic))
}

/// The block of a part's thoughts, if they may be sent back.
pub(super) fn block(part: &Part, thinking: &Thinking, writing: &mut Writing<'_>) -> Option<String> {
    if !writing.same() && !may_replay(part, thinking, writing) {
        return None;
    }
    Some(write::object(|o| {
        o.object("reasoningContent", |o| inner(o, part, thinking));
        o.extra(&part.extra, BEDROCK);
    }))
}

fn inner(o: &mut Obj<'_>, part: &Part, thinking: &Thinking) {
    match &thinking.encrypted {
        Some(seal) if part.form.has(BEDROCK, RAW) => o.text("redactedContent", &seal.text),
        Some(seal) => o.text("redactedContent", &STANDARD.encode(&seal.text)),
        None => o.object("reasoningText", |o| {
            o.text("text", &thinking.text);
            o.opt_text("signature", part.signature.as_ref().map(|seal| seal.text.as_str()));
        }),
    }
}

/// Thoughts with a seal of this provider's are sent back, and others where the model takes them
/// without.
fn may_replay(part: &Part, thinking: &Thinking, writing: &mut Writing<'_>) -> bool {
    let replay = writing.capabilities().reasoning_replay;
    let why = match part.signature.as_ref().or(thinking.encrypted.as_ref()) {
        _ if replay == ReasoningReplay::Never => "the model takes no thoughts back",
        Some(seal) if is_ours(seal) => return true,
        Some(_) => "sealed by another provider",
        None if replay == ReasoningReplay::AsWritten => "the model takes back what it has sealed alone",
        None => return true,
    };
    writing.losses.drop_part(part, why);
    false
}
