//! Limits of everybody that can have some, all together, and how they are shown.

use super::*;

/// A gateway with this configuration beside one provider `up`, its clock, and the upstream.
async fn limited_by(extra: &str) -> (Gateway, Clock, Upstream) {
    let upstream = Upstream::scripted(vec![answer(6, 4)]).await;
    let clock = Clock::mock(EPOCH);
    let yaml = format!("{}{extra}", one_provider(&upstream.url()));
    (Setup::new(yaml).clock(clock.clone()).start().await, clock, upstream)
}

/// How many of so many requests pass, and the last answer.
async fn passing(gateway: &Gateway, key: &str, model: &str, most: usize) -> (usize, Reply) {
    let mut passed = 0;
    loop {
        let reply = gateway.post(key, "/v1/chat/completions", chat(model)).await;
        if reply.status != StatusCode::OK || passed == most {
            return (passed, reply);
        }
        passed += 1;
    }
}

#[tokio::test]
async fn every_declared_limit_holds_for_whom_it_is() {
    let list = "limits:\n  - { team: \"*\", rpm: 3 }\n  - { team: big, rpm: 5 }\n  - { user: ann, rph: 2 }\n  \
                - { organization: acme, rpd: 4 }\n  - { model: m, rps: 6 }\n  - { model: up/there, rpm: 1 }\n";
    let (gateway, clock, _upstream) = limited_by(list).await;
    let key = async |fields: Value| gateway.key(fields).await.1;
    // Two keys of one team share what it has; another team has its own, and one that is named another.
    let (a, b) = (key(json!({"team_id": "red"})).await, key(json!({"team_id": "red"})).await);
    assert_eq!(passing(&gateway, &a, "x", 2).await.0, 2);
    let (passed, refused) = passing(&gateway, &b, "x", 9).await;
    assert_eq!(passed, 0, "the first of them took the third to see that it passes");
    limited(&refused, "20", "20000");
    assert!(refused.text().contains("team red's limit of 3 requests per minute"), "{}", refused.text());
    assert_eq!(number(&refused, "x-ratelimit-limit-requests"), 3);
    let blue = key(json!({"team_id": "blue"})).await;
    assert_eq!(passing(&gateway, &blue, "x", 9).await.0, 3);
    let big = key(json!({"team_id": "big"})).await;
    assert_eq!(passing(&gateway, &big, "x", 9).await.0, 5);
    let ann = key(json!({"user_id": "ann"})).await;
    let (passed, refused) = passing(&gateway, &ann, "x", 9).await;
    assert_eq!(passed, 2);
    assert!(refused.text().contains("user ann's limit of 2 requests per hour"), "{}", refused.text());
    let acme = key(json!({"organization_id": "acme"})).await;
    let (passed, refused) = passing(&gateway, &acme, "x", 9).await;
    assert_eq!(passed, 4);
    limited(&refused, "21600", "21600000");
    // A model by the name that is asked for, whoever asks, and one by its name at its provider.
    let plain = key(json!({})).await;
    let (passed, refused) = passing(&gateway, &plain, "m", 9).await;
    assert_eq!(passed, 6);
    assert!(refused.text().contains("model m's limit of 6 requests per second"), "{}", refused.text());
    clock.advance(Duration::from_secs(1));
    assert_eq!(passing(&gateway, &plain, "m", 9).await.0, 6);
    let (passed, refused) = passing(&gateway, &plain, "there", 9).await;
    assert_eq!(passed, 1, "{}", refused.text());
    assert!(refused.text().contains("model up/there is at its configured limit of 1"), "{}", refused.text());
    let whose = "weir_limits_reached_total{limit=\"rpm\",whose=\"team\"}";
    assert_eq!(metric(&gateway, whose).await, Some(3.0));
}

#[tokio::test]
async fn every_kind_of_limit_holds_for_keys_providers_and_the_list() {
    // Each answer uses ten tokens; what is missing afterwards is there after the span's part.
    let kinds = [
        ("rps", 2, 500_u64),
        ("rpm", 2, 30_000),
        ("rph", 2, 1_800_000),
        ("rpd", 2, 43_200_000),
        ("tps", 20, 0),
        ("tpm", 20, 0),
        ("tph", 20, 0),
        ("tpd", 20, 0),
    ];
    for (name, limit, wait) in kinds {
        let upstream = Upstream::scripted(vec![answer(6, 4)]).await;
        let url = upstream.url();
        let yaml = format!(
            "providers:\n  up: {{ kind: openai-compatible, base_url: \"{url}\", default: true }}\n  \
             own: {{ kind: openai-compatible, base_url: \"{url}\", limits: {{ {name}: {limit} }} }}\n\
             keys: [{{ name: declared, key: sk-declared, limits: {{ {name}: {limit} }} }}]\n\
             limits: [{{ provider: up, {name}: {limit} }}, {{ key: \"config:listed\", {name}: {limit} }}]\n",
        );
        let yaml = yaml.replace("keys: [", "keys: [{ name: listed, key: sk-listed }, ");
        for (key, model) in [("sk-declared", "demo/chat"), ("sk-listed", "demo/chat"), ("", "own/x"), ("", "up/x")] {
            let gateway = Setup::new(&yaml).clock(Clock::mock(EPOCH)).start().await;
            let key = if key.is_empty() { gateway.plain_key().await } else { key.to_owned() };
            let (passed, refused) = passing(&gateway, &key, model, 30).await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded")
            );
            if wait > 0 {
                assert_eq!(passed, 2, "{name} {key} {model}");
                assert_eq!(number(&refused, "retry-after-ms"), wait, "{name} {key} {model}");
            } else {
                assert!((1..=3).contains(&passed), "{name} {key} {model}: {passed}");
                assert!(refused.text().contains("tokens"), "{}", refused.text());
            }
        }
    }
}

#[tokio::test]
async fn a_provider_as_a_whole_is_limited_over_all_its_keys_and_passed_over() {
    let (a, b) = (Upstream::scripted(vec![answer(1, 1)]).await, Upstream::scripted(vec![answer(1, 1)]).await);
    let yaml = format!(
        "providers:\n  a: {{ kind: openai-compatible, base_url: \"{}\", keys: [one, two, three] }}\n  \
         b: {{ kind: openai-compatible, base_url: \"{}\" }}\n\
         models:\n  m: {{ targets: [{{ provider: a, model: x }}, {{ provider: b, model: x }}] }}\n\
         limits: [{{ provider: a, rpm: 4 }}, {{ model: b/x, rpm: 2 }}, {{ model: \"*\", concurrency: 9 }}]\n",
        a.url(),
        b.url()
    );
    let gateway = Setup::new(yaml).clock(Clock::mock(EPOCH)).start().await;
    let key = gateway.plain_key().await;
    let (passed, refused) = passing(&gateway, &key, "m", 20).await;
    assert_eq!((passed, a.seen().len(), b.seen().len()), (6, 4, 2));
    assert!(refused.text().contains("model b/x is at its configured limit of 2 requests per minute"));
}

#[tokio::test]
async fn all_or_nothing_over_the_line() {
    let (gateway, clock, upstream) =
        limited_by("limits: [{ team: t, tpm: 100 }, { organization: o, rpm: 100 }]\n").await;
    let (_, key) =
        gateway.key(json!({"team_id": "t", "organization_id": "o", "limits": {"rpm": 50, "tpm": 900}})).await;
    let mut body = chat("m");
    body["max_tokens"] = json!(80);
    let first = gateway.post(&key, "/v1/chat/completions", &body).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(number(&first, "x-ratelimit-limit-tokens"), 100, "the tightest of both");
    assert_eq!(number(&first, "x-ratelimit-limit-requests"), 50);
    body["max_tokens"] = json!(95);
    let refused = gateway.post(&key, "/v1/chat/completions", &body).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.text().contains("team t's limit of 100 tokens per minute"), "{}", refused.text());
    // What was refused was given back everywhere: the request of both, the tokens of the key.
    assert_eq!(number(&refused, "x-ratelimit-remaining-requests"), 49);
    let shown = gateway.admin(Method::GET, "/admin/v1/limits?scope=organization", Value::Null).await.json();
    assert_eq!(shown["data"][0]["rates"]["rpm"]["remaining"], 99);
    let shown = gateway.admin(Method::GET, "/admin/v1/limits?scope=key", Value::Null).await.json();
    assert_eq!(shown["data"][0]["rates"]["tpm"]["remaining"], 890);
    clock.advance(Duration::from_millis(number(&refused, "retry-after-ms")));
    assert_eq!(gateway.post(&key, "/v1/chat/completions", &body).await.status, StatusCode::OK);
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn what_is_left_is_shown_live() {
    let upstream = Upstream::scripted(vec![hanging(), answer(6, 4)]).await;
    let yaml = format!(
        "providers:\n  up: {{ kind: openai-compatible, base_url: \"{}\", keys: [one, two], default: true, \
         limits: {{ rpm: 10, concurrency: 3 }}, queue: {{ max_wait: 10ms }} }}\n\
         limits: [{{ team: t, rpm: 5, concurrency: 7 }}, {{ provider: up, tpd: 1000 }}, {{ user: \"*\", rpm: 1 }}]\n",
        upstream.url()
    );
    let gateway = Setup::new(yaml).clock(Clock::mock(EPOCH)).start().await;
    let (id, key) = gateway.key(json!({"team_id": "t", "limits": {"rpd": 20}})).await;
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
    let mut open = gateway.send(Method::POST, "/v1/chat/completions", &headers, streaming()).await;
    open.frame().await.unwrap().unwrap();
    let list = async |query: &str| {
        let path = format!("/admin/v1/limits{query}");
        gateway.admin(Method::GET, &path, Value::Null).await.json()
    };
    let all = list("").await;
    assert_eq!(
        (&all["object"], &all["has_more"], &all["sharing"]),
        (&json!("list"), &json!(false), &json!({"by": "none"}))
    );
    let find = |scope: &str, subject: &str| {
        let data = all["data"].as_array().unwrap();
        let found = data.iter().find(|entry| entry["scope"] == scope && entry["subject"] == subject);
        found.unwrap_or_else(|| panic!("no {scope} {subject}: {all}")).clone()
    };
    assert_eq!(find("key", &id)["rates"]["rpd"], json!({"limit": 20, "remaining": 19, "reset_ms": 4_320_000}));
    let team = find("team", "t");
    assert_eq!((&team["rates"]["rpm"]["remaining"], &team["declared_in"]), (&json!(4), &json!("limits")));
    assert_eq!(team["concurrency"], json!({"limit": 7, "in_flight": 1}));
    assert_eq!(find("upstream_key", "up#1")["rates"]["rpm"]["remaining"], 9);
    assert_eq!(
        (&find("upstream_key", "up#2")["waiting"], &find("upstream_key", "demo#1")["rates"]),
        (&json!(0), &json!({}))
    );
    assert_eq!(find("provider", "up")["concurrency"], json!({"limit": null, "in_flight": 1}));
    assert!(!all.to_string().contains("\"one\""), "no upstream key is shown");
    // In pages, and of one scope or subject.
    let (mut subjects, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(&format!("?limit=1{cursor}")).await;
        assert_eq!(page["data"].as_array().unwrap().len(), 1);
        subjects.push(page["data"][0]["subject"].clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={}", percent_encoding::utf8_percent_encode(next, percent_encoding::NON_ALPHANUMERIC));
    }
    assert_eq!(subjects.len(), all["data"].as_array().unwrap().len());
    assert_eq!(list("?scope=upstream_key&subject=up%232").await["data"].as_array().unwrap().len(), 1);
    let bad = gateway.admin(Method::GET, "/admin/v1/limits?scope=galaxy", Value::Null).await;
    assert_eq!((bad.status, bad.json()["error"]["param"].as_str()), (StatusCode::BAD_REQUEST, Some("scope")));
    drop(open);
}

#[tokio::test]
async fn keys_have_all_limits_and_a_priority() {
    let gateway = Setup::new("").start().await;
    let limits =
        json!({"rps": 1, "rpm": 2, "rph": 3, "rpd": 4, "tps": 5, "tpm": 6, "tph": 7, "tpd": 8, "concurrency": 9});
    let (id, _) = gateway.key(json!({"limits": limits, "priority": "high"})).await;
    let path = format!("/admin/v1/keys/{id}");
    let shown = gateway.admin(Method::GET, &path, Value::Null).await.json();
    assert_eq!((&shown["limits"], &shown["priority"]), (&limits, &json!("high")));
    let patch = json!({"limits": {"rps": null, "tpd": 80}, "priority": "low"});
    let changed = gateway.admin(Method::PATCH, &path, patch).await.json();
    assert_eq!((&changed["limits"]["rps"], &changed["limits"]["tpd"]), (&Value::Null, &json!(80)));
    assert_eq!((&changed["limits"]["rpm"], &changed["priority"]), (&json!(2), &json!("low")));
    for (body, param) in [
        (json!({"limits": {"rpx": 1}}), "limits.rpx"),
        (json!({"limits": {"tph": 1_000_000_000_001_u64}}), "limits.tph"),
        (json!({"limits": {"rpd": -1}}), "limits.rpd"),
        (json!({"priority": "urgent"}), "priority"),
    ] {
        let refused = gateway.admin(Method::PATCH, &path, body.clone()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(refused.json()["error"]["param"], param, "{body}: {}", refused.text());
    }
}
