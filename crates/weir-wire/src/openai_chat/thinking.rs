//! Thoughts: OpenAI's dialect has no member for them, so providers made three.
//!
//! `reasoning_content` (DeepSeek) and `reasoning` (OpenRouter, Groq, vLLM) are text, some send
//! both; `reasoning_details` (OpenRouter) is a list whose elements may be signed or encrypted and
//! name their maker in `format`. It is how Weir hands other dialects' sealed thoughts to a chat
//! client and takes them back.

use super::form::{CHAT, DETAILS, REASONING, REASONING_CONTENT, bit_if, form};
use crate::hub::{DecodeError, Dialect, Fields, Native, Node, Opaque, Part, PartKind, Place, Seal, Thinking};
use crate::json::Kind;

/// What a detail's `format` says of its maker.
const FORMATS: [(&str, Dialect); 5] = [
    ("anthropic-claude-v1", Dialect::Anthropic),
    ("openai-responses-v1", Dialect::OpenAiResponses),
    ("google-gemini-v1", Dialect::Gemini),
    ("cohere-v2", Dialect::Cohere),
    ("ollama-v1", Dialect::Ollama),
];

/// The maker a `format` names.
pub(super) fn origin(format: &str) -> Option<Dialect> {
    FORMATS.iter().find(|(name, _)| *name == format).map(|(_, dialect)| *dialect)
}

/// The `format` that names this maker. Bedrock's sealed thoughts are those of the model behind it,
/// and so is what it does with them.
pub(super) fn format_of(origin: Option<Dialect>) -> Option<&'static str> {
    let origin = if origin == Some(Dialect::Bedrock) { Dialect::Anthropic } else { origin? };
    FORMATS.iter().find(|(_, dialect)| *dialect == origin).map(|(name, _)| *name)
}

/// Takes the thoughts from a message. Text that the details repeat is not taken twice.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Part>, DecodeError> {
    let mut details: Vec<Part> =
        fields.list("reasoning_details")?.into_iter().map(|(at, node)| detail(node, at)).collect::<Result<_, _>>()?;
    let mut plain: Vec<(String, u16, Place)> = Vec::new();
    for (name, bit) in [("reasoning_content", REASONING_CONTENT), ("reasoning", REASONING)] {
        if fields.peek(name).is_none_or(|node| node.kind != Kind::String) {
            continue;
        }
        let Some(text) = fields.word(name)? else { continue };
        match plain.iter_mut().find(|(other, ..)| *other == text) {
            Some((_, bits, _)) => *bits |= bit,
            None => plain.push((text, bit, fields.at().member(name))),
        }
    }
    let repeated = details_text(&details);
    let mut parts = Vec::new();
    for (text, bits, at) in plain {
        if text == repeated && !details.is_empty() {
            for part in &mut details {
                part.form = form(part.form.bits(CHAT) | bits);
            }
        } else {
            let thinking = Thinking { text, ..Thinking::default() };
            parts.push(Part { at, form: form(bits), ..Part::new(PartKind::Thinking(thinking)) });
        }
    }
    parts.extend(details);
    Ok(parts)
}

fn details_text(details: &[Part]) -> String {
    details.iter().filter_map(text_of).collect()
}

/// The words of a thinking part.
pub(super) fn text_of(part: &Part) -> Option<&str> {
    match &part.kind {
        PartKind::Thinking(thinking) => Some(&thinking.text),
        _ => None,
    }
}

/// One element of `reasoning_details`. `format` and `index` stay members of its extra.
pub(super) fn detail(node: Node<'_>, at: Place) -> Result<Part, DecodeError> {
    let opaque = |name: &str, at| {
        let opaque = Opaque { name: name.to_owned(), native: Native { dialect: CHAT, json: node.json() } };
        Part { at, form: form(DETAILS), ..Part::new(PartKind::Opaque(opaque)) }
    };
    if node.kind != Kind::Object {
        return Ok(opaque("reasoning_details", at));
    }
    let mut fields = node.fields(at)?;
    let format = fields.peek("format").and_then(Node::text);
    let origin = format.as_deref().and_then(origin);
    let kind = fields.text("type")?.unwrap_or_default();
    let mut thinking = Thinking { id: fields.word("id")?, origin, ..Thinking::default() };
    let mut signature = None;
    match kind.as_str() {
        "reasoning.text" => {
            thinking.text = fields.word("text")?.unwrap_or_default();
            signature = fields.word("signature")?.map(|text| Seal { text, origin });
        }
        "reasoning.summary" => {
            thinking.summary = true;
            thinking.text = fields.word("summary")?.unwrap_or_default();
        }
        "reasoning.encrypted" => {
            thinking.encrypted = fields.word("data")?.map(|text| Seal { text, origin });
            thinking.redacted = thinking.encrypted.is_some() && origin == Some(Dialect::Anthropic);
        }
        other => return Ok(opaque(other, fields.at().clone())),
    }
    // A detail that says nothing is kept as it is: what to write for it could not be known.
    if thinking.text.is_empty() && thinking.encrypted.is_none() && signature.is_none() {
        return Ok(opaque(&kind, fields.at().clone()));
    }
    let at = fields.at().clone();
    Ok(Part { at, signature, form: form(DETAILS), extra: fields.rest(CHAT), ..Part::new(PartKind::Thinking(thinking)) })
}

/// The members a part's thoughts are written in, if they were not read from this dialect: as text
/// for people, and as details for whoever sends them back.
pub(super) fn default_bits(part: &Part) -> u16 {
    let PartKind::Thinking(thinking) = &part.kind else { return 0 };
    let replayed = part.signature.is_some() || thinking.encrypted.is_some() || thinking.origin.is_some();
    let shown = !thinking.text.is_empty() || thinking.encrypted.is_none();
    bit_if(shown, REASONING_CONTENT) | bit_if(replayed, DETAILS)
}
