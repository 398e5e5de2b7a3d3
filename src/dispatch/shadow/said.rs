//! What an answer said, as far as it is compared: read of the very bytes that the caller gets, in its own form, so
//! that answers of any two providers are read in the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use weir_wire::hub::{Delta, Event, PartKind, StopReason, unfold};
use weir_wire::rules::UsageRules;
use weir_wire::sse::SseFramer;
use weir_wire::translate::{self, Decoder, Inbound};

use crate::dispatch::attempt::is_event_stream;

/// Bytes of texts and of tools' arguments that are kept of an answer; of what is beyond, lengths and digests.
const MAX_KEPT: usize = 64 * 1024;
/// Longest whole answer, and longest event of a stream, that is read.
pub(super) const MAX_READ: usize = 256 * 1024;
/// Parts, calls of tools and choices that are told apart.
const MAX_PARTS: usize = 256;

/// What an answer said.
#[derive(Debug, Default)]
pub struct Said {
    choices: BTreeMap<u32, Choice>,
    calls: BTreeMap<(u32, u32), Call>,
    texts: BTreeSet<(u32, u32)>,
    kept: usize,
    /// There is more than what is here: it could not be read, or is too much.
    pub partial: bool,
}

#[derive(Debug, Default)]
struct Choice {
    text: String,
    bytes: u64,
    digest: Sha256,
    stop: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Call {
    name: String,
    arguments: String,
    cut: bool,
}

impl Said {
    /// Of an answer that cannot be read.
    #[must_use]
    pub(super) fn unread() -> Self {
        Self { partial: true, ..Self::default() }
    }

    /// Bytes of its text.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.choices.values().map(|choice| choice.bytes).sum()
    }

    /// Its text, one choice after the other; `None` where it was too long to be kept.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let whole = self.choices.values().all(|choice| choice.text.len() as u64 == choice.bytes);
        whole.then(|| self.choices.values().map(|choice| choice.text.as_str()).collect::<Vec<_>>().join("\n"))
    }

    /// Whether both have the same text in every choice, however long it is.
    #[must_use]
    pub fn same_text(&self, other: &Self) -> bool {
        let of = |said: &Self| {
            let choices = said.choices.iter();
            choices.map(|(n, choice)| (*n, choice.bytes, choice.digest.clone().finalize())).collect::<Vec<_>>()
        };
        of(self) == of(other)
    }

    /// Why its choices ended, in the hub's words, separated by commas.
    #[must_use]
    pub fn stops(&self) -> String {
        self.choices.values().filter_map(|choice| choice.stop).take(16).collect::<Vec<_>>().join(",")
    }

    /// How often it called a tool.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Whether both call the same tools with the same arguments, in whatever order. JSON is compared by what it says.
    /// `None` where arguments were too long to be kept, or nobody calls a tool.
    #[must_use]
    pub fn same_calls(&self, other: &Self) -> Option<bool> {
        if self.calls.is_empty() && other.calls.is_empty() {
            return None;
        }
        Some(self.called()? == other.called()?)
    }

    fn called(&self) -> Option<Vec<(u32, &str, String)>> {
        let whole = self.calls.values().all(|call| !call.cut);
        let mut called: Vec<_> = whole.then(|| {
            let calls = self.calls.iter();
            calls.map(|((choice, _), call)| (*choice, call.name.as_str(), canonical(&call.arguments))).collect()
        })?;
        called.sort();
        Some(called)
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Choice { choice, .. } => drop(self.choice(choice)),
            Event::PartStart { choice, part, shell } => self.part(choice, part, shell.kind),
            Event::Delta { choice, part, delta } => self.delta(choice, part, delta),
            Event::Finish { choice, stop } => self.finish(choice, word(stop.reason)),
            Event::Error(_) => self.partial = true,
            Event::Start(_)
            | Event::Update(_)
            | Event::PartEnd { .. }
            | Event::Logprobs { .. }
            | Event::Usage(_)
            | Event::End => {}
        }
    }

    fn choice(&mut self, choice: u32) -> Option<&mut Choice> {
        if self.choices.len() >= MAX_PARTS && !self.choices.contains_key(&choice) {
            self.partial = true;
            return None;
        }
        Some(self.choices.entry(choice).or_default())
    }

    fn part(&mut self, choice: u32, part: u32, kind: PartKind) {
        if self.texts.len() + self.calls.len() >= MAX_PARTS {
            self.partial = true;
            return;
        }
        let text = match kind {
            PartKind::Text(said) => said.text,
            PartKind::Refusal(text) => text,
            PartKind::Audio(_) => String::new(),
            PartKind::ToolCall(call) => {
                self.calls.insert((choice, part), Call { name: call.name, ..Call::default() });
                return self.arguments(choice, part, &call.arguments);
            }
            _ => return,
        };
        self.texts.insert((choice, part));
        self.text_of(choice, &text);
    }

    fn delta(&mut self, choice: u32, part: u32, delta: Delta) {
        match delta {
            Delta::Text(text) | Delta::Transcript(text) if self.texts.contains(&(choice, part)) => {
                self.text_of(choice, &text);
            }
            Delta::Arguments(text) => self.arguments(choice, part, &text),
            _ => {}
        }
    }

    fn text_of(&mut self, choice: u32, text: &str) {
        let room = MAX_KEPT.saturating_sub(self.kept);
        let Some(choice) = self.choice(choice) else { return };
        choice.bytes += text.len() as u64;
        choice.digest.update(text);
        // Once something was left out, nothing is put behind it.
        if choice.text.len() as u64 + text.len() as u64 == choice.bytes && text.len() <= room {
            choice.text.push_str(text);
            self.kept += text.len();
        }
    }

    fn arguments(&mut self, choice: u32, part: u32, text: &str) {
        let room = MAX_KEPT.saturating_sub(self.kept);
        let Some(call) = self.calls.get_mut(&(choice, part)) else { return };
        call.cut |= text.len() > room;
        if !call.cut {
            call.arguments.push_str(text);
            self.kept += text.len();
        }
    }

    fn finish(&mut self, choice: u32, stop: &'static str) {
        if let Some(choice) = self.choice(choice) {
            choice.stop = Some(stop);
        }
    }
}

fn word(reason: StopReason) -> &'static str {
    match reason {
        StopReason::End => "end",
        StopReason::Sequence => "sequence",
        StopReason::Length => "length",
        StopReason::ToolUse => "tool_use",
        StopReason::Filter => "filter",
        StopReason::Refusal => "refusal",
        StopReason::Pause => "pause",
        StopReason::Window => "window",
        StopReason::Malformed => "malformed",
        StopReason::Unknown => "unknown",
    }
}

/// JSON without what means nothing: spaces, the order of members. Anything else as it is.
fn canonical(arguments: &str) -> String {
    let empty = arguments.trim().is_empty();
    let read = serde_json::from_str::<serde_json::Value>(if empty { "{}" } else { arguments });
    // Two members are in one order by their names in a map that is sorted.
    read.map_or_else(|_| arguments.to_owned(), |value| sorted(&value))
}

fn sorted(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let members: BTreeMap<&String, String> = map.iter().map(|(name, value)| (name, sorted(value))).collect();
            format!("{members:?}")
        }
        serde_json::Value::Array(list) => format!("{:?}", list.iter().map(sorted).collect::<Vec<_>>()),
        other => other.to_string(),
    }
}

/// In which form an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    inbound: Inbound,
    stream: bool,
    /// A stream of Gemini's that is one JSON array.
    array: bool,
}

impl Form {
    /// By the answer's head; `array` where the caller wants its stream so.
    #[must_use]
    pub fn of(inbound: Inbound, headers: &HeaderMap, array: bool) -> Self {
        let stream = is_event_stream(headers);
        Self { inbound, stream, array: array && !stream }
    }
}

/// Reads an answer as it passes.
#[derive(Debug)]
pub struct Reader {
    by: By,
    said: Said,
    events: Vec<Event>,
}

#[derive(Debug)]
enum By {
    Events(Box<Decoder>),
    Completions(SseFramer),
    /// All of it, in the end.
    Whole(Vec<u8>, Form),
}

impl Reader {
    /// For an answer of this form.
    #[must_use]
    pub fn new(form: Form) -> Self {
        let by = match form {
            Form { stream: true, inbound: Inbound::Completions, .. } => By::Completions(SseFramer::new(MAX_READ)),
            Form { stream: true, inbound, .. } => {
                By::Events(Box::new(Decoder::new(inbound.dialect(), Arc::new(UsageRules::default()), MAX_READ)))
            }
            form => By::Whole(Vec::new(), form),
        };
        Self { by, said: Said::default(), events: Vec::new() }
    }

    /// The next bytes.
    pub fn push(&mut self, chunk: Bytes) {
        match &mut self.by {
            By::Events(decoder) => decoder.push(chunk, &mut self.events),
            By::Completions(framer) => {
                framer.push(chunk);
                while let Some(frame) = framer.next() {
                    match frame {
                        Ok(frame) => completion(&frame.data(), &mut self.said),
                        Err(_) => self.said.partial = true,
                    }
                }
            }
            By::Whole(bytes, _) if bytes.len() + chunk.len() <= MAX_READ => bytes.extend_from_slice(&chunk),
            By::Whole(..) => self.said.partial = true,
        }
        self.events.drain(..).for_each(|event| self.said.event(event));
    }

    /// Nothing more comes.
    #[must_use]
    pub fn finish(mut self) -> Said {
        match self.by {
            By::Events(mut decoder) => decoder.end(&mut self.events),
            By::Completions(mut framer) => {
                if let Some(last) = framer.end() {
                    completion(&last.data(), &mut self.said);
                }
            }
            By::Whole(bytes, form) if !self.said.partial => whole(form, &bytes, &mut self.said, &mut self.events),
            By::Whole(..) => {}
        }
        for event in self.events {
            self.said.event(event);
        }
        self.said
    }
}

fn whole(form: Form, bytes: &[u8], said: &mut Said, events: &mut Vec<Event>) {
    if form.inbound == Inbound::Completions {
        return completion(bytes, said);
    }
    if form.array
        && let Ok(chunks) = serde_json::from_slice::<Vec<&RawValue>>(bytes)
    {
        let rules = Arc::new(UsageRules::default());
        let mut decoder = Decoder::new(form.inbound.dialect(), rules, MAX_READ);
        for chunk in chunks {
            decoder.push(format!("data: {}\n\n", chunk.get().replace('\n', " ")).into(), events);
        }
        return decoder.end(events);
    }
    match translate::decode_answer(form.inbound.dialect(), bytes, &UsageRules::default()) {
        Ok(answer) => events.extend(unfold(answer)),
        Err(_) => said.partial = true,
    }
}

/// A legacy completion, or a chunk of one.
fn completion(json: &[u8], said: &mut Said) {
    #[derive(Deserialize)]
    struct Chunk {
        #[serde(default)]
        choices: Vec<Completed>,
    }
    #[derive(Deserialize)]
    struct Completed {
        #[serde(default)]
        index: u32,
        #[serde(default)]
        text: String,
        #[serde(default)]
        finish_reason: Option<String>,
    }
    let json = json.trim_ascii();
    if json.is_empty() || json == b"[DONE]" {
        return;
    }
    let Ok(chunk) = serde_json::from_slice::<Chunk>(json) else {
        said.partial = true;
        return;
    };
    for choice in chunk.choices {
        said.text_of(choice.index, &choice.text);
        match choice.finish_reason.as_deref() {
            Some("stop") => said.finish(choice.index, word(StopReason::End)),
            Some("length") => said.finish(choice.index, word(StopReason::Length)),
            Some("content_filter") => said.finish(choice.index, word(StopReason::Filter)),
            Some(_) => said.finish(choice.index, word(StopReason::Unknown)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
