//! A streamed answer, written chunk by chunk.

use super::encode_answer::{answer_part, content, explanation, head, stop_word, told, write_usage};
use super::encode_request::Writing;
use super::form::{GEMINI, is_missing};
use super::{error, grounding, logprobs, stop};
use crate::hub::fold::apply;
use crate::hub::write::{self, Obj};
use crate::hub::{
    Capabilities, Citation, Delta, Event, Extra, Head, Logprobs, Loss, Losses, Part, PartKind, Place, Reply, Spent,
    Stop, Target, Text, Thinking,
};

/// The most bytes of calls, pictures and sounds held until they are whole, and of texts for their
/// citations.
const MAX_HELD: usize = 32 << 20;
/// The most citations held until the end.
const MAX_CITED: usize = 4096;

/// How a stream's chunks are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events, for clients that ask with `alt=sse`.
    Sse,
    /// The elements of one JSON array, for those that do not.
    Array,
}

/// Writes the events of one stream for a caller who speaks this dialect. Calls are written whole, as
/// this dialect has them; what ends a candidate is written at the end, with the usage. Never fails: what
/// cannot be said is a loss.
#[derive(Debug)]
pub struct StreamEncoder {
    reply: Reply,
    framing: Framing,
    head: Head,
    /// Members of the head not told yet.
    news: Extra,
    choices: Vec<ChoiceOut>,
    usage: Option<Spent>,
    losses: Losses,
    held: usize,
    /// A chunk was written.
    told: bool,
    closed: bool,
}

#[derive(Debug)]
struct ChoiceOut {
    index: u32,
    /// Members not told yet.
    extra: Extra,
    message_extra: Extra,
    /// The candidate came without its number.
    no_index: bool,
    /// Its content came without its role.
    no_role: bool,
    parts: Vec<PartOut>,
    written: usize,
    /// The citations of another dialect, each with the place of its text among the parts.
    cited: Vec<(usize, Citation)>,
    stop: Option<Stop>,
}

/// A part, as far as it is known: of a text what was said so far, for its citations, and of another
/// dialect's thought its last words, which its seal stands with.
#[derive(Debug)]
struct PartOut {
    shell: Part,
    number: usize,
    text: String,
}

impl StreamEncoder {
    /// For one stream. The reply says what the events may lack.
    #[must_use]
    pub fn new(reply: Reply, framing: Framing) -> Self {
        let losses = Losses::new(reply.source, GEMINI);
        Self {
            reply,
            framing,
            head: Head::default(),
            news: Extra::default(),
            choices: Vec::new(),
            usage: None,
            losses,
            held: 0,
            told: false,
            closed: false,
        }
    }

    /// Writes what the event adds to the stream: nothing, one chunk or several.
    pub fn push(&mut self, event: &Event, out: &mut String) {
        if self.closed {
            return;
        }
        match event {
            Event::Start(head) | Event::Update(head) => self.update(head),
            Event::Choice { choice, extra, message_extra } => self.note(*choice, extra, message_extra),
            Event::PartStart { choice, shell, .. } => self.part_start(*choice, shell, out),
            Event::Delta { choice, part, delta } => self.delta(*choice, *part, delta, out),
            Event::PartEnd { choice, part } => self.part_end(*choice, *part, out),
            Event::Logprobs { choice, more } => self.logprobs(*choice, more, out),
            Event::Finish { choice, stop } => self.choice(*choice).stop = Some(stop.clone()),
            Event::Usage(spent) => self.usage = Some(spent.clone()),
            Event::Error(error) => self.fail(&error::object(error::stream_status(error), error), out),
            Event::End => self.end(out),
        }
    }

    /// What was lost, once the stream has ended.
    #[must_use]
    pub fn into_losses(self) -> Vec<Loss> {
        self.losses.seal_answer(String::new()).losses
    }

    fn same(&self) -> bool {
        self.reply.source == GEMINI
    }

    fn update(&mut self, head: &Head) {
        self.losses.extra(&head.extra, &Place::root());
        self.news.update(Extra::new(GEMINI, head.extra.members_of(GEMINI).to_vec()));
        self.head.update(head.clone());
    }

    fn choice(&mut self, index: u32) -> &mut ChoiceOut {
        let found = self.choices.iter().position(|choice| choice.index == index);
        let at = found.unwrap_or(self.choices.len());
        if found.is_none() {
            self.choices.push(ChoiceOut {
                index,
                extra: Extra::default(),
                message_extra: Extra::default(),
                no_index: false,
                no_role: false,
                parts: Vec::new(),
                written: 0,
                cited: Vec::new(),
                stop: None,
            });
        }
        &mut self.choices[at]
    }

    fn note(&mut self, choice: u32, extra: &Extra, message_extra: &Extra) {
        let at = Place::root().member("candidates");
        self.losses.extra(extra, &at);
        self.losses.extra(message_extra, &at);
        let state = self.choice(choice);
        state.no_index |= is_missing(extra, "index");
        state.no_role |= is_missing(message_extra, "role");
        state.extra.update(told(extra, &["index", "content"]));
        state.message_extra.update(told(message_extra, &["role"]));
    }

    fn part_start(&mut self, choice: u32, shell: &Part, out: &mut String) {
        let mut shell = shell.clone();
        let mut begun = Vec::new();
        // What a text holds already is told like what is added to it.
        if let PartKind::Text(Text { text, citations }) = &mut shell.kind {
            begun.push(Delta::Text(std::mem::take(text)));
            begun.extend(citations.drain(..).map(Delta::Citation));
        }
        if let PartKind::Thinking(Thinking { text, .. }) = &mut shell.kind {
            begun.push(Delta::Text(std::mem::take(text)));
        }
        if matches!(shell.kind, PartKind::Text(_) | PartKind::Thinking(_)) {
            begun.extend(shell.signature.take().map(Delta::Signature));
        }
        let state = self.choice(choice);
        let part = u32::try_from(state.parts.len()).unwrap_or(u32::MAX);
        state.parts.push(PartOut { shell, number: state.written, text: String::new() });
        for delta in begun {
            self.delta(choice, part, &delta, out);
        }
    }

    fn delta(&mut self, choice: u32, part: u32, delta: &Delta, out: &mut String) {
        let foreign = !self.same();
        let room = MAX_HELD.saturating_sub(self.held);
        let state = self.choice(choice);
        let Some(held) = state.parts.get_mut(part as usize) else { return };
        let mut said = match (&held.shell.kind, delta) {
            (PartKind::Text(_) | PartKind::Thinking(_), Delta::Signature(_)) if foreign => {
                return self.hold(choice, part, delta, out);
            }
            (PartKind::Thinking(_), Delta::Text(text)) if foreign && !text.is_empty() => {
                let before = std::mem::replace(&mut held.text, text.clone());
                if before.is_empty() {
                    return;
                }
                let mut said = held.shell.clone();
                apply(&mut said, Delta::Text(before));
                return self.write_part(choice, &without_seals(said), out);
            }
            (PartKind::Text(_), Delta::Citation(citation)) => {
                if foreign && state.cited.len() < MAX_CITED {
                    state.cited.push((part as usize, citation.clone()));
                }
                return;
            }
            (PartKind::Text(_) | PartKind::Thinking(_), Delta::Text(text)) if text.is_empty() => return,
            (PartKind::Text(_) | PartKind::Thinking(_), Delta::Text(_) | Delta::Signature(_)) => held.shell.clone(),
            _ => return self.hold(choice, part, delta, out),
        };
        if let (PartKind::Text(_), Delta::Text(text)) = (&said.kind, delta)
            && foreign
            && text.len() <= room
        {
            held.text.push_str(text);
            self.held += text.len();
        }
        apply(&mut said, delta.clone());
        self.write_part(choice, &said, out);
    }

    /// Keeps what is added to a part that is written whole.
    fn hold(&mut self, choice: u32, part: u32, delta: &Delta, out: &mut String) {
        self.held += match delta {
            Delta::Text(text) | Delta::Arguments(text) | Delta::Data(text) | Delta::Transcript(text) => text.len(),
            Delta::Signature(seal) | Delta::Encrypted(seal) => seal.text.len(),
            Delta::Citation(_) => 0,
            Delta::Extra(extra) => extra.size(),
        };
        if self.held > MAX_HELD {
            let error = crate::fault::UpstreamError {
                message: "the provider's calls are too large to be put together".to_owned(),
                ..Default::default()
            };
            return self.fail(&error::object(500, &error), out);
        }
        if let Some(held) = self.choice(choice).parts.get_mut(part as usize) {
            apply(&mut held.shell, delta.clone());
        }
    }

    /// A part that is written whole is complete. Of a text its seal is left to be told, of another
    /// dialect's thought its last words and its seal.
    fn part_end(&mut self, choice: u32, part: u32, out: &mut String) {
        let Some(held) = self.choice(choice).parts.get_mut(part as usize) else { return };
        let mut shell = std::mem::replace(&mut held.shell, Part::text(""));
        if matches!(shell.kind, PartKind::Thinking(_)) {
            apply(&mut shell, Delta::Text(std::mem::take(&mut held.text)));
        }
        if !shell.is_blank() {
            self.write_part(choice, &shell, out);
        }
    }

    fn write_part(&mut self, choice: u32, part: &Part, out: &mut String) {
        let Some(text) = self.writing(|writing| answer_part(part, writing)) else { return };
        self.choice(choice).written += 1;
        let body = self.body(choice, Some(text));
        self.emit(choice, |o| o.raw("content", &body), out);
    }

    /// Calls `write` with what the encoders of parts need.
    fn writing<T>(&mut self, write: impl FnOnce(&mut Writing<'_>) -> T) -> T {
        let capabilities = Capabilities::default();
        let target = Target { model: "", capabilities: &capabilities, caller: self.reply.source };
        let mut writing = Writing::new(&target, true);
        std::mem::swap(&mut writing.losses, &mut self.losses);
        let written = write(&mut writing);
        std::mem::swap(&mut writing.losses, &mut self.losses);
        written
    }

    fn logprobs(&mut self, choice: u32, more: &Logprobs, out: &mut String) {
        let body = self.body(choice, None);
        let fill = |o: &mut Obj<'_>| {
            o.raw("content", &body);
            logprobs::write(o, more);
        };
        self.emit(choice, fill, out);
    }

    /// A chunk's content, which clients look into without asking whether it is there: with this part, or
    /// with a text that says nothing, as the provider's own API writes it.
    fn body(&mut self, choice: u32, part: Option<String>) -> String {
        let state = self.choice(choice);
        let extra = with_mark(&std::mem::take(&mut state.message_extra), "role", state.no_role);
        content(&[part.unwrap_or_else(|| part_of(""))], &extra)
    }

    /// Writes a chunk of one candidate.
    fn emit(&mut self, choice: u32, fill: impl FnOnce(&mut Obj<'_>), out: &mut String) {
        let candidate = self.candidate(choice, fill);
        self.chunk(&[candidate], out);
    }

    fn candidate(&mut self, choice: u32, fill: impl FnOnce(&mut Obj<'_>)) -> String {
        let state = self.choice(choice);
        let extra = std::mem::take(&mut state.extra);
        let no_index = state.no_index && choice == 0;
        write::object(|o| {
            fill(o);
            if !no_index && extra.get(GEMINI, "index").is_none() {
                o.count("index", u64::from(choice));
            }
            o.extra(&extra, GEMINI);
        })
    }

    fn chunk(&mut self, candidates: &[String], out: &mut String) {
        let news = std::mem::take(&mut self.news);
        if self.head.id.is_none() && !self.same() {
            // Every chunk has the same id, whoever gave it.
            self.head.id = Some(self.reply.ids.next(""));
        }
        let json = write::object(|o| {
            if !candidates.is_empty() {
                o.raw("candidates", &format!("[{}]", candidates.join(",")));
            }
            if let Some(spent) = &self.usage {
                write_usage(o, spent, &self.head);
            }
            head(o, &self.head, &mut self.reply);
            o.extra(&news, GEMINI);
        });
        self.send(&json, out);
    }

    fn send(&mut self, json: &str, out: &mut String) {
        match self.framing {
            Framing::Sse => out.push_str(&write::sse_data(None, json)),
            Framing::Array => {
                out.push_str(if self.told { ",\r\n" } else { "[" });
                out.push_str(json);
            }
        }
        self.told = true;
    }

    fn fail(&mut self, json: &str, out: &mut String) {
        self.send(json, out);
        self.close(out);
    }

    fn close(&mut self, out: &mut String) {
        self.closed = true;
        if self.framing == Framing::Array {
            out.push_str(if self.told { "\n]" } else { "[]" });
        }
    }

    /// What is held of parts that did not end.
    fn flush(&mut self, out: &mut String) {
        for at in 0..self.choices.len() {
            let Some((number, parts)) = self.choices.get(at).map(|choice| (choice.index, choice.parts.len())) else {
                continue;
            };
            (0..parts).for_each(|part| self.part_end(number, u32::try_from(part).unwrap_or(u32::MAX), out));
        }
    }

    /// The last chunk: why each candidate ended, where its text comes from, and what was consumed.
    fn end(&mut self, out: &mut String) {
        self.flush(out);
        let numbers: Vec<u32> = self.choices.iter().map(|choice| choice.index).collect();
        let candidates: Vec<String> = numbers.into_iter().filter_map(|number| self.last(number)).collect();
        self.chunk(&candidates, out);
        self.close(out);
    }

    /// What is left to be said of a candidate: nothing, if the prompt was blocked.
    fn last(&mut self, number: u32) -> Option<String> {
        let same = self.same();
        let state = self.choice(number);
        let stop = state.stop.take();
        if stop::is_blocked(stop.as_ref()) {
            return None;
        }
        let silent = state.written == 0;
        let why = explanation(stop.as_ref(), &[]).filter(|_| silent && !same).map(part_of);
        let grounding = state.grounding();
        let body = self.body(number, why);
        let word = self.writing(|writing| stop.as_ref().map(|stop| stop_word(stop, writing)));
        Some(self.candidate(number, |o| {
            o.raw("content", &body);
            if let Some(word) = &word {
                o.raw("finishReason", word);
            }
            o.opt_text("finishMessage", stop.as_ref().and_then(|stop| stop.detail.as_deref()));
            if let Some(grounding) = &grounding {
                o.raw("groundingMetadata", grounding);
            }
        }))
    }
}

impl ChoiceOut {
    /// The citations of another dialect, as this one has them.
    fn grounding(&mut self) -> Option<String> {
        let cited = std::mem::take(&mut self.cited);
        let placed = cited.iter().filter_map(|(at, citation)| {
            let part = self.parts.get(*at)?;
            Some((part.number, part.text.as_str(), citation))
        });
        grounding::metadata(&placed.collect::<Vec<_>>())
    }
}

/// Words that are not the last of their thought.
fn without_seals(mut part: Part) -> Part {
    part.signature = None;
    if let PartKind::Thinking(thinking) = &mut part.kind {
        (thinking.encrypted, thinking.id) = (None, None);
    }
    part
}

fn part_of(text: &str) -> String {
    write::object(|o| o.text("text", text))
}

/// The members, with the mark that one is missing.
fn with_mark(extra: &Extra, name: &str, marked: bool) -> Extra {
    let mark = marked.then(|| super::form::missing(name));
    Extra::new(GEMINI, extra.members().iter().cloned().chain(mark).collect())
}
