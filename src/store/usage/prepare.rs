//! From a usage row to what the tables hold: texts bounded, numbers checked.
//!
//! Rows are bounded before they get here; this is the second line, behind which nothing a client
//! sent can make a row too large for an index or a sum too large for its column.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::{CLASSES, calendar, classes};
use crate::clock::UnixMs;
use crate::record::{MAX_WARNING, MAX_WARNINGS, UsageRow};
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::statement::{Arg, without_nul};

/// Longest text of a column that an index or a sum's key holds, in bytes. PostgreSQL takes 2,700
/// bytes of them in one entry.
pub(super) const MAX_KEY_TEXT: usize = 256;
const MAX_TEXT: usize = 1024;
const MAX_MESSAGE: usize = 8 * 1024;
const MAX_JSON: usize = 256 * 1024;
const MAX_TAGS: usize = 64;
const MAX_ATTEMPTS: usize = 64;
/// No request uses a trillion tokens or costs a million dollars. With these bounds a sum needs nine
/// million such rows to overflow.
const MAX_COUNT: u64 = 1_000_000_000_000;
pub(super) const MAX_COST: u64 = 1_000_000_000_000_000;

/// The columns of table `usage` that are not token classes, in two parts around those.
const BEFORE: [&str; 14] = [
    "at",
    "id",
    "key_id",
    "team_id",
    "user_id",
    "end_user",
    "tags",
    "endpoint",
    "model",
    "provider",
    "served_model",
    "status",
    "http_status",
    "attempts",
];
const AFTER: [&str; 12] = [
    "cost_nano",
    "price_version",
    "tier",
    "estimated",
    "unpriced",
    "latency_ms",
    "ttft_ms",
    "overhead_us",
    "stream",
    "error_code",
    "error_message",
    "metadata",
];

/// The columns that have a default, nearly always: [`common_columns`] leaves them out. The last.
const RARE: [&str; 2] = ["warnings", "charges"];

/// The columns of table `usage`, in its order and in that of [`Prepared::values`].
pub(super) fn columns() -> Vec<&'static str> {
    [&BEFORE[..], &CLASSES, &AFTER, &RARE].concat()
}

/// The same without what is nearly always zero or absent, which is also the default: a third less to
/// bind.
pub(super) fn common_columns() -> Vec<&'static str> {
    let common: Vec<&str> = CLASSES.into_iter().filter(|class| is_common(class)).collect();
    [&BEFORE[..], &common, &AFTER].concat()
}

fn is_common(class: &str) -> bool {
    matches!(class, "input_tokens" | "cached_tokens" | "output_tokens" | "reasoning_tokens")
}

/// A row as the tables hold it.
pub(super) struct Prepared<'a> {
    pub(super) at: UnixMs,
    pub(super) id: String,
    pub(super) row: &'a UsageRow,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(row: &'a UsageRow) -> Self {
        Self { at: calendar::clamp(row.at), id: stored_id(&row.id), row }
    }

    /// The row's identity in the tables.
    pub(super) fn key(&self) -> (UnixMs, &str) {
        (self.at, &self.id)
    }

    /// Whether its numbers may enter the sums.
    ///
    /// # Errors
    /// `Invalid`, naming the number that cannot be true.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let invalid =
            |what: &str| Err(StoreError::new(StoreErrorKind::Invalid, format!("{what} is implausibly large")));
        if let Some((name, _)) = CLASSES.iter().zip(classes(&self.row.usage)).find(|(_, n)| *n > MAX_COUNT) {
            return invalid(name);
        }
        if self.row.latency_ms > MAX_COUNT {
            return invalid("latency_ms");
        }
        if self.row.cost.is_some_and(|cost| cost.0.unsigned_abs() > MAX_COST) {
            return invalid("cost_nano");
        }
        Ok(())
    }

    /// Whether [`common_columns`] hold all of it.
    pub(super) fn is_common(&self) -> bool {
        self.row.warnings.is_empty()
            && self.row.charges.is_empty()
            && CLASSES.iter().zip(classes(&self.row.usage)).all(|(class, n)| n == 0 || is_common(class))
    }

    /// Its values, in the order of [`columns`] or of [`common_columns`], appended to `out`.
    ///
    /// # Errors
    /// `Invalid` when its metadata is not JSON or too long.
    pub(super) fn values(&self, common: bool, out: &mut Vec<Arg>) -> Result<(), StoreError> {
        let row = self.row;
        let metadata = metadata(row.metadata.as_deref())?;
        out.extend([
            Arg::from(self.at),
            Arg::from(self.id.as_str()),
            key_text(row.key_id.as_deref()).into(),
            key_text(row.team_id.as_deref()).into(),
            key_text(row.user_id.as_deref()).into(),
            text(row.end_user.as_deref()).into(),
            Arg::json(&self.tags().collect::<Vec<_>>())?,
            Arg::from(bounded(&row.endpoint, MAX_KEY_TEXT)),
            key_text(row.model.as_deref()).into(),
            key_text(row.provider.as_deref()).into(),
            text(row.served_model.as_deref()).into(),
            Arg::from(row.status.as_str()),
            Arg::from(i64::from(row.http_status)),
            Arg::json(&row.attempts.get(..MAX_ATTEMPTS).unwrap_or(&row.attempts))?,
        ]);
        let classes = CLASSES.iter().zip(classes(&row.usage)).filter(|(class, _)| !common || is_common(class));
        out.extend(classes.map(|(_, n)| Arg::from(n)));
        out.extend([
            Arg::from(row.cost.map(|cost| cost.0)),
            text(row.price_version.as_deref()).into(),
            text(row.tier.as_deref()).into(),
            Arg::from(row.estimated),
            Arg::from(row.unpriced),
            Arg::from(row.latency_ms),
            Arg::from(row.ttft_ms),
            Arg::from(row.overhead_us),
            Arg::from(row.stream),
            text(row.error_code.as_deref()).into(),
            row.error_message.as_deref().map(|m| bounded(m, MAX_MESSAGE)).into(),
            metadata,
        ]);
        if !common {
            out.push(warnings(&row.warnings)?);
            out.push(if row.charges.is_empty() { Arg::Json(None) } else { Arg::json(&row.charges)? });
        }
        Ok(())
    }

    /// Its tags, bounded.
    pub(super) fn tags(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.row.tags.iter().take(MAX_TAGS).map(|(n, v)| (bounded(n, MAX_KEY_TEXT), bounded(v, MAX_KEY_TEXT)))
    }
}

/// A text of a sum's key: bounded, and nothing rather than empty.
pub(super) fn key_text(value: Option<&str>) -> Option<&str> {
    value.filter(|v| !v.is_empty()).map(|v| bounded(v, MAX_KEY_TEXT))
}

/// The beginning of a text, at most `max` bytes, cut between characters.
pub(super) fn bounded(value: &str, max: usize) -> &str {
    &value[..value.floor_char_boundary(max)]
}

fn text(value: Option<&str>) -> Option<&str> {
    value.map(|v| bounded(v, MAX_TEXT))
}

fn metadata(value: Option<&str>) -> Result<Arg, StoreError> {
    match value {
        None => Ok(Arg::Json(None)),
        Some(json) if json.len() > MAX_JSON => {
            Err(StoreError::new(StoreErrorKind::Invalid, format!("metadata is longer than {MAX_JSON} bytes")))
        }
        Some(json) => Arg::json_text(json),
    }
}

/// None is absent, as it is in rows from before there were any.
fn warnings(given: &[String]) -> Result<Arg, StoreError> {
    if given.is_empty() {
        return Ok(Arg::Json(None));
    }
    let kept: Vec<&str> = given.iter().take(MAX_WARNINGS).map(|warning| bounded(warning, MAX_WARNING)).collect();
    Arg::json(&kept)
}

/// The id, or for one too long its beginning and a digest, so that two long ids stay two ids.
fn stored_id(id: &str) -> String {
    let id: Cow<'_, str> = if id.len() <= MAX_KEY_TEXT {
        Cow::Borrowed(id)
    } else {
        let digest = Sha256::digest(id.as_bytes());
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Cow::Owned(format!("{}~{hex}", bounded(id, MAX_KEY_TEXT - 33)))
    };
    without_nul(&id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(bounded("aé", 2), "a");
        assert_eq!(bounded("aé", 3), "aé");
        assert_eq!(key_text(Some("")), None);
    }

    #[test]
    fn long_ids_stay_different() {
        let (a, b) = (format!("{}a", "x".repeat(500)), format!("{}b", "x".repeat(500)));
        assert_ne!(stored_id(&a), stored_id(&b));
        assert_eq!(stored_id(&a).len(), MAX_KEY_TEXT);
        assert_eq!(stored_id("short\0"), "short\u{fffd}");
    }
}
