//! Pictures, films and sound: `{"format", "source"}`, read and written.

use super::encode_request::Writing;
use super::form::BEDROCK;
use crate::hub::write::Obj;
use crate::hub::{DecodeError, Fields, Media, Part, Source};

/// Formats whose MIME type is not simply the kind and the format.
const IRREGULAR: [(&str, &str); 9] = [
    ("video/quicktime", "mov"),
    ("video/x-matroska", "mkv"),
    ("video/x-flv", "flv"),
    ("video/x-ms-wmv", "wmv"),
    ("video/3gpp", "three_gp"),
    ("audio/mpeg", "mp3"),
    ("audio/x-mpeg", "mpeg"),
    ("audio/x-matroska", "mka"),
    ("audio/x-wav", "wav"),
];

/// The formats Bedrock takes of each kind.
const FORMATS: [(&str, &[&str]); 3] = [
    ("image", &["png", "jpeg", "gif", "webp"]),
    ("video", &["mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp"]),
    (
        "audio",
        &[
            "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga", "pcm",
            "webm",
        ],
    ),
];

/// How base64 of well-known formats begins.
const MAGIC: [(&str, &str); 5] = [
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi", "application/pdf"),
];

/// The MIME type of a format.
pub(super) fn mime(kind: &str, format: &str) -> String {
    let irregular = IRREGULAR
        .iter()
        .find(|(mime, word)| *word == format && mime.strip_prefix(kind).is_some() && *mime != "audio/x-wav");
    irregular.map_or_else(|| format!("{kind}/{format}"), |(mime, _)| (*mime).to_owned())
}

/// The format of a MIME type, if Bedrock takes it. Parameters (`;codecs=..`) say nothing here.
fn format<'m>(kind: &str, mime: &'m str) -> Option<&'m str> {
    let mime = mime.split(';').next().unwrap_or(mime).trim();
    let word = match IRREGULAR.iter().find(|(known, _)| *known == mime) {
        Some((_, word)) => word,
        None if mime == "image/jpg" => "jpeg",
        None => mime.strip_prefix(kind)?.strip_prefix('/')?,
    };
    let known = FORMATS.iter().find(|(name, _)| *name == kind)?.1;
    known.contains(&word).then_some(word)
}

/// The MIME type that the bytes themselves show.
pub(super) fn sniff(source: &Source) -> Option<&'static str> {
    let Source::Base64(data) = source else { return None };
    MAGIC.iter().find(|(start, _)| data.starts_with(start)).map(|(_, mime)| *mime)
}

/// Takes `image`, `video` or `audio`; `None` for what says more than is understood.
pub(super) fn take(fields: &mut Fields<'_>, kind: &str) -> Result<Option<Media>, DecodeError> {
    let Some(mut inner) = fields.object(kind)? else { return Ok(None) };
    let Some(word) = inner.word("format")? else { return Ok(None) };
    let Some(source) = source(&mut inner)? else { return Ok(None) };
    // Two formats of one MIME type could not be told apart again.
    let mime = mime(kind, &word);
    let mime = if format(kind, &mime) == Some(&word) { mime } else { format!("{kind}/{word}") };
    Ok(Some(Media { extra: inner.rest(BEDROCK), ..Media::new(source, Some(mime)) }))
}

/// Takes `source`; one with more than bytes, text or an S3 address is left for the extra.
pub(super) fn source(fields: &mut Fields<'_>) -> Result<Option<Source>, DecodeError> {
    let Some(node) = fields.peek("source").filter(|node| node.kind == crate::json::Kind::Object) else {
        return Ok(None);
    };
    let mut inner = node.fields(fields.at().member("source"))?;
    let (source, whole) = if let Some(data) = inner.text("bytes")? {
        (Source::Base64(data), true)
    } else if let Some(text) = inner.text("text")? {
        (Source::Plain(text), true)
    } else if let Some(mut s3) = inner.object("s3Location")? {
        let Some(uri) = s3.text("uri")? else { return Ok(None) };
        (Source::Url(uri), s3.is_empty())
    } else {
        return Ok(None);
    };
    if whole && inner.is_empty() {
        fields.take("source");
    }
    Ok(Some(source))
}

/// Writes a block's `{"format", "source"}`; refuses what Bedrock has no form for.
pub(super) fn write(o: &mut Obj<'_>, kind: &'static str, part: &Part, media: &Media, writing: &mut Writing<'_>) {
    if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
        writing.losses.add(part.at.as_str(), crate::hub::LossKind::Dropped, "an image's detail is unknown here");
    }
    writing.losses.extra(&media.extra, &part.at);
    if !reachable(part, &media.source, writing) {
        return;
    }
    let mime = media.mime.as_deref().or_else(|| sniff(&media.source)).unwrap_or_default();
    let own = || mime.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/'));
    let format = if writing.same() { format(kind, mime).or_else(own) } else { format(kind, mime) };
    let Some(format) = format else {
        let known = FORMATS.iter().find(|(name, _)| *name == kind).map_or(String::new(), |(_, all)| all.join(", "));
        writing.losses.refuse(
            part.at.as_str(),
            format!("{} of type {mime:?} is not taken by Bedrock: send {known}", part.kind.name()),
        );
        return;
    };
    o.object(kind, |o| {
        o.text("format", format);
        write_source(o, media);
        o.extra(&media.extra, BEDROCK);
    });
}

/// Writes `source`.
pub(super) fn write_source(o: &mut Obj<'_>, media: &Media) {
    if media.extra.get(BEDROCK, "source").is_some() {
        return;
    }
    match &media.source {
        Source::Base64(data) => o.object("source", |o| o.text("bytes", data)),
        Source::Plain(text) => o.object("source", |o| o.text("text", text)),
        Source::Url(url) => o.object("source", |o| o.object("s3Location", |o| o.text("uri", url))),
        Source::File(_) => {}
    }
}

/// Whether Bedrock can get at the bytes; refuses the part if not.
pub(super) fn reachable(part: &Part, source: &Source, writing: &mut Writing<'_>) -> bool {
    let why = match source {
        Source::Url(url) if !writing.same() && !url.starts_with("s3://") => "is not fetched by Bedrock: send its bytes",
        Source::File(_) => "is a file at another provider: send its bytes",
        _ => return true,
    };
    writing.losses.refuse_part(part, why);
    false
}
