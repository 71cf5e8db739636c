//! From [`Node`]s to the fields of a message. The generated code calls these functions with the field that a name
//! stands for; here is what each kind of field accepts.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::JsonMessage;
use super::error::{ConvertError, SyntaxError};
use super::node::{Node, Number, Object};
use super::parse::{echo, parse};
use crate::table::{EnumTable, MAX_MESSAGE_DEPTH};

/// What was noticed while a message is read.
#[derive(Debug, Default)]
pub struct Reading {
    /// A required field is missing somewhere.
    pub(crate) incomplete: bool,
    /// Messages around the one that is read.
    depth: usize,
}

type Read = Result<(), ConvertError>;

/// What can stand in a field.
pub(crate) trait FromNode: Default {
    /// `name` is the field, for the error; `node` is not null.
    fn read(&mut self, name: &str, node: &Node<'_>, reading: &mut Reading) -> Read;
}

/// Reads the members of an object; required fields that are absent are only noticed, because an error in a later
/// field comes first.
pub(crate) fn object(message: &mut dyn JsonMessage, object: &Object<'_>, reading: &mut Reading) -> Read {
    for (name, node) in object.iter().filter(|(_, node)| !matches!(node, Node::Null)) {
        message.read_field(name, node, reading)?;
    }
    reading.incomplete |= message
        .table()
        .fields
        .iter()
        .filter(|field| field.required)
        .any(|field| matches!(object.get(field.name), None | Some(Node::Null)));
    Ok(())
}

pub(crate) fn one<T: FromNode>(slot: &mut T, name: &str, node: &Node<'_>, reading: &mut Reading) -> Read {
    slot.read(name, node, reading)
}

pub(crate) fn optional<T: FromNode>(slot: &mut Option<T>, name: &str, node: &Node<'_>, reading: &mut Reading) -> Read {
    slot.get_or_insert_default().read(name, node, reading)
}

/// A list inside a list is taken as its elements, a single value as a list of one.
pub(crate) fn list<T: FromNode>(slot: &mut Vec<T>, name: &str, node: &Node<'_>, reading: &mut Reading) -> Read {
    each(node, &mut |item| {
        let mut value = T::default();
        value.read(name, item, reading)?;
        slot.push(value);
        Ok(())
    })
}

pub(crate) fn map<T: FromNode>(
    slot: &mut BTreeMap<String, T>,
    name: &str,
    node: &Node<'_>,
    reading: &mut Reading,
) -> Read {
    each(node, &mut |item| {
        let Node::Object(members) = item else {
            return Err(wrong_type(name, item));
        };
        for (key, member) in members.iter().filter(|(_, member)| !matches!(member, Node::Null)) {
            let mut value = T::default();
            value.read(name, member, reading)?;
            slot.insert(key.to_owned(), value);
        }
        Ok(())
    })
}

pub(crate) fn one_enum(slot: &mut i32, name: &str, node: &Node<'_>, table: &EnumTable) -> Read {
    let text = enum_name(name, node)?;
    *slot = table
        .number(text)
        .ok_or_else(|| ConvertError::UnknownEnum(echo(text.as_bytes())))?;
    Ok(())
}

/// A name that is not known leaves the field as it is: it comes from a newer peer.
pub(crate) fn optional_enum(slot: &mut Option<i32>, name: &str, node: &Node<'_>, table: &EnumTable) -> Read {
    if let Some(number) = table.number(enum_name(name, node)?) {
        *slot = Some(number);
    }
    Ok(())
}

pub(crate) fn enums(slot: &mut Vec<i32>, name: &str, node: &Node<'_>, table: &EnumTable) -> Read {
    each(node, &mut |item| {
        slot.extend(table.number(enum_name(name, item)?));
        Ok(())
    })
}

fn enum_name<'n>(name: &str, node: &'n Node<'_>) -> Result<&'n str, ConvertError> {
    match node {
        Node::Text(text) => Ok(text),
        _ => Err(wrong_type(name, node)),
    }
}

fn each(node: &Node<'_>, to: &mut dyn FnMut(&Node<'_>) -> Read) -> Read {
    match node {
        Node::List(items) => items.iter().try_for_each(|item| each(item, to)),
        Node::Null => Ok(()),
        _ => to(node),
    }
}

fn wrong_type(name: &str, node: &Node<'_>) -> ConvertError {
    ConvertError::WrongType {
        found: node.kind(),
        field: name.to_owned(),
    }
}

impl<T: JsonMessage + Default> FromNode for T {
    fn read(&mut self, name: &str, node: &Node<'_>, reading: &mut Reading) -> Read {
        let Node::Object(members) = node else {
            return Err(wrong_type(name, node));
        };
        reading.depth += 1;
        if reading.depth >= MAX_MESSAGE_DEPTH {
            return Err(ConvertError::TooDeep {
                limit: MAX_MESSAGE_DEPTH,
                field: name.to_owned(),
            });
        }
        object(self, members, reading)?;
        reading.depth -= 1;
        Ok(())
    }
}

impl FromNode for String {
    fn read(&mut self, name: &str, node: &Node<'_>, _: &mut Reading) -> Read {
        let Node::Text(text) = node else {
            return Err(wrong_type(name, node));
        };
        text.as_ref().clone_into(self);
        Ok(())
    }
}

impl FromNode for Bytes {
    fn read(&mut self, name: &str, node: &Node<'_>, _: &mut Reading) -> Read {
        let Node::Text(text) = node else {
            return Err(wrong_type(name, node));
        };
        let decoded = base64(text).map_err(|character| ConvertError::Base64 {
            field: name.to_owned(),
            character,
        })?;
        *self = Bytes::from(decoded);
        Ok(())
    }
}

impl FromNode for bool {
    fn read(&mut self, name: &str, node: &Node<'_>, _: &mut Reading) -> Read {
        *self = match node {
            Node::Bool(is_set) => *is_set,
            Node::Text(text) => match parsed_text(text, name, "boolean")? {
                Node::Bool(is_set) => is_set,
                _ => return Err(bad_text(text, name, "boolean", SyntaxError::UnexpectedType)),
            },
            _ => return Err(wrong_type(name, node)),
        };
        Ok(())
    }
}

/// Numbers are converted as C++ does where Rust can: too large ones are cut, fractions dropped.
macro_rules! number {
    ($($rust:ty),*) => {
        $(impl FromNode for $rust {
            fn read(&mut self, name: &str, node: &Node<'_>, _: &mut Reading) -> Read {
                *self = match number(name, node)? {
                    Number::Signed(number) => number as $rust,
                    Number::Double(number) => number as $rust,
                };
                Ok(())
            }
        })*
    };
}

number!(i32, i64, u32, u64, f64);

fn number(name: &str, node: &Node<'_>) -> Result<Number, ConvertError> {
    match node {
        Node::Number(number) => Ok(*number),
        Node::Text(text) if text == "Infinity" => Ok(Number::Double(f64::INFINITY)),
        Node::Text(text) if text == "-Infinity" => Ok(Number::Double(f64::NEG_INFINITY)),
        Node::Text(text) => match parsed_text(text, name, "number")? {
            Node::Number(number) => Ok(number),
            _ => Err(bad_text(text, name, "number", SyntaxError::UnexpectedType)),
        },
        _ => Err(wrong_type(name, node)),
    }
}

fn parsed_text<'t>(text: &'t str, name: &str, expected: &'static str) -> Result<Node<'t>, ConvertError> {
    parse(text.as_bytes()).map_err(|reason| bad_text(text, name, expected, reason))
}

fn bad_text(text: &str, name: &str, expected: &'static str, reason: SyntaxError) -> ConvertError {
    ConvertError::Text {
        text: echo(text.as_bytes()),
        expected,
        field: name.to_owned(),
        reason,
    }
}

/// Decodes up to the padding; the error is the first character outside the alphabet. Bits that do not make up a whole
/// byte at the end are dropped.
fn base64(text: &str) -> Result<Vec<u8>, char> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let mut pending: u32 = 0;
    let mut bits = 0;
    for character in text.chars().take_while(|character| *character != '=') {
        let sextet = match character {
            'A'..='Z' => u32::from(character) - u32::from('A'),
            'a'..='z' => u32::from(character) - u32::from('a') + 26,
            '0'..='9' => u32::from(character) - u32::from('0') + 52,
            '+' => 62,
            '/' => 63,
            _ => return Err(character),
        };
        pending = (pending << 6 | sextet) & 0x3fff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            decoded.push((pending >> bits & 0xff) as u8);
        }
    }
    Ok(decoded)
}
