//! Golden pairs for the hub's codecs: readable files under `golden/hub/<dialect>/`.
//!
//! `requests/*.json`: a `request` and what `becomes` of it in the same dialect for a model of these
//! `capabilities` (left out: it comes back as it was), with the `losses` told; or why it is `refused`,
//! or `unread`. `reads` says in words what the hub understood.
//! `streams/*.json`: `chunks` and the whole `answer` they fold to, or the `error` they end in.

#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use weir_wire::hub::{
    Capabilities, Dialect, Event, Fold, FoldError, Ids, Media, Part, PartKind, Reply, Request, Source, Target,
};
use weir_wire::openai_chat::{StreamDecoder, decode_request, encode_answer, encode_request};
use weir_wire::rules::UsageRules;
use weir_wire::sse::Frame;

fn cases(of: &str) -> Vec<(PathBuf, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hub").join(of);
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
        .into_iter()
        .map(|file| (file.clone(), serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()))
        .collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn openai_chat_requests() {
    for (file, case) in cases("openai_chat/requests") {
        let name = file.display();
        let request = match decode_request(case["request"].to_string().as_bytes()) {
            Ok(request) => request,
            Err(error) => {
                assert_eq!(case["unread"], error.to_string(), "{name}");
                continue;
            }
        };
        if case["reads"].is_array() {
            assert_eq!(reads(&request), texts(&case["reads"]), "{name}");
        }
        let capabilities: Capabilities = match &case["capabilities"] {
            Value::Null => Capabilities::default(),
            given => serde_json::from_value(given.clone()).unwrap(),
        };
        let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::OpenAiChat };
        let encoded = match encode_request(&request, &target) {
            Ok(encoded) => encoded,
            Err(error) => {
                assert_eq!(case["refused"], error.to_string(), "{name}");
                continue;
            }
        };
        assert!(case["refused"].is_null() && case["unread"].is_null(), "{name}: it was written");
        let expected = if case["becomes"].is_null() { &case["request"] } else { &case["becomes"] };
        assert_eq!(&serde_json::from_str::<Value>(&encoded.body).unwrap(), expected, "{name}");
        let losses: Vec<String> = encoded.losses.iter().map(ToString::to_string).collect();
        assert_eq!(losses, texts(&case["losses"]), "{name}");
    }
}

#[test]
fn openai_chat_streams() {
    for (file, case) in cases("openai_chat/streams") {
        let name = file.display();
        let mut decoder = StreamDecoder::new(Arc::new(UsageRules::default()));
        let mut events = Vec::new();
        for chunk in case["chunks"].as_array().unwrap() {
            decoder.push(&Frame::new(format!("data: {chunk}\n\n").into(), false), &mut events);
        }
        decoder.push(&Frame::new("data: [DONE]\n\n".into(), false), &mut events);
        decoder.end(&mut events);
        match fold(events) {
            Ok(answer) => {
                let mut reply = Reply { source: Dialect::OpenAiChat, now: 0, model: "m".into(), ids: Ids::new(0) };
                let encoded = encode_answer(&answer, &mut reply);
                assert_eq!(serde_json::from_str::<Value>(&encoded.body).unwrap(), case["answer"], "{name}");
                assert_eq!(encoded.losses, vec![], "{name}");
            }
            Err(FoldError::Upstream(error)) => assert_eq!(case["error"], error.message, "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

fn fold(events: Vec<Event>) -> Result<weir_wire::hub::Answer, FoldError> {
    let mut fold = Fold::new(1 << 20);
    events.into_iter().try_for_each(|event| fold.push(event))?;
    fold.finish()
}

/// What was understood, a line for each part.
fn reads(request: &Request) -> Vec<String> {
    let lines = request.turns.iter().flat_map(|turn| {
        let role = format!("{:?}", turn.role).to_lowercase();
        turn.parts.iter().map(move |part| format!("{role}: {}", describe(part)))
    });
    lines.collect()
}

fn describe(part: &Part) -> String {
    let name = part.kind.name();
    let said = match &part.kind {
        PartKind::Text(text) => format!("{name} {:?}", text.text),
        PartKind::Refusal(text) => format!("{name} {text:?}"),
        PartKind::Thinking(thinking) => format!("{name} {:?}", thinking.text),
        PartKind::Image(media) | PartKind::Audio(media) | PartKind::Video(media) => format!("{name}{}", shows(media)),
        PartKind::Document(document) => {
            let title = document.title.as_ref().map(|title| format!(", {title:?}")).unwrap_or_default();
            format!("{name}{}{title}", shows(&document.media))
        }
        PartKind::ToolCall(call) => {
            format!("{name} {} {} {}", call.id.as_deref().unwrap_or("-"), call.name, call.arguments)
        }
        PartKind::ToolResult(result) => {
            let parts: Vec<String> = result.parts.iter().map(describe).collect();
            format!("{name} of {}: {}", result.call_id.as_deref().unwrap_or("-"), parts.join("; "))
        }
        PartKind::Opaque(opaque) => format!("{name} {}", opaque.name),
    };
    match part.cache.as_ref().and_then(|hint| hint.ttl) {
        Some(ttl) => format!("{said}, cached {}", ttl.word()),
        None => said,
    }
}

fn shows(media: &Media) -> String {
    let mime = media.mime.as_ref().map(|mime| format!(", {mime}")).unwrap_or_default();
    match &media.source {
        Source::Base64(data) => format!("{mime}, {} base64", data.len()),
        Source::Url(url) => format!("{mime}, {url}"),
        Source::File(id) => format!("{mime}, file {id}"),
        Source::Plain(text) => format!("{mime}, {text:?}"),
    }
}
