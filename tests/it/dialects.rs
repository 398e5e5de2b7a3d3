//! Every dialect that comes in, to every dialect that goes out: through the router, to an upstream that
//! speaks one dialect, and back.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use weir_wire::eventstream;

use crate::support::gateway::{Gateway, Reply, Setup};
use crate::support::upstream::{Script, Seen, Step, Upstream};

/// Providers by the dialect they speak, all at one upstream.
fn providers(upstream: &Upstream) -> String {
    let at = format!("http://{}", upstream.addr);
    format!(
        "providers:
  chat: {{ kind: openai-compatible, base_url: \"{at}/v1\", api_key: k-chat, operations: [chat] }}
  responses: {{ kind: openai-compatible, base_url: \"{at}/v1\", api_key: k-responses, operations: [responses] }}
  anthropic: {{ base_url: \"{at}/v1\", api_key: k-anthropic }}
  gemini: {{ base_url: \"{at}/v1beta\", api_key: k-gemini }}
  bedrock: {{ base_url: \"{at}\", api_key: k-bedrock }}
  cohere: {{ base_url: \"{at}\", api_key: k-cohere }}
models:
  m: anthropic/m
prices:
  chat/m: {{ input: \"1.00\", output: \"2.00\" }}
  responses/m: {{ input: \"1.00\", output: \"2.00\" }}
  anthropic/m: {{ input: \"1.00\", output: \"2.00\" }}
  gemini/m: {{ input: \"1.00\", output: \"2.00\" }}
  bedrock/m: {{ input: \"1.00\", output: \"2.00\" }}
  cohere/m: {{ input: \"1.00\", output: \"2.00\" }}
"
    )
}

const OUTBOUND: [&str; 6] = ["chat", "responses", "anthropic", "gemini", "bedrock", "cohere"];

/// What the upstream says, whoever asks: "hello", three tokens in, two out.
fn whole(dialect: &str) -> Value {
    match dialect {
        "chat" => {
            json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "m-served", "choices": [{"index": 0,
            "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
        }
        "responses" => {
            json!({"id": "r1", "object": "response", "created_at": 1, "model": "m-served", "status": "completed",
            "output": [{"type": "message", "id": "i", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "hello", "annotations": []}]}],
            "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}})
        }
        "anthropic" => json!({"id": "a1", "type": "message", "role": "assistant", "model": "m-served",
            "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 3, "output_tokens": 2}}),
        "gemini" => {
            json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP",
            "index": 0}], "modelVersion": "m-served", "responseId": "g1",
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}})
        }
        "bedrock" => json!({"output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}},
            "stopReason": "end_turn", "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}}),
        "cohere" => json!({"id": "co1", "finish_reason": "COMPLETE", "message": {"role": "assistant",
            "content": [{"type": "text", "text": "hello"}]},
            "usage": {"billed_units": {"input_tokens": 3, "output_tokens": 2}, "tokens": {"input_tokens": 3, "output_tokens": 2}}}),
        other => panic!("{other}"),
    }
}

/// The same as a stream.
fn stream(dialect: &str) -> Vec<u8> {
    let sse =
        |events: &[Value]| -> Vec<u8> { events.iter().map(|e| format!("data: {e}\n\n")).collect::<String>().into() };
    let named = |events: &[Value]| -> Vec<u8> {
        events
            .iter()
            .map(|e| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap()))
            .collect::<String>()
            .into()
    };
    match dialect {
        "chat" => {
            let chunk = |delta: Value, finish: Value| {
                json!({"id": "c1", "object": "chat.completion.chunk", "created": 1,
                "model": "m-served", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
            };
            let usage = json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-served", "choices": [],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}});
            let mut out = sse(&[
                chunk(json!({"role": "assistant", "content": ""}), Value::Null),
                chunk(json!({"content": "hel"}), Value::Null),
                chunk(json!({"content": "lo"}), Value::Null),
                chunk(json!({}), "stop".into()),
                usage,
            ]);
            out.extend(b"data: [DONE]\n\n");
            out
        }
        "responses" => {
            let whole = whole("responses");
            let mut begun = whole.clone();
            begun["status"] = "in_progress".into();
            begun["output"] = json!([]);
            begun["usage"] = Value::Null;
            named(&[
                json!({"type": "response.created", "sequence_number": 0, "response": begun}),
                json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0,
                    "item": {"type": "message", "id": "i", "role": "assistant", "status": "in_progress", "content": []}}),
                json!({"type": "response.content_part.added", "sequence_number": 2, "item_id": "i", "output_index": 0,
                    "content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []}}),
                json!({"type": "response.output_text.delta", "sequence_number": 3, "item_id": "i", "output_index": 0,
                    "content_index": 0, "delta": "hello"}),
                json!({"type": "response.output_text.done", "sequence_number": 4, "item_id": "i", "output_index": 0,
                    "content_index": 0, "text": "hello"}),
                json!({"type": "response.content_part.done", "sequence_number": 5, "item_id": "i", "output_index": 0,
                    "content_index": 0, "part": whole["output"][0]["content"][0]}),
                json!({"type": "response.output_item.done", "sequence_number": 6, "output_index": 0, "item": whole["output"][0]}),
                json!({"type": "response.completed", "sequence_number": 7, "response": whole}),
            ])
        }
        "anthropic" => named(&[
            json!({"type": "message_start", "message": {"id": "a1", "type": "message", "role": "assistant", "model": "m-served",
                "content": [], "stop_reason": null, "usage": {"input_tokens": 3, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 2}}),
            json!({"type": "message_stop"}),
        ]),
        "gemini" => sse(&[
            json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "hel"}]}, "index": 0}], "modelVersion": "m-served"}),
            json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "lo"}]}, "finishReason": "STOP", "index": 0}],
                "modelVersion": "m-served", "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}}),
        ]),
        "bedrock" => [
            ("messageStart", json!({"role": "assistant"})),
            ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": "hello"}})),
            ("contentBlockStop", json!({"contentBlockIndex": 0})),
            ("messageStop", json!({"stopReason": "end_turn"})),
            (
                "metadata",
                json!({"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 1}}),
            ),
        ]
        .iter()
        .flat_map(|(name, payload)| eventstream::encode(&eventstream::Message::event(name, payload.to_string())))
        .collect(),
        "cohere" => named(&[
            json!({"type": "message-start", "id": "co1", "delta": {"message": {"role": "assistant", "content": []}}}),
            json!({"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}),
            json!({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "hello"}}}}),
            json!({"type": "content-end", "index": 0}),
            json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}}}}),
        ]),
        other => panic!("{other}"),
    }
}

/// The dialect of a call, by its path.
fn spoken(path: &str) -> (&'static str, bool) {
    match path.split('?').next().unwrap() {
        "/v1/chat/completions" => ("chat", false),
        "/v1/responses" => ("responses", false),
        "/v1/messages" => ("anthropic", false),
        "/v1beta/models/m:generateContent" => ("gemini", false),
        "/v1beta/models/m:streamGenerateContent" => ("gemini", true),
        "/model/m/converse" => ("bedrock", false),
        "/model/m/converse-stream" => ("bedrock", true),
        "/v2/chat" => ("cohere", false),
        other => panic!("nobody serves {other}"),
    }
}

fn answer(seen: &Seen) -> Script {
    let (dialect, by_path) = spoken(&seen.path);
    let streams = by_path || seen.json()["stream"] == true;
    if !streams {
        return Script::json(whole(dialect).to_string());
    }
    let kind = if dialect == "bedrock" { "application/vnd.amazon.eventstream" } else { "text/event-stream" };
    // Cut where no event ends.
    let steps = stream(dialect).chunks(37).map(Step::send).collect();
    Script::new(200, kind, steps)
}

async fn gateway() -> (Upstream, Gateway, String) {
    let upstream = Upstream::start(answer).await;
    let gateway = Setup::new(providers(&upstream)).start().await;
    let key = gateway.plain_key().await;
    (upstream, gateway, key)
}

/// The same question in each form that comes in: path and body.
fn question(form: &str, model: &str, streams: bool) -> (String, Value) {
    match form {
        "chat" => (
            "/v1/chat/completions".into(),
            json!({"model": model, "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
                "max_tokens": 50, "stream": streams, "stream_options": if streams { json!({"include_usage": true}) } else { Value::Null }}),
        ),
        "responses" => (
            "/v1/responses".into(),
            json!({"model": model, "instructions": "be brief", "input": "hi", "max_output_tokens": 50, "stream": streams, "store": false}),
        ),
        "anthropic" => (
            "/v1/messages".into(),
            json!({"model": model, "system": "be brief", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50, "stream": streams}),
        ),
        "gemini" => (
            format!(
                "/v1beta/models/{model}:{}",
                if streams { "streamGenerateContent?alt=sse" } else { "generateContent" }
            ),
            json!({"systemInstruction": {"parts": [{"text": "be brief"}]}, "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
                "generationConfig": {"maxOutputTokens": 50}}),
        ),
        other => panic!("{other}"),
    }
}

const INBOUND: [&str; 4] = ["chat", "responses", "anthropic", "gemini"];

/// Text, why it ended, tokens in and out, model: as the caller of this form reads a whole answer.
fn read(form: &str, answer: &Value) -> (String, String, u64, u64, String) {
    let text = |v: &Value| v.as_str().unwrap_or("?").to_owned();
    let n = |v: &Value| v.as_u64().unwrap_or(999);
    match form {
        "chat" => {
            let (choice, usage) = (&answer["choices"][0], &answer["usage"]);
            (
                text(&choice["message"]["content"]),
                text(&choice["finish_reason"]),
                n(&usage["prompt_tokens"]),
                n(&usage["completion_tokens"]),
                text(&answer["model"]),
            )
        }
        "responses" => {
            let usage = &answer["usage"];
            let said = answer["output"].as_array().unwrap().iter().find(|item| item["type"] == "message").unwrap();
            (
                text(&said["content"][0]["text"]),
                text(&answer["status"]),
                n(&usage["input_tokens"]),
                n(&usage["output_tokens"]),
                text(&answer["model"]),
            )
        }
        "anthropic" => {
            let usage = &answer["usage"];
            (
                text(&answer["content"][0]["text"]),
                text(&answer["stop_reason"]),
                n(&usage["input_tokens"]),
                n(&usage["output_tokens"]),
                text(&answer["model"]),
            )
        }
        "gemini" => {
            let (candidate, usage) = (&answer["candidates"][0], &answer["usageMetadata"]);
            (
                text(&candidate["content"]["parts"][0]["text"]),
                text(&candidate["finishReason"]),
                n(&usage["promptTokenCount"]),
                n(&usage["candidatesTokenCount"]),
                text(&answer["modelVersion"]),
            )
        }
        other => panic!("{other}"),
    }
}

fn ends_well(form: &str) -> &'static str {
    match form {
        "chat" => "stop",
        "responses" => "completed",
        "anthropic" => "end_turn",
        _ => "STOP",
    }
}

/// The model's name in an answer: the one that served, or its own name at providers that do not say.
/// Anthropic's clients get the name that they asked for, without which they keep no thoughts.
fn named(form: &str, out: &str) -> String {
    match (form, out) {
        ("anthropic", _) => format!("{out}/m"),
        (_, "bedrock" | "cohere") => "m".to_owned(),
        _ => "m-served".to_owned(),
    }
}

#[tokio::test]
async fn whole_answers_from_any_dialect_to_any() {
    let (upstream, gateway, key) = gateway().await;
    for form in INBOUND {
        for out in OUTBOUND {
            let (path, body) = question(form, &format!("{out}/m"), false);
            let reply = gateway.post(&key, &path, body).await;
            assert_eq!(reply.status, StatusCode::OK, "{form} to {out}: {}", reply.text());
            let expected = ("hello".to_owned(), ends_well(form).to_owned(), 3, 2, named(form, out));
            assert_eq!(read(form, &reply.json()), expected, "{form} to {out}: {}", reply.text());
            assert_eq!(reply.header("x-weir-cost-usd"), Some("0.000007000"), "{form} to {out}");
            assert_eq!(reply.header("content-type"), Some("application/json"), "{form} to {out}");
            assert_eq!(reply.header("x-weir-warnings"), None, "{form} to {out}");
            let seen = upstream.seen().pop().unwrap();
            assert_eq!(spoken(&seen.path).0, out);
            asked_well(out, &seen);
        }
    }
    for row in gateway.wait_rows(24).await {
        let facts = (&row["status"], &row["input_tokens"], &row["output_tokens"], &row["cost_usd"], &row["estimated"]);
        assert_eq!(facts, (&json!("ok"), &json!(3), &json!(2), &json!("0.000007000"), &json!(false)), "{row}");
    }
}

/// The question as the upstream of each dialect must see it, with its own credential.
fn asked_well(out: &str, seen: &Seen) {
    let body = seen.json();
    let header = |name: &str| seen.headers.get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    match out {
        "chat" => {
            assert_eq!(body["messages"][0], json!({"role": "system", "content": "be brief"}), "{body}");
            assert_eq!(body["messages"][1], json!({"role": "user", "content": "hi"}), "{body}");
            assert_eq!(header("authorization"), "Bearer k-chat");
        }
        "responses" => assert_eq!(header("authorization"), "Bearer k-responses"),
        "anthropic" => {
            assert_eq!(body["max_tokens"], 50, "{body}");
            assert!(body["system"].to_string().contains("be brief"), "{body}");
            assert_eq!((header("x-api-key"), header("anthropic-version")), ("k-anthropic".into(), "2023-06-01".into()));
            assert_eq!(header("authorization"), "");
        }
        "gemini" => {
            assert_eq!(body["generationConfig"]["maxOutputTokens"], 50, "{body}");
            assert_eq!(body["systemInstruction"]["parts"][0]["text"], "be brief", "{body}");
            assert_eq!(header("x-goog-api-key"), "k-gemini");
        }
        "bedrock" => {
            assert_eq!(body["inferenceConfig"]["maxTokens"], 50, "{body}");
            assert_eq!(body["system"][0]["text"], "be brief", "{body}");
            assert_eq!(header("authorization"), "Bearer k-bedrock");
        }
        _ => assert_eq!(header("authorization"), "Bearer k-cohere"),
    }
}

/// A stream put together as its client does.
fn gathered(form: &str, text: &str) -> (String, String, u64, u64) {
    let events: Vec<Value> = text
        .split("\n\n")
        .filter_map(|frame| frame.lines().find_map(|line| line.strip_prefix("data: ")))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {data}")))
        .collect();
    let n = |v: &Value| v.as_u64();
    let (mut said, mut end, mut input, mut output) = (String::new(), String::new(), 999, 999);
    for event in &events {
        match form {
            "chat" => {
                said += event["choices"][0]["delta"]["content"].as_str().unwrap_or("");
                end += event["choices"][0]["finish_reason"].as_str().unwrap_or("");
                input = n(&event["usage"]["prompt_tokens"]).unwrap_or(input);
                output = n(&event["usage"]["completion_tokens"]).unwrap_or(output);
            }
            "responses" => {
                if event["type"] == "response.output_text.delta" {
                    said += event["delta"].as_str().unwrap();
                }
                if event["type"] == "response.completed" {
                    end += event["response"]["status"].as_str().unwrap();
                    input = n(&event["response"]["usage"]["input_tokens"]).unwrap_or(input);
                    output = n(&event["response"]["usage"]["output_tokens"]).unwrap_or(output);
                }
            }
            "anthropic" => {
                said += event["delta"]["text"].as_str().unwrap_or("");
                end += event["delta"]["stop_reason"].as_str().unwrap_or("");
                input = n(&event["message"]["usage"]["input_tokens"])
                    .or(n(&event["usage"]["input_tokens"]))
                    .unwrap_or(input);
                output = n(&event["usage"]["output_tokens"]).unwrap_or(output);
            }
            _ => {
                said += event["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap_or("");
                end += event["candidates"][0]["finishReason"].as_str().unwrap_or("");
                input = n(&event["usageMetadata"]["promptTokenCount"]).unwrap_or(input);
                output = n(&event["usageMetadata"]["candidatesTokenCount"]).unwrap_or(output);
            }
        }
    }
    (said, end, input, output)
}

#[tokio::test]
async fn streams_from_any_dialect_to_any() {
    let (_upstream, gateway, key) = gateway().await;
    for form in INBOUND {
        for out in OUTBOUND {
            let (path, body) = question(form, &format!("{out}/m"), true);
            let reply = gateway.post(&key, &path, body).await;
            assert_eq!(reply.status, StatusCode::OK, "{form} to {out}: {}", reply.text());
            assert!(reply.header("content-type").unwrap().starts_with("text/event-stream"), "{form} to {out}");
            // What an Anthropic client is told of the input at the start is what the provider has said by then.
            let (said, end, _, output) = gathered(form, &reply.text());
            assert_eq!(
                (said.as_str(), end.as_str(), output),
                ("hello", ends_well(form), 2),
                "{form} to {out}: {}",
                reply.text()
            );
            if form == "chat" {
                assert!(reply.text().ends_with("data: [DONE]\n\n"), "{out}");
                assert!(reply.text().contains(r#""cost_usd":"0.000007000""#), "{out}: {}", reply.text());
            }
        }
    }
    for row in gateway.wait_rows(24).await {
        let facts = (&row["status"], &row["input_tokens"], &row["output_tokens"], &row["cost_usd"], &row["stream"]);
        assert_eq!(facts, (&json!("ok"), &json!(3), &json!(2), &json!("0.000007000"), &json!(true)), "{row}");
    }
}

#[tokio::test]
async fn a_gemini_client_may_want_an_array() {
    let (_upstream, gateway, key) = gateway().await;
    for out in OUTBOUND {
        let path = format!("/v1beta/models/{out}/m:streamGenerateContent");
        let reply = gateway.post(&key, &path, question("gemini", "", true).1).await;
        assert_eq!(reply.header("content-type"), Some("application/json"), "{out}: {}", reply.text());
        let chunks = reply.json();
        let said: String = chunks
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|c| c["candidates"][0]["content"]["parts"][0]["text"].as_str())
            .collect();
        assert_eq!(said, "hello", "{out}: {}", reply.text());
    }
}

#[tokio::test]
async fn the_same_dialect_passes_byte_for_byte() {
    let (upstream, gateway, key) = gateway().await;
    for form in INBOUND {
        // By a name that is the provider's own, Anthropic's answers pass as they are too.
        let model = if form == "anthropic" { "m".to_owned() } else { format!("{form}/m") };
        let (path, mut body) = question(form, &model, false);
        body["x_unknown"] = json!({"b": 1.0e0, "a": [null]});
        let reply = gateway.post(&key, &path, &body).await;
        assert_eq!(reply.text(), whole(form).to_string(), "{form}");
        let mut expected = body.clone();
        if form != "gemini" {
            expected["model"] = "m".into();
        }
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.json(), expected, "{form}");
        let (path, mut body) = question(form, &model, true);
        body["x_unknown"] = json!(1);
        let reply = gateway.post(&key, &path, &body).await;
        let said = reply.text().replace(r#","cost_usd":"0.000007000""#, "");
        assert_eq!(said, String::from_utf8(stream(form)).unwrap(), "{form}");
    }
}

/// Anthropic's clients send thoughts back only to the model that they came from, by its name.
#[tokio::test]
async fn an_anthropic_client_gets_the_name_that_it_asked_for() {
    let (_upstream, gateway, key) = gateway().await;
    for streams in [false, true] {
        let (path, body) = question("anthropic", "anthropic/m", streams);
        let reply = gateway.post(&key, &path, body).await;
        assert!(reply.text().contains(r#""model":"anthropic/m""#), "{}", reply.text());
        assert!(!reply.text().contains("m-served"), "{}", reply.text());
    }
    for row in gateway.wait_rows(2).await {
        assert_eq!((&row["served_model"], &row["model"]), (&json!("m-served"), &json!("anthropic/m")), "{row}");
    }
}

/// Providers' errors reach the caller in its own dialect.
#[tokio::test]
async fn errors_are_told_in_the_caller_s_dialect() {
    let told = [
        (
            "chat",
            json!({"error": {"message": "slow down", "type": "requests", "param": null, "code": "rate_limit_exceeded"}}),
        ),
        ("anthropic", json!({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}})),
        ("gemini", json!({"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}})),
        ("bedrock", json!({"message": "slow down"})),
        ("cohere", json!({"message": "slow down"})),
    ];
    for (out, body) in told {
        let upstream = Upstream::scripted(vec![Script::status(429, body.to_string())]).await;
        let gateway = Setup::new(providers(&upstream)).start().await;
        let key = gateway.plain_key().await;
        for form in INBOUND {
            let (path, question) = question(form, &format!("{out}/m"), false);
            let reply = gateway.post(&key, &path, question).await;
            assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS, "{form} to {out}: {}", reply.text());
            let error = reply.json();
            assert_eq!(error["error"]["message"], "slow down", "{form} to {out}: {error}");
            match form {
                "anthropic" => assert_eq!(
                    (&error["type"], &error["error"]["type"]),
                    (&json!("error"), &json!("rate_limit_error")),
                    "{error}"
                ),
                "gemini" => assert_eq!(
                    (&error["error"]["status"], &error["error"]["code"]),
                    (&json!("RESOURCE_EXHAUSTED"), &json!(429))
                ),
                _ => assert!(error["error"].get("param").is_some() && error["error"].get("code").is_some(), "{error}"),
            }
        }
    }
}

/// Weir's own refusals too, before and behind the body.
#[tokio::test]
async fn refusals_are_told_in_the_caller_s_dialect() {
    let (_upstream, gateway, key) = gateway().await;
    let shape = |form: &str, reply: &Reply, kind: &str, status: &str| {
        let error = reply.json();
        match form {
            "anthropic" => assert_eq!(error["error"]["type"], kind, "{error}"),
            "gemini" => assert_eq!(error["error"]["status"], status, "{error}"),
            _ => assert_eq!(error["error"].as_object().unwrap().len(), 4, "{error}"),
        }
    };
    for form in INBOUND {
        let (path, body) = question(form, "chat/m", false);
        let reply =
            gateway.request(Method::POST, &path, &[("content-type", "application/json")], body.to_string()).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        shape(form, &reply, "authentication_error", "UNAUTHENTICATED");
        let reply = gateway.post(&key, &path, "{").await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        shape(form, &reply, "invalid_request_error", "INVALID_ARGUMENT");
        let (path, body) = question(form, "nobody/m", false);
        let reply = gateway.post(&key, &path, body).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (StatusCode::NOT_FOUND, "model_not_found"),
            "{}",
            reply.text()
        );
        shape(form, &reply, "not_found_error", "NOT_FOUND");
    }
}

/// A stream that breaks ends in its caller's own error event, and never in a finish.
#[tokio::test]
async fn a_broken_stream_ends_in_the_caller_s_error() {
    for out in OUTBOUND {
        let kind = if out == "bedrock" { "application/vnd.amazon.eventstream" } else { "text/event-stream" };
        let all = stream(out);
        // Behind the first words, within the event that follows.
        let cut = all.windows(3).position(|w| w == b"hel").unwrap() + 90;
        let steps = vec![Step::send(&all[..cut]), Step::Wait(Duration::from_millis(20)), Step::Cut];
        let upstream = Upstream::scripted(vec![Script::new(200, kind, steps)]).await;
        let gateway = Setup::new(providers(&upstream)).start().await;
        let key = gateway.plain_key().await;
        for form in INBOUND {
            let (path, body) = question(form, &format!("{out}/m"), true);
            let reply = gateway.post(&key, &path, body).await;
            let text = reply.text();
            let last = text.trim_end().rsplit("\n\n").next().unwrap();
            let data: Value =
                serde_json::from_str(last.split_once("data: ").unwrap_or_else(|| panic!("{form} to {out}: {text}")).1)
                    .unwrap();
            match form {
                "chat" => assert!(data["error"]["message"].is_string() && !text.contains("[DONE]"), "{out}: {text}"),
                "responses" => {
                    assert!(data["type"] == "error" || data["type"] == "response.failed", "{out}: {text}");
                    assert!(!text.contains("response.completed"), "{out}: {text}");
                }
                "anthropic" => {
                    assert!(last.starts_with("event: error") && data["type"] == "error", "{out}: {text}");
                    assert!(!text.contains("message_stop"), "{out}: {text}");
                }
                _ => assert!(data["error"]["message"].is_string(), "{out}: {text}"),
            }
        }
        for row in gateway.wait_rows(4).await {
            assert_eq!((&row["status"], &row["http_status"]), (&json!("upstream_error"), &json!(200)), "{out}: {row}");
        }
    }
}

/// What a target cannot be told is listed, in the caller's words; strictness makes it a refusal.
#[tokio::test]
async fn what_is_lost_is_told_or_refused() {
    let (upstream, gateway, key) = gateway().await;
    let mut body = question("chat", "anthropic/m", false).1;
    body["frequency_penalty"] = json!(0.5);
    body["logit_bias"] = json!({"5": 1});
    let reply = gateway.post(&key, "/v1/chat/completions", &body).await;
    let warnings = reply.header("x-weir-warnings").unwrap();
    assert!(warnings.contains("frequency_penalty dropped") && warnings.contains("logit_bias dropped"), "{warnings}");
    let before = upstream.seen().len();
    let auth = format!("Bearer {key}");
    let headers = [("authorization", auth.as_str()), ("x-weir-strict", "true")];
    let reply = gateway.request(Method::POST, "/v1/chat/completions", &headers, body.to_string()).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (StatusCode::BAD_REQUEST, "unsupported_parameter"),
        "{}",
        reply.text()
    );
    assert!(reply.text().contains("frequency_penalty"), "{}", reply.text());
    assert_eq!(upstream.seen().len(), before, "nobody was asked");
    let headers = [("authorization", auth.as_str()), ("x-weir-strict", "perhaps")];
    let reply = gateway.request(Method::POST, "/v1/chat/completions", &headers, body.to_string()).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::BAD_REQUEST, "invalid_header"));
}

#[tokio::test]
async fn azure_clients_find_their_paths() {
    let (upstream, gateway, key) = gateway().await;
    let body = json!({"messages": [{"role": "user", "content": "hi"}]});
    for path in [
        "/openai/deployments/anthropic%2Fm/chat/completions?api-version=2025-01-01",
        "/openai/deployments/chat%2Fm/chat/completions",
    ] {
        let reply = gateway.request(Method::POST, path, &[("api-key", key.as_str())], body.to_string()).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.json()["choices"][0]["message"]["content"], "hello");
    }
    assert_eq!(upstream.seen()[1].json()["model"], "m");
    let reply = gateway
        .request(
            Method::POST,
            "/openai/v1/responses",
            &[("api-key", key.as_str())],
            question("responses", "gemini/m", false).1.to_string(),
        )
        .await;
    assert_eq!(reply.json()["status"], "completed", "{}", reply.text());
}

#[tokio::test]
async fn tokens_are_counted_by_the_provider_or_here() {
    let upstream = Upstream::start(|seen| {
        assert_eq!(seen.path, "/v1/messages/count_tokens");
        assert_eq!(seen.json()["model"], "m");
        assert!(seen.json().get("stream").is_none() && seen.json().get("max_tokens").is_none(), "{}", seen.json());
        Script::json(r#"{"input_tokens":42}"#)
    })
    .await;
    let gateway = Setup::new(providers(&upstream)).start().await;
    let key = gateway.plain_key().await;
    let body = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "hello world"}], "system": "be brief"});
    let reply = gateway.post(&key, "/v1/messages/count_tokens", body("anthropic/m")).await;
    assert_eq!(reply.text(), r#"{"input_tokens":42}"#);
    let reply = gateway.post(&key, "/v1/messages/count_tokens", body("chat/m")).await;
    assert!((8..20).contains(&reply.json()["input_tokens"].as_u64().unwrap()), "{}", reply.text());
    let input = json!({"model": "chat/m", "input": "hello world"});
    let reply = gateway.post(&key, "/v1/responses/input_tokens", input).await;
    assert!((5..15).contains(&reply.json()["input_tokens"].as_u64().unwrap()), "{}", reply.text());
    let contents = json!({"contents": [{"role": "user", "parts": [{"text": "hello world"}]}]});
    let reply = gateway.post(&key, "/v1beta/models/chat/m:countTokens", contents).await;
    assert!((5..15).contains(&reply.json()["totalTokens"].as_u64().unwrap()), "{}", reply.text());
    let rows = gateway.wait_rows(4).await;
    for row in rows {
        assert_eq!(
            (&row["status"], &row["cost_usd"], &row["input_tokens"]),
            (&json!("ok"), &json!("0.000000000"), &json!(0)),
            "{row}"
        );
    }
}

/// An image for a model without eyes: refused before anybody is asked, or skipped where another can.
#[tokio::test]
async fn a_model_that_cannot_is_not_asked() {
    let upstream = Upstream::start(answer).await;
    let at = format!("http://{}/v1", upstream.addr);
    let yaml = format!(
        "providers:
  blind: {{ kind: groq, base_url: \"{at}\", api_key: k }}
  seeing: {{ kind: openai, base_url: \"{at}\", api_key: k, operations: [chat] }}
models:
  both: {{ targets: [{{ provider: blind, model: llama-3.1-8b-instant }}, {{ provider: seeing, model: gpt-4o-mini }}] }}
"
    );
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let image = json!([{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]);
    let body = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": image}]});
    let reply = gateway.post(&key, "/v1/chat/completions", body("blind/llama-3.1-8b-instant")).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (StatusCode::BAD_REQUEST, "unsupported_by_model"),
        "{}",
        reply.text()
    );
    assert!(reply.text().contains("cannot take images; these can: both"), "{}", reply.text());
    assert!(upstream.seen().is_empty());
    let reply = gateway.post(&key, "/v1/chat/completions", body("both")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(upstream.only().json()["model"], "gpt-4o-mini");
    // The words alone are no image, and an escaped quote is part of a text.
    let words = json!({"model": "blind/llama-3.1-8b-instant", "messages": [{"role": "user", "content": "{\"type\":\"image_url\"}"}]});
    assert_eq!(gateway.post(&key, "/v1/chat/completions", words).await.status, StatusCode::OK);
}

/// A prompt that is longer than the model's window, by the model's own tokenizer.
#[tokio::test]
async fn a_prompt_that_is_too_long_is_refused_by_count() {
    let upstream = Upstream::start(answer).await;
    let yaml = format!(
        "providers:\n  up: {{ kind: openai, base_url: \"http://{}/v1\", api_key: k, operations: [chat] }}\n",
        upstream.addr
    );
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let body =
        |words: usize| json!({"model": "up/gpt-4", "messages": [{"role": "user", "content": "hello ".repeat(words)}]});
    let reply = gateway.post(&key, "/v1/chat/completions", body(9_000)).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (StatusCode::BAD_REQUEST, "context_length_exceeded"),
        "{}",
        reply.text()
    );
    assert!(reply.text().contains("it takes 8192"), "{}", reply.text());
    assert!(upstream.seen().is_empty());
    assert_eq!(gateway.post(&key, "/v1/chat/completions", body(8_000)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn text_completions_reach_any_dialect() {
    let (_upstream, gateway, key) = gateway().await;
    for out in OUTBOUND {
        let body = json!({"model": format!("{out}/m"), "prompt": "hi", "max_tokens": 50});
        let reply = gateway.post(&key, "/v1/completions", body).await;
        assert_eq!(reply.status, StatusCode::OK, "{out}: {}", reply.text());
        let answer = reply.json();
        assert_eq!(
            (&answer["object"], &answer["choices"][0]["text"]),
            (&json!("text_completion"), &json!("hello")),
            "{out}"
        );
        assert_eq!(answer["usage"]["completion_tokens"], 2, "{out}");
        let body = json!({"model": format!("{out}/m"), "prompt": "hi", "stream": true, "stream_options": {"include_usage": true}});
        let text = gateway.post(&key, "/v1/completions", body).await.text();
        assert!(text.ends_with("data: [DONE]\n\n") && text.contains(r#""completion_tokens":2"#), "{out}: {text}");
    }
    let reply = gateway.post(&key, "/v1/completions", json!({"model": "gemini/m", "prompt": ["a", "b"]})).await;
    assert_eq!(
        (reply.status, reply.json()["error"]["param"].as_str()),
        (StatusCode::BAD_REQUEST, Some("prompt")),
        "{}",
        reply.text()
    );
}

/// `previous_response_id` at providers that keep nothing: Weir keeps the conversation, for its key alone.
#[tokio::test]
async fn a_conversation_goes_on_where_the_provider_keeps_none() {
    let (upstream, gateway, key) = gateway().await;
    for streams in [false, true] {
        let first =
            json!({"model": "anthropic/m", "input": "my name is Ada", "instructions": "be brief", "stream": streams});
        let reply = gateway.post(&key, "/v1/responses", first).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let response = match streams {
            false => reply.json(),
            true => {
                let text = reply.text();
                let last = text.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned();
                serde_json::from_str::<Value>(&last).unwrap()["response"].clone()
            }
        };
        let id = response["id"].as_str().unwrap().to_owned();
        assert!(id.starts_with("resp_"), "{id}");
        let next = json!({"model": "gemini/m", "input": "who am I?", "previous_response_id": id});
        let reply = gateway.post(&key, "/v1/responses", &next).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.json()["previous_response_id"], id.as_str());
        let asked = upstream.seen().pop().unwrap().json();
        let said: Vec<_> = asked["contents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|turn| turn["parts"][0]["text"].as_str().unwrap())
            .collect();
        assert_eq!(said, ["my name is Ada", "hello", "who am I?"]);
        assert!(asked.get("systemInstruction").is_none(), "instructions hold for one request: {asked}");
        // And on from there, at yet another.
        let third = json!({"model": "chat/m", "input": "sure?", "previous_response_id": reply.json()["id"]});
        assert_eq!(gateway.post(&key, "/v1/responses", third).await.status, StatusCode::OK);
        assert_eq!(upstream.seen().pop().unwrap().json()["messages"].as_array().unwrap().len(), 5);

        let shown = gateway.get(&key, &format!("/v1/responses/{id}")).await;
        assert_eq!(shown.json(), response, "{}", shown.text());
        let items = gateway.get(&key, &format!("/v1/responses/{id}/input_items")).await.json();
        assert_eq!(items["data"].as_array().unwrap().len(), 1, "{items}");
        let other = gateway.plain_key().await;
        for (method, path) in
            [(Method::GET, format!("/v1/responses/{id}")), (Method::DELETE, format!("/v1/responses/{id}"))]
        {
            let auth = format!("Bearer {other}");
            let reply = gateway.request(method, &path, &[("authorization", auth.as_str())], "").await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{}", reply.text());
        }
        let reply = gateway.post(&other, "/v1/responses", &next).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{}", reply.text());
        let auth = format!("Bearer {key}");
        let gone = gateway
            .request(Method::DELETE, &format!("/v1/responses/{id}"), &[("authorization", auth.as_str())], "")
            .await;
        assert_eq!(gone.json(), json!({"id": id, "object": "response", "deleted": true}));
        let reply = gateway.post(&key, "/v1/responses", &next).await;
        assert_eq!(
            (reply.status, reply.json()["error"]["param"].as_str()),
            (StatusCode::BAD_REQUEST, Some("previous_response_id")),
            "{}",
            reply.text()
        );
    }
    // An item of an answer can be referred to by its id.
    let reply = gateway.post(&key, "/v1/responses", json!({"model": "anthropic/m", "input": "x"})).await.json();
    let item = json!({"type": "item_reference", "id": reply["output"][0]["id"]});
    let next = json!({"model": "gemini/m", "input": [{"role": "user", "content": "x"}, item, {"role": "user", "content": "y"}]});
    let reply = gateway.post(&key, "/v1/responses", next).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let turns = upstream.seen().pop().unwrap().json()["contents"].clone();
    assert_eq!((turns.as_array().unwrap().len(), &turns[1]["parts"][0]["text"]), (3, &json!("hello")), "{turns}");
    // What is not to be stored is not.
    let reply =
        gateway.post(&key, "/v1/responses", json!({"model": "anthropic/m", "input": "x", "store": false})).await.json();
    let next = json!({"model": "gemini/m", "input": "y", "previous_response_id": reply["id"]});
    assert_eq!(gateway.post(&key, "/v1/responses", next).await.status, StatusCode::BAD_REQUEST);
}

/// A response's model may stand in a prompt that the provider keeps.
#[tokio::test]
async fn a_response_without_a_model_goes_to_the_default_provider() {
    let upstream = Upstream::start(answer).await;
    let provider = format!("kind: openai-compatible, base_url: \"http://{}/v1\", api_key: k", upstream.addr);
    let yaml = format!("providers:\n  up: {{ {provider}, operations: [chat, responses], default: true }}\n");
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let body = json!({"prompt": {"id": "pmpt_123456"}, "store": false});
    let reply = gateway.post(&key, "/v1/responses", &body).await;
    assert_eq!(reply.text(), whole("responses").to_string());
    assert_eq!(upstream.only().json(), body);
    let (_, held) = gateway.key(json!({"models": ["up/m"]})).await;
    let reply = gateway.post(&held, "/v1/responses", &body).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::FORBIDDEN, "model_not_allowed"), "{}", reply.text());
    let yaml = format!("providers:\n  up: {{ {provider}, operations: [chat], default: true }}\n");
    let gateway = Setup::new(yaml).start().await;
    let reply = gateway.post(&gateway.plain_key().await, "/v1/responses", &body).await;
    assert_eq!(
        (reply.status, reply.json()["error"]["param"].as_str()),
        (StatusCode::BAD_REQUEST, Some("model")),
        "{}",
        reply.text()
    );
}

/// A response that failed is a response, with its status and its error in it.
#[tokio::test]
async fn a_failed_response_passes_as_it_is() {
    let body = r#"{"id":"r","object":"response","status":"failed","model":"m","output":[],"error":{"code":"server_error","message":"no"}}"#;
    let upstream = Upstream::scripted(vec![Script::json(body)]).await;
    let gateway = Setup::new(providers(&upstream)).start().await;
    let key = gateway.plain_key().await;
    let reply = gateway.post(&key, "/v1/responses", question("responses", "responses/m", false).1).await;
    assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, body));
}

/// An error in the first event of a 200 is an error, and the next target is asked.
#[tokio::test]
async fn a_stream_that_begins_with_an_error_falls_over() {
    let upstream = Upstream::start(|seen: &Seen| match spoken(&seen.path).0 {
        "anthropic" => Script::sse(&[
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n",
        ]),
        _ => answer(seen),
    })
    .await;
    let gateway = Setup::new(providers(&upstream)).start().await;
    let key = gateway.plain_key().await;
    let mut body = question("chat", "anthropic/m", true).1;
    let reply = gateway.post(&key, "/v1/chat/completions", &body).await;
    assert_eq!(reply.status.as_u16(), 503, "{}", reply.text());
    assert_eq!(reply.json()["error"]["message"], "busy");
    body["fallbacks"] = json!(["gemini/m"]);
    let reply = gateway.post(&key, "/v1/chat/completions", &body).await;
    assert_eq!(gathered("chat", &reply.text()).0, "hello", "{}", reply.text());
    assert_eq!(reply.header("x-weir-provider"), Some("gemini"));
}

/// Where the provider reports no usage, tokens are counted, translated or not.
#[tokio::test]
async fn what_is_not_reported_is_counted() {
    let mut silent = whole("anthropic");
    silent.as_object_mut().unwrap().remove("usage");
    let upstream = Upstream::scripted(vec![Script::json(silent.to_string())]).await;
    let gateway = Setup::new(providers(&upstream)).start().await;
    let key = gateway.plain_key().await;
    for form in ["chat", "anthropic"] {
        let (path, body) = question(form, "anthropic/m", false);
        let reply = gateway.post(&key, &path, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{form}: {}", reply.text());
    }
    for row in gateway.wait_rows(2).await {
        assert_eq!(row["estimated"], true, "{row}");
        assert!(row["input_tokens"].as_u64() > Some(0) && row["output_tokens"].as_u64() > Some(0), "{row}");
    }
}
