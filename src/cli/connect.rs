//! How a command reaches the gateway's data: over `--url` with the admin key, or straight on the
//! database of the configuration. Either way the same router answers.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::Value;

use super::{BAD_USAGE, FAILED, load};
use crate::clock::{Clock, Entropy};
use crate::config::Config;
use crate::price::Book;
use crate::snapshot::prices;
use crate::store::{Db, Options};
use crate::upstream::body::collect;
use crate::upstream::client::{Http2, HttpProvider, PoolOptions, tls_config};
use crate::upstream::{Call, CallBody, Provider as _};
use secrecy::ExposeSecret as _;

/// Where to work.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConnectArgs {
    /// A running gateway, such as http://127.0.0.1:8080; without it, the database is used directly.
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// The gateway's admin key, with --url; else WEIR_ADMIN_KEY.
    #[arg(long, global = true, value_name = "KEY")]
    pub admin_key: Option<String>,
    /// The configuration that names the database, without --url.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// A running gateway, or its database.
#[derive(Debug)]
pub enum Connection {
    /// Over HTTP.
    Remote(Box<Remote>),
    /// The database.
    Local(Box<Local>),
}

/// A gateway reached over HTTP.
pub struct Remote {
    base: String,
    admin_key: String,
    client: HttpProvider,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("base", &self.base).finish_non_exhaustive()
    }
}

/// The database and what goes with it.
#[derive(Debug)]
pub struct Local {
    /// The database, migrated.
    pub db: Db,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub chance: Entropy,
    /// The configuration.
    pub config: Config,
    /// Its prices.
    pub own: Book,
}

/// Runs a command's work on a runtime of its own.
pub fn block_on<F: Future<Output = u8>>(work: F, err: &mut dyn Write) -> u8 {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            let _ = writeln!(err, "the runtime could not be started: {error}");
            FAILED
        }
    }
}

impl ConnectArgs {
    /// Connects.
    ///
    /// # Errors
    /// The exit code, after telling `err` why.
    pub async fn connect(self, env: &dyn Fn(&str) -> Option<String>, err: &mut dyn Write) -> Result<Connection, u8> {
        let outcome = match self.url {
            Some(url) => remote(&url, self.admin_key.or_else(|| env("WEIR_ADMIN_KEY")), env)
                .map(|remote| Connection::Remote(Box::new(remote))),
            None => {
                let config = load(self.config, env, err)?;
                local(config, env).await.map(|local| Connection::Local(Box::new(local)))
            }
        };
        outcome.map_err(|(code, why)| {
            let _ = writeln!(err, "weir: {why}");
            code
        })
    }
}

fn remote(url: &str, admin_key: Option<String>, env: &dyn Fn(&str) -> Option<String>) -> Result<Remote, (u8, String)> {
    let admin_key = admin_key.ok_or_else(|| (BAD_USAGE, "--url needs --admin-key, or WEIR_ADMIN_KEY".to_owned()))?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err((BAD_USAGE, format!("--url {url}: it must begin with http:// or https://")));
    }
    let tls = tls_config(env("SSL_CERT_FILE").as_deref()).map_err(|why| (FAILED, why))?;
    let options = PoolOptions { connect_timeout: Duration::from_secs(5), max_idle_per_host: 1, http2: Http2::Never };
    Ok(Remote {
        base: url.trim_end_matches('/').to_owned(),
        admin_key,
        client: HttpProvider::new(options, Arc::clone(&tls)),
    })
}

async fn local(config: Config, env: &dyn Fn(&str) -> Option<String>) -> Result<Local, (u8, String)> {
    let own = prices::book(&config, env).map_err(|why| (BAD_USAGE, why))?;
    let url = config.database.url.redacted();
    let failed = |e: crate::store::StoreError| (FAILED, format!("database {url}: {e}"));
    let db = Db::open(config.database.url.expose_secret(), &Options { connections: 2, ..Options::default() })
        .map_err(failed)?;
    db.migrate().await.map_err(failed)?;
    Ok(Local { db, clock: Clock::system(), chance: Entropy::system(), config, own })
}

impl Remote {
    /// Calls the gateway; answers the body's text.
    ///
    /// # Errors
    /// The exit code, and what the gateway says is wrong.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<String, (u8, String)> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let answer = self.exchange(method, path, "application/json", body).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The same with any body and any answer.
    ///
    /// # Errors
    /// As [`Remote::call`].
    pub async fn exchange(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Bytes, (u8, String)> {
        let (status, answer) = self.send(method, path, content_type, body).await.map_err(|why| (FAILED, why))?;
        if status.is_success() {
            return Ok(answer);
        }
        Err((exit_code(status), told(status, &String::from_utf8_lossy(&answer))))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<(http::StatusCode, Bytes), String> {
        let mut headers = HeaderMap::new();
        let auth = HeaderValue::from_str(&format!("Bearer {}", self.admin_key.trim()))
            .map_err(|_| "the admin key has characters no header can carry".to_owned())?;
        headers.insert(header::AUTHORIZATION, auth);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let uri = format!("{}{path}", self.base).parse().map_err(|e| format!("{}{path}: {e}", self.base))?;
        let body = if body.is_empty() { CallBody::empty() } else { CallBody::from(body) };
        let call =
            Call { method, uri, headers, body, first_byte: Duration::from_secs(60), connect: None, signer: None };
        let mut answer = self.client.send(call).await.map_err(|e| format!("{}: {e}", self.base))?;
        let text =
            collect(&mut answer.body, 1 << 30).await.map_err(|_| format!("{}: the answer broke off", self.base))?;
        Ok((answer.status, text))
    }
}

/// The exit code of a refusal: a value that is wrong is bad usage, on the database as over HTTP.
#[must_use]
pub fn exit_code(status: http::StatusCode) -> u8 {
    if status == http::StatusCode::BAD_REQUEST { BAD_USAGE } else { FAILED }
}

fn told(status: http::StatusCode, text: &str) -> String {
    let message =
        serde_json::from_str::<Value>(text).ok().and_then(|v| v["error"]["message"].as_str().map(ToOwned::to_owned));
    format!("{status}: {}", message.unwrap_or_else(|| crate::flight::bounded(text, 500)))
}
