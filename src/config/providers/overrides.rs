//! What a provider's entry may say in place of the catalogue: the same keys, the same words.

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;
use weir_wire::rules::UsagePlace;

use super::{Provider, Secret};
use crate::config::read::{Field, Section};
use crate::config::tree::Value;

/// The operations whose path can be set. Others are passed through by the path that the client wrote.
const MOVABLE: &[&str] = &["chat", "completions", "embeddings"];

/// How an upstream wants its key, over the catalogue's.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuthOverride {
    /// The style, as the catalogue names it: `bearer`, `header`, `prefix`, `none`, `optional_bearer`,
    /// `sigv4` (AWS), `gcp` (Google).
    pub style: Option<String>,
    /// The header that carries the key.
    pub header: Option<String>,
    /// What stands before the key in that header.
    pub prefix: Option<String>,
    /// AWS: the profile in its own files. The default is what its SDKs would find.
    pub profile: Option<String>,
    /// AWS: the id of an access key.
    pub access_key_id: Option<Secret>,
    /// AWS: the secret of that key.
    pub secret_access_key: Option<Secret>,
    /// AWS: the token of that key, if it is a temporary one.
    pub session_token: Option<Secret>,
    /// Google: a file with a service account's key or a user's refresh token (a leading `~/` is the home).
    /// The default is what its SDKs would find.
    pub credentials_file: Option<String>,
    /// Google: the JSON of such a file.
    pub credentials: Option<Secret>,
}

impl AuthOverride {
    /// Its secrets by their keys.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &Secret)> {
        let all = [
            ("access_key_id", &self.access_key_id),
            ("secret_access_key", &self.secret_access_key),
            ("session_token", &self.session_token),
            ("credentials", &self.credentials),
        ];
        all.into_iter().filter_map(|(key, secret)| Some((key, secret.as_ref()?)))
    }

    /// The keys that are set and name the credentials of a signer, each with the style it is for.
    pub fn of_signers(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let all = [
            ("profile", "sigv4", self.profile.is_some()),
            ("access_key_id", "sigv4", self.access_key_id.is_some()),
            ("secret_access_key", "sigv4", self.secret_access_key.is_some()),
            ("session_token", "sigv4", self.session_token.is_some()),
            ("credentials_file", "gcp", self.credentials_file.is_some()),
            ("credentials", "gcp", self.credentials.is_some()),
        ];
        all.into_iter().filter_map(|(key, style, is_set)| is_set.then_some((key, style)))
    }
}

pub(super) fn read(section: &mut Section<'_>, provider: &mut Provider) {
    let known = section.cx.known;
    provider.operations = section.take("operations", |field| field.list(|f| word(f, "operation", known.operations)));
    let paths = section.take("paths", |field| {
        field.map(|operation, mut field| {
            listed(&mut field, operation, "operation", known.operations)?;
            if !MOVABLE.contains(&operation) {
                field.fault("only the paths of `chat`, `completions` and `embeddings` can be set; others stay as clients write them");
                return None;
            }
            field.parse(path)
        })
    });
    provider.paths = paths.unwrap_or_default().into_iter().collect();
    provider.quirks = section.take("quirks", |field| field.list(|f| word(f, "quirk", known.quirks)));
    provider.unsupported = section.take("unsupported", |field| field.list(Field::text));
    let usage = section.take("usage", |field| field.map(|rule, field| usage_rule(field, rule, known.usage)));
    provider.usage = usage.unwrap_or_default().into_iter().collect();
    provider.auth = section.section("auth", |section| {
        let auth = auth(section);
        check_together(section);
        auth
    });
}

fn auth(section: &mut Section<'_>) -> AuthOverride {
    let known = section.cx.known;
    AuthOverride {
        style: section.take("style", |field| word(field, "auth style", known.auth_styles)),
        header: section.take("header", |field| {
            field.parse(|text| match text.parse::<HeaderName>() {
                Ok(name) => Ok(name.as_str().to_owned()),
                Err(_) => Err("not the name of a header"),
            })
        }),
        prefix: section.take("prefix", |field| {
            field.parse(|text| match HeaderValue::from_str(text) {
                Ok(_) => Ok(text.to_owned()),
                Err(_) => Err("must be printable and on one line"),
            })
        }),
        profile: section.take("profile", Field::text),
        access_key_id: section.take("access_key_id", Field::secret),
        secret_access_key: section.take("secret_access_key", Field::secret),
        session_token: section.take("session_token", Field::secret),
        credentials_file: section.take("credentials_file", Field::text),
        credentials: section.take("credentials", Field::secret),
    }
}

/// What needs another key beside it, and what must not have it there. By what stands in the file: what
/// could not be read has been told.
fn check_together(section: &Section<'_>) {
    const NEEDS: [(&str, &str); 3] = [
        ("access_key_id", "secret_access_key"),
        ("secret_access_key", "access_key_id"),
        ("session_token", "access_key_id"),
    ];
    const EITHER: [(&str, &str); 2] = [("profile", "access_key_id"), ("credentials_file", "credentials")];
    let path = |key: &str| format!("{}.{key}", section.path);
    let is_set = |key: &str| section.cx.is_set(&path(key));
    for (key, other) in NEEDS.iter().filter(|(key, other)| is_set(key) && !is_set(other)) {
        section.cx.fault_of(&path(key), format!("needs `{other}` beside it"), None);
    }
    for (key, other) in EITHER.iter().filter(|(key, other)| is_set(key) && is_set(other)) {
        section.cx.fault_of(&path(key), format!("leave this or `{other}` out: only one of them can be used"), None);
    }
}

/// Text that is on the list. An empty list is one that the caller does not know, and allows all.
fn word(field: Field<'_>, what: &str, list: &[&str]) -> Option<String> {
    field.text_and(|cx, at, path, text| {
        if !list.is_empty() && !list.contains(&text) {
            cx.fault(at, path, format!("unknown {what}"), cx.nearest(text, list.iter().copied()));
        }
    })
}

/// As [`word`], for a key of a map.
fn listed(field: &mut Field<'_>, key: &str, what: &str, list: &[&str]) -> Option<()> {
    if list.is_empty() || list.contains(&key) {
        return Some(());
    }
    field.cx.fault(field.node.at, &field.path, format!("unknown {what}"), field.cx.nearest(key, list.iter().copied()));
    None
}

fn path(text: &str) -> Result<String, &'static str> {
    let fits = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#' && b != b'?');
    if fits { Ok(text.to_owned()) } else { Err("expected a path such as `/v1/embeddings`") }
}

fn usage_rule(mut field: Field<'_>, rule: &str, list: &[&str]) -> Option<Json> {
    listed(&mut field, rule, "usage rule", list)?;
    match (rule, &field.node.value) {
        ("usage_in", Value::List(_)) => field.list(|place| place.parse(usage_place)).map(Json::from),
        ("usage_in", _) => {
            field.fault("expected a list of places such as `[usage, x_groq.usage]`");
            None
        }
        _ => field.boolean().map(Json::from),
    }
}

/// One of the places where answers carry their usage.
fn usage_place(text: &str) -> Result<String, &'static str> {
    match serde_json::from_value::<UsagePlace>(text.into()) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("expected `usage`, `x_groq.usage`, `result.usage`, `usage_info` or `meta.billed_units`"),
    }
}
