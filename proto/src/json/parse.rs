//! Text to [`Node`]. As lenient and as strict as Mesos: leading zeros and invalid UTF-8 pass, raw control characters in
//! strings and non-finite numbers do not.

use std::borrow::Cow;

use super::error::SyntaxError;
use super::node::{Node, Number, Object};

/// Objects and arrays inside each other; Mesos's own limit, and a bound for our stack.
pub const MAX_DEPTH: usize = 200;

/// Bytes of the body that an error repeats: enough to find the place, too little to mirror a large body.
pub const MAX_ECHO: usize = 1024;

/// Parses a whole text.
///
/// # Errors
/// The text is no JSON value, is nested too deeply, or something follows the value.
pub fn parse(text: &[u8]) -> Result<Node<'_>, SyntaxError> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        overflow: false,
    };
    let Some(node) = parser.value() else {
        return Err(if parser.overflow {
            SyntaxError::OutOfRange
        } else {
            parser.unexpected()
        });
    };
    match text.iter().rposition(|byte| !is_blank(*byte)) {
        Some(last) if last >= parser.at => Err(SyntaxError::Trailing(echo(text.get(parser.at..=last).unwrap_or(&[])))),
        _ => Ok(node),
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The part of an input that an error repeats.
pub(super) fn echo(bytes: &[u8]) -> String {
    let kept = bytes.get(..MAX_ECHO).unwrap_or(bytes);
    String::from_utf8_lossy(kept).into_owned()
}

/// Every method returns `None` where the text is wrong, with `at` on the first byte that does not fit.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    /// The reason of a failure was a number beyond the range of a double.
    overflow: bool,
}

impl<'a> Parser<'a> {
    fn unexpected(&self) -> SyntaxError {
        let (before, rest) = self.text.split_at(self.at.min(self.text.len()));
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let rest: Vec<u8> = rest
            .iter()
            .copied()
            .take_while(|byte| *byte != b'\n')
            .filter(|byte| *byte >= b' ')
            .take(MAX_ECHO)
            .collect();
        SyntaxError::Unexpected {
            line,
            rest: echo(&rest),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    /// Takes `wanted` after blanks, or takes only the blanks.
    fn take(&mut self, wanted: u8) -> bool {
        self.skip_blanks();
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Option<Node<'a>> {
        self.skip_blanks();
        match self.peek()? {
            b'n' => self.word("null", Node::Null),
            b't' => self.word("true", Node::Bool(true)),
            b'f' => self.word("false", Node::Bool(false)),
            b'"' => {
                self.at += 1;
                self.string().map(Node::Text)
            }
            b'[' => self.nested(Self::list),
            b'{' => self.nested(Self::object),
            b'-' | b'0'..=b'9' => self.number(),
            _ => None,
        }
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Option<Node<'a>> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return None;
            }
            self.at += 1;
        }
        Some(node)
    }

    fn nested(&mut self, read: fn(&mut Self) -> Option<Node<'a>>) -> Option<Node<'a>> {
        self.at += 1;
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let node = read(self);
        self.depth -= 1;
        node
    }

    fn list(&mut self) -> Option<Node<'a>> {
        let mut items = Vec::new();
        if self.take(b']') {
            return Some(Node::List(items));
        }
        loop {
            items.push(self.value()?);
            if !self.take(b',') {
                return self.take(b']').then_some(Node::List(items));
            }
        }
    }

    fn object(&mut self) -> Option<Node<'a>> {
        let mut members = Vec::new();
        if self.take(b'}') {
            return Some(Node::Object(Object::new(members)));
        }
        loop {
            if !self.take(b'"') {
                return None;
            }
            let key = self.string()?;
            if !self.take(b':') {
                return None;
            }
            members.push((key, self.value()?));
            if !self.take(b',') {
                return self.take(b'}').then(|| Node::Object(Object::new(members)));
            }
        }
    }

    fn number(&mut self) -> Option<Node<'a>> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
        {
            self.at += 1;
        }
        let digits = std::str::from_utf8(self.text.get(start..self.at)?).ok()?;
        if let Ok(number) = digits.parse() {
            return Some(Node::Number(Number::Signed(number)));
        }
        let number: f64 = digits.parse().ok()?;
        self.overflow = number.is_infinite();
        number.is_finite().then_some(Node::Number(Number::Double(number)))
    }

    /// A string after its opening quote.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        let mut plain_from = start;
        let mut undone: Vec<u8> = Vec::new();
        loop {
            match self.peek()? {
                b'"' => {
                    let plain = self.text.get(plain_from..self.at)?;
                    self.at += 1;
                    if plain_from == start {
                        return Some(String::from_utf8_lossy(plain));
                    }
                    undone.extend_from_slice(plain);
                    return Some(Cow::Owned(lossy(undone)));
                }
                b'\\' => {
                    undone.extend_from_slice(self.text.get(plain_from..self.at)?);
                    self.at += 1;
                    self.escape(&mut undone)?;
                    plain_from = self.at;
                }
                0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
    }

    /// An escape after its backslash.
    fn escape(&mut self, undone: &mut Vec<u8>) -> Option<()> {
        let letter = self.peek()?;
        self.at += 1;
        undone.push(match letter {
            b'"' | b'\\' | b'/' => letter,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let character = self.code_point()?;
                undone.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Some(());
            }
            _ => return None,
        });
        Some(())
    }

    fn code_point(&mut self) -> Option<char> {
        let first = self.four_hex_digits()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        for expected in [b'\\', b'u'] {
            if self.peek() != Some(expected) {
                return None;
            }
            self.at += 1;
        }
        let second = self.four_hex_digits()?;
        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + low)
    }

    fn four_hex_digits(&mut self) -> Option<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = char::from(self.peek()?).to_digit(16)?;
            value = value * 16 + digit;
            self.at += 1;
        }
        Some(value)
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
