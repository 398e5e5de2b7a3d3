//! A whole answer, read for the record. The content is passed over, never copied.

#[cfg(test)]
mod tests;

use crate::counts::{UsageFinder, members};
use crate::fault::{self, UpstreamError};
use crate::json::{JsonError, Kind, Reader};
use crate::rules::UsageRules;
use crate::text;
use crate::usage::Usage;

/// The longest name or id kept, in bytes.
pub(crate) const MAX_LABEL: usize = 256;

/// What an answer says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether the body is one JSON object, as every answer in JSON must be. What was read before
    /// a fault is kept all the same.
    pub valid: bool,
    /// What was consumed, if the answer says.
    pub usage: Option<Usage>,
    /// Whether a usage value was bent into range ([`crate::counts`]).
    pub clamped: bool,
    /// The model that served.
    pub model: Option<String>,
    /// The tier that is billed.
    pub service_tier: Option<String>,
    /// The answer's id.
    pub id: Option<String>,
    /// The answer's `object`.
    pub object: Option<String>,
    /// An error inside a successful answer.
    pub error: Option<UpstreamError>,
}

/// Reads a non-streamed answer: chat, completions, embeddings, responses, images, transcriptions,
/// moderations, rerank. Never fails: a body that is no JSON object is not `valid`.
#[must_use]
pub fn read_answer(body: &[u8], rules: &UsageRules) -> Answer {
    let mut scan = Scan { answer: Answer::default(), usage: UsageFinder::new(rules), images: 0 };
    scan.answer.valid = scan.read(body).is_ok();
    scan.finish()
}

struct Scan<'r> {
    answer: Answer,
    usage: UsageFinder<'r>,
    images: u64,
}

impl Scan<'_> {
    fn read(&mut self, body: &[u8]) -> Result<(), JsonError> {
        let mut reader = Reader::new(body)?;
        reader.object(|reader, key| self.member(reader, &key.name))?;
        reader.end()
    }

    fn member(&mut self, reader: &mut Reader<'_>, name: &str) -> Result<(), JsonError> {
        match name {
            "model" => update(&mut self.answer.model, reader),
            "service_tier" => update(&mut self.answer.service_tier, reader),
            "id" => update(&mut self.answer.id, reader),
            "object" => update(&mut self.answer.object, reader),
            "error" => {
                self.answer.error = fault::in_band(reader)?;
                Ok(())
            }
            "data" => self.data(reader),
            _ if self.usage.member(reader, name)? => Ok(()),
            _ => reader.skip().map(|_| ()),
        }
    }

    /// Counts images: elements with a `b64_json` or a `url`.
    fn data(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        if reader.kind()? != Kind::Array {
            return reader.skip().map(|_| ());
        }
        reader
            .array(|reader| {
                let mut image = false;
                members(reader, |reader, name| {
                    let kind = reader.skip()?.kind;
                    image |= matches!(name, "b64_json" | "url") && kind == Kind::String;
                    Ok(())
                })?;
                self.images += u64::from(image);
                Ok(())
            })
            .map(|_| ())
    }

    fn finish(mut self) -> Answer {
        if let Some(reading) = self.usage.reading() {
            self.answer.usage = Some(reading.usage);
            self.answer.clamped = reading.clamped;
        }
        if self.images > 0 {
            self.answer.usage.get_or_insert_default().images = self.images;
        }
        self.answer
    }
}

/// Reads a label into `place` unless it is no text, empty, or says what is there already.
pub(crate) fn update(place: &mut Option<String>, reader: &mut Reader<'_>) -> Result<(), JsonError> {
    if reader.kind()? != Kind::String {
        return reader.skip().map(|_| ());
    }
    let text = reader.string()?;
    if !matches!(&*text, "" | "None") && place.as_deref() != Some(&*text) {
        *place = Some(text::label(&text, MAX_LABEL));
    }
    Ok(())
}
