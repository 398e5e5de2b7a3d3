//! Citations, read and written.

use super::form::BEDROCK;
use crate::hub::write::Obj;
use crate::hub::{Citation, DecodeError, Native, Node, Place};
use crate::json::Kind;

/// One citation, or the delta of one, which has the same members.
pub(super) fn read(node: Node<'_>) -> Result<Citation, DecodeError> {
    let raw = Some(Native { dialect: BEDROCK, json: node.json() });
    if node.kind != Kind::Object {
        return Ok(Citation { raw, ..Citation::default() });
    }
    let mut fields = node.fields(Place::root())?;
    let mut quote = String::new();
    for (at, node) in fields.list("sourceContent")? {
        if node.kind == Kind::Object {
            quote.push_str(&node.fields(at)?.text("text")?.unwrap_or_default());
        }
    }
    let web = match fields.object("location")? {
        Some(mut location) => location.object("web")?,
        None => None,
    };
    Ok(Citation {
        title: fields.word("title")?,
        url: web.map(|mut web| web.word("url")).transpose()?.flatten(),
        quote: Some(quote).filter(|quote| !quote.is_empty()),
        raw,
        ..Citation::default()
    })
}

/// Writes one citation.
pub(super) fn write(o: &mut Obj<'_>, citation: &Citation) {
    o.opt_text("title", citation.title.as_deref());
    if let Some(quote) = &citation.quote {
        o.array("sourceContent", |a| a.object(|o| o.text("text", quote)));
    }
    if let Some(url) = &citation.url {
        o.object("location", |o| o.object("web", |o| o.text("url", url)));
    }
}
