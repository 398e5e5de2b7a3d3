//! One part of a stream being written: each delta's members.

use super::encode_answer::write_citation;
use super::form::{BARE, CHAT, DETAILS, LEGACY, LIST, NO_TYPE, RAW, REASONING, REASONING_CONTENT};
use super::{said, thinking};
use crate::hub::write::{self, Obj};
use crate::hub::{CallKind, Delta, Dialect, Extra, Part, PartKind, Seal, Source, Text};

const SIGNED: &str = "reasoning.text";
const SUMMARY: &str = "reasoning.summary";
const ENCRYPTED: &str = "reasoning.encrypted";

/// What must be known of a part to write more of it.
#[derive(Debug)]
pub(super) struct PartOut {
    pub(super) kind: Saying,
    /// The members it is written in.
    pub(super) bits: u16,
    /// A detail's own members, its number among them if it came in this dialect.
    extra: Extra,
    /// The numbers of another dialect's details, by their types: clients put together what has the same.
    numbers: Vec<(&'static str, u64)>,
    same: bool,
    format: Option<&'static str>,
    id: Option<String>,
    summary: bool,
    /// Something was added to it.
    pub(super) filled: bool,
    /// How many characters of the message's text stand before a text's.
    before: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saying {
    Text,
    Thinking,
    Refusal,
    Audio,
    Call { number: u64, kind: CallKind },
    Nothing,
}

impl PartOut {
    pub(super) fn new(shell: &Part, number: u64, same: bool) -> Self {
        let written = shell.form.bits(CHAT);
        let kind = match &shell.kind {
            PartKind::Text(_) => Saying::Text,
            PartKind::Thinking(_) => Saying::Thinking,
            PartKind::Refusal(_) => Saying::Refusal,
            PartKind::Audio(_) => Saying::Audio,
            PartKind::ToolCall(call) => Saying::Call { number, kind: call.kind },
            _ => Saying::Nothing,
        };
        let bits = match &shell.kind {
            PartKind::Thinking(_) if written == 0 => thinking::default_bits(shell),
            _ => written,
        };
        let (mut extra, mut format, mut id, mut summary) = (shell.extra.clone(), None, None, false);
        if let PartKind::Thinking(thought) = &shell.kind {
            (summary, id) = (thought.summary, thought.id.clone());
            if !same {
                format = thinking::format_of(thought.origin);
                extra = Extra::default();
            }
        }
        Self { kind, bits, extra, numbers: Vec::new(), same, format, id, summary, filled: false, before: 0 }
    }

    /// For a text behind so many characters of the message's text.
    pub(super) fn behind(self, before: u64) -> Self {
        Self { before, ..self }
    }

    /// How many characters this adds to the message's text, if that is one string.
    pub(super) fn length(&self, delta: &Delta) -> u64 {
        match (self.kind, delta) {
            (Saying::Text, Delta::Text(text)) if self.bits & LIST == 0 => text.chars().count() as u64,
            _ => 0,
        }
    }

    /// The delta that adds this, if this dialect can say it. `next` is the number of the choice's next
    /// detail.
    pub(super) fn write(&mut self, delta: &Delta, next: &mut u64) -> Option<String> {
        Some(match (self.kind, delta) {
            (Saying::Text, Delta::Text(text)) => write::object(|o| self.text(o, text)),
            (Saying::Text, Delta::Citation(citation)) => {
                write::object(|o| o.array("annotations", |a| a.raw(&write_citation(citation, self.before))))
            }
            (Saying::Text, Delta::Signature(seal)) if seal.origin == Some(Dialect::Gemini) => {
                write::object(|o| google(o, seal))
            }
            (Saying::Refusal, Delta::Text(text)) => write::object(|o| o.text("refusal", text)),
            (Saying::Thinking, Delta::Text(text)) => self.thought(text, next),
            (Saying::Thinking, Delta::Signature(seal)) => details(&self.detail(SIGNED, "signature", &seal.text, next)),
            (Saying::Thinking, Delta::Encrypted(seal)) => details(&self.detail(ENCRYPTED, "data", &seal.text, next)),
            (Saying::Thinking, Delta::Extra(extra)) => {
                self.extra.update(extra.clone());
                return None;
            }
            (Saying::Audio, Delta::Data(data)) => audio(|o| o.text("data", data)),
            (Saying::Audio, Delta::Transcript(text)) => audio(|o| o.text("transcript", text)),
            (Saying::Audio, Delta::Extra(extra)) => audio(|o| o.extra(extra, CHAT)),
            (Saying::Call { number, kind }, Delta::Arguments(text)) => self.arguments(number, kind, text),
            // Clients look into the function of every fragment.
            (Saying::Call { number, kind }, Delta::Signature(seal)) if seal.origin == Some(Dialect::Gemini) => {
                let (outer, inner) = names(kind);
                call(number, |o| {
                    o.object(outer, |o| o.text(inner, ""));
                    google(o, seal);
                })
            }
            _ => return None,
        })
    }

    fn text(&self, o: &mut Obj<'_>, text: &str) {
        if self.bits & RAW != 0 && self.bits & LIST == 0 {
            return o.raw("content", text);
        }
        if self.bits & LIST == 0 {
            return o.text("content", text);
        }
        o.array("content", |a| match self.bits & BARE {
            0 => a.object(|o| {
                o.text("type", "text");
                o.text("text", text);
                o.extra(&self.extra, CHAT);
            }),
            _ => a.text(text),
        });
    }

    fn thought(&mut self, text: &str, next: &mut u64) -> String {
        let (kind, member) = if self.summary { (SUMMARY, "summary") } else { (SIGNED, "text") };
        let detail = (self.bits & DETAILS != 0).then(|| self.detail(kind, member, text, next));
        write::object(|o| {
            for (bit, name) in [(REASONING_CONTENT, "reasoning_content"), (REASONING, "reasoning")] {
                if self.bits & bit != 0 {
                    o.text(name, text);
                }
            }
            if let Some(detail) = &detail {
                o.array("reasoning_details", |a| a.raw(detail));
            }
            if self.bits & LIST != 0 {
                o.array("content", |a| {
                    a.object(|o| {
                        o.text("type", "thinking");
                        said::thought_list(o, text);
                        o.extra(&self.extra, CHAT);
                    });
                });
            }
        })
    }

    /// A fragment of a detail. What names it stands in the first alone: clients put fragments together,
    /// texts and names alike.
    fn detail(&mut self, kind: &'static str, member: &'static str, text: &str, next: &mut u64) -> String {
        let known = self.numbers.iter().find(|(known, _)| *known == kind).map(|(_, number)| *number);
        let first = known.is_none() || self.same;
        let number = known.unwrap_or(*next);
        if known.is_none() {
            self.numbers.push((kind, number));
            *next += 1;
        }
        write::object(|o| {
            o.text("type", kind);
            o.text(member, text);
            o.opt_text("id", self.id.as_deref().filter(|_| first));
            o.opt_text("format", self.format.filter(|_| first));
            if !self.same {
                o.count("index", number);
            }
            o.extra(&self.extra, CHAT);
        })
    }

    fn arguments(&self, number: u64, kind: CallKind, text: &str) -> String {
        let (outer, inner) = names(kind);
        let write = |o: &mut Obj<'_>| match self.bits & RAW {
            0 => o.text(inner, text),
            _ => o.raw(inner, text),
        };
        if self.bits & LEGACY != 0 {
            return write::object(|o| o.object("function_call", write));
        }
        call(number, |o| o.object(outer, write))
    }
}

fn details(detail: &str) -> String {
    write::object(|o| o.array("reasoning_details", |a| a.raw(detail)))
}

fn names(kind: CallKind) -> (&'static str, &'static str) {
    match kind {
        CallKind::Function => ("function", "arguments"),
        CallKind::Custom => ("custom", "input"),
    }
}

fn call(number: u64, fill: impl FnOnce(&mut Obj<'_>)) -> String {
    write::object(|o| {
        o.array("tool_calls", |a| {
            a.object(|o| {
                o.count("index", number);
                fill(o);
            });
        });
    })
}

/// The delta with which a call begins, with Google's seal of it.
pub(super) fn call_start(shell: &Part, id: &str, number: u64, kind: CallKind, seal: Option<&Seal>) -> String {
    let (outer, inner) = names(kind);
    let (name, extra) = match &shell.kind {
        PartKind::ToolCall(call) => (call.name.as_str(), call.extra.clone()),
        _ => ("", Extra::default()),
    };
    let function = |o: &mut Obj<'_>| {
        o.text("name", name);
        if !shell.form.has(CHAT, RAW) {
            o.text(inner, "");
        }
        o.extra(&extra, CHAT);
    };
    if shell.form.has(CHAT, LEGACY) {
        return write::object(|o| o.object("function_call", function));
    }
    call(number, |o| {
        o.text("id", id);
        if !shell.form.has(CHAT, NO_TYPE) {
            o.text("type", outer);
        }
        o.object(outer, function);
        if let Some(seal) = seal {
            google(o, seal);
        }
        o.extra(&shell.extra, CHAT);
    })
}

fn audio(fill: impl FnOnce(&mut Obj<'_>)) -> String {
    write::object(|o| o.object("audio", fill))
}

fn google(o: &mut Obj<'_>, seal: &Seal) {
    o.object("extra_content", |o| o.object("google", |o| o.text("thought_signature", &seal.text)));
}

/// What a shell holds already, as what is added to it.
pub(super) fn shell_deltas(shell: &Part) -> Vec<Delta> {
    let mut deltas = Vec::new();
    match &shell.kind {
        PartKind::Text(Text { text, citations }) => {
            deltas.push(Delta::Text(text.clone()));
            deltas.extend(citations.iter().cloned().map(Delta::Citation));
        }
        PartKind::Refusal(text) => deltas.push(Delta::Text(text.clone())),
        PartKind::Thinking(thinking) => {
            deltas.push(Delta::Text(thinking.text.clone()));
            deltas.extend(thinking.encrypted.clone().map(Delta::Encrypted));
        }
        PartKind::ToolCall(call) => {
            deltas.extend(shell.signature.clone().map(Delta::Signature));
            deltas.push(Delta::Arguments(call.arguments.clone()));
        }
        PartKind::Audio(media) => {
            if let Source::Base64(data) = &media.source {
                deltas.push(Delta::Data(data.clone()));
            }
            deltas.extend(media.transcript.clone().map(Delta::Transcript));
        }
        _ => {}
    }
    if !matches!(shell.kind, PartKind::ToolCall(_)) {
        deltas.extend(shell.signature.clone().map(Delta::Signature));
    }
    deltas.retain(
        |delta| !matches!(delta, Delta::Text(text) | Delta::Arguments(text) | Delta::Data(text) if text.is_empty()),
    );
    deltas
}
