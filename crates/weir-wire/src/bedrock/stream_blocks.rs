//! The blocks of a stream: deltas become parts.
//!
//! Only tool calls, tool results and pictures begin with a `contentBlockStart`; text and thoughts
//! begin with their first delta. What the provider ran itself (server tools and their results) is
//! gathered, and told whole when it ends, as other dialects' encoders want it.

use super::decode_stream::whole;
use super::form::BEDROCK;
use super::{citations, media, thinking};
use crate::hub::fold::MAX_PARTS;
use crate::hub::write;
use crate::hub::{DecodeError, Delta, Event, Fields, Media, Node, Part, PartKind, Place, Seal, Source, ToolCall};
use crate::json::Kind;

/// The most blocks open at once.
const MAX_OPEN: usize = 256;
/// The most bytes gathered of blocks that are told whole.
const MAX_GATHERED: usize = 8 << 20;

/// The blocks that have begun.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// How many parts have begun.
    parts: usize,
    open: Vec<Block>,
    gathered: usize,
}

#[derive(Debug)]
struct Block {
    index: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A part that has begun.
    Part { part: u32, sort: Sort, silent: bool },
    /// A block to be told whole: its member, the members of its start, and what deltas add.
    Gathered { name: &'static str, start: String, text: String, items: String },
}

/// The sorts of parts that deltas go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Text,
    Thinking,
    Redacted,
    Call,
    Image,
}

impl Blocks {
    /// Reads a block's start, delta or stop.
    pub(super) fn event(
        &mut self,
        name: &str,
        mut fields: Fields<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let index = fields.count("contentBlockIndex")?.unwrap_or_default();
        match name {
            "contentBlockStart" => match fields.object("start")? {
                Some(start) => self.start(index, start, events),
                None => Ok(()),
            },
            "contentBlockDelta" => match fields.object("delta")? {
                Some(delta) => self.delta(index, delta, events),
                None => Ok(()),
            },
            _ => self.stop(index, events),
        }
    }

    /// Ends all blocks.
    pub(super) fn close(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        while let Some(block) = self.open.first() {
            self.stop(block.index, events)?;
        }
        Ok(())
    }

    fn start(&mut self, index: u64, mut start: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        self.stop(index, events)?;
        if let Some(node) = start.take("toolUse").filter(|node| node.kind == Kind::Object) {
            return self.call(index, node, events);
        }
        if let Some(node) = start.take("toolResult").filter(|node| node.kind == Kind::Object) {
            return self.gather(index, "toolResult", node);
        }
        if let Some(mut image) = start.object("image")? {
            let mime = image.word("format")?.map(|format| media::mime("image", &format));
            let shell = Part::new(PartKind::Image(Media::new(Source::Base64(String::new()), mime)));
            self.begin(index, shell, Sort::Image, events)?;
        }
        Ok(())
    }

    fn call(&mut self, index: u64, node: Node<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut fields = node.fields(Place::root())?;
        if fields.peek("type").and_then(Node::text).as_deref() == Some("server_tool_use") {
            return self.gather(index, "toolUse", node);
        }
        let id = fields.word("toolUseId")?;
        let name = fields.text("name")?.unwrap_or_default();
        let call = ToolCall { id, name, extra: fields.rest(BEDROCK), ..ToolCall::default() };
        self.begin(index, Part::new(PartKind::ToolCall(call)), Sort::Call, events)?;
        Ok(())
    }

    fn delta(&mut self, index: u64, mut delta: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if let Some(text) = delta.word("text")? {
            return self.more(index, Sort::Text, Delta::Text(text), events);
        }
        if let Some(mut inner) = delta.object("toolUse")? {
            let input = inner.text("input")?.unwrap_or_default();
            return self.input(index, input, events);
        }
        if let Some(inner) = delta.object("reasoningContent")? {
            return self.thought(index, inner, events);
        }
        if let Some(node) = delta.take("citation") {
            return self.more(index, Sort::Text, Delta::Citation(citations::read(node)?), events);
        }
        if let Some(mut image) = delta.object("image")? {
            if let Some(Source::Base64(data)) = media::source(&mut image)? {
                return self.more(index, Sort::Image, Delta::Data(data), events);
            }
            return Ok(());
        }
        self.result(index, &mut delta)
    }

    fn thought(&mut self, index: u64, mut inner: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let seal = |text| Seal { text, origin: Some(BEDROCK) };
        if let Some(text) = inner.word("text")? {
            self.more(index, Sort::Thinking, Delta::Text(text), events)?;
        }
        if let Some(text) = inner.word("signature")? {
            self.more(index, Sort::Thinking, Delta::Signature(seal(text)), events)?;
        }
        if let Some(data) = inner.word("redactedContent")? {
            return self.redacted(index, &data, events);
        }
        Ok(())
    }

    /// Redacted thoughts. What is no text stays base64, and comes at once.
    fn redacted(&mut self, index: u64, data: &str, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut shell = thinking::redacted(data);
        let PartKind::Thinking(inner) = &mut shell.kind else { return Ok(()) };
        let Some(seal) = inner.encrypted.take() else { return Ok(()) };
        let part = match self.part(index, Sort::Redacted) {
            Some(part) => part,
            None => {
                self.stop(index, events)?;
                self.begin(index, shell, Sort::Redacted, events)?
            }
        };
        events.push(Event::Delta { choice: 0, part, delta: Delta::Encrypted(seal) });
        Ok(())
    }

    /// More of a call's input, or of one that is gathered.
    fn input(&mut self, index: u64, input: String, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let gathered = self.open.iter_mut().find(|block| block.index == index).map(|block| &mut block.state);
        if let Some(State::Gathered { text, .. }) = gathered {
            text.push_str(&input);
            return self.afford(input.len());
        }
        if self.part(index, Sort::Call).is_none() || input.is_empty() {
            return Ok(());
        }
        self.more(index, Sort::Call, Delta::Arguments(input), events)
    }

    /// More of a tool result, a list of its content.
    fn result(&mut self, index: u64, delta: &mut Fields<'_>) -> Result<(), DecodeError> {
        let Some(node) = delta.peek("toolResult").filter(|node| node.kind == Kind::Array) else { return Ok(()) };
        let more = node.items(delta.at())?;
        let state = self.open.iter_mut().find(|block| block.index == index).map(|block| &mut block.state);
        if let Some(State::Gathered { items, .. }) = state {
            for (_, node) in more {
                let comma = if items.is_empty() { "" } else { "," };
                items.push_str(comma);
                items.push_str(node.raw);
            }
        }
        self.afford(node.raw.len())
    }

    /// A delta of this sort: of the block that is open, or of a part that begins with it.
    fn more(&mut self, index: u64, sort: Sort, delta: Delta, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let part = match self.part(index, sort) {
            Some(part) => part,
            None => {
                self.stop(index, events)?;
                let shell = match sort {
                    Sort::Text => Part::text(""),
                    Sort::Thinking | Sort::Redacted => thinking::said(String::new()),
                    // A picture or a call that was never announced.
                    Sort::Call | Sort::Image => return Ok(()),
                };
                self.begin(index, shell, sort, events)?
            }
        };
        for block in self.open.iter_mut().filter(|block| block.index == index) {
            if let State::Part { silent, .. } = &mut block.state {
                *silent = false;
            }
        }
        events.push(Event::Delta { choice: 0, part, delta });
        Ok(())
    }

    fn part(&self, index: u64, wanted: Sort) -> Option<u32> {
        self.open.iter().find_map(|block| match block.state {
            State::Part { part, sort, .. } if block.index == index && sort == wanted => Some(part),
            _ => None,
        })
    }

    fn begin(&mut self, index: u64, shell: Part, sort: Sort, events: &mut Vec<Event>) -> Result<u32, DecodeError> {
        let part = self.number()?;
        self.add(Block { index, state: State::Part { part, sort, silent: true } })?;
        events.push(Event::PartStart { choice: 0, part, shell: Box::new(shell) });
        Ok(part)
    }

    fn number(&mut self) -> Result<u32, DecodeError> {
        if self.parts >= MAX_PARTS {
            return Err(DecodeError::new("contentBlockIndex", "too many blocks"));
        }
        self.parts += 1;
        Ok(u32::try_from(self.parts - 1).unwrap_or(u32::MAX))
    }

    fn add(&mut self, block: Block) -> Result<(), DecodeError> {
        if self.open.len() >= MAX_OPEN {
            return Err(DecodeError::new("contentBlockIndex", "too many open blocks"));
        }
        self.open.push(block);
        Ok(())
    }

    fn gather(&mut self, index: u64, name: &'static str, node: Node<'_>) -> Result<(), DecodeError> {
        self.afford(node.raw.len())?;
        let (start, text, items) = (node.raw.to_owned(), String::new(), String::new());
        self.add(Block { index, state: State::Gathered { name, start, text, items } })
    }

    fn afford(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.gathered += bytes;
        if self.gathered > MAX_GATHERED {
            return Err(DecodeError::new("contentBlockDelta", "the provider's own tools say too much"));
        }
        Ok(())
    }

    /// Ends the block, if it is open.
    fn stop(&mut self, index: u64, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let Some(at) = self.open.iter().position(|block| block.index == index) else { return Ok(()) };
        match self.open.remove(at).state {
            State::Part { part, sort, silent } => {
                // A tool without arguments has sent none: that is an empty object.
                if sort == Sort::Call && silent {
                    let delta = Delta::Arguments("{}".to_owned());
                    events.push(Event::Delta { choice: 0, part, delta });
                }
                events.push(Event::PartEnd { choice: 0, part });
            }
            State::Gathered { name, start, text, items } => {
                let shell = Box::new(whole(name, &block_text(name, &start, &text, &items))?);
                let part = self.number()?;
                events.push(Event::PartStart { choice: 0, part, shell });
                events.push(Event::PartEnd { choice: 0, part });
            }
        }
        Ok(())
    }
}

/// The block as a whole answer has it.
fn block_text(name: &'static str, start: &str, text: &str, items: &str) -> String {
    let members = Node::of_body(start.as_bytes(), crate::hub::Mode::Answer).and_then(|node| node.fields(Place::root()));
    let members = members.map(|fields| fields.rest(BEDROCK)).unwrap_or_default();
    write::object(|o| {
        o.object(name, |o| {
            if name == "toolUse" {
                let input = crate::hub::Json::parse(text).ok();
                o.raw("input", input.as_ref().map_or("{}", |json| json.as_str()));
            } else {
                o.raw("content", &format!("[{items}]"));
            }
            o.extra(&members, BEDROCK);
        });
    })
}
