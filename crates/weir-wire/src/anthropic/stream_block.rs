//! One block of a stream being read.

use super::form::{OWN, form};
use super::{citations, content};
use crate::hub::{
    DecodeError, Delta, Event, Extra, Fields, Json, Mode, Native, Node, Opaque, Part, PartKind, Place, Seal, Text,
    Thinking, write,
};

/// The most bytes of a block that is held until it ends.
const MAX_HELD: usize = 16 << 20;

/// A block that has begun and not ended.
#[derive(Debug)]
pub(super) struct Block {
    /// Its number in the stream.
    pub(super) index: u64,
    kind: Saying,
}

#[derive(Debug)]
enum Saying {
    /// A part of this number.
    Part(u32),
    /// A call, whose input may stand in its beginning.
    Call { part: u32, whole: String, told: bool },
    /// A block of this dialect alone, which is told whole at its end.
    Held { members: Vec<(String, Held)>, size: usize },
}

/// A member of a held block.
#[derive(Debug)]
enum Held {
    Json(Json),
    /// Text that grows.
    Text(String),
    /// Text of JSON that grows.
    Raw(String),
    /// A list that grows.
    List(Vec<Json>),
}

impl Block {
    /// Begins a block. What its beginning says already is told as what is added to it.
    pub(super) fn begin(
        index: u64,
        node: Node<'_>,
        next: &mut u32,
        events: &mut Vec<Event>,
    ) -> Result<Self, DecodeError> {
        let mut part = content::block(node, Place::root(), Mode::Answer)?;
        part.extra = audible(&part.extra);
        if let PartKind::Opaque(_) = part.kind {
            let members = node.fields(Place::root())?.rest(OWN).members().to_vec();
            let size = node.raw.len();
            let members = members.into_iter().map(|(name, value)| (name, Held::Json(value))).collect();
            return Ok(Self { index, kind: Saying::Held { members, size } });
        }
        let number = *next;
        *next += 1;
        let deltas = empty(&mut part);
        let kind = match &mut part.kind {
            PartKind::ToolCall(call) => {
                let whole = std::mem::take(&mut call.arguments);
                Saying::Call { part: number, whole, told: false }
            }
            _ => Saying::Part(number),
        };
        events.push(Event::PartStart { choice: 0, part: number, shell: Box::new(part) });
        events.extend(deltas.into_iter().map(|delta| Event::Delta { choice: 0, part: number, delta }));
        Ok(Self { index, kind })
    }

    /// Begins a block that a delta shows: some servers leave the beginning out.
    pub(super) fn implied(index: u64, delta: &str, next: &mut u32, events: &mut Vec<Event>) -> Option<Self> {
        let kind = match delta {
            "text_delta" => PartKind::Text(Text::default()),
            "thinking_delta" => PartKind::Thinking(Thinking { origin: Some(OWN), ..Thinking::default() }),
            _ => return None,
        };
        let shell = Part { form: form(super::form::LIST), ..Part::new(kind) };
        let number = *next;
        *next += 1;
        events.push(Event::PartStart { choice: 0, part: number, shell: Box::new(shell) });
        Some(Self { index, kind: Saying::Part(number) })
    }

    /// Adds a delta.
    pub(super) fn add(&mut self, mut delta: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let kind = delta.text("type")?.unwrap_or_default();
        let part = match &mut self.kind {
            Saying::Held { members, size } => return hold(members, size, &kind, delta),
            Saying::Part(part) => *part,
            Saying::Call { part, told, .. } => {
                if let Some(fragment) = delta.word("partial_json")? {
                    *told = true;
                    let delta = Delta::Arguments(fragment);
                    events.push(Event::Delta { choice: 0, part: *part, delta });
                }
                return Ok(());
            }
        };
        let more = match kind.as_str() {
            "text_delta" => delta.word("text")?.map(Delta::Text),
            "thinking_delta" => delta.word("thinking")?.map(Delta::Text),
            "signature_delta" => {
                delta.word("signature")?.map(|text| Delta::Signature(Seal { text, origin: Some(OWN) }))
            }
            "citations_delta" => delta.take("citation").map(citations::read).transpose()?.map(Delta::Citation),
            _ => None,
        };
        events.extend(more.map(|delta| Event::Delta { choice: 0, part, delta }));
        Ok(())
    }

    /// Ends the block. A call to which nothing was added has the input of its beginning, which is an
    /// empty object where there is none.
    pub(super) fn end(self, next: &mut u32, events: &mut Vec<Event>) {
        let part = match self.kind {
            Saying::Part(part) => part,
            Saying::Call { part, whole, told } => {
                if !told {
                    let arguments = if whole.is_empty() { "{}".to_owned() } else { whole };
                    events.push(Event::Delta { choice: 0, part, delta: Delta::Arguments(arguments) });
                }
                part
            }
            Saying::Held { members, .. } => {
                let part = *next;
                *next += 1;
                let shell = Box::new(whole(members));
                events.push(Event::PartStart { choice: 0, part, shell });
                part
            }
        };
        events.push(Event::PartEnd { choice: 0, part });
    }
}

/// Takes out of a part what is told as added to it.
fn empty(part: &mut Part) -> Vec<Delta> {
    let mut deltas = Vec::new();
    match &mut part.kind {
        PartKind::Text(Text { text, citations }) => {
            deltas.push(Delta::Text(std::mem::take(text)));
            deltas.extend(citations.drain(..).map(Delta::Citation));
        }
        PartKind::Thinking(Thinking { text, .. }) => deltas.push(Delta::Text(std::mem::take(text))),
        _ => {}
    }
    deltas.retain(|delta| !matches!(delta, Delta::Text(text) if text.is_empty()));
    deltas.extend(part.signature.take().map(Delta::Signature));
    deltas
}

/// The members that say something. A direct caller is in the form.
pub(super) fn audible(extra: &Extra) -> Extra {
    let members = extra.members().iter().filter(|(_, value)| !value.is_empty());
    Extra::new(OWN, members.cloned().collect())
}

/// Adds a delta to a held block: strings grow, `partial_json` is the input's text, citations gather.
fn hold(members: &mut Vec<(String, Held)>, size: &mut usize, kind: &str, delta: Fields<'_>) -> Result<(), DecodeError> {
    for (name, value) in delta.rest(OWN).members() {
        *size += value.as_str().len();
        if *size > MAX_HELD {
            return Err(DecodeError::new("content_block", "a block is too large to be held"));
        }
        let text = text_of(value);
        match (kind, name.as_str(), text) {
            ("input_json_delta", "partial_json", Some(text)) => grow(members, "input", Held::Raw(text)),
            ("citations_delta", "citation", _) => grow(members, "citations", Held::List(vec![value.clone()])),
            (_, name, Some(text)) => grow(members, name, Held::Text(text)),
            (_, name, None) => grow(members, name, Held::Json(value.clone())),
        }
    }
    Ok(())
}

fn text_of(value: &Json) -> Option<String> {
    let node = Node::of_body(value.as_str().as_bytes(), Mode::Answer).ok()?;
    node.text().map(|text| text.into_owned())
}

fn grow(members: &mut Vec<(String, Held)>, name: &str, more: Held) {
    let Some((_, held)) = members.iter_mut().find(|(known, _)| known == name) else {
        return members.push((name.to_owned(), more));
    };
    match (&mut *held, more) {
        (Held::Raw(text), Held::Raw(more)) => text.push_str(&more),
        // An empty fragment says nothing against the input of the beginning.
        (Held::Json(_), Held::Raw(more)) if more.is_empty() => {}
        (Held::Text(text), Held::Text(more)) => text.push_str(&more),
        (Held::List(list), Held::List(more)) => list.extend(more),
        (Held::Json(json), Held::Text(more)) => *held = Held::Text(text_of(json).unwrap_or_default() + &more),
        (_, more) => *held = more,
    }
}

/// The block that was held, as a part.
fn whole(members: Vec<(String, Held)>) -> Part {
    let members = members.into_iter().map(|(name, held)| {
        let json = match held {
            Held::Json(json) => json,
            Held::Text(text) => Json::string(&text),
            Held::Raw(raw) => Json::parse(&raw).unwrap_or_else(|_| Json::string(&raw)),
            Held::List(list) => Json::checked(&write::array(|a| list.iter().for_each(|json| a.raw(json.as_str())))),
        };
        (name, json)
    });
    let members = Extra::new(OWN, members.collect());
    let name = members.get(OWN, "type").and_then(text_of).unwrap_or_else(|| "block".to_owned());
    let json = Json::checked(&write::object(|o| o.extra(&members, OWN)));
    let native = Native { dialect: OWN, json };
    Part { form: form(super::form::LIST), ..Part::new(PartKind::Opaque(Opaque { name, native })) }
}
