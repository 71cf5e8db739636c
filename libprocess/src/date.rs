//! The `Date` header: wall-clock microseconds as an HTTP date (IMF-fixdate, RFC 9110 §5.6.7).
//!
//! Pure arithmetic; must never read a clock.

const SECONDS_PER_DAY: u64 = 86_400;
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Remembers the text of the last second asked for: connections answer many requests within one.
#[derive(Debug, Default)]
pub(crate) struct DateCache {
    second: u64,
    text: String,
}

impl DateCache {
    /// The date of `micros` microseconds after 1970-01-01 UTC.
    pub(crate) fn at(&mut self, micros: u64) -> &str {
        let second = micros / 1_000_000;
        if self.text.is_empty() || self.second != second {
            self.second = second;
            self.text = format(second);
        }
        &self.text
    }
}

/// The HTTP date of a second since 1970-01-01 UTC.
fn format(second: u64) -> String {
    let days = second / SECONDS_PER_DAY;
    let (year, month, day) = civil_from_days(days);
    let weekday = WEEKDAYS[usize::try_from(days % 7).unwrap_or(0)];
    let month = MONTHS[month];
    let (hour, minute, second) = (second / 3_600 % 24, second / 60 % 60, second % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Gregorian year, month (0 is January) and day (from 1) of a day counted from 1970-01-01.
fn civil_from_days(days: u64) -> (u64, usize, u64) {
    // Years are counted from March, so that a leap day is the last of its year; 719,468 days before 1970 lies
    // 0000-03-01, and the calendar repeats every 146,097 days (400 years).
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = usize::try_from((march_month + 2) % 12).unwrap_or(0);
    let year = era * 400 + year_of_era + u64::from(march_month >= 10);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_seconds_have_their_known_dates() {
        for (second, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(format(second), text);
        }
    }

    #[test]
    fn cache_follows_the_clock_also_backwards() {
        let mut cache = DateCache::default();
        assert_eq!(cache.at(1_999_999), "Thu, 01 Jan 1970 00:00:01 GMT");
        assert_eq!(cache.at(2_000_000), "Thu, 01 Jan 1970 00:00:02 GMT");
        assert_eq!(cache.at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn no_second_panics() {
        format(u64::MAX / 1_000_000);
    }
}
