//! Faults of an upstream's answers: short, endless, packed, late, and what they say of their usage.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::config_keys::spawn;
use crate::fidelity::pack;
use crate::support::gateway::{Gateway, Reply, Setup};
use crate::support::upstream::{Script, Step, Upstream};

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
const HELLO: &str =
    "data: {\"id\":\"c1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";
const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// Providers `a` and `b`, with these settings, and a route over both; `a/x` has a price.
fn routed(a: &str, b: &str, settings: &str) -> String {
    format!(
        "providers:\n  a: {{ kind: openai-compatible, base_url: \"{a}\", api_key: s-a, {settings} }}\n  \
         b: {{ kind: openai-compatible, base_url: \"{b}\", api_key: s-b, {settings} }}\n\
         models:\n  m: {{ targets: [{{ provider: a, model: x }}, {{ provider: b, model: x }}], retries: {{ attempts: 1 }} }}\n\
         prices: {{ a/x: {{ input: \"1.00\", output: \"2.00\" }} }}\n"
    )
}

async fn chat(gateway: &Gateway, model: &str, stream: bool) -> Reply {
    let key = gateway.plain_key().await;
    let body = json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]});
    let reply = gateway.post(&key, "/v1/chat/completions", body);
    tokio::time::timeout(Duration::from_secs(20), reply).await.expect("an answer in time")
}

/// A gateway before `bad` and one that answers well.
async fn before(bad: Script, good: Script, settings: &str) -> (Upstream, Gateway) {
    let (bad, good) = (Upstream::scripted(vec![bad]).await, Upstream::scripted(vec![good]).await);
    let gateway = Setup::new(routed(&bad.url(), &good.url(), settings)).start().await;
    (bad, gateway)
}

/// F13: a whole answer of which a part never comes is given up like a stream, long before a try's whole time has
/// passed, and another target is asked: its client has seen nothing.
#[tokio::test]
async fn f13_a_whole_answer_that_stalls_is_given_up() {
    let json = |steps| Script::new(200, "application/json", steps);
    for (name, bad) in [
        ("after its head", json(vec![Step::Hang])),
        ("in the middle", json(vec![Step::send("{\"id\":"), Step::Hang])),
        (
            "in pieces",
            json(vec![Step::send("{"), Step::Wait(Duration::from_millis(20)), Step::send("\"id\":"), Step::Hang]),
        ),
    ] {
        let settings = "timeouts: { first_byte: 300ms, between_chunks: 300ms, total: 10m }";
        let (bad, gateway) = before(bad, Script::json(ANSWER), settings).await;
        let reply = chat(&gateway, "m", false).await;
        assert_eq!((reply.status, reply.header("x-weir-provider")), (StatusCode::OK, Some("b")), "{name}");
        let reply = chat(&gateway, "a/x", false).await;
        let told = (reply.status, reply.code());
        assert_eq!(told, (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout".to_owned()), "{name}: {}", reply.text());
        let row = gateway.wait_rows(2).await.pop().unwrap();
        assert_eq!(row["status"], "timeout", "{name}: {row}");
        assert_eq!(bad.seen().len(), 2, "{name}");
    }
}

/// F13: pauses that are shorter than `between_chunks` are none, however many there are.
#[tokio::test]
async fn f13_a_whole_answer_that_trickles_is_waited_for() {
    let steps: Vec<Step> = ANSWER
        .as_bytes()
        .chunks(30)
        .flat_map(|part| [Step::send(part), Step::Wait(Duration::from_millis(60))])
        .collect();
    let (_, gateway) =
        before(Script::new(200, "application/json", steps), Script::json(ANSWER), "timeouts: { between_chunks: 5s }")
            .await;
    let reply = chat(&gateway, "m", false).await;
    assert_eq!((reply.text().as_str(), reply.header("x-weir-provider")), (ANSWER, Some("a")));
}

/// F14: a stream that is cut, ends or hangs before its first event was promised to nobody: the client gets another
/// target's, clean.
#[tokio::test]
async fn f14_a_stream_that_breaks_before_its_first_event_is_another_s() {
    let stream = [HELLO, FINISH, DONE].concat();
    for (name, bad) in [
        ("cut", Script::stream(vec![Step::Cut])),
        ("empty", Script::stream(vec![])),
        (
            "comments and a cut",
            Script::sse(&[": one\n\n", ": two\n\n"]).then(Step::Wait(Duration::from_millis(5))).then(Step::Cut),
        ),
        ("half an event", Script::sse(&["data: {\"id\":\"c"])),
        ("nothing", Script::stream(vec![Step::Hang])),
    ] {
        let (_, gateway) = before(bad, Script::sse(&[&stream]), "timeouts: { first_byte: 300ms }").await;
        let reply = chat(&gateway, "m", true).await;
        assert_eq!((reply.status, reply.header("x-weir-provider")), (StatusCode::OK, Some("b")), "{name}");
        assert_eq!(reply.text(), stream, "{name}");
        let row = gateway.only_row().await;
        assert_eq!((&row["status"], row["attempts"].as_array().unwrap().len()), (&json!("ok"), 2), "{name}: {row}");
    }
}

/// An upstream that writes these bytes for each request and closes.
async fn raw(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = vec![0; 64 * 1024];
            if stream.read(&mut seen).await.is_ok_and(|read| read > 0) {
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    url
}

/// F23: an answer that is shorter than it says is none, and one without an end is read to a bound.
#[tokio::test]
async fn f23_a_short_answer_is_none_and_an_endless_one_is_bounded() {
    let url =
        raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"id\":\"c\"}").await;
    let gateway = Setup::new(routed(&url, &url, "")).start().await;
    let reply = chat(&gateway, "m", false).await;
    assert_eq!(
        (reply.status, reply.code()),
        (StatusCode::BAD_GATEWAY, "upstream_error".to_owned()),
        "{}",
        reply.text()
    );
    let row = gateway.only_row().await;
    assert_eq!((&row["status"], row["attempts"].as_array().unwrap().len()), (&json!("upstream_error"), 2), "{row}");
    let endless = Script::new(200, "application/json", vec![Step::Repeat(vec![b' '; 1 << 20].into(), usize::MAX)]);
    let (up, gateway) = before(endless, Script::json(ANSWER), "").await;
    let reply = chat(&gateway, "a/x", false).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::BAD_GATEWAY, "upstream_invalid_response".to_owned()));
    assert!(up.sent() < 128 << 20, "{} bytes were taken", up.sent());
    assert_eq!(chat(&gateway, "m", false).await.header("x-weir-provider"), Some("b"));
}

/// F24: what unpacks to more than is held, whole or as one event, is no answer.
#[tokio::test]
async fn f24_an_answer_that_unpacks_without_end_is_none() {
    let whole = pack("gzip", &vec![b' '; 70 << 20]).await;
    let event = pack("zstd", [b"data: ".to_vec(), vec![b'x'; 20 << 20]].concat().as_slice()).await;
    for (kind, encoding, packed, stream) in
        [("application/json", "gzip", whole, false), ("text/event-stream", "zstd", event, true)]
    {
        assert!(packed.len() < 1 << 20, "{} bytes", packed.len());
        let bomb = Script::new(200, kind, vec![Step::Send(packed.into())]).header("content-encoding", encoding);
        let good = if stream { Script::sse(&[HELLO, FINISH, DONE]) } else { Script::json(ANSWER) };
        let (_, gateway) = before(bomb, good, "").await;
        let reply = chat(&gateway, "a/x", stream).await;
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{kind}: {}", reply.text());
        assert_eq!(chat(&gateway, "m", stream).await.header("x-weir-provider"), Some("b"), "{kind}");
    }
}

/// What is made of a usage.
#[derive(Clone, Copy, Debug)]
enum Made {
    /// It is counted here.
    Counted,
    /// It is believed.
    Believed(u64, u64),
    /// It is bent into shape, and the row says so.
    Bent(u64, u64),
}

/// F30: whatever is said of usage, a row has numbers; where they are not the provider's own it says so.
#[tokio::test]
async fn f30_odd_usage_is_counted_here_or_bent_and_said_to_be() {
    for (usage, made) in [
        (json!(null), Made::Counted),
        (json!({}), Made::Counted),
        (json!("many"), Made::Counted),
        (json!({"prompt_tokens": null, "completion_tokens": null}), Made::Counted),
        (json!({"prompt_tokens": -5, "completion_tokens": -1}), Made::Bent(0, 0)),
        (json!({"prompt_tokens": "7", "completion_tokens": "8"}), Made::Bent(7, 8)),
        (json!({"prompt_tokens": 1e300, "completion_tokens": 8}), Made::Counted),
        (json!({"prompt_tokens": 5, "completion_tokens": 2_000_000_000}), Made::Counted),
        (json!({"prompt_tokens": 7, "completion_tokens": 8}), Made::Believed(7, 8)),
        (json!({"prompt_tokens": 7, "completion_tokens": 0}), Made::Believed(7, 0)),
        (json!({"prompt_tokens": 7.0, "completion_tokens": 8.0}), Made::Believed(7, 8)),
    ] {
        let whole = json!({"id": "c", "model": "m", "usage": usage,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]});
        let last = format!("data: {}\n\n", json!({"id": "c", "choices": [], "usage": usage}));
        for (script, stream) in
            [(Script::json(whole.to_string()), false), (Script::sse(&[HELLO, FINISH, &last, DONE]), true)]
        {
            let (_, gateway) = before(script, Script::json(ANSWER), "").await;
            let reply = chat(&gateway, "a/x", stream).await;
            assert_eq!(reply.status, StatusCode::OK, "{usage}: {}", reply.text());
            let row = gateway.only_row().await;
            let (input, output) = (row["input_tokens"].as_u64().unwrap(), row["output_tokens"].as_u64().unwrap());
            let warned = row["warnings"].to_string().contains("told a usage that cannot be");
            let estimated = row["estimated"] == true;
            let expected = match made {
                Made::Counted => input > 0 && input < 100 && output > 0 && output < 100 && estimated,
                Made::Believed(i, o) => (input, output, estimated, warned) == (i, o, false, false),
                Made::Bent(i, o) => (input, output, estimated, warned) == (i, o, false, true),
            };
            assert!(expected && row["status"] == "ok", "{usage} is not {made:?}: {row}");
        }
    }
}

/// The same of the usage of other dialects, whose answers are written anew.
#[tokio::test]
async fn f30_odd_usage_of_every_dialect_is_bent_and_said_to_be() {
    let anthropic = |used: Value| {
        json!({"id": "m", "type": "message", "role": "assistant", "model": "x", "content": [{"type": "text", "text": "hi"}],
            "stop_reason": "end_turn", "stop_sequence": null, "usage": used})
    };
    let gemini = |used: Value| {
        json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}],
            "usageMetadata": used, "modelVersion": "x"})
    };
    let responses = |used: Value| {
        let said = json!([{"type": "message", "id": "m", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": "hi", "annotations": []}]}]);
        json!({"id": "r", "object": "response", "created_at": 1, "status": "completed", "model": "x", "output": said, "usage": used})
    };
    let bedrock = |used: Value| json!({"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn", "usage": used});
    let cohere = |used: Value| {
        json!({"id": "c", "finish_reason": "COMPLETE", "usage": {"billed_units": used},
            "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]}})
    };
    let gemini_stream = |used: Value| format!("data: {}\n\n", gemini(used));
    let whole = |body: Value| Script::json(body.to_string());
    let stream = |event: String| Script::sse(&[&event]);
    let named = |input: &str, output: &str, a: Value, b: Value| {
        let mut used = json!({});
        (used[input], used[output]) = (a, b);
        used
    };
    let claude = |a, b| named("input_tokens", "output_tokens", a, b);
    let google = |a, b| named("promptTokenCount", "candidatesTokenCount", a, b);
    let aws = |a, b| named("inputTokens", "outputTokens", a, b);
    for (a, b, made) in [
        (json!(7), json!(8), Made::Believed(7, 8)),
        (json!(7), json!(-8), Made::Bent(7, 0)),
        (json!("7"), json!(8), Made::Bent(7, 8)),
        (json!(null), json!(null), Made::Counted),
        (json!(0), json!(0), Made::Counted),
        (json!(5), json!(2_000_000_000), Made::Counted),
    ] {
        for (kind, streamed, script) in [
            ("kind: anthropic", false, whole(anthropic(claude(a.clone(), b.clone())))),
            ("kind: gemini", false, whole(gemini(google(a.clone(), b.clone())))),
            ("kind: gemini", true, stream(gemini_stream(google(a.clone(), b.clone())))),
            ("kind: openai-compatible, operations: [responses]", false, whole(responses(claude(a.clone(), b.clone())))),
            (
                "kind: bedrock, vars: { region: us-east-1 }, auth: { access_key_id: AKIDEXAMPLE, secret_access_key: example }",
                false,
                whole(bedrock(aws(a.clone(), b.clone()))),
            ),
            ("kind: cohere", false, whole(cohere(claude(a.clone(), b.clone())))),
        ] {
            let up = Upstream::scripted(vec![script]).await;
            let key = if kind.contains("bedrock") { "" } else { ", api_key: s" };
            let yaml = format!("providers:\n  a: {{ {kind}, base_url: \"{}\"{key} }}\n", up.url());
            let gateway = Setup::new(yaml).start().await;
            let reply = chat(&gateway, "a/x", streamed).await;
            assert_eq!(reply.status, StatusCode::OK, "{kind}: {}", reply.text());
            let row = gateway.only_row().await;
            let told = (row["input_tokens"].as_u64().unwrap(), row["output_tokens"].as_u64().unwrap());
            let warned = row["warnings"].to_string().contains("told a usage that cannot be");
            let expected = match made {
                Made::Counted => told.0 > 0 && told.1 > 0 && row["estimated"] == true,
                Made::Believed(i, o) => (told, warned, &row["estimated"]) == ((i, o), false, &json!(false)),
                Made::Bent(i, o) => (told, warned, &row["estimated"]) == ((i, o), true, &json!(false)),
            };
            assert!(expected, "{kind}: {a} and {b} are not {made:?}: {row:#}");
        }
    }
}

/// F30, F31: usage in each event is the last one's, and it counts once wherever it stands: in the last event, behind it,
/// behind `[DONE]`.
#[tokio::test]
async fn f31_usage_counts_once_wherever_it_stands() {
    let used = |n: u32| {
        format!("data: {}\n\n", json!({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": n}}))
    };
    let within = |n: u32| {
        let choice = json!([{"index": 0, "delta": {"content": "a"}}]);
        format!("data: {}\n\n", json!({"choices": choice, "usage": {"prompt_tokens": 12, "completion_tokens": n}}))
    };
    for (name, events) in [
        ("in each event", vec![within(1), within(2), within(3), FINISH.to_owned(), DONE.to_owned()]),
        ("behind the finish", vec![HELLO.to_owned(), FINISH.to_owned(), used(3), DONE.to_owned()]),
        ("twice", vec![HELLO.to_owned(), FINISH.to_owned(), used(3), used(3), DONE.to_owned()]),
        ("behind [DONE]", vec![HELLO.to_owned(), FINISH.to_owned(), DONE.to_owned(), used(3)]),
    ] {
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        let (_, gateway) = before(Script::sse(&events), Script::json(ANSWER), "").await;
        assert_eq!(chat(&gateway, "a/x", true).await.status, StatusCode::OK, "{name}");
        let row = gateway.only_row().await;
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(12), &json!(3)), "{name}: {row}");
        assert_eq!((&row["estimated"], &row["cost_usd"]), (&json!(false), &json!("0.000018000")), "{name}: {row}");
    }
}

/// F32: tool calls in pieces that come twice, out of order, with gaps, with nulls and with what nobody knows: the same
/// dialect passes them byte for byte, and another one is written without a stumble.
#[tokio::test]
async fn f32_odd_pieces_of_tool_calls_pass() {
    let piece = |calls: Value| {
        format!("data: {}\n\n", json!({"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": calls}}]}))
    };
    let call = |index: u32, part: &str| {
        json!([{"index": index, "id": format!("call_{index}"), "type": "function",
            "function": {"name": "f", "arguments": part}, "odd": {"a": null}}])
    };
    let events = [
        piece(call(5, "")),
        piece(json!([{"index": 5, "function": {"arguments": "{\"a\":"}}])),
        piece(call(2, "{}")),
        piece(json!([{"index": 5, "function": {"arguments": "1}"}}])),
        piece(json!(null)),
        piece(json!([])),
        piece(json!([{"index": 5, "id": null, "function": {"name": null, "arguments": null}}])),
        piece(json!([{"index": 4_000_000_000_u32}])),
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n".to_owned(),
        DONE.to_owned(),
    ];
    let all: Vec<&str> = events.iter().map(String::as_str).collect();
    let (_, gateway) = before(Script::sse(&all), Script::json(ANSWER), "").await;
    let reply = chat(&gateway, "a/x", true).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::OK, events.concat()));
    let key = gateway.plain_key().await;
    let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    let body = json!({"model": "a/x", "max_tokens": 9, "stream": true, "tools": tools, "messages": [{"role": "user", "content": "hi"}]});
    let reply = gateway.post(&key, "/v1/messages", body).await;
    let text = reply.text();
    assert_eq!(reply.status, StatusCode::OK, "{text}");
    assert!(text.contains("call_5") && text.contains("call_2") && text.contains("message_stop"), "{text}");
    for row in gateway.wait_rows(2).await {
        assert_eq!(row["status"], "ok", "{row}");
    }
}
