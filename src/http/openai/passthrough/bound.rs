//! The most that a call which is passed on can use.

use http::{HeaderMap, header};
use serde::Deserialize;

use super::Ask;
use super::incoming::Incoming;
use crate::dispatch::afford::Bound;
use crate::snapshot::Target;

/// Images of one call where nobody says how many: the most that OpenAI makes at once.
const MAX_IMAGES: u64 = 10;
/// Tokens of one image, made or shown, at the highest quality (OpenAI, "Image generation": 6,240).
const IMAGE: u64 = 8_192;
/// Tokens that are written of an hour of speech at most, and spoken of a character.
const WRITTEN_AN_HOUR: u64 = 20_000;
const SPOKEN_A_CHARACTER: u64 = 8;
/// Milliseconds of sound in two bytes: nothing that is sent has less than 16 kbit/s.
const BYTES_A_MS: u64 = 2;
const HOUR_MS: u64 = 3_600_000;
/// Where nobody says how long an upload is (chunked).
const UNKNOWN_UPLOAD: u64 = 25 * 1024 * 1024;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    n: Option<u64>,
    max_output_tokens: Option<u64>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    service_tier: Option<String>,
}

/// What `ask` can use at `target`.
pub(super) fn of(ask: &Ask, incoming: &Incoming, headers: &HeaderMap, target: &Target) -> Bound {
    // A form, or what is no object, has no such members.
    let asked: Asked = serde_json::from_slice(&incoming.json).unwrap_or_default();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let input = (incoming.prompt.len().max(incoming.json.len())) as u64;
    let plain = Bound { input, calls: 1, tier: asked.service_tier, ..Bound::default() };
    match ask.endpoint() {
        "images/generations" | "images/edits" | "images/variations" => {
            let images = asked.n.unwrap_or(if incoming.json.is_empty() { MAX_IMAGES } else { 1 });
            let tokens = images.saturating_mul(IMAGE);
            Bound { images, input: input.saturating_add(MAX_IMAGES * IMAGE), output: tokens, ..plain }
        }
        "audio/speech" => {
            let characters = incoming.characters.unwrap_or(input);
            Bound { characters, output: characters.saturating_mul(SPOKEN_A_CHARACTER), ..plain }
        }
        "audio/transcriptions" | "audio/translations" => {
            let audio_ms: u64 = length.unwrap_or(UNKNOWN_UPLOAD) / BYTES_A_MS;
            let hours = audio_ms.div_ceil(HOUR_MS);
            Bound { audio_ms, input: input.saturating_add(audio_ms / 10), output: hours * WRITTEN_AN_HOUR, ..plain }
        }
        "moderations" => plain,
        _ => {
            let caps = [asked.max_output_tokens, asked.max_tokens, asked.max_completion_tokens];
            let most = target.info.as_ref().and_then(|info| info.max_output).unwrap_or(0);
            Bound { output: caps.into_iter().flatten().min().unwrap_or(most), ..plain }
        }
    }
}
