//! Whole bodies.

use bytes::Bytes;
use weir_wire::bedrock::embed::Style;
use weir_wire::embed::{self, Encoding};
use weir_wire::fault::{self, UpstreamError};
use weir_wire::gemini::{Framing, schema};
use weir_wire::hub::{
    Answer, AnswerError, Capabilities, DecodeError, Dialect, Encoded, Ids, Json, Reply, Request, Target,
};
use weir_wire::json::{self, Reader};
use weir_wire::multipart::ModelFinder;
use weir_wire::request::{Change, Peek, Shape};
use weir_wire::rules::UsageRules;
use weir_wire::{anthropic, bedrock, cohere, gemini, openai_chat, openai_responses, rerank};

use super::{bounded, is_json};

/// By how much a translation may grow: `\u0000` of one byte, twice escaped, names and wrappings.
const FACTOR: usize = 64;

/// Reads a request and writes it for every dialect.
fn request(data: &[u8], caller: Dialect, decode: fn(&[u8]) -> Result<Request, DecodeError>) {
    let Ok(mut request) = decode(data) else { return };
    request.link_results(&mut Ids::new(1));
    let capabilities = Capabilities::default();
    let target = Target { model: "m", capabilities: &capabilities, caller };
    for (name, encode) in [
        ("openai chat", openai_chat::encode_request as fn(&Request, &Target<'_>) -> _),
        ("openai responses", openai_responses::encode_request),
        ("anthropic", anthropic::encode_request),
        ("anthropic count", anthropic::encode_count_request),
        ("gemini", gemini::encode_request),
        ("bedrock", bedrock::encode_request),
        ("cohere", cohere::encode_request),
    ] {
        let Ok(encoded) = encode(&request, &target) else { continue };
        is_json(name, &encoded.body);
        bounded(name, data, encoded.body.len(), FACTOR);
        bounded(name, data, encoded.losses.len(), FACTOR);
    }
}

/// Reads an answer and writes it for every dialect.
fn answer_of(data: &[u8], source: Dialect, decode: fn(&[u8], &UsageRules) -> Result<Answer, AnswerError>) {
    match decode(data, &UsageRules::default()) {
        Ok(answer) => encode_answer(data, source, &answer),
        Err(AnswerError::Upstream(error)) => upstream(data, &error),
        Err(_) => {}
    }
}

/// Writes an answer for every dialect.
pub(super) fn encode_answer(data: &[u8], source: Dialect, answer: &Answer) {
    for (name, encode) in [
        ("openai chat", openai_chat::encode_answer as fn(&Answer, &mut Reply) -> Encoded),
        ("openai responses", openai_responses::encode_answer),
        ("anthropic", anthropic::encode_answer),
        ("gemini", gemini::encode_answer),
        ("bedrock", bedrock::encode_answer),
        ("cohere", cohere::encode_answer),
    ] {
        let mut reply = Reply { source, now: 1, model: "m".to_owned(), ids: Ids::new(1) };
        let encoded = encode(answer, &mut reply);
        is_json(name, &encoded.body);
        bounded(name, data, encoded.body.len(), FACTOR);
    }
}

/// What a provider's error may be, and writes it for every caller.
pub(super) fn upstream(data: &[u8], error: &UpstreamError) {
    assert!(error.message.len() <= fault::MAX_MESSAGE, "a message of {} bytes", error.message.len());
    let words = [&error.kind, &error.param, &error.code];
    assert!(words.into_iter().flatten().all(|word| word.len() <= 256), "{error:?}");
    for status in [400, 429, 502] {
        for body in [
            openai_chat::encode_error(status, error),
            anthropic::encode_error(status, error, Some("id")),
            gemini::encode_error(status, error, Framing::Array),
        ] {
            is_json("an error", &body);
            bounded("an error", data, body.len(), FACTOR);
        }
    }
    for event in [
        openai_chat::error_event(error),
        openai_responses::error_event(error, 1),
        anthropic::error_event(error),
        gemini::error_event(error),
    ] {
        assert!(event.ends_with("}\n\n") && event.matches("data: {").count() >= 1, "{event}");
    }
}

pub(super) fn openai_chat_request(data: &[u8]) {
    request(data, Dialect::OpenAiChat, openai_chat::decode_request);
}

pub(super) fn openai_responses_request(data: &[u8]) {
    request(data, Dialect::OpenAiResponses, openai_responses::decode_request);
    if let Ok(mut request) = openai_responses::decode_request(data) {
        openai_responses::take_state(&mut request);
        bounded("echo", data, openai_responses::echo(&request).size(), FACTOR);
    }
}

pub(super) fn anthropic_request(data: &[u8]) {
    request(data, Dialect::Anthropic, anthropic::decode_request);
}

pub(super) fn gemini_request(data: &[u8]) {
    request(data, Dialect::Gemini, gemini::decode_request);
}

pub(super) fn bedrock_request(data: &[u8]) {
    request(data, Dialect::Bedrock, bedrock::decode_request);
}

pub(super) fn cohere_request(data: &[u8]) {
    request(data, Dialect::Cohere, cohere::decode_request);
}

pub(super) fn openai_chat_answer(data: &[u8]) {
    answer_of(data, Dialect::OpenAiChat, openai_chat::decode_answer);
}

pub(super) fn openai_responses_answer(data: &[u8]) {
    answer_of(data, Dialect::OpenAiResponses, openai_responses::decode_answer);
}

pub(super) fn anthropic_answer(data: &[u8]) {
    answer_of(data, Dialect::Anthropic, anthropic::decode_answer);
}

pub(super) fn gemini_answer(data: &[u8]) {
    answer_of(data, Dialect::Gemini, gemini::decode_answer);
}

pub(super) fn bedrock_answer(data: &[u8]) {
    answer_of(data, Dialect::Bedrock, bedrock::decode_answer);
}

pub(super) fn cohere_answer(data: &[u8]) {
    answer_of(data, Dialect::Cohere, cohere::decode_answer);
}

pub(super) fn anthropic_count(data: &[u8]) {
    if let Err(AnswerError::Upstream(error)) = anthropic::decode_count(data) {
        upstream(data, &error);
    }
}

/// The reader agrees with a parser that builds trees, where both read it.
pub(super) fn json(data: &[u8]) {
    let scanned = json::scan_object(data, |field| {
        assert!(field.value.end <= data.len() && field.key_span.end <= field.value.start);
        json::string_at(data, field.key_span).expect("a key is a string");
    });
    if let Ok(mut reader) = Reader::new(data)
        && reader.skip().and_then(|_| reader.end()).is_ok()
    {
        is_json("what the reader took", std::str::from_utf8(data).expect("it was read"));
    }
    if let Ok(span) = scanned {
        assert!(span.end <= data.len());
    }
}

pub(super) fn peek(data: &[u8]) {
    for shape in [Shape::Chat, Shape::Completions, Shape::Embeddings, Shape::Responses] {
        let Ok(peek) = Peek::read(data, shape) else { continue };
        let body = Bytes::copy_from_slice(data);
        assert_eq!(peek.rewrite(&body, &Change::default()).to_bytes(), body);
        let change = Change { model: Some("x"), include_usage: true, ..Change::default() };
        let rewritten = peek.rewrite(&body, &change).to_bytes();
        is_json("a rewritten request", std::str::from_utf8(&rewritten).expect("it was text"));
        bounded("a rewritten request", data, rewritten.len(), 1);
        let names = peek.message_names(data);
        assert!(names.iter().all(|name| name.end <= data.len()), "{names:?} of {:?}", peek.prompt_size(data));
    }
}

pub(super) fn answer(data: &[u8]) {
    let answer = weir_wire::answer::read_answer(data, &UsageRules::default());
    answer.error.iter().for_each(|error| upstream(data, error));
}

pub(super) fn error(data: &[u8]) {
    for status in [400, 401, 429, 500, 503] {
        let error = fault::read_typed_error(status, None, Some("x"), data);
        assert!(!error.message.is_empty() && error.class != fault::ErrorClass::Unknown, "{error:?}");
        assert!(!error.message.to_ascii_lowercase().contains("<html"), "{error:?}");
        upstream(data, &error);
    }
    let page = fault::read_error(502, Some("text/html"), data);
    assert!(page.message.ends_with("no readable error"), "{page:?}");
    assert!(fault::snippet(data).len() <= 256);
}

pub(super) fn gemini_usage(data: &[u8]) {
    let usage = gemini::read_usage(data).unwrap_or_default();
    assert!(usage.cached <= usage.input && usage.reasoning <= usage.output, "{usage:?}");
}

pub(super) fn gemini_schema(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    let schema = Json::of(&value);
    bounded("capitals", data, schema::capitals(&schema).as_str().len(), FACTOR);
    let read = schema::from_openapi(&schema);
    is_json("a schema", read.schema.as_str());
    bounded("a schema", data, read.schema.as_str().len(), FACTOR);
}

/// However the body is cut the verdict is the same.
pub(super) fn multipart(data: &[u8]) {
    let verdict = |size: usize| {
        let mut finder = ModelFinder::new("b");
        for chunk in data.chunks(size) {
            finder.push(chunk)?;
        }
        finder.finish()
    };
    assert_eq!(verdict(data.len().max(1)), verdict(3));
    let _: Result<String, _> = weir_wire::multipart::boundary_of(&String::from_utf8_lossy(data));
}

const EMBED_APIS: [embed::Api; 9] = [
    embed::Api::OpenAi,
    embed::Api::Cohere,
    embed::Api::Gemini,
    embed::Api::Vertex,
    embed::Api::Voyage,
    embed::Api::Jina,
    embed::Api::Tei,
    embed::Api::FeatureExtraction,
    embed::Api::Ollama,
];

pub(super) fn embed_request(data: &[u8]) {
    let Ok(request) = embed::decode_request(data) else { return };
    EMBED_APIS.into_iter().for_each(|api| embedding_written(data, &request, api));
}

fn embedding_written(data: &[u8], request: &embed::Request, api: embed::Api) {
    let Ok(encoded) = embed::encode_request(request, api, "m") else { return };
    is_json("an embedding request", &encoded.body);
    bounded("an embedding request", data, encoded.body.len(), FACTOR);
}

pub(super) fn embed_answer(data: &[u8]) {
    EMBED_APIS.into_iter().for_each(|api| embedding_read(data, api));
}

fn embedding_read(data: &[u8], api: embed::Api) {
    match embed::decode_answer(data, api, &UsageRules::default()) {
        Ok(answer) => {
            for encoding in [None, Some(Encoding::Float), Some(Encoding::Base64)] {
                let body = embed::encode_answer(&answer, encoding, "m");
                is_json("embeddings", &body);
                bounded("embeddings", data, body.len(), FACTOR);
            }
        }
        Err(AnswerError::Upstream(error)) => upstream(data, &error),
        Err(_) => {}
    }
}

pub(super) fn bedrock_embed(data: &[u8]) {
    for api in [Style::Titan, Style::TitanV2, Style::CohereV3, Style::CohereV4].map(embed::Api::Bedrock) {
        if let Ok(request) = embed::decode_request(data) {
            embedding_written(data, &request, api);
            embedding_written(data, &request.part(0..1), api);
        }
        embedding_read(data, api);
    }
}

pub(super) fn rerank_request(data: &[u8]) {
    let Ok(request) = rerank::decode_request(data) else { return };
    for api in [rerank::Api::Cohere, rerank::Api::Jina, rerank::Api::Voyage, rerank::Api::Tei] {
        let encoded = rerank::encode_request(&request, api, "m");
        is_json("a rerank request", &encoded.body);
        bounded("a rerank request", data, encoded.body.len(), FACTOR);
    }
}

pub(super) fn rerank_answer(data: &[u8]) {
    for sent in [0, 1, 3] {
        match rerank::decode_answer(data, sent, &UsageRules::default()) {
            Ok(answer) => {
                let body = rerank::encode_answer(&answer, &rerank::Request::default(), "id", "m");
                is_json("a ranking", &body);
                bounded("a ranking", data, body.len(), FACTOR);
            }
            Err(AnswerError::Upstream(error)) => upstream(data, &error),
            Err(_) => {}
        }
    }
}
