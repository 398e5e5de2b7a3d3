//! The text a stream produced.

use crate::json::{JsonError, Kind, Reader};
use crate::text;

/// How many bytes of output are kept.
pub const OUTPUT_CAP: usize = 256 * 1024;

/// Produced text up to [`OUTPUT_CAP`], and how much there was in all.
#[derive(Debug, Default)]
pub(crate) struct Output {
    text: String,
    bytes: u64,
    /// Whether the cap was reached: text behind a cut must not be joined to what is before it.
    full: bool,
}

impl Output {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn push(&mut self, more: &str) {
        self.bytes += more.len() as u64;
        if self.full {
            return;
        }
        let kept = text::cut(more, OUTPUT_CAP - self.text.len());
        self.full = kept.len() < more.len();
        self.text.push_str(kept);
    }

    /// Reads a value that holds text: a string, or parts with text in them (Mistral's content
    /// lists). Says whether there was any.
    pub(crate) fn value(&mut self, reader: &mut Reader<'_>) -> Result<bool, JsonError> {
        match reader.kind()? {
            Kind::String => {
                let text = reader.string()?;
                self.push(&text);
                Ok(!text.is_empty())
            }
            Kind::Array => self.parts(reader),
            Kind::Object => self.part(reader),
            _ => reader.skip().map(|_| false),
        }
    }

    /// Reads a value that is text or, from some servers, the JSON the text would spell.
    pub(crate) fn arguments(&mut self, reader: &mut Reader<'_>) -> Result<bool, JsonError> {
        match reader.kind()? {
            Kind::Object | Kind::Array => {
                let value = reader.skip()?;
                self.push(reader.raw(value.span));
                Ok(true)
            }
            _ => self.value(reader),
        }
    }

    fn parts(&mut self, reader: &mut Reader<'_>) -> Result<bool, JsonError> {
        let mut any = false;
        reader.array(|reader| {
            any |= self.value(reader)?;
            Ok(())
        })?;
        Ok(any)
    }

    fn part(&mut self, reader: &mut Reader<'_>) -> Result<bool, JsonError> {
        let mut any = false;
        reader.object(|reader, key| {
            any |= match &*key.name {
                "text" | "thinking" | "content" => self.value(reader)?,
                _ => reader.skip().map(|_| false)?,
            };
            Ok(())
        })?;
        Ok(any)
    }
}
