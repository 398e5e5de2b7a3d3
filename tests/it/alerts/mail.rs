//! Alerts by e-mail, to a scripted mail server that speaks SMTP (RFC 5321) on loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use weir::clock::Clock;
use weir::config::AlertRetry;
use weir::events::{self, Budget, Refused, Window};
use weir::money::NanoUsd;

use super::{EPOCH, put, receiver, until};
use crate::support::gateway::Setup;

/// What a mail server does.
#[derive(Clone, Default)]
struct Ways {
    /// Changes over to TLS when asked.
    starttls: Option<TlsAcceptor>,
    /// Begins with TLS.
    implicit: Option<TlsAcceptor>,
    /// Wants a login.
    login: bool,
    /// Refuses every login, and repeats it.
    repeats: bool,
    /// Refuses this recipient.
    refuses: Option<&'static str>,
}

/// A mail server, and every line that it was told.
#[derive(Clone)]
struct MailServer {
    addr: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    async fn start(ways: Ways) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { addr: listener.local_addr().unwrap(), lines: Arc::default() };
        let lines = Arc::clone(&server.lines);
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (ways, lines) = (ways.clone(), Arc::clone(&lines));
                spawn(async move {
                    let talked = match &ways.implicit {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => talk(stream, &ways, &lines, true).await.map(drop),
                            Err(error) => Err(error),
                        },
                        None => match talk(stream, &ways, &lines, true).await {
                            Ok(Some((stream, tls))) => match tls.accept(stream).await {
                                Ok(stream) => talk(stream, &Ways { starttls: None, ..ways.clone() }, &lines, false)
                                    .await
                                    .map(drop),
                                Err(error) => Err(error),
                            },
                            Ok(None) => Ok(()),
                            Err(error) => Err(error),
                        },
                    };
                    // A client may leave whenever it likes.
                    drop(talked);
                });
            }
        });
        server
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The mails that were taken, each from its first header to its end.
    fn mails(&self) -> Vec<Vec<String>> {
        let lines = self.lines();
        let mut mails = Vec::new();
        let mut rest = lines.as_slice();
        while let Some(start) = rest.iter().position(|line| line == "DATA") {
            let end = rest.iter().position(|line| line == ".").unwrap_or(rest.len());
            mails.push(rest[start + 1..end].to_vec());
            rest = &rest[(end + 1).min(rest.len())..];
        }
        mails
    }
}

#[expect(clippy::disallowed_methods, reason = "the runtime of the test ends its tasks")]
fn spawn<F: Future<Output = ()> + Send + 'static>(task: F) {
    tokio::spawn(task);
}

/// One side of the dialogue. Answers the stream when the client changes over to TLS.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    ways: &Ways,
    lines: &Mutex<Vec<String>>,
    greet: bool,
) -> std::io::Result<Option<(S, TlsAcceptor)>> {
    let mut stream = BufReader::new(stream);
    if greet {
        stream.write_all(b"220 mail.test ESMTP\r\n").await?;
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        lines.lock().unwrap().push(line.clone());
        let word = line.split_whitespace().next().unwrap_or_default().to_uppercase();
        let answer = match word.as_str() {
            "EHLO" => {
                let tls = if ways.starttls.is_some() { "250-STARTTLS\r\n" } else { "" };
                let auth = if ways.login { "250-AUTH PLAIN LOGIN\r\n" } else { "" };
                format!("250-mail.test\r\n{tls}{auth}250 8BITMIME")
            }
            "STARTTLS" => {
                stream.write_all(b"220 go ahead\r\n").await?;
                return Ok(ways.starttls.clone().map(|tls| (stream.into_inner(), tls)));
            }
            "AUTH" if ways.repeats => format!("535 what is {line}?"),
            "AUTH" => "235 welcome".to_owned(),
            "RCPT" if ways.refuses.is_some_and(|who| line.contains(who)) => "550 nobody here".to_owned(),
            "MAIL" | "RCPT" => "250 ok".to_owned(),
            "DATA" => {
                stream.write_all(b"354 go ahead\r\n").await?;
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await?;
                    let line = line.trim_end_matches(['\r', '\n']).to_owned();
                    let ended = line == ".";
                    lines.lock().unwrap().push(line);
                    if ended {
                        break;
                    }
                }
                "250 taken".to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(None);
            }
            _ => "500 what?".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

fn yaml(server: &MailServer, smtp: &str) -> String {
    let port = server.addr.port();
    format!(
        "alerts:\n  - name: mail\n    retry: {{ attempts: 2, backoff: 1ms }}\n    email:\n      \
         smtp: {{ host: localhost, port: {port}, {smtp} }}\n      from: weir@example.com\n      \
         to: [ops@example.com, cfo@example.com]\n"
    )
}

fn refused() -> events::Event {
    events::budget_exceeded(
        EPOCH,
        &Refused {
            budget: Budget { id: "bud_1", name: "größtes Budget", scope: "team", subject: "research" },
            limit: NanoUsd(10_000_000_000),
            spent: NanoUsd(9_999_000_000),
            window: Window { starts_at: EPOCH, ends_at: None },
            request_id: "req_1",
            needed: NanoUsd(2_000_000),
            remaining: NanoUsd(1_000_000),
            refused: Some(1),
        },
    )
}

fn decoded(mail: &[String]) -> String {
    let body: String = mail.iter().skip_while(|line| !line.is_empty()).map(String::as_str).collect();
    String::from_utf8(STANDARD.decode(body).unwrap()).unwrap()
}

#[tokio::test]
async fn an_event_comes_as_a_mail_that_people_can_read() {
    let server = MailServer::start(Ways { login: true, ..Ways::default() }).await;
    let yaml = yaml(&server, "tls: none, username: weir, password: \"${PASSWORD}\"");
    let gateway = Setup::new(yaml).env("PASSWORD", "s3cret").clock(Clock::mock(EPOCH)).start().await;
    put(&gateway, &[refused()]).await;
    until(&gateway, "mail", "delivered", 1).await;
    let lines = server.lines();
    let login = format!("AUTH PLAIN {}", STANDARD.encode("\0weir\0s3cret"));
    for line in [
        "EHLO example.com",
        &login,
        "MAIL FROM:<weir@example.com>",
        "RCPT TO:<ops@example.com>",
        "RCPT TO:<cfo@example.com>",
        "DATA",
    ] {
        assert!(lines.iter().any(|said| said.starts_with(line)), "{line} in {lines:#?}");
    }
    let mail = &server.mails()[0];
    let header = |name: &str| mail.iter().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap();
    assert_eq!(header("From"), "weir@example.com");
    assert_eq!(header("Date"), "Wed, 18 Nov 2026 11:06:40 +0000");
    assert_eq!((header("X-Weir-Event"), header("Auto-Submitted")), ("budget.exceeded", "auto-generated"));
    assert!(header("Message-ID").starts_with("<evt_") && header("Message-ID").ends_with(".mail@example.com>"));
    assert!(header("Subject").starts_with("=?UTF-8?B?"), "{mail:#?}");
    let text = decoded(mail);
    assert!(
        text.starts_with("Budget \"größtes Budget\" of team research is used up and refuses requests.\r\n"),
        "{text}"
    );
    assert!(text.contains("needed: 0.002 USD\r\n") && text.contains("remaining: 0.001 USD\r\n"), "{text}");
    let shown = receiver(&gateway, "mail").await;
    assert_eq!(shown["kind"], "email");
    let target = format!("ops@example.com, cfo@example.com through localhost:{}", server.addr.port());
    assert_eq!(shown["target"], target);
}

#[tokio::test]
async fn a_refused_mail_is_tried_again_and_then_put_aside() {
    let server = MailServer::start(Ways { refuses: Some("cfo"), ..Ways::default() }).await;
    let gateway = Setup::new(yaml(&server, "tls: none")).clock(Clock::mock(EPOCH)).start().await;
    put(&gateway, &[refused()]).await;
    until(&gateway, "mail", "dead", 1).await;
    let error = receiver(&gateway, "mail").await["last_error"].as_str().unwrap().to_owned();
    assert!(error.contains("550") && error.contains("nobody here"), "{error}");
    assert_eq!(server.lines().iter().filter(|line| line.contains("cfo")).count(), 2, "{:?}", AlertRetry::default());
}

#[tokio::test]
async fn without_starttls_nothing_is_said_in_clear_text() {
    let server = MailServer::start(Ways { login: true, ..Ways::default() }).await;
    let gateway = Setup::new(yaml(&server, "username: weir, password: s3cret")).start().await;
    let test = gateway.admin(Method::POST, "/admin/v1/alerts/mail/test", Value::Null).await.json();
    assert_eq!(test["delivered"], json!(false), "{test}");
    assert!(server.lines().iter().all(|line| line.starts_with("EHLO") || line == "QUIT"), "{:?}", server.lines());
}

#[tokio::test]
async fn a_password_that_the_server_repeats_is_not_told() {
    let server = MailServer::start(Ways { login: true, repeats: true, ..Ways::default() }).await;
    let yaml = yaml(&server, "tls: none, username: weir, password: \"mail-secret/Zq9\"");
    let gateway = Setup::new(yaml).start().await;
    let test = gateway.admin(Method::POST, "/admin/v1/alerts/mail/test", Value::Null).await.text();
    assert!(test.contains("535") && test.contains("[redacted]"), "{test}");
}

/// A certificate for `localhost`, and a server's side of TLS with it. Made by openssl, where there is one.
fn certificate(folder: &Path) -> Option<TlsAcceptor> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .args(["-keyout".as_ref(), key.as_os_str(), "-out".as_ref(), cert.as_os_str()])
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        return None;
    }
    let cert = CertificateDer::from_pem_file(&cert).unwrap();
    let key = PrivateKeyDer::from_pem_file(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![cert], key).unwrap();
    Some(TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn mail_goes_through_tls_as_configured() {
    let folder = TempDir::new().unwrap();
    let Some(tls) = certificate(folder.path()) else {
        eprintln!("no openssl to make a certificate with: mail through TLS is not tested");
        return;
    };
    let cert = folder.path().join("cert.pem").display().to_string();
    let ways = [
        (
            "tls: starttls, username: weir, password: s3cret",
            Ways { starttls: Some(tls.clone()), login: true, ..Ways::default() },
        ),
        (
            "tls: implicit, username: weir, password: s3cret",
            Ways { implicit: Some(tls), login: true, ..Ways::default() },
        ),
    ];
    for (smtp, ways) in ways {
        let server = MailServer::start(ways).await;
        let gateway = Setup::new(yaml(&server, smtp)).env("SSL_CERT_FILE", &cert).start().await;
        let test = gateway.admin(Method::POST, "/admin/v1/alerts/mail/test", Value::Null).await.json();
        assert_eq!(test["delivered"], json!(true), "{smtp}: {test} {:?}", server.lines());
        assert!(decoded(&server.mails()[0]).starts_with("This is a test.\r\n"), "{smtp}");
        // And nobody is believed whose certificate nobody vouches for.
        let gateway = Setup::new(yaml(&server, smtp)).start().await;
        let test = gateway.admin(Method::POST, "/admin/v1/alerts/mail/test", Value::Null).await.json();
        assert_eq!(test["delivered"], json!(false), "{smtp}: {test}");
        assert_eq!(server.mails().len(), 1, "{smtp}");
    }
}
