//! Answers: read in every form, written in one.

use super::{Answer, Document, Ranked, Request};
use crate::fault;
use crate::hub::write::{self, Obj};
use crate::hub::{AnswerError, DecodeError, Dialect, Fields, Mode, Native, Node, Place, Spent};
use crate::json::{Kind, Reader};
use crate::rules::UsageRules;
use crate::usage::Usage;

const COHERE: Dialect = Dialect::Cohere;

/// Reads an answer in any of the forms: `results` (Cohere, Jina), `data` (Voyage), a list (TEI). A
/// result of a document that was not sent, or sent twice, is an error: of `sent` documents each has
/// its index once at most.
pub fn decode_answer(body: &[u8], sent: usize, rules: &UsageRules) -> Result<Answer, AnswerError> {
    let node = Node::of_body(body, Mode::Answer)?;
    let mut answer = match node.kind {
        Kind::Array => Answer { results: results(node.items(&Place::root())?)?, ..Answer::default() },
        _ => object(node.fields(Place::root())?, body)?,
    };
    // All say they answer best first; what is cut off must not hang on it.
    answer.results.sort_by(|one, other| other.score.as_f64().total_cmp(&one.score.as_f64()));
    let mut seen = vec![false; sent];
    for ranked in &answer.results {
        match seen.get_mut(ranked.index) {
            Some(seen) if !*seen => *seen = true,
            _ => {
                let why = format!("the document {} was not sent, or is there twice", ranked.index);
                return Err(DecodeError::new("results", why).into());
            }
        }
    }
    let read = crate::answer::read_answer(body, rules);
    let native = answer.usage.take().and_then(|spent| spent.native);
    answer.usage = read.usage.map(|tokens| Spent { tokens, native, bent: read.clamped });
    Ok(answer)
}

fn object(mut fields: Fields<'_>, body: &[u8]) -> Result<Answer, AnswerError> {
    for name in ["error", "message", "detail"] {
        let told = fields.peek(name).is_some_and(|node| name == "error" || node.kind == Kind::String);
        if told && fields.peek("results").is_none() && fields.peek("data").is_none() {
            return Err(AnswerError::Upstream(fault::read_error(502, None, body)));
        }
    }
    let in_band = fields.peek("error").and_then(|node| {
        let mut reader = Reader::new(node.raw.as_bytes()).ok()?;
        fault::in_band(&mut reader).ok().flatten()
    });
    if let Some(error) = in_band {
        return Err(AnswerError::Upstream(error));
    }
    let name = if fields.peek("results").is_some() { "results" } else { "data" };
    if fields.peek(name).is_none_or(|node| node.kind != Kind::Array) {
        return Err(fields.error("results", "missing, expected a list").into());
    }
    let results = results(fields.whole_list(name)?)?;
    let native = fields.take_kind("meta", Kind::Object)?.map(|node| Native { dialect: COHERE, json: node.json() });
    let usage = native.map(|native| Spent { native: Some(native), ..Spent::default() });
    fields.take("object");
    fields.take_kind("usage", Kind::Object)?;
    Ok(Answer { id: fields.word("id")?, model: fields.word("model")?, results, usage, extra: fields.rest(COHERE) })
}

fn results(items: Vec<(Place, Node<'_>)>) -> Result<Vec<Ranked>, DecodeError> {
    items.into_iter().map(|(at, node)| ranked(node.fields(at)?)).collect()
}

fn ranked(mut fields: Fields<'_>) -> Result<Ranked, DecodeError> {
    let index = fields.count("index")?.and_then(|index| usize::try_from(index).ok());
    let index = index.ok_or_else(|| fields.error("index", "missing, expected a document's number"))?;
    let mut score = None;
    for name in ["relevance_score", "score", "relevanceScore"] {
        score = score.or(fields.num(name)?);
    }
    let score = score.ok_or_else(|| fields.error("relevance_score", "missing, expected a number"))?;
    fields.take("document");
    fields.take("text");
    Ok(Ranked { index, score, extra: fields.rest(COHERE) })
}

/// Writes an answer to this request: at most its `top_n` results, with the documents if it wants
/// them, and what was consumed as Cohere and as Jina have it.
#[must_use]
pub fn encode_answer(answer: &Answer, request: &Request, id: &str, model: &str) -> String {
    let most = request.top_n.as_ref().and_then(|top| usize::try_from(top.as_u64()?).ok()).unwrap_or(usize::MAX);
    let wanted = request.return_documents == Some(true);
    write::object(|o| {
        o.text("id", answer.id.as_deref().unwrap_or(id));
        o.text("model", answer.model.as_deref().unwrap_or(model));
        o.array("results", |a| {
            for ranked in answer.results.iter().take(most) {
                a.object(|o| {
                    o.count("index", ranked.index as u64);
                    o.opt_num("relevance_score", Some(&ranked.score));
                    if let Some(document) = request.documents.get(ranked.index).filter(|_| wanted) {
                        write_document(o, document);
                    }
                    o.extra(&ranked.extra, COHERE);
                });
            }
        });
        if let Some(spent) = &answer.usage {
            write_usage(o, spent);
        }
        o.extra(&answer.extra, COHERE);
    })
}

fn write_document(o: &mut Obj<'_>, document: &Document) {
    match document {
        Document::Text(text) => o.object("document", |o| o.text("text", text)),
        Document::Object(json, _) => o.raw("document", json.as_str()),
    }
}

/// `meta` as it was or as Cohere has it, and `usage` as Jina has it where tokens were counted.
fn write_usage(o: &mut Obj<'_>, spent: &Spent) {
    let Usage { input, output, search_units, .. } = spent.tokens;
    match spent.native.as_ref().and_then(|native| native.of(COHERE)) {
        Some(json) => o.raw("meta", json.as_str()),
        None if search_units > 0 => {
            o.object("meta", |o| o.object("billed_units", |o| o.count("search_units", search_units)));
        }
        None => {}
    }
    let tokens = input.saturating_add(output);
    if tokens > 0 {
        o.object("usage", |o| {
            o.count("prompt_tokens", input);
            o.count("total_tokens", tokens);
        });
    }
}
