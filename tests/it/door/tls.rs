//! HTTPS. Certificates are made by openssl, where there is one.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use http::Method;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{exchange, ready, talk, told};
use crate::support::binary::Home;
use crate::support::gateway::{Gateway, Setup, eventually};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

fn openssl(folder: &Path, args: &str) -> bool {
    let args: Vec<&str> = args.split_whitespace().collect();
    Command::new("openssl").args(args).current_dir(folder).output().is_ok_and(|made| made.status.success())
}

/// An authority (`NAME-ca.pem`) and a certificate of it for `localhost` (`NAME.pem`, `NAME-key.pem`).
fn make(folder: &Path, name: &str) -> bool {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    std::fs::write(folder.join("leaf.ext"), "subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\n")
        .unwrap();
    openssl(
        folder,
        &format!("req -x509 {key} -days 3650 -subj /CN={name}-ca -keyout {name}-ca-key.pem -out {name}-ca.pem"),
    ) && openssl(folder, &format!("req {key} -subj /CN={name} -keyout {name}-key.pem -out {name}.csr"))
        && openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA {name}-ca.pem -CAkey {name}-ca-key.pem -CAcreateserial -days 3650 \
                 -extfile leaf.ext -out {name}.pem"
            ),
        )
}

/// A folder with the certificates `one` and `two`; none where there is no openssl.
#[expect(clippy::print_stderr, reason = "whoever runs the tests is to know that some did not run")]
pub(crate) fn certificates() -> Option<TempDir> {
    let folder = TempDir::new().unwrap();
    let made = make(folder.path(), "one") && make(folder.path(), "two");
    if !made {
        eprintln!("no openssl to make certificates with: TLS is not tested");
    }
    made.then_some(folder)
}

/// A client that trusts the authority `root`, and shows the certificate `own`.
fn connector(folder: &Path, root: &str, own: Option<&str>, alpn: &[&str]) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join(format!("{root}-ca.pem"))).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let cert = CertificateDer::from_pem_file(folder.join(format!("{own}.pem"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(folder.join(format!("{own}-key.pem"))).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn connect(gateway: &Gateway, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(gateway.app.addr).await.unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await
}

fn copy(folder: &Path, name: &str) {
    for (from, to) in [(format!("{name}.pem"), "cert.pem"), (format!("{name}-key.pem"), "key.pem")] {
        std::fs::copy(folder.join(from), folder.join(to)).unwrap();
    }
}

fn yaml(folder: &Path, more: &str) -> String {
    let path = folder.display();
    format!("server: {{ header_timeout: 2s, tls: {{ cert: {path}/cert.pem, key: {path}/key.pem{more} }} }}\n")
}

#[tokio::test]
async fn https_is_spoken_and_new_certificates_are_taken_up() {
    let Some(folder) = certificates() else { return };
    copy(folder.path(), "one");
    let gateway = Setup::new(yaml(folder.path(), "")).start().await;
    let one = connector(folder.path(), "one", None, &["http/1.1"]);
    let two = connector(folder.path(), "two", None, &["h2", "http/1.1"]);
    let answer = talk(connect(&gateway, &one).await.unwrap(), HEALTH).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let bad = talk(connect(&gateway, &one).await.unwrap(), b"GET / HTTP/1.1\r\nhost: a@b\r\n\r\n").await;
    assert_eq!(told(&bad), (400, "invalid_host".into()), "inspected as in plain text: {bad}");
    assert!(connect(&gateway, &two).await.is_err(), "nobody vouches for it");
    let mut open = connect(&gateway, &one).await.unwrap();
    // Half of a pair, and a broken one, change nothing.
    std::fs::copy(folder.path().join("two.pem"), folder.path().join("cert.pem")).unwrap();
    let failed = async || {
        // Metrics are on the same address, behind TLS.
        let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let text = talk(connect(&gateway, &one).await.unwrap(), request).await;
        text.contains("weir_tls_reloads_total{outcome=\"failed\"} 1").then_some(())
    };
    eventually("the failure is counted", failed).await;
    copy(folder.path(), "two");
    let stream = eventually("the new certificate", async || connect(&gateway, &two).await.ok()).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the better one of both");
    assert!(connect(&gateway, &one).await.is_err(), "the old one is gone");
    open.write_all(HEALTH).await.unwrap();
    let mut answer = Vec::new();
    open.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "what was open goes on");
}

#[tokio::test]
async fn http2_is_spoken_over_tls() {
    let Some(folder) = certificates() else { return };
    copy(folder.path(), "one");
    let gateway = Setup::new(yaml(folder.path(), "")).start().await;
    let stream = connect(&gateway, &connector(folder.path(), "one", None, &["h2"])).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let request = http::Request::builder().uri("https://localhost/health").body(String::new()).unwrap();
    let response = tokio::select! {
        response = sender.send_request(request) => response.unwrap(),
        ended = connection => panic!("{ended:?}"),
    };
    assert_eq!((response.status(), response.version()), (http::StatusCode::OK, http::Version::HTTP_2));
}

#[tokio::test]
async fn clients_need_a_certificate_where_that_is_said() {
    let Some(folder) = certificates() else { return };
    copy(folder.path(), "one");
    let more = format!(", client_ca: {}/two-ca.pem", folder.path().display());
    let gateway = Setup::new(yaml(folder.path(), &more)).start().await;
    let answer = async |own| {
        let mut stream = connect(&gateway, &connector(folder.path(), "one", own, &[])).await.ok()?;
        stream.write_all(HEALTH).await.ok()?;
        let mut answer = Vec::new();
        // In TLS 1.3 the client learns of its refusal when it reads.
        stream.read_to_end(&mut answer).await.ok()?;
        answer.starts_with(b"HTTP/1.1 200").then_some(())
    };
    assert_eq!((answer(Some("two")).await, answer(Some("one")).await, answer(None).await), (Some(()), None, None));
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up_and_plain_text_is_not_understood() {
    let Some(folder) = certificates() else { return };
    copy(folder.path(), "one");
    let yaml = yaml(folder.path(), "").replace("header_timeout: 2s", "header_timeout: 200ms");
    let gateway = Setup::new(yaml).start().await;
    assert_eq!(exchange(gateway.app.addr, b"\x16\x03\x01").await, "");
    assert!(!exchange(gateway.app.addr, HEALTH).await.contains("HTTP/1.1"));
}

#[tokio::test]
async fn tls_below_1_2_is_not_spoken() {
    let Some(folder) = certificates() else { return };
    copy(folder.path(), "one");
    let gateway = Setup::new(yaml(folder.path(), "")).start().await;
    // A hello of TLS 1.1, with one cipher suite of its time.
    let body = [&[3, 2][..], &[7; 32], &[0], &[0, 2, 0xc0, 0x13], &[1, 0], &[0, 0]].concat();
    let hello = [&[1, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat();
    let record = [&[0x16, 3, 1, 0, u8::try_from(hello.len()).unwrap()][..], &hello].concat();
    let mut stream = TcpStream::connect(gateway.app.addr).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer.first(), Some(&0x15), "an alert: {answer:?}");
}

#[tokio::test]
async fn a_proxys_header_comes_before_tls() {
    let Some(folder) = certificates() else { return };
    copy(folder.path(), "one");
    let yaml = yaml(folder.path(), "").replace("server: {", "server: { trusted_proxies: [127.0.0.1],");
    let gateway = Setup::new(yaml).start().await;
    let mut stream = TcpStream::connect(gateway.app.addr).await.unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.9 1 2\r\n").await.unwrap();
    let connector = connector(folder.path(), "one", None, &[]);
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    assert!(talk(stream, HEALTH).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn metrics_of_their_own_address_are_in_plain_text() {
    let Some(folder) = certificates() else { return };
    copy(folder.path(), "one");
    let yaml = yaml(folder.path(), "").replace("server: {", "server: { metrics_listen: \"127.0.0.1:0\",");
    let gateway = Setup::new(yaml).start().await;
    let answer = exchange(gateway.app.metrics_addr.unwrap(), HEALTH).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(ready("drain_timeout: 1s").await.1.request(Method::GET, "/health", &[], "").await);
}

#[test]
fn a_bad_pair_is_told_before_a_port_is_open() {
    let Some(folder) = certificates() else { return };
    let home = Home::new();
    for (cert, key, ca, told) in [
        ("one.pem", "two-key.pem", "", "server.tls.cert: "),
        ("one.pem", "none.pem", "", "server.tls.key: cannot read"),
        ("one-key.pem", "one-key.pem", "", "no certificate in it"),
        ("one.pem", "one.pem", "", "no private key in PEM form"),
        ("one.pem", "one-key.pem", "leaf.ext", "server.tls.client_ca: "),
    ] {
        let at = |name: &str| folder.path().join(name).display().to_string();
        let ca = if ca.is_empty() { String::new() } else { format!(", client_ca: {}", at(ca)) };
        let config =
            home.file("weir.yaml", &format!("server: {{ tls: {{ cert: {}, key: {}{ca} }} }}\n", at(cert), at(key)));
        let check = home.run(&["check", "--config", &config]);
        assert!(check.code == 2 && check.err.contains(told), "{cert} {key}: {check:?}");
        let serve = home.run(&["serve", "--config", &config]);
        assert!(serve.code != 0 && serve.err.contains(told), "{cert} {key}: {serve:?}");
        let doctor = home.run(&["doctor", "--config", &config]);
        assert!(doctor.code == 1 && doctor.out.contains(told), "{cert} {key}: {doctor:?}");
    }
}
