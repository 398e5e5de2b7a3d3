//! A streamed response, read event by event.

use std::sync::Arc;

use super::content::citation;
use super::decode_answer::{failure, head, stop};
use super::form::RESPONSES;
use super::stream_item::{Items, Key};
use crate::counts::UsageFinder;
use crate::fault::{self, UpstreamError};
use crate::hub::{DecodeError, Delta, Event, Extra, Fields, Head, Mode, Native, Node, Part, Place, Spent};
use crate::json::{Kind, Reader};
use crate::rules::UsageRules;
use crate::sse::Frame;

/// Reads the frames of one stream.
///
/// An item's parts come from its deltas; what the item says at its end and the deltas did not is
/// added then. Items of this dialect's own are told when they are done.
#[derive(Debug)]
pub struct StreamDecoder {
    rules: Arc<UsageRules>,
    /// What was said about the answer so far.
    head: Option<Head>,
    items: Items,
    closed: bool,
}

impl StreamDecoder {
    /// For one stream of a provider with these usage rules.
    #[must_use]
    pub fn new(rules: Arc<UsageRules>) -> Self {
        Self { rules, head: None, items: Items::default(), closed: false }
    }

    /// Reads one frame and appends its events. Behind the last event nothing is read.
    pub fn push(&mut self, frame: &Frame, events: &mut Vec<Event>) {
        let data = frame.data();
        let payload = data.trim_ascii();
        if self.closed || payload.is_empty() || payload == b"[DONE]" {
            return;
        }
        if let Err(error) = self.event(payload, frame.event(), events) {
            self.fail(broken(&error.to_string()), events);
        }
    }

    /// Says that no more frames come. Without a terminal event before, that is an error.
    pub fn end(&mut self, events: &mut Vec<Event>) {
        if !self.closed {
            self.fail(broken("it ended before its last event"), events);
        }
    }

    fn fail(&mut self, error: UpstreamError, events: &mut Vec<Event>) {
        events.push(Event::Error(error));
        self.closed = true;
    }

    fn event(&mut self, data: &[u8], name: Option<&str>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut fields = Node::of_body(data, Mode::Answer)?.fields(Place::root())?;
        let kind = fields.text("type")?.or_else(|| name.map(str::to_owned)).unwrap_or_default();
        match kind.as_str() {
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                return self.terminal(&kind, fields, events);
            }
            "error" => {
                self.fail(fault::read_error(502, None, data), events);
                return Ok(());
            }
            _ => {}
        }
        if fields.peek("error").is_some_and(|node| node.kind == Kind::Object) && !kind.starts_with("response.") {
            self.fail(fault::read_error(502, None, data), events);
            return Ok(());
        }
        match kind.as_str() {
            "response.created" | "response.queued" | "response.in_progress" => match fields.object("response")? {
                Some(response) => self.update(response, events),
                None => Ok(()),
            },
            _ => self.item_event(&kind, fields, events),
        }
    }

    /// What happens to an item.
    fn item_event(&mut self, kind: &str, mut fields: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let Some(index) = fields.count("output_index")? else { return Ok(()) };
        match kind {
            "response.output_item.added" => self.items.added(index, fields.take("item"), events),
            "response.output_item.done" => match fields.take("item") {
                Some(item) => self.items.done(index, item, events),
                None => Ok(()),
            },
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                let Some(part) = fields.take("part") else { return Ok(()) };
                let key = match kind {
                    "response.content_part.done" => Key::Content(fields.count("content_index")?.unwrap_or_default()),
                    _ => Key::Summary(fields.count("summary_index")?.unwrap_or_default()),
                };
                self.items.part_done(index, key, part, events)
            }
            "response.output_text.annotation.added" => {
                let Some(node) = fields.take("annotation") else { return Ok(()) };
                let citation = citation(node, Place::root())?;
                let key = Key::Content(fields.count("content_index")?.unwrap_or_default());
                self.items.delta(index, key, &text_shell, Delta::Citation(citation), events)
            }
            _ => self.delta(kind, index, fields, events),
        }
    }

    fn delta(
        &mut self,
        kind: &str,
        index: u64,
        mut fields: Fields<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let content = Key::Content(fields.count("content_index")?.unwrap_or_default());
        let summary = Key::Summary(fields.count("summary_index")?.unwrap_or_default());
        let (key, shell): (Key, &dyn Fn() -> Part) = match kind {
            "response.output_text.delta" => (content, &text_shell),
            "response.refusal.delta" => (content, &refusal_shell),
            "response.reasoning_text.delta" => (content, &thought_shell),
            "response.reasoning_summary_text.delta" => (summary, &summary_shell),
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                let Some(text) = fields.text("delta")? else { return Ok(()) };
                return self.items.arguments(index, text, events);
            }
            _ => return Ok(()),
        };
        let Some(text) = fields.text("delta")? else { return Ok(()) };
        self.items.delta(index, key, shell, Delta::Text(text), events)?;
        if let Some(json) = fields.json("logprobs") {
            self.items.logprobs(index, key, super::logprobs::read(&json), events);
        }
        Ok(())
    }

    /// More about the response: what is new of it.
    fn update(&mut self, mut response: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        for name in ["output", "usage", "status"] {
            response.take(name);
        }
        let said = head(response)?;
        self.tell(said, events);
        Ok(())
    }

    fn tell(&mut self, said: Head, events: &mut Vec<Event>) {
        let Some(known) = &mut self.head else {
            self.head = Some(said.clone());
            events.push(Event::Start(said));
            events.push(Event::Choice { choice: 0, extra: Extra::default(), message_extra: Extra::default() });
            return;
        };
        let news = Head {
            id: said.id.filter(|_| known.id.is_none()),
            model: said.model.filter(|model| known.model.as_ref() != Some(model)),
            created: said.created.filter(|_| known.created.is_none()),
            tier: said.tier.filter(|tier| known.tier.as_ref() != Some(tier)),
            extra: news(&known.extra, &said.extra),
        };
        if news != Head::default() {
            known.update(news.clone());
            events.push(Event::Update(news));
        }
    }

    /// The last event.
    fn terminal(&mut self, kind: &str, mut fields: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut response = fields.require_object("response")?;
        let usage = self.usage(&mut response, &mut fields);
        let failed = failure(&response).or_else(|| (kind == "response.failed").then(|| broken("it failed")));
        if let Some(error) = failed {
            events.extend(usage.map(Event::Usage));
            self.fail(error, events);
            return Ok(());
        }
        let output = response.whole_list("output")?;
        let stop = stop(&mut response, &[])?;
        self.tell(head(response)?, events);
        for (index, (_, node)) in (0..).zip(output) {
            self.items.complete(index, node, events)?;
        }
        self.items.close(events);
        if let Some(mut stop) = stop {
            if stop.reason == crate::hub::StopReason::End && self.items.called() {
                stop.reason = crate::hub::StopReason::ToolUse;
            }
            events.push(Event::Finish { choice: 0, stop });
        }
        events.extend(usage.map(Event::Usage));
        events.push(Event::End);
        self.closed = true;
        Ok(())
    }

    /// Takes `usage` of the response, and reads it wherever the provider puts it.
    fn usage(&self, response: &mut Fields<'_>, event: &mut Fields<'_>) -> Option<Spent> {
        let mut finder = UsageFinder::new(&self.rules);
        for fields in [&*response, &*event] {
            for name in ["usage", "tool_usage"] {
                let Some(node) = fields.peek(name) else { continue };
                let mut reader = Reader::new(node.raw.as_bytes()).ok()?;
                // The event has been validated, so that what cannot be read here says nothing.
                let _: Result<bool, _> = finder.member(&mut reader, name);
            }
        }
        let native = response.peek("usage").filter(|node| node.kind == Kind::Object);
        let native = native.map(|node| Native { dialect: RESPONSES, json: node.json() });
        if native.is_some() {
            response.take("usage");
        }
        finder.reading().map(|reading| Spent { tokens: reading.usage, native, bent: reading.clamped })
    }
}

fn text_shell() -> Part {
    Part::text("")
}

fn refusal_shell() -> Part {
    Part::new(crate::hub::PartKind::Refusal(String::new()))
}

fn thought_shell() -> Part {
    Part::new(crate::hub::PartKind::Thinking(crate::hub::Thinking::default()))
}

fn summary_shell() -> Part {
    let thinking = crate::hub::Thinking { summary: true, ..crate::hub::Thinking::default() };
    Part::new(crate::hub::PartKind::Thinking(thinking))
}

/// The members that are not known with the same value; all of a response's are quiet.
fn news(known: &Extra, said: &Extra) -> Extra {
    let news = said.members().iter().filter(|(name, value)| known.get(RESPONSES, name) != Some(value));
    Extra::new(RESPONSES, news.cloned().collect()).quieten(|_| true)
}

fn broken(why: &str) -> UpstreamError {
    UpstreamError {
        message: format!("the provider's stream broke: {why}"),
        kind: Some("upstream_error".to_owned()),
        ..UpstreamError::default()
    }
}
