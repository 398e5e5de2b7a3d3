//! Answers: usage, stops, and what other dialects' answers become.

use serde_json::{Value, json};

use crate::bedrock::{decode_answer, encode_answer};
use crate::hub::{
    Answer, AnswerError, Choice, Citation, Dialect, Ids, Part, PartKind, Reply, Spent, Stop, StopReason, Text, ToolCall,
};
use crate::rules::UsageRules;
use crate::usage::Usage;

fn decode(body: &Value) -> Result<Answer, AnswerError> {
    decode_answer(body.to_string().as_bytes(), &UsageRules::default())
}

#[test]
fn caches_stand_beside_the_input() {
    let usage = json!({"inputTokens": 2, "outputTokens": 5, "totalTokens": 1342, "cacheReadInputTokens": 1322,
        "cacheWriteInputTokens": 13, "cacheDetails": [{"ttl": "1h", "inputTokens": 9}, {"ttl": "5m", "inputTokens": 4}, 7]});
    let answer = decode(&json!({"output": {}, "usage": usage})).unwrap();
    let expected = Usage {
        input: 1337,
        cached: 1322,
        cache_write: 13,
        cache_write_1h: 9,
        cache_write_5m: 4,
        output: 5,
        ..Usage::default()
    };
    assert_eq!(answer.usage.unwrap().tokens, expected);
    let huge = json!({"inputTokens": u64::MAX, "cacheReadInputTokens": u64::MAX});
    let spent = decode(&json!({"output": {}, "usage": huge})).unwrap().usage.unwrap();
    assert_eq!((spent.tokens.input, spent.bent), (2 * crate::counts::MAX_COUNT, true), "none is believed beyond that");
}

#[test]
fn every_stop_has_its_reason() {
    for (word, reason) in [
        ("end_turn", StopReason::End),
        ("tool_use", StopReason::ToolUse),
        ("max_tokens", StopReason::Length),
        ("stop_sequence", StopReason::Sequence),
        ("guardrail_intervened", StopReason::Filter),
        ("content_filtered", StopReason::Filter),
        ("malformed_model_output", StopReason::Malformed),
        ("malformed_tool_use", StopReason::Malformed),
        ("model_context_window_exceeded", StopReason::Window),
        ("of_tomorrow", StopReason::Unknown),
    ] {
        let body = json!({"output": {}, "stopReason": word, "additionalModelResponseFields": {"delta": {"stop_sequence": "END"}}});
        let stop = decode(&body).unwrap().choices[0].stop.clone().unwrap();
        assert_eq!((stop.reason, stop.word_of(Dialect::Bedrock)), (reason, Some(word)));
        assert_eq!(stop.sequence.is_some(), word == "stop_sequence");
    }
}

#[test]
fn errors_under_success_are_errors() {
    let error = decode(&json!({"Output": {}, "message": "no"})).unwrap_err();
    assert!(matches!(error, AnswerError::Upstream(error) if error.message == "no"));
    assert!(matches!(decode(&json!({})), Err(AnswerError::Decode(_))));
    assert!(matches!(decode(&json!([])), Err(AnswerError::Decode(_))));
}

#[test]
fn another_dialect_s_answer_is_written() {
    let citation = Citation { title: Some("t".into()), url: Some("https://x.test".into()), ..Citation::default() };
    let cited = Part::new(PartKind::Text(Text { text: "a".into(), citations: vec![citation] }));
    let call = ToolCall { name: "f".into(), ..ToolCall::default() };
    let parts =
        vec![cited, Part::text("b"), Part::new(PartKind::Refusal("c".into())), Part::new(PartKind::ToolCall(call))];
    let tokens = Usage { input: 10, cached: 4, cache_write: 1, output: 3, ..Usage::default() };
    let choice = Choice { parts, stop: Some(Stop::new(StopReason::Pause)), ..Choice::default() };
    let answer = Answer {
        choices: vec![choice.clone(), choice],
        usage: Some(Spent { tokens, ..Spent::default() }),
        ..Answer::default()
    };
    let mut reply = Reply { source: Dialect::OpenAiChat, now: 0, model: "m".into(), ids: Ids::new(1) };
    let encoded = encode_answer(&answer, &mut reply);
    let id = Ids::new(1).next("tooluse_");
    let expected = json!({
        "output": {"message": {"role": "assistant", "content": [
            {"citationsContent": {"content": [{"text": "a"}], "citations": [
                {"title": "t", "location": {"web": {"url": "https://x.test"}}}]}},
            {"text": "b"}, {"text": "c"},
            {"toolUse": {"toolUseId": id, "name": "f", "input": {}}}]}},
        "stopReason": "max_tokens",
        "usage": {"inputTokens": 5, "outputTokens": 3, "totalTokens": 13, "cacheReadInputTokens": 4, "cacheWriteInputTokens": 1},
    });
    assert_eq!(serde_json::from_str::<Value>(&encoded.body).unwrap(), expected);
    let lost: Vec<&str> = encoded.losses.iter().map(|loss| loss.field.as_str()).collect();
    assert_eq!(lost, ["choices", "", "stopReason"]);
}
