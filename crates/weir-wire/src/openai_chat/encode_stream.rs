//! A streamed chat completion, written chunk by chunk.

use super::encode_answer::{explanation, head, reason_word, unsayable, usage, write_logprobs};
use super::error::error_event;
use super::form::{CHAT, DETAILS, LEGACY, LIST};
use super::parts;
use super::stream_part::{PartOut, Saying, call_start, shell_deltas};
use crate::hub::write;
use crate::hub::{
    CallKind, Delta, Dialect, Event, Extra, Head, Loss, LossKind, Losses, Part, PartKind, Place, Reply, Seal, Spent,
    Stop, Tier,
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
    /// A call whose beginning waits for its seal.
    beginning: Option<Beginning>,
    usage: Option<Spent>,
    /// What it cost, in dollars.
    cost: Option<String>,
    losses: Losses,
    /// A chunk was written.
    told: bool,
    closed: bool,
}

/// A call that begins.
#[derive(Debug)]
struct Beginning {
    choice: u32,
    part: u32,
    shell: Part,
    id: String,
    number: u64,
    kind: CallKind,
}

#[derive(Debug)]
struct ChoiceOut {
    index: u32,
    parts: Vec<PartOut>,
    calls: u64,
    /// The number of the next detail of thoughts.
    details: u64,
    /// How many characters of text have been written.
    said: u64,
    legacy: bool,
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
            beginning: None,
            usage: None,
            cost: None,
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
        if !matches!(event, Event::Delta { .. }) {
            self.begin(None, out);
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
                out.push_str(&error_event(error));
                self.closed = true;
            }
            Event::End => self.end(out),
        }
    }

    /// Says what the answer cost, in dollars, which stands as `cost_usd` in the usage. Before the end.
    pub fn cost(&mut self, usd: &str) {
        self.cost = Some(usd.to_owned());
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
            self.choices.push(ChoiceOut { index, parts: Vec::new(), calls: 0, details: 0, said: 0, legacy: false });
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
        let part = PartOut::new(shell, number, same).behind(self.choice(choice).said);
        let at = u32::try_from(position).unwrap_or(u32::MAX);
        let start = self.first_delta(choice, at, shell, &part);
        let state = self.choice(choice);
        state.calls += u64::from(matches!(part.kind, Saying::Call { .. }));
        state.legacy |= part.bits & LEGACY != 0;
        state.parts.push(part);
        if let Some(delta) = start {
            self.emit(choice, &delta, None, None, None, out);
        }
        for delta in shell_deltas(shell) {
            self.delta(choice, at, &delta, out);
        }
    }

    /// Writes the beginning of the call that waits, with its seal if that has come.
    fn begin(&mut self, seal: Option<&Seal>, out: &mut String) {
        if let Some(Beginning { choice, shell, id, number, kind, .. }) = self.beginning.take() {
            let start = call_start(&shell, &id, number, kind, seal);
            self.emit(choice, &start, None, None, None, out);
        }
    }

    /// What is written when a part begins, before anything is added to it.
    fn first_delta(&mut self, choice: u32, at: u32, shell: &Part, part: &PartOut) -> Option<String> {
        match (&shell.kind, part.kind) {
            (PartKind::ToolCall(call), Saying::Call { number, kind }) => {
                let id = call.id.clone().unwrap_or_else(|| self.reply.ids.next("call_"));
                self.losses.extra(&shell.extra, &shell.at);
                // Clients want the seal in the fragment that names the call.
                self.beginning = Some(Beginning { choice, part: at, shell: shell.clone(), id, number, kind });
                None
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
        let begins = self.beginning.as_ref().is_some_and(|call| (call.choice, call.part) == (choice, part));
        if let (true, Delta::Signature(seal)) = (begins, delta)
            && seal.origin == Some(Dialect::Gemini)
        {
            return self.begin(Some(seal), out);
        }
        self.begin(None, out);
        let state = self.choice(choice);
        let Some(part) = state.parts.get_mut(part as usize) else { return };
        part.filled |= matches!(delta, Delta::Arguments(_));
        state.said += part.length(delta);
        if let Some(written) = part.write(delta, &mut state.details) {
            self.emit(choice, &written, None, None, None, out);
        }
    }

    /// A call of another dialect's to which nothing was added takes no arguments, and has an empty
    /// object of them here.
    fn part_end(&mut self, choice: u32, part: u32, out: &mut String) {
        let same = self.reply.source == CHAT;
        let state = self.choice(choice);
        let Some(part) = state.parts.get_mut(part as usize) else { return };
        if let (Saying::Call { kind: CallKind::Function, .. }, false, false) = (part.kind, part.filled, same) {
            part.filled = true;
            if let Some(written) = part.write(&Delta::Arguments("{}".to_owned()), &mut state.details) {
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
        if let Some(why) = explanation(stop).filter(|_| self.reply.source != CHAT) {
            let delta = write::object(|o| o.text("refusal", why));
            self.emit(choice, &delta, None, None, None, out);
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
        let cost = self.cost.take_if(|_| spent.is_some());
        self.told = true;
        write::object(|o| {
            head(o, &known, "chat.completion.chunk", &mut self.reply);
            o.opt_text("service_tier", known.tier.as_ref().map(Tier::word));
            o.raw("choices", choices);
            match spent {
                Some(spent) => usage(o, spent, cost.as_deref()),
                None if self.include_usage => o.null("usage"),
                None => {}
            }
            o.extra(&news, CHAT);
        })
    }
}
