//! `alerts`: who is told of events, and how.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};

use super::read::{Choice, Field, Section};
use super::secret::{MASK, Secret};
use super::text::{DurationText, serialize_duration};
use crate::events::{KINDS, USAGE_SETTLED};

/// Most receivers: each has its own task and its own place in the outbox.
const MAX_RECEIVERS: usize = 32;

/// Somebody who is told of events: by a webhook or by e-mail.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// Its name, unique; under it the gateway remembers what was delivered.
    pub name: String,
    /// Told by HTTP. Either this or `email`.
    #[serde(default)]
    pub webhook: Option<Webhook>,
    /// Told by e-mail. Either this or `webhook`.
    #[serde(default)]
    pub email: Option<Email>,
    /// The events it is told of, as globs (`budget.*`). Without it every event but `usage.settled`.
    #[serde(default)]
    pub events: Vec<String>,
    /// What happens when it does not take an event.
    #[serde(default)]
    pub retry: AlertRetry,
}

/// A webhook, signed as the Standard Webhooks specification has it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where events are posted to: `https://`, or `http://` to this machine.
    #[schemars(with = "Secret")]
    pub url: WebhookUrl,
    /// What the signature is made with: `whsec_` and 24 to 64 bytes in base64.
    pub secret: Secret,
    /// Headers to send along.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Secret>")]
    pub headers: BTreeMap<String, Secret>,
    /// Allows `http://` to other machines: what is told can be read and changed on its way.
    #[serde(default)]
    pub allow_http: bool,
}

/// E-mail by SMTP.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// The mail server.
    pub smtp: Smtp,
    /// The sender's address.
    pub from: String,
    /// The recipients' addresses, at most 20.
    pub to: Vec<String>,
}

/// A mail server.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// Its name, which its certificate must have.
    pub host: String,
    /// Its port. Without it 587 for `starttls`, 465 for `implicit`, 25 for `none`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u64>,
    /// The account to log in with, if it wants one.
    #[serde(default)]
    pub username: Option<String>,
    /// The account's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// How the connection is kept private.
    #[serde(default)]
    pub tls: SmtpTls,
    /// Allows `tls: none` to other machines: mail and password can be read on their way.
    #[serde(default)]
    pub allow_plaintext: bool,
}

/// How a connection to a mail server is kept private.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// It begins in clear text and changes over, or nothing is sent.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// Not at all; to this machine only, unless `allow_plaintext` is set.
    None,
}

impl Choice for SmtpTls {
    const ALL: &'static [(&'static str, Self)] =
        &[("starttls", Self::Starttls), ("implicit", Self::Implicit), ("none", Self::None)];
}

/// How often and how far apart a delivery is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertRetry {
    /// Most tries; then the event is a dead letter.
    #[schemars(range(min = 1, max = 100))]
    pub attempts: u64,
    /// Before the second try; doubled for each one after. Each wait is a random part of that.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub backoff: Duration,
    /// Longest wait.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub max_backoff: Duration,
}

impl Default for AlertRetry {
    fn default() -> Self {
        Self { attempts: 10, backoff: Duration::from_secs(1), max_backoff: Duration::from_secs(3600) }
    }
}

/// A webhook's URL. Paths and queries of webhooks hold secrets, so only its host is shown.
#[derive(Clone)]
pub struct WebhookUrl(SecretString);

impl WebhookUrl {
    /// The URL without what may be secret.
    #[must_use]
    pub fn redacted(&self) -> String {
        let uri: Uri = self.expose_secret().parse().unwrap_or_default();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        format!("{}://{authority}/{MASK}", uri.scheme_str().unwrap_or_default())
    }
}

impl ExposeSecret<str> for WebhookUrl {
    fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Serialize for WebhookUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

impl Alert {
    /// The kinds of events it is told of.
    #[must_use]
    pub fn kinds(&self) -> Vec<&'static str> {
        let all = KINDS.into_iter();
        if self.events.is_empty() {
            return all.filter(|kind| *kind != USAGE_SETTLED).collect();
        }
        all.filter(|kind| self.events.iter().any(|glob| matches(glob, kind))).collect()
    }

    /// Its secrets, each with its key.
    pub(super) fn secrets(&self) -> Vec<(String, &str)> {
        let mut found = Vec::new();
        if let Some(hook) = &self.webhook {
            found.push(("webhook.url".to_owned(), hook.url.expose_secret()));
            found.push(("webhook.secret".to_owned(), hook.secret.expose_secret()));
            let headers = hook.headers.iter();
            found.extend(
                headers.map(|(name, value)| (super::context::join("webhook.headers", name), value.expose_secret())),
            );
        }
        let password = self.email.as_ref().and_then(|email| email.smtp.password.as_ref());
        found.extend(password.map(|password| ("email.smtp.password".to_owned(), password.expose_secret())));
        found
    }
}

fn matches(glob: &str, kind: &str) -> bool {
    globset::Glob::new(glob).is_ok_and(|glob| glob.compile_matcher().is_match(kind))
}

pub(super) fn read(section: &mut Section<'_>) -> Vec<Alert> {
    let mut names = HashSet::new();
    let mut alert = |field: Field<'_>| {
        field.section(|section| {
            let alert = Alert::read(section)?;
            if !names.insert(alert.name.clone()) {
                let path = format!("{}.name", section.path);
                section.cx.fault_of(&path, format!("another receiver is called `{}` already", alert.name), None);
            }
            if names.len() == MAX_RECEIVERS + 1 {
                let path = section.path.clone();
                section.cx.fault_of(&path, format!("more than {MAX_RECEIVERS} receivers"), None);
            }
            Some(alert)
        })?
    };
    section.take("alerts", |field| field.list(&mut alert)).unwrap_or_default()
}

impl Alert {
    /// `None` when it lacks what makes it a receiver, which has been told.
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let name = section.require("name", |field| field.parse(name));
        let webhook = section.section("webhook", Webhook::read);
        let email = section.section("email", Email::read);
        let events = section.take("events", |field| field.list(|one| one.parse(event))).unwrap_or_default();
        let retry = section.section("retry", AlertRetry::read).unwrap_or_default();
        if webhook.is_some() == email.is_some() {
            let path = section.path.clone();
            section.cx.fault_of(&path, "a receiver has either `webhook` or `email`", None);
        }
        let alert = Self { name: name?, webhook: webhook.flatten(), email: email.flatten(), events, retry };
        if alert.email.is_some() && alert.kinds().contains(&USAGE_SETTLED) {
            let path = format!("{}.events", section.path);
            let problem = "`usage.settled` is one event a request and goes to webhooks only; name the others";
            section.cx.fault_of(&path, problem, None);
        }
        (alert.webhook.is_some() || alert.email.is_some()).then_some(alert)
    }
}

impl Webhook {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let url = section.require("url", |field| field.secret_where(check_url));
        let secret = section.require("secret", |field| field.secret_where(check_secret));
        let headers = section.take("headers", |field| field.map(header)).unwrap_or_default();
        let allow_http = section.take("allow_http", Field::boolean).unwrap_or(false);
        let (url, secret) = (url?, secret?);
        let uri: Uri = url.expose_secret().parse().ok()?;
        if uri.scheme_str() == Some("http") && !allow_http && !uri.host().is_some_and(is_loopback) {
            let path = format!("{}.url", section.path);
            let problem =
                "`http://` to another machine can be read on its way: use `https://`, or set `allow_http: true`";
            section.cx.fault_of(&path, problem, None);
        }
        let url = WebhookUrl(url.expose_secret().into());
        Some(Self { url, secret, headers: headers.into_iter().collect(), allow_http })
    }
}

impl Email {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let smtp = section.require("smtp", |field| field.section(Smtp::read));
        let from = section.require("from", |field| field.parse(address));
        let to = section.require("to", |field| field.list(|one| one.parse(address)));
        if to.as_ref().is_some_and(|to| to.is_empty() || to.len() > 20) {
            let path = format!("{}.to", section.path);
            section.cx.fault_of(&path, "a mail needs 1 to 20 recipients", None);
        }
        Some(Self { smtp: smtp??, from: from?, to: to? })
    }
}

impl Smtp {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let host = section.require("host", |field| field.parse(host));
        let smtp = Self {
            port: section.take("port", |field| field.integer(1..=65_535)),
            username: section.take("username", Field::text),
            password: section.take("password", Field::secret),
            tls: section.take("tls", Field::choice).unwrap_or_default(),
            allow_plaintext: section.take("allow_plaintext", Field::boolean).unwrap_or(false),
            host: host?,
        };
        let path = section.path.clone();
        // Set, though perhaps not understood, which has been told.
        let is_set = |key: &str| section.cx.is_set(&format!("{path}.{key}"));
        if is_set("username") != is_set("password") {
            section.cx.fault_of(&path, "`username` and `password` go together", None);
        }
        if smtp.tls == SmtpTls::None && !smtp.allow_plaintext && !is_loopback(&smtp.host) {
            let problem = "mail to another machine can be read on its way: use `starttls` or `implicit`, or set \
                           `allow_plaintext: true`";
            section.cx.fault_of(&format!("{path}.tls"), problem, None);
        }
        Some(smtp)
    }
}

impl AlertRetry {
    fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            attempts: section.take("attempts", |field| field.integer(1..=100)).unwrap_or(default.attempts),
            backoff: section.take("backoff", Field::duration).unwrap_or(default.backoff),
            max_backoff: section.take("max_backoff", Field::duration).unwrap_or(default.max_backoff),
        }
    }
}

fn name(text: &str) -> Result<String, &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    // It is a metric label and a part of paths of the admin API, which has words of its own there.
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err("a receiver's name must be 1 to 64 ASCII letters, digits, `-`, `_` or `.`");
    }
    Ok(text.to_owned())
}

fn event(text: &str) -> Result<String, String> {
    if KINDS.iter().any(|kind| matches(text, kind)) {
        return Ok(text.to_owned());
    }
    Err(format!("matches no event; there are {}", KINDS.join(", ")))
}

fn check_url(text: &str) -> Result<(), &'static str> {
    let uri: Uri = text.parse().map_err(|_| "not a URL; expected such as `https://host/path`")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err("a webhook's URL must be such as `https://host/path`");
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("a webhook's URL must not hold credentials; put them in `headers`");
    }
    Ok(())
}

fn check_secret(text: &str) -> Result<(), &'static str> {
    webhook_key(text).map(drop).ok_or(
        "a webhook's secret is `whsec_` and 24 to 64 bytes in base64: put `whsec_` before what `openssl rand -base64 32` says",
    )
}

/// The bytes that a webhook's secret stands for (Standard Webhooks, "Signature scheme").
#[must_use]
pub fn webhook_key(secret: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let text = secret.trim().strip_prefix("whsec_")?;
    let key = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}

/// Headers that the gateway itself writes.
const RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

fn header(name: &str, mut field: Field<'_>) -> Option<Secret> {
    match name.parse::<HeaderName>() {
        Ok(name) if RESERVED.contains(&name.as_str()) => field.fault("the gateway writes this header itself"),
        Ok(_) => {}
        Err(_) => field.fault("not the name of a header"),
    }
    field.secret_where(|value| match HeaderValue::from_str(value) {
        Ok(_) => Ok(()),
        Err(_) => Err("a header's value must be printable and on one line"),
    })
}

/// An address as SMTP and a header can have it, without a name or quotes.
fn address(text: &str) -> Result<String, &'static str> {
    let plain =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && !"<>()[]\\,;:\"@".contains(c));
    let fits = text.len() <= 254 && text.split_once('@').is_some_and(|(user, domain)| plain(user) && plain(domain));
    if fits { Ok(text.to_owned()) } else { Err("expected an address such as `ops@example.com`") }
}

fn host(text: &str) -> Result<String, &'static str> {
    let fits = !text.is_empty()
        && text.len() <= 253
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':'));
    if fits { Ok(text.to_owned()) } else { Err("expected the name or address of a machine") }
}

/// Whether a host is this machine, by its name or address.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_as_the_specification_has_it() {
        assert_eq!(webhook_key("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz").map(|key| key.len()), Some(24));
        for bad in [
            "",
            "whsec_",
            "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
            "whsec_MDEy",
            "whsec_é",
            "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI",
        ] {
            assert_eq!(webhook_key(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_cannot_carry_more_than_an_address() {
        assert!(address("ops+weir@example.com").is_ok());
        for bad in ["", "ops", "a@b@c", "a@", "@b", "a b@c", "a@b\r\nRCPT TO:<x@y>", "<a@b>", "é@b"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn this_machine_is_known_by_name_and_address() {
        for (host, here) in [
            ("localhost", true),
            ("127.8.0.1", true),
            ("[::1]", true),
            ("10.0.0.1", false),
            ("localhost.example.com", false),
        ] {
            assert_eq!(is_loopback(host), here, "{host}");
        }
    }

    #[test]
    fn a_url_shows_its_host_alone() {
        let url = WebhookUrl("https://hooks.example.com:8443/services/T0/s3cret?token=x".to_owned().into());
        assert_eq!(format!("{url:?}"), "https://hooks.example.com:8443/***");
    }
}
