//! Pictures, sounds, films and documents: `inlineData` and `fileData`. Read and written.

use std::borrow::Cow;

use super::encode_request::Writing;
use super::form::{DATA_BARE, DATA_URL, GEMINI, KIND_SNAKE, MIME_SNAKE, TITLE_SNAKE, URI_SNAKE, bit_if};
use super::names::{name_of, spelt};
use super::octets::{self, Spelling};
use crate::hub::write::Obj;
use crate::hub::{DecodeError, Document, Fields, LossKind, Media, Mode, Part, PartKind, Source};

/// Takes `inlineData`, as what its MIME type says. `None` without data in an answer.
pub(super) fn inline(mut inner: Fields<'_>) -> Result<Option<(PartKind, u16)>, DecodeError> {
    let data = match inner.mode() {
        Mode::Request => Some(inner.require_text("data")?),
        Mode::Answer => inner.text("data")?,
    };
    let Some(data) = data else { return Ok(None) };
    let (data, bits) = match inner.mode() {
        Mode::Request => standard(data),
        Mode::Answer => (data, 0),
    };
    finish(inner, Source::Base64(data), bits).map(Some)
}

/// A caller's base64 as the other dialects take it, with the bits of its spelling.
fn standard(data: String) -> (String, u16) {
    let (spelt, spelling) = octets::standard(&data);
    let bits = bit_if(spelling.url, DATA_URL) | bit_if(spelling.bare, DATA_BARE);
    match spelt {
        Cow::Owned(spelt) => (spelt, bits),
        Cow::Borrowed(_) => (data, bits),
    }
}

/// Takes `fileData`.
pub(super) fn file(mut inner: Fields<'_>) -> Result<Option<(PartKind, u16)>, DecodeError> {
    let (name, second) = name_of(&inner, "fileUri");
    let uri = match inner.mode() {
        Mode::Request => Some(inner.require_text(name)?),
        Mode::Answer => inner.text(name)?,
    };
    let Some(uri) = uri else { return Ok(None) };
    let source = if is_upload(&uri) { Source::File(uri) } else { Source::Url(uri) };
    finish(inner, source, bit_if(second, URI_SNAKE)).map(Some)
}

/// Whether an address is that of an uploaded file, which its own provider alone can read.
fn is_upload(uri: &str) -> bool {
    ["/v1/files/", "/v1beta/files/", "/v1alpha/files/"].iter().any(|path| uri.contains(path))
}

fn finish(mut inner: Fields<'_>, source: Source, bits: u16) -> Result<(PartKind, u16), DecodeError> {
    let (name, second) = name_of(&inner, "mimeType");
    let mime = inner.word(name)?;
    let mut bits = bits | bit_if(second, MIME_SNAKE);
    let kind = mime.as_deref().unwrap_or_else(|| guess(&source).unwrap_or_default());
    let group = kind.split('/').next().unwrap_or_default().to_owned();
    let mut title = None;
    if !["image", "audio", "video"].contains(&group.as_str()) {
        let (name, second) = name_of(&inner, "displayName");
        title = inner.word(name)?;
        bits |= bit_if(second, TITLE_SNAKE);
    }
    let media = Media { extra: inner.rest(GEMINI), ..Media::new(source, mime) };
    let kind = match group.as_str() {
        "image" => PartKind::Image(media),
        "audio" => PartKind::Audio(media),
        "video" => PartKind::Video(media),
        _ => PartKind::Document(Document { media, title, context: None, citations: None }),
    };
    Ok((kind, bits))
}

/// What the bytes or the address look like.
fn guess(source: &Source) -> Option<&'static str> {
    const HEADS: [(&str, &str); 6] = [
        ("iVBOR", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lG", "image/gif"),
        ("UklGR", "image/webp"),
        ("JVBER", "application/pdf"),
        ("SUQz", "audio/mpeg"),
    ];
    const ENDINGS: [(&str, &str); 13] = [
        (".png", "image/png"),
        (".jpg", "image/jpeg"),
        (".jpeg", "image/jpeg"),
        (".gif", "image/gif"),
        (".webp", "image/webp"),
        (".pdf", "application/pdf"),
        (".txt", "text/plain"),
        (".mp3", "audio/mpeg"),
        (".wav", "audio/wav"),
        (".mp4", "video/mp4"),
        (".webm", "video/webm"),
        (".mov", "video/quicktime"),
        (".html", "text/html"),
    ];
    let found = match source {
        Source::Base64(data) => HEADS.iter().find(|(head, _)| data.starts_with(head)),
        Source::Url(uri) | Source::File(uri) => {
            let path = uri.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
            ENDINGS.iter().find(|(ending, _)| path.ends_with(ending))
        }
        Source::Plain(_) => None,
    };
    found.map(|(_, mime)| *mime)
}

/// Why the model cannot be told this part.
pub(super) fn refused(part: &Part, writing: &Writing<'_>) -> Option<&'static str> {
    let can = writing.capabilities();
    let media = match &part.kind {
        PartKind::Image(_) if !can.images => return Some("is not taken by the model: ask one that sees"),
        PartKind::Video(_) if !can.video => return Some("is not taken by the model"),
        PartKind::Audio(_) if !can.audio => return Some("is not taken by the model: ask one that hears"),
        PartKind::Document(_) if !can.documents => return Some("is not taken by the model: send its text"),
        PartKind::Image(media) | PartKind::Video(media) | PartKind::Audio(media) => media,
        PartKind::Document(document) => &document.media,
        _ => return None,
    };
    match &media.source {
        Source::Url(_) if !can.media_urls => Some("is not fetched by the provider: send its bytes"),
        Source::File(_) if !writing.same() => Some("was uploaded to another provider: send its bytes"),
        _ => None,
    }
}

/// Writes the media of a part.
pub(super) fn write(o: &mut Obj<'_>, part: &Part, writing: &mut Writing<'_>) {
    let (media, title) = match &part.kind {
        PartKind::Image(media) | PartKind::Video(media) | PartKind::Audio(media) => (media, None),
        PartKind::Document(document) => (&document.media, own_title(part, document, writing)),
        _ => return,
    };
    writing.losses.extra(&media.extra, &part.at);
    if media.detail.as_ref().is_some_and(|detail| detail != "auto") {
        writing.losses.add(part.at.as_str(), LossKind::Dropped, "the picture's detail: unknown to Gemini");
    }
    let mime = media.mime.clone().or_else(|| (!writing.same()).then(|| invented(part, media, writing)));
    let second = |bit| part.form.has(GEMINI, bit);
    let data = matches!(media.source, Source::Base64(_));
    let name = spelt(if data { "inlineData" } else { "fileData" }, second(KIND_SNAKE));
    o.object(name, |o| {
        o.opt_text(spelt("mimeType", second(MIME_SNAKE)), mime.as_deref());
        match &media.source {
            Source::Base64(data) => {
                let spelling = Spelling { url: second(DATA_URL), bare: second(DATA_BARE) };
                o.text("data", &octets::respelt(data, spelling));
            }
            Source::Url(uri) | Source::File(uri) => o.text(spelt("fileUri", second(URI_SNAKE)), uri),
            Source::Plain(_) => {}
        }
        o.opt_text(spelt("displayName", second(TITLE_SNAKE)), title);
        o.extra(&media.extra, GEMINI);
    });
}

/// The document's name, which the Gemini API refuses: it is written for who wrote it.
fn own_title<'d>(part: &Part, document: &'d Document, writing: &mut Writing<'_>) -> Option<&'d str> {
    if document.context.is_some() || document.citations == Some(true) {
        writing.losses.add(part.at.as_str(), LossKind::Dropped, "the file's context and citations: unknown to Gemini");
    }
    if !writing.same() && document.title.is_some() {
        writing.losses.add(part.at.as_str(), LossKind::Dropped, "the file's name: unknown to Gemini");
    }
    document.title.as_deref().filter(|_| writing.same())
}

/// The MIME type Gemini demands, where the caller gave none.
fn invented(part: &Part, media: &Media, writing: &mut Writing<'_>) -> String {
    if let Some(mime) = guess(&media.source) {
        return mime.to_owned();
    }
    let mime = match &part.kind {
        PartKind::Image(_) => "image/jpeg",
        PartKind::Audio(_) => "audio/wav",
        PartKind::Video(_) => "video/mp4",
        _ => "application/pdf",
    };
    let why = format!("{} of unknown type was said to be {mime}", part.kind.name());
    writing.losses.add(part.at.as_str(), LossKind::Approximated, why);
    mime.to_owned()
}
