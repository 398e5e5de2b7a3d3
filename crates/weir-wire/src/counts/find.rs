//! Finding the usage object in an answer or a chunk.

use super::{Number, Reading, read_usage};
use crate::json::{JsonError, Kind, Reader, Span};
use crate::rules::{UsagePlace, UsageRules};

/// Looks through the members of an answer for usage.
pub(crate) struct UsageFinder<'r> {
    rules: &'r UsageRules,
    /// The best reading so far, with the rank of its place: lower is better.
    best: Option<(usize, Reading)>,
    web_searches: u64,
    /// Where the usage object proper lies, if it is an object.
    pub(crate) span: Option<Span>,
}

impl<'r> UsageFinder<'r> {
    pub(crate) fn new(rules: &'r UsageRules) -> Self {
        Self { rules, best: None, web_searches: 0, span: None }
    }

    /// Reads the value of the member `name` if usage may be in it; false leaves it unread.
    pub(crate) fn member(&mut self, reader: &mut Reader<'_>, name: &str) -> Result<bool, JsonError> {
        match name {
            "usage" => self.usage(reader)?,
            "usage_info" => self.read(reader, UsagePlace::UsageInfo)?,
            "x_groq" => self.inside(reader, "usage", UsagePlace::XGroq)?,
            "result" => self.inside(reader, "usage", UsagePlace::Result)?,
            "meta" => self.inside(reader, "billed_units", UsagePlace::BilledUnits)?,
            "tool_usage" => self.tool_usage(reader)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What was found.
    pub(crate) fn reading(&self) -> Option<Reading> {
        let (_, mut reading) = self.best?;
        reading.usage.web_searches = reading.usage.web_searches.max(self.web_searches);
        Some(reading)
    }

    fn usage(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let object = reader.kind()? == Kind::Object;
        let start = reader.position();
        self.read(reader, UsagePlace::Usage)?;
        let end = reader.position();
        self.span = object.then_some(Span { start, end });
        Ok(())
    }

    fn read(&mut self, reader: &mut Reader<'_>, place: UsagePlace) -> Result<(), JsonError> {
        let Some(rank) = self.rules.usage_in.iter().position(|known| *known == place) else {
            return reader.skip().map(|_| ());
        };
        let better = self.best.is_none_or(|(best, _)| rank <= best);
        if let Some(reading) = read_usage(reader, self.rules)?
            && better
        {
            self.best = Some((rank, reading));
        }
        Ok(())
    }

    fn inside(&mut self, reader: &mut Reader<'_>, name: &str, place: UsagePlace) -> Result<(), JsonError> {
        members(reader, |reader, key| match key == name {
            true => self.read(reader, place),
            false => reader.skip().map(|_| ()),
        })
    }

    /// `tool_usage.web_search.num_requests` of the Responses API: billed beside the tokens.
    fn tool_usage(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        members(reader, |reader, tool| {
            let search = tool == "web_search";
            members(reader, |reader, key| {
                let value = reader.skip()?;
                if search && key == "num_requests" {
                    let number = Number::read(reader.raw(value.span), value.kind, 1);
                    self.web_searches = number.value.unwrap_or(0);
                }
                Ok(())
            })
        })
    }
}

/// Reads an object's members with `each`; passes anything else.
pub(crate) fn members<'a>(
    reader: &mut Reader<'a>,
    mut each: impl FnMut(&mut Reader<'a>, &str) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    if reader.kind()? != Kind::Object {
        return reader.skip().map(|_| ());
    }
    reader.object(|reader, key| each(reader, &key.name)).map(|_| ())
}
