//! A streamed response, written event by event.

use super::encode_answer::{explanation, head, status, tail, usage, with_id};
use super::error;
use super::form::{HOLLOW, RESPONSES};
use super::parts;
use super::said::{self, Sort, item, known_id};
use super::seals;
use super::stream_out::{OpenItem, Told};
use super::written::Writing;
use crate::fault::UpstreamError;
use crate::hub::fold::apply;
use crate::hub::write;
use crate::hub::{
    CallKind, Capabilities, Delta, Event, Head, Loss, LossKind, Losses, OneAtATime, Part, PartKind, Place, Reply,
    Source, Spent, Stop, Target, Text,
};

/// The most bytes of an answer: its last event repeats all of it.
const MAX_ANSWER: usize = 64 << 20;

/// Writes the events of one stream for a caller who speaks this dialect, in the order and with the
/// numbers that the official SDKs gather a response by: one item and one part at a time. Never
/// fails: what cannot be said is a loss.
///
/// What a response repeats of its request ([`super::echo`]) belongs in the head of the first event.
#[derive(Debug)]
pub struct StreamEncoder {
    reply: Reply,
    order: OneAtATime,
    head: Head,
    item: Option<OpenItem>,
    /// A call that begins when its seal is known, which stands before it.
    call: Option<Part>,
    /// The items that are done.
    output: Vec<String>,
    /// Bytes still free for the answer.
    left: usize,
    sequence: u64,
    refused: bool,
    stop: Option<Stop>,
    usage: Option<Spent>,
    losses: Losses,
    started: bool,
    closed: bool,
}

impl StreamEncoder {
    /// For one stream. The reply says what the events may lack.
    #[must_use]
    pub fn new(reply: Reply) -> Self {
        let losses = Losses::new(reply.source, RESPONSES);
        Self {
            reply,
            order: OneAtATime::new(MAX_ANSWER),
            head: Head::default(),
            item: None,
            call: None,
            output: Vec::new(),
            left: MAX_ANSWER,
            sequence: 0,
            refused: false,
            stop: None,
            usage: None,
            losses,
            started: false,
            closed: false,
        }
    }

    /// Writes what the event adds to the stream: none, one or several server-sent events.
    pub fn push(&mut self, event: &Event, out: &mut String) {
        let mut events = Vec::new();
        self.order.push(event.clone(), &mut events);
        if self.order.take_late() {
            let why = "said of a part after its end (a citation found afterwards), where nothing can be added";
            self.losses.add("choices", LossKind::Dropped, why);
        }
        for event in events {
            if !self.closed && self.concerns(&event) {
                self.event(event, out);
            }
        }
    }

    /// What was lost, once the stream has ended.
    #[must_use]
    pub fn into_losses(self) -> Vec<Loss> {
        self.losses.seal_answer(String::new()).losses
    }

    /// A response has one choice.
    fn concerns(&mut self, event: &Event) -> bool {
        let choice = match event {
            Event::Choice { choice, .. }
            | Event::PartStart { choice, .. }
            | Event::Delta { choice, .. }
            | Event::PartEnd { choice, .. }
            | Event::Logprobs { choice, .. }
            | Event::Finish { choice, .. } => *choice,
            Event::Start(_) | Event::Update(_) | Event::Usage(_) | Event::Error(_) | Event::End => 0,
        };
        if choice != 0 && matches!(event, Event::Finish { .. }) {
            self.losses.add("choices", LossKind::Dropped, "a response has one choice: the first was kept");
        }
        choice == 0
    }

    fn event(&mut self, event: Event, out: &mut String) {
        match event {
            Event::Start(mut head) | Event::Update(mut head) => {
                self.losses.extra(&head.extra, &Place::root());
                if self.started {
                    // What the first event said of these holds for all.
                    (head.id, head.created) = (None, None);
                }
                self.head.update(head);
                self.start(out);
            }
            Event::Choice { extra, message_extra, .. } => {
                self.losses.extra(&extra, &Place::root());
                self.losses.extra(&message_extra, &Place::root());
            }
            Event::PartStart { shell, .. } => self.part_start(*shell, out),
            Event::Delta { delta, .. } => self.delta(delta, out),
            Event::PartEnd { .. } => self.part_end(out),
            Event::Logprobs { more, .. } => {
                if let Some(item) = self.item.as_mut().filter(|_| self.reply.source != RESPONSES) {
                    item.tokens.extend(more.content);
                }
            }
            Event::Finish { stop, .. } => self.finish(stop, out),
            Event::Usage(spent) => self.usage = Some(spent),
            Event::Error(error) => self.fail(&error, out),
            Event::End => self.end(out),
        }
    }

    fn same(&self) -> bool {
        self.reply.source == RESPONSES
    }

    /// The first two events. What every event repeats is settled with them.
    fn start(&mut self, out: &mut String) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        self.head.id.get_or_insert_with(|| self.reply.ids.next("resp_"));
        self.head.created.get_or_insert(self.reply.now);
        for name in ["response.created", "response.in_progress"] {
            let response = self.response(Some("in_progress"), None);
            self.emit(name, &format!("\"response\":{response}"), out);
        }
    }

    fn part_start(&mut self, mut shell: Part, out: &mut String) {
        self.start(out);
        let same = self.same();
        if !same {
            with_id(&mut shell, &mut self.reply);
        }
        self.refused |= matches!(shell.kind, PartKind::Refusal(_));
        let deltas = empty(&mut shell);
        if matches!(shell.kind, PartKind::ToolCall(_)) && !same {
            self.call = Some(shell);
        } else {
            self.begin(shell, out);
        }
        for delta in deltas {
            self.delta(delta, out);
        }
    }

    /// Begins the call that waits for its seal, with that before it.
    fn begin_call(&mut self, out: &mut String) {
        let Some(call) = self.call.take() else { return };
        if let Some(seal) = seals::before(&call) {
            let thought = self.item.as_ref().and_then(|item| item.parts.last());
            if thought.is_some_and(seals::is_unsealed) {
                self.delta(Delta::Encrypted(seal), out);
            } else {
                self.begin(seals::wordless(seal), out);
            }
        }
        self.begin(call, out);
    }

    fn begin(&mut self, shell: Part, out: &mut String) {
        let same = self.same();
        match self.item.as_mut().filter(|item| item.takes(&shell, same)) {
            Some(item) => item.parts.push(shell),
            None => {
                self.close_item(out);
                let sort = Sort::of(&shell);
                let known = known_id(std::slice::from_ref(&shell)).filter(|_| same);
                let id = known.unwrap_or_else(|| self.reply.ids.next(sort.prefix()));
                self.item = Some(OpenItem::new(sort, id, shell));
            }
        }
        if matches!(self.item, Some(OpenItem { sort: Sort::Call(_), .. })) {
            self.announce(out);
        }
    }

    /// Tells of the item and of its last part, unless that was done.
    fn announce(&mut self, out: &mut String) {
        let same = self.same();
        let index = self.output.len();
        let whole = match &self.item {
            Some(item) if item.is_told_at_once() => self.last_part(),
            _ => String::new(),
        };
        let Some(item) = &mut self.item else { return };
        let mut told = Vec::new();
        if !std::mem::replace(&mut item.announced, true) {
            told.push(("response.output_item.added", format!("\"item\":{}", item.beginning())));
        }
        if !std::mem::replace(&mut item.part_open, true) {
            told.extend(item.part_added(&whole, same));
        }
        self.tell(told, index, out);
    }

    fn tell(&mut self, told: Vec<Told>, index: usize, out: &mut String) {
        for (name, members) in told {
            self.emit(name, &format!("\"output_index\":{index},{members}"), out);
        }
    }

    fn delta(&mut self, delta: Delta, out: &mut String) {
        if self.call.is_some() && matches!(delta, Delta::Signature(_)) {
            if self.afford(crate::hub::fold::size(&delta), out) {
                self.call.as_mut().map(|call| apply(call, delta));
            }
            return;
        }
        self.begin_call(out);
        let same = self.same();
        let index = self.output.len();
        if !self.afford(crate::hub::fold::size(&delta), out) {
            return;
        }
        let silent = matches!(delta, Delta::Extra(_) | Delta::Signature(_) | Delta::Encrypted(_) | Delta::Data(_));
        if !silent && self.item.as_ref().is_some_and(|item| item.sort != Sort::Unsayable) {
            self.announce(out);
        }
        let Some(item) = &mut self.item else { return };
        item.add(delta.clone());
        let told = item.delta(&delta, same).into_iter().collect();
        self.tell(told, index, out);
    }

    fn part_end(&mut self, out: &mut String) {
        self.begin_call(out);
        let same = self.same();
        let Some(item) = &self.item else { return };
        // A tool without arguments, as other dialects write it, has an empty object here.
        if let (false, [Part { kind: PartKind::ToolCall(call), .. }]) = (same, item.parts.as_slice())
            && call.kind == CallKind::Function
            && call.arguments.is_empty()
        {
            self.delta(Delta::Arguments("{}".to_owned()), out);
        }
        let index = self.output.len();
        let hollow = |part: &Part| part.form.has(RESPONSES, HOLLOW);
        let (sort, blank) = match &self.item {
            Some(item) => (item.sort, item.parts.last().is_none_or(hollow)),
            None => return,
        };
        if same && !blank && matches!(sort, Sort::Message | Sort::Reasoning) {
            self.announce(out);
        }
        if self.item.as_ref().is_some_and(|item| item.part_open) {
            let part = self.last_part();
            let told = self.item.as_ref().map(|item| item.part_done(&part, same)).unwrap_or_default();
            self.tell(told, index, out);
        }
        if let Some(item) = &mut self.item {
            item.part_open = false;
        }
        if !matches!(sort, Sort::Message | Sort::Reasoning) {
            self.close_item(out);
        }
    }

    /// The last part as it stands in its item.
    fn last_part(&mut self) -> String {
        let Some(item) = self.item.take() else { return String::new() };
        let text = item.parts.last().map(|last| match &last.kind {
            PartKind::Thinking(thinking) => {
                let kind = if thinking.summary || !self.same() { "summary_text" } else { "reasoning_text" };
                write::object(|o| said::thought(o, kind, last, thinking))
            }
            PartKind::ToolCall(_) => String::new(),
            _ => {
                let list =
                    self.writing(|writing| write::array(|a| parts::listed(a, last, true, &item.tokens, writing)));
                list.get(1..list.len().saturating_sub(1)).unwrap_or_default().to_owned()
            }
        });
        self.item = Some(item);
        text.unwrap_or_default()
    }

    /// Ends the item, if there is one and it says anything.
    fn close_item(&mut self, out: &mut String) {
        let Some(open) = self.item.take() else { return };
        let text = self.writing(|writing| item(&open.parts, Some(&open.id), &open.tokens, writing));
        let Some(text) = text else { return };
        let index = self.output.len();
        let mut told = Vec::new();
        if !open.announced {
            let beginning = if open.sort == Sort::Own { text.clone() } else { open.beginning() };
            told.push(("response.output_item.added", format!("\"item\":{beginning}")));
        }
        told.push(("response.output_item.done", format!("\"item\":{text}")));
        self.tell(told, index, out);
        self.output.push(text);
    }

    fn finish(&mut self, stop: Stop, out: &mut String) {
        if let Some(why) = explanation(&stop).filter(|_| !self.refused && !self.same()) {
            let shell = Part::new(PartKind::Refusal(why.to_owned()));
            self.part_start(shell, out);
            self.part_end(out);
        }
        self.close_item(out);
        self.stop = Some(stop);
    }

    fn end(&mut self, out: &mut String) {
        self.start(out);
        self.close_item(out);
        self.closed = true;
        let stop = self.stop.take();
        let status = self.writing(|writing| status(stop.as_ref(), writing).map(str::to_owned));
        let name = match status.as_deref() {
            Some("incomplete" | "cancelled") => "response.incomplete",
            _ => "response.completed",
        };
        self.stop = stop;
        let response = self.response(status.as_deref(), None);
        self.emit(name, &format!("\"response\":{response}"), out);
    }

    fn fail(&mut self, error: &UpstreamError, out: &mut String) {
        self.start(out);
        self.closed = true;
        let response = self.response(Some("failed"), Some(error));
        self.emit("response.failed", &format!("\"response\":{response}"), out);
    }

    /// Whether there is room for so many bytes more; if not, the stream has failed.
    fn afford(&mut self, bytes: usize, out: &mut String) -> bool {
        if let Some(left) = self.left.checked_sub(bytes) {
            self.left = left;
            return true;
        }
        let message = "the answer is too large to be repeated whole".to_owned();
        self.fail(&UpstreamError { message, ..UpstreamError::default() }, out);
        false
    }

    /// The response as it is now.
    fn response(&mut self, word: Option<&str>, error: Option<&UpstreamError>) -> String {
        let output = format!("[{}]", if word == Some("in_progress") { String::new() } else { self.output.join(",") });
        write::object(|o| {
            head(o, &self.head, word, &mut self.reply);
            o.raw("output", &output);
            match &self.usage {
                Some(spent) => usage(o, spent),
                None => o.null("usage"),
            }
            if let Some(error) = error {
                o.object("error", |o| {
                    o.text("code", error::failed_code(error));
                    o.text("message", &error.message);
                });
            }
            tail(o, &self.head, self.stop.as_ref(), &self.reply);
        })
    }

    fn emit(&mut self, name: &str, members: &str, out: &mut String) {
        let json = format!("{{\"type\":\"{name}\",\"sequence_number\":{},{members}}}", self.sequence);
        self.sequence += 1;
        out.push_str(&write::sse_data(Some(name), &json));
    }

    /// Writes with this stream's losses at hand.
    fn writing<T>(&mut self, write: impl FnOnce(&mut Writing<'_>) -> T) -> T {
        let capabilities = Capabilities::default();
        let target = Target { model: "", capabilities: &capabilities, caller: self.reply.source };
        let mut writing = Writing::new(&target, true);
        std::mem::swap(&mut writing.losses, &mut self.losses);
        let written = write(&mut writing);
        std::mem::swap(&mut writing.losses, &mut self.losses);
        written
    }
}

/// Takes out of a shell what it holds already, as what is added to it.
fn empty(shell: &mut Part) -> Vec<Delta> {
    let mut deltas = Vec::new();
    match &mut shell.kind {
        PartKind::Text(Text { text, citations }) => {
            deltas.push(Delta::Text(std::mem::take(text)));
            deltas.extend(citations.drain(..).map(Delta::Citation));
        }
        PartKind::Refusal(text) => deltas.push(Delta::Text(std::mem::take(text))),
        PartKind::Thinking(thinking) => {
            deltas.push(Delta::Text(std::mem::take(&mut thinking.text)));
            deltas.extend(thinking.encrypted.take().map(Delta::Encrypted));
        }
        PartKind::ToolCall(call) => {
            deltas.extend(shell.signature.take().map(Delta::Signature));
            deltas.push(Delta::Arguments(std::mem::take(&mut call.arguments)));
        }
        PartKind::Image(media) => {
            if let Source::Base64(data) = &mut media.source {
                deltas.push(Delta::Data(std::mem::take(data)));
            }
        }
        _ => {}
    }
    deltas.extend(shell.signature.take().map(Delta::Signature));
    deltas.retain(
        |delta| !matches!(delta, Delta::Text(text) | Delta::Arguments(text) | Delta::Data(text) if text.is_empty()),
    );
    deltas
}
