//! `usage`. Read and written.

use super::form::OWN;
use crate::counts::{self, UsageFinder, members};
use crate::hub::write::Obj;
use crate::hub::{Fields, Json, Native, Node, Spent, Tier};
use crate::json::{JsonError, Kind, Reader};
use crate::rules::UsageRules;
use crate::usage::Usage;

/// Takes `usage` from an answer.
pub(super) fn take(fields: &mut Fields<'_>, rules: &UsageRules) -> Option<Spent> {
    let node = fields.take_kind("usage", Kind::Object).ok().flatten()?;
    let spent = read(node.raw, rules);
    Some(spent)
}

fn read(raw: &str, rules: &UsageRules) -> Spent {
    let mut finder = UsageFinder::new(rules);
    if let Ok(mut reader) = Reader::new(raw.as_bytes()) {
        // It has been validated: what cannot be read says nothing.
        let _: Result<bool, _> = finder.member(&mut reader, "usage");
    }
    let reading = finder.reading();
    let bent = reading.is_some_and(|reading| reading.clamped);
    let told = reading.map(|reading| reading.usage).unwrap_or_default();
    let tokens = iterations(raw, rules).map_or(told, |sum| larger(&told, &sum));
    Spent { tokens, native: Some(Native { dialect: OWN, json: Json::checked(raw) }), bent }
}

/// The sum of `iterations`, if there are any: every sampling of a request that took several
/// (compaction, advisors, fallbacks). It is what was consumed; the counts beside it leave some out.
fn iterations(raw: &str, rules: &UsageRules) -> Option<Usage> {
    let mut found = None;
    let mut reader = Reader::new(raw.as_bytes()).ok()?;
    members(&mut reader, |reader, name| match name {
        "iterations" if reader.kind()? == Kind::Array => {
            found = sum(reader, rules)?;
            Ok(())
        }
        _ => reader.skip().map(|_| ()),
    })
    .ok()?;
    found
}

/// The sum of a list of usages, if there is one in it.
fn sum(reader: &mut Reader<'_>, rules: &UsageRules) -> Result<Option<Usage>, JsonError> {
    let mut sum: Option<Usage> = None;
    reader.array(|reader| {
        if let Some(reading) = counts::read_usage(reader, rules)? {
            sum = Some(sum.unwrap_or_default().plus(&reading.usage));
        }
        Ok(())
    })?;
    Ok(sum)
}

/// The sum, unless an event's iterations are behind its totals. Searches are counted in the totals
/// alone.
fn larger(told: &Usage, sum: &Usage) -> Usage {
    let web_searches = told.web_searches.max(sum.web_searches);
    match sum.input.saturating_add(sum.output) >= told.input.saturating_add(told.output) {
        true => Usage { web_searches, ..*sum },
        false => *told,
    }
}

/// The tier that a usage names, and its speed.
pub(super) fn tier(spent: &Spent) -> Option<Tier> {
    let json = spent.native.as_ref()?.of(OWN)?;
    let fields = Node::of_body(json.as_str().as_bytes(), crate::hub::Mode::Answer).ok()?;
    let fields = fields.fields(crate::hub::Place::root()).ok()?;
    let word = |name: &str| fields.peek(name).and_then(Node::text);
    match (word("speed").as_deref(), word("service_tier").as_deref()) {
        (Some("fast"), _) => Some(Tier::Fast),
        (_, Some("standard")) => Some(Tier::Standard),
        (_, Some("priority")) => Some(Tier::Priority),
        (_, Some(other)) => Some(Tier::Other(other.to_owned())),
        (_, None) => None,
    }
}

/// The most members of a stream's usage.
const MAX_MEMBERS: usize = 256;

/// The members that count input.
const OF_INPUT: [&str; 3] = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];

/// The usage of a stream, put together: what a later event says of a member replaces what an
/// earlier one said, and is never added to it. Null says nothing, and neither do zeros of an event
/// that counts no input at all: some servers write them at the end.
#[derive(Debug, Default)]
pub(super) struct Cumulative {
    members: Vec<(String, Json)>,
}

impl Cumulative {
    /// Takes `usage` from an event; all that is known then, if the event says any.
    pub(super) fn take(&mut self, fields: &mut Fields<'_>, rules: &UsageRules) -> Option<Spent> {
        let at = fields.at().member("usage");
        let node = fields.take_kind("usage", Kind::Object).ok().flatten()?;
        let said = node.fields(at).ok()?.rest(OWN);
        let input =
            |name: &str| said.get(OWN, name).is_some_and(|value| value.as_str() != "0" && value.as_str() != "null");
        let counted = OF_INPUT.iter().any(|name| input(name));
        for (name, value) in said.members() {
            let silent = value.as_str() == "null" || (!counted && OF_INPUT.contains(&name.as_str()));
            let full = self.members.len() >= MAX_MEMBERS;
            match self.members.iter_mut().find(|(known, _)| known == name) {
                Some(_) if silent => {}
                Some((_, known)) => *known = value.clone(),
                None if full => {}
                None => self.members.push((name.clone(), value.clone())),
            }
        }
        let members = crate::hub::Extra::new(OWN, self.members.clone());
        Some(read(&crate::hub::write::object(|o| o.extra(&members, OWN)), rules))
    }
}

/// Writes `usage`: as it was, or in this dialect's members, of which `input_tokens` are those that
/// had to do with no cache.
pub(super) fn write(o: &mut Obj<'_>, spent: Option<&Spent>, tier: Option<&Tier>) {
    if let Some(json) = spent.and_then(|spent| spent.native.as_ref()?.of(OWN)) {
        return o.raw("usage", json.as_str());
    }
    let tokens = spent.map(|spent| spent.tokens).unwrap_or_default();
    o.object("usage", |o| {
        let cache = tokens.cached.saturating_add(tokens.cache_write);
        o.count("input_tokens", tokens.input.saturating_sub(cache));
        o.count("cache_creation_input_tokens", tokens.cache_write);
        o.count("cache_read_input_tokens", tokens.cached);
        let (short, long) = (tokens.cache_write_5m, tokens.cache_write_1h);
        if tokens.cache_write > 0 && short.saturating_add(long) == tokens.cache_write {
            o.object("cache_creation", |o| {
                o.count("ephemeral_5m_input_tokens", short);
                o.count("ephemeral_1h_input_tokens", long);
            });
        }
        o.count("output_tokens", tokens.output);
        if tokens.reasoning > 0 {
            o.object("output_tokens_details", |o| o.count("thinking_tokens", tokens.reasoning));
        }
        if tokens.web_searches > 0 {
            o.object("server_tool_use", |o| o.count("web_search_requests", tokens.web_searches));
        }
        match tier {
            Some(Tier::Standard) => o.text("service_tier", "standard"),
            Some(Tier::Priority) => o.text("service_tier", "priority"),
            Some(Tier::Fast) => o.text("speed", "fast"),
            _ => {}
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: [u64; 7]) {
        let rules = UsageRules { cache_outside_input: true, ..UsageRules::default() };
        let spent = read(raw, &rules);
        let t = spent.tokens;
        let told = [t.input, t.cached, t.cache_write, t.cache_write_5m, t.output, t.reasoning, t.web_searches];
        assert_eq!(told, expected, "{raw}");
        assert_eq!(spent.native.unwrap().json.as_str(), raw);
    }

    #[test]
    fn iterations_are_summed() {
        check(
            r#"{"input_tokens":23000,"output_tokens":1000,"iterations":[{"type":"compaction","input_tokens":180000,"output_tokens":3500},{"type":"message","input_tokens":23000,"output_tokens":1000}]}"#,
            [203_000, 0, 0, 0, 4500, 0, 0],
        );
        check(
            r#"{"input_tokens":5,"cache_read_input_tokens":10,"cache_creation_input_tokens":20,"output_tokens":7,"server_tool_use":{"web_search_requests":2},"iterations":[{"type":"message","input_tokens":3,"cache_read_input_tokens":4,"cache_creation_input_tokens":20,"cache_creation":{"ephemeral_5m_input_tokens":20},"output_tokens":5},{"type":"message","input_tokens":2,"cache_read_input_tokens":6,"output_tokens":2},{"type":"advisor_message","model":"other","input_tokens":100,"output_tokens":9}]}"#,
            [135, 10, 20, 20, 16, 0, 2],
        );
    }

    #[test]
    fn without_iterations_the_totals_count() {
        for none in ["null", "[]", "{}", "7", "[null]", r#"[{"type":"message"}]"#] {
            check(&format!(r#"{{"input_tokens":5,"output_tokens":7,"iterations":{none}}}"#), [5, 0, 0, 0, 7, 0, 0]);
        }
        check(
            r#"{"input_tokens":5,"output_tokens":7,"iterations":[{"input_tokens":5,"output_tokens":1}]}"#,
            [5, 0, 0, 0, 7, 0, 0],
        );
    }
}
