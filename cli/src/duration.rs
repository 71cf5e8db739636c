//! Durations as Mesos writes them: a number and a unit without a blank, `500ms`, `10secs`, `1.5mins`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Units from the longest to the shortest with their lengths in nanoseconds.
const UNITS: [(&str, f64); 8] = [
    ("weeks", 604_800e9),
    ("days", 86_400e9),
    ("hrs", 3_600e9),
    ("mins", 60e9),
    ("secs", 1e9),
    ("ms", 1e6),
    ("us", 1e3),
    ("ns", 1.0),
];

/// A duration on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MesosDuration(pub(crate) Duration);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    #[error("duration '{0}' has no unit: write for example '{0}secs' (units: ns us ms secs mins hrs days weeks)")]
    NoUnit(String),
    #[error("duration '{text}' has the unknown unit '{unit}' (units: ns us ms secs mins hrs days weeks)")]
    UnknownUnit { text: String, unit: String },
    #[error("duration '{text}': '{number}' is not a number that is zero or more")]
    BadNumber { text: String, number: String },
    #[error("duration '{0}' is too long")]
    TooLong(String),
}

impl FromStr for MesosDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let trimmed = text.trim();
        let unit_at = trimmed.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(unit_at);
        if unit.is_empty() {
            return Err(DurationError::NoUnit(trimmed.to_owned()));
        }
        let Some((_, nanoseconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit {
                text: trimmed.to_owned(),
                unit: unit.to_owned(),
            });
        };
        let value: f64 = number
            .trim()
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite() && *value >= 0.0)
            .ok_or_else(|| DurationError::BadNumber {
                text: trimmed.to_owned(),
                number: number.to_owned(),
            })?;
        Duration::try_from_secs_f64(value * nanoseconds / 1e9)
            .map(MesosDuration)
            .map_err(|_| DurationError::TooLong(trimmed.to_owned()))
    }
}

impl fmt::Display for MesosDuration {
    /// The longest unit that gives a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        for (name, length) in UNITS {
            // Lengths of units are whole numbers far below 2^53.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let length = length as u128;
            if nanoseconds >= length && nanoseconds.is_multiple_of(length) {
                return write!(f, "{}{name}", nanoseconds / length);
            }
        }
        write!(f, "0secs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Duration, String> {
        text.parse::<MesosDuration>()
            .map(|duration| duration.0)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_unit_of_mesos_is_read() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("10secs"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("1.5mins"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("2weeks"), Ok(Duration::from_secs(1_209_600)));
        assert_eq!(parse("7us"), Ok(Duration::from_micros(7)));
    }

    #[test]
    fn a_wrong_text_is_refused_with_what_is_wrong() {
        assert!(
            parse("10")
                .unwrap_err()
                .contains("has no unit: write for example '10secs'")
        );
        assert!(parse("10s").unwrap_err().contains("unknown unit 's'"));
        assert!(parse("-1secs").unwrap_err().contains("'-1' is not a number"));
        assert!(parse("1e300weeks").unwrap_err().contains("unknown unit"));
    }

    #[test]
    fn the_printed_form_is_read_back() {
        for text in ["500ms", "10secs", "90secs", "10mins", "1days", "0secs"] {
            let duration: MesosDuration = text.parse().unwrap();
            assert_eq!(duration.to_string().parse::<MesosDuration>(), Ok(duration), "{text}");
        }
        assert_eq!("90secs".parse::<MesosDuration>().unwrap().to_string(), "90secs");
        assert_eq!("600secs".parse::<MesosDuration>().unwrap().to_string(), "10mins");
    }
}
