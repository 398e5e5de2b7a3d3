//! Where texts come from: `groundingMetadata` and `citationMetadata` as citations, and citations as
//! `groundingMetadata`.
//!
//! Both stand in the candidate and point into its parts by bytes; the hub's citations stand in a text and
//! point by characters. For callers of this dialect the members stay as they were.

use super::form::GEMINI;
use crate::hub::write;
use crate::hub::{Citation, Extra, Json, Mode, Native, Node, Part, PartKind, Place, Text};

/// The most citations of an answer.
const MAX_CITATIONS: usize = 4096;

/// The citations of a candidate with these members and these texts, each with the number of the text.
/// What cannot be read says nothing: it stays among the members.
pub(super) fn citations(extra: &Extra, texts: &[&str]) -> Vec<(usize, Citation)> {
    let mut found = Vec::new();
    if let Some(json) = extra.get(GEMINI, "groundingMetadata") {
        grounded(json, texts, &mut found);
    }
    if let Some(json) = extra.get(GEMINI, "citationMetadata") {
        cited(json, texts, &mut found);
    }
    found.truncate(MAX_CITATIONS);
    found
}

fn fields(json: &Json) -> Option<crate::hub::Fields<'_>> {
    Node::of_body(json.as_str().as_bytes(), Mode::Answer).ok()?.fields(Place::root()).ok()
}

/// `groundingSupports`, each of which names chunks.
fn grounded(json: &Json, texts: &[&str], found: &mut Vec<(usize, Citation)>) {
    let Some(mut metadata) = fields(json) else { return };
    let chunks: Vec<Option<Citation>> =
        metadata.list("groundingChunks").unwrap_or_default().into_iter().map(|(_, node)| chunk(node)).collect();
    for (_, support) in metadata.list("groundingSupports").unwrap_or_default() {
        let Some((text, passage)) = segment(support, texts) else { continue };
        for index in indices(support) {
            if let Some(Some(source)) = chunks.get(index)
                && found.len() < MAX_CITATIONS
            {
                let raw = Some(Native { dialect: GEMINI, json: support.json() });
                found.push((text, Citation { raw, ..join(&passage, source) }));
            }
        }
    }
}

/// A source: of the web, of a document store, of maps.
fn chunk(node: Node<'_>) -> Option<Citation> {
    let mut outer = node.fields(Place::root()).ok()?;
    let mut inner = ["web", "retrievedContext", "maps"].iter().find_map(|name| outer.object(name).ok().flatten())?;
    Some(Citation { title: inner.word("title").ok()?, url: inner.word("uri").ok()?, ..Citation::default() })
}

fn join(passage: &Citation, source: &Citation) -> Citation {
    Citation { title: source.title.clone(), url: source.url.clone(), ..passage.clone() }
}

fn indices(support: Node<'_>) -> Vec<usize> {
    let Ok(mut fields) = support.fields(Place::root()) else { return Vec::new() };
    let items = fields.list("groundingChunkIndices").unwrap_or_default();
    items.into_iter().filter_map(|(_, node)| node.raw.parse().ok()).collect()
}

/// The passage a support is about, with the number of its text.
fn segment(support: Node<'_>, texts: &[&str]) -> Option<(usize, Citation)> {
    let mut segment = support.fields(Place::root()).ok()?.object("segment").ok()??;
    let mut count = |name: &str| segment.count(name).ok().flatten();
    let (part, start, end) = (count("partIndex"), count("startIndex").unwrap_or(0), count("endIndex")?);
    let number = usize::try_from(part.unwrap_or(0)).ok()?.min(texts.len().checked_sub(1)?);
    let text = texts.get(number)?;
    let quote = segment.word("text").ok()?;
    let (start, end) = (Some(characters(text, start)), Some(characters(text, end)));
    Some((number, Citation { start, end, quote, ..Citation::default() }))
}

/// `citations`, or `citationSources` as the Gemini API has it: they point into the first text.
fn cited(json: &Json, texts: &[&str], found: &mut Vec<(usize, Citation)>) {
    let (Some(mut metadata), Some(text)) = (fields(json), texts.first()) else { return };
    let name = if metadata.peek("citations").is_some() { "citations" } else { "citationSources" };
    for (_, node) in metadata.list(name).unwrap_or_default() {
        let raw = Some(Native { dialect: GEMINI, json: node.json() });
        let Ok(mut source) = node.fields(Place::root()) else { continue };
        let mut place = |name: &str| source.count(name).ok().flatten().map(|byte| characters(text, byte));
        let (start, end) = (place("startIndex").or(Some(0)), place("endIndex"));
        let mut word = |name: &str| source.word(name).ok().flatten();
        let (title, url) = (word("title"), word("uri"));
        found.push((0, Citation { start, end, title, url, quote: None, raw }));
    }
}

/// How many characters stand before this byte.
fn characters(text: &str, byte: u64) -> u64 {
    let byte = usize::try_from(byte).unwrap_or(usize::MAX);
    text.char_indices().take_while(|(at, _)| *at < byte).count() as u64
}

/// The byte before which so many characters stand.
fn byte_of(text: &str, characters: u64) -> u64 {
    let characters = usize::try_from(characters).unwrap_or(usize::MAX);
    text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at) as u64
}

/// Puts the citations of a candidate's members into its texts.
pub(super) fn attach(extra: &Extra, parts: &mut [Part]) {
    if extra.is_empty() {
        return;
    }
    let texts: Vec<&str> = parts.iter().filter_map(Part::as_text).collect();
    let found = citations(extra, &texts);
    let mut texts: Vec<&mut Text> = parts
        .iter_mut()
        .filter_map(|part| match &mut part.kind {
            PartKind::Text(text) => Some(text),
            _ => None,
        })
        .collect();
    for (number, citation) in found {
        if let Some(text) = texts.get_mut(number) {
            text.citations.push(citation);
        }
    }
}

/// The `groundingMetadata` of another dialect's citations: each with the number of its part, the part's
/// text, and itself. `None` if there are none.
pub(super) fn metadata(citations: &[(usize, &str, &Citation)]) -> Option<String> {
    let foreign: Vec<_> = citations
        .iter()
        .filter(|(_, _, citation)| citation.raw.as_ref().is_none_or(|raw| raw.dialect != GEMINI))
        .collect();
    if foreign.is_empty() {
        return None;
    }
    let chunks = foreign.iter().map(|(_, _, citation)| {
        write::object(|o| {
            o.object("web", |o| {
                o.opt_text("uri", citation.url.as_deref());
                o.opt_text("title", citation.title.as_deref());
            });
        })
    });
    let chunks: Vec<String> = chunks.collect();
    let supports: Vec<String> = foreign.iter().enumerate().map(|(index, one)| support(index, one)).collect();
    Some(write::object(|o| {
        o.raw("groundingChunks", &format!("[{}]", chunks.join(",")));
        o.raw("groundingSupports", &format!("[{}]", supports.join(",")));
    }))
}

fn support(index: usize, (part, text, citation): &(usize, &str, &Citation)) -> String {
    write::object(|o| {
        o.object("segment", |o| {
            o.count("partIndex", *part as u64);
            o.opt_count("startIndex", citation.start.map(|start| byte_of(text, start)));
            o.opt_count("endIndex", citation.end.map(|end| byte_of(text, end)));
            o.opt_text("text", citation.quote.as_deref());
        });
        o.raw("groundingChunkIndices", &format!("[{index}]"));
    })
}
