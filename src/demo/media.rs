//! What is no text, in words: an image's format and size, a sound's format, a file's name.
//!
//! Only the first bytes are looked at, and nothing is fetched.

mod picture;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use serde_json::Value;

/// So much base64 is decoded of an image: the size stands at the beginning, in a JPEG behind what its camera says.
const LOOKED_AT: usize = 256 * 1024;

/// One part of a message's content, in words.
pub(super) fn describe(part: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match part["type"].as_str() {
        Some("text") => word(&part["text"]),
        Some("refusal") => word(&part["refusal"]),
        Some("image_url") => format!("[an image{}]", address(&part["image_url"], image)),
        Some("video_url") => format!("[a film{}]", address(&part["video_url"], bytes)),
        Some("input_audio") => {
            let (sound, format) = (&part["input_audio"], word(&part["input_audio"]["format"]));
            format!("[a sound: {format}, {} bytes]", size(sound["data"].as_str().unwrap_or_default()))
        }
        Some("file") => format!("[a file: {}]", file(&part["file"])),
        _ => String::new(),
    }
}

/// Where something is, or, of `data:` addresses, what it is.
fn address(value: &Value, told: fn(&str, &str) -> String) -> String {
    let url = value["url"].as_str().or_else(|| value.as_str()).unwrap_or_default();
    match inline(url) {
        Some((mime, data)) => format!(": {}", told(mime, data)),
        None => {
            let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(ToOwned::to_owned));
            host.map_or_else(String::new, |host| format!(" at {host}"))
        }
    }
}

/// The type and the base64 of a `data:` address.
fn inline(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?.split_once(";base64,")
}

fn image(mime: &str, data: &str) -> String {
    let head = data.get(..data.len().min(LOOKED_AT) / 4 * 4).unwrap_or_default();
    let found = STANDARD.decode(head).ok().as_deref().and_then(picture::read);
    match found {
        Some(picture) => format!("{}, {} x {} pixels", picture.format, picture.width, picture.height),
        None => bytes(mime, data),
    }
}

fn bytes(mime: &str, data: &str) -> String {
    format!("{mime}, {} bytes", size(data))
}

/// What is known of a file: its name, and its size where it was sent along.
fn file(file: &Value) -> String {
    let name = file["filename"].as_str().or_else(|| file["file_id"].as_str()).unwrap_or("without a name");
    let data = file["file_data"].as_str().map(|data| inline(data).map_or(data, |(_, data)| data));
    data.map_or_else(|| name.to_owned(), |data| format!("{name}, {} bytes", size(data)))
}

/// The bytes that base64 stands for.
fn size(data: &str) -> usize {
    data.trim_end_matches('=').len().saturating_mul(3) / 4
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_described() {
        let gif = format!("data:image/gif;base64,{}", STANDARD.encode(b"GIF89a\x02\x00\x03\x00\x00\x00"));
        for (part, expected) in [
            (json!({"type": "text", "text": "hi"}), "hi"),
            (json!({"type": "image_url", "image_url": {"url": gif}}), "[an image: GIF, 2 x 3 pixels]"),
            (json!({"type": "image_url", "image_url": "https://example.com:8/a.png?b=c"}), "[an image at example.com]"),
            (
                json!({"type": "image_url", "image_url": {"url": "data:image/x;base64,AAAA"}}),
                "[an image: image/x, 3 bytes]",
            ),
            (
                json!({"type": "image_url", "image_url": {"url": "data:image/x;base64,§§§§"}}),
                "[an image: image/x, 6 bytes]",
            ),
            (json!({"type": "image_url"}), "[an image]"),
            (
                json!({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAA="}}),
                "[a film: video/mp4, 2 bytes]",
            ),
            (
                json!({"type": "input_audio", "input_audio": {"format": "wav", "data": "AA=="}}),
                "[a sound: wav, 1 bytes]",
            ),
            (
                json!({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}),
                "[a file: a.pdf, 3 bytes]",
            ),
            (json!({"type": "file", "file": {"file_id": "file-1"}}), "[a file: file-1]"),
            (json!({"type": "file"}), "[a file: without a name]"),
            (json!({"type": "other"}), ""),
            (json!(7), ""),
        ] {
            assert_eq!(describe(&part), expected, "{part}");
        }
    }
}
