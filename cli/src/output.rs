//! What commands print for people: lines that survive a closed pipe, and tables.

use std::io::Write;

use clap::ValueEnum;

/// Form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Prints a line to standard output. A reader that is gone (`| head`) is no error.
pub(crate) fn say(line: &str) {
    print_to(&mut std::io::stdout().lock(), line);
}

/// Prints a line to standard error.
pub(crate) fn complain(line: &str) {
    print_to(&mut std::io::stderr().lock(), line);
}

fn print_to(stream: &mut impl Write, line: &str) {
    // Nobody is left to tell when even this fails.
    drop(writeln!(stream, "{line}").and_then(|()| stream.flush()));
}

/// Lays rows out in columns, two blanks apart; the first row is the head. Columns are as wide as their widest cell.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["name", "state"], ["a-long-name", "ok"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), ["name         state", "a-long-name  ok"]);
        assert_eq!(table(&[]), Vec::<String>::new());
    }
}
