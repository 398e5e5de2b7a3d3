//! Gathering an error's parts from the many places providers put them.

mod beneath;

use super::{MAX_MESSAGE, MAX_WORD, UpstreamError, classify, wait};
use crate::counts::members;
use crate::json::{JsonError, Kind, Reader};
use crate::text;
use beneath::Beneath;

/// How many entries of a `detail` list are told.
const MAX_DETAILS: usize = 4;
/// How many further words are kept.
const MAX_HINTS: usize = 8;

/// The parts found so far. Of several candidates the first counts, and an inner object's before
/// its outer one's.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    message: Option<String>,
    kind: Option<String>,
    param: Option<String>,
    code: Option<String>,
    /// Words that are shown to nobody and tell what sort of failure it is.
    hints: Vec<String>,
    wait_ms: Option<u64>,
    beneath: Beneath,
}

impl Parts {
    /// The error, with a message from `neutral` if none fit to show was found.
    pub(crate) fn finish(self, neutral: impl FnOnce() -> String) -> UpstreamError {
        self.finish_as(None, neutral)
    }

    /// The error of an answer with this status.
    pub(crate) fn finish_as(self, status: Option<u16>, neutral: impl FnOnce() -> String) -> UpstreamError {
        let Self { message, kind, param, code, mut hints, wait_ms, beneath } = self;
        let message = beneath.tell(message.as_deref().and_then(plain), &mut hints).unwrap_or_else(neutral);
        let error = UpstreamError { message, kind, param, code, ..UpstreamError::default() };
        let class = classify::class(status, &error, &hints);
        let named = || wait::in_words(&error.message).filter(|_| class.passes());
        UpstreamError { class, retry_after_ms: wait_ms.or_else(named), ..error }
    }

    /// Takes the name of an exception of AWS: `com.amazon#ValidationException:http://...`.
    pub(crate) fn exception(&mut self, name: &str) {
        let name = name.split(':').next().unwrap_or_default();
        let name = name.rsplit('#').next().unwrap_or_default().trim();
        if self.kind.is_none() && is_said(name) {
            self.kind = Some(text::label(name, MAX_WORD));
        }
    }

    /// Reads a whole error answer: an object, or an array of one.
    pub(crate) fn value(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        match reader.kind()? {
            Kind::Object => self.object(reader),
            Kind::Array => self.first(reader),
            _ => reader.skip().map(|_| ()),
        }
    }

    /// Reads the value of a member `error`: an object, its text alone, or an array of one.
    pub(crate) fn error(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        match reader.kind()? {
            Kind::String => self.text(reader),
            Kind::Number => set(&mut self.code, scalar(reader)?),
            _ => self.inner(reader),
        }
    }

    /// Reads one member of an error object.
    pub(crate) fn member(&mut self, reader: &mut Reader<'_>, name: &str) -> Result<(), JsonError> {
        match name {
            "error" | "errors" => self.error(reader),
            "message" | "Message" | "msg" | "error_msg" | "error_message" => self.message(reader),
            "detail" => self.detail(reader),
            "type" | "error_type" => set(&mut self.kind, scalar(reader)?),
            "status" if reader.kind()? == Kind::String => set(&mut self.kind, scalar(reader)?),
            "param" => set(&mut self.param, scalar(reader)?),
            "code" | "error_code" => set(&mut self.code, scalar(reader)?),
            "__type" => {
                let name = scalar(reader)?;
                name.iter().for_each(|name| self.exception(name));
                Ok(())
            }
            "innererror" => members(reader, |reader, name| self.hint(reader, name, &["code"])),
            "details" => self.details(reader),
            "metadata" => self.beneath.read(reader),
            "estimated_time" => {
                self.wait_ms = scalar(reader)?.and_then(|time| wait::seconds(&time)).or(self.wait_ms);
                Ok(())
            }
            _ => reader.skip().map(|_| ()),
        }
    }

    fn object(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        members(reader, |reader, name| self.member(reader, name))
    }

    fn first(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let mut first = true;
        let each = |reader: &mut Reader<'_>| match std::mem::take(&mut first) {
            true => self.error(reader),
            false => reader.skip().map(|_| ()),
        };
        reader.array(each).map(|_| ())
    }

    /// Reads a nested object, whose parts are nearer to the fault than those around it.
    fn inner(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let mut inner = Self { beneath: self.beneath.inner(), ..Self::default() };
        let read = inner.value(reader);
        let outer = std::mem::replace(self, inner);
        self.message = self.message.take().or(outer.message);
        self.kind = self.kind.take().or(outer.kind);
        self.param = self.param.take().or(outer.param);
        self.code = self.code.take().or(outer.code);
        self.hints.extend(outer.hints);
        self.hints.truncate(MAX_HINTS);
        self.wait_ms = self.wait_ms.or(outer.wait_ms);
        self.beneath.or(outer.beneath);
        read
    }

    /// Google's `details`: `ErrorInfo` has the reason, `RetryInfo` how long to wait.
    fn details(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        if reader.kind()? != Kind::Array {
            return reader.skip().map(|_| ());
        }
        let each = |reader: &mut Reader<'_>| {
            members(reader, |reader, name| match name {
                "retryDelay" => {
                    self.wait_ms = scalar(reader)?.and_then(|delay| wait::duration(&delay)).or(self.wait_ms);
                    Ok(())
                }
                _ => self.hint(reader, name, &["reason"]),
            })
        };
        reader.array(each).map(|_| ())
    }

    /// Keeps the member as a word if it is one of those.
    fn hint(&mut self, reader: &mut Reader<'_>, name: &str, of: &[&str]) -> Result<(), JsonError> {
        if !of.contains(&name) {
            return reader.skip().map(|_| ());
        }
        let word = scalar(reader)?.filter(|_| self.hints.len() < MAX_HINTS);
        self.hints.extend(word);
        Ok(())
    }

    fn message(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        match reader.kind()? {
            Kind::String => self.text(reader),
            _ => self.inner(reader),
        }
    }

    fn text(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let text = reader.string()?;
        if self.message.is_none() && is_said(&text) {
            self.message = Some(text::message(&text, MAX_MESSAGE));
        }
        Ok(())
    }

    /// FastAPI's `detail`: text, or a list of `{loc, msg, type}`.
    fn detail(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        if reader.kind()? != Kind::Array {
            return self.message(reader);
        }
        let mut lines = Vec::new();
        let read = reader.array(|reader| {
            let line = self.detail_entry(reader)?;
            lines.extend(line.filter(|_| lines.len() < MAX_DETAILS));
            Ok(())
        });
        if self.message.is_none() && !lines.is_empty() {
            self.message = Some(text::message(&lines.join("; "), MAX_MESSAGE));
        }
        read.map(|_| ())
    }

    fn detail_entry(&mut self, reader: &mut Reader<'_>) -> Result<Option<String>, JsonError> {
        if reader.kind()? == Kind::String {
            return scalar(reader);
        }
        let (mut place, mut said) = (None, None);
        members(reader, |reader, name| {
            match name {
                "loc" => place = location(reader)?,
                "msg" | "message" => said = scalar(reader)?,
                "type" => return set(&mut self.kind, scalar(reader)?),
                _ => return reader.skip().map(|_| ()),
            }
            Ok(())
        })?;
        let line = match (&place, said) {
            (Some(place), Some(said)) => Some(format!("{place}: {said}")),
            (None, said) => said,
            (Some(_), None) => None,
        };
        set(&mut self.param, place)?;
        Ok(line)
    }
}

/// Keeps `found` unless there is something already. Infallible; the type suits the match arms.
fn set(place: &mut Option<String>, found: Option<String>) -> Result<(), JsonError> {
    if place.is_none() {
        *place = found;
    }
    Ok(())
}

/// A string or number as text; nothing else says anything.
fn scalar(reader: &mut Reader<'_>) -> Result<Option<String>, JsonError> {
    match reader.kind()? {
        Kind::String => {
            let text = reader.string()?;
            let shown = is_said(&text) && plain(&text).is_some_and(|kept| kept.len() == text.len());
            Ok(shown.then(|| text::label(&text, MAX_WORD)))
        }
        Kind::Number => {
            let value = reader.skip()?;
            Ok(Some(text::label(reader.raw(value.span), MAX_WORD)))
        }
        _ => reader.skip().map(|_| None),
    }
}

/// Whether a text says anything: some providers write null as "None".
fn is_said(text: &str) -> bool {
    !text.trim().is_empty() && text != "None"
}

/// A message without the page that stands in it or that it is.
fn plain(message: &str) -> Option<String> {
    let small = message.to_ascii_lowercase();
    let page = ["<!doctype", "<html", "<head", "<body", "<script"].iter().filter_map(|tag| small.find(tag)).min();
    let kept = message.get(..page.unwrap_or(message.len()))?;
    let kept = if page.is_some() { kept.trim_end().trim_end_matches([':', '-', ',']).trim_end() } else { kept };
    let markup = kept.trim_start().starts_with('<');
    (is_said(kept) && !markup).then(|| kept.to_owned())
}

/// FastAPI's `loc`, such as `["body","messages",0]`, as `messages.0`.
fn location(reader: &mut Reader<'_>) -> Result<Option<String>, JsonError> {
    if reader.kind()? != Kind::Array {
        return scalar(reader);
    }
    let mut path: Vec<String> = Vec::new();
    reader.array(|reader| {
        let step = scalar(reader)?.filter(|step| step != "body" || !path.is_empty());
        path.extend(step.filter(|_| path.len() < 16));
        Ok(())
    })?;
    Ok((!path.is_empty()).then(|| text::label(&path.join("."), MAX_WORD)))
}
