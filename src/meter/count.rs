//! Counting tokens where the provider reported none: a stream that was cut, a client that left, an
//! upstream without usage. Off the request's path: the ledger's writer calls it.

use std::sync::LazyLock;

use bytes::Bytes;
use tiktoken_rs::CoreBPE;
use weir_wire::estimate;

/// The texts to count.
#[derive(Clone, Debug, Default)]
pub struct CountJob {
    /// The request's prompt as it was sent (JSON of messages, prompt or input).
    pub prompt: Bytes,
    /// What was generated, as far as it was kept.
    pub output: String,
    /// Bytes that were generated beyond `output`.
    pub output_beyond: u64,
    /// A whole answer (JSON) in place of `output`.
    pub answer: Bytes,
    /// The prompt is texts and no conversation: nothing is added for messages.
    pub bare: bool,
    /// The model's tokenizer, as the catalogue names it.
    pub tokenizer: Option<String>,
}

/// Counted tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Prompt tokens.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
}

/// Texts above this are estimated: a tokenizer takes about a millisecond per 10 kB.
const EXACT_LIMIT: usize = 512 * 1024;

impl CountJob {
    /// Bytes that it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        self.prompt.len() + self.output.len() + self.answer.len()
    }

    /// More tokens than any template makes of the prompt: those of its JSON, names and quotes included.
    #[must_use]
    pub fn most(&self) -> u64 {
        let bpe = tokenizer(self.tokenizer.as_deref()).filter(|_| self.prompt.len() <= EXACT_LIMIT);
        match (bpe, std::str::from_utf8(&self.prompt)) {
            (Some(bpe), Ok(text)) => bpe.encode_ordinary(text).len() as u64,
            _ => self.prompt.len() as u64,
        }
    }

    /// What [`CountJob::count`] says, by size alone: cheap enough for a request's path, and what stands where nobody comes to
    /// count.
    #[must_use]
    pub fn estimate(&self) -> Counted {
        let kept = estimate::tokens(self.output.as_bytes());
        let beyond = extrapolate(kept, self.output.len() as u64, self.output_beyond);
        Counted { input: estimate::tokens(&self.prompt), output: kept + beyond + estimate::tokens(&self.answer) }
    }

    /// Counts with the model's own tokenizer where it is public (the OpenAI families), and with the
    /// byte estimate of `weir_wire::estimate` elsewhere.
    #[must_use]
    pub fn count(&self) -> Counted {
        let bpe = tokenizer(self.tokenizer.as_deref());
        let texts = prompt_texts(&self.prompt);
        let input = texts.iter().map(|text| count_text(bpe, text)).sum::<u64>();
        let input = if self.bare { input } else { input + overhead(texts.len()) };
        let kept = count_text(bpe, &self.output);
        let beyond = extrapolate(kept, self.output.len() as u64, self.output_beyond);
        let whole: u64 = answer_texts(&self.answer).iter().map(|text| count_text(bpe, text)).sum();
        Counted { input, output: kept + beyond + whole }
    }
}

/// Three tokens a message and three for the answer's start (OpenAI's cookbook, "counting tokens for
/// chat completions").
fn overhead(texts: usize) -> u64 {
    if texts == 0 { 0 } else { 3 * texts as u64 + 3 }
}

fn extrapolate(kept_tokens: u64, kept_bytes: u64, beyond: u64) -> u64 {
    beyond.saturating_mul(kept_tokens).checked_div(kept_bytes).unwrap_or(beyond / 4)
}

fn count_text(bpe: Option<&CoreBPE>, text: &str) -> u64 {
    match bpe {
        Some(bpe) if text.len() <= EXACT_LIMIT => bpe.encode_ordinary(text).len() as u64,
        _ => estimate::tokens(text.as_bytes()),
    }
}

/// Whether a tokenizer of this name counts as the model does.
#[must_use]
pub fn is_exact(name: &str) -> bool {
    tokenizer(Some(name)).is_some()
}

fn tokenizer(name: Option<&str>) -> Option<&'static CoreBPE> {
    static O200K: LazyLock<Option<CoreBPE>> = LazyLock::new(|| tiktoken_rs::o200k_base().ok());
    static CL100K: LazyLock<Option<CoreBPE>> = LazyLock::new(|| tiktoken_rs::cl100k_base().ok());
    match name? {
        "o200k_base" | "o200k_harmony" => O200K.as_ref(),
        "cl100k_base" => CL100K.as_ref(),
        _ => None,
    }
}

/// Every text of a prompt: all JSON strings but the structural ones and images.
fn prompt_texts(prompt: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    if let Ok(value) = serde_json::from_slice(prompt) {
        collect(&value, &mut texts);
    }
    texts
}

/// What a whole answer generated: the texts of its `choices` or `output`.
fn answer_texts(answer: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    if let Ok(serde_json::Value::Object(map)) = serde_json::from_slice(answer) {
        ["choices", "output"].iter().filter_map(|key| map.get(*key)).for_each(|value| collect(value, &mut texts));
    }
    texts
}

fn collect(value: &serde_json::Value, texts: &mut Vec<String>) {
    use serde_json::Value;
    match value {
        Value::String(text) if !text.starts_with("data:") => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(map) => {
            let structural = |key: &str| {
                matches!(
                    key,
                    "role"
                        | "type"
                        | "id"
                        | "tool_call_id"
                        | "url"
                        | "detail"
                        | "data"
                        | "finish_reason"
                        | "status"
                        | "logprobs"
                )
            };
            map.iter().filter(|(key, _)| !structural(key)).for_each(|(_, item)| collect(item, texts));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(prompt: &'static str, output: &str, tokenizer: &str) -> CountJob {
        CountJob {
            prompt: Bytes::from_static(prompt.as_bytes()),
            output: output.into(),
            tokenizer: Some(tokenizer.into()),
            ..CountJob::default()
        }
    }

    #[test]
    fn public_tokenizers_count_exactly() {
        let counted = job(r#"[{"role":"user","content":"hello world"}]"#, "hello world", "o200k_base").count();
        assert_eq!(counted, Counted { input: 2 + 6, output: 2 });
    }

    #[test]
    fn other_models_are_estimated_and_images_are_not_text() {
        let prompt = r#"[{"role":"user","content":[{"type":"text","text":"twelve bytes"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]"#;
        let counted = job(prompt, "four", "anthropic").count();
        assert_eq!(counted, Counted { input: 3 + 6, output: 1 });
    }

    #[test]
    fn texts_by_themselves_are_no_messages() {
        let bare = CountJob { bare: true, ..job(r#"["hello world","hello"]"#, "", "o200k_base") };
        assert_eq!(bare.count(), Counted { input: 3, output: 0 });
    }

    #[test]
    fn what_was_not_kept_is_extrapolated() {
        let job = CountJob { output: "aaaa".repeat(25), output_beyond: 1000, ..CountJob::default() };
        assert_eq!(job.count(), Counted { input: 0, output: 25 + 250 });
    }

    #[test]
    fn a_whole_answer_counts_what_it_generated() {
        let answer =
            r#"{"id":"x","choices":[{"finish_reason":"stop","message":{"role":"assistant","content":"hello world"}}]}"#;
        let job = CountJob { answer: Bytes::from_static(answer.as_bytes()), ..job("[]", "", "o200k_base") };
        assert_eq!(job.count(), Counted { input: 0, output: 2 });
    }

    #[test]
    fn a_broken_prompt_counts_nothing() {
        assert_eq!(job("{", "", "cl100k_base").count(), Counted { input: 0, output: 0 });
    }
}
