//! Embeddings by `invoke`: Amazon's Titan and Cohere's models have bodies of their own. What is in
//! them is of [`crate::embed`], where they are written and read.
//!
//! Titan takes one text a call, Cohere 96. Cohere's models say how many tokens there were in the
//! header `x-amzn-bedrock-input-token-count` alone, Titan in the body as well.

use serde::{Deserialize, Serialize};

use crate::embed::answer::{plain, spent, vector, vectors};
use crate::embed::encode::{cohere_purpose, cohere_word, list, value};
use crate::embed::{Answer, Request};
use crate::hub::write::Obj;
use crate::hub::{DecodeError, EncodeError, Fields};
use crate::json::Kind;
use crate::usage::Usage;

/// Whose bodies a model speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// Titan of the first generation: no dimensions.
    Titan,
    /// Titan of the second: dimensions.
    TitanV2,
    /// Cohere's third generation: no dimensions.
    CohereV3,
    /// Cohere's fourth.
    CohereV4,
}

impl Style {
    /// That of a Titan model, by its id or ARN. The one for images takes texts, too, and its
    /// dimensions stand elsewhere.
    #[must_use]
    pub fn of_titan(model: &str) -> Self {
        let first = ["titan-embed-text-v1", "titan-embed-g1", "titan-embed-image"];
        if first.iter().any(|name| model.contains(name)) { Self::Titan } else { Self::TitanV2 }
    }

    /// That of a Cohere model, by its id or ARN.
    #[must_use]
    pub fn of_cohere(model: &str) -> Self {
        if model.contains("-v3") { Self::CohereV3 } else { Self::CohereV4 }
    }

    /// Whether its vectors have as many numbers as the caller wants.
    #[must_use]
    pub fn has_dimensions(self) -> bool {
        matches!(self, Self::TitanV2 | Self::CohereV4)
    }
}

/// Titan has a place for one text.
pub(crate) fn check(request: &Request, style: Style) -> Result<(), EncodeError> {
    if matches!(style, Style::CohereV3 | Style::CohereV4) || request.inputs.len() == 1 {
        return Ok(());
    }
    let why = format!("{} texts, and the model takes one a call", request.inputs.len());
    Err(EncodeError { field: "input".to_owned(), why })
}

/// Writes the members of a request; the model is in the path.
pub(crate) fn write(o: &mut Obj<'_>, request: &Request, style: Style) {
    match style {
        Style::Titan | Style::TitanV2 => {
            request.inputs.iter().take(1).for_each(|text| o.raw("inputText", &value(text)));
            o.opt_num("dimensions", request.dimensions.as_ref().filter(|_| style.has_dimensions()));
        }
        Style::CohereV3 | Style::CohereV4 => {
            o.raw("texts", &list(&request.inputs));
            cohere_purpose(o, request);
            o.opt_text("truncate", request.truncate.map(cohere_word));
            o.opt_num("output_dimension", request.dimensions.as_ref().filter(|_| style.has_dimensions()));
            o.array("embedding_types", |a| a.text("float"));
        }
    }
}

/// Reads the answer to one call.
pub(crate) fn answer(mut fields: Fields<'_>) -> Result<Answer, DecodeError> {
    let tokens = fields.count("inputTextTokenCount")?;
    let usage = tokens.map(|input| spent(Usage { input, ..Usage::default() }));
    let of = |items| Answer { items, usage, ..Answer::default() };
    let at = fields.at().member("embedding");
    if let Some(node) = fields.take_kind("embedding", Kind::Array)? {
        return Ok(of(vec![plain(vector(node, &at)?)]));
    }
    if let Some(mut by_type) = fields.object("embeddingsByType")? {
        let at = by_type.at().member("float");
        if let Some(node) = by_type.take_kind("float", Kind::Array)? {
            return Ok(of(vec![plain(vector(node, &at)?)]));
        }
    }
    let at = fields.at().member("embeddings");
    let Some(node) = fields.take("embeddings") else {
        return Err(fields.error("embedding", "missing, expected a list of numbers"));
    };
    if node.kind == Kind::Array {
        return Ok(of(vectors(node, &at)?));
    }
    let mut by_type = node.fields(at)?;
    let at = by_type.at().member("float");
    match by_type.take_kind("float", Kind::Array)? {
        Some(node) => Ok(of(vectors(node, &at)?)),
        None => Err(by_type.error("float", "missing: no other type of vector can be told to the caller")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Style;
    use crate::embed::{Api, decode_answer, decode_request, encode_request};
    use crate::hub::AnswerError;
    use crate::rules::UsageRules;

    fn made(body: &Value, style: Style) -> (Value, Vec<String>) {
        let request = decode_request(body.to_string().as_bytes()).unwrap();
        let made = encode_request(&request, Api::Bedrock(style), "m").unwrap();
        let lost = made.losses.iter().map(|loss| format!("{} {}", loss.field, loss.what.word())).collect();
        (serde_json::from_str(&made.body).unwrap(), lost)
    }

    fn check(body: Value, style: Style, expected: Value, lost: &[&str]) {
        let (made, told) = made(&body, style);
        assert_eq!(made, expected);
        assert_eq!(told, lost);
    }

    #[test]
    fn models_are_told_apart_by_their_ids() {
        for (model, style) in [
            ("amazon.titan-embed-text-v1", Style::Titan),
            ("amazon.titan-embed-g1-text-02", Style::Titan),
            ("arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0", Style::TitanV2),
        ] {
            assert_eq!(Style::of_titan(model), style, "{model}");
        }
        assert_eq!(Style::of_cohere("cohere.embed-english-v3"), Style::CohereV3);
        assert_eq!(Style::of_cohere("us.cohere.embed-v4:0"), Style::CohereV4);
    }

    #[test]
    fn titan_takes_one_text_a_call() {
        let body = json!({"model": "m", "input": "a", "dimensions": 256, "encoding_format": "base64"});
        check(body.clone(), Style::TitanV2, json!({"inputText": "a", "dimensions": 256}), &[]);
        check(body, Style::Titan, json!({"inputText": "a"}), &["dimensions dropped"]);
        let typed = json!({"input": ["a"], "input_type": "search_query", "user": "u", "truncate": "END", "x": 1});
        let lost = ["user dropped", "input_type dropped", "truncate dropped", "x dropped"];
        check(typed, Style::TitanV2, json!({"inputText": "a"}), &lost);
        let two = decode_request(br#"{"input":["a","b"]}"#).unwrap();
        let error = encode_request(&two, Api::Bedrock(Style::TitanV2), "m").unwrap_err();
        assert_eq!(error.to_string(), "input: 2 texts, and the model takes one a call");
    }

    #[test]
    fn cohere_is_told_what_it_wants_to_know() {
        let body = json!({"input": ["a", "b"], "dimensions": 512, "input_type": "search_query", "truncate": "END"});
        let expected = json!({"texts": ["a", "b"], "input_type": "search_query", "truncate": "END",
            "output_dimension": 512, "embedding_types": ["float"]});
        check(body, Style::CohereV4, expected, &[]);
        let expected = json!({"texts": ["a"], "input_type": "search_document", "embedding_types": ["float"]});
        let lost = ["dimensions dropped", "input_type approximated"];
        check(json!({"input": "a", "dimensions": 8}), Style::CohereV3, expected, &lost);
    }

    #[test]
    fn answers_are_vectors_and_tokens() {
        let read = |body: &str| decode_answer(body.as_bytes(), Api::Bedrock(Style::CohereV4), &UsageRules::default());
        let check = |body: &str, vectors: &[&str], tokens| {
            let answer = read(body).unwrap();
            let texts: Vec<String> = answer.items.iter().map(|item| item.vector.to_floats()).collect();
            assert_eq!(texts, vectors, "{body}");
            assert_eq!(answer.usage.map(|spent| spent.tokens.input), tokens, "{body}");
        };
        check(r#"{"embedding":[0.10,-2e-3],"inputTextTokenCount":7}"#, &["[0.10,-2e-3]"], Some(7));
        check(r#"{"embeddingsByType":{"float":[1]},"inputTextTokenCount":7}"#, &["[1]"], Some(7));
        check(r#"{"embeddings":[[1],[2]],"id":"x","texts":["a","b"]}"#, &["[1]", "[2]"], None);
        check(r#"{"embeddings":{"float":[[1],[2]]}}"#, &["[1]", "[2]"], None);
        let error = read(r#"{"message":"Too many requests"}"#).unwrap_err();
        assert_eq!(error.to_string(), "the provider failed: Too many requests");
        for body in ["{}", r#"{"embeddings":{"int8":[[1]]}}"#, r#"{"embedding":["x"]}"#, r#""x""#] {
            assert!(matches!(read(body), Err(AnswerError::Decode(_))), "{body}");
        }
    }
}
