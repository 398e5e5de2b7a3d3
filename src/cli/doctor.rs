//! `weir doctor`: what is wrong with this machine's set-up, and how to mend it.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpStream;

use super::connect::block_on;
use super::{FAILED, load};
use crate::config::{Config, Tls};
use crate::http::server::tls::Certificates;
use crate::snapshot::Snapshot;
use crate::store::{Db, Options};
use secrecy::ExposeSecret as _;

/// Checks database, providers, clock and file limits.
#[derive(Clone, Debug, clap::Args)]
pub struct DoctorArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One finding.
#[derive(Clone, Debug, serde::Serialize)]
struct Finding {
    check: String,
    ok: bool,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

fn fine(check: &str, what: impl Into<String>) -> Finding {
    Finding { check: check.to_owned(), ok: true, what: what.into(), fix: None }
}

fn wrong(check: &str, what: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { check: check.to_owned(), ok: false, what: what.into(), fix: Some(fix.into()) }
}

/// Runs `weir doctor`. Answers the exit code: 1 when something is wrong.
pub fn run(args: DoctorArgs, env: &dyn Fn(&str) -> Option<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let config = match load(args.config, env, err) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let mut findings = Vec::new();
    let code = block_on(
        async {
            findings = examine(&config, env).await;
            u8::from(findings.iter().any(|f| !f.ok))
        },
        err,
    );
    let written = if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&findings).unwrap_or_default())
    } else {
        findings.iter().try_for_each(|f| {
            writeln!(out, "{}  {:<20} {}", if f.ok { "ok   " } else { "WRONG" }, f.check, f.what)?;
            f.fix.iter().try_for_each(|fix| writeln!(out, "       {:<20} -> {fix}", ""))
        })
    };
    written.map_or(FAILED, |()| code)
}

async fn examine(config: &Config, env: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings =
        vec![fine("configuration", "loads without faults"), database(config).await, clock(), files(config)];
    findings.extend(config.server.tls.as_ref().map(certificates));
    match Snapshot::build(config, env, 0) {
        Err(why) => findings.push(wrong("providers", why, "correct the configuration")),
        Ok(snapshot) => {
            for provider in snapshot.providers.values().filter(|p| !p.demo) {
                findings.push(reachable(&provider.id, &provider.base_url).await);
            }
            if snapshot.providers.values().all(|p| p.demo) {
                findings.push(wrong(
                    "providers",
                    "only the demo provider is configured",
                    "set a provider's key, such as OPENAI_API_KEY, or add one under providers",
                ));
            }
        }
    }
    findings
}

fn certificates(files: &Tls) -> Finding {
    match Certificates::load(files) {
        Ok(_) => fine("certificates", format!("{} can be used", files.cert.display())),
        Err(why) => wrong("certificates", why, "put the certificate and the key that it was made for into these files"),
    }
}

async fn database(config: &Config) -> Finding {
    let url = config.database.url.redacted();
    let options = Options { connections: 1, ..Options::default() };
    let outcome = match Db::open(config.database.url.expose_secret(), &options) {
        Ok(db) => db.ping().await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => fine("database", format!("{url} answers")),
        Err(error) => wrong(
            "database",
            format!("{url}: {error}"),
            "check database.url, that the server runs and that the folder can be written",
        ),
    }
}

/// A clock before this release cannot be right: certificates and expiries would be judged wrongly.
fn clock() -> Finding {
    const RELEASED: i64 = 1_790_000_000_000;
    let now = crate::clock::Clock::system().unix_ms();
    let text = crate::record::rfc3339(now);
    if now < RELEASED {
        wrong("clock", format!("it is {text}"), "set the machine's clock (NTP)")
    } else {
        fine("clock", text)
    }
}

/// A connection needs a descriptor on each side.
fn files(config: &Config) -> Finding {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|l| l.starts_with("Max open files"));
    let soft = line.and_then(|l| l.split_whitespace().nth(3)).and_then(|n| n.parse::<u64>().ok());
    let needed = config.server.max_connections.saturating_mul(2).saturating_add(100);
    match soft {
        Some(soft) if soft < needed => wrong(
            "open files",
            format!("{soft} are allowed, {needed} would be needed for {} connections", config.server.max_connections),
            format!("ulimit -n {needed} (systemd: LimitNOFILE={needed}), or lower server.max_connections"),
        ),
        Some(soft) => fine("open files", format!("{soft} are allowed")),
        None => fine("open files", "not known on this system"),
    }
}

async fn reachable(id: &str, base_url: &str) -> Finding {
    let check = format!("provider {id}");
    let Ok(uri) = base_url.parse::<http::Uri>() else {
        return wrong(&check, format!("{base_url} is no URL"), "correct base_url");
    };
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    match tokio::time::timeout(Duration::from_secs(5), TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => fine(&check, format!("{host}:{port} accepts connections")),
        Ok(Err(error)) => {
            wrong(&check, format!("{host}:{port}: {error}"), "check base_url, DNS, proxies and firewalls")
        }
        Err(_) => {
            wrong(&check, format!("{host}:{port} does not answer within 5 s"), "check base_url, proxies and firewalls")
        }
    }
}
