//! A usage object, read into token classes whatever the provider calls them.
//!
//! Spellings that mean the same wherever they appear are all known here; conventions that
//! contradict each other are [`UsageRules`]. Values are taken as they come: missing and null are
//! absent; negative, fractional, huge and non-numeric ones are bent into range and the reading is
//! marked as clamped, so that nothing a provider sends can fail a request or overflow a price.

mod find;
mod number;

#[cfg(test)]
mod tests;

use crate::json::{JsonError, Kind, Reader};
use crate::rules::UsageRules;
use crate::usage::Usage;

pub(crate) use find::{UsageFinder, members};
pub(crate) use number::Number;

/// The largest count taken seriously, in tokens or whatever is counted.
pub const MAX_COUNT: u64 = 1_000_000_000_000;

/// A usage object as read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The classes, each within its total.
    pub usage: Usage,
    /// Whether any value had to be bent: the bill may be wrong and should say so.
    pub clamped: bool,
}

/// Reads the usage object at the reader's position. `None` if there is something else, such as
/// null, or an object without one count in it; the value is consumed in any case.
pub fn read_usage(reader: &mut Reader<'_>, rules: &UsageRules) -> Result<Option<Reading>, JsonError> {
    if reader.kind()? != Kind::Object {
        reader.skip()?;
        return Ok(None);
    }
    let mut raw = Raw::default();
    reader.object(|reader, key| raw.member(reader, &key.name))?;
    Ok(raw.reported.then(|| raw.settle(rules)))
}

/// The counts as reported, before they are made to fit each other.
#[derive(Default)]
struct Raw {
    usage: Usage,
    total: u64,
    citations: u64,
    /// Whether input or output was reported by name.
    parts: bool,
    reported: bool,
    clamped: bool,
}

impl Raw {
    fn member(&mut self, reader: &mut Reader<'_>, name: &str) -> Result<(), JsonError> {
        match name {
            "prompt_tokens_details" | "input_tokens_details" | "input_token_details" | "prompt_token_details" => {
                self.nested(reader, Self::input_detail)
            }
            "completion_tokens_details"
            | "output_tokens_details"
            | "output_token_details"
            | "completion_token_details" => self.nested(reader, Self::output_detail),
            "cache_creation" => self.nested(reader, Self::cache_creation),
            "server_tool_use" | "server_tool_use_details" | "server_side_tool_usage_details" => {
                self.nested(reader, Self::searches)
            }
            "seconds" | "prompt_audio_seconds" => self.seconds(reader),
            _ => self.count(reader, name, Self::top),
        }
    }

    fn top<'a>(&'a mut self, name: &str) -> Option<&'a mut u64> {
        let usage = &mut self.usage;
        Some(match name {
            "prompt_tokens" | "input_tokens" => {
                self.parts = true;
                &mut usage.input
            }
            "completion_tokens" | "output_tokens" => {
                self.parts = true;
                &mut usage.output
            }
            "total_tokens" => &mut self.total,
            "reasoning_tokens" => &mut usage.reasoning,
            "cached_tokens"
            | "num_cached_tokens"
            | "prompt_cache_hit_tokens"
            | "cache_read_input_tokens"
            | "cached_prompt_text_tokens" => &mut usage.cached,
            "cache_creation_input_tokens" | "cache_write_tokens" => &mut usage.cache_write,
            "audio_prompt_tokens" => &mut usage.audio_input,
            "citation_tokens" => &mut self.citations,
            "num_search_queries" => &mut usage.web_searches,
            "search_units" => &mut usage.search_units,
            "characters" | "input_characters" => &mut usage.characters,
            _ => return None,
        })
    }

    fn input_detail(&mut self, reader: &mut Reader<'_>, name: &str) -> Result<(), JsonError> {
        if name == "cache_write_tokens_details" {
            return self.nested(reader, Self::cache_creation);
        }
        self.count(reader, name, |raw, name| {
            Some(match name {
                "cached_tokens" | "cache_read_input_tokens" | "cache_read_tokens" => &mut raw.usage.cached,
                "cache_write_tokens" | "cache_creation_input_tokens" | "cache_creation_tokens" => {
                    &mut raw.usage.cache_write
                }
                "audio_tokens" => &mut raw.usage.audio_input,
                "image_tokens" => &mut raw.usage.image_input,
                _ => return None,
            })
        })
    }

    fn output_detail(&mut self, reader: &mut Reader<'_>, name: &str) -> Result<(), JsonError> {
        self.count(reader, name, |raw, name| {
            Some(match name {
                "reasoning_tokens" | "thinking_tokens" => &mut raw.usage.reasoning,
                "audio_tokens" => &mut raw.usage.audio_output,
                "image_tokens" => &mut raw.usage.image_output,
                _ => return None,
            })
        })
    }

    fn cache_creation(&mut self, reader: &mut Reader<'_>, name: &str) -> Result<(), JsonError> {
        self.count(reader, name, |raw, name| {
            Some(match name {
                "ephemeral_5m_input_tokens" => &mut raw.usage.cache_write_5m,
                "ephemeral_1h_input_tokens" => &mut raw.usage.cache_write_1h,
                "ttl_30m_tokens" => &mut raw.usage.cache_write_30m,
                "ttl_12h_tokens" => &mut raw.usage.cache_write_12h,
                _ => return None,
            })
        })
    }

    fn searches(&mut self, reader: &mut Reader<'_>, name: &str) -> Result<(), JsonError> {
        self.count(reader, name, |raw, name| {
            let known = matches!(name, "web_search_requests" | "web_search_calls");
            known.then_some(&mut raw.usage.web_searches)
        })
    }

    /// Reads an object's members with `each`; anything else is passed.
    fn nested(
        &mut self,
        reader: &mut Reader<'_>,
        each: fn(&mut Self, &mut Reader<'_>, &str) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        members(reader, |reader, name| each(self, reader, name))
    }

    /// Reads a count into the place `find` gives for its name. Where two spellings of one thing
    /// are reported the larger counts: the other is often a zero.
    fn count(
        &mut self,
        reader: &mut Reader<'_>,
        name: &str,
        find: for<'a> fn(&'a mut Self, &str) -> Option<&'a mut u64>,
    ) -> Result<(), JsonError> {
        let value = reader.skip()?;
        let Some(place) = find(self, name) else {
            return Ok(());
        };
        let number = Number::read(reader.raw(value.span), value.kind, 1);
        *place = number.value.unwrap_or(0).max(*place);
        self.note(number);
        Ok(())
    }

    fn seconds(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let value = reader.skip()?;
        let number = Number::read(reader.raw(value.span), value.kind, 1000);
        self.usage.audio_ms = number.value.unwrap_or(0).max(self.usage.audio_ms);
        self.note(number);
        Ok(())
    }

    fn note(&mut self, number: Number) {
        self.reported |= number.value.is_some();
        self.clamped |= number.clamped;
    }

    /// Applies the provider's conventions and makes every subset fit its total.
    fn settle(mut self, rules: &UsageRules) -> Reading {
        let usage = &mut self.usage;
        let lifetimes = usage.cache_write_5m + usage.cache_write_1h + usage.cache_write_30m + usage.cache_write_12h;
        usage.cache_write = usage.cache_write.max(lifetimes);
        if !self.parts {
            usage.input = self.total;
        }
        // A total that holds the reasoning beside the output says which convention it is.
        let beside = usage.input + usage.output + usage.reasoning;
        if rules.reasoning_outside_output || (self.parts && self.total == beside) {
            usage.output += usage.reasoning;
        }
        if rules.cache_outside_input {
            usage.input += usage.cached + usage.cache_write;
        }
        if rules.citations_outside_output {
            usage.output += self.citations;
        }
        self.fit();
        Reading { usage: self.usage, clamped: self.clamped }
    }

    fn fit(&mut self) {
        let Self { usage, clamped, .. } = self;
        let (input, output) = (usage.input, usage.output);
        let uncached = input.saturating_sub(usage.cached);
        for (part, whole) in [
            (&mut usage.cached, input),
            (&mut usage.cache_write, uncached),
            (&mut usage.audio_input, input),
            (&mut usage.image_input, input),
            (&mut usage.reasoning, output),
            (&mut usage.audio_output, output),
            (&mut usage.image_output, output),
        ] {
            *clamped |= *part > whole;
            *part = whole.min(*part);
        }
        let mut left = usage.cache_write;
        for part in [
            &mut usage.cache_write_5m,
            &mut usage.cache_write_1h,
            &mut usage.cache_write_30m,
            &mut usage.cache_write_12h,
        ] {
            *part = left.min(*part);
            left -= *part;
        }
    }
}
