//! Query strings and form bodies: `a=b&c=d`, percent-encoded.

use std::collections::BTreeMap;

/// Decodes; a repeated name keeps its last value.
///
/// Errors: the text Mesos gives for a malformed escape.
pub(super) fn decode(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut parameters = BTreeMap::new();
    for pair in text.split(['&', ';']).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parameters.insert(decode_part(name)?, decode_part(value)?);
    }
    Ok(parameters)
}

fn decode_part(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' => decoded.push(b' '),
            b'%' => {
                let hex = text
                    .get(at + 1..at + 3)
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let Some(byte) = hex else {
                    let shown: String = text[at..].chars().take(3).collect();
                    return Err(format!("Malformed % escape in '{text}': '{shown}'"));
                };
                decoded.push(byte);
                at += 2;
            }
            byte => decoded.push(byte),
        }
        at += 1;
    }
    Ok(String::from_utf8_lossy(&decoded).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_the_last_value_of_a_name_counts() {
        let decoded = decode("a=1&b=x%20y+z&a=2&c").expect("well formed");
        let pairs: Vec<(&str, &str)> = decoded.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(pairs, [("a", "2"), ("b", "x y z"), ("c", "")]);
    }

    #[test]
    fn a_malformed_escape_is_named() {
        assert_eq!(
            decode("frameworkId=%zz"),
            Err("Malformed % escape in '%zz': '%zz'".to_owned())
        );
        assert_eq!(decode("a=%e"), Err("Malformed % escape in '%e': '%e'".to_owned()));
    }
}
