//! `weir serve`: runs the gateway until it is told to stop.

use std::io::{IsTerminal as _, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use listenfd::ListenFd;
use tracing_subscriber::EnvFilter;

use super::{BAD_USAGE, FAILED, notify};
use crate::app::{App, Socket, Start, StartError};
use crate::clock::{Clock, Entropy};
use crate::config::{ConfigSource, LogFormat, Logging};
use crate::lifecycle::Signals;
use crate::log::Log;
use crate::store::StoreErrorKind;

/// Runs the gateway.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServeArgs {
    /// The configuration file; else WEIR_CONFIG, else ./weir.yaml if it exists, else none is needed.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on, in place of the configuration's.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

/// Runs `weir serve`. Answers the exit code.
pub fn run(args: ServeArgs, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let env = |name: &str| std::env::var(name).ok();
    let source = ConfigSource::find(args.config, &env);
    let config = match super::load_source(&source, &env, err) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let listen = args.listen.unwrap_or(config.server.listen);
    if !config.auth.required && !listen.ip().is_loopback() {
        let _ = writeln!(err, "auth.required: false is allowed on a loopback address only, not on {listen}");
        return BAD_USAGE;
    }
    let log = log(&config.logging);
    let sockets = match given_sockets(&env) {
        Ok(sockets) => sockets,
        Err(error) => {
            let _ = writeln!(err, "the sockets of the service manager (LISTEN_FDS) cannot be used: {error}");
            return BAD_USAGE;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("weir").build();
    let code = match runtime {
        Ok(runtime) => {
            let start = Start {
                config,
                source,
                listen: args.listen,
                sockets,
                env: Box::new(|name| std::env::var(name).ok()),
                clock: Clock::system(),
                chance: Entropy::system(),
            };
            runtime.block_on(serve(start, out, err))
        }
        Err(error) => {
            let _ = writeln!(err, "the runtime could not be started: {error}");
            FAILED
        }
    };
    if let Some(log) = log {
        log.flush();
    }
    code
}

async fn serve(start: Start, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            let _ = writeln!(err, "weir: signals cannot be received: {error}");
            return FAILED;
        }
    };
    let app = match App::start(start).await {
        Ok(app) => app,
        Err(error) => {
            let _ = writeln!(err, "weir: {error}");
            let configured = match &error {
                StartError::Config(_) => true,
                StartError::Store(_, error) => error.kind() == StoreErrorKind::Config,
                _ => false,
            };
            return if configured { BAD_USAGE } else { FAILED };
        }
    };
    // The greeting is a courtesy: without a standard output the gateway serves all the same.
    let _ = greet(&app, out);
    let env = |name: &str| std::env::var(name).ok();
    notify::tell(&env, "READY=1");
    let signal = tokio::select! {
        signal = signals.stop(|| app.reload()) => signal,
        () = app.relieved() => "relieved",
    };
    notify::tell(&env, "STOPPING=1");
    tracing::info!(signal, "{signal}: draining, a second signal skips the wait");
    app.stop(async {
        signals.stop(|| tracing::warn!("SIGHUP: the gateway is stopping and reloads nothing")).await;
    })
    .await;
    tracing::info!("stopped, everything is written");
    0
}

/// The listening sockets that a service manager opened: `LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`.
fn given_sockets(env: &dyn Fn(&str) -> Option<String>) -> std::io::Result<Vec<Socket>> {
    let mut given = ListenFd::from_env();
    let names = env("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets = Vec::with_capacity(given.len());
    for i in 0..given.len() {
        let name = names.next().unwrap_or_default().to_owned();
        if let Some(listener) = given.take_tcp_listener(i)? {
            sockets.push(Socket { name, listener });
        }
    }
    Ok(sockets)
}

/// Begins to log; what is to be flushed at the end.
fn log(logging: &Logging) -> Option<Log> {
    let filter = std::env::var("RUST_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(logging.level.as_str()));
    // Without a thread for it there is no log, and a gateway all the same.
    let log = Log::to(std::io::stderr()).ok()?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(log.clone());
    let json = match logging.format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    // A second subscriber in one process is refused; the first goes on.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
    Some(log)
}

/// What a first look needs: where it listens, what it found, the secrets of a first start, and one
/// line to paste.
fn greet(app: &App, out: &mut dyn Write) -> std::io::Result<()> {
    let snapshot = app.gateway.snapshot.load();
    let providers: Vec<&str> = snapshot.providers.keys().map(|id| &**id).collect();
    let scheme = if app.gateway.config.load().server.tls.is_some() { "https" } else { "http" };
    writeln!(out, "weir {} listens on {scheme}://{}", env!("CARGO_PKG_VERSION"), app.addr)?;
    if let Some(addr) = app.metrics_addr {
        writeln!(out, "metrics   http://{addr}/metrics")?;
    }
    writeln!(out, "providers {}", providers.join(", "))?;
    writeln!(out, "data      {}", app.gateway.config.load().database.url.redacted())?;
    if let Some(key) = &app.welcome.admin_key {
        writeln!(out, "\nThis is the first start. These two keys are shown once; keep them:")?;
        writeln!(out, "admin key {key}")?;
    }
    if let Some(key) = &app.welcome.first_key {
        writeln!(out, "first key {key}")?;
    }
    let key = match (&app.welcome.first_key, app.gateway.anonymous.load().is_some()) {
        (Some(key), _) => key.as_str(),
        (None, true) => "none-is-needed",
        (None, false) => "$WEIR_KEY",
    };
    writeln!(out, "\ntry it:\n{}", curl(scheme, app.addr, key))?;
    if key == "$WEIR_KEY" {
        writeln!(out, "(a key is made by: weir keys create --name me)")?;
    }
    out.flush()
}

fn curl(scheme: &str, addr: SocketAddr, key: &str) -> String {
    format!(
        "curl {scheme}://{addr}/v1/chat/completions -H \"Authorization: Bearer {key}\" -H \"Content-Type: application/json\" \
         -d '{{\"model\":\"demo/chat\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'"
    )
}
