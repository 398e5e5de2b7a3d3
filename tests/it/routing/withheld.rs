//! Answers that a filter withheld, and tries that were waited for in vain: where the request goes, and what it costs.

use super::*;

/// A chat's last chunk, with nothing before it but the role.
const ROLE: &str = "data: {\"id\":\"c\",\"model\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const FILTERED: &str = "data: {\"id\":\"c\",\"model\":\"x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"content_filter\"}]}\n\n";
const SAID: &str =
    "data: {\"id\":\"c\",\"model\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"well\"}}]}\n\n";
const USAGE: &str =
    "data: {\"id\":\"c\",\"model\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":0}}\n\n";
/// Gemini's, of an answer that is refused before it begins.
const SAFETY: &str = "data: {\"candidates\":[{\"index\":0,\"finishReason\":\"SAFETY\"}],\"usageMetadata\":{\"promptTokenCount\":7},\"modelVersion\":\"x\"}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// A chat's answer that ended for `reason` when it had said so much.
fn whole(reason: &str, said: Value) -> Script {
    let message = json!({"role": "assistant", "content": said});
    let choices = json!([{"index": 0, "message": message, "finish_reason": reason}]);
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 0});
    Script::json(
        json!({"id": "c", "object": "chat.completion", "model": "x", "choices": choices, "usage": usage}).to_string(),
    )
}

/// `a` of this kind, and where its filter's victims go: `b`.
fn guarded(kind: &str, a: &Upstream, b: &Upstream) -> String {
    format!(
        "providers:\n  a: {{ kind: {kind}, base_url: \"{}\", api_key: s-a }}\n  \
         b: {{ kind: openai-compatible, base_url: \"{}\", api_key: s-b }}\n\
         models:\n  m: {{ targets: [{{ provider: a, model: x }}], fallbacks_on: {{ content_filter: [b/y] }} }}\n\
         prices:\n  a/x: {{ input: \"1000\", output: \"2000\" }}\n  b/y: {{ input: \"10\", output: \"20\" }}\n",
        a.url(),
        b.url()
    )
}

fn asked(streamed: bool) -> Value {
    json!({"model": "m", "stream": streamed, "messages": [{"role": "user", "content": "hi"}]})
}

#[tokio::test]
async fn an_answer_that_a_filter_withheld_is_asked_for_elsewhere() {
    let gemini = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":7,"totalTokenCount":7},"modelVersion":"x"}"#;
    let anthropic = r#"{"id":"m","type":"message","role":"assistant","model":"x","content":[],"stop_reason":"refusal","stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":0}}"#;
    let gemini_stream = format!("data: {gemini}\n\n");
    for (kind, streamed, script) in [
        ("openai-compatible", false, whole("content_filter", Value::Null)),
        ("openai-compatible", false, whole("content_filter", json!(""))),
        ("openai-compatible", true, Script::sse(&[ROLE, FILTERED, USAGE, DONE])),
        ("gemini", false, Script::json(gemini)),
        ("gemini", true, Script::sse(&[&gemini_stream])),
        ("gemini", true, Script::sse(&[SAFETY])),
        ("anthropic", false, Script::json(anthropic)),
    ] {
        let good = if streamed {
            let said = "data: {\"id\":\"d\",\"model\":\"y\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n";
            Script::sse(&[
                said,
                "data: {\"id\":\"d\",\"model\":\"y\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n",
                DONE,
            ])
        } else {
            Script::json(ANSWER)
        };
        let (a, b) = (Upstream::scripted(vec![script]).await, Upstream::scripted(vec![good]).await);
        let bench = Bench::new(guarded(kind, &a, &b)).await;
        let reply = bench.ask(asked(streamed), &[]).await;
        let name = format!("{kind}, stream: {streamed}: {}", reply.text());
        assert_eq!((reply.status, reply.header("x-weir-provider")), (StatusCode::OK, Some("b")), "{name}");
        assert!(!reply.text().contains("content_filter"), "{name}");
        let row = bench.gateway.only_row().await;
        assert_eq!(attempts(&row), ["a content_filter", "b ok"], "{name}");
        // Seven tokens at a's price, and one each way at b's: what the filter's answer cost is not lost.
        assert_eq!(
            (&row["input_tokens"], &row["cost_usd"], &row["estimated"]),
            (&json!(8), &json!("0.007030000"), &json!(false)),
            "{name} {row:#}"
        );
        assert_eq!(bench.provider("a").await["models"][0]["breaker"], "closed", "{name}");
    }
}

/// That Gemini blocked a prompt is an answer, if a short one, however it is asked for.
#[tokio::test]
async fn a_stream_that_only_says_why_it_says_nothing_is_a_whole_one() {
    const BLOCKED: &str = "data: {\"promptFeedback\":{\"blockReason\":\"PROHIBITED_CONTENT\"},\"usageMetadata\":{\"promptTokenCount\":7}}\n\n";
    for events in [BLOCKED, SAFETY] {
        let up = Upstream::scripted(vec![Script::sse(&[events])]).await;
        let bench =
            Bench::new(format!("providers:\n  a: {{ kind: gemini, base_url: \"{}\", api_key: s-a }}\n", up.url()))
                .await;
        let mut body = asked(true);
        body["model"] = json!("a/x");
        let reply = bench.ask(body, &[]).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.text().matches("\"finish_reason\":\"content_filter\"").count(), 1, "{}", reply.text());
        assert!(reply.text().trim_end().ends_with("data: [DONE]"), "{}", reply.text());
        let own = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
        let reply = bench.gateway.post(&bench.key, "/v1beta/models/a%2Fx:streamGenerateContent?alt=sse", own).await;
        assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, events));
        for row in bench.gateway.wait_rows(2).await {
            assert_eq!((&row["status"], &row["input_tokens"]), (&json!("ok"), &json!(7)), "{row:#}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_says_something_is_the_caller_s_whatever_ended_it() {
    for (streamed, script) in [
        (false, whole("content_filter", json!("well"))),
        (false, whole("stop", json!(""))),
        (true, Script::sse(&[ROLE, SAID, FILTERED, USAGE, DONE])),
    ] {
        let (a, b) = (Upstream::scripted(vec![script]).await, ok().await);
        let bench = Bench::new(guarded("openai-compatible", &a, &b)).await;
        let reply = bench.ask(asked(streamed), &[]).await;
        assert_eq!((reply.status, reply.header("x-weir-provider")), (StatusCode::OK, Some("a")), "{}", reply.text());
        assert!(b.seen().is_empty());
    }
    // And where nobody else is to be asked, or that one's filter has the same to say.
    let filtered = async || Upstream::scripted(vec![whole("content_filter", Value::Null)]).await;
    let (a, b) = (filtered().await, filtered().await);
    let yaml = guarded("openai-compatible", &a, &b);
    let bench = Bench::new(yaml.replace(", fallbacks_on: { content_filter: [b/y] }", "")).await;
    let reply = bench.ask(asked(false), &[]).await;
    assert_eq!((reply.status, reply.header("x-weir-provider")), (StatusCode::OK, Some("a")));
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "content_filter");
    let bench = Bench::new(yaml).await;
    let reply = bench.ask(asked(false), &[]).await;
    assert_eq!((reply.status, reply.header("x-weir-provider")), (StatusCode::OK, Some("b")));
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "content_filter");
}

/// F06: who was sent a request and says nothing may have done it all the same.
#[tokio::test]
async fn f06_a_try_that_was_waited_for_in_vain_costs_its_prompt() {
    let whole = |steps| Script::new(200, "application/json", steps);
    let events = |steps| Script::new(200, "text/event-stream", steps);
    let settings = "timeouts: { first_byte: 150ms, between_chunks: 150ms }, faults: allowed";
    for (name, streamed, script) in [
        ("no head", false, Script::json(ANSWER).delayed(Duration::from_secs(20))),
        ("half an answer", false, whole(vec![Step::send("{\"id\":"), Step::Hang])),
        ("no event", true, events(vec![Step::Hang])),
    ] {
        let (slow, good) = (Upstream::scripted(vec![script]).await, ok().await);
        let models = "  m: { targets: [{ provider: a, model: x }, { provider: b, model: x }], retries: { attempts: 1 } }\n\
             prices:\n  a/x: { input: \"1000\", output: \"2000\" }\n  b/x: { input: \"10\", output: \"20\" }\n";
        let yaml = routed(&[&slow.url(), &good.url()], settings, models);
        let words = json!({"model": "m", "messages": [{"role": "user", "content": "hello there, who are you?"}]});
        let mut direct = words.clone();
        (direct["model"], direct["stream"]) = (json!("a/x"), json!(streamed));

        let bench = Bench::new(yaml.clone()).await;
        let reply = bench.ask(direct.clone(), &[]).await;
        assert_eq!((reply.status, reply.code().as_str()), (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout"), "{name}");
        assert_eq!(
            reply.header("x-weir-warnings"),
            Some("a/x had the request and was waited for in vain: its prompt is counted"),
            "{name}"
        );
        let row = bench.gateway.only_row().await;
        let prompt = row["input_tokens"].as_u64().unwrap();
        assert!((10..40).contains(&prompt), "{name}: {row:#}");
        assert_eq!(
            (&row["status"], &row["estimated"], &row["cost_usd"]),
            (&json!("timeout"), &json!(true), &json!(format!("0.{:09}", prompt * 1_000_000))),
            "{name}: {row:#}"
        );

        // What answers in its place costs what it does beside it.
        let bench = Bench::new(yaml.clone()).await;
        assert_eq!(bench.ask(words.clone(), &[]).await.header("x-weir-provider"), Some("b"), "{name}");
        let row = bench.gateway.only_row().await;
        assert_eq!(attempts(&row), ["a upstream_timeout", "b ok"], "{name}");
        assert_eq!(row["input_tokens"], prompt + 1, "{name}");
        assert_eq!(row["cost_usd"], format!("0.{:09}", prompt * 1_000_000 + 30_000), "{name}: {row:#}");

        // What it never heard of costs nothing; nor does anything where that is the policy.
        let bench = Bench::new(yaml.clone()).await;
        bench.ask(direct.clone(), &[("x-weir-fault", "delay=1s")]).await;
        assert_eq!(bench.gateway.only_row().await["cost_usd"], "0.000000000", "{name}");
        let bench = Bench::new(yaml + "routing: { unanswered: free }\n").await;
        assert_eq!(bench.ask(direct, &[]).await.header("x-weir-warnings"), None, "{name}");
        let row = bench.gateway.only_row().await;
        assert_eq!((&row["cost_usd"], &row["estimated"]), (&json!("0.000000000"), &json!(false)), "{name}");
    }
}
