//! `database`: where the gateway keeps its data.

use std::path::Path;

use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::read::{Field, Section};
use super::secret::DatabaseUrl;

/// Where the gateway keeps keys and usage.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`. The default is `weir.db` in the
    /// data folder: `WEIR_DATA_DIR`, else `./weir-data`.
    #[schemars(with = "String")]
    pub url: DatabaseUrl,
    /// Most connections to the database at a time.
    #[schemars(range(min = 1, max = 1_000))]
    pub max_connections: u64,
}

impl Default for Database {
    fn default() -> Self {
        Self::in_folder(Path::new(super::DATA_DIR))
    }
}

impl Database {
    /// SQLite in the data folder.
    pub(super) fn in_folder(folder: &Path) -> Self {
        let url = format!("sqlite://{}", folder.join("weir.db").display());
        Self { url: DatabaseUrl::new(url), max_connections: 10 }
    }

    pub(super) fn read(section: &mut Section<'_>, folder: &Path) -> Self {
        let default = Self::in_folder(folder);
        Self {
            url: section.take("url", url).unwrap_or(default.url),
            max_connections: section
                .take("max_connections", |field| field.integer(1..=1_000))
                .unwrap_or(default.max_connections),
        }
    }
}

/// A database URL holds a password, so it may stand in a file as any secret may.
fn url(field: Field<'_>) -> Option<DatabaseUrl> {
    let (cx, path) = (field.cx, field.path.clone());
    let secret = field.secret_where(|url| {
        // Neither a password nor a query: it may be written down.
        if !url.contains(['@', '?']) && !cx.has_secret(&path) {
            cx.add_secret(&path, Some(url.to_owned()));
        }
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        let fits = match scheme {
            "sqlite" => !rest.trim_start_matches('/').is_empty(),
            "postgres" | "postgresql" => rest.starts_with("//") && rest.len() > 2,
            _ => false,
        };
        if fits { Ok(()) } else { Err("expected `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`") }
    })?;
    Some(DatabaseUrl::new(secret.expose_secret().to_owned()))
}
