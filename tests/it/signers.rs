//! Providers whose calls are signed: which credentials they find, and what their upstream sees.

use std::collections::HashMap;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use weir::clock::Clock;

use crate::support::binary::Home;
use crate::support::gateway::{Gateway, Reply, Setup};
use crate::support::upstream::{Script, Seen, Upstream};

/// 2026-11-18T11:06:40Z
const EPOCH: i64 = 1_795_000_000_000;
const SECRET: &str = "s3cr3t/of+the=key";
const SESSION: &str = "t0k3n/of+the=session";
const REFRESH: &str = "r3fr3sh-of-the-user";
const MODEL: &str = "us.anthropic.claude-3-haiku-20240307-v1:0";

/// Answers as Bedrock, as Gemini, and as a token endpoint that counts its tokens.
async fn upstream() -> Upstream {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Upstream::start(move |seen| match seen.path.as_str() {
        "/token" => {
            let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            Script::json(json!({"access_token": format!("granted-{n}"), "expires_in": 3600}).to_string())
        }
        path if path.starts_with("/v1/model/") => Script::json(
            json!({"output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}},
                "stopReason": "end_turn", "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}})
            .to_string(),
        ),
        _ => Script::json(
            json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP",
                "index": 0}],
                "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}})
            .to_string(),
        ),
    })
    .await
}

/// The configuration of a provider `up` of this kind at the upstream.
fn provider(upstream: &Upstream, kind: &str, settings: &str) -> String {
    format!("providers:\n  up: {{ kind: {kind}, base_url: \"{}\", {settings} }}\n", upstream.url())
}

async fn ask(gateway: &Gateway, model: &str) -> Reply {
    let key = gateway.plain_key().await;
    let body = json!({"model": format!("up/{model}"), "messages": [{"role": "user", "content": "hi"}]});
    let headers = [
        ("x-api-key", key.as_str()),
        // A client's own stand in for nothing.
        ("x-amz-security-token", "a-clients-own"),
        ("x-amz-date", "19990101T000000Z"),
        ("x-amz-meta", "a-clients-own"),
        ("x-goog-user-project", "a-clients-own"),
    ];
    gateway.request(Method::POST, "/v1/chat/completions", &headers, body.to_string()).await
}

/// What the upstream saw of a call that went well.
async fn seen_by(upstream: &Upstream, setup: Setup) -> Seen {
    let gateway = setup.clock(Clock::mock(EPOCH)).start().await;
    let reply = ask(&gateway, MODEL).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    upstream.only()
}

fn header<'s>(seen: &'s Seen, name: &str) -> &'s str {
    seen.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// Checks that a call is signed with this key id and [`SECRET`], computed step by step from what came
/// over the wire, as AWS does (Signature Version 4, "Create a signed request").
fn check_signature(seen: &Seen, id: &str, region: &str) {
    let given = header(seen, "authorization");
    let scope = format!("20261118/{region}/bedrock/aws4_request");
    let start = format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders=");
    let rest = given.strip_prefix(&start).unwrap_or_else(|| panic!("{given} begins with {start}"));
    let (names, signature) = rest.split_once(", Signature=").unwrap();
    assert_eq!(header(seen, "x-amz-date"), "20261118T110640Z");
    let signed: String = names.split(';').map(|name| format!("{name}:{}\n", header(seen, name))).collect();
    // Every byte of the path but the unreserved is encoded once more.
    let path = seen.path.replace('%', "%25");
    let canonical = format!("{}\n{path}\n\n{signed}\n{names}\n{}", seen.method, hex(&Sha256::digest(&seen.body)));
    let text = format!("AWS4-HMAC-SHA256\n20261118T110640Z\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = ["20261118", region, "bedrock", "aws4_request"]
        .iter()
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part));
    assert_eq!(signature, hex(&hmac(&key, &text)), "{given}");
    assert!(names.split(';').any(|name| name == "host"), "{names}");
}

#[tokio::test]
async fn a_key_of_the_configuration_signs_aws_calls() {
    let up = upstream().await;
    let auth = "auth: { access_key_id: AKCONF, secret_access_key: \"${OWN}\", session_token: \"${TOKEN}\" }";
    let yaml = provider(&up, "bedrock", &format!("vars: {{ region: eu-west-3 }}, {auth}"));
    // It goes before everything that the environment has.
    let setup = Setup::new(yaml)
        .env("OWN", SECRET)
        .env("TOKEN", SESSION)
        .env("AWS_ACCESS_KEY_ID", "AKENV")
        .env("AWS_SECRET_ACCESS_KEY", "other")
        .env("AWS_BEARER_TOKEN_BEDROCK", "bearer")
        .env("AWS_REGION", "us-west-1");
    let seen = seen_by(&up, setup).await;
    assert_eq!(seen.path, "/v1/model/us.anthropic.claude-3-haiku-20240307-v1%3A0/converse");
    check_signature(&seen, "AKCONF", "eu-west-3");
    let tokens: Vec<_> = seen.headers.get_all("x-amz-security-token").iter().collect();
    assert_eq!(tokens, [SESSION]);
    assert!(header(&seen, "authorization").contains("x-amz-security-token"), "the token is signed, too");
    assert!(!seen.headers.contains_key("x-amz-meta") && !seen.headers.contains_key("x-goog-user-project"));
}

#[tokio::test]
async fn a_key_without_a_session_sends_no_token() {
    let up = upstream().await;
    let auth = format!("auth: {{ access_key_id: AKLONG, secret_access_key: \"{SECRET}\" }}");
    let seen = seen_by(&up, Setup::new(provider(&up, "bedrock", &auth))).await;
    check_signature(&seen, "AKLONG", "us-east-1");
    assert!(!seen.headers.contains_key("x-amz-security-token"), "{seen:?}");
}

#[tokio::test]
async fn a_profile_of_the_configuration_signs_aws_calls() {
    let up = upstream().await;
    let home = Home::new();
    let file = home.file(
        "credentials",
        &format!(
            "[default]\naws_access_key_id = AKDEF\naws_secret_access_key = no\n\
             [work]\naws_access_key_id = AKWORK\naws_secret_access_key = {SECRET}\naws_session_token = {SESSION}\n"
        ),
    );
    let setup = Setup::new(provider(&up, "bedrock", "auth: { profile: work }"))
        .env("AWS_SHARED_CREDENTIALS_FILE", &file)
        .env("AWS_ACCESS_KEY_ID", "AKENV")
        .env("AWS_SECRET_ACCESS_KEY", "other")
        .env("AWS_PROFILE", "default")
        .env("AWS_REGION", "ap-south-1");
    let seen = seen_by(&up, setup).await;
    check_signature(&seen, "AKWORK", "ap-south-1");
    assert_eq!(header(&seen, "x-amz-security-token"), SESSION);
}

#[tokio::test]
async fn the_environments_key_signs_aws_calls() {
    let up = upstream().await;
    let setup = Setup::new(provider(&up, "bedrock", "enabled: true"))
        .env("AWS_ACCESS_KEY_ID", "AKENV")
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_SESSION_TOKEN", SESSION)
        .env("AWS_REGION", "eu-central-1");
    let seen = seen_by(&up, setup).await;
    check_signature(&seen, "AKENV", "eu-central-1");
    assert_eq!(header(&seen, "x-amz-security-token"), SESSION);
}

#[tokio::test]
async fn a_plain_key_is_sent_as_it_is() {
    let up = upstream().await;
    let setup = Setup::new(provider(&up, "bedrock", "api_key: plain")).env("AWS_ACCESS_KEY_ID", "AKENV");
    let seen = seen_by(&up, setup).await;
    assert_eq!((header(&seen, "authorization"), header(&seen, "x-amz-date")), ("Bearer plain", ""));
}

/// The fields of a form.
fn form(seen: &Seen) -> HashMap<String, String> {
    let text = std::str::from_utf8(&seen.body).unwrap();
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    text.split('&').map(|pair| pair.split_once('=').unwrap()).map(|(n, v)| (plain(n), plain(v))).collect()
}

fn user(upstream: &Upstream) -> Value {
    json!({"type": "authorized_user", "client_id": "id-1", "client_secret": SECRET, "refresh_token": REFRESH,
        "quota_project_id": "payer-1", "token_uri": format!("http://{}/token", upstream.addr)})
}

#[tokio::test]
async fn credentials_of_the_configuration_get_google_tokens() {
    let up = upstream().await;
    let yaml = provider(&up, "vertex", "vars: { project: p }, auth: { credentials: \"${GOOGLE}\" }");
    let setup = Setup::new(yaml).env("GOOGLE", &user(&up).to_string()).env("GOOGLE_APPLICATION_CREDENTIALS", "/none");
    let gateway = setup.clock(Clock::mock(EPOCH)).start().await;
    for _ in 0..2 {
        let reply = ask(&gateway, "gemini-2.5-flash").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    let seen = up.seen();
    let paths: Vec<&str> = seen.iter().map(|seen| seen.path.as_str()).collect();
    let call = "/v1/publishers/google/models/gemini-2.5-flash:generateContent";
    assert_eq!(paths, ["/token", call, call], "one token is good for many calls");
    let form = form(&seen[0]);
    assert_eq!((form["grant_type"].as_str(), form["client_id"].as_str()), ("refresh_token", "id-1"));
    assert_eq!((form["client_secret"].as_str(), form["refresh_token"].as_str()), (SECRET, REFRESH));
    for seen in &seen[1..] {
        assert_eq!(header(seen, "authorization"), "Bearer granted-1");
        let payers: Vec<_> = seen.headers.get_all("x-goog-user-project").iter().collect();
        assert_eq!(payers, ["payer-1"], "a client does not say who pays");
        assert!(!seen.headers.contains_key("x-amz-meta"));
    }
}

#[tokio::test]
async fn a_credentials_file_of_the_configuration_gets_google_tokens() {
    let up = upstream().await;
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der.as_ref()));
    let uri = format!("http://{}/token", up.addr);
    let account = json!({"type": "service_account", "project_id": "p", "private_key_id": "key-1", "private_key": pem,
        "client_email": "weir@p.iam.gserviceaccount.com", "token_uri": uri});
    let home = Home::new();
    home.file("account.json", &account.to_string());
    let yaml = provider(&up, "vertex", "vars: { project: p }, auth: { credentials_file: ~/account.json }");
    let setup = Setup::new(yaml).env("HOME", &home.path("").display().to_string());
    let gateway = setup.clock(Clock::mock(EPOCH)).start().await;
    let reply = ask(&gateway, "gemini-2.5-flash").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let seen = up.seen();
    assert_eq!(header(&seen[1], "authorization"), "Bearer granted-1");
    assert!(!seen[1].headers.contains_key("x-goog-user-project"), "{seen:?}");
    let form = form(&seen[0]);
    let (signed, signature) = form["assertion"].rsplit_once('.').unwrap();
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.as_ref());
    public.verify(signed.as_bytes(), &BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["aud"], &claims["iat"]), (&json!(uri), &json!(EPOCH / 1000)));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let up = Upstream::scripted(vec![Script::status(400, r#"{"error":"invalid_grant"}"#)]).await;
    let yaml = provider(&up, "vertex", "vars: { project: p }, auth: { credentials: \"${GOOGLE}\" }");
    let gateway = Setup::new(yaml).env("GOOGLE", &user(&up).to_string()).start().await;
    let reply = ask(&gateway, "gemini-2.5-flash").await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{}", reply.text());
    let row = gateway.only_row().await;
    assert_eq!(row["status"], "upstream_error", "{row}");
    for text in [reply.text(), row.to_string()] {
        assert!(!text.contains(SECRET) && !text.contains(REFRESH), "{text}");
    }
    assert!(up.seen().iter().all(|seen| seen.path == "/token"), "{:?}", up.seen());
}

#[test]
fn what_cannot_sign_is_refused_at_start() {
    let google = |uri: &str| {
        let json = json!({"type": "authorized_user", "client_id": "i", "client_secret": SECRET,
            "refresh_token": REFRESH, "token_uri": uri});
        format!("vertex: {{ vars: {{ project: p }}, auth: {{ credentials: '{json}' }} }}")
    };
    let key = "access_key_id: AK, secret_access_key: s3cr3t/of+the=key";
    for (entry, told, by_check) in [
        ("bedrock: { auth: { access_key_id: AK } }".to_owned(), "providers.bedrock.auth.access_key_id: needs", true),
        ("bedrock: { auth: { session_token: t } }".to_owned(), "providers.bedrock.auth.session_token: needs", true),
        (format!("bedrock: {{ auth: {{ profile: p, {key} }} }}"), "providers.bedrock.auth.profile: leave", true),
        (
            format!("bedrock: {{ api_key: k, auth: {{ {key} }} }}"),
            "auth.access_key_id is of no use beside api_key",
            true,
        ),
        ("openai: { api_key: k, auth: { profile: p } }".to_owned(), "auth.profile is of no use", true),
        ("bedrock: { auth: { credentials: s3cr3t/of+the=key } }".to_owned(), "auth.style is gcp", true),
        (
            "bedrock: { auth: { profile: nowhere } }".to_owned(),
            "providers.bedrock.auth: the AWS profile 'nowhere'",
            false,
        ),
        (
            "vertex: { vars: { project: p }, auth: { credentials_file: /none.json } }".to_owned(),
            "providers.vertex.auth: credentials_file /none.json",
            false,
        ),
        (
            "vertex: { vars: { project: p }, auth: { credentials: s3cr3t/of+the=key } }".to_owned(),
            "providers.vertex.auth: credentials: it is not the JSON",
            false,
        ),
        (google("http://evil.example/"), "providers.vertex.auth: credentials: its token_uri", false),
        (
            format!("bedrock: {{ base_url: 'https://h', vars: {{ region: Paris }}, auth: {{ {key} }} }}"),
            "providers.bedrock.auth: the AWS region 'Paris'",
            false,
        ),
    ] {
        let home = Home::new().env("AWS_EC2_METADATA_DISABLED", "true");
        let file = home.file("weir.yaml", &format!("server: {{ listen: '127.0.0.1:0' }}\nproviders:\n  {entry}\n"));
        let said = home.run(&["check", "--config", &file]);
        assert_eq!(said.code > 0 && said.err.contains(told), by_check, "{entry}: {said:?}");
        let served = home.run(&["serve", "--config", &file]);
        assert!(served.code > 0 && served.err.contains(told), "{entry}: {served:?}");
        for said in [said, served] {
            let text = format!("{}{}", said.out, said.err);
            assert!(!text.contains(SECRET) && !text.contains(REFRESH), "{entry}: {text}");
        }
    }
}
