//! A streamed chat completion, written chunk by chunk.

use super::encode_answer::{head, reason_word, unsayable, usage, write_citation, write_logprobs};
use super::form::{BARE, CHAT, DETAILS, LEGACY, LIST, NO_TYPE, RAW, REASONING, REASONING_CONTENT};
use super::{parts, thinking};
use crate::fault::UpstreamError;
use crate::hub::write::{self, Obj};
use crate::hub::{
    CallKind, Delta, Dialect, Event, Extra, Head, Loss, LossKind, Losses, Part, PartKind, Place, Reply, Seal, Source,
    Spent, Stop, Text, Tier,
};

/// Writes the events of one stream for a caller who speaks this dialect. Never fails: what cannot
/// be said is a loss.
#[derive(Debug)]
pub struct StreamEncoder {
    reply: Reply,
    /// The caller asked for a last chunk with the usage.
    include_usage: bool,
    head: Head,
    /// Members of the head not told yet.
    news: Extra,
    choices: Vec<ChoiceOut>,
    usage: Option<Spent>,
    losses: Losses,
    /// A chunk was written.
    told: bool,
    closed: bool,
}

#[derive(Debug)]
struct ChoiceOut {
    index: u32,
    parts: Vec<PartOut>,
    calls: u64,
    legacy: bool,
}

/// What must be known of a part to write more of it.
#[derive(Debug)]
struct PartOut {
    kind: Saying,
    /// The members it is written in.
    bits: u16,
    /// A detail's own members, its number among them.
    extra: Extra,
    format: Option<&'static str>,
    id: Option<String>,
    summary: bool,
    /// Something was added to it.
    filled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saying {
    Text,
    Thinking,
    Refusal,
    Audio,
    Call { number: u64, kind: CallKind },
    Nothing,
}

impl StreamEncoder {
    /// For one stream. The reply says what the events may lack.
    #[must_use]
    pub fn new(reply: Reply, include_usage: bool) -> Self {
        let losses = Losses::new(reply.source, CHAT);
        Self {
            reply,
            include_usage,
            head: Head::default(),
            news: Extra::default(),
            choices: Vec::new(),
            usage: None,
            losses,
            told: false,
            closed: false,
        }
    }

    /// Writes what the event adds to the stream: none, one or several server-sent events.
    pub fn push(&mut self, event: &Event, out: &mut String) {
        if self.closed {
            return;
        }
        match event {
            Event::Start(head) | Event::Update(head) => self.update(head),
            Event::Choice { choice, extra, message_extra } => self.note(*choice, extra, message_extra, out),
            Event::PartStart { choice, shell, .. } => self.part_start(*choice, shell, out),
            Event::Delta { choice, part, delta } => self.delta(*choice, *part, delta, out),
            Event::PartEnd { choice, part } => self.part_end(*choice, *part, out),
            Event::Logprobs { choice, more } => {
                let logprobs = write::object(|o| write_logprobs(o, more));
                self.emit(*choice, "{}", Some(&logprobs), None, None, out);
            }
            Event::Finish { choice, stop } => self.finish(*choice, stop, out),
            Event::Usage(spent) => self.usage = Some(spent.clone()),
            Event::Error(error) => {
                out.push_str(&write::sse_data(None, &write::object(|o| o.object("error", |o| write_error(o, error)))));
                self.closed = true;
            }
            Event::End => self.end(out),
        }
    }

    /// What was lost, once the stream has ended.
    #[must_use]
    pub fn into_losses(self) -> Vec<Loss> {
        self.losses.seal_answer(String::new()).losses
    }

    fn update(&mut self, head: &Head) {
        self.losses.extra(&head.extra, &Place::root());
        self.news.update(Extra::new(CHAT, head.extra.members_of(CHAT).to_vec()));
        self.head.update(head.clone());
    }

    fn choice(&mut self, index: u32) -> &mut ChoiceOut {
        let found = self.choices.iter().position(|choice| choice.index == index);
        let at = found.unwrap_or(self.choices.len());
        if found.is_none() {
            self.choices.push(ChoiceOut { index, parts: Vec::new(), calls: 0, legacy: false });
        }
        &mut self.choices[at]
    }

    /// The choice begins, or has more members.
    fn note(&mut self, choice: u32, extra: &Extra, message_extra: &Extra, out: &mut String) {
        let at = Place::root().member("choices");
        self.losses.extra(extra, &at);
        self.losses.extra(message_extra, &at);
        let first = self.choices.iter().all(|known| known.index != choice);
        self.choice(choice);
        if !first && extra.members_of(CHAT).is_empty() && message_extra.members_of(CHAT).is_empty() {
            return;
        }
        let delta = write::object(|o| {
            if first && message_extra.get(CHAT, "role").is_none() {
                o.text("role", "assistant");
            }
            if first {
                o.text("content", "");
            }
            o.extra(message_extra, CHAT);
        });
        self.emit(choice, &delta, None, None, Some(extra), out);
    }

    fn part_start(&mut self, choice: u32, shell: &Part, out: &mut String) {
        if self.choices.iter().all(|known| known.index != choice) {
            self.note(choice, &Extra::default(), &Extra::default(), out);
        }
        let same = self.reply.source == CHAT;
        let number = self.choice(choice).calls;
        let position = self.choice(choice).parts.len() as u64;
        let part = PartOut::new(shell, number, position, same);
        let start = self.first_delta(shell, &part);
        let state = self.choice(choice);
        state.calls += u64::from(matches!(part.kind, Saying::Call { .. }));
        state.legacy |= part.bits & LEGACY != 0;
        state.parts.push(part);
        if let Some(delta) = start {
            self.emit(choice, &delta, None, None, None, out);
        }
        let part = u32::try_from(position).unwrap_or(u32::MAX);
        for delta in shell_deltas(shell) {
            self.delta(choice, part, &delta, out);
        }
    }

    /// What is written when a part begins, before anything is added to it.
    fn first_delta(&mut self, shell: &Part, part: &PartOut) -> Option<String> {
        match (&shell.kind, part.kind) {
            (PartKind::ToolCall(call), Saying::Call { number, kind }) => {
                let id = call.id.clone().unwrap_or_else(|| self.reply.ids.next("call_"));
                self.losses.extra(&shell.extra, &shell.at);
                Some(call_start(shell, call.name.as_str(), &id, number, kind))
            }
            (PartKind::Opaque(opaque), _) => {
                let Some(json) = opaque.native.of(CHAT) else {
                    self.losses.drop_part(shell, "cannot be said in this dialect");
                    return None;
                };
                let name = match shell.form {
                    form if form.has(CHAT, LIST) => "content",
                    form if form.has(CHAT, DETAILS) => "reasoning_details",
                    _ => "tool_calls",
                };
                Some(write::object(|o| o.array(name, |a| a.raw(json.as_str()))))
            }
            (PartKind::Audio(_), _) if !shell.extra.is_empty() => {
                Some(write::object(|o| o.object("audio", |o| o.extra(&shell.extra, CHAT))))
            }
            _ if unsayable(shell) => {
                self.losses.drop_part(shell, "an answer in this dialect has none");
                None
            }
            (PartKind::Image(_) | PartKind::Video(_) | PartKind::Document(_), _) => Some(write::object(|o| {
                let capabilities = crate::hub::Capabilities::default();
                parts::alone(o, shell, &capabilities);
            })),
            _ => None,
        }
    }

    fn delta(&mut self, choice: u32, part: u32, delta: &Delta, out: &mut String) {
        let state = self.choice(choice);
        let Some(part) = state.parts.get_mut(part as usize) else { return };
        part.filled |= matches!(delta, Delta::Arguments(_));
        if let Some(written) = part.write(delta) {
            self.emit(choice, &written, None, None, None, out);
        }
    }

    /// A call of another dialect's to which nothing was added takes no arguments, and has an empty
    /// object of them here.
    fn part_end(&mut self, choice: u32, part: u32, out: &mut String) {
        let same = self.reply.source == CHAT;
        let Some(part) = self.choice(choice).parts.get_mut(part as usize) else { return };
        if let (Saying::Call { kind: CallKind::Function, .. }, false, false) = (part.kind, part.filled, same) {
            part.filled = true;
            if let Some(written) = part.write(&Delta::Arguments("{}".to_owned())) {
                self.emit(choice, &written, None, None, None, out);
            }
        }
    }

    fn finish(&mut self, choice: u32, stop: &Stop, out: &mut String) {
        let (word, exact) = reason_word(stop.reason);
        let legacy = self.choice(choice).legacy;
        let word = match stop.word_of(CHAT) {
            Some(word) => word,
            None if legacy && word == "tool_calls" => "function_call",
            None => word,
        };
        if !exact && stop.word_of(CHAT).is_none() {
            let why = format!("the reason {:?} became {word}", stop.reason);
            self.losses.add("choices.finish_reason", LossKind::Approximated, why);
        }
        self.emit(choice, "{}", None, Some(word), None, out);
    }

    fn end(&mut self, out: &mut String) {
        self.closed = true;
        let spent = self.usage.take().filter(|_| self.include_usage);
        // Members said after the last choice still have to be told, and so has an answer without any.
        if spent.is_some() || !self.news.is_empty() || !self.told {
            let chunk = self.chunk("[]", spent.as_ref());
            out.push_str(&write::sse_data(None, &chunk));
        }
        out.push_str("data: [DONE]\n\n");
    }

    fn emit(
        &mut self,
        choice: u32,
        delta: &str,
        logprobs: Option<&str>,
        finish: Option<&str>,
        extra: Option<&Extra>,
        out: &mut String,
    ) {
        let body = write::object(|o| {
            o.count("index", u64::from(choice));
            o.raw("delta", delta);
            if let Some(logprobs) = logprobs {
                o.raw("logprobs", logprobs);
            }
            match finish {
                Some(word) => o.text("finish_reason", word),
                None => o.null("finish_reason"),
            }
            if let Some(extra) = extra {
                o.extra(extra, CHAT);
            }
        });
        let chunk = self.chunk(&format!("[{body}]"), None);
        out.push_str(&write::sse_data(None, &chunk));
    }

    fn id(&mut self) -> String {
        self.head.id.get_or_insert_with(|| self.reply.ids.next("chatcmpl-")).clone()
    }

    /// A chunk. Members beside OpenAI's are told once, and again when they change.
    fn chunk(&mut self, choices: &str, spent: Option<&Spent>) -> String {
        // Every chunk has the same id, whoever gave it.
        let known = Head { id: Some(self.id()), extra: Extra::default(), ..self.head.clone() };
        let news = std::mem::take(&mut self.news);
        self.told = true;
        write::object(|o| {
            head(o, &known, "chat.completion.chunk", &mut self.reply);
            o.opt_text("service_tier", known.tier.as_ref().map(Tier::word));
            o.raw("choices", choices);
            match spent {
                Some(spent) => usage(o, spent),
                None if self.include_usage => o.null("usage"),
                None => {}
            }
            o.extra(&news, CHAT);
        })
    }
}

impl PartOut {
    fn new(shell: &Part, number: u64, position: u64, same: bool) -> Self {
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
                let index = crate::hub::Json::of(&position.into());
                extra = Extra::new(CHAT, vec![("index".to_owned(), index)]);
            }
        }
        Self { kind, bits, extra, format, id, summary, filled: false }
    }

    /// The delta that adds this, if this dialect can say it.
    fn write(&mut self, delta: &Delta) -> Option<String> {
        Some(match (self.kind, delta) {
            (Saying::Text, Delta::Text(text)) => write::object(|o| self.text(o, text)),
            (Saying::Text, Delta::Citation(citation)) => {
                write::object(|o| o.array("annotations", |a| a.raw(&write_citation(citation))))
            }
            (Saying::Text, Delta::Signature(seal)) if seal.origin == Some(Dialect::Gemini) => {
                write::object(|o| google(o, seal))
            }
            (Saying::Refusal, Delta::Text(text)) => write::object(|o| o.text("refusal", text)),
            (Saying::Thinking, Delta::Text(text)) => write::object(|o| self.thought(o, text)),
            (Saying::Thinking, Delta::Signature(seal)) => self.detail("reasoning.text", "signature", &seal.text),
            (Saying::Thinking, Delta::Encrypted(seal)) => self.detail("reasoning.encrypted", "data", &seal.text),
            (Saying::Thinking, Delta::Extra(extra)) => {
                self.extra.update(extra.clone());
                return None;
            }
            (Saying::Audio, Delta::Data(data)) => audio(|o| o.text("data", data)),
            (Saying::Audio, Delta::Transcript(text)) => audio(|o| o.text("transcript", text)),
            (Saying::Audio, Delta::Extra(extra)) => audio(|o| o.extra(extra, CHAT)),
            (Saying::Call { number, kind }, Delta::Arguments(text)) => self.arguments(number, kind, text),
            (Saying::Call { number, .. }, Delta::Signature(seal)) if seal.origin == Some(Dialect::Gemini) => {
                call(number, |o| google(o, seal))
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

    fn thought(&self, o: &mut Obj<'_>, text: &str) {
        for (bit, name) in [(REASONING_CONTENT, "reasoning_content"), (REASONING, "reasoning")] {
            if self.bits & bit != 0 {
                o.text(name, text);
            }
        }
        if self.bits & DETAILS != 0 {
            let (kind, member) = match self.summary {
                true => ("reasoning.summary", "summary"),
                false => ("reasoning.text", "text"),
            };
            o.array("reasoning_details", |a| a.object(|o| self.one_detail(o, kind, member, text)));
        }
        if self.bits & LIST != 0 {
            o.array("content", |a| {
                a.object(|o| {
                    o.text("type", "thinking");
                    parts::thoughts(o, text);
                    o.extra(&self.extra, CHAT);
                });
            });
        }
    }

    fn detail(&self, kind: &str, member: &'static str, text: &str) -> String {
        write::object(|o| o.array("reasoning_details", |a| a.object(|o| self.one_detail(o, kind, member, text))))
    }

    fn one_detail(&self, o: &mut Obj<'_>, kind: &str, member: &'static str, text: &str) {
        o.text("type", kind);
        o.text(member, text);
        o.opt_text("id", self.id.as_deref());
        o.opt_text("format", self.format);
        o.extra(&self.extra, CHAT);
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

fn call_start(shell: &Part, name: &str, id: &str, number: u64, kind: CallKind) -> String {
    let (outer, inner) = names(kind);
    let extra = match &shell.kind {
        PartKind::ToolCall(call) => call.extra.clone(),
        _ => Extra::default(),
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
fn shell_deltas(shell: &Part) -> Vec<Delta> {
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
        PartKind::ToolCall(call) => deltas.push(Delta::Arguments(call.arguments.clone())),
        PartKind::Audio(media) => {
            if let Source::Base64(data) = &media.source {
                deltas.push(Delta::Data(data.clone()));
            }
            deltas.extend(media.transcript.clone().map(Delta::Transcript));
        }
        _ => {}
    }
    deltas.extend(shell.signature.clone().map(Delta::Signature));
    deltas.retain(
        |delta| !matches!(delta, Delta::Text(text) | Delta::Arguments(text) | Delta::Data(text) if text.is_empty()),
    );
    deltas
}

/// The members of an error, in the order in which OpenAI writes them.
fn write_error(o: &mut Obj<'_>, error: &UpstreamError) {
    o.text("message", &error.message);
    o.text("type", error.kind.as_deref().unwrap_or("upstream_error"));
    for (name, value) in [("param", &error.param), ("code", &error.code)] {
        match value {
            Some(value) => o.text(name, value),
            None => o.null(name),
        }
    }
}
