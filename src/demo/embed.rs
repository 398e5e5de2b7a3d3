//! `demo/embed`: unit vectors made from the text, alike for alike words.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use base64::Engine as _;
use http::StatusCode;
use serde_json::{Value, json};

use super::{error, text, whole};
use crate::upstream::Answer;

const DIMENSIONS: u64 = 256;
const MAX_DIMENSIONS: u64 = 4096;

/// Answers an embeddings request.
pub(super) fn answer(request: &Value) -> Answer {
    let Some(inputs) = inputs(&request["input"]) else {
        return error(
            StatusCode::BAD_REQUEST,
            "invalid_type",
            "input must be a string, an array of strings, or tokens",
        );
    };
    let dimensions = request["dimensions"].as_u64().unwrap_or(DIMENSIONS);
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        return error(StatusCode::BAD_REQUEST, "invalid_value", "dimensions must be from 1 to 4096");
    }
    let as_base64 = request["encoding_format"] == "base64";
    let data = inputs.iter().enumerate().map(|(index, input)| {
        let vector = vector(input, usize::try_from(dimensions).unwrap_or(1));
        let embedding = if as_base64 { base64_of(&vector) } else { json!(vector) };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let used: u64 = inputs.iter().map(|input| text::tokens(input)).sum();
    let usage = json!({"prompt_tokens": used, "total_tokens": used});
    let data: Vec<Value> = data.collect();
    whole(StatusCode::OK, &json!({"object": "list", "data": data, "model": "embed", "usage": usage}))
}

/// The texts to embed: one string, several, or token arrays (each token is a word).
fn inputs(input: &Value) -> Option<Vec<String>> {
    let tokens = |list: &[Value]| {
        list.iter().map(|t| t.as_i64().map(|n| n.to_string())).collect::<Option<Vec<_>>>().map(|t| t.join(" "))
    };
    match input {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) if list.first().is_some_and(Value::is_number) => Some(vec![tokens(list)?]),
        Value::Array(list) => list
            .iter()
            .map(|item| match item {
                Value::String(text) => Some(text.clone()),
                Value::Array(list) => tokens(list),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

/// Each word adds to a few places chosen by its hash; the whole is scaled to length one.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    for word in text.split_whitespace() {
        let mut hasher = DefaultHasher::new();
        word.to_lowercase().hash(&mut hasher);
        let mut bits = hasher.finish();
        for _ in 0..4 {
            let place = usize::try_from(bits % dimensions as u64).unwrap_or(0);
            vector[place] += if bits & (1 << 40) == 0 { 1.0 } else { -1.0 };
            bits = bits.rotate_left(17).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|v| *v /= length);
    } else {
        vector[0] = 1.0;
    }
    vector
}

/// Little-endian 32-bit floats, as OpenAI's SDKs decode them.
fn base64_of(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes).into()
}
