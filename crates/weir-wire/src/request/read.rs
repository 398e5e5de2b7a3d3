//! Reading a body: one pass, the first fault kept.

use std::borrow::Cow;

use super::keys::{Known, PromptRule, prompt_rule};
use super::{
    MAX_ALTERNATIVES, MAX_CHOICES, MAX_MEMBERS, MAX_NAME, MAX_TOKEN_CAP, Member, Peek, PeekCode, PeekError, Prompt,
    Shape, StreamOptions,
};
use crate::json::{Field, JsonError, JsonErrorKind, Kind, Reader, Span, scan_object, string_at};

type Read<T> = Result<T, PeekError>;

/// See [`Peek::read`].
pub(super) fn read(body: &[u8], shape: Shape) -> Read<Peek> {
    let mut collector = Collector {
        body,
        shape,
        peek: Peek { members: Vec::with_capacity(16), ..Peek::default() },
        seen: 0,
        fault: None,
    };
    let object = scan_object(body, |field| collector.field(&field)).map_err(|error| broken_body(body, error))?;
    let fault = collector.fault.take().or_else(|| collector.require_prompt().err());
    let mut peek = collector.peek;
    if let Some(fault) = fault {
        return Err(PeekError { model: peek.model, ..fault });
    }
    peek.object = Some(object);
    Ok(peek)
}

struct Collector<'a> {
    body: &'a [u8],
    shape: Shape,
    peek: Peek,
    seen: u32,
    fault: Option<PeekError>,
}

impl Collector<'_> {
    fn field(&mut self, field: &Field<'_>) {
        if self.fault.is_some() {
            return;
        }
        if let Err(fault) = self.member(field) {
            self.fault = Some(fault);
        }
    }

    fn member(&mut self, field: &Field<'_>) -> Read<()> {
        if self.peek.members.len() == MAX_MEMBERS {
            let message = format!("the body has more than {MAX_MEMBERS} members, remove some");
            return Err(PeekError::new(PeekCode::InvalidValue, None, message));
        }
        self.peek.members.push(Member { key: field.key_span, value: field.value });
        let Some(known) = Known::of(&field.key, self.shape) else {
            return Ok(());
        };
        if self.seen & 1 << known as u32 != 0 {
            return Err(duplicate(known.name()));
        }
        self.seen |= 1 << known as u32;
        self.known(known, Given::new(self.body, known.name(), field.value, field.kind))
    }

    fn known(&mut self, known: Known, given: Given<'_>) -> Read<()> {
        let peek = &mut self.peek;
        match known {
            Known::Model => {
                peek.model = Some(given.name()?);
                peek.model_span = Some(given.span);
            }
            Known::Stream => peek.stream = given.flag()?,
            Known::StreamOptions => peek.stream_options = stream_options(&given)?,
            Known::User => peek.user = given.label()?,
            Known::MaxTokens => peek.max_tokens = given.count(0, MAX_TOKEN_CAP)?,
            Known::MaxCompletionTokens => {
                peek.max_completion_tokens = given.count(0, MAX_TOKEN_CAP)?;
            }
            Known::MaxOutputTokens => peek.max_output_tokens = given.count(0, MAX_TOKEN_CAP)?,
            Known::N => peek.n = given.count(1, MAX_CHOICES)?,
            Known::ServiceTier => peek.service_tier = given.label()?,
            Known::EncodingFormat => peek.encoding_format = given.label()?,
            Known::Messages | Known::Prompt | Known::Input | Known::Contents | Known::Documents => {
                peek.prompt = prompt(self.shape, &given)?;
            }
            Known::Tools
            | Known::Functions
            | Known::Instructions
            | Known::System
            | Known::SystemInstruction
            | Known::Query => peek.context.push(given.span),
            Known::GenerationConfig => generation_config(&given, peek)?,
            Known::Models => peek.models = given.names()?,
            Known::Fallbacks => peek.fallbacks = given.names()?,
        }
        peek.has_extensions |= matches!(known, Known::Models | Known::Fallbacks);
        if let StreamOptions::With { on, .. } = peek.stream_options {
            peek.include_usage = on;
        }
        Ok(())
    }

    fn require_prompt(&self) -> Read<()> {
        match prompt_rule(self.shape) {
            Some(rule) if rule.required && self.peek.prompt.is_none() => {
                let name = rule.key.name();
                let message = format!("missing required parameter '{name}': add it as {}", rule.expected);
                Err(PeekError::new(PeekCode::Missing, Some(name), message))
            }
            _ => Ok(()),
        }
    }
}

/// A value given for a member Weir reads.
struct Given<'a> {
    body: &'a [u8],
    name: &'static str,
    span: Span,
    kind: Kind,
}

impl<'a> Given<'a> {
    fn new(body: &'a [u8], name: &'static str, span: Span, kind: Kind) -> Self {
        Self { body, name, span, kind }
    }

    fn wrong_type(&self, expected: &str) -> PeekError {
        let message = format!("'{}' must be {expected}, not {}", self.name, self.kind.name());
        PeekError::new(PeekCode::InvalidType, Some(self.name), message)
    }

    fn wrong_value(&self, expected: &str) -> PeekError {
        let message = format!("'{}' must be {expected}", self.name);
        PeekError::new(PeekCode::InvalidValue, Some(self.name), message)
    }

    fn text(&self) -> Option<Cow<'a, str>> {
        string_at(self.body, self.span)
    }

    /// A boolean; null is false.
    fn flag(&self) -> Read<bool> {
        match self.kind {
            Kind::Bool => Ok(self.span.of(self.body) == b"true"),
            Kind::Null => Ok(false),
            _ => Err(self.wrong_type("a boolean")),
        }
    }

    /// A model's name.
    fn name(&self) -> Read<String> {
        let text = self.text().ok_or_else(|| self.wrong_type("a string"))?;
        self.checked_name(text)
    }

    fn checked_name(&self, text: Cow<'_, str>) -> Read<String> {
        if text.is_empty() || text.len() > MAX_NAME {
            return Err(self.wrong_value(&format!("1 to {MAX_NAME} bytes long")));
        }
        Ok(text.into_owned())
    }

    /// A string kept for the record; null is none.
    fn label(&self) -> Read<Option<String>> {
        if self.kind == Kind::Null {
            return Ok(None);
        }
        let text = self.text().ok_or_else(|| self.wrong_type("a string"))?;
        Ok(Some(crate::text::label(&text, MAX_NAME)))
    }

    /// An array of model names; null is none.
    fn names(&self) -> Read<Vec<String>> {
        let mut names = Vec::new();
        if self.kind == Kind::Null {
            return Ok(names);
        }
        let strings = || self.wrong_type("an array of strings");
        if self.kind != Kind::Array {
            return Err(strings());
        }
        let mut fault = None;
        let mut reader = Reader::new(self.span.of(self.body)).map_err(broken)?;
        let walked = reader.array(|reader| {
            let text = reader.string()?;
            if names.len() == MAX_ALTERNATIVES {
                fault = Some(self.wrong_value(&format!("at most {MAX_ALTERNATIVES} names")));
            } else {
                match self.checked_name(text) {
                    Ok(name) => names.push(name),
                    Err(error) => fault = Some(error),
                }
            }
            Ok(())
        });
        match (walked, fault) {
            (_, Some(fault)) => Err(fault),
            (Err(_), None) => Err(PeekError::new(
                PeekCode::InvalidType,
                Some(self.name),
                format!("'{}' must be an array of strings only", self.name),
            )),
            (Ok(_), None) => Ok(names),
        }
    }

    /// A whole number from `low` to `high`; null is none.
    fn count(&self, low: u64, high: u64) -> Read<Option<u64>> {
        let digits = self.span.of(self.body);
        match self.kind {
            Kind::Null => return Ok(None),
            Kind::Number => {}
            _ => return Err(self.wrong_type("an integer")),
        }
        let range = || self.wrong_value(&format!("an integer from {low} to {high}"));
        let whole = digits.iter().all(u8::is_ascii_digit);
        if !whole && digits.first() != Some(&b'-') {
            let message = format!("'{}' must be an integer, written in digits only", self.name);
            return Err(PeekError::new(PeekCode::InvalidType, Some(self.name), message));
        }
        let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
        let number = number.filter(|number| (low..=high).contains(number)).ok_or_else(range)?;
        Ok(Some(number))
    }
}

fn prompt(shape: Shape, given: &Given<'_>) -> Read<Option<Prompt>> {
    let Some(PromptRule { kinds, expected, required, .. }) = prompt_rule(shape) else {
        return Ok(None);
    };
    if given.kind == Kind::Null && !required {
        return Ok(None);
    }
    if !kinds.contains(&given.kind) {
        return Err(given.wrong_type(expected));
    }
    Ok(Some(Prompt { span: given.span, kind: given.kind }))
}

/// The caps in Gemini's `generationConfig`, in either spelling.
fn generation_config(given: &Given<'_>, peek: &mut Peek) -> Read<()> {
    match given.kind {
        Kind::Null => return Ok(()),
        Kind::Object => {}
        _ => return Err(given.wrong_type("an object")),
    }
    let mut caps = Ok(());
    let mut cap = |field: &Field<'_>| {
        let inner = |name| Given::new(given.body, name, field.value.shift(given.span.start), field.kind);
        match &*field.key {
            "maxOutputTokens" | "max_output_tokens" => {
                peek.max_output_tokens = inner("generationConfig.maxOutputTokens").count(0, MAX_TOKEN_CAP)?;
            }
            "candidateCount" | "candidate_count" => {
                peek.n = inner("generationConfig.candidateCount").count(1, MAX_CHOICES)?;
            }
            _ => {}
        }
        Ok(())
    };
    scan_object(given.span.of(given.body), |field| {
        if caps.is_ok() {
            caps = cap(&field);
        }
    })
    .map_err(broken)?;
    caps
}

fn stream_options(given: &Given<'_>) -> Read<StreamOptions> {
    match given.kind {
        Kind::Null => return Ok(StreamOptions::Null(given.span)),
        Kind::Object => {}
        _ => return Err(given.wrong_type("an object")),
    }
    const NAME: &str = "stream_options.include_usage";
    let (mut found, mut twice, mut empty) = (None, false, true);
    scan_object(given.span.of(given.body), |field| {
        empty = false;
        if field.key == "include_usage" {
            let value = field.value.shift(given.span.start);
            twice |= found.replace(Given::new(given.body, NAME, value, field.kind)).is_some();
        }
    })
    .map_err(broken)?;
    match found {
        _ if twice => Err(duplicate(NAME)),
        None => Ok(StreamOptions::Without { object: given.span, empty }),
        Some(value) => Ok(StreamOptions::With { on: value.flag()?, value: value.span }),
    }
}

fn duplicate(name: &'static str) -> PeekError {
    let message = format!("'{name}' appears more than once in the body, send it once");
    PeekError::new(PeekCode::DuplicateKey, Some(name), message)
}

/// An empty body is most often one that the client meant to send.
fn broken_body(body: &[u8], error: JsonError) -> PeekError {
    if body.trim_ascii().is_empty() {
        let message = "the request body is empty: send one JSON object".to_owned();
        return PeekError::new(PeekCode::InvalidJson, None, message);
    }
    broken(error)
}

fn broken(error: JsonError) -> PeekError {
    let code = match error.kind {
        JsonErrorKind::TooDeep => PeekCode::TooDeep,
        _ => PeekCode::InvalidJson,
    };
    let message = match error.kind {
        JsonErrorKind::NotAnObject => "the request body must be one JSON object".to_owned(),
        _ => format!("could not read the request body: {error}"),
    };
    PeekError::new(code, None, message)
}
