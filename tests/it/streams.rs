//! Streams, whole and broken: what the client sees, what the row says, when the upstream is let go.

use std::time::Duration;

use futures_util::StreamExt as _;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::gateway::{Gateway, Reply, Setup};
use crate::support::upstream::{Script, Seen, Step, Upstream};

const ROLE: &str = "data: {\"id\":\"c1\",\"model\":\"priced-2026\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"new\":1.0}\n\n";
const HEL: &str =
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"H\\u00e9l\"}}],\"odd\": 1e-7}\n\n";
const LO: &str = "data:{\"choices\":[{\"delta\":{\"content\":\"lö 👋\"}}]}\r\n\r\n";
const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,\"total_tokens\":15}}\n\n";
const COSTED: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,\"total_tokens\":15,\"cost_usd\":\"0.000018000\"}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const FRAMES: [&str; 8] = [": processing\n\n", ROLE, HEL, ": still here\n\n", LO, FINISH, USAGE, DONE];
/// The first frame that produces output: before its end nothing is promised to the client.
const FIRST_OUTPUT: usize = 2;
const USAGE_AT: usize = 6;

/// A gateway before an upstream that answers the case named in the header `x-case`.
struct Bench {
    gateway: Gateway,
    upstream: Upstream,
    key: String,
}

impl Bench {
    async fn new(script: impl Fn(usize) -> Script + Send + Sync + 'static) -> Self {
        Self::with("", script).await
    }

    /// With these settings of the provider.
    async fn with(settings: &str, script: impl Fn(usize) -> Script + Send + Sync + 'static) -> Self {
        let upstream = Upstream::start(move |seen: &Seen| {
            let case = seen.headers.get("x-case").map_or("0", |v| v.to_str().unwrap());
            script(case.parse().unwrap())
        })
        .await;
        let yaml = format!(
            "providers:\n  up: {{ kind: openai-compatible, base_url: \"{}\", api_key: s, default: true, {settings} }}\n\
             prices:\n  up/priced: {{ input: \"1.00\", output: \"2.00\" }}\n",
            upstream.url()
        );
        let gateway = Setup::new(yaml).start().await;
        let key = gateway.plain_key().await;
        Self { gateway, upstream, key }
    }

    fn headers<'h>(auth: &'h str, case: &'h str, id: &'h str) -> [(&'h str, &'h str); 4] {
        [("authorization", auth), ("content-type", "application/json"), ("x-case", case), ("x-request-id", id)]
    }

    async fn open(&self, path: &str, case: usize, body: &Value) -> http::Response<hyper::body::Incoming> {
        let (auth, number, id) = (format!("Bearer {}", self.key), case.to_string(), id(case));
        self.gateway.send(Method::POST, path, &Self::headers(&auth, &number, &id), body.to_string()).await
    }

    async fn ask(&self, path: &str, case: usize, body: &Value) -> Reply {
        let (head, body) = self.open(path, case, body).await.into_parts();
        let body = body.collect().await.expect("the stream is framed well").to_bytes();
        Reply { status: head.status, headers: head.headers, body }
    }

    async fn chat(&self, case: usize) -> Reply {
        self.ask("/v1/chat/completions", case, &plain()).await
    }

    /// Runs the cases, several at a time, and answers each with its row.
    async fn all(&self, cases: usize, body: &Value) -> Vec<(Reply, Value)> {
        let replies = futures_util::stream::iter(0..cases).map(|case| self.ask("/v1/chat/completions", case, body));
        let replies: Vec<Reply> = replies.buffered(16).collect().await;
        self.gateway.wait_rows(cases.min(1000)).await;
        let mut paired = Vec::new();
        let rows = self.all_rows(cases).await;
        for (case, reply) in replies.into_iter().enumerate() {
            let row = rows.iter().find(|row| row["id"] == id(case)).unwrap_or_else(|| panic!("case {case} has no row"));
            paired.push((reply, row.clone()));
        }
        paired
    }

    async fn all_rows(&self, count: usize) -> Vec<Value> {
        let mut rows: Vec<Value> = Vec::new();
        let mut cursor = String::new();
        while rows.len() < count {
            let page =
                self.gateway.admin(Method::GET, &format!("/admin/v1/usage?limit=1000{cursor}"), Value::Null).await;
            let page = page.json();
            rows.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        rows
    }
}

fn id(case: usize) -> String {
    format!("case-{case:08}")
}

fn plain() -> Value {
    json!({"model": "up/priced", "stream": true, "messages": [{"role": "user", "content": "Say hello"}]})
}

fn with_usage() -> Value {
    let mut body = plain();
    body["stream_options"] = json!({"include_usage": true});
    body
}

/// The frames as a client that did not ask for usage sees them.
fn shown(frames: &[&str]) -> String {
    frames.iter().filter(|frame| **frame != USAGE).copied().collect()
}

/// The error events of a stream's tail: everything after the expected frames.
fn error_tail<'t>(text: &'t str, expected: &str) -> &'t str {
    text.strip_prefix(expected).unwrap_or_else(|| panic!("{text:?} does not begin with {expected:?}"))
}

#[track_caller]
fn is_one_error(tail: &str, code: &str) {
    let event = tail.strip_prefix("data: ").and_then(|t| t.strip_suffix("\n\n"));
    let event = event.unwrap_or_else(|| panic!("no single event: {tail:?}"));
    let error: Value = serde_json::from_str(event).unwrap_or_else(|e| panic!("{e}: {tail:?}"));
    let keys: Vec<_> = error["error"].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 4, "{tail}");
    assert_eq!(error["error"]["code"], code, "{tail}");
}

#[tokio::test]
async fn a_whole_stream_passes_byte_for_byte() {
    let bench = Bench::new(|_| Script::sse(&FRAMES)).await;
    let hidden = bench.chat(0).await;
    assert_eq!((hidden.status, hidden.text()), (StatusCode::OK, shown(&FRAMES)));
    assert_eq!(hidden.header("content-type"), Some("text/event-stream"));
    let asked = bench.ask("/v1/chat/completions", 1, &with_usage()).await;
    assert_eq!(asked.text(), FRAMES.concat().replace(USAGE, COSTED));
    for row in bench.gateway.wait_rows(2).await {
        assert_eq!((&row["status"], &row["http_status"], &row["stream"]), (&json!("ok"), &json!(200), &json!(true)));
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(12), &json!(3)));
        assert_eq!((&row["cost_usd"], &row["estimated"]), (&json!("0.000018000"), &json!(false)));
        assert_eq!(row["served_model"], "priced-2026");
    }
    let sent = bench.upstream.seen();
    assert_eq!(sent[0].json()["stream_options"], json!({"include_usage": true}));
    assert_eq!(sent[1].json(), {
        let mut body = with_usage();
        body["model"] = "priced".into();
        body
    });
}

#[tokio::test]
async fn an_unpriced_usage_chunk_is_untouched() {
    let bench = Bench::new(|_| Script::sse(&FRAMES)).await;
    let mut body = with_usage();
    body["model"] = "up/unknown".into();
    let reply = bench.ask("/v1/chat/completions", 0, &body).await;
    assert_eq!(reply.text(), FRAMES.concat());
    let row = bench.gateway.only_row().await;
    assert_eq!((&row["cost_usd"], &row["unpriced"]), (&Value::Null, &json!(true)));
}

#[tokio::test]
async fn however_a_stream_is_cut_into_chunks_the_client_gets_the_same_bytes() {
    let text = FRAMES.concat();
    let length = text.len();
    let bench = Bench::new(move |case| {
        let bytes = text.as_bytes();
        Script::stream(match case {
            0 => bytes.chunks(1).map(Step::send).collect(),
            cut => vec![Step::send(&bytes[..cut]), Step::send(&bytes[cut..])],
        })
    })
    .await;
    for (case, (reply, row)) in bench.all(length, &plain()).await.into_iter().enumerate() {
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, shown(&FRAMES)), "cut at {case}");
        assert_eq!((&row["status"], &row["output_tokens"]), (&json!("ok"), &json!(3)), "cut at {case}");
    }
}

/// Whole frames within the first `length` bytes.
fn whole_frames(length: usize) -> usize {
    let mut end = 0;
    let ends = FRAMES.iter().map(|frame| {
        end += frame.len();
        end
    });
    ends.filter(|end| *end <= length).count()
}

/// What a client and its row must show of a stream that broke off after `length` bytes.
fn check_broken(length: usize, reply: &Reply, row: &Value) {
    let frames = whole_frames(length);
    assert_eq!(row["status"], "upstream_error", "cut at {length}: {row}");
    if frames <= FIRST_OUTPUT {
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "cut at {length}: {}", reply.text());
        assert_eq!(reply.json()["error"].as_object().unwrap().len(), 4);
        assert_eq!((&row["http_status"], &row["output_tokens"]), (&json!(502), &json!(0)), "cut at {length}");
        return;
    }
    assert_eq!(reply.status, StatusCode::OK, "cut at {length}");
    let text = reply.text();
    is_one_error(error_tail(&text, &shown(&FRAMES[..frames])), "upstream_error");
    let reported = frames > USAGE_AT;
    assert_eq!(row["estimated"], !reported, "cut at {length}: {row}");
    assert_eq!((&row["http_status"], &row["error_code"]), (&json!(200), &json!("upstream_error")));
    assert!(row["output_tokens"].as_u64().unwrap() > 0, "cut at {length}: {row}");
    assert_ne!(row["cost_usd"], "0.000000000", "cut at {length}: {row}");
    if reported {
        assert_eq!(row["output_tokens"], 3);
    }
}

#[tokio::test]
async fn a_stream_cut_anywhere_ends_with_one_error_event() {
    let text = FRAMES.concat();
    let length = text.len();
    let bench = Bench::new(move |case| {
        // The pause lets what was written go out before the connection breaks.
        let written = Step::Wait(Duration::from_millis(1));
        Script::stream(vec![Step::send(&text.as_bytes()[..case]), written, Step::Cut])
    })
    .await;
    for (cut, (reply, row)) in bench.all(length, &plain()).await.into_iter().enumerate() {
        check_broken(cut, &reply, &row);
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_done_is_no_success() {
    let bench = Bench::new(|case| Script::sse(&FRAMES[..case])).await;
    for (frames, (reply, row)) in bench.all(FRAMES.len(), &plain()).await.into_iter().enumerate() {
        check_broken(FRAMES[..frames].concat().len(), &reply, &row);
    }
}

#[tokio::test]
async fn a_done_without_its_blank_line_is_an_end_all_the_same() {
    let text = FRAMES.concat();
    let text = text.trim_end().to_owned();
    let sent = text.clone();
    let bench = Bench::new(move |_| Script::sse(&[&sent])).await;
    assert_eq!(bench.chat(0).await.text(), text.replace(USAGE, ""));
    assert_eq!(bench.gateway.only_row().await["status"], "ok");
}

#[tokio::test]
async fn what_comes_after_done_does_not_spoil_a_stream() {
    let bench = Bench::new(|case| {
        let mut steps: Vec<Step> = FRAMES.iter().map(Step::send).collect();
        steps.push(Step::Wait(Duration::from_millis(1)));
        steps.push(if case == 0 { Step::Cut } else { Step::send("data: {broken\n\n") });
        Script::stream(steps)
    })
    .await;
    for (case, (reply, row)) in bench.all(2, &plain()).await.into_iter().enumerate() {
        assert_eq!(reply.text(), shown(&FRAMES), "case {case}");
        assert_eq!(row["status"], "ok", "case {case}");
    }
}

const ERROR: &str =
    "data: {\"error\":{\"message\":\"the model fell over\",\"type\":\"server_error\",\"param\":null,\"code\":503}}\n\n";

#[tokio::test]
async fn an_error_in_the_first_event_is_a_real_status() {
    let bench = Bench::new(|_| Script::sse(&[": hello\n\n", ERROR])).await;
    let reply = bench.chat(0).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json()["error"]["message"], "the model fell over");
    let row = bench.gateway.only_row().await;
    assert_eq!((&row["status"], &row["http_status"]), (&json!("upstream_error"), &json!(503)));
}

#[tokio::test]
async fn a_later_error_is_passed_on_as_the_last_event() {
    let one_chunk = [ROLE, HEL, ERROR].concat();
    let bench = Bench::new(move |case| match case {
        0 => Script::sse(&[ROLE, HEL, ERROR]),
        1 => Script::sse(&[&one_chunk]),
        _ => Script::sse(&[&one_chunk]).then(Step::Hang),
    })
    .await;
    for (case, (reply, row)) in bench.all(3, &plain()).await.into_iter().enumerate() {
        assert_eq!(reply.text(), [ROLE, HEL, ERROR].concat(), "case {case}");
        assert_eq!((&row["status"], &row["error_code"]), (&json!("upstream_error"), &json!("503")), "case {case}");
        assert_eq!(row["error_message"], "the model fell over");
        assert_eq!(row["estimated"], true);
    }
}

#[tokio::test]
async fn a_malformed_or_endless_event_breaks_the_stream_off() {
    let endless = format!("data: {}", "x".repeat(9 << 20));
    let bench = Bench::new(move |case| match case {
        0 => Script::sse(&[ROLE, HEL, "data: {\"choices\":[\n\n", LO, DONE]),
        1 => Script::sse(&[ROLE, HEL, &endless]).then(Step::Hang),
        2 => Script::sse(&["data: {\"choices\":[\n\n", HEL, DONE]),
        _ => Script::sse(&[&endless]).then(Step::Hang),
    })
    .await;
    for (case, (reply, row)) in bench.all(4, &plain()).await.into_iter().enumerate() {
        if case < 2 {
            is_one_error(error_tail(&reply.text(), &[ROLE, HEL].concat()), "upstream_error");
        } else {
            assert_eq!((reply.status, reply.code()), (StatusCode::BAD_GATEWAY, "upstream_invalid_response".into()));
        }
        assert_eq!(row["status"], "upstream_error", "case {case}");
    }
}

#[expect(clippy::disallowed_methods, reason = "measures how soon a client's departure arrives")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Reads until `text` has come.
async fn read_until(body: &mut hyper::body::Incoming, text: &str) -> String {
    let mut got = String::new();
    while !got.contains(text) {
        let frame = body.frame().await.expect("more comes").expect("the stream goes on");
        got.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    got
}

/// Waits for a condition that another task brings about.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn a_client_that_leaves_mid_stream_takes_the_upstream_with_it_and_pays() {
    let bench = Bench::new(|_| Script::sse(&[ROLE, HEL, LO]).then(Step::Hang)).await;
    let mut body = bench.open("/v1/chat/completions", 0, &plain()).await.into_body();
    read_until(&mut body, "👋").await;
    let left = now();
    drop(body);
    eventually("the upstream is let go", || !bench.upstream.dropped().is_empty()).await;
    let after = bench.upstream.dropped()[0].duration_since(left);
    assert!(after < Duration::from_millis(100), "{after:?}");
    let row = bench.gateway.only_row().await;
    assert_eq!((&row["status"], &row["http_status"]), (&json!("cancelled"), &json!(499)));
    assert_eq!((&row["estimated"], &row["unpriced"]), (&json!(true), &json!(false)));
    assert!(row["input_tokens"].as_u64().unwrap() > 0, "{row}");
    assert!(row["output_tokens"].as_u64().unwrap() > 0, "{row}");
    assert_ne!(row["cost_usd"], "0.000000000");
    assert_eq!(bench.upstream.open(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_after_done_had_its_answer() {
    let bench = Bench::new(|_| Script::sse(&FRAMES).then(Step::Hang)).await;
    let mut body = bench.open("/v1/chat/completions", 0, &plain()).await.into_body();
    read_until(&mut body, DONE).await;
    drop(body);
    let row = bench.gateway.only_row().await;
    assert_eq!((&row["status"], &row["http_status"]), (&json!("ok"), &json!(200)), "{row}");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_is_recorded_too() {
    let bench = Bench::new(|_| Script::sse(&FRAMES).delayed(Duration::from_secs(30))).await;
    let request = bench.chat(0);
    let waited = tokio::time::timeout(Duration::from_millis(200), request).await;
    assert!(waited.is_err(), "it left before the answer");
    let row = bench.gateway.only_row().await;
    assert_eq!((&row["status"], &row["http_status"]), (&json!("cancelled"), &json!(499)));
    let attempts = row["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{row}");
    assert_eq!(attempts[0]["outcome"], "cancelled");
    assert!(row["overhead_us"].as_u64().unwrap() < 150_000, "waiting for the upstream is no overhead: {row}");
}

#[tokio::test]
async fn a_stall_between_chunks_ends_in_a_timeout_event() {
    let settings = "timeouts: { between_chunks: 100ms }";
    let bench = Bench::with(settings, |_| Script::sse(&[ROLE, HEL]).then(Step::Hang)).await;
    let reply = bench.chat(0).await;
    is_one_error(error_tail(&reply.text(), &[ROLE, HEL].concat()), "upstream_timeout");
    let row = bench.gateway.only_row().await;
    assert_eq!((&row["status"], &row["error_code"]), (&json!("timeout"), &json!("upstream_timeout")));
    assert_eq!((&row["http_status"], &row["estimated"]), (&json!(200), &json!(true)));
    eventually("the upstream is let go", || bench.upstream.dropped().len() == 1).await;
}

#[tokio::test]
async fn slow_but_steady_chunks_are_no_stall() {
    let settings = "timeouts: { between_chunks: 150ms }";
    let bench = Bench::with(settings, |_| {
        let pause = || Step::Wait(Duration::from_millis(60));
        Script::stream(FRAMES.iter().flat_map(|frame| [Step::send(frame), pause()]).collect())
    })
    .await;
    assert_eq!(bench.chat(0).await.text(), shown(&FRAMES));
}

#[tokio::test]
async fn an_endless_stream_ends_at_the_total_time() {
    let settings = "timeouts: { total: 200ms }";
    let bench = Bench::with(settings, |_| Script::stream(vec![Step::Repeat(HEL.into(), usize::MAX)])).await;
    let reply = bench.chat(0).await.text();
    let tail = reply.rfind("data: {\"error\"").expect("an error event");
    is_one_error(&reply[tail..], "upstream_timeout");
    assert_eq!(bench.gateway.only_row().await["status"], "timeout");
}

#[tokio::test]
async fn an_upstream_without_usage_is_counted() {
    let bench = Bench::new(|_| Script::sse(&[ROLE, HEL, LO, FINISH, DONE])).await;
    let reply = bench.ask("/v1/chat/completions", 0, &with_usage()).await;
    assert_eq!(reply.text(), [ROLE, HEL, LO, FINISH, DONE].concat());
    let row = bench.gateway.only_row().await;
    assert_eq!((&row["status"], &row["estimated"], &row["unpriced"]), (&json!("ok"), &json!(true), &json!(false)));
    let tokens = |name: &str| row[name].as_u64().unwrap();
    assert!((2..40).contains(&tokens("input_tokens")) && (2..20).contains(&tokens("output_tokens")), "{row}");
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_back_its_upstream() {
    let event = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "x".repeat(64 << 10));
    let offered = 200_u64 << 20;
    let times = usize::try_from(offered).unwrap() / event.len();
    let bench = Bench::new(move |_| Script::stream(vec![Step::Repeat(event.clone().into(), times)])).await;
    let mut body = bench.open("/v1/chat/completions", 0, &plain()).await.into_body();
    read_until(&mut body, "data: ").await;
    let mut before = 0;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let sent = bench.upstream.sent();
        if sent == before {
            break;
        }
        before = sent;
    }
    // Two pairs of socket buffers lie between, and what the kernel makes of them.
    assert!(bench.upstream.sent() < 40 << 20, "{} of {offered} bytes were taken", bench.upstream.sent());
}

#[tokio::test]
async fn the_responses_dialect_has_its_own_error_event() {
    const CREATED: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"model\":\"m\"}}\n\n";
    const DELTA: &str =
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n";
    let bench = Bench::new(|_| Script::sse(&[CREATED, DELTA])).await;
    let body = json!({"model": "up/priced", "stream": true, "input": "hi"});
    let reply = bench.ask("/v1/responses", 0, &body).await.text();
    let tail = error_tail(&reply, &[CREATED, DELTA].concat());
    let event = tail.strip_prefix("event: error\ndata: ").and_then(|t| t.strip_suffix("\n\n")).unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!((&event["type"], &event["code"]), (&json!("error"), &json!("upstream_error")));
    assert!(event["message"].as_str().unwrap().contains("broke the stream off"));
    let row = bench.gateway.only_row().await;
    assert_eq!((&row["status"], &row["endpoint"]), (&json!("upstream_error"), &json!("responses")));
}

#[tokio::test]
async fn keep_alive_comments_before_the_first_event_are_a_sign_of_life() {
    let settings = "timeouts: { first_byte: 100ms, between_chunks: 5s }";
    let bench = Bench::with(settings, |_| {
        let comments = std::iter::repeat_n([Step::send(": processing\n\n"), Step::Wait(Duration::from_millis(60))], 4);
        Script::stream(comments.flatten().chain(FRAMES.iter().map(Step::send)).collect())
    })
    .await;
    let reply = bench.chat(0).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.text(), ": processing\n\n".repeat(4) + &shown(&FRAMES));
}

#[tokio::test]
async fn a_stream_without_any_event_times_out_before_its_head() {
    let bench = Bench::with("timeouts: { first_byte: 100ms }", |_| Script::stream(vec![Step::Hang])).await;
    let reply = bench.chat(0).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout".into()));
    assert_eq!(bench.gateway.only_row().await["status"], "timeout");
}
