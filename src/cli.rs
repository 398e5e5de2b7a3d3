//! The command line, one file per subcommand.

pub mod alerts;
pub mod budgets;
pub mod check;
pub mod config;
pub mod connect;
pub mod doctor;
pub mod invoices;
pub mod keys;
mod notify;
pub mod prices;
pub mod reconcile;
pub mod serve;
pub mod table;
pub mod usage;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};

use crate::catalog::{AUTH_STYLES, Catalog, OPERATIONS, QUIRKS, USAGE_RULES};
use crate::config::{Config, ConfigSource, Known, PRICE_COMPONENTS};

/// An LLM gateway in one binary.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (the default).
    Serve(serve::ServeArgs),
    /// Check a configuration and tell everything that is wrong with it.
    Check(check::CheckArgs),
    /// Print the example configuration or its schema, or compare two.
    Config(config::ConfigArgs),
    /// Manage virtual keys.
    Keys(keys::KeysArgs),
    /// Manage budgets.
    Budgets(budgets::BudgetsArgs),
    /// Compare providers' invoices with the ledger.
    Invoices(invoices::InvoicesArgs),
    /// Show usage and cost.
    Usage(usage::UsageArgs),
    /// Show and manage prices.
    Prices(prices::PricesArgs),
    /// Show receivers of alerts and what they never took, send again, test.
    Alerts(alerts::AlertsArgs),
    /// Compare rows, sums, budgets and leases, to the nano-dollar.
    Reconcile(reconcile::ReconcileArgs),
    /// Check database, providers, clock and file limits.
    Doctor(doctor::DoctorArgs),
}

/// Something went wrong: exit code 1.
pub const FAILED: u8 = 1;
/// The command or the configuration is wrong: exit code 2.
pub const BAD_USAGE: u8 = 2;

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let env = |name: &str| std::env::var(name).ok();
    let known = known();
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let code = match cli.command {
        None => serve::run(cli.serve, &mut out, &mut err),
        Some(Command::Serve(args)) => serve::run(args, &mut out, &mut err),
        Some(Command::Check(args)) => check::run(&args, &env, &known, &mut out, &mut err),
        Some(Command::Config(args)) => config::run(&args, &env, &known, &mut out, &mut err),
        Some(Command::Keys(args)) => keys::run(args, &env, &mut out, &mut err),
        Some(Command::Budgets(args)) => budgets::run(args, &env, &mut out, &mut err),
        Some(Command::Invoices(args)) => invoices::run(args, &env, &mut out, &mut err),
        Some(Command::Usage(args)) => usage::run(args, &env, &mut out, &mut err),
        Some(Command::Prices(args)) => prices::run(args, &env, &mut out, &mut err),
        Some(Command::Alerts(args)) => alerts::run(args, &env, &mut out, &mut err),
        Some(Command::Reconcile(args)) => reconcile::run(args, &env, &mut out, &mut err),
        Some(Command::Doctor(args)) => doctor::run(args, &env, &mut out, &mut err),
    };
    ExitCode::from(code)
}

/// The words a configuration may use, from the catalogue.
#[must_use]
pub fn known() -> Known<'static> {
    static PROVIDERS: LazyLock<Vec<&'static str>> =
        LazyLock::new(|| Catalog::embedded().providers().iter().map(|p| p.id.as_str()).collect());
    Known {
        providers: &PROVIDERS,
        operations: OPERATIONS,
        quirks: QUIRKS,
        usage: USAGE_RULES,
        auth_styles: AUTH_STYLES,
        price_components: PRICE_COMPONENTS,
    }
}

/// Loads the configuration of a command; its faults go to `err`.
///
/// # Errors
/// The exit code.
pub fn load(config: Option<PathBuf>, env: &dyn Fn(&str) -> Option<String>, err: &mut dyn Write) -> Result<Config, u8> {
    load_source(&ConfigSource::find(config, env), env, err)
}

/// The same of a source.
///
/// # Errors
/// The exit code.
pub fn load_source(
    source: &ConfigSource,
    env: &dyn Fn(&str) -> Option<String>,
    err: &mut dyn Write,
) -> Result<Config, u8> {
    Config::load(source, env, &known()).map_err(|faults| {
        for fault in faults {
            // Nothing is left to tell when even the error stream is closed.
            let _ = writeln!(err, "{fault}");
        }
        BAD_USAGE
    })
}
