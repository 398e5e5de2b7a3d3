//! Every key, set to something other than its default and seen in the typed result.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;

/// Sets `yaml`, and sees `expected` at the pointer of the shown configuration, which the defaults
/// do not have there.
fn check(yaml: &str, pointer: &str, expected: &str) {
    let shown = |config: &Config| serde_json::to_value(config).unwrap().pointer(pointer).map(ToString::to_string);
    assert_eq!(shown(&load(yaml)).as_deref(), Some(expected), "{yaml}");
    assert_ne!(shown(&Config::default()).as_deref(), Some(expected), "{yaml} is the default");
}

#[test]
fn server() {
    check("server: {listen: '[::1]:80'}", "/server/listen", r#""[::1]:80""#);
    check("server: {metrics_listen: '127.0.0.1:9090'}", "/server/metrics_listen", r#""127.0.0.1:9090""#);
    check("server: {body_limit: 1MiB}", "/server/body_limit", r#""1MiB""#);
    check("server: {upload_limit: 1000}", "/server/upload_limit", r#""1000""#);
    check("server: {request_timeout: 1h30m}", "/server/request_timeout", r#""1h30m""#);
    check("server: {header_timeout: 1s}", "/server/header_timeout", r#""1s""#);
    check("server: {body_idle_timeout: 200ms}", "/server/body_idle_timeout", r#""200ms""#);
    check("server: {drain_timeout: 0s}", "/server/drain_timeout", r#""0s""#);
    check("server: {max_connections: 7}", "/server/max_connections", "7");
    check("server: {handover: /run/weir.sock}", "/server/handover", r#""/run/weir.sock""#);
    check("server: {idle_timeout: 1m}", "/server/idle_timeout", r#""1m""#);
    check("server: {body_min_rate: 1KiB}", "/server/body_min_rate", r#""1KiB""#);
    check("server: {write_timeout: 5s}", "/server/write_timeout", r#""5s""#);
    check("server: {max_connections_per_address: 9}", "/server/max_connections_per_address", "9");
    let proxies = "server: {trusted_proxies: [10.0.0.0/8, '::1']}";
    check(proxies, "/server/trusted_proxies", r#"["10.0.0.0/8","::1/128"]"#);
    let tls = "server: {tls: {cert: /c.pem, key: k.pem, client_ca: ca.pem}}";
    check(tls, "/server/tls", r#"{"cert":"/c.pem","key":"k.pem","client_ca":"ca.pem"}"#);
    check("server: {max_in_flight: 8}", "/server/max_in_flight", "8");
    check("server: {max_body_memory: 2MiB}", "/server/max_body_memory", r#""2MiB""#);
}

#[test]
fn logging() {
    for (level, _) in <LogLevel as read::Choice>::ALL.iter().filter(|(level, _)| *level != "info") {
        check(&format!("logging: {{level: {level}}}"), "/logging/level", &format!("{level:?}"));
    }
    check("logging: {format: json}", "/logging/format", r#""json""#);
    check("logging: {format: pretty}", "/logging/format", r#""pretty""#);
}

#[test]
fn the_words_of_a_choice_are_those_it_is_shown_with() {
    fn check<T: read::Choice + Serialize>() {
        for (word, value) in T::ALL {
            assert_eq!(serde_json::to_value(value).unwrap(), *word);
        }
    }
    check::<LogLevel>();
    check::<LogFormat>();
    check::<Strategy>();
    check::<Http2>();
    check::<Faults>();
    check::<Policy>();
    check::<crate::budget::Period>();
    check::<Every>();
    check::<Dimension>();
    assert!(<LogLevel as read::Choice>::ALL.iter().all(|(word, level)| level.as_str() == *word));
}

#[test]
fn database() {
    check("database: {url: 'sqlite:///tmp/x.db'}", "/database/url", r#""sqlite:///tmp/x.db""#);
    check("database: {url: 'postgres://w:${SECRET}@db/w'}", "/database/url", r#""postgres://w:***@db/w""#);
    check("database: {max_connections: 3}", "/database/max_connections", "3");
    let config = load("database: {url: 'postgres://w:${SECRET}@db/w'}");
    assert_eq!(config.database.url.expose_secret(), "postgres://w:hunter2@db/w");
}

#[test]
fn auth() {
    check("auth: {admin_key: '${SECRET}'}", "/auth/admin_key", r#""***""#);
    check("auth: {required: false}", "/auth/required", "false");
    let config = load("auth: {admin_key: '${SECRET}'}");
    assert_eq!(config.auth.admin_key.unwrap().expose_secret(), "hunter2");
}

#[test]
fn providers() {
    fn x(yaml: &str, pointer: &str, expected: &str) {
        check(&format!("providers: {{x: {{kind: openai, {yaml}}}}}"), &format!("/providers/x{pointer}"), expected);
    }
    x("", "/kind", r#""openai""#);
    x("base_url: 'http://h:1/v1/'", "/base_url", r#""http://h:1/v1""#);
    x("api_key: a", "/api_key", r#""***""#);
    x("keys: [a, b]", "/keys", r#"["***","***"]"#);
    x("headers: {X-A: b}", "/headers/X-A", r#""***""#);
    x("vars: {region: eu}", "/vars/region", r#""eu""#);
    x("default: true", "/default", "true");
    x("enabled: false", "/enabled", "false");
    x("limits: {rpm: 1}", "/limits/rpm", "1");
    x("limits: {tpm: 2}", "/limits/tpm", "2");
    x("limits: {concurrency: 3}", "/limits/concurrency", "3");
    x("timeouts: {connect: 1s}", "/timeouts/connect", r#""1s""#);
    x("timeouts: {first_byte: 2s}", "/timeouts/first_byte", r#""2s""#);
    x("timeouts: {between_chunks: 3s}", "/timeouts/between_chunks", r#""3s""#);
    x("timeouts: {total: 4s}", "/timeouts/total", r#""4s""#);
    x("pool: {http2_connections: 3}", "/pool/http2_connections", "3");
    x("pool: {http2_streams: 4}", "/pool/http2_streams", "4");
    x("pool: {max_idle_per_host: 0}", "/pool/max_idle_per_host", "0");
    x("pool: {http2: always}", "/pool/http2", r#""always""#);
    x("pool: {http2: never}", "/pool/http2", r#""never""#);
    x("operations: [chat]", "/operations", r#"["chat"]"#);
    x("paths: {chat: /c}", "/paths/chat", r#""/c""#);
    x("quirks: [no_stream_options]", "/quirks", r#"["no_stream_options"]"#);
    x("quirks: []", "/quirks", "[]");
    x("unsupported: [n]", "/unsupported", r#"["n"]"#);
    x("usage: {no_done: true}", "/usage/no_done", "true");
    x("auth: {style: header}", "/auth/style", r#""header""#);
    x("auth: {header: X-Key}", "/auth/header", r#""x-key""#);
    x("auth: {prefix: 'Key '}", "/auth/prefix", r#""Key ""#);
    x("auth: {profile: work}", "/auth/profile", r#""work""#);
    x("auth: {access_key_id: '${SECRET}', secret_access_key: s}", "/auth/access_key_id", r#""***""#);
    x("auth: {access_key_id: a, secret_access_key: '${SECRET}'}", "/auth/secret_access_key", r#""***""#);
    let temporary = "auth: {access_key_id: a, secret_access_key: s, session_token: '${SECRET}'}";
    x(temporary, "/auth/session_token", r#""***""#);
    x("auth: {credentials_file: /f.json}", "/auth/credentials_file", r#""/f.json""#);
    x("auth: {credentials: '${SECRET}'}", "/auth/credentials", r#""***""#);
    x("faults: forbidden", "/faults", r#""forbidden""#);
}

#[test]
fn a_provider_of_the_catalogue_needs_nothing() {
    let config = load("providers: {openai: , demo: {}, zebra: {kind: openai-compatible, base_url: http://h}}");
    assert_eq!(config.providers.keys().collect::<Vec<_>>(), ["openai", "demo", "zebra"]);
    assert_eq!(config.providers["openai"].kind_of("openai"), "openai");
    assert_eq!(config.providers["zebra"].kind_of("zebra"), "openai-compatible");
}

#[test]
fn upstream_keys_come_in_order() {
    let config = load("providers: {openai: {keys: [b, c], api_key: a}}");
    let keys: Vec<_> = config.providers["openai"].secrets().map(ExposeSecret::expose_secret).collect();
    assert_eq!(keys, ["a", "b", "c"]);
}

#[test]
fn models() {
    fn m(yaml: &str, pointer: &str, expected: &str) {
        let yaml = format!("models: {{z: demo/chat, m: {{targets: [{{provider: demo, model: chat}}], {yaml}}}}}");
        check(&yaml, &format!("/models/m{pointer}"), expected);
    }
    m("", "/targets/0/provider", r#""demo""#);
    m("", "/targets/0/model", r#""chat""#);
    m("", "/targets/0/weight", "1");
    for (strategy, _) in <Strategy as read::Choice>::ALL {
        let rules = if *strategy == "conditional" { ", rules: [{if: request.stream, use: [demo/chat]}]" } else { "" };
        m(&format!("strategy: {strategy}{rules}"), "/strategy", &format!("{strategy:?}"));
    }
    m("strategy: conditional, rules: [{if: request.stream, use: [demo/chat]}]", "/rules/0/if", r#""request.stream""#);
    m("hash_by: [user, key]", "/hash_by", r#"["user","key"]"#);
    m("", "/hash_by/0", r#""prompt_cache_key""#);
    m("prefer: latency", "/prefer", r#""latency""#);
    m("regions: [eu], region_required: true", "/region_required", "true");
    m("experiment: a-b", "/experiment", r#""a-b""#);
    m("hedge: {}", "/hedge/percentile", "95");
    m("hedge: {percentile: 90}", "/hedge/percentile", "90");
    m("hedge: {after: 1s}", "/hedge/after", r#""1s""#);
    m("hedge: {max_percent: 7}", "/hedge/max_percent", "7");
    m("fallbacks_on: {context_length: [z]}", "/fallbacks_on/context_length", r#"["z"]"#);
    m("fallbacks_on: {content_filter: [z]}", "/fallbacks_on/content_filter", r#"["z"]"#);
    m("fallbacks: [z, demo/embed]", "/fallbacks", r#"["z","demo/embed"]"#);
    m("retries: {attempts: 3}", "/retries/attempts", "3");
    m("retries: {backoff: 0s}", "/retries/backoff", r#""0s""#);
    check("models: {m: {targets: [{provider: demo, model: a, weight: 5}]}}", "/models/m/targets/0/weight", "5");
}

#[test]
fn a_shorthand_is_a_route_to_one_target() {
    let config = load("models: {b: openai/ft:gpt/x, a: demo/chat}");
    assert_eq!(config.models["b"], Route::to("openai", "ft:gpt/x"));
    assert_eq!(config.models.keys().collect::<Vec<_>>(), ["b", "a"], "in the order of the file");
    assert_eq!(config.models["a"].retries, Retries { attempts: 2, backoff: Duration::from_millis(200) });
}

#[test]
fn keys() {
    fn k(yaml: &str, pointer: &str, expected: &str) {
        check(&format!("keys: [{{name: ci, key: '${{SECRET}}', {yaml}}}]"), &format!("/keys/0{pointer}"), expected);
    }
    k("", "/name", r#""ci""#);
    k("", "/key", r#""***""#);
    k("models: ['gpt-*', openai/*]", "/models", r#"["gpt-*","openai/*"]"#);
    k("limits: {rpm: 1}", "/limits/rpm", "1");
    k("limits: {tpm: 2}", "/limits/tpm", "2");
    k("limits: {concurrency: 3}", "/limits/concurrency", "3");
    k("team_id: t", "/team_id", r#""t""#);
    k("user_id: u", "/user_id", r#""u""#);
    k("organization_id: o", "/organization_id", r#""o""#);
    k("budget: {usd: '5.00', period: day}", "/budget/usd", r#""5.000000000""#);
    k("budget: {usd: '5.00', period: day}", "/budget/period", r#""day""#);
    k("budget: {usd: '5.00', period: day, time_zone: europe/berlin}", "/budget/time_zone", r#""Europe/Berlin""#);
    k("budget: {usd: '5.00', period: day, carry_over: true}", "/budget/carry_over", "true");
    k("budget: {usd: '5.00', period: day, thresholds: [90, 10]}", "/budget/thresholds", "[10,90]");
    k("expires_at: 2030-01-01T02:00:00+02:00", "/expires_at", r#""2030-01-01T00:00:00Z""#);
    k("metadata: {a: {b: ['${SET}', 1, ~, true]}}", "/metadata/a/b", r#"["from-env",1,null,true]"#);
    let config = load("keys: [{name: ci, key: '${SECRET}'}]");
    assert_eq!(config.keys[0].key.expose_secret(), "hunter2");
}

#[test]
fn budgets() {
    fn b(yaml: &str, pointer: &str, expected: &str) {
        let yaml = format!("budgets: [{{name: b, usd: '${{PORT}}.5', period: week, {yaml}}}]");
        check(&yaml, &format!("/budgets/0{pointer}"), expected);
    }
    b("team: t", "/name", r#""b""#);
    b("team: t", "/usd", r#""9000.500000000""#);
    b("team: t", "/period", r#""week""#);
    b("team: t", "/time_zone", r#""UTC""#);
    b("team: t", "/thresholds", "[50,80,100]");
    b("team: t, time_zone: Asia/Kolkata", "/time_zone", r#""Asia/Kolkata""#);
    b("team: t, carry_over: true", "/carry_over", "true");
    b("team: t, thresholds: []", "/thresholds", "[]");
    for (scope, subject) in [
        ("key", "config:ci"),
        ("user", "u"),
        ("team", "t"),
        ("organization", "o"),
        ("provider", "demo"),
        ("model", "demo/chat"),
        ("tag", "app=x=y"),
    ] {
        b(&format!("{scope}: {subject}"), &format!("/{scope}"), &format!("{subject:?}"));
        let config = load(&format!("budgets: [{{name: b, usd: '1', period: total, {scope}: {subject}}}]"));
        let found = config.budgets[0].subject().map(|(scope, subject)| (scope.as_str(), subject));
        assert_eq!(found, Some((scope, subject)));
    }
    for (period, _) in <crate::budget::Period as read::Choice>::ALL {
        let config = load(&format!("budgets: [{{name: b, usd: '1', period: {period}, team: t}}]"));
        assert_eq!(config.budgets[0].period.as_str(), *period);
    }
}

#[test]
fn budget_policy_and_brake() {
    check("budget_policy: {unpriced: allow}", "/budget_policy/unpriced", r#""allow""#);
    check("budget_policy: {unknown: allow}", "/budget_policy/unknown", r#""allow""#);
    let strict = load("budget_policy: {unpriced: refuse, unknown: refuse}").budget_policy;
    assert_eq!(strict, BudgetPolicy::default());
    check("brake: {session_usd: '5.00'}", "/brake/session_usd", r#""5.000000000""#);
    check("brake: {session_turns: 7}", "/brake/session_turns", "7");
    check("brake: {repeats: 3}", "/brake/repeats", "3");
    check("brake: {idle: 10m}", "/brake/idle", r#""10m""#);
    assert_eq!(load("brake: {}").brake.idle, Duration::from_secs(3600));
}

#[test]
fn chaos() {
    let fault = |entry: &str| format!("chaos: {{faults: [{{{entry}}}]}}");
    check("chaos: {enabled: true}", "/chaos/enabled", "true");
    check(&fault("provider: demo, fault: 'status=503, rate=0.5'"), "/chaos/faults/0/provider", r#""demo""#);
    check(&fault("provider: demo, fault: 'status=503, rate=0.5'"), "/chaos/faults/0/fault", r#""status=503,rate=0.5""#);
    let config = load("models: {m: demo/chat}\nchaos: {faults: [{model: m, fault: delay=1s}]}");
    assert_eq!(config.chaos.faults[0].model.as_deref(), Some("m"));
    assert!(!config.chaos.is_active() && config.chaos.of_model("m").next().is_none(), "it is not enabled");
    let on = load("models: {m: demo/chat}\nchaos: {enabled: true, faults: [{model: m, fault: delay=1s}]}").chaos;
    assert!(on.is_active() && on.of_model("m").count() == 1 && on.of_model("n").next().is_none());
    assert!(!load("chaos: {enabled: true}").chaos.is_active() && !load("{}").chaos.is_active());
}

#[test]
fn prices() {
    let config = load("prices: {demo/chat: {input: '0.05', cache_write_5m: '1', output: '0'}}");
    let price = &config.prices["demo/chat"].0[0].standard.components;
    assert_eq!(price["input"].to_string(), "0.050000000");
    assert_eq!(price["cache_write_5m"].to_string(), "1.000000000");
    assert_eq!(price["output"].to_string(), "0.000000000");
}

#[test]
fn reports() {
    fn r(yaml: &str, pointer: &str, expected: &str) {
        check(&format!("reports: [{{name: r, every: week, {yaml}}}]"), &format!("/reports/0{pointer}"), expected);
    }
    r("", "/name", r#""r""#);
    r("", "/every", r#""week""#);
    r("", "/at", r#""06:00""#);
    r("at: '23:59'", "/at", r#""23:59""#);
    r("time_zone: America/New_York", "/time_zone", r#""America/New_York""#);
    r("group_by: [tag, key, endpoint]", "/group_by", r#"["tag","key","endpoint"]"#);
    r("", "/group_by", r#"["model"]"#);
}

#[test]
fn receipts() {
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    check(&format!("receipts: {{signing_key: '{key}'}}"), "/receipts/signing_key", r#""***""#);
    let config = default_config(&|name| (name == "WEIR_RECEIPT_KEY").then(|| key.to_owned()));
    assert_eq!(config.receipts.signing_key.unwrap().expose_secret(), key);
}

#[test]
fn prices_with_steps_tiers_hours_and_a_begin() {
    let config = load(
        "prices:\n  demo/chat:\n    input: '2'\n    above: {200000: {input: '4'}}\n    \
         tiers: {batch: {input: '1', above: {'200000': {input: '${PRICE:-2}'}}}}\n    \
         off_peak: {hours_utc: ['16:30-00:30'], prices: {input: '0.5'}}\n    effective_from: 2026-11-01\n  \
         demo/embed: [{input: '1'}, {effective_from: 2026-11-01T12:00:00+02:00, input: '2'}]\n",
    );
    let json = serde_json::to_value(&config.prices).unwrap();
    let expected = serde_json::json!({
        "demo/chat": {
            "input": "2.000000000",
            "above": {"200000": {"input": "4.000000000"}},
            "tiers": {"batch": {"input": "1.000000000", "above": {"200000": {"input": "2.000000000"}}}},
            "off_peak": {"hours_utc": ["16:30-00:30"], "weekdays": [1, 2, 3, 4, 5, 6, 7], "prices": {"input": "0.500000000"}},
            "effective_from": "2026-11-01T00:00:00Z",
        },
        "demo/embed": [
            {"input": "1.000000000"},
            {"input": "2.000000000", "effective_from": "2026-11-01T10:00:00Z"},
        ],
    });
    assert_eq!(json, expected);
}

#[test]
fn variables_reach_every_type() {
    let config = load(
        "server: {listen: '127.0.0.1:${PORT}', max_connections: '${PORT}', drain_timeout: '${NONE:-5s}', body_limit: '${PORT}'}\n\
         auth: {required: '${YES}'}\nlogging: {level: '${NONE:-debug}'}\n",
    );
    assert_eq!(config.server.listen.port(), 9000);
    assert_eq!((config.server.max_connections, config.server.body_limit), (9000, 9000));
    assert_eq!(config.server.drain_timeout, Duration::from_secs(5));
    assert!(config.auth.required);
    assert_eq!(config.logging.level, LogLevel::Debug);
}

#[test]
fn nothing_is_the_default() {
    let shown = |config: &Config| serde_json::to_value(config).unwrap();
    for text in ["", "{}", "# x", "server:\nproviders:\nkeys: ~\n", "server: {metrics_listen: null}"] {
        assert_eq!(shown(&load(text)), shown(&Config::default()), "{text}");
    }
}

#[test]
fn toml_has_the_same_keys() {
    let toml = "[server]\nbody_limit = '1MiB'\n[models]\nb = 'demo/chat'\na = 'demo/chat'\n\
                [[keys]]\nname = 'ci'\nkey = '${SECRET}'\nexpires_at = 2030-01-01T00:00:00Z\nmetadata.n = 1\n";
    let yaml = "server: {body_limit: 1MiB}\nmodels: {b: demo/chat, a: demo/chat}\n\
                keys: [{name: ci, key: '${SECRET}', expires_at: '2030-01-01T00:00:00Z', metadata: {n: 1}}]\n";
    let config = load_as(toml, Format::Toml).unwrap();
    assert_eq!(serde_json::to_value(&config).unwrap(), serde_json::to_value(load(yaml)).unwrap());
    assert_eq!(config.models.keys().collect::<Vec<_>>(), ["b", "a"], "in the order of the file");
}

#[test]
fn a_changed_secret_of_a_signer_is_told_and_not_shown() {
    let with = |secret: &str| {
        load(&format!(
            "providers: {{bedrock: {{auth: {{access_key_id: a{secret}, secret_access_key: b{secret}, session_token: \
             c{secret}}}}}, vertex: {{auth: {{credentials: d{secret}}}}}}}"
        ))
    };
    assert!(diff(&with("hunter2"), &with("hunter2")).is_empty());
    let changes = diff(&with("hunter2"), &with("hunter3"));
    let shown: Vec<String> = changes.iter().map(ToString::to_string).collect();
    let path = |key: &str| format!("providers.{key}: \"***\" -> \"***\" (changed)");
    let keys = ["bedrock.auth.access_key_id", "bedrock.auth.secret_access_key", "bedrock.auth.session_token"];
    assert_eq!(shown, keys.map(path).into_iter().chain([path("vertex.auth.credentials")]).collect::<Vec<_>>());
}

#[test]
fn debug_shows_no_secret() {
    let config = load(
        "auth: {admin_key: '${SECRET}'}\ndatabase: {url: 'postgres://u:${SECRET}@h/d'}\n\
         providers: {openai: {api_key: '${SECRET}', keys: ['${SECRET}'], headers: {x: '${SECRET}'}},\n\
         bedrock: {auth: {access_key_id: '${SECRET}', secret_access_key: '${SECRET}', session_token: '${SECRET}'}},\n\
         vertex: {auth: {credentials: '${SECRET}'}}}\n\
         keys: [{name: k, key: '${SECRET}'}]\n",
    );
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!serde_json::to_string(&config).unwrap().contains("hunter2"));
}
