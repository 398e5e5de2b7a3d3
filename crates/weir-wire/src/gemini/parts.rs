//! `parts`, read.

use super::form::{GEMINI, KIND_SNAKE, NO_ARGS, NO_TEXT, NOT_THOUGHT, ONE_PART, bit_if, form, joined};
use super::names::name_of;
use super::{functions, media, seals};
use crate::hub::{
    DecodeError, Extra, Fields, Mode, Native, Node, Opaque, Part, PartKind, Place, Text, Thinking, ToolCall,
};
use crate::json::Kind;

/// Takes the parts of a content, with a bit of the turn's form. An empty list is left.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<(Vec<Part>, u16), DecodeError> {
    let (at, mode) = (fields.at().member("parts"), fields.mode());
    if let Some(node) = fields.peek("parts").filter(|node| node.kind == Kind::Object) {
        fields.take("parts");
        return Ok((vec![part(node, at, mode)?], ONE_PART));
    }
    let items = fields.list("parts")?;
    Ok((items.into_iter().map(|(at, node)| part(node, at, mode)).collect::<Result<_, _>>()?, 0))
}

/// One part. What is not understood is kept whole.
pub(super) fn part(node: Node<'_>, at: Place, mode: Mode) -> Result<Part, DecodeError> {
    if node.kind != Kind::Object && mode == Mode::Answer {
        return Ok(opaque(node, at, ""));
    }
    let mut fields = node.fields(at.clone())?;
    let sealed = seals::take(&mut fields)?;
    let Some((kind, bits, inner)) = kind(&mut fields)? else {
        let all = node.fields(at.clone())?.rest(GEMINI);
        let beside = ["thought", "thoughtSignature", "thought_signature"];
        let name = all.members().iter().map(|(name, _)| name.as_str()).find(|name| !beside.contains(name));
        return Ok(opaque(node, at, name.unwrap_or_default()));
    };
    let extra = joined(fields.rest(GEMINI), "functionResponse", &inner);
    let part = Part { kind, signature: sealed.own, form: form(bits | sealed.bits), at, extra, cache: None };
    Ok(match sealed.carried {
        Some(carried) => seals::uncarried(part, carried),
        None => part,
    })
}

fn opaque(node: Node<'_>, at: Place, name: &str) -> Part {
    let native = Native { dialect: GEMINI, json: node.json() };
    Part { at, ..Part::new(PartKind::Opaque(Opaque { name: name.to_owned(), native })) }
}

/// What a part says, with bits of its form and the members of a result that are not understood.
type Said = (PartKind, u16, Extra);

fn kind(fields: &mut Fields<'_>) -> Result<Option<Said>, DecodeError> {
    for name in ["functionCall", "functionResponse", "inlineData", "fileData"] {
        let (found, second) = name_of(fields, name);
        if fields.peek(found).is_none_or(|node| node.kind != Kind::Object && fields.mode() == Mode::Answer) {
            continue;
        }
        let Some(inner) = fields.object(found)? else { return Ok(None) };
        let said = match name {
            "functionCall" => call(inner)?.map(|(kind, bits)| (kind, bits, Extra::default())),
            "functionResponse" => Some(functions::result(inner)?),
            "inlineData" => media::inline(inner)?.map(|(kind, bits)| (kind, bits, Extra::default())),
            _ => media::file(inner)?.map(|(kind, bits)| (kind, bits, Extra::default())),
        };
        return Ok(said.map(|(kind, bits, extra)| (kind, bits | bit_if(second, KIND_SNAKE), extra)));
    }
    text(fields)
}

/// Text and thoughts, and what has but a seal. `None` for another dialect's tomorrow.
fn text(fields: &mut Fields<'_>) -> Result<Option<Said>, DecodeError> {
    let silent = fields.peek("text").is_none();
    let thought = fields.peek("thought").filter(|node| node.kind == Kind::Bool).map(|node| node.raw == "true");
    if silent && fields.len() > usize::from(fields.peek("thought").is_some()) {
        return Ok(None);
    }
    let text = match (silent, fields.text("text")?) {
        (false, None) => return Ok(None),
        (_, text) => text.unwrap_or_default(),
    };
    fields.flag("thought")?;
    let bits = bit_if(silent, NO_TEXT) | bit_if(thought == Some(false), NOT_THOUGHT);
    let kind = match thought {
        Some(true) => PartKind::Thinking(Thinking { text, origin: Some(GEMINI), ..Thinking::default() }),
        _ => PartKind::Text(Text { text, citations: Vec::new() }),
    };
    Ok(Some((kind, bits, Extra::default())))
}

/// `{"id"?, "name", "args"}`. `None` in an answer without a name.
fn call(mut inner: Fields<'_>) -> Result<Option<(PartKind, u16)>, DecodeError> {
    let name = match inner.mode() {
        Mode::Request => Some(inner.require_text("name")?),
        Mode::Answer => inner.word("name")?,
    };
    let Some(name) = name else { return Ok(None) };
    let id = inner.word("id")?;
    let args = inner.take_kind("args", Kind::Object)?;
    let bits = bit_if(args.is_none(), NO_ARGS);
    let arguments = args.map(|node| node.raw.trim().to_owned()).unwrap_or_default();
    let call = ToolCall { id, name, arguments, extra: inner.rest(GEMINI), ..ToolCall::default() };
    Ok(Some((PartKind::ToolCall(call), bits)))
}
