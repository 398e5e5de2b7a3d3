//! The model table: sorted lines `provider TAB id TAB region TAB json`, searched in place.

use std::cmp::Ordering;

use super::model::Model;

/// One line of the table: the key, and the facts still unparsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Provider id of the table.
    pub provider: &'static str,
    /// Model id as the provider expects it.
    pub id: &'static str,
    /// Region of a price variant; empty for the base row.
    pub region: &'static str,
    json: &'static str,
}

impl Row {
    fn of(line: &'static str) -> Option<Self> {
        let mut fields = line.splitn(4, '\t');
        Some(Self { provider: fields.next()?, id: fields.next()?, region: fields.next()?, json: fields.next()? })
    }

    /// Provider, id and region: unique in the table.
    #[must_use]
    pub fn key(&self) -> (&'static str, &'static str, &'static str) {
        (self.provider, self.id, self.region)
    }

    /// Parses the facts. `None` cannot happen with the embedded table: a test parses every line.
    #[must_use]
    pub fn parse(&self) -> Option<Model> {
        let mut model: Model = serde_json::from_str(self.json).ok()?;
        self.provider.clone_into(&mut model.provider);
        self.id.clone_into(&mut model.id);
        model.region = (!self.region.is_empty()).then(|| self.region.to_owned());
        Some(model)
    }
}

/// The sorted text.
#[derive(Debug)]
pub(super) struct Table(&'static str);

impl Table {
    pub(super) const fn new(text: &'static str) -> Self {
        Self(text)
    }

    /// The row of the first of `ids` that some row has in any letter case.
    pub(super) fn find_in_any_case(&self, provider: &str, ids: &[&str], region: Option<&str>) -> Option<Row> {
        let rank = |row: &Row| ids.iter().position(|id| row.id.eq_ignore_ascii_case(id));
        let (_, id) = self.of(provider).filter_map(|row| Some((rank(&row)?, row.id))).min()?;
        self.find(provider, id, region)
    }

    /// The row for `region`, else the base row, else (a model sold only in regions) any row.
    pub(super) fn find(&self, provider: &str, id: &str, region: Option<&str>) -> Option<Row> {
        let start = self.lower_bound(|row| (row.provider, row.id).cmp(&(provider, id)));
        let variants = self.rows_from(start).take_while(|row| row.provider == provider && row.id == id);
        let wanted = region.unwrap_or_default();
        // The base row, if there is one, sorts first: its region is empty.
        let mut first = None;
        for row in variants {
            if row.region == wanted {
                return Some(row);
            }
            first = first.or(Some(row));
        }
        first
    }

    /// The rows of one provider.
    pub(super) fn of(&self, provider: &str) -> impl Iterator<Item = Row> + use<> {
        let start = self.lower_bound(|row| row.provider.cmp(provider));
        let first = self.rows_from(start).next().filter(|row| row.provider == provider);
        self.rows_from(start).take_while(move |row| first.is_some_and(|first| row.provider == first.provider))
    }

    /// The provider ids, each once, sorted. Jumps from one to the next by binary search.
    pub(super) fn providers(&self) -> impl Iterator<Item = &'static str> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let provider = self.rows_from(at).next()?.provider;
            at = self.lower_bound(|row| if row.provider > provider { Ordering::Equal } else { Ordering::Less });
            Some(provider)
        })
    }

    /// All rows.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = Row> {
        self.rows_from(0)
    }

    fn rows_from(&self, start: usize) -> impl Iterator<Item = Row> + use<> {
        self.0.get(start..).unwrap_or_default().lines().filter_map(Row::of)
    }

    /// The byte offset of the first line that is not less; the end of the text if all are.
    fn lower_bound(&self, compare: impl Fn(&Row) -> Ordering) -> usize {
        let (mut low, mut high) = (0, self.0.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let start = self.0.as_bytes()[..middle].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            let start = start.max(low);
            let end = memchr::memchr(b'\n', &self.0.as_bytes()[start..]).map_or(self.0.len(), |at| start + at + 1);
            let less = self
                .0
                .get(start..end)
                .and_then(|line| Row::of(line.trim_end()))
                .is_some_and(|row| compare(&row) == Ordering::Less);
            if less { low = end } else { high = start }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table::new("a\tx\t\t{}\na\tx\teu\t{}\na\ty\teu\t{}\nb\tM\t\t{}\nc\tz\t\t{}\n");

    #[test]
    fn rows_are_found_by_region_then_base_then_any() {
        assert_eq!(TABLE.find("a", "x", None).map(|row| row.key()), Some(("a", "x", "")));
        assert_eq!(TABLE.find("a", "x", Some("eu")).map(|row| row.key()), Some(("a", "x", "eu")));
        assert_eq!(TABLE.find("a", "x", Some("us")).map(|row| row.key()), Some(("a", "x", "")));
        assert_eq!(TABLE.find("a", "y", None).map(|row| row.key()), Some(("a", "y", "eu")));
        assert_eq!(TABLE.find("b", "m", None).map(|row| row.key()), None);
        assert_eq!(TABLE.find_in_any_case("b", &["x", "m"], None).map(|row| row.key()), Some(("b", "M", "")));
        assert_eq!(TABLE.find_in_any_case("a", &["Y", "X"], None).map(|row| row.key()), Some(("a", "y", "eu")));
        assert_eq!(TABLE.find_in_any_case("a", &["m"], None).map(|row| row.key()), None);
        assert_eq!(TABLE.find("a", "z", None), None);
        assert_eq!(TABLE.find("0", "z", None), None);
        assert_eq!(TABLE.find("d", "z", None), None);
    }

    #[test]
    fn providers_come_once_each() {
        assert_eq!(TABLE.providers().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(TABLE.of("a").count(), 3);
        assert_eq!(TABLE.of("bb").count(), 0);
        assert_eq!(Table::new("").providers().count(), 0);
    }
}
