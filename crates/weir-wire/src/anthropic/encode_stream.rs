//! A streamed message, written event by event.

use super::encode_answer::{head, unsayable};
use super::form::{DIRECT, LIST, OWN};
use super::stop::Told;
use super::{blocks, citations, error, seals, stop, usage};
use crate::hub::fold::apply;
use crate::hub::write::{self, Obj};
use crate::hub::{
    CallKind, Capabilities, Delta, Dialect, Event, Extra, Head, Loss, LossKind, Losses, Mode, Node, OneAtATime, Opaque,
    Part, PartKind, Place, Reply, Seal, Spent, Stop, Target, Text,
};
use crate::json::{Kind, quote};

/// What keeps a silent stream alive in this dialect.
pub const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

/// The most bytes of parts held back while another is open.
const MAX_HELD: usize = 16 << 20;

/// The members of a message that a stream tells with the reason of its end.
const OF_THE_END: [&str; 2] = ["container", "stop_details"];

/// Writes the events of one stream for a caller who speaks this dialect. Never fails: what cannot
/// be said is a loss.
#[derive(Debug)]
pub struct StreamEncoder {
    reply: Reply,
    order: OneAtATime,
    head: Head,
    /// Members of the head that were said at first, and those that came later.
    first: Extra,
    news: Extra,
    usage: Option<Spent>,
    started: bool,
    /// The number of the next block.
    next: u64,
    open: Option<Open>,
    told: Told,
    stop: Option<Stop>,
    losses: Losses,
    closed: bool,
}

/// The part that is being written.
#[derive(Debug)]
struct Open {
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

impl StreamEncoder {
    /// For one stream. The reply says what the events may lack.
    #[must_use]
    pub fn new(reply: Reply) -> Self {
        let losses = Losses::new(reply.source, OWN);
        Self {
            reply,
            order: OneAtATime::new(MAX_HELD),
            head: Head::default(),
            first: Extra::default(),
            news: Extra::default(),
            usage: None,
            started: false,
            next: 0,
            open: None,
            told: Told::default(),
            stop: None,
            losses,
            closed: false,
        }
    }

    /// Writes what the event adds to the stream: none, one or several server-sent events.
    pub fn push(&mut self, event: &Event, out: &mut String) {
        if self.closed || self.of_another_choice(event) {
            return;
        }
        let mut events = Vec::new();
        self.order.push(event.clone(), &mut events);
        events.into_iter().for_each(|event| self.ordered(event, out));
    }

    /// What was lost, once the stream has ended.
    #[must_use]
    pub fn into_losses(self) -> Vec<Loss> {
        self.losses.seal_answer(String::new()).losses
    }

    /// Whether the event is of a choice beside the first, of which there is none in this dialect.
    fn of_another_choice(&mut self, event: &Event) -> bool {
        let (Event::Choice { choice, .. }
        | Event::PartStart { choice, .. }
        | Event::Delta { choice, .. }
        | Event::PartEnd { choice, .. }
        | Event::Logprobs { choice, .. }
        | Event::Finish { choice, .. }) = event
        else {
            return false;
        };
        if *choice != 0 && matches!(event, Event::Choice { .. }) {
            self.losses.add("choices", LossKind::Dropped, "there is one answer in this dialect: the first");
        }
        *choice != 0
    }

    fn ordered(&mut self, event: Event, out: &mut String) {
        match event {
            Event::Start(head) => {
                // Whole answers that are streamed have the details of their end in the head.
                let members = head.extra.members_of(OWN).iter().cloned();
                let (late, first) = members.partition(|(name, _)| name == "stop_details");
                self.first = Extra::new(OWN, first);
                self.news = Extra::new(OWN, late);
                self.update(head);
            }
            Event::Update(head) => {
                self.news.update(Extra::new(OWN, head.extra.members_of(OWN).to_vec()));
                self.update(head);
            }
            Event::Choice { extra, message_extra, .. } => {
                let at = Place::root().member("choices");
                self.losses.extra(&extra, &at);
                self.losses.extra(&message_extra, &at);
            }
            Event::PartStart { shell, .. } => self.part_start(*shell, out),
            Event::Delta { delta, .. } => self.delta(delta, out),
            Event::PartEnd { .. } => self.part_end(out),
            Event::Logprobs { .. } => self.logprobs(),
            Event::Finish { stop, .. } => self.stop = Some(stop),
            Event::Usage(spent) => self.usage = Some(spent),
            Event::Error(error) => {
                emit(out, "error", &error::event(&error));
                self.closed = true;
            }
            Event::End => self.end(out),
        }
    }

    fn same(&self) -> bool {
        self.reply.source == OWN
    }

    fn update(&mut self, head: Head) {
        self.losses.extra(&head.extra, &Place::root());
        self.head.update(head);
    }

    fn logprobs(&mut self) {
        if !std::mem::replace(&mut self.told.logprobs, true) {
            self.losses.add("choices.logprobs", LossKind::Dropped, "there are none in this dialect");
        }
    }

    /// Writes the beginning, unless it is written. The input's tokens are told if they are known, and
    /// else at the end.
    fn start(&mut self, out: &mut String) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let first = std::mem::take(&mut self.first);
        let known = Head { extra: Extra::default(), ..self.head.clone() };
        let message = write::object(|o| {
            head(o, &known, &mut self.reply);
            o.raw("content", "[]");
            usage::write(o, self.usage.as_ref(), self.head.tier.as_ref());
            o.null("stop_reason");
            o.null("stop_sequence");
            o.extra(&first, OWN);
        });
        let data = write::object(|o| {
            o.text("type", "message_start");
            o.raw("message", &message);
        });
        emit(out, "message_start", &data);
    }

    fn part_start(&mut self, shell: Part, out: &mut String) {
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
        let waiting = (call && self.reply.source == Dialect::Gemini).then(Default::default);
        // A part of which nothing comes is none in this dialect, which refuses it when it is sent back.
        let lazy = waiting.is_some() || (!self.same() && !call);
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
        if let Some(open) = self.open.as_ref().filter(|open| !open.begun)
            && let Some(carried) = seals::carry_next(&open.part)
        {
            self.block_start(&carried, out);
            self.block_stop(out);
        }
        let Some(open) = self.open.as_mut().filter(|open| !open.begun) else { return };
        open.begun = true;
        if let PartKind::ToolCall(call) = &mut open.part.kind
            && call.id.is_none()
        {
            call.id = Some(self.reply.ids.next("toolu_"));
        }
        let block = write::object(|o| shell_block(o, &open.part));
        self.block_start(&block, out);
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

    fn delta(&mut self, delta: Delta, out: &mut String) {
        let Some(open) = self.open.as_mut() else { return };
        if open.held {
            apply(&mut open.part, delta);
            return;
        }
        if let Some((deltas, size)) = &mut open.waiting {
            match delta {
                Delta::Signature(_) => drop(apply(&mut open.part, delta)),
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
            return;
        }
        match (&open.part.kind, delta) {
            (PartKind::Thinking(_), Delta::Signature(seal)) if seals::is_own(&seal) => {
                self.begin(out);
                self.block_delta("signature_delta", "signature", &quote(&seal.text), out);
                self.seal(seal);
            }
            (PartKind::Thinking(_), delta @ (Delta::Signature(_) | Delta::Encrypted(_))) => {
                apply(&mut open.part, delta);
            }
            (PartKind::Thinking(_), Delta::Text(text)) => self.add("thinking_delta", "thinking", &text, out),
            (PartKind::Refusal(_), Delta::Text(text)) => {
                self.told.refused.get_or_insert_default().push_str(&text);
                self.add("text_delta", "text", &text, out);
            }
            (PartKind::Text(_), Delta::Text(text)) => self.add("text_delta", "text", &text, out),
            (PartKind::Text(_), Delta::Citation(citation)) => match citations::write(&citation) {
                Some(json) => {
                    self.begin(out);
                    self.block_delta("citations_delta", "citation", &json, out);
                }
                None => self.losses.drop_part(&Part::text(""), "a citation without an address has no words here"),
            },
            (PartKind::ToolCall(_), Delta::Arguments(text)) => self.arguments(&text, out),
            (_, Delta::Extra(extra)) => self.losses.extra(&extra, &Place::root()),
            _ => {}
        }
    }

    fn seal(&mut self, seal: Seal) {
        if let Some(open) = self.open.as_mut() {
            apply(&mut open.part, Delta::Signature(seal));
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

    fn part_end(&mut self, out: &mut String) {
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
                if !own && !ours && (open.begun || sealed) {
                    let signature = seals::carry(&open.part, thinking);
                    self.open = Some(open);
                    self.begin(out);
                    self.block_delta("signature_delta", "signature", &quote(&signature), out);
                    self.open = None;
                    return self.block_stop(out);
                }
            }
            PartKind::ToolCall(call) if call.kind == CallKind::Custom => {
                self.losses.drop_part(&open.part, "the input of a custom tool became an object");
                let closing = if open.filled { "\"}" } else { "{\"input\":\"\"}" };
                self.block_delta("input_json_delta", "partial_json", &quote(closing), out);
            }
            _ => {}
        }
        if open.begun {
            self.block_stop(out);
        }
    }

    /// A part that is written whole. The input of a tool of the provider's comes as a delta.
    fn whole(&mut self, part: &Part, out: &mut String) {
        let capabilities = Capabilities::default();
        let target = Target { model: "", capabilities: &capabilities, caller: self.reply.source };
        let mut writing = super::encode_request::Writing::new(&target, true);
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

    fn end(&mut self, out: &mut String) {
        self.start(out);
        self.closed = true;
        let (of_the_end, beside): (Vec<_>, Vec<_>) =
            self.news.members_of(OWN).iter().cloned().partition(|(name, _)| OF_THE_END.contains(&name.as_str()));
        let data = write::object(|o| {
            o.text("type", "message_delta");
            o.object("delta", |o| {
                stop::write(o, self.stop.as_ref(), &self.told, &mut self.losses);
                o.null("stop_reason");
                o.null("stop_sequence");
                o.extra(&Extra::new(OWN, of_the_end), OWN);
            });
            usage::write(o, self.usage.as_ref(), None);
            o.extra(&Extra::new(OWN, beside), OWN);
        });
        emit(out, "message_delta", &data);
        emit(out, "message_stop", r#"{"type":"message_stop"}"#);
    }
}

fn emit(out: &mut String, event: &str, data: &str) {
    out.push_str(&write::sse_data(Some(event), data));
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
