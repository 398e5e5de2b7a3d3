//! The parts of a streamed answer: which are open, and what belongs to which.

use super::citations::{self, Order};
use super::content::thought;
use super::form::{COHERE, LIST, PLAN_ID, form};
use super::{calls, said};
use crate::hub::fold::MAX_PARTS;
use crate::hub::{DecodeError, Delta, Event, Extra, Json, Mode, Native, Node, Opaque, Part, PartKind, Place, Text};
use crate::json::Kind;

/// The most bytes of citations kept until it is known whether the parts hold them all.
const MAX_CITED: usize = 1 << 20;

/// What is known of the parts.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// How many have begun.
    count: u32,
    /// What is being said: text, a thought, a plan.
    open: Option<Open>,
    /// The contents, by their index.
    contents: Vec<(Option<u64>, u32, bool)>,
    /// The calls that have not ended, by their index.
    calls: Vec<(Option<u64>, u32)>,
    cited: Vec<Json>,
    cited_bytes: usize,
    order: Order,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    part: u32,
    index: Option<u64>,
    kind: Saying,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saying {
    Text,
    Thought,
    Plan,
}

impl Parts {
    /// A content begins or goes on. A text may be given in pieces before it was said to begin.
    pub(super) fn content(
        &mut self,
        starts: bool,
        index: Option<u64>,
        node: Node<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let mut content = node.fields(Place::root())?;
        let kind = content.word("type")?;
        let (text, thinking) = (content.text("text")?, content.text("thinking")?);
        let said = match kind.as_deref() {
            Some("thinking") => Saying::Thought,
            Some("text") => Saying::Text,
            Some(other) if starts => return self.unknown(other, node, events),
            _ if thinking.is_some() => Saying::Thought,
            _ => Saying::Text,
        };
        let more = if said == Saying::Thought { thinking } else { text }.unwrap_or_default();
        if more.is_empty() && !starts {
            return Ok(());
        }
        let goes_on = self.open.filter(|open| !starts && open.index == index && open.kind == said);
        let part = match goes_on {
            Some(open) => open.part,
            None => {
                let kind = match said {
                    Saying::Text => PartKind::Text(Text::default()),
                    Saying::Thought | Saying::Plan => PartKind::Thinking(thought(String::new(), None)),
                };
                self.say(index, said, Part { form: form(LIST), ..Part::new(kind) }, events)?
            }
        };
        delta(part, Delta::Text, more, events);
        Ok(())
    }

    /// A content of a kind that nobody knows: told as it began.
    fn unknown(&mut self, name: &str, node: Node<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let native = Native { dialect: COHERE, json: node.json() };
        let opaque = Opaque { name: name.to_owned(), native };
        let part = self.begin(Part { form: form(LIST), ..Part::new(PartKind::Opaque(opaque)) }, events)?;
        events.push(Event::PartEnd { choice: 0, part });
        Ok(())
    }

    /// A content has ended. A text stays open until something else begins: its citations may follow.
    pub(super) fn content_end(&mut self, index: Option<u64>, events: &mut Vec<Event>) {
        if self.open.is_some_and(|open| open.index == index && open.kind == Saying::Thought) {
            self.pause(events);
        }
    }

    /// More of the plan.
    pub(super) fn plan(&mut self, text: &str, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if text.is_empty() {
            return Ok(());
        }
        let part = match self.open.filter(|open| open.kind == Saying::Plan) {
            Some(open) => open.part,
            None => {
                let shell = Part::new(PartKind::Thinking(thought(String::new(), Some(PLAN_ID))));
                self.say(None, Saying::Plan, shell, events)?
            }
        };
        delta(part, Delta::Text, text.to_owned(), events);
        Ok(())
    }

    /// A call begins, or more of its arguments.
    pub(super) fn call(
        &mut self,
        starts: bool,
        index: Option<u64>,
        node: Option<Node<'_>>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let Some(node) = node.and_then(single) else { return Ok(()) };
        let known = self.calls.iter().rfind(|(known, _)| *known == index).map(|(_, part)| *part);
        let mut part = calls::one(node, Place::root(), Mode::Answer)?;
        let arguments = match &mut part.kind {
            PartKind::ToolCall(call) => std::mem::take(&mut call.arguments),
            _ => String::new(),
        };
        let number = match known.filter(|_| !starts) {
            Some(number) => number,
            None => {
                self.pause(events);
                let call = matches!(part.kind, PartKind::ToolCall(_));
                let number = self.begin(part, events)?;
                if call {
                    self.calls.push((index, number));
                } else {
                    events.push(Event::PartEnd { choice: 0, part: number });
                }
                number
            }
        };
        delta(number, Delta::Arguments, arguments, events);
        Ok(())
    }

    /// A call has ended.
    pub(super) fn call_end(&mut self, index: Option<u64>, events: &mut Vec<Event>) {
        if let Some(at) = self.calls.iter().rposition(|(known, _)| *known == index) {
            let (_, part) = self.calls.remove(at);
            events.push(Event::PartEnd { choice: 0, part });
        }
    }

    /// A citation, of the text of this index or of the first; of `None` it is of no text.
    pub(super) fn citation(
        &mut self,
        node: Node<'_>,
        about: Option<Option<usize>>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        self.cited_bytes += node.raw.len();
        if self.cited_bytes <= MAX_CITED {
            self.cited.push(node.json());
        }
        let text = about.and_then(|index| self.text(index));
        self.order.note(text.map(|part| part as usize));
        let Some(part) = text else { return Ok(()) };
        let all = citations::read(node)?.into_iter().map(Delta::Citation);
        events.extend(all.map(|delta| Event::Delta { choice: 0, part, delta }));
        Ok(())
    }

    /// The text of this index, or the first.
    fn text(&self, index: Option<usize>) -> Option<u32> {
        let texts = || self.contents.iter().filter(|(_, _, text)| *text);
        let named = texts().find(|(known, ..)| known.is_some() && *known == index.map(|index| index as u64));
        named.or_else(|| texts().next()).map(|(_, part, _)| *part)
    }

    /// Ends what is open, and tells the citations that the parts do not hold in their order.
    pub(super) fn close(&mut self, events: &mut Vec<Event>) {
        self.pause(events);
        events.extend(self.calls.drain(..).map(|(_, part)| Event::PartEnd { choice: 0, part }));
        if !self.order.kept && self.cited_bytes <= MAX_CITED {
            let texts: Vec<&str> = self.cited.iter().map(Json::as_str).collect();
            let list = Json::checked(&format!("[{}]", texts.join(",")));
            let message_extra = Extra::new(COHERE, vec![("citations".to_owned(), list)]);
            events.push(Event::Choice { choice: 0, extra: Extra::default(), message_extra });
        }
    }

    fn say(
        &mut self,
        index: Option<u64>,
        kind: Saying,
        shell: Part,
        events: &mut Vec<Event>,
    ) -> Result<u32, DecodeError> {
        self.pause(events);
        let listed = said::in_content(&shell);
        let part = self.begin(shell, events)?;
        if listed {
            self.contents.push((index, part, kind == Saying::Text));
        }
        self.open = Some(Open { part, index, kind });
        Ok(part)
    }

    fn begin(&mut self, shell: Part, events: &mut Vec<Event>) -> Result<u32, DecodeError> {
        if self.count as usize >= MAX_PARTS {
            return Err(DecodeError::new("", format!("more than {MAX_PARTS} parts")));
        }
        let part = self.count;
        self.count += 1;
        events.push(Event::PartStart { choice: 0, part, shell: Box::new(shell) });
        Ok(part)
    }

    fn pause(&mut self, events: &mut Vec<Event>) {
        if let Some(Open { part, .. }) = self.open.take() {
            events.push(Event::PartEnd { choice: 0, part });
        }
    }
}

/// An object, or the one in a list.
fn single(node: Node<'_>) -> Option<Node<'_>> {
    match node.kind {
        Kind::Object => Some(node),
        Kind::Array => node.items(&Place::root()).ok()?.into_iter().next().map(|(_, node)| node),
        _ => None,
    }
}

fn delta(part: u32, make: fn(String) -> Delta, text: String, events: &mut Vec<Event>) {
    if !text.is_empty() {
        events.push(Event::Delta { choice: 0, part, delta: make(text) });
    }
}
