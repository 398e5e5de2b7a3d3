//! Telling people: one event to one receiver, once. Whom, what and when again is the business of
//! `jobs/alerts.rs`.

mod backoff;
mod mail;
mod signature;
mod text;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

pub use backoff::wait;
pub use signature::sign;

use crate::clock::UnixMs;
use crate::config::{Alert, AlertRetry, Config};
use mail::Mailer;
use webhook::Hook;

/// Longest text of a failure, in characters.
const MAX_WHY: usize = 300;

/// An event on its way to a receiver.
#[derive(Clone, Copy, Debug)]
pub struct Note<'a> {
    /// Its id, the same at each try and for every receiver.
    pub id: &'a str,
    /// What happened.
    pub kind: &'a str,
    /// When.
    pub at: UnixMs,
    /// The particulars, a JSON object.
    pub body: &'a str,
}

/// Why a receiver was not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong, fit to be shown.
    pub why: String,
    /// How long it asked to be left alone.
    pub after: Option<Duration>,
    /// It will never take the event.
    pub for_good: bool,
}

impl Failure {
    fn new(why: impl AsRef<str>) -> Self {
        Self { why: told(why.as_ref()), after: None, for_good: false }
    }
}

/// Somebody who is told of events.
#[derive(Debug)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// What it is told of.
    pub kinds: Vec<&'static str>,
    /// When it is told again.
    pub retry: AlertRetry,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Hook(Box<Hook>),
    Mail(Box<Mailer>),
}

/// Everybody who is told of events, in the order of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Receivers(Vec<Arc<Receiver>>);

impl Receivers {
    /// Those of a configuration. `extra_roots` is a file of certificates to trust besides the usual ones
    /// (`SSL_CERT_FILE`). Nothing connects yet.
    ///
    /// # Errors
    /// What cannot be used, with the receiver's name.
    pub fn new(config: &Config, extra_roots: Option<&str>) -> Result<Self, String> {
        let made = config.alerts.iter().map(|alert| {
            Receiver::new(alert, extra_roots).map(Arc::new).map_err(|why| format!("alerts: {}: {why}", alert.name))
        });
        made.collect::<Result<_, _>>().map(Self)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Receiver>> {
        self.0.iter()
    }

    /// The one of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Receiver>> {
        self.0.iter().find(|receiver| receiver.name == name)
    }

    /// Whether anybody wants to be told of events of that kind. `usage.settled` is one event a request: who
    /// writes it asks first.
    #[must_use]
    pub fn want(&self, kind: &str) -> bool {
        self.0.iter().any(|receiver| receiver.kinds.contains(&kind))
    }
}

impl Receiver {
    fn new(alert: &Alert, extra_roots: Option<&str>) -> Result<Self, String> {
        let way = match (&alert.webhook, &alert.email) {
            (Some(hook), _) => Way::Hook(Box::new(Hook::new(hook, extra_roots)?)),
            (None, Some(email)) => Way::Mail(Box::new(Mailer::new(&alert.name, email, extra_roots)?)),
            (None, None) => return Err("it has neither `webhook` nor `email`".to_owned()),
        };
        Ok(Self { name: alert.name.clone(), kinds: alert.kinds(), retry: alert.retry.clone(), way })
    }

    /// `webhook` or `email`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.way {
            Way::Hook(_) => "webhook",
            Way::Mail(_) => "email",
        }
    }

    /// Where it is, without secrets.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.way {
            Way::Hook(hook) => hook.shown.clone(),
            Way::Mail(mailer) => mailer.shown(),
        }
    }

    /// Tells it, once, within [`webhook::TIMEOUT`] or [`mail::TIMEOUT`].
    ///
    /// # Errors
    /// Why it does not know now. It may all the same, when its answer was lost.
    pub async fn tell(&self, note: &Note<'_>, now: UnixMs) -> Result<(), Failure> {
        match &self.way {
            Way::Hook(hook) => hook.post(note, now).await,
            Way::Mail(mailer) => mailer.send(note, now).await,
        }
    }
}

/// Another's words, on one line and not many.
fn told(text: &str) -> String {
    let words: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WHY).collect();
    words.trim().to_owned()
}
