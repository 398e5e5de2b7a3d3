//! Answers: read in every form, written in OpenAI's.

use super::{Answer, Api, Encoding, Item, Vector};
use crate::bedrock;
use crate::fault::{self, UpstreamError};
use crate::hub::write::{self, Obj};
use crate::hub::{AnswerError, DecodeError, Dialect, Extra, Fields, Mode, Native, Node, Place, Spent};
use crate::json::{Kind, Reader};
use crate::rules::UsageRules;
use crate::usage::Usage;

const OPENAI: Dialect = Dialect::OpenAiChat;

/// Reads an answer of this form. The vectors stand in the order of the inputs; whether there is one
/// for each is for [`super::join`] to check.
pub fn decode_answer(body: &[u8], api: Api, rules: &UsageRules) -> Result<Answer, AnswerError> {
    let node = Node::of_body(body, Mode::Answer)?;
    if node.kind == Kind::Array {
        return Ok(Answer { items: bare(node)?, ..Answer::default() });
    }
    let fields = node.fields(Place::root())?;
    if let Some(error) = failure(&fields, body) {
        return Err(AnswerError::Upstream(error));
    }
    Ok(match api {
        Api::OpenAi | Api::Voyage | Api::Jina => openai(fields, body, rules)?,
        Api::Cohere => cohere(fields, body, rules)?,
        Api::Gemini | Api::Vertex => gemini(fields)?,
        Api::Bedrock(_) => bedrock::embed::answer(fields)?,
        Api::Ollama | Api::Tei | Api::FeatureExtraction => ollama(fields)?,
    })
}

/// An error in place of an answer: an `error`, or nothing but a message.
fn failure(fields: &Fields<'_>, body: &[u8]) -> Option<UpstreamError> {
    if let Some(node) = fields.peek("error") {
        let mut reader = Reader::new(node.raw.as_bytes()).ok()?;
        if let Some(error) = fault::in_band(&mut reader).ok().flatten() {
            return Some(error);
        }
    }
    let told = ["message", "detail"].iter().any(|name| fields.peek(name).is_some_and(|node| node.kind == Kind::String));
    told.then(|| fault::read_error(502, None, body))
}

/// `{"data": [{"index": …, "embedding": …}], "model": …, "usage": …}`.
fn openai(mut fields: Fields<'_>, body: &[u8], rules: &UsageRules) -> Result<Answer, DecodeError> {
    if fields.peek("data").is_none_or(|node| node.kind != Kind::Array) {
        return Err(fields.error("data", "missing, expected a list"));
    }
    let mut items = Vec::new();
    for (position, (at, node)) in fields.whole_list("data")?.into_iter().enumerate() {
        items.push(item(node.fields(at)?, position as u64)?);
    }
    // Some providers answer in the order in which they got done.
    items.sort_by_key(|(index, _)| *index);
    if items.iter().enumerate().any(|(position, (index, _))| *index != position as u64) {
        return Err(DecodeError::new("data", "the indexes are not those of the inputs, each once"));
    }
    let native = fields.take_kind("usage", Kind::Object)?.map(|node| Native { dialect: OPENAI, json: node.json() });
    let read = crate::answer::read_answer(body, rules);
    take_word(&mut fields, "object", "list");
    Ok(Answer {
        model: fields.word("model")?,
        items: items.into_iter().map(|(_, item)| item).collect(),
        usage: read.usage.map(|tokens| Spent { tokens, native, bent: read.clamped }),
        extra: fields.rest(OPENAI),
    })
}

fn item(mut fields: Fields<'_>, position: u64) -> Result<(u64, Item), DecodeError> {
    let index = fields.count("index")?.unwrap_or(position);
    let at = fields.at().member("embedding");
    let Some(node) = fields.take("embedding") else { return Err(fields.error("embedding", "missing")) };
    let vector = vector(node, &at)?;
    take_word(&mut fields, "object", "embedding");
    Ok((index, Item { vector, extra: fields.rest(OPENAI) }))
}

fn take_word(fields: &mut Fields<'_>, name: &str, word: &str) {
    if fields.peek(name).and_then(Node::text).as_deref() == Some(word) {
        fields.take(name);
    }
}

/// A vector, as decimals or packed.
pub(crate) fn vector(node: Node<'_>, at: &Place) -> Result<Vector, DecodeError> {
    let read = match node.text() {
        Some(text) => Vector::packed(&text),
        None => Vector::floats(node.raw),
    };
    read.ok_or_else(|| DecodeError::new(at.as_str(), "expected a list of numbers, or base64 of 32-bit floats"))
}

/// `{"embeddings": {"float": [[…]]}}`; in version 1 the list itself.
fn cohere(mut fields: Fields<'_>, body: &[u8], rules: &UsageRules) -> Result<Answer, DecodeError> {
    let at = fields.at().member("embeddings");
    let Some(node) = fields.take("embeddings") else {
        return Err(fields.error("embeddings", "missing, expected an object"));
    };
    let items = if node.kind == Kind::Array { vectors(node, &at)? } else { by_type(node.fields(at)?)? };
    let usage = crate::answer::read_answer(body, rules).usage;
    Ok(Answer { items, usage: usage.map(spent), ..Answer::default() })
}

fn by_type(mut fields: Fields<'_>) -> Result<Vec<Item>, DecodeError> {
    for name in ["float", "base64"] {
        let at = fields.at().member(name);
        if let Some(node) = fields.take_kind(name, Kind::Array)? {
            return vectors(node, &at);
        }
    }
    Err(fields.error("float", "missing: no other type of vector can be told to the caller"))
}

pub(crate) fn vectors(node: Node<'_>, at: &Place) -> Result<Vec<Item>, DecodeError> {
    let items = node.items(at)?;
    items.into_iter().map(|(at, node)| Ok(plain(vector(node, &at)?))).collect()
}

pub(crate) fn plain(vector: Vector) -> Item {
    Item { vector, extra: Extra::default() }
}

pub(crate) fn spent(tokens: Usage) -> Spent {
    Spent { tokens, ..Spent::default() }
}

/// `{"embeddings": [{"values": […]}]}` of a batch, `{"embedding": …}` of one, `{"predictions": …}` of
/// Vertex.
fn gemini(mut fields: Fields<'_>) -> Result<Answer, DecodeError> {
    let mut items = Vec::new();
    let mut counted = Some(0);
    if let Some(only) = fields.object("embedding")? {
        items.push(values(only, &mut counted)?);
    }
    let predictions = fields.list("predictions")?;
    for (at, node) in fields.list("embeddings")?.into_iter().chain(predictions) {
        let mut inner = node.fields(at)?;
        let nested = inner.object("embeddings")?;
        items.push(values(nested.unwrap_or(inner), &mut counted)?);
    }
    if items.is_empty() {
        return Err(fields.error("embeddings", "missing, expected a list"));
    }
    let told = fields.object("usageMetadata")?.map(|mut usage| usage.count("promptTokenCount")).transpose()?.flatten();
    let usage = told.or(counted).map(|input| spent(Usage { input, ..Usage::default() }));
    Ok(Answer { items, usage, ..Answer::default() })
}

/// One vector, and its tokens added to those `counted`, which are none once a vector does not tell.
fn values(mut fields: Fields<'_>, counted: &mut Option<u64>) -> Result<Item, DecodeError> {
    let at = fields.at().member("values");
    let Some(node) = fields.take("values") else { return Err(fields.error("values", "missing, expected a list")) };
    let statistics = fields.object("statistics")?;
    let tokens = statistics.map(|mut inner| inner.num("token_count")).transpose()?.flatten();
    let tokens = tokens.and_then(|tokens| tokens.as_u64());
    *counted = counted.zip(tokens).map(|(sum, more)| sum.saturating_add(more));
    vector(node, &at).map(plain)
}

/// `{"model": …, "embeddings": [[…]], "prompt_eval_count": …}`, of old `{"embedding": […]}`.
fn ollama(mut fields: Fields<'_>) -> Result<Answer, DecodeError> {
    let at = fields.at().member("embeddings");
    let items = match (fields.take_kind("embeddings", Kind::Array)?, fields.take_kind("embedding", Kind::Array)?) {
        (Some(all), _) => vectors(all, &at)?,
        (None, Some(only)) => vec![plain(vector(only, &fields.at().member("embedding"))?)],
        (None, None) => return Err(fields.error("embeddings", "missing, expected a list")),
    };
    let usage = fields.count("prompt_eval_count")?.map(|input| spent(Usage { input, ..Usage::default() }));
    Ok(Answer { model: fields.word("model")?, items, usage, ..Answer::default() })
}

/// `[[…], […]]`, or the vector itself for one text.
fn bare(node: Node<'_>) -> Result<Vec<Item>, DecodeError> {
    if let Some(vector) = Vector::floats(node.raw).filter(|vector| !vector.is_empty()) {
        return Ok(vec![plain(vector)]);
    }
    vectors(node, &Place::root())
}

/// Writes an answer in OpenAI's form, with the vectors as the caller wants them: decimals, if
/// nothing was said.
#[must_use]
pub fn encode_answer(answer: &Answer, encoding: Option<Encoding>, model: &str) -> String {
    write::object(|o| {
        if answer.extra.get(OPENAI, "object").is_none() {
            o.text("object", "list");
        }
        o.array("data", |a| {
            for (index, item) in answer.items.iter().enumerate() {
                a.object(|o| write_item(o, item, index as u64, encoding));
            }
        });
        if answer.model.is_some() || answer.extra.get(OPENAI, "model").is_none() {
            o.text("model", answer.model.as_deref().unwrap_or(model));
        }
        match &answer.usage {
            Some(Spent { native: Some(native), .. }) => o.opt_json("usage", native.of(OPENAI)),
            spent => usage(o, spent.as_ref().map_or(0, |spent| spent.tokens.input)),
        }
        o.extra(&answer.extra, OPENAI);
    })
}

fn write_item(o: &mut Obj<'_>, item: &Item, index: u64, encoding: Option<Encoding>) {
    if item.extra.get(OPENAI, "object").is_none() {
        o.text("object", "embedding");
    }
    o.count("index", index);
    match encoding {
        Some(Encoding::Base64) => o.text("embedding", &item.vector.to_packed()),
        Some(Encoding::Float) | None => o.raw("embedding", &item.vector.to_floats()),
    }
    o.extra(&item.extra, OPENAI);
}

fn usage(o: &mut Obj<'_>, tokens: u64) {
    o.object("usage", |o| {
        o.count("prompt_tokens", tokens);
        o.count("total_tokens", tokens);
    });
}
