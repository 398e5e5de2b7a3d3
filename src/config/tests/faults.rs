//! Every fault, with its place and its suggestion.

use proptest::prelude::*;

use super::*;

fn check(yaml: &str, expected: &[&str]) {
    let faults = load_as(yaml, Format::Yaml).expect_err(yaml);
    let found = lines(&faults).replace("weir.yaml:", "");
    assert_eq!(found, expected.join("\n"), "{yaml}");
}

#[test]
fn all_faults_are_told_in_order() {
    check(
        "server:\n  listn: 1\n  body_limit: 3parsec\nmodles: {}\nlogging: {level: loud, format: jsn}\n",
        &[
            "2:3: server.listn: unknown key, did you mean `listen`?",
            "3:15: server.body_limit: expected a size such as `32MiB`, `10MB` or a number of bytes",
            "4:1: modles: unknown key, did you mean `models`?",
            "5:18: logging.level: expected one of off, error, warn, info, debug, trace",
            "5:32: logging.format: expected one of auto, json, pretty, did you mean `json`?",
        ],
    );
}

#[test]
fn toml_faults_have_places_too() {
    let faults = load_as("[server]\nlisten = 'x'\n  drain_timout = '1s'\n", Format::Toml).unwrap_err();
    assert_eq!(
        lines(&faults),
        "weir.yaml:2:10: server.listen: expected an IP address and port such as `127.0.0.1:8080`\n\
         weir.yaml:3:3: server.drain_timout: unknown key, did you mean `drain_timeout`?"
    );
}

#[test]
fn what_is_not_of_the_type() {
    check("[]", &["1:1: expected a map, found a list"]);
    check("server: 7", &["1:9: server: expected a map, found a number"]);
    check("server: {listen: 8080}", &["1:18: server.listen: expected text, found a number; put it in quotes"]);
    check("server: {max_connections: ten}", &["1:27: server.max_connections: expected a whole number, found text"]);
    check("server: {max_connections: 1.5}", &["1:27: server.max_connections: expected a whole number, found a number"]);
    check("auth: {required: yes}", &["1:18: auth.required: expected true or false, found text"]);
    check("keys: {a: b}", &["1:7: keys: expected a list, found a map"]);
    check("providers: [a]", &["1:12: providers: expected a map, found a list"]);
    check("providers: {openai: sk}", &["1:21: providers.openai: expected a map, found text"]);
}

#[test]
fn what_is_out_of_bounds() {
    check("server: {max_connections: 0}", &["1:27: server.max_connections: must be at least 1 and at most 1000000"]);
    check("server: {max_in_flight: -1}", &["1:25: server.max_in_flight: must be at least 1 and at most 1000000"]);
    check(
        "server: {max_connections_per_address: 0}",
        &["1:39: server.max_connections_per_address: must be at least 1 and at most 1000000"],
    );
    check(
        "server: {trusted_proxies: [10.0.0.0/40]}",
        &["1:28: server.trusted_proxies[0]: expected addresses such as `10.0.0.0/8`, `192.0.2.7` or `fd00::/8`"],
    );
    check(
        "server: {tls: {cert: ''}}",
        &[
            "1:15: server.tls: the key `key` is missing",
            "1:22: server.tls.cert: expected the path of a file, found empty text",
        ],
    );
    check("server: {body_limit: 0}", &["1:22: server.body_limit: must be at least 1"]);
    check("server: {body_limit: 0MiB}", &["1:22: server.body_limit: must be above zero"]);
    check("server: {header_timeout: 0s}", &["1:26: server.header_timeout: must be above zero"]);
    check(
        "server: {header_timeout: 10}",
        &["1:26: server.header_timeout: a duration needs a unit, such as `30s` or `200ms`"],
    );
    check(
        "providers: {openai: {limits: {rpm: 0}}}",
        &["1:36: providers.openai.limits.rpm: must be at least 1 and at most 1000000000000"],
    );
}

#[test]
fn variables_that_are_not_set() {
    check(
        "auth:\n  admin_key: ${NONE}\n",
        &["2:14: auth.admin_key: the environment variable NONE is not set; set it or write `${NONE:-default}`"],
    );
    check("auth: {admin_key: '${EMPTY}'}", &["1:19: auth.admin_key: the secret is empty"]);
    check("auth: {admin_key: ''}", &["1:19: auth.admin_key: the secret is empty"]);
}

#[test]
fn no_fault_repeats_what_a_variable_held() {
    let yaml = "server: {listen: '${SECRET}', body_limit: '${SECRET}', drain_timeout: '${SECRET}', max_in_flight: '${SECRET}'}\n\
                logging: {level: '${SECRET}'}\nauth: {required: '${SECRET}'}\ndatabase: {url: 'http://${SECRET}'}\n\
                providers: {x: {kind: openai, base_url: 'http://u:${SECRET}@h', headers: {a: \"${SECRET}\\n\"}}}\n\
                keys: [{name: k, key: k, models: ['[${SECRET}'], expires_at: '${SECRET}'}]\n\
                prices: {demo/chat: {input: '${SECRET}'}}\n";
    let faults = load_as(yaml, Format::Yaml).unwrap_err();
    assert_eq!(faults.len(), 12, "{}", lines(&faults));
    assert!(!lines(&faults).contains("hunter2"), "{}", lines(&faults));
}

#[test]
fn server_and_auth_together() {
    check(
        "server: {listen: '0.0.0.0:80'}\nauth: {required: false}",
        &["2:18: auth.required: without keys the gateway may listen on a loopback address only, not on 0.0.0.0:80"],
    );
    check(
        "server: {listen: '127.0.0.1:80', metrics_listen: '127.0.0.1:80'}",
        &["1:50: server.metrics_listen: the same address as `server.listen`; leave it out to share that"],
    );
}

#[test]
fn database() {
    let problem = "1:17: database.url: expected `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`";
    for url in ["mysql://h/d", "weir.db", "'postgres:'", "'postgres://'", "'sqlite://'"] {
        check(&format!("database: {{url: {url}}}"), &[problem]);
    }
}

#[test]
fn providers_that_do_not_exist() {
    check(
        "providers: {opnai: {}}",
        &[
            "1:20: providers.opnai: no provider of the catalogue is called `opnai`; `kind` says what it is, did you mean `openai`?",
        ],
    );
    check(
        "providers: {x: {kind: opnai}}",
        &[
            "1:23: providers.x.kind: no provider of the catalogue is called `opnai`; `kind` says what it is, did you mean `openai`?",
        ],
    );
    check(
        "providers: {x: {kind: openai-compatible}}",
        &["1:16: providers.x: an `openai-compatible` provider needs its `base_url`"],
    );
    check(
        "providers: {a/b: {kind: openai}}",
        &["1:18: providers.a/b: a provider's name must be 1 to 64 ASCII letters, digits, `-`, `_` or `.`"],
    );
    check(
        "providers: {openai: {default: true}, anthropic: {default: true}}",
        &["1:59: providers.anthropic.default: only one provider can be the default, and `openai` is it already"],
    );
}

#[test]
fn base_urls() {
    let url = |url: &str, problem: &str| {
        check(
            &format!("providers: {{openai: {{base_url: {url:?}}}}}"),
            &[&format!("1:32: providers.openai.base_url: {problem}")],
        );
    };
    url("ftp://h", "a base URL must start with `https://` or `http://`");
    url("h/v1", "not a URL; expected such as `https://host/v1`");
    url("/v1", "a base URL must start with `https://` or `http://`");
    url("https://", "not a URL; expected such as `https://host/v1`");
    url("https://:80/", "a base URL needs a host, such as `https://host/v1`");
    url("https://u:p@h/v1", "a base URL must not hold credentials; put them in `api_key`");
    url("https://h/v1?a=b", "a base URL must not hold a query or a fragment");
    url("https://h/v1#a", "a base URL must not hold a query or a fragment");
}

#[test]
fn headers_and_overrides() {
    fn x(yaml: &str, expected: &str) {
        check(&format!("providers: {{openai: {{{yaml}}}}}"), &[expected]);
    }
    x("headers: {'a b': c}", "1:39: providers.openai.headers.\"a b\": not the name of a header");
    x("headers: {Host: c}", "1:38: providers.openai.headers.Host: the gateway writes this header itself");
    x(
        "headers: {a: \"b\\nc\"}",
        "1:35: providers.openai.headers.a: a header's value must be printable and on one line",
    );
    x("operations: [chta]", "1:35: providers.openai.operations[0]: unknown operation, did you mean `chat`?");
    x("paths: {chta: /c}", "1:36: providers.openai.paths.chta: unknown operation, did you mean `chat`?");
    x("paths: {chat: c}", "1:36: providers.openai.paths.chat: expected a path such as `/v1/embeddings`");
    x("quirks: [no_streams]", "1:31: providers.openai.quirks[0]: unknown quirk");
    x("usage: {no_dne: true}", "1:38: providers.openai.usage.no_dne: unknown usage rule, did you mean `no_done`?");
    x("usage: {no_done: 7}", "1:39: providers.openai.usage.no_done: expected true or false, found a number");
    x("auth: {style: baerer}", "1:36: providers.openai.auth.style: unknown auth style, did you mean `bearer`?");
    x("auth: {header: 'a b'}", "1:37: providers.openai.auth.header: not the name of a header");
    x("auth: {prefix: \"a\\n\"}", "1:37: providers.openai.auth.prefix: must be printable and on one line");
}

#[test]
fn credentials_of_signers() {
    fn x(yaml: &str, expected: &[&str]) {
        check(&format!("providers: {{bedrock: {{auth: {{{yaml}}}}}}}"), expected);
    }
    x("access_key_id: a", &["1:45: providers.bedrock.auth.access_key_id: needs `secret_access_key` beside it"]);
    x("secret_access_key: a", &["1:49: providers.bedrock.auth.secret_access_key: needs `access_key_id` beside it"]);
    x("session_token: a", &["1:45: providers.bedrock.auth.session_token: needs `access_key_id` beside it"]);
    x(
        "profile: p, access_key_id: a, secret_access_key: s",
        &["1:39: providers.bedrock.auth.profile: leave this or `access_key_id` out: only one of them can be used"],
    );
    x(
        "credentials_file: f, credentials: j",
        &[
            "1:48: providers.bedrock.auth.credentials_file: leave this or `credentials` out: only one of them can be used",
        ],
    );
    x(
        "access_key_id: '${EMPTY}', secret_access_key: s",
        &["1:45: providers.bedrock.auth.access_key_id: the secret is empty"],
    );
    x("credentials: [1]", &["1:43: providers.bedrock.auth.credentials: expected text, found a list"]);
    x("profil: p", &["1:30: providers.bedrock.auth.profil: unknown key, did you mean `profile`?"]);
}

#[test]
fn models() {
    check("models: {m: openai}", &["1:13: models.m: expected `provider/model`"]);
    check("models: {m: /x}", &["1:13: models.m: expected `provider/model`"]);
    check("models: {m: opnai/x}", &["1:13: models.m: no provider is called `opnai`, did you mean `openai`?"]);
    check("models: {m: 7}", &["1:13: models.m: expected `provider/model` or a map with `targets`, found a number"]);
    check("models: {m: {}}", &["1:13: models.m: the key `targets` is missing"]);
    let shadow = |yaml: &str| format!("models: {{m: {{targets: [{{provider: demo, model: chat}}], shadow: {yaml}}}}}");
    check(&shadow("demo/chat"), &["1:64: models.m.shadow: expected a map, found text"]);
    check(
        &shadow("{}"),
        &["1:64: models.m.shadow: the key `provider` is missing", "1:64: models.m.shadow: the key `model` is missing"],
    );
    check(
        &shadow("{provider: opnai, model: '', percent: 0, bill: 1}"),
        &[
            "1:75: models.m.shadow.provider: no provider is called `opnai`, did you mean `openai`?",
            "1:89: models.m.shadow.model: a name must not be empty",
            "1:102: models.m.shadow.percent: must be at least 1 and at most 100",
            "1:111: models.m.shadow.bill: expected true or false, found a number",
        ],
    );
    check("routing: {max_shadows: 1001}", &["1:24: routing.max_shadows: must be at least 0 and at most 1000"]);
    check("models: {m: {targets: []}}", &["1:23: models.m.targets: a route needs at least one target"]);
    check(
        "models: {m: {targets: [{}]}}",
        &[
            "1:24: models.m.targets[0]: the key `provider` is missing",
            "1:24: models.m.targets[0]: the key `model` is missing",
        ],
    );
    check(
        "models: {m: {targets: [{provider: opnai, model: x, weight: 0}]}}",
        &[
            "1:35: models.m.targets[0].provider: no provider is called `opnai`, did you mean `openai`?",
            "1:60: models.m.targets[0].weight: must be at least 1 and at most 1000000",
        ],
    );
    check("models: {\"a\\nb\": demo/x}", &["1:18: models.\"a\\nb\": a name must not hold control characters"]);
    check(
        "models: {m: {targets: [{provider: demo, model: x}], retries: {attempts: 11}, strategy: fastest}}",
        &[
            "1:73: models.m.retries.attempts: must be at least 1 and at most 10",
            "1:88: models.m.strategy: expected one of weighted, round_robin, least_busy, latency, cost, priority, hash, split, conditional, capable, auto",
        ],
    );
}

#[test]
fn routes_that_do_not_fit_together() {
    let t = "targets: [{id: a, provider: demo, model: x}, {id: a, provider: demo, model: y}]";
    check(&format!("models: {{m: {{{t}}}}}"), &["1:64: models.m.targets[1].id: another target is called `a`"]);
    let t = "targets: [{id: first, provider: demo, model: x}]";
    check(
        &format!(
            "models:\n  m:\n    {t}\n    strategy: conditional\n    rules: [{{if: requests.stream, use: [frist]}}]\n"
        ),
        &[
            "5:18: models.m.rules[0].if: `requests` is unknown; a condition may name request, headers, tags, key, time",
            "5:41: models.m.rules[0].use[0]: no target is called `frist`, did you mean `first`?",
        ],
    );
    check(
        &format!(
            "models:\n  m:\n    {t}\n    rules: [{{if: request.stream, use: [first]}}]\n    region_required: true\n"
        ),
        &[
            "4:12: models.m.rules: `rules` are of no use but with `strategy: conditional`",
            "5:22: models.m.region_required: it needs `regions`",
        ],
    );
}

#[test]
fn fallbacks() {
    let t = "targets: [{provider: demo, model: x}]";
    check(
        &format!("models:\n  slow: demo/x\n  m: {{fallbacks: [slwo, openai/x, opnai/x], {t}}}\n"),
        &[
            "3:19: models.m.fallbacks[0]: no model is called `slwo`, did you mean `slow`?",
            "3:35: models.m.fallbacks[2]: no model is called `opnai/x`",
        ],
    );
    check(
        &format!("models:\n  m: {{fallbacks: [m], {t}}}\n"),
        &["2:19: models.m.fallbacks[0]: falling back to `m` leads in a circle"],
    );
    check(
        &format!("models:\n  a: {{fallbacks: [b], {t}}}\n  b: {{fallbacks: [c, a], {t}}}\n  c: demo/x\n"),
        &["3:22: models.b.fallbacks[1]: falling back to `a` leads in a circle"],
    );
    let diamond = format!(
        "models:\n  a: {{fallbacks: [b, c], {t}}}\n  b: {{fallbacks: [d], {t}}}\n  c: {{fallbacks: [d], {t}}}\n  d: demo/x\n"
    );
    assert_eq!(load(&diamond).models.len(), 4, "two ways to one model are no circle");
}

#[test]
fn a_long_chain_of_fallbacks_is_walked() {
    let mut toml = String::from("[models]\nm0 = 'demo/x'\n");
    for i in 1..5_000 {
        toml.push_str(&format!(
            "m{i} = {{ targets = [{{ provider = 'demo', model = 'x' }}], fallbacks = ['m{}'] }}\n",
            i - 1
        ));
    }
    assert_eq!(load_as(&toml, Format::Toml).unwrap().models.len(), 5_000);
}

#[test]
fn keys() {
    check("keys: [{}]", &["1:8: keys[0]: the key `name` is missing", "1:8: keys[0]: the key `key` is missing"]);
    check(
        "keys: [{name: a, key: x}, {name: a, key: y}, {name: '', key: z}]",
        &["1:34: keys[1].name: another key is called `a` already", "1:53: keys[2].name: a name must not be empty"],
    );
    check(
        "keys: [{name: a, key: x, models: ['[', '']}]",
        &[
            "1:35: keys[0].models[0]: not a glob: unclosed character class; missing ']'",
            "1:40: keys[0].models[1]: a glob must not be empty; `*` stands for every model",
        ],
    );
    check(
        "keys: [{name: a, key: x, expires_at: tomorrow}]",
        &["1:38: keys[0].expires_at: expected a time such as `2027-01-01T00:00:00Z`"],
    );
}

#[test]
fn budgets() {
    check(
        "keys: [{name: a, key: x, budget: {period: moth}}]",
        &[
            "1:34: keys[0].budget: the key `usd` is missing",
            "1:43: keys[0].budget.period: expected one of hour, day, week, month, total, did you mean `month`?",
        ],
    );
    check(
        "keys: [{name: a, key: x, budget: {usd: -1, period: day, time_zone: Berlin}}]",
        &[
            "1:40: keys[0].budget.usd: expected text, found a number; put it in quotes",
            "1:68: keys[0].budget.time_zone: expected a time zone of the IANA database, such as \"UTC\" or \"Europe/Berlin\"",
        ],
    );
    fn b(yaml: &str, expected: &str) {
        check(&format!("budgets: [{{{yaml}}}]"), &[expected]);
    }
    let one = "a budget is for exactly one of key, user, team, organization, provider, model, tag";
    b("name: b, usd: '1', period: day", &format!("1:11: budgets[0]: {one}"));
    b("name: b, usd: '1', period: day, team: t, user: u", &format!("1:11: budgets[0]: {one}"));
    b("name: b, usd: '1', period: day, tag: t", "1:49: budgets[0].tag: the subject of a tag's budget is `name=value`");
    b(
        "name: 'key:b', usd: '1', period: day, team: t",
        "1:18: budgets[0].name: a budget's name must not begin with `key:`",
    );
    b("usd: '1', period: day, team: t", "1:11: budgets[0]: the key `name` is missing");
    b(
        "name: b, usd: '-1', period: day, team: t",
        "1:26: budgets[0].usd: an amount must be at least 0 and at most 1000000000 US dollars",
    );
    b(
        "name: b, usd: '1', period: day, team: t, thresholds: [0]",
        "1:66: budgets[0].thresholds[0]: must be at least 1 and at most 100",
    );
    b(
        "name: b, usd: '1', period: day, team: t, thresholds: [1,2,3,4,5,6,7,8,9,10,11]",
        "1:65: budgets[0].thresholds: thresholds are at most 10 whole percents from 1 to 100",
    );
    b(
        "name: b, usd: '1', period: day, provider: demmo",
        "1:54: budgets[0].provider: no provider is called `demmo`, did you mean `demo`?",
    );
    check(
        "budgets: [{name: b, usd: '1', period: day, team: t}, {name: b, usd: '1', period: day, team: u}]",
        &["1:61: budgets[1].name: another budget is called `b` already"],
    );
    let c = |entry: &str, expected: &str| check(&format!("chaos: {{faults: [{{{entry}}}]}}"), &[expected]);
    c("fault: delay=1s", "1:18: chaos.faults[0]: exactly one of `provider` and `model` says where it goes wrong");
    c(
        "provider: dmeo, fault: delay=1s",
        "1:29: chaos.faults[0].provider: no provider is called `dmeo`, did you mean `demo`?",
    );
    c("model: m, fault: delay=1s", "1:26: chaos.faults[0].model: no model of `models` is called `m`");
    c(
        "provider: demo, fault: rate=1",
        "1:42: chaos.faults[0].fault: it says nothing that goes wrong; expected such as `status=503,rate=0.05`",
    );
    c("provider: demo", "1:18: chaos.faults[0]: the key `fault` is missing");
    check("brake: {repeats: 0}", &["1:18: brake.repeats: must be at least 1"]);
    check("budget_policy: {unpriced: maybe}", &["1:27: budget_policy.unpriced: expected one of refuse, allow"]);
}

#[test]
fn prices() {
    fn p(yaml: &str, expected: &str) {
        check(&format!("prices: {{demo/x: {{{yaml}}}}}"), &[expected]);
    }
    p("input: 0.05", "1:26: prices.demo/x.input: expected text, found a number; put it in quotes");
    p("input: .nan", "1:26: not valid YAML: value `.nan` is not a finite number");
    p("input: '-1'", "1:26: prices.demo/x.input: a price must not be negative");
    p("input: NaN", "1:26: prices.demo/x.input: expected a decimal number of US dollars, such as \"2.50\"");
    p("input: inf", "1:26: prices.demo/x.input: expected a decimal number of US dollars, such as \"2.50\"");
    p(
        "input: '0.0000000001'",
        "1:26: prices.demo/x.input: more than nine decimal places: the smallest amount is 0.000000001",
    );
    p(
        "per_second: '1', per_hour: '3600'",
        "1:46: prices.demo/x.per_hour: prices the same as `per_second`; keep one of them",
    );
    p("inptu: '1'", "1:26: prices.demo/x.inptu: unknown price component, did you mean `input`?");
    p("above: {x: {}}", "1:30: prices.demo/x.above.x: expected a number of prompt tokens above zero, such as 200000");
    p(
        "above: {5: {inputs: '1'}}",
        "1:39: prices.demo/x.above.5.inputs: unknown price component, did you mean `input`?",
    );
    p("tiers: {bach: {}}", "1:33: prices.demo/x.tiers.bach: unknown tier, did you mean `batch`?");
    p("tiers: {batch: {off_peak: {}}}", "1:45: prices.demo/x.tiers.batch.off_peak: unknown price component");
    p(
        "off_peak: {hours_utc: ['1-2'], prices: {input: '1'}}",
        "1:42: prices.demo/x.off_peak.hours_utc[0]: expected hours such as `16:30-00:30`",
    );
    p(
        "off_peak: {hours_utc: ['16:30-00:30'], prices: {}}",
        "1:66: prices.demo/x.off_peak.prices: no price at all: give at least `input`",
    );
    p(
        "effective_from: soon",
        "1:35: prices.demo/x.effective_from: expected a day or a time such as `2026-11-01` or `2026-11-01T00:00:00Z`",
    );
    check("prices: {demo/x: []}", &["1:18: prices.demo/x: a model needs at least one price list"]);
    check("prices: {demo/x: 5}", &["1:18: prices.demo/x: expected a map or a list of maps, found a number"]);
    check(
        "prices: {demo/x: [{input: '1'}, {input: '2'}]}",
        &["1:18: prices.demo/x: two price lists hold from the same moment on; give each another `effective_from`"],
    );
    check("prices: {demo: {input: '1'}}", &["1:16: prices.demo: a price is for `provider/model`"]);
    check(
        "prices: {opnai/x: {input: '1'}}",
        &["1:19: prices.opnai/x: no provider is called `opnai`, did you mean `openai`?"],
    );
}

#[test]
fn one_mistake_is_told_once() {
    check("providers: {x: {kind: 7}}", &["1:23: providers.x.kind: expected text, found a number; put it in quotes"]);
}

#[test]
fn very_many_faults_are_counted() {
    let toml: String = (0..20_000).map(|i| format!("unknown{i} = 1\n")).collect();
    let faults = load_as(&toml, Format::Toml).unwrap_err();
    assert_eq!(faults.len(), 1_001);
    assert_eq!(faults[1_000].to_string(), "weir.yaml:1000:1: and 19000 more faults");
}

#[test]
fn repeated_keys() {
    check("server: {}\nserver: {}\n", &["2:1: server: set twice in the same map"]);
}

/// A file cut off while it is written, or damaged, never panics, and an error is never empty.
#[test]
fn half_a_file_is_told() {
    for end in (0..EXAMPLE.len()).step_by(7) {
        if let Err(faults) = load_as(&EXAMPLE[..end], Format::Yaml) {
            assert!(!faults.is_empty());
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z0-9:{}\\[\\] \n\"'$&*!|>#=.-]{0,80}") {
        let _ = (load_as(&text, Format::Yaml), load_as(&text, Format::Toml));
    }
}

#[test]
fn limits_are_for_one_and_limit_something() {
    let faults = |yaml: &str, expected: &str| check(&format!("limits: [{yaml}]"), &[expected]);
    let one = "limits are for exactly one of key, user, team, organization, model, provider";
    faults("{rpm: 1}", &format!("1:10: limits[0]: {one}"));
    faults("{team: a, user: b, rpm: 1}", &format!("1:10: limits[0]: {one}"));
    let names = "rps, rpm, rph, rpd, tps, tpm, tph, tpd, concurrency";
    faults("{team: a}", &format!("1:10: limits[0]: it limits nothing; set one of {names}"));
    faults("{team: a, rpmm: 1, rpm: 1}", "1:20: limits[0].rpmm: unknown key, did you mean `rpm`?");
    let again = "another entry is for this team already; put them together";
    faults("{team: a, rpm: 1}, {team: a, tpm: 1}", &format!("1:29: limits[1]: {again}"));
    let each = "limits: [{provider: \"*\", rpm: 1}, {team: \"*\", rpm: 1}, {user: \"*\", tpd: 1}]";
    assert_eq!(load_as(each, Format::Yaml).unwrap().limits.len(), 3);
}

#[test]
fn redis_is_used_or_not_there() {
    let needs = "1:16: limit_sharing: to share limits in Redis, `redis.url` must say where that is";
    check("limit_sharing: redis", &[needs]);
    check("redis: {url: \"redis://a\"}", &["1:8: redis: it does nothing without `limit_sharing: redis`"]);
    let url = "1:34: redis.url: expected `redis://HOST:PORT` or `rediss://USER:PASSWORD@HOST:PORT`";
    check("limit_sharing: redis\nredis: {url: x}", &[&url.replace("1:34", "2:14")]);
    check("limit_sharing: redis\nredis: {}", &["2:8: redis: the key `url` is missing"]);
    check("limit_sharing: all", &["1:16: limit_sharing: expected one of none, database, redis"]);
}
