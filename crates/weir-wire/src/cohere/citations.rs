//! Citations: which passages of the answer come from where. Read and written.

use super::form::COHERE;
use crate::hub::write::Obj;
use crate::hub::{Citation, DecodeError, Extra, Fields, Json, Native, Node, Part, PartKind, Place, Text};
use crate::json::Kind;

/// The most sources of a passage that become citations; all stay in what was written.
const MAX_SOURCES: usize = 64;

/// Stands for what was written in the citations of a passage's further sources.
const SAID_BEFORE: &str = "null";

/// Takes the citations of a message to the texts they are about. Where those do not hold them all
/// (a passage of a plan), or not in their order, the list is left as well, and is what the same
/// dialect writes.
pub(super) fn take(message: &mut Fields<'_>, parts: &mut [Part]) -> Result<(), DecodeError> {
    let Some(node) = message.peek("citations").filter(|node| node.kind == Kind::Array) else { return Ok(()) };
    let mut order = Order::default();
    for (_, node) in node.items(&message.at().member("citations"))? {
        let target = target(node, parts)?;
        order.note(target);
        let found = target.and_then(|index| parts.get_mut(index));
        if let Some(Part { kind: PartKind::Text(text), .. }) = found {
            text.citations.extend(read(node)?);
        }
    }
    if order.kept && order.last.is_some() {
        message.take("citations");
    }
    Ok(())
}

/// Whether the parts hold every citation in its order.
#[derive(Debug)]
pub(super) struct Order {
    /// So far they do.
    pub(super) kept: bool,
    last: Option<usize>,
}

impl Default for Order {
    fn default() -> Self {
        Self { kept: true, last: None }
    }
}

impl Order {
    /// The next is in this part, or in none.
    pub(super) fn note(&mut self, part: Option<usize>) {
        self.kept &= part.is_some() && part >= self.last;
        self.last = part.or(self.last);
    }
}

/// The text a citation is about: that of its `content_index`, or the first. `content` stands first
/// among the parts.
fn target(node: Node<'_>, parts: &[Part]) -> Result<Option<usize>, DecodeError> {
    let Some(index) = about(node)? else { return Ok(None) };
    let is_text = |part: &Part| matches!(part.kind, PartKind::Text(_));
    let named = index.filter(|index| parts.get(*index).is_some_and(is_text));
    Ok(named.or_else(|| parts.iter().position(is_text)))
}

/// The `content_index` of a citation of text; nothing for one of thoughts or plans.
pub(super) fn about(node: Node<'_>) -> Result<Option<Option<usize>>, DecodeError> {
    if node.kind != Kind::Object {
        return Ok(None);
    }
    let mut fields = node.fields(Place::root())?;
    if fields.text("type")?.is_some_and(|kind| kind != "TEXT_CONTENT") {
        return Ok(None);
    }
    Ok(Some(fields.count("content_index")?.and_then(|index| usize::try_from(index).ok())))
}

/// A citation for each source of the passage; one without any if it has none.
pub(super) fn read(node: Node<'_>) -> Result<Vec<Citation>, DecodeError> {
    let mut fields = node.fields(Place::root())?;
    let sources = fields.list("sources")?;
    let passage = Citation {
        start: fields.count("start")?,
        end: fields.count("end")?,
        quote: fields.word("text")?,
        raw: Some(native(node.json())),
        ..Citation::default()
    };
    let mut all = Vec::new();
    for (_, source) in sources.into_iter().take(MAX_SOURCES).filter(|(_, source)| source.kind == Kind::Object) {
        let (title, url) = origin(source.fields(Place::root())?)?;
        let raw = if all.is_empty() { passage.raw.clone() } else { Some(native(Json::checked(SAID_BEFORE))) };
        all.push(Citation { title, url, raw, ..passage.clone() });
    }
    if all.is_empty() {
        all.push(passage);
    }
    Ok(all)
}

fn native(json: Json) -> Native {
    Native { dialect: COHERE, json }
}

/// The title and the address of a source, as far as the document or the tool's output has them in
/// the members where they are usual; the source's id for a title else.
fn origin(mut source: Fields<'_>) -> Result<(Option<String>, Option<String>), DecodeError> {
    let id = source.word("id")?;
    let inner = match source.object("document")? {
        Some(document) => Some(document),
        None => source.object("tool_output")?,
    };
    let Some(mut inner) = inner else { return Ok((id, None)) };
    let title = inner.word("title")?;
    let url = inner.word("url")?;
    let url = if url.is_some() { url } else { inner.word("link")? };
    Ok((title.or(id), url))
}

/// Writes the citations that came in this dialect, unless the message's extra holds them all.
pub(super) fn write(o: &mut Obj<'_>, parts: &[Part], extra: &Extra) {
    if extra.get(COHERE, "citations").is_some() {
        return;
    }
    let texts: Vec<&str> = parts.iter().flat_map(of).filter_map(own).filter(|json| *json != SAID_BEFORE).collect();
    if !texts.is_empty() {
        o.raw("citations", &format!("[{}]", texts.join(",")));
    }
}

/// The citations of a part.
pub(super) fn of(part: &Part) -> &[Citation] {
    match &part.kind {
        PartKind::Text(Text { citations, .. }) => citations,
        _ => &[],
    }
}

/// A citation as this dialect wrote it.
pub(super) fn own(citation: &Citation) -> Option<&str> {
    Some(citation.raw.as_ref()?.of(COHERE)?.as_str())
}
