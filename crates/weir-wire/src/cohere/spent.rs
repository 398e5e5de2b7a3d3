//! `usage`: what is billed, and what the model saw. Read and written.

use super::form::COHERE;
use crate::counts::{MAX_COUNT, Reading, read_usage};
use crate::hub::write::Obj;
use crate::hub::{Fields, Native, Node, Num, Place, Spent};
use crate::json::{Kind, Reader};
use crate::rules::UsageRules;

/// Takes the usage of an answer. What is billed counts. It does not tell what of it was cached:
/// `cached_tokens` are among the model's tokens, most of which are the provider's own and free. Where
/// nothing is billed the model's tokens count, and then the cached among them.
pub(super) fn take(fields: &mut Fields<'_>, rules: &UsageRules) -> Option<Spent> {
    let node = fields.take_kind("usage", Kind::Object).ok().flatten()?;
    let native = Some(Native { dialect: COHERE, json: node.json() });
    let mut inner = node.fields(Place::root()).ok()?;
    let billed = part(&mut inner, "billed_units", rules);
    let read = billed.or_else(|| seen(&mut inner, rules)).unwrap_or_default();
    Some(Spent { tokens: read.usage, native, bent: read.clamped })
}

/// The counts in the member of this name, if there are any.
fn part(fields: &mut Fields<'_>, name: &str, rules: &UsageRules) -> Option<Reading> {
    read(fields.take(name)?, rules)
}

fn read(node: Node<'_>, rules: &UsageRules) -> Option<Reading> {
    let mut reader = Reader::new(node.raw.as_bytes()).ok()?;
    read_usage(&mut reader, rules).ok().flatten()
}

fn seen(fields: &mut Fields<'_>, rules: &UsageRules) -> Option<Reading> {
    let cached: Option<Num> = fields.num("cached_tokens").ok().flatten();
    let image = fields.peek("tokens").and_then(|node| node.fields(Place::root()).ok()?.num("image_tokens").ok()?);
    let Reading { mut usage, clamped } = part(fields, "tokens", rules)?;
    let within = |count: Option<Num>| count.and_then(|count| count.as_u64()).unwrap_or(0).min(usage.input);
    let (cached, image_input) = (within(cached), within(image));
    (usage.cached, usage.image_input) = (cached, image_input);
    Some(Reading { usage, clamped })
}

/// Writes the usage: as it was, or as what is billed.
pub(super) fn write(o: &mut Obj<'_>, spent: &Spent) {
    if let Some(json) = spent.native.as_ref().and_then(|native| native.of(COHERE)) {
        return o.raw("usage", json.as_str());
    }
    let (input, output) = (spent.tokens.input.min(MAX_COUNT), spent.tokens.output.min(MAX_COUNT));
    o.object("usage", |o| {
        o.object("billed_units", |o| {
            o.count("input_tokens", input);
            o.count("output_tokens", output);
        });
    });
}
