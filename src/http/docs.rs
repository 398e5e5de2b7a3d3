//! `GET /openapi.json` and `GET /docs`: the interface, described by one table. A test holds the
//! table and the router together.

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};

use super::generate::json as json_response;
use crate::budget::{Period, Scope};
use crate::limits::Limits;
use crate::state::Shared;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// A virtual key.
    Key,
    /// A virtual key or the admin key.
    Either,
    /// The admin key.
    Admin,
}

/// A route of the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// Method.
    pub method: &'static str,
    /// Path, OpenAPI's way.
    pub path: &'static str,
    /// Group.
    pub tag: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Query parameters with what they are.
    pub query: &'static [(&'static str, &'static str)],
    /// JSON body schema's name, when it has one.
    pub body: Option<&'static str>,
    /// Status when all is well.
    pub success: u16,
}

const fn route(
    method: &'static str,
    path: &'static str,
    tag: &'static str,
    summary: &'static str,
    access: Access,
) -> Described {
    Described { method, path, tag, summary, access, query: &[], body: None, success: 200 }
}

/// A route that is passed through by path.
const fn passed(method: &'static str, path: &'static str, summary: &'static str) -> Described {
    route(method, path, "OpenAI, passed through", summary, Access::Key)
}

const REST: &str = "Any other path of OpenAI's API; it goes to the provider that the model names, that holds the object, \
                    or that is the default";

const EXPLAIN_QUERY: &[(&str, &str)] = &[("key_id", "as this virtual key's request")];

const RECONCILE_QUERY: &[(&str, &str)] = &[
    ("from", "first moment, moved to its day's begin: RFC 3339, a date, or a span such as 7d; 35d without it"),
    ("to", "last moment, moved to its day's end; now without it"),
];

const USAGE_QUERY: &[(&str, &str)] = &[
    ("from", "first moment: RFC 3339, a date, or a span such as 7d"),
    ("to", "first moment no longer included"),
    ("key_id", "virtual key"),
    ("team_id", "team"),
    ("user", "the key's user"),
    ("model", "model as asked for"),
    ("provider", "provider that served it"),
    ("endpoint", "endpoint, such as chat/completions"),
    ("status", "ok, client_error, rejected, upstream_error, timeout, cancelled or interrupted"),
    ("tag", "name or name=value"),
    ("limit", "rows of a page, 1 to 1000"),
    ("cursor", "next_cursor of the page before"),
    (
        "group_by",
        "list of key, team, user, model, provider, endpoint, status, tag, hour, day, month: totals instead of rows",
    ),
    ("format", "json, csv or ndjson; parquet for rows"),
    ("since", "another name of from"),
];
const RECOMMENDATIONS_QUERY: &[(&str, &str)] = &[
    ("model", "what was asked of this model alone"),
    ("key", "by this virtual key alone"),
    ("team", "by this team alone"),
    ("since", "first moment: RFC 3339, a date, or a span such as 7d; 7 days before 'until' without it"),
    ("until", "first moment no longer included; now without it; at most 92 days later"),
];
const COSTS_QUERY: &[(&str, &str)] = &[
    ("from", "first moment: RFC 3339, a date, or a span such as 7d; 30 days before 'to' without it"),
    ("to", "first moment no longer included; now without it"),
    ("since", "another name of from"),
    ("key_id", "virtual key"),
    ("team_id", "team"),
    ("user", "the key's user"),
    ("model", "model as asked for"),
    ("provider", "provider that served it"),
    ("endpoint", "endpoint, such as chat/completions"),
    ("status", "ok, client_error, rejected, upstream_error, timeout, cancelled or interrupted"),
    ("tag", "name or name=value; then at most 92 days"),
    ("group_by", "list of at most three of key, team, user, model, provider, endpoint, status, tag; model without it"),
    ("bucket", "hour, day or month; at most 1000 of them"),
    ("top", "how many groups have a series of their own, 1 to 50; the others are one"),
    ("time_zone", "where days and months begin, such as Europe/Berlin; UTC without it"),
];
const REPORTS_QUERY: &[(&str, &str)] = &[
    ("name", "only reports of this name"),
    ("limit", "reports of a page, 1 to 1000; 20 without it"),
    ("cursor", "next_cursor of the page before"),
];
const PAGE_QUERY: &[(&str, &str)] =
    &[("limit", "entries of a page, 1 to 1000"), ("cursor", "next_cursor of the page before")];
const EVENTS_QUERY: &[(&str, &str)] = &[
    ("kind", "kind of event, such as budget.exceeded"),
    ("since", "first moment: RFC 3339"),
    ("limit", "entries of a page, 1 to 1000"),
    ("cursor", "next_cursor of the page before"),
];
const DEAD_QUERY: &[(&str, &str)] = &[
    ("sink", "name of the receiver"),
    ("limit", "entries of a page, 1 to 1000"),
    ("cursor", "next_cursor of the page before"),
];

const SHADOWS_QUERY: &[(&str, &str)] = &[
    ("route", "name of the route"),
    ("from", "first moment: RFC 3339, a date, or a span such as 7d"),
    ("to", "first moment no longer included"),
    ("limit", "pairs of a page, 1 to 1000"),
    ("cursor", "next_cursor of the page before"),
];

const PRICES_QUERY: &[(&str, &str)] = &[
    ("model", "provider/model, or a model's own name"),
    ("provider", "provider"),
    ("limit", "entries of a page, 1 to 1000"),
    ("cursor", "next_cursor of the page before"),
];
const LIMITS_QUERY: &[(&str, &str)] = &[
    ("scope", "key, user, team, organization, model, provider or upstream_key"),
    ("subject", "whose limits, such as a team's id"),
    ("limit", "entries of a page, 1 to 1000"),
    ("cursor", "next_cursor of the page before"),
];
const BUDGETS_QUERY: &[(&str, &str)] = &[
    ("limit", "entries of a page, 1 to 1000"),
    ("cursor", "next_cursor of the page before"),
    ("scope", "key, user, team, organization, provider, model or tag"),
    ("subject", "what the budget is for, such as a team's id"),
];

/// Every route.
pub const ROUTES: &[Described] = &[
    Described {
        body: Some("ChatRequest"),
        ..route("post", "/v1/chat/completions", "OpenAI", "Chat completion, JSON or SSE", Access::Key)
    },
    Described {
        body: Some("CompletionRequest"),
        ..route("post", "/v1/completions", "OpenAI", "Legacy text completion, JSON or SSE", Access::Key)
    },
    Described {
        body: Some("EmbeddingRequest"),
        ..route("post", "/v1/embeddings", "OpenAI", "Embeddings, float or base64", Access::Key)
    },
    Described {
        body: Some("ResponseRequest"),
        ..route("post", "/v1/responses", "OpenAI", "Response, JSON or SSE", Access::Key)
    },
    Described {
        body: Some("ResponseRequest"),
        ..route("post", "/v1/responses/input_tokens", "OpenAI", "Tokens that a response would take in", Access::Key)
    },
    route(
        "get",
        "/v1/models",
        "OpenAI",
        "Models the key may use, with context window, prices and capabilities; in Anthropic's form with anthropic-version",
        Access::Either,
    ),
    route("get", "/v1/models/{id}", "OpenAI", "One model; the id may contain slashes", Access::Either),
    Described {
        body: Some("MessageRequest"),
        ..route("post", "/v1/messages", "Anthropic", "Message, JSON or SSE", Access::Key)
    },
    Described {
        body: Some("MessageRequest"),
        ..route("post", "/v1/messages/count_tokens", "Anthropic", "Tokens of a message's request", Access::Key)
    },
    Described {
        body: Some("ContentRequest"),
        ..route(
            "post",
            "/v1beta/{action}",
            "Gemini",
            "models/{model}:generateContent, :streamGenerateContent, :countTokens, :embedContent or :batchEmbedContents",
            Access::Key,
        )
    },
    Described {
        body: Some("ChatRequest"),
        ..route(
            "post",
            "/openai/{path}",
            "Azure",
            "deployments/{model}/chat/completions, /completions or /embeddings, and the same below v1",
            Access::Key,
        )
    },
    Described {
        body: Some("RerankRequest"),
        ..route("post", "/v1/rerank", "Rerank", "Documents by relevance, in Cohere's form", Access::Key)
    },
    Described {
        body: Some("RerankRequest"),
        ..route("post", "/v2/rerank", "Rerank", "The same, where Cohere's clients look for it", Access::Key)
    },
    Described {
        body: Some("ContentRequest"),
        ..route("post", "/v1beta/models/{action}", "Gemini", "The same", Access::Key)
    },
    route("get", "/v1beta/models", "Gemini", "Models that can be talked to, in Gemini's form", Access::Either),
    route("get", "/v1beta/models/{action}", "Gemini", "One model in Gemini's form, by its name", Access::Either),
    Described {
        body: Some("ContentRequest"),
        ..route("post", "/v1/models/{id}", "Gemini", "The actions on a model that v1beta has", Access::Key)
    },
    passed("delete", "/v1/models/{id}", "Delete a fine-tuned model"),
    passed("post", "/v1/moderations", "Classify text and images"),
    passed("post", "/v1/images/{operation}", "Images: generations, edits or variations"),
    passed("post", "/v1/audio/{operation}", "Audio: speech, transcriptions or translations"),
    passed("get", "/v1/files", "List files; a key sees its own"),
    passed("post", "/v1/files", "Upload a file"),
    passed("post", "/v1/uploads", "Begin an upload in parts"),
    passed("get", "/v1/batches", "List batches; a key sees its own"),
    passed("post", "/v1/batches", "Start a batch"),
    passed("get", "/v1/fine_tuning/jobs", "List fine-tuning jobs; a key sees its own"),
    passed("post", "/v1/fine_tuning/jobs", "Start a fine-tuning job"),
    passed("get", "/v1/{path}", REST),
    passed("post", "/v1/{path}", REST),
    passed("put", "/v1/{path}", REST),
    passed("patch", "/v1/{path}", REST),
    passed("delete", "/v1/{path}", REST),
    Described {
        query: USAGE_QUERY,
        ..route(
            "get",
            "/v1/usage",
            "Usage",
            "Rows, or totals with group_by; a key sees itself, the admin key everything",
            Access::Either,
        )
    },
    route(
        "get",
        "/v1/usage/{id}",
        "Usage",
        "One request's row as a signed receipt, by its x-request-id; 'at' tells rows of one id apart",
        Access::Either,
    ),
    route("get", "/v1/usage/receipts/key", "Usage", "The public key of receipts, as a JWK", Access::Either),
    Described {
        body: Some("ChatRequest"),
        ..route(
            "post",
            "/v1/estimate",
            "Usage",
            "What a request would cost at each target, at worst and as expected; nobody is called",
            Access::Key,
        )
    },
    Described { query: PAGE_QUERY, ..route("get", "/admin/v1/keys", "Admin", "List virtual keys", Access::Admin) },
    Described {
        body: Some("KeyCreate"),
        success: 201,
        ..route(
            "post",
            "/admin/v1/keys",
            "Admin",
            "Create a virtual key; its secret is in this answer only",
            Access::Admin,
        )
    },
    route("get", "/admin/v1/keys/{id}", "Admin", "Show a virtual key", Access::Admin),
    Described {
        body: Some("KeyUpdate"),
        ..route("patch", "/admin/v1/keys/{id}", "Admin", "Change a virtual key", Access::Admin)
    },
    route("delete", "/admin/v1/keys/{id}", "Admin", "Revoke a virtual key", Access::Admin),
    route(
        "post",
        "/admin/v1/keys/{id}/rotate",
        "Admin",
        "Give a virtual key a new secret; the old one is dead",
        Access::Admin,
    ),
    route("get", "/admin/v1/config", "Admin", "Show the configuration in force, secrets hidden", Access::Admin),
    Described {
        body: Some("ConfigReload"),
        ..route(
            "post",
            "/admin/v1/config/reload",
            "Admin",
            "Read the configuration again, or put another into force on all replicas; 422 tells every fault",
            Access::Admin,
        )
    },
    Described {
        body: Some("ConfigRollback"),
        ..route("post", "/admin/v1/config/rollback", "Admin", "Go back to a version, on all replicas", Access::Admin)
    },
    Described {
        query: &[("limit", "versions of a page, 1 to 1000"), ("cursor", "next_cursor of the page before")],
        ..route("get", "/admin/v1/config/versions", "Admin", "List configurations, the newest first", Access::Admin)
    },
    route("get", "/admin/v1/config/versions/{id}", "Admin", "Show a configuration by its number", Access::Admin),
    Described {
        query: &[("to", "the number of another version; the one in force without it")],
        ..route(
            "get",
            "/admin/v1/config/versions/{id}/diff",
            "Admin",
            "What differs between two configurations",
            Access::Admin,
        )
    },
    Described {
        query: LIMITS_QUERY,
        ..route(
            "get",
            "/admin/v1/limits",
            "Admin",
            "What is left of every limit now, as this replica knows it, upstream keys included",
            Access::Admin,
        )
    },
    Described {
        query: PRICES_QUERY,
        ..route("get", "/admin/v1/prices", "Admin", "List prices of one's own, past and to come", Access::Admin)
    },
    Described {
        body: Some("PriceCreate"),
        success: 201,
        ..route("post", "/admin/v1/prices", "Admin", "Add a price, from now or a given time on", Access::Admin)
    },
    route("get", "/admin/v1/prices/{id}", "Admin", "Show a price", Access::Admin),
    route(
        "delete",
        "/admin/v1/prices/{id}",
        "Admin",
        "Take back a price that does not hold yet, or end one that does by a newer version",
        Access::Admin,
    ),
    Described {
        body: Some("PriceRerate"),
        ..route(
            "post",
            "/admin/v1/prices/rerate",
            "Admin",
            "Rate past rows by today's book, or tell what that would change (the default)",
            Access::Admin,
        )
    },
    Described {
        query: BUDGETS_QUERY,
        ..route("get", "/admin/v1/budgets", "Admin", "List budgets with how far each is spent", Access::Admin)
    },
    Described {
        body: Some("BudgetCreate"),
        success: 201,
        ..route("post", "/admin/v1/budgets", "Admin", "Create a budget", Access::Admin)
    },
    route("get", "/admin/v1/budgets/{id}", "Admin", "Show a budget with how far it is spent", Access::Admin),
    Described {
        body: Some("BudgetUpdate"),
        ..route("patch", "/admin/v1/budgets/{id}", "Admin", "Change a budget that was created here", Access::Admin)
    },
    route("delete", "/admin/v1/budgets/{id}", "Admin", "End a budget that was created here", Access::Admin),
    Described {
        body: Some("BudgetRaise"),
        ..route("post", "/admin/v1/budgets/{id}/raise", "Admin", "Allow more for a while; 0 ends that", Access::Admin)
    },
    Described { query: USAGE_QUERY, ..route("get", "/admin/v1/usage", "Admin", "Usage of everybody", Access::Admin) },
    Described {
        query: COSTS_QUERY,
        ..route(
            "get",
            "/admin/v1/costs",
            "Admin",
            "Costs over time: series, dearest groups, savings by caches, failures, forecast",
            Access::Admin,
        )
    },
    Described {
        query: RECOMMENDATIONS_QUERY,
        ..route(
            "get",
            "/admin/v1/recommendations",
            "Admin",
            "Configured models that would be cheaper or faster for what was asked, from recorded rows",
            Access::Admin,
        )
    },
    Described {
        query: REPORTS_QUERY,
        ..route(
            "get",
            "/admin/v1/reports",
            "Admin",
            "Scheduled reports that were made, the newest first",
            Access::Admin,
        )
    },
    Described {
        query: SHADOWS_QUERY,
        ..route(
            "get",
            "/admin/v1/shadows",
            "Admin",
            "Requests and their copies side by side, the newest first; nothing of what they said",
            Access::Admin,
        )
    },
    Described {
        query: SHADOWS_QUERY.split_at(3).0,
        ..route(
            "get",
            "/admin/v1/shadows/summary",
            "Admin",
            "What copies come to by route and target: answers alike, failures, cost, latency",
            Access::Admin,
        )
    },
    Described {
        query: PAGE_QUERY,
        ..route("get", "/admin/v1/invoices", "Admin", "Providers' invoices that were imported", Access::Admin)
    },
    Described {
        success: 201,
        ..route(
            "post",
            "/admin/v1/invoices",
            "Admin",
            "Import a provider's usage or cost CSV: ?provider=NAME and format=openai, anthropic or auto",
            Access::Admin,
        )
    },
    route(
        "get",
        "/admin/v1/invoices/{id}/difference",
        "Admin",
        "An invoice beside the ledger, by day and model",
        Access::Admin,
    ),
    route("delete", "/admin/v1/invoices/{id}", "Admin", "Forget an invoice", Access::Admin),
    route("get", "/admin/v1/providers", "Admin", "Configured providers and how they do", Access::Admin),
    Described {
        query: EXPLAIN_QUERY,
        ..route("post", "/admin/v1/routes/explain", "Admin", "Where a request would go, and why", Access::Admin)
    },
    Described {
        query: RECONCILE_QUERY,
        ..route("get", "/admin/v1/reconcile", "Admin", "Whether rows, sums, budgets and leases agree", Access::Admin)
    },
    route("get", "/admin/v1/alerts", "Alerts", "Receivers of alerts and how they do", Access::Admin),
    Described {
        query: EVENTS_QUERY,
        ..route("get", "/admin/v1/alerts/events", "Alerts", "Events, the newest first", Access::Admin)
    },
    Described {
        query: DEAD_QUERY,
        ..route("get", "/admin/v1/alerts/dead", "Alerts", "Events that a receiver never took", Access::Admin)
    },
    route("post", "/admin/v1/alerts/dead/{id}/replay", "Alerts", "Send one of them again", Access::Admin),
    Described {
        body: Some("AlertReplay"),
        ..route(
            "post",
            "/admin/v1/alerts/replay",
            "Alerts",
            "Send a receiver everything since a moment again",
            Access::Admin,
        )
    },
    route(
        "post",
        "/admin/v1/alerts/{name}/test",
        "Alerts",
        "Send a receiver a test and say what came of it",
        Access::Admin,
    ),
    route("get", "/health", "Operations", "Alive", Access::Open),
    route("get", "/health/ready", "Operations", "Ready for traffic; 503 while draining", Access::Open),
    route("get", "/health/details", "Operations", "Each component and provider", Access::Admin),
    route("get", "/metrics", "Operations", "Prometheus metrics", Access::Open),
    route("get", "/openapi.json", "Operations", "This document", Access::Open),
    route("get", "/docs", "Operations", "This document for people", Access::Open),
];

/// `GET /openapi.json`
pub async fn openapi(State(_): State<Shared>) -> Response {
    json_response(document().to_string())
}

/// The OpenAPI 3.1 document.
#[must_use]
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let entry = paths.entry(route.path).or_insert_with(|| json!({}));
        entry[route.method] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Weir", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "An LLM gateway. OpenAI's, Anthropic's and Gemini's dialects, each at its own paths; errors are in the dialect of the path."},
        "paths": paths,
        "components": {"schemas": schemas(), "securitySchemes": security()},
    })
}

fn operation(route: &Described) -> Value {
    let mut operation = json!({
        "tags": [route.tag],
        "summary": route.summary,
        "operationId": format!("{}_{}", route.method, route.path.trim_matches('/').replace(['/', '.'], "_").replace(['{', '}'], "")),
        "responses": {route.success.to_string(): {"description": "success"}, "default": {"description": "error",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}},
        "security": match route.access {
            Access::Open => json!([]),
            Access::Key => json!([{"key": []}]),
            Access::Either => json!([{"key": []}, {"admin": []}]),
            Access::Admin => json!([{"admin": []}]),
        },
    });
    let in_path = route.path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}'));
    let in_path =
        in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let in_query = route
        .query
        .iter()
        .map(|(name, what)| json!({"name": name, "in": "query", "description": what, "schema": {"type": "string"}}));
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(schema) = route.body {
        let reference = format!("#/components/schemas/{schema}");
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": {"$ref": reference}}}});
    }
    operation
}

fn security() -> Value {
    json!({
        "key": {"type": "http", "scheme": "bearer", "description": "a virtual key; x-api-key, api-key and x-goog-api-key carry it as well"},
        "admin": {"type": "http", "scheme": "bearer", "description": "the admin key"},
    })
}

fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let limit = || json!({"type": ["integer", "null"], "minimum": 0});
    let limits: Map<String, Value> =
        Limits::default().named().iter().map(|(name, _)| ((*name).to_owned(), limit())).collect();
    let limits = json!({"type": "object", "additionalProperties": false, "properties": limits});
    let key = json!({
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "models": {"type": "array", "items": text(), "description": "globs of model names; empty means all"},
        "team_id": {"type": ["string", "null"]},
        "user_id": {"type": ["string", "null"]},
        "organization_id": {"type": ["string", "null"]},
        "limits": limits,
        "priority": {"type": ["string", "null"], "enum": ["high", "normal", "low", null],
            "description": "who goes first where requests wait for an upstream"},
        "expires_at": {"type": ["string", "null"], "format": "date-time"},
        "metadata": {"type": ["object", "null"]},
        "budget": {"type": ["object", "null"], "additionalProperties": false, "properties": terms(),
            "description": "what the key may cost; a new one needs usd and period, null ends it"},
    });
    let price = json!({
        "model": {"type": "string", "description": "provider/model"},
        "prices": {"type": ["object", "null"], "description": "as under prices in the configuration; null hands back to it and to the catalogue"},
        "effective_from": {"type": ["string", "null"], "description": "a day or a time; now, if nothing is said"},
        "note": {"type": ["string", "null"], "maxLength": 500},
    });
    let rerate = json!({
        "from": {"type": "string", "description": "a day or a time"},
        "to": {"type": ["string", "null"], "description": "the first moment no longer included; now, if nothing is said"},
        "provider": {"type": ["string", "null"]},
        "model": {"type": ["string", "null"]},
        "dry_run": {"type": "boolean", "default": true},
    });
    let extensions = json!({
        "model": {"type": "string"},
        "models": {"type": "array", "items": text(), "description": "further models to try, in order; not sent upstream"},
        "fallbacks": {"type": "array", "items": text(), "description": "models to fall back to; not sent upstream"},
    });
    let request = |required: &[&str]| json!({"type": "object", "required": required, "properties": extensions, "additionalProperties": true});
    json!({
        "ChatRequest": request(&["model", "messages"]),
        "CompletionRequest": request(&["model"]),
        "ResponseRequest": request(&["model"]),
        "MessageRequest": request(&["model", "messages"]),
        "ContentRequest": {"type": "object", "required": ["contents"], "additionalProperties": true},
        "EmbeddingRequest": request(&["model", "input"]),
        "RerankRequest": request(&["model", "query", "documents"]),
        "KeyCreate": {"type": "object", "required": ["name"], "additionalProperties": false, "properties": key},
        "KeyUpdate": {"type": "object", "additionalProperties": false, "properties": key},
        "PriceCreate": {"type": "object", "required": ["model"], "additionalProperties": false, "properties": price},
        "PriceRerate": {"type": "object", "required": ["from"], "additionalProperties": false, "properties": rerate},
        "ConfigReload": {"type": "object", "additionalProperties": false, "properties": {
            "config": {"type": ["string", "object"], "description": "the configuration; without it, it is read again"},
            "format": {"enum": ["yaml", "toml"], "default": "yaml"},
            "source": {"enum": ["file"], "description": "go back to the file, on all replicas"},
            "note": {"type": "string", "maxLength": 500}, "dry_run": {"type": "boolean", "default": false}}},
        "ConfigRollback": {"type": "object", "required": ["version"], "additionalProperties": false, "properties": {
            "version": {"type": "integer"}, "note": {"type": "string", "maxLength": 500},
            "dry_run": {"type": "boolean", "default": false}}},
        "BudgetCreate": budget(&["name", "scope", "subject", "usd", "period"], &["name", "scope", "subject"]),
        "BudgetUpdate": budget(&[], &["name"]),
        "BudgetRaise": {"type": "object", "required": ["usd"], "additionalProperties": false, "properties": {"usd": usd(),
            "until": {"type": "string", "description": "RFC 3339, or a span from now such as 2d; needed unless usd is 0"}}},
        "AlertReplay": {"type": "object", "required": ["sink", "since"], "additionalProperties": false, "properties": {
            "sink": text(), "since": {"type": "string", "format": "date-time"}}},
        "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "object",
            "required": ["message", "type", "param", "code"], "properties": {
                "message": text(), "type": text(), "param": {"type": ["string", "null"]}, "code": {"type": ["string", "null"]}}}}},
    })
}

fn usd() -> Value {
    json!({"type": "string", "pattern": r"^\d+(\.\d{1,9})?$", "description": "US dollars"})
}

/// What may be spent how often.
fn terms() -> Value {
    json!({
        "usd": usd(),
        "period": {"enum": Period::ALL},
        "time_zone": {"type": "string", "description": "IANA name; UTC without it"},
        "carry_over": {"type": "boolean", "description": "what is left at a period's end is added to the next"},
        "thresholds": {"type": "array", "maxItems": 10, "items": {"type": "integer", "minimum": 1, "maximum": 100}},
    })
}

/// The body of a budget with these fields besides its terms.
fn budget(required: &[&str], besides: &[&str]) -> Value {
    let mut properties = terms();
    for name in besides {
        properties[*name] = match *name {
            "scope" => json!({"enum": Scope::ALL}),
            "subject" => json!({"type": "string", "minLength": 1, "maxLength": 256}),
            _ => json!({"type": "string", "minLength": 1, "maxLength": 200}),
        };
    }
    json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
}

/// `GET /docs`: the document as a page, without anything from elsewhere.
pub async fn page() -> Response {
    let mut response = Html(html()).into_response();
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn html() -> String {
    let mut rows = String::new();
    let mut tag = "";
    for route in ROUTES {
        if route.tag != tag {
            tag = route.tag;
            rows.push_str(&format!("<tr><th colspan=4>{tag}</th></tr>"));
        }
        let access = match route.access {
            Access::Open => "",
            Access::Key => "virtual key",
            Access::Either => "any key",
            Access::Admin => "admin key",
        };
        let parameters: String =
            route.query.iter().map(|(name, what)| format!("<br><code>{name}</code> {what}")).collect();
        rows.push_str(&format!(
            "<tr><td><b>{}</b></td><td><code>{}</code></td><td>{}{parameters}</td><td>{access}</td></tr>",
            route.method.to_uppercase(),
            route.path,
            route.summary
        ));
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Weir</title><style>{STYLE}</style>\
         <h1>Weir {}</h1><p>Point any OpenAI SDK's <code>base_url</code> at <code>/v1</code>. \
         Machine-readable: <a href=/openapi.json>/openapi.json</a>.</p><table>{rows}</table></html>",
        env!("CARGO_PKG_VERSION")
    )
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}\
    table{border-collapse:collapse;width:100%}td{border-top:1px solid #ddd;padding:.4em .6em;vertical-align:top}\
    th{text-align:left;padding:1.2em .6em .3em}code{background:#f4f4f4;padding:.1em .3em}";
