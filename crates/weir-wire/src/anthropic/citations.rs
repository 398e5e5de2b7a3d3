//! Citations of a text block. Read and written.

use super::form::OWN;
use crate::hub::{Citation, DecodeError, Native, Node, Place, write};
use crate::json::Kind;

/// One citation. The places it names are those in the source, not in the answer: a cited passage
/// is a text block of its own.
pub(super) fn read(node: Node<'_>) -> Result<Citation, DecodeError> {
    let raw = Some(Native { dialect: OWN, json: node.json() });
    let plain = Citation { raw, ..Citation::default() };
    if node.kind != Kind::Object {
        return Ok(plain);
    }
    let fields = node.fields(Place::root())?;
    let text = |name: &str| fields.peek(name).and_then(Node::text).map(|text| text.into_owned());
    Ok(Citation {
        title: text("title").or_else(|| text("document_title")),
        url: text("url"),
        quote: text("cited_text"),
        ..plain
    })
}

/// A citation as this dialect has it; `None` for another dialect's without an address, for which
/// this one has no words.
pub(super) fn write(citation: &Citation) -> Option<String> {
    if let Some(json) = citation.raw.as_ref().and_then(|raw| raw.of(OWN)) {
        return Some(json.as_str().to_owned());
    }
    let url = citation.url.as_deref().filter(|url| !url.is_empty())?;
    Some(write::object(|o| {
        o.text("type", "web_search_result_location");
        o.text("cited_text", citation.quote.as_deref().unwrap_or_default());
        o.text("url", url);
        match &citation.title {
            Some(title) => o.text("title", title),
            None => o.null("title"),
        }
        o.text("encrypted_index", "");
    }))
}
