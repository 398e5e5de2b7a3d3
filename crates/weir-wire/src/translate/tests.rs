//! One answer from each dialect to each: that the parts are put together rightly. What the codecs make
//! of each thing is their own tests' business.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::gemini::Framing;
use crate::hub::{Capabilities, CustomCalls, Event, Extra, Ids, ReasoningStyle, Reply};
use crate::rules::UsageRules;

const INBOUND: [Inbound; 4] = [Inbound::Chat, Inbound::Responses, Inbound::Anthropic, Inbound::Gemini];

/// The same short stream in each dialect that comes as server-sent events.
const STREAMS: [(Dialect, &str); 5] = [
    (
        Dialect::OpenAiChat,
        "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"hel\"}}]}\n\n\
         data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\n\
         data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n\n\
         data: [DONE]\n\n",
    ),
    (
        Dialect::OpenAiResponses,
        "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"model\":\"m\",\"status\":\"in_progress\",\"output\":[]}}\n\n\
         data: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"i\",\"role\":\"assistant\",\"content\":[]}}\n\n\
         data: {\"type\":\"response.content_part.added\",\"output_index\":0,\"content_index\":0,\"item_id\":\"i\",\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}}\n\n\
         data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"item_id\":\"i\",\"delta\":\"hello\"}\n\n\
         data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"i\",\"role\":\"assistant\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"hello\",\"annotations\":[]}]}}\n\n\
         data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"model\":\"m\",\"status\":\"completed\",\"output\":[{\"type\":\"message\",\"id\":\"i\",\"role\":\"assistant\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"hello\",\"annotations\":[]}]}],\"usage\":{\"input_tokens\":3,\"output_tokens\":2,\"total_tokens\":5}}}\n\n",
    ),
    (
        Dialect::Anthropic,
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"a\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n\
         event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
         event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hello\"}}\n\n\
         event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
         event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n\
         event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ),
    (
        Dialect::Gemini,
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hel\"}],\"role\":\"model\"},\"index\":0}],\"modelVersion\":\"m\"}\n\n\
         data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"lo\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":2,\"totalTokenCount\":5},\"modelVersion\":\"m\"}\n\n",
    ),
    (
        Dialect::Cohere,
        "data: {\"type\":\"message-start\",\"id\":\"c\",\"delta\":{\"message\":{\"role\":\"assistant\",\"content\":[]}}}\n\n\
         data: {\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"\"}}}}\n\n\
         data: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"hello\"}}}}\n\n\
         data: {\"type\":\"content-end\",\"index\":0}\n\n\
         data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",\"usage\":{\"tokens\":{\"input_tokens\":3,\"output_tokens\":2}}}}\n\n",
    ),
];

fn caller(form: Inbound, source: Dialect) -> Caller {
    let reply = Reply { source, now: 1, model: "asked".into(), ids: Ids::new(1) };
    Caller {
        form,
        reply,
        include_usage: true,
        framing: Framing::Sse,
        echo: Extra::default(),
        custom: CustomCalls::new(&Request::default(), 0),
        model: None,
    }
}

fn read(dialect: Dialect, text: &str, cut: usize) -> (Facts, Vec<Event>) {
    let mut decoder = Decoder::new(dialect, Arc::new(UsageRules::default()), 1 << 20);
    let (mut facts, mut events) = (Facts::default(), Vec::new());
    for chunk in text.as_bytes().chunks(cut) {
        decoder.push(Bytes::copy_from_slice(chunk), &mut events);
    }
    decoder.end(&mut events);
    events.iter().for_each(|event| {
        facts.event(event);
    });
    (facts, events)
}

#[test]
fn a_stream_of_any_dialect_is_read_however_it_is_cut() {
    for (dialect, text) in STREAMS {
        let (facts, whole) = read(dialect, text, text.len());
        assert!(facts.complete && facts.error.is_none(), "{dialect:?} {facts:?}");
        assert_eq!(facts.output_text(), "hello", "{dialect:?}");
        let usage = facts.usage.unwrap();
        assert_eq!((usage.input, usage.output), (3, 2), "{dialect:?}");
        for cut in [1, 7, 64] {
            assert_eq!(read(dialect, text, cut).1, whole, "{dialect:?} {cut}");
        }
    }
}

#[test]
fn a_stream_of_any_dialect_reaches_any_caller() {
    for (dialect, text) in STREAMS {
        let (_, events) = read(dialect, text, text.len());
        for form in INBOUND {
            let (mut encoder, mut out) = (caller(form, dialect).encoder(), String::new());
            events.iter().for_each(|event| encoder.push(event.clone(), &mut out));
            let (facts, _) = read(form.dialect(), &out, out.len());
            assert!(facts.complete && facts.error.is_none(), "{dialect:?} to {form:?}: {out}");
            assert_eq!(facts.output_text(), "hello", "{dialect:?} to {form:?}: {out}");
            let usage = facts.usage.unwrap();
            assert_eq!((usage.input, usage.output), (3, 2), "{dialect:?} to {form:?}");
        }
    }
}

#[test]
fn a_broken_stream_ends_in_an_error_and_never_in_a_finish() {
    for (dialect, text) in STREAMS {
        let half = &text[..text.len() / 2];
        let (facts, events) = read(dialect, half, half.len());
        assert!(!facts.complete && facts.error.is_some(), "{dialect:?}");
        for form in INBOUND {
            let (mut encoder, mut out) = (caller(form, dialect).encoder(), String::new());
            events.iter().for_each(|event| encoder.push(event.clone(), &mut out));
            let (facts, _) = read(form.dialect(), &out, out.len());
            assert!(!facts.complete && facts.error.is_some(), "{dialect:?} to {form:?}: {out}");
        }
    }
}

#[test]
fn frames_that_are_too_large_break_the_stream() {
    let mut decoder = Decoder::new(Dialect::OpenAiChat, Arc::default(), 16);
    let mut events = Vec::new();
    decoder.push(Bytes::from_static(STREAMS[0].1.as_bytes()), &mut events);
    decoder.end(&mut events);
    let [Event::Error(error)] = events.as_slice() else { panic!("{events:?}") };
    assert!(error.message.contains("larger than 16 bytes"), "{error:?}");
}

#[test]
fn the_cost_of_a_stream_stands_in_its_usage() {
    let (_, events) = read(Dialect::Anthropic, STREAMS[2].1, 9);
    let (mut encoder, mut out) = (caller(Inbound::Chat, Dialect::Anthropic).encoder(), String::new());
    encoder.cost("0.000001000");
    events.into_iter().for_each(|event| encoder.push(event, &mut out));
    assert!(out.contains(r#""cost_usd":"0.000001000"}"#), "{out}");
}

#[test]
fn a_whole_answer_can_be_streamed() {
    let body = br#"{"id":"a","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}"#;
    let answer = decode_answer(Dialect::Anthropic, body, &UsageRules::default()).unwrap();
    let mut facts = Facts::default();
    facts.answer(&answer);
    assert_eq!((facts.output_text(), facts.model.as_deref(), facts.complete), ("hi", Some("m"), true));
    for form in INBOUND {
        let out = caller(form, Dialect::Anthropic).stream_answer(answer.clone());
        let (facts, _) = read(form.dialect(), &out, 5);
        assert_eq!((facts.output_text(), facts.complete), ("hi", true), "{form:?}: {out}");
        let whole = caller(form, Dialect::Anthropic).encode_answer(answer.clone());
        let mut facts = Facts::default();
        facts.answer(&decode_answer(form.dialect(), whole.body.as_bytes(), &UsageRules::default()).unwrap());
        assert_eq!(facts.output_text(), "hi", "{form:?}: {}", whole.body);
    }
}

/// The request's body in the target's dialect and its losses, of this caller.
fn sent(from: Dialect, body: &str, to: Dialect, capabilities: &Capabilities) -> (serde_json::Value, Vec<String>) {
    let request = decode_request(from, body.as_bytes()).unwrap();
    let encoded = encode_request(to, &request, &Target { model: "m", capabilities, caller: from }).unwrap();
    let losses = encoded.losses.iter().map(ToString::to_string).collect();
    (serde_json::from_str(&encoded.body).unwrap(), losses)
}

const ADAPTIVE: &str =
    r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"thinking":{"type":"adaptive"}}"#;
const DYNAMIC: &str = r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"thinkingConfig":{"thinkingBudget":-1}}}"#;
const SHOWN: &str = r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}"#;

#[test]
fn thinking_without_a_measure_is_never_lost_in_silence() {
    let on_request = Capabilities::default();
    let always = Capabilities { reasoning_off: false, ..Capabilities::default() };
    for (from, body, field) in
        [(Dialect::Anthropic, ADAPTIVE, "thinking"), (Dialect::Gemini, DYNAMIC, "generationConfig.thinkingConfig")]
    {
        for (to, effort) in [
            (Dialect::OpenAiChat, "/reasoning_effort"),
            (Dialect::OpenAiResponses, "/reasoning/effort"),
            (Dialect::Bedrock, "/outputConfig/effort"),
        ] {
            let (sent_to, losses) = sent(from, body, to, &on_request);
            assert_eq!(sent_to.pointer(effort).and_then(|word| word.as_str()), Some("medium"), "{to:?}: {sent_to}");
            let why = format!("{field} approximated: thinking without a measure became effort medium");
            assert!(losses.contains(&why), "{to:?}: {losses:?}");
            let (sent_to, losses) = sent(from, body, to, &always);
            assert_eq!(sent_to.pointer(effort), None, "{to:?}: {sent_to}");
            let why = format!("{field} approximated: the model thinks as it sees fit");
            assert!(losses.contains(&why), "{to:?}: {losses:?}");
        }
        if from == Dialect::Gemini {
            let (anthropic, losses) = sent(from, body, Dialect::Anthropic, &on_request);
            assert_eq!(anthropic["output_config"]["effort"], "medium");
            assert!(losses.iter().any(|loss| loss.starts_with(field)), "{losses:?}");
        }
        // These can be told to think without being told how much.
        let about = |losses: &[String]| losses.iter().filter(|loss| loss.starts_with(field)).count();
        let budgets = Capabilities { reasoning: ReasoningStyle::Budget, ..Capabilities::default() };
        let (cohere, losses) = sent(from, body, Dialect::Cohere, &budgets);
        assert_eq!((&cohere["thinking"]["type"], about(&losses)), (&"enabled".into(), 0), "{losses:?}");
        let (ollama, losses) = sent(from, body, Dialect::Ollama, &on_request);
        assert_eq!((&ollama["think"], about(&losses)), (&true.into(), 0), "{losses:?}");
    }
}

#[test]
fn who_wants_to_see_thoughts_is_told_where_that_cannot_be_asked_for() {
    let capabilities = Capabilities::default();
    for to in [Dialect::OpenAiChat, Dialect::Bedrock, Dialect::Cohere, Dialect::Ollama] {
        let (_, losses) = sent(Dialect::Gemini, SHOWN, to, &capabilities);
        let why = "generationConfig.thinkingConfig approximated: the model thinks as it sees fit";
        assert!(losses.iter().any(|loss| loss == why), "{to:?}: {losses:?}");
    }
    let (responses, losses) = sent(Dialect::Gemini, SHOWN, Dialect::OpenAiResponses, &capabilities);
    assert_eq!((&responses["reasoning"]["summary"], losses.len()), (&"auto".into(), 0), "{losses:?}");
}
