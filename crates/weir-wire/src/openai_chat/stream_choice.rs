//! One choice of a stream: fragments of parts become parts.

use super::calls;
use super::decode_stream::unknown;
use super::form::{CHAT, LEGACY, NO_TYPE, RAW, bit_if, form};
use super::fragment::{continues, function, split};
use crate::hub::fold::MAX_PARTS;
use crate::hub::{
    CallKind, Citation, DecodeError, Delta, Event, Extra, Node, Part, PartKind, Place, Seal, Stop, ToolCall,
};

/// The most calls of a choice.
const MAX_CALLS: usize = 1024;
/// The most bytes of arguments held until their call has a name.
const MAX_HELD: usize = 64 * 1024;

/// What is known of a choice.
#[derive(Debug)]
pub(super) struct ChoiceState {
    pub(super) index: u32,
    began: bool,
    extra: Extra,
    message_extra: Extra,
    /// How many parts have begun.
    parts: usize,
    /// The text, thinking, refusal or sound that is being said.
    open: Option<Open>,
    /// The last text, which later citations and seals belong to.
    text: Option<u32>,
    calls: Vec<Call>,
    stopped: bool,
}

#[derive(Debug)]
struct Open {
    part: u32,
    shell: Part,
}

/// A call whose arguments come in fragments.
#[derive(Debug)]
struct Call {
    /// Its number in the stream; none for the call of old.
    index: Option<u64>,
    id: Option<String>,
    name: String,
    /// Its part, once it has a name.
    part: Option<u32>,
    held: String,
    seal: Option<Seal>,
    shell: Part,
    ended: bool,
}

impl ChoiceState {
    pub(super) fn new(index: u32) -> Self {
        Self {
            index,
            began: false,
            extra: Extra::default(),
            message_extra: Extra::default(),
            parts: 0,
            open: None,
            text: None,
            calls: Vec::new(),
            stopped: false,
        }
    }

    /// Members of the choice and its message that are new.
    pub(super) fn note(&mut self, extra: Extra, message: Extra, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let (extra, message_extra) = (unknown(&self.extra, extra), unknown(&self.message_extra, message));
        if std::mem::replace(&mut self.began, true) && extra.is_empty() && message_extra.is_empty() {
            return Ok(());
        }
        self.extra.update(extra.clone());
        self.message_extra.update(message_extra.clone());
        if self.extra.size() + self.message_extra.size() > 256 * 1024 {
            return Err(DecodeError::new("choices", "too many members beside the message"));
        }
        events.push(Event::Choice { choice: self.index, extra, message_extra });
        Ok(())
    }

    /// A fragment of text, thinking, a refusal or sound: more of what is being said, or something
    /// new.
    pub(super) fn fragment(&mut self, fragment: Part, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if matches!(&fragment.kind, PartKind::Opaque(opaque) if opaque.name.starts_with("reasoning.")) {
            return Ok(());
        }
        let (mut shell, mut deltas) = split(fragment);
        if deltas.is_empty() && shell.is_blank() {
            return Ok(());
        }
        let part = match self.open.as_mut().filter(|open| continues(&open.shell, &shell, &deltas)) {
            Some(open) => {
                let news = unknown(&open.shell.extra, std::mem::take(&mut shell.extra));
                if !news.is_empty() {
                    open.shell.extra.update(news.clone());
                    events.push(Event::Delta { choice: self.index, part: open.part, delta: Delta::Extra(news) });
                }
                open.part
            }
            None => {
                self.pause(events);
                let part = self.begin(shell.clone(), events)?;
                if matches!(shell.kind, PartKind::Text(_)) {
                    self.text = Some(part);
                }
                self.open = Some(Open { part, shell });
                part
            }
        };
        // The maker is named once, and the signature may come in a later fragment.
        let maker = self.open.as_ref().and_then(|open| match &open.shell.kind {
            PartKind::Thinking(thinking) => thinking.origin,
            _ => None,
        });
        for delta in &mut deltas {
            if let Delta::Signature(seal) = delta {
                seal.origin = seal.origin.or(maker);
            }
        }
        // What is encrypted comes at once: what follows is something new.
        let whole = deltas.iter().any(|delta| matches!(delta, Delta::Encrypted(_)));
        events.extend(deltas.into_iter().map(|delta| Event::Delta { choice: self.index, part, delta }));
        if whole {
            self.pause(events);
        }
        Ok(())
    }

    /// The seal of the text.
    pub(super) fn seal(&mut self, seal: Seal, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let part = self.text_part(events)?;
        events.push(Event::Delta { choice: self.index, part, delta: Delta::Signature(seal) });
        Ok(())
    }

    /// A source of the text.
    pub(super) fn citation(&mut self, citation: Citation, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let part = self.text_part(events)?;
        events.push(Event::Delta { choice: self.index, part, delta: Delta::Citation(citation) });
        Ok(())
    }

    fn text_part(&mut self, events: &mut Vec<Event>) -> Result<u32, DecodeError> {
        if let Some(part) = self.text {
            return Ok(part);
        }
        self.pause(events);
        let shell = Part::text("");
        let part = self.begin(shell.clone(), events)?;
        self.open = Some(Open { part, shell });
        self.text = Some(part);
        Ok(part)
    }

    /// A fragment of a call.
    pub(super) fn call(&mut self, node: Node<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        self.pause(events);
        let mut fields = node.fields(Place::root())?;
        let index = fields.count("index")?;
        let id = fields.word("id")?;
        let kind = fields.text("type")?;
        let has = |member: &str| fields.peek(member).is_some();
        // Only a call's first fragment says its type, and some servers write both members in each.
        let custom = match kind.as_deref() {
            Some("custom") => true,
            Some("function") => false,
            _ => has("custom") && !has("function"),
        };
        let (member, call_kind) = if custom { ("custom", CallKind::Custom) } else { ("function", CallKind::Function) };
        let inner = fields.object(member)?;
        let signature = calls::signature(&mut fields)?;
        let (name, arguments, raw, inner_extra) = inner.map(function).transpose()?.unwrap_or_default();
        let found = self.find(index, id.as_deref(), name.is_some());
        let at = match found {
            Some(at) => at,
            None => {
                let call = ToolCall { id: id.clone(), kind: call_kind, extra: inner_extra, ..ToolCall::default() };
                let bits = bit_if(kind.is_none(), NO_TYPE) | bit_if(raw, RAW);
                let extra = unknown(&Extra::default(), fields.rest(CHAT));
                let shell = Part { form: form(bits), extra, ..Part::new(PartKind::ToolCall(call)) };
                self.add(Call::new(index, id.clone(), shell))?
            }
        };
        self.more(at, id, name, &arguments, signature, events)
    }

    /// A fragment of the call of old: there is but one.
    pub(super) fn legacy_call(&mut self, node: Node<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let begun = self.calls.iter().position(|call| call.shell.form.has(CHAT, LEGACY));
        if begun.is_none() && calls::is_hollow(node) {
            return Ok(());
        }
        self.pause(events);
        let (name, arguments, raw, extra) = function(node.fields(Place::root())?)?;
        let at = match begun {
            Some(at) => at,
            None => {
                let call = ToolCall { extra, ..ToolCall::default() };
                let form = form(LEGACY | bit_if(raw, RAW));
                let shell = Part { form, ..Part::new(PartKind::ToolCall(call)) };
                self.add(Call::new(None, None, shell))?
            }
        };
        self.more(at, None, name, &arguments, None, events)
    }

    /// The call that a fragment belongs to. Some servers number all calls 0, and tell them apart
    /// by their ids; some do not number them.
    fn find(&self, index: Option<u64>, id: Option<&str>, named: bool) -> Option<usize> {
        let modern = |call: &Call| !call.shell.form.has(CHAT, LEGACY);
        let found = self.calls.iter().rposition(|call| modern(call) && (index.is_none() || call.index == index))?;
        let call = self.calls.get(found)?;
        let other = match (id, &call.id) {
            (Some(id), Some(known)) => id != known,
            (Some(_), None) => named && !call.name.is_empty(),
            (None, _) => false,
        };
        if !other {
            return Some(found);
        }
        let by_id = self.calls.iter().position(|call| call.id.as_deref() == id);
        // A new id without a name is a server that makes up an id for every chunk.
        by_id.or((!named && !call.name.is_empty()).then_some(found))
    }

    fn add(&mut self, call: Call) -> Result<usize, DecodeError> {
        if self.calls.len() >= MAX_CALLS {
            return Err(DecodeError::new("tool_calls", "too many calls"));
        }
        self.calls.push(call);
        Ok(self.calls.len() - 1)
    }

    fn more(
        &mut self,
        at: usize,
        id: Option<String>,
        name: Option<String>,
        arguments: &str,
        signature: Option<Seal>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let Some(call) = self.calls.get_mut(at) else { return Ok(()) };
        call.id = call.id.take().or(id);
        if let Some(name) = name.filter(|_| call.part.is_none()) {
            call.name = name;
        }
        if call.held.len() + arguments.len() > MAX_HELD && call.part.is_none() && call.name.is_empty() {
            return Err(DecodeError::new("tool_calls", "a call's name does not come"));
        }
        call.held.push_str(arguments);
        call.seal = signature.or(call.seal.take());
        if !call.name.is_empty() {
            self.tell(at, events)?;
        }
        Ok(())
    }

    /// Begins the call if it has not begun, and tells the seal and the arguments held.
    fn tell(&mut self, at: usize, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let Some(call) = self.calls.get(at) else { return Ok(()) };
        let part = match call.part {
            Some(part) => part,
            None => {
                let mut shell = call.shell.clone();
                if let PartKind::ToolCall(inner) = &mut shell.kind {
                    inner.name.clone_from(&call.name);
                    inner.id.clone_from(&call.id);
                }
                self.begin(shell, events)?
            }
        };
        let Some(call) = self.calls.get_mut(at) else { return Ok(()) };
        call.part = Some(part);
        if let Some(seal) = call.seal.take() {
            events.push(Event::Delta { choice: self.index, part, delta: Delta::Signature(seal) });
        }
        if !call.held.is_empty() {
            let delta = Delta::Arguments(std::mem::take(&mut call.held));
            events.push(Event::Delta { choice: self.index, part, delta });
        }
        Ok(())
    }

    fn begin(&mut self, shell: Part, events: &mut Vec<Event>) -> Result<u32, DecodeError> {
        if self.parts >= MAX_PARTS {
            return Err(DecodeError::new("choices", "too many parts"));
        }
        let part = u32::try_from(self.parts).unwrap_or(u32::MAX);
        self.parts += 1;
        events.push(Event::PartStart { choice: self.index, part, shell: Box::new(shell) });
        Ok(part)
    }

    /// Ends what is being said, if anything is.
    fn pause(&mut self, events: &mut Vec<Event>) {
        if let Some(open) = self.open.take() {
            events.push(Event::PartEnd { choice: self.index, part: open.part });
        }
    }

    /// Ends all parts. Calls that never had a name begin now, so that nothing is swallowed.
    pub(super) fn close(&mut self, events: &mut Vec<Event>) {
        self.pause(events);
        for at in 0..self.calls.len() {
            if self.calls.get(at).is_some_and(|call| call.part.is_none()) {
                // Too many parts: there is no place for it.
                let _: Result<(), DecodeError> = self.tell(at, events);
            }
        }
        for call in self.calls.iter_mut().filter(|call| !call.ended) {
            call.ended = true;
            events.extend(call.part.map(|part| Event::PartEnd { choice: self.index, part }));
        }
    }

    /// The choice's end. Said twice, the first counts.
    pub(super) fn finish(&mut self, stop: Stop, events: &mut Vec<Event>) {
        self.close(events);
        if !std::mem::replace(&mut self.stopped, true) {
            events.push(Event::Finish { choice: self.index, stop });
        }
    }
}

impl Call {
    fn new(index: Option<u64>, id: Option<String>, shell: Part) -> Self {
        Self { index, id, name: String::new(), part: None, held: String::new(), seal: None, shell, ended: false }
    }
}
