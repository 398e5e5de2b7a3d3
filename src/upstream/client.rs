//! The HTTP client: hyper's pooled client, one pool per provider.
//!
//! hyper-util's client is used in place of reqwest, which stands on it: in the load lab's bare floor
//! reqwest costs 1.6 to 1.8 times the CPU of a proxied request, and Weir needs none of what it adds
//! (cookies, redirects, automatic decompression would all be wrong here).

use std::error::Error as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either, select};
use http::uri::Scheme;
use http::{Request, StatusCode, Uri, Version, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::begun::Begun;
use super::lanes::{LaneOptions, Lanes, Place};
use super::patient::Patient;
use super::{Answer, AnswerBody, BodyFault, Call, CallBody, Provider, SendError};

/// How connections are kept.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    /// Until a connection must stand.
    pub connect_timeout: Duration,
    /// Idle connections kept.
    pub max_idle_per_host: usize,
    /// HTTP/2: by ALPN, always (also without TLS), or never.
    pub http2: Http2,
}

/// Whether HTTP/2 is spoken upstream.
#[derive(Clone, Copy, Debug)]
pub enum Http2 {
    /// When the server offers it (ALPN).
    Auto(LaneOptions),
    /// Always, by prior knowledge.
    Always(LaneOptions),
    /// Never.
    Never,
}

/// A provider reached over HTTP.
#[derive(Debug)]
pub struct HttpProvider {
    pool: Pool,
}

type OneClient = Client<Patient<HttpsConnector<HttpConnector>>, Begun>;

/// Its connections.
#[derive(Debug)]
enum Pool {
    /// As many as there are calls, over HTTP/1.
    Http1(Renewable),
    /// Over HTTP/2, if the host speaks it: so many calls a connection.
    Http2 { lanes: Lanes<Renewable>, plain: Renewable, clients: Clients },
}

impl HttpProvider {
    /// A client with its own pool. Nothing connects before the first call.
    #[must_use]
    pub fn new(options: PoolOptions, tls: Arc<rustls::ClientConfig>) -> Self {
        let clients = Clients { options, tls };
        let pool = match options.http2 {
            Http2::Never => Pool::Http1(Renewable::new(clients)),
            Http2::Auto(lanes) | Http2::Always(lanes) => {
                Pool::Http2 { lanes: Lanes::new(lanes), plain: Renewable::new(clients.clone()), clients }
            }
        };
        Self { pool }
    }

    /// The client for a call, and its place on it.
    fn client(&self, uri: &Uri) -> Result<(&Renewable, Option<Place>), SendError> {
        match &self.pool {
            Pool::Http1(client) => Ok((client, None)),
            // HTTP/2 is agreed upon within TLS alone, unless it is known.
            Pool::Http2 { plain, clients, .. } if uri.scheme() == Some(&Scheme::HTTP) && !clients.knows_http2() => {
                Ok((plain, None))
            }
            Pool::Http2 { lanes, clients, .. } => {
                let taken = lanes.take(|| Renewable::new(clients.clone())).map(|(client, place)| (client, Some(place)));
                taken.ok_or_else(|| SendError::Connect(full(lanes.options())))
            }
        }
    }

    async fn call(&self, mut call: Call) -> Result<Answer, SendError> {
        let first_byte = call.first_byte;
        let (mut unsigned, mut begun) = (call.signer.is_some(), None);
        let (pool, place) = self.client(&call.uri)?;
        let client = pool.current.load_full();
        let exchange = async {
            if let Some(signer) = call.signer.take() {
                signer.sign(&mut call).await.map_err(|e| SendError::Credentials(e.to_string()))?;
                unsigned = false;
            }
            let connect = call.connect;
            let (body, taken) = Begun::watch(std::mem::replace(&mut call.body, CallBody::empty()));
            begun = Some(taken);
            let mut request = request(call, body);
            let Some(most) = connect else { return client.request(request).await.map_err(|e| classify(&e)) };
            let mut connection = capture_connection(&mut request);
            let answered = pin!(client.request(request));
            let connected =
                pin!(async { tokio::time::timeout(most, connection.wait_for_connection_metadata()).await.is_ok() });
            match select(answered, connected).await {
                Either::Left((answered, _)) => answered.map_err(|e| classify(&e)),
                Either::Right((false, _)) => Err(SendError::ConnectTimeout(most)),
                Either::Right((true, answered)) => answered.await.map_err(|e| classify(&e)),
            }
        };
        let outcome = tokio::time::timeout(first_byte, exchange).await;
        let response = match outcome {
            Ok(answered) => answered?,
            Err(_) if unsigned => {
                let why = format!("their source did not answer within {first_byte:?}");
                return Err(SendError::Credentials(why));
            }
            Err(_) if begun.is_some_and(|begun| !begun.load(Ordering::Relaxed)) => {
                return Err(SendError::UnsentTimeout(first_byte));
            }
            Err(_) => return Err(SendError::FirstByteTimeout(first_byte)),
        };
        let (head, incoming) = response.into_parts();
        if let Some(why) = unsound(&head) {
            pool.renew();
            return Err(SendError::Broken(why.to_owned()));
        }
        Ok(Answer { status: head.status, headers: head.headers, body: AnswerBody::Network { incoming, place } })
    }
}

/// A client that can be replaced.
#[derive(Debug)]
struct Renewable {
    clients: Clients,
    current: ArcSwap<OneClient>,
}

impl Renewable {
    fn new(clients: Clients) -> Self {
        let current = ArcSwap::from_pointee(clients.make());
        Self { clients, current }
    }

    /// Lets go of all its connections once what is under way on them has ended: one of them is not to be
    /// used again, and which one it is hyper keeps to itself.
    fn renew(&self) {
        self.current.store(Arc::new(self.clients.make()));
    }
}

/// What clients are made of.
#[derive(Clone, Debug)]
struct Clients {
    options: PoolOptions,
    tls: Arc<rustls::ClientConfig>,
}

impl Clients {
    fn knows_http2(&self) -> bool {
        matches!(self.options.http2, Http2::Always(_))
    }

    fn make(&self) -> OneClient {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_connect_timeout(Some(self.options.connect_timeout));
        http.set_keepalive(Some(Duration::from_secs(60)));
        let builder = HttpsConnectorBuilder::new().with_tls_config((*self.tls).clone()).https_or_http();
        let connector = match self.options.http2 {
            Http2::Never => builder.enable_http1().wrap_connector(http),
            Http2::Always(_) => builder.enable_http2().wrap_connector(http),
            Http2::Auto(_) => builder.enable_all_versions().wrap_connector(http),
        };
        let connector = Patient { inner: connector, most: self.options.connect_timeout };
        Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(self.options.max_idle_per_host)
            .pool_idle_timeout(Duration::from_secs(90))
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_only(self.knows_http2())
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PONG)
            .http1_max_buf_size(MAX_BUFFER)
            .build(connector)
    }
}

fn full(LaneOptions { connections, streams }: LaneOptions) -> String {
    format!(
        "its {connections} HTTP/2 connections have {streams} calls each, as many as they may \
         (pool.http2_connections, pool.http2_streams)"
    )
}

fn request(call: Call, body: Begun) -> Request<Begun> {
    let mut request = Request::new(body);
    *request.method_mut() = call.method;
    *request.uri_mut() = call.uri;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = call.headers;
    request
}

/// What makes an answer one that nobody can rely on. 1xx before an answer are hyper's to swallow.
fn unsound(head: &http::response::Parts) -> Option<&'static str> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Some("it switched protocols, which nobody asked for (101)");
    }
    let both =
        head.headers.contains_key(header::TRANSFER_ENCODING) && head.headers.contains_key(header::CONTENT_LENGTH);
    both.then_some("its answer has both Content-Length and Transfer-Encoding, and so no certain end")
}

/// A connection over HTTP/2 with calls on it, from which nothing comes, is asked whether it lives.
const PING: Duration = Duration::from_secs(15);
const PONG: Duration = Duration::from_secs(10);

/// Bounds hyper's read buffer of a connection, and with it an answer's headers.
const MAX_BUFFER: usize = 128 * 1024;

impl Provider for HttpProvider {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Answer, SendError>> {
        self.call(call).boxed()
    }
}

fn classify(error: &hyper_util::client::legacy::Error) -> SendError {
    let why = root_cause(error);
    if error.is_connect() {
        return SendError::Connect(why);
    }
    if let Some(undone) = undone(error) {
        return undone;
    }
    client_fault(error).map_or(SendError::Broken(why), SendError::ClientBody)
}

/// Whether HTTP/2 says that nothing was done (RFC 9113, sections 6.8 and 8.7): a stream beyond the last one that an
/// orderly `GOAWAY` names, or one that was refused.
fn undone(error: &hyper_util::client::legacy::Error) -> Option<SendError> {
    let mut source = error.source();
    while let Some(e) = source {
        if let Some(e) = e.downcast_ref::<h2::Error>().filter(|e| e.is_remote()) {
            return match e.reason()? {
                h2::Reason::NO_ERROR if e.is_go_away() => Some(SendError::Unprocessed),
                h2::Reason::REFUSED_STREAM => Some(SendError::Connect("it refused the stream".to_owned())),
                _ => None,
            };
        }
        source = e.source();
    }
    None
}

/// What broke the client's own body off, if that is why the call failed.
fn client_fault(error: &hyper_util::client::legacy::Error) -> Option<BodyFault> {
    let mut source = error.source();
    let mut ours = false;
    while let Some(e) = source {
        if let Some(fault) = e.downcast_ref::<BodyFault>() {
            return Some(fault.clone());
        }
        ours |= e.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user);
        source = e.source();
    }
    ours.then_some(BodyFault::Incomplete)
}

/// The innermost reason, which names the fact ("connection refused") without our own layers.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}

/// The TLS set-up all providers share: the bundled Mozilla roots, and those of `SSL_CERT_FILE` when
/// it is set (a company's own authority). Never falls back to plain text.
///
/// # Errors
/// When the extra file cannot be read or holds no certificate.
pub fn tls_config(extra_roots: Option<&str>) -> Result<Arc<rustls::ClientConfig>, String> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = extra_roots {
        add_roots(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS: {e}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn add_roots(roots: &mut rustls::RootCertStore, path: &str) -> Result<(), String> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let certs = CertificateDer::pem_file_iter(path).map_err(|e| format!("SSL_CERT_FILE {path}: {e}"))?;
    let (added, _) = roots.add_parsable_certificates(certs.filter_map(Result::ok));
    if added == 0 { Err(format!("SSL_CERT_FILE {path}: no certificate in it")) } else { Ok(()) }
}
