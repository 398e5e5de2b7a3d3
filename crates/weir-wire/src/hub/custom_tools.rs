//! Custom tools, which are called with text, for dialects and models that have functions alone: a
//! custom tool is said as a function with one text, and a call of that function is told to the
//! caller as a call of its custom tool.
//!
//! Encoders of requests say the first ([`as_functions`]), each with one line. The second is for
//! whoever stands between a decoder and an encoder of answers: [`CustomCalls`], made of the caller's
//! request, passes the answer or the stream's events on, and changes nothing where the model was told
//! of custom tools or none were given.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{
    Answer, CallKind, Capabilities, Custom, CustomFormat, Delta, Event, Extra, Form, Function, LossKind, Losses, Mode,
    Node, Part, PartKind, Place, Request, Tool, ToolCall, ToolChoice, ToolKind, write,
};
use crate::fault::UpstreamError;

/// The member of the function's arguments that is the custom tool's input.
const INPUT: &str = "input";
/// The schema of a function that stands for a custom tool.
const SCHEMA: &str = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;

/// The request with functions for its custom tools, and calls of functions for calls of those. Each
/// tool is told as a loss, and a call of a tool that is not among them. Borrowed if there are none.
#[must_use]
pub fn as_functions<'r>(request: &'r Request, losses: &mut Losses) -> Cow<'r, Request> {
    let parts = || request.turns.iter().flat_map(|turn| &turn.parts);
    let named = matches!(request.tool_choice, Some(ToolChoice::Named { custom: true, .. }));
    let custom = request.tools.iter().any(is_custom) || parts().any(|part| custom_call(part).is_some());
    if !named && !custom {
        return Cow::Borrowed(request);
    }
    let mut request = request.clone();
    let told: HashSet<String> =
        request.tools.iter().filter(|tool| is_custom(tool)).filter_map(Tool::name).map(str::to_owned).collect();
    for tool in &mut request.tools {
        if let ToolKind::Custom(custom) = &tool.kind {
            let why = format!("the custom tool {} is a function with one text, {INPUT}, here", custom.name);
            losses.add(tool.at.as_str(), LossKind::Approximated, why);
            tool.kind = ToolKind::Function(function(custom, &tool.at, losses));
            tool.form = Form::default();
        }
    }
    let mut ids = HashSet::new();
    for part in request.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        if let Some(call) = custom_call(part).filter(|call| !told.contains(&call.name)) {
            let why = format!("the input of the custom tool {} became an object", call.name);
            losses.add(part.at.as_str(), LossKind::Approximated, why);
        }
        say_as_function(part, &mut ids);
    }
    if let Some(ToolChoice::Named { custom, .. }) = &mut request.tool_choice {
        *custom = false;
    }
    Cow::Owned(request)
}

/// [`as_functions`] for a model that does not take custom tools; else the request as it is.
#[must_use]
pub fn unless_taken<'r>(request: &'r Request, capabilities: &Capabilities, losses: &mut Losses) -> Cow<'r, Request> {
    if capabilities.custom_tools { Cow::Borrowed(request) } else { as_functions(request, losses) }
}

fn is_custom(tool: &Tool) -> bool {
    matches!(tool.kind, ToolKind::Custom(_))
}

fn custom_call(part: &Part) -> Option<&ToolCall> {
    match &part.kind {
        PartKind::ToolCall(call) if call.kind == CallKind::Custom => Some(call),
        _ => None,
    }
}

/// The function that stands for a custom tool. A grammar, which nothing holds the model to, is told
/// to it in words.
fn function(custom: &Custom, at: &Place, losses: &mut Losses) -> Function {
    let mut description = custom.description.clone();
    match &custom.format {
        Some(CustomFormat::Grammar { syntax, definition }) => {
            losses.add(at.member("format").as_str(), LossKind::Approximated, "the grammar is told in the description");
            let mut words = description.map(|words| words + "\n\n").unwrap_or_default();
            words += &format!("The {INPUT} is a text of this {syntax} grammar:\n{definition}");
            description = Some(words);
        }
        Some(CustomFormat::Opaque(_)) => {
            losses.add(at.member("format").as_str(), LossKind::Dropped, "another dialect's own format");
        }
        Some(CustomFormat::Text) | None => {}
    }
    let parameters = Some(super::Json::checked(SCHEMA));
    Function { name: custom.name.clone(), description, parameters, strict: None, extra: custom.extra.clone() }
}

/// Changes a call of a custom tool, whose id is noted, and the result of one. How the dialect spelt a
/// custom call is not how it spells this, and its id of the item is another's.
fn say_as_function(part: &mut Part, ids: &mut HashSet<String>) {
    match &mut part.kind {
        PartKind::ToolCall(call) if call.kind == CallKind::Custom => {
            call.kind = CallKind::Function;
            call.arguments = write::object(|o| o.text(INPUT, &call.arguments));
            ids.extend(call.id.clone());
        }
        PartKind::ToolResult(result) if result.call_id.as_ref().is_some_and(|id| ids.contains(id)) => {}
        _ => return,
    }
    part.form = Form::default();
    if let Some(dialect) = part.extra.dialect() {
        part.extra = Extra::new(dialect, part.extra.loud().to_vec());
    }
}

/// Tells calls of functions that stand for custom tools as calls of those.
#[derive(Debug)]
pub struct CustomCalls {
    names: HashSet<String>,
    /// The calls of a stream that have not ended, with their arguments so far.
    open: Vec<Held>,
    left: usize,
    failed: bool,
}

#[derive(Debug)]
struct Held {
    key: (u32, u32),
    arguments: String,
}

impl CustomCalls {
    /// For the answer to this request. Of a stream it holds back at most about `limit` bytes of
    /// arguments, which must be whole before their text is known; a stream that needs more ends in
    /// an error.
    #[must_use]
    pub fn new(request: &Request, limit: usize) -> Self {
        let names = request.tools.iter().filter(|tool| is_custom(tool)).filter_map(Tool::name);
        Self { names: names.map(str::to_owned).collect(), open: Vec::new(), left: limit, failed: false }
    }

    /// Whether the caller has custom tools; without, nothing is ever changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Changes the calls of a whole answer.
    pub fn answer(&self, answer: &mut Answer) {
        for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
            if self.stands_in(part)
                && let PartKind::ToolCall(call) = &mut part.kind
            {
                call.kind = CallKind::Custom;
                call.arguments = input(std::mem::take(&mut call.arguments));
            }
        }
    }

    /// Takes the next event of a stream and appends what becomes of it.
    pub fn push(&mut self, event: Event, out: &mut Vec<Event>) {
        if self.failed {
            return;
        }
        match event {
            Event::PartStart { choice, part, shell } if self.stands_in(&shell) => {
                self.start((choice, part), *shell, out);
            }
            Event::Delta { choice, part, delta: Delta::Arguments(more) } => self.more((choice, part), more, out),
            Event::PartEnd { choice, part } => {
                self.close(|key| key == (choice, part), out);
                out.push(event);
            }
            Event::Finish { choice, .. } => {
                self.close(|key| key.0 == choice, out);
                out.push(event);
            }
            Event::End => {
                self.close(|_| true, out);
                out.push(event);
            }
            other => out.push(other),
        }
    }

    fn stands_in(&self, part: &Part) -> bool {
        match &part.kind {
            PartKind::ToolCall(call) => call.kind == CallKind::Function && self.names.contains(&call.name),
            _ => false,
        }
    }

    fn start(&mut self, key: (u32, u32), mut shell: Part, out: &mut Vec<Event>) {
        let mut begun = String::new();
        if let PartKind::ToolCall(call) = &mut shell.kind {
            call.kind = CallKind::Custom;
            begun = std::mem::take(&mut call.arguments);
        }
        out.push(Event::PartStart { choice: key.0, part: key.1, shell: Box::new(shell) });
        self.open.push(Held { key, arguments: String::new() });
        self.more(key, begun, out);
    }

    fn more(&mut self, key: (u32, u32), more: String, out: &mut Vec<Event>) {
        let Some(held) = self.open.iter_mut().find(|held| held.key == key) else {
            return out.push(Event::Delta { choice: key.0, part: key.1, delta: Delta::Arguments(more) });
        };
        match self.left.checked_sub(more.len()) {
            Some(left) => {
                self.left = left;
                held.arguments.push_str(&more);
            }
            None => {
                self.failed = true;
                let message = "the input of a custom tool is larger than what can be held back".to_owned();
                out.push(Event::Error(UpstreamError { message, ..UpstreamError::default() }));
            }
        }
    }

    /// Says the input of the calls that are concerned, which are complete.
    fn close(&mut self, concerns: impl Fn((u32, u32)) -> bool, out: &mut Vec<Event>) {
        let (ended, open) = std::mem::take(&mut self.open).into_iter().partition(|held| concerns(held.key));
        self.open = open;
        let ended: Vec<Held> = ended;
        for Held { key: (choice, part), arguments } in ended {
            self.left += arguments.len();
            let text = input(arguments);
            if !text.is_empty() {
                out.push(Event::Delta { choice, part, delta: Delta::Arguments(text) });
            }
        }
    }
}

/// The text in the arguments of a function that stands for a custom tool. What is of another form is
/// the model's fault, and what the caller sees.
fn input(arguments: String) -> String {
    let read = || {
        let mut fields = Node::of_body(arguments.as_bytes(), Mode::Request).ok()?.fields(Place::root()).ok()?;
        let text = fields.text(INPUT).ok()??;
        fields.is_empty().then_some(text)
    };
    read().unwrap_or(arguments)
}

#[cfg(test)]
mod tests;
