//! Signatures: AWS's published ones, and ones computed here step by step from the specification.

use aws_lc_rs::hmac;
use http::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::*;

const ACCESS: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn signer(region: &str, service: &str, token: Option<&str>) -> Arc<dyn Signer> {
    let settings = AwsSettings {
        region: Some(region.to_owned()),
        access_key: Some(ACCESS.into()),
        secret_key: Some(SECRET.into()),
        session_token: token.map(Into::into),
        service: service.to_owned(),
        ..AwsSettings::default()
    };
    sigv4(&settings, &|_| None, Clock::mock(NOW), tls()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// The signature of a canonical request at [`NOW`], by the four steps of the specification.
fn by_hand(canonical: &str, region: &str, service: &str) -> String {
    let scope = format!("20150830/{region}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n20150830T123600Z\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = ["20150830", region, service, "aws4_request"]
        .iter()
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part));
    hex(&hmac(&key, &text))
}

async fn authorization(signer: &Arc<dyn Signer>, mut call: Call) -> String {
    signer.sign(&mut call).await.unwrap();
    assert_eq!(text(&call.headers, "x-amz-date"), "20150830T123600Z");
    assert!(call.headers["authorization"].is_sensitive());
    text(&call.headers, "authorization").to_owned()
}

/// `get-vanilla` and `post-vanilla` of AWS's Signature Version 4 test suite.
#[tokio::test]
async fn the_test_suites_signatures_come_out() {
    let signer = signer("us-east-1", "service", None);
    for (method, signature) in [
        (Method::GET, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (Method::POST, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ] {
        let given = authorization(&signer, call(method, "https://example.amazonaws.com/", "")).await;
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature={signature}"
        );
        assert_eq!(given, expected);
    }
}

/// The `ListUsers` example of AWS's General Reference.
#[tokio::test]
async fn the_general_references_example_comes_out() {
    let mut call = call(Method::GET, "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", "");
    let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
    call.headers.insert("content-type", form);
    let given = authorization(&signer("us-east-1", "iam", None), call).await;
    let expected = "SignedHeaders=content-type;host;x-amz-date, \
                    Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    assert!(given.ends_with(expected), "{given}");
}

/// A model's id has ':' and '/', percent-encoded in the path; the canonical path encodes it once more.
/// Port, query, pieces and session token take part.
#[tokio::test]
async fn a_bedrock_call_is_signed_as_the_specification_says() {
    let uri =
        "https://bedrock.example:8443/model/arn%3Aaws%3Abedrock%3Aus%3A1%3Ap%2Fa.b-v1%3A0/converse-stream?b=2&a=1";
    let mut call = call(Method::POST, uri, "");
    call.body = CallBody::Pieces([Bytes::from_static(b"{\"a\":"), Bytes::from_static(b"1}")].into());
    call.headers.insert("content-type", HeaderValue::from_static("application/json"));
    call.headers.insert("accept-encoding", HeaderValue::from_static("identity"));
    // A client's headers never stand in for the gateway's.
    for name in ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"] {
        call.headers.insert(name, HeaderValue::from_static("a-clients-own"));
    }
    let signer = signer("us-west-2", "bedrock", Some("the/session+token=="));
    signer.sign(&mut call).await.unwrap();
    let canonical = format!(
        "POST\n\
         /model/arn%253Aaws%253Abedrock%253Aus%253A1%253Ap%252Fa.b-v1%253A0/converse-stream\n\
         a=1&b=2\n\
         content-type:application/json\n\
         host:bedrock.example:8443\n\
         x-amz-date:20150830T123600Z\n\
         x-amz-security-token:the/session+token==\n\
         \n\
         content-type;host;x-amz-date;x-amz-security-token\n\
         {}",
        hex(&Sha256::digest(b"{\"a\":1}"))
    );
    let expected = by_hand(&canonical, "us-west-2", "bedrock");
    let given = text(&call.headers, "authorization");
    assert!(given.ends_with(&format!("Signature={expected}")), "{given}");
    assert_eq!(text(&call.headers, "x-amz-security-token"), "the/session+token==");
    assert!(!call.headers.contains_key("x-amz-content-sha256"));
    let shown = format!("{call:?}");
    assert!(!shown.contains("session+token") && !shown.contains(&expected), "{shown}");
}

#[tokio::test]
async fn the_schemes_own_port_is_not_signed_and_large_bodies_are_hashed_whole() {
    let large = Bytes::from(vec![b'x'; 2_500_000]);
    let mut call = call(Method::POST, "https://example.amazonaws.com:443/", "");
    call.body = CallBody::Pieces([large.clone(), Bytes::from_static(b"y")].into());
    let mut whole = large.to_vec();
    whole.push(b'y');
    let hash = hex(&Sha256::digest(whole));
    let canonical =
        format!("POST\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n{hash}");
    let given = authorization(&signer("us-east-1", "service", None), call).await;
    assert!(given.ends_with(&by_hand(&canonical, "us-east-1", "service")), "{given}");
}

#[tokio::test]
async fn what_cannot_be_signed_says_why() {
    let signer = signer("us-east-1", "bedrock", None);
    let mut streamed = call(Method::POST, "https://example.com/", "");
    streamed.body = CallBody::Stream { chunks: Box::pin(futures_util::stream::empty()), length: None };
    assert!(signer.sign(&mut streamed).await.unwrap_err().to_string().contains("cannot be signed"));
    let mut relative = call(Method::POST, "/no/host", "");
    assert!(signer.sign(&mut relative).await.unwrap_err().to_string().contains("names no host"));
    let mut header = call(Method::POST, "https://example.com/", "");
    header.headers.insert("x-amz-meta", HeaderValue::from_bytes(b"\xff").unwrap());
    assert!(signer.sign(&mut header).await.unwrap_err().to_string().contains("x-amz-meta"));
    let broken = self::signer("us-east-1", "bedrock", Some("line\nbreak"));
    let error = broken.sign(&mut call(Method::POST, "https://example.com/", "")).await.unwrap_err().to_string();
    assert!(!error.contains("break"), "{error}");
}

/// Where a log goes.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Also not by the crate that signs, however much it is made to say.
#[tokio::test]
async fn nothing_secret_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    signed(&signer("us-east-1", "bedrock", Some("the-session-token"))).await.unwrap();
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("x-amz-security-token"), "the crate's own lines are there: {text}");
    assert!(!text.contains(SECRET) && !text.contains("session-token"), "{text}");
}

#[test]
fn nothing_secret_is_shown() {
    let signer = signer("us-east-1", "bedrock", Some("the-session-token"));
    let shown = format!("{signer:?}");
    assert!(!shown.contains(SECRET) && !shown.contains("session-token") && !shown.contains(ACCESS), "{shown}");
}
