//! The header fields of a received request or response.
//!
//! Responsible for lookup; must never copy field by field: the fields stay in the bytes they arrived in.

use std::fmt;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

/// Header fields in order of arrival. Names compare without case; of a repeated name the last value counts, as in
/// libprocess.
#[derive(Clone, Default)]
pub struct Headers {
    raw: Bytes,
    fields: Vec<Field>,
}

#[derive(Clone)]
struct Field {
    name: Range<u32>,
    value: Range<u32>,
}

impl Headers {
    /// Fields made of pairs, for tests and for handing requests on.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut raw = BytesMut::new();
        let mut ranges = Vec::new();
        for (name, value) in pairs {
            let start = raw.len();
            raw.put_slice(name.as_ref().as_bytes());
            let middle = raw.len();
            raw.put_slice(value.as_ref().as_bytes());
            ranges.push((start..middle, middle..raw.len()));
        }
        let mut headers = Headers::over(raw.freeze(), ranges.len());
        for (name, value) in ranges {
            headers.push(name, value);
        }
        headers
    }

    /// No fields yet, over the bytes of a head.
    pub(crate) fn over(raw: Bytes, capacity: usize) -> Self {
        Headers {
            raw,
            fields: Vec::with_capacity(capacity),
        }
    }

    /// Adds a field by its place in the head's bytes. Heads are far below 4 GiB; a place beyond is ignored.
    pub(crate) fn push(&mut self, name: Range<usize>, value: Range<usize>) {
        if let (Some(name), Some(value)) = (narrow(name), narrow(value)) {
            self.fields.push(Field { name, value });
        }
    }

    /// The value of the last field called `name`, without surrounding blanks. `None` also if it is not UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        let field = self
            .fields
            .iter()
            .rev()
            .find(|field| self.name_bytes(field).eq_ignore_ascii_case(name.as_bytes()))?;
        std::str::from_utf8(self.slice(&field.value)).ok().map(str::trim)
    }

    /// Whether a field called `name` is present, whatever its value.
    pub fn contains(&self, name: &str) -> bool {
        self.fields
            .iter()
            .any(|field| self.name_bytes(field).eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Number of fields called `name`.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.fields
            .iter()
            .filter(|field| self.name_bytes(field).eq_ignore_ascii_case(name.as_bytes()))
            .count()
    }

    /// Whether the `Accept` field allows `media_type`, e.g. `application/json`, by the rules of libprocess: without the
    /// field everything is allowed, with an empty one nothing; `*/*` and `type/*` count; the first entry that matches
    /// decides, and refuses if its quality is 0. Other qualities are ignored: the caller's preference wins.
    pub fn accepts_media_type(&self, media_type: &str) -> bool {
        if !self.contains("Accept") {
            return true;
        }
        let wanted = media_type.split_once('/').unwrap_or((media_type, ""));
        self.get("Accept")
            .unwrap_or_default()
            .split(',')
            .find_map(|entry| accepts(entry, wanted))
            .unwrap_or(false)
    }

    /// Every field in order of arrival; those whose value is not UTF-8 are left out.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().filter_map(|field| {
            let name = std::str::from_utf8(self.name_bytes(field)).ok()?;
            Some((name, std::str::from_utf8(self.slice(&field.value)).ok()?))
        })
    }

    fn name_bytes(&self, field: &Field) -> &[u8] {
        self.slice(&field.name)
    }

    fn slice(&self, range: &Range<u32>) -> &[u8] {
        self.raw
            .get(range.start as usize..range.end as usize)
            .unwrap_or_default()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Credentials must not reach a log.
        let fields = self.iter().map(|(name, value)| {
            (
                name,
                if name.eq_ignore_ascii_case("authorization") {
                    "(hidden)"
                } else {
                    value
                },
            )
        });
        formatter.debug_map().entries(fields).finish()
    }
}

/// Whether an entry of an `Accept` field allows a type; `None` if it does not speak of it.
fn accepts(entry: &str, wanted: (&str, &str)) -> Option<bool> {
    let mut parts = entry.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let matches = |pattern: &str, word: &str| pattern == "*" || pattern.eq_ignore_ascii_case(word);
    let is_match = matches(kind, wanted.0) && matches(subtype, wanted.1);
    is_match.then(|| !parts.any(is_zero_quality))
}

/// Whether a parameter is `q=0`, with any number of zeros behind the point.
pub(crate) fn is_zero_quality(parameter: &str) -> bool {
    let value = parameter
        .trim()
        .strip_prefix("q=")
        .and_then(|value| value.trim().parse::<f64>().ok());
    value == Some(0.0)
}

fn narrow(range: Range<usize>) -> Option<Range<u32>> {
    Some(u32::try_from(range.start).ok()?..u32::try_from(range.end).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_case_and_the_last_value_counts() {
        let headers = Headers::from_pairs([("Accept", "a"), ("ACCEPT", " b "), ("Empty", "")]);
        assert_eq!(headers.get("accept"), Some("b"));
        assert_eq!(headers.get("empty"), Some(""));
        assert_eq!(headers.get("other"), None);
        assert!(headers.contains("EMPTY"));
        assert_eq!(headers.count("accept"), 2);
        assert_eq!(headers.iter().count(), 3);
    }

    #[test]
    fn first_matching_media_type_decides() {
        let accepts = |value: &str| Headers::from_pairs([("Accept", value)]).accepts_media_type("application/json");
        for value in [
            "application/json",
            "text/html, */*",
            "application/*",
            "application/x-protobuf;q=0.9, application/json;q=0.1",
            "Application/JSON; charset=utf-8",
        ] {
            assert!(accepts(value), "{value}");
        }
        for value in [
            "",
            "text/html",
            "application/recordio",
            "application/json;q=0, */*",
            "*/*; q=0.00",
            "json",
        ] {
            assert!(!accepts(value), "{value}");
        }
        assert!(Headers::default().accepts_media_type("application/json"));
    }

    #[test]
    fn credentials_are_not_printed() {
        let printed = format!("{:?}", Headers::from_pairs([("authorization", "Basic c2VjcmV0")]));
        assert!(!printed.contains("c2VjcmV0"), "{printed}");
    }
}
