//! The spread of a measured time: how many, and the value below which a share of them lies.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Significant decimal digits that are kept of each value.
const DIGITS: u8 = 3;
/// Longest time told apart from longer ones, in microseconds: an hour, longer than any run.
const MICROS_MAX: u64 = 3_600_000_000;

/// Many measured times. Units: kept in microseconds, shown in milliseconds.
#[derive(Clone, Debug)]
pub struct Spread(Histogram<u64>);

impl Default for Spread {
    fn default() -> Self {
        Spread(
            Histogram::new_with_bounds(1, MICROS_MAX, DIGITS)
                .expect("these bounds and digits are ones that a histogram can have"),
        )
    }
}

impl Spread {
    /// Adds one measured time.
    pub fn record(&mut self, time: Duration) {
        self.0
            .saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds every time of `other`.
    pub fn add(&mut self, other: &Spread) {
        // All have the same bounds, so each takes every value of another one.
        if let Err(error) = self.0.add(&other.0) {
            eprintln!("some values were not added up: {error}");
        }
    }

    /// How many times were recorded.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time, in milliseconds, below or at which `percent` of the values lie; 0 without any.
    pub fn percentile(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1000.0
    }

    /// The shortest time in milliseconds.
    pub fn min(&self) -> f64 {
        self.0.min() as f64 / 1000.0
    }

    /// Each different time in milliseconds, rising, with the percentage of times that are not longer.
    pub fn steps(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let mut seen = 0;
        self.0.iter_recorded().map(move |step| {
            seen += step.count_at_value();
            (
                step.value_iterated_to() as f64 / 1000.0,
                seen as f64 * 100.0 / self.0.len() as f64,
            )
        })
    }

    /// The longest time in milliseconds.
    pub fn max(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }

    /// `p50 / p99` in milliseconds.
    pub fn short(&self) -> String {
        if self.count() == 0 {
            return "-".to_owned();
        }
        format!("{} / {}", show(self.percentile(50.0)), show(self.percentile(99.0)))
    }

    /// Cells for a table: how many, p50, p90, p99, max.
    pub fn cells(&self) -> Vec<String> {
        if self.count() == 0 {
            return vec!["0".into(), "-".into(), "-".into(), "-".into(), "-".into()];
        }
        let mut cells = vec![self.count().to_string()];
        cells.extend([50.0, 90.0, 99.0].map(|percent| show(self.percentile(percent))));
        cells.push(show(self.max()));
        cells
    }
}

/// Milliseconds with as many decimals as make sense.
pub fn show(milliseconds: f64) -> String {
    match milliseconds {
        value if value < 1.0 => format!("{value:.3}"),
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// The middle of some figures; 0 without any.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut spread = Spread::default();
        for millis in 1..=100 {
            spread.record(Duration::from_millis(millis));
        }
        assert_eq!(spread.count(), 100);
        assert!((spread.percentile(50.0) - 50.0).abs() < 0.1);
        assert!((spread.max() - 100.0).abs() < 0.1);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }
}
