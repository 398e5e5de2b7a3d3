//! The client runs a call's signer before it sends.

use futures_util::FutureExt as _;
use http::HeaderValue;

use super::server::Server;
use super::*;
use crate::upstream::client::{Http2, HttpProvider, PoolOptions};
use crate::upstream::{Provider as _, SendError};

#[derive(Debug)]
enum Behaviour {
    Sign,
    Refuse,
    Hang,
}

impl Signer for Behaviour {
    fn sign<'a>(&'a self, call: &'a mut Call) -> BoxFuture<'a, Result<(), SignError>> {
        async move {
            match self {
                Self::Sign => drop(call.headers.insert("authorization", HeaderValue::from_static("signed"))),
                Self::Refuse => return Err(SignError::new("the key is missing: set KEY")),
                Self::Hang => std::future::pending().await,
            }
            Ok(())
        }
        .boxed()
    }
}

async fn send(server: &Server, behaviour: Behaviour) -> Result<http::StatusCode, SendError> {
    let options = PoolOptions { connect_timeout: Duration::from_secs(5), max_idle_per_host: 1, http2: Http2::Never };
    let mut call = call(Method::POST, &format!("{}/x", server.url), "body");
    call.first_byte = Duration::from_millis(200);
    call.signer = Some(Arc::new(behaviour));
    HttpProvider::new(options, tls()).send(call).await.map(|answer| answer.status)
}

#[tokio::test]
async fn a_call_is_sent_signed_or_not_at_all() {
    let server = Server::start(|_| (200, String::new())).await;
    assert_eq!(send(&server, Behaviour::Sign).await, Ok(http::StatusCode::OK));
    let refused = send(&server, Behaviour::Refuse).await.unwrap_err();
    assert_eq!(refused, SendError::Credentials("the key is missing: set KEY".to_owned()));
    assert_eq!(refused.to_string(), "the gateway has no credentials to send: the key is missing: set KEY");
    let hung = send(&server, Behaviour::Hang).await.unwrap_err();
    assert!(matches!(&hung, SendError::Credentials(why) if why.contains("200ms")), "{hung:?}");
    let seen = server.seen();
    assert_eq!((seen.len(), seen[0].header("authorization"), seen[0].body.as_str()), (1, "signed", "body"));
}

/// What is signed as `host` is what the client sends.
#[tokio::test]
async fn the_signed_host_is_the_one_that_is_sent() {
    let server = Server::start(|_| (200, String::new())).await;
    let env = vars(&[("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "S"), ("AWS_REGION", "us-east-1")]);
    let signer = sigv4(&AwsSettings::default(), &env, Clock::mock(NOW), tls()).unwrap();
    let options = PoolOptions { connect_timeout: Duration::from_secs(5), max_idle_per_host: 1, http2: Http2::Never };
    let mut sent = call(Method::POST, &format!("{}/model/a%3A0/converse", server.url), "{}");
    sent.signer = Some(Arc::clone(&signer));
    HttpProvider::new(options, tls()).send(sent).await.unwrap();
    let seen = server.seen();
    let mut again = call(Method::POST, &format!("http://{}/model/a%3A0/converse", seen[0].header("host")), "{}");
    signer.sign(&mut again).await.unwrap();
    assert_eq!(seen[0].header("authorization"), text(&again.headers, "authorization"));
    assert_eq!(seen[0].line, "POST /model/a%3A0/converse");
}
