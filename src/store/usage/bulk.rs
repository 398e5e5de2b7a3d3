//! Many rows in one statement.

use std::borrow::Cow;
use std::fmt::Write;

use crate::store::statement::{Arg, Statement};

/// Rows per statement, largest first. A few fixed sizes, so that the engine's cache of prepared
/// statements holds them all; the largest stays below SQLite's limit of 32,766 values.
const SIZES: [usize; 4] = [256, 32, 4, 1];

/// `INSERT INTO .. VALUES ..` for one table.
pub(super) struct Bulk {
    width: usize,
    texts: [String; SIZES.len()],
}

impl Bulk {
    /// `tail` follows the values: what to do on conflict, what to return.
    pub(super) fn new(table: &str, columns: &[&str], tail: &str) -> Self {
        let head = format!("INSERT INTO {table} ({}) VALUES", columns.join(", "));
        let width = columns.len();
        Self { width, texts: SIZES.map(|rows| text(&head, rows, width, tail)) }
    }

    /// The statements that insert these values, given row after row.
    pub(super) fn statements(&'static self, values: Vec<Arg>) -> Vec<Statement> {
        let mut rows = values.len() / self.width;
        let mut values = values.into_iter();
        let mut statements = Vec::new();
        for (size, text) in SIZES.iter().zip(&self.texts) {
            while rows >= *size {
                rows -= size;
                let args = values.by_ref().take(size * self.width).collect();
                statements.push(Statement { text: Cow::Borrowed(text.as_str()), args });
            }
        }
        statements
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.texts.to_vec()
    }
}

fn text(head: &str, rows: usize, width: usize, tail: &str) -> String {
    let mut text = String::from(head);
    for row in 0..rows {
        text.push_str(if row == 0 { " (" } else { ", (" });
        for column in 1..=width {
            let comma = if column == 1 { "" } else { ", " };
            let _ = write!(text, "{comma}${}", row * width + column);
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
        let statements = PAIRS.statements((0..2 * 294_i64).map(Arg::from).collect::<Vec<_>>());
        let sizes: Vec<usize> = statements.iter().map(|s| s.args.len() / 2).collect();
        assert_eq!(sizes, [256, 32, 4, 1, 1]);
        assert_eq!(statements[4].text, "INSERT INTO t (a, b) VALUES ($1, $2) RETURNING a");
        assert_eq!(PAIRS.statements(Vec::new()).len(), 0);
    }
}
