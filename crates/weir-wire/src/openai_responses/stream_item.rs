//! The items of a stream: what their events say of parts.

use super::content;
use super::form::{CONTINUES, ITEM_ID, LIST, RESPONSES, form};
use super::item::{self, item_id};
use super::{logprobs, thinking};
use crate::hub::fold::MAX_PARTS;
use crate::hub::{
    DecodeError, Delta, Event, Json, Logprobs, Native, Node, Opaque, Part, PartKind, Place, Text, Thinking, ToolCall,
};

/// The most bytes of members held.
const MAX_HELD: usize = 8 << 20;

/// Which part of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A summary of a reasoning item.
    Summary(u64),
    /// An element of `content`.
    Content(u64),
    /// The item itself.
    Whole,
}

/// The items so far, and how many parts have begun.
#[derive(Debug, Default)]
pub(super) struct Items {
    items: Vec<Item>,
    parts: usize,
    /// Bytes of members held for comparison with those at the end of their items.
    held: usize,
    called: bool,
}

#[derive(Debug, Default)]
struct Item {
    index: u64,
    id: Option<String>,
    parts: Vec<Told>,
    done: bool,
}

/// A part as far as it was told.
#[derive(Debug)]
struct Told {
    key: Key,
    part: u32,
    shell: Part,
    /// Bytes of text or arguments.
    bytes: usize,
    citations: usize,
    logprobs: bool,
    ended: bool,
}

impl Items {
    /// Whether a tool was called.
    pub(super) fn called(&self) -> bool {
        self.called
    }

    /// An item begins. Calls begin with it, other parts with their first delta.
    pub(super) fn added(
        &mut self,
        index: u64,
        node: Option<Node<'_>>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let at = self.at(index)?;
        let Some(node) = node.filter(|node| node.kind == crate::json::Kind::Object) else { return Ok(()) };
        let id = node.fields(Place::root())?.word("id")?;
        if let Some(item) = self.items.get_mut(at) {
            item.id = id;
        }
        let mut read = item::read(node, Place::root())?;
        if let [only] = read.parts.as_mut_slice()
            && let PartKind::ToolCall(call) = &mut only.kind
        {
            // What it is called with is told by deltas, or at the end; and so is its state.
            only.extra.remove(RESPONSES, "status");
            call.arguments = String::new();
            only.form = form(0);
            self.begin(at, Key::Whole, read.parts.remove(0), events)?;
        }
        Ok(())
    }

    /// More of a part, which begins with it if it has not begun.
    pub(super) fn delta(
        &mut self,
        index: u64,
        key: Key,
        shell: &dyn Fn() -> Part,
        delta: Delta,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let at = self.at(index)?;
        let told = match self.find(at, key) {
            Some(found) => found,
            None => {
                let shell = self.shell(at, shell());
                self.begin(at, key, shell, events)?
            }
        };
        self.more(at, told, delta, events);
        Ok(())
    }

    /// More of what a tool is called with. Without a call, which has no name then, it comes with the
    /// item's end.
    pub(super) fn arguments(&mut self, index: u64, text: String, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let at = self.at(index)?;
        if let Some(told) = self.find(at, Key::Whole) {
            self.more(at, told, Delta::Arguments(text), events);
        }
        Ok(())
    }

    /// Log probabilities of a part's next tokens.
    pub(super) fn logprobs(&mut self, index: u64, key: Key, more: Option<Logprobs>, events: &mut Vec<Event>) {
        let item = self.items.iter_mut().find(|item| item.index == index);
        let told = item.and_then(|item| item.parts.iter_mut().find(|told| told.key == key));
        if let (Some(told), Some(more)) = (told, more) {
            told.logprobs = true;
            events.push(Event::Logprobs { choice: 0, more });
        }
    }

    /// An element of a message's content, or of a reasoning item's lists, has ended: what it says and was not told is told now.
    pub(super) fn part_done(
        &mut self,
        index: u64,
        key: Key,
        node: Node<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let at = self.at(index)?;
        let thought = match key {
            Key::Summary(_) => thinking::element(node, Place::root(), "summary_text", true)?,
            _ => thinking::element(node, Place::root(), "reasoning_text", false)?,
        };
        let full = match thought {
            Some(thought) => thought,
            None => content::one(node, Place::root(), true, 0)?,
        };
        let opaque = matches!(full.kind, PartKind::Opaque(_));
        match self.find(at, key) {
            Some(_) if opaque => {}
            Some(told) => self.rest(at, told, full, events),
            None => {
                let (shell, deltas) = split(full);
                let extra = shell.extra.clone();
                let told = self.begin(at, key, self.shell(at, shell), events)?;
                for delta in deltas.into_iter().chain((!extra.is_empty()).then_some(Delta::Extra(extra))) {
                    self.more(at, told, delta, events);
                }
            }
        }
        Ok(())
    }

    /// An item has ended: what it says and was not told is told now.
    pub(super) fn done(&mut self, index: u64, node: Node<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let at = self.at(index)?;
        if self.items.get(at).is_none_or(|item| item.done) {
            return Ok(());
        }
        let parts = item::read(node, Place::root())?.parts;
        for (key, full) in keyed(parts) {
            match self.find(at, key) {
                Some(told) => self.rest(at, told, full, events),
                None => self.whole(at, key, full, events)?,
            }
        }
        if let Some(item) = self.items.get_mut(at) {
            item.done = true;
            item.end(events);
        }
        Ok(())
    }

    /// An item of the whole response: told now if it was not done, under whatever number.
    pub(super) fn complete(&mut self, index: u64, node: Node<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let id = match node.kind {
            crate::json::Kind::Object => node.fields(Place::root())?.word("id")?,
            _ => None,
        };
        if id.is_some() && self.items.iter().any(|item| item.done && item.id == id) {
            return Ok(());
        }
        self.done(index, node, events)
    }

    /// Ends all parts.
    pub(super) fn close(&mut self, events: &mut Vec<Event>) {
        self.items.iter_mut().for_each(|item| item.end(events));
    }

    /// The item's place among the items, which it gets if it has none.
    fn at(&mut self, index: u64) -> Result<usize, DecodeError> {
        if let Some(found) = self.items.iter().rposition(|item| item.index == index) {
            return Ok(found);
        }
        if self.items.len() >= MAX_PARTS {
            return Err(DecodeError::new("output_index", "too many items"));
        }
        self.items.push(Item { index, ..Item::default() });
        Ok(self.items.len() - 1)
    }

    fn find(&self, at: usize, key: Key) -> Option<usize> {
        self.items.get(at)?.parts.iter().position(|told| told.key == key)
    }

    /// A shell of a part of this item, as the whole item's part would be.
    fn shell(&self, at: usize, mut shell: Part) -> Part {
        let Some(item) = self.items.get(at) else { return shell };
        let first = item.parts.is_empty();
        shell.form = form(if first { LIST } else { LIST | CONTINUES });
        match (&mut shell.kind, &item.id) {
            (PartKind::Thinking(thinking), Some(id)) => {
                thinking.id = Some(id.clone());
                thinking.origin = Some(RESPONSES);
            }
            (PartKind::Thinking(_), None) => {}
            (_, Some(id)) if first => shell.extra = item_id(id),
            _ => {}
        }
        shell
    }

    fn begin(&mut self, at: usize, key: Key, shell: Part, events: &mut Vec<Event>) -> Result<usize, DecodeError> {
        self.held = self.held.saturating_add(shell.extra.size());
        if self.parts >= MAX_PARTS || self.held > MAX_HELD {
            return Err(DecodeError::new("output", "too many parts, or too many members beside what they say"));
        }
        let part = u32::try_from(self.parts).unwrap_or(u32::MAX);
        self.called |= matches!(shell.kind, PartKind::ToolCall(_));
        let Some(item) = self.items.get_mut(at) else { return Ok(0) };
        item.end(events);
        self.parts += 1;
        let told = Part { kind: remembered(&shell.kind), extra: shell.extra.clone(), ..Part::text("") };
        events.push(Event::PartStart { choice: 0, part, shell: Box::new(shell) });
        let shell = told;
        item.parts.push(Told { key, part, shell, bytes: 0, citations: 0, logprobs: false, ended: false });
        Ok(item.parts.len() - 1)
    }

    fn more(&mut self, at: usize, told: usize, delta: Delta, events: &mut Vec<Event>) {
        let Some(told) = self.items.get_mut(at).and_then(|item| item.parts.get_mut(told)) else { return };
        if told.ended || !fits(&told.shell.kind, &delta) {
            return;
        }
        match &delta {
            Delta::Text(text) | Delta::Arguments(text) if text.is_empty() => return,
            Delta::Text(text) | Delta::Arguments(text) => told.bytes += text.len(),
            Delta::Citation(_) => told.citations += 1,
            _ => {}
        }
        events.push(Event::Delta { choice: 0, part: told.part, delta });
    }

    /// A part that nothing was told of.
    fn whole(&mut self, at: usize, key: Key, full: Part, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let tokens = logprobs::of_part(&full);
        let (shell, deltas) = split(full);
        let told = self.begin(at, key, shell, events)?;
        for delta in deltas {
            self.more(at, told, delta, events);
        }
        events.extend(tokens.map(|more| Event::Logprobs { choice: 0, more }));
        Ok(())
    }

    /// What of a part was not told.
    fn rest(&mut self, at: usize, index: usize, full: Part, events: &mut Vec<Event>) {
        let Some(told) = self.items.get(at).and_then(|item| item.parts.get(index)) else { return };
        let (bytes, citations, known) = (told.bytes, told.citations, told.shell.extra.clone());
        let tokens = if told.logprobs { None } else { logprobs::of_part(&full) };
        let (mut shell, deltas) = split(full);
        // An id once told stays: there are providers whose ids change from event to event.
        for name in [ITEM_ID, "id"].into_iter().filter(|name| known.get(RESPONSES, name).is_some()) {
            shell.extra.remove(RESPONSES, name);
        }
        let mut seen = 0;
        for delta in deltas {
            let delta = match delta {
                Delta::Text(text) => Delta::Text(text.get(bytes..).unwrap_or_default().to_owned()),
                Delta::Arguments(text) => Delta::Arguments(text.get(bytes..).unwrap_or_default().to_owned()),
                Delta::Citation(_) if seen < citations => {
                    seen += 1;
                    continue;
                }
                other => other,
            };
            self.more(at, index, delta, events);
        }
        if !shell.extra.is_empty() {
            self.more(at, index, Delta::Extra(shell.extra), events);
        }
        events.extend(tokens.map(|more| Event::Logprobs { choice: 0, more }));
    }
}

impl Item {
    /// Ends the part that is open. One is at a time: an item's parts come one after another.
    fn end(&mut self, events: &mut Vec<Event>) {
        for told in self.parts.iter_mut().filter(|told| !told.ended) {
            told.ended = true;
            events.push(Event::PartEnd { choice: 0, part: told.part });
        }
    }
}

/// The parts of an item, each with its key.
fn keyed(parts: Vec<Part>) -> Vec<(Key, Part)> {
    let (mut summaries, mut contents) = (0, 0);
    let mut next = |part: &Part| match &part.kind {
        PartKind::ToolCall(_) => Key::Whole,
        PartKind::Thinking(Thinking { summary: true, .. }) => {
            summaries += 1;
            Key::Summary(summaries - 1)
        }
        _ => {
            contents += 1;
            Key::Content(contents - 1)
        }
    };
    parts.into_iter().map(|part| (next(&part), part)).collect()
}

/// What sort of part it is, without what an item of this dialect's own says.
fn remembered(kind: &PartKind) -> PartKind {
    match kind {
        PartKind::Opaque(opaque) => {
            let native = Native { dialect: RESPONSES, json: Json::string("") };
            PartKind::Opaque(Opaque { name: opaque.name.clone(), native })
        }
        other => other.clone(),
    }
}

/// Whether a delta can be added to such a part.
fn fits(kind: &PartKind, delta: &Delta) -> bool {
    match delta {
        Delta::Text(_) => matches!(kind, PartKind::Text(_) | PartKind::Refusal(_) | PartKind::Thinking(_)),
        Delta::Arguments(_) => matches!(kind, PartKind::ToolCall(_)),
        Delta::Citation(_) => matches!(kind, PartKind::Text(_)),
        Delta::Encrypted(_) => matches!(kind, PartKind::Thinking(_)),
        Delta::Signature(_) | Delta::Extra(_) => true,
        Delta::Data(_) | Delta::Transcript(_) => false,
    }
}

/// A part without what deltas can add, and that.
fn split(mut part: Part) -> (Part, Vec<Delta>) {
    let mut deltas = Vec::new();
    match &mut part.kind {
        PartKind::Text(Text { text, citations }) => {
            deltas.push(Delta::Text(std::mem::take(text)));
            deltas.extend(citations.drain(..).map(Delta::Citation));
        }
        PartKind::Refusal(text) => deltas.push(Delta::Text(std::mem::take(text))),
        PartKind::Thinking(Thinking { text, encrypted, .. }) => {
            deltas.push(Delta::Text(std::mem::take(text)));
            deltas.extend(encrypted.take().map(Delta::Encrypted));
        }
        PartKind::ToolCall(ToolCall { arguments, .. }) => deltas.push(Delta::Arguments(std::mem::take(arguments))),
        _ => {}
    }
    deltas.extend(part.signature.take().map(Delta::Signature));
    (part, deltas)
}
