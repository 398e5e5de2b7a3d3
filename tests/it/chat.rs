//! One chat request the whole way: through the router, to an upstream, and back.

use http::StatusCode;
use serde_json::json;

use crate::support::gateway::Gateway;
use crate::support::upstream::{Script, Upstream};

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","model":"priced-2026","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500,"prompt_tokens_details":{"cached_tokens":200}}}"#;

#[tokio::test]
async fn a_chat_goes_the_whole_way() {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER)]).await;
    let gateway = Gateway::before(&upstream.url()).await;
    let key = gateway.plain_key().await;
    let reply =
        gateway.post(&key, "/v1/chat/completions", json!({"model": "up/priced", "messages": [], "user": "u1"})).await;
    assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, ANSWER));
    assert_eq!(reply.header("x-weir-cost-usd"), Some("0.001820000"));
    assert_eq!(upstream.only().headers["authorization"], "Bearer upstream-secret");
    assert_eq!(upstream.only().json()["model"], "priced");
    let row = gateway.only_row().await;
    assert_eq!(row["cost_usd"], "0.001820000");
    assert_eq!(
        (&row["input_tokens"], &row["cached_tokens"], &row["output_tokens"]),
        (&json!(1000), &json!(200), &json!(500))
    );
    assert_eq!(
        (&row["status"], &row["served_model"], &row["end_user"]),
        (&json!("ok"), &json!("priced-2026"), &json!("u1"))
    );
}
