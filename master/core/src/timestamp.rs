//! Points in time as the registry keeps them: stamped by the leader, never read here.

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch on the leader's wall clock.
///
/// Invariant: within one registry the time of applied commands never runs backwards (`apply` takes the larger of the
/// command's time and the registry's).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Seconds since the Unix epoch with a fraction, as Mesos writes times in `double` fields.
    pub fn as_seconds_f64(self) -> f64 {
        self.0 as f64 / 1_000_000.0
    }

    /// From seconds since the Unix epoch; negative, infinite and not-a-number count as zero or the largest time.
    pub fn from_seconds_f64(seconds: f64) -> Self {
        Self((seconds * 1_000_000.0) as u64)
    }

    /// Nanoseconds since the Unix epoch as in `TimeInfo`.
    pub fn to_proto(self) -> proto::v1::TimeInfo {
        proto::v1::TimeInfo {
            nanoseconds: i64::try_from(self.0.saturating_mul(1000)).unwrap_or(i64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_never_overflow() {
        assert_eq!(Timestamp(1_500_000).as_seconds_f64(), 1.5);
        assert_eq!(Timestamp::from_seconds_f64(1.5), Timestamp(1_500_000));
        assert_eq!(Timestamp::from_seconds_f64(-1.0), Timestamp(0));
        assert_eq!(Timestamp::from_seconds_f64(f64::NAN), Timestamp(0));
        assert_eq!(Timestamp(u64::MAX).to_proto().nanoseconds, i64::MAX);
    }
}
