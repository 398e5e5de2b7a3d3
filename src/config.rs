//! The configuration: a YAML or TOML file, its includes and the environment, to one typed value.
//!
//! Text becomes a tree whose nodes know their places (`parse`), includes are merged (`include`),
//! and each section reads its part of the tree (`read`), leaving a [`Fault`] wherever it cannot.
//! Every fault is told, each with file, line and column. A key that does nothing is refused.

mod alerts;
mod auth;
mod brake;
mod budgets;
mod chaos;
mod check;
mod context;
mod database;
mod diff;
mod document;
mod expand;
mod fault;
mod include;
mod keys;
mod ledger;
mod limits;
mod logging;
mod models;
mod parse;
mod prices;
mod providers;
mod read;
mod reference;
mod reports;
mod restart;
mod routing;
mod schema;
mod secret;
mod server;
mod sharing;
mod text;
mod tree;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

pub use alerts::{Alert, AlertRetry, Email, Smtp, SmtpTls, Webhook, WebhookUrl, webhook_key};
pub use auth::Auth;
pub use brake::Brake;
pub use budgets::{Budget, BudgetPolicy, KeyBudget, Policy};
pub use chaos::{Chaos, ChaosFault};
pub use database::Database;
pub use diff::{Change, diff, diff_documents, same_provider};
pub use document::Document;
pub use fault::Fault;
pub use keys::Key;
pub use ledger::{Durability, Ledger};
pub use limits::{Limit, ProviderLimits};
pub use logging::{LogFormat, LogLevel, Logging};
pub use models::{HashBy, Models, Prefer, Retries, Route, Strategy, Target};
pub use parse::Format;
pub use prices::{Components, OffPeak, PRICE_COMPONENTS, PRICE_TIERS, PriceHistory, PriceSheet, Prices, TierPrices};
pub use providers::{AuthOverride, Check, Faults, Health, Http2, Pool, Provider, Providers, Queue, Timeouts};
pub use reference::reference;
pub use reports::{Dimension, Every, Receipts, Report, TimeOfDay};
pub use routing::{Routing, Unanswered};
pub use schema::schema;
pub use secret::{DatabaseUrl, MASK, Secret};
pub use server::{Network, Server, Tls};
pub use sharing::{LimitSharing, OnFailure, Redis};

use context::Context;
use expand::Env;
use read::{Field, Section};
use tree::{At, Node, Value};

/// The data folder when `WEIR_DATA_DIR` does not say.
const DATA_DIR: &str = "weir-data";
/// The file that is read, if it is there, when nothing names one.
const DEFAULT_FILE: &str = "weir.yaml";

/// A commented file with every key, `config/example.yaml`.
pub const EXAMPLE: &str = include_str!("../config/example.yaml");

/// A configuration in force. Its serialised form is fit to be shown: secrets are `***`.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Weir configuration")]
pub struct Config {
    /// Where the gateway listens and what it lets in.
    pub server: Server,
    /// What is logged, and how.
    pub logging: Logging,
    /// Where the gateway keeps keys and usage.
    pub database: Database,
    /// Who may call the gateway.
    pub auth: Auth,
    /// The upstream accounts that requests go to, by name. `provider/model` names a model of one
    /// without further ado.
    #[schemars(with = "std::collections::BTreeMap<String, Option<Provider>>")]
    pub providers: Providers,
    /// Public model names: each is `provider/model`, or a route.
    #[schemars(with = "std::collections::BTreeMap<String, schema::RouteOrShorthand>")]
    pub models: Models,
    /// Bounds on what is done so that requests get there.
    pub routing: Routing,
    /// Virtual keys that the file declares, beside those in the database.
    pub keys: Vec<Key>,
    /// Limits beside those of single keys and providers: for users, teams, models, ...
    pub limits: Vec<Limit>,
    /// With whom all limits are shared. The default is `database` where that is PostgreSQL, else `none`.
    pub limit_sharing: Option<LimitSharing>,
    /// Where shared limits are kept, for `limit_sharing: redis`.
    pub redis: Option<Redis>,
    /// Budgets that the file declares, beside those in the database.
    pub budgets: Vec<Budget>,
    /// What becomes of a request that cannot be held to its budgets.
    pub budget_policy: BudgetPolicy,
    /// What stops an agent that runs away: bounds of one session.
    pub brake: Brake,
    /// Calls that go wrong on purpose, whoever makes them: for staging, never for production.
    pub chaos: Chaos,
    /// Prices over the catalogue's: by `provider/model`, then by component, US dollars per million
    /// tokens (`char_input`: characters) as decimal text; `per_...` is for one of what it names.
    /// Beside the components there are steps for long prompts, tiers, cheaper hours and a begin; lists
    /// that follow one another are a list.
    #[schemars(with = "std::collections::BTreeMap<String, prices::PriceHistory>")]
    pub prices: Prices,
    /// How usage is kept until it is in the database.
    pub ledger: Ledger,
    /// Who is told of events such as a budget's end, by webhook or e-mail.
    pub alerts: Vec<Alert>,
    /// Reports of what usage came to, made on a schedule.
    pub reports: Vec<Report>,
    /// How receipts are signed.
    pub receipts: Receipts,
    /// Where data is kept; from the environment, not the file.
    #[serde(skip)]
    pub data_dir: PathBuf,
    /// Every file that was read, secret files included: what to watch for changes.
    #[serde(skip)]
    pub files: Vec<PathBuf>,
    /// Those of them that hold nothing at all, as a file does while somebody begins to write it.
    #[serde(skip)]
    pub empty_files: Vec<PathBuf>,
    /// What it was read from: one document, whatever the number of its files.
    #[serde(skip)]
    pub document: Document,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// A file, which must be there.
    File(PathBuf),
    /// A text that stands for a file: its name, from which relative paths start, and its format.
    Text {
        /// The name to use in faults.
        name: PathBuf,
        /// The content.
        text: String,
        /// How it is written.
        format: Format,
    },
    /// No file: the defaults and the environment.
    Defaults,
}

impl ConfigSource {
    /// The file of `--config`, else of `WEIR_CONFIG`, else `./weir.yaml` if it exists, else none.
    #[must_use]
    pub fn find(flag: Option<PathBuf>, env: &dyn Fn(&str) -> Option<String>) -> Self {
        Self::find_in(Path::new(""), flag, env)
    }

    fn find_in(folder: &Path, flag: Option<PathBuf>, env: Env<'_>) -> Self {
        let named = flag.or_else(|| env("WEIR_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
        let usual = || Some(folder.join(DEFAULT_FILE)).filter(|path| path.exists());
        named.or_else(usual).map_or(Self::Defaults, Self::File)
    }
}

/// What the rest of the gateway knows, to check names against. An empty list checks nothing, but
/// for `providers`: without a catalogue only `openai-compatible` and `demo` are kinds.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Ids of the catalogue's providers.
    pub providers: &'a [&'a str],
    /// Names of operations, as in `catalog/providers/*.toml`.
    pub operations: &'a [&'a str],
    /// Names of quirks.
    pub quirks: &'a [&'a str],
    /// Names of usage rules.
    pub usage: &'a [&'a str],
    /// Names of authentication styles.
    pub auth_styles: &'a [&'a str],
    /// Names of price components.
    pub price_components: &'a [&'a str],
}

impl Default for Known<'_> {
    fn default() -> Self {
        Self {
            providers: &[],
            operations: &[],
            quirks: &[],
            usage: &[],
            auth_styles: &[],
            price_components: PRICE_COMPONENTS,
        }
    }
}

impl Config {
    /// Reads, merges, expands and checks a configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the files.
    pub fn load(
        source: &ConfigSource,
        env: &dyn Fn(&str) -> Option<String>,
        known: &Known<'_>,
    ) -> Result<Self, Vec<Fault>> {
        Self::load_over(source, env, known, &[])
    }

    /// The same of a text in which `***` stands for a secret that is known: the one at the same place of the first
    /// of these documents that has one.
    ///
    /// # Errors
    /// As [`Config::load`]; a `***` that stands for nothing is a fault.
    pub fn load_over(
        source: &ConfigSource,
        env: &dyn Fn(&str) -> Option<String>,
        known: &Known<'_>,
        documents: &[&Document],
    ) -> Result<Self, Vec<Fault>> {
        let cx = Context::new(env, known);
        let tree = match source {
            ConfigSource::File(path) => include::load_file(&cx, path),
            ConfigSource::Text { name, text, format } => include::load_text(&cx, name, text, *format),
            ConfigSource::Defaults => None,
        };
        let empty = Node { at: At { file: 0, line: 1, column: 1 }, value: Value::Null };
        let mut tree = tree.unwrap_or(empty);
        let filled = documents.iter().flat_map(|document| document.fill(&mut tree)).collect();
        let whole = document::json(&tree);
        let mut config = Field::new(&cx, String::new(), tree).section(Self::read).unwrap_or_default();
        check::check(&cx, &config);
        config.files = cx.files();
        config.empty_files = cx.empty_files();
        config.document = Document::new(whole, &cx.secrets(), &filled);
        if cx.has_faults() { Err(cx.into_faults()) } else { Ok(config) }
    }

    fn read(section: &mut Section<'_>) -> Self {
        let env = section.cx.env;
        let data_dir = data_dir(env);
        Self {
            server: section.section("server", Server::read).unwrap_or_default(),
            logging: section.section("logging", Logging::read).unwrap_or_default(),
            database: section
                .section("database", |section| Database::read(section, &data_dir))
                .unwrap_or_else(|| Database::in_folder(&data_dir)),
            auth: section.section("auth", Auth::read).unwrap_or_else(|| Auth::from_env(env)),
            // Before what names them.
            providers: providers::read(section),
            models: models::read(section),
            routing: section.section("routing", Routing::read).unwrap_or_default(),
            keys: keys::read(section),
            limits: limits::read(section),
            limit_sharing: section.take("limit_sharing", Field::choice),
            redis: section.section("redis", Redis::read).flatten(),
            budgets: budgets::read(section),
            budget_policy: section.section("budget_policy", BudgetPolicy::read).unwrap_or_default(),
            brake: section.section("brake", Brake::read).unwrap_or_default(),
            chaos: section.section("chaos", Chaos::read).unwrap_or_default(),
            prices: prices::read(section),
            ledger: section
                .section("ledger", |section| Ledger::read(section, &data_dir))
                .unwrap_or_else(|| Ledger::in_folder(&data_dir)),
            alerts: alerts::read(section),
            reports: reports::read(section),
            receipts: section.section("receipts", Receipts::read).unwrap_or_else(|| Receipts::from_env(env)),
            data_dir,
            files: Vec::new(),
            empty_files: Vec::new(),
            document: Document::default(),
        }
    }
}

/// The configuration of a gateway without a file: the defaults, with the data folder and the admin
/// key that the environment names.
#[must_use]
pub fn default_config(env: &dyn Fn(&str) -> Option<String>) -> Config {
    let data_dir = data_dir(env);
    Config {
        database: Database::in_folder(&data_dir),
        ledger: Ledger::in_folder(&data_dir),
        auth: Auth::from_env(env),
        receipts: Receipts::from_env(env),
        data_dir,
        ..Config::default()
    }
}

fn data_dir(env: Env<'_>) -> PathBuf {
    env("WEIR_DATA_DIR").filter(|path| !path.is_empty()).unwrap_or_else(|| DATA_DIR.into()).into()
}

#[cfg(test)]
mod tests;
