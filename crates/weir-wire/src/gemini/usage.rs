//! `usageMetadata`, read and written.
//!
//! The prompt's count includes what was read from the cache, and not what the provider's own tools put
//! into the prompt; the candidates' count does not include the thoughts. Both are put together in the
//! hub's classes.

use std::cell::Cell;

use super::form::GEMINI;
use super::params;
use crate::counts::{Number, Reading};
use crate::hub::write::{self, Obj};
use crate::hub::{Mode, Node, Place, Spent, Tier};
use crate::json::Kind;
use crate::usage::Usage;

/// Reads `usageMetadata`. `None` if it holds no count.
#[must_use]
pub fn read_usage(metadata: &[u8]) -> Option<Usage> {
    of_node(Node::of_body(metadata, Mode::Answer).ok()?).map(|reading| reading.usage)
}

/// Reads the object.
pub(super) fn of_node(node: Node<'_>) -> Option<Reading> {
    let fields = node.fields(Place::root()).ok()?;
    let bent = Cell::new(false);
    let read = |name: &str| {
        let number = fields.peek(name).map(|node| Number::read(node.raw, node.kind, 1))?;
        bent.set(bent.get() || number.clamped);
        number.value
    };
    let names = ["promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"];
    let [prompt, tools, candidates, thoughts] = names.map(read);
    let total = read("totalTokenCount");
    [prompt, tools, candidates, thoughts, total].iter().flatten().next()?;
    let or_zero = Option::unwrap_or_default;
    let input = or_zero(prompt).saturating_add(or_zero(tools));
    let output = or_zero(candidates).saturating_add(or_zero(thoughts));
    let details = |name: &str, modality| count(fields.peek(name), modality);
    let cached = or_zero(read("cachedContentTokenCount"));
    let usage = Usage {
        input,
        cached: cached.min(input),
        output,
        reasoning: or_zero(thoughts),
        audio_input: details("promptTokensDetails", AUDIO).min(input),
        image_input: details("promptTokensDetails", IMAGE).min(input),
        audio_output: details("candidatesTokensDetails", AUDIO).min(output),
        image_output: details("candidatesTokensDetails", IMAGE).min(output),
        ..Usage::default()
    };
    Some(Reading { usage, clamped: bent.get() || cached > input })
}

/// A modality's word and number.
type Modality = (&'static str, &'static str);

const AUDIO: Modality = ("\"AUDIO\"", "4");
const IMAGE: Modality = ("\"IMAGE\"", "2");

/// The tokens of one modality in a list of `{"modality", "tokenCount"}`.
fn count(list: Option<Node<'_>>, modality: Modality) -> u64 {
    let items = list.and_then(|node| node.items(&Place::root()).ok()).unwrap_or_default();
    let counts = items.into_iter().filter_map(|(at, node)| {
        let fields = node.fields(at).ok()?;
        let named = fields.peek("modality").is_some_and(|node| node.raw == modality.0 || node.raw == modality.1);
        let count = fields.peek("tokenCount").filter(|_| named)?;
        Number::read(count.raw, count.kind, 1).value
    });
    counts.fold(0, u64::saturating_add)
}

/// The tier that is billed, as the metadata says.
pub(super) fn tier(node: Node<'_>) -> Option<Tier> {
    let fields = node.fields(Place::root()).ok()?;
    let word = |name: &str| fields.peek(name).filter(|node| node.kind == Kind::String).and_then(Node::text);
    if let Some(word) = word("serviceTier").filter(|word| !word.is_empty()) {
        return Some(params::tier(&word));
    }
    Some(match &*word("trafficType")? {
        "ON_DEMAND" => Tier::Standard,
        "ON_DEMAND_PRIORITY" => Tier::Priority,
        "ON_DEMAND_FLEX" => Tier::Flex,
        "PROVISIONED_THROUGHPUT" => Tier::Reserved,
        _ => return None,
    })
}

/// Writes `usageMetadata`: as it was, or in this dialect's members.
pub(super) fn write(o: &mut Obj<'_>, spent: &Spent, tier: Option<&Tier>) {
    if let Some(json) = spent.native.as_ref().and_then(|native| native.of(GEMINI)) {
        return o.raw("usageMetadata", json.as_str());
    }
    let Usage { input, cached, output, reasoning, .. } = spent.tokens;
    let Usage { audio_input, image_input, audio_output, image_output, .. } = spent.tokens;
    o.object("usageMetadata", |o| {
        o.count("promptTokenCount", input);
        o.opt_count("cachedContentTokenCount", (cached > 0).then_some(cached));
        o.count("candidatesTokenCount", output.saturating_sub(reasoning));
        o.opt_count("thoughtsTokenCount", (reasoning > 0).then_some(reasoning));
        o.count("totalTokenCount", input.saturating_add(output));
        details(o, "promptTokensDetails", audio_input, image_input);
        details(o, "candidatesTokensDetails", audio_output, image_output);
        o.opt_text("serviceTier", tier.and_then(tier_word));
    });
}

fn tier_word(tier: &Tier) -> Option<&'static str> {
    match tier {
        Tier::Standard => Some("standard"),
        Tier::Flex => Some("flex"),
        Tier::Priority | Tier::Fast => Some("priority"),
        _ => None,
    }
}

fn details(o: &mut Obj<'_>, name: &'static str, audio: u64, image: u64) {
    let said: Vec<String> = [("AUDIO", audio), ("IMAGE", image)]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(modality, count)| {
            write::object(|o| {
                o.text("modality", modality);
                o.count("tokenCount", count);
            })
        })
        .collect();
    if !said.is_empty() {
        o.raw(name, &format!("[{}]", said.join(",")));
    }
}
