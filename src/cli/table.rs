//! Plain tables: columns padded, numbers to the right, nothing else. Readable in a pipe too.

use std::io::{self, Write};

/// Writes rows below a header.
///
/// # Errors
/// When nothing can be written.
pub fn write(out: &mut dyn Write, header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let width = |i: usize| {
        rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).chain([header[i].chars().count()]).max()
    };
    let widths: Vec<usize> = (0..header.len()).map(|i| width(i).unwrap_or(0)).collect();
    let numeric = |i: usize| !rows.is_empty() && rows.iter().all(|r| r.get(i).is_none_or(|c| is_number(c)));
    let numeric: Vec<bool> = (0..header.len()).map(numeric).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| -> String {
        let padded = cells.enumerate().map(|(i, cell)| {
            let pad = " ".repeat(widths[i].saturating_sub(cell.chars().count()));
            if numeric[i] { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    writeln!(out, "{}", line(&mut header.iter().copied()))?;
    rows.iter().try_for_each(|row| writeln!(out, "{}", line(&mut row.iter().map(String::as_str))))
}

fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell == "-" || cell.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut out = Vec::new();
        let rows = vec![vec!["demo/chat".to_owned(), "7".to_owned()], vec!["é".to_owned(), "12".to_owned()]];
        write(&mut out, &["model", "requests"], &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "model      requests\ndemo/chat         7\né                12\n");
    }
}
