//! Values that must never be shown.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};

/// What stands for a secret wherever one would be shown.
pub const MASK: &str = "***";

/// A secret text: shown as `***` by Debug and serde, wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(text.into())
    }
}

impl ExposeSecret<str> for Secret {
    fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// A database URL: its password is shown as `***`.
#[derive(Clone)]
pub struct DatabaseUrl(SecretString);

impl DatabaseUrl {
    /// Wraps a URL whose scheme has been checked, or a default.
    pub(super) fn new(url: String) -> Self {
        Self(url.into())
    }

    /// The URL with the password and the query's values left out: safe to show.
    #[must_use]
    pub fn redacted(&self) -> String {
        let url = self.expose_secret();
        // The query may carry `password=`; what it may carry is the driver's business.
        let (url, query) = url.split_once('?').map_or((url, ""), |(url, _)| (url, "?***"));
        let Some((scheme, rest)) = url.split_once("://") else { return format!("{url}{query}") };
        match rest.rsplit_once('@') {
            Some((user, host)) => {
                let user = user.split_once(':').map_or(user.to_owned(), |(user, _)| format!("{user}:{MASK}"));
                format!("{scheme}://{user}@{host}{query}")
            }
            None => format!("{scheme}://{rest}{query}"),
        }
    }
}

impl ExposeSecret<str> for DatabaseUrl {
    fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_shown() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.expose_secret(), "hunter2");
    }

    #[test]
    fn a_database_url_shows_all_but_its_password() {
        let check = |url: &str, expected: &str| assert_eq!(DatabaseUrl::new(url.into()).redacted(), expected);
        check("sqlite://weir-data/weir.db", "sqlite://weir-data/weir.db");
        check("sqlite::memory:", "sqlite::memory:");
        check("postgres://weir@db/weir", "postgres://weir@db/weir");
        check("postgres://weir:p@ss:w@db:5432/weir", "postgres://weir:***@db:5432/weir");
        check("postgres://db/weir?user=x&password=y", "postgres://db/weir?***");
    }
}
