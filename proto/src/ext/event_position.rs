//! Where an operator event stands: the text in `Event.position` and in the headers of the event stream.

use std::fmt;
use std::str::FromStr;

/// The position `i.n` stands for a prefix of all events: every event of the log's entries before `i`, and the first `n`
/// events of entry `i`. An event carries the position right behind it, so that the position of an event a reader has seen
/// says exactly what the reader has seen. Positions grow from event to event but are not consecutive.
///
/// ```
/// use proto::ext::event_position::EventPosition;
///
/// let third = EventPosition { index: 12, number: 3 };
/// assert_eq!("12.3".parse(), Ok(third));
/// assert_eq!(third.to_string(), "12.3");
/// assert!(third < EventPosition::behind(12) && EventPosition::behind(12).to_string() == "13.0");
/// assert!("12".parse::<EventPosition>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventPosition {
    /// Log index.
    pub index: u64,
    /// Events of that entry, counted from 1.
    pub number: u32,
}

/// A text that is not `<index>.<number>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAPosition(String);

impl fmt::Display for NotAPosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "'{}' is not a position of an event, <index>.<number>",
            self.0
        )
    }
}

impl std::error::Error for NotAPosition {}

impl EventPosition {
    /// Behind every event of entry `index` and of those before it.
    pub fn behind(index: u64) -> Self {
        EventPosition {
            index: index.saturating_add(1),
            number: 0,
        }
    }
}

impl fmt::Display for EventPosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.index, self.number)
    }
}

impl FromStr for EventPosition {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let parse = || {
            let (index, number) = text.split_once('.')?;
            Some(EventPosition {
                index: index.parse().ok()?,
                number: number.parse().ok()?,
            })
        };
        parse().ok_or_else(|| NotAPosition(text.to_owned()))
    }
}
