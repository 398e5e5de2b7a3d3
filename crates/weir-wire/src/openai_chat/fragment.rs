//! Fragments of parts: what a delta adds, and to what.

use super::form::{CHAT, DETAILS, REASONING, REASONING_CONTENT};
use crate::hub::{DecodeError, Delta, Extra, Fields, Json, Media, Part, PartKind, Source, Text, Thinking};

/// Name, arguments, whether these were no string, and the rest of a call's inner object.
pub(super) type Inner = (Option<String>, String, bool, Extra);

/// Reads a fragment of a call's inner object.
pub(super) fn function(mut inner: Fields<'_>) -> Result<Inner, DecodeError> {
    let name = inner.word("name")?;
    let node = inner.take("arguments").or_else(|| inner.take("input"));
    let (arguments, raw) = match node {
        None => (String::new(), false),
        Some(node) => match node.text() {
            Some(text) => (text.into_owned(), false),
            None => (node.raw.trim().to_owned(), true),
        },
    };
    Ok((name, arguments, raw, inner.rest(CHAT)))
}

/// A fragment without what it adds, and that.
pub(super) fn split(mut fragment: Part) -> (Part, Vec<Delta>) {
    let mut deltas = Vec::new();
    let mut add = |text: &mut String, make: fn(String) -> Delta| {
        if !text.is_empty() {
            deltas.push(make(std::mem::take(text)));
        }
    };
    match &mut fragment.kind {
        PartKind::Text(Text { text, .. }) | PartKind::Refusal(text) => add(text, Delta::Text),
        PartKind::Thinking(Thinking { text, encrypted, .. }) => {
            add(text, Delta::Text);
            deltas.extend(encrypted.take().map(Delta::Encrypted));
        }
        PartKind::Audio(media) => {
            // The id alone, which comes first, is no file's: the sound follows.
            if let Source::File(id) = &media.source {
                let id = Json::string(id);
                fragment.extra.update(Extra::new(CHAT, vec![("id".to_owned(), id)]));
                media.source = Source::Base64(String::new());
            }
            let Media { source, transcript, .. } = media;
            if let Source::Base64(data) = source {
                add(data, Delta::Data);
            }
            deltas.extend(transcript.take().map(Delta::Transcript));
        }
        _ => {}
    }
    deltas.extend(fragment.signature.take().map(Delta::Signature));
    (fragment, deltas)
}

/// Whether a fragment goes on with what is being said.
pub(super) fn continues(open: &Part, shell: &Part, deltas: &[Delta]) -> bool {
    match (&open.kind, &shell.kind) {
        (PartKind::Text(_), PartKind::Text(_)) => open.form == shell.form,
        (PartKind::Refusal(_), PartKind::Refusal(_)) | (PartKind::Audio(_), PartKind::Audio(_)) => true,
        (PartKind::Thinking(before), PartKind::Thinking(now)) => {
            let sealed = deltas.iter().all(|delta| matches!(delta, Delta::Signature(_)));
            let same_member = open.form == shell.form || (sealed && both_details(open, shell));
            let encrypted = deltas.iter().any(|delta| matches!(delta, Delta::Encrypted(_)));
            same_member && before.summary == now.summary && !encrypted && same_detail(open, shell)
        }
        _ => false,
    }
}

fn both_details(open: &Part, shell: &Part) -> bool {
    let text = REASONING | REASONING_CONTENT;
    open.form.bits(CHAT) & !text == shell.form.bits(CHAT) & !text && shell.form.has(CHAT, DETAILS)
}

/// Whether two details have the same number, if both have one.
fn same_detail(open: &Part, shell: &Part) -> bool {
    match (open.extra.get(CHAT, "index"), shell.extra.get(CHAT, "index")) {
        (Some(before), Some(now)) => before == now,
        _ => true,
    }
}
