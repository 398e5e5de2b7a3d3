//! Each source of Google tokens, and which one is asked.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::server::Server;
use super::*;

const SECRET: &str = "s3cr3t-of-the-client";
const REFRESH: &str = "r3fr3sh-of-the-user";
const EMAIL: &str = "weir@project-1.iam.gserviceaccount.com";

fn settings(json: &Value) -> GcpSettings {
    GcpSettings { credentials_json: Some(json.to_string().into()), credentials_file: None }
}

fn made(
    settings: &GcpSettings,
    env: &[(&str, &str)],
    clock: &Clock,
) -> Result<(Arc<dyn Signer>, Option<String>), String> {
    let made = gcp(settings, &vars(env), clock.clone(), tls());
    let shown = format!("{made:?} {settings:?}");
    assert!(!shown.contains(SECRET) && !shown.contains(REFRESH) && !shown.contains("PRIVATE KEY"), "{shown}");
    made
}

async fn token(signer: &Arc<dyn Signer>) -> Result<String, String> {
    let headers = signed(signer).await.map_err(|e| e.to_string())?;
    assert!(headers["authorization"].is_sensitive());
    Ok(text(&headers, "authorization").to_owned())
}

/// The JSON of a token endpoint.
fn granted(token: &str, seconds: i64) -> String {
    json!({"access_token": token, "expires_in": seconds, "token_type": "Bearer"}).to_string()
}

/// A key made for the test, as PEM.
fn rsa() -> (KeyPair, String) {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der.as_ref()));
    (pair, pem)
}

fn service_account(pem: &str, token_uri: &str) -> Value {
    json!({
        "type": "service_account", "project_id": "project-1", "private_key_id": "key-1", "private_key": pem,
        "client_email": EMAIL, "client_id": "1", "token_uri": token_uri, "universe_domain": "googleapis.com",
    })
}

fn user(token_uri: &str) -> Value {
    json!({
        "type": "authorized_user", "client_id": "id-1", "client_secret": SECRET, "refresh_token": REFRESH,
        "quota_project_id": "payer-1", "token_uri": token_uri,
    })
}

/// Header and claims of an assertion whose signature holds.
fn verified(assertion: &str, pair: &KeyPair) -> (Value, Value) {
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let key = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.as_ref());
    key.verify(signed.as_bytes(), &BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let part = |text: &str| serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    (part(header), part(claims))
}

#[tokio::test]
async fn a_service_account_exchanges_an_assertion_and_again_before_the_end() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => (200, granted("first", 3600)),
        1 => (503, String::new()),
        _ => (200, granted("second", 3600)),
    })
    .await;
    let (pair, pem) = rsa();
    let uri = format!("{}/token", server.url);
    let clock = Clock::mock(NOW);
    let (signer, project) = made(&settings(&service_account(&pem, &uri)), &[], &clock).unwrap();
    assert_eq!(project.as_deref(), Some("project-1"));
    assert_eq!((token(&signer).await, token(&signer).await), (Ok("Bearer first".into()), Ok("Bearer first".into())));
    clock.advance(Duration::from_secs(55 * 60));
    assert_eq!(token(&signer).await, Ok("Bearer first".into()));
    clock.advance(Duration::from_secs(15));
    assert_eq!(token(&signer).await, Ok("Bearer second".into()));
    let seen = server.seen();
    assert_eq!((seen.len(), seen[0].line.as_str()), (3, "POST /token"));
    let form = seen[0].form();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (header, claims) = verified(&form["assertion"], &pair);
    assert_eq!(header, json!({"typ": "JWT", "alg": "RS256", "kid": "key-1"}));
    let scope = "https://www.googleapis.com/auth/cloud-platform";
    let iat = NOW / 1000;
    assert_eq!(claims, json!({"iss": EMAIL, "scope": scope, "aud": uri, "iat": iat, "exp": iat + 3600}));
    let headers = signed(&signer).await.unwrap();
    assert!(!headers.contains_key("x-goog-user-project"), "{headers:?}");
}

#[tokio::test]
async fn a_user_refreshes_and_pays_with_the_quota_project() {
    let server = Server::start(|_| (200, granted("users", 3599))).await;
    let (signer, project) = made(&settings(&user(&server.url)), &[], &Clock::mock(NOW)).unwrap();
    assert_eq!(project.as_deref(), Some("payer-1"));
    assert_eq!(token(&signer).await, Ok("Bearer users".into()));
    assert_eq!(text(&signed(&signer).await.unwrap(), "x-goog-user-project"), "payer-1");
    let form = server.seen()[0].form();
    let field = |name: &str| form[name].as_str();
    assert_eq!((field("grant_type"), field("client_id")), ("refresh_token", "id-1"));
    assert_eq!((field("client_secret"), field("refresh_token")), (SECRET, REFRESH));
}

#[tokio::test]
async fn the_metadata_server_is_the_last_resort() {
    let server = Server::start(|seen| match seen.line.as_str() {
        _ if seen.header("metadata-flavor") != "Google" => (403, String::new()),
        "GET /computeMetadata/v1/instance/service-accounts/default/token" => (200, granted("machines", 3599)),
        "GET /computeMetadata/v1/project/project-id" => (200, "example.com:project-9\n".to_owned()),
        _ => (404, String::new()),
    })
    .await;
    let host = server.url.trim_start_matches("http://");
    let env = [("GCE_METADATA_HOST", host)];
    let (signer, project) = made(&GcpSettings::default(), &env, &Clock::mock(NOW)).unwrap();
    assert_eq!(project, None);
    assert_eq!(token(&signer).await, Ok("Bearer machines".into()));
    assert_eq!(gcp_metadata_project(&vars(&env), tls()).await.unwrap(), "example.com:project-9");
    let named = [env[0], ("GOOGLE_CLOUD_PROJECT", "named")];
    assert_eq!(made(&GcpSettings::default(), &named, &Clock::mock(NOW)).unwrap().1.as_deref(), Some("named"));
    for bad in ["evil.example/path", "a b", "user@host", "host?x"] {
        let error = made(&GcpSettings::default(), &[("GCE_METADATA_HOST", bad)], &Clock::mock(NOW)).unwrap_err();
        assert!(error.contains("GCE_METADATA_HOST"), "{error}");
        assert!(gcp_metadata_project(&vars(&[("GCE_METADATA_HOST", bad)]), tls()).await.is_err());
    }
}

#[tokio::test]
async fn a_metadata_server_that_has_nothing_says_so() {
    let server = Server::start(|_| (404, "<html>".to_owned())).await;
    let env = [("GCE_METADATA_HOST", server.url.trim_start_matches("http://"))];
    let (signer, _) = made(&GcpSettings::default(), &env, &Clock::mock(NOW)).unwrap();
    let error = token(&signer).await.unwrap_err();
    assert!(error.contains("404") && error.contains("GOOGLE_APPLICATION_CREDENTIALS"), "{error}");
    assert!(gcp_metadata_project(&vars(&env), tls()).await.unwrap_err().to_string().contains("names no project"));
}

#[tokio::test]
async fn files_are_looked_for_in_their_order() {
    let server = Server::start(|seen| (200, granted(&seen.form()["client_id"], 3600))).await;
    let file = |id: &str| {
        let mut json = user(&server.url);
        json["client_id"] = id.into();
        json.to_string()
    };
    let usual = "application_default_credentials.json";
    let dir = files(&[
        ("set.json", &file("set")),
        ("env.json", &file("env")),
        (&format!(".config/gcloud/{usual}"), &file("gcloud")),
        (&format!("sdk/{usual}"), &file("sdk")),
    ]);
    let home = dir.path().to_str().unwrap();
    let (sdk, own) = (format!("{home}/sdk"), format!("{home}/env.json"));
    let env = [("HOME", home), ("CLOUDSDK_CONFIG", &*sdk), ("GOOGLE_APPLICATION_CREDENTIALS", &*own)];
    let set = GcpSettings { credentials_json: None, credentials_file: Some(dir.path().join("set.json")) };
    let at_home = GcpSettings { credentials_json: None, credentials_file: Some("~/set.json".into()) };
    let none = GcpSettings::default();
    for (settings, env, id) in [
        (&set, &env[..], "set"),
        (&at_home, &env[..], "set"),
        (&none, &env[..], "env"),
        (&none, &env[..2], "sdk"),
        (&none, &env[..1], "gcloud"),
    ] {
        let (signer, _) = made(settings, env, &Clock::mock(NOW)).unwrap();
        assert_eq!(token(&signer).await, Ok(format!("Bearer {id}")));
    }
    let missing = made(&none, &[("GOOGLE_APPLICATION_CREDENTIALS", "/no/such")], &Clock::mock(NOW)).unwrap_err();
    assert!(missing.contains("GOOGLE_APPLICATION_CREDENTIALS /no/such"), "{missing}");
}

#[test]
fn what_is_wrong_with_credentials_is_told_at_start() {
    let (_, pem) = rsa();
    let with = |mut json: Value, key: &str, value: Value| {
        json[key] = value;
        json
    };
    let account = service_account(&pem, "https://oauth2.googleapis.com/token");
    for (json, why) in [
        (json!([SECRET]), "not the JSON of credentials"),
        (json!({"type": "external_account"}), "external_account"),
        (json!({"client_secret": SECRET}), "(none)"),
        (json!({"type": "service_account", "private_key": SECRET}), "lacks some"),
        (with(account.clone(), "private_key", SECRET.into()), "not the PEM"),
        (with(account.clone(), "private_key", pem.replace("MII", "MIJ").into()), "private_key"),
        (with(account, "token_uri", "http://evil.example/".into()), "no https URL"),
        (json!({"type": "authorized_user", "client_secret": SECRET}), "lack some"),
        (with(user("https://x.example/"), "quota_project_id", "a\nb".into()), "quota_project_id"),
    ] {
        let error = made(&settings(&json), &[], &Clock::mock(NOW)).unwrap_err();
        assert!(error.contains(why) && error.starts_with("credentials: "), "{error}");
        assert!(!error.contains(SECRET), "{error}");
    }
}

#[tokio::test]
async fn what_the_token_endpoint_refuses_is_told() {
    for (status, body, why) in [
        (
            400,
            r#"{"error":"invalid_grant","error_description":"Token has been\nrevoked."}"#,
            "invalid_grant: Token has been revoked.",
        ),
        (500, "<html>", "500"),
        (200, r#"{"id_token":"x"}"#, "lacks access_token"),
        (200, r#"{"access_token":"a\nb","expires_in":3600}"#, "no header value"),
        (200, r#"{"access_token":"a","expires_in":0}"#, "expired"),
        (200, r#"{"access_token":"a","expires_in":-9223372036854775808}"#, "expired"),
    ] {
        let server = Server::start(move |_| (status, body.to_owned())).await;
        let (signer, _) = made(&settings(&user(&server.url)), &[], &Clock::mock(NOW)).unwrap();
        let error = token(&signer).await.unwrap_err();
        assert!(error.contains(why) && !error.contains(SECRET) && !error.contains(REFRESH), "{error}");
    }
}
