//! The table of routes, the router and the documents made from the table: they say the same.

use std::collections::BTreeSet;
use std::path::Path;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use weir::http::docs::{Access, Described, ROUTES};

use crate::support::gateway::{ADMIN, Gateway, Reply, Setup};
use crate::support::upstream::{Script, Upstream};

/// The router's source: what is in it cannot be asked of it at run time.
const ROUTER: &str = include_str!("../../src/http/router.rs");

/// The id of a request of the key's that has its row.
const REQUEST: &str = "a-request-of-the-key";
/// A provider's account, and the id it gets.
const INVOICE: &str = "start_time_iso,line_item,amount_value\n2026-11-01,x,1\n";
const INVOICE_ID: &str = "inv_166b37f80fd5bd99e54b5090d05e5272";

async fn gateway() -> (Gateway, String) {
    let upstream = Upstream::scripted(vec![Script::json(r#"{"ok":1,"input_tokens":1}"#)]).await;
    let gateway = Gateway::before(&upstream.url()).await;
    let key = gateway.plain_key().await;
    gateway.request(Method::POST, "/admin/v1/invoices?provider=up", &[("x-api-key", ADMIN)], INVOICE).await;
    let headers = [("x-api-key", key.as_str()), ("x-request-id", REQUEST)];
    gateway.request(Method::GET, "/v1/conversations", &headers, "").await;
    (gateway, key)
}

fn method(route: &Described) -> Method {
    route.method.to_uppercase().parse().unwrap()
}

/// A path that the route serves: an object of ours for `{id}`, an endpoint of OpenAI's for the rest.
fn path_of(route: &Described, id: &str) -> String {
    let action = "gpt-x:generateContent";
    let id = match (route.method, route.path) {
        (_, "/v1/usage/{id}") => REQUEST,
        (_, path) if path.starts_with("/admin/v1/invoices/") => INVOICE_ID,
        (_, path) if path.starts_with("/admin/v1/config/versions/") => "1",
        ("post", path) if path.starts_with("/v1/") => action,
        (_, path) if path.starts_with("/v1/") => "gpt-x",
        _ => id,
    };
    let rest = if route.path.starts_with("/openai/") { "v1/chat/completions" } else { "conversations" };
    let action = if route.method == "get" { "demo/chat" } else { action };
    let path = route.path.replace("{id}", id).replace("{path}", rest).replace("{action}", action);
    let last = path.split('/').nth(2).unwrap_or_default();
    path.replace("{operation}", if last == "audio" { "speech" } else { "edits" })
}

/// An object of the kind that the route's path names, if it names one.
async fn object_of(gateway: &Gateway, route: &Described) -> String {
    let (list, body) = if route.path.starts_with("/admin/v1/budgets/") {
        let budget = json!({"name": "b", "scope": "team", "subject": "t", "usd": "1", "period": "day"});
        ("/admin/v1/budgets", budget)
    } else if route.path.starts_with("/admin/v1/prices/") {
        ("/admin/v1/prices", json!({"model": "demo/chat", "prices": {"input": "0"}}))
    } else {
        return gateway.key(json!({})).await.0;
    };
    let made = gateway.admin(Method::POST, list, body).await.json();
    made["id"].as_str().unwrap().to_owned()
}

async fn call(gateway: &Gateway, route: &Described, path: &str, key: Option<&str>) -> Reply {
    let auth = key.map(|key| format!("Bearer {key}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(auth.as_deref().map(|auth| ("authorization", auth)));
    let body = match (route.method, route.path) {
        ("get", _) => "",
        (_, "/admin/v1/routes/explain") => r#"{"model": "demo/chat", "messages": []}"#,
        _ => "{}",
    };
    gateway.request(method(route), path, &headers, body).await
}

/// Whether the router itself had nothing to answer with, as opposed to a handler.
fn unrouted(reply: &Reply) -> bool {
    reply.status == StatusCode::METHOD_NOT_ALLOWED
        || (reply.status == StatusCode::NOT_FOUND && reply.code() == "unknown_path")
}

#[tokio::test]
async fn every_route_that_is_listed_answers() {
    let (gateway, key) = gateway().await;
    for route in ROUTES {
        let id = object_of(&gateway, route).await;
        let caller = if route.access == Access::Admin { ADMIN } else { key.as_str() };
        let reply = call(&gateway, route, &path_of(route, &id), Some(caller)).await;
        assert!(!unrouted(&reply), "{} {}: {} {}", route.method, route.path, reply.status, reply.text());
        assert!(!reply.status.is_server_error(), "{} {}: {}", route.method, route.path, reply.text());
        assert_eq!(
            reply.status.is_success(),
            reply.status.as_u16() == route.success,
            "{} {}",
            route.method,
            route.path
        );
        // Dead letters are made by events alone, and receivers by the configuration.
        if route.path.starts_with("/admin/v1/alerts/") && route.path.contains('{') {
            assert_eq!(reply.code(), "not_found", "{}", route.path);
            continue;
        }
        assert_ne!(reply.status, StatusCode::NOT_FOUND, "{} {}: {}", route.method, route.path, reply.text());
    }
}

#[tokio::test]
async fn each_lets_in_whom_the_table_says() {
    let (gateway, key) = gateway().await;
    for route in ROUTES {
        let id = object_of(&gateway, route).await;
        let path = path_of(route, &id);
        let mut codes = Vec::new();
        for caller in [None, Some("sk-weir-nobody"), Some(key.as_str()), Some(ADMIN)] {
            let reply = call(&gateway, route, &path, caller).await;
            let refused = matches!(reply.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            codes.push(if refused { reply.code() } else { "in".to_owned() });
        }
        let expected = match route.access {
            Access::Open => ["in", "in", "in", "in"],
            Access::Key => ["missing_api_key", "invalid_api_key", "in", "admin_key_not_allowed"],
            Access::Either => ["missing_api_key", "invalid_api_key", "in", "in"],
            Access::Admin => ["missing_api_key", "admin_key_required", "admin_key_required", "in"],
        };
        assert_eq!(codes, expected, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn the_query_parameters_that_are_listed_are_all_there_are() {
    let (gateway, key) = gateway().await;
    for route in ROUTES.iter().filter(|route| !route.query.is_empty()) {
        let caller = if route.access == Access::Admin { ADMIN } else { key.as_str() };
        for (name, _) in route.query {
            let path = path_of(route, "");
            let reply = call(&gateway, route, &format!("{path}?{name}="), Some(caller)).await;
            assert_eq!(reply.status, StatusCode::OK, "{} {name}: {}", route.path, reply.text());
        }
        let reply = call(&gateway, route, &format!("{}?zzzzzzzz=1", path_of(route, "")), Some(caller)).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "unknown_parameter".into()));
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        let known = message.split_once("known are ").unwrap().1;
        let listed: Vec<_> = route.query.iter().map(|(name, _)| *name).collect();
        assert_eq!(known.split(", ").collect::<Vec<_>>(), listed, "{}", route.path);
    }
}

/// `(path, methods)` of each `.route("path", ...)` in the router's source; no methods where it says `any`.
fn routed() -> Vec<(String, BTreeSet<&'static str>)> {
    let calls = ROUTER.split(".route(\"").skip(1).map(|rest| rest.split_once("\",").expect("a path and its methods"));
    let routes = calls.map(|(path, rest)| {
        let methods = rest.lines().next().unwrap_or_default();
        let has = |method: &&str| methods.contains(&format!("{method}("));
        (path.replace("{*", "{"), ["get", "post", "put", "patch", "delete"].into_iter().filter(has).collect())
    });
    routes.collect()
}

#[test]
fn every_route_of_the_router_is_listed() {
    let routed = routed();
    assert!(routed.len() > 15, "the router's source is read: {routed:?}");
    assert_eq!(ROUTER.matches(".route(").count(), routed.len(), "each path stands beside its `.route(`");
    let listed = |path: &str| -> BTreeSet<&str> {
        ROUTES.iter().filter(|route| route.path == path).map(|route| route.method).collect()
    };
    for (path, methods) in &routed {
        let listed = listed(path);
        assert!(!listed.is_empty(), "{path} is in the router and not in docs::ROUTES");
        assert!(listed.is_superset(methods), "{path}: {methods:?} in the router, {listed:?} in docs::ROUTES");
    }
    // And none but those, or what the one route for the rest takes.
    for route in ROUTES {
        let exact = routed.iter().any(|(path, _)| path == route.path);
        assert!(exact || route.path.starts_with("/v1/"), "{} is in docs::ROUTES and not in the router", route.path);
    }
}

#[test]
fn what_users_rely_on_is_listed() {
    for (method, path) in [
        ("post", "/v1/chat/completions"),
        ("post", "/v1/completions"),
        ("post", "/v1/embeddings"),
        ("post", "/v1/responses"),
        ("get", "/v1/models"),
        ("get", "/v1/models/{id}"),
        ("post", "/v1/moderations"),
        ("post", "/v1/images/{operation}"),
        ("post", "/v1/audio/{operation}"),
        ("get", "/v1/files"),
        ("post", "/v1/files"),
        ("post", "/v1/uploads"),
        ("post", "/v1/batches"),
        ("post", "/v1/fine_tuning/jobs"),
        ("post", "/v1/rerank"),
        ("get", "/v1/usage"),
        ("get", "/v1/usage/{id}"),
        ("get", "/admin/v1/costs"),
        ("get", "/admin/v1/keys"),
        ("get", "/admin/v1/budgets"),
        ("get", "/admin/v1/providers"),
        ("get", "/admin/v1/usage"),
        ("get", "/health"),
        ("get", "/health/ready"),
        ("get", "/health/details"),
        ("get", "/metrics"),
        ("get", "/openapi.json"),
        ("get", "/docs"),
    ] {
        assert!(ROUTES.iter().any(|route| (route.method, route.path) == (method, path)), "{method} {path}");
    }
}

async fn document() -> Value {
    let (gateway, _) = gateway().await;
    let reply = gateway.request(Method::GET, "/openapi.json", &[], "").await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, Some("application/json")));
    reply.json()
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("an object, not {value}"))
}

/// `(method, path, operation)` of each operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = object(&document["paths"]).iter();
    paths.flat_map(|(path, item)| object(item).iter().map(move |(m, op)| (m.as_str(), path.as_str(), op))).collect()
}

#[tokio::test]
async fn the_document_has_every_route_and_no_other() {
    let document = document().await;
    let described: Vec<_> = operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
    let listed: BTreeSet<_> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
    assert_eq!((described.len(), listed.len()), (ROUTES.len(), ROUTES.len()), "none is there twice");
    assert_eq!(described.into_iter().collect::<BTreeSet<_>>(), listed);
}

#[tokio::test]
async fn the_document_is_openapi_3_1() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    assert!(["title", "version"].iter().all(|key| document["info"][key].is_string()), "{}", document["info"]);
    let schemes = object(&document["components"]["securitySchemes"]);
    for scheme in schemes.values() {
        assert_eq!((&scheme["type"], &scheme["scheme"]), (&json!("http"), &json!("bearer")));
    }
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let place = format!("{method} {path}");
        assert!(["get", "post", "put", "patch", "delete"].contains(&method) && path.starts_with('/'), "{place}");
        let id = operation["operationId"].as_str().unwrap();
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && ids.insert(id), "{place}: {id}");
        assert!(["summary"].iter().all(|key| operation[key].as_str().is_some_and(|text| !text.is_empty())), "{place}");
        assert!(operation["tags"].as_array().is_some_and(|tags| tags.iter().all(Value::is_string)), "{place}");
        let responses = object(&operation["responses"]);
        let status = |code: &String| code == "default" || code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
        assert!(responses.keys().all(status) && responses.keys().any(|code| code.starts_with('2')), "{place}");
        assert!(responses.values().all(|response| response["description"].is_string()), "{place}");
        for requirement in operation["security"].as_array().unwrap() {
            assert!(object(requirement).keys().all(|name| schemes.contains_key(name)), "{place}");
        }
        check_parameters(&place, path, &operation["parameters"]);
        if let Some(body) = operation.get("requestBody") {
            assert!(method != "get" && object(&body["content"]).values().all(|m| m["schema"].is_object()), "{place}");
        }
    }
}

/// Those in the path are declared, each once, and what is declared for the path is in it.
fn check_parameters(place: &str, path: &str, parameters: &Value) {
    let none = Vec::new();
    let mut seen = BTreeSet::new();
    let mut in_path = BTreeSet::new();
    for parameter in parameters.as_array().unwrap_or(&none) {
        let (name, at) = (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
        assert!(["path", "query", "header"].contains(&at) && parameter["schema"].is_object(), "{place}: {parameter}");
        assert!(seen.insert((at, name)), "{place}: {name} twice");
        if at == "path" {
            assert_eq!(parameter["required"], true, "{place}: {parameter}");
            in_path.insert(name);
        }
    }
    let template: BTreeSet<_> = path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')).collect();
    assert_eq!(in_path, template, "{place}");
}

/// The values of each `$ref`, at any depth.
fn references<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document().await;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} is elsewhere"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for name in object(&document["components"]["schemas"]).keys() {
        assert!(found.contains(format!("#/components/schemas/{name}").as_str()), "nothing uses {name}");
    }
}

/// Compares with the file that is kept; `WEIR_BLESS=1` writes it anew.
#[tokio::test]
async fn the_document_is_the_one_that_was_read() {
    let made = format!("{:#}\n", document().await);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots/openapi.json");
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "tests/it/snapshots/openapi.json is out of date: WEIR_BLESS=1 cargo test writes it anew");
}

/// What the described bodies allow is what the gateway takes.
#[tokio::test]
async fn the_bodies_that_are_described_are_taken() {
    let (gateway, _) = gateway().await;
    let document = document().await;
    let full = json!({"name": "n", "models": ["a*"], "team_id": "t", "user_id": "u", "limits": {"rps": 1, "rpm": 1,
        "rph": 1, "rpd": 1, "tps": 2, "tpm": 2, "tph": 2, "tpd": 2, "concurrency": 3}, "priority": "low", "expires_at": "2090-01-01T00:00:00Z", "metadata": {"a": 1}, "organization_id": "o",
        "budget": {"usd": "1", "period": "day", "time_zone": "UTC", "carry_over": true, "thresholds": [50]}});
    let empty = json!({"name": "n", "models": [], "team_id": null, "user_id": null, "limits": {"rps": null,
        "rpm": null, "rph": null, "rpd": null, "tps": null, "tpm": null, "tph": null, "tpd": null, "concurrency": null},
        "priority": null, "expires_at": null, "metadata": null, "organization_id": null, "budget": null});
    let schemas = &document["components"]["schemas"];
    let names = |value: &Value| object(value).keys().cloned().collect::<BTreeSet<_>>();
    for schema in ["KeyCreate", "KeyUpdate"] {
        assert_eq!(names(&schemas[schema]["properties"]), names(&full), "{schema}");
        for part in ["limits", "budget"] {
            assert_eq!(
                names(&schemas[schema]["properties"][part]["properties"]),
                names(&full[part]),
                "{schema} {part}"
            );
        }
    }
    for body in [full, empty] {
        let made = gateway.admin(Method::POST, "/admin/v1/keys", body.clone()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
        let path = format!("/admin/v1/keys/{}", made.json()["id"].as_str().unwrap());
        let changed = gateway.admin(Method::PATCH, &path, body).await;
        assert_eq!(changed.status, StatusCode::OK, "{}", changed.text());
    }
    for schema in ["ChatRequest", "CompletionRequest", "EmbeddingRequest"] {
        assert!(schemas[schema]["required"].as_array().unwrap().contains(&json!("model")), "{schema}");
    }
}

#[tokio::test]
async fn the_bodies_of_budgets_that_are_described_are_taken() {
    let (gateway, _) = gateway().await;
    let document = document().await;
    let schemas = &document["components"]["schemas"];
    let names = |value: &Value| object(value).keys().cloned().collect::<BTreeSet<_>>();
    let create = json!({"name": "n", "scope": "tag", "subject": "app=x", "usd": "1.5", "period": "week",
        "time_zone": "Europe/Berlin", "carry_over": true, "thresholds": [10, 90]});
    let mut update = create.clone();
    object_mut(&mut update).retain(|name, _| !["scope", "subject"].contains(&name.as_str()));
    let raise = json!({"usd": "1", "until": "2d"});
    for (schema, body) in [("BudgetCreate", &create), ("BudgetUpdate", &update), ("BudgetRaise", &raise)] {
        assert_eq!(names(&schemas[schema]["properties"]), names(body), "{schema}");
    }
    let made = gateway.admin(Method::POST, "/admin/v1/budgets", create).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let path = format!("/admin/v1/budgets/{}", made.json()["id"].as_str().unwrap());
    let changed = gateway.admin(Method::PATCH, &path, update).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text());
    let raised = gateway.admin(Method::POST, &format!("{path}/raise"), raise).await;
    assert_eq!(raised.status, StatusCode::OK, "{}", raised.text());
}

fn object_mut(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect("an object")
}

#[tokio::test]
async fn the_page_loads_nothing_from_anywhere() {
    let (gateway, _) = gateway().await;
    let reply = gateway.request(Method::GET, "/docs", &[], "").await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, Some("text/html; charset=utf-8")));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("http"), "{policy}");
    let html = reply.text();
    for loader in ["src=", "<script", "<link", "<img", "<iframe", "<object", "<embed", "@import", "url(", "//", "<base"]
    {
        assert!(!html.contains(loader), "{loader}");
    }
    assert_eq!(html.matches("href=").count(), 1, "the one link is to the document");
    assert!(html.contains("<a href=/openapi.json>"));
    for route in ROUTES {
        let row = format!("<td><b>{}</b></td><td><code>{}</code></td>", route.method.to_uppercase(), route.path);
        assert_eq!(html.matches(&row).count(), 1, "{row}");
        assert!(html.contains(route.summary), "{}", route.summary);
    }
}

#[tokio::test]
async fn metrics_elsewhere_are_not_here() {
    let gateway = Setup::new("server: { metrics_listen: \"127.0.0.1:0\" }\n").start().await;
    let reply = gateway.request(Method::GET, "/metrics", &[], "").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::NOT_FOUND, "unknown_path".into()));
    for path in ["/health", "/openapi.json", "/docs"] {
        assert_eq!(gateway.request(Method::GET, path, &[], "").await.status, StatusCode::OK, "{path}");
    }
}
