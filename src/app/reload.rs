//! Reloads: from a configuration that was read to the one in force, without a request or a stream that is dropped.
//!
//! One job does them all, one after the other, whoever asks: a signal, a changed file, the admin plane, another
//! replica by way of the database. A configuration is read whole, everything is made of it that can fail to be
//! made, and only then it is swapped in; a wrong one changes nothing.

mod force;
mod next;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Env;
use crate::cli::known;
use crate::clock::MonoNs;
use crate::config::{Change, Config, ConfigSource, Document, Fault, Format};
use crate::lifecycle::Lifecycle;
use crate::snapshot::ProviderDef;
use crate::state::{Ask, InForce, NotReloaded, Origin, Refused, Reloaded, Shared, Wanted};
use crate::store::StoreError;
use crate::store::configs::{self, NewVersion};

/// How often the database is asked whether another version is the truth.
const INTERVAL: Duration = Duration::from_millis(250);
/// After how long it is tried again to write down what is in force.
const AGAIN: MonoNs = 5_000_000_000;
/// Most faults or changes that a line of the log holds.
const LOGGED: usize = 20;

/// Where the configuration is read from, at the start and again.
#[derive(Clone)]
pub(super) struct Way {
    /// The file.
    pub(super) source: ConfigSource,
    /// The command line's address, which goes before the file's.
    pub(super) listen: Option<SocketAddr>,
    /// The environment.
    pub(super) env: Env,
}

/// The job that reloads.
pub(super) struct Reloader {
    gateway: Shared,
    lifecycle: Lifecycle,
    way: Way,
    /// What the file said when it was read last and was right.
    file: Document,
    asked: mpsc::Receiver<Ask>,
    /// How far the outbox's numbers are, for those who tell receivers of alerts.
    outbox: watch::Receiver<i64>,
    /// Ends those who tell the receivers in force.
    tellers: CancellationToken,
    /// Providers that are no more, while requests run that were planned with them, and their senders.
    retired: Vec<(Weak<ProviderDef>, Arc<str>)>,
    reloads: u64,
    /// The last change of the database's that was taken note of.
    seen: i64,
    /// What is in force is not written down yet: not before then.
    unwritten: Option<MonoNs>,
    failing: bool,
}

/// A configuration on its way into force.
struct Candidate {
    source: ConfigSource,
    /// What stands for the source in faults.
    name: Option<&'static str>,
    keeps: Keeps,
}

/// What becomes of a configuration in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    /// One replica's file, noted.
    File,
    /// The same, and all replicas go back to their files.
    Release,
    /// All replicas follow it: `api` or `rollback`.
    Adopt(&'static str),
    /// It is there already, under that number.
    Follow(i64),
}

impl Keeps {
    fn origin(self) -> Origin {
        match self {
            Self::File | Self::Release => Origin::File,
            Self::Adopt(_) | Self::Follow(_) => Origin::Database,
        }
    }
}

impl Reloader {
    /// A job that has not looked at the database. Starts telling the receivers of alerts.
    pub(super) fn new(
        gateway: &Shared,
        lifecycle: &Lifecycle,
        way: Way,
        asked: mpsc::Receiver<Ask>,
        outbox: watch::Receiver<i64>,
    ) -> Self {
        let mut reloader = Self {
            gateway: Arc::clone(gateway),
            lifecycle: lifecycle.clone(),
            way,
            file: gateway.config.load().document.clone(),
            asked,
            outbox,
            tellers: CancellationToken::new(),
            retired: Vec::new(),
            reloads: 1,
            seen: -1,
            unwritten: Some(0),
            failing: false,
        };
        reloader.start_tellers();
        reloader
    }

    /// Runs until it is stopped.
    pub(super) async fn run(mut self) {
        let stop = self.lifecycle.jobs_stop.clone();
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => self.round().await,
                Some(ask) = self.asked.recv() => self.answer(ask).await,
            }
        }
    }

    /// Follows the database: the version that is the truth there, and what could not be written there before.
    pub(super) async fn round(&mut self) {
        self.drop_retired();
        if !self.gateway.readiness.database_was_up() {
            return;
        }
        match self.follow().await {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("configurations of the database are followed again");
                }
            }
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, "configurations of the database cannot be followed: {error}");
            }
            Err(_) => {}
        }
        let now = self.gateway.clock().mono_ns();
        if self.unwritten.is_some_and(|from| from <= now) {
            self.write_down("start", None).await;
        }
    }

    async fn follow(&mut self) -> Result<(), StoreError> {
        let head = configs::head(&self.gateway.db).await?;
        if head.rev == self.seen {
            return Ok(());
        }
        let in_force = self.gateway.configs.in_force();
        let there = in_force.origin == Origin::Database && in_force.version == Some(head.truth);
        let wanted = match (head.truth, in_force.origin) {
            (0, Origin::Database) => Some(Wanted::File),
            (0, Origin::File) => None,
            (truth, _) => (!there).then_some(Wanted::Version(truth)),
        };
        if let Some(wanted) = wanted {
            let ask = Ask { wanted, by: "database", note: None, dry_run: false, reply: None };
            if let Err(NotReloaded::Store(error)) = self.reload(&ask).await {
                return Err(error);
            }
        }
        self.seen = head.rev;
        Ok(())
    }

    async fn answer(&mut self, ask: Ask) {
        let outcome = self.reload(&ask).await;
        if let Some(reply) = ask.reply {
            // Who asked may have gone.
            let _ = reply.send(outcome);
        }
    }

    async fn reload(&mut self, ask: &Ask) -> Result<Reloaded, NotReloaded> {
        let outcome = self.try_reload(ask).await;
        if !ask.dry_run {
            self.tell(ask, &outcome);
        }
        outcome
    }

    async fn try_reload(&mut self, ask: &Ask) -> Result<Reloaded, NotReloaded> {
        let candidate = self.candidate(ask).await?;
        let keeps = candidate.keeps;
        let read_at = self.gateway.clock().unix_ms();
        let loaded = self.load(candidate).and_then(|loaded| self.settled(ask, loaded)).map_err(NotReloaded::Faults);
        if loaded.is_err() {
            self.gateway.configs.set_in_force(InForce { read_at, ..(*self.gateway.configs.in_force()).clone() });
        }
        let loaded = loaded?;
        let next = self.prepare(loaded, keeps.origin()).map_err(NotReloaded::Faults)?;
        let in_force = self.gateway.configs.in_force();
        let moves = keeps.origin() != in_force.origin
            || matches!(keeps, Keeps::Adopt(_))
            || matches!(keeps, Keeps::Follow(number) if in_force.version != Some(number));
        let same = next.changes.is_empty() && next.config.document.hash() == self.gateway.config.load().document.hash();
        let mut told = Reloaded {
            outcome: if ask.dry_run {
                "checked"
            } else if same && !moves {
                "unchanged"
            } else {
                "applied"
            },
            origin: keeps.origin(),
            version: in_force.version,
            changes: next.changes.clone(),
            needs_restart: next.needs_restart.clone(),
            left_to_file: next.left_to_file.clone(),
        };
        if ask.dry_run {
            return Ok(told);
        }
        let is_same = told.outcome == "unchanged";
        if !is_same {
            told.version = self.keep(keeps, ask, &next.config).await?;
        }
        if keeps.origin() == Origin::File {
            self.file = next.config.document.clone();
        }
        self.put_in_force(next, is_same).await;
        let now = self.gateway.clock().unix_ms();
        self.gateway.configs.set_in_force(InForce {
            origin: told.origin,
            version: told.version,
            read_at,
            since: if is_same { in_force.since } else { now },
            needs_restart: told.needs_restart.clone(),
            left_to_file: told.left_to_file.clone(),
            refused: None,
        });
        if !is_same && keeps == Keeps::File {
            told.version = self.write_down(ask.by, ask.note.clone()).await;
        }
        Ok(told)
    }

    /// What is to be read.
    async fn candidate(&self, ask: &Ask) -> Result<Candidate, NotReloaded> {
        let file = |keeps| Candidate { source: self.way.source.clone(), name: None, keeps };
        match &ask.wanted {
            Wanted::File if ask.by == "database" => Ok(file(Keeps::File)),
            Wanted::File => Ok(file(Keeps::Release)),
            Wanted::Again => match self.truth().await {
                0 => Ok(file(Keeps::File)),
                truth => self.kept(truth, Keeps::Follow(truth)).await,
            },
            Wanted::Text { text, format } => {
                let source = ConfigSource::Text { name: self.named("body"), text: text.clone(), format: *format };
                Ok(Candidate { source, name: Some("body"), keeps: Keeps::Adopt("api") })
            }
            Wanted::Version(number) if ask.by == "database" => self.kept(*number, Keeps::Follow(*number)).await,
            Wanted::Version(number) => self.kept(*number, Keeps::Adopt("rollback")).await,
        }
    }

    /// The version that all replicas follow, as the database says, or as it said last.
    async fn truth(&self) -> i64 {
        if self.gateway.readiness.database_was_up()
            && let Ok(head) = configs::head(&self.gateway.db).await
        {
            return head.truth;
        }
        let in_force = self.gateway.configs.in_force();
        if in_force.origin == Origin::Database { in_force.version.unwrap_or(0) } else { 0 }
    }

    async fn kept(&self, number: i64, keeps: Keeps) -> Result<Candidate, NotReloaded> {
        let version = configs::get(&self.gateway.db, number).await.map_err(NotReloaded::Store)?;
        let version = version.ok_or(NotReloaded::NoSuchVersion(number))?;
        let source = ConfigSource::Text { name: self.named("version"), text: version.document, format: Format::Yaml };
        Ok(Candidate { source, name: Some("version"), keeps })
    }

    /// A text's name: relative paths in it start where the file's do.
    fn named(&self, name: &str) -> PathBuf {
        let folder = match &self.way.source {
            ConfigSource::File(path) | ConfigSource::Text { name: path, .. } => path.parent(),
            ConfigSource::Defaults => None,
        };
        folder.unwrap_or(Path::new("")).join(name)
    }

    fn load(&self, candidate: Candidate) -> Result<Config, Vec<Fault>> {
        let Candidate { source, name, keeps } = candidate;
        let running = self.gateway.config.load_full();
        // A file has its secrets; what is kept without them takes those that are known here.
        let documents = [&running.document, &self.file];
        let documents = if name.is_some() { &documents[..] } else { &[] };
        let loaded = Config::load_over(&source, &*self.way.env, &known(), documents);
        let mut config = loaded.map_err(|faults| renamed(faults, &source, name))?;
        if let Keeps::Adopt("api") = keeps {
            let literal = config.document.literal_secrets();
            if !literal.is_empty() {
                return Err(literal.iter().map(|key| literal_secret(key)).collect());
            }
        }
        if let Some(listen) = self.way.listen {
            config.server.listen = listen;
        }
        Ok(config)
    }

    /// A file that lost all it held is most likely one that is being written: it is not taken for that it changed,
    /// but when somebody asks.
    fn settled(&self, ask: &Ask, loaded: Config) -> Result<Config, Vec<Fault>> {
        let running = self.gateway.config.load();
        let emptied = |file: &&PathBuf| running.files.contains(file) && !running.empty_files.contains(file);
        match loaded.empty_files.iter().find(emptied) {
            Some(file) if ask.by == "file_change" => {
                let problem = "the file is empty all of a sudden; if that is meant, send SIGHUP or ask for a reload";
                Err(vec![Fault {
                    file: file.display().to_string(),
                    line: 0,
                    column: 0,
                    key: String::new(),
                    problem: problem.to_owned(),
                    suggestion: None,
                }])
            }
            _ => Ok(loaded),
        }
    }

    /// Keeps what is to come into force in the database, where that must succeed; answers its number.
    async fn keep(&mut self, keeps: Keeps, ask: &Ask, config: &Config) -> Result<Option<i64>, NotReloaded> {
        let db = &self.gateway.db;
        let new = |source| self.version(source, ask.by, ask.note.clone(), config);
        let kept = match keeps {
            Keeps::File => return Ok(None),
            Keeps::Follow(number) => return Ok(Some(number)),
            Keeps::Release => configs::release(db, &new("file")).await,
            Keeps::Adopt(source) => configs::adopt(db, &new(source)).await,
        };
        kept.map(Some).map_err(NotReloaded::Store)
    }

    fn version(&self, source: &'static str, by: &'static str, note: Option<String>, config: &Config) -> NewVersion {
        NewVersion {
            source,
            made_by: by,
            note,
            hash: config.document.hash(),
            document: config.document.shown().to_string(),
            made_at: self.gateway.clock().unix_ms(),
        }
    }

    /// Notes a file's configuration in the database, which may be away: then it is tried again.
    async fn write_down(&mut self, by: &'static str, note: Option<String>) -> Option<i64> {
        let in_force = self.gateway.configs.in_force();
        let config = self.gateway.config.load_full();
        let mut kept = in_force.version;
        let written = async {
            force::declare(&self.gateway, &config).await?;
            if in_force.origin == Origin::File {
                let new = self.version("file", by, note, &config);
                kept = Some(configs::record(&self.gateway.db, &new).await?);
            }
            Ok::<_, StoreError>(())
        };
        match written.await {
            Ok(()) => self.unwritten = None,
            Err(error) => {
                tracing::warn!(%error, "the configuration in force could not be written down yet: {error}");
                self.unwritten = Some(self.gateway.clock().mono_ns().saturating_add(AGAIN));
            }
        }
        self.gateway.configs.set_in_force(InForce { version: kept, ..(*in_force).clone() });
        kept
    }

    fn tell(&self, ask: &Ask, outcome: &Result<Reloaded, NotReloaded>) {
        let metrics = &self.gateway.meter.metrics;
        let by = ask.by;
        let label = match outcome {
            Ok(told) => told.outcome,
            Err(_) => "refused",
        };
        metrics.config_reloads.with_label_values(&[label]).inc();
        match outcome {
            Ok(told) => {
                metrics.config_refused.set(0);
                metrics.config_needs_restart.set(i64::try_from(told.needs_restart.len()).unwrap_or(i64::MAX));
                tell_success(by, told);
            }
            Err(refused) => {
                metrics.config_refused.set(1);
                tell_refusal(by, refused);
                if let NotReloaded::Faults(faults) = refused {
                    let at = self.gateway.clock().unix_ms();
                    let refused = Some(Refused { at, by, faults: faults.clone() });
                    let in_force = self.gateway.configs.in_force();
                    self.gateway.configs.set_in_force(InForce { refused, ..(*in_force).clone() });
                }
            }
        }
    }

    /// Lets go of senders for which no request runs any more.
    fn drop_retired(&mut self) {
        let gone: Vec<Arc<str>> = self
            .retired
            .extract_if(.., |(provider, _)| provider.strong_count() == 0)
            .map(|(_, sender)| sender)
            .collect();
        if !gone.is_empty() {
            self.gateway.dispatcher.senders.rcu(|senders| {
                let mut senders = (**senders).clone();
                senders.retain(|name, _| !gone.contains(name));
                senders
            });
        }
    }
}

fn tell_success(by: &'static str, told: &Reloaded) {
    let named = |changes: &[Change]| {
        changes.iter().take(LOGGED).map(|change| change.path.as_str()).collect::<Vec<_>>().join(", ")
    };
    if told.outcome == "applied" {
        let (count, version) = (told.changes.len(), told.version);
        tracing::info!(by, version, count, "the configuration was reloaded; changed: {}", named(&told.changes));
    } else if by != "file_change" {
        tracing::info!(by, "the configuration was read again and is the same");
    }
    if !told.needs_restart.is_empty() {
        tracing::warn!(by, "these keys change with the next start only: {}", named(&told.needs_restart));
    }
    if !told.left_to_file.is_empty() {
        tracing::warn!(
            by,
            "these keys are each replica's own and stay as its file has them: {}",
            named(&told.left_to_file)
        );
    }
}

fn tell_refusal(by: &'static str, refused: &NotReloaded) {
    match refused {
        NotReloaded::Faults(faults) => {
            for fault in faults.iter().take(LOGGED) {
                tracing::error!(by, "the new configuration is refused, the old one goes on serving: {fault}");
            }
        }
        NotReloaded::NoSuchVersion(number) => tracing::error!(by, "there is no version {number} of the configuration"),
        NotReloaded::Store(error) => {
            tracing::error!(by, %error, "the configuration was not reloaded, for the database did not keep it: {error}");
        }
    }
}

/// Faults of a text that is no file, by what it is.
fn renamed(faults: Vec<Fault>, source: &ConfigSource, name: Option<&'static str>) -> Vec<Fault> {
    let (ConfigSource::Text { name: path, .. }, Some(name)) = (source, name) else { return faults };
    let path = path.display().to_string();
    let renamed = |fault: Fault| if fault.file == path { Fault { file: name.to_owned(), ..fault } } else { fault };
    faults.into_iter().map(renamed).collect()
}

fn literal_secret(key: &str) -> Fault {
    let problem = "a secret stands in the text, and the database keeps none; write `${VAR}` or `file:/path`, or `***` \
                   for the one in force";
    Fault {
        file: "body".to_owned(),
        line: 0,
        column: 0,
        key: key.to_owned(),
        problem: problem.to_owned(),
        suggestion: None,
    }
}
