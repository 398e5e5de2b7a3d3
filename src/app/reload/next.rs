//! Everything that is made of a configuration before it comes into force: whatever can be wrong with it is found
//! here.

use super::Reloader;
use crate::alerts::Receivers;
use crate::app::{Made, declared_key, senders};
use crate::config::{Change, Config, Fault, diff};
use crate::dispatch::Senders;
use crate::gate::keys::KeyData;
use crate::snapshot::Snapshot;
use crate::snapshot::carry::Before;
use crate::state::Origin;

/// A configuration that can come into force, with what was made of it.
pub(super) struct Next {
    pub(super) config: Config,
    pub(super) snapshot: Snapshot,
    /// Those of providers that are new or changed.
    pub(super) senders: Senders,
    /// None where they stay as they are.
    pub(super) receivers: Option<Receivers>,
    pub(super) keys: Vec<KeyData>,
    pub(super) changes: Vec<Change>,
    pub(super) needs_restart: Vec<Change>,
    /// What the database's document says of keys that each replica reads from its file at its start.
    pub(super) left_to_file: Vec<Change>,
}

impl Reloader {
    /// Makes everything of a configuration that it needs, and changes nothing.
    pub(super) fn prepare(&self, loaded: Config, origin: Origin) -> Result<Next, Vec<Fault>> {
        let running = self.gateway.config.load_full();
        let config = loaded.as_taken_over(&running);
        let mut waits = diff(&config, &loaded);
        let next = self.make(&running, config).map_err(|why| vec![fault(&loaded, &why)])?;
        Ok(match origin {
            Origin::File => Next { needs_restart: waits, ..next },
            Origin::Database => {
                waits.retain(|change| loaded.document.sets(&change.path));
                Next { left_to_file: waits, ..next }
            }
        })
    }

    fn make(&self, running: &Config, config: Config) -> Result<Next, String> {
        let changes = diff(running, &config);
        let listen = config.server.listen;
        if !config.auth.required && !listen.ip().is_loopback() {
            return Err(format!("auth.required: false is allowed on a loopback address only, not on {listen}"));
        }
        let current = self.gateway.snapshot.load_full();
        let before = Before { config: running, snapshot: &current, generation: self.reloads + 1 };
        let now = self.gateway.clock().mono_ns();
        let snapshot = Snapshot::build_after(&config, &*self.way.env, now, Some(before))?;
        let made =
            Made { config: &config, env: &self.way.env, clock: self.gateway.clock(), chance: &self.gateway.chance };
        let there = self.gateway.dispatcher.senders.load();
        let senders = senders(&snapshot, &made, &there).map_err(|error| told(&error))?;
        let alerts = changes.iter().any(|change| change.path.starts_with("alerts"));
        let roots = (self.way.env)("SSL_CERT_FILE");
        let receivers = alerts.then(|| Receivers::new(&config, roots.as_deref())).transpose()?;
        let keys = config.keys.iter().map(|key| declared_key(key).map_err(|why| format!("keys.{}: {why}", key.name)));
        let keys = keys.collect::<Result<_, _>>()?;
        Ok(Next {
            snapshot,
            senders,
            receivers,
            keys,
            changes,
            needs_restart: Vec::new(),
            left_to_file: Vec::new(),
            config,
        })
    }
}

fn told(error: &crate::app::StartError) -> String {
    match error {
        crate::app::StartError::Config(why) => why.clone(),
        other => other.to_string(),
    }
}

/// What does not fit, as a fault: its text begins with the key.
fn fault(config: &Config, why: &str) -> Fault {
    let (key, problem) = why.split_once(": ").unwrap_or(("", why));
    let file = config.files.first().map_or_else(String::new, |file| file.display().to_string());
    Fault { file, line: 0, column: 0, key: key.to_owned(), problem: problem.to_owned(), suggestion: None }
}
