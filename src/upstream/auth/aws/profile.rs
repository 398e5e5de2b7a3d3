//! Profiles in AWS's own files, `~/.aws/credentials` and `~/.aws/config`.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::super::cache::{Fetched, Source};
use super::super::{Env, SignError, files, var};
use super::web_identity::WebIdentity;
use super::{Keys, Parts};
use crate::clock::{Clock, UnixMs};

/// How often a profile's keys are read again: tools replace temporary ones.
const REREAD_MS: UnixMs = 60 * 1000;

/// Where the files are. None without a home.
#[derive(Clone, Debug)]
pub(super) struct Files {
    credentials: Option<PathBuf>,
    config: Option<PathBuf>,
}

/// What the files say of one profile.
#[derive(Default)]
pub(super) struct Profile {
    credentials: BTreeMap<String, String>,
    config: BTreeMap<String, String>,
}

/// Where a profile has its credentials.
enum Kind {
    Keys(Keys),
    WebIdentity { role: String, file: String, session: Option<String> },
    Refused(&'static str),
    Nothing,
}

impl Files {
    /// `AWS_SHARED_CREDENTIALS_FILE` and `AWS_CONFIG_FILE`, or the usual ones.
    pub(super) fn locate(env: Env<'_>) -> Self {
        let at = |name: &str, usual: &str| {
            let own = var(env, name).map(|path| files::expand(&path, env));
            own.or_else(|| files::home(env).map(|home| home.join(".aws").join(usual)))
        };
        Self { credentials: at("AWS_SHARED_CREDENTIALS_FILE", "credentials"), config: at("AWS_CONFIG_FILE", "config") }
    }

    /// Reads a profile at start; none when no file has it.
    ///
    /// # Errors
    /// When a file is there, but cannot be read.
    pub(super) fn profile_now(&self, name: &str) -> Result<Option<Profile>, String> {
        let text = |path: &Option<PathBuf>| path.as_ref().map_or(Ok(None), |p| present(p, files::read_now(p)));
        Ok(profile(text(&self.credentials)?.as_deref(), text(&self.config)?.as_deref(), name))
    }

    async fn profile(&self, name: &str) -> Result<Option<Profile>, String> {
        let mut texts = [None, None];
        for (text, path) in texts.iter_mut().zip([&self.credentials, &self.config]) {
            if let Some(path) = path {
                *text = present(path, files::read(path).await)?;
            }
        }
        Ok(profile(texts[0].as_deref(), texts[1].as_deref(), name))
    }
}

impl std::fmt::Display for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths = [&self.credentials, &self.config].into_iter().flatten().map(|path| path.display().to_string());
        f.write_str(&paths.collect::<Vec<_>>().join(", "))
    }
}

/// A file that is not there says nothing.
fn present(path: &std::path::Path, read: io::Result<String>) -> Result<Option<String>, String> {
    match read {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

/// In the credentials file a section's name is the profile's; in the configuration file it has
/// `profile` before it, except `default`.
fn profile(credentials: Option<&str>, config: Option<&str>, name: &str) -> Option<Profile> {
    let is_ours = |title: &str| match title.split_once(char::is_whitespace) {
        Some(("profile", rest)) => rest.trim() == name,
        Some(_) => false,
        None => title == "default" && name == "default",
    };
    let credentials = credentials.and_then(|text| section(text, |title| title == name));
    let config = config.and_then(|text| section(text, is_ours));
    if credentials.is_none() && config.is_none() {
        return None;
    }
    Some(Profile { credentials: credentials.unwrap_or_default(), config: config.unwrap_or_default() })
}

/// The settings of the sections whose title is wanted. Nested settings (indented lines) are none.
fn section(text: &str, wanted: impl Fn(&str) -> bool) -> Option<BTreeMap<String, String>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let mut inside = false;
    for line in text.lines() {
        if let Some(title) = line.trim_start().strip_prefix('[') {
            inside = wanted(title.split(']').next().unwrap_or("").trim());
            if inside {
                found.get_or_insert_default();
            }
        } else if inside
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some((key, value)) = line.split_once('=')
            && let Some(found) = &mut found
        {
            found.insert(key.trim().to_ascii_lowercase(), without_comment(value).to_owned());
        }
    }
    found
}

/// A comment in a line begins with a blank before its sign.
fn without_comment(value: &str) -> &str {
    let end = [" #", " ;", "\t#", "\t;"].iter().filter_map(|sign| value.find(sign)).min();
    value[..end.unwrap_or(value.len())].trim()
}

impl Profile {
    /// The profile's region.
    pub(super) fn region(&self) -> Option<String> {
        self.get("region").map(str::to_owned)
    }

    fn get(&self, key: &str) -> Option<&str> {
        let value = self.credentials.get(key).or_else(|| self.config.get(key));
        value.map(String::as_str).filter(|value| !value.is_empty())
    }

    fn kind(&self) -> Result<Kind, String> {
        if self.get("source_profile").is_some() || self.get("credential_source").is_some() {
            return Ok(Kind::Refused("assumes a role by another profile (source_profile)"));
        }
        if let (Some(role), Some(file)) = (self.get("role_arn"), self.get("web_identity_token_file")) {
            let session = self.get("role_session_name").map(str::to_owned);
            return Ok(Kind::WebIdentity { role: role.to_owned(), file: file.to_owned(), session });
        }
        for part in [&self.credentials, &self.config] {
            if let Some(keys) = keys(part)? {
                return Ok(Kind::Keys(keys));
            }
        }
        let has = |names: &[&str]| names.iter().any(|name| self.get(name).is_some());
        Ok(match () {
            () if has(&["sso_session", "sso_start_url", "sso_account_id"]) => Kind::Refused("logs in by SSO"),
            () if has(&["login_session"]) => Kind::Refused("logs in by the console"),
            () if has(&["credential_process"]) => Kind::Refused("runs a program (credential_process)"),
            () => Kind::Nothing,
        })
    }
}

/// A file's key: its parts belong together and are never mixed with those of the other file.
fn keys(part: &BTreeMap<String, String>) -> Result<Option<Keys>, String> {
    let get = |name: &str| part.get(name).map(String::as_str).filter(|value| !value.is_empty());
    match (get("aws_access_key_id"), get("aws_secret_access_key")) {
        (None, None) => Ok(None),
        (Some(access), Some(secret)) => Ok(Some(Keys::new(access, secret, get("aws_session_token")))),
        _ => Err("has only one of aws_access_key_id and aws_secret_access_key".to_owned()),
    }
}

/// The profile's source; none when nobody asked for it and it has no credentials.
///
/// # Errors
/// When a profile that was asked for has none, or has them where Weir does not go.
pub(super) fn source(
    (name, asked): (String, bool),
    env: Env<'_>,
    parts: &Parts,
) -> Result<Option<Box<dyn Source<Keys>>>, String> {
    let files = Files::locate(env);
    let Some(profile) = files.profile_now(&name)? else {
        let missing = format!("the AWS profile '{name}' is in none of these files: {files}");
        return if asked { Err(missing) } else { Ok(None) };
    };
    match profile.kind().map_err(|why| format!("the AWS profile '{name}' {why}"))? {
        Kind::Keys(_) => Ok(Some(Box::new(ProfileKeys { name, files, clock: parts.clock.clone() }))),
        Kind::WebIdentity { role, file, session } => {
            Ok(Some(Box::new(WebIdentity::new(role, &file, session, env, parts)?)))
        }
        Kind::Refused(how) => Err(refused(&name, how)),
        Kind::Nothing if asked => Err(format!("the AWS profile '{name}' has no aws_access_key_id in {files}")),
        Kind::Nothing => Ok(None),
    }
}

fn refused(name: &str, how: &str) -> String {
    format!(
        "the AWS profile '{name}' {how}, which is not supported: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY \
         (aws configure export-credentials --profile {name} --format env prints them), or use another profile"
    )
}

/// The keys in a profile.
#[derive(Debug)]
struct ProfileKeys {
    name: String,
    files: Files,
    clock: Clock,
}

impl ProfileKeys {
    async fn read(&self) -> Result<Fetched<Keys>, String> {
        let profile = self.files.profile(&self.name).await?.ok_or("is gone")?;
        match profile.kind()? {
            Kind::Keys(keys) => Ok(Fetched::until_changed(keys, self.clock.unix_ms().saturating_add(REREAD_MS))),
            _ => Err("has no keys any more".to_owned()),
        }
    }
}

impl Source<Keys> for ProfileKeys {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<Keys>, SignError>> {
        let told = |why| SignError::new(format!("the AWS profile '{}' of {}: {why}", self.name, self.files));
        async move { self.read().await.map_err(told) }.boxed()
    }
}
