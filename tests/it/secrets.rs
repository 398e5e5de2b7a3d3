//! No secret comes out anywhere: not in the log at its most talkative, nor in any answer, nor from
//! any command; in none of the forms that somebody could read it back from.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::binary::{Home, Running};
use crate::support::gateway::{Reply, eventually};
use crate::support::postgres;
use crate::support::upstream::{Script, Seen, Upstream};

const UPSTREAM: &str = "up-secret/Zq9+Lw7=";
const SECOND: &str = "second-secret/Yr8+Mx6=";
const HEADER: &str = "header-secret/Xs7+Ny5=";
const DECLARED: &str = "declared-secret/Wt6+Oz4=";
const ADMIN: &str = "admin-secret/Vu5+Pa3=";
const PASSWORD: &str = "dbsecretUv4Qb2";
const IN_URL: &str = "urlsecretTw3Rc1";
const SIGNING: &str = "c2lnbmluZy1zZWNyZXQvUncxU2UtMTIzNDU2Nzg5MA==";
const GRANTED: &str = "granted-secret.Sx2Sd0";

/// A secret as it is, and in the forms in which it could be read all the same.
fn forms(secret: &str) -> Vec<String> {
    let encoded = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string();
    let mut forms = vec![secret.to_owned(), encoded.clone(), encoded.to_lowercase(), secret.replace('/', "\\/")];
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    forms.push(hex);
    // As bytes in a Debug output, and as base64 whatever stands before it.
    forms.push(format!("{:?}", secret.as_bytes()).trim_matches(['[', ']']).to_owned());
    for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
        forms.push(engine.encode(secret));
        for before in ["Bearer ", "weir:", "x", "xx"] {
            // What stands before shifts the letters; only whole groups of the secret's own are compared.
            let start = before.len().div_ceil(3) * 4;
            let text = engine.encode(format!("{before}{secret}"));
            forms.push(text[start..text.len() - 4].to_owned());
        }
    }
    forms
}

/// Where one of the secrets is in what was seen.
fn holding(secrets: &[&str], seen: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for secret in secrets {
        for form in forms(secret) {
            let at = seen.iter().filter_map(|(place, text)| Some((place, text, text.find(&form)?)));
            found.extend(at.map(|(place, text, at)| {
                let around: String = text[..at].chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
                format!("{place} holds {form}: ...{around}<here>")
            }));
        }
    }
    found
}

fn clean(secrets: &[&str], seen: &[(String, String)]) {
    let found = holding(secrets, seen);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_search_finds_every_form() {
    let key = format!("Bearer {UPSTREAM}");
    let texts = [
        key.clone(),
        STANDARD.encode(&key),
        URL_SAFE_NO_PAD.encode(format!("weir:{UPSTREAM}")),
        "up%2Dsecret%2FZq9%2BLw7%3D".to_owned(),
        format!("{:?}", key.as_bytes()),
    ];
    for text in texts {
        assert!(!holding(&[UPSTREAM], &[("x".to_owned(), text.clone())]).is_empty(), "{text}");
    }
}

/// Repeats the credentials it was given, as careless upstreams do, in headers and body.
fn echo(seen: &Seen) -> Script {
    if seen.path.starts_with("/hook/") {
        return Script::status(500, format!("no {} for {:?}", seen.path, seen.headers));
    }
    let model = seen.json()["model"].as_str().unwrap_or_default().to_owned();
    let auth = seen.headers.get("authorization").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = json!({"error": {"message": format!("wrong key provided: {auth}"), "type": "x", "param": null, "code": "invalid"}});
    let status = model.strip_prefix("status-").and_then(|status| status.parse().ok()).unwrap_or(200);
    let script = match status {
        200 if model == "in-band" && seen.json()["stream"] == true => {
            let delta = json!({"choices": [{"index": 0, "delta": {"content": "x"}}]});
            Script::sse(&[&format!("data: {delta}\n\n"), &format!("data: {body}\n\n")])
        }
        200 if model == "in-band" => Script::json(body.to_string()),
        200 => Script::json(
            json!({"id": "c", "object": "chat.completion", "model": "m", "choices": [],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
            .to_string(),
        ),
        status => Script::status(status, body.to_string()),
    };
    script.header("authorization", &auth).header("x-echo", &auth).header("set-cookie", &auth)
}

/// What was seen so far, by place.
#[derive(Default)]
struct Gathered(Vec<(String, String)>);

impl Gathered {
    fn add(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_owned(), text.into()));
    }

    fn reply(&mut self, place: &str, reply: &Reply) {
        self.add(place, format!("{} {:?}\n{}", reply.status, reply.headers, String::from_utf8_lossy(&reply.body)));
    }
}

async fn configured() -> (Home, Upstream, String) {
    let upstream = Upstream::start(echo).await;
    let database = postgres::fresh_database().await.replace("weir:weir@", &format!("weir:{PASSWORD}@"));
    let home = Home::new().env("WEIR_ADMIN_KEY", ADMIN).env("UP_KEY", UPSTREAM).env("DB", &database);
    let second = home.file("second.key", SECOND);
    let yaml = format!(
        "logging: {{ level: trace }}\ndatabase: {{ url: \"${{DB}}\" }}\n\
         providers:\n  up: {{ kind: openai-compatible, base_url: \"{}\", api_key: \"${{UP_KEY}}\", keys: [\"file:{second}\"], \
         headers: {{ x-team: \"{HEADER}\" }}, default: true }}\n  \
         gone: {{ kind: openai-compatible, base_url: \"http://127.0.0.1:1/v1\", api_key: \"${{UP_KEY}}\" }}\n\
         keys: [{{ name: own, key: \"{DECLARED}\" }}]\n\
         alerts:\n  - name: hook\n    webhook: {{ url: \"http://{}/hook/{IN_URL}?token={SECOND}\", secret: \"whsec_{SIGNING}\", \
         headers: {{ authorization: \"Bearer {HEADER}\" }} }}\n",
        upstream.url(),
        upstream.addr
    );
    let file = home.file("weir.yaml", &yaml);
    (home, upstream, file)
}

/// Asks for chats that go well and wrong, with this key.
async fn chats(gateway: &Running, key: &str, models: &[&str], gathered: &mut Gathered) {
    for model in models {
        for stream in [false, true] {
            let body = json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]});
            let auth = format!("Bearer {key}");
            let headers = [("authorization", auth.as_str()), ("content-type", "application/json")];
            let reply = gateway.request(Method::POST, "/v1/chat/completions", &headers, body.to_string()).await;
            gathered.reply(&format!("the answer to {model}"), &reply);
        }
    }
}

/// Everything that can be asked of a gateway and repeats nothing on purpose.
async fn reads(gateway: &Running, id: &str, gathered: &mut Gathered) {
    let admin = format!("Bearer {ADMIN}");
    let admin = [("authorization", admin.as_str())];
    for path in [
        "/health",
        "/health/ready",
        "/health/details",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/v1/models",
        "/v1/usage",
        "/admin/v1/keys",
        "/admin/v1/usage",
        "/admin/v1/usage?format=csv",
        "/admin/v1/usage?group_by=key,model",
        "/admin/v1/providers",
        "/admin/v1/alerts",
        "/admin/v1/alerts/dead",
        &format!("/admin/v1/keys/{id}"),
        "/nothing",
    ] {
        let reply = gateway.request(Method::GET, path, &admin, "").await;
        gathered.reply(path, &reply);
    }
    let reply = gateway.request(Method::POST, "/admin/v1/alerts/hook/test", &admin, "").await;
    gathered.reply("a test of alerts", &reply);
    let patched = gateway.request(Method::PATCH, &format!("/admin/v1/keys/{id}"), &admin, r#"{"name":"b"}"#).await;
    assert_eq!(patched.status, StatusCode::OK, "{}", patched.text());
    gathered.reply("the changed key", &patched);
    for bad in ["{", r#"{"name":7}"#, r#"{"nam":"x"}"#] {
        let reply = gateway.request(Method::POST, "/admin/v1/keys", &admin, bad).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        gathered.reply("a refused key", &reply);
    }
}

/// Requests that are refused, by keys that are not to be repeated.
async fn refusals(gateway: &Running, key: &str, gathered: &mut Gathered) {
    let mangled = format!("{key}x");
    for headers in [
        &[("authorization", key)][..],
        &[("x-api-key", &mangled)],
        &[("x-api-key", key), ("api-key", ADMIN)],
        &[("x-api-key", ADMIN)],
        &[("x-api-key", key), ("x-weir-tags", "no")],
        &[("x-api-key", key), ("x-weir-timeout-ms", "no")],
    ] {
        let reply =
            gateway.request(Method::POST, "/v1/chat/completions", headers, r#"{"model":"up/m","messages":[]}"#).await;
        assert!(reply.status.is_client_error(), "{reply:?}");
        gathered.reply("a refusal", &reply);
    }
    let reply = gateway.request(Method::GET, "/admin/v1/keys", &[("x-api-key", key)], "").await;
    gathered.reply("the admin plane to a virtual key", &reply);
}

#[tokio::test]
async fn no_secret_is_in_any_log_answer_or_output() {
    let (home, upstream, file) = configured().await;
    let mut gathered = Gathered::default();
    let made = home.run(&["keys", "create", "--name", "a", "--json", "--config", &file]).json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let mut gateway = home.serve(&["--listen", "127.0.0.1:0", "--config", &file]).await;
    let models = [
        "up/m",
        "up/status-401",
        "up/status-403",
        "up/status-302",
        "up/status-400",
        "up/status-404",
        "up/status-429",
        "up/status-500",
        "up/in-band",
        "gone/m",
        "nobody/m",
    ];
    chats(&gateway, key, &models, &mut gathered).await;
    chats(&gateway, DECLARED, &models, &mut gathered).await;
    refusals(&gateway, key, &mut gathered).await;
    reads(&gateway, id, &mut gathered).await;
    let sent: Vec<_> = upstream.seen().iter().map(|seen| seen.headers["authorization"].clone()).collect();
    assert!(
        sent.iter().any(|v| v == &format!("Bearer {UPSTREAM}"))
            && sent.iter().any(|v| v == &format!("Bearer {SECOND}"))
    );
    gateway.signal("TERM");
    assert_eq!(gateway.end().await, 0);
    gathered.add("standard output", gateway.out());
    assert!(gateway.err().contains("\"TRACE\""), "the log is at its most talkative");
    gathered.add("the log", gateway.err());
    for command in [
        &["check"][..],
        &["check", "--json"],
        &["doctor"],
        &["keys", "list"],
        &["keys", "show", id],
        &["usage", "--format", "csv"],
        &["alerts", "list"],
        &["alerts", "test", "hook"],
    ] {
        let said = home.run(&[command, &["--config", &file]].concat());
        gathered.add(&command.join(" "), format!("{}{}", said.out, said.err));
    }
    let other = home.file("other.yaml", "auth: { admin_key: x }\n");
    let said = home.run(&["config", "diff", &file, &other]);
    assert_eq!(said.code, 0, "{said:?}");
    gathered.add("config diff", format!("{}{}", said.out, said.err));
    assert!(gathered.0.iter().any(|(_, text)| text.contains("it answered 500") && text.contains("[redacted]")));
    clean(&[UPSTREAM, SECOND, HEADER, DECLARED, ADMIN, PASSWORD, IN_URL, SIGNING, key], &gathered.0);
}

/// Repeats what proves the gateway's identity, as signature errors do; grants tokens at `/token`.
fn echo_signed(seen: &Seen) -> Script {
    if seen.path == "/token" {
        return Script::json(json!({"access_token": GRANTED, "expires_in": 3600}).to_string());
    }
    let of = |name: &str| seen.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let said = format!("no: {} {}", of("authorization"), of("x-amz-security-token"));
    let body = json!({"message": said, "error": {"message": said, "code": 400, "status": "INVALID_ARGUMENT"}});
    let status = ["400", "401", "403", "429", "500"].into_iter().find(|status| seen.path.contains(status));
    let script = Script::status(status.map_or(400, |status| status.parse().unwrap()), body.to_string());
    script.header("authorization", &said).header("x-amz-security-token", &said)
}

/// Two providers with credentials of the configuration, one with those of AWS's own file.
fn signers(home: &Home, upstream: &Upstream) -> String {
    let at = format!("http://{}", upstream.addr);
    let google = json!({"type": "authorized_user", "client_id": "id", "client_secret": SECOND,
        "refresh_token": HEADER, "token_uri": format!("{at}/token")});
    let google = home.file("google.json", &google.to_string());
    format!(
        "logging: {{ level: trace }}\nproviders:\n  \
         aws: {{ kind: bedrock, base_url: \"{at}\", auth: {{ access_key_id: \"{IN_URL}\", \
         secret_access_key: \"{UPSTREAM}\", session_token: \"{PASSWORD}\" }} }}\n  \
         work: {{ kind: bedrock, base_url: \"{at}\", auth: {{ profile: work }} }}\n  \
         google: {{ kind: vertex, base_url: \"{at}\", vars: {{ project: p }}, auth: {{ credentials: \"file:{google}\" }} }}\n"
    )
}

#[tokio::test]
async fn credentials_of_signers_come_out_nowhere() {
    let upstream = Upstream::start(echo_signed).await;
    let home = Home::new();
    let profile = format!(
        "[work]\naws_access_key_id = AKWORK\naws_secret_access_key = {UPSTREAM}\naws_session_token = {DECLARED}\n"
    );
    let profile = home.file("credentials", &profile);
    let home = home.env("WEIR_ADMIN_KEY", ADMIN).env("AWS_SHARED_CREDENTIALS_FILE", &profile);
    let file = home.file("weir.yaml", &signers(&home, &upstream));
    let secrets = [UPSTREAM, SECOND, HEADER, DECLARED, PASSWORD, GRANTED];
    let mut gathered = Gathered::default();
    let made = home.run(&["keys", "create", "--name", "a", "--json", "--config", &file]).json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let mut gateway = home.serve(&["--listen", "127.0.0.1:0", "--config", &file]).await;
    let models: Vec<String> = ["aws", "work", "google"]
        .iter()
        .flat_map(|provider| ["400", "401", "403", "429", "500"].map(|status| format!("{provider}/m-{status}")))
        .collect();
    let models: Vec<&str> = models.iter().map(String::as_str).collect();
    chats(&gateway, key, &models, &mut gathered).await;
    reads(&gateway, id, &mut gathered).await;
    gateway.signal("TERM");
    assert_eq!(gateway.end().await, 0);
    let sent =
        |name: &str, value: &str| upstream.seen().iter().any(|seen| seen.headers.get(name).is_some_and(|v| v == value));
    assert!(sent("x-amz-security-token", PASSWORD) && sent("x-amz-security-token", DECLARED), "they are repeated");
    assert!(sent("authorization", &format!("Bearer {GRANTED}")), "as this one is");
    gathered.add("standard output", gateway.out());
    assert!(gateway.err().contains("\"TRACE\""), "the log is at its most talkative");
    // The id of a key is its name, which the signing library traces; alone it opens nothing.
    clean(&secrets, &[("the log".to_owned(), gateway.err())]);
    let other = home.file("other.yaml", "auth: { admin_key: x }\n");
    for command in [&["check"][..], &["check", "--json"], &["doctor"], &["usage", "--format", "csv"]] {
        let said = home.run(&[command, &["--config", &file]].concat());
        gathered.add(&command.join(" "), format!("{}{}", said.out, said.err));
    }
    for files in [[&file, &other], [&other, &file]] {
        let said = home.run(&["config", "diff", files[0], files[1], "--json"]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains("providers.google.auth.credentials"), "{said:?}");
        gathered.add("config diff", format!("{}{}", said.out, said.err));
    }
    clean(&secrets, &gathered.0);
    clean(&[IN_URL], &gathered.0);
}

#[tokio::test]
async fn a_database_that_is_away_does_not_tell_its_password() {
    let url = format!("postgres://weir:{PASSWORD}@127.0.0.1:1/weir");
    let home = Home::new().env("DB", &url);
    let file = home.file("weir.yaml", "logging: { level: trace }\ndatabase: { url: \"${DB}\" }\n");
    let gateway = home.serve(&["--listen", "127.0.0.1:0", "--config", &file]).await;
    eventually("another try", async || gateway.err().contains("still not reachable").then_some(())).await;
    let mut gathered = Gathered::default();
    gathered.reply("readiness", &gateway.request(Method::GET, "/health/ready", &[], "").await);
    gathered.reply("a call", &gateway.request(Method::GET, "/v1/models", &[("x-api-key", "x")], "").await);
    gathered.add("standard output", gateway.out());
    gathered.add("the log", gateway.err());
    for command in [&["doctor"][..], &["keys", "list"]] {
        let said = home.run(&[command, &["--config", &file]].concat());
        assert_eq!(said.code, 1, "{said:?}");
        gathered.add(&command.join(" "), format!("{}{}", said.out, said.err));
    }
    clean(&[PASSWORD], &gathered.0);
}

#[test]
fn faults_of_a_configuration_repeat_no_secret() {
    let cases = [
        format!("providers: {{ up: {{ kind: openai-compatible, base_url: \"https://user:{IN_URL}@host/v1\" }} }}\n"),
        format!("providers: {{ up: {{ kind: openai-compatible, base_url: \"https://h/v1?key={IN_URL}\" }} }}\n"),
        format!("providers: {{ openai: {{ api_key: [\"{IN_URL}\"] }} }}\n"),
        format!("providers: {{ openai: {{ api_key: x, headers: {{ x-a: \"{IN_URL}\\n\" }} }} }}\n"),
        format!("providers: {{ openai: {{ api_key: \"{IN_URL}\\n{IN_URL}\" }} }}\n"),
        format!("providers: {{ openai: {{ api_key: \"${{NOT_SET}}{IN_URL}\" }} }}\n"),
        format!("database: {{ url: \"mysql://u:{IN_URL}@h/d\" }}\n"),
        format!("database: {{ url: \"postgres://u:{IN_URL}@h:port/d\" }}\n"),
        format!("auth: {{ admin_key: {{ a: \"{IN_URL}\" }} }}\n"),
        format!("keys: [{{ name: a, key: \"{IN_URL}\", models: [\"[\"] }}]\n"),
        format!("auth: {{ admin_key: \"{IN_URL}\n"),
    ];
    for yaml in cases {
        let home = Home::new();
        let file = home.file("weir.yaml", &yaml);
        let mut gathered = Gathered::default();
        for command in ["check", "serve", "doctor"] {
            let said = home.run(&[command, "--config", &file]);
            assert!(said.code > 0 || command == "check", "{yaml}: {said:?}");
            gathered.add(command, format!("{}{}", said.out, said.err));
        }
        clean(&[IN_URL], &gathered.0);
    }
}

#[tokio::test]
async fn stored_rows_hold_no_secret() {
    let (home, _upstream, file) = configured().await;
    let gateway = home.serve(&["--listen", "127.0.0.1:0", "--config", &file]).await;
    let mut gathered = Gathered::default();
    chats(&gateway, DECLARED, &["up/status-401", "up/status-403", "up/m"], &mut gathered).await;
    let admin = [("x-api-key", ADMIN)];
    let rows = eventually("all rows being there", async || {
        let rows = gateway.request(Method::GET, "/admin/v1/usage", &admin, "").await;
        (rows.json()["data"].as_array().map_or(0, Vec::len) == 6).then_some(rows)
    })
    .await;
    assert_eq!(rows.json()["data"][0]["key_id"], Value::from("config:own"));
    gathered.reply("the rows", &rows);
    clean(&[UPSTREAM, SECOND, HEADER, DECLARED, ADMIN, PASSWORD], &gathered.0);
}
