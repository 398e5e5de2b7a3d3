//! A streamed message, read event by event.

use std::sync::Arc;

use super::decode_answer::head;
use super::stream_block::{Block, audible};
use super::usage::Cumulative;
use super::{content, stop, usage};
use crate::fault::{self, UpstreamError};
use crate::hub::fold::MAX_PARTS;
use crate::hub::{DecodeError, Event, Extra, Fields, Head, Mode, Node, Place, Spent, Stop};
use crate::rules::UsageRules;
use crate::sse::Frame;

/// The most blocks open at once. Providers have one.
const MAX_OPEN: usize = 64;

/// The most bytes of members beside the content, in all.
const MAX_EXTRA: usize = 256 * 1024;

/// Reads the frames of one stream.
#[derive(Debug)]
pub struct StreamDecoder {
    rules: Arc<UsageRules>,
    usage: Cumulative,
    began: bool,
    /// The number of the next part.
    next: u32,
    open: Vec<Block>,
    /// The reason that the beginning gave, for a message that was whole from the start.
    early: Option<Stop>,
    finished: bool,
    /// Bytes of members told beside the content.
    extra: usize,
    closed: bool,
}

impl StreamDecoder {
    /// For one stream of a provider with these usage rules.
    #[must_use]
    pub fn new(rules: Arc<UsageRules>) -> Self {
        let usage = Cumulative::default();
        Self {
            rules,
            usage,
            began: false,
            next: 0,
            open: Vec::new(),
            early: None,
            finished: false,
            extra: 0,
            closed: false,
        }
    }

    /// Reads one frame and appends its events. Behind the last event nothing is read.
    pub fn push(&mut self, frame: &Frame, events: &mut Vec<Event>) {
        let data = frame.data();
        let payload = data.trim_ascii();
        // Some servers of this dialect end like OpenAI's, beside the proper end.
        if self.closed || payload.is_empty() || payload == b"[DONE]" {
            return;
        }
        match self.event(payload, frame.event(), events) {
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
        self.end_blocks(events);
        let early = self.early.take().filter(|_| !self.finished);
        events.extend(early.map(|stop| Event::Finish { choice: 0, stop }));
        events.push(Event::End);
        self.closed = true;
    }

    fn fail(&mut self, error: UpstreamError, events: &mut Vec<Event>) {
        events.push(Event::Error(error));
        self.closed = true;
    }

    fn end_blocks(&mut self, events: &mut Vec<Event>) {
        for block in std::mem::take(&mut self.open) {
            block.end(&mut self.next, events);
        }
    }

    fn event(
        &mut self,
        data: &[u8],
        name: Option<&str>,
        events: &mut Vec<Event>,
    ) -> Result<Option<UpstreamError>, DecodeError> {
        let mut fields = Node::of_body(data, Mode::Answer)?.fields(Place::root())?;
        let kind = fields.text("type")?.or(name.map(str::to_owned)).unwrap_or_default();
        match kind.as_str() {
            "message_start" => self.start(fields, events)?,
            "content_block_start" => self.block_start(fields, events)?,
            "content_block_delta" => self.block_delta(fields, events)?,
            "content_block_stop" => self.block_stop(fields, events)?,
            "message_delta" => self.message_delta(fields, events)?,
            "message_stop" => self.close(events),
            "error" => return Ok(Some(fault::read_error(502, None, data))),
            _ if fields.peek("error").is_some() => return Ok(Some(fault::read_error(502, None, data))),
            // Pings, and events of tomorrow, which clients are to pass over.
            _ => {}
        }
        Ok(None)
    }

    fn start(&mut self, mut fields: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let Some(mut message) = fields.object("message")? else { return Ok(()) };
        if std::mem::replace(&mut self.began, true) {
            return Ok(());
        }
        let spent = self.usage.take(&mut message, &self.rules);
        let content = message.list("content")?;
        self.early = stop::take(&mut message);
        let tier = spent.as_ref().and_then(usage::tier);
        let said = head(message)?;
        events.push(Event::Start(Head { tier, extra: audible(&said.extra), ..said }));
        let (extra, message_extra) = (Extra::default(), Extra::default());
        events.push(Event::Choice { choice: 0, extra, message_extra });
        events.extend(spent.map(Event::Usage));
        for (_, node) in content {
            let part = self.next;
            self.next += 1;
            let shell = Box::new(content::block(node, Place::root(), Mode::Answer)?);
            events.extend([Event::PartStart { choice: 0, part, shell }, Event::PartEnd { choice: 0, part }]);
        }
        Ok(())
    }

    /// A stream without its beginning begins with whatever comes.
    fn ensure_began(&mut self, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.began, true) {
            events.push(Event::Start(Head::default()));
        }
    }

    fn block_start(&mut self, mut fields: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        self.ensure_began(events);
        let index = fields.count("index")?.unwrap_or_default();
        let node = fields.take("content_block").ok_or_else(|| fields.error("content_block", "missing"))?;
        // A block that begins anew has ended.
        if let Some(at) = self.open.iter().position(|block| block.index == index) {
            self.open.remove(at).end(&mut self.next, events);
        }
        self.check_room()?;
        self.open.push(Block::begin(index, node, &mut self.next, events)?);
        Ok(())
    }

    fn check_room(&self) -> Result<(), DecodeError> {
        match self.next as usize >= MAX_PARTS || self.open.len() >= MAX_OPEN {
            true => Err(DecodeError::new("content_block", "too many blocks")),
            false => Ok(()),
        }
    }

    fn block_delta(&mut self, mut fields: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        self.ensure_began(events);
        let index = fields.count("index")?.unwrap_or_default();
        let delta = fields.require_object("delta")?;
        let at = match self.open.iter().position(|block| block.index == index) {
            Some(at) => at,
            None => {
                self.check_room()?;
                let kind = delta.peek("type").and_then(Node::text).unwrap_or_default();
                let block = Block::implied(index, &kind, &mut self.next, events);
                self.open.push(block.ok_or_else(|| fields.error("index", "no such block is open"))?);
                self.open.len() - 1
            }
        };
        match self.open.get_mut(at) {
            Some(block) => block.add(delta, events),
            None => Ok(()),
        }
    }

    fn block_stop(&mut self, mut fields: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let index = fields.count("index")?.unwrap_or_default();
        if let Some(at) = self.open.iter().position(|block| block.index == index) {
            self.open.remove(at).end(&mut self.next, events);
        }
        Ok(())
    }

    /// The end of what is said, and what it cost. It may come more than once: the first reason
    /// counts, and the last usage.
    fn message_delta(&mut self, mut fields: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        self.ensure_began(events);
        let spent: Option<Spent> = self.usage.take(&mut fields, &self.rules);
        let mut stop = None;
        let mut extra = Extra::default();
        if let Some(mut delta) = fields.object("delta")? {
            stop = stop::take(&mut delta);
            extra = audible(&delta.rest(super::form::OWN));
        }
        extra.update(audible(&fields.rest(super::form::OWN)));
        let tier = spent.as_ref().and_then(usage::tier);
        self.extra += extra.size();
        if self.extra > MAX_EXTRA {
            return Err(DecodeError::new("", "too many members beside the content"));
        }
        if !extra.is_empty() || tier.is_some() {
            events.push(Event::Update(Head { extra, tier, ..Head::default() }));
        }
        if let Some(stop) = stop.filter(|_| !self.finished) {
            self.end_blocks(events);
            self.finished = true;
            events.push(Event::Finish { choice: 0, stop });
        }
        events.extend(spent.map(Event::Usage));
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
