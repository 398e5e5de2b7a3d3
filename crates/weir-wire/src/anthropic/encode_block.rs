//! The parts of a streamed message, written as blocks.

use super::encode_answer::unsayable;
use super::encode_request::Writing;
use super::encode_stream::{MAX_HELD, StreamEncoder, emit};
use super::form::{DIRECT, LIST, OWN};
use super::{blocks, citations, seals};
use crate::hub::fold::apply;
use crate::hub::write::{self, Obj};
use crate::hub::{
    CallKind, Capabilities, Delta, Dialect, LossKind, Mode, Node, Opaque, Part, PartKind, Place, Seal, Target, Text,
};
use crate::json::{Kind, quote};

/// The part that is being written.
#[derive(Debug)]
pub(super) struct Open {
    /// What is known of it beside the text that went out.
    part: Part,
    /// Its block has begun.
    begun: bool,
    /// It is written whole at its end.
    held: bool,
    /// Something was added to it.
    filled: bool,
    /// What is added waits for the part's seal, which stands before it: these, of so many bytes.
    waiting: Option<(Vec<Delta>, usize)>,
}

impl Open {
    /// Adds to the part's seals, or to one that is written whole, as far as it can be kept.
    fn seal(&mut self, delta: Delta) {
        let size = |seal: Option<&Seal>| seal.map_or(0, |seal| seal.text.len());
        let encrypted = match &self.part.kind {
            PartKind::Thinking(thinking) => size(thinking.encrypted.as_ref()),
            _ => 0,
        };
        if size(self.part.signature.as_ref()) + encrypted < MAX_HELD {
            apply(&mut self.part, delta);
        }
    }
}

impl StreamEncoder {
    pub(super) fn part_start(&mut self, shell: Part, out: &mut String) {
        self.start(out);
        match shell.kind {
            PartKind::ToolCall(_) => self.told.called = true,
            PartKind::Refusal(_) => drop(self.told.refused.get_or_insert_default()),
            _ => {}
        }
        if unsayable(&shell) {
            self.losses.drop_part(&shell, "an answer in this dialect has none");
            return;
        }
        blocks::note_in(&shell, &mut self.losses);
        let held = match &shell.kind {
            PartKind::Thinking(thinking) => thinking.redacted,
            PartKind::Opaque(_) => true,
            _ => false,
        };
        let deltas = if held { Vec::new() } else { shell_deltas(&shell) };
        let call = matches!(shell.kind, PartKind::ToolCall(_));
        if !call {
            self.end_thought(None, out);
        }
        let waiting = (call && !self.same()).then(Default::default);
        // A part of which nothing comes is none in this dialect, which refuses it when it is sent back.
        let lazy = !self.same();
        self.open = Some(Open { part: shell, begun: false, held, filled: false, waiting });
        if !held && !lazy {
            self.begin(out);
        }
        deltas.into_iter().for_each(|delta| self.delta(delta, out));
    }

    /// Writes what waits for the part's seal, with that before it.
    fn release(&mut self, out: &mut String) {
        let Some((deltas, _)) = self.open.as_mut().and_then(|open| open.waiting.take()) else { return };
        self.begin(out);
        deltas.into_iter().for_each(|delta| self.delta(delta, out));
    }

    /// Writes the beginning of the open part's block, unless it is written.
    fn begin(&mut self, out: &mut String) {
        let Some(mut open) = self.open.take_if(|open| !open.begun) else { return };
        let carried = self.end_thought(Some(&open.part), out);
        if let Some(signature) = seals::next_signature(&open.part).filter(|_| !carried) {
            self.carrier(&signature, out);
        }
        open.begun = true;
        if let PartKind::ToolCall(call) = &mut open.part.kind
            && call.id.is_none()
        {
            call.id = Some(self.reply.ids.next("toolu_"));
        }
        let block = write::object(|o| shell_block(o, &open.part));
        self.open = Some(open);
        self.block_start(&block, out);
    }

    /// Ends the thought that waits for the seal of the call behind it, if one does. Says whether it
    /// carries that.
    pub(super) fn end_thought(&mut self, call: Option<&Part>, out: &mut String) -> bool {
        let Some(part) = self.thought.take() else { return false };
        let PartKind::Thinking(thinking) = &part.kind else { return false };
        let with_call = call.and_then(|call| seals::carry_with(thinking, call));
        let carried = with_call.is_some();
        let signature = with_call.unwrap_or_else(|| seals::carry(&part, thinking));
        self.block_delta("signature_delta", "signature", &quote(&signature), out);
        self.block_stop(out);
        carried
    }

    /// A block that carries another maker's seal. Clients take a signature from its delta alone.
    fn carrier(&mut self, signature: &str, out: &mut String) {
        self.block_start(&seals::block(""), out);
        self.block_delta("signature_delta", "signature", &quote(signature), out);
        self.block_stop(out);
    }

    fn block_start(&mut self, block: &str, out: &mut String) {
        let data = write::object(|o| {
            o.text("type", "content_block_start");
            o.count("index", self.next);
            o.raw("content_block", block);
        });
        emit(out, "content_block_start", &data);
    }

    fn block_delta(&mut self, kind: &str, name: &'static str, json: &str, out: &mut String) {
        let data = write::object(|o| {
            o.text("type", "content_block_delta");
            o.count("index", self.next);
            o.object("delta", |o| {
                o.text("type", kind);
                o.raw(name, json);
            });
        });
        emit(out, "content_block_delta", &data);
    }

    fn block_stop(&mut self, out: &mut String) {
        let data = write::object(|o| {
            o.text("type", "content_block_stop");
            o.count("index", self.next);
        });
        emit(out, "content_block_stop", &data);
        self.next += 1;
    }

    pub(super) fn delta(&mut self, delta: Delta, out: &mut String) {
        let Some(open) = self.open.as_mut() else { return };
        if open.held {
            return open.seal(delta);
        }
        if open.waiting.is_some() {
            return self.wait(delta, out);
        }
        match (&open.part.kind, delta) {
            (PartKind::Thinking(_), Delta::Signature(seal)) if seals::is_own(&seal) => {
                self.begin(out);
                self.block_delta("signature_delta", "signature", &quote(&seal.text), out);
                self.open.iter_mut().for_each(|open| open.seal(Delta::Signature(seal.clone())));
            }
            (PartKind::Thinking(_), delta @ (Delta::Signature(_) | Delta::Encrypted(_))) => open.seal(delta),
            (PartKind::Thinking(_), Delta::Text(text)) => self.add("thinking_delta", "thinking", &text, out),
            (PartKind::Refusal(_), Delta::Text(text)) => {
                self.told.refuse(&text);
                self.add("text_delta", "text", &text, out);
            }
            (PartKind::Text(_), Delta::Text(text)) => self.add("text_delta", "text", &text, out),
            (PartKind::Text(_), Delta::Citation(citation)) => match citations::write(&citation) {
                Some(json) => {
                    self.begin(out);
                    self.block_delta("citations_delta", "citation", &json, out);
                }
                None => {
                    let why = "a citation without an address has no words here";
                    self.losses.add("content.citations", LossKind::Dropped, why);
                }
            },
            (PartKind::Text(_), delta @ Delta::Signature(_)) => open.seal(delta),
            (PartKind::ToolCall(_), Delta::Arguments(text)) => self.arguments(&text, out),
            (PartKind::ToolCall(_), Delta::Signature(_)) => {
                let why = "the seal of a call that came after its beginning";
                self.losses.add("content", LossKind::Dropped, why);
            }
            (_, Delta::Extra(extra)) => self.losses.extra(&extra, &Place::root()),
            _ => {}
        }
    }

    /// Keeps what is added until the part's seal is known, as far as it can be kept. Elsewhere than in
    /// Google's own dialect, whose calls come whole, there is none once the arguments come.
    fn wait(&mut self, delta: Delta, out: &mut String) {
        if self.reply.source != Dialect::Gemini && matches!(delta, Delta::Arguments(_)) {
            self.release(out);
            return self.delta(delta, out);
        }
        let Some(open) = self.open.as_mut() else { return };
        let Some((deltas, size)) = &mut open.waiting else { return };
        match delta {
            Delta::Signature(_) => open.seal(delta),
            Delta::Arguments(text) => {
                *size += text.len();
                let full = *size > MAX_HELD;
                deltas.push(Delta::Arguments(text));
                if full {
                    self.release(out);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, kind: &str, name: &'static str, text: &str, out: &mut String) {
        self.begin(out);
        self.block_delta(kind, name, &quote(text), out);
    }

    /// More of a call's input. A custom tool's is the text of one member.
    fn arguments(&mut self, text: &str, out: &mut String) {
        let Some(open) = self.open.as_mut() else { return };
        let first = !std::mem::replace(&mut open.filled, true);
        let custom = matches!(&open.part.kind, PartKind::ToolCall(call) if call.kind == CallKind::Custom);
        if !custom {
            return self.add("input_json_delta", "partial_json", text, out);
        }
        let quoted = quote(text);
        let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
        let opening = if first { "{\"input\":\"" } else { "" };
        self.add("input_json_delta", "partial_json", &format!("{opening}{inner}"), out);
    }

    pub(super) fn part_end(&mut self, out: &mut String) {
        self.release(out);
        let Some(open) = self.open.take() else { return };
        if open.held {
            return self.whole(&open.part, out);
        }
        match &open.part.kind {
            PartKind::Thinking(thinking) => {
                let sealed = open.part.signature.is_some() || thinking.encrypted.is_some();
                let own = open.part.signature.as_ref().is_some_and(seals::is_own);
                let ours = open.part.form.has(OWN, LIST) && thinking.origin == Some(OWN);
                if !own && !ours && open.begun && !sealed {
                    self.thought = Some(Box::new(open.part));
                    return;
                }
                if !own && !ours && sealed {
                    let signature = seals::carry(&open.part, thinking);
                    self.open = Some(open);
                    self.begin(out);
                    self.block_delta("signature_delta", "signature", &quote(&signature), out);
                    self.open = None;
                    return self.block_stop(out);
                }
            }
            PartKind::ToolCall(call) if call.kind == CallKind::Custom => {
                let why = "the input of a custom tool became an object";
                self.losses.add(open.part.at.as_str(), LossKind::Approximated, why);
                let closing = if open.filled { "\"}" } else { "{\"input\":\"\"}" };
                self.block_delta("input_json_delta", "partial_json", &quote(closing), out);
            }
            _ => {}
        }
        if open.begun {
            self.block_stop(out);
        }
        if let Some(signature) = seals::last_signature(&open.part) {
            self.carrier(&signature, out);
        }
    }

    /// A part that is written whole. The input of a tool of the provider's comes as a delta.
    fn whole(&mut self, part: &Part, out: &mut String) {
        let capabilities = Capabilities::default();
        let target = Target { model: "", capabilities: &capabilities, caller: self.reply.source };
        let mut writing = Writing::new(&target, true);
        std::mem::swap(&mut writing.losses, &mut self.losses);
        let block = blocks::block(part, &mut writing);
        std::mem::swap(&mut writing.losses, &mut self.losses);
        let Some(block) = block else { return };
        match split_input(part) {
            Some((shell, input)) => {
                self.block_start(&shell, out);
                self.block_delta("input_json_delta", "partial_json", &quote(&input), out);
            }
            None => self.block_start(&block, out),
        }
        self.block_stop(out);
    }
}

/// The beginning of a block: what does not grow.
fn shell_block(o: &mut Obj<'_>, part: &Part) {
    match &part.kind {
        PartKind::Thinking(_) => {
            o.text("type", "thinking");
            o.text("thinking", "");
            o.text("signature", "");
        }
        PartKind::ToolCall(call) => {
            o.text("type", "tool_use");
            o.opt_text("id", call.id.as_deref());
            o.text("name", &call.name);
            o.raw("input", "{}");
            if part.form.has(OWN, DIRECT) {
                o.object("caller", |o| o.text("type", "direct"));
            }
        }
        _ => {
            o.text("type", "text");
            o.text("text", "");
        }
    }
    o.extra(&part.extra, OWN);
}

/// What a shell holds already, as what is added to it.
fn shell_deltas(shell: &Part) -> Vec<Delta> {
    let mut deltas = Vec::new();
    match &shell.kind {
        PartKind::Text(Text { text, citations }) => {
            deltas.push(Delta::Text(text.clone()));
            deltas.extend(citations.iter().cloned().map(Delta::Citation));
        }
        PartKind::Refusal(text) => deltas.push(Delta::Text(text.clone())),
        PartKind::Thinking(thinking) => deltas.push(Delta::Text(thinking.text.clone())),
        PartKind::ToolCall(call) => deltas.push(Delta::Arguments(call.arguments.clone())),
        _ => {}
    }
    deltas.retain(|delta| !matches!(delta, Delta::Text(text) | Delta::Arguments(text) if text.is_empty()));
    deltas.extend(shell.signature.clone().filter(seals::is_own).map(Delta::Signature));
    deltas
}

/// A provider's own tool use without its input, and that.
fn split_input(part: &Part) -> Option<(String, String)> {
    let PartKind::Opaque(Opaque { name, native }) = &part.kind else { return None };
    let json = native.of(OWN).filter(|_| name.ends_with("_tool_use") || name == "tool_use")?;
    let mut fields = Node::of_body(json.as_str().as_bytes(), Mode::Answer).ok()?.fields(Place::root()).ok()?;
    let input = fields.peek("input").filter(|node| node.kind == Kind::Object && !node.json().is_empty())?;
    fields.take("input");
    let rest = fields.rest(OWN);
    let shell = write::object(|o| {
        for name in ["type", "id", "name"] {
            o.opt_json(name, rest.get(OWN, name));
        }
        o.raw("input", "{}");
        o.extra(&rest, OWN);
    });
    Some((shell, input.raw.to_owned()))
}
