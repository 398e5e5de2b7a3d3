//! One data payload, read once.

use std::borrow::Cow;

use super::{Facts, Output, Seen};
use crate::answer::update;
use crate::counts::{UsageFinder, members};
use crate::fault::{self, Parts, UpstreamError};
use crate::json::{JsonError, Kind, Reader, Span};
use crate::rules::UsageRules;
use crate::sse::Frame;

/// Events that end a stream.
const TERMINAL: [&str; 7] = [
    "response.completed",
    "response.incomplete",
    "response.failed",
    "image_generation.completed",
    "image_edit.completed",
    "speech.audio.done",
    "transcript.text.done",
];

/// Reads a payload into the tap's facts and output. Members come in any order, so what depends
/// on the event's type waits until the object has been read.
pub(super) struct Chunk<'t, 'd> {
    facts: &'t mut Facts,
    output: &'t mut Output,
    usage: UsageFinder<'t>,
    kind: Option<Cow<'d, str>>,
    /// A top-level `delta` that is a string (Responses, transcriptions).
    delta: Option<Cow<'d, str>>,
    /// How many choices there are, if there are `choices`.
    choices: Option<usize>,
    visible: bool,
    error: Option<UpstreamError>,
    /// Parts of an error spread over the top level, as in `event: error`.
    flat: Parts,
    object_is_error: bool,
}

impl<'t, 'd> Chunk<'t, 'd> {
    pub(super) fn new(facts: &'t mut Facts, output: &'t mut Output, rules: &'t UsageRules) -> Self {
        Self {
            facts,
            output,
            usage: UsageFinder::new(rules),
            kind: None,
            delta: None,
            choices: None,
            visible: false,
            error: None,
            flat: Parts::default(),
            object_is_error: false,
        }
    }

    pub(super) fn read(mut self, data: &'d [u8], frame: &Frame) -> Result<Seen, JsonError> {
        let mut reader = Reader::new(data)?;
        reader.object(|reader, key| self.member(reader, &key.name))?;
        reader.end()?;
        Ok(self.settle(frame.event()))
    }

    fn member(&mut self, reader: &mut Reader<'d>, name: &str) -> Result<(), JsonError> {
        match name {
            "choices" => self.choices(reader),
            "type" if reader.kind()? == Kind::String => {
                self.kind = Some(reader.string()?);
                Ok(())
            }
            "delta" if reader.kind()? == Kind::String => {
                self.delta = Some(reader.string()?);
                Ok(())
            }
            "object" if reader.kind()? == Kind::String => {
                self.object_is_error = reader.string()? == "error";
                Ok(())
            }
            "response" => members(reader, |reader, name| self.fact(reader, name)),
            "code" | "message" | "param" => self.flat.member(reader, name),
            _ => self.fact(reader, name),
        }
    }

    /// What stands at the top of a chunk or, in the Responses API, within `response`.
    fn fact(&mut self, reader: &mut Reader<'d>, name: &str) -> Result<(), JsonError> {
        match name {
            "id" if self.facts.id.is_none() => update(&mut self.facts.id, reader),
            "model" if self.facts.model.is_none() => update(&mut self.facts.model, reader),
            "service_tier" => update(&mut self.facts.service_tier, reader),
            "error" => {
                self.error = fault::in_band(reader)?.or_else(|| self.error.take());
                Ok(())
            }
            _ if self.usage.member(reader, name)? => Ok(()),
            _ => reader.skip().map(|_| ()),
        }
    }

    fn choices(&mut self, reader: &mut Reader<'d>) -> Result<(), JsonError> {
        if reader.kind()? != Kind::Array {
            return reader.skip().map(|_| ());
        }
        let mut count = 0;
        reader.array(|reader| {
            count += 1;
            members(reader, |reader, name| self.choice(reader, name))
        })?;
        self.choices = Some(count);
        Ok(())
    }

    fn choice(&mut self, reader: &mut Reader<'_>, name: &str) -> Result<(), JsonError> {
        match name {
            "delta" | "message" => self.chat_delta(reader),
            "text" => self.text(reader),
            "finish_reason" if reader.kind()? == Kind::String => {
                self.facts.finished |= !matches!(&*reader.string()?, "" | "None");
                Ok(())
            }
            _ => reader.skip().map(|_| ()),
        }
    }

    fn chat_delta(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        // Some servers send the same reasoning under both of its names.
        let mut reasoned = false;
        members(reader, |reader, name| match name {
            "content" | "refusal" => self.text(reader),
            "reasoning_content" | "reasoning" if !reasoned => {
                reasoned = self.output.value(reader)?;
                self.visible |= reasoned;
                Ok(())
            }
            "tool_calls" => self.tool_calls(reader),
            "function_call" => self.call(reader),
            "audio" => self.audio(reader),
            _ => reader.skip().map(|_| ()),
        })
    }

    fn tool_calls(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        if reader.kind()? != Kind::Array {
            return reader.skip().map(|_| ());
        }
        let each = |reader: &mut Reader<'_>| {
            members(reader, |reader, name| match name {
                "function" | "custom" => self.call(reader),
                _ => reader.skip().map(|_| ()),
            })
        };
        reader.array(each).map(|_| ())
    }

    fn call(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        members(reader, |reader, name| {
            self.visible |= match name {
                "name" => self.output.value(reader)?,
                "arguments" | "input" => self.output.arguments(reader)?,
                _ => reader.skip().map(|_| false)?,
            };
            Ok(())
        })
    }

    fn audio(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        members(reader, |reader, name| match name {
            "transcript" => self.text(reader),
            _ => {
                self.visible |= name == "data";
                reader.skip().map(|_| ())
            }
        })
    }

    fn text(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        self.visible |= self.output.value(reader)?;
        Ok(())
    }

    fn settle(mut self, event: Option<&str>) -> Seen {
        let kind = self.kind.take();
        let kind = kind.as_deref().or(event).unwrap_or_default();
        let terminal = TERMINAL.contains(&kind);
        self.facts.terminal |= terminal;
        let usage = self.usage();
        self.delta(kind);
        let failed = kind == "response.failed" || kind == "error" || self.object_is_error;
        if let Some(error) = self.error.take() {
            return Seen::Error(error);
        }
        if failed {
            return Seen::Error(self.flat.finish(fault::unnamed));
        }
        match usage {
            _ if terminal => Seen::Done,
            Some(span) if self.choices == Some(0) => Seen::UsageOnly(span),
            _ if self.visible => Seen::Delta,
            _ => Seen::Quiet,
        }
    }

    /// Keeps the usage found, unless what is kept is larger.
    fn usage(&mut self) -> Option<Span> {
        self.facts.usage_span = self.usage.span;
        let size = |usage: &crate::usage::Usage| usage.input.saturating_add(usage.output);
        if let Some(found) = self.usage.reading() {
            let kept = self.facts.usage.as_ref().map_or(0, |kept| size(&kept.usage));
            if size(&found.usage) >= kept {
                self.facts.usage = Some(found);
            }
        }
        self.usage.span
    }

    /// A top-level `delta`: text, or sound in base64, which is output but not text.
    fn delta(&mut self, kind: &str) {
        let sound = kind.ends_with("audio.delta");
        if let Some(delta) = self.delta.take() {
            self.visible |= !delta.is_empty();
            if !sound {
                self.output.push(&delta);
            }
        }
        self.visible |= sound || kind.ends_with("partial_image");
    }
}
