//! Gathers what benchmarks print about their goals: Markdown tables under a line `goals`, with the columns `goal`,
//! `figure`, `verdict` and perhaps `limit`.

/// The goals of all benchmarks that ran.
#[derive(Debug, Default)]
pub(crate) struct Goals {
    benchmark: String,
    rows: Vec<[String; 4]>,
    place: Place,
}

/// Where in the output we are.
#[derive(Debug, Default)]
enum Place {
    #[default]
    Elsewhere,
    /// After the line `goals`.
    Title,
    /// In the table, whose columns have these names.
    Table(Vec<String>),
}

impl Goals {
    /// What comes now is the output of this benchmark.
    pub(crate) fn begin(&mut self, benchmark: &str) {
        benchmark.clone_into(&mut self.benchmark);
        self.place = Place::Elsewhere;
    }

    /// Looks at one line of the output.
    pub(crate) fn see(&mut self, line: &str) {
        let cells = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
        let cells = cells.map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
        match (&self.place, cells) {
            (Place::Title, Some(names)) => self.place = Place::Table(names),
            (Place::Table(names), Some(cells)) => {
                let cell = |name: &str| {
                    let at = names.iter().position(|column| column == name);
                    at.and_then(|at| cells.get(at)).map(String::as_str).unwrap_or_default()
                };
                let is_rule = cells.iter().all(|cell| cell.starts_with("--"));
                if !is_rule {
                    let limit = match cell("limit") {
                        "" => String::new(),
                        limit => format!(" (limit {limit})"),
                    };
                    self.rows.push([
                        self.benchmark.clone(),
                        format!("{}{limit}", cell("goal")),
                        cell("figure").to_owned(),
                        cell("verdict").to_owned(),
                    ]);
                }
            }
            (_, None) if line == "goals" => self.place = Place::Title,
            // The empty line between title and table.
            (Place::Title, None) if line.is_empty() => {}
            _ => self.place = Place::Elsewhere,
        }
    }

    /// One table of everything seen.
    pub(crate) fn table(&self) -> String {
        let head = ["benchmark", "goal", "figure", "verdict"].map(str::to_owned);
        let width = |column: usize| {
            let cells = std::iter::once(&head).chain(&self.rows).map(|row| &row[column]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths = [0, 1, 2, 3].map(width);
        let line = |row: &[String; 4]| {
            let cells = row.iter().zip(widths);
            let cells: Vec<String> = cells.map(|(cell, width)| format!("| {cell:<width$} ")).collect();
            format!("{}|\n", cells.concat())
        };
        let rule = widths.map(|width| "-".repeat(width));
        let rows: Vec<String> = self.rows.iter().map(line).collect();
        format!("{}{}{}", line(&head), line(&rule), rows.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_gathered_from_the_tables_under_their_title() {
        let mut goals = Goals::default();
        goals.begin("writes");
        let output = "\
| no | goal |
|----|------|
| 1  | x    |

goals

| goal | figure | limit | verdict |
|------|--------|-------|---------|
| fast | 1 ms   | 2 ms  | met     |

goals

| goal | figure | verdict |
|------|--------|---------|
| small | 1 KiB | not met |
| other
| not | a | goal |
";
        output.lines().for_each(|line| goals.see(line));
        let expected = "\
| benchmark | goal              | figure | verdict |
| --------- | ----------------- | ------ | ------- |
| writes    | fast (limit 2 ms) | 1 ms   | met     |
| writes    | small             | 1 KiB  | not met |
";
        assert_eq!(goals.table(), expected);
    }
}
