//! A streamed chat completion, read chunk by chunk.

use std::sync::Arc;

use super::decode_answer::{assistant, citation, head, in_band, logprobs, stop};
use super::form::CHAT;
use super::stream_choice::ChoiceState;
use super::{audio, calls, content, thinking};
use crate::counts::UsageFinder;
use crate::fault::{self, UpstreamError};
use crate::hub::fold::MAX_CHOICES;
use crate::hub::{DecodeError, Event, Extra, Fields, Head, Mode, Native, Node, Part, PartKind, Place, Seal, Spent};
use crate::json::{Kind, Reader};
use crate::rules::UsageRules;
use crate::sse::Frame;

/// The most bytes of members kept for comparison with those of later chunks.
const MAX_EXTRA: usize = 256 * 1024;

/// Padding and constants that say nothing to anybody.
const SILENT: [&str; 2] = ["obfuscation", "object"];

/// Reads the frames of one stream.
#[derive(Debug)]
pub struct StreamDecoder {
    rules: Arc<UsageRules>,
    /// What the chunks said about the answer so far.
    head: Option<Head>,
    choices: Vec<ChoiceState>,
    finished: bool,
    closed: bool,
}

impl StreamDecoder {
    /// For one stream of a provider with these usage rules.
    #[must_use]
    pub fn new(rules: Arc<UsageRules>) -> Self {
        Self { rules, head: None, choices: Vec::new(), finished: false, closed: false }
    }

    /// Reads one frame and appends its events. Behind the last event nothing is read.
    pub fn push(&mut self, frame: &Frame, events: &mut Vec<Event>) {
        let data = frame.data();
        let payload = data.trim_ascii();
        if self.closed || payload.is_empty() {
            return;
        }
        if payload == b"[DONE]" {
            return self.close(events);
        }
        match self.chunk(payload, frame.event() == Some("error"), events) {
            Ok(None) => {}
            Ok(Some(error)) => self.fail(error, events),
            Err(error) => self.fail(broken(&error.to_string()), events),
        }
    }

    /// Says that no more frames come. Without a proper end before, that is an error.
    pub fn end(&mut self, events: &mut Vec<Event>) {
        if self.closed {
            return;
        }
        if self.rules.no_done && self.finished {
            return self.close(events);
        }
        self.fail(broken("it ended before its last event"), events);
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        self.choices.iter_mut().for_each(|choice| choice.close(events));
        events.push(Event::End);
        self.closed = true;
    }

    fn fail(&mut self, error: UpstreamError, events: &mut Vec<Event>) {
        events.push(Event::Error(error));
        self.closed = true;
    }

    fn chunk(
        &mut self,
        data: &[u8],
        named_error: bool,
        events: &mut Vec<Event>,
    ) -> Result<Option<UpstreamError>, DecodeError> {
        let mut fields = Node::of_body(data, Mode::Answer)?.fields(Place::root())?;
        if let Some(error) = fields.peek("error").and_then(in_band) {
            return Ok(Some(error));
        }
        let word = |name: &str| fields.peek(name).and_then(Node::text);
        if named_error || word("object").as_deref() == Some("error") || word("type").as_deref() == Some("error") {
            return Ok(Some(fault::read_error(502, None, data)));
        }
        let choices = fields.whole_list("choices")?;
        let usage = self.usage(&mut fields);
        self.head(fields, events)?;
        for (position, (at, node)) in choices.into_iter().enumerate() {
            self.choice(node.fields(at)?, position, events)?;
        }
        events.extend(usage.map(Event::Usage));
        Ok(None)
    }

    /// Takes `usage`, and reads it wherever the provider puts it.
    fn usage(&self, fields: &mut Fields<'_>) -> Option<Spent> {
        let mut finder = UsageFinder::new(&self.rules);
        for name in ["usage", "x_groq", "usage_info", "tool_usage"] {
            let Some(node) = fields.peek(name) else { continue };
            let mut reader = Reader::new(node.raw.as_bytes()).ok()?;
            // The chunk has been validated, so that what cannot be read here says nothing.
            let _: Result<bool, _> = finder.member(&mut reader, name);
        }
        let native = fields.peek("usage").filter(|node| node.kind == Kind::Object);
        let native = native.map(|node| Native { dialect: CHAT, json: node.json() });
        if native.is_some() {
            fields.take("usage");
        }
        finder.reading().map(|reading| Spent { tokens: reading.usage, native, bent: reading.clamped })
    }

    /// What is new about the answer: all at first, later what was not said yet.
    fn head(&mut self, fields: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut said = head(fields, "chat.completion.chunk")?;
        said.extra = audible(said.extra);
        let Some(known) = &mut self.head else {
            self.head = Some(said.clone());
            events.push(Event::Start(said));
            return Ok(());
        };
        let news = Head {
            id: said.id.filter(|_| known.id.is_none()),
            model: said.model.filter(|_| known.model.is_none()),
            created: said.created.filter(|_| known.created.is_none()),
            tier: said.tier.filter(|tier| known.tier.as_ref() != Some(tier)),
            extra: unknown(&known.extra, said.extra),
        };
        if news == Head::default() {
            return Ok(());
        }
        known.update(news.clone());
        if known.extra.size() > MAX_EXTRA {
            return Err(DecodeError::new("", "too many members beside the choices"));
        }
        events.push(Event::Update(news));
        Ok(())
    }

    fn choice(&mut self, mut fields: Fields<'_>, position: usize, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let index = fields.count("index")?.and_then(|index| u32::try_from(index).ok());
        let index = index.unwrap_or(u32::try_from(position).unwrap_or(u32::MAX));
        let found = self.choices.iter().position(|choice| choice.index == index).unwrap_or(self.choices.len());
        if found == self.choices.len() {
            if found >= MAX_CHOICES {
                return Err(fields.error("index", "too many choices"));
            }
            self.choices.push(ChoiceState::new(index));
        }
        let Some(state) = self.choices.get_mut(found) else { return Ok(()) };
        let logprobs = logprobs(&mut fields);
        let stop = fields.word("finish_reason")?.filter(|word| word != "None").map(|word| stop(&word));
        // Some servers send a whole message where a delta belongs.
        let delta = match fields.object("delta")? {
            Some(delta) => Some(delta),
            None => fields.object("message")?,
        };
        let mut message_extra = Extra::default();
        let said = delta.map(Said::take).transpose()?;
        if let Some(said) = &said {
            message_extra = audible(said.extra.clone());
        }
        state.note(audible(fields.rest(CHAT)), message_extra, events)?;
        if let Some(said) = said {
            said.tell(state, events)?;
        }
        let logprobs = logprobs.filter(|more| !more.content.is_empty() || !more.refusal.is_empty());
        events.extend(logprobs.map(|more| Event::Logprobs { choice: index, more }));
        if let Some(stop) = stop {
            self.finished = true;
            state.finish(stop, events);
        }
        Ok(())
    }
}

fn broken(why: &str) -> UpstreamError {
    UpstreamError {
        message: format!("the provider's stream broke: {why}"),
        kind: Some("upstream_error".to_owned()),
        ..UpstreamError::default()
    }
}

/// The members that say something.
fn audible(extra: Extra) -> Extra {
    let members = extra.members().iter().filter(|(name, value)| !value.is_empty() && !SILENT.contains(&name.as_str()));
    Extra::new(CHAT, members.cloned().collect())
}

/// The members that are not known with the same value.
pub(super) fn unknown(known: &Extra, said: Extra) -> Extra {
    let news = said.members().iter().filter(|(name, value)| known.get(CHAT, name) != Some(value));
    Extra::new(CHAT, news.cloned().collect())
}

/// What one delta says, in fragments of parts.
struct Said<'d> {
    fragments: Vec<Part>,
    seal: Option<Seal>,
    annotations: Vec<Node<'d>>,
    calls: Vec<Node<'d>>,
    legacy: Option<Node<'d>>,
    extra: Extra,
}

impl<'d> Said<'d> {
    fn take(mut delta: Fields<'d>) -> Result<Self, DecodeError> {
        assistant(&mut delta);
        let mut fragments = thinking::take(&mut delta)?;
        fragments.append(&mut content::take(&mut delta, "content", Mode::Answer)?);
        if let Some(refusal) = delta.word("refusal")? {
            fragments.push(Part::new(PartKind::Refusal(refusal)));
        }
        fragments.extend(audio::take(&mut delta)?);
        let nodes = |items: Vec<(Place, Node<'d>)>| items.into_iter().map(|(_, node)| node).collect();
        Ok(Self {
            fragments,
            seal: calls::signature(&mut delta)?,
            annotations: nodes(delta.list("annotations")?),
            calls: nodes(delta.list("tool_calls")?),
            legacy: delta.take_kind("function_call", Kind::Object)?,
            extra: delta.rest(CHAT),
        })
    }

    fn tell(self, state: &mut ChoiceState, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        for fragment in self.fragments {
            state.fragment(fragment, events)?;
        }
        if let Some(seal) = self.seal {
            state.seal(seal, events)?;
        }
        for node in self.annotations {
            state.citation(citation(node)?, events)?;
        }
        for node in self.calls {
            state.call(node, events)?;
        }
        if let Some(node) = self.legacy {
            state.legacy_call(node, events)?;
        }
        Ok(())
    }
}
