//! The error of the provider beneath a router.

use super::{MAX_HINTS, Parts, plain, scalar};
use crate::counts::members;
use crate::fault::MAX_MESSAGE;
use crate::json::{JsonError, Kind, Reader};
use crate::text;

/// What a router (OpenRouter) tells in `metadata`: who failed, and what that one said.
#[derive(Debug, Default)]
pub(super) struct Beneath {
    provider: Option<String>,
    said: Option<String>,
    words: Vec<String>,
    /// It stands within another one, and is passed over.
    closed: bool,
}

impl Beneath {
    /// For an object within this one.
    pub(super) fn inner(&self) -> Self {
        Self { closed: self.closed, ..Self::default() }
    }

    /// Reads `metadata`.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        if self.closed {
            return reader.skip().map(|_| ());
        }
        members(reader, |reader, name| match name {
            "provider_name" => {
                self.provider = scalar(reader)?;
                Ok(())
            }
            "flagged_input" => {
                self.words.push("moderation".to_owned());
                reader.skip().map(|_| ())
            }
            "raw" if reader.kind()? == Kind::String => {
                let raw = reader.string()?;
                self.raw(&raw);
                Ok(())
            }
            _ => reader.skip().map(|_| ()),
        })?;
        self.words.truncate(MAX_HINTS);
        Ok(())
    }

    /// Fills in what is not known.
    pub(super) fn or(&mut self, other: Self) {
        self.provider = self.provider.take().or(other.provider);
        self.said = self.said.take().or(other.said);
        self.words.extend(other.words);
        self.words.truncate(MAX_HINTS);
    }

    /// The message, with what was said beneath it. Words that tell the sort go to the hints.
    pub(super) fn tell(self, message: Option<String>, hints: &mut Vec<String>) -> Option<String> {
        hints.extend(self.words);
        let said = self.said.as_deref().and_then(plain);
        let (message, said) = match (message, said) {
            (Some(message), Some(said)) if message != said => (message, said),
            (message, said) => return message.or(said),
        };
        let whole = match self.provider {
            Some(provider) => format!("{message} ({provider}): {said}"),
            None => format!("{message}: {said}"),
        };
        Some(text::message(&whole, MAX_MESSAGE))
    }

    /// What the provider answered: its error object as text, or any text. An object's own `metadata`
    /// is not followed: routers behind routers may not make us dig without end.
    fn raw(&mut self, raw: &str) {
        let mut inner = Parts { beneath: Self { closed: true, ..Self::default() }, ..Parts::default() };
        match Reader::new(raw.as_bytes()) {
            Ok(mut reader) if raw.trim_start().starts_with(['{', '[']) => {
                // What was read before a fault counts.
                let _: Result<(), JsonError> = inner.value(&mut reader);
            }
            _ => inner.message = Some(text::message(raw, MAX_MESSAGE)),
        }
        self.words.extend(inner.code.into_iter().chain(inner.kind).chain(inner.hints));
        self.said = inner.message.or(self.said.take());
    }
}
