//! How likely each token was: made up, but always the same.

use serde_json::{Value, json};

use super::text;

/// The most alternatives, as OpenAI has it.
const MAX_TOP: u64 = 20;

/// How many alternatives are wanted beside each token; `None` where nothing is.
pub(super) fn wanted(request: &Value) -> Option<u64> {
    (request["logprobs"] == true).then(|| request["top_logprobs"].as_u64().unwrap_or(0).min(MAX_TOP))
}

/// `logprobs` of a text, whole or of one token.
pub(super) fn of(tokens: impl Iterator<Item = String>, top: u64) -> Value {
    let content: Vec<Value> = tokens.map(|token| token_logprob(&token, top)).collect();
    json!({"content": content, "refusal": null})
}

fn token_logprob(token: &str, top: u64) -> Value {
    let likely = -f64::from(u8::try_from(text::fingerprint(token) % 100).unwrap_or(0)) / 100.0;
    let entry = |token: &str, logprob: f64| json!({"token": token, "logprob": logprob, "bytes": token.as_bytes()});
    let others = (1..top).map(|i| entry(&format!("{token}{i}"), likely - f64::from(u32::try_from(i).unwrap_or(0))));
    let top: Vec<Value> = (top > 0).then(|| entry(token, likely)).into_iter().chain(others).collect();
    let mut told = entry(token, likely);
    told["top_logprobs"] = top.into();
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_has_its_own_and_the_wanted_alternatives() {
        assert_eq!(wanted(&json!({"top_logprobs": 2})), None);
        assert_eq!(wanted(&json!({"logprobs": true, "top_logprobs": 99})), Some(20));
        let told = of(text::pieces("a b"), 2);
        let tokens: Vec<_> = told["content"].as_array().unwrap().iter().map(|one| one["token"].clone()).collect();
        assert_eq!(tokens, ["a", " b"]);
        for one in told["content"].as_array().unwrap() {
            let top = one["top_logprobs"].as_array().unwrap();
            assert!(
                top.len() == 2 && top[0]["token"] == one["token"] && one["logprob"].as_f64().unwrap() <= 0.0,
                "{one}"
            );
        }
        assert_eq!(of(text::pieces("a"), 0)["content"][0]["top_logprobs"], json!([]));
    }
}
