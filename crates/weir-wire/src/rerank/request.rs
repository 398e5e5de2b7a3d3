//! A request, read.

use super::{Document, Request};
use crate::hub::{DecodeError, Dialect, Fields, Mode, Node, Place};
use crate::json::Kind;

/// Reads a request. Members beside these are kept for providers of the same form. Voyage's `top_k` is
/// understood in place of `top_n`.
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Node::of_body(body, Mode::Request)?.fields(Place::root())?;
    let documents = fields.whole_list("documents")?;
    if documents.is_empty() {
        return Err(fields.error("documents", "missing or empty, send at least one document"));
    }
    let name = if fields.peek("top_n").is_some() { "top_n" } else { "top_k" };
    let top_n = fields.num(name)?;
    if top_n.as_ref().is_some_and(|count| count.as_u64().is_none_or(|count| count == 0)) {
        return Err(fields.error(name, "expected a whole number of at least 1"));
    }
    Ok(Request {
        model: fields.text("model")?.unwrap_or_default(),
        query: fields.require_text("query")?,
        documents: documents.into_iter().map(|(at, node)| document(node, at)).collect::<Result<_, _>>()?,
        top_n,
        return_documents: fields.flag("return_documents")?,
        extra: fields.rest(Dialect::Cohere),
    })
}

fn document(node: Node<'_>, at: Place) -> Result<Document, DecodeError> {
    if let Some(text) = node.text() {
        return Ok(Document::Text(text.into_owned()));
    }
    if node.kind != Kind::Object {
        let why = format!("expected a string or an object, found {}", node.kind.name());
        return Err(DecodeError::new(at.as_str(), why));
    }
    let fields: Fields<'_> = node.fields(at)?;
    let text = fields.peek("text").and_then(Node::text).map(std::borrow::Cow::into_owned);
    Ok(Document::Object(node.json(), text))
}
