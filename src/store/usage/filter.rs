//! Which rows a question is about.

use super::prepare::bounded;
use crate::clock::UnixMs;
use crate::record::Status;
use crate::store::statement::Statement;

/// Which rows to read. What is `None` does not restrict.
///
/// An empty text means rows that have none: `key_id: Some("")` finds requests without a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// From this time on.
    pub from: Option<UnixMs>,
    /// Before this time.
    pub to: Option<UnixMs>,
    /// Virtual key.
    pub key_id: Option<String>,
    /// Team.
    pub team_id: Option<String>,
    /// The key's user.
    pub user: Option<String>,
    /// The model as asked for.
    pub model: Option<String>,
    /// Provider that served it.
    pub provider: Option<String>,
    /// Outcome.
    pub status: Option<Status>,
    /// `chat/completions`, `embeddings`, ...
    pub endpoint: Option<String>,
    /// A tag it must carry.
    pub tag: Option<TagFilter>,
}

/// A tag a row must carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFilter {
    /// The tag's name.
    pub name: String,
    /// Its value; `None` for any.
    pub value: Option<String>,
}

/// The table a condition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Table `usage`: an absent text is null, and tags are in their own table.
    Rows,
    /// A table of sums: an absent text is empty, and there are no tags.
    Sums,
}

impl Filter {
    /// The conditions on everything but time, for a table that the text calls `u`. Values are pushed
    /// onto `statement`; each condition begins with ` AND `.
    pub(super) fn conditions(&self, source: Source, statement: &mut Statement) -> String {
        let mut text = String::new();
        let texts = [
            ("key_id", &self.key_id),
            ("team_id", &self.team_id),
            ("user_id", &self.user),
            ("model", &self.model),
            ("provider", &self.provider),
        ];
        for (column, value) in texts.into_iter().filter_map(|(c, v)| v.as_deref().map(|v| (c, v))) {
            if value.is_empty() && source == Source::Rows {
                text.push_str(&format!(" AND u.{column} IS NULL"));
            } else {
                text.push_str(&format!(" AND u.{column} = ${}", statement.push(key(value))));
            }
        }
        if let Some(endpoint) = self.endpoint.as_deref() {
            text.push_str(&format!(" AND u.endpoint = ${}", statement.push(key(endpoint))));
        }
        if let Some(status) = self.status {
            text.push_str(&format!(" AND u.status = ${}", statement.push(status.as_str())));
        }
        text
    }

    /// The condition that a row of `u` carries the tag.
    pub(super) fn tag_condition(&self, statement: &mut Statement) -> String {
        let Some(tag) = &self.tag else { return String::new() };
        let mut text = format!(
            " AND EXISTS (SELECT 1 FROM usage_tags f WHERE f.at = u.at AND f.usage_id = u.id AND f.name = ${}",
            statement.push(key(&tag.name))
        );
        if let Some(value) = &tag.value {
            text.push_str(&format!(" AND f.value = ${}", statement.push(key(value))));
        }
        text.push(')');
        text
    }
}

/// A value as the column would hold it.
pub(super) fn key(value: &str) -> &str {
    bounded(value, super::prepare::MAX_KEY_TEXT)
}

/// The condition that `column` lies in a range of time, beginning with `WHERE`.
pub(super) fn within(column: &str, from: Option<UnixMs>, to: Option<UnixMs>, statement: &mut Statement) -> String {
    let mut text = String::from("WHERE true");
    if let Some(from) = from {
        text.push_str(&format!(" AND u.{column} >= ${}", statement.push(from)));
    }
    if let Some(to) = to {
        text.push_str(&format!(" AND u.{column} < ${}", statement.push(to)));
    }
    text
}
