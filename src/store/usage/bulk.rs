//! Many rows in one statement.

use std::borrow::Cow;
use std::fmt::Write;

use crate::store::db::Engine;
use crate::store::statement::{Arg, Statement};

/// Rows per statement, largest first. A few fixed sizes, so that the engine's cache of prepared
/// statements holds them all; larger ones gained nothing.
const SIZES: [usize; 4] = [64, 16, 4, 1];

/// `INSERT INTO .. VALUES ..` for one table.
///
/// The one place where the placeholders differ: SQLite takes `$1` for a name, and looks names up one
/// by one, so eleven thousand of them cost more than the insert does. A bare `?` has no name.
pub(in crate::store) struct Bulk {
    width: usize,
    sqlite: [String; SIZES.len()],
    postgres: [String; SIZES.len()],
}

impl Bulk {
    /// `tail` follows the values: what to do on conflict, what to return.
    pub(in crate::store) fn new(table: &str, columns: &[&str], tail: &str) -> Self {
        let head = format!("INSERT INTO {table} ({}) VALUES", columns.join(", "));
        let width = columns.len();
        let texts = |engine| SIZES.map(|rows| text(engine, &head, rows, width, tail));
        Self { width, sqlite: texts(Engine::Sqlite), postgres: texts(Engine::Postgres) }
    }

    /// Values of one row.
    pub(in crate::store) fn width(&self) -> usize {
        self.width
    }

    /// The statements that insert these values, given row after row.
    pub(in crate::store) fn statements(&'static self, engine: Engine, values: Vec<Arg>) -> Vec<Statement> {
        let mut rows = values.len() / self.width;
        let mut values = values.into_iter();
        let mut statements = Vec::new();
        for (size, text) in SIZES.iter().zip(self.texts(engine)) {
            while rows >= *size {
                rows -= size;
                let args = values.by_ref().take(size * self.width).collect();
                statements.push(Statement { text: Cow::Borrowed(text.as_str()), args });
            }
        }
        statements
    }

    pub(in crate::store) fn texts(&self, engine: Engine) -> &[String] {
        match engine {
            Engine::Sqlite => &self.sqlite,
            Engine::Postgres => &self.postgres,
        }
    }
}

fn text(engine: Engine, head: &str, rows: usize, width: usize, tail: &str) -> String {
    let mut text = String::from(head);
    for row in 0..rows {
        text.push_str(if row == 0 { " (" } else { ", (" });
        for column in 1..=width {
            let comma = if column == 1 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = match engine {
                Engine::Sqlite => write!(text, "{comma}?"),
                Engine::Postgres => write!(text, "{comma}${}", row * width + column),
            };
        }
        text.push(')');
    }
    text.push(' ');
    text.push_str(tail);
    text
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static PAIRS: LazyLock<Bulk> = LazyLock::new(|| Bulk::new("t", &["a", "b"], "RETURNING a"));

    #[test]
    fn any_number_of_rows_is_cut_into_a_few_sizes() {
        let statements = PAIRS.statements(Engine::Postgres, (0..2 * 86_i64).map(Arg::from).collect::<Vec<_>>());
        let sizes: Vec<usize> = statements.iter().map(|s| s.args.len() / 2).collect();
        assert_eq!(sizes, [64, 16, 4, 1, 1]);
        assert_eq!(statements[4].text, "INSERT INTO t (a, b) VALUES ($1, $2) RETURNING a");
        assert_eq!(PAIRS.statements(Engine::Postgres, Vec::new()).len(), 0);
        assert_eq!(PAIRS.texts(Engine::Sqlite)[3], "INSERT INTO t (a, b) VALUES (?, ?) RETURNING a");
    }
}
