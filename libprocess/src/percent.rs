//! Percent decoding of paths and query strings, with the error texts Mesos tools see.
//!
//! Must never be lenient: a malformed escape is an error, because Mesos answers it with an error.

use std::collections::BTreeMap;

/// A `%` that is not followed by two hexadecimal digits. Its text is Mesos's, verbatim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Malformed % escape in '{text}': '{escape}'")]
pub struct MalformedEscape {
    /// The whole text that was to be decoded.
    pub text: String,
    /// The offending escape, at most three characters.
    pub escape: String,
}

/// Decodes `%XX` and `+` (a blank). Bytes that are not UTF-8 after decoding are replaced by U+FFFD.
pub fn decode(text: &str) -> Result<String, MalformedEscape> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(text.to_owned());
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' => decoded.push(b' '),
            b'%' => {
                decoded.push(escaped_byte(bytes, at).ok_or_else(|| MalformedEscape {
                    text: text.to_owned(),
                    escape: String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 3)]).into_owned(),
                })?);
                at += 2;
            }
            byte => decoded.push(byte),
        }
        at += 1;
    }
    Ok(String::from_utf8(decoded).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Whether every `%` of `bytes` starts a well-formed escape.
pub(crate) fn is_well_formed(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .enumerate()
        .all(|(at, byte)| *byte != b'%' || escaped_byte(bytes, at).is_some())
}

/// The parameters of a query string or form body: split at `&` and `;`, decoded, a parameter given twice has its last
/// value, one without `=` the empty value.
pub fn decode_query(query: &str) -> Result<BTreeMap<String, String>, MalformedEscape> {
    query
        .split(['&', ';'])
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

fn escaped_byte(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |offset: usize| bytes.get(at + offset).and_then(|byte| char::from(*byte).to_digit(16));
    u8::try_from(digit(1)? * 16 + digit(2)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_plus_signs_are_decoded() {
        assert_eq!(decode("%6daster").unwrap(), "master");
        assert_eq!(decode("a+b%2B").unwrap(), "a b+");
        assert_eq!(decode("slave(1)").unwrap(), "slave(1)");
        assert_eq!(decode("%ff").unwrap(), "\u{fffd}");
    }

    #[test]
    fn malformed_escapes_are_named_in_mesos_words() {
        for (text, message) in [
            ("%zz", "Malformed % escape in '%zz': '%zz'"),
            ("a%4", "Malformed % escape in 'a%4': '%4'"),
            ("%", "Malformed % escape in '%': '%'"),
            ("%+1x", "Malformed % escape in '%+1x': '%+1'"),
        ] {
            assert_eq!(decode(text).unwrap_err().to_string(), message);
        }
        // Cutting an escape inside a multi-byte character must not panic.
        assert!(decode("%é").is_err());
    }

    #[test]
    fn last_value_of_a_repeated_parameter_wins() {
        let query = decode_query("a=1&b=c%20d;a=2&flag&&e=x=y").unwrap();
        let pairs: Vec<_> = query
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(pairs, [("a", "2"), ("b", "c d"), ("e", "x=y"), ("flag", "")]);
    }
}
