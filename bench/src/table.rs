//! Tables on the terminal that are Markdown too, so that they can be copied into `docs/benchmarks.md`.

/// Rows of text under column names.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[&str]) -> Self {
        Table {
            rows: vec![columns.iter().map(|&column| column.to_owned()).collect()],
        }
    }

    /// Adds a row; missing cells stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Prints the table under a title.
    pub fn print(&self, title: &str) {
        println!("\n{title}\n\n{}", self.text());
    }

    fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            for column in 0..columns {
                let cell = row.get(column).map_or("", String::as_str);
                text.push_str(&format!("| {cell:<width$} ", width = width(column)));
            }
            text.push_str("|\n");
            if index == 0 {
                for column in 0..columns {
                    text.push_str(&format!("|{}", "-".repeat(width(column) + 2)));
                }
                text.push_str("|\n");
            }
        }
        text
    }
}

/// Bytes for people.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

/// `met` or `not met`, for a figure that must not be above its limit.
pub fn verdict(figure: f64, limit: f64) -> &'static str {
    if figure <= limit { "met" } else { "not met" }
}

/// The same for a time, of which 0 says that nothing was measured.
pub fn verdict_on_time(figure: f64, limit: f64) -> &'static str {
    if figure > 0.0 {
        verdict(figure, limit)
    } else {
        "not measured"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_short_rows_filled() {
        let mut table = Table::new(&["what", "ms"]);
        table.row(["a long name", "1.5"]);
        table.row(["b"]);
        let expected = "\
| what        | ms  |
|-------------|-----|
| a long name | 1.5 |
| b           |     |
";
        assert_eq!(table.text(), expected);
    }
}
