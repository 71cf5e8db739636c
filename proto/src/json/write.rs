//! [`Value`]s to JSON text, without a tree in between. The text holds no newline, so that clients which read event
//! streams by lines stay in step.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::put::{FieldSink, Value};
use super::{JsonMessage, double};

/// The JSON text of a message.
pub fn to_vec(message: &dyn JsonMessage) -> Vec<u8> {
    let mut text = Vec::new();
    append(message, &mut text);
    text
}

/// Writes the JSON text of a message behind what `text` already holds.
pub fn append(message: &dyn JsonMessage, text: &mut Vec<u8>) {
    value(text, Value::Message(message));
}

/// Writes the members of one object.
struct Writer<'a> {
    text: &'a mut Vec<u8>,
    is_first: bool,
}

impl Writer<'_> {
    fn separate(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.text.push(b',');
        }
    }
}

impl FieldSink for Writer<'_> {
    fn field(&mut self, name: &str, content: Value<'_>) {
        self.separate();
        string(self.text, name);
        self.text.push(b':');
        value(self.text, content);
    }
}

fn value(text: &mut Vec<u8>, content: Value<'_>) {
    match content {
        Value::Bool(is_set) => text.extend_from_slice(if is_set { b"true" } else { b"false" }),
        Value::Signed(number) => {
            if number < 0 {
                text.push(b'-');
            }
            digits(text, number.unsigned_abs());
        }
        Value::Unsigned(number) => digits(text, number),
        Value::Double(number) => double::write(text, number),
        Value::Text(content) => string(text, content),
        Value::Bytes(content) => {
            text.push(b'"');
            text.extend_from_slice(STANDARD.encode(content).as_bytes());
            text.push(b'"');
        }
        Value::Message(message) => {
            text.push(b'{');
            message.write_fields(&mut Writer { text, is_first: true });
            text.push(b'}');
        }
        Value::List(items) => {
            text.push(b'[');
            let mut writer = Writer { text, is_first: true };
            items.each(&mut |item| {
                writer.separate();
                value(writer.text, item);
            });
            text.push(b']');
        }
        Value::Map(members) => {
            text.push(b'{');
            let mut writer = Writer { text, is_first: true };
            members.each(&mut |key, item| writer.field(key, item));
            text.push(b'}');
        }
    }
}

fn digits(text: &mut Vec<u8>, mut number: u64) {
    /// Decimal digits of `u64::MAX`.
    const MAX_DIGITS: usize = 20;
    let mut reversed = [0; MAX_DIGITS];
    let mut length = 0;
    for digit in &mut reversed {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        length += 1;
        if number == 0 {
            break;
        }
    }
    text.extend(reversed.iter().take(length).rev());
}

fn string(text: &mut Vec<u8>, content: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    text.push(b'"');
    let mut rest = content.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, 0..=0x1f | b'"' | b'\\')) {
        let (plain, special) = rest.split_at(at);
        text.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else {
            break;
        };
        match byte {
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', *byte]),
            0x08 => text.extend_from_slice(b"\\b"),
            0x0c => text.extend_from_slice(b"\\f"),
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\r' => text.extend_from_slice(b"\\r"),
            b'\t' => text.extend_from_slice(b"\\t"),
            _ => {
                let digit = |shift: u8| HEX[usize::from(byte >> shift & 0xf)];
                text.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(4), digit(0)]);
            }
        }
        rest = after;
    }
    text.extend_from_slice(rest);
    text.push(b'"');
}
