//! A whole gateway in this process: real router, real database, real sockets.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use weir::app::{App, Start};
use weir::clock::{Clock, Entropy};
use weir::config::{Config, ConfigSource, Format};

/// The admin key of every gateway under test.
pub(crate) const ADMIN: &str = "test-admin-key";

/// A gateway under test.
pub(crate) struct Gateway {
    pub(crate) app: App,
    pub(crate) clock: Clock,
    client: Client<HttpConnector, Full<Bytes>>,
    _data: TempDir,
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("the answer is UTF-8")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }

    /// The error's code.
    pub(crate) fn code(&self) -> String {
        // Only OpenAI's error object has a place for it.
        let told = self.json()["error"]["code"].as_str().map(ToOwned::to_owned);
        told.or_else(|| self.header("x-weir-error-code").map(ToOwned::to_owned)).unwrap_or_default()
    }
}

/// How a gateway is set up.
pub(crate) struct Setup {
    yaml: String,
    clock: Clock,
    env: HashMap<String, String>,
    database: Option<String>,
    file: Option<PathBuf>,
}

impl Setup {
    /// With this configuration (YAML); the listening address, the database and the admin key are added.
    pub(crate) fn new(yaml: impl Into<String>) -> Self {
        Self { yaml: yaml.into(), clock: Clock::system(), env: HashMap::new(), database: None, file: None }
    }

    #[must_use]
    pub(crate) fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// On this database instead of a SQLite file of its own.
    #[must_use]
    pub(crate) fn database(self, url: &str) -> Self {
        Self { database: Some(url.to_owned()), ..self }
    }

    /// Of this file, which is watched, in place of the text.
    #[must_use]
    pub(crate) fn file(self, path: PathBuf) -> Self {
        Self { file: Some(path), ..self }
    }

    /// Starts it; panics with every fault when the configuration is wrong.
    pub(crate) async fn start(self) -> Gateway {
        let data = TempDir::new().unwrap();
        let mut env = self.env;
        env.insert("WEIR_DATA_DIR".into(), data.path().display().to_string());
        env.entry("WEIR_ADMIN_KEY".into()).or_insert_with(|| ADMIN.into());
        let lookup = move |name: &str| env.get(name).cloned();
        let source = ConfigSource::Text { name: PathBuf::from("test.yaml"), text: self.yaml, format: Format::Yaml };
        let database = self.database.map(|url| format!("database: {{ url: \"{url}\" }}\n"));
        let source = match (source, database) {
            (ConfigSource::Text { name, text, format }, Some(line)) => {
                ConfigSource::Text { name, text: format!("{line}{text}"), format }
            }
            (source, _) => source,
        };
        let source = self.file.map_or(source, ConfigSource::File);
        let config = Config::load(&source, &lookup, &weir::cli::known()).unwrap_or_else(|faults| panic!("{faults:#?}"));
        let start = Start {
            config,
            source,
            listen: Some("127.0.0.1:0".parse().unwrap()),
            sockets: Vec::new(),
            env: Box::new(lookup),
            clock: self.clock.clone(),
            chance: Entropy::system(),
        };
        let app = Box::pin(App::start(start)).await.unwrap_or_else(|e| panic!("{e}"));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Gateway { app, clock: self.clock, client, _data: data }
    }
}

impl Gateway {
    /// A gateway whose provider `up` is the upstream at `url` and the default.
    pub(crate) async fn before(upstream_url: &str) -> Self {
        Setup::new(one_provider(upstream_url)).start().await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app.addr)
    }

    /// Any request.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let response = self.send(method, path, headers, body).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the answer is whole").to_bytes();
        Reply { status: head.status, headers: head.headers, body }
    }

    /// Any request; the body is left to be read.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> http::Response<hyper::body::Incoming> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = method;
        *request.uri_mut() = self.url(path).parse().unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        self.client.request(request).await.expect("the gateway answers")
    }

    /// Raw bytes on a connection of their own, and everything that comes back until it closes.
    pub(crate) async fn raw(&self, request: &[u8]) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(self.app.addr).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A JSON POST with a virtual key.
    pub(crate) async fn post(&self, key: &str, path: &str, body: impl ToString) -> Reply {
        let auth = format!("Bearer {key}");
        let headers = [("authorization", auth.as_str()), ("content-type", "application/json")];
        self.request(Method::POST, path, &headers, body.to_string()).await
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Reply {
        let auth = format!("Bearer {key}");
        self.request(Method::GET, path, &[("authorization", auth.as_str())], "").await
    }

    /// A request to the admin plane.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Value) -> Reply {
        let auth = format!("Bearer {ADMIN}");
        let headers = [("authorization", auth.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.request(method, path, &headers, body).await
    }

    /// A new virtual key with these fields; answers (id, secret).
    pub(crate) async fn key(&self, fields: Value) -> (String, String) {
        let mut body = json!({"name": "test"});
        body.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap_or_default());
        let made = self.admin(Method::POST, "/admin/v1/keys", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
        let made = made.json();
        (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    }

    /// A new virtual key without limits.
    pub(crate) async fn plain_key(&self) -> String {
        self.key(json!({})).await.1
    }

    /// All rows, the oldest first. Waits until those of finished requests are written.
    pub(crate) async fn rows(&self) -> Vec<Value> {
        let page = self.admin(Method::GET, "/admin/v1/usage?limit=1000", Value::Null).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        let mut rows = page.json()["data"].as_array().unwrap().clone();
        rows.reverse();
        rows
    }

    /// The only row, once it is there: a dropped connection is noticed a moment later.
    pub(crate) async fn only_row(&self) -> Value {
        let rows = self.wait_rows(1).await;
        assert_eq!(rows.len(), 1, "{rows:#?}");
        rows[0].clone()
    }

    /// The rows, as soon as there are `count` of them.
    pub(crate) async fn wait_rows(&self, count: usize) -> Vec<Value> {
        for _ in 0..200 {
            let rows = self.rows().await;
            if rows.len() >= count {
                return rows;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("fewer than {count} rows: {:#?}", self.rows().await)
    }
}

/// A configuration with one provider, `up`, the default. `up/priced` has a price.
pub(crate) fn one_provider(url: &str) -> String {
    format!(
        "providers:\n  up: {{ kind: openai-compatible, base_url: \"{url}\", api_key: upstream-secret, default: true }}\n\
         prices:\n  up/priced: {{ input: \"1.00\", output: \"2.00\", cache_read: \"0.10\" }}\n"
    )
}

/// Waits until `probe` answers, trying every ten milliseconds for ten seconds.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1000 {
        if let Some(found) = probe().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen within ten seconds")
}
