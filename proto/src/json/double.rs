//! Doubles as text: the shortest digits that read back as the same number, always with a fraction (`1.0`) unless there
//! is an exponent. Exponents appear below 1e-6 and from 1e21 on, as in Mesos.

use std::io::Write;

/// Writes a number; JSON has none for infinities and NaN, which become the strings that the reader accepts.
pub(crate) fn write(text: &mut Vec<u8>, number: f64) {
    if let Some(word) = word(number) {
        text.push(b'"');
        text.extend_from_slice(word.as_bytes());
        text.push(b'"');
        return;
    }
    let start = text.len();
    let size = number.abs();
    let written = if size == 0.0 || (1e-6..1e21).contains(&size) {
        write!(text, "{number}")
    } else {
        write!(text, "{number:e}")
    };
    written.expect("writing to a Vec cannot fail");
    if !text.iter().skip(start).any(|byte| matches!(byte, b'.' | b'e')) {
        text.extend_from_slice(b".0");
    }
}

/// The string for a number that has no digits.
pub(crate) fn word(number: f64) -> Option<&'static str> {
    if number.is_nan() {
        Some("NaN")
    } else if number.is_infinite() {
        Some(if number > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        None
    }
}
