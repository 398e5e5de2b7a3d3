//! `prompt_eval_count` and `eval_count`: what an answer consumed. Read and written.

use super::form::OLLAMA;
use crate::counts::{MAX_COUNT, read_usage};
use crate::hub::write::{self, Obj};
use crate::hub::{Fields, Json, Mode, Native, Node, Num, Place, Spent};
use crate::json::Reader;
use crate::rules::UsageRules;

/// The members, by what others call them.
const COUNTS: [(&str, &str); 2] = [("prompt_eval_count", "prompt_tokens"), ("eval_count", "completion_tokens")];

/// Takes the usage of an answer. The prompt's count may be missing where all of it was cached: then
/// nothing is known to have been read.
pub(super) fn take(fields: &mut Fields<'_>, rules: &UsageRules) -> Option<Spent> {
    let counts = COUNTS.map(|(own, common)| (own, common, fields.num(own).ok().flatten()));
    let object = |name: fn(&(&'static str, &'static str, Option<Num>)) -> &'static str| {
        write::object(|o| counts.iter().for_each(|count| o.opt_num(name(count), count.2.as_ref())))
    };
    let usage = read_usage(&mut Reader::new(object(|count| count.1).as_bytes()).ok()?, rules).ok()??;
    let native = Some(Native { dialect: OLLAMA, json: Json::checked(&object(|count| count.0)) });
    Some(Spent { tokens: usage.usage, native, bent: usage.clamped })
}

/// Writes the usage: as it was, or in this dialect's members.
pub(super) fn write(o: &mut Obj<'_>, spent: &Spent) {
    let counts = spent.native.as_ref().and_then(|native| own(native.of(OLLAMA)?));
    let tokens = [spent.tokens.input, spent.tokens.output].map(|count| Some(Num::whole(count.min(MAX_COUNT))));
    for ((name, _), count) in COUNTS.into_iter().zip(counts.unwrap_or(tokens)) {
        o.opt_num(name, count.as_ref());
    }
}

fn own(json: &Json) -> Option<[Option<Num>; 2]> {
    let mut fields = Node::of_body(json.as_str().as_bytes(), Mode::Answer).ok()?.fields(Place::root()).ok()?;
    Some(COUNTS.map(|(name, _)| fields.num(name).ok().flatten()))
}
