//! A spoken answer: `audio` of an assistant's message.

use super::form::CHAT;
use crate::hub::{DecodeError, Fields, Media, Part, PartKind, Source};
use crate::json::Kind;

/// Takes the sound from a message: with its data, or, when sent back, by its id alone. In an
/// answer the id and the expiry stay members of the part's extra.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Option<Part>, DecodeError> {
    let Some(node) = fields.peek("audio").filter(|node| node.kind == Kind::Object) else {
        return Ok(None);
    };
    let at = fields.at().member("audio");
    let mut inner = node.fields(at.clone())?;
    let source = match inner.word("data")? {
        Some(data) => Source::Base64(data),
        None => match inner.word("id")? {
            Some(id) => Source::File(id),
            None => return Ok(None),
        },
    };
    fields.take("audio");
    let mut media = Media::new(source, None);
    media.transcript = inner.text("transcript")?;
    Ok(Some(Part { at, extra: inner.rest(CHAT), ..Part::new(PartKind::Audio(media)) }))
}
